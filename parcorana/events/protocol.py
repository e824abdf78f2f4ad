"""The protocol of event sources: what servers know of events, wherever they come from."""

from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, Protocol

import numpy as np

from parcorana.events.segments import Segments


@dataclass(frozen=True)
class Share:
    """Which events of the sequence one server reads: docs/definitions.md, "The sequence".

    Event i is in block ``i // block``; block k is read by server
    ``k % servers``. So every number of servers gives the same sequence.

    Attributes
    ----------
    server, servers : int
        This server, and how many there are.
    block : int
        Events in a block, before filters.
    numevents : int
        Only the first so many events of the sequence; 0 for all.
    first : int
        The first block that is read: a run that is gone on with has used up
        those before it. Their events are counted, their data is not read.
    """

    server: int = 0
    servers: int = 1
    block: int = 512
    numevents: int = 0
    first: int = 0

    def blocks(self, total):
        """Yield ``(first, last)`` of each block of this server, of `total` events."""
        if self.numevents:
            total = min(total, self.numevents)
        step = self.block * self.servers
        for first in range(self.first_own * self.block, total, step):
            yield first, min(first + self.block, total)

    @property
    def first_own(self):
        """Number of the first block that this server reads."""
        return self.first + (self.server - self.first) % self.servers

    def has(self, index):
        """Tell whether event `index` of the sequence is to be read by this server."""
        if index < self.first * self.block or (self.numevents and index >= self.numevents):
            return False
        return index // self.block % self.servers == self.server

    def in_blocks(self, numbered):
        """Yield the blocks of ``(index, event)`` as they come, each an iterable of its events."""
        for _, block in groupby(numbered, key=lambda item: item[0] // self.block):
            yield map(itemgetter(1), block)


class Event:
    """One event of the sequence, before filters.

    Parameters
    ----------
    run, stamp, index, own_run
        As the attributes.
    read : callable
        Returns what `frame` does.
    evt : object, optional
        As the attribute.
    values : callable, optional
        Returns what the attribute is, a dict; called when it is asked for.

    Attributes
    ----------
    run : int
        Ordinal (0, 1, ...) of its run in the dataset: pairs never span runs.
    stamp : int
        int64: nanoseconds since the source's epoch, or pulses; see
        `EventSource.stamps`.
    index : int
        Its position in its run, from 0 on.
    own_run : object
        What the source's library has for the run, psana's run; None elsewhere.
    evt : object
        What `eventOk` and `finalDataArray` of the user class receive: psana's
        own event with psana, this object elsewhere.
    """

    __slots__ = ("_make", "_read", "_values", "evt", "index", "own_run", "run", "stamp")

    def __init__(self, run, stamp, read, evt=None, *, index=0, values=dict, own_run=None):
        self.run, self.stamp, self.index, self.own_run = run, stamp, index, own_run
        self._read, self._make, self._values = read, values, None
        self.evt = self if evt is None else evt

    @property
    def values(self):
        """Dict of str to float: its numbers, by the names of the config's `values`; NaN where it has none."""
        if self._values is None:
            self._values = self._make()
        return self._values

    def data(self):
        """Return the detector's ndarray, None where the event has none.

        The array may be read-only and may be overwritten by the next event.

        Raises
        ------
        EventError, OSError
            This event cannot be read: it counts as bad, and the run goes on.
        RunError
            The source has failed: the run stops well.
        """
        frame = self._read()
        return frame.together() if isinstance(frame, Segments) else frame

    def frame(self):
        """Return the same without a copy: as `Segments` where these lie apart in the source's memory."""
        return self._read()


class Lost(Event):
    """An event that is known to have been, but of which nothing can be read: it counts as `no_data`."""

    def __init__(self):
        super().__init__(0, 0, lambda: None)
        self.evt = None


class FrameBlock:
    """A block whose frames can be read many at once; iterated over, it gives its events like any other.

    Attributes
    ----------
    runs : (m,) int64
        Ordinal of each event's run in the dataset.
    stamps : (m,) int64
    indexes : (m,) int64
        Position of each event in its run.
    values : dict of str to (m,) float64
    pieces : callable
        Takes which of the events, (m,) bool, are wanted, None for all. Returns
        an iterator over pairs: the position in the block from which on, and an
        array of frames of one run, (k, *shape), or the exception that one frame
        cannot be read for, or the number of frames without data. The array may
        be overwritten by the next piece. Events that are not wanted are left
        out where that saves reading.
    """

    def __init__(self, runs, stamps, indexes, values, read, pieces):
        self.runs, self.stamps, self.indexes, self.values = runs, stamps, indexes, values
        self.pieces, self._read = pieces, read

    def __len__(self):
        return len(self.stamps)

    def __iter__(self):
        each = zip(self.runs.tolist(), self.stamps.tolist(), self.indexes.tolist(), strict=True)
        for k, (run, stamp, index) in enumerate(each):
            yield Event(run, stamp, partial(self._read, k), index=index, values=partial(self._values_of, k))

    def _values_of(self, k):
        return {name: float(column[k]) for name, column in self.values.items()}


class EventSource(Protocol):
    """A run, or several, of one detector, as one server sees it.

    Attributes
    ----------
    stamps : {'ns', 'pulses'}
        What the events' stamps count. Pulses are used as they are; for
        nanoseconds `rate` tells the pulses.
    total : int or None
        Events of the whole sequence, over all servers, `numevents` applied;
        None where it cannot be known beforehand.
    passed : int
        Events of the whole sequence that a source without `total` has gone
        through, its own or not.
    shape : tuple of int or None
        Shape of the detector's ndarray; None where it cannot be known (no
        event of this server has data).
    dtype : numpy.dtype or None
        Its dtype.
    unmapped : (shape) bool or None
        Elements that not all frames of a file have data for, so that the mask must
        leave them out; None, or no such attribute, if there are none.
    live : bool
        Whether events come as time goes by (`events`), or are all there
        (`blocks`). A source without this attribute is not live.
    about : str or None
        A line for the log: where the times are from, what was chosen. Optional.
    typical_step : float or None [s]
        From one event to the next, for the same line. Optional.
    reading_bytes : int
        Bytes that it takes at the most while it reads, beside what it has once it is open. Optional.
    own_run : object
        As `Event.own_run`, of the first run; None, or no such attribute, where
        there is none, or none yet.
    """

    stamps: Literal["ns", "pulses"]
    total: int | None
    shape: tuple | None
    dtype: Any
    live: bool = False

    def blocks(self):
        """Yield this server's blocks, in order, each an iterable of `Event`.

        Each block is consumed before the next one is asked for; all but the
        last of the sequence hold exactly `Share.block` events. A block may be a
        `FrameBlock`: a server whose user class looks at no single event then
        takes it piece by piece.
        """

    def events(self):
        """Yield this server's events of a live run as they come; None whenever there is none now.

        Which events are this server's, of ``Share.server`` and
        ``Share.servers``, is up to the source: its streams, every so many-th
        event. All servers together have each event once. Blocks and
        `numevents` are the server's business: it closes the generator when
        there have been enough, and looks at nothing else of the share.

        The generator must not block: with None the server can send what has
        waited for `latency`, answer other servers, and see that the run is
        stopped. It asks again within 2 ms, and then takes all that there is
        without a pause, up to the next None. A library that blocks
        needs a time limit of some 10 ms, or a thread and a queue of few events
        (whose arrays then have to be kept). The generator ends with the run.
        """

    def pulses_apart(self, rate):
        """Return the pulses from each event to the next at a rate [Hz], if all are known to be equally far apart.

        Else None. A source without this method does not know.
        """

    def files(self):
        """Return the names of the files that are read, so that no result takes the place of one.

        A source without this method does not know.
        """

    def close(self):
        """Free files and connections."""


def even_step(counters):
    """Return how far apart events are if all are equally far; else, or for less than two, None.

    Parameters
    ----------
    counters : (m,) int64 [pulses]
        In the order of the sequence.
    """
    steps = np.diff(counters)
    return int(steps[0]) if len(steps) and steps[0] > 0 and (steps == steps[0]).all() else None
