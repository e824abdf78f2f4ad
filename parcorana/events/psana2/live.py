"""Runs of LCLS-II that are still being written: ``exp=:run=:live``."""

import math
import os
import time
from itertools import chain

from parcorana.errors import ConfigError
from parcorana.events.feed import END, Feed, patience
from parcorana.events.protocol import Lost, Share
from parcorana.events.psana2 import files, library
from parcorana.events.psana2.event import PsanaEvent
from parcorana.events.psana2.logbook import Logbook
from parcorana.events.psana2.picker import Picker
from parcorana.events.psana2.reader import reading, run_name
from parcorana.events.psana2.wanted import Wanted

_SETTLED = 2.0  # s for which the list of files must stay the same
_LATE_DATA = 3.0  # s after the end of a run for what its small data tells of but is not in its data files yet
_BATCH = 32  # events whose data psana reads at once
_LOST_TAIL = (
    "a tail is lost where a file is renamed, copied or cut before all of it was written: the writer should wait some "
    "seconds after its last write before it renames '.inprogress'; read the finished run again without 'live'"
)


class Psana2Live:
    """Follows runs while they are written, until they end.

    Every server follows the small data of all events, and reads the data of
    every so many-th one. psana waits for files and for what they lack in sleeps
    of a second, so it runs in a thread.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'exp'.
    src, type_, share, log, psana_config, values
        As for `parcorana.events.psana2.sequential.Psana2Source`.

    Attributes
    ----------
    stamps, live, total, shape, dtype
        As `EventSource` says; the last three are not known.
    about : str
        Where the list of files is from.
    own_run : psana.psexp.run.Run
        The first run.

    Raises
    ------
    ConfigError
        No folder, no detector or field; no files in the time of `patience`.
    RunError
        While events come: psana fails, or a later run lacks the detector.
    """

    stamps, live = "ns", True
    total = shape = dtype = None

    def __init__(self, dataset, src, type_, share, log, psana_config=None, values=None):
        library.need_psana()
        self._dataset, self._log = dataset, log
        self._wanted = Wanted(src, type_, log if share.server == 0 else None, psana_config, values)
        self._logbook = Logbook(dataset)
        self._picker = _LivePicker(Share(share.server, share.servers, block=1))
        self._patience = max(math.ceil(patience()), 1)
        self._size = share.block
        self._feed = None
        folder = files.folder_of(dataset)
        if not folder.is_dir():
            raise ConfigError(f"dataset {dataset.text!r}: there is no folder {folder}; 'dir=' names that of the files")
        self._runs = self._open_runs()
        self._first = next(self._runs)
        self.own_run = self._first.run
        self.about = self._logbook.about

    def events(self):
        """Yield every so many-th event as it comes, None when there is none now."""
        self._feed = Feed(self._follow, self._size)
        while (item := self._feed.take()) is not END:
            yield item

    def close(self):
        """Stop following, close the files; may be called again."""
        if self._feed is not None:
            self._feed.close()
        else:
            self._runs.close()

    # -- in the thread --------------------------------------------------------

    def _follow(self, feed):
        self._picker.feed = feed
        try:
            for ordinal, run in enumerate(chain([self._first], library.later(self._runs))):
                for evt in library.guarded(run.run.events(), run.name):
                    feed.put(PsanaEvent(evt, ordinal, self._picker.came(evt), run.wanted))
                self._say_what_is_lost(run)
        finally:
            self._runs.close()

    def _open_runs(self):
        for number in self._dataset.runs:
            name = run_name(self._dataset, number)
            # psana takes the number of its tries, a second apart, from here
            os.environ["PS_R_MAX_RETRIES"] = str(self._patience)
            options = {"live": True, "smd_callback": self._picker, "batch_size": _BATCH, "settled": self._settled}
            with reading(self._dataset, self._logbook, number, **options) as reader:
                for path in reader.smd_files:
                    files.check_file(self._dataset, path)
                self._picker.begin(reader, self._patience)
                run = next(library.guarded(reader.runs(), name, ConfigError), None)
                if run is None:
                    raise ConfigError(f"{name} has no begin of run after {self._patience} s")
                yield _Following(name, reader, run, self._wanted.of_run(run, name))

    def _settled(self, number, ask):
        """Return psana's description of a run's files once there are some, and no more come."""
        since, known, begin, told = 0.0, None, time.monotonic(), False
        while True:
            found = self._logbook.files_of(ask, number, ("", ".inprogress"), wait=True)
            now = time.monotonic()
            if found["xtc_files"] != known:
                known, since = found["xtc_files"], now
            elif known and now - since >= _SETTLED:
                return found
            if now - begin > self._patience and not known:
                exp, folder = files.experiment_of(self._dataset), files.folder_of(self._dataset)
                raise ConfigError(
                    f"dataset {self._dataset.text!r}: no files {exp}-r{number:04d}-s*-c000.smd.xtc2 or "
                    f".smd.xtc2.inprogress came in {self._patience} s in {folder / 'smalldata'}"
                )
            if not known and not told and now - begin > _SETTLED:
                told = True
                name, folder = run_name(self._dataset, number), files.folder_of(self._dataset)
                self._log(f"waiting for the files of {name} in {folder}")
            if self._feed is not None:
                self._feed.sleep(0.2)
            else:
                time.sleep(0.2)

    def _say_what_is_lost(self, run):
        """Count what the run's small data tells of and psana did not give, and say so."""
        picker, what = self._picker, []
        picker.lose_all()
        if not run.reader.smdr_man.smdr.found_endrun():
            for _ in range(files.count_events(run.reader.smd_files) - picker.of_this_run):
                picker.miss()
            what.append("it has no end of run")
        if picker.lost:
            what.append(f"{picker.lost} events of this server never came, and count as no_data")
        if what:
            self._log(f"{run.name} ended after {picker.of_this_run} events: {'; '.join(what)}; {_LOST_TAIL}")
        picker.lost = 0


class _Following:
    """A run that is being followed: what errors call it, psana's data source and run, the `OfRun`."""

    def __init__(self, name, reader, run, wanted):
        self.name, self.reader, self.run, self.wanted = name, reader, run, wanted


class _LivePicker(Picker):
    """Picks this server's events, each when its data has been written.

    psana itself would wait for the data of a whole batch, and give the batch up
    if the last of it never comes.

    Attributes
    ----------
    lost : int
        Events of this server, of the run in progress, that could not be read.
    of_this_run : int
        Events of all servers.
    """

    def __init__(self, share):
        super().__init__(share)
        self.feed = self._reader = None
        self.lost = self._base = 0

    def begin(self, reader, patience):
        """Begin with a run.

        Parameters
        ----------
        reader : psana.psexp.serial_ds.SerialDataSource
        patience : float [s]
            How long a file may stay as it is before its events are given up.
        """
        self._reader, self._patience = reader, patience
        self._base = self.next
        self._written = [0] * len(reader.xtc_files)
        self._grew = [time.monotonic()] * len(reader.xtc_files)
        self._ended = None

    @property
    def of_this_run(self):
        """Events that the small data has told of, for all servers."""
        return self.next - self._base

    def __call__(self, run):
        """Yield this server's events of a piece of small data."""
        for evt in run.events():
            index = self.next
            self.next += 1
            if self._share.has(index):
                if self._is_written(evt):
                    self.picked.append((index, evt.timestamp))
                    yield evt
                else:
                    self._lose()

    def came(self, evt):
        """Note an event that psana has read; those before it that it left out are lost.

        Returns
        -------
        int
            Its position in the run.
        """
        index = self._base
        while self.picked:
            index, time = self.picked.popleft()
            if time == evt.timestamp:
                break
            self._lose()
        return index - self._base

    def lose_all(self):
        """Give up what psana still owes."""
        while self.picked:
            self.picked.popleft()
            self._lose()

    def miss(self):
        """Count an event that is in the small data, but that psana did not look at."""
        if self._share.has(self.next):
            self._lose()
        self.next += 1

    def _lose(self):
        self.lost += 1
        self.feed.put(Lost())

    def _is_written(self, evt):
        """Wait until the data of an event is in its files; False if it never will be."""
        for stream, fd in enumerate(self._reader.dm.fds):
            end = int(evt.get_offset_and_size(stream).sum())
            if end > self._written[stream] and not self._grows_to(end, stream, int(fd)):
                return False
        return True

    def _grows_to(self, end, stream, fd):
        while True:
            size, now = os.fstat(fd).st_size, time.monotonic()
            if size != self._written[stream]:
                self._written[stream], self._grew[stream] = size, now
            if size >= end:
                return True
            if self._ended is None and self._finished():
                self._ended = now
            since = self._grew[stream] if self._ended is None else max(self._grew[stream], self._ended)
            if now - since > (self._patience if self._ended is None else _LATE_DATA):
                return False
            self.feed.sleep(0.02)

    def _finished(self):
        """Tell whether nobody writes to the run's files any more."""
        reader = self._reader
        if reader.smdr_man.smdr.found_endrun():
            return True
        growing = [str(path) for path in (*reader.xtc_files, *reader.smd_files) if str(path).endswith(".inprogress")]
        return bool(growing) and not any(os.path.exists(path) for path in growing)
