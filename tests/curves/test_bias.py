"""What a normalization gets wrong is estimated from the run's own sums: on data whose g2 is known."""

import re
from dataclasses import dataclass

import h5py
import numpy as np
import pytest

from parcorana.curves.bias import bias_of, sentence
from parcorana.curves.sums import ColorSums

DELAYS = np.array([1, 3, 10, 50])
EVENTS = 500


def speckle(rng, events, elements, tau, modes):
    """Return intensity of mean 1 and contrast 1 / modes whose g2 is 1 + exp(-2 d / tau) / modes."""
    step, intensity = np.exp(-1 / tau), np.zeros((events, elements))

    def noise():
        return (rng.normal(size=elements) + 1j * rng.normal(size=elements)) / np.sqrt(2)

    for _ in range(modes):
        field = noise()
        for row in intensity:
            row += np.abs(field) ** 2 / modes
            field = step * field + np.sqrt(1 - step**2) * noise()
    return intensity


@dataclass
class Made:
    g2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    text: str


def made(frames, normalization, fine=None, whole=True, delays=DELAYS, color=None):
    """Return the curve of colour 1 with what is said of it, as the viewer makes them from all sums."""
    events, elements = frames.shape
    delays = np.asarray(delays)
    pairs = [(frames[: events - d], frames[d:]) if d < events else (frames[:0],) * 2 for d in delays]
    arrays = {"G2": np.array([(a * b).sum(0) for a, b in pairs]), "IP": np.array([a.sum(0) for a, _ in pairs])}
    arrays["IF"] = np.array([b.sum(0) for _, b in pairs])
    counts = np.array([len(a) for a, _ in pairs])
    color = np.ones(elements, np.int64) if color is None else color
    sums = ColorSums(color, fine, normalization)
    reduced = sums.reduce(arrays, counts, np.zeros(elements, np.int8), slice(0, elements))
    curve, bias = sums.table(reduced, counts), bias_of(sums, reduced, counts, delays, events, whole)
    text = sentence(bias, sums.colors, curve.left_out, curve.elements, normalization)
    return Made(curve.g2[0], bias.low[0], bias.high[0], bias.error[0], text)


def percent(text):
    return float(re.search(r"([\d.e+-]+)%", text)[1]) / 100


def photons(rng, k, elements=20000, gain=1, spread=0.0):
    return gain * rng.poisson(k / EVENTS, (EVENTS, elements)) + rng.normal(0, spread, (EVENTS, elements))


@pytest.mark.parametrize(
    ("k", "gain", "spread", "fine"),
    [
        (2, 1, 0, None),
        (5, 1, 0, None),
        (50, 1, 0, None),
        (50, 100, 0, None),  # in units that nobody knows: the scatter of the elements tells
        (50, 1, 0.3, None),  # so it does where the detector's noise is more than the photons'
        (400, 1, 0, None),
        (5, 1, 0, 1),  # a fine colour of each element's own is the same
        (5, 1, 0, 2),
        (5, 1, 0, 5),
    ],
)
def test_few_photons(k, gain, spread, fine):
    """Unrelated photons: g2 is 1, and what is missing is what is said, within its statistical error and a quarter."""
    frames = photons(np.random.default_rng(1), k, gain=gain, spread=spread).astype(float)
    groups = np.arange(frames.shape[1]) // fine if fine else None
    found = made(frames, "finecolor" if fine else "pixel", groups, whole=not spread)
    np.testing.assert_array_less(np.abs(1 - found.g2 - found.low), 3.5 * found.error + 0.25 * found.low)
    assert 0.5 < percent(found.text) / found.low.max() < 1.5
    assert ("too low by up to" if fine and fine > 1 else "is too low by about") in found.text
    if k < 10 and not fine:
        assert re.search(r"up to [\d,]+ of its 20,000 elements are left out", found.text)


@pytest.mark.parametrize("tau", [30, 100, 300])
def test_few_correlation_times(tau):
    """Up to more than half of the run, beyond the delays."""
    frames = speckle(np.random.default_rng(2), EVENTS, 4000, tau, 2)
    truth = 1 + np.exp(-2 * DELAYS / tau) / 2
    found = made(100 * frames, "pixel", whole=False)
    off = 1 - found.g2 / truth
    np.testing.assert_allclose(found.low[0], off.mean(), rtol=0.15)
    assert "few correlation times" in found.text
    assert percent(found.text) == pytest.approx(off.mean(), rel=0.2)


@pytest.mark.parametrize(("spread", "normalization"), [(0.3, "color"), (0.1, "color"), (0.3, "finecolor")])
def test_uneven_light(spread, normalization):
    rng = np.random.default_rng(3)
    light = np.maximum(rng.normal(1, spread, 4000), 0.05)
    frames = rng.poisson(10 * light * speckle(rng, EVENTS, 4000, 5, 5)).astype(float)
    found = made(frames, normalization, np.arange(4000) // 200)
    variance = light.var() / light.mean() ** 2
    np.testing.assert_allclose(found.g2[-1] - 1, variance, rtol=0.2)  # the baseline, where g2 is 1
    np.testing.assert_allclose(found.high, variance, rtol=0.2)
    assert "may be too high by up to" in found.text and percent(found.text) == pytest.approx(found.high.max(), rel=0.05)
    even = made(frames, "finecolor", np.searchsorted(np.quantile(light, np.arange(1, 100) / 100), light))
    assert even.high.max() < variance / 3 and np.abs(even.g2[-1] - 1) < variance / 3


@pytest.mark.parametrize("normalization", ["color", "finecolor"])
@pytest.mark.parametrize("tau", [5, 30])
def test_speckle_is_not_taken_for_light(normalization, tau):
    """In a short run the elements' means differ: by what the curve's own decay explains."""
    rng = np.random.default_rng(4)
    frames = rng.poisson(10 * speckle(rng, EVENTS, 4000, tau, 2)).astype(float)
    found = made(frames, normalization, np.arange(4000) // 200)
    assert not found.text
    np.testing.assert_allclose(found.g2, 1 + np.exp(-2 * DELAYS / tau) / 2, atol=4 * found.error.max())


@pytest.mark.parametrize("k", [0.5, 2, 5, 5000])
@pytest.mark.parametrize("normalization", ["color", "finecolor"])
def test_sparse_photons_are_no_reason_to_warn(k, normalization):
    frames = photons(np.random.default_rng(5), k).astype(float)
    found = made(frames, normalization, np.arange(20000) // 1000)
    assert not found.text and np.abs(found.g2 - 1).max() < 4 * found.error.max()


def test_static_speckle_may_be_light():
    """Nothing tells the two apart; that is said."""
    frames = np.random.default_rng(6).poisson(speckle(np.random.default_rng(6), 1, 4000, 5, 1) * 20, (EVENTS, 4000))
    found = made(frames.astype(float), "color")
    assert found.g2[0] == pytest.approx(2, rel=0.1)
    assert "slow speckle" in found.text and percent(found.text) == pytest.approx(1, rel=0.15)


def test_a_good_run_says_nothing():
    rng = np.random.default_rng(7)
    frames = rng.poisson(10 * speckle(rng, 4000, 300, 5, 10)).astype(float)
    for normalization in ("pixel", "finecolor", "color"):
        assert not made(frames, normalization, np.arange(300) // 60).text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("normalization", ["pixel", "finecolor", "color"])
@pytest.mark.parametrize("delays", [[1, 600], [0], [0, 1, 2], [700], [499]])
@pytest.mark.parametrize("content", ["zeros", "ones", "photons", "alone", "negative"])
def test_nothing_to_tell_is_no_error(normalization, delays, content):
    """No pairs, no intensity, one element, the delay 0."""
    frames = {
        "zeros": np.zeros((EVENTS, 30)),
        "ones": np.ones((EVENTS, 30)),
        "photons": photons(np.random.default_rng(8), 2, 30).astype(float),
        "alone": photons(np.random.default_rng(8), 50, 1).astype(float),
        "negative": np.random.default_rng(8).normal(0, 1, (EVENTS, 30)),
    }[content]
    found = made(frames, normalization, np.arange(frames.shape[1]) // 3, delays=delays)
    assert np.array_equal(np.isnan(found.low), np.isnan(found.g2))
    assert (found.low[np.isfinite(found.g2)] >= 0).all() and "nan" not in found.text
    if content in ("zeros", "ones") and 499 not in delays:  # there one pair is a photon for each element
        assert not found.text


def test_the_worst_colour_is_named():
    rng = np.random.default_rng(9)
    k = np.repeat([400, 5, 30], 7000)
    frames = rng.poisson(k / EVENTS, (EVENTS, len(k))).astype(float)
    found = made(frames, "pixel", color=np.repeat([1, 4, 9], 7000))
    assert "g2 of colour 4 (and of 2 more, less)" in found.text and "of its 7,000 elements" in found.text


# -- in a run --------------------------------------------------------------------


def run_of(setup, frames, user, ranks=0, user_class="G2IncrementalAccumulator", **system):
    with h5py.File(setup.folder / "frames.h5", "w") as file:
        file["det/frames"] = frames
    np.save(setup.folder / "mask.npy", np.ones(frames.shape[1:], np.int8))
    np.save(
        setup.folder / "fine.npy", (np.arange(frames[0].size).reshape(frames.shape[1:]) // 1000 + 1).astype(np.int32)
    )
    given = {"times": 100, "delays": DELAYS.tolist(), "update": 0, "block": 0}
    setup.write(user_class, user=user, **(given | system))
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        last = max(file["user"], key=lambda name: int(name.split("_")[-1]))
        group = file["user"][last]
        curve = group["delay_curve_color_1"]
        warned = [line.partition("WARNING ")[2] for line in run.stderr.splitlines() if "WARNING" in line]
        return curve[:], dict(curve.attrs), str(group.attrs["normalization_error"]), warned


@pytest.mark.parametrize("ranks", [0, 4])
def test_default_is_the_color(setup, ranks):
    frames = np.random.default_rng(10).poisson(0.004, (EVENTS, 100, 100)).astype(np.uint8)
    for user, name in (({}, "color"), ({"normalization": None}, "color"), ({"finecolor": "fine.npy"}, "finecolor")):
        g2, attrs, text, warned = run_of(setup, frames, user, ranks)
        assert attrs["normalization"] == name and not text and not warned
        assert np.abs(g2 - 1).max() < 0.6  # one standard error is 0.11 at 2 photons per element


@pytest.mark.parametrize("user_class", ["G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed"])
def test_a_run_says_it_in_log_file_and_attributes(setup, user_class):
    """Once when it is first seen, and at the end."""
    frames = np.random.default_rng(11).poisson(0.01, (EVENTS, 100, 100)).astype(np.uint8)
    accumulates = "Accumulator" in user_class
    user = {"normalization": "pixel", "save_arrays": False}
    g2, attrs, text, warned = run_of(
        setup, frames, user, 4, user_class, update=100, times=EVENTS if accumulates else 300
    )
    events = EVENTS if accumulates else 300
    k = np.maximum(frames[-events:].sum(axis=0), 1)
    expected = np.mean(1 / k[frames[-events:].any(axis=0)])
    assert attrs["too_low_by"] == pytest.approx(expected, rel=0.2) and attrs["too_high_by"] == 0
    assert 1 - g2[0] == pytest.approx(expected, abs=0.15)
    assert text.startswith("normalization 'pixel': g2 of colour 1 is too low by about ")
    assert len(warned) == 2 and warned[0].startswith("at 100 events: normalization 'pixel'") and warned[1] == text


def test_events_of_the_run_in_progress_count(tmp_path):
    """The classes with a window forget a run that is over, and so does what is said of their curves."""
    from local import run_local

    from parcorana.userg2 import G2atEnd

    found = []

    class Told(G2atEnd):
        def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
            found.append((int(reduced["parcorana.events"][0]), reduced["parcorana.not_whole"].tolist()))
            super().viewerPublishReduced(counts, relsec, reduced, h5UserGroup)

    frames = np.random.default_rng(12).poisson(3, (50, 6)).astype(np.uint16)
    runs, counters = np.repeat([1, 2], [30, 20]), np.r_[0:30, 1000:1020]
    more = {"times": 40, "update": 25, "delays": [1, 2]}
    run_local(tmp_path, Told, counters, frames, workers=2, runs=runs, **more)
    assert found[0] == (25, [0]) and found[1] == (20, [0])
    found.clear()
    run_local(tmp_path, Told, counters, frames + np.float32(0.3), workers=2, runs=runs, **more)
    assert found[0][1][0] > 0
