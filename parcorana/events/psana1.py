"""psana of LCLS-I (XTC files), at the facility only.

It cannot be run elsewhere: this module is written from psana's documentation
and published use, and its tests look at the calls that it makes, on a stand-in.
The runs' logs say so.
"""

import os
import sys
from contextlib import suppress
from functools import partial
from itertools import chain

from parcorana.errors import ConfigError, EventError
from parcorana.events.fiducials import FiducialClock
from parcorana.events.protocol import Event

_UNTRIED = (
    "psana of LCLS-I: this way of reading was never run on real data outside of its tests; compare a short run with "
    "what you know before you rely on it"
)


class Psana1Source:
    """Runs of LCLS-I: ``exp=:run=`` with ``smd``, ``idx``, ``live``, ``stream=`` or ``dir=``, and ``shmem=``.

    Every server goes through all events and fetches the detector's data of its
    own ones; with ``idx`` it jumps to its own. Live runs and shared memory are
    read by one server.

    Parameters
    ----------
    psana : module
        psana of LCLS-I.
    dataset : parcorana.events.dataset.Dataset
    src : str
        Detector name or alias, or ``'DetInfo(XppGon.0:Cspad.0)'``.
    type_ : str or None
        ``'raw'`` (default), ``'calib'``, or another method of psana's
        ``Detector`` that takes an event.
    share : parcorana.events.protocol.Share
    log : callable
        Takes one line of text for the user.
    psana_config : dict or None
        Refused: psana of LCLS-I takes its constants from the experiment's calib
        folder.
    values : dict of str to str, optional
        Refused: none are read here.

    Attributes
    ----------
    stamps, total, shape, dtype, live, own_run
        As `EventSource` says. Stamps are nanoseconds, made of fiducials.

    Raises
    ------
    ConfigError
        psana does not open the dataset, or has no such detector or method; more
        than one server where psana cannot share events.
    """

    stamps = "ns"
    total = shape = dtype = None
    passed = 0

    def __init__(self, psana, dataset, src, type_, share, log, psana_config=None, values=None):
        self._psana, self._share, self.live = psana, share, dataset.is_live
        if self.live and share.servers > 1:
            raise ConfigError(f"dataset {dataset.text!r}: psana of LCLS-I reads this with one server: numservers=1")
        if dataset.kind == "file":
            raise ConfigError(f"dataset {dataset.text!r}: 'file=' is for xtc2, and the psana here is that of LCLS-I")
        if psana_config is not None:
            raise ConfigError("psana_config: psana of LCLS-I calibrates as its calib folder says: leave it out")
        if values:
            raise ConfigError(
                f"values[{next(iter(values))!r}]: psana of LCLS-I gives none here: take what you need of evt in eventOk"
            )
        if share.server == 0:
            log(_UNTRIED)
        self._idx, self._type = dataset.idx, type_ or "raw"
        try:
            self._source = psana.DataSource(text_for_psana(dataset))
            self._detector = psana.Detector(src)
            self._runs = iter(self._source.runs())
            self.own_run = next(self._runs, None)
        except ConfigError:
            raise
        except Exception as error:  # whatever psana raises
            raise ConfigError(f"dataset {dataset.text!r}, src {src!r}: psana: {error}") from error
        self._field = getattr(self._detector, self._type, None)
        if not callable(self._field):
            known = ", ".join(name for name in dir(self._detector) if not name.startswith("_"))
            raise ConfigError(f"type {self._type!r}: detector {src!r} has these: {known}")

    def blocks(self):
        """Return this server's blocks, each an iterable of `Event`, read as it is consumed."""
        return self._share.in_blocks(self._own())

    def events(self):
        """Yield all events of a live run; psana waits in between, and cannot be interrupted."""
        for place, _, evt in self._all():
            yield self._event(place, evt)
            yield None

    def close(self):
        """Let psana close its files."""
        self._source = self._detector = self._field = self._runs = self.own_run = None

    # -- what psana has --------------------------------------------------------

    def _own(self):
        limit = self._share.numevents
        for index, (place, find, evt) in enumerate(self._all()):
            if limit and index >= limit:
                return
            self.passed = index + 1
            if self._share.has(index):
                yield index, self._event(place, find() if find else evt)

    def _all(self):
        """Yield the event's run and position in it, a function that reads it in index mode, and the event else."""
        first_run = [] if self.own_run is None else [self.own_run]
        for ordinal, run in enumerate(chain(first_run, self._runs)):
            # every server sets its clock by the first event of the run, whoever's that is
            self._clock, first = FiducialClock(), True
            if self._idx:
                times = run.times()
                self._stamp(next((evt for evt in map(run.event, times) if evt is not None), None))
                for index, time in enumerate(times):
                    yield (run, ordinal, index), partial(run.event, time), None
            else:
                for index, evt in enumerate(run.events()):
                    if first:
                        self._stamp(evt)
                    first = False
                    yield (run, ordinal, index), None, evt

    def _stamp(self, evt):
        if evt is None:
            return 0
        identity = evt.get(self._psana.EventId)
        return self._clock.stamp(*identity.time(), identity.fiducials())

    def _event(self, place, evt):
        run, ordinal, index = place
        if evt is None:  # index mode, an event that cannot be read
            return Event(ordinal, 0, _unreadable, object(), index=index, own_run=run)
        stamp = self._stamp(evt)
        with suppress(AttributeError):  # whether psana lets its events have attributes is not known here
            evt.stamp, evt.index, evt.values = stamp, index, {}
        return Event(ordinal, stamp, partial(self._field, evt), evt, index=index, own_run=run)


def psana_of_lcls1():
    """Return psana if the one that is installed is that of LCLS-I, else None."""
    if "psana" not in sys.modules:
        os.environ["PS_PARALLEL"] = "none"  # psana of LCLS-II would otherwise take the MPI ranks for itself
    try:
        import psana
    except (ImportError, RuntimeError):
        return None  # said with the reason where LCLS-II's is wanted
    if getattr(psana, "xtc_version", None) == 2 or not hasattr(psana, "EventId"):
        return None
    return psana


def _unreadable():
    raise EventError("psana cannot read it")


def text_for_psana(dataset):
    """Return the dataset string as psana of LCLS-I takes it.

    Without a mode it reads by small data. Run and stream numbers are listed one
    by one, which psana takes as well as ranges.

    Raises
    ------
    ConfigError
        A colon in a name, which this psana's grammar does not know.
    """
    for name in (dataset.name, dataset.dir or ""):
        if ":" in name:
            raise ConfigError(f"dataset {dataset.text!r}: psana of LCLS-I takes no name with a colon, as {name!r}")
    parts = [f"{dataset.kind}={dataset.name}"]
    parts += [f"run={','.join(map(str, dataset.runs))}"] if dataset.runs else []
    parts += [f"stream={','.join(map(str, dataset.streams))}"] if dataset.streams else []
    parts += [f"dir={dataset.dir}"] if dataset.dir else []
    if dataset.kind == "exp":
        parts.append("idx" if dataset.idx else "smd")
    if dataset.live:
        parts.append("live")
    return ":".join(parts)
