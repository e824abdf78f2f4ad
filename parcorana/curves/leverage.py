"""Leverage: how much delay curves would change without each of their elements; docs/definitions.md.

Workers add up their sums first, so that each knows the curves of all elements. Then each lists
those of its own that pull most, and the viewer keeps the most of all: what is found does not
depend on how the elements are divided.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana import _core
from parcorana.curves.sums import ColorSums, Curve

_LISTED, _LISTED_IN_ALL = 8, 512  # elements of a colour, if there are not more colours than makes so many
_FEWEST, _MOST = 16, 8  # elements of a colour of which some can be told from the others; one in so many at most
_FAR, _FAR_OF_FEW = 10, 40  # root mean squares of the changes of others; of few elements more: times 1 + 40 / n
_ERRORS = 2  # by which an element moves a curve, beyond doubt; neighbours in a speckle are not independent
_ROUNDED = 1e-12  # of g2: a change that may be rounding alone
_NAMES = ("elements", "fine_elements", "excess", "excess_squared", "zero", "G2", "G2_squared", "IP", "IF", "IP_IF")


def listed(colors: int) -> int:
    """Return how many elements are listed of each of so many colours."""
    return max(1, min(_LISTED, _LISTED_IN_ALL // max(colors, 1)))


def summed(sums: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return those of `ColorSums.reduce` that workers have to know of each other."""
    return {name: sums[name] for name in _NAMES if name in sums}


def exchanged_bytes(made: ColorSums, delays: int) -> int:
    """Return the bytes of what workers tell each other and the viewer, of so many delays."""
    told = sum(int(np.prod(shape)) for name, shape in made.shapes(delays).items() if name in _NAMES)
    colors = len(made.colors)
    return 8 * (told + colors * (2 * delays + listed(colors) * (2 + delays)))


@dataclass
class Pulls:
    """The elements of each colour that pull its curve most, from the first on.

    Of C colours, M elements and D delays.

    Attributes
    ----------
    moments : (2, C, D) float64
        Sums of the changes, and of their squares, over all elements.
    score : (C, M) float64
        0 where there is no element.
    element : (C, M) int64
        Number among the included elements.
    change : (C, M, D) float64
        Of g2, if the element were left out.
    """

    moments: NDArray[np.float64]
    score: NDArray[np.float64]
    element: NDArray[np.int64]
    change: NDArray[np.float64]

    @classmethod
    def none(cls, colors: int, delays: int) -> "Pulls":
        """Return the list of no elements."""
        most = listed(colors)
        element = np.full((colors, most), -1)
        return cls(np.zeros((2, colors, delays)), np.zeros((colors, most)), element, np.zeros((colors, most, delays)))

    def table(self) -> NDArray[np.float64]:
        """Return what is sent of it beside `moments`, (C M, 2 + D)."""
        lists = self.score[..., None], self.element[..., None], self.change
        rows: NDArray[np.float64] = np.concatenate(lists, axis=2)
        return rows.reshape(-1, 2 + self.change.shape[2])

    @classmethod
    def of_table(cls, rows: NDArray[np.float64], moments: NDArray[np.float64]) -> "Pulls":
        """Return what the tables of several workers, one below the other, make together."""
        _, colors, delays = moments.shape
        most = listed(colors)
        each = rows.reshape(-1, colors, most, 2 + delays).swapaxes(0, 1).reshape(colors, -1, 2 + delays)
        return cls(moments, each[..., 0], each[..., 1].astype(np.int64), each[..., 2:])._first(most)

    def beside(self, other: "Pulls") -> "Pulls":
        """Return the same of these elements and others."""
        pairs = zip((self.score, self.element, self.change), (other.score, other.element, other.change), strict=True)
        lists = (np.concatenate(pair, axis=1) for pair in pairs)
        return Pulls(self.moments + other.moments, *lists)._first(self.score.shape[1])

    def _first(self, most):
        order = np.lexsort((self.element, -self.score), axis=1)[:, :most]
        score, element = (np.take_along_axis(each, order, axis=1) for each in (self.score, self.element))
        return Pulls(self.moments, score, element, np.take_along_axis(self.change, order[..., None], axis=1))


class Levers:
    """What the sums over all workers tell of the change without an element.

    Parameters
    ----------
    made : ColorSums
    sums : dict of arrays
        As `ColorSums.reduce` returns them, over all workers; those of `summed` are enough.
    counts : (D,) int64
    """

    def __init__(self, made: ColorSums, sums: Mapping[str, NDArray[np.float64]], counts: NDArray[np.int64]) -> None:
        self._made = made
        curve, of = made.table(sums, counts), made.color_of_groups
        g2, n = curve.g2[of], curve.elements[of]
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = 1 / _scatter(made.normalization, sums, curve)[of]
            if made.normalization == "pixel":
                whole = np.zeros((3, *g2.shape))
                factor, rest = counts / (n - 1), g2 / (n - 1)
                bottom = np.ones(g2.shape)
            else:
                mean = made.of_means(sums["fine_elements" if made.normalization == "finecolor" else "elements"])
                whole = np.array([sums["G2"], made.of_means(sums["IP"]), made.of_means(sums["IF"])])
                bottom, mean = whole[1] * whole[2], mean[:, None]
                factor = counts * (mean - 1) ** 2 / (n - 1)
                rest = (g2 * n - counts * mean**2 / bottom * whole[0]) / (n - 1) - g2
        good = (bottom != 0) & np.isfinite(g2) & (n > 1)
        about = (np.where(good & np.isfinite(each), each, 0.0) for each in (factor, rest, weight))
        self._levers = np.ascontiguousarray([*whole, *about])

    def pulls(
        self,
        arrays: Mapping[str, NDArray[np.float64]],
        saturated: NDArray[np.int8],
        part: slice,
        threads: int = 1,
        pending: tuple[Any, Any, Any] | None = None,
        largest: NDArray[np.float64] | None = None,
        delay: NDArray[np.int32] | None = None,
    ) -> Pulls:
        """Find the elements that pull most among those of one worker, or some of them.

        Parameters
        ----------
        arrays, saturated, part, threads, pending
            As `ColorSums.reduce` takes them.
        largest : (n,) float64, optional
            Gets the change of each element at the delay where it counts most.
        delay : (n,) int32, optional
            Gets the index of that delay.
        """
        made, colors = self._made, len(self._made.colors)
        G2, IP, IF = (arrays.get(name) for name in ("G2", "IP", "IF"))
        sums = [None if array is None else np.ascontiguousarray(array.T) for array in (G2, IP, IF)]
        about = made.group_of(saturated, part), made.color_of_groups, self._levers, colors, listed(colors), threads
        if pending is None:
            found = _core.find_pulls(*sums, *about, largest, delay)
        else:
            found = _core.find_pulls_pending(*pending, *sums, *about, largest, delay)
        moments, score, element, change = found
        return Pulls(moments, score, element + part.start, change)


def _scatter(normalization, sums, curve):
    """Return about how large the error of a curve is, if elements are independent: (C, D).

    Changes at different delays are compared by it. With the normalization 'color' the ratios of
    the elements are not there: g of them, relative to the mean, varies with past and future mean,
    and four times their covariance is what that alone makes.
    """
    if normalization != "color":
        return curve.error
    n = curve.elements
    square = n * sums["G2_squared"] / sums["G2"] ** 2 - 1
    product = n * sums["IP_IF"] / (sums["IP"] * sums["IF"]) - 1
    relative = np.maximum(square - 4 * product, np.maximum(product**2, 1e-4 * square))
    return np.where(square > _ROUNDED, np.abs(curve.g2) * np.sqrt(relative / (n - 1)), np.nan)


@dataclass
class Leverage:
    """What pulls the delay curves of an update, from the most on.

    Of R elements.

    Attributes
    ----------
    element : (R,) int64
        Number among the included elements.
    color : (R,) int64
        Index of its colour.
    delay : (R,) int64
        Index of the delay at which it pulls most.
    change : (R,) float64
        Of g2 there, if the element were left out.
    over_error : (R,) float64
        What `change` is beyond that without any other element, on average, over `error`.
    far : (R,) bool
        Whether that moves the curve by more than twice its error, and stands far apart from the other elements.
    others : (C, D) float64
        Mean change of the elements that are not `far`: next to nothing, unless a curve is all of those that are.
    error : (C, D) float64
        Error of the curves without the elements that are `far`.
    """

    element: NDArray[np.int64]
    color: NDArray[np.int64]
    delay: NDArray[np.int64]
    change: NDArray[np.float64]
    over_error: NDArray[np.float64]
    far: NDArray[np.bool_]
    others: NDArray[np.float64]
    error: NDArray[np.float64]


def judge(pulls: Pulls, curve: Curve, divisor: NDArray[np.float64] | None = None) -> Leverage:
    """Compare what elements do to curves with the errors of these.

    An element that pulls a curve adds to the scatter of the elements, and so to the error: it would
    hide itself, and others. So errors are those without it, and without what pulls more (the test of
    Rosner, Technometrics 25, 1983).

    Parameters
    ----------
    pulls : Pulls
        Over all workers.
    curve : Curve
        Of all colours, (C, D).
    divisor : (C or 1, D) float64, optional
        What the curves were divided by.
    """
    by = np.ones((1, curve.g2.shape[1])) if divisor is None else divisor
    with np.errstate(divide="ignore", invalid="ignore"):
        change, moments = pulls.change / by[:, None], pulls.moments / [by, by**2]
        known = np.isfinite(change) & (np.abs(change) > _ROUNDED * np.abs(curve.g2[:, None]))
        change = np.where(known & (pulls.score[..., None] > 0), change, 0.0)
        size, n = np.abs(change), curve.elements[:, None]
        larger = size[:, :, None] <= size[:, None]  # (C, M, M, D): of each those that pull as much
        left, mean, rest, without = _rest("ckjd,cjd->ckd", larger, change, moments[:, :, None], n)
        beyond = np.abs(change - mean)
        few = (n >= _FEWEST) & (_MOST * (n - left) <= n)  # without many the rest would look alike
        far = few & (change != 0) & (beyond > _ERRORS * _error(curve.error[:, None], rest, without, left))
        far &= beyond > np.sqrt(rest / left) * _FAR * (1 + _FAR_OF_FEW / left)
        # one that is far takes along those that pull more, which hide each other
        far = (far[:, :, None] & larger).any(axis=(1, 3))
        left, others, rest, without = _rest("cj,cjd->cd", far, change, moments, curve.elements)
        error = _error(curve.error, rest, without, left)
        over = np.where(change == 0, 0.0, (change - others[:, None]) / error[:, None])
    size = np.where(np.isfinite(over), np.abs(over), 0.0).astype(np.float32)
    at = np.argmax(size, axis=2)
    color, k = np.nonzero(size.max(axis=2, initial=0) > 0)
    delay = at[color, k]
    element, over, change = pulls.element[color, k], over[color, k, delay], change[color, k, delay]
    # the last digits, which depend on how the work was divided, must not decide
    order = np.lexsort((element, -size[color, k, delay]))
    return Leverage(
        element[order], color[order], delay[order], change[order], over[order], far[color, k][order], others, error
    )


def _rest(sums, which, change, moments, n):
    """Return of the elements but some how many they are, mean and summed squared deviation of their changes.

    And what those some add to the same of all.
    """
    some = np.einsum(sums, which, (change != 0).astype(float))
    total, square = (moments[k] - np.einsum(sums, which, change ** (k + 1)) for k in (0, 1))
    left, mean = n - some, total / (n - some)
    rest = np.maximum(square - total * mean, _ROUNDED * moments[1])
    return left, mean, rest, np.maximum(moments[1] - moments[0] ** 2 / n - rest, 0.0)


def _error(error, rest, without, n):
    """Return the error of a curve without some elements: of n elements, of whose changes `_rest` tells.

    It is at least that of elements as if they were independent, the jackknife of each of them. What they say is all
    that is known where most of the error is that of the elements left out.
    """
    own = np.where(error**2 > 2 * without, error**2 - without, 0.0)
    return np.sqrt(np.maximum(own, (n - 1) / n * rest))
