"""A server: reads its blocks of the sequence, filters, masks, sends."""

import logging
import time

import numpy as np

from parcorana.errors import EventError
from parcorana.pipeline import note
from parcorana.pipeline.block import (
    BAD,
    END,
    EVENTS,
    FILTERED,
    NO_DATA,
    NUMBER,
    PULSES,
    READ,
    TOTAL,
    UNUSED,
    BlockBuffer,
)
from parcorana.pipeline.job import finished_note
from parcorana.pipeline.transport import OUTSIDE, TAG_BLOCK, TAG_BODY, TAG_DATA, TAG_NOTE, wait
from parcorana.pipeline.turns import Turns
from parcorana.userbase import callback

log = logging.getLogger("parcorana")
_NAMED = 5  # bad events that the log names


class Server:
    """The role of a server.

    Parameters
    ----------
    job : Job
    source : EventSource
    """

    def __init__(self, job, source):
        config = job.config
        self.job, self.source = job, source
        self.user, _, _ = job.make_user()
        self.turn = job.roles.servers.index(job.rank)
        self.at = "before the first event"
        self._event_ok = callback(self.user, "eventOk")
        self._final_array = callback(self.user, "finalDataArray")
        self._mends = bool(getattr(self.user, "mends_nonfinite", False))
        index = np.flatnonzero(config.mask)
        # a slice copies without an index, where a worker's elements lie side by side
        self._index = [_as_slice(index[part]) for part in job.parts]
        widths = [part.stop - part.start for part in job.parts]
        self._buffers = [BlockBuffer(config.block, widths, config.store_dtype) for _ in range(2)]
        self._named = 0

    def run(self):
        """Generate the server's steps until the source has ended."""
        if (init := callback(self.user, "initServer")) is not None:
            init()
        yield from self._live() if getattr(self.source, "live", False) else self._offline()
        yield from self.job.clock.waiting(wait(*(h for b in self._buffers for h in b.handles)))
        self.source.close()
        header, body = note.pack(note.DONE, finished_note(self.job))
        viewer, transport = self.job.roles.viewer, self.job.transport
        yield from wait(transport.send(viewer, TAG_NOTE, header), transport.send(viewer, TAG_BODY, body))

    def _offline(self):
        """Send the blocks that the source makes, all of them full but the last."""
        number, step = self.turn, len(self.job.roles.servers)
        for events in self.source.blocks():
            buffer = yield from self._free_buffer(number)
            for k, event in enumerate(events):
                self.at = f"event {number * self.job.config.block + k} of the sequence"
                self._take(buffer, event)
            self._send(buffer)
            number += step
            yield
        self.at = "after its last event"
        buffer = yield from self._free_buffer(number)
        buffer.header[END] = 1
        self._send(buffer)

    def _live(self):
        """Send what comes, when it is time: full, partial and empty blocks."""
        turns, events = Turns(self.job), self.source.events()
        number, taken, wanted = self.turn, 0, self.job.config.numevents
        ended = False
        while not ended:
            buffer = yield from self._free_buffer(number)
            fates, since = [], None
            while True:
                turns.poll()
                before = turns.before(number)
                # the blocks before this one may have had enough; it need not be known yet
                ended = bool(wanted) and before is not None and before >= wanted
                if ended or turns.awaited(number):
                    break
                event = next(events, self)
                if event is self:
                    ended = True
                    break
                if event is None:
                    yield from self.job.clock.waiting([OUTSIDE])
                else:
                    self.at = f"event {taken} of this server"
                    fates.append(self._take(buffer, event))
                    taken += 1
                    ended = taken == wanted
                now = time.monotonic()
                since = now if fates and since is None else since
                if ended or len(fates) == self.job.config.block:
                    break
                if fates and now - since >= self.job.config.latency:
                    break
            turns.say(number, len(fates), ended)
            if wanted:
                while (before := turns.before(number)) is None:
                    turns.poll()
                    yield from self.job.clock.waiting([OUTSIDE])
                _cut(buffer, fates, max(wanted - before, 0))
            buffer.header[END] = ended
            self._send(buffer)
            number += len(self.job.roles.servers)
            yield
        self.at = "after its last event"
        events.close()
        yield from self.job.clock.waiting(turns.end())

    def _free_buffer(self, number):
        """Wait for the buffer of a block, and begin with it."""
        buffer = self._buffers[number // len(self.job.roles.servers) % 2]
        yield from self.job.clock.waiting(wait(*buffer.handles))
        self._begin(buffer, number)
        return buffer

    def _begin(self, buffer, number):
        buffer.header[:] = 0
        buffer.header[NUMBER] = number
        buffer.header[TOTAL] = -1 if self.source.total is None else self.source.total
        buffer.header[PULSES] = self.source.stamps == "pulses"

    def _send(self, buffer):
        transport, message = self.job.transport, buffer.message()
        events = (len(message) - len(buffer.header)) // 2
        with self.job.clock.on("moving"):
            buffer.handles = []
            for rank, rows in zip(self.job.roles.workers, buffer.rows, strict=True):
                buffer.handles.append(transport.send(rank, TAG_BLOCK, message))
                if events:
                    buffer.handles.append(transport.send(rank, TAG_DATA, rows[:events]))

    def _take(self, buffer, event):
        """Read one event; put it into the buffer or count why not.

        Returns
        -------
        int or None
            The field of the header in which it was counted, None if it is in the buffer.
        """
        seconds, header = self.job.clock.seconds, buffer.header
        header[READ] += 1
        if event.evt is None:
            header[NO_DATA] += 1
            return NO_DATA
        start = time.perf_counter()
        if self._event_ok is not None and not self._event_ok(event.evt):
            header[FILTERED] += 1
            seconds["computing"] += time.perf_counter() - start
            return FILTERED
        try:
            array = event.data()
        except (EventError, OSError) as error:
            seconds["reading"] += time.perf_counter() - start
            header[BAD] += 1
            self._name_bad(str(error))
            return BAD
        read = time.perf_counter()
        seconds["reading"] += read - start
        if array is None:
            header[NO_DATA] += 1
            return NO_DATA
        if self._final_array is not None:
            array = self._final_array(array, event.evt)
            if array is None:
                header[FILTERED] += 1
                return FILTERED
        wrong = self._put(buffer, np.asarray(array))
        if wrong and self._final_array is not None:
            wrong = f"after {type(self.user).__name__}.finalDataArray {wrong}"
        if wrong:
            header[BAD] += 1
            self._name_bad(wrong)
        else:
            buffer.add(event.stamp, event.run)
        seconds["computing"] += time.perf_counter() - read
        return BAD if wrong else None

    def _put(self, buffer, array):
        """Write the included elements into the send buffers; return what is wrong, if anything."""
        mask = self.job.config.mask
        if array.shape != mask.shape:
            return f"its shape is {array.shape}, that of the mask is {mask.shape}"
        if array.dtype.kind not in "iufb":
            return f"its dtype is {array.dtype}, not a number"
        flat, k = array.reshape(-1), self._filled(buffer)
        with np.errstate(over="ignore", invalid="ignore"):
            for index, data in zip(self._index, buffer.data, strict=True):
                data[k] = flat[index]
        if array.dtype.kind == "f" and not self._mends:
            for data in buffer.data:
                if not np.isfinite(data[k]).all():
                    return "it has values that are not finite in included elements"
        return None

    @staticmethod
    def _filled(buffer):
        return (len(buffer.message()) - len(buffer.header)) // 2

    def _name_bad(self, what):
        self._named += 1
        if self._named <= _NAMED:
            more = "; more will be counted but not named" if self._named == _NAMED else ""
            log.warning("bad event skipped (%s): %s%s", self.at, what, more)


def _cut(buffer, fates, most):
    """Leave only the first so many events in a block; the others were read, but are not used."""
    for fate in fates[most:]:
        buffer.header[EVENTS if fate is None else fate] -= 1
        buffer.header[UNUSED] += 1


def _as_slice(index):
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
