"""What ``--check`` says of a plan."""

import os

from parcorana.plan.computing import pieces_in
from parcorana.plan.miniature import harmless
from parcorana.plan.model import times_as_fast

_BESIDE = {"picture": "pictures", "export": "the export for other viewers"}  # of `user_params`
_BUSY = 0.75  # of a host's cores in use, from which on a measurement is no longer that of a quiet one
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def lines_of(config, costs, now, other, found):
    """Return the lines of a plan.

    Parameters
    ----------
    config : Config
    costs : parcorana.plan.model.Costs
    now : parcorana.plan.model.Expected
        Of the job as it is divided.
    other : (parcorana.plan.model.Layout, parcorana.plan.model.Expected)
        Of the best division on the same cores.
    found : parcorana.plan.plan.Found
    """
    lines = [_time(config, now, found), *_parts(config, costs, found), _size(config, found)]
    if not config.dataset.is_live:
        lines.append(_better(now, other))
    lines += [f"not in these numbers: {', '.join(some)}"] if (some := _beside(config, found)) else []
    lines.append(busy(os.getloadavg()[0], os.cpu_count() or 1))
    return [f"plan: {line}" for line in filter(None, lines)]


def _time(config, now, found):
    rate = f"{now.rate:.3g}" if now.rate < 100 else f"{_rounded(now.rate):,}"
    if config.dataset.is_live:
        return f"a live run goes as fast as its events come; up to about {rate} events/s can be calculated"
    if now.seconds is None:
        return f"about {rate} events/s; how many events there are is not known before they are read"
    which = " that are left" if found.left != found.total else ", if there are so many" if found.supposed else ""
    return f"about {rate} events/s, {duration(now.seconds)} from start to end of {found.left:,} events{which}"


def busy(load, cores):
    """Return a line if others keep a host busy, by its load of the last minute; empty if not."""
    if load < _BUSY * cores:
        return ""
    return (
        f"other work keeps this host busy (load {load:.1f} on {cores} cores), and beside it a run is slower than "
        "these numbers, which leave out most of what it takes; they change from one measurement to the next"
    )


def _rounded(number):
    """Return a number with three digits that count."""
    digits = len(str(int(number))) - 3
    return int(round(number, -max(digits, 0)))


def _parts(config, costs, found):
    """Return lines on what an event takes where, and on what was read."""
    for each in found.reads:
        if each.value is None:
            yield f"reading could not be measured, and is not in these numbers: {each.fault}"
            return
    if not found.reads:
        return
    events = sum(each.value.events for each in found.reads)
    where = ""
    if config.dataset.kind != "sim" and all(each.value.from_memory for each in found.reads):
        where = ", which the memory of this host had already: from a disk it may take longer"
    yield f"a server reads an event in {_short(costs.read)} ({events:,} were read{where})"


def _short(seconds):
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} us"


def _size(config, found):
    if config.h5output is None:
        return "no result file, for h5output is None"
    written = found.written.value
    if written is None:
        return f"the size of the result, and how long it is written, could not be measured: {found.written.fault}"
    pieces = _pieces(found)
    if found.total is not None:
        return f"the result has about {size_of(written.size(found.total, config.update, *pieces))}"
    each = size_of(written.nbytes[-1] + pieces[0] * written.piece)
    more = size_of(written.described + (pieces[1] - pieces[0]) * written.piece)
    return f"each update adds about {each} to the result, and the end {more}"


def _pieces(found):
    """Return how many pieces of arrays of elements an update has, and the last one."""
    computed = next(each.value for each in found.computed if each.value is not None)
    return pieces_in(computed.pieces), pieces_in(computed.last_pieces)


def _better(now, other):
    layout, expected = other
    if (ratio := times_as_fast(now, expected)) is None:
        return "no other number of ranks, servers and threads is expected to be much faster on these cores"
    return f"with {layout.text()} about {ratio:.1f} times as fast"


def _beside(config, found):
    """Return what is in no number."""
    _, left_out = harmless(config)
    some = [f"the code of {name}, which is not run for this" for name in left_out]
    params = [config.user_params, *(own.user_params for own in config.classes.values())]
    some += [what for key, what in _BESIDE.items() if any(each.get(key) for each in params)]
    some += ["checkpoints"] if config.checkpoint else []
    if found.disk.fault:
        some.append(f"the disk of the result, which could not be measured ({found.disk.fault})")
    return some


def duration(seconds):
    """Return a time as one says it."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def size_of(nbytes):
    """Return a number of bytes as one says it."""
    for unit, name in _UNITS:
        if nbytes >= unit:
            return f"{nbytes / unit:,.3g} {name}" if nbytes < 1000 * unit else f"{nbytes / unit:,.0f} {name}"
    return f"{nbytes:.0f} bytes"
