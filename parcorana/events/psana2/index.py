"""Finished runs of LCLS-II by time: ``exp=:run=:idx``."""

import os
from bisect import bisect_right
from itertools import chain

import numpy as np

from parcorana.errors import ConfigError, RunError, one_line
from parcorana.events.psana2 import files, library
from parcorana.events.psana2.event import PsanaEvent
from parcorana.events.psana2.geometry import detector_geometry
from parcorana.events.psana2.logbook import Logbook
from parcorana.events.psana2.reader import reading, run_name
from parcorana.events.psana2.values import NotANumber
from parcorana.events.psana2.wanted import Wanted


class Psana2Index:
    """Index mode: the events of finished runs in the order of their times.

    Every server makes the table of the times of all events from the small
    data, and reads its own events one by one, each where the table says. Two
    events of the same time are one event to psana.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'exp'.
    src, type_, share, log, psana_config, values
        As for `parcorana.events.psana2.sequential.Psana2Source`.

    Attributes
    ----------
    stamps : str
        'ns': events are stamped in nanoseconds since 1990, LCLS-II's epoch.
    total : int or None
        Events of the sequence; None with several runs.
    shape, dtype
        On server 0, of the first array in its first block; None elsewhere, and
        where that block has no array.
    about, typical_step, own_run : str, float, psana.psexp.run.Run
        Where the list of files is from; median time between events [s]; the first run.

    Raises
    ------
    ConfigError
        As for a sequential source; or a run without its end.
    RunError
        While events are read: a file is cut off, or a later run of a list
        cannot be opened.
    """

    stamps = "ns"

    def __init__(self, dataset, src, type_, share, log, psana_config=None, values=None):
        library.need_psana()
        self._dataset, self._share = dataset, share
        self._wanted = Wanted(src, type_, log if share.server == 0 else None, psana_config, values)
        self._logbook = Logbook(dataset)
        self.total = self.shape = self.dtype = None
        self.passed = 0
        for number in dataset.runs:
            files.check_run(dataset, number)
        self._runs = self._tables()
        first = next(self._runs)
        self._own, self.own_run = self._events(first), first.wanted.run
        self.about = self._logbook.about
        times = np.array([library.stamp_of(time) for time in first.times], np.int64)
        self.typical_step = float(np.median(np.diff(times))) * 1e-9 if len(times) > 1 else None
        if len(dataset.runs) == 1:
            self.total = min(len(times), share.numevents or len(times))
        if share.server == 0:
            try:
                self.shape, self.dtype = self._wanted.look_ahead(self._first_block(first))
            except BaseException:
                self.close()
                raise

    def blocks(self):
        """Return this server's blocks, each an iterable of `Event`, read as it is consumed."""
        return self._share.in_blocks(self._own)

    def geometry(self):
        """Return the `parcorana.detector.geometry.Geometry` that psana has for the detector, None if it has none."""
        return detector_geometry(self._wanted.interface, self.shape) if self.shape else None

    def close(self):
        """Close the files; may be called again."""
        self._own.close()
        self._runs.close()

    def _events(self, first):
        """Yield ``(index, Event)`` of this server's events, index counted over all runs."""
        base = 0
        for ordinal, table in enumerate(chain([first], library.later(self._runs))):
            self.passed = base + len(table.times)
            for index in range(base, self.passed):
                if self._share.has(index):
                    yield index, table.event(index - base, ordinal)
            base = self.passed
            if self._share.numevents and base >= self._share.numevents:
                return

    def _tables(self):
        for number in self._dataset.runs:
            name = run_name(self._dataset, number)
            with reading(self._dataset, self._logbook, number) as reader:
                run = next(library.guarded(reader.runs(), name, ConfigError), None)
                if run is None:
                    raise ConfigError(f"{name} is empty: it has no begin of run")
                yield _Table(name, reader, run, self._wanted.of_run(run, name))

    def _first_block(self, table):
        """Yield the events of this server's first block that can be read."""
        for k in range(*next(self._share.blocks(len(table.times)), (0, 0))):
            try:
                yield table.event(k, 0)
            except NotANumber:
                raise
            except RunError:  # told when the event is read in its turn
                pass


class _Table:
    """The times of one run, and its events by them.

    Attributes
    ----------
    times : list of int
        psana's timestamps, in order.
    """

    def __init__(self, name, reader, run, wanted):
        self._name, self._run, self.wanted = name, run, wanted
        # the times from which on a stream's data is in a file
        self._files = [([0], [str(path)]) for path in reader.xtc_files]
        try:
            run._smd_iter = self._noting_files(run)
            with run.build_table():
                self.times = sorted(run._ts_table)
        except Exception as error:  # whatever psana raises over a damaged file
            raise ConfigError(f"{name}: psana cannot make its index: {one_line(error)}") from error
        if not reader.smdr_man.smdr.found_endrun():
            raise ConfigError(
                f"{name} has no end of run: index mode needs the finished run; leave out 'idx' to read what is there, "
                "or add 'live' instead while it is being written"
            )

    def event(self, k, ordinal):
        """Read the event of the k-th time, `ordinal` being that of the run; RunError if a data file ends before it."""
        time = self.times[k]
        for stream, (offset, size) in self._run._ts_table[time].items():
            path = self._open_file(stream, time)
            if offset + size > os.fstat(int(self._run.dm.fds[stream])).st_size:
                # psana does not look, and makes an event of what lies in memory after the end
                raise RunError(f"{path} is cut off: it ends before event {k} of {self._name} does")
        return PsanaEvent(self._run.event(time), ordinal, k, self.wanted)

    def _noting_files(self, run):
        """Yield what psana makes its table of; note where a stream goes on in another file, which psana forgets."""
        from psana.psexp.smd_events import SmdEvents

        state, parameters = run.shared_state, run.dsparms
        small = SmdEvents(
            run.configs, run.dm, parameters.max_retries, parameters.use_smds, state, smdr_man=run.smdr_man
        )
        for datagrams in small:
            for (times, paths), path in zip(self._files, map(str, run.dm.xtc_files), strict=True):
                if path != paths[-1]:
                    times.append(next(one.timestamp() for one in datagrams if one is not None))
                    paths.append(path)
            run._handle_transition(datagrams)  # what is read once in a while; psana forgets it here, too
            yield datagrams

    def _open_file(self, stream, time):
        """Let psana read a stream where its data of that time is; return the file's path."""
        times, paths = self._files[stream]
        path, manager = paths[bisect_right(times, time) - 1], self._run.dm
        if str(manager.xtc_files[stream]) != path:
            before, manager.fds[stream] = manager.fds[stream], os.open(path, os.O_RDONLY)
            os.close(before)
            manager.xtc_files[stream] = path
        return path
