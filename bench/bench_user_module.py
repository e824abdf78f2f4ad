"""The user class that `python -m parcorana new-module` writes, against its NumPy twin, the reference of its test."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from parcorana import make_delay_list
from parcorana.tools import newmodule

ROWS, ELEMENTS = 1100, 4096
DELAYS = make_delay_list(1, 1000, 50)
PAIRS = sum(ROWS - d for d in DELAYS) * ELEMENTS


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return the test module of a new project, built in place as it is."""
    folder = newmodule.make_module("bench_sums", tmp_path_factory.mktemp("user"))
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder, check=True)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("test_bench_sums")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def stored():
    """Return T and X of a full buffer that has wrapped."""
    X = np.random.default_rng(0).gamma(2, 5, (ROWS, ELEMENTS)).astype(np.float32)
    return np.roll(np.arange(ROWS), 400), X


def test_user_module_in_numpy(benchmark, timed, project, stored):
    T, X = stored  # one event contiguous, which suits NumPy
    timed(benchmark, lambda: project.reference(T, ROWS, X, DELAYS), rounds=5, pairs=PAIRS)


@pytest.mark.parametrize("threads", [1, 2])
def test_user_module_compiled(benchmark, timed, project, stored, threads):
    T, X = stored
    X = np.asfortranarray(X)
    user = project.worker(ELEMENTS, DELAYS, threads)
    timed(benchmark, lambda: user.workerCalc(T, ROWS, X), pairs=PAIRS)
