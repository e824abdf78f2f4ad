"""Windows of 1, 2, 4 ... consecutive pulses, each made of two halves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The counter of a half that is not there.
NONE = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Windows:
    """The windows that some events complete, all levels one behind the other.

    Attributes
    ----------
    first : (L + 1,) int64
        The first frame of each level; level 0 are the events themselves.
    left, right : (frames,) int64
        The halves of each frame; `left` -1: what is pending of the level below.
    last : (L - 1,) int64
        Of each level but the last the frame that is pending afterwards; -1: as before.
    """

    first: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    last: NDArray[np.int64]


def windows_of(counters: NDArray[np.int64], pending: NDArray[np.int64]) -> Windows:
    """Return the windows that events complete, and note what is pending.

    Parameters
    ----------
    counters : (m,) int64 [pulses]
        Increasing; later than all before.
    pending : (L - 1,) int64
        For each level the window that waits for its other half, `NONE` without; is changed.
    """
    levels = len(pending) + 1
    first, last = np.zeros(levels + 1, np.int64), np.full(levels - 1, -1)
    left, right = [np.full(len(counters), -1)], [np.full(len(counters), -1)]
    first[1] = len(counters)
    for level in range(levels - 1):
        numbers = np.arange(first[level], first[level + 1])
        known, places = counters, numbers
        if pending[level] != NONE:
            known, places = np.r_[pending[level], known], np.r_[-1, numbers]
        pairs = np.flatnonzero((known[:-1] % 2 == 0) & (np.diff(known) == 1))
        if len(counters):
            is_half = counters[-1] % 2 == 0
            pending[level], last[level] = (counters[-1], numbers[-1]) if is_half else (NONE, -1)
        left.append(places[pairs])
        right.append(places[pairs + 1])
        counters = known[pairs] // 2
        first[level + 2] = first[level + 1] + len(pairs)
    return Windows(first, np.concatenate(left), np.concatenate(right), last)
