"""How far the run is, with its rate and the time left, where somebody looks at it."""

import os
import sys
import time
from pathlib import Path

_LAUNCHERS = ("mpiexec", "mpirun", "hydra", "prte", "orterun")


def in_terminal():
    """Tell whether standard error ends in a terminal, by way of mpiexec or not, or in a notebook.

    Under mpiexec a rank's own standard error is a pipe; what counts is
    where the launcher's goes.
    """
    if sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel."):
        return True
    pid = os.getppid()
    while pid > 1:
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            name = status[status.index("(") + 1 : status.rindex(")")]
            if not name.startswith(_LAUNCHERS):
                return False
            if os.readlink(f"/proc/{pid}/fd/2").startswith(("/dev/pts/", "/dev/tty")):
                return True
            pid = int(status[status.rindex(")") + 2 :].split()[1])
        except (OSError, ValueError, IndexError):
            return False
    return False


class Progress:
    """A progress bar of events read; nothing where there is no terminal.

    Parameters
    ----------
    enabled : bool
    """

    def __init__(self, enabled):
        self._bar, self._enabled = None, enabled
        self._began = time.time()

    def show(self, account, total):
        """Show the events read so far, of `total` (-1: not known)."""
        if not self._enabled:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(unit=" events", file=sys.stderr, dynamic_ncols=True, leave=False, delay=1e-9)
            self._bar.start_t = self._began  # so that the rate is that of the run
        self._bar.total = total if total > 0 else None
        self._bar.n = account["read"]
        self._bar.set_postfix(processed=account["processed"], refresh=False)
        self._bar.refresh()

    def clear(self):
        """Take the bar away for a line of the log; the next `show` brings it back."""
        if self._bar is not None:
            self._bar.clear()

    def close(self):
        """Take the bar away for good."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
