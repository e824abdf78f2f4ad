"""The compiled path of all three forms of G2 against the slow reference."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from conftest import each_code_path
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcorana import Block, MpiParams, _core, reference
from parcorana.correlation.plan import Plan
from parcorana.correlation.rolling import RollingBuffer, pulse_counters
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

CLASSES = {"atend": G2atEnd, "accumulator": G2IncrementalAccumulator, "windowed": G2IncrementalWindowed}


@st.composite
def streams(draw):
    """Counters with gaps, duplicates, disorder and late events; runs; buffers down to 1; cuts anywhere."""
    events = draw(st.integers(0, 60))
    steps = draw(st.lists(st.integers(0, 3), min_size=events, max_size=events))
    jitter = draw(st.sampled_from([0, 0, 2, 8, 40]))
    moves = draw(st.lists(st.integers(-jitter, jitter), min_size=events, max_size=events))
    counters = np.cumsum(np.array(steps, np.int64)) + np.array(moves, np.int64) - draw(st.integers(0, 50))
    runs = np.zeros(events, np.int64)
    if events and draw(st.booleans()):
        runs[draw(st.integers(0, events - 1)) :] = 1
    return {
        "counters": counters,
        "runs": runs,
        "times": draw(st.integers(1, 30)),
        "block": draw(st.integers(1, 20)),
        "delays": sorted(draw(st.sets(st.integers(0, 70), min_size=1, max_size=8))),
        "limit": draw(st.integers(1, 25)),
        "elements": draw(st.integers(1, 4)),
        "seed": draw(st.integers(0, 1000)),
    }


@st.composite
def steady_streams(draw):
    """What beams are like: long stretches without gaps, a few gaps, now and then an event out of order."""
    events = draw(st.integers(1, 260))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    steps = 1 + (rng.random(events) < draw(st.sampled_from([0, 0, 0.01, 0.03, 0.2])))
    if draw(st.booleans()):
        steps[draw(st.integers(0, events - 1))] += draw(st.sampled_from([7, 50, 100_000]))
    block = draw(st.sampled_from([1, 7, 16, 50]))
    if draw(st.booleans()):  # a gap just where a block ends
        steps[::block] += 1
    counters = np.cumsum(steps.astype(np.int64)) * draw(st.sampled_from([1, 1, 2, 3]))
    if draw(st.integers(0, 9)) == 0:  # one event from far ahead
        counters[draw(st.integers(0, events - 1))] += draw(st.sampled_from([45, 1000]))
    for k in np.flatnonzero(rng.random(events - 1) < draw(st.sampled_from([0, 0, 0.02]))):
        counters[k], counters[k + 1] = counters[k + 1], counters[k]
    largest = draw(st.integers(1, 40))
    return {
        "counters": counters,
        "runs": np.zeros(events, np.int64),
        "times": draw(st.sampled_from([largest // 2 + 1, largest + 1, largest + 20])),
        "block": block,
        "delays": sorted(
            {int(d) for d in rng.integers(draw(st.integers(0, 1)), largest + 1, draw(st.integers(1, 27)))}
        ),
        "limit": draw(st.sampled_from([1, 10, 1000])),
        "elements": draw(st.sampled_from([1, 5, 16, 19])),
        "seed": draw(st.integers(0, 1000)),
    }


code_path = each_code_path(_core)


def drive(kind, stream, data, threads=1, user_params=None, update=None):
    """Feed a stream to a user class the way a worker does, in stretches of any length; `update` after each."""
    dtype, n = data.dtype, data.shape[1]
    mask = np.ones(n, bool)
    params = MpiParams(0, "worker", mask, slice(0, n), threads=threads)
    user = CLASSES[kind](
        user_params or {}, {"delays": stream["delays"], "rate": 120.0, "times": stream["times"]}, params
    )
    user.arrays(n)
    buffer = RollingBuffer(stream["times"], n, stream["block"], dtype, user.buffer, threads)
    at = entered = 0
    events = len(data)
    while at < events:
        if at and stream["runs"][at] != stream["runs"][at - 1]:
            user.end_run(buffer)
            buffer.clear()
        end = min(at + stream["block"], events)
        while stream["runs"][end - 1] != stream["runs"][at]:
            end -= 1
        entry = buffer.offer(stream["counters"][at:end], stream["limit"])
        block = Block(stream["counters"][at:end], data[at:end], entry.processed, buffer=buffer, entry=entry)
        if not user.stores:
            block.store()
        if len(block):
            user.enter(block)
        entered += len(entry.processed)
        at += entry.consumed
        if update:
            update(user, (buffer.T, buffer.filled, buffer.X))
    arrays, counts, _ = user.workerCalc(buffer.T, buffer.filled, buffer.X)
    return arrays, counts, entered, buffer


USUAL = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", CLASSES)
@USUAL
@given(st.one_of(streams(), steady_streams()))
def test_integers_are_exact(code_path, kind, stream):
    rng = np.random.default_rng(stream["seed"])
    data = rng.integers(0, 257, (len(stream["counters"]), stream["elements"])).astype(np.float32)
    arrays, counts, entered, buffer = drive(kind, stream, data)
    want = reference.g2(stream["counters"], data, stream["times"], stream["delays"], kind, stream["runs"])
    assert entered == want["processed"]
    np.testing.assert_array_equal(counts, want["counts"])
    for name in ("G2", "IP", "IF"):
        np.testing.assert_array_equal(arrays[name], want[name], err_msg=name)
    assert (buffer.T[buffer.filled :] == np.iinfo(np.int64).min).all()
    assert not buffer.X[buffer.filled :].any()


@pytest.mark.parametrize(("dtype", "allowed"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("kind", CLASSES)
@USUAL
@given(st.one_of(streams(), steady_streams()))
def test_real_numbers(code_path, kind, dtype, allowed, stream):
    rng = np.random.default_rng(stream["seed"])
    data = rng.normal(1, 1, (len(stream["counters"]), stream["elements"])).astype(dtype)
    arrays, counts, _, _ = drive(kind, stream, data)
    want = reference.g2(stream["counters"], data, stream["times"], stream["delays"], kind, stream["runs"])
    np.testing.assert_array_equal(counts, want["counts"])
    assert (abs(arrays["G2"] - want["G2"]) <= allowed * want["scale"]).all()
    size = reference.g2(stream["counters"], abs(data), stream["times"], stream["delays"], kind, stream["runs"])
    for name in ("IP", "IF"):
        assert (abs(arrays[name] - want[name]) <= allowed * size[name]).all()


@pytest.mark.parametrize("kind", CLASSES)
@settings(max_examples=examples(10), deadline=None)
@given(st.one_of(streams(), steady_streams()))
def test_threads_do_not_change_a_bit(kind, stream):
    rng = np.random.default_rng(stream["seed"])
    data = rng.normal(1, 1, (len(stream["counters"]), 11)).astype(np.float32)
    one = drive(kind, stream, data, threads=1)[0]
    for threads in (2, 3, 8):
        other = drive(kind, stream, data, threads=threads)[0]
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize("kind", ["accumulator", "windowed"])
@pytest.mark.parametrize("normalization", ["pixel", "color"])
@settings(max_examples=examples(25), deadline=None)
@given(st.one_of(streams(), steady_streams()), st.sampled_from([np.float32, np.float64]), st.sampled_from([1, 3]))
def test_sums_of_colours_without_full_arrays(kind, normalization, stream, dtype, threads):
    """An update of curves only says what one of full arrays says, and leaves deferred what is."""
    rng = np.random.default_rng(stream["seed"])
    data = rng.gamma(2.0, 1.0, (len(stream["counters"]), 75)).astype(dtype)
    user_params = {"normalization": normalization}

    def update(user, stored):
        small, counts = user._sums_of_colors(*stored)
        whole = copy.deepcopy(user)
        results = whole.workerCalc(*stored)
        np.testing.assert_array_equal(counts, results[1])
        for name, array in whole.workerReduce(*results).items():
            np.testing.assert_allclose(small[name], array, rtol=1e-12, atol=1e-12, err_msg=name)

    arrays = drive(kind, stream, data, threads, user_params, update)[0]
    if kind == "accumulator":
        for name, array in drive(kind, stream, data)[0].items():
            np.testing.assert_array_equal(arrays[name], array)


SINGLE = [
    ("gap at a border", np.r_[0:200, 201:400], 400, [3, 90], 100),
    ("far ahead", np.array([0, 1, 2, 3, 100, 4, 5, 6, 7, 8]), 50, [3], 5),
    ("no delay fits the step", 2 * np.r_[0:90, 91:200], 400, [1, 3], 60),
    ("delay 0 alone", np.r_[0:90, 91:200, 150:155, 60:70], 40, [0], 16),
    ("delay 0 alone, all stored, every second pulse", 2 * np.r_[0:90, 200:91:-1], 400, [0], 16),
    ("delay 0 among few over a long time", 1000 * np.arange(50) ** 2, 20, [0, 1000, 3000], 7),
    ("delay 0 with one event", np.array([-7, -7]), 1, [0], 1),
    ("delays beyond everything", np.arange(100), 10, [1, 2, 1 << 33, 1 << 40], 16),
    ("delays beyond everything, all stored", np.arange(100), 200, [1, 2, 1 << 33, 1 << 40], 16),
]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(("counters", "times", "delays", "block"), [s[1:] for s in SINGLE], ids=[s[0] for s in SINGLE])
def test_streams_that_went_wrong_once(kind, counters, times, delays, block):
    stream = {
        "counters": counters,
        "runs": counters * 0,
        "times": times,
        "delays": delays,
        "block": block,
        "limit": 999,
    }
    data = np.arange(1.0, len(counters) + 1, dtype=np.float32)[:, None] % 251
    arrays, counts, _, _ = drive(kind, stream, data)
    want = reference.g2(counters, data, times, delays, kind)
    np.testing.assert_array_equal(counts, want["counts"])
    for name in ("G2", "IP", "IF"):
        np.testing.assert_array_equal(arrays[name], want[name], err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("gaps", [0, 0.02, 0.98])
def test_delay_zero_is_each_event_with_itself(code_path, kind, dtype, gaps):
    """Of all that entered, or of what is stored: sum I^2, sum I twice, and how many."""
    rng = np.random.default_rng(1)
    counters = np.cumsum(1 + (rng.random(500) < gaps) * rng.integers(1, 90, 500))
    counters[100], counters[200:202] = counters[99], counters[[201, 200]]  # a duplicate; out of order
    counters[300] = counters[10]  # late
    data = rng.integers(0, 257, (500, 5)).astype(dtype)
    stream = {"counters": counters, "runs": counters * 0, "times": 90, "delays": [0, 1, 40], "block": 32, "limit": 999}
    arrays, counts, entered, _ = drive(kind, stream, data)
    assert entered == 498
    mine = np.delete(data.astype(float), [100, 300], axis=0)[-(498 if kind == "accumulator" else 90) :]
    assert counts[0] == len(mine)
    np.testing.assert_array_equal(arrays["G2"][0], (mine**2).sum(axis=0))
    np.testing.assert_array_equal(arrays["IP"][0], mine.sum(axis=0))
    np.testing.assert_array_equal(arrays["IF"][0], mine.sum(axis=0))


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("shape", ["one bright lane", "constant", "alternating"])
def test_rounding_of_float32_at_its_worst(code_path, kind, shape):
    events = 2048
    data = np.full((events, 1), 1 + 2.0**-13, np.float32)
    if shape == "one bright lane":
        data[:] = 2.42e-4
        data[:9] = 1
    elif shape == "alternating":
        data[::2], data[1::2] = 1e3, 1e-3
    stream = {"counters": np.arange(events), "runs": np.zeros(events), "times": 2100, "delays": [1, 2, 512]}
    arrays, _, _, _ = drive(kind, stream | {"block": 2048, "limit": 9999}, data)
    exact = data.astype(np.float64)
    for d, delay in enumerate(stream["delays"]):
        want = (exact[delay:] * exact[:-delay]).sum()
        assert abs(arrays["G2"][d, 0] - want) <= 1e-6 * want


@pytest.mark.parametrize("kind", ["atend", "windowed"])
def test_dark_sums_beside_bright_ones(kind):
    """The pairs of a delay may be few and dark: their IP is not what is left of something bright."""
    data = np.full((1010, 1), 1e5)
    data[:10] = 1e-3
    stream = {"counters": np.arange(1010), "runs": np.zeros(1010), "times": 2000, "delays": [1, 1000]}
    arrays, _, _, _ = drive(kind, stream | {"block": 512, "limit": 9999}, data)
    np.testing.assert_allclose(arrays["IP"][1], 10 * 1e-3, rtol=1e-12)
    np.testing.assert_allclose(arrays["IF"][1], 10 * 1e5, rtol=1e-12)


@pytest.mark.parametrize(("events", "dtype"), [(700, np.float32), (700, np.float64), (2900, np.float32)])
def test_window_after_a_burst(code_path, events, dtype):
    """A burst 10^4 times brighter, which has just left or left long ago; fewer than 100 turnovers."""
    rng = np.random.default_rng(3)
    data = rng.gamma(2.0, 1.0, (events, 2)).astype(dtype)
    data[500:520, 1] *= 1e4
    delays = [1, 2, 7, 29]
    stream = {"counters": np.arange(events), "runs": np.zeros(events), "times": 100, "delays": delays, "block": 64}
    arrays, _, _, _ = drive("windowed", stream | {"limit": 9999}, data)
    want = reference.pairs_sums({t: data[t].astype(float) for t in range(events - 100, events)}, delays, 2)
    assert (abs(arrays["G2"] - want["G2"]) <= (1e-6 if dtype == np.float32 else 1e-12) * want["scale"]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_window_does_not_drift(dtype):
    """After many turnovers, and after a burst has left, the window equals its own pairs."""
    rng = np.random.default_rng(5)
    data = rng.gamma(2.0, 1.0, (4000, 3)).astype(dtype)
    data[500:520, 1] *= 1e4
    stream = {
        "counters": np.arange(4000),
        "runs": np.zeros(4000),
        "times": 30,
        "block": 64,
        "limit": 64,
        "delays": [1, 2, 7, 29],
    }
    windowed, _, _, _ = drive("windowed", stream, data)
    want = reference.pairs_sums({t: data[t].astype(float) for t in range(3970, 4000)}, stream["delays"], 3)
    allowed = 1e-6 if dtype == np.float32 else 1e-12
    assert (abs(windowed["G2"] - want["G2"]) <= allowed * want["scale"]).all()
    # without the recomputation the errors would be there to see
    naive = np.zeros((4, 3))
    for t in range(4000):
        for d, delay in enumerate(stream["delays"]):
            if t >= delay:
                naive[d] += data[t].astype(float) * data[t - delay]
            if t >= 30 and t - 30 + delay < t:
                naive[d] -= data[t - 30].astype(float) * data[t - 30 + delay]
    assert (abs(naive - want["G2"]) > 1e-12 * want["scale"]).any()


@given(
    st.lists(st.integers(-(10**17), 10**17), max_size=20),
    st.integers(-(10**17), 10**17),
    st.sampled_from([1.0, 0.5, 120.0, 119.97, 24.0, 929000.0, 1e6, 59.94]),
)
def test_counters_are_exact(stamps, first, rate):
    from fractions import Fraction

    stamps = np.array(stamps, np.int64)
    exact = Fraction(str(rate)) / 10**9
    want = [int((2 * (int(s) - first) * exact + 1) // 2) for s in stamps]
    assert pulse_counters(stamps, first, rate).tolist() == want


def test_counters_do_not_drift_over_days():
    """LCLS-II timestamps are seconds and nanoseconds: five days at 120 Hz, to the last pulse."""
    pulses = np.array([0, 1, 5 * 86400 * 120, 5 * 86400 * 120 + 7])
    first = 1_000_000_000 * 10**9
    stamps = np.array([first + int(p) * 10**9 // 120 for p in pulses])
    assert pulse_counters(stamps, first, 120.0).tolist() == pulses.tolist()


def wrong_calls():
    x = np.zeros((4, 3), np.float32, order="F")
    block = np.zeros((2, 3), np.float32)
    sums = [np.zeros((3, 1)) for _ in range(3)]

    def runs(*triples):
        return np.array(list(triples), _core.RUN_DTYPE)

    def call(given=sums, block=block, total=None, **changes):
        plan = Plan(length=4, **changes)
        return lambda: _core.correlate(plan, x, block, *given, total)

    numbers = np.array([0, 1])
    shift = {"shift": np.array([-1]), "column": np.array([0]), "end": 4}
    yield "run 0 of old", call(old=runs((0, 2, 3)))
    yield "run 0 of old", call(old=runs((-1, 0, 1)))
    yield "run 0 of old", call(old=runs((2, 0, 3)))
    yield "run 0 of old", call(old=runs((0, 0, -1)))
    yield "run 0 of fresh", call(source=numbers, fresh=runs((0, 0, 3)))
    yield "run 0 of fresh", call(source=numbers, fresh=runs((0, 0, 2)), all_new=False, **(shift | {"begin": 1}))
    yield "run 0 of keep", call(source=numbers, keep=runs((0, 3, 2)))
    yield "source", call(source=np.array([0, 2]))
    yield "begin", call(begin=3, end=2)
    yield "begin", call(end=5)
    yield "shift", call(**(shift | {"shift": np.array([-5])}))
    yield "gone", call(gone=2, begin=1, end=4)
    yield "whole line", call(mode=_core.ENDS, end=3)
    yield "last ones", call(mode=_core.DEFERRED, end=3, total=np.zeros(3))
    yield "missing", call(missing=numbers, end=4)
    yield "new_first", call(mode=_core.ENDS, missing=numbers, new_first=np.array([0, 3]), end=4)
    yield "must increase", call(mode=_core.ENDS, missing=numbers[::-1].copy(), new_first=np.array([0, 2]), end=4)
    yield "left out", call(given=[None, *sums[1:]])
    yield "column", call(**(shift | {"column": np.array([1])}))
    yield "present", call(mode=_core.MASKED, present=np.zeros(3, np.uint8), is_new=np.zeros(4, np.uint8), **shift)
    yield "is_new", call(mode=_core.MASKED, present=np.zeros(4, np.uint8), is_new=np.zeros(3, np.uint8), **shift)
    yield "run 0 of run", call(run=runs((0, 3, 2)), start=numbers)
    yield "start", call(run=runs((0, 1, 2)), start=np.array([0, 2]))
    yield "shape", call(given=[np.zeros((2, 1)), *sums[1:]])
    yield "elements", call(source=numbers, block=block[:, :2].copy())
    yield "total", call(mode=_core.DEFERRED, end=4)
    yield "source", lambda: _core.store(Plan(length=0, source=np.array([2])), x, block)
    yield "elements", lambda: _core.store(Plan(length=0, source=numbers), x, block[:, :2].copy())
    yield "side by side", lambda: _core.store(Plan(length=0, source=numbers), x, np.asfortranarray(block))
    yield "somewhere", lambda: _core.store(Plan(**(shift | {"length": 4})), x, block)
    yield "rows is 5", lambda: _core.energy(x, 5, 1, np.zeros(3), np.zeros(3))
    yield (
        "not increase",
        lambda: _core.settle(Plan(length=4, **(shift | {"shift": np.array([1])})), x, *sums[1:], np.zeros(3)),
    )
    tails = Plan(length=4, old=runs((0, 0, 4)), **(shift | {"shift": np.array([-1])}))
    of_colors, total = (np.ones(1), np.zeros(3, np.int64)), np.zeros(3)

    def pending(plan=tails, x=x, total=total):
        return _core.sum_pending(plan, x, total, *sums, *of_colors, 1, None, 0)

    yield "group", lambda: _core.sum_colors(*sums, np.ones(1), np.array([0, 1, 0]), 1, None, 0)
    yield "fine", lambda: _core.sum_colors(*sums, *of_colors, 1, np.array([0, -2, 0]), 1)
    yield "shape", lambda: _core.sum_colors(*sums, np.ones(2), np.zeros(3, np.int64), 1, None, 0)
    yield "no runs", lambda: pending(replace(tails, run=runs((0, 1, 2)), start=numbers))
    yield "elements", lambda: pending(x=x[:, :2])
    yield "total", lambda: pending(total=total[:2])
    levers, lists = np.zeros((6, 1, 1)), (np.zeros(1, np.int64), np.zeros((6, 1, 1)), 1, 1)
    yield "group", lambda: _core.find_pulls(*sums, np.array([0, 1, 0]), *lists)
    yield "color", lambda: _core.find_pulls(*sums, total.astype(np.int64), np.array([1]), levers, 1, 1)
    yield "levers", lambda: _core.find_pulls(*sums, total.astype(np.int64), lists[0], levers[:5], 1, 1)
    yield "most is 0", lambda: _core.find_pulls(*sums, total.astype(np.int64), *lists[:2], 1, 0)
    yield "shape", lambda: _core.find_pulls(*sums, total.astype(np.int64), lists[0], np.zeros((6, 1, 2)), 1, 1)
    yield "delay", lambda: _core.find_pulls(*sums, total.astype(np.int64), *lists, 1, total, np.zeros(2, np.int32))
    yield (
        "no runs",
        lambda: _core.find_pulls_pending(
            replace(tails, run=runs((0, 1, 2)), start=numbers), x, total, *sums, total.astype(np.int64), *lists
        ),
    )
    yield "is_new", lambda: _core.count_shifts(np.zeros(3, np.uint8), np.zeros(3, np.uint8), 1, np.array([1]))
    yield "rate_num", lambda: _core.counters(np.zeros(1, np.int64), 0, 1 << 33, 1, np.zeros(1, np.int64))
    yield "no code path", lambda: _core.choose_path("abacus")


@pytest.mark.parametrize("case", range(len(list(wrong_calls()))))
def test_wrong_lengths_are_named(case):
    words, call = list(wrong_calls())[case]
    with pytest.raises(ValueError, match=words):
        call()


def test_strided_or_wrong_dtype_is_refused_not_copied():
    strided = np.zeros((4, 6), np.float32, order="F")[:, ::2]
    with pytest.raises((ValueError, TypeError)):
        _core.energy(np.zeros((3, 4), np.float32), 1, 1, np.zeros(4), np.zeros(4))
    with pytest.raises((ValueError, TypeError)):
        _core.energy(strided[::2], 1, 1, np.zeros(3), np.zeros(3))
    with pytest.raises((ValueError, TypeError)):
        _core.energy(np.zeros((3, 4), np.int32, order="F"), 1, 1, np.zeros(4), np.zeros(4))
