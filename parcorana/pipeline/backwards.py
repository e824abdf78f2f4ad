"""Tells, while a run goes on, that the times of its events go back: a clock was set, or all that comes is too late."""

import numpy as np

from parcorana import _core

_FEW = 100  # events without a newer one among them, of which it is spoken
_FALLS = 0.1  # fraction of them that may be older than the one before: a clock goes forward again once it was set


class Backwards:
    """Follows whether events come in the order of time.

    It speaks of events in a row that are none of them newer than one before,
    if they are in order among themselves, as after a clock was set, or if all
    of them were dropped; and again whenever there are twice as many of these.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    behind : int [pulses]
        The most by which an event that came too late was older than the newest one.
    """

    def __init__(self, config):
        self._config = config
        self.behind, self._before, self._next = 0, 0, _FEW
        self.clear()

    def clear(self):
        """A run ends: the next one has times of its own."""
        self._newest = self._last = None
        self._forget()

    def _forget(self):
        self._count = self._late = self._duplicate = self._falls = self._back = 0

    def look(self, counters, fate, pulses):
        """Look at a stretch of events; return a line of warning, or None.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
            Of the events that were offered to the buffer, in their order.
        fate : (m,) int8
            What became of them, as `parcorana.correlate.rolling.Entry` has it.
        pulses : bool
            Whether the data count pulses themselves.
        """
        if not len(counters):
            return None
        begin = int(counters[0]) - 1
        newest = np.maximum.accumulate(np.append(self._newest if self._newest is not None else begin, counters))
        before = np.append(self._last if self._last is not None else begin, counters[:-1])
        self._newest, self._last = int(newest[-1]), int(counters[-1])
        newest = newest[:-1]
        if (late := fate == _core.LATE).any():
            self.behind = max(self.behind, int((newest - counters)[late].max()))
        forward = np.flatnonzero(counters > newest)
        line = None
        for first, last in zip([0, *(forward + 1)], [*forward, len(counters)], strict=True):
            if first:
                self._end()
            # a short row within the stretch is nothing to speak of
            if last == len(counters) or first == 0 or last - first >= _FEW:
                part = slice(first, last)
                line = (
                    self._add(newest[part] - counters[part], counters[part] < before[part], fate[part], pulses) or line
                )
        return line

    def _end(self):
        """There is a newer event: what was counted is over."""
        if self._is_one():
            self._before += self._count
        self._forget()

    def _is_one(self):
        dropped = self._late + self._duplicate
        ordered = self._falls <= _FALLS * self._count
        return self._count >= _FEW and self._back > 0 and (ordered or dropped == self._count)

    def _add(self, back, falls, fate, pulses):
        self._count += len(back)
        self._back = max(self._back, int(back.max(initial=0)))
        self._falls += int(np.count_nonzero(falls))
        self._late += int(np.count_nonzero(fate == _core.LATE))
        self._duplicate += int(np.count_nonzero(fate == _core.DUPLICATE))
        if not self._is_one() or self._before + self._count < self._next:
            return None
        self._next = 2 * (self._before + self._count)
        return self._line(pulses)

    def _line(self, pulses):
        config, stored = self._config, self._count - self._late - self._duplicate
        what = "look at the counters of the data" if pulses else "look at the clock, or at the times of the data"
        if config.dataset.is_live:
            what += "; if they stay so, stop this run and start another one, which counts anew"
        others = f", {stored:,} are paired with others by these times" if stored else ""
        return (
            f"the events go back in time, by up to {span(self._back, None if pulses else config.rate)}: of the last "
            f"{self._count:,} none is newer than the one before them; {self._late:,} came too late for a buffer of "
            f"times={config.times} and {self._duplicate:,} were duplicates, which are dropped{others}: {what}"
        )


def span(pulses, rate):
    """Return a number of pulses as text, with the seconds if there is a rate [Hz]."""
    return f"{pulses:,} pulses" + (f" ({pulses / rate:,.4g} s)" if rate else "")
