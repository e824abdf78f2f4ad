"""The transport over MPI, and what has to be known before mpi4py may be imported."""

import logging
import os
import pickle
import re
import socket
import time
import warnings
from contextlib import nullcontext, suppress

import numpy as np

from parcorana.errors import ConfigError
from parcorana.pipeline.mover import Mover
from parcorana.pipeline.transport import PACED

log = logging.getLogger("parcorana")
_exit = os._exit  # user code cannot have put another one in its place yet
_loaded = []  # mpi4py.MPI, once it is
_SHARED = "/dev/shm"
_SHARED_BY_A_RANK = 5.5 * 2**20  # bytes, measured with MPICH 5.0
_HEAD_START = 0.5  # s of rank 0, to say that there is little room
# What the launchers tell each process: its rank, and the number of processes.
_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_TASKS = ("SLURM_STEP_NUM_TASKS",)  # PMIx tells no size: its launcher does; there may be one task, a shell
# Launchers by a variable that only they set, and libraries (as mpi4py names them) that cannot work with them.
_FOREIGN = {
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", ("MPICH", "Intel MPI", "MVAPICH", "MVAPICH2", "Cray MPICH")),
    "MPICH": ("MPI_LOCALNRANKS", ("Open MPI",)),
}


def _first(names):
    values = [os.environ[name] for name in names if name in os.environ]
    return int(values[0]) if values and values[0].isdigit() else None


def launched_size():
    """Return how many processes the launcher says it started; 1 without a launcher.

    MPI is not touched: a run in one process needs none, and a machine
    without any MPI library can do it.
    """
    size = _first(_SIZE)
    if size is None:
        return 1 if _first(_RANK) is None else _first(_TASKS) or 2
    return size


def world():
    """Import MPI and return a communicator of all ranks.

    Raises
    ------
    ConfigError
        mpi4py or the MPI library cannot be loaded, or belongs to another
        launcher than the one that started this process.
    """
    # One host needs no network: without this UCX opens ports on all interfaces.
    if "UCX_TLS" not in os.environ and _one_host():
        os.environ["UCX_TLS"] = "self,sm"
    try:
        import mpi4py

        # not before it is known whose library it is: within a foreign launcher MPI aborts, and says little
        mpi4py.rc(initialize=False, finalize=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "suspicious MPI execution environment", RuntimeWarning)
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"started by mpiexec, but mpi4py cannot load an MPI library ({error}): load the site's MPI module, "
            "or on one machine: pip install parcorana[mpich]"
        ) from None
    _loaded[:] = [MPI]
    vendor, name = MPI.get_vendor()[0], library()
    launcher = next((name for name, (variable, _) in _FOREIGN.items() if variable in os.environ), None)
    if launcher and vendor in _FOREIGN[launcher][1]:
        raise ConfigError(
            f"mpiexec is that of {launcher}, but the MPI library of mpi4py is {name}: use the mpiexec of that library"
        )
    _warn_of_little_room(vendor)
    if not MPI.Is_initialized():
        MPI.Init_thread()
    size = launched_size()
    if MPI.COMM_WORLD.size == 1 and size > 1:
        raise ConfigError(
            f"mpiexec started {size} processes, but each sees only itself: mpiexec and the MPI library of mpi4py "
            f"({name}) belong to different installations; use the mpiexec of that library"
        )
    comm = MPI.COMM_WORLD.Dup()  # messages that user code sends over COMM_WORLD are not taken for ours
    _unlink_shared_memory()
    return comm


def gather(comm, value):
    """Return the values of all ranks, on all ranks; while they come, sleep.

    A rank that waits inside MPI burns its core. Where there are more ranks
    than cores it keeps just those from coming that it waits for.
    """
    own = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = np.empty(comm.size, np.int64)
    _sleep_until_done(comm.Iallgather(np.array([own.size]), sizes))
    found = np.empty(sizes.sum(), np.uint8)
    _sleep_until_done(comm.Iallgatherv(own, [found, sizes]))
    return [pickle.loads(each) for each in np.split(found, np.cumsum(sizes)[:-1])]


def _sleep_until_done(request):
    while not request.Test():
        time.sleep(1e-3)


def library():
    """Return which MPI library this is."""
    from mpi4py import MPI

    return " ".join(re.split("[\n,\0]", MPI.Get_library_version())[0].split())


def _warn_of_little_room(vendor):
    """Say so if MPICH may find too little memory to share between ranks, for then it crashes without a word of it."""
    ranks, size = _first(("MPI_LOCALNRANKS",)), launched_size()
    if vendor != "MPICH" or not ranks or size < 2:
        return
    with suppress(OSError):
        stat = os.statvfs(_SHARED)
        free, needs = stat.f_bavail * stat.f_frsize, ranks * _SHARED_BY_A_RANK
        if free < needs and rank_of_environment():
            time.sleep(_HEAD_START)  # before any rank can crash, and take rank 0 along, that one has its say
        elif free < needs:
            log.warning(
                "%s has %.1f MiB free, and MPI takes about %.0f for %d ranks on a host: if the job crashes now, make "
                "room there (what killed jobs left, the --shm-size of a container)",
                _SHARED, free / 2**20, needs / 2**20, ranks,
            )  # fmt: skip


def _unlink_shared_memory():
    """Take away the name of the memory that MPICH's ranks share, now that all have it.

    The last one to end then frees it. MPICH itself removes it at a good end
    only: jobs that are killed or aborted would fill the memory of the host.
    """
    with suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for path in {line.split(maxsplit=5)[-1].strip() for line in maps if f"{_SHARED}/mpich_shm_" in line}:
            with suppress(FileNotFoundError):
                os.unlink(path)


def is_of_mpi(error):
    """Tell whether an error is one of MPI, as of a rank that is there no more."""
    return bool(_loaded) and isinstance(error, _loaded[0].Exception)


def abort(status):
    """End all ranks of the job, this one too, whatever user code has made of modules and of files that are open."""
    try:
        _loaded[0].COMM_WORLD.Abort(status)
    finally:
        _exit(status)


def _one_host():
    """Tell whether the launcher says that all processes are on this host."""
    local = _first(("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"))
    return local is not None and local == _first(_SIZE)


def rank_of_environment():
    """Return the rank that the launcher gave this process, 0 without one."""
    return _first(_RANK) or 0


class _MpiHandle:
    __slots__ = ("array", "count", "finished", "request", "transport")

    def __init__(self, transport, request, array):
        self.transport, self.request, self.array = transport, request, array
        self.count, self.finished = array.size, False

    def done(self):
        if not self.finished:
            status = self.transport.MPI.Status()
            self.finished = self.request.Test(status)
            if self.finished:
                self.transport.activity += 1
                received = status.Get_count(self.transport.MPI.BYTE)
                if received >= 0:
                    self.count = received // self.array.itemsize
        return self.finished


class MpiTransport:
    """`Transport` over the ranks of a communicator."""

    def __init__(self, comm):
        from mpi4py import MPI

        self.MPI, self.comm = MPI, comm
        self.rank, self.size, self.activity = comm.rank, comm.size, 0
        self._mover = None

    def _bytes(self, array):
        return [array.reshape(-1).view("u1"), self.MPI.BYTE]

    def send(self, dest, tag, array):
        """Begin to send."""
        begin = self.comm.Issend if tag in PACED else self.comm.Isend
        return _MpiHandle(self, begin(self._bytes(array), dest, tag), array)

    def receive(self, source, tag, array):
        """Begin to receive."""
        return _MpiHandle(self, self.comm.Irecv(self._bytes(array), source, tag), array)

    def meanwhile(self, handles):
        """Return a context in which these messages go on, by a thread where MPI lets another one call it."""
        if all(handle.finished for handle in handles) or self.MPI.Query_thread() < self.MPI.THREAD_SERIALIZED:
            return nullcontext()
        if self._mover is None:
            self._mover = Mover((self.MPI.Exception,))
        return self._mover.meanwhile(handles)

    def heard(self, tag, array):
        """Receive a message of any rank into `array` if one has come; tell whether."""
        status = self.MPI.Status()
        if not self.comm.Iprobe(self.MPI.ANY_SOURCE, tag, status):
            return False
        self.comm.Recv(self._bytes(array), status.source, tag)
        return True

    def leave(self, tag):
        """Generate until all ranks are here; drop what was sent with `tag` to a rank that had no more need of it."""
        request = self.comm.Ibarrier()
        while not request.Test():
            yield
        while self.heard(tag, np.zeros(1, np.int64)):
            pass


def hostname():
    """Return this host's name, as the role table shows it."""
    return socket.gethostname()
