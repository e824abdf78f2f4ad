"""A worker: keeps the rolling buffer of its elements, calculates, reports."""

import logging
import time
from collections import deque
from contextlib import contextmanager

import numpy as np

from parcorana import _core
from parcorana.checkpoint import FACTS
from parcorana.errors import RunError
from parcorana.pipeline import note
from parcorana.pipeline.block import (
    BAD,
    END,
    EVENTS,
    HEADER,
    NUMBER,
    PULSES,
    READ,
    SERVER_COUNTS,
    STOPPED,
    TOTAL,
    BlockBuffer,
    EventBlock,
)
from parcorana.pipeline.job import adjust_in_place, check_reduced, check_result, finished_note, size_of_reduced
from parcorana.pipeline.keep import Keeper
from parcorana.pipeline.transport import (
    TAG_ARRAY,
    TAG_BLOCK,
    TAG_BODY,
    TAG_DATA,
    TAG_MERGE,
    TAG_NOTE,
    WORKED,
    wait,
)
from parcorana.ratecheck import RateCheck
from parcorana.reach import Reach
from parcorana.rolling import FAR, UNFILLED, RollingBuffer, far_from, first_stamp, pulse_counters
from parcorana.userbase import ADD, REDUCED, SUBTRACT, callback, saved_arrays
from parcorana.userclass import begin, hooks_of

log = logging.getLogger("parcorana")
_EVER = 1 << 62
_PROGRESS = 0.5  # s between two notes of progress
_NOTES = 8  # messages under way to the viewer, beyond which a worker waits for it
_BYTES = 8 << 20  # the same, of their bodies
_AHEAD = 2  # updates that wait for the viewer, beyond which those of a live run are merged
_ARRAYS = 2  # the same for full arrays
_FEW = 100  # events before `max_bad` is looked at
_NAMED = 5  # bad events that the log names


class Worker:
    """The role of a worker.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job):
        config = job.config
        self.job, self.config = job, config
        self.user, self.params, self.names = job.make_user()
        part = job.part_of(job.rank)
        self.elements = part.stop - part.start
        self.first = self.params.firstWorker
        self.at = "before the first event"
        self.buffer = RollingBuffer(
            config.times,
            self.elements,
            config.block,
            config.store_dtype,
            getattr(type(self.user), "storage_order", "C"),
            job.threads,
        )
        hooks = hooks_of(self.user)
        self._enter_events, self._watch_events = hooks.get("enterEvents"), hooks.get("watchEvents")
        self._adjust_data, self._adjust_events = callback(self.user, "adjustData"), hooks.get("adjustEvents")
        self._adjust_terms = callback(self.user, "adjustTerms")
        self._adjust_block = callback(self.user, "adjustTermsBlock")
        self._reduces = all(callback(self.user, name) for name in REDUCED)
        self._calc_reduced = hooks.get("workerCalcReduced") if self._reduces else None
        takes_arrays = callback(self.user, "viewerPublish") or callback(self.user, "viewerPublishArray")
        self._save = self._reduces and takes_arrays and saved_arrays(config.user_params)
        self.account = dict.fromkeys((*SERVER_COUNTS, "duplicate", "late", "processed"), 0)
        self.run_now = self.origin = None
        self._rate_check = RateCheck(config.rate) if self.first else None
        self._reach = Reach(config.delays)  # followed by the first worker: it is the same on all
        self.newest = self.oldest = None
        self.pulses = False
        self.total = -1
        self.published = -1
        self._coming = []
        self.error = self._failed_at = None  # an error to be raised when all is done
        self._notes = []  # messages under way to the viewer
        self._under_way = 0  # bytes of their bodies
        self._updates = []  # of these the headers of updates
        self._checkpoint = []  # the header of the last checkpoint's
        self._words = []  # messages under way to the other workers
        self._named = 0
        self.merged, self._left = 0, -1  # updates left to later ones, and where the last of them was
        self._progress_at = time.monotonic()
        self._keeper = Keeper(job, self.user, self.buffer) if job.resumable else None

    # -- the sequence ---------------------------------------------------------

    def run(self):
        """Generate the worker's steps until every server has said END."""
        begin(self.user, "initWorker", self.elements)
        if self._keeper is not None:
            self._keeper.begin()
        if (resume := self.job.resume) is not None:
            self._go_on(resume.facts)
        clock, config = self.job.clock, self.config
        now, then = (BlockBuffer(config.block, [self.elements], config.store_dtype) for _ in range(2))
        servers = self.job.roles.servers
        turn = self.job.first_block % len(servers)
        rotation, stopped = [*servers[turn:], *servers[:turn]], False
        self._await(now, rotation[0])
        while rotation:
            server = rotation.pop(0)
            yield from clock.waiting(wait(*now.handles))
            self._check_counts(now)
            if not now.header[END]:
                rotation.append(server)
            # the next block comes while this one is worked on
            if rotation:
                self._await(then, rotation[0])
            if stopped:  # all workers see the same blocks in the same order, so all agree on the last one
                self._leave_out(now.header)
            else:
                number = int(now.header[NUMBER])
                if now.header[END] == STOPPED and self._is_kept_at(number, 1):
                    # all blocks before this one are whole, which it is not: a run that goes on begins with it
                    yield from self._keep(number)
                with clock.on("moving"):
                    block = now.as_block(self.job.threads)
                block = self._without_bad(block)
                stopped = self._count(block.header)
                self._coming = then.handles
                yield from self._take(block)
                if rotation and self._is_kept_at(number + 1, self.config.checkpoint):
                    yield from self._keep(number + 1)
            stopped = stopped or now.header[END] == STOPPED
            now, then = then, now
        yield from self._finish(stopped)

    def _await(self, buffer, server):
        """Begin to receive a block."""
        transport = self.job.transport
        buffer.handles = [
            transport.receive(server, TAG_BLOCK, buffer.numbers),
            transport.receive(server, TAG_DATA, buffer.memory[0]),
        ]

    @staticmethod
    def _check_counts(buffer):
        numbers, data = buffer.handles
        rows = buffer.messages()[1][0] if 0 <= buffer.events <= buffer.block else None
        if rows is None or numbers.count != HEADER + 2 * buffer.events or data.count != rows.nbytes:
            raise RunError(
                f"a block of {buffer.events} events came with {numbers.count} numbers and {data.count} bytes of data"
            )

    def _count(self, header):
        """Count what is in a block; tell whether the run must be stopped, for too many events were bad."""
        for k, name in enumerate(SERVER_COUNTS):
            self.account[name] += int(header[READ + k])
        self.total = int(header[TOTAL])
        self.pulses = bool(header[PULSES])
        read, bad = self.account["read"], self.account["bad"]
        if not header[BAD] or read <= _FEW or bad <= self.config.max_bad * read:
            return False
        if self.first:
            text = f"{bad} of {read} events were bad, more than max_bad={self.config.max_bad}; see the warnings above"
            self.error, self._failed_at = RunError(text), f"after {read} events were read"
            self.job.stop.ask()
        return True

    def _leave_out(self, header):
        """Count a block that came after the one at which the run was stopped."""
        self.account["read"] += int(header[READ])
        self.account["unused"] += int(header[READ])

    def _without_bad(self, block):
        """Return a block without the events whose times are none; count them in its header, as a server does.

        All workers see the same times, so they decide alike.
        """
        if not block.events:
            return block
        if self.origin is None:
            self.origin = first_stamp(block.stamps)
        pulses = bool(block.header[PULSES])
        far = far_from(block.stamps, self.origin, FAR if pulses else FAR * min(1, 1e9 / self.config.rate))
        if not far.any():
            return block
        count = int(np.count_nonzero(far))
        block.header[[EVENTS, BAD]] += [-count, count]
        for stamp in block.stamps[far].tolist() if self.first else ():
            self._named += 1
            if self._named <= _NAMED:
                more = "; more will be counted but not named" if self._named == _NAMED else ""
                what = f"{'counter' if pulses else 'time [ns]'} {stamp} is too far from the first one, {self.origin}"
                log.warning("bad event skipped (block %d): its %s%s", block.header[NUMBER], what, more)
        return EventBlock(block.header, block.stamps[~far], block.runs[~far], block.data[~far])

    def _counters(self, stamps):
        if self.pulses:
            return stamps - self.origin
        if self._rate_check is not None and (warning := self._rate_check.look(stamps, self.origin)):
            log.warning("%s", warning)
        return pulse_counters(stamps, self.origin, self.config.rate)

    def _take(self, block):
        """Let the events of a block enter, cut where a run or an update ends."""
        if not block.events:
            return
        counters = self._counters(block.stamps)
        at = 0
        while at < block.events:
            if block.runs[at] != self.run_now:
                self._new_run(int(block.runs[at]))
            others = np.flatnonzero(block.runs[at:] != self.run_now)
            end = at + int(others[0]) if len(others) else block.events
            processed, update = self.account["processed"], self.config.update
            limit = update - processed % update if update else _EVER
            self.at = f"event {processed} of those processed"
            with self._computing():
                entry = self._enter(counters[at:end], block.data[at:end], limit)
            self._note_fates(entry, block.stamps[at:end])
            at += entry.consumed
            processed = self.account["processed"]
            if update and len(entry.processed) and processed % update == 0:
                if (yield from self._viewer_is_busy()):
                    self.merged, self._left = self.merged + 1, processed
                else:
                    yield from self._publish(full=not self._reduces or self._save is True)
            yield from self._progress()

    @contextmanager
    def _computing(self):
        """Count the time of a ``with`` body, during which the next block may come."""
        with self.job.clock.on("computing"), self.job.transport.meanwhile(self._coming):
            yield

    def _new_run(self, run):
        if self.run_now is not None:
            self.at = f"the end of a run, after {self.account['processed']} events processed"
            self._clear()
        self.run_now = run

    def _clear(self):
        """Empty the buffer: every stored event leaves, by `bufferClears` if the class has it."""
        buffer = self.buffer
        if (clears := callback(self.user, "bufferClears")) is not None:
            clears(buffer.T, buffer.filled, buffer.X)
        elif self._adjust_block is not None and buffer.filled:
            self._adjust_block(SUBTRACT, np.argsort(buffer.T[: buffer.filled]), buffer.T, buffer.X)
        elif self._adjust_terms is not None:
            for row in np.argsort(buffer.T[: buffer.filled]):
                self._adjust_terms(SUBTRACT, int(row), buffer.T, buffer.X)
                buffer.T[row], buffer.X[row] = UNFILLED, 0
        buffer.clear()
        self._reach.clear()

    def _note_fates(self, entry, stamps):
        self.account["processed"] += len(entry.processed)
        self.account["duplicate"] += int(np.count_nonzero(entry.fate == _core.DUPLICATE))
        self.account["late"] += int(np.count_nonzero(entry.fate == _core.LATE))
        if len(entry.processed):
            seen = stamps[entry.processed]
            self.newest = int(max(seen.max(), self.newest if self.newest is not None else seen.max()))
            self.oldest = int(min(seen.min(), self.oldest if self.oldest is not None else seen.min()))

    # -- events enter the buffer ----------------------------------------------

    def _enter(self, counters, data, limit):
        """Let events enter until `limit` have, and keep the user's terms up to date."""
        buffer = self.buffer
        if self._adjust_block is not None:
            limit = min(limit, buffer.times)
        elif self._adjust_terms is not None:
            limit = 1
        entry = buffer.offer(counters, limit)
        if self.first:
            self._reach.look(entry.union, counters[entry.processed])
        if self._adjust_events is not None:
            self._adjust_events(data, entry.processed)
        elif self._adjust_data is not None:
            for k, event in enumerate(entry.processed):
                self.at = f"event {self.account['processed'] + k} of those processed, T={counters[event]}"
                adjust_in_place(self._adjust_data, data[event], type(self.user).__name__)
        if self._watch_events is not None and len(entry.processed):
            self._watch(counters, data, entry.processed)
        if self._enter_events is not None:
            self._enter_events(buffer, entry, data)
            buffer.place(entry)
        elif self._adjust_block is not None:
            self._enter_with_terms(entry, data, self._adjust_block)
        elif self._adjust_terms is not None:
            self._enter_with_terms(
                entry, data, lambda mode, rows, *args: [self._adjust_terms(mode, int(r), *args) for r in rows]
            )
        else:
            buffer.store(entry, data)
        return entry

    def _watch(self, counters, data, processed):
        """Show the events that enter, mostly all there are, to the user class."""
        if len(processed) != processed[-1] + 1:
            data = data[processed]
        self._watch_events(counters[processed], data[: len(processed)])

    def _enter_with_terms(self, entry, data, adjust):
        buffer = self.buffer
        rows = entry.row[entry.row >= 0]
        if len(entry.leaving):
            adjust(SUBTRACT, entry.leaving, buffer.T, buffer.X)
        buffer.store(entry, data)
        if len(rows):
            adjust(ADD, rows, buffer.T, buffer.X)

    # -- to the viewer --------------------------------------------------------

    def _relsec(self):
        """Time of the newest processed event minus the whole second of t0 [s]."""
        if self.newest is None:
            return 0.0
        if self.pulses:
            return (self.newest - self.origin) / self.config.rate
        return (self.newest - self.origin // 10**9 * 10**9) / 1e9

    def _facts(self):
        return {
            "account": self.account,
            "total": self.total,
            "relsec": self._relsec(),
            "first": None if self.pulses else self.oldest,
            "last": None if self.pulses else self.newest,
            "merged": self.merged,
            "pulses": self.pulses,
            "reach": self._reach.facts(),
        }

    def _send_note(self, kind, facts, arrays=None, full=False):
        header, body = note.pack(kind, facts, arrays, full)
        viewer, transport = self.job.roles.viewer, self.job.transport
        self._notes = [h for h in self._notes if not h.done()]
        self._under_way = body.nbytes + (self._under_way if self._notes else 0)
        self._notes += [transport.send(viewer, TAG_NOTE, header), transport.send(viewer, TAG_BODY, body)]
        if kind == note.UPDATE:
            self._updates.append(self._notes[-2])
        if kind == note.CHECKPOINT:
            self._checkpoint = [self._notes[-2]]

    def _viewer_is_busy(self):
        """Tell whether an update of a live run is to be left to the next one, so that nobody waits for the viewer.

        The first worker knows, from its own updates that the viewer has not
        taken yet; all others do as it does, for the viewer needs all their parts.
        """
        if not self.config.dataset.goes_on:
            return False
        transport, workers = self.job.transport, self.job.roles.workers
        word = np.zeros(1, np.int64)
        if self.first:
            self._updates = [h for h in self._updates if not h.done()]
            word[0] = len(self._updates) >= _AHEAD
            self._words = [h for h in self._words if not h.done()]
            self._words += [transport.send(rank, TAG_MERGE, word) for rank in workers[1:]]
        else:
            yield from self.job.clock.waiting(wait(transport.receive(workers[0], TAG_MERGE, word)))
        return bool(word[0])

    def _progress(self):
        now = time.monotonic()
        self._notes = [h for h in self._notes if not h.done()]
        if self.first and now - self._progress_at > _PROGRESS and len(self._notes) <= _NOTES:
            self._progress_at = now
            self._send_note(note.PROGRESS, self._facts())
        yield WORKED

    def _publish(self, full, ending=False):
        clock, params = self.job.clock, self.params
        yield from self._wait_for_viewer()
        params.processed = self.account["processed"]
        self.merged -= self._left == params.processed  # the last one of all is made nevertheless
        self._left = -1
        self.at = f"the update at {params.processed} events"
        with self._computing():
            arrays, small = self._calculate(full)
        with clock.on("moving"):
            self._send_note(note.UPDATE, self._facts() | {"ending": ending}, small, full)
        if full:
            yield from self._send_arrays(arrays)
        self.published = params.processed

    def _wait_for_viewer(self):
        """Wait until only a few notes are under way: as long as they are few, nobody waits for the viewer."""
        much = self._under_way > _BYTES and not self.config.dataset.goes_on  # there updates are merged instead
        if len(self._notes) > _NOTES or much:
            yield from self.job.clock.waiting(wait(*self._notes))

    def _calculate(self, full):
        """Return the full arrays, if they are asked for, and what the viewer gets of an update in any case."""
        buffer, user = self.buffer, self.user
        stored = buffer.T, buffer.filled, buffer.X
        arrays = None
        if self._calc_reduced is not None and not full:
            reduced, counts, int8array = self._calc_reduced(*stored)
        else:
            result = callback(user, "workerCalc")(*stored)
            arrays, counts, int8array = check_result(user, result, self.names, len(self.config.delays), self.elements)
            reduced = callback(user, "workerReduce")(arrays, counts, int8array) if self._reduces else {}
        small = {f"reduced.{name}": array for name, array in check_reduced(user, reduced).items()}
        if self.first and self.published < 0 and (warning := size_of_reduced(self.config, small.values())):
            log.warning("%s", warning)
        small["counts"] = counts
        if full:
            small["int8"] = int8array
        return arrays, small

    def _send_arrays(self, arrays):
        handles = deque()
        for name in self.names:
            for d in range(len(self.config.delays)):
                with self.job.clock.on("moving"):
                    row = np.ascontiguousarray(arrays[name][d])
                    handles.append(self.job.transport.send(self.job.roles.viewer, TAG_ARRAY, row))
                if len(handles) == _ARRAYS:
                    yield from self.job.clock.waiting(wait(handles.popleft()))
        yield from self.job.clock.waiting(wait(*handles))

    # -- checkpoints ----------------------------------------------------------

    def _is_kept_at(self, block, events):
        """Tell whether there is to be a checkpoint before a block: so many events after the last one, 0 for none."""
        keeper = self._keeper
        # after a block that is not whole there is nothing more to come, or there was not at the time
        whole = self.account["read"] == block * self.config.block
        if keeper is None or not events or block == keeper.block or not whole:
            return False
        return events == 1 or self.account["processed"] - keeper.processed >= events

    def _keep(self, block):
        """Write a checkpoint of this worker, and tell the viewer."""
        yield from self._wait_for_viewer()
        # a set of files takes room, so no third one is begun before the viewer has the last one in hand
        yield from self.job.clock.waiting(wait(*self._checkpoint))
        self.at = f"the checkpoint at {self.account['processed']} events"
        facts = yield from self._keeper.write(block, {name: getattr(self, name) for name in FACTS})
        self._send_note(note.CHECKPOINT, facts)

    @property
    def reached(self):
        """How far the buffer reached, as a checkpoint keeps it."""
        return self._reach.state()

    @reached.setter
    def reached(self, state):
        self._reach.restore(state)

    def _go_on(self, facts):
        """Take up what all workers knew alike at a checkpoint."""
        for name in FACTS:
            setattr(self, name, facts[name])

    def _finish(self, stopped):
        if self._rate_check is not None and not self.pulses and (warning := self._rate_check.rest(self.origin)):
            log.warning("%s", warning)
        # The last result has the full arrays, too, unless nobody wants them; what was
        # published without them as the last update is then published again with them.
        full = not self._reduces or self._save in (True, "last")
        new = self.published != self.account["processed"]
        if new or (self._reduces and self._save == "last"):
            yield from self._publish(full, ending=bool(stopped) and self.job.resumable)
        facts = self._facts()
        if self.error is not None:
            self.at, facts["error"] = self._failed_at, str(self.error)
        self._send_note(note.DONE, finished_note(self.job, facts))
        yield from wait(*self._notes, *self._words)
