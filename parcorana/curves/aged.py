"""Aged curves: the sums of an update less those of the one before are the pairs whose later event came in between."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.sums import ColorSums, Curve

_KEPT = ("elements", "fine_elements", "G2", "IP", "IF")
_NAMED = 10  # colours that a sentence names


@dataclass(frozen=True)
class Aged:
    """The curves of the pairs that came between two updates.

    Attributes
    ----------
    since : int
        Events processed at the update before; 0 for the first.
    counts : (D,) int64
        Pairs of each delay.
    curve : Curve
        Of all colours, (C, D), without errors; NaN where elements are no longer the same.
    changed : (C,) bool
        Colours of which elements saturated in between.
    series : (3, S, D) float64 or None
        G2, IP and IF of the series of `frame_norm`, over the same pairs.
    """

    since: int
    counts: NDArray[np.int64]
    curve: Curve
    changed: NDArray[np.bool_]
    series: NDArray[np.float64] | None


class Ages:
    """The sums of the last two updates.

    Parameters
    ----------
    made : ColorSums
        Of a normalization made of sums: 'finecolor' or 'color'.
    """

    def __init__(self, made: ColorSums) -> None:
        self._made = made
        self._at = np.zeros(2, np.int64)  # events processed at each
        self._before: dict[str, NDArray[Any]] = {}
        self._now: dict[str, NDArray[Any]] = {}

    def take(
        self,
        processed: int,
        sums: Mapping[str, NDArray[np.float64]],
        counts: NDArray[np.int64],
        series: NDArray[np.float64] | None = None,
    ) -> Aged | None:
        """Take the sums of an update; one that is published again is still the last one.

        Parameters
        ----------
        processed : int
            Events, at the update.
        sums : dict of arrays
            As `ColorSums.reduce` returns them, over all workers.
        counts : (D,) int64
        series : (3, S, D) float64, optional

        Returns
        -------
        Aged or None
            None where pairs were taken away in between, as a class with a calculation of its own may do.
        """
        if processed != self._at[1]:
            self._at, self._before = np.array([self._at[1], processed]), self._now
        now = {name: np.array(sums[name]) for name in _KEPT if name in sums} | {"counts": np.array(counts)}
        self._now = now if series is None else now | {"series": np.array(series)}
        return self._difference()

    def _difference(self):
        now = self._now
        nothing = {name: array if "elements" in name else np.zeros_like(array) for name, array in now.items()}
        before = self._before or nothing
        counts = now["counts"] - before["counts"]
        if (counts < 0).any():
            return None
        sums, changed = self._made.since(now, before)
        series = now["series"] - before["series"] if "series" in now else None
        return Aged(int(self._at[0]), counts, self._made.table(sums, counts), changed, series)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps."""
        kept = {"at": self._at}
        for which, arrays in (("before", self._before), ("now", self._now)):
            kept |= {f"{which} {name}": array for name, array in arrays.items()}
        return kept

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` has returned."""
        self._at = state["at"]
        self._before, self._now = (
            {name.removeprefix(which): array for name, array in state.items() if name.startswith(which)}
            for which in ("before ", "now ")
        )


def sentence(colors: NDArray[np.int64], aged: Aged, normalization: str) -> str:
    """Return what is said of colours that have no curve, or one of fewer elements; empty if there are none."""
    which = np.flatnonzero(aged.changed)
    if not len(which):
        return ""
    listed = ", ".join(str(colors[c]) for c in which[:_NAMED]) + ", ..." * (len(which) > _NAMED)
    text = f"elements of {len(which):,} of {len(colors):,} colours saturated since the update before: {listed}"
    if normalization == "color":
        return (
            f"{text}; these have no aged curve of this stretch (with the normalization 'finecolor' only the fine "
            "colours of such elements are left out)"
        )
    none = np.count_nonzero(aged.curve.elements[which].max(axis=1, initial=0) == 0)
    without = f"; {none:,} of them have no other" if none else ""
    return f"{text}; their aged curves of this stretch are without the fine colours of these elements{without}"
