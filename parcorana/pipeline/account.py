"""What became of the events, and when they were: every worker counts alike."""

import logging

import numpy as np

from parcorana import _core
from parcorana.correlation.reach import Reach
from parcorana.correlation.rolling import FAR, far_from, first_stamp, pulse_counters
from parcorana.detector.photons import FOUND
from parcorana.pipeline.backwards import Backwards
from parcorana.pipeline.block import BAD, EVENTS, HEADER, NUMBER, PULSES, READ, SERVER_COUNTS, TOTAL, EventBlock
from parcorana.pipeline.photons import with_more
from parcorana.pipeline.ratecheck import RateCheck
from parcorana.results.checkpoint import FACTS

log = logging.getLogger("parcorana")
_NAMED = 5  # bad events that the log names
_FEW = 100  # events before `max_bad` is looked at


class Account:
    """Counts of events, and the times from which the counter T follows.

    Parameters
    ----------
    config : Config
    first : bool
        Whether this is the first worker: it looks for the others whether `rate` and `times` fit.

    Attributes
    ----------
    account : dict of str to int
        'read', 'filtered', ..., 'duplicate', 'late', 'processed'.
    filtered_by : dict of str to int
        Of those 'filtered', how many the range of each value left out.
    photons : dict of str to int
        What was found of them in the events that were received; empty if they are not counted.
    run_now : int or None
        Ordinal of the run in progress.
    origin, newest, oldest : int or None [ns or pulses]
        Times of the first event in sequence, and of the latest and earliest processed ones.
    pulses : bool
        Whether times are pulses.
    total : int
        Events of the whole sequence, -1 where that is not known.
    published : int
        Events processed at the last update; -1 before.
    """

    def __init__(self, config, first):
        self._rate, self._check = config.rate, RateCheck(config.rate) if first else None
        self._named = 0
        self._first, self._reach, self._backwards = first, Reach(config.delays), Backwards(config)
        self.account = dict.fromkeys((*SERVER_COUNTS, "duplicate", "late", "processed"), 0)
        self._select = list(config.select)
        self.filtered_by = dict.fromkeys(self._select, 0)
        self.photons = {} if config.photons is None else dict.fromkeys(FOUND, 0)
        self.run_now = self.origin = self.newest = self.oldest = None
        self.pulses, self.total, self.published = False, -1, -1

    @property
    def processed(self):
        """Events processed so far."""
        return self.account["processed"]

    def add_block(self, header):
        """Count what a server says of a block."""
        for k, name in enumerate(SERVER_COUNTS):
            self.account[name] += int(header[READ + k])
        for k, name in enumerate(self._select):
            self.filtered_by[name] += int(header[HEADER + k])
        if self.photons:
            self.photons = with_more(self.photons, header[-len(FOUND) :])
        self.total, self.pulses = int(header[TOTAL]), bool(header[PULSES])

    def add_bad(self, header):
        """Count those bad of a block whose other numbers are counted already: what has waited for a later round."""
        self.account["bad"] += int(header[BAD])

    def too_many_bad(self, header, most):
        """Return what to say if more than a fraction of the events are bad; empty if not."""
        read, bad = self.account["read"], self.account["bad"]
        if not header[BAD] or read <= _FEW or bad <= most * read:
            return ""
        return f"{bad} of {read} events were bad, more than max_bad={most}; see the warnings above"

    def leave_out(self, header):
        """Count a block that came after the one at which the run was stopped."""
        self.account["read"] += int(header[READ])
        self.account["unused"] += int(header[READ])

    def without_bad(self, block):
        """Return a block without the events whose times are none; count them in its header, as a server does.

        All workers see the same times, so they decide alike.
        """
        if not block.events:
            return block
        if self.origin is None:
            self.origin = first_stamp(block.stamps)
        pulses = bool(block.header[PULSES])
        far = far_from(block.stamps, self.origin, FAR if pulses else FAR * min(1, 1e9 / self._rate))
        if not far.any():
            return block
        count = int(np.count_nonzero(far))
        block.header[[EVENTS, BAD]] += [-count, count]
        for stamp in block.stamps[far].tolist() if self._first else ():
            self._named += 1
            if self._named <= _NAMED:
                more = "; more will be counted but not named" if self._named == _NAMED else ""
                what = f"{'counter' if pulses else 'time [ns]'} {stamp} is too far from the first one, {self.origin}"
                log.warning("bad event skipped (block %d): its %s%s", block.header[NUMBER], what, more)
        values = {name: column[~far] for name, column in block.values.items()}
        return EventBlock(block.header, block.stamps[~far], block.runs[~far], block.data[~far], values, block.left_out)

    def counters(self, stamps):
        """Return the counter T of events (m,) int64 [pulses] from their times."""
        if self.pulses:
            return stamps - self.origin
        if self._check is not None and (warning := self._check.look(stamps, self.origin)):
            log.warning("%s", warning)
        return pulse_counters(stamps, self.origin, self._rate)

    def add(self, entry, counters, stamps):
        """Count what became of events that were offered to the buffer."""
        if self._first:
            self._reach.look(entry.union, counters[entry.processed])
            if warning := self._backwards.look(counters[: entry.consumed], entry.fate, self.pulses):
                log.warning("%s", warning)
        self.account["processed"] += len(entry.processed)
        self.account["duplicate"] += int(np.count_nonzero(entry.fate == _core.DUPLICATE))
        self.account["late"] += int(np.count_nonzero(entry.fate == _core.LATE))
        if len(entry.processed):
            seen = stamps[entry.processed]
            self.newest = int(max(seen.max(), self.newest if self.newest is not None else seen.max()))
            self.oldest = int(min(seen.min(), self.oldest if self.oldest is not None else seen.min()))

    def relsec(self):
        """Return the time of the newest processed event minus the whole second of the first one [s]."""
        if self.newest is None:
            return 0.0
        if self.pulses:
            return (self.newest - self.origin) / self._rate
        return (self.newest - self.origin // 10**9 * 10**9) / 1e9

    def facts(self):
        """Return what the viewer is told."""
        return {
            "account": self.account,
            "filtered_by": self.filtered_by,
            "photons": self.photons,
            "total": self.total,
            "relsec": self.relsec(),
            "first": None if self.pulses else self.oldest,
            "last": None if self.pulses else self.newest,
            "pulses": self.pulses,
            "behind": self._backwards.behind,
            "reach": self._reach.facts(),
        }

    def end(self):
        """Look at what only the end of the data shows."""
        if self._check is not None and not self.pulses and (warning := self._check.rest(self.origin)):
            log.warning("%s", warning)

    def end_run(self):
        """Begin with another run: pairs never span two."""
        self._reach.clear()
        self._backwards.clear()

    @property
    def reached(self):
        """How far the buffer reached, as a checkpoint keeps it."""
        return self._reach.state()

    @reached.setter
    def reached(self, state):
        self._reach.restore(state)

    def kept(self):
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in FACTS}

    def restore(self, facts):
        """Take up what `kept` returned."""
        for name in FACTS:
            setattr(self, name, facts[name])
