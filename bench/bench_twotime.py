"""Two-time correlation beside BLAS alone: the matrices of 16 rings, all pairs of 1000 events."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import blas

from parcorana import MpiParams
from parcorana.correlate.settled import Settled
from parcorana.twotime import TwoTime
from parcorana.twotime.gram import blas_threads

RINGS, ELEMENTS, EVENTS, BLOCK = 16, 8192, 1000, 512


def plain(rings, threads):
    """Return the seconds that one `ssyrk` for each ring takes."""
    with blas_threads(threads):
        start = time.perf_counter()
        for ring in rings:
            blas.ssyrk(1.0, ring.T, trans=1)
        return time.perf_counter() - start


def worker(folder):
    """Return the class as a worker with two threads has it, before its first event."""
    np.save(folder / "color.npy", np.repeat(np.arange(RINGS) + 1, ELEMENTS))
    n = RINGS * ELEMENTS
    params = MpiParams(0, "worker", np.ones(n, bool), slice(0, n), threads=2)
    system = {"delays": [1], "times": BLOCK, "store_dtype": "float32", "rate": 120.0}
    made = TwoTime({"color": str(folder / "color.npy"), "ages": 1024}, system, params)
    made.arrays(n)
    return made


@pytest.mark.parametrize("lags", [False, True], ids=["matrices, ssyrk with 2 threads", "all lags, ssyrk with 1 thread"])
def test_two_time(benchmark, timed, tmp_path, lags):
    """From the settled events to the matrices; the ratio is that of pairs of runs, one beside the other."""
    x = np.random.default_rng(0).poisson(2, (EVENTS, RINGS * ELEMENTS)).astype(np.float32)
    rings = [np.ascontiguousarray(part) for part in np.split(x, RINGS, axis=1)]
    which = np.arange(EVENTS)
    settled = Settled(which, which, {}, [x], which * 0, which)
    state, beside = SimpleNamespace(), []

    def add():
        state.worker = worker(tmp_path)
        start = time.perf_counter()
        for first in range(0, EVENTS, BLOCK):
            state.worker.enter(settled.at(slice(first, first + BLOCK)))
        if lags:
            sums = np.zeros((RINGS, EVENTS))
            for k in range(EVENTS):
                sums[:, : k + 1] += state.worker.matrices.products[:, k, k::-1]
        took = time.perf_counter() - start
        beside.append(plain(rings, 1 if lags else 2) / took)

    timed(benchmark, add, rounds=3, pairs=EVENTS * (EVENTS + 1) / 2 * x.shape[1])
    benchmark.extra_info["beside_ssyrk"] = float(np.median(beside))
