"""Photon statistics: counts against plain loops, contrast and errors against known ones."""

import re
import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import each_code_path, run_command, status_of
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import run_local
from matplotlib.figure import Figure

from parcorana import ConfigError, MpiParams, _core
from parcorana.correlation.settled import Settled
from parcorana.curves.contrast import contrast_of, probabilities, with_error
from parcorana.photons import PhotonStatistics
from parcorana.photons.counter import Counter
from parcorana.photons.parameters import about_of
from parcorana.photons.plain import plain_statistics
from parcorana.photons.write import statistics, warnings
from parcorana.reference import ReferenceBuffer, photon_windows
from parcorana.results.photons import Photons
from parcorana.view.photons import draw_photons

code_path = each_code_path(_core)
USUAL = settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Noted(PhotonStatistics):
    def publish(self, update, group):
        self.noted = dict(update)
        super().publish(update, group)


@st.composite
def streams(draw):
    jumps = st.one_of(st.just(1), st.integers(-6, 7))
    counters = 1000 + np.cumsum(draw(st.lists(jumps, min_size=1, max_size=60)))
    return {
        "counters": counters,
        "runs": np.sort(draw(st.lists(st.integers(0, 1), min_size=len(counters), max_size=len(counters)))),
        "seed": draw(st.integers(0, 99)),
        "scale": draw(st.sampled_from([1, 40, 3000])),
        "elements": draw(st.sampled_from([3, 64, 150])),
        "user": {
            "photon": draw(st.sampled_from([1.0, 2.0, 3.0, 0.7])),
            "saturated_value": draw(st.sampled_from([None, 5.0])),
            "exposures": draw(st.sampled_from([[1, 2, 4], [2], [1, 8]])),
            "kmax": draw(st.sampled_from([2, 10, 60])),
        },
        "system": {
            "times": draw(st.integers(1, 12)),
            "block": draw(st.integers(1, 40)),
            "workers": draw(st.integers(1, 3)),
            "store_dtype": draw(st.sampled_from(["float32", "float64"])),
        },
    }


@USUAL
@given(streams())
def test_counts_are_those_of_plain_loops(tmp_path, code_path, stream):
    rng, counters, n = np.random.default_rng(stream["seed"]), stream["counters"], stream["elements"]
    frames = (stream["scale"] * rng.standard_gamma(0.5, (len(counters), 1, n)) * 1.5 - 1).round(1)
    frames = np.where(rng.random(frames.shape) < 0.7, frames.round(), frames)
    color = rng.integers(0, 4, (1, n))
    color[0, 0] = 1
    np.save(tmp_path / "color.npy", color)
    user = stream["user"] | {"color": str(tmp_path / "color.npy")}
    dtype = stream["system"]["store_dtype"]
    viewer = run_local(
        tmp_path, Noted, counters, frames, runs=stream["runs"], user=user, delays=[1], **stream["system"]
    )[0]
    got, about = viewer.calculation.noted, about_of(user)
    colors = np.unique(color[color > 0]).tolist()
    counts = np.zeros((len(about.exposures), len(colors), about.kmax + 2), np.int64)
    photons = np.zeros(counts.shape[:2], np.int64)
    number, first, runs, origin = 0, {}, [], counters[0]
    for run in np.unique(stream["runs"]):
        buffer, rows = ReferenceBuffer(stream["system"]["times"]), {}
        for k in np.flatnonzero(stream["runs"] == run):
            if buffer.enter(int(counters[k] - origin), None) == "processed":
                values = frames[k, 0].astype(dtype)
                rows[int(counters[k] - origin)] = (number, values)
                if (limit := user["saturated_value"]) is not None:
                    for p in np.flatnonzero(values >= limit).tolist():
                        first.setdefault(p, number)
                number += 1
        runs.append(sorted(rows.items()))
    for part in runs:  # an element may have been saturated by an event that came later
        numbers, data = [v[0] for _, v in part], np.array([v[1] for _, v in part])
        for _, w, window in photon_windows([t for t, _ in part], numbers, data, about, first):
            for p, k in window.items():
                if color[0, p]:
                    at = about.exposures.index(w), colors.index(color[0, p])
                    counts[(*at, min(k, about.kmax + 1))] += 1
                    photons[at] += k
    np.testing.assert_array_equal(got["counts"].sum(axis=0), counts)
    np.testing.assert_array_equal(got["photons"].sum(axis=0), photons)


@settings(USUAL, max_examples=examples(10))
@given(
    st.sampled_from([1.0, 2.0, 0.7, 9.1, 9.5, 1 / 3]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(2, 10), (9, 20), (70, 40), (200, 254)]),
    st.integers(1, 150),
    st.sampled_from([63, 320, 333]),
    st.sampled_from([0.1, 0.5]),
)
def test_many_events_at_once(code_path, photon, dtype, most_kmax, events, n, threshold):
    """Numbers of frames are added by eights, strips are rounded by fours; values are where a number begins."""
    most, kmax = most_kmax
    about = about_of({"photon": photon, "threshold": threshold * photon, "exposures": [1, 2, 8], "kmax": kmax})
    rng = np.random.default_rng(events)
    k = rng.integers(0, rng.integers(1, most + 1, n) + 1, (events, n))  # some elements are brighter
    data = ((k + rng.choice([-0.5, 0, 0.2, 0.5], k.shape)) * photon).astype(dtype)
    data = np.nextafter(data, rng.choice([-np.inf, 0, np.inf], k.shape).astype(dtype))
    data[rng.random(k.shape) < 0.001] = np.nan
    counters = np.cumsum(rng.choice([1, 1, 1, 1, 1, 1, 1, 2], events))
    color = (np.arange(n) // 50 % 3 - (rng.random(n) < 0.05)).astype(np.int32)
    counter = Counter(color, 3, about)
    counter.stretches.common()["at"][0] = 128  # as in a long run
    which = np.arange(events)
    sums, number = counter.add(Settled(counters, which, {}, [data], which * 0, which), 2)
    counts, photons = np.zeros((3, 3, kmax + 2), np.int64), np.zeros((3, 3), np.int64)
    for _, w, window in photon_windows(counters.tolist(), which.tolist(), data, about, {}):
        at, values = about.exposures.index(w), np.array([window[p] for p in range(n)])
        for c in range(3):
            of_color = values[color == c]
            counts[at, c] += np.bincount(np.minimum(of_color, kmax + 1), minlength=kmax + 2)
            photons[at, c] += of_color.sum()
    np.testing.assert_array_equal(counter.counts.sum(axis=0), counts)
    np.testing.assert_array_equal(counter.photons.sum(axis=0), photons)
    np.testing.assert_array_equal(sums.sum(axis=0), photons[0])
    assert (number == np.bincount(color[color >= 0], minlength=3)).all()


def drawn(rng, events, elements, mean, contrast, pulse=0.0):
    light = rng.gamma(1 / pulse, pulse, events) if pulse else np.ones(events)
    modes = 1 / contrast
    return rng.poisson(mean * light[:, None] * rng.gamma(modes, 1 / modes, (events, elements)))


@pytest.mark.parametrize(("mean", "contrast"), [(0.1, 0.5), (1.0, 0.2), (3.0, 0.9)])
def test_errors_are_right(mean, contrast):
    rng, pulls = np.random.default_rng(5), []
    for _ in range(40):
        k = drawn(rng, 32, 500, mean, contrast)
        counts = np.array([[np.bincount(np.minimum(row, 11), minlength=12)] for row in k])
        beta, error, _, _ = with_error(counts, k.sum(axis=1)[:, None])
        pulls.append((beta[0] - contrast) / error[0])
    assert 0.8 < np.std(pulls) < 1.25
    assert abs(np.mean(pulls)) < 0.5


def test_what_cannot_be_fitted():
    counts = np.array([[0] * 12, [100] + [0] * 11, [90, 10] + [0] * 10, [0] * 11 + [100], [0, 0, 50] + [0] * 9])
    beta, error, mean = contrast_of(counts, np.array([0, 0, 10, 5000, 100]))
    assert np.isnan(beta[:2]).all()
    assert np.isnan(error[:2]).all()
    assert beta[2] == beta[4] == 0
    assert 0 <= beta[3] <= 100
    assert mean[1] == 0


def test_a_run_with_pulses(tmp_path):
    k = drawn(np.random.default_rng(2), 512, 1500, 0.8, 0.25, pulse=0.3)
    viewer = run_local(tmp_path, Noted, np.arange(512), k[:, None].astype(np.uint16), workers=2, times=20, delays=[1])[
        0
    ]
    noted, pulses = viewer.calculation.noted, viewer.calculation.pulses.copy()
    pulses.add(*(noted[f"waiting.{name}"] for name in ("counters", "run", "sums", "number")))
    found = statistics(noted, pulses.variance())
    K = k.mean(axis=1)
    assert found["pulse_variance"][0, 0] == pytest.approx((K.var(ddof=1) - K.mean() / 1500) / K.mean() ** 2)
    seen = 1.25 * 1.3 - 1  # both at once
    assert found["contrast_corrected"][0, 0] == pytest.approx(0.25, abs=0.1)
    assert abs(found["contrast"][0, 0] - seen) < 5 * found["contrast_err"][0, 0]
    plain = plain_statistics(np.arange(512), np.arange(512), k, np.zeros(1500, int), 1, about_of({}), None)
    for name, array in found.items():
        np.testing.assert_allclose(array, plain[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"photon": 0}, r"\['photon'\] must be a number above 0, not 0"),
        ({"kmax": 1}, r"\['kmax'\] must be a whole number from 2 to 254, not 1"),
        ({"exposures": [1, 3]}, r"\['exposures'\] must be increasing powers of two"),
        ({"exposures": "124"}, r"\['exposures'\] must be increasing powers of two"),
    ],
)
def test_what_is_refused(user, said):
    with pytest.raises(ConfigError, match=said):
        about_of(user)


CONFIG = """
from parcorana.photons import PhotonStatistics
from parcorana.photons.counter import Counter
system_params = {
    "dataset": "sim=brownian:shape=2x16x16:events=300:tau=3:poisson=1:mean=1:disorder=3",
    "mask": "mask.npy", "testmask": "mask.npy", "times": 400, "delays": [1], "update": 150, "checkpoint": 100,
    "user_class": PhotonStatistics, "h5output": "out.h5", "testh5output": "alt.h5", "testnumevents": 300,
}
user_params = {"saturated_value": 9, "picture": True}
"""


def test_a_job_and_its_test(tmp_path, monkeypatch):
    from parcorana.tools import compare, driver, plot

    monkeypatch.chdir(tmp_path)
    np.save("mask.npy", np.ones((2, 16, 16), np.uint8))
    (tmp_path / "config.py").write_text(CONFIG, encoding="utf-8")
    run = run_command("parCorAnaDriver", "-c", "config.py", cwd=tmp_path, ranks=4)
    assert run.returncode == 0, run.stderr
    assert status_of(driver.main, "-c", "config.py", "--test_alt") == 0
    assert status_of(driver.main, "-c", "config.py", "-o", "one.h5") == 0
    assert status_of(compare.main, "out.h5", "one.h5") == 0
    with h5py.File("out.h5") as file, h5py.File("alt.h5") as alt:
        group, plain = file["user/photons_at_000300"], alt["user/photons_at_000300"]
        assert set(group) == set(plain)
        assert group["counts_color_1"].shape == (3, 12)
        for name, dataset in group.items():
            assert dataset.attrs["units"]
            np.testing.assert_allclose(dataset[:], plain[name][:], rtol=1e-9, err_msg=name)
    assert (tmp_path / "out.png").stat().st_size > 10000
    assert status_of(plot.main, "out.h5", "-o", "again.png", "--at", "150") == 0
    assert status_of(plot.main, "out.h5", "-o", "again.png", "--colors", "7") == 2


def counted(counts, stretches=10):
    """An update of as many equal stretches, one colour and one exposure."""
    counts = np.array(counts)[None, None]
    photons = (counts * np.arange(counts.shape[-1])).sum(axis=-1)
    parts = {"counts": np.array([counts] * stretches), "photons": np.array([photons] * stretches)}
    return statistics(parts | {"unrelated.counts": counts, "unrelated.photons": photons}, np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("found", "not_whole", "key", "said"),
    [
        (counted([60, 30, 8, 2]), None, "kmax",
         r"2\.0% of the elements of colour 7 have more than kmax=2 photons in 2 pulses: .*\['kmax'\] higher"),
        (counted([60, 30, 9, 0], stretches=3), None, "few",
         "only 3 stretches of the run have windows of every exposure: .* may be too small"),
        (counted([0, 0, 0, 0]), None, "none",
         "no window has been counted: exposures are longer than what was taken without gaps"),
        (counted([99, 0, 0, 0]), None, "dark", "no element has a photon: is one photon 8 units, and the threshold 4?"),
        (counted([60, 30, 9, 0]), (200, 50), "whole",
         r"25% of the values .* a multiple of photon=8: .* let the servers find photons \(system_params\['photons'"),
    ],
)  # fmt: skip
def test_what_is_said(found, not_whole, key, said):
    about = about_of({"photon": 8, "kmax": 2, "exposures": [2]})
    ((got, text),) = warnings(about, np.array([7]), found, not_whole)
    assert got == key
    assert re.match(said, text), text


def test_nothing_is_said_of_what_is_right():
    about = about_of({"kmax": 2, "exposures": [2]})
    assert not list(warnings(about, np.array([7]), counted([600, 300, 90, 9]), (200, 20)))
    assert not list(warnings(about, np.array([7]), counted([600, 300, 90, 9]), (99, 99)))  # too few to tell


def test_the_picture_shows_what_was_counted():
    """Points are parts of all counts, lines what the contrast makes of them; without photons nothing is drawn."""
    found = counted([60, 30, 8, 2])
    numbers = {name: {1: array[:, 0], 2: array[:, 0]} for name, array in found.items()}
    numbers["contrast"][2] = np.full(1, np.nan)
    photons = Photons("out.h5", 300, np.array([2]), numbers.pop("counts"), numbers)
    figure = Figure()
    draw_photons(figure, photons)
    left, right = figure.axes
    points, line = left.lines
    np.testing.assert_allclose(points.get_ydata(), [0.6, 0.3, 0.08])
    expected = probabilities(found["mean"][:, 0], found["contrast"][:, 0], 2)
    np.testing.assert_allclose(line.get_ydata(), expected[0, :-1])
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["colour 1, 2 pulses"]
    (drawn, *_), *_ = (c.lines for c in right.containers)
    np.testing.assert_array_equal(drawn.get_ydata(), found["contrast"][:, 0])
    assert "300 events processed" in figure.get_suptitle()
    only = Figure()
    draw_photons(only, photons, [2])
    assert not only.axes[0].lines
    for each in photons.numbers.values():  # dark frames
        each[2] = np.full(1, np.nan)
    dark = Figure()
    draw_photons(dark, photons, [2])
    dark.draw_without_rendering()
    assert [axes.texts[0].get_text() for axes in dark.axes] == ["no contrast: too few photons"] * 2


@pytest.mark.parametrize(
    ("n", "colors", "user", "threads"),
    [
        (40000, 1, {"exposures": [1, 2, 4, 8]}, 1),
        (40000, 3, {"exposures": [1024], "saturated_value": 3}, 2),
        (700, 100, {"kmax": 254}, 2),
    ],
)
def test_memory_is_what_check_says(tmp_path, n, colors, user, threads):
    """What entering and an update take at the most, beside the arrays and the buffer."""
    np.save(tmp_path / "color.npy", np.arange(n) % colors + 1)
    params = MpiParams(0, "worker", np.ones(n, bool), slice(0, n), threads=threads)
    system = {"times": 40, "block": 32, "rate": 120.0, "delays": [1]}
    worker = PhotonStatistics(user | {"color": str(tmp_path / "color.npy")}, system, params)
    worker.arrays(n)
    worker.shares = 0  # no events wait to be shared
    data = np.random.default_rng(0).poisson(0.5, (72, n)).astype(np.float32)

    def settled(events):
        return Settled(events, events, {}, [data], 0 * events, events)

    worker.enter(settled(np.arange(8)))
    tracemalloc.start()
    try:
        worker.enter(settled(np.arange(8, 32)))
        update = worker.collect(False, SimpleNamespace(waiting=lambda: settled(np.arange(32, 72))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # of what is collected the program counts four times what the class says, at any number of stretches
    collected = worker.collected_bytes(n)
    assert sum(array.value.nbytes for array in update.values()) <= collected
    assert worker.extra_bytes(n, threads) < 2 * peak
    assert peak < worker.extra_bytes(n, threads) + 4 * collected
