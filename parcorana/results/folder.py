"""The folder of a run in progress: whose it is, what is in it, when it goes."""

import errno
import logging
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from parcorana.errors import ConfigError, one_line
from parcorana.files.aside import is_aside
from parcorana.results.disk import explained
from parcorana.results.lock import FolderLock, this_process, writer_of

log = logging.getLogger("parcorana")
BASE = "base.h5"
SUFFIX = ".inprogress"
JOINED = "joined.h5"
STOP = ".stop"
MADE = set()  # the folders that this process has made
# what runs write into their folders, of older versions too, besides what is being written; .nfs: of a network file
# system, in place of what was removed while somebody had it open
_OWN = re.compile(
    r"(base|joined|(update|ending)_\d+)\.h5|log\.txt|\.writer|\.stop|\.(base|joined|update_\d+)\.tmp|\.nfs\w+"
    r"|checkpoint_\d+(_(\d+|viewer))?\.(part|json)"
)
_reserved = {}  # of those made for a run that has not begun yet: what tells them from others


def reserve(name):
    """Make the folder of a run that is about to begin; tell whether the name of its result is this process's now."""
    folder = Path(f"{os.path.abspath(name)}{SUFFIX}")
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    except OSError:  # whoever begins is told why
        return True
    if os.path.exists(name):  # the run that had it has ended meanwhile
        folder.rmdir()
        return False
    _reserved[str(folder)] = identity(folder)
    return True


def is_reserved(name):
    """Tell whether the folder of a run is there, and `reserve` has made it."""
    folder = f"{os.path.abspath(name)}{SUFFIX}"
    return folder in _reserved and identity(folder) == _reserved[folder]


def give_back():
    """Remove the folders that were reserved for runs that have not begun."""
    for folder, made in _reserved.items():
        with suppress(OSError):
            if identity(folder) == made:
                os.rmdir(folder)
    _reserved.clear()


def make(folder):
    """Make the folder of a run, unless it is there, reserved for it.

    Raises
    ------
    OSError
        As `FileExistsError`, where another run has come first.
    """
    reserved = _reserved.pop(str(folder), None)
    if reserved is None or identity(folder) != reserved:
        folder.mkdir()


def check_folder(folder, overwrite):
    """Refuse a folder with results of another run; one in which nothing was published goes if `overwrite` says so."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        what = "a link that leads nowhere" if not folder.exists() else "no folder"
        raise ConfigError(
            f"h5output: {str(folder)!r}, where a run writes till its end, is {what}: remove it, or choose another name"
        )
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
    # parts of a checkpoint that has no manifest are of no use
    nothing = re.compile(r"base\.h5|log\.txt|\.writer|\.stop|\.(base|update_\d+)\.tmp|checkpoint_\d+_\d+\.part")
    return all(nothing.fullmatch(name) or is_aside(name, r"\w+\.\w+") for name in os.listdir(folder))


def forget(name):
    """Remove the folder of a run that failed before it published anything; the next run is not to trip over it.

    Only if this process made it: one of the same name may be that of another run.
    """
    folder = Path(f"{name}{SUFFIX}")
    if identity(folder) in MADE and writer_of(folder) in (None, this_process()) and _is_empty(folder):
        shutil.rmtree(folder, ignore_errors=True)


def identity(path, *more):
    """Return what tells a file or folder from another one of the same name, and `more` of it; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return tuple(getattr(found, f"st_{key}") for key in ("dev", "ino", *more))


def version_of(path):
    """Return what changes when a file is written again."""
    return identity(path, "mtime_ns", "size")


def clear(name):
    """Remove the folder that a run left which published nothing, as `resolve_name` allows it; before any rank writes.

    Raises
    ------
    RunError
        Another run has begun meanwhile, or it cannot be removed.
    """
    folder = Path(f"{name}{SUFFIX}")
    if not folder.is_dir() or is_reserved(name):
        return
    with explained(f"h5output: cannot remove {str(folder)!r}"):
        lock = FolderLock(folder)  # from here on nobody else has it
        if not _is_empty(folder):
            lock.release()
            raise FileExistsError(errno.EEXIST, "another run has written into it meanwhile")
        remove_at_once(folder, lock)


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
    for name in os.listdir(folder):  # what those who were killed had begun, and nobody goes on with
        if name == STOP or is_aside(name, r"\w+\.\w+"):
            (Path(folder) / name).unlink(missing_ok=True)
    return lock


def asked_to_stop(folder):
    """Tell whether there is a stop file in the folder of a run."""
    with suppress(OSError):
        # a listing: network file systems may remember for half a minute that a single file is not there
        return STOP in os.listdir(folder)
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
    if not os.path.isdir(folder):  # which says no of what can be no name, too
        raise ConfigError(f"--stop: no run is writing {name!r}: there is no folder {str(folder)!r}")
    writer = writer_of(folder)
    if not writer:
        raise ConfigError(f"--stop: the run that wrote {str(folder)!r} goes on no more; see --join")
    try:
        os.close(os.open(folder / STOP, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666))
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


def remove(folder, lock):
    """Remove the folder of a result that is complete."""
    try:
        if others := remove_at_once(folder, lock):
            log.warning(
                "the result is complete, but %r stays, for there is in it what no run has written: %s",
                str(folder),
                ", ".join(map(repr, others[:3])) + (f" and {len(others) - 3} more" if len(others) > 3 else ""),
            )
    except OSError as error:
        hidden = hidden_name(folder)
        log.warning(
            "the result is complete, but %r, from which it was joined, cannot be removed: %s",
            str(hidden if hidden.is_dir() else folder),
            one_line(error),
        )


def remove_at_once(folder, lock):
    """Remove a folder, to all who look at once, so that nobody takes a part for it; release its lock.

    Returns
    -------
    list of str
        What is in it that no run writes: then that stays, and so does the folder.
    """
    hidden = hidden_name(folder)
    try:
        if hidden.is_dir() and _others_after_removal(hidden):  # of a run that was killed here
            raise FileExistsError(errno.EEXIST, f"{str(hidden)!r} holds what no run has written")
        folder.rename(hidden)
    finally:
        lock.release()  # network file systems keep a file that is removed while it is open
    if others := _others_after_removal(hidden):
        hidden.rename(folder)
    return others


def _others_after_removal(folder):
    """Remove what runs write from a folder; return what else is in it, and if that is nothing, remove it as well."""
    others = []
    for name in sorted(os.listdir(folder)):
        if _OWN.fullmatch(name) or is_aside(name, r"\w+\.\w+"):
            os.unlink(folder / name)
        else:
            others.append(name)
    if not others:
        os.rmdir(folder)
    return others


def hidden_name(folder):
    """Return a name for what is about to be removed, which nobody takes for a run."""
    return folder.with_name(f".{folder.name}.done")
