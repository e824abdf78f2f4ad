"""The disk is full, or the folder of the output goes."""

import os
import shutil
import subprocess

from faults.frame import Row, expect
from faults.silent import PACED


def no_tmpfs():
    return None if os.geteuid() == 0 else "needs root, for a small tmpfs"


def be_full(trial):
    full = trial.folder / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={trial.random.randrange(500, 1500)}k", "tmpfs", full]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    try:
        trial.write(body="    pass", h5output="full/out.h5", block=16)
        trial.output = full / "out.h5"
        job = trial.start(env={"SECONDS": "0"})
        job.wait(lambda: _free(full) < 200_000 or job.process.poll() is not None, "the disk was full")
        job.strike()
        job.fails(5, "No space left on device")
        expect(job.published(), f"nothing was published: {job.log}")
    finally:
        for each in trial.jobs:
            each.clear()
        subprocess.run(["umount", "-l", full], check=True)


def _free(path):
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_bsize


def lose_folder(trial):
    """What was published goes with it; the run must say so and end."""
    trial.write(body=PACED, h5output="there/out.h5", block=16)
    (trial.folder / "there").mkdir()
    trial.output = trial.folder / "there/out.h5"
    job = trial.start()
    job.wait_published(2)
    trial.output = trial.folder / "elsewhere/out.h5"
    os.rename(trial.folder / "there", trial.folder / "elsewhere")
    job.strike()
    job.fails(5, "cannot publish the update", "No such file or directory")
    expect(job.published(), "what was published has gone")
    shutil.rmtree(trial.folder / "elsewhere")


TITLE = "Nothing can be written any more: exit status 1 within 5 s, one line with the system's reason"
ROWS = [
    Row("the disk is full", be_full, times=6, skip=no_tmpfs),
    Row("the output folder is moved away", lose_folder, times=2),
]
