"""Opens the files of a live run, once they are there and their writers let readers in."""

import os
import time

from parcorana.errors import ConfigError, RunError
from parcorana.events.feed import patience
from parcorana.events.hdf5.appear import HOLE
from parcorana.events.hdf5.files import Files, Unreadable, is_written
from parcorana.events.hdf5.order import check_alike
from parcorana.events.hdf5.stack import Stack
from parcorana.events.hdf5.trust import NotThere
from parcorana.events.hdf5.values import Values

_SOON = 1.0  # s after which the user is told what is waited for
_AGAIN = 60.0  # s between two such lines
_TRY = 0.1  # s between two tries


class Opening:
    """The files of a series, opened one after the other.

    Parameters
    ----------
    series : parcorana.events.hdf5.appear.Series
    src : str or None
    folder : str or None
        As for `Stack`.
    values : dict of str to str
        As for `Values`.
    how : dict
        More for `Stack`.
    say : callable
        Takes one line of text for the user, of what all servers know alike.
    log : callable
        The same, of what another server may see otherwise.
    """

    def __init__(self, series, src, folder, values, how, say, log):
        self._series = series
        self._src, self._folder, self._values, self._how, self._say = src, folder, values, how, say
        self._log = log
        self._like = None  # the first one

    def first(self):
        """Yield None while the first file is waited for, then, once, its `Files`, `Stack` and `Values`.

        Raises
        ------
        ConfigError
            It does not come in the time of `patience`, or will never do.
        """
        yield from self._next(ConfigError)

    def further(self):
        """Yield None while a further file is waited for, then the same of it; nothing if none comes.

        Raises
        ------
        RunError
            It is not like the first one, or cannot be read.
        """
        if self._series.several:
            yield from self._next(RunError)

    def _next(self, kind):
        """Wait for the next file that can be read."""
        begin = time.monotonic()
        told = begin + _SOON - _AGAIN if kind is ConfigError else begin  # between two files is no news
        while True:
            name = self._series.next()
            if name is not None:
                opened = yield from self._opened(name, kind)
                if opened:
                    yield opened
                    return
                begin = told = time.monotonic()
                continue
            now = time.monotonic()
            if now - begin > patience():
                break
            if now - told > _AGAIN:
                told = now
                after = f" after {self._series.now}" if self._series.now else ": none is there yet"
                left = patience() - (now - begin)
                self._say(f"waiting for {self._series.what}{after}; in {left:.0f} s the run ends without")
            yield None
        if kind is ConfigError:
            raise ConfigError(f"{self._series.what}: none came in {patience():g} s")
        self._say(
            f"h5={self._series.name}: no further file came in {patience():g} s, which ends the run after "
            f"{self._series.count} file{'s' * (self._series.count > 1)}, the last one {self._series.now}"
        )

    def _opened(self, name, kind):
        """Open a file; return None for one that is passed over."""
        begin, told = time.monotonic(), time.monotonic() + _SOON - _AGAIN
        seen, changed = None, begin
        while True:
            written, now = is_written(name), time.monotonic()
            files = Files(swmr=True, log=self._log)
            try:
                stack = Stack(files, name, self._src or (self._like and self._like.src), self._folder, **self._how)
                if self._like is not None:
                    check_alike([self._like, stack])
                found = files, stack, Values(stack, self._values)
            except ConfigError as error:
                files.close()  # it is looked at anew
                fault = error
            except BaseException:
                files.close()
                raise
            else:
                self._like = self._like or stack
                self._series.take(name)
                return found
            size = _size(name)
            seen, changed = (seen, changed) if size == seen else (size, now)
            if not self._may_come(fault, written, now - changed) or now - begin > patience():
                if kind is ConfigError or not isinstance(fault.__cause__, Unreadable):
                    raise kind(str(fault)) from fault
                self._log(f"{fault}: this file of the series is passed over, and what is in it is in no result")
                self._series.take(name)
                return None
            if now - told > _AGAIN:
                told = now
                self._say(f"waiting for the writer of h5={name} ({fault})")
            again = now + _TRY
            while time.monotonic() < again:
                yield None

    def _may_come(self, fault, written, unchanged):
        """Tell whether a file that cannot be read may be one that is begun."""
        if written or isinstance(fault, NotThere):
            return True
        # one that is being copied is cut off until it is whole; a finished one will not get any better
        begun = isinstance(fault.__cause__, Unreadable) and unchanged < HOLE
        return begun or (written is None and not self._series.several)


def _size(name):
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
