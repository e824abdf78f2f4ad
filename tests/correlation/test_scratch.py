"""The scratch of the kernels: what is allocated against what is said beforehand."""

import tracemalloc

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana import _core
from parcorana.correlation.lines import plan_accumulated, plan_stored, plan_tails, plan_window, scratch_bytes
from parcorana.correlation.rolling import RollingBuffer

_OTHERS = 4096  # bytes of objects that a call makes beside its scratch


def allocated(function):
    """Return the most bytes that a call holds at a time beyond those held before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class Worker:
    """A buffer into which blocks enter, and the scratch that each call of a kernel took."""

    def __init__(self, times, block, delays, dtype=np.float32, elements=3, threads=1):
        self.buffer = RollingBuffer(times, elements, block, dtype)
        self.block, self.delays, self.threads = block, np.array(delays), threads
        self.data = np.ones((block, elements), dtype)
        self.sums = [np.zeros((elements, len(delays))) for _ in range(3)]
        self.total, self.took = np.zeros(elements), []

    def correlate(self, plan, data=None):
        """Carry out a plan; note its scratch, and see that it is what the C code says it is."""
        took = allocated(
            lambda: _core.correlate(plan, self.buffer.X, data, *self.sums, self.total, threads=self.threads)
        )
        numbers = plan.length, plan.end - plan.begin, len(plan.source), len(plan.shift), plan.all_new
        assert took <= self.threads * _core.scratch_each(*numbers, self.data.itemsize) + _OTHERS
        self.took.append(took)

    def feed(self, counters, windowed=False):
        """Let events enter, a block at a time, as the classes do."""
        for first in range(0, len(counters), self.block):
            part = counters[first : first + self.block]
            entry = self.buffer.offer(part, 1 << 60)
            if not len(entry.processed):
                self.buffer.place(entry)
                continue
            if windowed and (entry.row >= 0).any():
                for plan in plan_window(entry.union, entry.processed, self.delays):
                    self.correlate(plan, self.data[: len(part)] if len(plan.source) else None)
            elif not windowed:
                plan = plan_accumulated(entry.union, entry.processed, self.delays, True)
                self.correlate(plan, self.data[: len(part)])
            self.buffer.place(entry)
        self.correlate(plan_stored(self.buffer.T, self.buffer.filled, self.delays))

    def settle(self):
        """Settle over all that is stored, and sum over colours what is deferred."""
        plan = plan_tails(self.buffer.T, self.buffer.filled, self.delays, 1)
        X, (g2, ip, fut) = self.buffer.X, self.sums
        self.took.append(allocated(lambda: _core.settle(plan, X, ip, fut, self.total, self.threads)))
        of_colors = np.ones(len(self.delays)), np.full(len(g2), -1), 0, None, 0
        call = lambda: _core.sum_pending(plan, X, self.total, g2, ip, fut, *of_colors, self.threads)  # noqa: E731
        self.took.append(allocated(call))


@settings(max_examples=examples(60), deadline=None)
@given(
    times=st.sampled_from([1, 30, 400]),
    block=st.sampled_from([1, 16, 200]),
    largest=st.sampled_from([1, 50, 5000]),
    occupied=st.sampled_from([0.05, 0.3, 1.0]),
    jitter=st.sampled_from([0, 0, 5, 300]),
    dtype=st.sampled_from([np.float32, np.float64]),
    windowed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_no_plan_takes_more_than_is_said(times, block, largest, occupied, jitter, dtype, windowed, seed):
    rng = np.random.default_rng(seed)
    counters = np.unique((np.arange(600) / occupied).astype(np.int64))
    counters = np.ascontiguousarray(counters[np.argsort(counters + rng.integers(0, jitter + 1, 600))])
    worker = Worker(times, block, np.unique(np.geomspace(1, largest, 20).astype(np.int64)), dtype)
    worker.feed(counters, windowed)
    if largest <= times:
        worker.settle()
    itemsize = np.dtype(dtype).itemsize
    assert max(worker.took) <= scratch_bytes(times, block, worker.delays, itemsize, 1) + _OTHERS


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_more_is_said_than_can_happen(dtype):
    """Every fourth pulse, delays across all that is stored, an event out of order where a block ends."""
    times, block, delays = 4000, 500, np.arange(1, 20001, 500)
    worker = Worker(times, block, delays, dtype)
    counters = 4 * np.arange(3 * times) + np.arange(3 * times) % 2
    last, first = np.arange(block - 1, len(counters) - 1, block), np.arange(block, len(counters), block)
    counters[last], counters[first] = counters[first], counters[last]
    worker.feed(counters)
    said = scratch_bytes(times, block, delays, np.dtype(dtype).itemsize, 1)
    assert 0.95 * said <= max(worker.took) <= said + _OTHERS


def test_threads_take_scratch_only_for_elements():
    """One thread for 128 elements: what more of them would take is nobody's."""
    took = []
    for elements, threads in ((1, 1), (1, 64), (200, 64), (2000, 3)):
        worker = Worker(300, 100, [1, 250], elements=elements, threads=threads)
        worker.feed(np.arange(900))
        took.append(max(worker.took))
    one = took[0]
    assert took[1] <= one + _OTHERS
    assert 2 * one - _OTHERS <= took[2] <= 2 * one + _OTHERS
    assert 3 * one - _OTHERS <= took[3] <= 3 * one + _OTHERS
