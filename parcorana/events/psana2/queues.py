"""The message queues of psana's shared memory, as far as it must be known how many messages wait in them."""

import ctypes
import os
from pathlib import Path


class _Attributes(ctypes.Structure):
    """Of a POSIX message queue, struct mq_attr."""

    _fields_ = [(name, ctypes.c_long) for name in ("flags", "most", "size", "waiting")] + [
        ("reserved", ctypes.c_long * 4)
    ]


def waiting(queue):
    """Return the number of messages that wait in a queue, 0 if there is no such queue.

    Parameters
    ----------
    queue : str or int
        Its name, or what it was opened as.
    """
    library = ctypes.CDLL(None)
    handle = queue if isinstance(queue, int) else library.mq_open(queue.encode(), os.O_RDONLY)
    attributes = _Attributes()
    if handle < 0 or library.mq_getattr(handle, ctypes.byref(attributes)):
        return 0
    if handle != queue:
        library.mq_close(handle)
    return attributes.waiting


def discovery(name):
    """Return the name of the queue by which a server of shared memory offers itself to clients."""
    return f"/PdsFromMonitorDiscovery_{name}"


def inputs(name):
    """Return the queues of events that clients in this process have opened to read from, a set of int (Linux)."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(link).startswith(f"/PdsToMonitorEvQueue_{name}_"):
                flags = Path(f"/proc/self/fdinfo/{link.name}").read_text().split("flags:")[1].split()[0]
                if int(flags, 8) & os.O_ACCMODE == os.O_RDONLY:
                    found.add(int(link.name))
        except FileNotFoundError:  # closed meanwhile
            pass
    return found
