"""The two ways a run can end badly, and the exit status of each."""

import sys


class ParCorAnaError(Exception):
    """An error that is told to the user in one line.

    The text names the key, file or value, says what is wrong, and what would
    be right. Every other exception is a fault of the program or of user code.
    """

    exit_status = 1


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


def told(prog, command, *args):
    """Run a tool's command; return its exit status, with what went wrong told in one line after the tool's name."""
    try:
        command(*args)
    except ParCorAnaError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0


def nearest(word, known):
    """Return ``"; did you mean 'x'?"`` for the closest of `known`, or ``""``."""
    from difflib import get_close_matches

    close = get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
