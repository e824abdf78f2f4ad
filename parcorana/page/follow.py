"""A run that is followed from outside: which updates there are, and whether anybody still writes them."""

import os
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from parcorana.errors import ConfigError
from parcorana.files.paths import fault_of
from parcorana.page.stretches import Stretches
from parcorana.page.update import Update, log_in, numbers_in, read_update
from parcorana.results.folder import BASE, SUFFIX, published, version_of
from parcorana.results.lock import writer_of
from parcorana.results.runlog import lines_of, read_log

_KEPT = 8  # updates in memory
_LINES = 200  # of the log
_WARNINGS = 100  # of these, at most
_LOG_PIECE = 1 << 20  # bytes of it that are read at a time
_RATE_OF = 10  # updates that tell the rate
_QUIET = 60.0  # seconds without a word from which on a run is silent, at least
_TIMES_QUIET = 5  # as many times as an update has taken so far

RUNNING, WAITING, SILENT, DIED, STOPPED, ENDED, GONE = (
    "running", "waiting", "silent", "died", "stopped", "ended", "gone",
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """What a run does.

    Attributes
    ----------
    kind : str
        One of the names above.
    text : str
    since : float [s since 1970] or None
    """

    kind: str
    text: str
    since: float | None = None

    @property
    def is_over(self):
        """Whether no more updates come."""
        return self.kind in (DIED, STOPPED, ENDED)


@dataclass(frozen=True)
class Seen:
    """What was seen of a run when it was looked at last; it is never changed, only replaced.

    Attributes
    ----------
    label : str
    state : State
    numbers : list of int
        Events processed at each update, increasing.
    latest : Update or None
    trouble : str
        Why the newest update is not shown; empty if it is.
    rate : float
        Events per second of late, NaN where that is not known.
    log : tuple of (str, str, str)
        Time, level and text of the last lines of the log.
    warnings : tuple of (str, str)
        Text, and when: of all of the log, each once.
    aged : dict of str to AgedCurves
        By class, of some updates.
    """

    label: str
    state: State
    numbers: list = field(default_factory=list)
    latest: Update | None = None
    trouble: str = ""
    rate: float = np.nan
    log: tuple = ()
    warnings: tuple = ()
    aged: dict = field(default_factory=dict)

    @property
    def total(self):
        """Events that the run will read, None where nobody knows."""
        if self.latest is None:
            return None
        facts = self.latest.facts
        known = [n for n in (facts["numevents"], facts.get("events_in_data", 0)) if isinstance(n, int) and n > 0]
        return min(known, default=None)

    @property
    def seconds_left(self):
        """Time that it will take yet [s], None where nobody knows."""
        if self.total is None or self.state.is_over or not self.rate > 0:
            return None
        return max(self.total - self.latest.account["read"], 0) / self.rate


class Follower:
    """A run's result, or its folder while it goes on. Only one thread at a time may call it.

    Parameters
    ----------
    name : str
        Of the result file, or of its folder `NAME.inprogress`.
    layout : Layout, optional
        Of the detector.
    quiet : float, optional [s]
        Without an update for so long a run is called silent; by itself it goes by how long updates have taken.

    Attributes
    ----------
    seen : Seen
    looked : float [s since 1970]
        When the last look was over: a disk that hangs lets none end.

    Raises
    ------
    ConfigError
        There is no such file and no such folder, or it is no result.
    """

    def __init__(self, name, layout=None, quiet=None):
        self._name = Path(str(name).rstrip("/").removesuffix(SUFFIX))
        self._folder, self._layout, self._quiet = Path(f"{self._name}{SUFFIX}"), layout, quiet
        self._files, self._kept, self._tried, self._read = {}, OrderedDict(), None, 0
        self._log, self._warnings, self._stretches = deque(maxlen=_LINES), {}, Stretches()
        self.seen = Seen(self._name.name, State(WAITING, "nothing was looked at yet"))
        self.looked = time.time()
        if self._source() is None:
            raise ConfigError(
                f"there is no result {str(self._name)!r}, and no run that is writing it: no folder "
                f"{str(self._folder)!r}"
            )
        self.poll()
        if self.seen.latest is None and self.seen.trouble and self.seen.state.is_over:
            raise ConfigError(self.seen.trouble)

    def _source(self):
        """Return what there is to read, 'folder' or 'file'; a run that goes on comes before the result it replaces."""
        fault = fault_of(self._name)
        if fault_of(self._folder) == "is a folder":
            if fault is not None or writer_of(self._folder):
                return "folder"
            newest = max((path.stat().st_mtime for path in self._updates()), default=0)
            return "file" if os.stat(self._name).st_mtime >= newest else "folder"
        if fault not in (None, "does not exist"):
            more = ": name a result in it, or the folder NAME.inprogress of a run" * (fault == "is a folder")
            raise ConfigError(f"the file {str(self._name)!r} {fault}{more}")
        return "file" if fault is None else None

    def _updates(self):
        try:
            return published(self._folder)
        except FileNotFoundError:  # the run has ended meanwhile
            return []

    def poll(self):
        """Look once."""
        try:
            source = self._source()
            if source == "folder":
                self.seen = self._look_at_folder()
            elif source == "file":
                self.seen = self._look_at_file()
            elif self.seen.state.kind != GONE:
                gone = State(GONE, "its files are gone: were they moved or removed?", time.time())
                self.seen = replace(self.seen, state=gone)
        except FileNotFoundError:  # the run has ended meanwhile: the next look finds what it left
            return
        except (ConfigError, OSError) as error:  # said, and looked at again
            self.seen = replace(self.seen, trouble=str(error))
        finally:
            self.looked = time.time()

    def _look_at_folder(self):
        if self._tried is not None:  # another run has begun under the name of a result
            self._tried, self._read, self._stretches = None, 0, Stretches()
            self._forget_log()
        paths = self._updates()
        self._files = {int(path.stem[7:]): path for path in paths}
        numbers = [*self._files]
        recent = [(n, self._files[n].stat().st_mtime) for n in numbers[-_RATE_OF:]]
        while (found := read_log(self._folder, self._read, _LOG_PIECE))[0]:
            self._take_log(lines_of(found[0]))
            self._read = found[1]
        latest, trouble = self._newest(numbers)
        who, now = writer_of(self._folder), time.time()
        since = max([when for _, when in recent] or [self._folder.stat().st_mtime])
        steps = np.diff([when for _, when in recent])
        quiet = self._quiet or max(_QUIET, _TIMES_QUIET * float(steps.max(initial=0.0)))
        held = f"its folder is held by {'a process ' * str(who).startswith('of ')}{who}"
        if who is None and not paths and not (self._folder / BASE).exists():
            state = State(WAITING, "its folder is there, and nobody has begun to write into it", since)
        elif who is None:
            left = f"join it with: parCorAnaDriver --join {self._folder}" if paths else "nothing was published"
            state = State(DIED, f"no process holds its folder any more: it was killed or failed; {left}", since)
        elif now - since > quiet:
            state = State(SILENT, f"no update for {quiet:.0f} s or longer; {held}", since)
        elif not paths:
            state = State(WAITING, f"no update yet; {held}", since)
        else:
            state = State(RUNNING, held, since)
        return self._seen(state, numbers, latest, trouble, _rate(recent))

    def _look_at_file(self):
        version, since = version_of(self._name), os.stat(self._name).st_mtime
        if version == self._tried:
            return self.seen
        self._kept.clear()
        self._stretches = Stretches()
        self._files, numbers = {}, []
        try:
            numbers = numbers_in(self._name)
            self._files, self._tried = dict.fromkeys(numbers, self._name), version
            latest, trouble = self._newest(numbers)
        except ConfigError as error:
            latest, trouble = None, str(error)
        self._tried = version
        if latest is None:
            state = State(ENDED, "its result cannot be read", since)
        else:
            how, complete = str(latest.facts.get("ended_by", "not known how")), latest.facts.get("complete", True)
            state = State(ENDED, how, since) if complete else State(STOPPED, f"not complete: {how}", since)
            if lines := log_in(self._name):
                self._forget_log()
                self._take_log(lines)
        return self._seen(state, numbers, latest, trouble, np.nan)

    def _seen(self, *found):
        log, warnings = tuple(self._log), tuple(self._warnings.items())
        return Seen(self._name.name, *found, log, warnings, self._stretches.found)

    def _forget_log(self):
        self._log.clear()
        self._warnings.clear()

    def _take_log(self, lines):
        for line in lines:
            self._log.append(line)
            if line[1] not in ("DEBUG", "INFO") and len(self._warnings) < _WARNINGS:
                self._warnings.setdefault(line[2], line[0])

    def _newest(self, numbers):
        """Return the newest update that can be read, and why it is not the last one."""
        trouble = ""
        for number in numbers[: -1 - _KEPT : -1]:
            try:
                update = self.get(number)
                if any(part.aged for part in update.parts.values()):
                    self._stretches.look(self._files, self._name.name, self._tried is not None)
                return update, trouble
            except ConfigError as error:
                if not os.path.exists(self._files[number]):
                    raise FileNotFoundError from None
                trouble = trouble or str(error)
        return None, trouble

    def get(self, number):
        """Return an update, read if it is not among the few that are kept.

        Parameters
        ----------
        number : int
            One of `numbers`.

        Raises
        ------
        ConfigError
            It cannot be read, or is there no more.
        """
        if number not in self._files:
            raise ConfigError(f"there is no update at {number:,} events any more")
        path = self._files[number]
        version = version_of(path)
        if self._kept.get(number, (None,))[0] != version:
            # a result holds all updates: once it was tried it is not tried for each of them
            own = path == self._name and self._tried == version
            self._kept[number] = version, read_update(path, self._name.name, number, self._layout, own)
        self._kept.move_to_end(number)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[number][1]


def _rate(recent):
    """Return the events per second of some updates, each (events, when)."""
    if len(recent) < 2 or recent[-1][1] <= recent[0][1]:
        return np.nan
    return (recent[-1][0] - recent[0][0]) / (recent[-1][1] - recent[0][1])
