"""Whole jobs under mpiexec, from HDF5 in the page cache to the result file."""

import os
import subprocess

import h5py
import numpy as np
import pytest
from conftest import BIN

CONFIG = """\
import parcorana
from parcorana import userg2
system_params = dict(dataset="h5=frames.h5", src="frames", mask="mask.npy", times={times}, update={update},
    delays=parcorana.make_delay_list(1, {largest}, {delays}), user_class=userg2.G2IncrementalAccumulator,
    h5output="out.h5", overwrite=True)
user_params = dict(save_arrays=False, normalization="color")
"""

JOBS = {
    "131072 elements, 100 delays": {"elements": 131072, "events": 4096, "largest": 1000, "delays": 100},
    "the same, 8 updates": {"elements": 131072, "events": 4096, "largest": 1000, "delays": 100, "update": 512},
    "1000 elements, 20 delays": {"elements": 1000, "events": 100_000, "largest": 200, "delays": 20},
}


def make_job(folder, elements, events, largest, delays, update=0):
    rng = np.random.default_rng(0)
    some = rng.poisson(5, (64, elements)).astype(np.float32)
    with h5py.File(folder / "frames.h5", "w") as file:
        frames = file.create_dataset("frames", (events, elements), np.float32)
        for first in range(0, events, 64):
            frames[first : first + 64] = some[: min(64, events - first)]
    np.save(folder / "mask.npy", np.ones(elements, np.int8))
    text = CONFIG.format(times=largest + 100, update=update, largest=largest, delays=delays)
    (folder / "config.py").write_text(text, encoding="ascii")


@pytest.mark.parametrize("ranks", [0, 4])
@pytest.mark.parametrize("job", JOBS)
def test_job(benchmark, tmp_path, job, ranks):
    make_job(tmp_path, **JOBS[job])
    command = ["timeout", "-k", "5", "600", *(["mpiexec", "-n", str(ranks)] if ranks else [])]
    command += ["parCorAnaDriver", "-c", "config.py", "-v", "warning"]
    env = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def run():
        subprocess.run(command, cwd=tmp_path, env=env, check=True)

    facts = JOBS[job]
    pairs = facts["events"] * facts["elements"] * facts["delays"]
    benchmark.extra_info.update(pairs=pairs, events=facts["events"])
    benchmark.pedantic(run, rounds=3, iterations=1)
