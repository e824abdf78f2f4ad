"""G2 in three forms, which differ in the pairs that count."""

from dataclasses import replace

import numpy as np

from parcorana import _core
from parcorana.calculation.arrays import Common, PerElement
from parcorana.calculation.userclass import is_own
from parcorana.correlation.lines import plan_accumulated, plan_stored, plan_tails, plan_window, scratch_bytes
from parcorana.curves.curvefile import SUMS
from parcorana.g2.base import G2Base

_RUNS = 6  # bytes of plans for each row of the buffer and each delay


def _gets_arrays(user_class):
    """Tell whether a user's class has a method of its own that gets the full arrays."""
    return is_own(user_class, "workerCalc") or is_own(user_class, "workerReduce")


class G2OfPairs(G2Base):
    """What the three forms have in common: sums over pairs of stored events."""

    buffer = "F"
    stores = True

    def initWorker(self, numElementsWorker):
        """Allocate the sums: element by element, as the kernel fills them."""
        super().initWorker(numElementsWorker)
        shape = (numElementsWorker, len(self.delays))
        self.G2, self.IP, self.IF = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.counts = np.zeros(len(self.delays), np.int64)

    def arrays(self, elements):
        """Declare the sums, too."""
        return super().arrays(elements) | {name: PerElement(getattr(self, name).T) for name in SUMS}

    def extra_bytes(self, elements, threads):
        """Return the bytes of the kernels' scratch, and of plans.

        Where all stored pairs are planned at once, gaps may part them into runs.
        """
        given, delays = self.system_params, self.delays
        itemsize = np.dtype(given["store_dtype"]).itemsize
        planned = _RUNS * len(delays) * (given["times"] + given["block"]) if self.forgets else 0
        copies = 8 * len(SUMS) * len(delays) * elements * (self.stores and _gets_arrays(type(self)))
        return planned + copies + scratch_bytes(given["times"], given["block"], delays, itemsize, threads, elements)

    def _reset(self):
        self.counts[:] = 0
        self._reset_sums()

    def _reset_sums(self):
        for array in (self.G2, self.IP, self.IF):
            array[...] = 0

    def _add_stored(self, plan, X, with_g2=True):
        """Add the sums over all stored pairs; without G2 the mode must be ENDS."""
        _core.correlate(plan, X, None, self.G2 if with_g2 else None, self.IP, self.IF, threads=self.mpiParams.threads)

    def _results(self):
        # a difference of sums may leave its rounding error where nothing should be
        self.IP[:, self.counts == 0] = self.IF[:, self.counts == 0] = 0
        arrays, counts = (self.G2, self.IF, self.IP), self.counts
        if self.stores and _gets_arrays(type(self)):  # it may change them, and the sums go on from there
            arrays, counts = [array.copy() for array in arrays], counts.copy()
        return dict(zip(("G2", "IF", "IP"), (array.T for array in arrays), strict=True)), counts, self.saturated


class G2atEnd(G2OfPairs):
    """G2 of all pairs now stored, computed at each update."""

    stores = False

    def state(self, arrays):
        """Keep what does not follow from the buffer."""
        return {name: array for name, array in arrays.items() if name not in SUMS}

    def workerCalc(self, T, numTimesFilled, X):
        """Compute all sums anew."""
        self.events = numTimesFilled
        self._reset()
        plan = plan_stored(T, numTimesFilled, self.delays, exact=X.dtype == np.float64)
        self._add_stored(plan, X)
        self.counts += plan.counts
        return self._results()


class G2IncrementalAccumulator(G2OfPairs):
    """G2 of all pairs that were ever stored together: an event adds its pairs when it enters.

    While hardly a pulse is missing, IP and IF are not summed pair by pair: over
    a stretch of time, IP is the sum of everything less that of the last d
    pulses, so they are settled only when they are asked for.
    """

    forgets = False
    snapshot_cost = (4.3, 0.45, 5.4, 0.02)

    def initWorker(self, numElementsWorker):
        """Allocate the sums, and the sum of what came while IP and IF are deferred."""
        super().initWorker(numElementsWorker)
        self.total = np.zeros(numElementsWorker)
        self.step = np.zeros(1, np.int64)  # pulses per position of the deferred sums; 0: nothing is deferred

    def arrays(self, elements):
        """Declare what is deferred, too, as it is: to settle it for a checkpoint would change the last bits."""
        kept = super().arrays(elements)
        return kept | {"total": PerElement(self.total), "counts": Common(self.counts), "step": Common(self.step)}

    def enter(self, block):
        """Add the pairs of the events that enter, and store them."""
        super().enter(block)
        buffer, entry = block.buffer, block.entry
        T, filled, X = buffer.T, buffer.filled, buffer.X
        # what is deferred is a difference of sums: float64 storage promises more digits than that keeps
        defers = X.dtype == np.float32
        plan = plan_accumulated(entry.union, entry.processed, self.delays, deferred=defers)
        step = plan.step if plan.mode == _core.DEFERRED else 0
        if step != self.step[0]:
            self._settle(T, filled, X)
            plan.defer = bool(step)
            self.step[0] = step
        threads = self.mpiParams.threads
        _core.correlate(plan, X, block.offered, self.G2, self.IP, self.IF, self.total, threads=threads)
        self.counts += plan.counts
        block.stored()
        self.make_snapshot(buffer.T, buffer.filled, buffer.X)

    def _sums_of_colors(self, T, numTimesFilled, X):
        """Leave deferred what is."""
        self.events = self.timeline.events
        pending = None
        if self.step[0]:
            pending = plan_tails(T, numTimesFilled, self.delays, int(self.step[0])), X, self.total
        arrays = {"G2": self.G2.T, "IF": self.IF.T, "IP": self.IP.T}
        return self._reduced(arrays, self.counts, self.saturated, pending), self.counts

    def _settle(self, T, filled, X):
        if self.step[0]:
            plan = plan_tails(T, filled, self.delays, int(self.step[0]))
            _core.settle(plan, X, self.IP, self.IF, self.total, self.mpiParams.threads)
            self.step[0] = 0

    def end_run(self, buffer):
        """Settle what is deferred while the events are still there."""
        super().end_run(buffer)
        self._settle(buffer.T, buffer.filled, buffer.X)

    def workerCalc(self, T, numTimesFilled, X):
        """Return the sums so far."""
        self.events = self.timeline.events
        self._settle(T, numTimesFilled, X)
        return self._results()


class G2IncrementalWindowed(G2OfPairs):
    """G2 of all pairs now stored, kept up to date as events enter and leave.

    IP and IF need no pairs and are computed at each update. What was added to
    G2 and taken away again leaves its rounding errors behind, so at an update
    the elements in which they could be seen (docs/definitions.md) are computed
    anew, and all once in 100 turnovers of the buffer. Small whole numbers have
    no such errors.
    """

    TURNOVERS = 100
    #: Whole numbers up to this have exact sums: 64 products of two in a float32 (csrc/correlate.h).
    EXACT = 512
    #: Values in one float32 sum (PCA_CHUNK in csrc/correlate.h).
    CHUNK = 64

    def initWorker(self, numElementsWorker):
        """Allocate the sums, and what tells how large the rounding errors may be."""
        super().initWorker(numElementsWorker)
        self.passed = np.zeros(numElementsWorker)  # sum of squares of all that entered
        self.largest = np.zeros(numElementsWorker)  # of one block
        self.entered = np.zeros(1, np.int64)
        self.whole = np.ones(numElementsWorker, np.int8)  # whether all were small whole numbers, the same for all

    def arrays(self, elements):
        """Declare how worn the sums are, too."""
        kept = super().arrays(elements)
        own = {"passed": PerElement(self.passed), "largest": PerElement(self.largest), "whole": PerElement(self.whole)}
        return kept | own | {"entered": Common(self.entered)}

    def state(self, arrays):
        """Keep G2, which has a past, unlike IP and IF; and how worn it is."""
        return {name: array for name, array in arrays.items() if name not in ("IP", "IF")}

    def end_run(self, buffer):
        """Begin again: the sums speak of the run in progress."""
        super().end_run(buffer)
        self._reset()
        self.passed[:] = self.largest[:] = 0
        self.entered[0] = 0

    def enter(self, block):
        """Take away the pairs of the events that leave, add those of the events that enter, store them."""
        super().enter(block)
        if (block.entry.row >= 0).any():
            self._roll(block, block.buffer.X, block.entry)
        block.stored()

    def _roll(self, block, X, entry):
        energy, threads = np.zeros_like(self.passed), self.mpiParams.threads
        for plan in plan_window(entry.union, entry.processed, self.delays):
            data = block.offered if len(plan.source) else None
            _core.correlate(plan, X, data, self.G2, None, None, energy=energy, threads=threads)
        self.passed += energy
        np.maximum(self.largest, energy, out=self.largest)
        self.entered += len(block)
        if self.whole.any() and not _core.is_whole(block.offered, self.EXACT):
            self.whole[:] = 0

    def workerCalc(self, T, numTimesFilled, X):
        """Return the sums, G2 computed anew where rounding errors may have gathered."""
        plan = plan_stored(T, numTimesFilled, self.delays, exact=X.dtype == np.float64)
        self._renew(plan, X, numTimesFilled)
        if plan.mode == _core.ENDS:
            self.IP[...] = self.IF[...] = 0
            self._add_stored(plan, X, with_g2=False)
        return self._results()

    def _sums_of_colors(self, T, numTimesFilled, X):
        """Spare arrays of IP and IF where they need none."""
        plan = plan_stored(T, numTimesFilled, self.delays, exact=X.dtype == np.float64)
        self._renew(plan, X, numTimesFilled)
        if plan.mode == _core.ENDS:
            return self._reduced({"G2": self.G2.T}, self.counts, self.saturated, (plan, X, None)), self.counts
        return self._reduced(*self._results()), self.counts

    def _renew(self, plan, X, filled):
        """Set the counts, and compute G2 anew where that is needed; IP and IF, too, where they need every pair."""
        self.events = filled
        self.counts[:] = plan.counts
        self.G2[:, self.counts == 0] = 0
        if plan.mode == _core.MASKED:
            self._reset_sums()
            self._add_stored(plan, X)
            self._computed_anew(X, filled, slice(None))
            self.entered[0] = 0
            return
        plan = replace(plan, mode=_core.ONLY_G2, missing=None)
        worn = self._worn(X)
        # element by element, so that a bit never depends on the other elements of a worker
        edges = np.flatnonzero(np.diff(worn, prepend=False, append=False))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            part = slice(begin, end)
            self.G2[part] = 0
            _core.correlate(plan, X[:, part], None, self.G2[part], None, None, threads=self.mpiParams.threads)
            self._computed_anew(X, filled, part)

    def _computed_anew(self, X, filled, part):
        threads = self.mpiParams.threads
        _core.energy(X[:, part], filled, self.CHUNK, self.passed[part], self.largest[part], threads)

    def _worn(self, X):
        """Tell for each element whether its sums must be computed anew."""
        if self.entered[0] > self.TURNOVERS * len(X):
            self.entered[0] = 0
            return np.ones(X.shape[1], bool)
        if self.whole.all() and self.passed.max(initial=0) < 2**53:
            return np.zeros(X.shape[1], bool)
        # Each of the many sums s that were added has an error of about eps |s|, of any sign, so
        # together they have eps sqrt(sum s^2) <= eps sqrt(sum |s| max |s|), and a sum of
        # products is at most the sum of squares of what entered.
        eps = np.finfo(X.dtype).eps / 2
        allowed = 3e-7 if X.dtype == np.float32 else 3e-13
        least, counted = np.empty(len(self.G2)), self.counts > 0
        for begin in range(0, len(least), 4096):  # a piece of all of G2 that stays in the caches
            part = slice(begin, begin + 4096)
            least[part] = np.abs(self.G2[part, counted]).min(axis=1, initial=np.inf)
        return eps * np.sqrt(self.passed * self.largest) > allowed * least


UserG2 = G2atEnd
