"""Which mpiexec starts the jobs, and what it wants to be told."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
PATH = f"{BIN}:{os.environ['PATH']}"
# by the beginning of what `mpiexec --version` says: name, arguments, variables that number the ranks
KINDS = {
    "HYDRA": ("mpich", (), "PMI_RANK"),
    "mpiexec (Open MPI)": ("openmpi", ("--allow-run-as-root", "--oversubscribe"), "OMPI_COMM_WORLD_RANK"),
    "mpirun (Open MPI)": ("openmpi", ("--allow-run-as-root", "--oversubscribe"), "OMPI_COMM_WORLD_RANK"),
}
NAMES = {"mpich": "MPICH", "openmpi": "Open MPI"}


@dataclass(frozen=True)
class Launcher:
    """An mpiexec.

    Attributes
    ----------
    name : {'mpich', 'openmpi'}
    version : str
    mpiexec : str
        Its path.
    arguments : tuple of str
        That it always gets.
    rank_variable : str
        Of the environment of a rank: its number.
    """

    name: str
    version: str
    mpiexec: str
    arguments: tuple
    rank_variable: str

    def command(self, ranks, *command):
        """Return the command that starts another one with so many ranks; 0: without MPI."""
        start = [self.mpiexec, *self.arguments, "-n", ranks] if ranks else []
        return [str(part) for part in (*start, *command)]

    def __str__(self):
        return f"{NAMES[self.name]} {self.version}".strip()


def find(name=None, mpiexec=None):
    """Return the Launcher of this environment.

    Parameters
    ----------
    name : {'mpich', 'openmpi'}, optional
        Which one it must be.
    mpiexec : str, optional
        Its path; by default what stands beside this Python, or on the path.
    """
    mpiexec = mpiexec or shutil.which("mpiexec", path=PATH)
    if mpiexec is None:
        raise SystemExit("there is no mpiexec beside this Python nor on the path")
    said = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, check=True).stdout
    kind = next((kind for start, kind in KINDS.items() if said.startswith(start)), None)
    if kind is None or name not in (None, kind[0]):
        raise SystemExit(f"{mpiexec} is not {NAMES.get(name, 'a known MPI')}: {said.splitlines()[0]}")
    words = said.split()
    version = words[words.index("Version:") + 1] if "Version:" in words else words[3]
    return Launcher(kind[0], version, mpiexec, kind[1], kind[2])
