"""From frames to the rows that travel, and back to the storage's type."""

import numpy as np
import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parcorana import _move
from parcorana.pipeline.block import EVENTS, FILTERED, HEADER, BlockBuffer, wire_dtype
from parcorana.pipeline.receivers import Receivers

DTYPES = ["?", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8", ">u2", ">f4", "g"]


def frames_of(rng, dtype, shape):
    """Values of which many do not fit into the storage exactly, or at all."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        values = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4 if dtype.itemsize == 2 else 30, shape)
        values = np.where(rng.random(shape) < 0.02, rng.choice([np.nan, np.inf, -np.inf], shape), values)
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)


@settings(max_examples=examples(150), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    store=st.sampled_from(["f4", "f8"]),
    kinds=st.lists(st.tuples(st.sampled_from(DTYPES), st.integers(1, 5)), min_size=1, max_size=4),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 3)),
    check=st.booleans(),
    cut=st.booleans(),
)
@example(0, "f4", [("u2", 5), ("f4", 2), ("u2", 1)], (1024, 1), True, False)  # rows of 4 KiB are padded
@example(1, "f4", [("f2", 3), ("i8", 1), ("f2", 2)], (2048, 2), True, True)
def test_what_arrives_is_what_a_cast_gives(seed, store, kinds, sizes, check, cut):
    """Any dtypes in turn: included elements, in the storage's dtype, without the events that are not finite.

    Frames come whole, or one by one in segments.
    """
    rng, store = np.random.default_rng(seed), np.dtype(store)
    elements, receivers = sizes
    mask = rng.random(3 * elements) < 0.7
    mask[:receivers] = True
    parts = np.array_split(np.flatnonzero(mask), receivers)
    receivers, segments = Receivers(parts), None
    if cut:
        # of some the mask may have nothing, and some have more than one receiver
        segments = np.sort(rng.choice(np.arange(1, mask.size), min(3, mask.size - 1), replace=False)).tolist()
    block = sum(count for _, count in kinds)
    sender = BlockBuffer(block, [len(part) for part in parts], store)
    for _ in range(2):  # the second time nothing of the first must be left
        sender.begin(0, -1, True)
        want, stamps, at = [], [], 0
        for dtype, count in kinds:
            frames = frames_of(rng, dtype, (count, mask.size))
            with np.errstate(over="ignore", invalid="ignore"):
                values = frames[:, mask].astype(store)
            good = np.isfinite(values).all(axis=1) | (not check)
            if rng.random() < 0.3:  # a view, as a user may return
                frames = np.repeat(frames, 2, axis=1)[:, ::2]
            if segments is None:
                bad = sender.put(frames, np.arange(at, at + count), 7, receivers, check)
            else:
                bad = np.concatenate([
                    sender.put(np.split(frame[None], segments, axis=1), at + k, 7, receivers, check)
                    for k, frame in enumerate(frames)
                ])  # fmt: skip
            np.testing.assert_array_equal(bad, ~good)
            want.append(values[good])
            stamps.extend(np.arange(at, at + count)[good])
            at += count
        want = np.concatenate(want)
        numbers, data = sender.messages()
        first = 0
        for part, rows in zip(parts, data, strict=True):
            receiver = BlockBuffer(block, [len(part)], store)
            receiver.numbers[: len(numbers)] = numbers
            receiver.memory[0][: rows.nbytes] = rows.reshape(-1).view("u1")
            got = receiver.as_block(threads=2)
            np.testing.assert_array_equal(got.data, want[:, first : first + len(part)])
            np.testing.assert_array_equal(got.stamps, stamps)
            assert got.events == len(want) and (got.runs == 7).all()
            first += len(part)


def test_small_values_travel_in_their_own_type():
    f4, f8 = np.dtype("f4"), np.dtype("f8")
    cases = (("u1", "u1", "u1"), ("u2", "u2", "u2"), ("f2", "f2", "f2"), ("i4", "f4", "i4"), ("f4", "f4", "f4"))
    for name, on_f4, on_f8 in (*cases, ("f8", "f4", "f8"), ("?", "u1", "u1"), (">u2", "f4", "f8")):
        assert wire_dtype(np.dtype(name), f4) == on_f4
        assert wire_dtype(np.dtype(name), f8) == on_f8
    sender = BlockBuffer(4, [100], f4)
    sender.begin(0, -1, True)
    sender.put(np.ones((4, 100), "u2"), np.arange(4), 0, Receivers([np.arange(100)]), True)
    assert sender.messages()[1][0].nbytes == 4 * 112 * 2  # rows of 7 cache lines, as they are in float32
    sender.put(np.ones((0, 100), "f8"), np.arange(0), 0, Receivers([np.arange(100)]), True)
    assert sender.header[EVENTS] == 4


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 3)), max_size=12), st.data())
def test_values_of_what_ranges_leave_out(steps, data):
    """Of some events the data travel, of those that ranges leave out the values; the last of either may be cut off."""
    block, receivers = sum(count for _, count in steps) + data.draw(st.integers(0, 2)), Receivers([np.arange(2)])
    sender, receiver = (BlockBuffer(block, [2], np.float32, ["a", "mean"], 2) for _ in range(2))
    for _ in range(2):
        sender.begin(0, -1, True)
        taken, left, at = [], [], 0.0
        for which, count in steps:
            values = np.stack([np.arange(at, at + count), np.full(count, np.nan)], axis=1)
            at += count
            if which < 0:
                sender.put(np.ones((count, 2), "u1"), np.arange(count), 0, receivers, False, values)
                taken += values[:, 0].tolist()
            else:
                sender.leave_out(values, np.full(count, which))
                left += [(value, which) for value in values[:, 0].tolist()]
        keep = [data.draw(st.integers(0, len(each))) for each in (taken, left)]
        sender.header[EVENTS] = keep[0]
        for _, which in left[keep[1] :]:
            sender.header[[FILTERED, HEADER + which]] -= 1
        numbers, _ = sender.messages()
        receiver.numbers[: len(numbers)] = numbers
        assert receiver.size == len(numbers)
        got = receiver.as_block()
        assert got.values["a"].tolist() == taken[: keep[0]]
        assert got.left_out["a"].tolist() == [value for value, _ in left[: keep[1]]] and got.header[FILTERED] == keep[1]
        assert np.isnan(got.left_out["mean"]).all() and len(got.left_out["mean"]) == keep[1]


def test_memory_is_never_left():
    part = _move.stretches(np.arange(5, 10))
    rows = np.zeros((3, 5), "f4")
    target = _move.Target([rows], [part])
    frames, bad = np.ones((2, 10), "f4"), np.zeros(2, "u1")
    assert target.take(frames, 1, bad, True) == 3
    for wrong, match in (
        (lambda: target.take(frames, 2, bad, True), "do not fit in"),
        (lambda: target.take(frames[:, :9], 0, bad, True), "side by side"),
        (lambda: target.take(frames[:, ::2], 0, bad, True), "side by side"),
        (lambda: target.take(frames, 0, bad[:1], True), "do not fit in"),
        (lambda: target.take(frames.astype("f2"), 0, bad, True), "is not cast"),
        (lambda: _move.Target([rows[:, :4]], [part]), "rows"),
        (lambda: _move.Target([rows[:, :4].copy()], [part]), "do not fit"),
        (lambda: _move.widen(np.zeros(59, "u1"), np.zeros((3, 5), "u2"), rows, 5), "in place"),
        (lambda: _move.widen(np.zeros(60, "u1"), np.zeros((3, 5), "u2"), rows, 6), "does not become"),
        (lambda: _move.widen(np.zeros(60, "u1"), np.zeros((3, 5), "f2"), rows, 5), "does not become"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("saturated", "least"), [(1.0, 0.1), (None, 0.1), (1.0, None)])
def test_a_block_is_adjusted_as_its_events_are(dtype, saturated, least):
    rng = np.random.default_rng(0)
    rows = rng.choice([0.1, 1.0, 0.0, 2.0, np.nan, -1.0], (40, 3000 + 16)).astype(dtype)[:, :3000]
    which, marks = np.flatnonzero(rng.random(40) < 0.1), np.zeros(3000, np.int8)
    marks[5] = 1
    want, want_marks = rows.copy(), marks.copy()
    for k in which:
        if saturated is not None:
            want_marks |= want[k] >= saturated
        if least is not None:
            np.maximum(want[k], least, out=want[k])
    _move.adjust(rows, which, saturated, marks, least, threads=2)
    np.testing.assert_array_equal(rows, want)
    np.testing.assert_array_equal(marks, want_marks)
    assert marks.any() and not marks.all()
    with pytest.raises(ValueError, match="no row 40"):
        _move.adjust(rows, np.array([40]), saturated, marks, least)
