"""The kernels as a library, `parcorana.kernels`: all pairs of a full buffer that has wrapped."""

import numpy as np
import pytest

from parcorana import kernels, make_delay_list

ROWS, ELEMENTS = 1100, 16384
DELAYS = make_delay_list(1, 1000, 100)


@pytest.mark.parametrize("gaps", [0, 0.01, 0.1])
@pytest.mark.parametrize("wanted", ["G2", "G2, IP, IF"])
@pytest.mark.parametrize("order", ["F", "C"])
def test_add_pairs(benchmark, timed, order, wanted, gaps):
    rng = np.random.default_rng(0)
    T = np.roll(np.cumsum(1 + (rng.random(ROWS) < gaps)), 400)
    X = np.array(rng.poisson(5, (ROWS, ELEMENTS)), np.float32, order=order)
    runs = kernels.find_runs(T, DELAYS)
    sums = [np.zeros((ELEMENTS, len(DELAYS))).T for _ in wanted.split(",")]
    pairs = int(runs.counts.sum()) * ELEMENTS
    timed(benchmark, lambda: kernels.add_pairs(runs, X, *sums), rounds=3, pairs=pairs)


@pytest.mark.parametrize("order", ["F", "C"])
def test_one_event_enters(benchmark, timed, order):
    """What `adjustTerms` does for each event: one pair of every delay."""
    T = np.arange(ROWS)
    X = np.array(np.random.default_rng(0).poisson(5, (ROWS, ELEMENTS)), np.float32, order=order)
    sums = np.zeros((3, len(DELAYS), ELEMENTS)) if order == "C" else np.zeros((3, ELEMENTS, len(DELAYS)))
    sums = sums if order == "C" else sums.transpose(0, 2, 1)
    runs = kernels.find_runs(T, DELAYS, [ROWS - 1])
    pairs = int(runs.counts.sum()) * ELEMENTS
    timed(benchmark, lambda: kernels.add_pairs(runs, X, *sums), pairs=pairs, events=1)


def test_find_runs(benchmark, timed):
    """What a call costs before any element is touched."""
    T = np.roll(np.arange(ROWS), 400)
    timed(benchmark, lambda: kernels.find_runs(T, DELAYS), rounds=20)
