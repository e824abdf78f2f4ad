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
from parcorana.curves.parts import Parts

NORMALIZATIONS = ("pixel", "finecolor", "color")
_DIVIDES = ("IP", "IF", "IP_IF")  # sums over what divides: colours or fine colours
_ROUNDED = 1e-14  # of a sum, that a difference of two may have from rounding alone


@dataclass(frozen=True)
class Curve:
    """One delay curve, (D,); or those of all colours, (C, D).

    Attributes
    ----------
    g2 : float64
        NaN where there is no pair or no element.
    error : float64
        Standard error: docs/errors.md. NaN where there is none, as from
        independent elements with a normalization that gives no ratio per element.
    elements : int64
        Elements that counted.
    left_out : int64
        Unsaturated elements left out for a zero denominator.
    deviations : (R, D) float64 or None
        Rows whose products, added up, are the covariance between the delays: (C, R, D) of all colours. None where
        `error` is that of independent elements.
    groups : int64
        How many groups, or stretches, `deviations` come from; 0 without.
    shared : (S, D) float64 or None
        Those of the last rows of `deviations` that all colours have, as parts of g2.
    source : str
        'pixel groups', 'time blocks', 'pixels': what errors come from; empty where nobody has said.
    """

    g2: NDArray[np.float64]
    error: NDArray[np.float64]
    elements: NDArray[np.int64]
    left_out: NDArray[np.int64]
    deviations: NDArray[np.float64] | None = None
    groups: Any = 0
    source: Any = ""
    shared: NDArray[np.float64] | None = None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """g2, error, elements, left_out."""
        return self.g2, self.error, self.elements, self.left_out

    @property
    def covariance(self) -> NDArray[np.float64] | None:
        """Covariance between the delays, (D, D) or (C, D, D) float64; None where nothing is known of it."""
        return None if self.deviations is None else np.swapaxes(self.deviations, -1, -2) @ self.deviations

    def each(self, colors: Sequence[int] | NDArray[np.int64]) -> "dict[int, Curve]":
        """Return ``{colour: Curve}`` of the curves of all colours, (C,)."""
        groups, source = (np.broadcast_to(each, len(self.g2)) for each in (self.groups, self.source))
        rows = [None if self.deviations is None or not groups[k] else self.deviations[k] for k in range(len(groups))]
        each = zip(colors, *self.arrays, rows, groups.tolist(), source.tolist(), strict=True)
        return {int(c): Curve(*row, self.shared) for c, *row in each}  # type: ignore[call-arg]


def _tables(sums, groups, delays, divided):
    """Return the tables of `_core.sum_colors` by name."""
    if not divided:
        names = "excess", "excess_squared", "zero", "inverse"
        return dict(zip(names, sums.reshape(4, groups, delays), strict=True))
    tables = dict(zip(("G2", "G2_squared"), sums[: 2 * groups].reshape(2, groups, delays), strict=True))
    return tables | dict(zip(_DIVIDES, sums[2 * groups :].reshape(3, -1, delays), strict=True))


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
    group : (N,) int64, optional
        Number of each element's pixel group within its colour, as `parcorana.curves.groups.pixel_groups` makes it:
        with it there are sums of each group, too, for errors.
    """

    def __init__(
        self,
        color: NDArray[np.int64],
        finecolor: Any,
        normalization: str,
        colors: Sequence[int] | NDArray[np.int64] | None = None,
        group: NDArray[np.int64] | None = None,
    ) -> None:
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, not {normalization!r}")
        self.normalization = normalization
        self.colors = np.unique(color[color > 0]) if colors is None else np.asarray(colors, np.int64)
        self._group = index = np.where(color > 0, np.searchsorted(self.colors, color), -1)
        self._fine_of: Any = None
        if normalization == "finecolor":
            self._fine, self._fine_of = np.unique(finecolor, return_inverse=True)
            # one group for each pair of colour and fine colour that occurs
            number = np.where(color > 0, index * len(self._fine) + self._fine_of, -1)
            self._pairs = np.unique(number[number >= 0])
            self._group = np.where(number >= 0, np.searchsorted(self._pairs, number), -1)
        #: What is summed of each pixel group; None without any.
        self.parts = Parts(index, self._fine_of, group) if group is not None and group.any() else None

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
        ok, groups = saturated == 0, self._groups()
        group, fine, fines = self.group_of(saturated, part), None, 0
        if self.normalization == "finecolor":
            # fine colours are means over all their elements, whatever the colour
            fine, fines = np.where(ok, self._fine_of[part], -1), len(self._fine)
        elif self.normalization == "color":
            fine, fines = group, groups
        summed: tuple[Any, ...] = group, groups, fine, fines
        if self.parts is not None:
            colored, divides = self.parts.of(part, ok)
            size = len(self.parts)
            summed = colored, size, *((None, 0) if fine is None else (divides, size))
        last = counts.astype(np.float64), *summed, threads
        if pending is None:
            sums = _core.sum_colors(G2, IP, IF, *last)
        else:
            sums = _core.sum_pending(*pending, G2, IP, IF, *last)
        tables = _tables(sums, summed[1], len(counts), fine is not None)
        apart = {}
        if self.parts is not None:
            apart = self.parts.named(tables, divides)
            of_group, of_fine = self._of_parts()
            tables = {
                name: self.parts.added(table, *((of_fine, fines) if name in _DIVIDES else (of_group, groups)))
                for name, table in tables.items()
            }
        return self._named(tables, group, fine) | apart

    def _of_parts(self):
        """Return of each part the group that it is of, -1 for none, and what divides that."""
        parts = self.parts
        if self.normalization != "finecolor":
            return parts.color, parts.fine
        number = np.where(parts.color >= 0, parts.color * len(self._fine) + parts.fine, -1)
        return np.where(parts.color >= 0, np.searchsorted(self._pairs, number), -1), parts.fine

    def group_of(self, saturated: NDArray[np.int8], part: slice) -> NDArray[np.int64]:
        """Return of each of one worker's elements the row of `reduce`'s tables that it counts in; -1: in none."""
        return np.where(saturated == 0, self._group[part], -1)

    @property
    def color_of_groups(self) -> NDArray[np.int64]:
        """Index of the colour of each row of these tables."""
        return self._pairs // len(self._fine) if self.normalization == "finecolor" else np.arange(len(self.colors))

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

    def _named(self, tables, group, fine):
        """Add the numbers of elements to the tables."""
        elements = np.bincount(group[group >= 0], minlength=self._groups()).astype(np.float64)
        if "zero" in tables:
            return tables | {"elements": elements[:, None] - tables["zero"]}
        named = tables | {"elements": elements}
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
        np.add.at(added, self.color_of_groups, groups)
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
