"""``parCorAnaDriver``: from the command line to the exit status."""

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace

from parcorana.calculation.guard import hold_exits, runs
from parcorana.correlation import cpu
from parcorana.errors import ConfigError, put, say, shown, speaks
from parcorana.files import limits
from parcorana.files.paths import allow_open_files
from parcorana.job import memory
from parcorana.job.alike import facts_of_config, facts_of_program
from parcorana.job.config import MODES, read_config, resolve_config
from parcorana.job.division import divide
from parcorana.pipeline import mpi
from parcorana.plan.plan import plan
from parcorana.results.checkpoint import check_data
from parcorana.results.folder import give_back, has_checkpoint
from parcorana.results.name import Exists
from parcorana.results.resume import find_checkpoint
from parcorana.results.runlog import BEFORE
from parcorana.tools.arguments import parsed
from parcorana.tools.failure import debugs, describe, end_badly, place_of, tell
from parcorana.tools.instrument import stated_by
from parcorana.tools.ranks import Ranks, StartError, set_log
from parcorana.tools.report import report, summary
from parcorana.tools.values import check_values_of

log = logging.getLogger("parcorana")
_PATIENCE = 2.0  # s to wait for threads without a word
_FIRST = 1.0  # s that the first rank has for telling what all ranks have met


def _overrides(args, mode):
    names = ("verbosity", "numevents", "h5output", "overwrite", "dataset", "mask", "numservers")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    of_tests = ("mask", "numevents") if mode != "main" else ()
    return {f"test{name}" if name in of_tests else name: value for name, value in given.items()}


def _configure(args, mode):
    with runs("the config file"):
        system_params, user_params = read_config(args.config, args.trust_config)
        return resolve_config(system_params, user_params, mode, **_overrides(args, mode))


def _modes(args, ranks):
    """Return what to do, in order: the main job, or parts of the testing mode."""
    modes = [mode for mode in MODES if getattr(args, mode, False)] or ["main"]
    if ranks.comm is not None and {"test_alt", "cmp"} & set(modes):
        raise ConfigError("--test_alt and --cmp run in one process: start them without mpiexec, after --test_main")
    return modes


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


@speaks("parCorAnaDriver")
@hold_exits()
def main(argv=None):
    """Run the command; return the exit status."""
    args = parsed(argv)
    allow_open_files()
    faulthandler.enable(2)  # a library that crashes takes us along: then this at least says where
    roles, ranks, names, threads = [], None, [], set(threading.enumerate())
    # psana, which a config file may import, would else take over all ranks of the job
    os.environ.setdefault("PS_PARALLEL", "none")
    BEFORE.lines.clear()
    set_log("WARNING", mpi.rank_of_environment())
    try:
        if args.join:
            from parcorana.results.join import join

            name, updates = join(args.join, name=args.h5output, overwrite=bool(args.overwrite))
            put(f"joined {len(updates)} updates, up to {int(updates[-1].stem[7:]):,} events: {name}")
            if has_checkpoint(args.join):
                put(f"a checkpoint stays in {args.join}: go on with --resume, or remove that folder")
            return 0
        if args.stop:
            from parcorana.results.folder import ask_to_stop

            put(f"asked to stop: {ask_to_stop(args.stop)}")
            return 0
        if not args.config:
            raise ConfigError("say which config file to use: -c FILE (see --help)")
        ranks = Ranks(debugs(args), args.start_limit)
        quiet = (args.verbosity or "").upper() == "ERROR"
        set_log("WARNING" if ranks.rank == 0 and not quiet else "ERROR", ranks.rank)
        ranks.compare(lambda: facts_of_program(vars(args), mpi.library()))
        with ranks.watched(names) as watch:
            for mode in _modes(args, ranks):
                roles.clear()
                names.clear()
                status = _run(args, mode, ranks, roles, names, watch)
                if status:
                    break
        _await(set(threading.enumerate()) - threads)
        return ranks.status(status)
    except ConfigError as error:
        if roles:  # raised by one rank while it runs, in user code: the others know nothing of it
            text = describe(error, roles, ranks, ranks.debug)
            return end_badly(text, ranks, names, place_of(roles))
        if (ranks.rank if ranks else mpi.rank_of_environment()) == 0:
            tell(error, str(error), args)
        elif ranks is None:
            time.sleep(_FIRST)  # mpiexec ends all of them at the first one that fails: let the first rank tell it
        return ranks.status(error.exit_status) if ranks else error.exit_status
    except StartError as error:
        if ranks.rank == 0:
            say(error)
        return ranks.status(1)
    except KeyboardInterrupt:
        return end_badly("parCorAnaDriver: interrupted", ranks, names, mpi.rank_of_environment())
    except BaseException as error:
        return end_badly(describe(error, roles, ranks, debugs(args)), ranks, names, place_of(roles))
    finally:
        give_back()
        if ranks is not None:
            ranks.leave()


def _run(args, mode, ranks, roles, names, watch):
    from parcorana.pipeline import run

    offers = ranks.gather(ranks.together(cpu.offer))
    cpu.use(cpu.agree(offers)[0])  # before there is any user code
    watch.does("the start")
    config = ranks.alike(_configure, args, mode)
    ranks.compare(lambda: facts_of_config(config, args.config))
    level = config.verbosity
    quiet = max(logging.getLevelName(level), logging.WARNING)
    set_log(level if ranks.rank == 0 else quiet, ranks.rank, user_level=level)
    if mode == "cmp":
        return _compare(config, run)
    cores = ranks.gather(frozenset(os.sched_getaffinity(0)))
    division = ranks.together(divide, config, ranks.hosts, cores)
    if config.heartbeat or config.callback_limit:
        ranks.warn_of_unwatched()
    watch.know(config, division.ranks())
    return _run_watched(args, mode, ranks, roles, names, run, config, division, watch, offers, cores)


def _output_name(args, run, config, resume, data):
    """Return the name of the result; ``--check`` only says that it is there, and leaves it alone."""
    try:
        reads = [("-c", args.config), *run.files_read(config), *data]
        return run.output_name(config, bool(args.overwrite), resume, not args.check, reads)
    except Exists as error:
        if not args.check:
            raise
        log.warning("a run would be refused: %s", error)
        return None


def _run_watched(args, mode, ranks, roles, names, run, config, division, watch, offers, cores):
    watch.does("the opening of the data")
    resume = find_checkpoint(config, division, ranks, mode) if args.resume else None
    path, about_path, warnings = cpu.agree(offers, resume and resume.code_path)
    cpu.use(path)
    source = ranks.together(_open, run, config, division, ranks, resume)
    abouts = ranks.gather(run.about_times(source, config) if source is not None else None)
    abouts = abouts[: division.roles.servers[0] + 1]
    short = ranks.gather(run.short_times(source, config) if source is not None else None)
    # what all servers know alike is asked of the first one
    asked = source is not None and (ranks.comm is None or ranks.rank == division.roles.servers[0])
    stated = ranks.gather(ranks.together(lambda: stated_by(source, config) if asked else None))
    instrument, doubtful, stated_lines = next(filter(None, stated))
    tells = source is not None and not config.dataset.is_live
    data = ranks.gather(ranks.together(lambda: run.about_data(source) if tells else None))
    config = replace(config, instrument=instrument, data=run.agreed_data(data, ranks.hosts, config.dataset.text))
    grown = check_data(resume, config) if resume else ""
    size = ranks.comm.size if ranks.comm else 1
    rooms = ranks.gather(limits.rooms(reading=getattr(source, "reading_bytes", 0)))
    ranks.together(memory.check_memory, division, rooms)
    reads = next(filter(None, ranks.gather(list(run.data_read(config, source)) if asked else None)), ())
    h5output = ranks.together(lambda: _output_name(args, run, config, resume, reads) if ranks.rank == 0 else None)
    h5output = next(filter(None, ranks.gather(h5output)), None)
    names.extend([os.path.abspath(h5output)] if h5output else [])
    if ranks.rank == 0:
        for about in filter(None, [*abouts, about_path]):
            log.info("%s", about)
        for text in dict.fromkeys(filter(None, [*short, *warnings, *doubtful, grown])):
            log.warning("%s", text)
    if args.check:
        watch.does("the plan")
        planned = plan(ranks, config, division, cores, source, h5output, resume) if mode != "test_alt" else []
        if ranks.rank == 0:
            needs, tightest = memory.needs_now(division, rooms), memory.tightest(division, rooms)
            print(report(config, division, size, needs, [*tightest, *stated_lines, *planned]))
            check_values_of(config)
        return 0
    if ranks.rank == 0:
        log.info("%s", summary(config, division, size))
        if resume:
            log.info("resumed at %s events processed, block %s of the sequence", f"{resume.processed:,}", resume.block)
    transport = mpi.MpiTransport(ranks.comm) if ranks.comm else None
    watch.does("the start")
    roles.extend(ranks.together(run.make_roles, config, division, transport, source, h5output, resume))
    watch.follow(roles)
    errors = run.run_roles(roles, [signal.Signals[f"SIG{args.stop_signal}"]] if args.stop_signal else [])
    # no rank waits for anything any more: all end by themselves, for an aborted job may have any status
    texts = ranks.gather(describe(errors[0], roles, ranks, ranks.debug) if errors else None)
    told = next(filter(None, texts), None)
    if told and ranks.rank == 0:
        say(told)
    if ranks.rank == 0 and h5output and not told:
        from parcorana.export.write import asking_for_export, export_beside

        if (asking := asking_for_export(config)) is not None:
            watch.follow([])  # else it tells what the viewer did last
            watch.does("the export of the result")
            export_beside(h5output, asking, log)
    return 1 if told else 0


def _compare(config, run):
    """Compare the results of --test_main and --test_alt; return the exit status."""
    from parcorana.tools.compare import main as compare

    main, alt = run.names_to_compare(config)
    # sums have an error of 1e-6 or 1e-12 of their size at most; a ratio of them has a few times that
    rtol = "1e-5" if config.store_dtype == "float32" else "1e-10"
    command = ["--subset", "--rtol", rtol, main, alt]
    put(f"cmpParCorAnaH5Output {' '.join(command)}")
    return compare(command)


def _open(run, config, division, ranks, resume):
    rank = ranks.rank if ranks.comm else division.roles.servers[0]
    return (
        run.open_share(config, division, rank, log.warning, resume)
        if division.roles.role_of(rank) == "server"
        else None
    )


if __name__ == "__main__":
    sys.exit(main())
