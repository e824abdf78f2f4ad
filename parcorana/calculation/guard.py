"""User code is called here: what runs is known to those who watch, and what it raises is told as the user's."""

import ctypes
import inspect
import os
import threading
from array import array
from contextlib import contextmanager
from types import GeneratorType

import numpy as np

from parcorana.calculation.base import BlockBase
from parcorana.calculation.userbase import UserBase
from parcorana.errors import ParCorAnaError, RunError, UserCodeError, say, shown
from parcorana.forks import forks, leave

# What user code runs in this process, for those who watch it: the address of its name, 0 for none, and how many calls
# there were. Plain memory, so that no interpreter is needed to look at it.
RUNNING = array("q", (0, 0))
BASES = (UserBase, BlockBase)  # their own methods are documentation: they are not called
ROLE_OF = {}  # of each name the role that it was last made for
OF_PROGRAM = "the program's own "  # how the name of what is no user's begins
_names = {}  # they stay where they are for good


def is_ours(thing):
    """Tell whether a class or function is the program's, not a user's."""
    return (getattr(thing, "__module__", None) or "").partition(".")[0] == "parcorana"


def _address(running, role):
    """Return the address of the name of what is going to run."""
    ROLE_OF[running] = role
    return ctypes.addressof(_names.setdefault(running, ctypes.create_string_buffer(running.encode())))


@contextmanager
def runs(what):
    """Tell those who watch that something runs, as for user code, while the body of ``with`` does."""
    RUNNING[1] += 1
    outer, RUNNING[0] = RUNNING[0], _address(what, None)
    process, error = forks(), None
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        RUNNING[0] = outer
        if forks() != process:
            leave(what, error)


@contextmanager
def hold_exits():
    """Have `os._exit` raise in user code: a rank that ended by it left mpiexec with its status, 0 perhaps, and no word.

    In another thread, where nobody would see what is raised, it ends the rank with a line and a status that is not 0.
    Processes that are forked end by it as ever.
    """
    leaves, mine, main = os._exit, os.getpid(), threading.main_thread()

    def _exit(status):
        if os.getpid() != mine:
            leaves(status)
        if threading.current_thread() is not main:
            who = shown(threading.current_thread().name)
            say(f"parCorAnaDriver: a thread, {who}, ends this rank by os._exit({status})")
            leaves(status or 1)
        if RUNNING[0]:
            raise RunError(f"os._exit({status}) would end this rank without a word: raise an exception instead")
        leaves(status)

    os._exit = _exit
    try:
        yield
    finally:
        os._exit = leaves


def _array(value):
    """Return what `finalDataArray` may return as an array."""
    return value if value is None or isinstance(value, np.ndarray) else np.asarray(value)


_MADE = {"eventOk": bool, "finalDataArray": _array}  # of what callbacks return, which of itself may raise


def guarded(function, where, role, made=None):
    """Return a user's function such that what it raises is a `UserCodeError`, and so what `made` raises of its result.

    What the user raised in our own words (`ParCorAnaError`) stays what it is,
    and gets the name of the callback. `RUNNING` tells that it runs, and whether
    it is a user's.
    """
    running = f"{OF_PROGRAM}{where.rpartition('.')[2]}" if is_ours(function) else where
    name = _address(running, role)

    def call(*args):
        RUNNING[1] += 1
        outer, RUNNING[0] = RUNNING[0], name
        process, raised = forks(), None
        try:
            result = function(*args)
            return result if made is None else made(result)
        except ParCorAnaError as error:
            raised = error
            if running == where and error.where is None:
                error.where = where
            raise
        except (UserCodeError, KeyboardInterrupt) as error:
            raised = error
            raise
        except BaseException as error:  # SystemExit and StopIteration, too: they must not end a role quietly
            raised = error
            raise UserCodeError(where, role) from error
        finally:
            RUNNING[0] = outer  # one method may call another
            if forks() != process:
                leave(where, raised)
            del raised

    return call


def drive(user, name, made):
    """Generate what a method yields, if it has made a generator; each step of it is guarded as the method is.

    Parameters
    ----------
    user : object
    name : str
        Of the method.
    made : object
        What it has returned.

    Returns
    -------
    object
        What it returns in the end.
    """
    if not isinstance(made, GeneratorType):
        return made

    def step(answer):
        try:
            return False, made.send(answer)
        except StopIteration as end:
            return True, end.value

    if not getattr(type(user), "passes_on", False):
        step.__module__ = type(user).__module__
        step = guarded(step, f"{type(user).__name__}.{name}", getattr(getattr(user, "mpiParams", None), "role", None))
    finished, value = step(None)
    while not finished:
        finished, value = step((yield value))
    return value


def callback(user, name):
    """Return an object's method, guarded; None if its class does not define it."""
    if not defines(type(user), name):
        return None
    method = getattr(user, name)
    if getattr(type(user), "passes_on", False):  # what it calls is guarded there
        return method
    role = getattr(getattr(user, "mpiParams", None), "role", None)
    return guarded(method, f"{type(user).__name__}.{name}", role, _MADE.get(name))


def defines(user_class, name):
    """Tell whether a class has a method: not None, and not that of a base class which only documents it."""
    found = inspect.getattr_static(user_class, name, None)
    return found is not None and all(found is not vars(base).get(name) for base in BASES)
