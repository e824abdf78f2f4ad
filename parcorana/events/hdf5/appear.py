"""Files that appear while a run goes on, one after the other: which one is next."""

import glob
import os
import re
import time
from contextlib import suppress

from parcorana.errors import ConfigError
from parcorana.events.hdf5.stack import is_pattern, natural

_LOOK = 0.1  # s between two looks into the folder
_SHARE = 4  # a look that takes long is taken no more often than in one part of so many of the time
HOLE = 30.0  # s for which a file, or a frame, is waited for when later ones are there
_STEP = 100  # numbers that may be left out between two names, beyond which they are no count of files


class Series:
    """The file, or the files by a pattern, that a live run follows, in the order of the numbers in their names.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    log : callable
        Takes one line of text for the user.

    Attributes
    ----------
    several : bool
        Whether there is a pattern, so that further files may come.
    now : str or None
        The file that is read.
    count : int
        Files up to it.

    Raises
    ------
    ConfigError
        A list of files.
    """

    def __init__(self, dataset, log):
        names = [dataset.name] if os.path.exists(dataset.name) else dataset.names
        if len(names) > 1:
            raise ConfigError(
                f"dataset {dataset.text!r}: 'live' follows one file, or those that fit one pattern, not a list of "
                f"{len(names)}"
            )
        (self.name,) = names
        self._log, self.several = log, is_pattern(self.name)
        self.now, self.count = None, 0
        self._read, self._ahead = {}, []  # name by file; place in the order, and name, of those that were seen
        self._looked, self._pause, self._found = 0.0, 0.0, None
        self._since, self._counts, self._passed = None, True, set()

    @property
    def what(self):
        """What is followed, in words."""
        return f"files that fit h5={self.name}" if self.several else f"h5={self.name}"

    def turn(self):
        """Return a number that differs from one file to the next, the same in all processes."""
        return sum(map(int, re.findall(r"\d+", os.path.basename(self.now)))) if self.several else 0

    def next(self):
        """Return the name of the file after the one that is read, None while there is none; no more often than pays."""
        if not self.several:
            return self.name if self.now is None else None
        now = time.monotonic()
        if now - self._looked >= self._pause:
            self._found = self._look()
            self._looked = time.monotonic()
            self._pause = max(_LOOK, _SHARE * (self._looked - now))
        return self._found

    def take(self, name):
        """Note that a file is read from now on, or passed over."""
        self.now, self.count = name, self.count + 1
        self._since, self._looked = None, 0.0
        self._passed.add(name)
        with suppress(OSError):  # gone again
            found = os.stat(name)
            self._read[found.st_dev, found.st_ino] = name

    def _look(self):
        here = _place(self.now) if self.now else ([], "")
        self._ahead = [each for each in self._ahead if each[1] not in self._passed]
        if not self._ahead or _lacking(here, self._ahead[0]) != 0:  # else it is certain to be the next one
            self._ahead = self._later(here)
        for place in self._ahead:
            if not self._is_read(place[1]):
                return place[1] if self._is_next(_lacking(here, place)) else None
        return None

    def _later(self, here):
        """Return what there is after a file, in order; say what has come too late."""
        found = sorted(_place(name) for name in glob.glob(self.name) if name not in self._passed)
        for place, name in found:
            if (place, name) < here:
                self._passed.add(name)
                self._log(f"h5={name}: it came when {self.now} was read already, which is after it: it is not read")
        return [each for each in found if each > here]

    def _is_read(self, name):
        """Tell whether a file was read by another name that it still has."""
        try:
            found = os.stat(name)
            other = self._read.get((found.st_dev, found.st_ino))
            if other is None or not os.path.samefile(name, other):
                return False
        except OSError:
            return False
        self._passed.add(name)
        self._log(f"h5={name}: this is {other} by another name, and is not read again")
        return True

    def _is_next(self, lacking):
        """Tell whether a file is to be read now: those whose numbers are between are waited for."""
        if not self._counts or not lacking or lacking > _STEP:
            return True
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since < HOLE:
            return False
        self._counts = False
        self._log(
            f"h5={self.name}: after {self.now} {lacking} file{'s' * (lacking > 1)} by number did not come in "
            f"{HOLE:.0f} s, though later ones did: the run goes on with these, and waits for no number any more"
        )
        return True


def _place(name):
    """Return what orders names, of which two may have the same numbers."""
    return natural(name), name


def _lacking(one, other):
    """Return how many numbers are between two places; None if the names differ in more than one number."""
    differ = [(a, b) for a, b in zip(one[0], other[0], strict=False) if a != b]
    alike = len(one[0]) == len(other[0]) and len(differ) == 1 and isinstance(differ[0][0], int)
    return differ[0][1] - differ[0][0] - 1 if alike else None
