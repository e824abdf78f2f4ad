"""What a few hundred events say of a detector's elements: their mean, and which of them are hot, dead or broken."""

import numpy as np

_AROUND = 2  # elements to each side that count as neighbours
_STRIP = 64  # rows at a time: bounds the memory of the neighbours' medians


class Statistics:
    """Mean and spread of each element over events.

    Attributes
    ----------
    events : int
    """

    def __init__(self):
        self.events = 0

    def add(self, frame):
        """Add one event's ndarray."""
        if not self.events:
            self._first = np.asarray(frame, np.float64).copy()
            self._sum, self._squares = np.zeros(frame.shape), np.zeros(frame.shape)
        # from the first frame on: what does not change stays exactly 0, and large offsets cost no digits
        change = frame - self._first
        self._sum += change
        self._squares += change**2
        self.events += 1

    @property
    def mean(self):
        """Mean of each element over the events; NaN where one was not finite."""
        return self._first + self._sum / self.events

    @property
    def deviation(self):
        """Standard deviation of each element over the events."""
        mean = self._sum / self.events
        return np.sqrt(np.maximum(self._squares / self.events - mean**2, 0))

    def broken(self):
        """Return where an event had a value that is not finite."""
        return ~np.isfinite(self._squares)

    def dead(self):
        """Return where the value is the same in every event; nowhere if there is only one."""
        return (self._squares == 0) & (self.events > 1)

    def hot(self, times):
        """Return where the mean or the deviation is far above that of the neighbours.

        Far is `times` the standard deviation of all elements' distance from
        the median of their 5 x 5 neighbours, estimated from its median
        (1.4826 median absolute deviations), so that hot elements do not hide
        themselves. None if more than half of the elements are like their
        neighbours, as with too few counts: then nothing is usual.
        """
        found = [_outliers(values, times) for values in (self.mean, self.deviation)]
        found = [where for where in found if where is not None]
        return np.logical_or.reduce(found) if found else None


def _outliers(values, times):
    distance = values - _median_around(values)
    usual = distance[np.isfinite(distance)]
    middle = np.median(usual) if len(usual) else 0.0
    spread = 1.4826 * np.median(np.abs(usual - middle)) if len(usual) else 0.0
    if spread <= 1e-9 * np.abs(usual).max(initial=0.0):
        return None
    with np.errstate(invalid="ignore"):
        return distance > middle + times * spread


def _median_around(values):
    """Return the median of each element and its neighbours, along the last two axes."""
    shape = values.shape
    rows, columns = (1, *shape)[-2:]
    result = np.empty(values.size).reshape(-1, rows, columns)
    size = 2 * _AROUND + 1
    for segment, into in zip(values.reshape(-1, rows, columns), result, strict=True):
        padded = np.pad(segment, _AROUND, mode="reflect" if min(rows, columns) > _AROUND else "edge")
        window = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
        for first in range(0, rows, _STRIP):
            strip = window[first : first + _STRIP].reshape(-1, columns, size * size)
            into[first : first + _STRIP] = np.partition(strip, strip.shape[-1] // 2, axis=-1)[..., strip.shape[-1] // 2]
    return result.reshape(shape)
