"""psana's own shared memory server, on files that the tests write, at the clients' pace: it drops nothing.

By itself it sends at a rate, and an event that finds no buffer free takes that of another. Asked to be interactive it
waits for a key after each datagram instead; the key comes when the clients have given all buffers back.

It has faults of its own that would make a test fail once in a thousand times:

- A client that connects while a transition is sent to another one may be told a wrong buffer, which is then lost. So
  after the first datagram it waits until all clients are there.
- Its threads may count a buffer twice as they start, which it says on standard error: then another one is started.
- Two servers that start at once may take the same port, and one that was killed leaves its own to the next: a client
  then speaks to the wrong one. So only one process at a time has servers.
"""

import contextlib
import ctypes
import fcntl
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

from effort import PATIENCE

from parcorana.events.psana2.queues import discovery, waiting

_PROMPT = b"--hit CR--"
_BUFFERS = 8  # more than ten the system does not allow
_TRIES = 5
_SETTLING = 0.05  # s in which the server's threads get their buffers


class _OneProcess:
    """A lock that one process at a time has, as often as it likes."""

    def __init__(self, path):
        self._path, self._times, self._file = path, 0, None

    def take(self):
        if not self._times:
            self._file = open(self._path, "w")  # noqa: SIM115
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._times += 1

    def leave(self):
        self._times -= 1
        if not self._times:
            self._file.close()


_SERVERS = _OneProcess(Path(tempfile.gettempdir()) / "parcorana-shmem-servers.lock")


class SharedMemory:
    """A server that sends one file.

    Parameters
    ----------
    path : path
        Of an xtc2 file.
    clients : int
    free : int
        Buffers that must be free before the next datagram is sent.
    hold : int or None
        Datagrams after which it waits until `go` is called.
    """

    def __init__(self, path, clients=1, free=_BUFFERS, hold=None):
        import psana

        self._free, self._hold, self._clients = free, hold, clients
        server = Path(psana.__file__).parents[1] / "bin" / "shmemServer"
        _SERVERS.take()
        for _ in range(_TRIES):
            self.name = f"parcorana{uuid.uuid4().hex[:12]}"
            # with a second between datagrams it always has the time to ask for a key
            options = ["-f", path, "-p", self.name, "-n", _BUFFERS, "-s", 1 << 20, "-c", clients, "-r", 1, "-i"]
            self._start([server, *options])
            if self._offers_itself():
                return
            self._end()
        _SERVERS.leave()
        raise AssertionError(f"no shared memory server in {_TRIES} tries")

    def _start(self, command):
        self._held, self._go, self._there = threading.Event(), threading.Event(), threading.Event()
        self._errors = b""
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", *map(str, command)],  # which becomes the server: what it prints comes at once
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # without a terminal it asks its standard input
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._pace, self._listen)]
        for thread in self._threads:
            thread.start()

    def _offers_itself(self, seconds=PATIENCE):
        limit = time.monotonic() + seconds
        while not self._errors and self.process.poll() is None and time.monotonic() < limit:
            if waiting(discovery(self.name)):
                time.sleep(_SETTLING)
                return not self._errors
            time.sleep(0.01)
        return False

    def wait_held(self, seconds=PATIENCE):
        """Wait until `hold` datagrams were sent."""
        assert self._held.wait(seconds)

    def go(self):
        """Go on after `hold`."""
        self._go.set()

    def signal(self, number):
        """Send a signal to the server."""
        self.process.send_signal(number)

    def close(self):
        """End the server; remove what it leaves behind."""
        self._end()
        _SERVERS.leave()

    def _end(self):
        self._go.set()
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        with contextlib.suppress(BrokenPipeError):  # a key that it did not read
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
        if self._errors:  # for whoever reads of a test that failed
            print(f"shmemServer {self.name}: {self._errors.decode(errors='replace')}")
        Path(f"/dev/shm/PdsMonitorSharedMemory_{self.name}").unlink(missing_ok=True)
        library = ctypes.CDLL(None)
        for queue in ("RequestQueue", "ShuffleQueue", "FromMonitorDiscovery"):
            library.mq_unlink(f"/Pds{queue}_{self.name}".encode())
        for k in range(_BUFFERS + 1):
            library.mq_unlink(f"/PdsToMonitorEvQueue_{self.name}_{k}".encode())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _listen(self):
        clients = 0
        for line in self.process.stdout:
            clients += line.startswith(b"Initialized client")
            if clients == self._clients:
                self._there.set()
        self._there.set()

    def _pace(self):
        sent = 0
        while self._asked():
            self._there.wait()
            sent += 1
            while self.process.poll() is None and (self._free_buffers() < self._free or not self._has_copied()):
                time.sleep(1e-4)
            if sent == self._hold:
                self._held.set()
                self._go.wait()
            with contextlib.suppress(BrokenPipeError):  # it was killed
                self.process.stdin.write(b"\n")
                self.process.stdin.flush()

    def _asked(self):
        """Wait until it asks for a key, and keep what else it says; False when it has ended."""
        said = b""
        while byte := self.process.stderr.read(1):
            said += byte
            if said.endswith(_PROMPT):
                self._errors += said.removesuffix(_PROMPT)
                return True
            if byte == b"\n":
                self._errors, said = self._errors + said, b""
        self._errors += said
        return False

    def _free_buffers(self):
        return waiting(f"/PdsRequestQueue_{self.name}")

    def _has_copied(self):
        """Tell whether the datagram is in the shared memory: it reads the next one over what it has not copied yet."""
        if waiting(f"/PdsShuffleQueue_{self.name}"):
            return False
        with contextlib.suppress(OSError):  # it was killed
            # the thread that copies now waits for the next one, as all do
            threads = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
            return all(thread.read_text().rpartition(")")[2].split()[0] == "S" for thread in threads)
        return True
