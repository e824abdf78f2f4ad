"""What one call of the correlation kernel does, and the events that it is planned for."""

from dataclasses import dataclass, field

import numpy as np

from parcorana import _core

_NONE = np.zeros(0, np.int64)
_NO_RUNS = np.zeros(0, _core.RUN_DTYPE)


@dataclass
class Plan:
    """What one call of the kernel does; see csrc/correlate.h for the fields.

    Attributes
    ----------
    counts : (D,) int64
        Number of pairs that it adds (or takes away) per delay.
    step : int
        Pulses per position; 0 where positions are just events in their order.
    """

    length: int
    old: np.ndarray = field(default_factory=lambda: _NO_RUNS)
    source: np.ndarray = field(default_factory=lambda: _NONE)
    fresh: np.ndarray = field(default_factory=lambda: _NO_RUNS)
    keep: np.ndarray = field(default_factory=lambda: _NO_RUNS)
    begin: int = 0
    end: int = 0
    gone: int = 0
    all_new: bool = True
    mode: int = _core.ONLY_G2
    defer: bool = False
    shift: np.ndarray = field(default_factory=lambda: _NONE)
    column: np.ndarray = field(default_factory=lambda: _NONE)
    present: np.ndarray | None = None
    is_new: np.ndarray | None = None
    missing: np.ndarray | None = None
    new_first: np.ndarray | None = None
    lo: np.ndarray | None = None
    hi: np.ndarray | None = None
    run: np.ndarray | None = None
    start: np.ndarray | None = None
    sign: float = 1.0
    counts: np.ndarray | None = None
    step: int = 0


@dataclass(frozen=True)
class Union:
    """Events by time: those stored when a stretch began, and those that entered.

    Attributes
    ----------
    counter : (u,) int64 [pulses], increasing
    row : (u,) int64
        Row of the storage; for those that entered, the row they will have, -1
        if they have left again.
    seq : (u,) int32
        -1: was stored before; k: entered as the k-th.
    leave : (u,) int32
        `seq` of the event that pushed it out, just before that one entered; `_core.STAYS` if none did.
    head : int
        The first so many have left.
    """

    counter: np.ndarray
    row: np.ndarray
    seq: np.ndarray
    leave: np.ndarray
    head: int

    def part(self, keep):
        """Return the events of a slice; none of them has left."""
        return Union(self.counter[keep], self.row[keep], self.seq[keep], self.leave[keep], 0)


def as_runs(source, target):
    """Group pairs (source, target) into runs in which both go up by one.

    Parameters
    ----------
    source, target : (n,) int
        Sorted by one of them.

    Returns
    -------
    (R,) structured array with fields i, j, length
    """
    breaks = np.flatnonzero((np.diff(source) != 1) | (np.diff(target) != 1)) + 1
    first = np.concatenate([np.zeros(min(len(source), 1), np.int64), breaks])
    run = np.empty(len(first), _core.RUN_DTYPE)
    run["i"], run["j"] = source[first], target[first]
    run["length"] = np.diff(np.append(first, len(source)))
    return run
