"""A run that is followed from outside: which updates there are, and whether anybody still writes them."""

import os
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parcorana.errors import ConfigError
from parcorana.files.paths import fault_of
from parcorana.files.plain import plain_file
from parcorana.page.update import numbers_in, read_update
from parcorana.results.folder import SUFFIX, published, version_of
from parcorana.results.lock import writer_of

_KEPT = 8  # updates in memory
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
    label : str
    numbers : list of int
        Events processed at each update, increasing.
    state : State
    latest : Update or None
    trouble : str
        Why the newest update is not shown; empty if it is.
    rate : float
        Events per second of late, NaN where that is not known.
    version : int
        Grows whenever anything of these changes.

    Raises
    ------
    ConfigError
        There is no such file and no such folder, or it is no result.
    """

    def __init__(self, name, layout=None, quiet=None):
        self._name = Path(str(name).rstrip("/").removesuffix(SUFFIX))
        self._folder, self._layout, self._quiet = Path(f"{self._name}{SUFFIX}"), layout, quiet
        self.label = self._name.name
        self._files, self._kept, self._tried, self._times = {}, OrderedDict(), None, []
        self.numbers, self.latest, self.trouble, self.rate, self.version = [], None, "", np.nan, 0
        self.state, self._last_seen = State(WAITING, "nothing was looked at yet"), None
        if self._source() is None:
            raise ConfigError(
                f"there is no result {str(self._name)!r}, and no run that is writing it: no folder "
                f"{str(self._folder)!r}"
            )
        self.poll()
        if self.latest is None and self.trouble and self.state.kind == ENDED:
            raise ConfigError(self.trouble)

    def _source(self):
        """Return what there is to read, 'folder' or 'file'; a run that begins anew goes before the result it replaces."""
        fault = fault_of(self._name)
        if fault_of(self._folder) == "is a folder":
            if fault is not None or writer_of(self._folder):
                return "folder"
            newest = max((path.stat().st_mtime for path in self._updates()), default=0)
            return "file" if os.stat(self._name).st_mtime >= newest else "folder"
        if fault == "is a folder" or (fault is not None and fault != "does not exist"):
            raise ConfigError(f"the file {str(self._name)!r} {fault}")
        return "file" if fault is None else None

    def _updates(self):
        try:
            return published(self._folder)
        except FileNotFoundError:  # the run has ended meanwhile
            return []

    def poll(self):
        """Look once; return whether anything has changed."""
        before = (self.state, tuple(self.numbers[-1:]), self.trouble, id(self.latest))
        with suppress(FileNotFoundError):
            source = self._source()
            if source == "folder":
                self._poll_folder()
            elif source == "file":
                self._poll_file()
            elif self.state.kind != GONE:
                self.state = State(GONE, "its files are gone: were they moved or removed?", time.time())
        changed = before != (self.state, tuple(self.numbers[-1:]), self.trouble, id(self.latest))
        self.version += changed
        return changed

    def _poll_folder(self):
        paths = self._updates()
        self._files = {int(path.stem[7:]): path for path in paths}
        self.numbers = [*self._files]
        recent = [(n, self._files[n].stat().st_mtime) for n in self.numbers[-_RATE_OF:]]
        self.rate = _rate(recent)
        self._read_latest()
        who, now = writer_of(self._folder), time.time()
        since = max([when for _, when in recent] or [self._folder.stat().st_mtime])
        steps = np.diff([when for _, when in recent])
        quiet = self._quiet or max(_QUIET, _TIMES_QUIET * float(steps.max(initial=0.0)))
        if who is None:
            left = f"join what it published with: parCorAnaDriver --join {self._folder}" if paths else "nothing was published"
            self.state = State(DIED, f"no process holds the folder any more: it was killed or failed; {left}", since)
        elif now - since > quiet:
            self.state = State(SILENT, f"no update for long; it is held by {who}", since)
        elif not paths:
            self.state = State(WAITING, f"no update yet; it is held by {who}", since)
        else:
            self.state = State(RUNNING, f"by {who}", since)

    def _poll_file(self):
        version = version_of(self._name)
        if version != self._tried:
            self._kept.clear()
            self.numbers = numbers_in(self._name)
            self._tried, self.rate = version, np.nan
            self._files = dict.fromkeys(self.numbers, self._name)
            self.latest = None
            self._read_latest()
        if self.latest is None:
            self.state = State(ENDED, "its result cannot be read", os.stat(self._name).st_mtime)
            return
        facts, since = self.latest.facts, os.stat(self._name).st_mtime
        how = str(facts.get("ended_by", "not known how"))
        kind = ENDED if facts.get("complete", True) else STOPPED
        self.state = State(kind, how if kind == ENDED else f"not complete: {how}", since)

    def _read_latest(self):
        """Read the newest update that can be read, unless it is the one that is known."""
        self.trouble = ""
        for number in self.numbers[: -1 - _KEPT : -1]:
            key = number, version_of(self._files[number])
            if self._kept.get(number, (None,))[0] == key:
                self.latest = self._kept[number][1]
                return
            try:
                self.latest = self.get(number)
                return
            except ConfigError as error:
                if not os.path.exists(self._files[number]):  # the run has ended meanwhile: what it left is read next
                    return
                self.trouble = self.trouble or str(error)

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
        key = number, version_of(path)
        if self._kept.get(number, (None,))[0] != key:
            # a result holds all updates: once it was tried it is not tried for each of them
            own = path == self._name and self._tried == version_of(path)
            self._kept[number] = key, read_update(path, self.label, number, self._layout, own)
        self._kept.move_to_end(number)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[number][1]

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


def _rate(recent):
    """Return the events per second of some updates, each (events, when)."""
    if len(recent) < 2 or recent[-1][1] <= recent[0][1]:
        return np.nan
    return (recent[-1][0] - recent[0][0]) / (recent[-1][1] - recent[0][1])
