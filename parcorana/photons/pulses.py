"""How much the intensity of each colour varies from pulse to pulse, on the viewer."""

import copy

import numpy as np

from parcorana.photons.windows import NONE, windows_of

_AT_ONCE = 1024


class Pulses:
    """Moments of the mean of each colour, over windows of each exposure.

    Parameters
    ----------
    about : parcorana.photons.parameters.About
    colors : int
    """

    def __init__(self, about, colors):
        self._about = about
        self._begun = np.full(about.levels - 1, NONE)
        self._pending = np.zeros((2, max(about.levels - 1, 1), colors))
        #: Windows, sum of means, of their squares, and of what their photons alone make of the variance.
        self._moments = np.zeros((4, len(about.exposures), colors))
        self._run = np.zeros(1, np.int64)

    def add(self, counters, run, sums, number):
        """Add events in the order of time.

        Parameters
        ----------
        counters, run : (m,) int64
        sums, number : (m, C) int64
            Photons of each colour, and the elements that they are of.
        """
        for part in np.split(np.arange(len(run)), np.flatnonzero(np.diff(run)) + 1) if len(run) else ():
            if run[part[0]] != self._run[0]:
                self._begun[:], self._run[0] = NONE, run[part[0]]
            for event in part:  # one by one, so that sums do not depend on what came together
                self._add_one(counters[event : event + 1], sums[event], number[event])

    def _add_one(self, counter, sums, number):
        with np.errstate(divide="ignore", invalid="ignore"):
            frames = [np.array([sums / number, sums / number**2.0])]  # NaN where no element is left
        windows = windows_of(counter, self._begun)
        for f in range(1, len(windows.left)):
            half = self._pending[:, f - 1] if windows.left[f] < 0 else frames[windows.left[f]]
            frames.append(half + frames[windows.right[f]])
        for level, last in enumerate(windows.last):
            if last >= 0:
                self._pending[:, level] = frames[last]
        for slot, level in enumerate(self._about.level_of):
            if windows.first[level + 1] > windows.first[level]:
                mean, noise = frames[windows.first[level]]
                good = np.isfinite(mean)
                self._moments[:, slot] += np.where(good, [good, mean, mean**2, noise], 0)

    def variance(self):
        """Return the relative variance without that of the photons, (S, C) float64; NaN below two windows."""
        n, first, second, noise = self._moments
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = first / n
            return np.where(n > 1, ((second - n * mean**2) / (n - 1) - noise / n) / mean**2, np.nan)

    def copy(self):
        """Return another one that goes on by itself."""
        return copy.deepcopy(self)

    def state(self):
        """Return what a checkpoint keeps."""
        return {"begun": self._begun, "pending": self._pending, "moments": self._moments, "run": self._run}

    def restore(self, state):
        """Take up what `state` has returned."""
        for name, array in self.state().items():
            array[...] = state[name]
