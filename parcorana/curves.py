"""Delay curves: sums per colour on the workers, ratios on the viewer.

Full arrays are D x elements x 3 float64; what a delay curve needs of them is a
few numbers per colour and delay. Each worker makes those of its own elements,
they are added over the workers, and `ColorSums.curves` divides.
"""

from dataclasses import dataclass

import numpy as np

NORMALIZATIONS = ("pixel", "finecolor", "color")
_PIECE = 4096  # elements at a time: bounds the scratch memory


@dataclass(frozen=True)
class Curve:
    """One delay curve.

    Attributes
    ----------
    g2 : (D,) float64
        NaN where there is no pair or no element.
    error : (D,) float64
        Standard error of the mean over the colour's elements, as if they were
        independent; NaN where the normalization gives no ratio per element or
        fewer than two elements counted.
    elements : (D,) int64
        Elements that counted.
    left_out : (D,) int64
        Unsaturated elements left out for a zero denominator.
    """

    g2: np.ndarray
    error: np.ndarray
    elements: np.ndarray
    left_out: np.ndarray


def _sum_groups(group, terms, out):
    """Add the terms of each element to its group's row of `out`.

    `terms(elements)` returns arrays (k, D), one for each of `out`.
    """
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], 0) :]  # group -1: in no sum
    for begin in range(0, len(order), _PIECE):
        elements = order[begin : begin + _PIECE]
        ids = group[elements]
        first = np.flatnonzero(np.diff(ids, prepend=-1))
        for total, term in zip(out, terms(elements), strict=True):
            total[ids[first]] += np.add.reduceat(term, first, axis=0)


class ColorSums:
    """The sums that delay curves need, for one normalization.

    Parameters
    ----------
    color : (N,) int64
        Of all included elements; 0 = in no curve.
    finecolor : (N,) int64 or None
    normalization : {'pixel', 'finecolor', 'color'}
        Contract, section 1: what divides each element's G2.
    colors : sequence of int, optional
        Colours that get a curve, increasing; those of the included elements
        without it. One that no included element has gets NaN.
    """

    def __init__(self, color, finecolor, normalization, colors=None):
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, not {normalization!r}")
        self.normalization = normalization
        self.colors = np.unique(color[color > 0]) if colors is None else np.asarray(colors, np.int64)
        self._color = color
        if normalization == "finecolor":
            self._fine, self._fine_of = np.unique(finecolor, return_inverse=True)
            # one group for each pair of colour and fine colour that occurs
            number = np.searchsorted(self.colors, color) * len(self._fine) + self._fine_of
            number = np.where(color > 0, number, -1)
            self._pairs = np.unique(number[number >= 0])
            self._group = np.where(number >= 0, np.searchsorted(self._pairs, number), -1)
        else:
            self._group = np.where(color > 0, np.searchsorted(self.colors, color), -1)

    def reduce(self, arrays, counts, saturated, part):
        """Sum over one worker's elements.

        Parameters
        ----------
        arrays : dict
            'G2', 'IP', 'IF': (D, n) float64; fast where each is the transpose
            of a C-ordered array.
        counts : (D,) int64
        saturated : (n,) int8
        part : slice
            Which of the included elements these are.

        Returns
        -------
        dict of float64 arrays, to be added over the workers
        """
        D = len(counts)
        G2, IP, IF = (arrays[name].T for name in ("G2", "IP", "IF"))
        ok = saturated == 0
        group = np.where(ok, self._group[part], -1)
        if self.normalization == "pixel":
            return self._reduce_pixel(G2, IP, IF, counts, group)
        sums = {"elements": np.bincount(group[group >= 0], minlength=self._groups()).astype(np.float64)}
        if self.normalization == "color":
            sums |= {name: np.zeros((self._groups(), D)) for name in ("G2", "IP", "IF")}
            _sum_groups(group, lambda e: (G2[e], IP[e], IF[e]), [sums[k] for k in ("G2", "IP", "IF")])
            return sums
        sums |= {name: np.zeros((self._groups(), D)) for name in ("G2", "G2_squared")}
        _sum_groups(group, lambda e: (G2[e], G2[e] ** 2), [sums["G2"], sums["G2_squared"]])
        # fine colours are means over all their elements, whatever the colour
        fine = np.where(ok, self._fine_of[part], -1)
        sums["fine_elements"] = np.bincount(fine[fine >= 0], minlength=len(self._fine)).astype(np.float64)
        sums |= {name: np.zeros((len(self._fine), D)) for name in ("IP", "IF")}
        _sum_groups(fine, lambda e: (IP[e], IF[e]), [sums["IP"], sums["IF"]])
        return sums

    def _groups(self):
        return len(self._pairs) if self.normalization == "finecolor" else len(self.colors)

    def _reduce_pixel(self, G2, IP, IF, counts, group):
        names = ("excess", "excess_squared", "elements", "zero")
        sums = {name: np.zeros((len(self.colors), len(counts))) for name in names}

        def terms(elements):
            bottom = IP[elements] * IF[elements]
            zero = bottom == 0
            # g2 is near 1: its distance from 1 keeps the variance's digits
            excess = np.where(zero, 0.0, counts * G2[elements] / np.where(zero, 1.0, bottom) - 1)
            return excess, excess**2, (~zero).astype(np.float64), zero.astype(np.float64)

        _sum_groups(group, terms, [sums[name] for name in names])
        return sums

    def curves(self, sums, counts):
        """Divide: return ``{colour: Curve}`` from the sums over all workers."""
        with np.errstate(divide="ignore", invalid="ignore"):
            make = {"pixel": self._pixel, "color": self._by_color, "finecolor": self._by_finecolor}[self.normalization]
            return {int(c): make(k, sums, counts) for k, c in enumerate(self.colors)}

    @staticmethod
    def _curve(mean, spread_squared, elements, left_out, counts):
        """Make a Curve of a mean ratio and the mean square of its spread."""
        good = (elements > 0) & (counts > 0)
        error = np.sqrt(np.maximum(spread_squared, 0) / (elements - 1))
        return Curve(
            np.where(good, mean, np.nan),
            np.where(good & (elements > 1), error, np.nan),
            np.where(good, elements, 0).astype(np.int64),
            left_out.astype(np.int64),
        )

    def _pixel(self, k, sums, counts):
        n = sums["elements"][k]
        mean = sums["excess"][k] / n
        return self._curve(1 + mean, sums["excess_squared"][k] / n - mean**2, n, sums["zero"][k], counts)

    def _by_color(self, k, sums, counts):
        n = sums["elements"][k]
        bottom = sums["IP"][k] * sums["IF"][k]
        zero = bottom == 0
        mean = counts * sums["G2"][k] * n / np.where(zero, np.nan, bottom)
        return self._curve(mean, np.full(len(counts), np.nan), np.where(zero, 0, n), np.where(zero, n, 0), counts)

    def _by_finecolor(self, k, sums, counts):
        D = len(counts)
        mean, square, n, left_out = np.zeros(D), np.zeros(D), np.zeros(D), np.zeros(D)
        for q in np.flatnonzero(self._pairs // len(self._fine) == k):
            f = self._pairs[q] % len(self._fine)
            bottom = sums["IP"][f] * sums["IF"][f] / sums["fine_elements"][f] ** 2
            zero = ~(bottom != 0) | ~np.isfinite(bottom)
            factor = np.where(zero, 0.0, counts / np.where(zero, 1.0, bottom))
            mean += factor * sums["G2"][q]
            square += factor**2 * sums["G2_squared"][q]
            n += np.where(zero, 0, sums["elements"][q])
            left_out += np.where(zero, sums["elements"][q], 0)
        mean, square = mean / n, square / n
        return self._curve(mean, square - mean**2, n, left_out, counts)
