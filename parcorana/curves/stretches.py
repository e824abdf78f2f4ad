"""Numbers of events over time, in bounded memory.

A run is kept as stretches of equally many processed events. When there are too
many of them two neighbours become one, so that a long run has coarser
stretches, and never more than so many.
"""

import numpy as np

#: The most stretches of a run.
POINTS = 512


class Stretches:
    """Columns of numbers, for stretches of equally many events.

    Parameters
    ----------
    columns : dict of str to (ufunc, array)
        How the numbers of two events become one: `np.add`, `np.fmin`, ...; and what is filled in place, (points, ...).
    points : int
        The most stretches; even, since two become one.
    """

    def __init__(self, columns, points):
        self.points = points
        self._at = np.array([1, 0])  # width, and events so far
        self._first, self._last = np.zeros((2, points), np.int64)
        self._columns = {"first": (np.minimum, self._first), "last": (np.maximum, self._last), **columns}

    @property
    def width(self):
        """Processed events in each stretch but the last."""
        return int(self._at[0])

    @property
    def events(self):
        """Events processed so far."""
        return int(self._at[1])

    def put(self, counters, **rows):
        """Add events in the order in which they are processed.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        **rows : (m, ...) arrays
            Of each event the numbers of each column.
        """
        rows |= {"first": counters, "last": counters}
        at = 0
        while at < len(counters):
            if self.events == self.points * self.width:
                self._halve()
            end = min(len(counters), at + self.points * self.width - self.events)
            self._put({name: row[at:end] for name, row in rows.items()}, end - at)
            at = end

    def room(self):
        """Return how many more events the stretch in hand takes; a new one begins where it is full."""
        if self.events == self.points * self.width:
            self._halve()
        return self.width - self.events % self.width

    def put_together(self, counters, **sums):
        """Add events, as many as there is `room` for at the most, by what they have together.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        **sums : arrays
            The numbers of each column, of all of them.
        """
        which, begins = self.events // self.width, self.events % self.width == 0
        sums |= {"first": counters.min(), "last": counters.max()}
        for name, (join, array) in self._columns.items():
            array[which] = sums[name] if begins else join(array[which], sums[name])
        self._at[1] += len(counters)

    def _put(self, rows, events):
        point = (self.events + np.arange(events)) // self.width
        starts = np.flatnonzero(np.diff(point, prepend=-1))
        which = point[starts]
        for name, (join, array) in self._columns.items():
            found = join.reduceat(rows[name], starts, axis=0)
            if self.events % self.width:  # the first one is there already
                found[0] = join(array[which[0]], found[0])
            array[which] = found
        self._at[1] += events

    def _halve(self):
        half = self.points // 2
        for join, array in self._columns.values():
            array[:half] = join(array[0::2], array[1::2])
            array[half:] = 0
        self._at[0] *= 2

    def arrays(self):
        """Return what there is so far.

        Returns
        -------
        dict
            Of each column the stretches in use, (P, ...); 'first', 'last' (P,) int64 [pulses]: of the counters of
            each; 'events' (P,) int64.
        """
        used = -(-self.events // self.width)
        events = np.full(used, self.width, np.int64)
        if used:
            events[-1] = self.events - (used - 1) * self.width
        return {name: array[:used] for name, (_, array) in self._columns.items()} | {"events": events}

    def state(self):
        """Return all that tells the stretches, dict of arrays that are changed in place."""
        return {name: array for name, (_, array) in self._columns.items()} | self.common()

    def common(self):
        """Return the arrays, beside the columns, that tell the stretches: the same on all workers, changed in place."""
        return {"at": self._at, "first": self._first, "last": self._last}
