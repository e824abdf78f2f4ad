"""What ``--check`` expects of twelve jobs beside what then happens: ``python bench/plan.py [WORDS]``.

Each job is checked, then run, one after the other. Memory that the one before has given back comes fast for some
seconds, in virtual machines some twenty times as fast as any other: a pause lets all of them meet the same. The table
has the ratio of expected to measured: events per second, once all memory is in use, and seconds from start to end.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

BIN = Path(sys.executable).parent
ENV = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "HTTPS_PROXY": "http://127.0.0.1:1"}
PAUSE, LIMIT = 6.0, 120
CONFIG = """\
from parcorana import make_delay_list, make_multitau_delays
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed
system_params = {{"mask": "mask_{mask}.npy", "h5output": "out.h5", "overwrite": True}}
system_params |= dict({params})
user_params = dict(normalization="color", {user})
"""
G2 = "delays=make_delay_list(1, {0}, {1}), times={0} + 100, "
TAU = "delays=make_multitau_delays(768), times=64, "


# name: ranks, elements, dtype of HDF5 or None, files, parameters, user_params
JOBS = {
    "accumulator, 100 delays, 4 ranks": (
        4, 131072, "float32", 16, G2.format(1000, 100) + "update=512, user_class=G2IncrementalAccumulator",
        "save_arrays=False",
    ),
    "the same in one process": (
        1, 131072, "float32", 16, G2.format(1000, 100) + "update=512, user_class=G2IncrementalAccumulator",
        "save_arrays=False",
    ),
    "window of uint16, full arrays, 3 ranks": (
        3, 65536, "uint16", 24, G2.format(300, 30) + "update=1024, user_class=G2IncrementalWindowed", "",
    ),
    "at the end, one process": (
        1, 65536, "uint16", 24, G2.format(300, 30) + "update=1024, user_class=G2atEnd", "save_arrays=False",
    ),
    "accumulator of float64, 3 ranks": (
        3, 65536, "float32", 16,
        G2.format(300, 50) + "update=512, store_dtype='float64', user_class=G2IncrementalAccumulator",
        "save_arrays=False",
    ),
    "multi-tau, 4 ranks": (
        4, 131072, "uint16", 48, TAU + "update=2048, user_class=MultiTauG2", "save_arrays=False",
    ),
    "two times, 3 ranks": (3, 32768, "uint16", 16, TAU + "update=1024, user_class=TwoTime", ""),
    "photon statistics, 4 ranks": (
        4, 131072, "uint16", 48, TAU + "update=2048, user_class=PhotonStatistics", "",
    ),
    "three classes at once, 4 ranks": (
        4, 65536, "uint16", 24,
        "delays=make_multitau_delays(200), times=300, update=1024, "
        "user_class=[G2IncrementalAccumulator, MultiTauG2, PhotonStatistics]",
        "save_arrays=False",
    ),
    "1000 elements, one process": (
        1, 1000, "uint16", 40, G2.format(200, 20) + "update=32768, user_class=G2IncrementalAccumulator", "",
    ),
    "simulator, 3 ranks": (
        3, 32768, None, 0,
        'dataset="sim=brownian:shape=32768:events=3000", ' + G2.format(200, 20)
        + "update=512, user_class=G2IncrementalAccumulator",
        "save_arrays=False",
    ),
    "xtc2, 3 ranks": (
        3, 2 * 256 * 512, None, 0,
        'dataset="exp=tstx00126:run=7:dir=xtc", src="mydet", numevents=1024, block=128, '
        + G2.format(200, 20) + "update=256, user_class=G2IncrementalAccumulator",
        "save_arrays=False",
    ),
}  # fmt: skip


def make_files(folder, elements, dtype, files):
    """Write frames, and links to them."""
    name, frames = f"{dtype}_{elements}", 10_000 if elements <= 1000 else 256
    if not (folder / f"{name}_0.h5").exists():
        rng = np.random.default_rng(0)
        with h5py.File(folder / f"{name}_0.h5", "w") as file:
            file["frames"] = rng.poisson(1, (frames, elements)).astype(dtype)
    for k in range(1, files):
        if not (folder / f"{name}_{k}.h5").exists():
            with h5py.File(folder / f"{name}_{k}.h5", "w") as file:
                file["frames"] = h5py.ExternalLink(f"{name}_0.h5", "frames")


def make_xtc(folder):
    """Write a run of a jungfrau."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from xtc2 import write_run

    (folder / "xtc").mkdir()
    frames = np.random.default_rng(0).poisson(1, (1024, 2, 256, 512)).astype(np.uint16)
    write_run(folder / "xtc", frames, 10**18 + np.arange(len(frames)) * 8_333_333, streams=2, kind="jungfrau")
    np.save(folder / "mask_xtc.npy", np.ones(frames.shape[1:], np.int8))


def drive(folder, ranks, *args):
    """Run the command; return its seconds, what it prints and its log."""
    launcher = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    command = ["timeout", "-k", "5", str(LIMIT), *launcher, "parCorAnaDriver", "-c", "config.py", *args]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds, done.stdout, done.stderr


def expectation(text):
    """Return the events per second, the seconds and the bytes that a check has printed."""
    units = {"s": 1, "min": 60, "h": 3600, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    found = re.search(r"plan: about ([\d.,]+) events/s, ([\d.,]+) (\w+) from start to end", text)
    size = re.search(r"plan: the result has about ([\d.,]+) (\w+)", text)
    if not found or not size:
        sys.exit(f"no plan in\n{text}")
    rate, seconds, unit, nbytes, of = (each.replace(",", "") for each in (*found.groups(), *size.groups()))
    return float(rate), float(seconds) * units[unit], float(nbytes) * units[of]


def rate_in(log):
    """Return the events per second of the last two thirds of a run: by then all its memory has been in use."""
    found = re.findall(r"update at ([\d,]+) events: ([\d,]+) events/s since the last", log)
    updates = [[int(number.replace(",", "")) for number in each] for each in found]
    steps = [(at - before, rate) for (before, _), (at, rate) in pairwise(updates) if 3 * before >= updates[-1][0]]
    return sum(step for step, _ in steps) / sum(step / rate for step, rate in steps)


def main():
    """Print a table of all jobs whose names have all the words."""
    begin, worst = time.perf_counter(), []
    print("| job | expected events/s | measured | ratio | expected s | measured | ratio | size, ratio |")
    print("| --- |" + " ---: |" * 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for job, (ranks, elements, dtype, files, params, user) in JOBS.items():
            if not all(word in job for word in sys.argv[1:]):
                continue
            np.save(folder / f"mask_{elements}.npy", np.ones(elements, np.int8))
            if dtype:
                make_files(folder, elements, dtype, files)
                some = ",".join(f"{dtype}_{elements}_{k}.h5" for k in range(files))
                params = f'dataset="h5={some}", src="frames", {params}'
            elif "xtc" in job:
                make_xtc(folder)
            (folder / "config.py").write_text(
                CONFIG.format(mask="xtc" if "xtc" in job else elements, params=params, user=user)
            )
            if dtype:  # into the page cache
                (folder / f"{dtype}_{elements}_0.h5").read_bytes()
            time.sleep(PAUSE)
            rate, seconds, size = expectation(drive(folder, ranks, "--check")[1])
            time.sleep(PAUSE)
            took, _, log = drive(folder, ranks)
            measured, nbytes = rate_in(log), (folder / "out.h5").stat().st_size
            worst += [rate / measured, seconds / took]
            row = [f"{rate:,.0f}", f"{measured:,.0f}", f"{rate / measured:.2f}"]
            row += [f"{seconds:.1f}", f"{took:.1f}", f"{seconds / took:.2f}", f"{size / nbytes:.2f}"]
            print(f"| {job} | " + " | ".join(row) + " |", flush=True)
    ratios = np.array(worst)
    within = np.count_nonzero((ratios > 0.77) & (ratios < 1.3))
    print(f"\n{within} of {len(ratios)} ratios within 0.77 to 1.3; {time.perf_counter() - begin:.0f} s in all")


if __name__ == "__main__":
    main()
