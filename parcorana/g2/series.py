"""Numbers of events, and their g2: by which `frame_norm` divides delay curves, and from which their errors come.

Workers keep the numbers of the events that enter, `Series`, and share them with the viewer now and then. The viewer
correlates them, `SeriesG2`: over the same pairs as the elements, for it does with them what a worker does with those.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana import _core, kernels
from parcorana.calculation.arrays import Array, Common, Summed
from parcorana.correlation.lines import plan_accumulated, plan_stored
from parcorana.correlation.rolling import RollingBuffer
from parcorana.g2.parameters import COLOR
from parcorana.g2.scatter import Marks, stretches_stored

_SHARED = 1 << 17  # numbers that a worker has before it shares them: they are a megabyte
_EVENTS = 1 << 14  # after which it shares few numbers
_AT_ONCE = 1024  # events that enter the viewer's buffer at once


def events_shared(series: int) -> int:
    """Return after how many events a worker shares so many numbers of each."""
    return max(1, min(_EVENTS, _SHARED // max(series, 1)))


class Series:
    """The numbers of each event on a worker, until they are shared.

    Parameters
    ----------
    name : str or None
        Value of the events, or `COLOR`: then there are those of each colour, else of all coloured elements together.
    color : (n,) int64
        Of the worker's elements.
    colors : (C,) int64, increasing
    saturates : bool
        Whether elements leave a colour's mean on the way.
    """

    def __init__(self, name: str | None, color: NDArray[np.int64], colors: NDArray[np.int64], saturates: bool) -> None:
        self.name = name
        #: Whether elements leave the means on the way, so that it matters at which event.
        self.follows = saturates
        self._index = kernels.color_index(color, colors)
        self._colors = len(colors) if name == COLOR else 1
        if name != COLOR:
            self._index = np.minimum(self._index, 0)
        #: (1,) int64: number of the run in progress.
        self.run = np.zeros(1, np.int64)
        self._parts: list[dict[str, NDArray[Any]]] = []
        self._new: list[tuple[int, NDArray[Any]]] = []

    def saturate(self, k: int, elements: NDArray[Any]) -> None:
        """Say which elements are saturated from event `k` of the block on that is going to enter."""
        self._new.append((k, elements))

    def add(self, block: Any, sums: NDArray[np.float64], threads: int) -> None:
        """Take up the events of a block.

        Parameters
        ----------
        block : parcorana.calculation.block.Block
        sums : (m, C) float64
            Over the elements of each colour, saturated or not.
        threads : int
        """
        part = {"counters": block.counters.copy(), "run": np.repeat(self.run, len(block.counters))}
        if self.follows:
            part["numbers"], part["elements"] = self._unsaturated(block.data, threads)
        else:
            part["numbers"] = sums.copy() if self.name == COLOR else sums.sum(axis=1, keepdims=True)
        if self.name not in (None, COLOR):
            part["value"] = block.values[self.name][:, None].copy()
        self._parts.append(part)

    def _unsaturated(self, data, threads):
        """Return sums and numbers of those elements that are not saturated at each event, (m, C)."""
        sums, elements = np.zeros((len(data), self._colors)), np.zeros((len(data), self._colors), np.int64)
        at = 0
        for end, leaving in [*self._new, (len(data), [])]:
            if end > at:
                sums[at:end] = kernels.sum_indexed(data[at:end], self._index, self._colors, threads)
                elements[at:end] = np.bincount(self._index[self._index >= 0], minlength=self._colors)
            self._index[leaving], at = -1, end
        self._new = []
        return sums, elements

    def end_run(self) -> None:
        """Note that what follows makes no pair with what came before."""
        self.run += 1

    def share(self) -> dict[str, Array]:
        """Return what there is, and forget it: nothing of a class that keeps its events to itself."""
        parts, self._parts = self._parts, []
        if not parts:
            return {}
        kind = {"numbers": Summed, "elements": Summed}
        return {name: kind.get(name, Common)(np.concatenate([part[name] for part in parts])) for name in parts[0]}


class SeriesG2:
    """G2 of several numbers of each event, over the pairs of one of the G2 classes.

    Parameters
    ----------
    delays : (D,) int64 [pulses]
    times : int
        Events in the rolling buffer.
    series : int
        S, numbers of each event.
    forgets : bool
        Whether only pairs count that are stored.
    marked : bool
        Whether there are sums of stretches of the run, too.
    """

    #: Of the buffer's memory.
    order = "F"

    def __init__(self, delays: NDArray[np.int64], times: int, series: int, forgets: bool, marked: bool = False) -> None:
        self._delays, self._forgets = delays, forgets
        self._buffer = RollingBuffer(times, series, _AT_ONCE, np.float64, self.order)
        self._sums = np.zeros((3, series, len(delays)))
        self._counts = np.zeros(len(delays), np.int64)
        self._run = self._entered = 0
        self._marks = Marks(series, len(delays)) if marked and not forgets else None
        # counters, runs and numbers of events that have not entered yet
        self._waiting: list[NDArray[Any]] = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, series))]

    def add(self, counters: NDArray[np.int64], run: NDArray[np.int64], numbers: NDArray[np.float64]) -> None:
        """Take events, in the order in which they were processed.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        run : (m,) int64
            Number of its run: pairs never span two.
        numbers : (m, S) float64
        """
        new = counters, run, numbers
        self._waiting = [np.concatenate(pair) for pair in zip(self._waiting, new, strict=True)]
        while len(self._waiting[0]) >= (room := self._room()):
            self._let_in(room)

    def _room(self):
        room = _AT_ONCE - self._entered % _AT_ONCE
        return room if self._marks is None else min(room, self._marks.room(self._entered))

    def _let_in(self, count):
        """Let the first events of those that wait enter.

        Where sums are cut must not depend on what was shared when, or a run that goes on had other last bits: it is
        at every so many events, at the ends of stretches, at updates, and between runs.
        """
        counters, run, numbers = (array[:count] for array in self._waiting)
        self._waiting = [array[count:] for array in self._waiting]
        for part in np.split(np.arange(count), np.flatnonzero(np.diff(run)) + 1) if count else ():
            if run[part[0]] != self._run:
                self._end_run()
                self._run = int(run[part[0]])
            self._enter(counters[part], numbers[part])
        self._entered += count
        if self._marks is not None:
            self._marks.note(self._entered, *self._settled())

    def _settled(self):
        return self._sums, self._counts

    def _end_run(self):
        self._buffer.clear()

    def _enter(self, counters, numbers):
        buffer = self._buffer
        entry = buffer.offer(counters, len(counters))
        if self._forgets:
            buffer.store(entry, numbers)
            return
        plan = plan_accumulated(entry.union, entry.processed, self._delays, deferred=False)
        _core.correlate(plan, buffer.X, numbers, *self._sums, np.zeros(numbers.shape[1]))
        self._counts += plan.counts
        buffer.place(entry)

    def sums(self, waiting: bool = True) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return G2, IP and IF, (3, S, D) float64, and the counts of pairs, (D,) int64.

        Parameters
        ----------
        waiting : bool
            Of multi-tau: with the events that are still in the buffer, which put in order those that come.
        """
        self._let_in(len(self._waiting[0]))
        if not self._forgets:
            return self._sums, self._counts
        buffer, sums = self._buffer, np.zeros_like(self._sums)
        plan = plan_stored(buffer.T, buffer.filled, self._delays, exact=True)
        _core.correlate(plan, buffer.X, None, *sums)
        return sums, plan.counts

    def stretches(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the sums of each stretch of the run, (K, 3, S, D) float64, and its pairs, (K, D) int64."""
        sums, counts = self.sums()
        if self._marks is not None:
            return self._marks.stretches(sums, counts)
        buffer = self._buffer
        return stretches_stored(buffer.T[: buffer.filled], buffer.X[: buffer.filled], self._delays)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps."""
        marks = {} if self._marks is None else self._marks.state()
        kept = {"about": np.array([self._buffer.filled, self._run, self._entered]), "counts": self._counts}
        kept |= {"T": self._buffer.T, "X": self._buffer.X, "sums": self._sums}
        kept |= marks
        return kept | {f"waiting {k}": array for k, array in enumerate(self._waiting)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` has returned."""
        self._buffer.T[...], self._buffer.X[...] = state["T"], state["X"]
        self._sums[...], self._counts[...] = state["sums"], state["counts"]
        self._waiting = [state[f"waiting {k}"] for k in range(len(self._waiting))]
        if self._marks is not None:
            self._marks.restore(state)
        filled, self._run, self._entered = map(int, state["about"])
        self._buffer.restore(filled)
