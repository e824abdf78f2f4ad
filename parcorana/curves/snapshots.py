"""Sums of the colours at the ends of stretches of a run, in bounded memory: what came in between is their difference.

Workers make them where a stretch ends, the viewer keeps them. Both ask an `Ends` where that is, and it decides by the
sequence of events alone, so that a run that goes on, or other ranks, have the same stretches.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The most stretches of a run, and the fewest that many colours leave of these.
POINTS, FEWEST = 64, 16
#: Bytes that the viewer keeps at most, if that are not fewer than `FEWEST` stretches.
_BYTES = 32 << 20
#: Of what `ColorSums.reduce` returns.
KEPT = ("elements", "fine_elements", "G2", "IP", "IF")


def points_of(nbytes: int) -> int:
    """Return how many stretches a run may have if the sums of one take so many bytes."""
    return min(POINTS, max(FEWEST, _BYTES // max(nbytes, 1)))


class Ends:
    """Where stretches of a run end: at the first chance behind each multiple of a width, which doubles as they fill up.

    Parameters
    ----------
    width : int
        Processed events, to begin with.
    points : int
        The most stretches.

    Attributes
    ----------
    state : (points + 2,) int64
        Width, number of ends, events processed at each; changed in place.
    """

    def __init__(self, width: int, points: int) -> None:
        self.state = np.zeros(points + 2, np.int64)
        self.state[0] = width

    @property
    def events(self) -> NDArray[np.int64]:
        """Events processed at each end, increasing."""
        return self.state[2 : 2 + int(self.state[1])]

    def take(self, processed: int) -> bool:
        """Tell whether a stretch ends after so many events; note it."""
        if not self._passes(processed, self.events[-1:]):
            return False
        while self.state[1] == len(self.state) - 2:
            self._halve()
        if not self._passes(processed, self.events[-1:]):
            return False
        self.state[2 + self.state[1]] = processed
        self.state[1] += 1
        return True

    def _passes(self, processed, before):
        width = self.state[0]
        return processed // width > (before[-1] if len(before) else 0) // width

    def _halve(self):
        self.state[0] *= 2
        kept: list[int] = []
        for end in self.events.tolist():
            if self._passes(end, kept):
                kept.append(end)
        self.state[1] = len(kept)
        self.state[2:] = 0
        self.state[2 : 2 + len(kept)] = kept


class Snapshots:
    """What the viewer has of the sums at the ends of stretches.

    Parameters
    ----------
    ends : Ends
    """

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self._kept: dict[int, dict[str, NDArray[Any]]] = {}

    def take(
        self,
        processed: int,
        sums: Mapping[str, NDArray[np.float64]],
        counts: NDArray[np.int64],
        series: NDArray[np.float64] | None = None,
    ) -> None:
        """Take the sums at so many events, if a stretch ends there.

        Parameters
        ----------
        processed : int
        sums : dict of arrays
            As `ColorSums.reduce` returns them, over all workers.
        counts : (D,) int64
        series : (3, S, D) float64, optional
            G2, IP and IF of the series of `frame_norm`, over the same pairs.
        """
        if not self.ends.take(processed):
            return
        now = {name: np.array(sums[name]) for name in KEPT if name in sums} | {"counts": np.array(counts)}
        self._kept[processed] = now if series is None else now | {"series": np.array(series)}
        self._kept = {end: self._kept[end] for end in self.ends.events.tolist()}

    def before(self, processed: int) -> tuple[list[int], list[dict[str, NDArray[Any]]]]:
        """Return events and sums at the ends until so many events.

        The last of these is left out if hardly anything has come since: less than half of a stretch.
        """
        ends = [end for end in self._kept if end < processed]
        if len(ends) > 1 and processed - ends[-1] < (ends[-1] - ends[0]) / (len(ends) - 1) / 2:
            ends.pop()
        return ends, [self._kept[end] for end in ends]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps."""
        kept = {"ends": self.ends.state}
        for name in next(iter(self._kept.values()), {}):
            kept[name] = np.array([one[name] for one in self._kept.values()])
        return kept

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` has returned."""
        self.ends.state[...] = state["ends"]
        columns = {name: array for name, array in state.items() if name != "ends"}
        self._kept = {
            end: {name: column[k] for name, column in columns.items()}
            for k, end in enumerate(self.ends.events.tolist())
        }
