"""Against scikit-beam and boost_corr, where they are installed.

Both stay out of the environment of the other tests. Install them into a folder of their own, `pip install --target
FOLDER --no-deps scikit-beam boost_corr` and what they import beside NumPy and SciPy (scikit-image, networkx,
lazy-loader, lmfit, asteval, uncertainties, xraylib, imageio, six; torch), and run `PYTHONPATH=FOLDER python -m pytest
tests/multitau/test_peers.py`.
"""

import warnings

import h5py
import numpy as np
import pytest
from local import run_local

from parcorana import make_multitau_delays
from parcorana.multitau import MultiTauG2
from parcorana.results.twotime import read_two_time
from parcorana.twotime import TwoTime

EVENTS, SHAPE, CHANNELS = 120, (6, 10), 8
COLOR = np.arange(60).reshape(SHAPE) % 4  # of the colour 0 there is no curve


@pytest.fixture(scope="module")
def correlation():
    """scikit-beam's module; what its own code and that of others warns of is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("skbeam.core.correlation")


@pytest.fixture(scope="module")
def frames():
    """Light that changes slowly, with photon noise."""
    rng = np.random.default_rng(7)
    slow = np.cumsum(rng.normal(0, 0.1, (EVENTS, *SHAPE)), axis=0)
    return rng.poisson(20 * np.exp(slow - slow.mean(axis=0))).astype(np.uint16)


def result(folder, user_class, frames, delays, **user):
    np.save(folder / "color.npy", COLOR)
    user |= {"color": str(folder / "color.npy")}
    given = {"times": 20, "delays": delays, "h5output": str(folder / "out.h5")}
    run_local(folder, user_class, np.arange(EVENTS), frames, user=user, **given)
    return h5py.File(folder / "out.h5")


def test_multi_tau(correlation, tmp_path, frames):
    """Its g2 is the ratio of means over pixels; each level has lags from num_bufs / 2 on, so that ours are there."""
    levels, buffers = 4, CHANNELS + 2
    delays = make_multitau_delays(CHANNELS << (levels - 1), CHANNELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        g2, lags = correlation.multi_tau_auto_corr(levels, buffers, COLOR, frames.astype(float))
    assert set(delays) <= set(lags.tolist())
    with result(tmp_path, MultiTauG2, frames, delays, channels=CHANNELS, normalization="color") as file:
        group = file[f"user/G2_results_at_{EVENTS:06d}"]
        for color in (1, 2, 3):
            theirs = g2[np.searchsorted(lags, delays), color - 1]
            np.testing.assert_allclose(group[f"delay_curve_color_{color}"], theirs, rtol=1e-6)


def test_two_time(correlation, tmp_path, frames):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = correlation.two_time_corr(COLOR, frames.astype(float), EVENTS, EVENTS).g2
    apart = ~np.eye(EVENTS, dtype=bool)  # theirs has each frame with itself
    with result(tmp_path, TwoTime, frames, [1]) as file:
        maps = read_two_time(file["user"], "out").maps
        for color in (1, 2, 3):
            np.testing.assert_allclose(maps[color][apart], theirs[color - 1][apart], rtol=1e-6)


def test_delays_of_boost_corr():
    """With 4 delays per level, its `dpl`, as many as our 8 channels."""
    functions = pytest.importorskip("boost_corr.help_functions")
    for frames in (9, 100, 4096, 123456):
        theirs = functions.gen_tau_bin(frames, dpl=CHANNELS // 2)[0].tolist()
        assert make_multitau_delays(theirs[-1], CHANNELS) == theirs
