"""Whole jobs of other calculations than G2, each alone and several at once, from HDF5 in the page cache."""

import os
import resource
import statistics
import subprocess
import time

import numpy as np
import pytest
from bench_pipeline import MAIN, make_job
from conftest import BIN

CONFIG = """\
from parcorana import make_multitau_delays
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2IncrementalAccumulator
system_params = dict(dataset="h5=frames_*.h5", src="frames", mask="mask.npy", times={times},
    delays=make_multitau_delays(768), user_class=[{classes}], h5output="out.h5", overwrite=True)
user_params = dict(save_arrays=False, normalization="color")
"""
G2, MULTITAU, TWO_TIME, PHOTONS = "G2IncrementalAccumulator", "MultiTauG2", "TwoTime", "PhotonStatistics"
RANKS, ROUNDS = 4, 3


def run(folder, times, *classes):
    """Run a job of these classes; return as `seconds_of`."""
    return seconds_of(folder, CONFIG.format(times=times, classes=", ".join(classes)))


def seconds_of(folder, text):
    """Run the job of a config; return its seconds and those of the processor, which others change less."""
    (folder / "config.py").write_text(text, encoding="ascii")
    command = ["timeout", "-k", "5", "900", "mpiexec", "-n", str(RANKS), "parCorAnaDriver", "-c", "config.py"]
    start, env = time.perf_counter(), os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return np.array([time.perf_counter() - start, processor])


@pytest.mark.parametrize(
    ("what", "times"),
    [(MULTITAU, 1), (MULTITAU, 4), (TWO_TIME, 1), (PHOTONS, 1)],
    ids=[MULTITAU, f"{MULTITAU}, four times as long", TWO_TIME, PHOTONS],
)
def test_job_of(benchmark, tmp_path, what, times):
    """Pairs per second are element-events per second here; in a longer job start and end weigh less."""
    make_job(tmp_path, **MAIN | {"files": times * MAIN["files"]})
    events = times * MAIN["frames"] * MAIN["files"]
    benchmark.extra_info.update(pairs=events * MAIN["elements"], events=events)
    found = []
    benchmark.pedantic(lambda: found.append(run(tmp_path, 16, what)), rounds=ROUNDS, iterations=1)
    benchmark.extra_info["processor"] = statistics.median(seconds[1] for seconds in found)


def test_several_at_once(benchmark, tmp_path):
    """The same buffer of 900 events for all, since the accumulator needs it."""
    make_job(tmp_path, **MAIN)
    classes, ratios = (G2, MULTITAU, TWO_TIME, PHOTONS), []
    together = []

    def all_at_once():
        alone = sum(run(tmp_path, 900, each) for each in classes)
        together.append(run(tmp_path, 900, *classes))
        ratios.append(together[-1] / alone)

    benchmark.pedantic(all_at_once, rounds=ROUNDS, iterations=1)
    seconds, processor = np.median(together, axis=0)
    ratio, of_processor = np.median(ratios, axis=0)
    benchmark.extra_info.update(beside_alone=ratio, together=seconds)
    benchmark.extra_info.update(processor_beside_alone=of_processor, processor=processor)
