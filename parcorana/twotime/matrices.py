"""What a worker sums of its elements: bins of age, and the products of bins and frames for each colour."""

import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parcorana.twotime.ages import LAGS, Ages, halve, summed
from parcorana.twotime.gram import WIDE, Extent, in_order, product

PIECE = 1 << 12  # elements that are multiplied at once: of a few hundred events they stay in the caches


class Found(NamedTuple):
    """What a piece of the elements adds: sums and squares of events, products of new bins, with old ones, of frames."""

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    new: NDArray[Any]
    old: Any
    pairs: Any


class Matrices(Ages):
    """The sums of a worker: of each element per bin, and of products of bins over the elements of each colour.

    Parameters
    ----------
    ages, delays, dtype, columns
        As of `Ages`; the columns are the elements.
    edges : (C + 1,) int
        Where the elements of each colour begin; those from the last number on are not summed.
    threads : int

    Attributes
    ----------
    products : (C, ages, ages) float64
        Of later with earlier bins; on the diagonal all of a bin, with each event's own square.
    squares : (C, ages) float64
        Sums of these squares.
    """

    def __init__(self, ages, delays, dtype, columns, edges, threads):
        super().__init__(ages, delays, columns, len(edges) - 1, dtype)
        self._threads = threads
        #: Of each piece the colour, the first element and the one after the last.
        self._pieces = [
            (color, first, min(first + PIECE, end))
            for color, (begin, end) in enumerate(pairwise(map(int, edges)))
            for first in range(begin, end, PIECE)
        ]
        self._extents = [Extent() for _ in self._pieces]
        self.products = np.zeros((len(edges) - 1, ages, ages))
        self.squares = np.zeros((len(edges) - 1, ages))
        #: Of a copy that leaves the sums of elements alone: how their bins would have been merged.
        self._merges = None

    def arrays(self):
        """Add those of the products."""
        return super().arrays() | {"products": self.products, "squares": self.squares}

    def clear(self):
        """Begin again, with another run."""
        super().clear()
        self._extents = [Extent() for _ in self._pieces]

    @property
    def rounds(self):
        """Whether sums of whole numbers in a bin may be too large to be exact."""
        return self.sums.dtype == np.float32 and any(each.whole and each.largest > 1 << 24 for each in self._extents)

    @property
    def product_bytes(self):
        """The bytes of all matrices of products, which a copy `aside` has once more."""
        return self.products.nbytes + self.pairs.nbytes + self.squares.nbytes

    def scratch_bytes(self, elements, events, threads):
        """Return the bytes at most that `add` takes for so many events of so many elements, beside the results."""
        width, item, ages = min(PIECE, elements), self.sums.itemsize, self.ages
        # the events, or sums of them, with the frames kept; what is asked of their extent; bins aside
        rows = width * item * (4 * (events + LAGS + 1) + ages + len(self.rings) * (LAGS + 1))
        wide = 8 * min(WIDE, elements) * (events + ages) if item == 4 else 0
        found = 4 * 8 * min(events, ages) * (ages + 1)  # two in the making, two done
        return threads * (rows + wide + found) + 3 * 8 * ages**2

    def look(self):
        """Learn of sums that were filled in."""
        self._extents = [Extent.of(self.sums[:, begin:end]) for _, begin, end in self._pieces]

    def aside(self):
        """Return a copy to add more events to, which leaves the sums of the elements as they are."""
        other = copy.copy(self)
        for name, array in self.arrays().items():
            if name not in ("sums", "rings"):
                setattr(other, name, array.copy())
        other._extents, other._merges = list(self._extents), []
        return other

    def _merged(self):
        yield from super()._merged() if self._merges is None else [(self.events, (0,)), (self.pairs, (1,))]
        yield self.products, (1, 2)
        yield self.squares, (1,)

    def _halved(self, odd, bins):
        for matrix in self.products:
            matrix += np.tril(matrix, -1).T  # a product of the two halves of a bin counts twice in its square
        super()._halved(odd, bins)
        for matrix in self.products:
            matrix[...] = np.tril(matrix)
        self._extents = [Extent(2 * each.largest, each.whole) for each in self._extents]
        if self._merges is not None:
            self._merges.append((odd, bins))

    def add(self, counters, take):
        """Add events.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
            Increasing, and beyond those there.
        take : callable
            ``take(begin, end)`` returns elements of the events, (m, end - begin) in C order, and (m,) float64 their
            sums and sums of squares. It is called by threads.

        Returns
        -------
        (m, C) float64
            The sums over the elements of each colour.
        """
        sums = np.zeros((len(self.products), len(counters)))
        if not len(counters):
            return sums.T
        addition = self._begin(counters)
        squares, pairs = np.zeros_like(sums), np.zeros((len(sums), addition.pairs))
        bins, begun = addition.bins, bool(self.events[addition.bins[0]])
        there = int(bins[0]) + begun
        new = _side_by_side(bins)

        def piece(number):
            return self._piece(addition, there, number, take)

        for number, found in in_order(piece, range(len(self._pieces)), self._threads):
            color = self._pieces[number][0]
            sums[color] += found.sums
            squares[color] += found.squares
            pairs[color] += found.pairs
            products = self.products[color]
            products[(new, new) if isinstance(new, slice) else np.ix_(new, new)] += np.tril(found.new)
            if there:
                products[new, :there] += found.old
                if begun:  # (a + b)^2 has the product twice
                    products[there - 1, there - 1] += found.old[0, -1]
        for to, values in zip(self.squares, squares, strict=True):
            to += np.bincount(addition.place, values, self.ages)
        self._end(addition, pairs)
        return sums.T

    def _piece(self, addition, there, number, take):
        _, begin, end = self._pieces[number]
        data, sums, squares = take(begin, end)
        rows = summed(addition.starts, data)
        bins, rings = self.sums[:, begin:end], self.rings[..., begin:end]
        if self._merges is not None:
            rings = rings.copy()
            if self._merges and there:
                bins = bins.copy()
                for merge in self._merges:
                    halve(bins, *merge)
        extent, old = Extent.of(rows), None
        new = product(rows, rows, (extent, extent))
        if there:
            old = product(rows, bins[:there], (extent, self._extents[number]))
        if self._merges is None:
            begun = bins[addition.bins[0]]
            begun += rows[0]
            bins[_side_by_side(addition.bins[1:])] = rows[1:]
            self._extents[number] = self._extents[number].joined(extent).joined(Extent.of(begun[None]))
        return Found(sums, squares, new, old, self._frame_pairs(addition, data, rings))

    def _products(self, chunks, rows, there):
        extents = Extent.of(rows), Extent.of(there)
        return [product(rows[chunk.rows], there[chunk.window], extents)[chunk.later, chunk.earlier] for chunk in chunks]

    def _bin_products(self, later, earlier):
        return self.products[:, later, earlier]


def _side_by_side(bins):
    """Return bins that increase, as a slice if none is left out."""
    if len(bins) and bins[-1] - bins[0] == len(bins) - 1:
        return slice(int(bins[0]), int(bins[-1]) + 1)
    return bins
