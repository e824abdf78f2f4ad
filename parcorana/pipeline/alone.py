"""``--test_alt``: all events at once, through no pipeline, for the user's own slow calculation."""

import logging
import math
import time
from fractions import Fraction

import numpy as np

from parcorana.calculation.block import Block
from parcorana.calculation.guard import callback
from parcorana.calculation.make import make_calculation
from parcorana.calculation.params import MpiParams
from parcorana.calculation.userclass import begin
from parcorana.correlation.rolling import FAR, rate_fraction
from parcorana.detector.photons import FOUND, lines_of
from parcorana.errors import ConfigError, EventError, RunError
from parcorana.events.values import MEAN
from parcorana.pipeline.photons import with_more
from parcorana.reference import ReferenceBuffer, find_photons
from parcorana.results.facts import ACCOUNT
from parcorana.results.file import ResultFile
from parcorana.results.folder import clear

log = logging.getLogger("parcorana")


class Alone:
    """The events of a test, one by one, then the user's `calcAndPublishForTestAlt` with all of them.

    It shares nothing with the pipeline but the source, the result file and the
    user class: counters, duplicates, late and bad events are told apart here
    once more, as docs/definitions.md says it.

    Parameters
    ----------
    config : Config
    source : EventSource
        Of one server that reads all.
    h5output : str
        Name of the result file.
    host : str
    """

    first = True

    def __init__(self, config, source, h5output, host):
        self.config, self.source, self.h5output, self.host = config, source, h5output, host
        self.params = MpiParams(0, "alone", config.mask, slice(0, config.elements))
        # without classes a single one, whose group is /user
        several = config.classes or {"": config}
        self.parts = {name: make_calculation(own, self.params) for name, own in several.items()}
        self.at = "before the first event"
        self.account = dict.fromkeys(ACCOUNT, 0)
        self._event_ok, self._final_array = self._only("eventOk"), self._only("finalDataArray")
        self._adjusts = {name: callback(part, "adjust") for name, part in self.parts.items()}
        self._mends = all(part.mends_nonfinite for part in self.parts.values())
        self._select, self._filtered_by = config.select, dict.fromkeys(config.select, 0)
        self._photons = {} if config.photons is None else dict.fromkeys(FOUND, 0)
        self._buffer = ReferenceBuffer(config.times)
        self._events = {name: {} for name in self.parts}  # of each counter the elements, as they are stored
        self._origin = self._run_number = None
        self._stamps = []

    def _only(self, name):
        """Return a method of the one class that has it."""
        return next(filter(None, (callback(part, name) for part in self.parts.values())), None)

    def run(self):
        """Read, calculate, publish."""

        def init(user):
            for name, part in self.parts.items():
                begin(part, "initViewer", self.config.mask, user.require_group(name) if name else user)

        clear(self.h5output)
        results = ResultFile(
            self.h5output,
            self.config,
            [(0, "alone", self.host)],
            init,
        )
        self.params.run = getattr(self.source, "own_run", None)
        for part in self.parts.values():
            begin(part, "initServer")
            begin(part, "arrays", self.config.elements)
        self._read()
        counters = np.array(sorted(next(iter(self._events.values()))), np.int64)
        self._warn_of_order()
        self.params.processed = len(counters)
        self.at = f"the update at {len(counters)} events"
        facts = {"account": self.account, "filtered_by": self._filtered_by, "first": None, "last": None}
        facts["photons"] = self._photons
        if self.source.stamps != "pulses" and self._stamps:
            facts |= {"first": min(self._stamps), "last": max(self._stamps)}
        start = time.perf_counter()

        def write(group):
            for name, part in self.parts.items():
                data = np.empty((len(counters), self.config.elements))
                for row, counter in enumerate(counters.tolist()):
                    data[row] = self._events[name][counter]
                calculate = callback(part, "calcAndPublishForTestAlt")
                calculate(counters, data, group.require_group(name) if name else group)
            yield from ()

        for _ in results.publish(len(counters), facts, write):
            pass
        enough = self.config.numevents == self.account["read"] > 0
        results.finish(facts | {"complete": True, "ended_by": "numevents" if enough else "end of data"})
        log.info("all %s events at once: %.2f s", f"{len(counters):,}", time.perf_counter() - start)
        log.info("events: %s", ", ".join(f"{key} {self.account[key]:,}" for key in ACCOUNT))
        if self._photons:
            said, _ = lines_of(self.config.photons, self._photons, self.config.mask)
            log.info("%s", said)
        log.info("result: %s", self.h5output)

    def _read(self):
        for number, event in enumerate(self._sequence()):
            self.at = f"event {number} of the sequence"
            self.account["read"] += 1
            self.account[self._fate(event)] += 1
        self.source.close()

    def _sequence(self):
        """Yield the events of the test, in their order."""
        if not getattr(self.source, "live", False):
            for block in self.source.blocks():
                yield from block
            return
        events = self.source.events()
        while not self.config.numevents or self.account["read"] < self.config.numevents:
            event = next(events, self)
            if event is self:
                return
            if event is None:
                time.sleep(1e-3)
            else:
                yield event
        events.close()

    def _is_outside(self, values):
        """Tell whether one of some values, or the mean alone, is outside its range; count the first one that is."""
        for name, (low, high) in self._select.items():
            if (name == MEAN) != (MEAN in values):
                continue
            value = values.get(name, math.nan)
            if math.isnan(value) or (low is not None and value < low) or (high is not None and value > high):
                self._filtered_by[name] += 1
                return True
        return False

    def _fate(self, event):
        """Return what becomes of an event; keep it if it is processed."""
        if event.evt is None:
            return "no_data"
        self.params.run = event.own_run
        if self._is_outside(event.values):
            return "filtered"
        if self._event_ok is not None and not self._event_ok(event.evt):
            return "filtered"
        try:
            array = event.data()
        except (EventError, OSError):
            return "bad"
        if array is None:
            return "no_data"
        if self._final_array is not None and (array := self._final_array(array, event.evt)) is None:
            return "filtered"
        if isinstance(array, np.ma.MaskedArray):
            return "bad"
        array = np.asarray(array)
        if array.shape != self.config.mask.shape or array.dtype.kind not in "iufb":
            return "bad"
        found = None
        if self.config.photons is not None:
            if not self._mends and array.dtype.kind == "f" and not np.isfinite(array[self.config.mask]).all():
                return "bad"
            array, found = find_photons(array, **self.config.photons, mask=self.config.mask)
            if array.max() > np.iinfo(np.uint16).max:
                return "bad"
        with np.errstate(over="ignore", invalid="ignore"):
            included = array[self.config.mask]
            values = included.astype(self.config.store_dtype)
        added = {MEAN: sum(included.tolist()) / len(included)}
        is_finite = self._mends or array.dtype.kind != "f"
        if (is_finite or np.isfinite(included).all()) and self._is_outside(added):
            return "filtered"
        if not is_finite and not np.isfinite(values).all():
            return "bad"
        if found is not None:
            self._photons = with_more(self._photons, [found[name] for name in FOUND])
        if self._run_number not in (None, event.run):
            raise RunError(
                f"--test_alt: the test must stay within one run, for pairs never span two; the next one begins after "
                f"{self.account['read'] - 1} events: set testnumevents to at most that"
            )
        self._run_number = event.run
        if self._origin is not None and abs(event.stamp - self._origin) > FAR:
            return "bad"
        counter = self._counter(event.stamp)
        fate = self._buffer.enter(counter, None)
        if fate == "processed":
            self._stamps.append(event.stamp)
            numbers = {name: np.array([value]) for name, value in {**event.values, **added}.items()}
            for name, adjust in self._adjusts.items():
                own = self._events[name][counter] = values.copy()
                if adjust is not None:
                    adjust(Block(np.array([counter]), own[None], np.zeros(1, np.int64), numbers, len(self._stamps) - 1))
        return fate

    def _counter(self, stamp):
        """Return round((t - t0) * rate), halves up, in whole numbers."""
        if self._origin is None:
            self._origin = stamp
        if self.source.stamps == "pulses":
            return stamp - self._origin
        return math.floor(
            Fraction(stamp - self._origin, 10**9) * Fraction(*rate_fraction(self.config.rate)) + Fraction(1, 2)
        )

    def _warn_of_order(self):
        order = list(next(iter(self._events.values())))
        if len(order) > self.config.times and order != sorted(order):
            log.warning(
                "--test_alt: the events are not in order and more than times=%d, so what was stored together depends "
                "on their order, which calcAndPublishForTestAlt is not told: set testnumevents to at most times",
                self.config.times,
            )


def check_alone(config, source, free):
    """Raise ConfigError if the events of a test do not fit into memory.

    Parameters
    ----------
    config : Config
    source : EventSource
    free : int
        Bytes that this host can give.
    """
    events = source.total or config.numevents
    need = events * config.elements * (config.store_dtype.itemsize * max(len(config.classes), 1) + 8)
    if need > free:
        raise ConfigError(
            f"--test_alt: {events:,} events of {config.elements:,} elements take {need / 2**30:.1f} GiB at once, this "
            f"host has {free / 2**30:.1f} GiB: take a smaller testmask or testnumevents"
        )
