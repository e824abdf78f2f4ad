"""A lock on a folder that a run is writing, so that nobody joins or removes it meanwhile."""

import fcntl
import os
import socket
from pathlib import Path

_NAME = ".writer"


class FolderLock:
    """Held by the viewer as long as it lives; a kill frees it.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder):
        self._file = open(Path(folder) / _NAME, "a+", encoding="utf-8")  # noqa: SIM115, held on purpose
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # some network file systems have no locks; the name in the file still tells
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{socket.gethostname()}, process {os.getpid()}")
        self._file.flush()

    def release(self):
        """Let others have the folder."""
        self._file.close()


def writer_of(folder):
    """Return who is writing a folder, as ``'host, process 123'``; None if nobody is."""
    path = Path(folder) / _NAME
    if not path.is_file():
        return None
    with open(path, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "another process"
        except OSError:
            return None
    return None
