"""A lock on a folder that a run is writing, so that nobody joins, takes over or removes it meanwhile."""

import errno
import fcntl
import os
import pwd
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

from parcorana.forks import in_children

_NAME = ".writer"
_TRIES, _PAUSE = 5, 0.02  # who only looks holds the lock for an instant, too


class FolderLock:
    """Held by the viewer as long as it lives; a kill frees it.

    Where a file system has no locks, the name that a process writes there
    stands for one: see `writer_of`.

    Parameters
    ----------
    folder : path

    Raises
    ------
    BlockingIOError
        Another process holds it.
    """

    def __init__(self, folder):
        path = Path(folder) / _NAME
        # a descriptor, not a file object: it is held until the process ends, however it ends; and nobody else may open
        # it, for to read a file is enough to lock it
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            if os.fstat(self._file).st_uid == os.geteuid():
                with suppress(OSError):  # some file systems have no modes
                    os.fchmod(self._file, 0o600)  # of an older version
            self._locks = self._take(path)
            # the folder may have got another name, or gone, while this process waited
            if os.stat(path).st_ino != os.fstat(self._file).st_ino:
                raise FileNotFoundError(errno.ENOENT, "the folder was removed meanwhile")
            os.ftruncate(self._file, 0)
            os.write(self._file, this_process().encode())
        except BaseException:
            os.close(self._file)
            raise
        in_children(self._let_go)

    def _let_go(self):
        """Leave the lock to the process that has taken it: it is held as long as anybody has this file open."""
        os.close(self._file)
        self._file = None

    def _take(self, path):
        """Take the lock; tell whether there is one."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(_PAUSE)
            except OSError:
                if _named(path):
                    break
                return False
        raise BlockingIOError(errno.EAGAIN, "another run is writing it")

    def release(self):
        """Let others have the folder."""
        if self._file is not None:
            with suppress(OSError):
                if not self._locks:
                    os.ftruncate(self._file, 0)
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
        self._file = None


def this_process():
    """Return how this process is named in the folder that it writes."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def writer_of(folder):
    """Return who is writing a folder, as ``'host, process 123'``; None if nobody.

    Some network file systems have no locks. There whoever has written its name
    into the folder last counts as writing it, unless that is a process of this
    host that is gone; the text then says what to do if it is gone elsewhere.
    """
    path = Path(folder) / _NAME
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return f"of {_owner(path)}, who alone can tell whether it goes on"
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    with open(number, encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(200).strip() or "another process"
        except OSError:
            return _named(path)
    return None


def _owner(path):
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (KeyError, OSError):
        return "another user"


def _named(path):
    """Return who has written its name, where there are no locks."""
    who = path.read_text(encoding="utf-8", errors="replace")[:200].strip()
    host, _, process = who.partition(", process ")
    if not who or (host == socket.gethostname() and process.isdigit() and not os.path.exists(f"/proc/{process}")):
        return None
    return f"{who}; if that goes on no more, which a file system without locks cannot tell, remove {str(path)!r}"
