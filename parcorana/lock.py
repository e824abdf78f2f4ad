"""A lock on a folder that a run is writing, so that nobody joins or removes it meanwhile."""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

_NAME = ".writer"


class FolderLock:
    """Held by the viewer as long as it lives; a kill frees it.

    Parameters
    ----------
    folder : path

    Raises
    ------
    BlockingIOError
        Another process holds it.
    """

    def __init__(self, folder):
        # a descriptor, not a file object: it is held until the process ends, however it ends
        self._file = os.open(Path(folder) / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise BlockingIOError(errno.EAGAIN, "another run is writing it") from None
        except OSError:  # some network file systems have no locks
            pass
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{socket.gethostname()}, process {os.getpid()}".encode())

    def release(self):
        """Let others have the folder."""
        if self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)  # processes that user code forked have it, too
            os.close(self._file)
        self._file = None


def writer_of(folder, unknown=None):
    """Return who is writing a folder, as ``'host, process 123'``; None if nobody, `unknown` if locks do not work."""
    path = Path(folder) / _NAME
    if not path.is_file():
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(200).strip() or "another process"
        except OSError:
            return unknown
    return None
