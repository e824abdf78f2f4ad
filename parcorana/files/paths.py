"""What a path names: a file that can be read to its end, or something that cannot; and how many may be open."""

import os
import resource
import stat
from contextlib import suppress

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe, and must be a file"),
    (stat.S_ISCHR, "is a device, and must be a file"),
    (stat.S_ISBLK, "is a device, and must be a file"),
    (stat.S_ISSOCK, "is a socket, and must be a file"),
)


def allow_open_files():
    """Let this process open as many files as it may at most; the usual limit is 1024, a run may have more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def kind_of(mode):
    """Return what a path names by its mode if that is no file, as 'is a folder'; None of a file."""
    return next((text for is_kind, text in _KINDS if is_kind(mode)), None)


def fault_of(path):
    """Return what keeps a path from being read as a file, None if nothing does.

    To open a pipe waits for whoever writes to it, a device may have no end:
    both must be known before.

    Parameters
    ----------
    path : str or path
        Links are followed.

    Returns
    -------
    str or None
        To be put after the name, as 'does not exist', 'is a folder'.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        return f"cannot be reached: {getattr(error, 'strerror', None) or error}"
    if kind := kind_of(mode):
        return kind
    if os.access(path, os.R_OK):
        return None
    # it may have been renamed just now
    return "may not be read: no permission" if os.path.exists(path) else "does not exist"
