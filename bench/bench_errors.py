"""What errors that can be believed cost: whole jobs with them, beside the same with those of pixels alone."""

import statistics

import numpy as np
import pytest
from bench_pipeline import MAIN, make_job
from bench_several import seconds_of

CONFIG = """\
from parcorana import make_delay_list, make_multitau_delays
from parcorana.multitau import MultiTauG2
from parcorana.userg2 import G2IncrementalAccumulator
system_params = dict(dataset="h5=frames_*.h5", src="frames", mask="mask.npy", update=512, {system},
    h5output="out.h5", overwrite=True)
user_params = dict(save_arrays=False, color="color.npy", finecolor="fine.npy", normalization="{normalization}",
    errors="{errors}")
"""
G2 = "delays=make_delay_list(1, 1000, 100), times=1100, user_class=G2IncrementalAccumulator"
MULTITAU = "delays=make_multitau_delays(768), times=16, user_class=MultiTauG2"
COLORS, SECTORS, ROUNDS = 16, 32, 5


@pytest.mark.parametrize("normalization", ["color", "finecolor", "pixel"])
@pytest.mark.parametrize("system", [G2, MULTITAU], ids=["G2", "multi-tau"])
def test_job_with_errors(benchmark, tmp_path, system, normalization):
    """Eight updates; a pair of jobs at a time, so that what else the machine does weighs on both."""
    make_job(tmp_path, **MAIN)
    rings = 1 + np.arange(MAIN["elements"]) * COLORS // MAIN["elements"]
    np.save(tmp_path / "color.npy", rings)
    np.save(tmp_path / "fine.npy", rings * SECTORS + np.arange(len(rings)) % SECTORS)
    ratios, processors = [], []

    def pair():
        one, other = (
            seconds_of(tmp_path, CONFIG.format(system=system, normalization=normalization, errors=errors))
            for errors in ("auto", "pixels")
        )
        ratios.append(one[0] / other[0])
        processors.append(one[1] / other[1])

    benchmark.pedantic(pair, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    benchmark.extra_info["beside_pixels"] = statistics.median(ratios[1:])
    benchmark.extra_info["processor_beside_pixels"] = statistics.median(processors[1:])
    low, _, high = statistics.quantiles(processors[1:])
    benchmark.extra_info["quartiles"] = [low, high]
