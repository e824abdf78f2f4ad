"""Messages that go on while a rank computes.

MPI moves a large message only while the receiver asks for it. A rank in a
kernel does not ask; so a thread does, for the messages that were posted
before. It takes turns with the rank's own thread: never do both use MPI.
"""

import threading
import time
from contextlib import contextmanager, suppress

_PAUSE = 1e-3  # s between two looks


class Mover:
    """A thread that looks after messages under way.

    Parameters
    ----------
    errors : tuple of exception types
        What a look may raise; the rank's own thread will meet it, too.
    """

    def __init__(self, errors):
        self._handles, self._errors = (), errors
        self._turn, self._wake = threading.Lock(), threading.Event()
        threading.Thread(target=self._look, name="mover", daemon=True).start()

    @contextmanager
    def meanwhile(self, handles):
        """Look after these messages during a ``with`` body that does not use MPI."""
        with self._turn:
            self._handles = handles
        self._wake.set()
        try:
            yield
        finally:
            self._wake.clear()
            with self._turn:
                self._handles = ()

    def _look(self):
        while True:
            self._wake.wait()
            with self._turn, suppress(*self._errors):
                self._handles = [handle for handle in self._handles if not handle.done()]
                if not self._handles:
                    self._wake.clear()
            time.sleep(_PAUSE)
