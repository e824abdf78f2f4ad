"""Bins of age that double their width, and frames of each level: what is summed of events in the order of time.

All sums are of products of earlier with later events. So a bin, or a frame, that is not complete yet needs no
patience: what comes later is multiplied with what is there, and added to it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError

#: Delays of each level in its own frames: beyond them the next one begins.
LAGS = 16
_TOGETHER = 32  # frames that are multiplied with those before them at once


def levels_of(delays):
    """Return the level of each delay: the lowest one, of frames of 2^level pulses, that has it among its `LAGS`.

    Parameters
    ----------
    delays : sequence of int [pulses]

    Raises
    ------
    ConfigError
        A delay is no multiple of the pulses of a frame.
    """
    levels = []
    for delay in map(int, delays):
        if delay < 1:
            raise ConfigError("system_params['delays']: TwoTime has no delay 0, for an event makes no pair with itself")
        level = max(0, (-(-delay // LAGS) - 1).bit_length())
        step = 1 << level
        if delay % step:
            low = delay // step * step
            raise ConfigError(
                f"system_params['delays']: TwoTime correlates frames of {step} pulses above {LAGS * step // 2}"
                f", and {delay} is no multiple of that: take {low} or {low + step}"
            )
        levels.append(level)
    return np.array(levels, np.int64)


class Ages:
    """Sums of events in bins of age, and of pairs of each delay.

    Parameters
    ----------
    ages : int
        The most bins.
    delays : (D,) int64 [pulses]
    columns, colors : int
        Of what is summed; of the pairs' sums.
    dtype : numpy dtype

    Attributes
    ----------
    about : (3,) int64
        First bin, bins, pulses per bin. Bin b begins at the counter b * width.
    sums : (ages, columns)
        Over the events of each bin.
    pairs : (colors, ages, D) float64
        Of products of frames so far apart, in the bin of the middle of the two.
    rings : (levels, LAGS + 1, columns)
        The last frames of each level.
    frames : (levels, LAGS + 1) int64
        Which these are, in order of time; the first `kept` of each level.
    """

    def __init__(self, ages, delays, columns, colors, dtype):
        self.ages, self.delays = ages, np.asarray(delays, np.int64)
        self._level = levels_of(delays)
        levels = int(self._level.max(initial=-1)) + 1
        self.about = np.array([0, 0, 1], np.int64)
        self.events = np.zeros(ages, np.int64)
        self.sums = np.zeros((ages, columns), dtype)
        self.pairs = np.zeros((colors, ages, len(self.delays)))
        self.rings = np.zeros((levels, LAGS + 1, columns), dtype)
        self.frames, self.kept = np.zeros((levels, LAGS + 1), np.int64), np.zeros(levels, np.int64)

    def arrays(self):
        """Return all arrays by name; the last axis of `sums` and `rings` is the columns."""
        names = ("about", "events", "sums", "pairs", "rings", "frames", "kept")
        return {name: getattr(self, name) for name in names}

    def clear(self):
        """Begin again, with another run."""
        for array in self.arrays().values():
            array[...] = 0
        self.about[2] = 1

    def _merged(self):
        """Yield what is merged with the bins, with the axes that are bins."""
        yield self.events, (0,)
        yield self.sums, (0,)
        yield self.pairs, (1,)

    def make_room(self, first, last):
        """Let bins reach from those there to the counters `first` to `last`; double their width until they fit."""
        begin, bins, width = self.about.tolist()
        if not bins:
            begin, bins = first // width, 1
        while last // width - begin >= self.ages:
            self._halved(begin % 2, bins)
            bins = (begin + bins - 1) // 2 - begin // 2 + 1
            begin, width = begin // 2, 2 * width
        self.about[:] = begin, max(bins, last // width - begin + 1), width

    def _halved(self, odd, bins):
        for array, axes in self._merged():
            for axis in axes:
                halve(np.moveaxis(array, axis, 0), odd, bins)

    def _begin(self, counters):
        """Make room for events; return what all of them have in common, whatever their columns."""
        self.make_room(int(counters[0]), int(counters[-1]))
        begin, _, width = self.about.tolist()
        place = counters // width - begin
        starts = _starts(place)
        addition = Addition(place, starts, place if starts is None else place[starts])
        frames = counters
        for level in range(len(self.rings)):
            starts = None
            if level:
                frames = frames // 2
                starts = _starts(frames)
                frames = frames if starts is None else frames[starts]
            addition.steps.append(self._step(level, starts, frames))
        return addition

    def _step(self, level, starts, frames):
        kept = int(self.kept[level])
        before = self.frames[level, :kept]
        step = Step(level, starts, kept, bool(kept and before[-1] == frames[0]), frames)
        which = np.flatnonzero(self._level == level)
        step.used = bool(len(which))
        step.of_bins = level == 0 and bool(self.about[2] == 1)
        lags, there = self.delays[which] >> level, np.concatenate([before, frames])
        for first in range(0, len(frames) if step.used else 0, _TOGETHER):
            mine = frames[first : first + _TOGETHER]
            # of the frame in progress there are two parts
            window = slice(max(kept + first - LAGS - 1, 0), kept + first + len(mine))
            apart = mine[:, None] - there[window]
            number = np.searchsorted(lags, apart)
            later, earlier = np.nonzero(np.append(lags, 0)[number] == apart)
            if not len(later):
                continue
            # twice the middle of the two, that lies between pulses
            middle = ((mine[later] + there[window][earlier] + 1) << level) - 1
            age = middle // (2 * self.about[2]) - self.about[0]
            place = age * len(self.delays) + which[number[later, earlier]]
            if step.of_bins:
                later, earlier = mine[later] - self.about[0], there[window][earlier] - self.about[0]
            step.chunks.append(Chunk(slice(first, first + len(mine)), window, later, earlier, place))
        return step

    def _frame_pairs(self, addition, data, rings):
        """Return the products of all pairs of frames, one behind the other; `rings` get the last frames."""
        found, rows = [], data
        for step in addition.steps:
            rows = summed(step.starts, rows)
            if step.used:
                ring = rings[step.level]
                if step.chunks and not step.of_bins:
                    there = np.concatenate([ring[: step.kept], rows])
                    found += self._products(step.chunks, rows, there)
                step.keep(ring, rows)
        return np.concatenate(found, axis=-1) if found else 0.0

    def _end(self, addition, pairs):
        """Add the products of pairs of frames, and note which events there are."""
        chunks = [(step.of_bins, chunk) for step in addition.steps for chunk in step.chunks]
        found = [self._bin_products(chunk.later, chunk.earlier) for of_bins, chunk in chunks if of_bins]
        if any(not of_bins for of_bins, _ in chunks):
            found.append(pairs)
        if found:
            place = np.concatenate([chunk.place for _, chunk in chunks])
            for sums, values in zip(self.pairs, np.concatenate(found, axis=-1), strict=True):
                sums += np.bincount(place, values, sums.size).reshape(sums.shape)
        self.events += np.bincount(addition.place, minlength=self.ages)
        for step in addition.steps:
            if step.used:
                self.kept[step.level] = step.keep(self.frames[step.level], step.frames, adds=False)


@dataclass
class Chunk:
    """Pairs of some frames with those before them.

    Attributes
    ----------
    rows, window : slice
        These frames among those of an addition; and those before, among the kept ones and those of the addition.
    later, earlier : (P,) int
        Pairs, from the beginning of each; if they are `of_bins` the bins.
    place : (P,) int
        Where in the bins of age and the delays each one is added.
    """

    rows: slice
    window: slice
    later: NDArray[Any]
    earlier: NDArray[Any]
    place: NDArray[Any]


@dataclass
class Step:
    """What an addition does to one level.

    Attributes
    ----------
    level : int
    starts : (k,) int or None
        Where its frames begin among those of the level below; None: these are the same.
    kept : int
        Frames from before.
    merged : bool
        The last of them goes on in the first one of this addition.
    frames : (k,) int64
    used : bool
        A delay is of this level.
    of_bins : bool
        The frames are the bins.
    chunks : list of Chunk
    """

    level: int
    starts: Any
    kept: int
    merged: bool
    frames: NDArray[np.int64]
    used: bool = False
    of_bins: bool = False
    chunks: list[Chunk] = field(default_factory=list)

    def keep(self, ring, rows, adds=True):
        """Put the last of the frames into `ring`, and return how many these are."""
        old = ring[: self.kept - self.merged]
        last = min(len(old) + len(rows), LAGS + 1)
        new = min(len(rows), last)
        tail = np.concatenate([old[len(old) - (last - new) :], rows[len(rows) - new :]])
        if adds and self.merged and new == len(rows):
            tail[last - new] += ring[self.kept - 1]
        ring[:last] = tail
        return last


@dataclass
class Addition:
    """Some events that are added, whatever their columns.

    Attributes
    ----------
    place : (m,) int
        The bin of each event.
    starts : (b,) int or None
        Where the events of another bin begin; None: each is in a bin of its own.
    bins : (b,) int
        Increasing.
    steps : list of Step
        Of all levels.
    """

    place: NDArray[Any]
    starts: Any
    bins: NDArray[Any]
    steps: list[Step] = field(default_factory=list)

    @property
    def pairs(self):
        """How many products of frames `_frame_pairs` returns."""
        return sum(len(chunk.place) for step in self.steps if not step.of_bins for chunk in step.chunks)


class Series(Ages):
    """The sums of the viewer: of each colour's intensity, by which products are divided.

    Attributes
    ----------
    sums : (ages, 3 C) float64
        Of the sums over each colour, of the same for each element, of the numbers of elements.
    squares : (C, ages) float64
        Of the squares of each event's sum.
    run : int
    """

    def __init__(self, ages, delays, colors):
        super().__init__(ages, delays, 3 * colors, colors, np.float64)
        self.squares = np.zeros((colors, ages))
        self.run = np.zeros(1, np.int64)

    def arrays(self):
        """Add the squares."""
        return super().arrays() | {"squares": self.squares, "run": self.run}

    def _merged(self):
        yield from super()._merged()
        yield self.squares, (1,)

    def take(self, run, counters, sums, elements):
        """Take events of a run: the sum of each colour, and the elements that made it, (m, C)."""
        for number in np.unique(run):
            mine = run == number
            if number != self.run[0]:
                self.clear()
                self.run[0] = number
            each = sums[mine] / np.maximum(elements[mine], 1)
            self._add(counters[mine], np.concatenate([sums[mine], each, elements[mine]], axis=1).astype(np.float64))

    def _add(self, counters, data):
        addition = self._begin(counters)
        self.sums[addition.bins] += summed(addition.starts, data)
        for to, column in zip(self.squares, data.T, strict=False):
            to += np.bincount(addition.place, column**2, self.ages)
        self._end(addition, self._frame_pairs(addition, data, self.rings))

    def _bin_products(self, later, earlier):
        colors = len(self.squares)
        return (self.sums[later, :colors] * self.sums[earlier, colors : 2 * colors]).T

    def _products(self, chunks, rows, there):
        colors = len(self.squares)
        return [
            (rows[chunk.rows, :colors][chunk.later] * there[chunk.window, colors : 2 * colors][chunk.earlier]).T
            for chunk in chunks
        ]


def _starts(index):
    """Return where another index begins, of indexes that increase; None where each one is another."""
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    return None if len(starts) == len(index) else starts


def summed(starts, rows):
    """Add up the rows from one start to the next; None: each row is one of its own."""
    if starts is None:
        return rows
    # row by row: `np.add.reduceat` takes several times as long along the first axis
    sums, many = rows[starts], np.diff(starts, append=len(rows))
    for k in range(1, int(many.max())):
        longer = np.flatnonzero(many > k)
        if len(longer) == len(starts):
            sums += rows[starts + k]
        else:
            sums[longer] += rows[starts[longer] + k]
    return sums


def halve(array, odd, bins):
    """Add up neighbours along the first axis, in place: the first two, or the first one alone if `odd`."""
    for k in range((bins + odd + 1) // 2):
        pair = [j for j in (2 * k - odd, 2 * k - odd + 1) if 0 <= j < bins]
        array[k] = array[pair[0]] + array[pair[1]] if len(pair) == 2 else array[pair[0]]
    array[(bins + odd + 1) // 2 :] = 0
