"""Time blocks in the G2 classes: the sums of the colours at the ends of stretches of the run, and what is made of them.

Where updates come often enough their sums serve. Else workers make them where a stretch ends, and share them with the
viewer.
"""

import math

import numpy as np

from parcorana.calculation.arrays import Common, Summed
from parcorana.calculation.block import Update
from parcorana.calculation.userclass import is_own
from parcorana.curves import stationarity
from parcorana.curves.snapshots import KEPT, Ends, Snapshots, points_of
from parcorana.curves.timeblocks import TimeBlocks
from parcorana.g2.parameters import normalization_of

_PART = 0.02  # of the time of a run, that making snapshots may take
_SHORT = 8  # part of a stretch that a block may have
_HELD = 3  # times what is kept: curves without each stretch, and how they deviate, are a third of it each
_NAME = "snapshot."  # before the names of what is shared of them


def _sizes(made, delays):
    """Return the shape of each array of the sums of one snapshot, and their bytes."""
    sizes = {name: shape for name, shape in made.shapes(delays).items() if name in KEPT}
    return sizes, 8 * (delays + sum(int(np.prod(shape)) for shape in sizes.values()))


def width_of(cost, system_params):
    """Return after how many events snapshots take no more than their part of a run."""
    delay, reached, event, more = cost
    delays = system_params["delays"]
    reach = min(int(delays[-1]), system_params["times"])
    snapshot = delay * len(delays) + reached * reach
    return max(1, math.ceil(snapshot / (event + more * len(delays)) / _PART))


class TimeBlocked:
    """The part of the G2 classes that is about stretches of the run: those of sums that only grow."""

    #: Nanoseconds of a processor that a snapshot takes for each element: for each delay, and for each event within the
    #: longest one; and those that an event takes in a whole job, where it does not come from a disk: some, and for
    #: each delay (`bench/bench_kernels.py`, docs/performance.md). None for a class that makes none.
    snapshot_cost: tuple[float, float, float, float] | None = None

    @classmethod
    def snapshot_width(cls, system_params, user_params):
        """Return after how many events a stretch may end, 0 for never; and whether updates bring its sums."""
        if cls.forgets or cls.snapshot_cost is None or normalization_of(user_params) == "pixel":
            return 0, False
        width, update = width_of(cls.snapshot_cost, system_params), system_params.get("update") or 0
        # what a calculation of the user's own gives is known at updates only
        if any(is_own(cls, name) for name in ("workerCalc", "workerReduce")):
            return update, True
        return (update, True) if 0 < update <= width else (width, False)

    @classmethod
    def snapshot_bytes(cls, system_params, user_params, made, series):
        """Return the bytes that workers have not shared yet, and a fourth of what the viewer keeps and makes of it."""
        width, by_updates = cls.snapshot_width(system_params, user_params)
        if not width:
            return 0
        delays = len(system_params["delays"])
        one = _sizes(made, delays)[1] + 24 * series * delays
        return _HELD * points_of(one) * one // 4 + (0 if by_updates else 2 * one)

    def begin_snapshots(self):
        """Prepare what each role has of them, once colours and `frame_norm` are known."""
        self.stretch_ends = self.snapshots = None
        self._unshared, self._changes_said = [], False
        width, self._by_updates = self.snapshot_width(self.system_params, self.user_params)
        if not width or self.mpiParams.role not in ("worker", "viewer"):
            return
        self._sizes, nbytes = _sizes(self.color_sums, len(self.delays))
        self.stretch_ends = Ends(width, points_of(nbytes))
        if not self._by_updates:
            self.shares = min(self.shares or width, width)
            # of short blocks the next end serves: then classes may have one buffer together
            self.cuts = width if self.system_params.get("block", width) > width // _SHORT else 0
        if self.mpiParams.role == "viewer":
            self.snapshots = Snapshots(self.stretch_ends)

    # -- on a worker --------------------------------------------------------------

    def arrays_of_snapshots(self):
        """Return what is declared of them: where stretches have ended."""
        return (
            {"snapshot.ends": Common(self.stretch_ends.state)}
            if self.stretch_ends is not None and not self._by_updates
            else {}
        )

    def make_snapshot(self, T, numTimesFilled, X):
        """Keep the sums for the viewer, if a stretch ends with the events that have come in last."""
        if self.stretch_ends is None or self._by_updates or not self.stretch_ends.take(self.timeline.events):
            return
        sums, counts = self.own_sums(T, numTimesFilled, X)
        self._unshared.append((self.timeline.events, counts.copy(), {name: sums[name] for name in self._sizes}))

    def share(self):
        """Return the sums at the ends of stretches since the last time, and what else is shared."""
        found = super().share() if self.series is not None else {}
        if self.stretch_ends is None or self._by_updates:
            return found
        made, self._unshared = self._unshared, []
        k, D = len(made), len(self.delays)
        found |= {
            f"{_NAME}events": Common(np.array([events for events, _, _ in made], np.int64)),
            f"{_NAME}counts": Common(np.array([counts for _, counts, _ in made], np.int64).reshape(k, D)),
        }
        for name, shape in self._sizes.items():
            found[_NAME + name] = Summed(np.array([sums[name] for *_, sums in made], np.float64).reshape(k, *shape))
        return found

    # -- on the viewer --------------------------------------------------------------

    def take_shared(self, update):
        """Take the sums at the ends of stretches, and those of the series of `frame_norm` there."""
        mine = {name.removeprefix(_NAME): array for name, array in update.items() if name.startswith(_NAME)}
        rest = {name: array for name, array in update.items() if not name.startswith(_NAME)}
        begin, length = 0, max(map(len, rest.values()), default=0)
        for k, processed in enumerate(mine.get("events", np.zeros(0, np.int64)).tolist()):
            series = None
            if self.frame_norm is not None:
                end = length - (update.processed - processed)
                self._pass_on(rest, begin, end, update)
                begin, series = end, self.norm_sums(waiting=False)[0]
            sums = {name: mine[name][k] for name in self._sizes}
            self.snapshots.take(processed, sums, mine["counts"][k], series)
        self._pass_on(rest, begin, length, update)

    def _pass_on(self, columns, begin, end, update):
        """Hand on some of the events of what is shared beside."""
        if end > begin:
            rows = {name: column[begin:end] for name, column in columns.items()}
            super().take_shared(Update(rows, update.processed, update.relsec))

    def viewer_state(self):
        """Return what a checkpoint keeps of them, too."""
        kept = {} if self.snapshots is None else self.snapshots.state()
        return super().viewer_state() | {_NAME + name: array for name, array in kept.items()}

    def restore_viewer(self, state):
        """Take up the stretches where a run goes on, too."""
        super().restore_viewer({name: array for name, array in state.items() if not name.startswith(_NAME)})
        if self.snapshots is not None:
            self.snapshots.restore(
                {name.removeprefix(_NAME): array for name, array in state.items() if name.startswith(_NAME)}
            )

    def blocks_of(self, reduced, counts):
        """Return the run in stretches, as far as it is known at an update; None of a class that has none.

        Parameters
        ----------
        reduced : dict of arrays
            Sums over all workers.
        counts : (D,) int64
        """
        processed = self.mpiParams.processed
        if self.snapshots is None or not processed:
            return None
        ends, sums = self.snapshots.before(processed)
        now = {name: reduced[name] for name in KEPT if name in reduced} | {"counts": counts}
        if self.frame_norm is not None:
            now["series"] = self.norm_sums()[0]
        if any((now["counts"] < one["counts"]).any() for one in sums):
            return None  # a calculation of its own has taken pairs away
        events = reduced["intensity.events"]
        pulses = (reduced["intensity.last"] - reduced["intensity.first"] + 1) / np.maximum(events, 1)
        # where a run of a dataset ends one may be long
        spacing = float(np.median(pulses)) if len(events) else 1.0
        return TimeBlocks(self.color_sums, self.delays, np.array([*ends, processed]), [*sums, now], spacing)

    def time_blocks(self, reduced, counts):
        """Return how each stretch of the run makes the curves deviate: errors from time blocks.

        Parameters
        ----------
        reduced : dict of arrays
            Sums over all workers.
        counts : (D,) int64

        Returns
        -------
        deviations : (C, K, D) float64
            Of the curves divided by `frame_norm`, if there is one. Sums of squares over K are variances, of products
            covariances; NaN where time blocks tell nothing: of long delays, and where stretches are too few.
        groups : (C,) int64
            Stretches; 0 of a colour without.
        """
        if (blocks := self.blocks_of(reduced, counts)) is None:
            C, D = len(self.color_sums.colors), len(self.delays)
            return np.full((C, 0, D), np.nan), np.zeros(C, np.int64)
        return blocks.deviations()

    def write_stationarity(self, group, reduced, counts):
        """Write whether g2 changes with the age of the sample; keep the sums of the update if a stretch ends there."""
        if (blocks := self.blocks_of(reduced, counts)) is None:
            return
        colors, processed = self.color_sums.colors, self.mpiParams.processed
        found, why = blocks.stationarity()
        text = stationarity.write(group, colors, found, why)
        if text and not self._changes_said:
            self._changes_said = True
            self.mpiParams.logWarning(f"at {processed:,} events: {text}")
        if self._by_updates and processed % self.system_params["update"] == 0:
            series = None if self.frame_norm is None else self.norm_sums()[0]
            self.snapshots.take(processed, reduced, counts, series)
