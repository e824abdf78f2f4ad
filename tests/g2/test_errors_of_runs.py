"""Errors of the mean of several runs' curves, against plain loops and the scatter that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcorana.curves import Curve
from parcorana.g2.merge import MANY, combined, scattered


def curves_of(g2, errors):
    nothing = np.zeros(g2[0].shape, np.int64)
    return [Curve(each, error, nothing, nothing) for each, error in zip(g2, errors, strict=True)]


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_against_plain_loops(seed, runs):
    rng = np.random.default_rng(seed)
    shape = (runs, 2, 3)
    g2, errors = 1 + rng.random(shape), rng.random(shape)
    counts = rng.integers(0, 50, (runs, 3))
    g2[(rng.random(shape) < 0.2) | (counts[:, None] == 0)] = np.nan
    errors[rng.random(shape) < 0.1] = np.nan
    curves = curves_of(g2, errors)
    one, other = scattered(curves, counts), combined(curves, counts)
    for c in range(2):
        for d in range(3):
            there = np.isfinite(g2[:, c, d])
            values, n, own = g2[there, c, d], counts[there, d], errors[there, c, d]
            if not len(values):
                assert np.isnan(one[c, d]) and np.isnan(other[c, d])
                continue
            mean = sum(n * values) / sum(n)
            wanted = np.sqrt(sum(n * (values - mean) ** 2) / sum(n) / (len(n) - 1)) if len(n) >= MANY else np.nan
            np.testing.assert_allclose(one[c, d], wanted, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(other[c, d], np.sqrt(sum((n * own) ** 2)) / sum(n), rtol=1e-9)


def test_of_runs_that_are_alike_it_is_the_usual_one():
    g2 = np.random.default_rng(1).random((7, 1, 4))
    found = scattered(curves_of(g2, g2), np.full((7, 4), 100))
    np.testing.assert_allclose(found, np.std(g2, axis=0, ddof=1) / np.sqrt(7), rtol=1e-12)


def test_it_is_the_scatter_of_the_mean():
    """Of runs of very different length: the mean of the square of the error is that of the mean's own scatter."""
    rng = np.random.default_rng(2)
    counts = np.array([[10], [20], [50], [100], [400], [800]])
    trials = 1 + rng.normal(size=(6, 4000, 1)) / np.sqrt(counts)[:, None]  # each of the colours is a trial
    error = scattered(curves_of(trials, trials), counts)
    means = (trials * counts[:, None]).sum(axis=0) / counts.sum()
    assert np.mean(error**2) == pytest.approx(np.var(means), rel=0.1)
