"""How fast bytes go: from rank to rank, into memory that is new, onto the disk of the result."""

import mmap
import os
import time
from contextlib import suppress

import numpy as np

from parcorana.pipeline import mpi
from parcorana.pipeline.transport import TAG_DATA, run_polling, wait

_PIECE = 8 << 20  # bytes of memory that is got at a time
_PATIENCE = 0.12  # s that it takes for that
_MESSAGES = 8 << 20  # bytes that a server sends
_ON_DISK = 4 << 20
_ROUNDS = 3


def seconds_of_new_memory(nbytes):
    """Return the seconds that a process needs to get so much memory, as it has not had before.

    What was in use a moment ago comes fast, and in virtual machines the rest may be slow. So it is got, piece by piece,
    as far as time allows; what is left is taken to be as slow as the slower ones of the last pieces.

    Parameters
    ----------
    nbytes : int
        No more than the process may have.
    """
    seconds, kept, start = [], [], time.perf_counter()
    try:
        for _ in range(nbytes // _PIECE + 1):
            began = time.perf_counter()
            kept.append(mmap.mmap(-1, _PIECE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            kept[-1].madvise(mmap.MADV_HUGEPAGE)  # as NumPy does for large arrays
            kept[-1][:: mmap.PAGESIZE] = bytes(_PIECE // mmap.PAGESIZE)
            now = time.perf_counter()
            seconds.append(now - began)
            if now - start > _PATIENCE:
                break
    finally:
        for memory in kept:
            memory.close()
    last = float(np.quantile(seconds[len(seconds) // 2 :], 0.75))
    return sum(seconds) * min(1.0, nbytes / (len(kept) * _PIECE)) + last * max(nbytes / _PIECE - len(kept), 0.0)


def seconds_of_messages(comm, roles):
    """Return the seconds for a byte that a server sends to all workers; all ranks call it, and send at once.

    Parameters
    ----------
    comm : communicator
    roles : parcorana.job.partition.Roles

    Returns
    -------
    float or None
        None of a rank that neither sends nor receives.
    """
    transport, role = mpi.MpiTransport(comm), roles.role_of(comm.rank)
    peers = {"server": roles.workers, "worker": roles.servers}.get(role, ())
    size = _MESSAGES // len(roles.workers)
    arrays = [np.ones(size, np.uint8) for _ in peers]
    begin = transport.send if role == "server" else transport.receive
    seconds = []
    for _ in range(_ROUNDS):  # the first one opens the ways
        start = time.perf_counter()
        run_polling(wait(*(begin(rank, TAG_DATA, array) for rank, array in zip(peers, arrays, strict=True))), transport)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / (size * len(roles.workers)) if role == "server" else None


def seconds_of_disk(folder):
    """Return the seconds that a file without name takes in a folder: until it is on the disk, and for each byte.

    Raises
    ------
    OSError
        Its file system knows no such files, or it cannot be written to.
    """
    file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        seconds, data = [], memoryview(np.random.default_rng(0).bytes(_ON_DISK))
        for part in (data[:4096], data):
            start, left = time.perf_counter(), part
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
            seconds.append(time.perf_counter() - start)
    finally:
        os.close(file)
    return seconds[0], max(seconds[1] - seconds[0], 0.0) / _ON_DISK


def age():
    """Return for how long this process has been there [s]; 0 where nobody says."""
    with suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)
    return 0.0
