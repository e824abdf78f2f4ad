"""Whether HDF5's library gets through a file at all: tried in a process of its own.

Over a damaged file the library may crash, or follow a heap whose lengths are
wrong for ever, and no other thread of Python runs meanwhile. So somebody else
goes first.
"""

import os
import resource
import signal
import time
import warnings

KILLED = "cannot be tried: the system ended the process that did so (SIGKILL), as it does where memory runs out"
SECONDS = 5  # of the processor for one item: a file system that is slow takes none, a loop takes nothing else
WHOLE = 60  # of the processor for all of a file: whoever waits for it shall not wait for ever
_OFTEN = 0.1  # s
_ALLOWED = [0.0, 0]  # when the child was allowed more, and the second of the processor after which it is no more


def tried(read, *args):
    """Return what becomes of the library while something is read; None if it gets through.

    Parameters
    ----------
    read : callable
        Called in a child process. What it returns or raises is not told: who
        reads the same again gets it, too.

    Returns
    -------
    str or None
        The end of a sentence that begins with the name of the file.
    """
    with warnings.catch_warnings():
        # Python warns of a fork beside other threads: this child uses nothing of theirs
        warnings.simplefilter("ignore", DeprecationWarning)
        end, child_end = os.pipe()
        try:
            pid = os.fork()
        except OSError:  # no room for another process: then it is read untried
            os.close(end)
            os.close(child_end)
            return None
    if not pid:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            begin()
            read(*args)
        finally:
            os.write(child_end, b".")
            os._exit(0)  # nothing of the parent's is flushed, closed or finished a second time
    os.close(child_end)
    with open(end, "rb") as file:
        got_through = bool(file.read())  # it ends when the child does
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:  # SIGCHLD is ignored, as some launchers leave it: then nobody knows how a child ended
        return None if got_through else f"HDF5's library crashes over it, or found no end in {SECONDS} s"
    if not os.WIFSIGNALED(status):
        return None
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return f"HDF5's library found no end in {SECONDS} s over one item of it, or in {WHOLE} s over all of it"
    if number == signal.SIGKILL:
        return KILLED
    return f"HDF5's library crashes over it ({signal.Signals(number).name})"


def begin():
    """Let the child use so many seconds of the processor for a file, and first for one item of it."""
    _ALLOWED[:] = 0.0, _used() + WHOLE
    allow_more()


def _used():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


def allow_more():
    """Let the child use so many seconds more of the processor: it goes on to the next item."""
    if (now := time.monotonic()) < _ALLOWED[0] + _OFTEN:  # of thousands of items hardly any takes as long
        return
    _ALLOWED[0] = now
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = min(_used() + SECONDS, _ALLOWED[1])
    resource.setrlimit(resource.RLIMIT_CPU, (soft if most == resource.RLIM_INFINITY else min(soft, most), most))
