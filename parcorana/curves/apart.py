"""Curves without one pixel group of each colour, and what they say of the errors of the whole: docs/errors.md."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.groups import FEWEST
from parcorana.curves.jackknife import deviations
from parcorana.curves.sums import ColorSums

_TOGETHER = (1, 2, 4)  # neighbouring groups that are taken for one
_CHANCE = 2.0  # times what the scatter of variances is by chance


def of_groups(
    made: ColorSums, sums: Mapping[str, NDArray[np.float64]], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how each pixel group makes the curves deviate.

    Where speckles are larger than groups, neighbours vary together, and the
    variance between larger groups is larger. So neighbours are taken together
    as long as that is seen in all colours together.

    Parameters
    ----------
    made : ColorSums
    sums : dict of arrays
        As `ColorSums.reduce` returns them, over all workers.
    counts : (D,) int64

    Returns
    -------
    deviations : (C, K, D) float64
        0 beyond the groups of a colour.
    groups : (C,) int64
        0 where a colour has too few.
    """
    C, D, parts = len(made.colors), len(counts), made.parts
    if parts is None:
        return np.zeros((C, 0, D)), np.zeros(C, np.int64)
    many = np.zeros(C, np.int64)
    np.maximum.at(many, parts.color[parts.color >= 0], parts.group[parts.color >= 0] + 1)
    without = {"pixel": _pixel, "color": _by_color, "finecolor": _by_fine}[made.normalization]

    def one(c, together, groups):
        mine = np.flatnonzero(parts.color == c)
        return without(made, sums, counts, mine, parts.group[mine] // together, groups)

    return chosen(many, D, one)


def chosen(
    many: NDArray[np.int64], delays: int, without: Callable[[int, int, int], tuple[NDArray[np.float64], ...]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what `of_groups` does, for groups of so many in each colour.

    Parameters
    ----------
    many : (C,) int64
    delays : int
    without : callable
        Takes the index of a colour, how many neighbours are taken together, and how many groups that makes; returns
        the curve (D,), that without each group (K, D), and the groups' parts in all.
    """
    found = [_together(many, delays, without, together) for together in _TOGETHER]
    rows, groups = found[0]
    for finer, coarser in pairwise(found):
        if not _grows(finer, coarser):
            break
        which = coarser[1] > 0
        rows = np.where(which[:, None, None], _padded(coarser[0], rows.shape[1]), rows)
        groups = np.where(which, coarser[1], groups)
    return rows, groups


def _padded(rows, length):
    return np.concatenate([rows, np.zeros((len(rows), length - rows.shape[1], rows.shape[2]))], axis=1)


def _grows(finer, coarser):
    """Tell whether larger groups vary more, beyond chance, over all colours that have both."""
    both = (finer[1] > 0) & (coarser[1] > 0)
    if not both.any():
        return False
    variances = []
    for rows, groups in (finer, coarser):
        n = groups[both, None].astype(np.float64)
        variances.append((np.square(rows[both]).sum(axis=1) * (n - 3) / (n - 1)).sum(axis=0))
    good = variances[0] > 0
    if not good.any():
        return False
    chance = np.sqrt(2 / (coarser[1][both] - 1).sum())
    return bool(np.median(variances[1][good] / variances[0][good]) > 1 + _CHANCE * chance)


def _together(many, delays, without, together):
    """Return deviations and groups, so many neighbours taken for one; none of colours with too few."""
    groups = -(-many // together)
    groups = np.where(groups >= FEWEST, groups, 0)
    rows = np.zeros((len(many), int(groups.max(initial=0)), delays))
    with np.errstate(divide="ignore", invalid="ignore"):
        for c in np.flatnonzero(groups):
            value, left, part = without(int(c), together, int(groups[c]))
            rows[c, : groups[c]] = np.nan_to_num(deviations(value, left, np.broadcast_to(part, left.shape)))
    return rows, groups


def _of_group(made, table, number, groups):
    """Add up a table of parts, (P, D), over their groups, (K, D)."""
    return made.parts.added(table, number, groups)


# Each returns the curve of a colour (D,), that without each group (K, D), and the group's part in all.


def _pixel(made, sums, counts, mine, number, groups):
    excess, elements = (_of_group(made, sums[f"part_{name}"][mine], number, groups) for name in ("excess", "elements"))
    total, n = excess.sum(axis=0), elements.sum(axis=0)
    return 1 + total / n, 1 + (total - excess) / (n - elements), elements / n


def _by_color(made, sums, counts, mine, number, groups):
    G2, IP, IF = (_of_group(made, sums[f"part_{name}"][mine], number, groups) for name in ("G2", "IP", "IF"))
    elements = np.bincount(number, sums["part_elements"][mine], groups)[:, None]
    n = elements.sum()

    def ratio(G2, IP, IF, n):
        return counts * G2 * n / (IP * IF)

    totals = G2.sum(axis=0), IP.sum(axis=0), IF.sum(axis=0)
    left = ratio(totals[0] - G2, totals[1] - IP, totals[2] - IF, n - elements)
    return ratio(*totals, n), left, elements / n


def _by_fine(made, sums, counts, mine, number, groups):
    fine = made.parts.fine[mine]
    fines, place = np.unique(fine, return_inverse=True)
    own = {name: sums[f"part_{name}"][mine] for name in ("G2", "IP", "IF")}
    elements = sums["part_elements"][mine]
    shared = sums["IP"][fines], sums["IF"][fines], sums["fine_elements"][fines][:, None]
    G2 = made.parts.added(own["G2"], place, len(fines))
    n = np.bincount(place, elements, len(fines))[:, None]

    def terms(G2, IP, IF, fine_elements, n):
        bottom = IP * IF / fine_elements**2
        good = (bottom != 0) & np.isfinite(bottom)
        return np.where(good, counts * G2 / np.where(good, bottom, 1), 0), np.where(good, n, 0.0)

    value, counted = terms(G2, *shared, n)
    total, of_all = value.sum(axis=0), counted.sum(axis=0)
    left, part = np.empty((groups, len(counts))), np.empty((groups, len(counts)))
    for k in range(groups):
        which = np.flatnonzero(number == k)
        at = place[which]
        some = np.unique(at)
        less = [
            _less(array[some], at, some, own[name][which]) for array, name in zip((G2, *shared[:2]), own, strict=True)
        ]
        gone = [_less(array[some], at, some, elements[which][:, None]) for array in (n, shared[2])]
        again, remain = terms(less[0], *less[1:], gone[1], gone[0])
        rest = of_all - (counted[some] - remain).sum(axis=0)
        left[k] = (total - (value[some] - again).sum(axis=0)) / rest
        part[k] = 1 - rest / of_all
    return total / of_all, left, part


def _less(array: NDArray[Any], at: NDArray[np.int64], some: NDArray[np.int64], parts: NDArray[Any]) -> NDArray[Any]:
    """Return rows of an array less the parts at them."""
    left = np.array(array)
    np.subtract.at(left, np.searchsorted(some, at), parts)
    return left
