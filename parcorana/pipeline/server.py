"""A server: reads its blocks of the sequence and sends them."""

import time

from parcorana.calculation.userclass import begin
from parcorana.detector.photons import added_up
from parcorana.errors import RunError
from parcorana.pipeline import note
from parcorana.pipeline.block import END, EVENTS, FILTERED, HEADER, LAST, STOPPED, UNUSED, BlockBuffer, of_header
from parcorana.pipeline.intake import Intake
from parcorana.pipeline.job import finished_facts
from parcorana.pipeline.reading import Reading
from parcorana.pipeline.transport import OUTSIDE, TAG_BLOCK, TAG_BODY, TAG_DATA, TAG_NOTE, WORKED, wait
from parcorana.pipeline.turns import Turns


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
        self.calculation = job.make_calculation()
        self.turn = job.roles.servers.index(job.rank)
        self._reading = Reading(job.stop)
        self._intake = Intake(job, self.calculation, self._reading)
        widths = [part.stop - part.start for part in job.parts]
        self._buffers = [
            BlockBuffer(job.block, widths, config.store_dtype, config.names, *of_header(config)) for _ in range(2)
        ]

    @property
    def at(self):
        """What is being done, for errors."""
        return self._reading.at

    @property
    def error(self):
        """An error of the source, to be raised when all is done."""
        return self._reading.error

    def run(self):
        """Generate the server's steps until the source has ended, or the run is stopped."""
        self.calculation.mpiParams.run = getattr(self.source, "own_run", None)
        begin(self.calculation, "initServer")
        yield from self._live() if getattr(self.source, "live", False) else self._offline()
        yield from self.job.clock.waiting(wait(*(h for b in self._buffers for h in b.handles)))
        self.source.close()
        facts = {"stopped": self._reading.stopped}
        if self.error is not None:
            self._reading.at, facts["error"] = self._reading.failed_at, str(self.error)
        header, body = note.pack(note.DONE, finished_facts(self.job, facts))
        viewer, transport = self.job.roles.viewer, self.job.transport
        yield from wait(transport.send(viewer, TAG_NOTE, header), transport.send(viewer, TAG_BODY, body))

    def _offline(self):
        """Send the blocks that the source makes, all of them full but the last."""
        step, begin = len(self.job.roles.servers), self.job.first_block
        number = begin + (self.turn - begin) % step
        for events in self._reading.until_error(self.source.blocks()):
            buffer = yield from self._free_buffer(number)
            first = number * self.job.config.block
            if self._intake.as_they_are and hasattr(events, "pieces"):
                self._intake.take_pieces(buffer, events, first)
            else:
                for k, event in enumerate(self._reading.until_error(events)):
                    if self._reading.is_stopped():
                        break
                    self._reading.at = f"event {first + k} of the sequence"
                    self._intake.take(buffer, event)
            if self._reading.stopped:
                break
            self._send(buffer)
            number += step
            yield WORKED
        else:
            if not self._reading.stopped:
                self._check_passed()
            buffer = yield from self._free_buffer(number)
        self._reading.at = "after its last event"
        buffer.header[END] = STOPPED if self._reading.stopped else LAST
        self._send(buffer)

    def _check_passed(self):
        """Raise RunError if a run that goes on has fewer events than it had used before."""
        used = self.job.resume.facts["account"]["read"] if self.job.resume else 0
        if self.source.total is None and self.source.passed < used:
            raise RunError(too_few(self.job.config.dataset.text, self.source.passed, used))

    def _live(self):
        """Send what comes, when it is time: full, partial and empty blocks."""
        turns, events = Turns(self.job), self._reading.until_error(self.source.events())
        number, taken, wanted = self.turn, 0, self.job.config.numevents
        ended = False
        while not ended:
            buffer = yield from self._free_buffer(number)
            fates, since = [], None
            while True:
                if ended := self._reading.is_stopped():
                    break
                turns.poll()
                before = turns.before(number)
                # the blocks before this one may have had enough; it need not be known yet
                ended = bool(wanted) and before is not None and before >= wanted
                if ended:
                    break
                event = next(events, self)
                if event is self:
                    ended = True
                    break
                awaited = turns.awaited(number)
                if event is None:
                    if awaited:
                        break
                    yield from self.job.clock.waiting([OUTSIDE])
                else:
                    self._reading.at = f"event {taken} of this server"
                    fates.append(self._intake.take(buffer, event))
                    taken += 1
                    ended = taken == wanted
                now = time.monotonic()
                # who is awaited goes on with what is there: else one that has read less would fall further behind
                since = now if (fates or awaited) and since is None else since
                if ended or len(fates) == self.job.block:
                    break
                if since is not None and now - since >= self.job.config.latency:
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
        self._reading.at = "after its last event"
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
        if found := buffer.found.shape[1]:
            buffer.header[-found:] = added_up(buffer.found[: buffer.events])
        numbers, data = buffer.messages()
        with self.job.clock.on("moving"):
            buffer.handles = []
            for rank, rows in zip(self.job.roles.workers, data, strict=True):
                buffer.handles.append(transport.send(rank, TAG_BLOCK, numbers))
                buffer.handles.append(transport.send(rank, TAG_DATA, rows))


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
        if fate is not None and fate >= HEADER:
            buffer.header[FILTERED] -= 1
        buffer.header[UNUSED] += 1
