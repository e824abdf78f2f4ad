"""What a few hundred events say of a detector's elements: mean and deviation, which are dead, gaps or broken."""

import numpy as np


class Statistics:
    """Mean and spread of each element over events.

    Attributes
    ----------
    events : int
    top : int or float
        The largest value of the frames' dtype: it stands for gaps, masked and
        overflown elements.
    """

    def __init__(self):
        self.events = 0

    def add(self, frame):
        """Add one event's ndarray."""
        if not self.events:
            self.top = (np.iinfo if frame.dtype.kind in "iu" else np.finfo)(frame.dtype).max
            self._first = np.asarray(frame, np.float64).copy()
            self._sum, self._squares = np.zeros(frame.shape), np.zeros(frame.shape)
            self._largest = np.zeros(frame.shape)
            self._at_top, self._negative = np.zeros((2, *frame.shape), np.int32)
            self._smallest = 0
        # from the first frame on: what does not change stays exactly 0, and large offsets cost no digits
        with np.errstate(over="ignore", invalid="ignore"):  # of what is not finite, or as good as not
            change = frame - self._first
            self._sum += change
            self._squares += change**2
            np.maximum(self._largest, change, out=self._largest)
        self._at_top += frame == self.top
        if frame.dtype.kind == "i":
            self._negative += frame < 0
            self._smallest = min(self._smallest, int(frame.min(initial=0)))
        self.events += 1

    def merged(self, other):
        """Return the statistics of the events of both, of frames of the same shape, as if all had been added to one."""
        both = Statistics()
        both.events = self.events + other.events
        both.top, both._smallest = max(self.top, other.top), min(self._smallest, other._smallest)
        both._first, both._at_top = self._first, self._at_top + other._at_top
        both._negative = self._negative + other._negative
        with np.errstate(over="ignore", invalid="ignore"):
            apart = other._first - self._first  # exactly 0 of what does not change
            both._sum = self._sum + other._sum + other.events * apart
            both._squares = self._squares + other._squares + apart * (2 * other._sum + other.events * apart)
            both._largest = np.maximum(self._largest, other._largest + apart)
        return both

    @property
    def shape(self):
        """Shape of the frames."""
        return self._first.shape

    @property
    def mean(self):
        """Mean of each element over the events; NaN where it is a gap, or not finite in one of them."""
        with np.errstate(invalid="ignore"):
            return np.where(self.gaps() | self.broken(), np.nan, self._first + self._sum / self.events)

    @property
    def largest(self):
        """Largest value of each element in any event."""
        return self._first + self._largest

    @property
    def deviation(self):
        """Standard deviation of each element over the events."""
        return _deviation(self._sum, self._squares, self.events)

    def without_largest(self):
        """Return mean and standard deviation of each element without its largest value; of two events at least."""
        events = self.events - 1
        with np.errstate(invalid="ignore", over="ignore"):
            rest, squares = self._sum - self._largest, self._squares - self._largest**2
            return self._first + rest / events, _deviation(rest, squares, events)

    def broken(self):
        """Return where an event had a value that is not finite."""
        return ~np.isfinite(self._squares)

    def dead(self):
        """Return where the value is the same in every event; nowhere if there is only one."""
        return (self._squares == 0) & (self.events > 1)

    def gaps(self):
        """Return where an event had the type's largest value; or a negative whole number that stands for none.

        Detectors mark gaps and masked elements so: as 65535, 4294967295, -1.
        Negative are only -1 and -2, or else an element is so in every event.
        """
        marked = self._at_top > 0
        if self._smallest in (-1, -2):
            marked |= self._negative > 0
        elif self._smallest < 0:
            marked |= self.dead() & (self._negative > 0)
        return marked

    def sometimes_a_gap(self):
        """Return how many of the gaps are none in some events."""
        always = (self._at_top == self.events) | (self._negative == self.events)
        return int(np.count_nonzero(self.gaps() & ~always))


def _deviation(sums, squares, events):
    with np.errstate(invalid="ignore", over="ignore"):
        return np.sqrt(np.maximum(squares / events - (sums / events) ** 2, 0))
