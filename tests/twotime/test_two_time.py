"""Two-time correlation: the same as plain loops over pairs, however events come and wherever bins merge."""

import tracemalloc
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import run_command
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import run_local

from parcorana import ConfigError, MpiParams, PerElement
from parcorana.correlation.settled import Settled
from parcorana.reference import ReferenceBuffer, two_time
from parcorana.results.twotime import TwoTimeResult, read_two_time
from parcorana.twotime import TwoTime, gram
from parcorana.twotime.ages import LAGS, levels_of
from parcorana.twotime.matrices import Matrices

SHAPE = (2, 5)
COLOR = np.array([[1, 2, 1, 0, 2], [1, 1, 3, 2, 1]])
DELAYS = [1, 2, 5, 16, 18, 40]
USUAL = settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def streams(draw):
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, -2, -1, 30]), min_size=1, max_size=60))
    return {
        "counters": 1000 + np.cumsum(steps),
        "runs": np.sort([max(0, draw(st.integers(0, 5)) - 4) for _ in steps]),
        "times": draw(st.integers(1, 12)),
        "block": draw(st.integers(1, 30)),
        "workers": draw(st.integers(1, 3)),
        "update": draw(st.sampled_from([0, 7])),
        "store_dtype": draw(st.sampled_from(["float32", "float64"])),
        "ages": draw(st.sampled_from([4, 16, 512])),
        "window": draw(st.sampled_from([False, False, True])),
        "scale": draw(st.sampled_from([1, 3000, 0.37])),
        "saturated": draw(st.sampled_from([None, 18])),
    }


def wanted(stream, frames, limit):
    """Return what plain loops make of the events of the run in progress, by colour."""
    buffer, run, number, kept, origin = ReferenceBuffer(stream["times"]), stream["runs"][0], 0, {}, None
    values = frames.reshape(len(frames), -1).astype(stream["store_dtype"]).astype(float)
    at = np.full(values.shape[1], np.iinfo(np.int64).max)
    for k, counter in enumerate(stream["counters"].tolist()):
        origin = counter if origin is None else origin
        if number == limit:
            break
        if stream["runs"][k] != run:
            buffer, run, kept = ReferenceBuffer(stream["times"]), stream["runs"][k], {}
        if buffer.enter(counter - origin, None) == "processed":
            kept[counter - origin] = number, values[k]
            if stream["saturated"]:
                new = (values[k] >= stream["saturated"] * stream["scale"]) & (at > number)
                at[new] = number
            number += 1
    counters = sorted(buffer.stored if stream["window"] else kept)
    numbers, data = np.array([kept[t][0] for t in counters]), np.array([kept[t][1] for t in counters])
    ages = stream["times"] if stream["window"] else stream["ages"]
    return {
        c: two_time(np.array(counters), data[:, mine], numbers, at[mine], ages, DELAYS, LAGS)
        for c in (1, 2, 3)
        for mine in [COLOR.ravel() == c]
    }


def run(folder, stream, frames):
    np.save(folder / "color.npy", COLOR)
    user = {"color": str(folder / "color.npy"), "ages": stream["ages"], "window": stream["window"]}
    if stream["saturated"]:
        user["saturated_value"] = stream["saturated"] * stream["scale"]
    system = {name: stream[name] for name in ("times", "block", "workers", "update", "store_dtype")}
    output = folder / "result.h5"
    system |= {"delays": DELAYS, "h5output": str(output)}
    return run_local(folder, TwoTime, stream["counters"], frames, runs=stream["runs"], user=user, **system)


@USUAL
@given(streams())
def test_all_pairs(tmp_path, stream):
    frames = np.random.default_rng(1).poisson(8, (len(stream["counters"]), *SHAPE)) * stream["scale"]
    frames = frames.astype(np.float64 if stream["scale"] < 1 else np.uint16)
    folder = Path(mkdtemp(dir=tmp_path))
    run(folder, stream, frames)
    with h5py.File(folder / "result.h5") as file:
        for name in file["user"]:
            result = read_two_time(file["user"], "result", int(name[6:]))
            for color, (matrix, ages, width, g2, weights) in wanted(stream, frames, result.processed).items():
                np.testing.assert_array_equal(result.ages, ages)
                assert result.width == width
                np.testing.assert_allclose(result.maps[color], matrix, rtol=1e-5)
                in_order = (np.diff(stream["counters"]) > 0).all() or not stream["saturated"]
                if in_order:
                    np.testing.assert_allclose(result.g2[color], g2, rtol=1e-5)
                    with np.errstate(invalid="ignore"):
                        mean = np.nansum(g2 * weights, axis=0) / weights.sum(axis=0)
                    np.testing.assert_allclose(result.mean[color], mean, rtol=1e-5)


def test_delays_that_are_none():
    assert levels_of([1, 16, 18, 32, 36, 64]).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ConfigError, match="frames of 2 pulses above 16, and 21 is no multiple of that: take 20 or 22"):
        levels_of([1, 21])
    with pytest.raises(ConfigError, match="no delay 0"):
        levels_of([0, 1])


def test_mean_along_a_diagonal(tmp_path):
    frames = np.random.default_rng(2).poisson(5, (50, *SHAPE)).astype(np.uint16)
    system = {"times": 3, "delays": [3], "h5output": str(tmp_path / "result.h5")}
    run_local(tmp_path, TwoTime, np.arange(50), frames, user={"picture": str(tmp_path / "own.png")}, **system)
    assert (tmp_path / "own.png").stat().st_size > 10000
    with h5py.File(tmp_path / "result.h5") as file:
        delays, g2 = read_two_time(file["user"], "result").cut(1)
    data = frames.reshape(50, -1).astype(float)
    s = data.sum(axis=1)
    for lag in (1, 7, 30):
        top = (data[lag:] * data[:-lag]).sum(axis=1) * data.shape[1]
        assert g2[delays == lag][0] == pytest.approx(np.mean(top / (s[lag:] * s[:-lag])), rel=1e-12)
    assert np.isnan(g2[0])


def test_error_of_a_cut():
    """Of ages that know nothing of each other it is the standard error of a mean; where it cannot be told NaN."""
    ages, rng = np.arange(0, 2560, 10), np.random.default_rng(4)
    noise = np.triu(rng.standard_normal((256, 256)))
    matrix = 1 + np.exp(-2 * abs(ages[:, None] - ages) / 20) + 0.1 * (noise + np.triu(noise, 1).T)
    result = TwoTimeResult("by hand", 2560, 1.0, ages, 10, np.array([10]), {1: matrix}, {})
    error = result.cut_error(1)
    lags = np.arange(1, 30)
    assert error[lags] == pytest.approx(0.1 / np.sqrt(256 - lags), rel=0.5)
    assert np.isnan(error[33:]).all()  # fewer than eight stretches of such a delay


@pytest.mark.parametrize("instead", [None, np.zeros(3), np.zeros(1, np.int64)])
def test_errors_that_do_not_belong_are_said(tmp_path, instead):
    frames = np.random.default_rng(2).poisson(5, (50, *SHAPE)).astype(np.uint16)
    system = {"times": 3, "delays": [3], "h5output": str(tmp_path / "result.h5")}
    run_local(tmp_path, TwoTime, np.arange(50), frames, user={}, **system)
    with h5py.File(tmp_path / "result.h5", "a") as file:
        group = file["user/C2_at_000050"]
        del group["g2_age_mean_err_color_1"]
        if instead is not None:
            group["g2_age_mean_err_color_1"] = instead
        with pytest.raises(ConfigError, match="lacks a part, or its arrays do not belong together"):
            read_two_time(file["user"], "result")


def taken(data):
    rows = np.ascontiguousarray(data)
    return rows, rows.sum(axis=1, dtype=np.float64), (rows.astype(np.float64) ** 2).sum(axis=1)


@pytest.mark.parametrize("most", [300, 3000])
def test_whole_numbers_are_exact(most):
    """Where a float32 sum passes 2^24, too."""
    data = np.random.default_rng(3).integers(0, most, (40, 700)).astype(np.float32)
    made = Matrices(8, [1], np.float32, 700, np.array([0, 300, 700]), 2)
    for part in (slice(25), slice(25, 40)):
        made.add(np.arange(40)[part], lambda begin, end, part=part: taken(data[part, begin:end]))
    assert made.about.tolist() == [0, 5, 8]
    bins = np.add.reduceat(data.astype(np.int64), np.arange(0, 40, 8), axis=0)
    for c, part in enumerate((slice(300), slice(300, 700))):
        np.testing.assert_array_equal(made.products[c, :5, :5], np.tril(bins[:, part] @ bins[:, part].T))
        squares = (data[:, part].astype(np.int64) ** 2).sum(axis=1)
        np.testing.assert_array_equal(made.squares[c, :5], np.add.reduceat(squares, np.arange(0, 40, 8)))


def test_a_blas_with_threads_of_its_own_is_told(tmp_path, monkeypatch):
    np.save(tmp_path / "color.npy", COLOR)
    told, user = [], {"color": str(tmp_path / "color.npy")}
    TwoTime.checkParams(user, np.ones(SHAPE, bool), told.append)
    assert not told
    monkeypatch.setattr(gram, "_libraries", lambda: ())
    for name in gram._TOLD:
        monkeypatch.delenv(name, raising=False)
    TwoTime.checkParams(user, np.ones(SHAPE, bool), told.append)
    assert "is not OpenBLAS" in told[0] and "MKL_NUM_THREADS" in told[0]
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    TwoTime.checkParams(user, np.ones(SHAPE, bool), told.append)
    assert len(told) == 1


@pytest.mark.parametrize("kind", ["photons", "large", "fractions", "window", "merged", "double"])
def test_memory_is_no_more_than_is_said(tmp_path, kind):
    """Beside the arrays; and what is said is not a multiple of what is taken."""
    events, n, times, colors = 600, 5000, 64 if kind != "window" else 200, 2
    rng = np.random.default_rng(5)
    data = rng.poisson(2 if kind != "large" else 5000, (events, n)).astype("f8" if kind == "double" else "f4")
    data += 0.25 * (kind in ("fractions", "double"))
    np.save(tmp_path / "color.npy", np.arange(n) % colors + 1)
    params = MpiParams(0, "worker", np.ones(n, bool), slice(0, n), threads=2)
    dtype = "float64" if kind == "double" else "float32"
    system = {"delays": DELAYS, "times": times, "block": 512, "store_dtype": dtype, "rate": 120.0}
    user = {"color": str(tmp_path / "color.npy"), "ages": 128 if kind == "merged" else 700, "window": kind == "window"}
    made = TwoTime(user, system, params)
    arrays = made.arrays(n)
    which = np.arange(events)
    settled = Settled(which, which, {}, [data], which * 0, which)
    last = settled.at(slice(events - times, events))
    for array in made.matrices.arrays().values():
        array[...] = array  # a page that was never written takes no memory
    tracemalloc.start()
    try:
        made.enter(settled.at(slice(0, events - times)))
        found = made.collect(True, SimpleNamespace(waiting=lambda: last))
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["products"].value.any()
    small = sum(array.value.nbytes for array in arrays.values() if not isinstance(array, PerElement))
    said = made.extra_bytes(n, 2) + small + 2 * made.collected_bytes(n)
    assert said / 8 < taken <= said


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"ages": 1}, r"\['ages'\] must be a whole number of bins from 2 to 32768, not 1"),
        ({"ages": "many"}, r"\['ages'\] must be a whole number"),
        ({"window": 3}, r"\['window'\] must be True or False, not 3"),
        ({"frame_norm": "mean"}, r"\['frame_norm'\]: TwoTime divides by the means"),
    ],
)
def test_what_is_refused(tmp_path, user, said):
    with pytest.raises(ConfigError, match=said):
        run_local(tmp_path, TwoTime, np.arange(3), np.ones((3, *SHAPE)), times=2, delays=[1], user=user)


CONFIG = """\
from keepers import strike
from parcorana import twotime, userg2

class TwoTime(twotime.TwoTime):
    def publish(self, update, group):
        super().publish(update, group)
        strike("viewer", update.processed)

system_params = {system!r} | {{"user_class": [TwoTime, userg2.G2atEnd], "delays": [1, 2, 5, 16, 18]}}
user_params = {{"color": "color.npy", "saturated_value": 12, "TwoTime": {{"ages": 64}}}}
"""


def test_a_killed_job_goes_on_on_other_ranks(setup, root):
    env = {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    system = setup.system | {"checkpoint": 32, "times": 20, "update": 70}
    (setup.folder / "config.py").write_text(CONFIG.format(system=system), encoding="ascii")
    killed = setup.drive(ranks=4, env=env | {"STRIKE": "SIGKILL:viewer:140"})
    assert killed.returncode != 0
    resumed = setup.drive("--resume", ranks=3, env=env)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at" in resumed.stderr
    whole = setup.drive("-o", "whole.h5")
    assert whole.returncode == 0, whole.stderr
    compared = run_command("cmpParCorAnaH5Output", "out.h5", "whole.h5", cwd=setup.folder)
    assert compared.returncode == 0, compared.stdout
    drawn = run_command("parCorAnaPlot", "whole.h5", "-o", "picture.png", "--class", "TwoTime", cwd=setup.folder)
    assert drawn.returncode == 0, drawn.stderr
    assert (setup.folder / "picture.png").stat().st_size > 10000
