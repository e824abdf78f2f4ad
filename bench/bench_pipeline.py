"""Whole jobs under mpiexec, from HDF5 in the page cache to the result file."""

import os
import re
import statistics
import subprocess

import h5py
import numpy as np
import pytest
from conftest import BIN

CONFIG = """\
import parcorana
from parcorana import userg2
system_params = dict(dataset="h5=frames_*.h5", src="frames", mask="mask.npy", times={times}, update={update},
    delays=parcorana.make_delay_list(1, {largest}, {delays}), user_class=userg2.G2IncrementalAccumulator,
    h5output="out.h5", overwrite=True)
user_params = dict(save_arrays=False, normalization="color")
"""

# events = frames x files: one file under many names is a long run that fits into the page cache
MAIN = {"elements": 131072, "frames": 256, "files": 16, "largest": 1000, "delays": 100}
CSPAD = {"elements": 32 * 185 * 388, "frames": 16, "files": 256, "largest": 500, "delays": 100, "times": 600}
CSPAD["update"] = 544  # four of its blocks
SMALL = {"elements": 1000, "frames": 10_000, "files": 40, "largest": 200, "delays": 20}
JOBS = {
    "131072 elements, 100 delays": (MAIN, (0, 4)),
    "the same, 8 updates": (MAIN | {"update": 512}, (0, 4)),
    "1000 elements, 20 delays": (SMALL, (0, 4)),
    "full cspad, 100 delays to 500": (CSPAD, (3, 4)),
}


def make_job(folder, elements, frames, files, largest, delays, update=0, times=None):
    rng = np.random.default_rng(0)
    with h5py.File(folder / "frames_0.h5", "w") as file:
        data = file.create_dataset("frames", (frames, elements), np.float32)
        for k in range(frames):
            data[k] = rng.poisson(5, elements)
    for k in range(1, files):
        with h5py.File(folder / f"frames_{k}.h5", "w") as file:  # a second name of one file would be refused
            file["frames"] = h5py.ExternalLink("frames_0.h5", "frames")
    np.save(folder / "mask.npy", np.ones(elements, np.int8))
    text = CONFIG.format(times=times or largest + 100, update=update, largest=largest, delays=delays)
    (folder / "config.py").write_text(text, encoding="ascii")


@pytest.mark.parametrize(("job", "ranks"), [(job, ranks) for job, (_, of_job) in JOBS.items() for ranks in of_job])
def test_job(benchmark, tmp_path, job, ranks):
    facts = JOBS[job][0]
    make_job(tmp_path, **facts)
    command = ["timeout", "-k", "5", "900", *(["mpiexec", "-n", str(ranks)] if ranks else [])]
    command += ["parCorAnaDriver", "-c", "config.py"]
    env = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    rates = []

    def run():
        log = subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stderr
        found = re.findall(r"update at [\d,]+ events: ([\d,]+) events/s since the last", log)
        # the first ones fill the buffer and get its memory, the last one may be a part of a block
        rates.extend(int(rate.replace(",", "")) for rate in found[2:-1])

    events = facts["frames"] * facts["files"]
    benchmark.extra_info.update(pairs=events * facts["elements"] * facts["delays"], events=events)
    benchmark.extra_info["updates"] = events // facts["update"] if "update" in facts else 0
    benchmark.extra_info["g2_bytes"] = facts["elements"] * facts["delays"] * 8
    benchmark.pedantic(run, rounds=3 if facts["elements"] < 10**6 else 1, iterations=1)
    if rates:
        benchmark.extra_info["between_updates"] = statistics.median(rates)
