"""Finished runs of LCLS-II (xtc2 files), read with psana of LCLS-II."""

import inspect
import os
import re
import struct
import sys
import threading
from collections import deque
from contextlib import closing
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from parcorana.errors import ConfigError, RunError, nearest
from parcorana.events.source import Event

LOGBOOK_SECONDS = 3.0
"""Longest wait for SLAC's logbook before the files on disk are taken."""

_CONFIGURE, _END_RUN = 2, 5
_HEADER = struct.Struct("<QI8xI")  # of a datagram: time, transition in bits 24-27, source and damage, extent
_PATH_LENGTH = 200  # psana cuts off the rest of a path


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
    share : parcorana.events.source.Share
        Which events to read.
    log : callable
        Takes one line of text for the user.

    Attributes
    ----------
    stamps : str
        'ns': events are stamped in nanoseconds since 1990, LCLS-II's epoch.
    total : None
        psana does not tell the number of events beforehand.
    shape, dtype
        On server 0, of the first array in its first block; None elsewhere, and
        where that block has no array.

    Raises
    ------
    ConfigError
        No psana of LCLS-II, no such folder, file, run, detector or field.
    RunError
        While events are read: a file is damaged or ends too early, or a later
        run of a list lacks the detector.
    """

    stamps = "ns"

    def __init__(self, dataset, src, type_, share, log):
        _need_psana()
        self.total = self.shape = self.dtype = None
        self._dataset, self._src, self._type = dataset, src, type_ or "raw"
        self._share, self._log = share, log
        self._logbook = True
        self._picker = _Picker(share)
        self._runs = self._exp_runs() if dataset.kind == "exp" else self._file_runs()
        self._own = self._events(next(self._runs))
        self._stream = self._own
        if share.server == 0:
            try:
                self._look_ahead()
            except BaseException:
                self.close()
                raise

    def blocks(self):
        """Yield this server's blocks, each an iterable of `Event`, read as it is consumed."""
        for _, block in groupby(self._stream, key=lambda item: item[0] // self._share.block):
            yield map(itemgetter(1), block)

    def close(self):
        """Close the files; may be called again."""
        self._stream = iter(())
        self._own.close()
        self._runs.close()

    def _look_ahead(self):
        """Learn shape and dtype from the first event that has data; the events looked at are kept."""
        held = []
        for index, event in self._own:
            held.append((index, event))
            data = event.data()
            if data is not None:
                if not isinstance(data, np.ndarray):
                    raise ConfigError(
                        f"type {self._type!r}: detector {self._src!r} gives {type(data).__name__} there, not an array"
                    )
                self.shape, self.dtype = data.shape, data.dtype
                break
            if len(held) == self._share.block:
                break
        self._stream = chain(held, self._own)

    def _events(self, first):
        """Yield ``(index, Event)`` of this server's events, index counted over all runs."""
        last = self._picker.last
        if last is not None and last < 0:
            return
        for ordinal, run in enumerate(chain([first], self._later_runs())):
            for index, evt in self._read(run):
                time = evt.timestamp
                stamp = (time >> 32) * 10**9 + (time & 0xFFFFFFFF)
                yield index, Event(ordinal, stamp, partial(_fetch, *run.field, evt), evt)
                if index == last:
                    return

    def _later_runs(self):
        try:
            yield from self._runs
        except ConfigError as error:
            raise RunError(str(error)) from error

    def _read(self, run):
        """Yield ``(index, psana event)``, and make sure that psana left none out.

        Where a file is cut off psana skips events, or stops, as if the run had
        no more of them.
        """
        picked = self._picker.picked
        for evt in _guarded(run.events(), run.name):
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
        from psana.psexp.serial_ds import SerialDataSource

        source = self

        # DataSource() would choose a class by the number of MPI ranks; here every server reads for itself.
        class Reader(SerialDataSource):
            def _get_file_info_from_db(self, runnum):
                return source._file_info(partial(super()._get_file_info_from_db, runnum), runnum)

            # psana itself leaves files open until Python happens to collect them, those with data for ever.
            def close(self):
                self.dm.close()
                self._close_opened_smd_files()
                self.smd_fds = None

        dataset = self._dataset
        exp = dataset.name.rsplit("/", 1)[-1]
        folder = _folder(dataset, exp)
        for number in dataset.runs:
            _check_run(dataset, exp, number, folder)
        for number in dataset.runs:
            name = f"run {number} of {exp}"
            options = {"exp": exp, "run": number, "smd_callback": self._picker, "batch_size": self._share.block}
            if dataset.dir:
                options["dir"] = dataset.dir
            reader = _opened(Reader, name, options)
            with closing(reader):
                self._picker.limits = [(str(path), _size_limit(path)) for path in reader.xtc_files]
                yield from self._runs_of(_SmallDataRun, reader, reader.runs(), name)

    def _file_runs(self):
        from psana.psexp.singlefile_ds import SingleFileDataSource

        path = self._dataset.name
        _check_file(self._dataset, Path(path))
        reader = _opened(SingleFileDataSource, path, {"files": [path]})
        with closing(reader.dm):
            yield from self._runs_of(_FileRun, reader, _runs_in_file(reader, path), path)

    def _runs_of(self, kind, reader, runs, name):
        empty = True
        for run in _guarded(runs, name, ConfigError):
            empty = False
            yield kind(name, reader, run, self._field(run, name), self._picker)
        if empty:
            raise ConfigError(f"{name} is empty: it has no begin of run")

    def _field(self, run, where):
        """Find the field that `src` and `type_` name; return the detector's interface and the field's name."""
        src, type_ = self._src, self._type
        if src not in run.detnames:
            known = ", ".join(sorted(run.detnames)) or "none"
            raise ConfigError(f"src {src!r}: {where} has these detectors: {known}{nearest(src, run.detnames)}")
        detector = _own_detector(run, src)
        names = sorted((alg for name, alg in run.detinfo if name == src), key=lambda alg: (alg != "raw", alg))
        fields = {name: _fields(getattr(detector, name)) for name in names}
        wanted, dot, field = type_.rpartition(".")
        for name in [wanted] if dot else names:
            if field in fields.get(name, ()):
                if field in ("calib", "image") and self._share.server == 0 and self._picker.next == 0:
                    self._log(f"{where}: no calibration constants are loaded; {type_!r} is what psana makes without")
                return getattr(detector, name), field
        known = [f"{name}.{field}" for name in names for field in fields[name]]
        raise ConfigError(
            f"type {type_!r}: detector {src!r} of {where} has these: {', '.join(known)}{nearest(type_, known)}"
        )

    def _file_info(self, ask, number):
        """Return psana's list of the files of a run.

        psana asks SLAC's logbook for it, without a time limit, and fails where
        there is no way to SLAC. The list only spares it a look into the folder,
        so where the connection fails, or takes more than a few seconds, the
        folder is looked into; the logbook is then not asked for the next runs.

        Parameters
        ----------
        ask : callable
            psana's own question.
        number : int
            Run number.
        """
        if self._logbook:
            answer = _in_time(ask)
            if answer is not None:
                return answer
        exp = self._dataset.name.rsplit("/", 1)[-1]
        folder = _folder(self._dataset, exp)
        if self._logbook and self._share.server == 0:
            self._log(f"SLAC's logbook cannot be reached: the runs' files are those found in {folder}")
        self._logbook = False
        names = [path.name.replace(".smd.xtc2", ".xtc2") for path in _small_data(folder, exp, number)]
        return {"xtc_files": names, "dirname": str(folder)}


class _SmallDataRun:
    """One run that psana reads by its small data, foreign events left out by `_Picker`."""

    def __init__(self, name, reader, run, field, picker):
        self.name, self.field = name, field
        self._reader, self._run = reader, run

    def events(self):
        return self._run.events()

    def ended(self):
        return bool(self._reader.smdr_man.smdr.found_endrun())


class _FileRun:
    """One run in a file without small data."""

    def __init__(self, name, reader, run, field, picker):
        self.name, self.field = name, field
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
            while datagram := _datagram(file, offset):
                transition, length = datagram
                offset += length
                if transition == _END_RUN:
                    return True
        return False


class _Picker:
    """Picks this server's events; for ``exp=`` it is psana's ``smd_callback``.

    psana calls it anew for each piece of a run's small data and then reads the
    detectors' data of the events that it yields. So it counts over calls, runs
    and lists of runs.

    Attributes
    ----------
    next : int
        Index, in the sequence, of the next event.
    last : int or None
        Index of this server's last event if `numevents` is given, -1 if it has none.
    picked : collections.deque of (int, int)
        Index and psana timestamp of what was yielded and not read yet.
    limits : list of (str, int)
        Path and size of the data file of each stream.
    cut : str
        What is wrong if an event lies beyond the end of its file.
    """

    def __init__(self, share):
        self.next = 0
        self.last = _last(share)
        self.picked = deque()
        self.limits = []
        self.cut = ""
        self._share = share

    def __call__(self, run):
        # Called again after what came before the cut was read: psana would call for ever.
        if self.cut:
            raise RunError(self.cut)
        for evt in run.events():
            index = self.next
            self.next += 1
            if not self._share.has(index):
                continue
            # psana does not look, and makes an event of whatever lies in memory after the end.
            for stream, (path, limit) in enumerate(self.limits):
                if int(evt.get_offset_and_size(stream).sum()) > limit:
                    self.cut = f"{path} is cut off: it ends before event {index} of the sequence does"
                    return
            self.picked.append((index, evt.timestamp))
            yield evt
            if index == self.last:
                return


def _last(share):
    """Return the index of the last event of a share, None without `numevents`, -1 if it has none."""
    if not share.numevents:
        return None
    for first in range((share.numevents - 1) // share.block * share.block, -1, -share.block):
        if share.has(first):
            return min(first + share.block, share.numevents) - 1
    return -1


def _need_psana():
    # psana would otherwise give ranks of COMM_WORLD roles of its own.
    if "psana" not in sys.modules:
        os.environ["PS_PARALLEL"] = "none"
    try:
        import psana
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        if getattr(error, "name", None) == "psana":
            raise ConfigError("psana is not installed: pip install parcorana[psana]") from error
        raise ConfigError(f"psana is installed but cannot be imported: {_line(error)}") from error
    if getattr(psana, "xtc_version", None) != 2:
        raise ConfigError("the psana that is installed is LCLS-I's, which is not there yet: take psana of LCLS-II")
    from psana.psexp import tools

    if tools.mode == "mpi" and tools.MODE == "PARALLEL":
        raise ConfigError(
            "psana was imported before PS_PARALLEL was set and took the MPI ranks for itself: "
            "import it in the user class's methods, or set PS_PARALLEL=none in the environment"
        )


def _line(error):
    return " ".join(str(error).split())


def _opened(reader, name, options):
    try:
        return reader(**options, skip_calib_load="all", log_level="WARNING")
    except ConfigError:
        raise
    except Exception as error:  # whatever psana raises over a damaged file
        raise ConfigError(f"psana cannot open {name}: {_line(error)}") from error


def _guarded(items, name, kind=RunError):
    """Pass `items` on, with psana's own errors told as one of ours."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except (ConfigError, RunError):
            raise
        except Exception as error:
            raise kind(f"{name}: psana cannot read on: {type(error).__name__}: {_line(error)}") from error
        yield item


def _runs_in_file(reader, path):
    # psana prints a line when it is asked for a run at the end of a file, so it is not asked.
    size = os.path.getsize(path)
    runs = reader.runs()
    while os.lseek(reader.dm.fds[0], 0, os.SEEK_CUR) < size:
        run = next(runs, None)
        if run is None:
            return
        yield run


def _own_detector(run, src):
    """Return psana's detector object, one that no other run of this process shares.

    psana keeps one object per detector name and changes it when the next run is
    opened, which takes the data of the run still being read.
    """
    from psana.detector.detector_impl import DetectorImpl

    registry = getattr(DetectorImpl, "_registry", {})
    registry.clear()
    detector = run.Detector(src)
    registry.clear()
    return detector


def _fields(interface):
    """Return the names of a detector interface's methods that take an event."""
    names = (name for name in dir(interface) if not name.startswith("_"))
    return [name for name in names if callable(inspect.getattr_static(interface, name))]


def _fetch(interface, field, evt):
    """Return a field of a detector, None where the event lacks the detector or a segment."""
    try:
        return getattr(interface, field)(evt)
    except TypeError:
        # Some of psana's detectors do not look whether there are segments.
        if interface._segments(evt) is None:
            return None
        raise


def _in_time(ask):
    """Return what `ask` returns, None where it finds no connection or takes more than `LOGBOOK_SECONDS`."""
    from requests import exceptions

    answers = []

    def work():
        try:
            answers.append((ask(), None))
        except Exception as error:
            answers.append((None, error))

    # A thread, since the look-up of a host's name has no time limit of its own.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LOGBOOK_SECONDS)
    value, error = answers[0] if answers else (None, None)
    if error is not None and not isinstance(error, (exceptions.ConnectionError, exceptions.Timeout)):
        raise error
    return value


def _folder(dataset, exp):
    """Return the folder of an experiment's xtc2 files, by psana's own rule."""
    if dataset.dir:
        return Path(dataset.dir)
    return Path(os.environ.get("SIT_PSDM_DATA", "/reg/d/psdm"), exp[:3], exp, "xtc")


def _small_data(folder, exp, number):
    return sorted((folder / "smalldata").glob(f"{exp}-r{number:04d}-s*-c000.smd.xtc2"))


def _check_run(dataset, exp, number, folder):
    if not folder.is_dir():
        raise ConfigError(f"dataset {dataset.text!r}: there is no folder {folder}; 'dir=' names that of the xtc2 files")
    small = _small_data(folder, exp, number)
    if not small:
        found = {re.search(r"-r(\d+)-", path.name)[1] for path in (folder / "smalldata").glob(f"{exp}-r*-s*.smd.xtc2")}
        known = ", ".join(str(int(run)) for run in sorted(found)) or "none"
        raise ConfigError(
            f"dataset {dataset.text!r}: run {number} has no files {exp}-r{number:04d}-s*-c000.smd.xtc2 in "
            f"{folder / 'smalldata'}; runs of {exp} there: {known}"
        )
    for path in small:
        _check_file(dataset, path)
        _check_file(dataset, folder / path.name.replace(".smd.xtc2", ".xtc2"))


def _check_file(dataset, path):
    """Refuse what cannot be an xtc2 file: psana's own answer to one may be to kill the process."""
    text = f"dataset {dataset.text!r}: {path}"
    if len(str(path)) > _PATH_LENGTH:
        raise ConfigError(f"{text}: psana takes no path longer than {_PATH_LENGTH} characters")
    try:
        with open(path, "rb") as file:
            datagram = _datagram(file, 0)
    except OSError as error:
        raise ConfigError(f"{text} cannot be read: {error.strerror}") from error
    if datagram is None or datagram[0] != _CONFIGURE:
        raise ConfigError(f"{text} is not an xtc2 file, or is cut off: it does not begin with a configuration")


def _datagram(file, offset):
    """Return transition and length in bytes of the datagram at `offset`, None if it is not all there."""
    size = os.fstat(file.fileno()).st_size
    if offset + _HEADER.size > size:
        return None
    file.seek(offset)
    _, environment, extent = _HEADER.unpack(file.read(_HEADER.size))
    length = 12 + extent
    if length < _HEADER.size or offset + length > size:
        return None
    return environment >> 24 & 0xF, length


def _size_limit(path):
    """Return the size of a stream's data file; of the largest where it is in several."""
    path = Path(path)
    chunks = path.parent.glob(re.sub(r"-c\d+\.xtc2$", "-c*.xtc2", path.name))
    return max((chunk.stat().st_size for chunk in chunks), default=path.stat().st_size)
