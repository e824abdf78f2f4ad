"""Whether a further file of a live series goes on with the run, or begins one of its own."""

from parcorana.errors import ConfigError, RunError
from parcorana.events.hdf5.order import APART

_ALONE = "files that are runs of their own are followed by one server, or events of two runs would mix: numservers=1"


class Follows:
    """Where a file's frames belong.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    share : parcorana.events.protocol.Share
    say : callable
        Takes one line of text for the user.

    Attributes
    ----------
    run : int
        Ordinal of the run of the file that is read.
    base : int
        Frames of this run in the files before.
    knows : bool
        Whether the file's first time was looked at.
    """

    def __init__(self, dataset, share, say):
        if dataset.apart and share.servers > 1:
            raise ConfigError(f"dataset {dataset.text!r}: {_ALONE}")
        self._dataset, self._servers, self._say = dataset, share.servers, say
        self._apart, self.run, self.base, self.knows = dataset.apart, 0, 0, False
        self._files, self._first, self._before, self._frames = 0, None, None, 0

    def begins(self, stack, first):
        """Note that a file begins; tell whether it is a run of its own.

        Parameters
        ----------
        stack : parcorana.events.hdf5.stack.Stack
        first : int or None
            The earliest of its first times, None if there is none.

        Raises
        ------
        RunError
            Its times begin before those of the file before, or as those of the
            first one do and there are several servers.
        """
        self.knows, self._files = True, self._files + 1
        if self._files == 1:
            self._first = self._before = first
            return False
        if not self._apart:
            self._look(stack, first)
        if self._apart:
            self.run, self.base = self.run + 1, 0
        if first is not None:
            self._before = first
        return self._apart

    def ends(self, frames):
        """Note how many frames a file has that was read."""
        self.base, self._frames = self.base + frames, max(self._frames, frames)
        self.knows = False

    def _look(self, stack, first):
        """Find out whether a file is a run of its own, as `parcorana.events.hdf5.order.check_order` does of all."""
        if stack.times.path is None:
            if self._files == 2 and self._frames > 1:
                self._say(
                    f"h5={self._dataset.name}: files without times are taken as one run, each file's first frame "
                    f"following the last one of the file before; {APART}"
                )
        elif first is not None and self._before is not None and first <= self._before:
            if stack.times.stamps != "pulses" or first != self._first or self._files > 2:
                raise RunError(
                    f"h5={stack.name}: its times begin at {first}, those of the file before at {self._before} "
                    f"({stack.times.path.strip('/')}): that is not one run; {APART}"
                )
            if self._servers > 1:
                raise RunError(f"h5={stack.name}: its counter begins at {first}, as that of the first file: {_ALONE}")
            self._say(
                f"h5={stack.name}: its counter begins at {first}, as that of the first file, so each file is taken as "
                "a run of its own, as ':runs' says: no pair spans two of them"
            )
            self._apart = True
