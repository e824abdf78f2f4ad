"""The sums of multi-tau against the slow reference."""

import numpy as np
import pytest
from conftest import each_code_path
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcorana import ConfigError, _core, make_multitau_delays, reference
from parcorana.correlation.delays import check_channels, multitau_levels
from parcorana.correlation.levels import Levels
from parcorana.correlation.settled import Settled

code_path = each_code_path(_core)
USUAL = settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def settled(counters, data):
    """Return events that lie in two arrays, as they leave a buffer."""
    which = np.arange(len(data)) % 2
    return Settled(counters, np.arange(len(data)), {}, [data[::2], data[1::2]], which, np.arange(len(data)) // 2)


@st.composite
def streams(draw):
    """Runs with gaps of all lengths and times before 0, cut anywhere; some of the delays of a list."""
    events = draw(st.integers(0, 260))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    steps = 1 + (rng.random(events) < draw(st.sampled_from([0, 0, 0.02, 0.3])))
    for k in rng.integers(0, max(events, 1), draw(st.integers(0, 3)) if events else 0):
        steps[k] += draw(st.sampled_from([5, 20, 47, 48, 119, 700, 10**9]))
    channels = draw(st.sampled_from([2, 4, 8, 10]))
    delays = [0, *make_multitau_delays(draw(st.integers(1, 150)), channels)]
    counters = np.cumsum(steps.astype(np.int64)) - draw(st.integers(0, 300))
    return {
        "counters": counters * draw(st.sampled_from([1, 1, 1, 2, 60])),
        "cuts": sorted(draw(st.lists(st.integers(0, events), max_size=5))),
        "channels": channels,
        "delays": sorted(rng.choice(delays, draw(st.integers(1, len(delays))), replace=False).tolist()),
        "elements": draw(st.sampled_from([1, 7, 16, 33, 150])),
        "threads": draw(st.integers(1, 2)),
        "seed": draw(st.integers(0, 1000)),
    }


def drive(stream, data, part, threads=1):
    """Add all events but those after the last cut; return the sums with these."""
    counters, at = stream["counters"], 0
    levels = Levels(stream["delays"], stream["channels"], data.shape[1], data.dtype, threads)
    for cut in stream["cuts"]:
        levels.add(settled(counters[at:cut], data[at:cut]))
        at = cut
    before = {name: array.value.copy() for name, array in levels.arrays().items()}
    result = levels.ahead(settled(counters[at:], data[at:]), part)
    assert all((array.value == before[name]).all() for name, array in levels.arrays().items())
    return *result, levels, at


@USUAL
@given(streams())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integers_are_exact(code_path, dtype, stream):
    """So small that products of means are whole numbers of the same unit, of which sums fit."""
    data = np.random.default_rng(stream["seed"]).integers(0, 3, (len(stream["counters"]), stream["elements"]))
    part = slice(stream["elements"] // 3, stream["elements"])
    *sums, counts, _, _ = drive(stream, data.astype(dtype), part, stream["threads"])
    want = reference.multitau_sums(stream["counters"], data, stream["delays"], stream["channels"])
    assert (counts == want["counts"]).all()
    for name, got in zip(("G2", "IP", "IF"), sums, strict=True):
        np.testing.assert_array_equal(got.T, want[name][:, part], name)


@USUAL
@given(streams())
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_other_numbers(code_path, dtype, tolerance, stream):
    data = np.random.default_rng(stream["seed"]).normal(1, 1, (len(stream["counters"]), stream["elements"]))
    data = abs(data).astype(dtype)
    *sums, _, _, _ = drive(stream, data, slice(None), stream["threads"])
    want = reference.multitau_sums(stream["counters"], data, stream["delays"], stream["channels"])
    assert (abs(sums[0].T - want["G2"]) <= tolerance * want["G2"]).all()
    for name, got in zip(("IP", "IF"), sums[1:], strict=True):
        # where most frames have no partner, errors are those of the sum of all frames
        allowed = (
            np.maximum(tolerance * want[name], 1e-14 * data.sum(axis=0, dtype=np.float64))
            * (want["counts"] > 0)[:, None]
        )
        assert (abs(got.T - want[name]) <= allowed).all(), name


@USUAL
@given(streams(), st.integers(1, 149))
def test_bits_do_not_depend_on_the_division(stream, first):
    """Each element's sums are the same, whichever elements and threads are beside it."""
    stream["elements"] = 150
    data = np.random.default_rng(stream["seed"]).normal(1, 1, (len(stream["counters"]), 150)).astype(np.float32)
    whole = drive(stream, data, slice(None), 2)
    some = drive(stream, np.ascontiguousarray(data[:, first:]), slice(None), 1)
    piece = drive(stream, data, slice(first, 150), 1)
    for k in range(3):
        assert whole[k][first:].tobytes() == some[k].tobytes() == piece[k].tobytes()


@USUAL
@given(streams(), streams())
def test_runs_have_no_pairs_in_common(one, other):
    want, levels = 0, None
    for stream in (one, other):
        stream = one | {name: stream[name] for name in ("counters", "cuts")}
        data = np.ones((len(stream["counters"]), 3)) * np.array([1, 2, 3])
        if levels is None:
            levels = Levels(one["delays"], one["channels"], 3, np.float64)
        levels.add(settled(stream["counters"], data))
        levels.end_run()
        sums = reference.multitau_sums(stream["counters"], data, one["delays"], one["channels"])
        want = want + np.array([sums[name] for name in ("G2", "IP", "IF")])
    *got, _ = levels.ahead(settled(np.zeros(0, np.int64), np.zeros((0, 3))), slice(None))
    np.testing.assert_array_equal(np.transpose(got, (0, 2, 1)), want)


@USUAL
@given(streams())
def test_enough_channels_are_plain_g2(stream):
    data = np.random.default_rng(stream["seed"]).integers(0, 100, (len(stream["counters"]), 5)).astype(np.float32)
    *got, counts, _, _ = drive(stream | {"channels": 150}, data, slice(None))
    want = reference.g2(stream["counters"], data, len(data) + 1, stream["delays"], "accumulator")
    assert (counts == want["counts"]).all()
    for name, array in zip(("G2", "IP", "IF"), got, strict=True):
        np.testing.assert_array_equal(array.T, want[name])


def test_a_state_goes_on_elsewhere():
    """From the arrays of a checkpoint, filled into those of another one."""
    counters, data = np.arange(300), np.random.default_rng(0).integers(0, 4, (300, 20)).astype(np.float32)
    first, second = (Levels(make_multitau_delays(60), 8, 20, np.float32) for _ in range(2))
    first.add(settled(counters[:177], data[:177]))
    for name, array in second.arrays().items():
        array.value[:] = first.arrays()[name].value
    rest = settled(counters[177:], data[177:])
    first.add(rest)
    second.add(rest)
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array.value, second.arrays()[name].value, name)


def test_scratch_is_bounded():
    """By channels and threads: the same however many elements, and whatever the largest delay."""
    one, many = (Levels(make_multitau_delays(768), 8, n, np.float32, 2) for n in (1, 5000))
    assert one.scratch_bytes() == many.scratch_bytes() < 4 << 20
    assert Levels(make_multitau_delays(10**7), 8, 1, np.float32, 2).scratch_bytes() < 4 << 20


def test_wrong_events_are_refused():
    levels = Levels([1, 2], 2, 3, np.float32)
    for counters in ([2, 2], [3, 1]):
        with pytest.raises(ValueError, match="out of its range"):
            levels.add(settled(np.array(counters), np.zeros((2, 3), np.float32)))
    levels.add(settled(np.array([5]), np.zeros((1, 3), np.float32)))
    with pytest.raises(ValueError, match="out of its range"):
        levels.add(settled(np.array([5]), np.zeros((1, 3), np.float32)))
    for wrong in (np.zeros((1, 3)), np.zeros((1, 2), np.float32)):
        with pytest.raises(ValueError, match="of 3 of float32 wanted"):
            levels.add(settled(np.array([6]), wrong))


def test_lists_of_delays():
    assert make_multitau_delays(40) == [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40]
    assert make_multitau_delays(5, 2) == [1, 2, 4]
    assert len(make_multitau_delays(768)) == 34
    for channels in (2, 4, 6, 8):
        delays = make_multitau_delays(1000, channels)
        levels = multitau_levels(delays, channels)
        assert all(
            d <= channels << L and (L == 0 or d > channels << (L - 1)) for d, L in zip(delays, levels, strict=True)
        )
    assert multitau_levels([0, 3, 8, 1 << 40], 8).tolist() == [0, 0, 0, 37]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: make_multitau_delays(0), "largest must be a whole number from 1 to 2^40, not 0"),
        (lambda: make_multitau_delays("9"), "largest must be a whole number"),
        (lambda: make_multitau_delays(9, 3), "make_multitau_delays: channels must be an even whole number"),
        (lambda: check_channels(True), "channels must be an even whole number"),
        (lambda: check_channels(1 << 30), "channels must be an even whole number from 2 to 1048576"),
        (
            lambda: multitau_levels([1, 9], 8),
            "9 is no multiple of 2, as delays from 8 to 16 must be with channels 8: 8 or 10",
        ),
        (lambda: multitau_levels([35], 8), "35 is no multiple of 8, as .* from 32 to 64 .*: 32 would do"),
        (lambda: multitau_levels([39], 8), ": 40 would do"),
    ],
)
def test_wrong_delays(call, text):
    with pytest.raises(ConfigError, match=text.replace("^", "\\^")):
        call()
