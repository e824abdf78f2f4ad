"""Delay curves divided by the g2 of a monitor, of the mean, of the colour's own mean."""

from functools import partial

import h5py
import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import ListSource, run_local

from parcorana import ConfigError, reference, userg2
from parcorana.events.open import open_described
from parcorana.job.config import resolve_config
from parcorana.pipeline.run import short_times

CLASSES = {"G2atEnd": "atend", "G2IncrementalAccumulator": "accumulator", "G2IncrementalWindowed": "windowed"}
NORMALIZATIONS = ("pixel", "color", "finecolor")
SHAPE = (3, 4)


def opened(counters, frames, runs, light, share):
    """Open events that have the value `light`."""
    source = ListSource(counters, frames, share, runs)
    source.values = {"light": light}
    return source


def run(folder, kind, counters, frames, color, light=None, runs=None, name="out.h5", **given):
    """Run one of the classes; return what its last update says of every colour, as a dict."""
    np.save(folder / "color.npy", color)
    np.save(folder / "fine.npy", color + 1)
    light = np.ones(len(counters)) if light is None else light
    user = {"color": str(folder / "color.npy"), "finecolor": str(folder / "fine.npy"), "save_arrays": False}
    user |= given.pop("user")
    system = {"h5output": str(folder / name), "overwrite": True, "values": {"light": "light"}} | given
    source = partial(opened, counters, frames, runs, light)
    run_local(folder, getattr(userg2, kind), counters, frames, opened=source, user=user, **system)
    found = {}
    with h5py.File(folder / name) as file:
        group = file["user"][max(file["user"], key=lambda key: int(key.rpartition("_")[2]))]
        found |= {key: item[()] for key, item in group.items() if isinstance(item, h5py.Dataset)}
        return found | dict(group.attrs) | {"account": dict(file["system/accounting"].attrs)}


# -- the same pairs, exactly -----------------------------------------------------------


def numbers_by_hand(counters, frames, runs, times, color, number, saturated_value):
    """Return the mean of a colour at each event: of the elements that no event processed so far has saturated."""
    ok, buffer, before = np.ones(color.shape, bool), reference.ReferenceBuffer(times), None
    means = np.zeros((len(counters), 1))
    for k, (counter, frame, run_) in enumerate(zip(counters.tolist(), frames, runs, strict=True)):
        if run_ != before:
            buffer, before = reference.ReferenceBuffer(times), run_
        if buffer.enter(counter, frame) == "processed":
            ok &= frame < saturated_value
            which = ok & (color == number)
            means[k] = frame[which].mean(dtype=np.float64) if which.any() else 0
    return means


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_divisor_is_g2_of_the_series_over_the_same_pairs(tmp_path, data):
    """Of every class, with gaps, duplicates, late events, runs, saturated elements, any number of workers."""
    kind = data.draw(st.sampled_from([*CLASSES]))
    name = data.draw(st.sampled_from(["color", "light", "mean"]))
    steps = data.draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, 0, -3]), min_size=2, max_size=40))
    counters = np.cumsum(steps)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    frames = rng.integers(0, 9, (len(counters), *SHAPE)).astype(np.float32)
    runs = np.sort(rng.integers(0, data.draw(st.integers(1, 2)), len(counters)))
    light, color = rng.integers(1, 9, len(counters)) / 4, rng.integers(1, 4, SHAPE)
    times, delays, saturated_value = data.draw(st.integers(2, 12)), [0, 1, 2, 5], data.draw(st.sampled_from([8, 99]))
    normalization = data.draw(st.sampled_from(NORMALIZATIONS))
    user = {"frame_norm": name, "normalization": normalization, "saturated_value": saturated_value}
    given_ = {"times": times, "delays": delays, "block": data.draw(st.integers(1, 9))}
    given_ |= {"workers": data.draw(st.integers(1, 3)), "servers": data.draw(st.integers(1, 2))}
    given_ |= {"update": data.draw(st.sampled_from([0, 3])), "light": light, "runs": runs}
    made = run(tmp_path, kind, counters, frames, color, user=user, **given_)
    plain = run(tmp_path, kind, counters, frames, color, user=user | {"frame_norm": None}, **given_)
    for number in np.unique(color):
        if name == "color":
            series = numbers_by_hand(counters, frames, runs, times, color, number, saturated_value)
        else:
            series = (light if name == "light" else frames.mean(axis=(1, 2), dtype=np.float64))[:, None]
        right = reference.g2(counters, series, times, delays, CLASSES[kind], runs=runs)
        bottom = (right["IP"] * right["IF"])[:, 0]
        g2 = np.divide(right["counts"] * right["G2"][:, 0], bottom, out=np.full(4, np.nan), where=bottom > 0)
        divisor = made[f"g2_of_frame_norm_color_{number}" if name == "color" else "g2_of_frame_norm"]
        np.testing.assert_allclose(divisor, g2, rtol=1e-12)
        for key, new in (("delay_curve", "delay_curve_uncorrected"), ("delay_curve_err", "delay_curve_err")):
            was = plain[f"{key}_color_{number}"]
            if key != new:
                np.testing.assert_allclose(made[f"{new}_color_{number}"], was, rtol=1e-12)
            with np.errstate(divide="ignore", invalid="ignore"):
                np.testing.assert_allclose(made[f"{key}_color_{number}"], was / g2, rtol=1e-11)
    assert made["frame_norm"] == name


# -- a beam that fluctuates -------------------------------------------------------------------


def speckle(events, pixels, tau, rng):
    """Return the intensity of independent speckles of mean 1 whose g2 - 1 is exp(-2 d / tau), (events, pixels)."""
    decay, field = np.exp(-1 / tau), np.empty((events, pixels), complex)

    def noise():
        return (rng.normal(size=pixels) + 1j * rng.normal(size=pixels)) / np.sqrt(2)

    field[0] = noise()
    for k in range(1, events):
        field[k] = decay * field[k - 1] + np.sqrt(1 - decay**2) * noise()
    return np.abs(field) ** 2


@pytest.fixture(scope="module")
def beam():
    """Return frames without and with a beam of 30% rms, slow drifts and 3% drop-outs, the beam, and the colours."""
    rng, events, pixels, mean = np.random.default_rng(5), 1500, 200, 20
    light = rng.gamma(1 / 0.09, 0.09, events) * (1 + 0.4 * np.sin(np.arange(events) / 60))
    light[rng.random(events) < 0.03] = 0
    sample = np.concatenate([speckle(events, pixels, tau, rng) for tau in (6, 20)], axis=1)
    color = np.repeat([1, 2], pixels).reshape(20, 20)
    steady, seen = (rng.poisson(mean * i * sample).reshape(-1, 20, 20).astype(np.float32) for i in (1, light[:, None]))
    return steady, seen, light * 3.3, color


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", CLASSES)
def test_curves_are_as_of_a_steady_beam(tmp_path, beam, kind, normalization):
    """Every ring's curve, with every way to divide; without it is far away."""
    steady, seen, light, color = beam
    counters, delays = np.arange(len(seen)), np.array([1, 2, 4, 8, 16, 32, 64, 100])
    system = {"times": len(seen), "delays": delays.tolist(), "light": light}
    truth = run(tmp_path, kind, counters, steady, color, user={"normalization": normalization}, **system)
    off = {}
    for name in (None, "light", "mean", "color"):
        user = {"normalization": normalization, "frame_norm": name}
        made = run(tmp_path, kind, counters, seen, color, user=user, **system)
        pairs = [(made[f"delay_curve_color_{c}"], truth[f"delay_curve_color_{c}"]) for c in (1, 2)]
        off[name] = max(np.abs(one - other).max() for one, other in pairs)
    assert off[None] > 0.08
    # 200 speckles of a ring that change 1500 / 40 times: 1 / sqrt(200 * 37) is 0.012, of two runs
    assert max(off[name] for name in ("light", "mean", "color")) < 0.04, off


def test_a_ring_of_few_speckles_is_said(tmp_path, beam):
    """Its own mean follows the speckles: the file says by how much, and only of that ring."""
    _, seen, light, color = beam
    color = color.copy()
    color[0, :12], color[0, 12:] = 3, 0  # twelve speckles, of the first ring's sample
    system = {"times": len(seen), "delays": [1, 2, 3, 4, 6, 8, 12, 16, 32], "light": light}
    said = {}
    for name in ("color", "mean", "light"):
        user = {"normalization": "color", "frame_norm": name}
        made = run(tmp_path, "G2IncrementalAccumulator", np.arange(len(seen)), seen, color, user=user, **system)
        said[name] = made["normalization_error"]
    assert "1 of 3 colours follows their own few speckles" in said["color"] and "colour 3 (" in said["color"]
    part = float(said["color"].partition("colour 3 (")[2].partition("%")[0])
    assert 4 < part < 14  # one in 13
    assert said["mean"] == said["light"] == ""


# -- what is missing, and what is refused ------------------------------------------------------


def test_events_without_the_monitor_are_filtered(tmp_path):
    """A NaN would leave nothing of any curve."""
    rng = np.random.default_rng(1)
    frames, light = rng.poisson(5, (60, *SHAPE)).astype(np.float32), np.ones(60)
    light[[3, 30, 31]] = np.nan
    system = {"times": 60, "delays": [1, 2], "light": light, "user": {"frame_norm": "light"}}
    made = run(tmp_path, "G2atEnd", np.arange(60), frames, np.ones(SHAPE, int), **system)
    assert made["account"]["filtered"] == 3 and np.isfinite(made["delay_curve_color_1"]).all()


def test_what_a_class_uses_is_beside_what_frame_norm_needs(tmp_path):
    """And a range without limits does not keep the log from telling of a short buffer."""
    Mine = type("Mine", (userg2.G2atEnd,), {"uses": ("pulse",)})
    np.save(tmp_path / "mask.npy", np.ones((4, 4), np.int8))
    system = {"dataset": "sim=brownian:shape=4x4:events=50", "mask": str(tmp_path / "mask.npy"), "times": 5}
    system |= {"delays": [1, 8], "user_class": Mine, "h5output": None}
    config = resolve_config(system | {"values": {"i0": "pulse"}}, {"frame_norm": "i0"})
    assert config.select == {"i0": (None, None), "pulse": (None, None)}
    assert short_times(open_described(config), config).startswith("times=5 is too small for 1 of 2 delays")
    with pytest.raises(ConfigError, match="uses the value 'nosuch'"):
        resolve_config(system, {"frame_norm": "nosuch"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "user_params['frame_norm'] must be the name of one of values, 'mean', 'color' or None, not 3"),
        ("a b", "user_params['frame_norm'] must be the name"),
        (
            "gmd",
            "user_class G2atEnd uses the value 'gmd', as user_params['frame_norm'] says: say in values where it is",
        ),
    ],
)
def test_wrong_frame_norm(tmp_path, value, words):
    np.save(tmp_path / "mask.npy", np.ones(SHAPE, np.int8))
    system = {"dataset": "h5=x.h5", "mask": str(tmp_path / "mask.npy"), "times": 9, "delays": [1]}
    with pytest.raises(ConfigError) as error:
        resolve_config(system | {"user_class": userg2.G2atEnd}, {"frame_norm": value})
    assert str(error.value).startswith(words)


def test_many_colours_have_tables(tmp_path):
    """And the last result the datasets of each, as those of the curves."""
    color, rng = np.arange(1, 81).reshape(8, 10), np.random.default_rng(2)
    frames = rng.poisson(9, (50, 8, 10)).astype(np.float32)
    system = {"times": 50, "delays": [1, 2, 3], "user": {"frame_norm": "color", "normalization": "color"}}
    made = run(tmp_path, "G2IncrementalWindowed", np.arange(50), frames, color, workers=2, **system)
    for c in (1, 44, 80):
        np.testing.assert_array_equal(made["g2_of_frame_norms"][c - 1], made[f"g2_of_frame_norm_color_{c}"])
        # of one element the series is the element
        np.testing.assert_allclose(made[f"delay_curve_color_{c}"], 1, rtol=1e-12)
        np.testing.assert_allclose(made["delay_curves_uncorrected"][c - 1], made["g2_of_frame_norms"][c - 1])
