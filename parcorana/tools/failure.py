"""A run that fails: what is told of it, and how its ranks end."""

import faulthandler
import os
import signal
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path

from parcorana.errors import ParCorAnaError, UserCodeError, one_line, out_of, say
from parcorana.pipeline import mpi
from parcorana.results.folder import forget, give_back, what_is_left

_exit = os._exit  # user code cannot have put another one in its place yet
_PACKAGE = str(Path(__file__).resolve().parent.parent)
_AT_LAST = 2.0  # s after which a process that ends the run is gone itself
_AFTER, _TURN, _TURNS = 1.0, 0.5, 4  # s that the second rank of those with the same fault waits, and each one after it


def describe(error, roles, ranks, debug):
    """Return what to tell of an error while running: one line, before it the user's part of the traceback.

    Whatever fails in making it, there is a line: what has failed may be what a
    traceback needs (files, modules), or the text of the user's exception.
    """
    try:
        return _described(error, roles, ranks, debug)
    except BaseException as fault:
        where = f"rank {ranks.rank}: " if ranks is not None and ranks.comm is not None else ""
        called = f"in {error.where}: " if isinstance(error, UserCodeError) else ""
        error = error.__cause__ if called else error
        why = f"what more there is to tell cannot be made: {_name(fault)}: {one_line(fault)}"
        return f"parCorAnaDriver: {where}{called}{_name(error)}: {one_line(error)} ({why})"


def _name(error):
    """Return the name of an exception's class, whatever that class makes of being asked for it."""
    return type.__dict__["__name__"].__get__(type(error))


def _described(error, roles, ranks, debug):
    where = []
    role = next((r for r in roles if r.at is not None and _is_of(error, r)), roles[0] if roles else None)
    if ranks is not None and ranks.comm is not None:
        where.append(f"rank {ranks.rank}")
    if role is not None:
        where.append(
            f"{type(role).__name__.lower()}{'' if role.at.startswith(('before', 'after')) else ' at'} {role.at}"
        )
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, UserCodeError):
        if role is None:
            where.append(f"{error.role} before the first event")
        where.append(f"in {error.where}")
        error = error.__cause__
        frames += traceback.extract_tb(error.__traceback__)
    elif (called := getattr(error, "where", None)) and called not in str(error):
        where.append(f"in {called}")
    plain = str(error) if isinstance(error, ParCorAnaError) else out_of(error)
    text = plain or f"{_name(error)}: {one_line(error)}"
    if not debug:
        own = [k for k, frame in enumerate(frames) if not frame.filename.startswith(_PACKAGE)]
        first = own[0] if own and not isinstance(error, ParCorAnaError) else len(frames)
        # from the user's first frame on: what lies above it is ours
        frames = frames[next((k for k in own if k >= first and "runpy" not in frames[k].filename), len(frames)) :]
    shown = "".join(traceback.format_list(frames))
    return f"{shown}parCorAnaDriver: {', '.join([*where, ''])[:-2]}{': ' if where else ''}{text}"


def _is_of(error, role):
    """Tell whether an error is one that a role has kept, or the role's own frame is on its traceback."""
    if getattr(role, "error", None) is error:
        return True
    frame = error.__traceback__
    while frame:
        if frame.tb_frame.f_locals.get("self") is role:
            return True
        frame = frame.tb_next
    return False


def debugs(args):
    """Tell whether tracebacks are asked for."""
    return (args.verbosity or "").lower() == "debug"


def tell(error, text, args):
    """Say what is wrong, with the traceback where that is asked for."""
    if debugs(args):
        say("".join(traceback.format_exception(error)).rstrip())
    say(f"parCorAnaDriver: {text}")


def place_of(roles):
    """Return how many ranks may have the same to tell, and come before this one."""
    job = getattr(roles[0], "job", None) if roles else None
    return job.place if job else 0


def end_badly(text, ranks, names, place=0):
    """Say what happened; under MPI end all ranks, for an exception in one leaves the others waiting.

    The same fault often shows on all servers, or workers, at once: the one at
    the first place tells it, those after it only if they are still there.
    """
    alone = ranks is None or ranks.comm is None
    try:
        if place:
            time.sleep(_AFTER + _TURN * min(place - 1, _TURNS))  # ended by the one that tells it, if there is one
        say(text)  # first of all: the file system that is asked now may be what has failed, or hang for ever
        stay = _exit_soon()
        give_back()
        with suppress(OSError):
            if names and alone and ranks is not None:  # of several ranks another may be about to publish
                forget(names[0])
            if left := what_is_left(names[0]) if names else "":
                say(left)
        if alone:
            stay()
        else:
            time.sleep(0.2)  # mpiexec still has to read that line
    except BaseException as fault:  # user code may have taken away anything that this needs
        say(f"parCorAnaDriver: while the run was ended: {_name(fault)}: {one_line(fault)}")
    finally:
        if not alone:
            mpi.abort(1)
    return 1


def _exit_soon():
    """Have this process end, with another exit status than 0, whatever hangs in it; return what takes that back."""
    nowhere = None
    with suppress(Exception):  # without a descriptor that is free the stacks are shown, which is better than no end
        nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        faulthandler.dump_traceback_later(_AT_LAST, exit=True, file=2 if nowhere is None else nowhere)
    except RuntimeError:  # it takes a thread, and there may be none: the system's alarm clock takes nothing
        signal.setitimer(signal.ITIMER_REAL, _AT_LAST)
        return partial(signal.setitimer, signal.ITIMER_REAL, 0)

    def stay():
        faulthandler.cancel_dump_traceback_later()
        if nowhere is not None:
            os.close(nowhere)

    return stay


def end_by_watch(reason, at_once, ranks, names):
    """End a run that cannot end itself, from the thread that watches it; at once where mpiexec is about to."""
    try:
        _exit_soon()  # whatever may hang now, the log or an MPI that reaches nobody
        if at_once:
            say(f"parCorAnaDriver: {reason}")
            mpi.abort(1)
        end_badly(f"parCorAnaDriver: {reason}", ranks, names)
    finally:
        _exit(1)
