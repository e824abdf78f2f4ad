"""A class that is `in_order` gets each event once nothing can precede it any more, and what waits at an update."""

import ctypes

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import run_local

from parcorana import BlockBase, Common, ConfigError
from parcorana.reference import ReferenceBuffer

SHAPE = (2, 3)
USUAL = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Sorted(BlockBase):
    """Notes what it gets: run, counter, number, a value and the elements of each event."""

    buffer, in_order = "C", True

    def arrays(self, elements):
        self.run, self.got = np.zeros(1, np.int64), []
        return {"run": Common(self.run)}

    def adjust(self, block):
        block.offered[block.entering] *= 2

    def enter(self, events):
        assert len(events) > 0
        self.got.append(self.noted(events))

    def noted(self, events):
        kind = ctypes.c_float if events.dtype == np.float32 else ctypes.c_double
        direct = [list((kind * events.elements).from_address(int(row))) for row in events.rows]
        np.testing.assert_array_equal(np.reshape(direct, events.data.shape), events.data)
        np.testing.assert_array_equal(events.columns(slice(1, 3)), events.data[:, 1:3])
        assert not events.data.flags.writeable
        run = np.full(len(events), self.run[0])
        return np.c_[run, events.counters, events.numbers, events.values["mean"], events.data]

    def end_run(self, buffer):
        self.run += 1

    def collect(self, last, buffer):
        parts = [*self.got, self.noted(buffer.waiting())]
        settled = sum(map(len, self.got))
        return {"noted": Common(np.concatenate(parts)), "settled": Common(np.array(settled))}

    def publish(self, update, group):
        self.published = [*getattr(self, "published", []), dict(update)]


@st.composite
def streams(draw):
    events = draw(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 5)), min_size=1, max_size=50))
    return {
        "counters": np.array([1000 + time for time, _ in events], np.int64),
        "runs": np.sort([max(0, run - 3) for _, run in events]),
        "times": draw(st.integers(1, 12)),
        "block": draw(st.integers(1, 9)),
        "servers": draw(st.integers(1, 3)),
        "update": draw(st.sampled_from([0, 3, 7])),
        "store_dtype": draw(st.sampled_from(["float32", "float64"])),
    }


def processed(stream, frames, limit):
    """Return what should be noted of the first so many processed events, in the order of time."""
    rows, buffer, run, origin = [], ReferenceBuffer(stream["times"]), stream["runs"][0], int(stream["counters"][0])
    for k, counter in enumerate(stream["counters"].tolist()):
        if stream["runs"][k] != run:
            buffer, run = ReferenceBuffer(stream["times"]), stream["runs"][k]
        if buffer.enter(counter - origin, None) == "processed":
            rows.append([run, counter - origin, len(rows), frames[k].mean(), *(2.0 * frames[k].ravel())])
    kept = np.array(rows[:limit])
    kept[:, 0] = np.unique(kept[:, 0], return_inverse=True)[1]
    return kept[np.lexsort((kept[:, 1], kept[:, 0]))]


@USUAL
@given(streams())
def test_events_come_in_the_order_of_time(tmp_path, stream):
    frames = np.random.default_rng(1).integers(0, 100, (len(stream["counters"]), *SHAPE)).astype(np.uint16)
    given = {name: stream[name] for name in ("times", "block", "servers", "update", "store_dtype")} | {"delays": [1]}
    viewer = run_local(tmp_path, Sorted, stream["counters"], frames, runs=stream["runs"], **given)[0]
    updates = viewer.calculation.published
    for update in updates:
        want = processed(stream, frames, len(update["noted"]))
        np.testing.assert_array_equal(update["noted"], want)
        assert len(want) - update["settled"] <= stream["times"]
    assert len(updates[-1]["noted"]) == viewer.finished["processed"]


def test_what_it_needs(tmp_path):
    class WithoutBuffer(Sorted):
        buffer = None

    with pytest.raises(ConfigError, match="WithoutBuffer: in_order is True, so events leave the buffer row by row"):
        run_local(tmp_path, WithoutBuffer, np.arange(3), np.ones((3, *SHAPE)), times=2, delays=[1])
