"""A histogram of numbers whose range nobody knows beforehand: in one pass, in bounded memory, whatever their order.

Bins are as wide as a power of two, and begin at multiples of their width. Where a number lies beyond the last bin, two
neighbours become one. So the bins that there are at the end follow from the smallest and the largest number alone, and
what they hold is what it would be if these had been known before.
"""

import math

import numpy as np

#: The most bins; at least half as many are between the smallest and the largest number, if these are real ones.
BINS = 1024
_SMALLEST = -1074  # exponent of the smallest double
_DIGITS = 53  # bits of a double: finer bins would tell nothing
_MOST = 62  # bits that a whole number can be shifted by
_SPECIAL = 3  # kinds of numbers that are in no bin: NaN, infinity, minus infinity


class Histogram:
    """Counts of several kinds of numbers, in the same bins.

    Parameters
    ----------
    kinds : int
        How many kinds are told apart.
    bins : int
        The most bins.

    Attributes
    ----------
    counts : (kinds, bins) int64
    special : (kinds, 3) int64
        How many are NaN, infinite, minus infinite: they are in no bin.
    range : (kinds, 2) float64
        The smallest and the largest finite number; NaN before there is one.
    """

    def __init__(self, kinds=1, bins=BINS):
        self.counts = np.zeros((kinds, bins), np.int64)
        self.special = np.zeros((kinds, _SPECIAL), np.int64)
        self.range = np.full((kinds, 2), np.nan)
        self._at = np.array([_SMALLEST, 0])  # binary logarithm of the width; first bin, in widths

    def add(self, values, kind=0):
        """Add numbers, (m,) float64, of a kind."""
        finite = values[np.isfinite(values)]
        if len(finite) < len(values):
            self.special[kind] += [np.count_nonzero(np.isnan(values)), *(np.count_nonzero(values == sign * np.inf)
                                                                         for sign in (1, -1))]  # fmt: skip
        if not len(finite):
            return
        one, ends = self.range[kind], (finite.min(), finite.max())
        one[:] = np.fmin(one[0], ends[0]), np.fmax(one[1], ends[1])
        self._make_room()
        exponent, first = self._at.tolist()
        self.counts[kind] += np.bincount(_index(finite, exponent) - first, minlength=self.counts.shape[1])

    def _make_room(self):
        """Widen the bins, or move the first one, as the range of all numbers asks for."""
        exponent, first = _bins_of(np.nanmin(self.range), np.nanmax(self.range), self.counts.shape[1])
        was, began = self._at.tolist()
        if (was, began) == (exponent, first):
            return
        used = np.flatnonzero(self.counts.any(axis=0))
        counts = self.counts[:, used].copy()
        self.counts[...] = 0
        np.add.at(self.counts, (slice(None), ((used + began) >> min(exponent - was, _MOST)) - first), counts)
        self._at[:] = exponent, first

    def edges(self):
        """Return the edges of the bins from the smallest to the largest number, (b + 1,) float64; (0,) if none came."""
        if np.isnan(self.range).all():
            return np.zeros(0)
        exponent, first = self._at.tolist()
        last = int(_index(np.array([np.nanmax(self.range)]), exponent)[0])
        with np.errstate(over="ignore"):
            return np.ldexp(np.arange(first, last + 2, dtype=np.float64), exponent)

    def state(self):
        """Return all that tells the histogram, dict of arrays that are changed in place."""
        return {"counts": self.counts, "special": self.special, "range": self.range, "at": self._at}


def _bins_of(low, high, bins):
    """Return the binary logarithm of the width, and the number of the first bin."""
    largest = max(abs(low), abs(high))
    exponent = max(math.frexp(largest)[1] - _DIGITS, _SMALLEST) if largest else _SMALLEST
    first, last = _index(np.array([low, high]), exponent).tolist()
    while last - first >= bins:
        first, last, exponent = first >> 1, last >> 1, exponent + 1
    return exponent, first


def _index(values, exponent):
    """Return in which bin numbers are, (m,) int64: exactly, since the width is a power of two."""
    scaled = np.ldexp(values, -exponent)
    # what is too small for a double is not 0
    return np.floor(scaled).astype(np.int64) - ((scaled == 0) & (values < 0))
