"""Events of LCLS-II from shared memory, as a monitoring node has them: ``shmem=NAME``."""

import faulthandler
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

from parcorana.errors import ConfigError, RunError
from parcorana.events.psana2 import files, library, queues
from parcorana.events.psana2.wanted import Wanted
from parcorana.events.source import Event, Lost

SERVER_SECONDS = 60
"""Longest wait for the shared memory server of this host."""

_RUN_SECONDS = 5.0  # longest wait for a run that is going on; one may begin later, too
_ROOM = 0.1
_CONNECTING = threading.Lock()
# psana's client leaves the process with umask 0: what it writes from then on would be open to all. This is what was.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


class Psana2Shared:
    """A client of the shared memory server on this host.

    The server gives each event to one client only, so several servers of a
    job share the events, and each reads another part. An event that comes
    while all the server's buffers are full is dropped there, before anybody
    counts it. After a run the next one is waited for; the events end only when
    the server goes away.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'shmem'.
    src, type_, share, log, psana_config
        As for `parcorana.events.psana2.sequential.Psana2Source`.

    Attributes
    ----------
    stamps, live, total, shape, dtype
        As `EventSource` says; the last three are not known.

    Raises
    ------
    ConfigError
        No server in `SERVER_SECONDS`; no such detector or field.
    RunError
        While events come: psana fails, or a later run lacks the detector.
    """

    stamps, live = "ns", True
    total = shape = dtype = None

    def __init__(self, dataset, src, type_, share, log, psana_config=None):
        library.need_psana()
        if dataset.streams:
            raise ConfigError(f"dataset {dataset.text!r}: shared memory of LCLS-II has no streams: leave out 'stream='")
        self._name = f"shared memory {dataset.name}"
        self._wanted = Wanted(src, type_, log if share.server == 0 else None, psana_config)
        self._log, self._ordinal = log, -1
        self._reader = _connected(dataset.name, share.block)
        self._memory = self._reader.dm
        try:
            self._run = self._field = None
            limit = time.monotonic() + _RUN_SECONDS
            while not self._begins() and time.monotonic() < limit:
                time.sleep(0.01)
        except BaseException:
            self.close()
            raise

    def events(self):
        """Yield the events as they come, None when there is none now; ends when the server goes away."""
        try:
            while True:
                gone = self._memory.gone  # before the last look at what waits
                if self._run is not None or self._begins():
                    yield from self._of_this_run()
                elif gone:
                    break
                if gone and self._run is not None:
                    break
                yield None
            lost = self._memory.lost
            yield from (Lost() for _ in range(lost))
            more = f"; {lost} events that waited in its memory are lost, and count as no_data" if lost else ""
            self._log(f"{self._name}: the server went away, which ends the run{more}")
        except ConfigError as error:
            raise RunError(str(error)) from error

    def close(self):
        """Disconnect; may be called again."""
        self._memory.stop()

    def _begins(self):
        """Tell whether a run has begun."""
        run = next(library.guarded(self._reader.runs(), self._name), None)
        if run is None:
            return False
        self._ordinal += 1
        self._field = self._wanted.field_of(run, f"run {run.runnum} in {self._name}")
        self._run = run
        return True

    def _of_this_run(self):
        """Yield what there is now of the run in progress."""
        for evt in library.guarded(self._run.events(), self._name):
            yield Event(self._ordinal, library.stamp_of(evt.timestamp), partial(self._field.fetch, evt), evt)
        if self._memory.last == files.END_RUN:
            self._run = None


def _connected(name, size):
    """Return psana's data source for a shared memory, with a client that leaves nothing out.

    psana's own keeps the newest event only: what comes while that one is
    worked on is dropped. It also waits for the server in a way that no signal
    ends, so it does that in a thread.
    """
    from psana.dgrammanager import DgramManager, dgSize
    from psana.psexp.shmem_ds import ShmemDataSource

    class Memory(DgramManager):
        def __init__(self, **options):
            self.last, self.gone, self.lost, self._stopped = None, False, 0, False
            self._waiting = queue.Queue(size)
            super().__init__(["shmem"], tag=name, **options)

        def _connect_shmem_cli(self, tag):
            with _CONNECTING:
                before = queues.inputs(name)
                view = super()._connect_shmem_cli(tag)
                self._events = queues.inputs(name) - before
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
            from psana.dgram import Dgram

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
            self._stopped = True

    class Reader(ShmemDataSource):
        def _setup_run(self):
            if self.runnum_list_index == len(self.runnum_list):
                return False
            self.dm = Memory(config_consumers=[self.dsparms])
            self.runnum_list_index += 1
            return True

    made = []

    def make():
        try:
            made.append(library.opened(Reader, f"shared memory {name}", {"shmem": name}))
        except BaseException as error:
            made.append(error)

    limit = time.monotonic() + SERVER_SECONDS
    nobody = ConfigError(
        f"dataset 'shmem={name}': no server of this shared memory answered on this host in {SERVER_SECONDS} s"
    )
    while not queues.waiting(queues.discovery(name)):
        if time.monotonic() > limit:
            raise nobody
        time.sleep(0.02)
    with _watched(name):
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
def _watched(name):
    """End this process, with one line, if psana's client does not connect.

    It holds Python's lock while it connects, for ever if the server was killed
    and left its queue, or is stopped: nothing of this process could say so.
    """
    line = (
        f"parCorAnaDriver: dataset 'shmem={name}': the server of this shared memory offers itself, but does not "
        f"answer in {SERVER_SECONDS} s: it was killed, or hangs; start it again"
    )
    command = [sys.executable, "-S", "-c", _WATCH, str(SERVER_SECONDS), line]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as watch, open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(SERVER_SECONDS + 1, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.umask(_UMASK)
            watch.stdin.close()
