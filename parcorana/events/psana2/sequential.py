"""Finished runs of LCLS-II in their own order: ``exp=:run=:dir=`` and ``file=``."""

import os
from contextlib import closing
from itertools import chain, islice

from parcorana.errors import ConfigError, RunError
from parcorana.events.psana2 import files, library
from parcorana.events.psana2.event import PsanaEvent
from parcorana.events.psana2.geometry import detector_geometry
from parcorana.events.psana2.logbook import Logbook
from parcorana.events.psana2.picker import Picker
from parcorana.events.psana2.reader import reading, run_name
from parcorana.events.psana2.wanted import Wanted


class Psana2Source:
    """Finished runs of LCLS-II: ``exp=:run=:dir=`` or ``file=``.

    Every server opens the runs itself and reads the small data of all events;
    the detectors' data, with ``exp=``, only of its own events. A file given by
    ``file=`` has no small data: it is read through by every server.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'exp' or 'file'.
    src : str
        Detector name.
    type_ : str or None
        Field of the detector: ``'raw'`` (default), ``'calib'``, any other, or
        ``'fex.energy'`` for a field of a certain interface.
    share : parcorana.events.protocol.Share
        Which events to read.
    log : callable
        Takes one line of text for the user.
    psana_config : dict or None
        Of `parcorana.make_psana_config`.
    values : dict of str to str, optional
        Where the values of each event are.

    Attributes
    ----------
    stamps : str
        'ns': events are stamped in nanoseconds since 1990, LCLS-II's epoch.
    total : None
        psana does not tell the number of events beforehand.
    shape, dtype
        On server 0, of the first array in its first block; None elsewhere, and
        where that block has no array.
    about : str or None
        Where the list of files is from.
    own_run : psana.psexp.run.Run
        The first run.

    Raises
    ------
    ConfigError
        No psana of LCLS-II, no such folder, file, run, detector or field.
    RunError
        While events are read: a file is damaged or ends too early, or a later
        run of a list lacks the detector.
    """

    stamps = "ns"

    def __init__(self, dataset, src, type_, share, log, psana_config=None, values=None):
        library.need_psana()
        self.total = self.shape = self.dtype = None
        self._dataset, self._share = dataset, share
        self._wanted = Wanted(src, type_, log if share.server == 0 else None, psana_config, values)
        self._logbook = Logbook(dataset)
        self._picker = Picker(share)
        self._runs = self._exp_runs() if dataset.kind == "exp" else self._file_runs()
        first = next(self._runs)
        self._own, self.own_run = self._events(first), first.wanted.run
        self._stream = self._own
        self.about = self._logbook.about or None
        if share.server == 0:
            try:
                self._look_ahead()
            except BaseException:
                self.close()
                raise

    @property
    def passed(self):
        """Events of the sequence that were gone through so far."""
        return self._picker.next

    def blocks(self):
        """Return this server's blocks, each an iterable of `Event`, read as it is consumed."""
        return self._share.in_blocks(self._stream)

    def geometry(self):
        """Return the `parcorana.detector.geometry.Geometry` that psana has for the detector, None if it has none."""
        return detector_geometry(self._wanted.interface, self.shape) if self.shape else None

    def close(self):
        """Close the files; may be called again."""
        self._stream = iter(())
        self._own.close()
        self._runs.close()

    def _look_ahead(self):
        """Learn shape and dtype from this server's first block; the events looked at are kept."""
        held = []

        def keep():
            for item in islice(self._own, self._share.block):
                held.append(item)
                yield item[1]

        self.shape, self.dtype = self._wanted.look_ahead(keep())
        self._stream = chain(held, self._own)

    def _events(self, first):
        """Yield ``(index, Event)`` of this server's events, index counted over all runs."""
        last = self._picker.last
        if last is not None and last < 0:
            return
        for ordinal, run in enumerate(chain([first], library.later(self._runs))):
            base = self._picker.next
            for index, evt in self._read(run):
                yield index, PsanaEvent(evt, ordinal, index - base, run.wanted)
                if index == last:
                    return

    def _read(self, run):
        """Yield ``(index, psana event)``, and make sure that psana left none out.

        Where a file is cut off psana skips events, or stops, as if the run had
        no more of them.
        """
        picked = self._picker.picked
        for evt in library.guarded(run.events(), run.name):
            if not picked or picked[0][1] != evt.timestamp:
                raise self._left_out(run)
            yield picked.popleft()[0], evt
        if picked:
            raise self._left_out(run)
        if self._picker.cut:
            raise RunError(self._picker.cut)
        if not run.ended():
            raise RunError(
                f"{run.name} stops after {self._picker.next} events without an end of run: "
                "a file is cut off, or the run was never finished"
            )

    def _left_out(self, run):
        index = self._picker.picked[0][0] if self._picker.picked else self._picker.next
        return RunError(f"{run.name}: psana leaves out event {index}: a file is damaged or cut off")

    def _exp_runs(self):
        dataset = self._dataset
        for number in dataset.runs:
            files.check_run(dataset, number)
        for number in dataset.runs:
            with reading(
                dataset, self._logbook, number, smd_callback=self._picker, batch_size=self._share.block
            ) as reader:
                self._picker.limits = [(str(path), files.size_limit(path)) for path in reader.xtc_files]
                yield from self._runs_of(_SmallDataRun, reader, reader.runs(), run_name(dataset, number))

    def _file_runs(self):
        from psana.psexp.singlefile_ds import SingleFileDataSource

        path = self._dataset.name
        files.check_file(self._dataset, path)
        reader = library.opened(SingleFileDataSource, path, {"files": [path]})
        with closing(reader.dm):
            yield from self._runs_of(_FileRun, reader, _runs_in_file(reader, path), path)

    def _runs_of(self, kind, reader, runs, name):
        empty = True
        for run in library.guarded(runs, name, ConfigError):
            empty = False
            yield kind(name, reader, run, self._wanted.of_run(run, name), self._picker)
        if empty:
            raise ConfigError(f"{name} is empty: it has no begin of run")


class _SmallDataRun:
    """One run that psana reads by its small data, foreign events left out by `Picker`."""

    def __init__(self, name, reader, run, wanted, picker):
        self.name, self.wanted = name, wanted
        self._reader, self._run = reader, run

    def events(self):
        return self._run.events()

    def ended(self):
        return bool(self._reader.smdr_man.smdr.found_endrun())


class _FileRun:
    """One run in a file without small data."""

    def __init__(self, name, reader, run, wanted, picker):
        self.name, self.wanted = name, wanted
        self._fd, self._run, self._picker = int(reader.dm.fds[0]), run, picker
        self._position = os.lseek(self._fd, 0, os.SEEK_CUR)

    def events(self):
        for evt in self._picker(self._run):
            self._position = os.lseek(self._fd, 0, os.SEEK_CUR)
            yield evt

    def ended(self):
        # psana makes up an end of run where a file lacks one, so the file itself has to be asked.
        with open(self.name, "rb") as file:
            offset = self._position
            while datagram := files.datagram(file, offset):
                transition, length = datagram
                offset += length
                if transition == files.END_RUN:
                    return True
        return False


def _runs_in_file(reader, path):
    # psana prints a line when it is asked for a run at the end of a file, so it is not asked.
    size = os.path.getsize(path)
    runs = reader.runs()
    while os.lseek(reader.dm.fds[0], 0, os.SEEK_CUR) < size:
        run = next(runs, None)
        if run is None:
            return
        yield run
