"""A worker: takes the blocks of the servers in turn, lets their events enter, sends updates and checkpoints."""

import logging
from contextlib import contextmanager

import numpy as np

from parcorana.calculation.arrays import PerElement
from parcorana.calculation.base import check_arrays
from parcorana.calculation.checks import InPlace, size_of_small
from parcorana.calculation.guard import callback, drive
from parcorana.calculation.says import reduced_bytes
from parcorana.calculation.userclass import begin
from parcorana.curves.monitor import Monitors, as_arrays
from parcorana.errors import RunError
from parcorana.job.memory import collected_bytes
from parcorana.pipeline import note
from parcorana.pipeline.account import Account
from parcorana.pipeline.block import END, NUMBER, STOPPED
from parcorana.pipeline.entering import Entering
from parcorana.pipeline.gathered import label
from parcorana.pipeline.job import finished_facts
from parcorana.pipeline.keep import Keeper
from parcorana.pipeline.outbox import Outbox
from parcorana.pipeline.rounds import Rounds
from parcorana.pipeline.together import Together
from parcorana.pipeline.transport import WORKED

log = logging.getLogger("parcorana")
_EVER = 1 << 62


class Worker:
    """The role of a worker.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job):
        config = job.config
        self.job, self.config = job, config
        self.first = job.rank == job.roles.workers[0]
        # it may read files, whose names are meant from here: user code may change the working directory
        self._reduced = reduced_bytes(config) if self.first else 0
        self.calculation = job.make_calculation()
        part = job.part_of(job.rank)
        self.elements = part.stop - part.start
        self.at = "before the first event"
        self.entering = Entering(job, self.calculation, self._say)
        self.events = Account(config, self.first)
        self.monitors = Monitors(config.names)
        self.outbox, self._together = Outbox(job), Together(job, self.calculation)
        self._coming = []  # messages of the next block
        self.error = self._failed_at = None  # an error to be raised when all is done
        self._shared = 0  # events of which the viewer has what the class shares
        self.merged, self._left = 0, -1  # updates left to later ones, and where the last of them was
        self._keeper = Keeper(job, self.calculation, self.entering.buffer, self.monitors) if job.resumable else None

    def _say(self, at):
        self.at = at

    # -- the sequence ---------------------------------------------------------

    def run(self):
        """Generate the worker's steps until every server has said END."""
        self.arrays = self._made_arrays()
        self._in_place = InPlace(self.calculation, self.arrays)
        self._in_place.check()
        if self._keeper is not None:
            self._keeper.begin(self.arrays)
        if (resume := self.job.resume) is not None:
            self.events.restore(resume.facts)
            self._shared = self.events.processed
        clock, config = self.job.clock, self.config
        rounds, stopped = Rounds(self.job, self.elements), False
        while rounds.left:
            yield from clock.waiting(rounds.come())
            header = rounds.header
            if stopped:  # all workers see the same blocks in the same order, so all agree on the last one
                self.events.leave_out(header)
                continue
            number = int(header[NUMBER])
            if header[END] == STOPPED and self._is_kept_at(number, 1):
                # all blocks before this one are whole, which it is not: a run that goes on begins with it
                yield from self._keep(number)
            with clock.on("moving"):
                block = rounds.block(self.job.threads)
            block = self.events.without_bad(block)
            stopped = self._count(block.header) or header[END] == STOPPED
            self._coming = rounds.handles
            yield from self._take(block)
            if stopped and (rest := rounds.rest()) is not None:
                rest = self.events.without_bad(rest)
                self.events.add_bad(rest.header)
                yield from self._take(rest)
            if rounds.left and self._is_kept_at(number + 1, config.checkpoint):
                yield from self._keep(number + 1)
        yield from self._finish(stopped)

    def _made_arrays(self):
        calculation = self.calculation
        made = begin(calculation, "arrays", self.elements)
        return check_arrays(f"{type(calculation).__name__}.arrays", made, self.elements)

    def _count(self, header):
        """Count what is in a block; tell whether the run must be stopped, for too many events were bad."""
        events = self.events
        events.add_block(header)
        if not (text := events.too_many_bad(header, self.config.max_bad)):
            return False
        if self.first:
            self.error, self._failed_at = RunError(text), f"after {events.account['read']} events were read"
            self.job.stop.ask()
        return True

    def _take(self, block):
        """Let the events of a block enter, cut where a run or an update ends."""
        self.monitors.leave_out(block.left_out)
        if not block.events:
            return
        events, update = self.events, self.config.update
        counters = events.counters(block.stamps)
        at = 0
        while at < block.events:
            if block.runs[at] != events.run_now:
                self._new_run(int(block.runs[at]))
            others = np.flatnonzero(block.runs[at:] != events.run_now)
            # a round, with what has waited for it, may have more events than the buffer is made for at once
            end = min(at + int(others[0]) if len(others) else block.events, at + self.config.block)
            limit = update - events.processed % update if update else _EVER
            self.at = f"event {events.processed} of those processed"
            with self._computing():
                values = {name: column[at:end] for name, column in block.values.items()}
                entry = self.entering.take(counters[at:end], values, block.data[at:end], events.processed, limit)
            events.add(entry, counters[at:end], block.stamps[at:end])
            self.monitors.note(counters[at:end], values, entry.processed)
            at += entry.consumed
            if 0 < self.calculation.shares <= events.processed - self._shared:
                yield from self._share()
            if update and len(entry.processed) and events.processed % update == 0:
                if (yield from self.outbox.viewer_is_busy()):
                    self.merged, self._left = self.merged + 1, events.processed
                else:
                    yield from self._publish()
            self.outbox.progress(self._facts)
            yield WORKED
        self.monitors.settle()

    @contextmanager
    def _computing(self):
        """Count the time of a ``with`` body, during which the next block may come."""
        with self.job.clock.on("computing"), self.job.transport.meanwhile(self._coming):
            yield

    def _new_run(self, run):
        if self.events.run_now is not None:
            self.at = f"the end of a run, after {self.events.processed} events processed"
            self.entering.end_run()
            self.events.end_run()
        self.events.run_now = run

    # -- to the viewer --------------------------------------------------------

    def _facts(self):
        return self.events.facts() | {"merged": self.merged}

    def _share(self):
        """Send the viewer what the class shares of the events since the last time."""
        if not self.calculation.shares or self.events.processed == self._shared:
            return
        yield from self.outbox.room()
        self.at = f"what is shared of {self.events.processed} events"
        who = f"{type(self.calculation).__name__}.share"
        arrays = check_arrays(who, callback(self.calculation, "share")())
        if elements := [name for name, array in arrays.items() if isinstance(array, PerElement)]:
            raise RunError(f"{who}: {elements[0]!r} is PerElement, which only updates have: return Summed or Common")
        small = {label(name, array): array.value for name, array in arrays.items()}
        self.outbox.note(note.SHARED, self._facts() | {"elements": []}, small)
        self._shared = self.events.processed

    def _publish(self, last=False, ending=False):
        events = self.events
        yield from self._share()
        self.monitors.settle()
        yield from self.outbox.room()
        self.calculation.mpiParams.processed = events.processed
        self.merged -= self._left == events.processed  # the last one of all is made nevertheless
        self._left = -1
        self.at = f"the update at {events.processed} events"
        arrays = yield from self._collected(last)
        # in an order that all workers have, whatever that of their dictionaries
        whole = {name: arrays[name].value for name in sorted(arrays) if isinstance(arrays[name], PerElement)}
        with self.job.clock.on("moving"):
            about = [[name, array.dtype.str, array.shape[:-1]] for name, array in whole.items()]
            small = {label(name, array): array.value for name, array in arrays.items() if name not in whole}
            if self.first and events.published < 0:
                said = self._reduced + collected_bytes(self.config, self.calculation, self.elements)
                if warning := size_of_small(self.calculation, arrays, self.arrays, said):
                    log.warning("%s", warning)
            facts = self._facts() | {"ending": ending, "elements": about}
            self.outbox.note(note.UPDATE, facts, small | self._distributions())
        for array in whole.values():
            yield from self.outbox.pieces(array)
        events.published = events.processed

    def _distributions(self):
        """Return what the viewer is told of the values of events: by one worker, for all see the same."""
        return note.named("values", as_arrays(self.monitors.distributions())) if self.first else {}

    def _collected(self, last):
        """Return what the viewer gets of an update: what the calculation says, or all its arrays.

        Generate the steps in which workers add up among themselves what it yields.
        """
        self._in_place.check()
        collect = callback(self.calculation, "collect")
        if collect is None:
            return self.arrays
        who, answer = f"{type(self.calculation).__name__}.collect", None
        with self._computing():
            steps = drive(self.calculation, "collect", collect(last, self.entering.buffer))
        while True:
            try:
                with self._computing():
                    asked = steps.send(answer)
            except StopIteration as end:
                return check_arrays(who, end.value, self.elements, collected=True)
            answer = yield from self._together.add(asked)

    # -- checkpoints ----------------------------------------------------------

    def _is_kept_at(self, block, events):
        """Tell whether there is to be a checkpoint before a block: so many events after the last one, 0 for none."""
        keeper = self._keeper
        # none after a block that is not whole: it is the last one, or was when the run was stopped
        whole = self.events.account["read"] == block * self.config.block
        if keeper is None or not events or block == keeper.block or not whole:
            return False
        return events == 1 or self.events.processed - keeper.processed >= events

    def _keep(self, block):
        """Write a checkpoint of this worker, and tell the viewer."""
        yield from self._share()
        yield from self.outbox.room()
        # a set of files takes room, so no third one is begun before the viewer has the last one in hand
        yield from self.outbox.last_checkpoint()
        self.at = f"the checkpoint at {self.events.processed} events"
        self._in_place.check()
        facts = yield from self._keeper.write(block, self.events.kept())
        self.outbox.note(note.CHECKPOINT, facts)

    def _finish(self, stopped):
        self.events.end()
        # what was published as the last update is published again where the last one has more
        if self.events.published != self.events.processed or self.calculation.last_has_more:
            yield from self._publish(last=True, ending=bool(stopped) and self.job.resumable)
        facts = self._facts()
        if self.error is not None:
            self.at, facts["error"] = self._failed_at, str(self.error)
        self.outbox.note(note.DONE, finished_facts(self.job, facts), self._distributions())
        yield from self._together.empty()
        yield from self.outbox.empty()
