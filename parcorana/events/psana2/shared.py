"""Events of LCLS-II from shared memory, as a monitoring node has them: ``shmem=NAME``."""

import time

from parcorana.errors import ConfigError, RunError
from parcorana.events.protocol import Lost
from parcorana.events.psana2 import files, library
from parcorana.events.psana2.event import PsanaEvent
from parcorana.events.psana2.wanted import Wanted

SERVER_SECONDS = 60
"""Longest wait for the shared memory server of this host."""

_RUN_SECONDS = 5.0  # longest wait for a run that is going on; one may begin later, too


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
    src, type_, share, log, psana_config, values
        As for `parcorana.events.psana2.sequential.Psana2Source`.

    Attributes
    ----------
    stamps, live, total, shape, dtype, own_run
        As `EventSource` says; total, shape and dtype are not known.

    Raises
    ------
    ConfigError
        No server in `SERVER_SECONDS`; no such detector or field.
    RunError
        While events come: psana fails, or a later run lacks the detector.
    """

    stamps, live = "ns", True
    total = shape = dtype = None

    def __init__(self, dataset, src, type_, share, log, psana_config=None, values=None):
        library.need_psana()
        if dataset.streams:
            raise ConfigError(f"dataset {dataset.text!r}: shared memory of LCLS-II has no streams: leave out 'stream='")
        self._name = f"shared memory {dataset.name}"
        self._wanted = Wanted(src, type_, log if share.server == 0 else None, psana_config, values)
        self._log, self._ordinal = log, -1
        from parcorana.events.psana2.client import connected

        self._reader = connected(dataset.name, share.block, SERVER_SECONDS)
        self._memory = self._reader.dm
        try:
            self._run = self._of_run = self.own_run = None
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
        self._of_run, self._index = self._wanted.of_run(run, f"run {run.runnum} in {self._name}"), -1
        self._run = self.own_run = run
        return True

    def _of_this_run(self):
        """Yield what there is now of the run in progress."""
        for evt in library.guarded(self._run.events(), self._name):
            self._index += 1
            yield PsanaEvent(evt, self._ordinal, self._index, self._of_run)
        if self._memory.last == files.END_RUN:
            self._run = None
