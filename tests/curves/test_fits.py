"""Fits where there is no memory for them."""

import subprocess
import sys

import pytest
from effort import PATIENCE

HARDLY_ANY_MEMORY = """
import os, resource
from pathlib import Path
import numpy as np
from parcorana.curves.sums import Curve
from parcorana.fits import fit_curve

import scipy.optimize

delays = np.arange(1, 20)
ones = np.ones(len(delays), np.int64)
curve = Curve(1 + 0.5 * np.exp(-delays / 5), np.zeros(len(delays)), ones, ones)
limits = resource.getrlimit(resource.RLIMIT_AS)
used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (30 << 20), limits[1]))
try:
    fit_curve(delays, curve, "single")
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, limits)
    assert fit_curve(delays, curve, "single").ok
else:
    raise AssertionError("no MemoryError")
"""


def test_a_fit_without_memory_ends_at_once():
    """SciPy's linear algebra waits for memory for ever; in a process that has freed none."""
    pytest.importorskip("scipy.optimize")
    subprocess.run([sys.executable, "-c", HARDLY_ANY_MEMORY], check=True, timeout=PATIENCE)
