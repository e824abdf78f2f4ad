"""The result file: one complete HDF5 file per update, joined at the end (contract, section 7).

HDF5 written in place does not survive a kill; a new file for each update,
written aside, synced and renamed, does.
"""

import errno
import io
import json
import logging
import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np

from parcorana import curvefile, masks
from parcorana._version import __version__
from parcorana.datasets import write_dataset
from parcorana.errors import ConfigError, RunError, one_line
from parcorana.lock import FolderLock, this_process, writer_of
from parcorana.plain import plain_file

log = logging.getLogger("parcorana")

ACCOUNT = ("read", "processed", "filtered", "no_data", "duplicate", "late", "bad", "unused")
PICTURES = (".png", ".pdf", ".svg")
_BASE = "base.h5"
SUFFIX = ".inprogress"
_STOP = ".stop"
_MADE = set()  # the folders that this process has made


def resolve_name(template, overwrite):
    """Replace `%T` and `%C` in an output name; check that nothing is in the way.

    Parameters
    ----------
    template : str
        `%T` becomes yyyymmddhhmmss, `%C` the next free three-digit counter.
    overwrite : bool
        Whether an existing result may be replaced; a folder of a run in
        progress never is.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
    """
    name = template.replace("%T", time.strftime("%Y%m%d%H%M%S"))
    if "%C" in name:
        names = (name.replace("%C", f"{k:03d}") for k in range(1000))
        name = next((n for n in names if not Path(n).exists() and not Path(n + SUFFIX).exists()), None)
        if name is None:
            raise ConfigError(f"h5output: all of {template!r} with %C from 000 to 999 exist; move some away")
    path = Path(name)
    _check_folder(Path(name + SUFFIX), overwrite)
    if path.is_dir():
        raise ConfigError(f"h5output: {name!r} is a folder; it must be the name of a file")
    if path.exists() and not overwrite:
        raise ConfigError(f"h5output: {name!r} exists; say --overwrite (or overwrite=True), or choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"h5output: the folder {str(path.parent)!r} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"h5output: the folder {str(path.parent)!r} may not be written to")
    return name


def mode_of(path):
    """Return what kind of run wrote a result file, as `parcorana.config.MODES`; None if it is not one."""
    try:
        with plain_file(path) as file:
            return str(file["system"].attrs.get("mode", "main"))
    except ConfigError:
        return None


def is_complete(path):
    """Tell whether a file is anything but the result of a run that was stopped or killed."""
    try:
        with plain_file(path) as file:
            return bool(file["system"].attrs.get("complete", True))
    except ConfigError:
        return True  # whatever it is, it is not ours to replace


def check_picture_name(path, key="-o"):
    """Raise ConfigError if a picture cannot have that name."""
    if Path(path).suffix.lower() not in PICTURES:
        raise ConfigError(f"{key}: {str(path)!r} must end in one of {', '.join(PICTURES)}")
    if not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"{key}: the folder {str(Path(path).parent)!r} does not exist")


def _check_folder(folder, overwrite):
    """Refuse a folder with results of another run; one in which nothing was published goes if `overwrite` says so."""
    if not folder.exists():
        return
    writer = writer_of(folder)
    if writer:
        raise ConfigError(f"h5output: {str(folder)!r}: another run is writing it ({writer}); choose another name")
    if has_checkpoint(folder):
        raise ConfigError(
            f"h5output: {str(folder)!r} holds a run that was stopped, killed or failed, and a checkpoint of it: go on "
            f"with --resume, join what it published with 'parCorAnaDriver --join {folder}', or remove the folder"
        )
    if published(folder):
        raise ConfigError(
            f"h5output: {str(folder)!r} holds what a run published that was killed or failed; join it with "
            f"'parCorAnaDriver --join {folder}', or remove the folder"
        )
    if not (overwrite and _is_empty(folder)):
        raise ConfigError(
            f"h5output: {str(folder)!r} is left from a run that published nothing; remove it, or say --overwrite "
            "if nothing but that is in it"
        )


def _is_empty(folder):
    """Tell whether a folder holds only what a run begins with: no result, nothing of anybody else."""
    nothing = re.compile(
        # parts of a checkpoint that has no manifest are of no use
        r"base\.h5|\.writer|\.stop|\.(base|update_\d+|ending_\d+|joined)\.tmp|\.?checkpoint_\d+(_\d+\.part|\.json\.tmp).*"
    )
    return all(nothing.fullmatch(path.name) for path in folder.iterdir())


def forget(name):
    """Remove the folder of a run that failed before it published anything; the next run is not to trip over it.

    Only if this process made it: one of the same name may be that of another run.
    """
    folder = Path(f"{name}{SUFFIX}")
    if _identity(folder) in _MADE and writer_of(folder) in (None, this_process()) and _is_empty(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _identity(path, *more):
    """Return what tells a file or folder from another one of the same name, and `more` of it; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return tuple(getattr(found, f"st_{key}") for key in ("dev", "ino", *more))


def _version(path):
    """Return what changes when a file is written again."""
    return _identity(path, "mtime_ns", "size")


def clear(name):
    """Remove the folder that a run left which published nothing, as `resolve_name` allows it; before any rank writes.

    Raises
    ------
    RunError
        Another run has begun meanwhile, or it cannot be removed.
    """
    folder = Path(f"{name}{SUFFIX}")
    if not folder.is_dir():
        return
    with _explained(f"h5output: cannot remove {str(folder)!r}"):
        lock = FolderLock(folder)  # from here on nobody else has it
        if not _is_empty(folder):
            lock.release()
            raise FileExistsError(errno.EEXIST, "another run has written into it meanwhile")
        _remove_at_once(folder, lock)


def take_over(folder):
    """Take the folder of an interrupted run, to go on with it; return the lock.

    Raises
    ------
    ConfigError
        Another process has just done so.
    """
    try:
        lock = FolderLock(folder)
    except BlockingIOError:
        raise ConfigError(f"--resume: the run in {str(folder)!r} still goes on ({writer_of(folder)})") from None
    (Path(folder) / _STOP).unlink(missing_ok=True)
    return lock


def asked_to_stop(folder):
    """Tell whether there is a stop file in the folder of a run."""
    with suppress(OSError):
        # a listing: network file systems may remember for half a minute that a single file is not there
        return _STOP in os.listdir(folder)
    return False


def ask_to_stop(name):
    """Ask the run that is writing a result file to stop, by a stop file in its folder.

    Parameters
    ----------
    name : str
        Of the result file, or of its folder `NAME.inprogress`.

    Returns
    -------
    str
        Who is writing it.

    Raises
    ------
    ConfigError
        No run is writing it, or its folder may not be written to.
    """
    folder = Path(f"{name.rstrip('/').removesuffix(SUFFIX)}{SUFFIX}")
    if not folder.is_dir():
        raise ConfigError(f"--stop: no run is writing {name!r}: there is no folder {str(folder)!r}")
    writer = writer_of(folder)
    if not writer:
        raise ConfigError(f"--stop: the run that wrote {str(folder)!r} goes on no more; see --join")
    try:
        (folder / _STOP).touch()
    except OSError as error:
        raise ConfigError(f"--stop: cannot write into {str(folder)!r}: {error.strerror}") from None
    return writer


def published(folder):
    """Return the update files in a folder, by the number of events processed."""
    # 'ending': what a run that can be resumed published when it was stopped, beside what all runs publish there
    files = [path for path in Path(folder).iterdir() if re.fullmatch(r"(update|ending)_\d{6,}\.h5", path.name)]
    return sorted(files, key=lambda path: (int(path.stem[7:]), path.name[0] == "e"))


def has_checkpoint(folder):
    """Tell whether a folder holds a checkpoint of a run."""
    return Path(folder).is_dir() and any(Path(folder).glob("checkpoint_*.json"))


def what_is_left(name):
    """Return a sentence on what a run that failed has published so far; empty if there is no folder of it."""
    folder = Path(f"{name}{SUFFIX}")
    if not folder.is_dir():
        return ""
    updates = published(folder)
    again = "; go on from its last checkpoint with --resume" if has_checkpoint(folder) else ""
    if not updates:
        # which looks whose the folder is: another run of that name may have it
        return f"nothing was published{again or ': begin again with --overwrite'}"
    return (
        f"what was published is kept: {len(updates)} update{'s' * (len(updates) > 1)} so far, up to "
        f"{int(updates[-1].stem[7:]):,} events; join with: parCorAnaDriver --join {folder}{again}"
    )


def sync(path):
    """Have what was written to a file or folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Disk(io.FileIO):
    """A file that HDF5 can always write to, even if the disk is full.

    HDF5 does not get over a failed write: it tries again whenever something is
    closed, complains each time, and in the end crashes the process. So the
    first failure is kept here, for `_opened` to raise once all is closed.
    """

    failure = None

    def write(self, data):
        left = memoryview(data).cast("B")
        try:
            while left and self.failure is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
        return memoryview(data).nbytes

    def truncate(self, size=None):
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
        return size

    def readinto(self, buffer):
        left = memoryview(buffer).cast("B")
        while left and (count := super().readinto(left)):
            left = left[count:]
        left[:] = bytes(len(left))  # only after a failure is there less than HDF5 has written
        return memoryview(buffer).nbytes


@contextmanager
def _opened(path, mode):
    """Open an HDF5 file for writing; a failure of the disk is raised when it is closed."""
    with _Disk(path, f"{mode.rstrip('+')}+") as disk:
        try:
            with h5py.File(disk, mode) as file:
                yield file
        finally:
            if disk.failure:
                raise disk.failure


@contextmanager
def _explained(what, after=""):
    """Raise RunError, in one line, for an OSError or a file that is not what it should be."""
    try:
        yield
    except (OSError, ConfigError) as error:
        raise RunError(f"{what}: {one_line(error)}{after}") from None


def as_json(params):
    """Return a dictionary of parameters as JSON, with what JSON does not know by its name."""

    def plain(value):
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    def other(value):
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        if isinstance(value, set | frozenset):  # whose order is another one in each process
            return sorted(plain(list(value)), key=repr)
        if isinstance(value, type):
            return f"{value.__module__}.{value.__qualname__}"
        return repr(value)

    return json.dumps(plain(params), default=other, indent=1)


class ResultFile:
    """Results of one run.

    Parameters
    ----------
    name : str
        Of the file at the end, from `resolve_name`.
    config : Config
    ranks : list of (int, str, str)
        Rank, role and host of every rank.
    init : callable
        Called with the group `/user` of the file that every update begins from.
    resumed_at : list of int
        Events processed where the run was gone on with; empty for one that
        begins. The folder is then there, and what was published stays.
    lock : FolderLock, optional
        On that folder.
    """

    def __init__(self, name, config, ranks, init, resumed_at=(), lock=None):
        self.name = os.path.abspath(name)  # user code may change the working directory
        self.folder = Path(self.name + SUFFIX)
        # a counter that was free is not there to replace what has come under it since
        self._overwrites = config.overwrite and "%C" not in (config.h5output or "")
        self._found = _version(self.name)
        with _explained(f"h5output: cannot write to {str(self.folder)!r}"):
            if lock is not None:
                self._lock = lock
                self._write_base(config, ranks, init, resumed_at)
                return
            if self._found is not None and not self._overwrites:
                raise FileExistsError(errno.EEXIST, f"{self.name!r} has come since the run was started")
            self.folder.mkdir()
            # workers may write their parts of a checkpoint from now on: what is in it stays
            self._lock = FolderLock(self.folder)
            _MADE.add(_identity(self.folder))
            try:
                self._write_base(config, ranks, init)
            except BaseException:
                # nothing is lost, and the next run must not be told of a run in progress
                shutil.rmtree(self.folder, ignore_errors=True)
                raise

    def _write_base(self, config, ranks, init, resumed_at=()):
        aside = self.folder / ".base.tmp"
        with _opened(aside, "w") as file:
            _write_system(file.create_group("system"), config, ranks)
            if resumed_at:
                file["system"].attrs["resumed_at"] = np.array(resumed_at, np.int64)
            init(file.create_group("user"))
        sync(aside)
        os.replace(aside, self.folder / _BASE)

    def publish(self, processed, facts, write, ending=False):
        """Publish one update.

        Parameters
        ----------
        processed : int
            Number of events processed, which names the file; an update
            published again replaces what was there.
        facts : dict
            From the first worker: account, relsec, first and last time.
        write : generator function
            Called with the file's group `/user`; its steps are passed on.
        ending : bool
            Whether this is what a stopped run publishes at last, but its
            continuation will not.
        """
        kind = "ending" if ending else "update"
        final = self.folder / f"{kind}_{processed:06d}.h5"
        aside = self.folder / f".{kind}_{processed:06d}.tmp"
        account = facts["account"]
        # of the block that the update cuts in two, the rest was read: not used, as long as the run gets no further
        unused = account["read"] - sum(account.get(key, 0) for key in ACCOUNT[1:])
        facts = facts | {"account": account | {"unused": account.get("unused", 0) + unused}}
        what, after = f"the update at {processed} events", ""
        if final.exists():
            what, after = f"the full arrays at {processed} events", "; all updates without them are published"
        with _explained(f"cannot publish {what} in {str(self.folder)!r}", after):
            shutil.copyfile(self.folder / _BASE, aside)
            with _opened(aside, "r+") as file:
                write_facts(file["system"], facts)
                yield from write(file["user"])
            sync(aside)
            os.replace(aside, final)
            sync(self.folder)

    def finish(self, facts):
        """Join all updates into the file; remove the folder, unless the run was stopped and left a checkpoint there.

        Parameters
        ----------
        facts : dict
            As `write_facts` takes them.
        """
        # a run that was stopped left a result, which the one that goes on with it replaces
        if not self._overwrites and _version(self.name) not in (None, self._found):
            raise RunError(
                f"cannot write {self.name!r}: a file of that name has come while the run went on, and overwrite is not "
                f"set; what was published stays in {str(self.folder)!r}"
            )
        join(self.folder, facts, self._lock)

    def release(self):
        """Let others have the folder."""
        self._lock.release()


def _write_system(group, config, ranks):
    group.attrs["version"] = __version__
    group.attrs["mode"] = config.mode
    group.attrs["complete"] = False
    group.attrs["ended_by"] = "not ended"
    write_dataset(group, "system_params", as_json(config.system_params), "JSON", "system_params as run")
    write_dataset(group, "user_params", as_json(config.user_params), "JSON", "user_params as run")
    write_dataset(group, "mask", config.mask.astype(np.int8), "1", "1 for the elements that were processed")
    write_dataset(group, "delays", config.delays, "pulses", "delays")
    for key, array in masks.color_files(config):
        write_dataset(group, key, array, "1", f"the {key} file")
    rows = [(rank, role.encode(), host.encode()) for rank, role, host in ranks]
    width = max(len(host) for _, _, host in rows) or 1
    table = np.array(rows, [("rank", np.int32), ("role", "S8"), ("host", f"S{width}")])
    write_dataset(group, "ranks", table, "1", "role and host of each rank")


def write_facts(group, facts):
    """Write what is known only as a run goes on into `/system`.

    Parameters
    ----------
    group : h5py.Group
    facts : dict
        'account': dict of int; 'first', 'last': int [ns] or None; and where
        known 'merged': int, 'complete': bool, 'ended_by': str, 'timing': table.
    """
    account = group.require_group("accounting")
    for key in ACCOUNT:
        account.attrs[key] = np.int64(facts["account"].get(key, 0))
    for key in ("first", "last"):
        if facts.get(key) is not None:
            group.attrs[f"{key}_event_time_ns"] = np.int64(facts[key])
    if "merged" in facts:
        group.attrs["updates_merged"] = np.int64(facts["merged"])
    for key in ("complete", "ended_by"):
        if key in facts:
            group.attrs[key] = facts[key]
    if "timing" in facts:
        if "timing" in group:
            del group["timing"]
        write_dataset(group, "timing", facts["timing"], "s", "where each rank's time went; peak_mib is in MiB")


def join(folder, facts=None, lock=None, name=None, overwrite=False):
    """Join the updates of a run into one file and remove their folder.

    The folder stays if the run was killed, or stopped, and left a checkpoint
    in it.

    Parameters
    ----------
    folder : path
        `NAME.inprogress`.
    facts : dict, optional
        What the end of the run knows; without it the file says that the run
        was killed.
    lock : FolderLock, optional
        Of the run that ends; without it the folder is locked here.
    name : path, optional
        Of the file, where it is not the one that the folder is named after.
    overwrite : bool
        Whether a killed run's file may replace another one.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ConfigError
        There is no such folder, it is not one of ours, or a run, or another
        one who joins, is writing it.
    RunError
        The file cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir() or not folder.name.endswith(SUFFIX) or folder.name == SUFFIX:
        raise ConfigError(f"--join: {str(folder)!r} is not a folder NAME{SUFFIX}")
    if lock is None and (writer := writer_of(folder)):
        raise ConfigError(
            f"--join: {str(folder)!r} is being written by a run ({writer}); to look at what it has published, "
            "open the files update_*.h5 in it"
        )
    name = Path(name or folder.with_name(folder.name[: -len(SUFFIX)]))
    updates, passed = _to_join(folder, facts)
    if not updates:
        raise ConfigError(f"--join: {str(folder)!r} holds no update: nothing was published; remove the folder")
    if name.is_dir() or not name.parent.is_dir():
        raise ConfigError(f"--join: {str(name)!r} is a folder, or in none; it must be the name of a file")
    if facts is None and name.exists() and not overwrite:
        raise ConfigError(f"--join: {str(name)!r} exists; name another file with -o, or say --overwrite")
    with _explained(f"cannot write {str(name)!r}", f"; what was published stays in {str(folder)!r}"):
        lock = lock or FolderLock(folder)
        try:
            said = _write_joined(folder, name, updates, facts)
        except BaseException:
            lock.release()
            raise
    for text in said:
        log.warning("%s", text)
    if has_checkpoint(folder) and not (facts and facts["complete"]):
        for path in [folder / _STOP, *passed]:
            path.unlink(missing_ok=True)
        lock.release()
    else:
        _remove(folder, lock)
    return name


def _to_join(folder, facts):
    """Return which updates are to be joined, and which of those left out are of no use any more."""
    updates = published(folder)
    if facts is None:
        return updates, []
    # what the run published when it was stopped before, and went on
    at = None if facts["complete"] else facts["account"]["processed"]
    passed = [path for path in updates if path.name.startswith("ending") and int(path.stem[7:]) != at]
    # where a run that goes on is stopped before it is as far as it was, later updates are there, and wait for it
    later = [path for path in updates if at is not None and int(path.stem[7:]) > at]
    return [path for path in updates if path not in passed and path not in later], passed


def _write_joined(folder, name, updates, facts):
    """Write the file; return what the log should say of the last update in it."""
    # beside a file that is to be elsewhere: the folder's disk may be full
    beside = name.parent.resolve() != folder.parent.resolve()
    aside = name.with_name(f".{name.name}.joined.tmp") if beside else folder / ".joined.tmp"
    try:
        with _opened(aside, "w") as joined:
            # of an ending run the description is its own, not that of the one it goes on with
            _join_into(joined, updates, folder / _BASE if facts else updates[-1], own=facts is not None)
            said = curvefile.complete(joined["user"])
            if facts is None:
                joined["system"].attrs["ended_by"] = "killed"
            else:
                write_facts(joined["system"], facts)
        sync(aside)
        os.replace(aside, name)
    finally:
        aside.unlink(missing_ok=True)
    sync(name.parent)
    return said


def _remove(folder, lock):
    """Remove the folder of a result that is complete."""
    try:
        _remove_at_once(folder, lock)
    except OSError as error:
        hidden = _hidden(folder)
        log.warning(
            "the result is complete, but %r, from which it was joined, cannot be removed: %s",
            str(hidden if hidden.is_dir() else folder),
            one_line(error),
        )


def _remove_at_once(folder, lock):
    """Remove a folder, to all who look at once, so that nobody takes a part for it; release its lock."""
    hidden = _hidden(folder)
    try:
        if hidden.is_dir():  # of a run that was killed here
            shutil.rmtree(hidden)
        folder.rename(hidden)
    finally:
        lock.release()  # network file systems keep a file that is removed while it is open
    shutil.rmtree(hidden)


def _hidden(folder):
    return folder.with_name(f".{folder.name}.done")


def _join_into(joined, updates, described, own):
    user = joined.create_group("user")
    try:
        for path in updates:
            with plain_file(path, own) as update:
                _merge(update["user"], user)
        with plain_file(described, own) as file:
            file.copy("system", joined)
    except ConfigError as error:
        raise ConfigError(f"{error}; move it away, and the others can be joined") from None


def _merge(source, target):
    """Copy all below one group into another; of what both have the source's holds."""
    target.attrs.update(source.attrs)
    for key in source:
        if all(group.get(key, getclass=True) is h5py.Group for group in (source, target)):
            _merge(source[key], target[key])
            continue
        if key in target:
            del target[key]
        source.copy(key, target)
