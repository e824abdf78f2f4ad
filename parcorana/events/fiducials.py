"""LCLS-I's fiducials: a counter of 360 Hz that begins again every six minutes."""

WRAP = 0x1FFE0
"""Fiducials after which the counter begins again at 0 (131040)."""

HZ = 360


class FiducialClock:
    """Turns times and fiducials into nanoseconds without the clock's jitter.

    The fiducial says on which of the 360 pulses of a second an event was; the
    time, good to a fraction of six minutes, says how often it has begun again.
    """

    def __init__(self):
        self._first = None
        self._base = 0

    def stamp(self, seconds, nanoseconds, fiducial):
        """Return the time of an event.

        Parameters
        ----------
        seconds, nanoseconds : int
            Of the event's own time.
        fiducial : int
            0 to `WRAP` - 1.

        Returns
        -------
        int [ns]
            Since the epoch of the first event, which has its own time.
        """
        time = seconds * 10**9 + nanoseconds
        if self._first is None:
            self._first, self._base = time, fiducial
        # whole turns, the nearest to what the time says
        by_time = (time - self._first) * HZ
        by_fiducial = (fiducial - self._base) * 10**9
        turn = WRAP * 10**9
        turns = (by_time - by_fiducial + turn // 2) // turn
        pulses = fiducial - self._base + turns * WRAP
        return self._first + (2 * pulses * 10**9 + HZ) // (2 * HZ)
