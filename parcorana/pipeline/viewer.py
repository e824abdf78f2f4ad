"""The viewer: gathers results from the workers, publishes them, keeps the log."""

import logging
import time

import numpy as np

from parcorana.calculation.block import Update, spread
from parcorana.calculation.guard import callback
from parcorana.calculation.several import Several, of_class
from parcorana.calculation.userclass import begin
from parcorana.calculation.userstate import says_state
from parcorana.correlation import cpu
from parcorana.curves.monitor import from_arrays
from parcorana.detector.photons import lines_of
from parcorana.errors import RunError
from parcorana.events.values import text_of
from parcorana.pipeline import note
from parcorana.pipeline.clock import KINDS
from parcorana.pipeline.gathered import Gathered
from parcorana.pipeline.hints import Hints
from parcorana.pipeline.job import finished_facts
from parcorana.pipeline.transport import TAG_ARRAY, TAG_BODY, TAG_NOTE, wait
from parcorana.results import checkpoint
from parcorana.results.facts import ACCOUNT
from parcorana.results.file import ResultFile
from parcorana.results.folder import clear, has_checkpoint, take_over

log = logging.getLogger("parcorana")


class Viewer:
    """The role of the viewer.

    Parameters
    ----------
    job : Job
    ranks : list of (int, str, str)
        Rank, role and host of every rank.
    progress : parcorana.view.progress.Progress
    """

    def __init__(self, job, ranks, progress):
        self.job, self.config = job, job.config
        # before user code runs, which may count its objects: so it is where a run is gone on with
        self._fingerprint = checkpoint.fingerprint(self.config) if job.resumable else None
        self.calculation = job.make_calculation()
        self.params = self.calculation.mpiParams
        self.at = "before the first update"
        self.progress = progress
        self.results = None
        self.ranks = ranks
        self.params.h5output = job.h5output
        self._done = {}
        self._last = (time.monotonic(), -1)
        self.finished = None
        named = self.calculation.parts if isinstance(self.calculation, Several) else {"": self.calculation}
        self._parts = {
            who: (part, Hints(self.config.classes[who] if who else self.config, part)) for who, part in named.items()
        }
        self._counts = dict.fromkeys(self._parts)
        self._merged = 0  # updates merged into those published so far
        resume = job.resume
        self._resumed_at = [*resume.resumed_at, resume.processed] if resume else []
        self._lock = None
        if resume:
            self._last = (time.monotonic(), resume.processed)
            # before any worker begins, and may write
            self._lock = take_over(resume.folder)
            checkpoint.remove_others(resume.folder, resume.block)
            if resume.viewer:
                begin(self.calculation, "restore_viewer", checkpoint.read_viewer(resume))
        elif job.h5output is not None:
            clear(job.h5output)

    def run(self):
        """Generate the viewer's steps until every rank has said that it is done."""

        def init_viewer(group):
            begin(self.calculation, "initViewer", self.config.mask, group)

        if self.job.h5output is None:
            init_viewer(None)
        else:
            self.results = ResultFile(
                self.job.h5output, self.config, self.ranks, init_viewer, self._resumed_at, self._lock
            )
            self.job.stop.watch(self.results.folder)
            log.info(
                "updates go to %s, and are joined at the end; if the run dies: parCorAnaDriver --join %s",
                self.results.folder,
                self.results.folder,
            )
        first = self.job.roles.workers[0]
        while first not in self._done:
            if self.results is not None:
                self.results.keep_log()
            header, facts, arrays = yield from self._note(first)
            if header[0] == note.PROGRESS:
                self.progress.show(facts["account"], facts["total"])
            elif header[0] == note.UPDATE:
                yield from self._update(facts, arrays)
            elif header[0] == note.SHARED:
                yield from self._take_shared(facts, arrays)
            elif header[0] == note.CHECKPOINT:
                yield from self._checkpoint(facts)
            else:
                self._done[first] = facts
        for rank in (*self.job.roles.workers[1:], *self.job.roles.servers):
            _, self._done[rank], _ = yield from self._note(rank)
        self._finish(self._done[first])

    def release(self):
        """Let others have the folder of a run that has failed."""
        if self.results is not None:
            self.results.release()

    def _note(self, rank):
        """Receive one note of a rank."""
        transport, clock = self.job.transport, self.job.clock
        header = np.zeros(note.HEADER, np.int64)
        yield from clock.waiting(wait(transport.receive(rank, TAG_NOTE, header)))
        body = np.empty(int(header[2]), np.uint8)
        yield from clock.waiting(wait(transport.receive(rank, TAG_BODY, body)))
        facts, arrays = note.unpack(header, body)
        if values := note.taken("values", arrays):
            facts |= {"values": from_arrays(values), "rate": self.config.rate}
        return header, facts, arrays

    def _gathered(self, facts, arrays):
        """Gather the notes of all workers, of which the first one's is given."""
        gathered = Gathered(self.calculation, arrays, facts["elements"])
        for rank in self.job.roles.workers[1:]:
            _, other, arrays = yield from self._note(rank)
            if other["account"] != facts["account"]:
                raise RunError(f"workers disagree on the events: {facts['account']} and {other['account']}")
            gathered.add(arrays, other["elements"])
        gathered.join()
        return gathered

    def _take_shared(self, facts, arrays):
        """Hand on what the workers share between updates."""
        gathered = yield from self._gathered(facts, arrays)
        processed = facts["account"]["processed"]
        self.at = f"what is shared of {processed} events"
        with self.job.clock.on("computing"):
            callback(self.calculation, "take_shared")(Update(gathered.small, processed, facts["relsec"]))

    def _update(self, facts, arrays):
        """Gather one update from all workers and publish it."""
        clock, gathered = self.job.clock, (yield from self._gathered(facts, arrays))
        processed = facts["account"]["processed"]
        self._counts = {
            who: self._pairs(part, of_class(who, gathered.small) if who else gathered.small)
            for who, (part, _) in self._parts.items()
        }
        self.params.processed = processed
        self.at = f"the update at {processed} events"
        start = time.perf_counter()
        waited = clock.seconds["waiting"]
        if self.results is None:
            yield from self._publish(None, facts, gathered)
        else:
            steps = self.results.publish(
                processed, facts, lambda group: self._publish(group, facts, gathered), facts["ending"]
            )
            yield from steps
        clock.seconds["publishing"] += time.perf_counter() - start - (clock.seconds["waiting"] - waited)
        self._log_update(facts, self._counts, time.perf_counter() - start)
        self._warn("at_update", facts)
        self._merged = facts["merged"]

    def _warn(self, when, facts):
        """Log what the counts of each class tell; what they all tell once."""
        told = {who: getattr(hints, when)(facts, self._counts[who]) for who, (_, hints) in self._parts.items()}
        common = [line for line in next(iter(told.values())) if all(line in lines for lines in told.values())]
        for line in common:
            log.warning("%s", line)
        for who, lines in told.items():
            for line in lines:
                if line not in common:
                    log.warning("%s%s", f"{who}: " if who else "", line)

    def _pairs(self, calculation, arrays):
        """Return the number of pairs of each delay, if the calculation counts them."""
        name, wanted = calculation.pairs, (len(self.config.delays),)
        if name is None:
            return None
        counts = arrays.get(name)
        if counts is None or counts.shape != wanted or counts.dtype.kind not in "iu":
            got = "no Summed or Common array of that name" if counts is None else f"{counts.dtype} {counts.shape}"
            raise RunError(
                f"user_class {type(calculation).__name__}: pairs is {name!r}, which must be {wanted} whole "
                f"numbers, one for each delay; there is {got}"
            )
        return counts

    def _checkpoint(self, facts):
        """Make a checkpoint valid, now that all workers have written theirs."""
        parts = [facts["part"]]
        for rank in self.job.roles.workers[1:]:
            _, other, _ = yield from self._note(rank)
            for name, common in facts["common"].items():
                if other["common"].get(name) != common:
                    raise RunError(
                        f"{self.config.user_class.__name__}.{says_state(self.config.user_class)[0]}: "
                        f"{name.removeprefix('state ')!r} is Common, but differs between workers"
                    )
            parts.append(other["part"])
        start, processed = time.perf_counter(), facts["run"]["account"]["processed"]
        self.at = f"the checkpoint at {processed} events"
        say = callback(self.calculation, "viewer_state")
        try:
            viewer = checkpoint.write_viewer(self.results.folder, facts["block"], (say and say()) or {})
            made = checkpoint.Checkpoint(
                str(self.results.folder), facts["block"], self.config.elements, parts, facts["kept"], facts["run"],
                self._fingerprint, self._resumed_at, cpu.in_use(), viewer,
            )  # fmt: skip
            checkpoint.commit(made)
        except OSError as error:
            raise RunError(
                f"checkpoint: cannot write into {str(self.results.folder)!r}: {error.strerror}; what was published and "
                "the checkpoint before stay valid"
            ) from None
        self.job.clock.seconds["publishing"] += time.perf_counter() - start
        size = sum(size for size, _ in parts) / 2**20
        self.progress.clear()
        log.info("checkpoint at %s events: %.1f MiB", f"{processed:,}", size)

    def _publish(self, group, facts, gathered):
        """Hand one update to the calculation, writing into `group`."""
        mask = self.config.mask
        for who, (part, _) in self._parts.items():
            small, elements, own = gathered.small, gathered.elements, group
            if who:
                small = of_class(who, small)
                elements = [
                    (name.removeprefix(f"{who}/"), *more) for name, *more in elements if name.startswith(f"{who}/")
                ]
                own = group and group.require_group(who)
            yield from self._publish_one(
                part, mask, Update(small, self.params.processed, facts["relsec"]), elements, own
            )

    def _publish_one(self, calculation, mask, update, elements, group):
        """Hand one update to a calculation, which has these `PerElement` arrays in it."""
        if not calculation.takes_pieces:
            for name, dtype, axes in elements:
                update[name] = np.zeros((*axes, *mask.shape), dtype)
                for index in np.ndindex(*axes):
                    update[name][index] = spread(mask, (yield from self._gather(dtype)))
        callback(calculation, "publish")(update, group)
        if not calculation.takes_pieces:
            return
        publish_piece = callback(calculation, "publish_piece")
        for name, dtype, axes in elements:
            for index in np.ndindex(*axes):
                flat = yield from self._gather(dtype)
                publish_piece(name, index, spread(mask, flat), group)

    def _gather(self, dtype):
        """Gather one piece of an array from all workers: the included elements, side by side."""
        transport, roles = self.job.transport, self.job.roles
        flat = np.empty(self.config.elements, dtype)
        handles = [
            transport.receive(rank, TAG_ARRAY, flat[part])
            for rank, part in zip(roles.workers, self.job.parts, strict=True)
        ]
        yield from self.job.clock.waiting(wait(*handles))
        return flat

    def _log_update(self, facts, counts, seconds):
        now, (then, before) = time.monotonic(), self._last
        processed = facts["account"]["processed"]
        self._last = (now, processed)
        rate = (processed - max(before, 0)) / max(now - then, 1e-9)
        pairs = ""
        for who, number in counts.items():
            if number is not None:
                said = f"{number.min():,} to {number.max():,} pairs per delay" if number.any() else "no pairs"
                pairs += f" {who}{': ' * bool(who)}{said},"
        self.progress.clear()
        if processed == before:
            log.info("full arrays at %s events: published in %.2f s", f"{processed:,}", seconds)
            return
        new = facts["merged"] - self._merged
        merged = f"; {new:,} update{'s' * (new > 1)} before it merged into it, for the viewer was busy" if new else ""
        log.info(
            "update at %s events: %s events/s since the last,%s published in %.2f s%s",
            f"{processed:,}",
            f"{rate:,.0f}",
            pairs,
            seconds,
            merged,
        )

    def _finish(self, facts):
        """Write the end into the file, and the closing log."""
        self.progress.close()
        account = {key: facts["account"].get(key, 0) for key in ACCOUNT}
        spent = account["processed"] + sum(account[key] for key in ACCOUNT[2:])
        if account["read"] != spent:
            raise RunError(f"the accounting does not add up: {account}")
        self._warn("at_end", facts)
        found = None
        if facts["photons"]:
            found, warnings = lines_of(self.config.photons, facts["photons"], self.config.mask)
            for line in warnings:
                log.warning("%s", line)
        if not account["processed"]:
            log.warning("no event was processed: the result is empty, its delay curves are NaN")
        said = self._done.values()
        stopped = next((f"error: {done['error']}" for done in said if "error" in done), "")
        stopped = stopped or next((done["stopped"] for done in said if done.get("stopped")), "")
        if self.results is not None:
            enough = self.config.numevents == account["read"] - account["unused"] > 0
            ended_by = stopped or ("numevents" if enough else "end of data")
            ended = {"complete": not stopped, "ended_by": ended_by, "timing": self._timing_array()}
            self.results.finish(facts | ended)
        log.info("%s", self._timing_table(), extra={"lines": True})
        log.info("events: %s", ", ".join(f"{key} {account[key]:,}" for key in ACCOUNT))
        if facts["filtered_by"]:
            said = {name: (self.config.select[name], count) for name, count in facts["filtered_by"].items()}
            lines = [
                f"{name} not {text_of(limits)}: {count:,}"
                for name, (limits, count) in said.items()
                if count or limits != (None, None)
            ]
            log.info("events filtered by select: %s", ", ".join(lines) or "none")
        if found:
            log.info("%s", found)
        if facts["merged"]:
            log.info("updates merged into later ones, for the viewer was busy: %s", f"{facts['merged']:,}")
        if stopped:
            on = "; go on with --resume" if self.results is not None and has_checkpoint(self.results.folder) else ""
            how = "stopped by an error" if stopped.startswith("error: ") else stopped  # which is told at the end
            log.warning("%s, before the end of the data%s", how, on)
        if self.results is not None:
            log.info("result: %s", self.job.h5output)
        self.finished = account

    def _reports(self):
        return {self.job.rank: finished_facts(self.job)} | self._done

    def _timing_array(self):
        dtype = [("rank", np.int32), ("role", "S8"), *((kind, np.float64) for kind in KINDS), ("peak_mib", np.float64)]
        rows = [
            (rank, report["role"].encode(), *(report["seconds"][kind] for kind in KINDS), report["peak_mib"])
            for rank, report in sorted(self._reports().items())
        ]
        return np.array(rows, dtype)

    def _timing_table(self):
        """Return a table of mean seconds per role."""
        lines = [f"{'seconds per rank':<18}" + "".join(f"{kind:>12}" for kind in KINDS) + f"{'MiB at most':>13}"]
        by_role = {}
        for report in self._reports().values():
            by_role.setdefault(report["role"], []).append(report)
        for role in ("viewer", "server", "worker"):
            group = by_role[role]
            name = f"{len(group)} {role}{'s' * (len(group) > 1)}"
            means = [sum(report["seconds"][kind] for report in group) / len(group) for kind in KINDS]
            peak = max(report["peak_mib"] for report in group)
            lines.append(f"{name:<18}" + "".join(f"{mean:12.2f}" for mean in means) + f"{peak:13.0f}")
        return "\n  ".join(lines)
