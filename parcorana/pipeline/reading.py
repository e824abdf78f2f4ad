"""How far a server is in what it reads, and why it reads no further."""

from parcorana.errors import RunError


class Reading:
    """How far a server is, and whether it is to go on.

    Parameters
    ----------
    stop : parcorana.pipeline.stop.Stop

    Attributes
    ----------
    at : str
        What is being done, for errors.
    stopped : str
        Why not all was read; empty as long as all is.
    error : RunError or None
        Of the source, to be raised when all is done.
    failed_at : str or None
        Where it came.
    """

    def __init__(self, stop):
        self._stop = stop
        self.at, self.stopped = "before the first event", ""
        self.error = self.failed_at = None

    def until_error(self, items):
        """Generate what the source gives; an error of it stops the run well, and is told at the end."""
        try:
            yield from items
        except RunError as error:
            self.fail(error)

    def fail(self, error):
        """Let the run stop well for an error of the source."""
        self.error, self.failed_at = error, self.at
        self._stop.ask()
        self.stopped = self._stop.reason

    def is_stopped(self):
        """Tell whether to read no further."""
        self.stopped = self._stop.look()
        return bool(self.stopped)
