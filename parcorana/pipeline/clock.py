"""Where a rank's time goes."""

import time
from contextlib import contextmanager

KINDS = ("waiting", "reading", "moving", "computing", "publishing")


class Clock:
    """Seconds spent on each of `KINDS`.

    Parameters
    ----------
    waits : bool
        False in one process: there a role that waits lets the others work, and
        its waiting is their work.
    """

    def __init__(self, waits=True):
        self.seconds = dict.fromkeys(KINDS, 0.0)
        self.waits = waits

    @contextmanager
    def on(self, kind):
        """Count the time of a ``with`` body; bodies must not nest."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[kind] += time.perf_counter() - start

    def waiting(self, steps):
        """Run a generator of waiting steps, counting its time."""
        start = time.perf_counter()
        yield from steps
        if self.waits:
            self.seconds["waiting"] += time.perf_counter() - start
