"""Which events enter the rolling buffer, which are late or come again, and which leave: against the plain rules."""

import tracemalloc

import numpy as np
import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parcorana import _core
from parcorana.correlation.rolling import RollingBuffer
from parcorana.reference import ReferenceBuffer

FATES = {_core.PROCESSED: "processed", _core.DUPLICATE: "duplicate", _core.LATE: "late"}


@settings(max_examples=examples(200), deadline=None)
@given(
    counters=st.lists(st.integers(-20, 20), min_size=1, max_size=60),
    times=st.integers(1, 12),
    block=st.integers(1, 20),
    limit=st.integers(1, 30),
    order=st.sampled_from("CF"),
)
@example(counters=[3, 2, 1, 0, 4, 3], times=1, block=6, limit=30, order="C")
def test_late_and_duplicate_events(counters, times, block, limit, order):
    """`offer` and `store` of stretches do what events do that enter one by one; rows hold what their times say."""
    buffer, plain = RollingBuffer(times, 2, block, order=order, names=["i0"]), ReferenceBuffer(times)
    at = 0
    while at < len(counters):
        part = np.array(counters[at : at + block], np.int64)
        data = np.stack([np.arange(at, at + len(part)), part], axis=1).astype(np.float32)
        before = dict(plain.stored)
        entry = buffer.offer(part, limit)
        fates = [plain.enter(int(counter), row) for counter, row in zip(part, data, strict=True)][: entry.consumed]
        if entry.consumed < len(part):  # no more were offered than may enter: the rest comes again
            plain.stored = dict(before)
            fates = [
                plain.enter(int(counter), row)
                for counter, row in zip(part[: entry.consumed], data[: entry.consumed], strict=True)
            ]
        assert [FATES[fate] for fate in entry.fate.tolist()] == fates
        assert entry.processed.tolist() == [k for k, fate in enumerate(fates) if fate == "processed"]
        gone = sorted(set(before) - set(plain.stored))
        assert sorted(buffer.T[entry.leaving].tolist()) == gone
        buffer.store(entry, data, {"i0": part[entry.processed] / 2})
        held = {int(buffer.T[k]): buffer.X[k] for k in range(buffer.filled)}
        assert held.keys() == plain.stored.keys()
        assert all(np.array_equal(held[counter], plain.stored[counter]) for counter in held)
        assert all(buffer.values["i0"][k] == buffer.T[k] / 2 for k in range(buffer.filled))
        at += entry.consumed


@pytest.mark.parametrize("order", ["C", "F"])
def test_events_are_stored_without_a_copy_of_all_of_them(order):
    block, elements = 32, 1 << 16
    buffer, data = RollingBuffer(40, elements, block, order=order), np.ones((block, elements), np.float32)
    for begin in (0, block):  # once into rows one after the other, once around the end
        entry = buffer.offer(np.arange(begin, begin + block), 99)
        tracemalloc.start()
        try:
            buffer.store(entry, data)
            assert tracemalloc.get_traced_memory()[1] < data.nbytes // 4
        finally:
            tracemalloc.stop()
    assert buffer.X.all()
