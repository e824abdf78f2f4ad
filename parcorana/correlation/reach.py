"""How far back in time the rolling buffer reaches, and which pairs it lost for that.

An event that enters makes pairs with those that are stored. One whose partner
has left before makes none: `times` was too small for that delay. How small
can only be told from the counters: with gaps, trains or filters a delay of
many pulses may lie within few events.
"""

from math import gcd

import numpy as np

MOST = 1 << 18  # counters of events that have left, beyond which the oldest are forgotten
_NEVER = np.iinfo(np.int64).min
_HEAP = 512  # counters of events that left one by one, put to the others together
_COUNTS = ("enough", "length", "apart", "runs")  # of the state, not negative
_COUNTERS = ("first", "last", "one")


def is_state(state, delays):
    """Tell whether this is what `Reach.state` returned, for so many delays."""
    if not isinstance(state, dict) or set(state) != {*_COUNTS, *_COUNTERS, "newest_gone", "lost", "cut"}:
        return False
    lost, counts = state["lost"], [state[name] for name in _COUNTS]
    if not isinstance(lost, list) or len(lost) != delays or type(state["cut"]) is not bool:
        return False
    counters = [state[name] for name in _COUNTERS]
    if counters == [None] * len(counters):
        counters = []
    return all(type(n) is int and 0 <= n < 1 << 63 for n in (*lost, *counts)) and all(
        type(n) is int and -(1 << 63) <= n < 1 << 63 for n in (*counters, state["newest_gone"])
    )


class Reach:
    """Follows the counters of the processed events.

    Parameters
    ----------
    delays : (D,) int64 [pulses]

    Attributes
    ----------
    lost : (D,) int64
        Pairs of each delay whose earlier event had left the buffer when the later one entered.
    enough : int
        The `times` with which none of these would have been lost; 0 while none was. An event that came too late may be
        processed with more `times`, and then needs more for its own pairs.
    cut : bool
        Whether there were more events within the largest delay than are followed, so that both are lower bounds.
    length : int [pulses]
        From the first to the last event of the longest run.
    apart : int [pulses]
        The largest number of which all events of a run are multiples apart; 0 for a single event.
    runs : int
        Runs with events that have ended.
    """

    def __init__(self, delays):
        self.delays = np.asarray(delays, np.int64)
        self.lost = np.zeros(len(self.delays), np.int64)
        self.enough, self.cut = 0, False
        self.length = self.apart = self.runs = 0
        self._begin()

    def _begin(self):
        self._gone, self._heap = np.zeros(0, np.int64), []
        self._newest_gone = _NEVER
        self._first = self._last = self._one = None

    def clear(self):
        """A run ends, and the buffer empties: pairs never span two runs."""
        self.runs += self._last is not None
        self._begin()

    def facts(self):
        """Return what there is to say, as JSON can hold it."""
        return {name: getattr(self, name) for name in ("enough", "cut", "length", "apart", "runs")} | {
            "lost": self.lost.tolist()
        }

    def state(self):
        """Return what a checkpoint keeps: not the counters of what has left, so that later losses are lower bounds."""
        left = bool(len(self._gone) or self._heap)
        now = {"newest_gone": self._newest_gone, "first": self._first, "last": self._last, "one": self._one}
        return self.facts() | now | {"cut": self.cut or left}

    def restore(self, state):
        """Take up what `state` returned."""
        for name in ("enough", "cut", "length", "apart", "runs"):
            setattr(self, name, state[name])
        self.lost[:] = state["lost"]
        self._newest_gone, self._first, self._last = state["newest_gone"], state["first"], state["last"]
        self._one = state["one"]

    def look(self, union, counters):
        """Look at a stretch of events that enters.

        Parameters
        ----------
        union : parcorana.correlation.plan.Union
            As `RollingBuffer.offer` gives it.
        counters : (m,) int64 [pulses]
            Of the processed ones, in their order.
        """
        if not len(counters) or (len(counters) == 1 and self._look_at_one(union, int(counters[0]))):
            return
        before = self._measure(counters)
        left = union.counter[: union.head]
        if not len(left) and self._newest_gone == _NEVER:
            return
        self._put_together()
        # what had left before each event came: the smallest leave first, so the last of them is the newest
        count = np.searchsorted(union.leave[: union.head], np.arange(len(counters)), "right")
        newest = np.append(self._newest_gone, left)[count]
        far = self.delays[-1]
        # differences of counters fit into int64; nothing has left is as good as very long ago
        span = counters - np.maximum(newest, counters.min() - far - 1)
        if span.min() <= far:
            self._lose(union, counters, np.append(self._gone, left), newest, int(span.min()), before)
        if len(left):
            self._newest_gone = int(left[-1])
        self._keep(left, union.counter[union.head])

    def _look_at_one(self, union, counter):
        """Do the same for a single event, if no pair can be lost by it; tell whether that was so."""
        newest = int(union.counter[union.head - 1]) if union.head else self._newest_gone
        if self._last is None or counter - newest <= self.delays[-1] or (union.head and len(self._heap) == _HEAP):
            return False
        self._first, self._last = min(self._first, counter), max(self._last, counter)
        self.length = max(self.length, self._last - self._first)
        self.apart = gcd(self.apart, counter - self._one)
        if union.head:
            self._heap.append(newest)
            self._newest_gone = newest
        return True

    def _put_together(self):
        if self._heap:
            self._gone, self._heap = np.append(self._gone, self._heap), []

    def _measure(self, counters):
        """Take up length and steps of the run; return its newest counter before."""
        low, high, before = int(counters.min()), int(counters.max()), self._last
        if before is None:
            self._first, self._last, self._one = low, high, low
        else:
            self._first, self._last = min(self._first, low), max(before, high)
        self.length = max(self.length, self._last - self._first)
        if self.apart != 1:
            self.apart = int(np.gcd.reduce(np.append(counters - self._one, self.apart)))
        return _NEVER if before is None else before

    def _lose(self, union, counters, gone, newest, span, before):
        """Count the pairs that were lost, and the events that would have had to be stored for them."""
        # the newest that had come: an event of this stretch counts as soon as it is older than that
        until = np.maximum.accumulate(np.maximum(counters, before))
        held = np.searchsorted(gone, until, "right") + np.searchsorted(union.counter[union.head :], until, "right")
        for d in range(int(np.searchsorted(self.delays, span)), len(self.delays)):
            partner = counters - self.delays[d]
            at = np.searchsorted(gone, partner)
            found = (gone.take(at, mode="clip") == partner) & (partner <= newest)
            if found.any():
                self.lost[d] += np.count_nonzero(found)
                self.enough = max(self.enough, int((held - at)[found].max()))

    def _keep(self, left, oldest):
        """Keep the counters that events to come may be paired with: all of those are newer than the oldest stored."""
        gone = np.append(self._gone, left) if len(left) else self._gone
        first = int(np.searchsorted(gone, oldest - self.delays[-1]))
        if len(gone) - first > MOST:
            first, self.cut = len(gone) - MOST, True
        self._gone = gone[first:].copy() if first else gone
