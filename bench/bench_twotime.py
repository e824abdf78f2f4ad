"""Two-time correlation beside BLAS alone: the matrices of 16 rings, all pairs of 1000 events."""

import time

import numpy as np
import pytest
from scipy.linalg import blas

from parcorana.twotime.ages import Matrices
from parcorana.twotime.gram import blas_threads

RINGS, ELEMENTS, EVENTS, TOGETHER = 16, 8192, 1000, 128


def plain(x, threads):
    """Return the seconds that one `ssyrk` for each ring takes."""
    with blas_threads(threads):
        start = time.perf_counter()
        for ring in range(RINGS):
            part = x[:, ring * ELEMENTS : (ring + 1) * ELEMENTS]
            blas.ssyrk(1.0, part.T, trans=1)
        return time.perf_counter() - start


@pytest.mark.parametrize("lags", [False, True], ids=["matrices, ssyrk with 2 threads", "all lags, ssyrk with 1 thread"])
def test_two_time(benchmark, timed, lags):
    """The ratio is that of pairs of runs, one beside the other."""
    x = np.random.default_rng(0).poisson(2, (EVENTS, RINGS * ELEMENTS)).astype(np.float32)
    edges = np.arange(RINGS + 1) * ELEMENTS
    beside = []

    def add():
        start = time.perf_counter()
        made = Matrices(1024, [1], np.float32, x.shape[1], edges, 2)
        for first in range(0, EVENTS, TOGETHER):
            made.add(np.arange(first, min(first + TOGETHER, EVENTS)), x[first : first + TOGETHER])
        if lags:
            for matrix in made.products:
                for lag in range(EVENTS):
                    matrix[:EVENTS, :EVENTS].diagonal(-lag).sum()
        took = time.perf_counter() - start
        beside.append(plain(x, 1 if lags else 2) / took)

    timed(benchmark, add, rounds=3, pairs=EVENTS * (EVENTS + 1) / 2 * x.shape[1])
    benchmark.extra_info["beside_ssyrk"] = float(np.median(beside))
