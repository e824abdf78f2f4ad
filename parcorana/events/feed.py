"""A thread that reads what blocks, and a queue that the server takes from without waiting."""

import os
import queue
import threading

from parcorana.errors import ConfigError

END = object()
_ROOM = 0.1  # s between two looks whether the feed is closed


_LONGEST = 10**9  # s: 30 years; a clock can hold it


def patience():
    """Return for how long a live run waits for files to appear or to grow [s].

    The environment variable ``PARCORANA_PATIENCE`` says it, 600 without.
    """
    text = os.environ.get("PARCORANA_PATIENCE", "600")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise ConfigError(f"PARCORANA_PATIENCE must be a number of seconds, 0 to {_LONGEST:,}, not {text!r}")
    return seconds


class Closed(Exception):
    """The feed is closed: nobody takes anything any more."""


class Feed:
    """Runs a reader in a thread.

    Parameters
    ----------
    read : callable
        Called in the thread with this feed; calls `put` for each item, and
        returns at the end.
    size : int
        Items that may wait; `put` blocks while there are as many.
    """

    def __init__(self, read, size):
        self._queue = queue.Queue(size)
        self._closed = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._work, args=(read,), daemon=True)
        self._thread.start()

    def _work(self, read):
        try:
            read(self)
        except Closed:
            pass
        except BaseException as error:
            self._error = error

    @property
    def closed(self):
        """Whether `close` was called; a reader that waits looks now and then."""
        return self._closed.is_set()

    def sleep(self, seconds):
        """Sleep in the thread; raise Closed if the feed is closed meanwhile."""
        if self._closed.wait(seconds):
            raise Closed

    def put(self, item):
        """Hand on an item; wait for room; raise Closed if the feed is closed."""
        while not self.closed:
            try:
                return self._queue.put(item, timeout=_ROOM)
            except queue.Full:
                pass
        raise Closed

    def take(self):
        """Return the next item, None if there is none now, END when there will be none.

        Raises
        ------
        Exception
            What ended the reader, after all that it had handed on.
        """
        running = self._thread.is_alive()
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            if running:
                return None
        if self._error is not None:
            raise self._error
        return END

    def close(self, seconds=2.0):
        """Tell the reader to stop, and give it so much time to do so."""
        self._closed.set()
        self._thread.join(seconds)
