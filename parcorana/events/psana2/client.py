"""A client of psana's shared memory that leaves nothing out, and that does not wait for ever.

psana is imported at once: import this after `library.need_psana`.
"""

import faulthandler
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

from psana.dgram import Dgram
from psana.dgrammanager import DgramManager, dgSize
from psana.psexp.shmem_ds import ShmemDataSource

from parcorana.errors import ConfigError
from parcorana.events.psana2 import files, library, queues

_ROOM = 0.1  # s between two looks whether nobody takes anything any more
_CONNECTING = threading.Lock()
# psana's client leaves the process with umask 0: what it writes from then on would be open to all. This is what was.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


class Memory(DgramManager):
    """Takes datagrams from a shared memory in a thread, and keeps those that wait to be worked on.

    psana's own keeps the newest event only: what comes while that one is
    worked on is dropped.

    Parameters
    ----------
    size : int
        Datagrams that may wait here; the next ones wait in the shared memory.
    **options
        Of psana's class; `tag` is the name of the shared memory.

    Attributes
    ----------
    last : int or None
        Transition of the newest datagram that was handed out.
    gone : bool
        Whether the server has gone away, and all that came from it waits here.
    lost : int
        Events that were left in the server's queues then.
    """

    def __init__(self, size, **options):
        self.last, self.gone, self.lost, self._stopped = None, False, 0, False
        self._waiting = queue.Queue(size)
        super().__init__(["shmem"], **options)

    def _connect_shmem_cli(self, tag):
        with _CONNECTING:
            before = queues.inputs(tag)
            view = super()._connect_shmem_cli(tag)
            self._events = queues.inputs(tag) - before
        return view

    def _shmem_reader(self):
        overtook = []  # an end of run that came before the last of its events, and what came after it
        while not self._stopped:
            view = self.shmem_cli.get(self.shmem_kwargs)
            if not view:
                break
            datagram = bytes(view[: dgSize(view)])
            self.shmem_cli.freeByIndex(self.shmem_kwargs["index"], self.shmem_kwargs["size"])
            transition, stamp = files.header(datagram)
            if overtook and transition == files.L1_ACCEPT and stamp < files.header(overtook[0])[1]:
                self._put(datagram)
            elif overtook or transition == files.END_RUN:
                overtook.append(datagram)
            else:
                self._put(datagram)
            if not self._unread():
                while overtook:
                    self._put(overtook.pop(0))
        # psana's client reads no events any more once the server has closed its side
        self.lost = self._unread()
        for datagram in overtook:
            self._put(datagram)
        self.gone = True

    def _unread(self):
        return sum(map(queues.waiting, self._events))

    def _put(self, datagram):
        while not self._stopped:
            try:
                return self._waiting.put(memoryview(datagram), timeout=_ROOM)
            except queue.Full:
                pass

    def __next__(self):
        while True:
            try:
                view = self._waiting.get_nowait()
            except queue.Empty:
                raise StopIteration from None
            datagram = Dgram(config=self.configs[-1], view=view)
            self.last = datagram.service()
            if self.last != files.CONFIGURE:
                return [datagram]
            self.set_configs([Dgram(view=view)])

    def stop(self):
        """Let the thread that reads come to its end."""
        self._stopped = True


class Reader(ShmemDataSource):
    """psana's data source for a shared memory, by `Memory`; `size` is as there."""

    def __init__(self, size, **options):
        self._size = size
        super().__init__(**options)

    def _setup_run(self):
        if self.runnum_list_index == len(self.runnum_list):
            return False
        self.dm = Memory(self._size, tag=self.tag, config_consumers=[self.dsparms])
        self.runnum_list_index += 1
        return True


def connected(name, size, seconds):
    """Connect to the server of a shared memory on this host.

    psana waits for the server in a way that no signal ends, so it does that in
    a thread.

    Parameters
    ----------
    name : str
    size : int
        Datagrams that may wait in this process.
    seconds : float [s]
        How long to wait for the server.

    Returns
    -------
    Reader

    Raises
    ------
    ConfigError
        There is no server, or psana cannot read what it has. Where a server
        offers itself and then does not answer, the process ends.
    """
    made = []

    def make():
        try:
            made.append(library.opened(Reader, f"shared memory {name}", {"shmem": name, "size": size}))
        except BaseException as error:
            made.append(error)

    limit = time.monotonic() + seconds
    nobody = ConfigError(
        f"dataset 'shmem={name}': no server of this shared memory answered on this host in {seconds} s"
    )
    while not queues.waiting(queues.discovery(name)):
        if time.monotonic() > limit:
            raise nobody
        time.sleep(0.02)
    with _watched(name, seconds):
        thread = threading.Thread(target=make, daemon=True)
        thread.start()
        while not made and time.monotonic() < limit + 1:
            time.sleep(0.02)
    if not made:
        raise nobody
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]


_WATCH = """
import select, sys
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[2], file=sys.stderr)
"""


@contextmanager
def _watched(name, seconds):
    """End this process, with one line, if psana's client does not connect.

    It holds Python's lock while it connects, for ever if the server was killed
    and left its queue, or is stopped: nothing of this process could say so.
    """
    line = (
        f"parCorAnaDriver: dataset 'shmem={name}': the server of this shared memory offers itself, but does not "
        f"answer in {seconds} s: it was killed, or hangs; start it again"
    )
    command = [sys.executable, "-S", "-c", _WATCH, str(seconds), line]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as watch, open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds + 1, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.umask(_UMASK)
            watch.stdin.close()
