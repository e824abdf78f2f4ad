"""Processes that user code forks: nothing of the run is theirs.

As a `multiprocessing.Pool` makes them, they begin as copies of a rank, with
its handlers of signals, its lock on the folder of the run, its sockets. Who has
such things says by `in_children` how a child is to give them up.
"""

import os
import signal
import threading
import weakref
from contextlib import suppress

from parcorana.errors import one_line, say

_called = []  # weak references to methods
_masks = threading.local()
_forks = [0]  # from the first process to this one


def in_children(method):
    """Have a method called in every process that is forked from this one, as long as its object is there.

    No signal comes before it has returned.
    """
    _called[:] = [each for each in _called if each() is not None]
    _called.append(weakref.WeakMethod(method))


def forks():
    """Return a number that is another one in a process that was forked meanwhile."""
    return _forks[0]


def leave(where, error):
    """End a process that user code has forked, and that comes out of that code: it is no rank.

    Parameters
    ----------
    where : str
        What it comes out of.
    error : BaseException or None
    """
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        os._exit(error.code or 0)
    what = f"{type(error).__name__}: {one_line(error)}" if error else "it must end by os._exit, not return"
    say(f"parCorAnaDriver: a process that {where} has forked: {what}")
    os._exit(1)


def _before():
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _after():
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _in_child():
    _forks[0] += 1
    for each in _called:
        with suppress(Exception):  # of what is left the next one is given up
            if method := each():
                method()
    _called.clear()
    _after()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
