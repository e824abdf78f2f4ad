"""MultiTauG2 in whole jobs: against plain loops, against the accumulator, however the work is divided."""

from functools import partial

import h5py
import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import opened_with_light, run_local, whole_frames

from parcorana import ConfigError, make_multitau_delays, reference
from parcorana.multitau import MultiTauG2
from parcorana.userg2 import G2IncrementalAccumulator

SHAPE = (3, 4)
SETTINGS = settings(
    max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def run(folder, counters, frames, user=None, runs=None, kind=MultiTauG2, light=None, **given):
    """Run the class; return what every update says, by the number of events."""
    light = np.ones(len(counters)) if light is None else light
    color = np.arange(frames[0].size).reshape(SHAPE) % 3 + 1
    np.save(folder / "color.npy", color)
    user = {"color": str(folder / "color.npy")} | (user or {})
    system = {"h5output": str(folder / "out.h5"), "overwrite": True, "values": {"light": "light"}} | given
    source = partial(opened_with_light, counters, frames, runs, light)
    run_local(folder, kind, counters, frames, opened=source, user=user, **system)
    found = {}
    with h5py.File(folder / "out.h5") as file:
        for name, group in file["user"].items():
            arrays = {key: item[()] for key, item in group.items() if isinstance(item, h5py.Dataset)}
            for key in ("G2", "IP", "IF"):
                if key in group:
                    arrays[key] = np.array([group[key][one][()] for one in sorted(group[key])])
            found[int(name.rpartition("_")[2])] = arrays
    return found


def by_hand(counters, values, runs, times, delays, channels, limit):
    """Return the sums and counts after the first `limit` processed events: frames and pairs by dictionaries."""
    width, counters = values.shape[1], counters - counters[0]
    sums, counts = {name: np.zeros((len(delays), width)) for name in ("G2", "IP", "IF")}, np.zeros(len(delays), int)
    processed = 0
    for number in np.unique(runs):
        buffer, kept = reference.ReferenceBuffer(times), {}
        for counter, row in zip(counters[runs == number].tolist(), values[runs == number], strict=True):
            if processed < limit and buffer.enter(counter, row) == "processed":
                kept[counter] = row.astype(np.float64)
                processed += 1
        for d, delay in enumerate(delays):
            pulses, whole = whole_frames(kept, delay, channels)
            frames = {k: sum(rows) / pulses for k, rows in whole}
            for k, past in frames.items():
                if (future := frames.get(k + delay // pulses)) is not None:
                    counts[d] += 1
                    sums["G2"][d] += past * future
                    sums["IP"][d] += past
                    sums["IF"][d] += future
    return sums, counts


@SETTINGS
@given(st.data())
def test_sums_are_those_of_plain_loops(tmp_path, data):
    """With gaps, disorder, late events, duplicates, runs, at every update, in every division."""
    steps = data.draw(st.lists(st.sampled_from([1] * 12 + [2, 9, 0, -2]), min_size=2, max_size=70))
    counters = np.cumsum(steps)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    frames = rng.integers(0, 9, (len(counters), *SHAPE)).astype(np.float32)
    runs = np.sort(rng.integers(0, data.draw(st.integers(1, 2)), len(counters)))
    channels, times = data.draw(st.sampled_from([2, 4, 8])), data.draw(st.integers(1, 12))
    delays = [0, *make_multitau_delays(40, channels)]
    given_ = {"block": data.draw(st.integers(1, 9)), "update": data.draw(st.sampled_from([0, 7]))}
    given_ |= {"workers": data.draw(st.integers(1, 3)), "servers": data.draw(st.integers(1, 2))}
    user = {"channels": channels, "save_arrays": True}
    made = run(tmp_path, counters, frames, user, runs, times=times, delays=delays, **given_)
    for limit, update in made.items():
        flat = frames.reshape(len(frames), -1)
        sums, counts = by_hand(counters, flat, runs, times, delays, channels, limit)
        assert update["delay_counts"].tolist() == counts.tolist()
        for name, right in sums.items():
            np.testing.assert_allclose(update[name].reshape(right.shape), right, rtol=1e-6)
        with np.errstate(divide="ignore", invalid="ignore"):
            for color in (1, 2, 3):
                G2, IP, IF = (sums[name][:, np.arange(12) % 3 + 1 == color].mean(axis=1) for name in sums)
                np.testing.assert_allclose(
                    update[f"delay_curve_color_{color}"], counts * G2 / np.where(IP * IF > 0, IP * IF, np.nan), 1e-6
                )


@SETTINGS
@given(st.data())
def test_the_divisor_is_of_the_same_frames(tmp_path, data):
    """`frame_norm`: the numbers are averaged as the elements are."""
    counters = np.cumsum(data.draw(st.lists(st.sampled_from([1] * 12 + [2, -1]), min_size=8, max_size=60)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    frames = rng.integers(1, 9, (len(counters), *SHAPE)).astype(np.float32)
    runs, light = np.sort(rng.integers(0, 2, len(counters))), rng.integers(1, 9, len(counters)) / 4
    delays, name = make_multitau_delays(24, 4), data.draw(st.sampled_from(["light", "color"]))
    user = {"channels": 4, "frame_norm": name}
    made = run(tmp_path, counters, frames, user, runs, light=light, times=3, delays=delays, update=10, workers=2)
    for limit, update in made.items():
        numbers = light[:, None] if name == "light" else frames.reshape(len(frames), -1)[:, ::3].mean(axis=1)[:, None]
        sums, counts = by_hand(counters, numbers, runs, 3, delays, 4, limit)
        bottom = (sums["IP"] * sums["IF"])[:, 0]
        right = np.divide(counts * sums["G2"][:, 0], bottom, out=np.full(len(delays), np.nan), where=counts > 0)
        key = "g2_of_frame_norm" if name == "light" else "g2_of_frame_norm_color_1"
        np.testing.assert_allclose(update[key], right, rtol=1e-6)


def test_with_channels_above_the_largest_delay_it_is_the_accumulator(tmp_path):
    rng = np.random.default_rng(5)
    counters = np.flatnonzero(rng.random(300) < 0.9)
    frames = rng.integers(0, 20, (len(counters), *SHAPE)).astype(np.float32)
    given_ = {"delays": [0, 1, 2, 5, 11, 31], "update": 100, "block": 16}
    multi = run(tmp_path, counters, frames, {"channels": 32, "save_arrays": True}, times=4, **given_)
    plain = run(tmp_path, counters, frames, {"save_arrays": True}, kind=G2IncrementalAccumulator, times=64, **given_)
    assert multi.keys() == plain.keys()
    for limit, update in plain.items():
        assert (multi[limit].pop("level") == 0).all()
        assert multi[limit].keys() == update.keys()
        for name, array in update.items():
            exact = name in ("G2", "IP", "IF", "delay_counts", "saturated")
            near = {"rtol": 1e-4, "atol": 1e-7} if "deviations" in name else {"rtol": 0 if exact else 1e-12}
            np.testing.assert_allclose(multi[limit][name], array, **near)


def test_the_levels_are_beside_the_delays(tmp_path):
    delays = make_multitau_delays(100)
    frames = np.ones((200, *SHAPE), np.float32)
    made = run(tmp_path, np.arange(200), frames, times=2, delays=delays)[200]
    assert made["level"].tolist() == [max(0, int(np.ceil(np.log2(delay / 8)))) for delay in delays]
    np.testing.assert_array_equal(made["delay_curve_color_1"], 1)


@pytest.mark.parametrize(
    ("user", "delays", "says"),
    [
        ({"channels": 7}, [1, 2], "user_params['channels'] must be an even whole number"),
        ({"channels": "8"}, [1, 2], "user_params['channels'] must be an even whole number"),
        ({}, [1, 9], "9 is no multiple of 2"),
    ],
)
def test_wrong_channels_and_delays_are_refused(tmp_path, user, delays, says):
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, np.arange(9), np.ones((9, *SHAPE), np.float32), user, times=2, delays=delays)
    assert says in str(caught.value)
