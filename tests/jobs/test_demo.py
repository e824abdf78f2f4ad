"""The demo: its very config and files under mpiexec, and its curves on the true g2 within their error."""

import math
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import matplotlib.image
import numpy as np
import pytest
from effort import PATIENCE

from parcorana.events.dataset import parse_dataset
from parcorana.events.protocol import Share
from parcorana.events.simulated import Brownian, SimulatedSource, true_g2

pytestmark = pytest.mark.filterwarnings("error")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
CONFIG = runpy.run_path(str(EXAMPLES / "demo.py"))
PICTURE = runpy.run_path(str(EXAMPLES / "demo_picture.py"))
DATASET = CONFIG["system_params"]["dataset"]
DELAYS = np.array(CONFIG["DELAYS"])
OPTIONS = Brownian.of(DATASET)
COLORS = range(1, OPTIONS.colors + 1)


def run(*command, cwd, **environment):
    """Run a command as a user would, but with warnings as errors and never for more than two minutes."""
    variables = {key: value for key, value in os.environ.items() if key != "PARCORANA_DEMO"}
    variables |= {"PATH": PATH, "PYTHONWARNINGS": "error", **environment}
    command = ["timeout", "-k", "5", str(PATIENCE), *map(str, command)]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The steps of `make demo` in a folder of their own: what they said, and the result."""
    cwd = tmp_path_factory.mktemp("demo")
    mpiexec, driver = (shutil.which(name, path=PATH) for name in ("mpiexec", "parCorAnaDriver"))
    steps = {
        "files": (sys.executable, EXAMPLES / "demo_files.py"),
        "check": (sys.executable, EXAMPLES / "demo.py"),
        "run": (mpiexec, "-n", "4", driver, "-c", EXAMPLES / "demo.py", "--overwrite"),
        "picture": (sys.executable, EXAMPLES / "demo_picture.py"),
    }
    said = {}
    for name, command in steps.items():
        said[name] = run(*command, cwd=cwd)
        assert said[name].returncode == 0, f"{name}: {said[name].stdout}{said[name].stderr}"
    path = cwd / "demo" / "demo.h5"
    with h5py.File(path) as file:
        return SimpleNamespace(
            cwd=cwd,
            path=path,
            said=said,
            updates=sorted(file["user"]),
            result=_load(file["user"])[max(file["user"])],
            system=_load(file["system"]),
            attributes=dict(file["system"].attrs),
            accounting=dict(file["system/accounting"].attrs),
        )


def _load(group):
    return {key: _load(item) if isinstance(item, h5py.Group) else item[()] for key, item in group.items()}


@pytest.fixture(scope="module")
def pulses():
    return SimulatedSource(parse_dataset(DATASET), Share()).pulses


@pytest.fixture(scope="module")
def covariances(demo, pulses):
    mask, color = demo.system["mask"] > 0, demo.system["color"]
    return {c: covariance(mask & (color == c), pulses, c) for c in COLORS}


@pytest.fixture(scope="module")
def curves(demo):
    return {c: demo.result[f"delay_curve_color_{c}"] for c in COLORS}


def covariance(ring, pulses, color):
    """Compute the covariance of the points of one delay curve, (D, D), from theory.

    With I = <I> (1 + e), a and b the means of e over past and future elements of the
    pairs and c that of their products, the curve is (1 + a + b + c) / ((1 + a) (1 + b)),
    to first order 1 + c - <c> (a + b). E is complex Gaussian, so that cumulants of
    |E|^2 are sums of products of field correlations along cycles (Goodman, Speckle
    Phenomena in Optics, 2007): r in time, rho between elements. Compared with what 96
    simulated images of these rings scatter, the standard errors were right within 4% on
    average over a colour's delays, and chi squared was on average what it should be.
    Left out is photon noise: at most 2% of an error, on the strict side.
    """
    tau, beta, length = OPTIONS.tau / color**2, OPTIONS.contrast, int(pulses[-1]) + 1
    # The simulator smooths its noise by [1, 4, 6, 4, 1] along rows and along columns.
    rho = np.array([math.comb(8, 4 + k) / math.comb(8, 4) for k in range(-4, 5)])
    room = [size + 4 for size in ring.shape[-2:]]
    pairs = np.fft.irfft2(np.abs(np.fft.rfft2(ring, room)) ** 2, room).sum(axis=0)
    S2, S4 = (np.sum(np.outer(rho, rho) ** k * pairs[np.ix_(range(-4, 5), range(-4, 5))]) for k in (2, 4))

    present = np.zeros(length)
    present[pulses] = 1
    starts = np.zeros((len(DELAYS), 2 * length))
    for start, d in zip(starts, DELAYS, strict=True):
        start[: length - d] = present[:-d] * present[d:]
    spectra = np.fft.rfft(starts)
    lags = np.arange(2 * length)
    lags[length:] -= 2 * length  # as the inverse transform has them
    r = {shift: np.exp(-np.abs(lags + shift) / tau) for d in DELAYS for f in (0, *DELAYS) for shift in (f - d, d, 0)}

    result = np.empty((len(DELAYS), len(DELAYS)))
    for i, d in enumerate(DELAYS):
        for j, f in enumerate(DELAYS[: i + 1]):
            # Between the pair (t, t + d) and the pair (t + lag, t + lag + f):
            # past to past, past to future, future to past, future to future.
            pp, pf, fp, ff = r[0], r[f], r[-d], r[f - d]
            rd, rf = np.exp(-d / tau), np.exp(-f / tau)
            products = S4 * ((pp * ff) ** 2 + (pf * fp) ** 2 + 2 * pp * pf * fp * ff)
            products += 2 * S2 * rd * rf * (pp * ff + pf * fp)
            mixed = 2 * rd * rf**2 * (pp * fp + pf * ff) + 2 * rf * rd**2 * (pp * pf + fp * ff)
            means = (rd * rf) ** 2 * (pp**2 + pf**2 + fp**2 + ff**2)
            number = np.fft.irfft(spectra[i].conj() * spectra[j])
            total = number @ (beta**2 * products - beta**2.5 * S2 * mixed + beta**3 * S2 * means)
            result[i, j] = result[j, i] = total / (starts[i].sum() * starts[j].sum() * ring.sum() ** 2)
    return result


def distance(curves, truth, covariances):
    """Tell how far curves are from the truth.

    Returns
    -------
    farthest : float
        Of all points, in standard errors.
    together : float
        By how many of its own standard deviations chi squared is above what is
        expected. It is of the independent combinations of a curve's points: points
        at neighbouring delays come from nearly the same pairs, so that the 120 points
        say what 60 independent ones would. Combinations that hardly vary are left
        out: there the small terms that the theory leaves out would count.
    """
    farthest, chi_squared, number = 0.0, 0.0, 0
    for c, curve in curves.items():
        error = np.sqrt(np.diag(covariances[c]))
        z = (curve - truth[c]) / error
        variance, direction = np.linalg.eigh(covariances[c] / np.outer(error, error))
        used = variance > 0.1
        chi_squared += np.sum((z @ direction)[used] ** 2 / variance[used])
        number += used.sum()
        farthest = max(farthest, np.abs(z).max())
    return farthest, (chi_squared - number) / math.sqrt(2 * number)


def agrees(curves, truth, covariances):
    """Tell whether curves lie on the truth within their statistical error.

    One seed in eight is farther than 3 at some delay by chance; the demo's is
    a usual one, with 2.6 (the median over 48 others), and never changes.
    """
    farthest, together = distance(curves, truth, covariances)
    return bool(farthest < 3 and together < 3)


def truth_of(options=OPTIONS):
    return {c: true_g2(options, DELAYS, c) for c in COLORS}


# The run


def test_the_run_is_complete_and_without_warnings(demo, pulses):
    assert demo.attributes["complete"]
    assert demo.updates == [f"G2_results_at_{n:06d}" for n in (1000, 2000, 3000)]
    assert demo.accounting["read"] == demo.accounting["processed"] == len(pulses) == 3000
    assert "WARNING" not in demo.said["run"].stderr and "ERROR" not in demo.said["run"].stderr
    assert sorted(role for _, role, _ in demo.system["ranks"].tolist()) == [b"server", b"viewer", b"worker", b"worker"]


def test_the_mask_leaves_out_some_and_every_colour_has_elements(demo):
    mask, color = demo.system["mask"], demo.system["color"]
    assert mask.shape == color.shape == OPTIONS.shape
    assert 0.7 < mask.mean() < 0.9 and not mask[:, 0].any() and not mask[:, 31:33, 31:33].any()
    assert np.array_equal(color > 0, mask > 0)
    assert np.bincount(color.ravel())[1:].min() > 1000
    for c in COLORS:
        assert np.all(demo.result[f"elements_color_{c}"] == np.count_nonzero(color == c))


def test_all_pairs_of_the_run_are_counted(demo, pulses):
    expected = [len(np.intersect1d(pulses, pulses + d)) for d in DELAYS]
    assert demo.result["delay_counts"].tolist() == expected


def test_the_config_file_checks_itself(demo):
    assert "G2IncrementalAccumulator" in demo.said["check"].stdout and not demo.said["check"].stderr


def test_the_folder_can_be_chosen(tmp_path):
    chosen = {"cwd": tmp_path, "PARCORANA_DEMO": "else/where"}
    assert run(sys.executable, EXAMPLES / "demo_files.py", **chosen).returncode == 0
    assert sorted(p.name for p in (tmp_path / "else/where").iterdir()) == ["color.npy", "mask.npy"]
    assert "else/where/demo.h5" in run(sys.executable, EXAMPLES / "demo.py", **chosen).stdout


# The curves


def test_curves_lie_on_the_true_g2(curves, covariances):
    assert agrees(curves, truth_of(), covariances), distance(curves, truth_of(), covariances)
    for c in COLORS:
        assert agrees({c: curves[c]}, truth_of(), covariances), (c, distance({c: curves[c]}, truth_of(), covariances))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("color", COLORS)
def test_three_times_the_error_off_would_be_seen(curves, covariances, color, sign):
    error = np.sqrt(np.diag(covariances[color]))
    off = {color: truth_of()[color] + 3 * sign * error}
    assert not agrees({color: curves[color]}, off, covariances)


@pytest.mark.parametrize("change", [{"tau": 0.95}, {"tau": 1.05}, {"contrast": 0.97}, {"contrast": 1.03}])
def test_a_wrong_truth_would_be_seen(curves, covariances, change):
    (key, factor), *_ = change.items()
    wrong = replace(OPTIONS, **{key: factor * getattr(OPTIONS, key)})
    assert not agrees(curves, truth_of(wrong), covariances)


def test_the_other_normalization_would_be_off(demo, covariances):
    """Each element's own mean, over some 30 decay times, bends the curves down: the config's comment."""
    arrays = [np.array([demo.result[name][f"delay_{d:06d}"] for d in DELAYS]) for name in ("G2", "IP", "IF")]
    color = demo.system["color"]
    pixel = {}
    for c in COLORS:
        G2, IP, IF = (array[:, color == c] for array in arrays)
        pixel[c] = np.mean(demo.result["delay_counts"][:, None] * G2 / (IP * IF), axis=1)
    assert not agrees(pixel, truth_of(), covariances)
    assert -0.05 < (pixel[1] - truth_of()[1])[0] < -0.02


def test_error_bars_of_the_picture_are_the_statistical_error(demo, covariances):
    """Made from the run alone, without theory, they are uncertain by some 20%, and a tenth too small."""
    drawn = PICTURE["read"](demo.path)["curves"]
    for c in COLORS:
        ratio = drawn[c][1] / np.sqrt(np.diag(covariances[c]))
        assert 0.7 < np.exp(np.mean(np.log(ratio))) < 1.2, (c, ratio)
        assert ratio.min() > 0.4 and ratio.max() < 1.8, (c, ratio)


# The picture


def test_picture_and_three_lines(demo):
    said = demo.said["picture"]
    lines = said.stdout.splitlines()
    assert len(lines) == 3 and not said.stderr
    assert "3,000 of 3,000 events" in lines[0] and "demo/demo.h5" in lines[0] and "demo/demo.png" in lines[0]
    assert "true g2" in lines[1]
    assert lines[2].startswith("Next: ") and "examples/demo.py" in lines[2]
    pixels = matplotlib.image.imread(demo.path.with_suffix(".png"))
    assert min(pixels.shape[:2]) > 800 and 0.01 < np.mean(pixels[..., :3].min(axis=2) < 0.9) < 0.3


def test_picture_elsewhere(demo, tmp_path):
    said = run(sys.executable, EXAMPLES / "demo_picture.py", demo.path, "-o", "own.png", cwd=tmp_path)
    assert said.returncode == 0 and (tmp_path / "own.png").stat().st_size > 10_000


def test_picture_of_nothing(tmp_path):
    said = run(sys.executable, EXAMPLES / "demo_picture.py", cwd=tmp_path)
    assert said.returncode == 2 and not said.stdout
    assert said.stderr.startswith("demo_picture: demo/demo.h5: ") and said.stderr.count("\n") == 1
