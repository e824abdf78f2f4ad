"""Ten thousand inputs for everything that parses, made by hypothesis or by chance, and as many more by atheris.

PYTHONPATH=tests python -m faults.fuzz TARGET NUMBER SEED    (one target, in this process)
"""

import importlib.util
import logging
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from conftest import Setup
from hypothesis import HealthCheck, Phase, given, seed, settings

from faults import checkpoints, parsers, stacks
from faults.frame import Row, expect

FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
MEMORY = 1 << 30


def targets(folder):
    """Return the targets that take what hypothesis makes: name -> (strategy, function)."""
    mask = folder / "right.npy"
    np.save(mask, np.ones((2, 3), np.int8))
    return {
        "npy": (parsers.npy_files(), partial(parsers.npy, str(folder / "input.npy"))),
        "dataset": (parsers.DATASETS, parsers.dataset),
        "times": (parsers.TIMES, parsers.times),
        "config": (parsers.CONFIGS, partial(parsers.dictionaries, str(mask))),
        "psana_config": (parsers.PSANA, parsers.psana_dictionaries),
        "config_file": (parsers.CONFIG_FILES, partial(parsers.config_file, str(folder / "input.py"))),
    }


def plain(function):
    """Return a function of the kind that hypothesis takes: not a partial one."""

    def call(case):
        function(case)

    return call


def drawn(name, number, start, folder):
    """Give a target so many inputs of hypothesis; return how many it took."""
    strategy, function = targets(folder)[name]
    counted = Counter()

    def one(case):
        counted["inputs"] += 1
        function(case)

    chosen = settings(
        max_examples=number,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    seed(start)(chosen(given(strategy)(one)))()
    return counted


def by_chance(name, number, start, folder):
    """Give a target so many HDF5 files, or checkpoints; return how often what became of them."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    change = {
        "stack": lambda rng: stacks.stack(rng, work),
        "result": lambda rng: stacks.result(rng, work, folder / "out.h5"),
        "checkpoint": lambda rng: checkpoints.checkpoint(rng, work, folder / "begun"),
    }[name]
    counted = Counter()
    for k in range(start * number, (start + 1) * number):
        rng = random.Random(f"{name} {k}")
        try:
            said = change(rng)
        except Exception as error:
            raise AssertionError(f"{name} number {k}: {error}") from error
        counted[said] += 1
    counted["inputs"] = number
    return counted


def campaign(name, number, start, folder):
    """Give a target so many inputs; return counts, among them 'inputs'; raise for the first that is wrong."""
    logging.getLogger("parcorana").setLevel("CRITICAL")  # warnings are for users
    before = os.getcwd()
    os.chdir(folder)  # names of files that inputs make up are looked for there
    try:
        make = by_chance if name in ("stack", "result", "checkpoint") else drawn
        return make(name, number, start, folder)
    finally:
        os.chdir(before)


def run_module(module, *args, cwd=None, env=()):
    """Run a module of this folder in a process of its own."""
    command = ["timeout", "-k", "5", "900", sys.executable, "-m", f"faults.{module}", *map(str, args)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | dict(env)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)


def in_process(name, number):
    """Return a row's function: a batch of inputs in a process of its own."""

    def provoke(trial):
        trial.compares = False
        if name == "result":
            trial.setup.write()
            job = trial.setup.drive()
            expect(job.returncode == 0, job.stderr)
        run = run_module("fuzz", name, number, trial.number, trial.folder, env={"PYTHONWARNINGS": "ignore"})
        expect(run.returncode == 0, f"exit status {run.returncode}: {run.stderr[-3000:]}")
        found = dict(word.rsplit("=", 1) for word in run.stdout.strip().splitlines()[-1].split("; "))
        trial.count(int(found["inputs"]))

    return provoke


def guided(name, number):
    """Return a row's function: inputs that atheris makes, guided by the lines of our parsers that they reach."""

    def provoke(trial):
        limits = "-max_len=2000", "-timeout=20", "-rss_limit_mb=2048"
        with tempfile.TemporaryDirectory(dir=FAST) as folder:
            seed = f"-seed={trial.number + 1}"
            run = run_module(
                "guided", name, f"-runs={number}", seed, *limits, f"-artifact_prefix={folder}/", cwd=folder
            )
        expect(run.returncode == 0, f"exit status {run.returncode}: {(run.stdout + run.stderr)[-3000:]}")
        expect(f"Done {number} runs" in run.stderr, f"it did not end: {run.stderr[-500:]}")
        trial.count(number)

    return provoke


def no_atheris():
    """Return why rows of atheris are left out, None if they are not."""
    return None if importlib.util.find_spec("atheris") else "atheris is not installed (it has no wheel for this Python)"


TITLE = (
    "Input that is right, wrong or damaged: read as NumPy, h5py and plain Python read it, or refused in one sentence; "
    "no crash, no hang, less than 1 GiB"
)
ROWS = [
    Row(f"{what}, by {how}", in_process(name, number), times=times)
    for name, what, how, number, times in (
        ("npy", ".npy files", "hypothesis", 500, 5),
        ("dataset", "dataset strings", "hypothesis", 1250, 2),
        ("times", "times of events", "hypothesis", 1000, 1),
        ("config", "dictionaries of a config", "hypothesis", 500, 3),
        ("psana_config", "dictionaries of psana_config", "hypothesis", 1000, 1),
        ("config_file", "config files", "hypothesis", 500, 1),
        ("stack", "HDF5 files of frames", "chance", 200, 4),
        ("result", "result files", "chance", 50, 4),
        ("checkpoint", "checkpoints", "chance", 100, 2),
    )
] + [
    Row(f"{what}, by atheris", guided(name, number), skip=no_atheris)
    for name, what, number in (
        ("npy", ".npy files", 10_000),
        ("dataset", "dataset strings", 20_000),
        ("times", "times of events", 10_000),
        ("config", "dictionaries of a config", 2_000),
    )
]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=FAST) as scratch:
        scratch = Path(scratch)
        if sys.argv[1] == "checkpoint":
            (scratch / "begun").mkdir()
            checkpoints.begin(Setup(scratch / "begun"))
        if len(sys.argv) > 4 and Path(sys.argv[4], "out.h5").exists():
            (scratch / "out.h5").write_bytes(Path(sys.argv[4], "out.h5").read_bytes())
        counts = campaign(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), scratch)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if used > MEMORY:
        raise SystemExit(f"it took {used >> 20} MiB")
    print("; ".join(f"{key}={value}" for key, value in counts.items()))
