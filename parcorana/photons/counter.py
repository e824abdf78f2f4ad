"""What a worker counts: numbers of photons of its elements, for stretches of the run."""

import numpy as np

from parcorana import _core
from parcorana.calculation.arrays import Common, PerElement, Summed
from parcorana.curves.stretches import Stretches
from parcorana.photons.windows import NONE, windows_of

#: The most stretches of the run, for errors.
POINTS = 64
#: The most windows of each exposure that are kept, to be compared with others far away.
KEPT = 16
#: An element that nothing has saturated.
NEVER = np.iinfo(np.int64).max
#: Elements whose windows are compared at once.
TOGETHER = 1 << 16
_AT_ONCE = 128  # events of one call of the kernel


class Counter:
    """Counts of the numbers of photons.

    Parameters
    ----------
    color : (n,) int32
        Place of each element's colour among all; -1: in none.
    colors : int
    about : parcorana.photons.parameters.About
    """

    def __init__(self, color, colors, about):
        self.about, self.color, self.colors = about, np.ascontiguousarray(color, np.int32), colors
        n, slots, levels = len(color), len(about.exposures), about.levels
        self.pending = np.full((levels - 1, n), -1, np.int32)
        self.kept = np.zeros((slots, KEPT, n), np.uint8)
        self.spoilt = np.full(n, NEVER)
        self.begun = np.full(levels - 1, NONE)
        self.seen = np.zeros((2, slots), np.int64)  # complete windows of each exposure, and of how many one is kept
        self.seen[1] = 1
        self.counts = np.zeros((POINTS, slots, colors, about.kmax + 2), np.int64)
        self.photons = np.zeros((POINTS, slots, colors), np.int64)
        self._stretch()

    def _stretch(self):
        columns = {"counts": (np.add, self.counts), "photons": (np.add, self.photons)}
        self.stretches = Stretches(columns, POINTS)

    def arrays(self):
        """Declare what there is."""
        found = {name: PerElement(getattr(self, name)) for name in ("pending", "kept", "spoilt")}
        found |= {name: Common(getattr(self, name)) for name in ("begun", "seen")}
        found |= {name: Summed(getattr(self, name)) for name in ("counts", "photons")}
        return found | {f"stretches.{name}": Common(array) for name, array in self.stretches.common().items()}

    def copy(self):
        """Return another one that goes on by itself."""
        other = object.__new__(Counter)
        other.about, other.color, other.colors = self.about, self.color, self.colors
        for name in ("pending", "kept", "begun", "seen", "counts", "photons"):
            setattr(other, name, getattr(self, name).copy())
        other.spoilt = self.spoilt  # what saturates is known when it arrives
        other._stretch()
        for name, array in self.stretches.common().items():
            other.stretches.common()[name][...] = array
        return other

    def end_run(self):
        """Note that no window goes on."""
        self.begun[:] = NONE

    def add(self, events, threads):
        """Add events in the order of time.

        Parameters
        ----------
        events : parcorana.correlation.settled.Settled
        threads : int

        Returns
        -------
        sums, number : (m, C) int64
            Photons of each colour at each event, and the elements that count in it.
        """
        sums, number = np.zeros((2, len(events), self.colors), np.int64)
        is_double, spoilt = events.dtype == np.float64, (self.spoilt != NEVER).any()
        at = 0
        while at < len(events):
            part = slice(at, min(len(events), at + min(_AT_ONCE, self.stretches.room())))
            counters = events.counters[part]
            windows = windows_of(counters, self.begun)
            counts, photons = np.zeros(self.counts.shape[1:], np.int64), np.zeros(self.photons.shape[1:], np.int64)
            _core.count_photons(
                np.ascontiguousarray(events.rows[part]), np.ascontiguousarray(events.numbers[part]), is_double,
                windows, self.about, self.color, self.colors, self.pending, self._to_keep(windows), self.kept,
                self.spoilt if spoilt else None, counts, photons, sums[part], number[part], threads,
            )  # fmt: skip
            self.stretches.put_together(counters, counts=counts, photons=photons)
            at = part.stop
        return sums, number

    def _to_keep(self, windows):
        """Return slot, place and frame of what is kept of some windows, (k, 3); make room for it."""
        chosen = []
        for slot, level in enumerate(self.about.level_of):
            before, new = int(self.seen[0, slot]), int(windows.first[level + 1] - windows.first[level])
            step = int(self.seen[1, slot])
            while -(-(before + new) // step) > KEPT:
                self.kept[slot, : KEPT // 2] = self.kept[slot, ::2].copy()
                step *= 2
            for number in range(-(-before // step) * step, before + new, step):
                chosen.append((slot, number // step, windows.first[level] + number - before))
            self.seen[:, slot] = before + new, step
        return np.array(chosen, np.int64).reshape(-1, 3)

    def unrelated(self):
        """Return the counts of sums of two windows that are far apart in time.

        Returns
        -------
        counts : (S, C, kmax + 2) int64
        photons : (S, C) int64
        """
        kmax = self.about.kmax
        counts, photons = np.zeros(self.counts.shape[1:], np.int64), np.zeros(self.photons.shape[1:], np.int64)
        for first in range(0, len(self.color), TOGETHER):
            part = slice(first, first + TOGETHER)
            good = (self.color[part] >= 0) & (self.spoilt[part] == NEVER)
            color, kept = self.color[part][good].astype(np.int64), self.kept[:, :, part]
            for slot, (seen, step) in enumerate(self.seen.T.tolist()):
                there = -(-seen // step)
                for k in range(there - there // 2 if there > 1 else 0):
                    other = k + there // 2
                    both = kept[slot, k, good].astype(np.int64) + kept[slot, other, good]
                    at = color * (kmax + 2) + np.minimum(both, kmax + 1)
                    counts[slot] += np.bincount(at, minlength=self.colors * (kmax + 2)).reshape(self.colors, -1)
                    photons[slot] += np.bincount(color, weights=both, minlength=self.colors).astype(np.int64)
        return counts, photons
