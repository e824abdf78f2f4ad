"""g2 over all ages, and its error: against plain sums, against its own scatter, and where there is none."""

import numpy as np
import pytest

from parcorana.curves.overages import MOST, over_ages

DELAYS = np.array([1, 4, 16, 64])


def decaying(ages, tau, noise, rng, shape=()):
    """Return g2 by age and delay that falls as exp(-2 d / tau), with noise of each age."""
    return 1 + np.exp(-2 * DELAYS / tau) + noise * rng.standard_normal((*shape, ages, len(DELAYS)))


def test_against_plain_sums():
    rng = np.random.default_rng(1)
    g2, weights = decaying(64, 8, 0.1, rng), rng.uniform(1, 1.02, (64, 4))
    g2[3, 1], weights[7, 2] = np.nan, 0
    mean, error, groups = over_ages(g2, weights, 50, DELAYS)
    for d in range(4):
        there = np.isfinite(g2[:, d]) & (weights[:, d] > 0)
        x, w = g2[there, d], weights[there, d]
        assert mean[d] == pytest.approx((x * w).sum() / w.sum(), rel=1e-12)
        stretch = np.flatnonzero(there) * groups[d] // 64
        left = [(x * w)[stretch != k].sum() / w[stretch != k].sum() for k in range(groups[d])]
        k, spread = groups[d], np.var(left)
        # of stretches that weigh nearly the same the usual jackknife, with Student's factor
        assert error[d] == pytest.approx(np.sqrt((k - 1) * spread * (k - 1) / (k - 3)), rel=0.05)
    assert groups.tolist() == [MOST] * 4


def test_it_is_the_scatter_of_the_mean():
    """Of bins that know of each other: stretches of a few decays do not."""
    true, pulls = 1 + np.exp(-2 * DELAYS / 12), []
    noise = np.random.default_rng(2).standard_normal((1040, 400, 4))
    for k in range(1, len(noise)):
        noise[k] = 0.8 * noise[k - 1] + 0.6 * noise[k]
    for g2 in (true + 0.1 * noise[16:]).swapaxes(0, 1):
        mean, error, groups = over_ages(g2, np.ones(g2.shape), 1, DELAYS)
        pulls.append((mean - true) / error)
    assert groups.tolist() == [16] * 4
    assert np.std(pulls, axis=0) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(
    ("ages", "width", "tau", "groups"),
    [
        (100, 20, 8, [32, 32, 32, 31]),
        (20, 20, 8, [20, 20, 20, 0]),  # stretches as long as the longest delay are too few
        (7, 1000, 8, [0] * 4),
        (100, 20, 100, [0] * 4),  # and so are those of several decays
        (100, 20, 1000, [0] * 4),  # that it halves is not seen
    ],
)
def test_where_there_is_an_error(ages, width, tau, groups):
    g2 = decaying(ages, tau, 1e-3, np.random.default_rng(3))
    mean, error, found = over_ages(g2, np.ones(g2.shape), width, DELAYS)
    assert found.tolist() == groups
    assert np.isfinite(mean).all() and (np.isfinite(error) == (found > 0)).all()


@pytest.mark.parametrize("ages", [0, 1, 9])
def test_of_nothing(ages):
    g2 = np.full((ages, 4), np.nan)
    mean, error, groups = over_ages(g2, np.zeros(g2.shape), 1000, DELAYS)
    assert np.isnan(mean).all() and np.isnan(error).all() and not groups.any()
