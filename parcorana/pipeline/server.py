"""A server: reads its blocks of the sequence, filters, masks, sends."""

import logging
import time

import numpy as np

from parcorana.errors import EventError, RunError
from parcorana.events.source import Segments
from parcorana.pipeline import note
from parcorana.pipeline.block import BAD, END, EVENTS, FILTERED, LAST, NO_DATA, READ, STOPPED, UNUSED, BlockBuffer
from parcorana.pipeline.job import finished_note
from parcorana.pipeline.layout import Layout
from parcorana.pipeline.transport import OUTSIDE, TAG_BLOCK, TAG_BODY, TAG_DATA, TAG_NOTE, WORKED, wait
from parcorana.pipeline.turns import Turns
from parcorana.userbase import callback
from parcorana.userclass import begin

log = logging.getLogger("parcorana")
_NAMED = 5  # bad events that the log names
_LOOKED_AT = 1 << 14  # elements at a time
_NOT_FINITE = "it has values that are not finite in included elements"


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
        self._mends = getattr(type(self.user), "mends_nonfinite", False)
        index = np.flatnonzero(config.mask)
        self._layout = Layout([index[part] for part in job.parts])
        widths = [part.stop - part.start for part in job.parts]
        self._buffers = [BlockBuffer(config.block, widths, config.store_dtype) for _ in range(2)]
        self._as_they_are = self._event_ok is None and self._final_array is None
        self._named, self._looked = 0, False
        self._stopped = ""  # why not all was read
        self.error = self._failed_at = None  # an error of the source, to be raised when all is done

    def run(self):
        """Generate the server's steps until the source has ended, or the run is stopped."""
        begin(self.user, "initServer")
        yield from self._live() if getattr(self.source, "live", False) else self._offline()
        yield from self.job.clock.waiting(wait(*(h for b in self._buffers for h in b.handles)))
        self.source.close()
        facts = {"stopped": self._stopped}
        if self.error is not None:
            self.at, facts["error"] = self._failed_at, str(self.error)
        header, body = note.pack(note.DONE, finished_note(self.job, facts))
        viewer, transport = self.job.roles.viewer, self.job.transport
        yield from wait(transport.send(viewer, TAG_NOTE, header), transport.send(viewer, TAG_BODY, body))

    def _offline(self):
        """Send the blocks that the source makes, all of them full but the last."""
        step, begin = len(self.job.roles.servers), self.job.first_block
        number = begin + (self.turn - begin) % step
        for events in self._until_error(self.source.blocks()):
            buffer = yield from self._free_buffer(number)
            first = number * self.job.config.block
            if self._as_they_are and hasattr(events, "pieces"):
                self._take_pieces(buffer, events, first)
            else:
                for k, event in enumerate(self._until_error(events)):
                    if self._is_stopped():
                        break
                    self.at = f"event {first + k} of the sequence"
                    self._take(buffer, event)
            if self._stopped:
                break
            self._send(buffer)
            number += step
            yield WORKED
        else:
            if not self._stopped:
                self._check_passed()
            buffer = yield from self._free_buffer(number)
        self.at = "after its last event"
        buffer.header[END] = STOPPED if self._stopped else LAST
        self._send(buffer)

    def _until_error(self, items):
        """Generate what the source gives; an error of it stops the run well, and is told at the end."""
        try:
            yield from items
        except RunError as error:
            self._fail(error)

    def _fail(self, error):
        self.error, self._failed_at = error, self.at
        self.job.stop.ask()
        self._stopped = self.job.stop.reason

    def _check_passed(self):
        """Raise RunError if a run that goes on has fewer events than it had used before."""
        used = self.job.resume.facts["account"]["read"] if self.job.resume else 0
        if self.source.total is None and self.source.passed < used:
            raise RunError(too_few(self.job.config.dataset.text, self.source.passed, used))

    def _is_stopped(self):
        """Tell whether to read no further."""
        self._stopped = self.job.stop.look()
        return bool(self._stopped)

    def _live(self):
        """Send what comes, when it is time: full, partial and empty blocks."""
        turns, events = Turns(self.job), self._until_error(self.source.events())
        number, taken, wanted = self.turn, 0, self.job.config.numevents
        ended = False
        while not ended:
            buffer = yield from self._free_buffer(number)
            fates, since = [], None
            while True:
                if ended := self._is_stopped():
                    break
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
            buffer.header[END] = LAST if ended else 0
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
        source = self.source
        buffer.begin(number, -1 if source.total is None else source.total, source.stamps == "pulses")
        return buffer

    def _send(self, buffer):
        transport = self.job.transport
        numbers, data = buffer.messages()
        with self.job.clock.on("moving"):
            buffer.handles = []
            for rank, rows in zip(self.job.roles.workers, data, strict=True):
                buffer.handles.append(transport.send(rank, TAG_BLOCK, numbers))
                buffer.handles.append(transport.send(rank, TAG_DATA, rows))

    def _take_pieces(self, buffer, block, first):
        """Read a block as it is, many frames at once."""
        seconds, header = self.job.clock.seconds, buffer.header
        start = time.perf_counter()
        self.at = f"event {first} of the sequence"
        for k, frames in self._until_error(block.pieces()):
            if self._is_stopped():
                break
            read = time.perf_counter()
            seconds["reading"] += read - start
            self.at = f"event {first + k} of the sequence"
            without, failed = isinstance(frames, int), isinstance(frames, Exception)
            count = frames if without else 1 if failed else len(frames)
            header[READ] += count
            wrong, bad = "", np.zeros(0, np.uint8)
            if without:
                header[NO_DATA] += count
            elif wrong := frames if failed else self._unfit(frames.shape[1:], frames.dtype):
                bad = np.ones(count, np.uint8)
            else:
                rows, stamps = frames.reshape(count, -1), block.stamps[k : k + count]
                bad = self._put(buffer, rows, stamps, int(block.runs[k]), frames.dtype)
            for j in np.flatnonzero(bad):
                self.at = f"event {first + k + j} of the sequence"
                header[BAD] += 1
                self._name_bad(wrong or _NOT_FINITE)
            self.at = f"event {first + k + count} of the sequence"
            start = time.perf_counter()
            seconds["computing"] += start - read

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
            array = event.frame() if self._final_array is None else event.data()
        except (EventError, OSError, RunError) as error:
            seconds["reading"] += time.perf_counter() - start
            header[BAD] += 1
            if isinstance(error, RunError):
                self._fail(error)
            else:
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
        masked = isinstance(array, np.ma.MaskedArray)
        if isinstance(array, Segments):
            frames = [piece.reshape(1, -1) for piece in array.pieces]
        else:
            array = np.asarray(array)
            frames = array.reshape(1, -1)
        wrong = "it is a masked array, whose mask nothing reads" if masked else self._unfit(array.shape, array.dtype)
        if not wrong and self._put(buffer, frames, event.stamp, event.run, array.dtype)[0]:
            wrong = _NOT_FINITE
        if wrong and self._final_array is not None:
            wrong = f"after {type(self.user).__name__}.finalDataArray {wrong}"
        if wrong:
            header[BAD] += 1
            self._name_bad(wrong)
        seconds["computing"] += time.perf_counter() - read
        return BAD if wrong else None

    def _unfit(self, shape, dtype):
        """Return what is wrong with a frame of such a shape and dtype, if anything."""
        mask = self.job.config.mask
        if shape != mask.shape:
            return f"its shape is {shape}, that of the mask is {mask.shape}"
        if dtype.kind not in "iufb":
            return f"its dtype is {dtype}, not a number"
        return None

    def _put(self, buffer, frames, stamps, run, dtype):
        if not self._looked:
            self._looked = True
            if (warning := at_the_largest(frames, dtype, self.job.config.mask)) and self.turn == 0:
                log.warning("%s", warning)
        return buffer.put(frames, stamps, run, self._layout, dtype.kind == "f" and not self._mends)

    def _name_bad(self, what):
        self._named += 1
        if self._named <= _NAMED:
            more = "; more will be counted but not named" if self._named == _NAMED else ""
            log.warning("bad event skipped (%s): %s%s", self.at, what, more)


def at_the_largest(frames, dtype, mask):
    """Return a warning if included elements of the first frame hold the largest value of their type, as gaps do.

    Parameters
    ----------
    frames : (m, size) array, or list of (1, size) arrays
    dtype : numpy.dtype
    mask : bool array of the detector's shape
    """
    if dtype.kind not in "iu":
        return None
    largest, included, at, count = np.iinfo(dtype).max, mask.ravel(), 0, 0
    for piece in [piece[0] for piece in frames] if isinstance(frames, list) else [frames[0]]:
        for first in range(0, len(piece), _LOOKED_AT):  # little memory, whatever the detector
            part = piece[first : first + _LOOKED_AT]
            count += int(np.count_nonzero((part == largest) & included[at + first : at + first + len(part)]))
        at += len(piece)
    if not count:
        return None
    return (
        f"{count:,} of {np.count_nonzero(mask):,} included elements hold {largest} in the first frame, the largest "
        f"value of {dtype}: "
        "detectors mark gaps and dead pixels by it, and here it enters every sum; leave these elements out of the "
        "mask (parCorAnaMaskColorTool start does), or set saturated_value"
    )


def too_few(text, found, used):
    """Return what to say of a dataset that has fewer events than a run that goes on has used."""
    return (
        f"--resume: dataset {text!r} has {found:,} events, but the run had used {used:,} when it was interrupted: it "
        "is not the same data"
    )


def _cut(buffer, fates, most):
    """Leave only the first so many events in a block; the others were read, but are not used."""
    for fate in fates[most:]:
        buffer.header[EVENTS if fate is None else fate] -= 1
        buffer.header[UNUSED] += 1
