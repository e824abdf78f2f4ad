"""Frames a second of one server that counts photons, beside copying the same frames in memory.

Charge clouds as those of ePix and jungfrau, calibrated. Copies and counts take turns; what counts is their time on the
core, and the median of the ratios of neighbours.
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FRAMES, ROUNDS = 6, 15
SHAPES = {"epix": (1, 704, 768), "jungfrau": (2, 512, 1024)}


@pytest.fixture(scope="module")
def frames():
    """Return different frames of a detector, float32; 100 units are a photon."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from clouds import clouds

    made = {}

    def make(shape, rate):
        if (shape, rate) not in made:
            rng = np.random.default_rng(0)
            charge = np.stack([clouds(rng, shape, rate, 0.3, 0.04)[0] for _ in range(FRAMES)])
            made[shape, rate] = (100 * charge).astype(np.float32).reshape(FRAMES, -1)
        return made[shape, rate]

    return make


@pytest.mark.parametrize("method", ["threshold", "droplet"])
@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.parametrize("detector", SHAPES)
def test_photons(benchmark, frames, detector, rate, method):
    from parcorana.detector.photons import check_photons
    from parcorana.pipeline.photons import Photons

    shape = SHAPES[detector]
    photons = check_photons({"photon": 100, "method": method})
    server, charge = Photons(photons, np.ones(shape, bool), True, SimpleNamespace(at="")), frames(shape, rate)
    there, seconds = np.empty_like(charge), {"copy": [], "count": []}

    def timed(name, function):
        start = time.process_time()
        function()
        seconds[name].append(time.process_time() - start)

    benchmark.extra_info.update(events=FRAMES, bytes=charge.nbytes)
    benchmark.pedantic(
        lambda: timed("count", lambda: server.of(charge)),
        setup=lambda: timed("copy", lambda: np.copyto(there, charge)),
        rounds=ROUNDS, iterations=1, warmup_rounds=2,
    )  # fmt: skip
    copies = seconds["copy"][-ROUNDS:] or seconds["copy"]
    low, median, high = np.percentile(np.divide(copies, seconds["count"][-len(copies) :]), [25, 50, 75])
    rate = FRAMES / np.median(seconds["count"][-len(copies) :])
    benchmark.extra_info.update(frames_per_second=rate, beside_copy=float(median), quartiles=[float(low), float(high)])
