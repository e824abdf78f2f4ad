"""What the kernels are compared with: the machine's limits, BLAS, and the plain NumPy loop."""

import numpy as np
from scipy.linalg import blas

from parcorana import make_delay_list

N, D = 131072, 100


def test_fma_peak(benchmark, timed, multiply_add):
    rounds = 20_000_000
    timed(benchmark, lambda: multiply_add(rounds), pairs=multiply_add(rounds))


def test_memory_bandwidth(benchmark, timed):
    array = np.ones(1 << 27, np.float32)
    timed(benchmark, array.max, bytes=array.nbytes)


def test_ssyrk_one_thread(benchmark, timed):
    """All lags of a colour's elements at once: more than G2 of each element is less than this."""
    rows, columns = 1512, 16384
    x = np.ones((rows, columns), np.float32, order="F")
    timed(benchmark, lambda: blas.ssyrk(1.0, x), pairs=rows * (rows + 1) / 2 * columns)


def test_numpy_loop(benchmark, timed):
    """Three float64 sums per event and delay, as one writes them first."""
    delays = make_delay_list(1, 1000, D)
    X = np.random.default_rng(0).poisson(5, (1001, N)).astype(np.float32)
    G2, IP, IF = (np.zeros((D, N)) for _ in range(3))

    def one_event():
        x = X[1000]
        for d, delay in enumerate(delays):
            past = X[1000 - delay]
            G2[d] += past * x
            IP[d] += past
            IF[d] += x

    timed(benchmark, one_event, pairs=N * D)
