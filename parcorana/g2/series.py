"""`frame_norm`: the numbers of events, and their g2, by which delay curves are divided; docs/definitions.md.

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

_SHARED = 1 << 17  # numbers that a worker has before it shares them: they are a megabyte
_AT_ONCE = 1024  # events that enter the viewer's buffer at once


def events_shared(series: int) -> int:
    """Return after how many events a worker shares so many numbers of each."""
    return max(1, _SHARED // max(series, 1))


class Series:
    """The numbers of each event on a worker, until they are shared.

    Parameters
    ----------
    name : str
        Value of the events, or `COLOR`.
    color : (n,) int64
        Of the worker's elements.
    colors : (C,) int64, increasing
    saturates : bool
        Whether elements leave a colour's mean on the way.
    """

    def __init__(self, name: str, color: NDArray[np.int64], colors: NDArray[np.int64], saturates: bool) -> None:
        self.name, self._colors = name, len(colors)
        #: Whether it matters at which event an element saturates.
        self.follows = name == COLOR and saturates
        self._index = kernels.color_index(color, colors)
        #: (1,) int64: number of the run in progress.
        self.run = np.zeros(1, np.int64)
        self._parts: list[tuple[NDArray[Any], ...]] = []
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
        counters = block.counters.copy()
        run = np.repeat(self.run, len(counters))
        if self.name != COLOR:
            self._parts.append((counters, run, block.values[self.name][:, None].copy()))
        elif self.follows:
            self._parts.append((counters, run, *self._unsaturated(block.data, threads)))
        else:
            self._parts.append((counters, run, sums.copy()))

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
        """Return what there is, and forget it."""
        parts, self._parts = self._parts, []
        counters, run, numbers, *elements = (np.concatenate(column) for column in zip(*parts, strict=True))
        shared: dict[str, Array] = {"counters": Common(counters), "run": Common(run)}
        shared["numbers"] = (Summed if self.name == COLOR else Common)(numbers)
        return shared | dict(zip(["elements"], map(Summed, elements), strict=False))


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
    """

    #: Of the buffer's memory.
    order = "F"

    def __init__(self, delays: NDArray[np.int64], times: int, series: int, forgets: bool) -> None:
        self._delays, self._forgets = delays, forgets
        self._buffer = RollingBuffer(times, series, _AT_ONCE, np.float64, self.order)
        self._sums = np.zeros((3, series, len(delays)))
        self._counts = np.zeros(len(delays), np.int64)
        self._run = self._entered = 0
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
        while len(self._waiting[0]) >= (room := _AT_ONCE - self._entered % _AT_ONCE):
            self._let_in(room)

    def _let_in(self, count):
        """Let the first events of those that wait enter.

        Where sums are cut must not depend on what was shared when, or a run that goes on had other last bits: it is
        at every so many events, at updates, and between runs.
        """
        counters, run, numbers = (array[:count] for array in self._waiting)
        self._waiting = [array[count:] for array in self._waiting]
        for part in np.split(np.arange(count), np.flatnonzero(np.diff(run)) + 1) if count else ():
            if run[part[0]] != self._run:
                self._end_run()
                self._run = int(run[part[0]])
            self._enter(counters[part], numbers[part])
        self._entered += count

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

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return G2, IP and IF, (3, S, D) float64, and the counts of pairs, (D,) int64."""
        self._let_in(len(self._waiting[0]))
        if not self._forgets:
            return self._sums, self._counts
        buffer, sums = self._buffer, np.zeros_like(self._sums)
        plan = plan_stored(buffer.T, buffer.filled, self._delays, exact=True)
        _core.correlate(plan, buffer.X, None, *sums)
        return sums, plan.counts

    def settled(self) -> NDArray[np.float64]:
        """Return G2, IP and IF, (3, S, D) float64, of pairs that the elements have without looking ahead."""
        return self.sums()[0]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps."""
        kept = {"about": np.array([self._buffer.filled, self._run, self._entered]), "counts": self._counts}
        kept |= {"T": self._buffer.T, "X": self._buffer.X, "sums": self._sums}
        return kept | {f"waiting {k}": array for k, array in enumerate(self._waiting)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` has returned."""
        self._buffer.T[...], self._buffer.X[...] = state["T"], state["X"]
        self._sums[...], self._counts[...] = state["sums"], state["counts"]
        self._waiting = [state[f"waiting {k}"] for k in range(len(self._waiting))]
        filled, self._run, self._entered = map(int, state["about"])
        self._buffer.restore(filled)
