"""Events enter a worker: its rolling buffer, and its calculation."""

from parcorana.calculation.block import Block
from parcorana.calculation.guard import callback
from parcorana.correlation.rolling import RollingBuffer
from parcorana.errors import RunError


class Entering:
    """The rolling buffer of a worker and the calculation that it is for.

    Parameters
    ----------
    job : Job
    calculation : BlockBase
    say : callable
        Takes a text: what is being done, for errors.
    others : sequence of BlockBase
        Calculations that live on the same buffer: `in_order` as the first one is, and none that changes rows.

    Attributes
    ----------
    buffer : RollingBuffer
        Without elements where the calculation keeps no events: their counters are stored in any case, for they decide
        what is a duplicate, and what is late.
    """

    def __init__(self, job, calculation, say, others=()):
        config, part = job.config, job.part_of(job.rank)
        order = calculation.buffer
        elements = part.stop - part.start if order else 0
        self.buffer = RollingBuffer(
            config.times, elements, config.block, config.store_dtype, order or "C", job.threads, config.names
        )
        self._keeps, self._stores = bool(order), calculation.stores
        self._most, self._cuts = calculation.most, calculation.cuts
        self._in_order = calculation.in_order
        each = (calculation, *others)
        self._adjust, self._enter, self._end_run = (
            [method for one in each if (method := callback(one, name)) is not None]
            for name in ("adjust", "enter", "end_run")
        )
        self._say, self._who = say, type(calculation).__name__

    def take(self, counters, values, data, first, limit):
        """Let events enter until `limit` have.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        values : dict of str to (m,) float64
        data : (m, n) array of the buffer's dtype
        first : int
            Events processed before.
        limit : int

        Returns
        -------
        Entry
        """
        buffer = self.buffer
        limit = min(limit, self._most) if self._most else limit
        limit = min(limit, self._cuts - first % self._cuts) if self._cuts else limit
        entry = buffer.offer(counters, limit)
        if not len(entry.processed):
            return entry
        block = Block(counters, data, entry.processed, values, first, buffer, entry, self._say)
        for adjust in self._adjust:
            adjust(block)
        if self._in_order:
            # before what leaves is written over
            self._enter_settled(lambda: buffer.settled(entry, block.offered, block.values, first))
        if not self._stores:
            block.store() if self._keeps else block.stored()
        if self._enter and not self._in_order:
            self._enter[0](block)
        elif self._stores:
            block.store()
        if buffer.placed is not entry:
            raise RunError(
                f"{self._who}.enter: stores is True, so it has to put the events into the buffer, by block.store(): "
                "they are not there"
            )
        return entry

    def end_run(self):
        """Empty the buffer, once the calculation has taken leave of what is stored."""
        if self._in_order:
            self._enter_settled(self.buffer.waiting)
        for end_run in self._end_run:
            end_run(self.buffer)
        self.buffer.clear()

    def _enter_settled(self, settled):
        """Let events enter, which each calculation has for itself: what it does to their arrays is not for others."""
        for enter in self._enter:
            if len(events := settled()):
                enter(events)
