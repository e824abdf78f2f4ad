"""The log of a run beside what it publishes, so that who looks at its folder or at its result sees the warnings, too.

A handler only takes lines down: whoever logs, in whatever thread, never waits for a disk. The viewer
writes them where it may wait anyway.
"""

import logging
import os
import re
import threading
import time
from collections import deque

from parcorana.errors import escaped
from parcorana.files.sealed import taken

log = logging.getLogger("parcorana")
LOG = "log.txt"
_WAITING = 1000  # lines in memory at most: of more the oldest are lost
_MOST = 16 << 20  # bytes of a log
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (DEBUG|INFO|WARNING|ERROR|CRITICAL) (.*)")


class Lines(logging.Handler):
    """Takes down what is logged, as lines with date, time and level.

    Attributes
    ----------
    lines : deque of str
        What nobody has taken yet.
    lost : int
        Lines that are in it no more, for there were too many.
    """

    def __init__(self):
        super().__init__()
        self.lines, self.lost = deque(maxlen=_WAITING), 0

    def emit(self, record):
        """Take down a record; a table is one line for each of its own."""
        try:
            for text in record.getMessage().splitlines():
                self.lost += len(self.lines) == _WAITING
                self.lines.append(_line(record.created, record.levelname, escaped(text)))
        except Exception:  # of a user class's own arguments: the log on standard error says so
            return


def _as_bytes(lines):
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _line(when, level, text):
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(when))} {level} {text}"


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
        self._path, self._fails, self._thread = os.path.join(folder, LOG), False, threading.get_ident()
        self.lines.extend(BEFORE.lines)
        BEFORE.lines.clear()
        log.removeHandler(BEFORE)
        log.addHandler(self)

    def emit(self, record):
        """Take down a record; where the program that runs the job has no log, see that Python prints it as ever."""
        if self._is_mine(record):
            super().emit(record)
        others = logging.lastResort
        if others is not None and record.levelno >= others.level and self._is_only(logging.getLogger(record.name)):
            others.handle(record)

    def _is_mine(self, record):
        """Tell whether a record is of this run: that no other one runs in the thread that it comes from."""
        return record.thread == self._thread or all(
            record.thread != each._thread for each in log.handlers[:] if isinstance(each, RunLog)
        )

    def _is_only(self, logger):
        """Tell whether nobody else hears a log; of several runs at a time the first one does."""
        heard = []
        while logger is not None:
            heard += logger.handlers
            logger = logger.parent if logger.propagate else None
        return heard[:1] == [self] and all(isinstance(each, Lines) for each in heard)

    def write(self):
        """Write what has been taken down; a log that cannot be written ends no run."""
        if not self.lines or self._fails:
            return
        lines, lost, self.lost = [self.lines.popleft() for _ in range(len(self.lines))], self.lost, 0
        if lost:
            lines.insert(
                0, _line(time.time(), "WARNING", f"{lost:,} lines of the log came too fast: they are not here")
            )
        data = _as_bytes(lines)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(self._path, flags, 0o666)
            try:
                size = os.fstat(file).st_size
                if size > _MOST:
                    return
                if size + len(data) > _MOST:
                    data += _as_bytes(
                        [_line(time.time(), "WARNING", "the log is too long: the rest is on standard error")]
                    )
                os.write(file, data)
            finally:
                os.close(file)
        except OSError as error:
            self._fails = True
            log.warning("%s cannot be written: %s; the log is on standard error alone", self._path, error.strerror)

    def end(self):
        """Write the rest; take down no more."""
        log.removeHandler(self)
        self.write()


def read_log(folder, start=0, most=2 * _MOST):
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
