"""Bins of age that double their width, and frames of each level: what is summed of events in the order of time.

All sums are of products of earlier with later events. So a bin, or a frame, that is not complete yet needs no
patience: what comes later is multiplied with what is there, and added to it.
"""

import copy

import numpy as np

from parcorana.errors import ConfigError
from parcorana.twotime.gram import Extent, products

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
                _halve(np.moveaxis(array, axis, 0), odd, bins)

    def add(self, counters, data):
        """Add events.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
            Increasing, and beyond those there.
        data : (m, columns) array, C order
        """
        if not len(counters):
            return
        self.make_room(int(counters[0]), int(counters[-1]))
        bins, rows = _summed(counters // self.about[2] - self.about[0], data)
        self._add_bins(bins, rows, data, counters)
        self.events += np.bincount(counters // self.about[2] - self.about[0], minlength=self.ages)
        frames, rows = counters, data
        for level in range(len(self.rings)):
            if level:
                frames, rows = _summed(frames // 2, rows)
            if (self._level == level).any():
                for first in range(0, len(frames), _TOGETHER):
                    part = slice(first, first + _TOGETHER)
                    self._add_frames(level, frames[part], rows[part])

    def _add_bins(self, bins, rows, data, counters):
        self.sums[bins] += rows

    def _add_frames(self, level, frames, rows):
        kept = self.kept[level]
        before, ring = self.frames[level, :kept], self.rings[level]
        there, all_rows = np.concatenate([before, frames]), np.concatenate([ring[:kept], rows])
        which = np.flatnonzero(self._level == level)
        lags = self.delays[which] >> level
        apart = frames[:, None] - there[None, :]
        number = np.searchsorted(lags, apart)
        later, earlier = np.nonzero(np.append(lags, 0)[number] == apart)
        if len(later):
            found = self._frame_products(rows, all_rows)[:, later, earlier]
            # twice the middle of the two, that lies between pulses
            middle = ((frames[later] + there[earlier] + 1) << level) - 1
            age = middle // (2 * self.about[2]) - self.about[0]
            place = age * len(self.delays) + which[number[later, earlier]]
            for sums, values in zip(self.pairs, found, strict=True):
                sums += np.bincount(place, values, sums.size).reshape(sums.shape)
        if kept and before[-1] == frames[0]:
            all_rows[kept] += all_rows[kept - 1]
            there, all_rows = np.delete(there, kept - 1), np.delete(all_rows, kept - 1, axis=0)
        last = min(len(there), LAGS + 1)
        self.kept[level], self.frames[level, :last], ring[:last] = last, there[-last:], all_rows[-last:]


class Matrices(Ages):
    """The sums of a worker: of each element per bin, and of products of bins over the elements of each colour.

    Parameters
    ----------
    ages, delays, dtype, columns
        As of `Ages`; the columns are the elements.
    edges : (C + 1,) int
        Where the elements of each colour begin; those from the last number on are in no product.
    threads : int

    Attributes
    ----------
    edges : (C + 1,) int
    products : (C, ages, ages) float64
        Of later with earlier bins; on the diagonal all of a bin, with each event's own square.
    squares : (C, ages) float64
        Sums of these squares.
    """

    def __init__(self, ages, delays, dtype, columns, edges, threads):
        super().__init__(ages, delays, columns, len(edges) - 1, dtype)
        self.edges, self._threads, self._extent = edges, threads, Extent()
        self.products = np.zeros((len(edges) - 1, ages, ages))
        self.squares = np.zeros((len(edges) - 1, ages))

    def arrays(self):
        """Add those of the products."""
        return super().arrays() | {"products": self.products, "squares": self.squares}

    def clear(self):
        """Begin again, with another run."""
        super().clear()
        self._extent = Extent()

    def look(self):
        """Learn of sums that were filled in."""
        self._extent = Extent.of(self.sums)

    def _merged(self):
        yield from super()._merged()
        yield self.products, (1, 2)
        yield self.squares, (1,)

    def _halved(self, odd, bins):
        for matrix in self.products:
            matrix += np.tril(matrix, -1).T  # a product of the two halves of a bin counts twice in its square
        super()._halved(odd, bins)
        for matrix in self.products:
            matrix[...] = np.tril(matrix)
        self._extent = Extent(2 * self._extent.largest, self._extent.whole)

    def _add_bins(self, bins, rows, data, counters):
        edges, threads, extent = self.edges, self._threads, Extent.of(rows)
        new = products(rows, rows, edges, (extent, extent), threads)
        self.products[:, bins[:, None], bins] += np.tril(new)
        there = int(bins[0]) + 1
        if there > 1 or self.events[0]:
            old = products(rows, self.sums[:there], edges, (extent, self._extent), threads)
            # the bin in progress: (a + b)^2 has the product twice
            old[:, 0, there - 1] *= 2
            self.products[:, bins, :there] += old
        if self.about[2] == 1:
            squares = np.einsum("cii->ci", new)
        else:
            squares = _squares(data, edges)
            place = counters // self.about[2] - self.about[0]
            squares = np.stack([np.bincount(place, row, self.ages) for row in squares])[:, bins]
        self.squares[:, bins] += squares
        self.sums[bins] += rows
        self._extent = self._extent.joined(extent).joined(Extent.of(self.sums[bins[:1]]))

    def _frame_products(self, rows, all_rows):
        extents = Extent.of(np.ascontiguousarray(rows)), Extent.of(all_rows)
        return products(rows, all_rows, self.edges, extents, self._threads)

    def grown(self, counters):
        """Return a copy without elements, with room for the bins of events that are still to come."""
        other = self.part(0, 0)
        other.products, other.squares, other.pairs = (
            array.copy() for array in (self.products, self.squares, self.pairs)
        )
        if len(counters):
            other.make_room(int(counters[0]), int(counters[-1]))
        return other

    def part(self, begin, end):
        """Return a copy with some elements of one colour, whose products are those that are still to come."""
        other = copy.copy(self)
        other.about, other.events, other.kept, other.frames = (
            array.copy() for array in (self.about, self.events, self.kept, self.frames)
        )
        other.edges = np.array([0, end - begin])
        other.sums, other.rings = self.sums[:, begin:end].copy(), self.rings[..., begin:end].copy()
        other.products, other.pairs = np.zeros((1, *self.products.shape[1:])), np.zeros((1, *self.pairs.shape[1:]))
        other.squares = np.zeros((1, self.ages))
        return other


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
            self.add(counters[mine], np.concatenate([sums[mine], each, elements[mine]], axis=1).astype(np.float64))

    def _add_bins(self, bins, rows, data, counters):
        place = counters // self.about[2] - self.about[0]
        self.sums[bins] += rows
        for to, column in zip(self.squares, data.T, strict=False):
            to += np.bincount(place, column**2, self.ages)

    def _frame_products(self, rows, all_rows):
        colors = len(self.squares)
        return np.einsum("ic,jc->cij", rows[:, :colors], all_rows[:, colors : 2 * colors])


def _summed(index, rows):
    """Add up rows of the same index, which increases; return the indexes that there are, and the sums."""
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    return index[starts], (rows if len(starts) == len(rows) else np.add.reduceat(rows, starts, axis=0))


def _halve(array, odd, bins):
    """Add up neighbours along the first axis, in place: the first two, or the first one alone if `odd`."""
    for k in range((bins + odd + 1) // 2):
        pair = [j for j in (2 * k - odd, 2 * k - odd + 1) if 0 <= j < bins]
        array[k] = array[pair[0]] + array[pair[1]] if len(pair) == 2 else array[pair[0]]
    array[(bins + odd + 1) // 2 :] = 0


def _squares(data, edges):
    """Return the sums of squares over the elements of each colour, (C, m)."""
    found = np.empty((len(edges) - 1, len(data)))
    for row, begin, end in zip(found, edges[:-1], edges[1:], strict=True):
        row[:] = 0
        for first in range(begin, end, 4096):
            piece = data[:, first : min(first + 4096, end)].astype(np.float64)
            row += np.einsum("ij,ij->i", piece, piece)
    return found
