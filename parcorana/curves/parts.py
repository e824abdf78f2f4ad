"""Sums of pixel groups: each element's are added to those of its group, and these to those of its colour."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_APART = ("G2", "IP", "IF", "excess")  # sums of which those of each group are kept


class Parts:
    """The smallest sets of elements that are summed: of one colour, one mean that divides, and one pixel group.

    Parameters
    ----------
    index : (N,) int64
        Of each element's colour; -1 where it is in no curve.
    fine : (N,) int64 or None
        Of what divides it, if that is no colour: with the normalization 'finecolor'.
    group : (N,) int64
        Number of its pixel group within the colour.

    Attributes
    ----------
    color, fine, group : (P,) int64
        Of each part.
    """

    def __init__(self, index: NDArray[np.int64], fine: Any, group: NDArray[np.int64]) -> None:
        most = int(group.max()) + 1
        key = (index if fine is None else fine * (int(index.max()) + 2) + index + 1) * most + group
        self._colored = index >= 0
        counted = self._colored if fine is None else np.ones(len(index), bool)
        keys, first = np.unique(key[counted], return_index=True)
        self._part = np.where(counted, np.searchsorted(keys, key), -1)
        each = np.flatnonzero(counted)[first]
        self.color, self.group = index[each], group[each]
        self.fine = self.color if fine is None else fine[each]

    def __len__(self) -> int:
        return len(self.color)

    def of(self, which: slice, ok: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return of some elements the part that they belong to, and the same of those that divide; -1 for none."""
        part = np.where(ok, self._part[which], -1)
        return np.where(self._colored[which], part, -1), part

    def named(self, tables: dict[str, NDArray[np.float64]], part: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return of tables (P, D) what is kept of each part, and the elements that are in it."""
        kept = {f"part_{name}": tables[name] for name in _APART if name in tables}
        elements = np.bincount(part[part >= 0], minlength=len(self)).astype(np.float64)
        return kept | {"part_elements": elements[:, None] - tables["zero"] if "zero" in tables else elements}

    @staticmethod
    def added(table: NDArray[np.float64], to: NDArray[np.int64], size: int) -> NDArray[np.float64]:
        """Add up a table of parts, (P, D), over those that belong to one row of what is returned, (size, D)."""
        sums = np.zeros((size, table.shape[1]))
        np.add.at(sums, to[to >= 0], table[to >= 0])
        return sums
