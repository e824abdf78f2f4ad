"""Curves of stretches of a run, and without each of them: errors from time blocks, and whether g2 changes with age."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves import stationarity
from parcorana.curves.framenorm import g2_of
from parcorana.curves.jackknife import deviations
from parcorana.curves.sums import ColorSums

#: Stretches that errors take at the least.
FEWEST = 8
_DELAYS = 4  # that a stretch must be longer than
_DECAYS = 4  # decay times of g2 - 1 that it must have, or neighbours vary together


def _nothing(sums):
    """Return sums of no event, of the same elements."""
    return {name: array if "elements" in name else np.zeros_like(array) for name, array in sums.items()}


@dataclass(frozen=True)
class TimeBlocks:
    """The run in stretches: sums at the end of each, the last of them those of all.

    Attributes
    ----------
    made : ColorSums
        Of a normalization made of sums: 'finecolor' or 'color'.
    delays : (D,) int64 [pulses]
    events : (S,) int64
        Processed at the end of each stretch.
    sums : list of S dicts of arrays
        As `parcorana.curves.snapshots.Snapshots` keeps them.
    pulses : float
        From one event to the next, about.
    """

    made: ColorSums
    delays: NDArray[np.int64]
    events: NDArray[np.int64]
    sums: list[dict[str, NDArray[Any]]]
    pulses: float

    def _same(self) -> NDArray[np.int64]:
        """Return of each colour the first end that has the elements of all, (C,)."""
        found = np.zeros(len(self.made.colors), np.int64)
        for k, sums in enumerate(self.sums[:-1]):
            found[self.made.since(self.sums[-1], sums)[1]] = k + 1
        return found

    def _edges(self, parts: int, first: int) -> list[int]:
        """Return where so many stretches of neighbours begin and end: 0 is the beginning, k + 1 the end of stretch k.

        What comes before `first`, if that is not 0, is one stretch with what follows.
        """
        edges = np.round(np.linspace(0, len(self.sums), parts + 1)).astype(int).tolist()
        return [0, *(edge for edge in edges if edge > first)]

    def _parts(self) -> list[int]:
        """Return in how many stretches the run is looked at, most first."""
        found = [len(self.sums)] if len(self.sums) >= FEWEST else []
        while found and found[-1] > FEWEST:
            found.append(max(found[-1] * 3 // 4, FEWEST))
        return found

    def _lengths(self, edges: Sequence[int]) -> NDArray[np.float64]:
        """Return how many pulses each stretch has."""
        return np.diff(np.concatenate([[0], self.events])[list(edges)]) * self.pulses

    def _curve(self, sums: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return g2 of all colours, (C, D)."""
        curve = self.made.table(sums, sums["counts"]).g2
        if "series" in sums:
            norm = g2_of(sums["series"], sums["counts"])
            norm = norm if len(norm) == 1 else norm[: len(curve)]
            curve = curve / np.where(norm > 0, norm, np.nan)
        return curve

    def _of(self, edges: Sequence[int]) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
        """Generate of each stretch the sums of it, and those of all the others."""
        total, before = self.sums[-1], _nothing(self.sums[-1])
        for edge in edges[1:]:
            own = self._between(before, self.sums[edge - 1])
            rest = {name: total[name] - own[name] for name in ("G2", "IP", "IF", "counts", "series") if name in total}
            # of colours whose elements are not those of all nobody looks at it
            yield own, own | rest | {name: total[name] for name in total if "elements" in name}
            before = self.sums[edge - 1]

    def _between(self, before: Mapping[str, NDArray[Any]], end: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        own = self.made.since(end, before)[0]
        return own | {name: end[name] - before[name] for name in ("counts", "series") if name in end}

    def _whole(self) -> NDArray[np.float64]:
        return self._curve(self._between(_nothing(self.sums[-1]), self.sums[-1]))

    def _looked_at(self) -> Iterator[tuple[int, list[int], NDArray[np.bool_]]]:
        """Generate in which stretches the run is looked at, most first, and at which colours, (C,)."""
        same = self._same()
        for parts in self._parts():
            for first in np.unique(same).tolist():
                edges = self._edges(parts, first)
                if len(edges) > FEWEST:
                    yield parts, edges, same == first

    def deviations(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return how each stretch makes the curves deviate.

        A pair belongs to the stretch of the event that completes it. Stretches
        are as many as leave each longer than four delays, and four decay times
        of the colour; so of long delays neighbours are taken together, and
        share what they deviate by.

        Returns
        -------
        deviations : (C, K, D) float64
            Sums of squares over K are variances, of products covariances. NaN of a delay for which there are fewer
            than `FEWEST` stretches, or where elements saturated too late for so many to come after it.
        groups : (C,) int64
            The most stretches of one delay; 0 where there are too few at all.
        """
        C, D, K = len(self.made.colors), len(self.delays), len(self.sums)
        rows, groups = np.full((C, K, D), np.nan), np.zeros(C, np.int64)
        if K < FEWEST:
            return rows, groups
        total = self._whole()
        left, decay = np.ones((C, D), bool), np.full(C, np.nan)
        for _, edges, mine in self._looked_at():
            length = self._lengths(edges).min()
            if not (which := mine[:, None] & left & (length > _DELAYS * self.delays)).any():
                continue
            pairs = [(own["counts"], self._curve(rest)) for own, rest in self._of(edges)]
            counts, without = (np.array(column) for column in zip(*pairs, strict=True))
            part = counts / np.maximum(counts.sum(axis=0), 1)
            found = deviations(total, without, np.broadcast_to(part[:, None], without.shape))
            new = mine & np.isnan(decay)  # of the finest stretches
            error = np.sqrt(np.square(found).sum(axis=0))
            decay[new] = [
                stationarity.decay_time(self.delays, total[c], error[c]) for c in np.flatnonzero(new).tolist()
            ]
            # where it does not decay nobody knows, and what is known of the delays has to do
            enough = np.where(np.isfinite(decay), _DECAYS * decay, 0) <= length
            which &= enough[:, None] & np.isfinite(found).all(axis=0)
            spread = np.diff(edges)  # a stretch of several has a row for each of these
            found = np.repeat(found / np.sqrt(spread)[:, None, None], spread, axis=0).swapaxes(0, 1)
            rows = np.where(which[:, None], found, rows)
            groups = np.maximum(groups, which.any(axis=1) * (len(edges) - 1))
            left &= ~which
        return rows, groups

    def stationarity(self) -> tuple[NDArray[np.float64], list[str]]:
        """Return how probable it is that g2 of each colour changes as it does by chance, and why it is not known.

        Returns
        -------
        (C,) float64
            NaN where it is not known.
        list of str
            Of each colour: empty, or one of `parcorana.curves.stationarity`.
        """
        C = len(self.made.colors)
        found, why = np.full(C, np.nan), [stationarity.TOO_SHORT] * C
        if len(self.sums) < stationarity.LEAST:
            return found, why
        total = self._whole()
        same = self._same()
        for c in np.flatnonzero(len(self.sums) - same < stationarity.LEAST):
            why[c] = stationarity.CHANGED
        left = np.ones(C, bool)
        for _, edges, mine in self._looked_at():
            if not (mine & left).any():
                continue
            lengths, own = self._lengths(edges), np.array([self._curve(sums) for sums, _ in self._of(edges)])
            with np.errstate(invalid="ignore"):
                error = own.std(axis=0, ddof=1) / np.sqrt(len(own))
            for c in np.flatnonzero(mine & left):
                decay = stationarity.decay_time(self.delays, total[c], error[c])
                why[c] = stationarity.TOO_SHORT if np.isfinite(decay) else stationarity.NO_DECAY
                if stationarity.DECAYS * decay <= lengths.min():
                    found[c] = stationarity.probability(own[:, c], total[c], self.delays)
                    why[c], left[c] = "" if np.isfinite(found[c]) else stationarity.NOTHING, False
        return found, why
