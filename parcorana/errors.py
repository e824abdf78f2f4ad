"""The two ways a run can end badly, and the exit status of each."""

import errno
import io
import os
import resource
import signal
import sys
from contextlib import contextmanager, suppress
from functools import wraps

_TOO_MANY_FILES = os.strerror(errno.EMFILE)
_INTERRUPTED = 128 + signal.SIGINT  # as shells have it
_BEGIN, _END = 3000, 1000  # characters of an error that are told: enough for every list that one gives


def escaped(text, kept=""):
    """Return a text with escapes in place of what is not printable, but for the characters in `kept`."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )


def without_middle(text, begin, end):
    """Return a text; of one that is longer than so many characters its begin and its end."""
    return text if len(text) <= begin + end else f"{text[:begin]} ... {text[-end:]}"


def printable(text):
    """Return a text as one line that a terminal takes for nothing but text.

    Names of files, and of what is in them, come from others: with line breaks
    they could forge lines of a log, with control characters a terminal's display.
    The system's word for a limit is followed by what limit it is: the file that
    an error names just came last.
    """
    shown = without_middle(escaped(text), _BEGIN, _END)
    if _TOO_MANY_FILES in shown and "ulimit -n" not in shown:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        shown += f": this process may have {limit} files open and no more; raise that limit with ulimit -n"
    return shown


def out_of(error):
    """Return what a process is short of, by an exception that says so, and what can be done; None for others."""
    if isinstance(error, MemoryError):
        return (
            f"memory ran out ({one_line(error) or 'MemoryError'}): use more ranks, fewer times, a smaller block or a "
            "smaller mask, or raise what limits it (ulimit -v, the batch job's memory); --check says what is needed"
        )
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no more thread can be started: raise what limits them (ulimit -u, ulimit -v), or use fewer ranks"
    return None


def one_line(error):
    """Return an exception's text without line breaks, whatever its class does for one."""
    try:
        return printable(" ".join(str(error).split()))
    except KeyboardInterrupt:
        raise
    except BaseException:  # of somebody else's class, which may raise SystemExit: no run is to end by that
        return "its text cannot be made"


def shown(value, longest=200):
    """Return the repr of somebody's value, short and in one line."""
    try:
        text = " ".join(repr(value).split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # of somebody else's class
        text = f"an object of {type(value).__name__}"
    return text if len(text) <= longest else f"{text[:longest]}..."


def say(text):
    """Print on standard error, whatever has become of that.

    A full disk may take the log, the terminal be gone, user code have closed
    the stream: what cannot say why it ends must end all the same. Nothing but
    text reaches a terminal, whatever names of files are in it.
    """
    text = escaped(str(text), "\n\t")
    with suppress(OSError):
        try:
            # in one piece: of what other ranks say nothing comes between a line and its end
            print(f"{text}\n", end="", file=sys.stderr, flush=True)
        except OSError:
            raise
        except Exception:  # closed, or user code has put something else there: the descriptor may still be there
            os.write(2, f"{text}\n".encode(errors="replace"))


def put(text):
    """Print one line on standard output, in which names of files and what is in them may stand."""
    print(printable(text))


def warn(text):
    """Print a warning of one line on standard error."""
    say(f"warning: {printable(text)}")


class ParCorAnaError(Exception):
    """An error that is told to the user in one line.

    The text names the key, file or value, says what is wrong, and what would
    be right. Every other exception is a fault of the program or of user code.
    """

    exit_status = 1
    where = None  # the callback that raised it, as ``'Mine.adjustData'``

    def __str__(self):
        return printable(super().__str__())


class RunError(ParCorAnaError):
    """Something failed while events were processed: exit status 1."""


class ConfigError(ParCorAnaError):
    """Wrong arguments, config or input files, before any event: exit status 2."""

    exit_status = 2


class EventError(Exception):
    """The data of one event cannot be read: the event counts as bad, the run goes on."""


class UserCodeError(Exception):
    """An exception that user code raised, which is the `__cause__` of this one.

    Kept apart from our own, so that an OSError of a callback is not taken for
    one of the result file, and a StopIteration does not end a role.

    Parameters
    ----------
    where : str
        As ``'Mine.adjustData'``.
    role : str
        Of the rank that the user's instance lives on.
    """

    def __init__(self, where, role):
        super().__init__(where)
        self.where, self.role = where, role


class _Output:
    """Standard output that remembers why it could not be written, and drops what comes after that."""

    def __init__(self, stream):
        self._stream, self.fault = stream, None

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write, unless that has failed before; nothing reaches a terminal but text that it can show."""
        known = getattr(self._stream, "encoding", None) or "utf-8"
        text = escaped(text, "\n\t").encode(known, "backslashreplace").decode(known)
        return self._tried(self._stream.write, text)

    def flush(self):
        """Flush, unless that has failed before."""
        self._tried(self._stream.flush)

    def _tried(self, function, *args):
        if self.fault is None:
            try:
                return function(*args)
            except (OSError, ValueError) as error:
                self.fault = error
        return None


def _fill_standard_streams():
    """Have no file opened later take the place of a standard stream that is closed, and what libraries print to it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
    if sys.stderr is sys.__stderr__ and not getattr(sys.stderr, "write_through", True):
        # what cannot be written, to a full disk, is not kept: Python would fail at it once more as it ends, status 120
        old, raw = sys.stderr, io.FileIO(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(raw, old.encoding, old.errors, write_through=True)


def _has_folder():
    """Tell whether the working directory is there: a path that is not absolute means nothing without it."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def speaks(prog):
    """Let a command end as it would, and with that exit status, where its standard output cannot be written.

    Who reads it may go (``| head``), which is no fault; a full disk is told on
    standard error. One that is interrupted (Ctrl-C) says no more than that, and
    ends with the status that shells have for it, 130.

    Parameters
    ----------
    prog : str
        The command's name.

    Returns
    -------
    callable
        A decorator of the command's `main`.
    """

    def decorate(main):
        @wraps(main)
        def call(argv=None):
            _fill_standard_streams()
            before = sys.stdout
            sys.stdout = output = _Output(before)
            try:
                if not _has_folder():
                    say(f"{prog}: the folder that it was started in is gone: cd to one that is there")
                    return 2
                return main(argv)
            except KeyboardInterrupt:
                say(f"{prog}: interrupted")
                return _INTERRUPTED
            finally:
                output.flush()
                sys.stdout = before
                if output.fault is not None:
                    if not isinstance(output.fault, BrokenPipeError):
                        say(f"{prog}: what it prints could not be written: {one_line(output.fault)}")
                    with suppress(OSError, ValueError):  # or Python fails once more as it ends
                        os.dup2(os.open(os.devnull, os.O_WRONLY), before.fileno())

        return call

    return decorate


def of_memory(error):
    """Return what to say of a MemoryError of a tool, as the end of a line."""
    why = one_line(error) or "MemoryError"
    return f"memory ran out ({why}): raise what limits it (ulimit -v, the batch job's memory)"


@contextmanager
def drawing(what):
    """Have what drawing raises over odd values of a file told as a fault of it.

    Files come from others. Whatever reading has let pass, the libraries that draw raise
    anything over it.

    Parameters
    ----------
    what : str
        Names the file, or files.

    Raises
    ------
    ConfigError
        For whatever is no error of ours, of the system, or of memory.
    """
    try:
        yield
    except (ParCorAnaError, OSError, MemoryError):
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"{what}: cannot be drawn: are its values what they should be? ({why})") from error


def told(prog, command, *args):
    """Run a tool's command; return its exit status, with what went wrong told in one line after the tool's name."""
    try:
        command(*args)
    except ParCorAnaError as error:
        say(f"{prog}: {error}")
        return error.exit_status
    except OSError as error:
        say(f"{prog}: {one_line(error)}")
        return 1
    except MemoryError as error:
        say(f"{prog}: {of_memory(error)}")
        return 1
    return 0


def nearest(word, known):
    """Return ``"; did you mean 'x'?"`` for the closest of `known`, or ``""``."""
    from difflib import get_close_matches

    close = get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
