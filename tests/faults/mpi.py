"""What depends on whose MPI it is: the whole job, signals to mpiexec, an mpiexec of another MPI."""

import importlib.metadata
import signal
import sys
from functools import cache
from pathlib import Path

import h5py

from faults.frame import Row, expect
from faults.launchers import BIN, find

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""
RAISES = """\
    def {name}(self, *args):
        if "FAIL" in os.environ and {when}:
            raise ValueError("on purpose")
        return True if {name!r} == "eventOk" else super().{name}(*args)
"""


def whole_job(trial):
    trial.write(numservers=2, user={"color": "color.npy", "save_arrays": True})
    job = trial.start(ranks=5)
    job.ends(within=60)
    trial.record.seconds = None
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    expect((trial.folder / "out.h5").exists(), job.log)


def fail(name, when):
    def provoke(trial):
        trial.write(body=RAISES.format(name=name, when=when))
        job = trial.start(env={"FAIL": "1", "SECONDS": "0"})
        job.fails(20, f"Mine.{name}", "on purpose")
        trial.record.seconds = None  # it is not known from outside when it was raised

    return provoke


def ask(trial):
    """Ask it to stop, by --stop from another shell."""
    trial.write(body=PACED)
    job = trial.start()
    job.wait_published(2)
    job.strike()
    asked = trial.start("--stop", "out.h5", ranks=0, command=("parCorAnaDriver",))
    expect(asked.process.wait() == 0, asked.log)
    job.ends(within=10, ended=lambda _: last_of(trial))
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    with h5py.File(trial.folder / "out.h5") as file:
        expect(file["system"].attrs["ended_by"] == "stopped by --stop", "ended_by")


def last_of(trial):
    with h5py.File(trial.folder / "out.h5") as file:
        return int(file["system/accounting"].attrs["processed"])


def terminate(trial):
    """Open MPI kills the ranks a moment after it has passed SIGTERM on."""
    trial.write(body=PACED)
    job = trial.start()
    job.wait_published(2)
    job.strike(job.launcher, signal.SIGTERM)
    job.ends(within=5, ended=lambda _: last_of(trial) if (trial.folder / "out.h5").exists() else None)


def kill_mpiexec(trial):
    """Its ranks see that they have lost their parent; Open MPI's would go on for ever."""
    trial.write(body=PACED)
    job = trial.start()
    job.wait_published(2)
    job.strike(job.launcher, signal.SIGKILL)
    job.ends(within=10, grace=10)


@cache
def other():
    """Return the folder of the commands of an environment with the other MPI, None if there is none."""
    if not str(BIN).endswith("-openmpi/bin"):
        found = Path(f"{BIN.parent}-openmpi/bin")
        return found if (found / "mpiexec").exists() else None
    try:  # this one borrows its packages from the other one
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(file.locate()).resolve().parent for file in files if file.name == "mpiexec"), None)


def foreign(trial):
    """The ranks of this environment are started by the mpiexec of the other one."""
    trial.write()
    launcher = find(mpiexec=str(other() / "mpiexec"))
    command = launcher.command(3, sys.executable, BIN / "parCorAnaDriver", "-c", "config.py")
    job = trial.start(ranks=0, command=command)
    job.ends(within=30)
    trial.record.seconds = None
    expect(job.status == 2, f"exit status {job.status}: {job.log}")
    job.says("mpiexec is that of ", "but the MPI library of mpi4py is ", "use the mpiexec of that library")
    expect(not list(trial.folder.glob("out.h5*")), "it began a result")


def no_other():
    return None if other() else "there is no environment with another MPI: make .venv-openmpi/made"


TITLE = (
    "Whose MPI it is: the job and its result are the same; exceptions end it with exit status 1; `--stop` ends it "
    "well; Open MPI's mpiexec kills the ranks at SIGTERM; no rank outlives mpiexec by 10 s; the mpiexec of another MPI "
    "is refused, exit status 2"
)
ROWS = [
    Row("5 ranks, two servers: the result is that of one process", whole_job, times=2),
    Row("`eventOk` raises", fail("eventOk", "args[0].stamp == 220")),
    Row("`workerCalc` raises on one worker", fail("workerCalc", "not self.mpiParams.firstWorker"), times=2),
    Row("`viewerPublishReduced` raises", fail("viewerPublishReduced", "self.mpiParams.processed == 100")),
    Row("`--stop`", ask, times=2),
    Row("mpiexec of Open MPI gets SIGTERM", terminate, times=4, mpi=("openmpi",)),
    Row("mpiexec gets SIGKILL", kill_mpiexec, times=3),
    Row("started by the mpiexec of another MPI", foreign, skip=no_other),
]
