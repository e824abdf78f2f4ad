"""Errors are what they say: over colours, and over runs, the scatter about the truth. bench/errors.py has more."""

import numpy as np
import pytest

from parcorana import correlate, open_result
from parcorana.events.simulated import frames, true_g2
from parcorana.userg2 import G2IncrementalAccumulator

DELAYS = np.array([1, 2, 4, 8, 16, 32])
SIDE, PATCHES = 24, 5  # patches of the detector, each one a colour
KINDS = {
    "Color": {"normalization": "color", "fit": "single"},
    "Fine": {"normalization": "finecolor"},
    "Pixel": {"normalization": "pixel"},
    "AsIfIndependent": {"normalization": "pixel", "errors": "pixels", "fit": "single"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return what each of `KINDS` gives of one run of many colours, and the truth."""
    options = {"shape": (SIDE * PATCHES, SIDE * PATCHES), "events": 1200, "tau": 20, "modes": 1, "seed": 7}
    y, x = np.indices(options["shape"])
    color, quarter = (1 + y // side * (x.max() // side + 1) + x // side for side in (SIDE, SIDE // 2))
    path = tmp_path_factory.mktemp("errors") / "run.h5"
    kinds = [type(name, (G2IncrementalAccumulator,), {"__module__": __name__}) for name in KINDS]
    given = {"color": color, "finecolor": quarter, "kind": kinds, "output": path, "save_arrays": False}
    correlate(frames(options), DELAYS, progress=False, **given, **KINDS)
    return {name: open_result(path, of=name) for name in KINDS}, true_g2(options, DELAYS)


def spread(result):
    """Return the standard deviation about the middle, in errors, over all colours and delays."""
    return np.std((result.g2 - np.median(result.g2, axis=0)) / result.error)


@pytest.mark.parametrize("name", ["Color", "Fine", "Pixel"])
def test_over_the_colours_of_a_run(run, name):
    assert 0.7 < spread(run[0][name]) < 1.45


@pytest.mark.parametrize("name", ["Color", "Fine"])
def test_about_the_truth(run, name):
    """Not with 'pixel', which is too low by more than its errors."""
    pulls = (run[0][name].g2 - run[1]) / run[0][name].error
    assert (abs(pulls.mean(axis=0)) < 0.7).all()


def test_of_decay_times(run):
    tau, error = run[0]["Color"].tau.T
    assert 0.6 < np.std((tau - 20) / error) < 1.6


def test_as_if_elements_were_independent_they_are_too_small(run):
    result = run[0]["AsIfIndependent"]
    tau, error = result.tau.T
    assert spread(result) > 1.6 and np.std(tau / error) > 3


def test_over_runs_of_pulses_that_vary():
    """All colours then scatter alike, which no group of elements shows."""
    options, pulls = {"shape": (32, 32), "events": 600, "tau": 6, "modes": 1, "sase": 0.5}, []
    for seed in range(8):
        result = correlate(frames(options | {"seed": seed}), DELAYS, progress=False, save_arrays=False)
        pulls.append((result.g2[0] - true_g2(options, DELAYS)) / result.error[0])
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.4
