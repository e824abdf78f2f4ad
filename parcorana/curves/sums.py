"""Delay curves: sums per colour on the workers, ratios on the viewer.

Full arrays are D x elements x 3 float64; what a delay curve needs of them is a
few numbers per colour and delay. Each worker makes those of its own elements,
they are added over the workers, and `ColorSums.curves` divides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana import _core

NORMALIZATIONS = ("pixel", "finecolor", "color")
_ROUNDED = 1e-14  # of a sum, that a difference of two may have from rounding alone


@dataclass(frozen=True)
class Curve:
    """One delay curve, (D,); or those of all colours, (C, D).

    Attributes
    ----------
    g2 : float64
        NaN where there is no pair or no element.
    error : float64
        Standard error of the mean over the colour's elements, as if they were
        independent; NaN where the normalization gives no ratio per element or
        fewer than two elements counted.
    elements : int64
        Elements that counted.
    left_out : int64
        Unsaturated elements left out for a zero denominator.
    """

    g2: NDArray[np.float64]
    error: NDArray[np.float64]
    elements: NDArray[np.int64]
    left_out: NDArray[np.int64]

    def each(self, colors: Sequence[int] | NDArray[np.int64]) -> "dict[int, Curve]":
        """Return ``{colour: Curve}`` of the curves of all colours, (C,)."""
        rows = zip(self.g2, self.error, self.elements, self.left_out, strict=True)
        return {int(c): Curve(*row) for c, row in zip(colors, rows, strict=True)}


class ColorSums:
    """The sums that delay curves need, for one normalization.

    Parameters
    ----------
    color : (N,) int64
        Of all included elements; 0 = in no curve.
    finecolor : (N,) int64 or None
    normalization : {'pixel', 'finecolor', 'color'}
        What divides each element's G2: docs/definitions.md, "Delay curves".
    colors : sequence of int, optional
        Colours that get a curve, increasing; those of the included elements
        without it. One that no included element has gets NaN.
    """

    def __init__(
        self,
        color: NDArray[np.int64],
        finecolor: Any,
        normalization: str,
        colors: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
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

    def reduce(
        self,
        arrays: Mapping[str, NDArray[np.float64]],
        counts: NDArray[np.int64],
        saturated: NDArray[np.int8],
        part: slice,
        threads: int = 1,
        pending: tuple[Any, Any, Any] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
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
        threads : int
        pending : (Plan, X, total), optional
            What has still to be added to IP and IF, as `_core.sum_pending` takes it.

        Returns
        -------
        dict of float64 arrays, to be added over the workers
        """
        G2, IP, IF = (arrays.get(name) for name in ("G2", "IP", "IF"))
        G2, IP, IF = (None if array is None else np.ascontiguousarray(array.T) for array in (G2, IP, IF))
        ok = saturated == 0
        group = np.where(ok, self._group[part], -1)
        fine, fines = None, 0
        if self.normalization == "finecolor":
            # fine colours are means over all their elements, whatever the colour
            fine, fines = np.where(ok, self._fine_of[part], -1), len(self._fine)
        elif self.normalization == "color":
            fine, fines = group, self._groups()
        last = counts.astype(np.float64), group, self._groups(), fine, fines, threads
        if pending is None:
            sums = _core.sum_colors(G2, IP, IF, *last)
        else:
            sums = _core.sum_pending(*pending, G2, IP, IF, *last)
        return self._named(sums, group, fine, counts)

    def nbytes(self, delays: int) -> int:
        """Return the bytes of what `reduce` returns for so many delays, with however many elements."""
        one, two = (
            sum(array.nbytes for array in self._of_no_element(count).values()) for count in (1, 2)
        )  # each array has one number, or one per delay
        return one + (two - one) * (delays - 1)

    def shapes(self, delays: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array that `reduce` returns for so many delays."""
        return {name: array.shape for name, array in self._of_no_element(delays).items()}

    def _of_no_element(self, delays):
        arrays = {name: np.zeros((delays, 0)) for name in ("G2", "IP", "IF")}
        return self.reduce(arrays, np.zeros(delays, np.int64), np.zeros(0, np.int8), slice(0, 0))

    def _named(self, sums, group, fine, counts):
        """Give the tables of `_core.sum_colors` their names, and add the numbers of elements."""
        groups = self._groups()
        elements = np.bincount(group[group >= 0], minlength=groups).astype(np.float64)
        if self.normalization == "pixel":
            excess, squared, zero, inverse = sums.reshape(4, groups, len(counts))
            return {
                "excess": excess,
                "excess_squared": squared,
                "elements": elements[:, None] - zero,
                "zero": zero,
                "inverse": inverse,
            }
        G2, squared = sums[: 2 * groups].reshape(2, groups, len(counts))
        IP, IF, product = sums[2 * groups :].reshape(3, -1, len(counts))
        named = {"elements": elements, "G2": G2, "G2_squared": squared, "IP": IP, "IF": IF, "IP_IF": product}
        if self.normalization == "finecolor":
            named["fine_elements"] = np.bincount(fine[fine >= 0], minlength=len(self._fine)).astype(np.float64)
        return named

    def _groups(self):
        return len(self._pairs) if self.normalization == "finecolor" else len(self.colors)

    def of_colors(self, groups: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up a table of groups, (groups, D), over those of each colour, (C, D)."""
        if self.normalization != "finecolor":
            return groups
        added = np.zeros((len(self.colors), groups.shape[1]))
        np.add.at(added, self._pairs // len(self._fine), groups)
        return added

    def of_means(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what belongs to the mean that divides each group, (groups, ...)."""
        return values[self._pairs % len(self._fine)] if self.normalization == "finecolor" else values

    def curves(self, sums: Mapping[str, NDArray[np.float64]], counts: NDArray[np.int64]) -> dict[int, Curve]:
        """Divide: return ``{colour: Curve}`` from the sums over all workers."""
        return self.table(sums, counts).each(self.colors)

    def table(self, sums: Mapping[str, NDArray[np.float64]], counts: NDArray[np.int64]) -> Curve:
        """Divide: return the Curve of all `colors`, (C, D), from the sums over all workers."""
        make = {"pixel": self._pixel, "color": self._by_color, "finecolor": self._by_finecolor}[self.normalization]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean, spread_squared, n, left_out = make(sums, counts)
            good = (n > 0) & (counts > 0)
            error = np.sqrt(np.maximum(spread_squared, 0) / (n - 1))
        return Curve(
            np.where(good, mean, np.nan),
            np.where(good & (n > 1), error, np.nan),
            np.where(good, n, 0).astype(np.int64),
            left_out.astype(np.int64),
        )

    def since(
        self, sums: Mapping[str, NDArray[np.float64]], before: Mapping[str, NDArray[np.float64]]
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
        """Return the sums of what was added to those `before`, of groups whose elements are still the same.

        Elements only ever leave, as they saturate: they are the same where
        they are as many. Of a group that has lost one nobody knows the part
        of it in the sums `before`, so its elements count as none.

        Parameters
        ----------
        sums, before : dict of arrays
            As `reduce` returns them, over all workers; not of the normalization 'pixel', whose ratios do not add.

        Returns
        -------
        sums : dict of arrays
            For `table`; it gives no errors, for squares of sums cannot be told apart.
        changed : (C,) bool
            Colours of which groups were left out.
        """
        same = sums["elements"] == before["elements"]
        if self.normalization == "finecolor":
            same &= self.of_means(sums["fine_elements"] == before["fine_elements"])
        added = dict(sums)
        for name in ("G2", "IP", "IF"):
            more = sums[name] - before[name]
            # what is left by rounding where nothing was added must divide nothing
            added[name] = np.where(np.abs(more) > _ROUNDED * np.abs(sums[name]), more, 0.0)
        added["G2"] = np.where(same[:, None], added["G2"], 0.0)
        added["elements"] = np.where(same, sums["elements"], 0.0)
        added["G2_squared"] = np.full(sums["G2"].shape, np.nan)
        return added, self.of_colors((~same[:, None]).astype(np.float64))[:, 0] > 0

    # Each returns, (C, D): the mean ratio, the mean square of its spread, the elements that
    # counted, and those left out.

    def _pixel(self, sums, counts):
        n = sums["elements"]
        mean = sums["excess"] / n
        return 1 + mean, sums["excess_squared"] / n - mean**2, n, sums["zero"]

    def _by_color(self, sums, counts):
        n, bottom = sums["elements"][:, None], sums["IP"] * sums["IF"]
        zero = bottom == 0
        mean = counts * sums["G2"] * n / np.where(zero, np.nan, bottom)
        return mean, np.full(bottom.shape, np.nan), np.where(zero, 0, n), np.where(zero, n, 0)

    def _by_finecolor(self, sums, counts):
        bottom = self.of_means(sums["IP"] * sums["IF"] / sums["fine_elements"][:, None] ** 2)
        zero = ~(bottom != 0) | ~np.isfinite(bottom)
        factor = np.where(zero, 0.0, counts / np.where(zero, 1.0, bottom))
        elements = sums["elements"][:, None]
        n = self.of_colors(np.where(zero, 0.0, elements))
        mean = self.of_colors(factor * sums["G2"]) / n
        square = self.of_colors(factor**2 * sums["G2_squared"]) / n
        return mean, square - mean**2, n, self.of_colors(np.where(zero, elements, 0.0))
