"""The average of some events of any dataset, and their shape."""

import time
from itertools import chain, islice

from parcorana.detector.masks import shown_shape
from parcorana.detector.statistics import Statistics
from parcorana.errors import ConfigError, EventError, RunError, put, warn
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_described, open_source
from parcorana.events.protocol import Share

_BLOCK = 32  # events that are read ahead
_FEW = 10  # events that show where gaps are
_PAUSE = 0.002  # s between two looks at a live run


def average(run, numevents, values=None):
    """Read events; say how many there were.

    Parameters
    ----------
    run : parcorana.tools.maskcolor.runs.Run
    numevents : int
    values : dict of str to str, optional
        Names of numbers of the events, and where they are: they must be there.

    Returns
    -------
    statistics : Statistics
        Of the first `numevents` events that have data, or of as many as there are.
    geometry : parcorana.detector.geometry.Geometry or None
        What the source knows of it.
    unmapped : bool array or None
        Elements that no frame has data for.

    Raises
    ------
    ConfigError
        The dataset cannot be opened, or no event has data.
    RunError
        The source fails before any event has been read.
    """
    source = open_described(run, share=Share(block=_BLOCK), values=values)
    statistics, without, bad = Statistics(), 0, 0
    try:
        for frame in _frames(source):
            if frame is None:
                without += 1
            elif isinstance(frame, str) or (statistics.events and frame.shape != statistics.shape):
                bad += 1
            else:
                statistics.add(frame)
                if statistics.events == numevents:
                    break
        place = getattr(source, "geometry", None)
        known = place() if statistics.events and place is not None else None
    except RunError as error:
        if not statistics.events:
            raise
        warn(f"{error}; what came before is used")
        known = None
    finally:
        source.close()
    if not statistics.events:
        raise ConfigError(f"-d {run.dataset.text!r}: of {without + bad} events none has data that can be read")
    seen, total = statistics.events + without + bad, source.total
    more = f"; {total - seen:,} more events of the dataset are not looked at (-n)" if total and seen < total else ""
    put(f"average: {statistics.events} events of {shown_shape(statistics.shape)} elements{more}")
    if without or bad:
        warn(
            f"of the first {seen:,} events {without:,} had no data, {bad:,} were bad: they are not in the average",
        )
    return statistics, known, getattr(source, "unmapped", None)


def _frames(source):
    """Yield the ndarray of each event, None without one, a str if it cannot be read."""
    for event in _live(source) if getattr(source, "live", False) else chain.from_iterable(source.blocks()):
        try:
            frame = event.data()
        except (EventError, OSError) as error:
            frame = str(error)
        yield frame


def _live(source):
    for event in source.events():
        if event is None:  # none now
            time.sleep(_PAUSE)
        else:
            yield event


def first_events(args):
    """Return the shape of the ndarrays of ``args.dataset``, and statistics of its first few events.

    Of data that come as time goes by no events are taken: they would be lost
    for a run.

    Raises
    ------
    ConfigError
        The first events tell no shape.
    """
    dataset = parse_dataset(args.dataset)
    source, statistics = open_source(dataset, src=args.src, type_=args.type, share=Share(block=_BLOCK)), Statistics()
    try:
        if source.shape is None:
            raise ConfigError(f"-d {args.dataset!r}: the first {_BLOCK} events have no data that would tell the shape")
        for frame in islice(_frames(source), 0 if dataset.is_live else _FEW):
            if frame is not None and not isinstance(frame, str) and frame.shape == source.shape:
                statistics.add(frame)
        return source.shape, statistics
    except RunError as error:
        warn(f"{error}")
        return source.shape, statistics
    finally:
        source.close()
