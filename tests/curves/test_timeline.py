"""The mean intensity of each colour over time: sums per event, stretches, and what a run writes."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana import kernels
from parcorana.curves import timeline
from parcorana.curves.timeline import Timeline


def test_index_of_colours_is_checked():
    values, index = np.ones((3, 40), np.float32), np.zeros(40, np.int32)
    assert kernels.sum_indexed(values, index, 1).tolist() == [[40.0]] * 3
    for wrong in (index + 1, index - 2, np.zeros(80, np.int32)[::2]):
        with pytest.raises(ValueError, match="index should be contiguous, from -1 to 0"):
            kernels.sum_indexed(values, wrong, 1)
    assert kernels.color_index(np.array([0, 7, 3, 9]), np.array([3, 7])).tolist() == [-1, 1, 0, -1]
    assert kernels.color_index(np.array([0, 7]), np.array([], int)).tolist() == [-1, -1]


def stretches(counters, means, points):
    """Return first, last, events and sums by the definition: the smallest power of two that fits."""
    width = 1
    while len(counters) > points * width:
        width *= 2
    parts = [slice(k, k + width) for k in range(0, len(counters), width)]
    each = [(counters[p].min(), counters[p].max(), len(counters[p]), means[p].sum(axis=0)) for p in parts]
    return [np.array(column) for column in zip(*each, strict=True)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12), st.integers(0, 1000))
def test_stretches_however_events_come(batches, seed):
    rng = np.random.default_rng(seed)
    total, color = sum(batches), rng.integers(0, 4, 20)
    counters = rng.permutation(np.arange(total) * 3 - 50)
    data = rng.normal(size=(total, 20))
    line = Timeline(color, np.array([1, 3]), points=8)
    at = 0
    for m in batches:
        line.add(counters[at : at + m], data[at : at + m])
        at += m
    found = line.arrays()
    if not total:
        assert len(found["events"]) == 0
        return
    sums = np.stack([data[:, color == c].sum(axis=1) for c in (1, 3)], axis=1)
    first, last, events, totals = stretches(counters, sums, 8)
    assert found["first"].tolist() == first.tolist() and found["last"].tolist() == last.tolist()
    assert found["events"].tolist() == events.tolist()
    np.testing.assert_allclose(found["sums"], totals, rtol=1e-12, atol=1e-12)


def test_memory_is_bounded_with_many_colours():
    line = Timeline(np.arange(1, 5001), np.arange(1, 5001))
    assert line.points == timeline._LEAST
    assert Timeline(np.ones(3, int), np.array([1])).points == timeline.POINTS


@pytest.mark.parametrize(
    ("user_class", "ranks"),
    [("G2atEnd", 0), ("G2IncrementalAccumulator", 0), ("G2IncrementalWindowed", 0), ("G2IncrementalWindowed", 6)],
)
def test_a_run_keeps_it(setup, user_class, ranks):
    """Of the events that were processed only, after `notzero`, the same for any number of ranks."""
    setup.write(user_class, user=setup.user | {"notzero": 2.0, "saturated_value": 9})
    assert setup.drive("-s", 2 if ranks else 1, ranks=ranks).returncode == 0
    _, first = np.unique(setup.counters, return_index=True)
    fresh = np.zeros(len(setup.counters), bool)
    fresh[first] = True
    fresh[150] = False  # stored long ago, by now older than everything
    counters = setup.counters[fresh] - setup.counters[0]
    frames = np.maximum(setup.frames[fresh], 2).astype(float)
    with h5py.File(setup.folder / "out.h5") as file:
        assert len(counters) == file["system/accounting"].attrs["processed"]
        group = file[f"user/G2_results_at_{len(counters):06d}/intensity"]
        assert group["first"][:].tolist() == group["last"][:].tolist() == counters.tolist()
        assert group["first"].attrs["rate"] == 120 and group["events"][:].tolist() == [1] * len(counters)
        assert set(group) == {"first", "last", "events", "color_1", "color_2", "color_3"}
        for c in (1, 2, 3):
            mine = (setup.color == c) & (setup.mask == 1)
            np.testing.assert_allclose(group[f"color_{c}"], frames[:, mine].mean(axis=1), rtol=1e-12)
