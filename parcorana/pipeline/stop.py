"""Ending a run well before its data does: who asks for it, and how all servers learn of it.

Servers stop reading; everything after them goes on as at the end of the data.
A signal may reach all ranks or any one of them, ``--stop`` reaches the viewer:
whoever knows of it first tells the servers and the viewer.
"""

import ctypes
import logging
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial

import numpy as np

from parcorana.files import aside
from parcorana.forks import in_children
from parcorana.pipeline.transport import TAG_STOP
from parcorana.results.folder import asked_to_stop

log = logging.getLogger("parcorana")
_MESSAGES = 0.02  # s between two looks for messages
_FILE = 0.5  # s between two looks for the stop file
_AGAIN = 1.0  # s within which launcher and terminal may bring the same signal twice
_BY_FILE, _BY_ERROR = 0, -1  # in place of the number of a signal
_REASONS = {_BY_FILE: "--stop", _BY_ERROR: "an error"}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LATER = 0.05  # s
_ACTION = 1024  # bytes, more than any system's `struct sigaction` has


class Stop:
    """What one process knows of whether its run is to be stopped.

    Parameters
    ----------
    transport : MpiTransport, optional
        None in one process, whose roles share this object.
    roles : Roles, optional
        Who is told: the servers and the viewer.

    Attributes
    ----------
    reason : str
        As in ``ended_by``; empty while nobody has asked.
    """

    def __init__(self, transport=None, roles=None):
        self._transport, self._roles = transport, roles
        self._code = None
        self._known = False  # whether others were told, or have told this process
        self._signalled = None
        self._next = self._next_file = 0.0
        self._folder = None
        self._sent = []
        self._handlers = {}  # of each signal that stops the run what it did before
        in_children(self._stand_back)

    @property
    def reason(self):
        """Why the run is to be stopped, as in ``ended_by``; empty while nobody has asked."""
        if self._code is None:
            return ""
        return f"stopped by {_REASONS.get(self._code) or signal.Signals(self._code).name}"

    @property
    def unheard(self):
        """The reason, while a signal has come here and this process has not looked yet."""
        return "" if self._known else self.reason

    def ask(self):
        """Stop the run for an error, which is raised once what was read is published."""
        if self._code is None:
            self._code = _BY_ERROR

    def watch(self, folder):
        """Look for the stop file in the folder of this run."""
        self._folder = folder

    def look(self):
        """Find out whether anybody has asked to stop; return why, or an empty string.

        To be called often: by roles that wait, and for every event that is read.
        """
        now = time.monotonic()
        if now >= self._next or (self._code is not None and not self._known):  # a run may end sooner than that
            self._next = now + _MESSAGES
            self._listen(now)
        return self.reason if self._code is not None else ""

    def _listen(self, now):
        message = np.zeros(1, np.int64)
        if self._transport is not None and self._transport.heard(TAG_STOP, message) and self._code is None:
            self._code, self._known = int(message[0]), True
            self._say()
        if self._folder is not None and self._code is None and now >= self._next_file:
            self._next_file = now + _FILE
            if asked_to_stop(self._folder):
                self._code = _BY_FILE
        if self._code is not None and not self._known:
            self._known = True
            self._say()
            if self._transport is not None:
                message[0] = self._code
                others = {self._roles.viewer, *self._roles.servers} - {self._transport.rank}
                self._sent = [self._transport.send(rank, TAG_STOP, message) for rank in sorted(others)]

    def _say(self):
        if self._transport is None or self._transport.rank == self._roles.viewer:
            log.warning(
                "%s: what was read is computed and published; a %ssignal ends the run at once",
                self.reason,
                "second " if self._code > 0 else "",
            )

    def _on_signal(self, number, frame):
        now = time.monotonic()
        if self._code in (_BY_FILE, _BY_ERROR):
            _interrupt(number, frame)  # asked otherwise before, so this is the second time
        if self._signalled is None:  # that another rank has told of the same one makes no second of it
            self._signalled = now
            self._code = number if self._code is None else self._code
        elif now - self._signalled > _AGAIN:
            _interrupt(number, frame)

    def _stand_back(self):
        """Let signals do to a process that user code has forked what they do to any: its parent ends it by them."""
        for number, handler in self._handlers.items():
            _put_back(number, handler)

    @contextmanager
    def on_signals(self, numbers):
        """Take signals as the wish to stop while the body of ``with`` runs."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            # a shell has its background jobs ignore SIGINT, and nohup SIGHUP: so it stays
            numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
            before = {number: _itself(signal.getsignal(number), number) for number in numbers}
        self._handlers = before
        for number in before:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            self._handlers = {}
            over, signalled = time.monotonic(), self._code is not None and self._code > 0
            for number, handler in before.items():
                _put_back(number, partial(_too_late, handler, over) if signalled else handler)


class _OfC:
    """What a signal does by the will of compiled code, as a library that came before Python, which does not know it."""

    def __init__(self, number):
        self._action = ctypes.create_string_buffer(_ACTION)
        ctypes.CDLL(None).sigaction(int(number), None, self._action)

    def put_back(self, number):
        ctypes.CDLL(None).sigaction(int(number), self._action, None)


def _interrupt(number, frame):
    """Raise KeyboardInterrupt; a moment later where HDF5 has called for the disk: what is raised there is lost."""
    while frame is not None:
        if frame.f_code.co_filename == aside.__file__:
            again = threading.Timer(_LATER, signal.pthread_kill, (threading.main_thread().ident, number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _itself(handler, number):
    """Return the handler that a run before this one would have put back."""
    if handler is None:
        return _OfC(number)
    return handler.args[0] if isinstance(handler, partial) and handler.func is _too_late else handler


def _put_back(number, handler):
    if isinstance(handler, _OfC):
        handler.put_back(number)
    else:
        signal.signal(number, handler)


def _too_late(handler, over, number, _frame):
    """Do nothing for a signal that has stopped a run, and comes once more when that is over: it would kill the rank."""
    if time.monotonic() - over > _AGAIN:
        _put_back(number, handler)
        signal.raise_signal(number)
