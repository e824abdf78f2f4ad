"""Tells when a rate does not fit the times of the events."""

import numpy as np

_WINDOW = 200  # events that are looked at together
_NEAR = 0.2  # pulses: what is further from the nearest count lies between two
_MANY = 0.1  # fraction of a window
_FEW = 20  # events that are not enough to judge by


class RateCheck:
    """Looks whether events lie on the counts of a rate or between two of them.

    Between two counts the rounding decides, and events that are equally far
    apart come to lie at delays that differ by one.

    Parameters
    ----------
    rate : float [Hz]
    """

    def __init__(self, rate):
        self.rate = rate
        self._stamps = []
        self._held = 0
        self._told = False

    def look(self, stamps, first):
        """Look at a block; return a line of warning, once, else None.

        Parameters
        ----------
        stamps : (m,) int64 [ns]
        first : int [ns]
            Time of the first event of all, which is count 0.
        """
        if self._told:
            return None
        self._stamps.append(np.array(stamps))
        self._held += len(stamps)
        if self._held < _WINDOW:
            return None
        return self._judge(first)

    def rest(self, first):
        """Look at what is left at the end, too few for a window; return a line of warning, else None."""
        return self._judge(first) if self._held >= _FEW and not self._told else None

    def _judge(self, first):
        window = np.concatenate(self._stamps)
        self._stamps, self._held = [], 0
        # float64: a phase of 1 MHz pulses after ten days is good to 1e-4
        pulses = (window - first) * (self.rate * 1e-9)
        between = int(np.count_nonzero(np.abs(pulses - np.rint(pulses)) > _NEAR))
        if between <= _MANY * len(window):
            return None
        self._told = True
        steps = np.diff(window)
        step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        apart = (
            f"; they are mostly {step * 1e-6:.4g} ms apart ({1e9 / step:.6g} Hz), {step * self.rate * 1e-9:.4g} pulses"
            if step
            else ""
        )
        return (
            f"rate={self.rate}: {between} of {len(window)} events lie between two counts, "
            f"more than {_NEAR} pulses from either{apart}: is rate right?"
        )
