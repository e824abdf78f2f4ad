"""Two-time correlation beside BLAS alone: the matrices of 16 rings, all pairs of 1000 events."""

import time

import numpy as np
import pytest
from scipy.linalg import blas

from parcorana.twotime.ages import Matrices
from parcorana.twotime.gram import blas_threads

RINGS, ELEMENTS, EVENTS, TOGETHER = 16, 8192, 1000, 256


def plain(rings, threads):
    """Return the seconds that one `ssyrk` for each ring takes."""
    with blas_threads(threads):
        start = time.perf_counter()
        for ring in rings:
            blas.ssyrk(1.0, ring.T, trans=1)
        return time.perf_counter() - start


@pytest.mark.parametrize("lags", [False, True], ids=["matrices, ssyrk with 2 threads", "all lags, ssyrk with 1 thread"])
def test_two_time(benchmark, timed, lags):
    """The ratio is that of pairs of runs, one beside the other."""
    x = np.random.default_rng(0).poisson(2, (EVENTS, RINGS * ELEMENTS)).astype(np.float32)
    edges = np.arange(RINGS + 1) * ELEMENTS
    rings = [np.ascontiguousarray(part) for part in np.split(x, RINGS, axis=1)]
    beside = []

    def add():
        start = time.perf_counter()
        made = Matrices(1024, [1], np.float32, x.shape[1], edges, 2)
        for first in range(0, EVENTS, TOGETHER):
            made.add(np.arange(first, min(first + TOGETHER, EVENTS)), x[first : first + TOGETHER])
        if lags:
            sums = np.zeros((RINGS, EVENTS))
            for k in range(EVENTS):
                sums[:, : k + 1] += made.products[:, k, k::-1]
        took = time.perf_counter() - start
        beside.append(plain(rings, 1 if lags else 2) / took)

    timed(benchmark, add, rounds=3, pairs=EVENTS * (EVENTS + 1) / 2 * x.shape[1])
    benchmark.extra_info["beside_ssyrk"] = float(np.median(beside))
