"""Aged curves: of every update the g2 of the pairs whose later event came since the one before."""

import shutil
from functools import partial

import h5py
import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import opened_with_light, run_local, whole_frames

from parcorana import ConfigError, reference
from parcorana.multitau import MultiTauG2
from parcorana.tools.compare import compare
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

SHAPE = (3, 4)
COLOR = np.arange(12).reshape(SHAPE) % 3
FINE = np.arange(12).reshape(SHAPE) // 2 % 3 + 1
CHANNELS = 4


def run(folder, counters, frames, kind=G2IncrementalAccumulator, runs=None, user=None, light=None, **given):
    """Run a class; return the aged curves of every update, by its number of events: datasets and attributes."""
    for name, array in (("color", given.pop("color", COLOR)), ("fine", FINE)):
        np.save(folder / f"{name}.npy", array)
    user = {"color": str(folder / "color.npy"), "save_arrays": False, **(user or {})}
    if user.get("normalization") == "finecolor":
        user["finecolor"] = str(folder / "fine.npy")
    light = np.ones(len(counters)) if light is None else light
    system = {"h5output": str(folder / "out.h5"), "overwrite": True, "values": {"light": "light"}} | given
    run_local(
        folder,
        kind,
        counters,
        frames,
        opened=partial(opened_with_light, counters, frames, runs, light),
        user=user,
        **system,
    )
    with h5py.File(folder / "out.h5") as file:
        return {
            int(name.rpartition("_")[2]): {key: item[()] for key, item in group["aged"].items()}
            | dict(group["aged"].attrs)
            for name, group in file["user"].items()
            if "aged" in group
        }


# -- the pairs, one by one -----------------------------------------------------------


def pairs_of(counters, rows, runs, times, delays, channels=None):
    """Return every pair, as (number of the event that completes it, delay's index, earlier, later), and the events.

    Numbers count processed events. Of multi-tau frames take the place of events: `channels` says which.
    """
    buffer, before, number, found, events, kept = reference.ReferenceBuffer(times), None, 0, [], [], {}
    for counter, row, run_ in zip(counters.tolist(), rows, runs, strict=True):
        if run_ != before:
            found += _of_frames(kept, delays, channels) if channels else []
            buffer, before, kept = reference.ReferenceBuffer(times), run_, {}
        if buffer.enter(counter, (number, row)) != "processed":
            continue
        kept[counter] = number, row
        for d, delay in enumerate(delays if not channels else ()):
            if counter - delay in buffer.stored:
                found.append((number, d, buffer.stored[counter - delay][1], row))
            if delay and counter + delay in buffer.stored:
                found.append((number, d, row, buffer.stored[counter + delay][1]))
        events.append((counter, row))
        number += 1
    return found + (_of_frames(kept, delays, channels) if channels else []), events


def _of_frames(kept, delays, channels):
    found = []
    for d, delay in enumerate(delays):
        pulses, whole = whole_frames(kept, delay, channels)
        frames = {k: (max(part[0] for part in parts), sum(part[1] for part in parts) / pulses) for k, parts in whole}
        for k, (number, past) in frames.items():
            if (later := frames.get(k + delay // pulses)) is not None:
                found.append((max(number, later[0]), d, past, later[1]))
    return found


def added(pairs, delays, width):
    """Return G2, IP and IF, (3, D, width), and counts of some pairs."""
    sums, counts = np.zeros((3, len(delays), width)), np.zeros(len(delays), int)
    for _, d, past, future in pairs:
        sums[:, d] += past * future, past, future
        counts[d] += 1
    return sums, counts


def saturated_until(events, limit, value):
    """Return which elements one of the first so many events saturated."""
    return np.array([row >= value for _, row in events[:limit]]).reshape(-1, 12).any(axis=0)


@st.composite
def streams(draw):
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 5, 0, -3]), min_size=14, max_size=40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = rng.integers(0, 9, (len(steps), *SHAPE)).astype(np.float32)
    for event, element in draw(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 11)), min_size=1, max_size=4)):
        frames.reshape(-1, 12)[event, element] = 20
    return {
        "counters": np.cumsum(steps),
        "frames": frames,
        "runs": np.sort(rng.integers(0, draw(st.integers(1, 2)), len(steps))),
        "light": rng.integers(1, 9, len(steps)) / 4,
        "multi": draw(st.booleans()),
        "normalization": draw(st.sampled_from(["color", "finecolor"])),
        "frame_norm": draw(st.sampled_from([None, "light"])),
        "times": draw(st.integers(2, 12)),
        "system": {
            "block": draw(st.integers(1, 9)),
            "workers": draw(st.integers(1, 3)),
            "servers": draw(st.integers(1, 2)),
            "update": draw(st.sampled_from([5, 11])),
        },
    }


def wanted(stream, pairs, light_pairs, events, since, limit, delays):
    """Return counts, and curve and elements of each colour."""
    sums, counts = added([pair for pair in pairs if since <= pair[0] < limit], delays, 12)
    series, _ = added([pair for pair in light_pairs if since <= pair[0] < limit], delays, 1)
    ok = ~saturated_until(events, limit, 20)
    same = ok == (~saturated_until(events, since, 20) if since else ok)
    found = {}
    for color in (1, 2):
        group_of = np.ones(12, int) if stream["normalization"] == "color" else FINE.ravel()
        mine, ratios = np.zeros(12, bool), np.full((len(delays), 12), np.nan)
        for group in np.unique(group_of):
            divides = group_of == group
            here = divides & (COLOR.ravel() == color)
            divides = here if stream["normalization"] == "color" else divides
            if (ok & here).any() and same[divides].all():
                G2, IP, IF = sums
                with np.errstate(divide="ignore", invalid="ignore"):
                    bottom = IP[:, ok & divides].mean(axis=1) * IF[:, ok & divides].mean(axis=1)
                    ratios[:, ok & here] = np.where(bottom[:, None] > 0, counts[:, None] * G2[:, ok & here], np.nan)
                    ratios[:, ok & here] /= bottom[:, None]
                mine |= ok & here
        elements = np.isfinite(ratios[:, mine]).sum(axis=1) * (counts > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            curve = np.nansum(ratios[:, mine], axis=1) / np.where(elements, elements, np.nan)
            if stream["frame_norm"]:
                curve /= counts * (series[0] / (series[1] * series[2]).clip(1e-300))[:, 0]
        found[color] = curve, elements
    return counts, found


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams())
def test_curves_are_of_the_pairs_that_came_in_between(tmp_path, stream):
    """With gaps, disorder, duplicates, late events, runs, elements that saturate, in every division of the work."""
    delays, channels = ([0, 1, 2, 4, 8, 12, 16], CHANNELS) if stream["multi"] else ([0, 1, 2, 5], None)
    user = {"normalization": stream["normalization"], "frame_norm": stream["frame_norm"], "saturated_value": 20}
    user |= {"channels": CHANNELS} if channels else {}
    kind = MultiTauG2 if channels else G2IncrementalAccumulator
    more = {name: stream[name] for name in ("runs", "light", "times")} | stream["system"]
    made = run(tmp_path, stream["counters"], stream["frames"], kind, user=user, delays=delays, **more)
    counters, about = stream["counters"] - stream["counters"][0], (stream["runs"], stream["times"], delays, channels)
    pairs, events = pairs_of(counters, stream["frames"].reshape(-1, 12).astype(float), *about)
    light_pairs, _ = pairs_of(counters, stream["light"][:, None], *about)
    update, since = stream["system"]["update"], 0
    assert list(made) == [*range(update, len(events), update), len(events)]
    for limit, aged in made.items():
        counts, curves = wanted(stream, pairs, light_pairs, events, since, limit, delays)
        assert aged["since"] == since
        assert aged["delay_counts"].tolist() == counts.tolist()
        came = [counter for counter, _ in events[since:limit]]
        assert (aged["first"], aged["last"]) == (min(came), max(came))
        for color, (curve, elements) in curves.items():
            np.testing.assert_allclose(aged[f"delay_curve_color_{color}"], curve, rtol=1e-6)
            assert aged[f"elements_color_{color}"].tolist() == elements.tolist()
        since = limit


# -- what else there is ---------------------------------------------------------------------


def counts_of(folder, **given):
    """Run 40 events of one in three colours, of which an element of colour 1 saturates at the 15th."""
    frames = np.random.default_rng(3).integers(1, 9, (40, *SHAPE)).astype(np.float32)
    frames[14, 0, 1] = 50
    system = {"times": 20, "delays": [1, 2], "update": 10} | given.pop("system", {})
    return run(folder, np.arange(40), frames, user={"saturated_value": 50} | given.pop("user", {}), **system, **given)


def test_what_saturates_is_said(tmp_path, caplog):
    """In the file, of the one stretch in which it happens; in the log."""
    caplog.set_level("INFO", "parcorana")
    made = counts_of(tmp_path)
    said = "elements of 1 of 2 colours saturated since the update before: 1; these have no aged curve of this stretch"
    assert [aged["saturated"].partition(" (")[0] for aged in made.values()] == ["", said, "", ""]
    assert np.isnan(made[20]["delay_curve_color_1"]).all() and np.isfinite(made[30]["delay_curve_color_1"]).all()
    assert np.isfinite(made[20]["delay_curve_color_2"]).all()
    assert sum(said in line for line in caplog.messages) == 1


@pytest.mark.parametrize(("off", "lines"), [(3e-12, 0), (5e-12, 1)])
def test_what_rounding_does_to_a_difference_is_the_same(tmp_path, off, lines):
    """Of the last of four updates: four times what may be of a curve of all pairs."""
    counts_of(tmp_path)
    shutil.copy(tmp_path / "out.h5", tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file["user/G2_results_at_000040/aged/delay_curve_color_2"][0] *= 1 + off
    assert len(compare(tmp_path / "out.h5", tmp_path / "other.h5")) == lines


@pytest.mark.parametrize(
    ("kind", "user", "system"),
    [
        (G2IncrementalAccumulator, {"aged": False}, {}),
        (G2IncrementalAccumulator, {"normalization": "pixel"}, {}),
        (G2IncrementalAccumulator, {}, {"update": 0}),
        (G2atEnd, {}, {}),
        (G2IncrementalWindowed, {"aged": True}, {}),
    ],
)
def test_there_are_none_where_nothing_can_be_taken_away(tmp_path, caplog, kind, user, system):
    caplog.set_level("INFO", "parcorana")
    assert counts_of(tmp_path, kind=kind, user=user, system=system) == {}
    assert any("no aged curves: " in line for line in caplog.messages) == (user.get("normalization") == "pixel")


def test_many_colours_have_tables(tmp_path):
    """And the last result the datasets of each, with their attributes."""
    color = np.arange(1, 81).reshape(8, 10)
    frames = np.random.default_rng(2).integers(1, 9, (50, 8, 10)).astype(np.float32)
    system = {"times": 50, "delays": [1, 2, 3], "update": 20, "user": {"frame_norm": "light"}, "color": color}
    made = run(tmp_path, np.arange(50), frames, **system)
    assert "delay_curve_color_1" not in made[20] and made[20]["delay_curves"].shape == (80, 3)
    for c in (1, 44, 80):
        for table, name in (("delay_curves", "delay_curve"), ("delay_curves_uncorrected", "delay_curve_uncorrected")):
            np.testing.assert_array_equal(made[50][table][c - 1], made[50][f"{name}_color_{c}"])
        assert made[50][f"elements_color_{c}"].tolist() == [1, 1, 1]
    with h5py.File(tmp_path / "out.h5") as file:
        names = []
        file["user"].visititems(lambda name, item: names.append((name, item)))
        aged = [item for name, item in names if "/aged/" in name]
        assert aged and all({"units", "long_name"} <= item.attrs.keys() for item in aged)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"aged": "yes"}, "user_params['aged'] must be True or False, not 'yes'"),
        ({"aged": True, "normalization": "pixel"}, "user_params['aged'] is True, but the normalization is 'pixel'"),
    ],
)
def test_wrong_aged(tmp_path, user, says):
    with pytest.raises(ConfigError) as error:
        counts_of(tmp_path, user=user)
    assert says in str(error.value)
