"""What the values of a dataset's first events are, so that limits for `select` can be chosen."""

import time
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from parcorana.curves.monitor import FILTERED, PROCESSED, Monitors
from parcorana.errors import ConfigError, EventError, RunError, put, warn
from parcorana.events.open import open_described
from parcorana.events.protocol import Share
from parcorana.events.values import MEAN, Select, names_of, text_of
from parcorana.pipeline.means import Means
from parcorana.pipeline.photons import Photons

_BLOCK = 32  # events that are read ahead
_MOST = 1000  # events that a check looks at
_PATIENCE = 20.0  # s that it takes for that
_WIDE = 40  # letters of a histogram
_INK = " .:-=+*#%@"
_BOTH = PROCESSED, FILTERED
_OPEN = (None, None)  # leaves out what has no number, and nothing else


@dataclass
class Sample:
    """Values of the first events of a dataset.

    Attributes
    ----------
    read : int
        Events that have data.
    without : int
        Events without, or with data that a run does not take: they are in nothing else.
    outside : dict of str to int
        Of each range of `select`, how many are outside.
    distributions : dict of str to parcorana.curves.monitor.Distribution
        With those that any range leaves out apart from the others; counters are numbers of events.
    """

    read: int = 0
    without: int = 0
    outside: dict = field(default_factory=dict)
    distributions: dict = field(default_factory=dict)


def sample(source, names, mask, select, most, patience=np.inf, photons=None):
    """Read events and look at their values.

    Parameters
    ----------
    source : EventSource
        It is closed. Not a live one.
    names : sequence of str
        Of the values that the source gives.
    mask : bool array of the detector's shape
    select : dict of str to (number or None, number or None)
    most : int
        How many events with data to read.
    patience : float [s]
        How long to read.
    photons : dict or None
        As the config has it: the mean is that of the photons then.

    Returns
    -------
    Sample
    """
    found, monitors, means = (
        Sample(outside=dict.fromkeys(select, 0)),
        Monitors([*names, MEAN]),
        Means(np.flatnonzero(mask)),
    )
    until = time.monotonic() + patience
    each = {name: Select({name: limits}) for name, limits in select.items()}
    finder = photons and Photons(photons, mask, True, SimpleNamespace(at="the first events"))
    try:
        for event in chain.from_iterable(source.blocks()):
            if found.read == most or time.monotonic() > until:
                break
            frame = _frame_of(event, mask)
            if frame is None:
                found.without += 1
                continue
            values, rows = {name: event.values.get(name, np.nan) for name in names}, frame.reshape(1, -1)
            if finder:
                rows, _, (fate,) = finder.of(rows)
                if fate:
                    found.without += 1
                    continue
            mean = means.of(rows)
            if not (np.isfinite(mean[0]) or means.finite(rows, 0)):
                found.without += 1
                continue
            outside = [
                name for name, one in each.items() if one.outside(values) is not None or one.mean_outside(mean)[0]
            ]
            columns = {name: np.array([value]) for name, value in values.items()} | {MEAN: mean}
            for name in outside:
                found.outside[name] += 1
            if outside:
                monitors.leave_out(columns)
            else:
                monitors.note(np.array([found.read]), columns, np.zeros(1, int))
            found.read += 1
    except RunError as error:
        warn(f"values: {error}; what came before is used")
    finally:
        source.close()
    monitors.settle()
    found.distributions = monitors.distributions()
    return found


def _frame_of(event, mask):
    """Return the ndarray of an event, None if it has none that could be processed."""
    try:
        frame = event.data() if event.evt is not None else None
    except (EventError, OSError):
        return None
    return frame if frame is not None and frame.shape == mask.shape and frame.dtype.kind in "iufb" else None


def lines_of(found, select):
    """Return what a sample says, in lines: a histogram and numbers of each value, what `select` would leave out."""
    events = f"values of the first {found.read:,} events with data"
    events += f" ({found.without:,} have none, or none that a run takes)" if found.without else ""
    lines = [f"{events}, from the smallest to the largest:"]
    width = max(map(len, found.distributions))
    for name, one in found.distributions.items():
        lines.append(f"  {name:{width}} |{_bars(one)}| {_numbers(one)}")
        limited = select.get(name, _OPEN) != _OPEN
        if limited or found.outside.get(name):
            range_ = text_of(select[name])
            lines.append(f"  {'':{width}} select: {found.outside[name]:,} are not {range_}, or NaN, and are left out")
        if not limited and (doubt := one.doubt(name, *_BOTH)):
            lines.append(f"  {'':{width}} {doubt}")
    return lines


def _bars(one):
    """Return a histogram in a line of letters: the more ink, the more events; one alone is seen."""
    counts = one.counts.sum(axis=0)
    if not len(counts):
        return " " * _WIDE
    part = np.minimum((np.arange(len(counts)) + 0.5) * _WIDE / len(counts), _WIDE - 1).astype(int)
    few = np.bincount(part, counts, minlength=_WIDE)
    ink = np.ceil(np.sqrt(few / few.max()) * (len(_INK) - 1)).astype(int)
    return "".join(_INK[k] for k in ink)


def _numbers(one):
    nan, *infinite = one.special.sum(axis=0).tolist()
    said = ["no number"]
    if one.total(*_BOTH):
        parts = {"min": 0, "1%": 0.01, "median": 0.5, "99%": 0.99, "max": 1}
        said = [f"{label} {one.quantile(part, *_BOTH):.4g}" for label, part in parts.items()]
    said += [f"{count:,} {what}" for count, what in ((nan, "NaN"), (sum(infinite), "infinite")) if count]
    return ", ".join(said)


def _show(found, picture, dataset, select):
    """Print what a sample says, and draw it into a file beside the mask, if it can be written there."""
    from parcorana.view import monitors, pictures

    title = f"{dataset.text}: the first {found.read:,} events with data"
    for line in lines_of(found, select):
        put(line)
    try:
        size = 9, 1 + 2 * min(len(found.distributions), monitors.MOST)
        with pictures.shown(picture, size=size, streams=False) as figure:
            monitors.draw_values(figure, found.distributions, title, select)
    except (OSError, ConfigError) as error:
        warn(f"the picture of the values is not drawn: {error}")
        return
    put(f"values: picture {picture}")


def show_first(args, run, mask, picture):
    """Say of a dataset what the values of its first events are; for ``parCorAnaMaskColorTool start``.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    run : parcorana.tools.maskcolor.runs.Run
    mask : bool array of the detector's shape
    picture : str
        Where it is drawn.
    """
    values = dict(args.value)
    if source := _opened(run, values):
        found = sample(source, names_of(values, run.dataset), mask, {}, args.numevents)
        _show(found, picture, run.dataset, {})


def _opened(by, values, numevents=0):
    """Return the source of the events; say that there is none to look at if they come once."""
    if by.dataset.is_live:
        put("values: not looked at, for the events of a live run come once")
        return None
    share = Share(block=_BLOCK, numevents=numevents)
    return open_described(by, share=share, log=lambda text: None, values=values)  # it has been said


def check_values_of(config):
    """Say of a config with `values` or `select` what the values of its first events are; for ``--check``."""
    if not config.values and not config.select:
        return
    most = min(config.numevents or _MOST, _MOST)
    if not (source := _opened(config, config.values, most)):
        return
    names = [name for name in config.names if name != MEAN]
    found = sample(source, names, config.mask, config.select, most, _PATIENCE, config.photons)
    mask = Path(config.system_params["mask"])
    print()
    _show(found, mask.with_name(f"{mask.stem}_values.png"), config.dataset, config.select)
