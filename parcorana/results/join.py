"""The files of all updates become one, with the folder of the run gone at once."""

import logging
import os
from contextlib import suppress
from pathlib import Path

from parcorana.errors import ConfigError
from parcorana.results.disk import explained
from parcorana.results.folder import BASE, JOINED, STOP, SUFFIX, has_checkpoint, published, remove
from parcorana.results.joined import Joined
from parcorana.results.lock import FolderLock, writer_of
from parcorana.results.name import check_is_result, check_name
from parcorana.results.runlog import read_log

log = logging.getLogger("parcorana")


def join(folder, facts=None, lock=None, name=None, overwrite=False, joined=None):
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
    joined : Joined, optional
        What was joined of it as it went on.

    Returns
    -------
    pathlib.Path, list of pathlib.Path
        The file, and the updates in it; what is damaged is left out, kept, and said in the log.

    Raises
    ------
    ConfigError
        There is no such folder, it is not one of ours, or a run, or another
        one who joins, is writing it.
    RunError
        The file cannot be written.
    """
    folder = given = Path(folder)
    if not os.path.isdir(folder) or not folder.name.endswith(SUFFIX) or folder.name == SUFFIX:
        raise ConfigError(f"--join: {str(folder)!r} is not a folder NAME{SUFFIX}")
    if lock is None and (writer := writer_of(folder)):
        raise ConfigError(
            f"--join: {str(folder)!r} is being written by a run ({writer}); to look at what it has published, "
            "open the files update_*.h5 in it"
        )
    name = Path(name or folder.with_name(folder.name[: -len(SUFFIX)]))
    check_name("--join", name)
    if folder.is_symlink():  # the result is beside the link, which goes with the folder
        folder = folder.resolve()
    updates, passed = _to_join(folder, facts)
    if not updates:
        raise ConfigError(f"--join: {str(folder)!r} holds no update: nothing was published; remove the folder")
    if name.is_dir() or not name.parent.is_dir():
        raise ConfigError(f"--join: {str(name)!r} is a folder, or in none; it must be the name of a file")
    if facts is None and name.exists() and not overwrite:
        raise ConfigError(f"--join: {str(name)!r} exists; name another file with -o, or say --overwrite")
    if facts is None:
        check_is_result("--join", name)
    with explained(f"cannot write {str(name)!r}", f"; what was published stays in {str(folder)!r}"):
        lock = lock or FolderLock(folder)
        try:
            said, left_out = _write_joined(folder, name, updates, facts, joined)
            stays = has_checkpoint(folder) and not (facts and facts["complete"])
            _keep_damaged(folder, left_out, stays)
        except BaseException:
            lock.release()
            raise
    for text in said:
        log.warning("%s", text)
    if stays:
        for path in [folder / STOP, *passed]:
            path.unlink(missing_ok=True)
        lock.release()
    else:
        remove(folder, lock)
        if given != folder and not folder.exists():
            with suppress(OSError):
                given.unlink()
    return name, [path for path in updates if path not in left_out]


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


def _write_joined(folder, name, updates, facts, joined):
    """Write the file; return what the log should say of it, and which updates are not in it."""
    # beside a file that is to be elsewhere: the folder's disk may be full
    beside = name.parent.resolve() != folder.parent.resolve()
    try:
        if joined is None or joined.begins(updates) is None:
            if joined is not None:
                joined.discard()
            joined = Joined(name if beside else folder / JOINED, own=facts is not None)
        joined.take(updates[joined.begins(updates) :])
        # of an ending run the description is its own, not that of the one it goes on with
        log_text, _ = read_log(folder)
        said = joined.complete([folder / BASE] * (facts is not None) + updates[::-1], facts, log_text)
        joined.become(name)
    finally:
        if joined is not None:
            joined.discard()
    return said, joined.left_out


def _keep_damaged(folder, left_out, stays):
    """Say which updates were left out; keep them beside the result if their folder goes."""
    for path, why in left_out.items():
        kept = path
        if not stays:
            kept = folder.with_name(f"{folder.name.removesuffix(SUFFIX)}.{path.stem}.damaged")
            os.replace(path, kept)
        log.warning("%s %s; it is left out of the result, and kept as %s", path.name, why, kept)
