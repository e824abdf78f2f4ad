"""What a rank becomes when MPI has not started for too long: it tells which processes of the job are stopped.

A program of its own, without the package: the rank's interpreter is held by MPI.
"""

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

_TURN, _ELSEWHERE = 2.0, 1.5  # s from rank to rank; and on a host where nobody is stopped
_LOCAL = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")


def ranks_of(parent):
    """Return rank, process and state of all that a process has started: (int, int, str), by rank."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError, StopIteration):  # it may end meanwhile, or be somebody else's
            state, its_parent = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if path.name.isdigit() and int(its_parent) == parent:
                words = (word.partition(b"=") for word in (path / "environ").read_bytes().split(b"\0"))
                environ = {name.decode(errors="replace"): value for name, _, value in words}
                found.append((int(next(environ[name] for name in _RANKS if name in environ)), int(path.name), state))
    return sorted(found)


def turn_of(own, found):
    """Return how many processes of this host come before one's own in telling; of those found it is one.

    One that is just becoming this program has no environment for a moment, and is not
    found. So what the launcher says counts, too.
    """
    place = next((k for k, (_, pid, _) in enumerate(found) if pid == own), 0)
    local = next((int(value) for value in map(os.environ.get, _LOCAL) if value and value.isdecimal()), 0)
    return max(place, local) - sum(state in "tT" for _, _, state in found[:place])


def main():
    """Say who is stopped; of all that come to do so the first one ends the job."""
    found, host = ranks_of(os.getppid()), socket.gethostname()
    stopped = [f"rank {rank} on {host} (process {pid}) is stopped" for rank, pid, state in found if state in "tT"]
    time.sleep(_TURN * min(turn_of(os.getpid(), found), 5) + (0 if stopped else _ELSEWHERE))
    reason = "; ".join(stopped[:5]) or (
        f"none of the {len(found)} ranks on {host} is stopped: is another host down, the link to it, or a file system?"
    )
    text = f"parCorAnaDriver: not all ranks have started within {sys.argv[1]} s (--start-limit): {reason}\n"
    with suppress(OSError):
        os.write(2, text.encode(errors="replace"))
    time.sleep(0.2)  # mpiexec still has to read that line


if __name__ == "__main__":
    main()
    os._exit(1)
