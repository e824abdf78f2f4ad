"""What depends on whose MPI it is: the whole job, SIGTERM to mpiexec, an mpiexec of another MPI."""

import importlib.metadata
import signal
import sys
from functools import cache
from pathlib import Path

from faults.frame import Row, expect
from faults.launchers import BIN, find

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""


def whole_job(trial):
    trial.write(numservers=2, user={"color": "color.npy", "save_arrays": True})
    job = trial.start(ranks=5)
    job.ends(within=60)
    trial.record.seconds = None
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    expect((trial.folder / "out.h5").exists(), job.log)


def terminate(trial):
    """Open MPI kills the ranks a moment after it has passed SIGTERM on."""
    trial.write(body=PACED)
    job = trial.start()
    job.wait_published(2)
    job.strike(job.launcher, signal.SIGTERM)
    job.ends(within=5, ended=lambda _: trial.processed() if (trial.folder / "out.h5").exists() else None)


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
    "Whose MPI it is: the job and its result are the same; Open MPI's mpiexec kills the ranks at SIGTERM, and "
    "what was published is kept; the mpiexec of another MPI is refused, exit status 2"
)
ROWS = [
    Row("5 ranks, two servers: the result is that of one process", whole_job, times=2, quick=1),
    Row("mpiexec of Open MPI gets SIGTERM", terminate, times=4, quick=1, mpi=("openmpi",)),
    Row("started by the mpiexec of another MPI", foreign, skip=no_other),
]
