"""A run with checkpoints is killed, stopped, or runs out of disk, and goes on with ``--resume``."""

import os
import signal
import subprocess
import time

import h5py
from conftest import Setup

from faults.frame import Row, expect

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""


def has_checkpoint(trial):
    return any(trial.folder.glob("out.h5.inprogress/checkpoint_*.json"))


def start(trial, *args, **kwargs):
    """Start a job on any number of servers and workers, here and in the job that goes on."""
    servers = trial.random.randint(1, 2)
    ranks = servers + 1 + trial.random.randint(1, 3)
    return trial.start("-s", str(servers), *args, ranks=ranks, **kwargs), ranks


def goes_on(trial):
    """Go on to the end; everything is as in an undisturbed run."""
    seconds = trial.record.seconds  # those of the fault
    job, _ = start(trial, "--resume", env={"SECONDS": "0"})
    job.strike()
    job.ends(within=60)
    trial.record.seconds = seconds
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    expect("resumed at" in job.log, f"it did not go on: {job.log}")
    expect(not (trial.folder / "out.h5.inprogress").exists(), "the folder of the run in progress is still there")
    with h5py.File(trial.folder / "out.h5") as one, h5py.File(trial.undisturbed()) as two:
        expect(set(one["user"]) == set(two["user"]), f"other updates: {set(one['user']) ^ set(two['user'])}")
        accounts = [dict(file["system/accounting"].attrs) for file in (one, two)]
        expect(accounts[0] == accounts[1], f"the accounting differs: {accounts}")
        expect(one["system"].attrs["complete"], "it is not complete")


def killed(base):
    """Kill any rank at any moment after the first checkpoint; in every second trial, once more after going on."""

    def provoke(trial):
        trial.write(base, PACED, checkpoint=trial.random.choice([20, 150]), block=16)
        for number in range(1 + trial.number % 2):
            job, ranks = start(trial, *(["--resume"] if number else []))
            job.wait_published()
            job.wait(lambda: has_checkpoint(trial), "there was a checkpoint")
            time.sleep(trial.random.uniform(0, 1.2) + number)
            job.strike(job.pid(trial.random.randrange(ranks)), signal.SIGKILL)
            job.ends(within=5)
            expect(job.status != 0, "exit status 0")
        goes_on(trial)

    return provoke


def stop(trial):
    """Stop it well by a signal, and go on."""
    trial.write("G2IncrementalAccumulator", PACED, checkpoint=100, block=16)
    job, _ = start(trial)
    job.wait_published(2)
    time.sleep(trial.random.uniform(0, 0.5))
    job.strike(job.launcher, signal.SIGTERM)
    job.ends(within=10, ended=lambda _: trial.processed())
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    expect("go on with --resume" in job.log, job.log)
    goes_on(trial)


def _cannot_mount():
    return None if os.geteuid() == 0 else "only root may mount a small disk"


def full_disk(trial):
    """Fill the disk once there is a checkpoint: the next one ends the run; with room again it goes on."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", trial.folder], check=True)
    try:
        trial.setup = Setup(trial.folder, events=60)
        trial.write("G2IncrementalWindowed", PACED, checkpoint=100, block=16, update=60, times=400)
        # the undisturbed run is that of other rows: it needs no room here
        job, _ = start(trial)
        job.wait(lambda: has_checkpoint(trial), "there was a checkpoint")
        job.strike()
        filler = trial.folder / "filler"
        try:
            with open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass
        job.fails(15, "No space left on device")
        expect("go on from its last checkpoint with --resume" in job.log, job.log)
        filler.unlink()
        goes_on(trial)
    finally:
        for job in trial.jobs:
            job.clear()
        subprocess.run(["umount", "-l", trial.folder], check=True)


TITLE = "A run with checkpoints goes on, on other ranks: the result is that of an undisturbed run"
ROWS = [
    *(
        Row(f"any rank gets SIGKILL, then `--resume`: {base}", killed(base), times=6, quick=base == "G2atEnd")
        for base in ("G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed")
    ),
    Row("SIGTERM to mpiexec, then `--resume`", stop, times=3, mpi=("mpich",)),
    Row("the disk is full at a checkpoint, then `--resume`", full_disk, times=1, skip=_cannot_mount),
]
