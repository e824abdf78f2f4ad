"""``parCorAnaDriver``: arguments, start, exit codes."""

import argparse
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from parcorana import cpu, limits
from parcorana._version import __version__
from parcorana.arguments import Parser
from parcorana.config import MODES, format_params, read_config, resolve_config
from parcorana.errors import ConfigError, ParCorAnaError, UserCodeError, one_line, out_of, say, shown
from parcorana.paths import allow_open_files
from parcorana.pipeline import mpi
from parcorana.pipeline.links import connect
from parcorana.pipeline.watch import Watch, end_without
from parcorana.resume import find_checkpoint

log = logging.getLogger("parcorana")
_PACKAGE = str(Path(__file__).resolve().parent)
_MIB = 1 << 20
_PATIENCE = 2.0  # s to wait for threads without a word
_AT_LAST = 2.0  # s after which a process that ends the run is gone itself
_AFTER, _TURN, _TURNS = 1.0, 0.5, 4  # s that the second rank of those with the same fault waits, and each one after it

_EPILOG = """\
examples:
  parCorAnaDriver -c myconfig.py --check             say what would run, and what memory it needs
  mpiexec -n 4 parCorAnaDriver -c myconfig.py        the main job: 1 viewer, 1 server, 2 workers
  parCorAnaDriver -c myconfig.py -n 1000             the same in one process, first 1000 events
  parCorAnaDriver -c myconfig.py -o t.h5 --test_main --test_alt --cmp   does the calculation do what it should?
  parCorAnaDriver --join out.h5.inprogress           join what a killed run published
  parCorAnaDriver -c myconfig.py --resume            go on with a run that was stopped or killed (key checkpoint)
  parCorAnaDriver --stop out.h5                      end the run that writes out.h5, well; from any shell

exit status: 0 done, or stopped by SIGTERM, Ctrl-C or --stop; 1 failed while running, or interrupted twice;
2 wrong arguments, config or input files.
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog="parCorAnaDriver",
        description="Correlate the detector frames of a run, for every element and delay, over MPI or in one process.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="config file: Python with system_params and user_params")
    parser.add_argument("-v", "--verbosity", metavar="LEVEL", help="debug, info, warning or error (config: verbosity)")
    parser.add_argument("-n", "--numevents", type=int, metavar="N", help="only the first N events, 0 for all")
    parser.add_argument("-o", "--h5output", metavar="FILE", help="result file; %%T is the time, %%C a free counter")
    parser.add_argument("--overwrite", action="store_true", default=None, help="replace an existing result file")
    parser.add_argument("-d", "--dataset", metavar="DATASET", help="as exp=xpptut15:run=54, h5=FILE, sim=brownian")
    parser.add_argument("-m", "--mask", metavar="FILE", help="mask, .npy, 1 = process")
    parser.add_argument("-s", "--numservers", type=int, metavar="N", help="ranks that read events")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of an interrupted run")
    parser.add_argument("--check", action="store_true", help="check everything, print it and the memory needed, stop")
    parser.add_argument("--test_main", action="store_true", help="the job on the test mask and the test events")
    parser.add_argument("--test_alt", action="store_true", help="the same by calcAndPublishForTestAlt, one process")
    parser.add_argument("--cmp", action="store_true", help="compare the results of --test_main and --test_alt")
    parser.add_argument("--join", metavar="FOLDER", help="join NAME.inprogress of a killed run into NAME (or -o), stop")
    parser.add_argument("--stop", metavar="NAME", help="ask the run that writes the result file NAME to stop well")
    parser.add_argument(
        "--stop-signal",
        metavar="SIG",
        type=lambda text: text.upper().removeprefix("SIG"),
        choices=("USR1", "USR2"),
        help="USR1 or USR2: a signal that stops the run well, as SIGTERM does; for the warning of a batch system",
    )
    parser.add_argument("--trust-config", action="store_true", help="run a config file that everybody may write to")
    parser.add_argument("--version", action="version", version=f"parcorana {__version__}")
    return parser


class _Ranks:
    """The ranks as they start: one process, or a communicator."""

    def __init__(self, debug=False):
        self.debug = debug
        self.comm = mpi.world() if mpi.launched_size() > 1 else None
        self.rank, self.size = (self.comm.rank, self.comm.size) if self.comm else (0, 1)
        self._bound = end_without(os.getppid()) if self.comm else None

    def status(self, status):
        """Return the exit status of this rank, where all ranks end by themselves.

        That of mpiexec is made of all of them, and of the signal with which
        MPICH's ends those that are not done when a first one is: so but one
        of them is not 0.
        """
        return status if self.rank == 0 else 0

    def leave(self):
        """Let this process outlive mpiexec."""
        if self._bound:
            self._bound.stop()

    @contextmanager
    def watched(self, config, plan, names, connects):
        """Watch all ranks while the body of ``with`` runs; give it the Watch."""
        links, missing = {}, []
        if self.comm is not None and connects:
            links, missing = connect(self.gather, self.rank, plan.hosts)
        if missing and self.rank == 0:
            where = ", ".join(dict.fromkeys(plan.hosts[rank] for rank in missing))
            log.warning(
                "ranks %s on %s do not reach the viewer on %s by a socket, so nobody watches them: heartbeat and "
                "callback_limit have no effect on them; is there a firewall between the hosts?",
                ", ".join(map(str, missing)),
                where,
                plan.hosts[0],
            )
        rank = None if self.comm is None else self.rank
        watch = Watch(config, plan.ranks(), rank, links, lambda reason: _end_by_watch(reason, self, names))
        try:
            yield watch.start()
        finally:
            watch.close()

    def gather(self, value):
        """Return the values of all ranks; while they come, wait without burning a core."""
        if self.comm is None:
            return [value]
        request = self.comm.Ibarrier()
        while not request.Test():
            time.sleep(1e-3)
        return self.comm.allgather(value)

    def together(self, action, *args):
        """Run `action` on this rank; if it fails on any rank, all raise the first error."""
        config_error = other = result = None
        try:
            result = action(*args)
        except ConfigError as caught:
            config_error = str(caught)
        except Exception as caught:
            other = _describe(caught, [], self, self.debug)
        for wrong, failed in self.gather((config_error, other)):
            if wrong is not None:
                raise ConfigError(wrong)
            if failed is not None:
                raise _StartError(failed)
        return result


class _StartError(Exception):
    """What went wrong on one rank before the run began, told by all: no rank is left waiting."""


class _Handler(logging.StreamHandler):
    """A log that ends no run when it cannot be written any more."""

    def handleError(self, record):
        with suppress(ValueError):  # user code has closed the stream
            super().handleError(record)


def _set_log(level, rank, user_level=None):
    handler = _Handler()
    where = "" if rank == 0 else f" rank {rank}:"
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s{where} %(message)s", "%H:%M:%S"))
    root = logging.getLogger("parcorana")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level)
    # what a user class logs is wanted from every rank: it chooses itself which of them speak
    logging.getLogger("parcorana.user").setLevel(user_level or level)


def _overrides(args, mode):
    names = ("verbosity", "numevents", "h5output", "overwrite", "dataset", "mask", "numservers")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    of_tests = ("mask", "numevents") if mode != "main" else ()
    return {f"test{name}" if name in of_tests else name: value for name, value in given.items()}


def _configure(args, mode):
    system_params, user_params = read_config(args.config, args.trust_config)
    return resolve_config(system_params, user_params, mode, **_overrides(args, mode))


def _modes(args, ranks):
    """Return what to do, in order: the main job, or parts of the testing mode."""
    modes = [mode for mode in MODES if getattr(args, mode, False)] or ["main"]
    if ranks.comm is not None and {"test_alt", "cmp"} & set(modes):
        raise ConfigError("--test_alt and --cmp run in one process: start them without mpiexec, after --test_main")
    return modes


def _parsed(argv):
    """Return the arguments; where they are wrong, or ask for a text, only rank 0 says so."""
    if mpi.rank_of_environment() == 0:
        return make_parser().parse_args(argv)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return make_parser().parse_args(argv)


def _fill_standard_streams():
    """Have no file opened later take the place of a standard stream that is closed, and what libraries print to it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115


def _await(threads):
    """Wait for threads that user code has started, as Python does at its end; say so if that takes long."""
    threads = [thread for thread in threads if not thread.daemon]
    until = time.monotonic() + _PATIENCE
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    if left := [shown(thread.name) for thread in threads if thread.is_alive()]:
        log.warning(
            "the run is done, but its process waits for %d of the threads that user code has started, as %s; daemon "
            "threads would end with it",
            len(left),
            left[0],
        )
    for thread in threads:
        thread.join()


def main(argv=None):
    """Run the command; return the exit status."""
    args = _parsed(argv)
    _fill_standard_streams()
    allow_open_files()
    faulthandler.enable(2)  # a library that crashes takes us along: then this at least says where
    roles, ranks, names, threads = [], None, [], set(threading.enumerate())
    # psana, which a config file may import, would else take over all ranks of the job
    os.environ.setdefault("PS_PARALLEL", "none")
    _set_log("WARNING", mpi.rank_of_environment())
    try:
        if args.join:
            from parcorana.output import join, published

            updates = published(args.join) if os.path.isdir(args.join) else []
            name = join(args.join, name=args.h5output, overwrite=bool(args.overwrite))
            print(f"joined {len(updates)} updates, up to {int(updates[-1].stem[7:]):,} events: {name}")
            if os.path.isdir(args.join):
                print(f"a checkpoint stays in {args.join}: go on with --resume, or remove that folder")
            return 0
        if args.stop:
            from parcorana.output import ask_to_stop

            print(f"asked to stop: {ask_to_stop(args.stop)}")
            return 0
        if not args.config:
            raise ConfigError("say which config file to use: -c FILE (see --help)")
        ranks = _Ranks(_debugs(args))
        quiet = (args.verbosity or "").upper() == "ERROR"
        _set_log("WARNING" if ranks.rank == 0 and not quiet else "ERROR", ranks.rank)
        for mode in _modes(args, ranks):
            roles.clear()
            names.clear()
            status = _run(args, mode, ranks, roles, names)
            if status:
                break
        _await(set(threading.enumerate()) - threads)
        return ranks.status(status)
    except ConfigError as error:
        if roles:  # raised by one rank while it runs, in user code: the others know nothing of it
            text = _describe(error, roles, ranks, ranks.debug)
            return _end_badly(text, ranks, names, _place(roles))
        if (ranks.rank if ranks else mpi.rank_of_environment()) == 0:
            _tell(error, str(error), args)
        return ranks.status(error.exit_status) if ranks else error.exit_status
    except _StartError as error:
        if ranks.rank == 0:
            say(error)
        return ranks.status(1)
    except KeyboardInterrupt:
        return _end_badly("parCorAnaDriver: interrupted", ranks, names, mpi.rank_of_environment())
    except BaseException as error:
        return _end_badly(_describe(error, roles, ranks, _debugs(args)), ranks, names, _place(roles))
    finally:
        if ranks is not None:
            ranks.leave()


def _run(args, mode, ranks, roles, names):
    from parcorana.pipeline import run

    offers = ranks.gather(ranks.together(cpu.offer))
    cpu.use(cpu.agree(offers)[0])  # before there is any user code
    config = ranks.together(_configure, args, mode)
    level = config.verbosity
    quiet = max(logging.getLevelName(level), logging.WARNING)
    _set_log(level if ranks.rank == 0 else quiet, ranks.rank, user_level=level)
    if mode == "cmp":
        return _compare(config, run)
    hosts = ranks.gather(mpi.hostname())
    cores = ranks.gather(frozenset(os.sched_getaffinity(0)))
    plan = ranks.together(run.make_plan, config, hosts, cores)
    watches = (config.heartbeat or config.callback_limit) and not args.check
    with ranks.watched(config, plan, names, watches) as watch:
        return _run_watched(args, mode, ranks, roles, names, run, config, plan, watch, offers)


def _run_watched(args, mode, ranks, roles, names, run, config, plan, watch, offers):
    watch.does("the opening of the data")
    resume = find_checkpoint(config, plan, ranks, mode) if args.resume else None
    path, about_path, warnings = cpu.agree(offers, resume and resume.code_path)
    cpu.use(path)
    source = ranks.together(_open, run, config, plan, ranks, resume)
    abouts = ranks.gather(run.about_times(source, config) if source is not None else None)[: plan.roles.servers[0] + 1]
    short = ranks.gather(run.short_times(source, config) if source is not None else None)
    size = ranks.comm.size if ranks.comm else 1
    rooms = ranks.gather(limits.rooms())
    ranks.together(run.memory.check_memory, plan, rooms)
    h5output = ranks.together(
        lambda: run.output_name(config, bool(args.overwrite), resume) if ranks.rank == 0 else None
    )
    h5output = next(filter(None, ranks.gather(h5output)), None)
    names.extend([os.path.abspath(h5output)] if h5output else [])
    if ranks.rank == 0:
        for about in filter(None, [*abouts, about_path]):
            log.info("%s", about)
        for text in dict.fromkeys(filter(None, [*short, *warnings])):
            log.warning("%s", text)
    if args.check:
        if ranks.rank == 0:
            print(_report(config, plan, size, run.memory.needs_now(plan, rooms), run.memory.tightest(plan, rooms)))
        return 0
    if ranks.rank == 0:
        log.info("%s", _summary(config, plan, size))
        if resume:
            log.info("resumed at %s events processed, block %s of the sequence", f"{resume.processed:,}", resume.block)
    transport = mpi.MpiTransport(ranks.comm) if ranks.comm else None
    watch.does("the start")
    roles.extend(ranks.together(run.make_roles, config, plan, transport, source, h5output, resume))
    watch.follow(roles)
    errors = run.run_roles(roles, [signal.Signals[f"SIG{args.stop_signal}"]] if args.stop_signal else [])
    # no rank waits for anything any more: all end by themselves, for the status of a job that is aborted is a chance
    texts = ranks.gather(_describe(errors[0], roles, ranks, ranks.debug) if errors else None)
    told = next(filter(None, texts), None)
    if told and ranks.rank == 0:
        say(told)
    return 1 if told else 0


def _compare(config, run):
    """Compare the results of --test_main and --test_alt; return the exit status."""
    from parcorana.compare import main as compare

    main, alt = run.names_to_compare(config)
    # sums have an error of 1e-6 or 1e-12 of their size at most; a ratio of them has a few times that
    rtol = "1e-5" if config.store_dtype == "float32" else "1e-10"
    command = ["--subset", "--rtol", rtol, main, alt]
    print(f"cmpParCorAnaH5Output {' '.join(command)}", flush=True)
    return compare(command)


def _open(run, config, plan, ranks, resume):
    rank = ranks.rank if ranks.comm else plan.roles.servers[0]
    return run.open_share(config, plan, rank, log.warning, resume) if plan.roles.role_of(rank) == "server" else None


def _summary(config, plan, size):
    how = f"mpiexec with {size} ranks" if size > 1 else "one process"
    if config.mode == "test_alt":
        return (
            f"parcorana {__version__}, --test_alt: all events at once; {config.dataset.text}; {config.elements:,} of "
            f"{config.mask.size:,} elements, {len(config.delays)} delays, {config.user_class.__name__}"
        )
    how = f"--{config.mode}, {how}" if config.mode != "main" else how
    servers, workers = _number(len(plan.roles.servers), "server"), _number(len(plan.roles.workers), "worker")
    few, many = (choose(plan.threads[rank] for rank in plan.roles.workers) for choose in (min, max))
    threads = _number(many, "thread") if few == many else f"{few} to {many} threads"
    return (
        f"parcorana {__version__}, {how}: {servers}, {workers} with {threads};"
        f" {config.dataset.text}; {config.elements:,} of {config.mask.size:,} elements,"
        f" {len(config.delays)} delays {config.delays[0]}..{config.delays[-1]}, times {config.times},"
        f" {config.user_class.__name__}"
    )


def _number(n, what):
    return f"{n} {what}{'s' * (n != 1)}"


def _report(config, plan, size, needs, tightest):
    lines = [
        format_params(config),
        "",
        _summary(config, plan, size),
        "rank  role    host              elements     MiB",
    ]
    workers = plan.roles.workers
    from parcorana.partition import elements_of

    for rank, role, host in plan.ranks():
        part = elements_of(workers.index(rank), len(workers), config.elements) if role == "worker" else None
        elements = f"{part.stop - part.start:,}" if part else ""
        lines.append(f"{rank:4}  {role:7} {host:16} {elements:>9} {needs[rank] / _MIB:7,.0f}")
    lines.append(f"memory: {sum(needs) / _MIB:,.0f} MiB in all, at most")
    lines += tightest
    if size == 1:
        lines.append(f"over MPI: mpiexec -n {config.numservers + 2} or more ranks (numservers={config.numservers})")
    return "\n".join(lines)


def _describe(error, roles, ranks, debug):
    """Return what to tell of an error while running: one line, before it the user's part of the traceback."""
    where = []
    role = next((r for r in roles if r.at is not None and _is_of(error, r)), roles[0] if roles else None)
    if ranks is not None and ranks.comm is not None:
        where.append(f"rank {ranks.rank}")
    if role is not None:
        where.append(
            f"{type(role).__name__.lower()}{'' if role.at.startswith(('before', 'after')) else ' at'} {role.at}"
        )
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, UserCodeError):
        if role is None:
            where.append(f"{error.role} before the first event")
        where.append(f"in {error.where}")
        error = error.__cause__
        frames += traceback.extract_tb(error.__traceback__)
    plain = str(error) if isinstance(error, ParCorAnaError) else out_of(error)
    text = plain or f"{type(error).__name__}: {one_line(error)}"
    if not debug:
        own = [k for k, frame in enumerate(frames) if not frame.filename.startswith(_PACKAGE)]
        first = own[0] if own and not isinstance(error, ParCorAnaError) else len(frames)
        # from the user's first frame on: what lies above it is ours
        frames = frames[next((k for k in own if k >= first and "runpy" not in frames[k].filename), len(frames)) :]
    shown = "".join(traceback.format_list(frames))
    return f"{shown}parCorAnaDriver: {', '.join([*where, ''])[:-2]}{': ' if where else ''}{text}"


def _is_of(error, role):
    """Tell whether an error is one that a role has kept, or the role's own frame is on its traceback."""
    if getattr(role, "error", None) is error:
        return True
    frame = error.__traceback__
    while frame:
        if frame.tb_frame.f_locals.get("self") is role:
            return True
        frame = frame.tb_next
    return False


def _debugs(args):
    return (args.verbosity or "").lower() == "debug"


def _tell(error, text, args):
    if _debugs(args):
        say("".join(traceback.format_exception(error)).rstrip())
    say(f"parCorAnaDriver: {text}")


def _place(roles):
    """Return how many ranks may have the same to tell, and come before this one."""
    job = getattr(roles[0], "job", None) if roles else None
    return job.place if job else 0


def _end_badly(text, ranks, names, place=0):
    """Say what happened; under MPI end all ranks, for an exception in one leaves the others waiting.

    The same fault often shows on all servers, or workers, at once: the one at
    the first place tells it, those after it only if they are still there.
    """
    from parcorana.output import forget, what_is_left

    if place:
        time.sleep(_AFTER + _TURN * min(place - 1, _TURNS))  # ended by the one that tells it, if there is one
    say(text)  # first of all: the file system that is asked now may be what has failed, or hang for ever
    nowhere = _exit_soon()
    with suppress(OSError):
        if names and ranks is not None and ranks.comm is None:  # of several ranks another may be about to publish
            forget(names[0])
        if left := what_is_left(names[0]) if names else "":
            say(left)
    if ranks is not None and ranks.comm is not None:
        time.sleep(0.2)  # mpiexec still has to read that line
        mpi.abort(1)
    faulthandler.cancel_dump_traceback_later()
    os.close(nowhere)
    return 1


def _exit_soon():
    """Have this process end, with exit status 1, whatever hangs in it; return the file that is told of it, to close."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    faulthandler.dump_traceback_later(_AT_LAST, exit=True, file=nowhere)
    return nowhere


def _end_by_watch(reason, ranks, names):
    """End a run that cannot end itself, from the thread that watches it."""
    _exit_soon()  # whatever may hang now, the log or an MPI that reaches nobody
    _end_badly(f"parCorAnaDriver: {reason}", ranks, names)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
