"""The log of a run beside what it publishes, so that who looks at its folder or at its result sees the warnings, too.

A handler only takes lines down: whoever logs, in whatever thread, never waits for a disk. The viewer
writes them where it may wait anyway.
"""

import logging
import os
import re
import time
from collections import deque

from parcorana.errors import escaped
from parcorana.files.sealed import taken

LOG = "log.txt"
_WAITING = 1000  # lines in memory at most: of more the oldest are lost
_MOST = 16 << 20  # bytes of a log; what follows is on standard error alone
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (DEBUG|INFO|WARNING|ERROR|CRITICAL) (.*)")


class Lines(logging.Handler):
    """Takes down what is logged, as lines with date, time and level.

    Attributes
    ----------
    lines : deque of str
        What nobody has taken yet.
    """

    def __init__(self):
        super().__init__()
        self.lines = deque(maxlen=_WAITING)

    def emit(self, record):
        """Take down a record; a table is one line for each of its own."""
        try:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
            for line in record.getMessage().splitlines():
                self.lines.append(f"{when} {record.levelname} {escaped(line)}")
        except Exception:  # of a user class's own arguments: the log on standard error says so
            return


#: What is logged before a run has a folder.
BEFORE = Lines()


class RunLog(Lines):
    """The log in the folder of a run.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder):
        super().__init__()
        self._path, self._fails = os.path.join(folder, LOG), False
        self.lines.extend(BEFORE.lines)
        BEFORE.lines.clear()
        logger = logging.getLogger("parcorana")
        logger.removeHandler(BEFORE)
        logger.addHandler(self)

    def emit(self, record):
        """Take down a record; what nobody else hears goes to standard error, as it does without a log."""
        super().emit(record)
        if self._is_alone() and logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)

    def _is_alone(self):
        """Tell whether only logs as this one listen, and this is the first of them."""
        logger, heard = logging.getLogger("parcorana"), []
        while logger is not None:
            heard += logger.handlers
            logger = logger.parent if logger.propagate else None
        return heard[:1] == [self] and all(isinstance(each, Lines) for each in heard)

    def write(self):
        """Write what has been taken down; a log that cannot be written ends no run."""
        if not self.lines or self._fails:
            return
        text = "".join(f"{self.lines.popleft()}\n" for _ in range(len(self.lines)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(self._path, flags, 0o666)
            try:
                self._fails = os.fstat(file).st_size > _MOST
                if not self._fails:
                    os.write(file, text.encode("utf-8", "backslashreplace"))
            finally:
                os.close(file)
        except OSError:
            self._fails = True

    def end(self):
        """Write the rest; take down no more."""
        logging.getLogger("parcorana").removeHandler(self)
        self.write()


def read_log(folder, start=0, most=_MOST):
    """Read the log in the folder of a run, from a byte on.

    Parameters
    ----------
    folder : path
    start : int
    most : int
        Bytes at most.

    Returns
    -------
    text : str
        Whole lines; empty where there is no log that can be read.
    end : int
        The byte behind it.
    """
    path = os.path.join(folder, LOG)
    try:
        with taken(path, folder) as (file, _):
            piece = os.pread(file, most, start)
    except OSError:
        return "", start
    piece = piece[: piece.rfind(b"\n") + 1]
    return piece.decode("utf-8", "replace"), start + len(piece)


def lines_of(text):
    """Return (time, level, text) of each line of a log that is one."""
    return [found.groups() for found in map(_LINE.fullmatch, text.splitlines()) if found]
