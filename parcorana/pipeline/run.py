"""Opens a server's source, names the result, makes the roles and runs them; tools/driver.py calls these in order."""

import os
from dataclasses import replace
from itertools import chain

import numpy as np

from parcorana.calculation.guard import defines
from parcorana.calculation.says import most_at_once, needs_history
from parcorana.detector.masks import check_shape
from parcorana.errors import ConfigError
from parcorana.events.open import open_described
from parcorana.events.protocol import Share
from parcorana.files import limits
from parcorana.job.alike import named
from parcorana.pipeline.alone import Alone, check_alone
from parcorana.pipeline.clock import Clock
from parcorana.pipeline.job import Job
from parcorana.pipeline.server import Server, too_few
from parcorana.pipeline.stop import SIGNALS, Stop
from parcorana.pipeline.transport import TAG_STOP, LocalNetwork, run_polling, run_together
from parcorana.pipeline.viewer import Viewer
from parcorana.pipeline.worker import Worker
from parcorana.results.folder import SUFFIX
from parcorana.results.name import check_is_result, check_not_read, mode_of, resolve_name
from parcorana.view.progress import Progress, in_terminal


def open_share(config, division, rank, log, resume=None):
    """Open the events of a server rank and compare their shape with the mask's."""
    servers = division.roles.servers
    share = Share(servers.index(rank), len(servers), config.block, config.numevents, resume.block if resume else 0)
    source = open_described(config, share=share, log=log, values=config.values)
    if resume and source.total is not None and source.total < (used := resume.facts["account"]["read"]):
        raise ConfigError(too_few(config.dataset.text, source.total, used))
    if source.shape is not None:
        path = config.system_params["mask"]
        what = f"the data of {config.dataset.text!r}"
        if config.dataset.kind == "h5" and config.mask.shape == source.shape[1:]:
            what += ", unless its events are bursts of frames: then add ':bursts' to it"
        check_shape("mask", path, config.mask.shape, source.shape, what)
        unmapped = getattr(source, "unmapped", None)
        if unmapped is not None and (some := np.argwhere(unmapped & config.mask)).size:
            raise ConfigError(
                f"mask: {str(path)!r} includes {len(some):,} elements, as {some[0].tolist()}, that not all frames "
                f"of {config.dataset.text!r} have data for: gaps between modules? Set them to 0 in the mask"
            )
    return source


def about_data(source):
    """Return what tells a source's data from others of the same name, as far as that is known."""
    first_event = getattr(source, "first_event", None)
    return {"events": source.total, "first_event": first_event() if first_event is not None else ""}


def agreed_data(about, hosts, text):
    """Return what the servers say of the data, by `about_data`.

    Parameters
    ----------
    about : list of dict or None
        Of each rank.
    hosts : list of str
        Of each rank.
    text : str
        The dataset.

    Raises
    ------
    ConfigError
        They do not say the same: one reads an old copy, say.
    """
    found = {rank: each for rank, each in enumerate(about) if each}
    first = next(iter(found), 0)
    if other := [rank for rank in found if found[rank] != found[first]]:
        mine, theirs = found[first], found[other[0]]
        numbers = ", ".join("many" if each["events"] is None else f"{each['events']:,}" for each in (mine, theirs))
        what = f"{named([first], hosts)} and {named(other, hosts)} have {numbers} events"
        more = ", and not the same first one" if mine["first_event"] != theirs["first_event"] else ""
        raise ConfigError(
            f"dataset {text!r}: the servers do not find the same data: {what}{more}; does a host have an old copy, or "
            "is a relative path meant from another folder?"
        )
    return found.get(first, {})


def about_times(source, config):
    """Return a line on the times of a source's events, with a warning if `rate` hardly fits them."""
    about, seconds = getattr(source, "about", None), getattr(source, "typical_step", None)
    if about is None or not seconds:
        return about
    pulses = seconds * config.rate
    about += f"; mostly {seconds * 1e3:.4g} ms apart ({1 / seconds:.4g} Hz), {pulses:.4g} pulses at rate={config.rate}"
    if abs(pulses - max(round(pulses), 1)) > 0.02 * max(pulses, 1):
        about += ": NOT a whole number of pulses: is rate right?"
    return about


def short_times(source, config):
    """Return a warning if `times` is known beforehand to be too small for delays, None if it is not.

    That is so where events are equally far apart, and nothing filters them:
    else only their counters tell, when they have come.
    """
    steps = getattr(source, "pulses_apart", None)
    limited = any(limits != (None, None) for limits in config.select.values())
    classes = [own.user_class for own in config.classes.values()] or [config.user_class]
    filters = limited or any(defines(each, name) for each in classes for name in ("eventOk", "finalDataArray"))
    if steps is None or source.total is None or filters:
        return None
    for own in config.classes.values() or [config]:
        if needs_history(own.user_class) and (text := _short(own, source, steps)):
            return text if own is config else f"{own.user_class.__name__}: {text}"
    return None


def _short(config, source, steps):
    """Return the warning of `short_times` for one class."""
    delays, times = config.delays, config.times
    try:
        step = steps(config.rate)
    except ValueError:  # times that make no counters, as the run is going to tell
        step = None
    if step is None:
        return None
    most = most_at_once(config.user_class, config.block)
    within = (delays % step == 0) & (delays < source.total * step)
    short = delays[within & (delays >= times * step)]
    if not len(short):
        lost = delays[within & (delays > (times - most) * step)]
        return _lost_in_a_block(config, most, lost // step) if len(lost) else None
    return (
        f"times={times} is too small for {len(short)} of {len(delays)} delays ({short[0]:,} to {short[-1]:,} pulses): "
        f"events come {step:,} pulse{'s' * (step > 1)} apart, and one leaves the buffer before its partner comes; set "
        f"times to at least {short[-1] // step + 1:,}"
    )


def _lost_in_a_block(config, most, events):
    """Return a warning of a class that adds pairs in `enter`, and misses some of delays of so many events."""
    return (
        f"times={config.times} is short for user_class {config.user_class.__name__}, which adds pairs in enter: up to "
        f"{most} events come at once, and those that leave for them have left by then, so pairs that are more than "
        f"{max(config.times - most, 0)} events apart are lost, of {len(events)} delays; set times to at least "
        f"{events[-1] + most}, or most = 1 in the class"
    )


def files_read(config, source=None):
    """Generate what names each file that a run reads, and its name, as far as that is known before.

    Parameters
    ----------
    config : Config
    source : EventSource, optional
        Where it is open here.

    Yields
    ------
    (str, str)
    """
    for key in ("mask", "testmask"):
        if config.system_params[key] is not None:
            yield key, config.system_params[key]
    for own in config.classes.values() or [config]:
        for key, value in own.user_params.items():
            if isinstance(value, str | os.PathLike):  # user code may read it, whatever it is called
                yield f"user_params[{key!r}]", value
    yield from data_read(config, source)


def data_read(config, source):
    """Generate the same of the data alone."""
    for name in getattr(source, "files", tuple)():
        yield "frames" if config.dataset.kind == "memory" else f"dataset {config.dataset.text!r}", name


def output_name(config, insists=True, resume=None, reserves=True, reads=()):
    """Return the name of the result file, None for none.

    Parameters
    ----------
    config : Config
    insists : bool
        False: a part of the testing mode does not replace the result of a whole
        run, even if the config says `overwrite`.
    resume : parcorana.results.checkpoint.Checkpoint or None
        A run that goes on has its name already.
    reserves : bool
        Whether a number of `%C` is to be this run's.
    reads : iterable of (str, str)
        As `files_read` generates them.
    """
    if resume is not None:
        name = resume.folder.removesuffix(SUFFIX)
        check_not_read("h5output", name, reads)
        check_is_result("h5output", name)
        return name
    template = alt_name(config) if config.mode == "test_alt" else config.h5output
    if template is None:
        return None
    name = resolve_name(template, config.overwrite, reserves, reads)
    if config.mode != "main" and not insists and mode_of(name) == "main":
        raise ConfigError(
            f"h5output: {name!r} is the result of a whole run, not of a test; name another file with -o, "
            "or say --overwrite"
        )
    return name


def alt_name(config):
    """Return the name of the result file of ``--test_alt``."""
    if config.testh5output is not None:
        return config.testh5output
    if config.h5output is None:
        raise ConfigError("testh5output must name a file, for h5output is None")
    root, suffix = os.path.splitext(config.h5output)
    return f"{root}_test_alt{suffix}"


def names_to_compare(config):
    """Return the names of the result files of ``--test_main`` and ``--test_alt``."""
    if config.h5output is None:
        raise ConfigError("--cmp: h5output is None, so --test_main writes no file; name one with -o")
    names = config.h5output, alt_name(config)
    for name in names:
        if "%T" in name or "%C" in name:
            raise ConfigError(f"--cmp: {name!r} has no fixed name; name the file of --test_main with -o")
    for name, mode in zip(names, ("test_main", "test_alt"), strict=True):
        if os.path.exists(name) and mode_of(name) not in (mode, None):
            raise ConfigError(f"--cmp: {name!r} is not a result of --{mode}")
    return names


def make_role(config, division, transport, source, h5output, waits=True, stop=None, resume=None):
    """Make the role object of one rank."""
    stop = stop or Stop(transport, division.roles)
    threads = division.threads[transport.rank]
    job = Job(config, division.roles, transport, Clock(waits), threads, stop, resume, h5output)
    if job.role == "viewer":
        return Viewer(job, division.ranks(), Progress(in_terminal() and config.verbosity in ("INFO", "DEBUG")))
    return Server(job, source) if job.role == "server" else Worker(job)


def make_roles(config, division, transport, source, h5output, resume=None):
    """Make the role objects of this process: of its rank, or without a transport all of them, to run in turn."""
    if config.mode == "test_alt":
        check_alone(config, source, limits.available())
        return [Alone(config, source, h5output, division.hosts[0])]
    # user code, which begins to run now, may change the working directory
    h5output = h5output and os.path.abspath(h5output)
    resume = resume and replace(resume, folder=os.path.abspath(resume.folder))
    if transport is not None:
        return [make_role(config, division, transport, source, h5output, resume=resume)]
    network, stop = LocalNetwork(len(division.hosts)), Stop()
    return [
        make_role(config, division, network.transport(rank), source, h5output, waits=False, stop=stop, resume=resume)
        for rank in range(network.size)
    ]


def run_roles(roles, stop_signals=()):
    """Run the roles of this process: the same code, whatever the transport.

    Parameters
    ----------
    roles : list
        As `make_roles` makes them.
    stop_signals : iterable of signal.Signals
        Besides SIGTERM and SIGINT, those that stop a run well.

    Returns
    -------
    list of RunError
        Those of these roles that stopped the run: what was received before is
        published, and all that is left is to tell them.
    """
    if isinstance(roles[0], Alone):
        roles[0].run()
        return []
    job = roles[0].job
    # a part of the testing mode is as good as lost if it is not whole: signals end it
    with job.stop.on_signals({*SIGNALS, *stop_signals} if job.config.mode == "main" else ()):
        if len(roles) > 1:
            try:
                run_together([role.run() for role in roles], job.transport.network, job.stop.look)
            finally:
                roles[0].release()  # this process may go on, and begin other runs
        else:
            run_polling(chain(roles[0].run(), job.transport.leave(TAG_STOP)), job.transport, job.stop.look)
    return [role.error for role in roles if getattr(role, "error", None)]
