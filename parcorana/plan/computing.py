"""How long a worker takes for a block of events, by the real one, fed with events of a sample."""

import logging
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from parcorana.calculation.arrays import PerElement
from parcorana.errors import RunError
from parcorana.pipeline.transport import WORKED, LocalNetwork
from parcorana.pipeline.worker import Worker
from parcorana.plan.miniature import VIEWER, WORKER, Feeder, harmless, part_of_job

SECONDS = 0.2
_STRIP = 128  # elements that a thread takes at a time, of a class that does not say
_PATIENCE = 5  # times as long may it take where others have the cores
_MOST_BYTES = 192 << 20  # of the elements that are tried
_BUFFERS = 2  # that a worker has for blocks
_LEAST = 2  # blocks that are measured after the first one, where the run has so many
_STEADY = 6  # blocks at most that are measured once the buffer is full
_COLLECTED = 2  # updates that are collected
_STEP = 4  # times as many elements are tried where nobody knows what does not go with them


@dataclass(frozen=True)
class Computed:
    """What a worker takes, with all of its elements and as many cores as it has threads.

    Attributes
    ----------
    blocks : (k,) float [s]
        For each of the first blocks.
    full : int
        How many there are until the buffer is full.
    steady : float [s]
        For a block once the buffer is full.
    alone : float [s]
        What of that does not go with the elements.
    events : int
        In a block.
    collect, last : float [s]
        For what the viewer gets at an update, and at the last one.
    pieces : list of (str, str, list of int)
        Name, dtype and leading axes of the arrays of elements of an update.
    last_pieces : list
        The same of the last one.
    """

    blocks: np.ndarray
    full: int
    steady: float
    alone: float
    events: int
    collect: float
    last: float
    pieces: list = field(default_factory=list)
    last_pieces: list = field(default_factory=list)


@contextmanager
def unheard():
    """Keep the log, and warnings of libraries, from what is only tried."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def drain(network):
    """Take what was sent to the viewer, as if it had been."""
    for (_, dest, _), box in network.boxes.items():
        if dest == VIEWER:
            for post in box:
                post.taken = True
            box.clear()


def _now():
    """Return the time, and that of the processor in all threads."""
    return time.perf_counter(), time.process_time()


def _undisturbed(start, threads):
    """Return the seconds since `start` as they are with a core for each thread.

    While it is measured other ranks, and other programs, may have the cores. The model counts how ranks share them, so
    that must not count here.
    """
    wall, processor = (now - then for now, then in zip(_now(), start, strict=True))
    return min(max(wall, processor / threads), processor)


class _Tried:
    """A worker with some elements, fed block by block.

    Attributes
    ----------
    seconds : list of float
        Of each block, as `_undisturbed`.
    collect, last : float [s]
    pieces, last_pieces : list
    """

    def __init__(self, config, threads, elements, sample):
        network = LocalNetwork(3)
        self.elements = elements
        self._network, self._feeder = network, Feeder(config, network, elements, sample)
        self._worker = Worker(part_of_job(config, network, WORKER, threads, elements))
        self._worker._publish = lambda: ()  # updates cut blocks, and what they take is measured by itself
        self._steps, self.seconds, self._threads = self._worker.run(), [], threads

    def warm(self, events):
        """Get all the memory that the worker has: how long that takes depends on how much it is, not on what it does.

        Then another run begins, with an empty buffer.
        """
        next(self._steps)
        for array in self._worker.arrays.values():
            array.value[...] = array.value.copy()
        calculation = self._worker.calculation
        for entering in [self._worker.entering, *getattr(calculation, "enterings", {}).values()]:
            entering.buffer.X[...] = 0
        for _ in range(_BUFFERS):
            self.feed(events)
        self._feeder.run = 1
        self.feed(1)  # that the other run has ended takes time, too
        self._worker.events.account["processed"] = 0  # updates cut blocks where they would
        self.seconds = []

    def feed(self, events):
        """Let a block enter."""
        handles = self._feeder.send(events)
        start = _now()
        while True:
            step = next(self._steps, self)
            if step is self:
                raise RunError(f"a worker ended: {self._worker.error or 'it had enough'}")
            drain(self._network)
            if step is not WORKED and all(handle.done() for handle in handles):
                break
        self.seconds.append(_undisturbed(start, self._threads))

    def collected(self):
        """Make what an update has, and the last one."""
        self.collect, self.pieces = self._least(False)
        self.last, self.last_pieces = self.collect, self.pieces
        if self._worker.calculation.last_has_more:
            self.last, self.last_pieces = self._least(True)

    def _least(self, last):
        """Return the least of several: the first one gets memory that the others have."""
        tried = [self._collected(last) for _ in range(_COLLECTED)]
        return min(seconds for seconds, _ in tried), tried[0][1]

    def _collected(self, last):
        worker = self._worker
        start = _now()
        worker.monitors.settle()
        worker.calculation.mpiParams.processed = worker.events.processed
        arrays = worker._collected(last)
        try:
            next(arrays)
        except StopIteration as end:  # a worker that is alone waits for no other
            arrays = end.value
        whole = [
            (n, a.value.dtype.str, list(a.value.shape[:-1]))
            for n, a in sorted(arrays.items())
            if isinstance(a, PerElement)
        ]
        return _undisturbed(start, self._threads), whole

    def close(self):
        """End the worker where it is."""
        self._steps.close()


def _try(config, threads, elements, sample, blocks, events, seconds):
    """Feed a worker so many blocks of so many events, as far as time allows."""
    tried = _Tried(config, threads, elements, sample)
    try:
        tried.warm(events)
        until = time.perf_counter() + _PATIENCE * seconds
        for count in range(blocks):
            tried.feed(events)
            late = sum(tried.seconds) > 2 * seconds or time.perf_counter() > until
            if late and count >= _LEAST:
                break
        tried.collected()
        return tried
    finally:
        tried.close()


def compute_some(config, threads, elements, sample, total=None, each=0.0, seconds=SECONDS):
    """Measure what a worker takes for its blocks.

    A few of the elements are tried, and more, as many as time allows: so it is known what does not go with them.

    Parameters
    ----------
    config : Config
    threads, elements : int
        Of the worker.
    sample : Sample
    total : int, optional
        Events of the run.
    each : float
        Bytes that the worker has for each element.
    seconds : float
        About how long to try.

    Returns
    -------
    Computed
    """
    config, _ = harmless(config)
    total = total or 1 << 62
    events = min(config.block, total)
    full = math.ceil(config.times / events)
    blocks = min(max(total // events, 1), full + _STEADY)
    strip = max(getattr(own.user_class, "strip", _STRIP) for own in config.classes.values() or [config])
    most = max(1, int(_MOST_BYTES // max(each, config.store_dtype.itemsize * (config.times + 3 * config.block))))
    # where memory has room for the share of some threads alone, these are tried, each with its share
    tried = min(threads, max(1, most // strip))
    share = tried / threads
    most = max(1, min(int(elements * share), most))
    small = large = _try(config, tried, min(most, strip * tried), sample, blocks, events, seconds / 2)
    until = time.perf_counter() + _PATIENCE * seconds
    while time.perf_counter() < until:
        if large is small:
            many = _STEP * small.elements
        else:
            fixed, slope = _line(small, large, sum(small.seconds), sum(large.seconds))
            many = int((seconds - fixed) / max(slope, 1e-12)) // strip * strip
        many = min(most, many)
        if many < 2 * large.elements:
            break
        large = _try(config, tried, many, sample, blocks, events, seconds)
    return _scaled(small, large, elements * share, events, full)


def _line(small, large, one, other):
    """Return what of the seconds that few and many elements took does not go with them, and what each takes."""
    if large is small:
        return 0.0, one / small.elements
    slope = max(other - one, 0.0) / (large.elements - small.elements)
    slope = max(slope, 0.25 * other / large.elements)
    return max(other - slope * large.elements, 0.0), slope


def _scaled(small, large, elements, events, full):
    """Return what all elements take, from what few and many of them did."""

    def steady(tried):
        """Return the least: threads that wait for one whose core others have would count."""
        return min(tried.seconds[min(full, len(tried.seconds) - 1) :])

    def of_all(one, other):
        fixed, slope = _line(small, large, one, other)
        return fixed + slope * elements

    alone, slope = _line(small, large, steady(small), steady(large))
    now = alone + slope * elements
    ratio = now / max(steady(large), 1e-9)
    return Computed(
        blocks=np.array(large.seconds) * ratio,
        full=full,
        steady=now,
        alone=alone,
        events=events,
        collect=of_all(small.collect, large.collect),
        last=of_all(small.last, large.last),
        pieces=large.pieces,
        last_pieces=large.last_pieces,
    )


def pieces_in(arrays):
    """Return how many pieces arrays of elements have, of which name, dtype and leading axes are given."""
    return sum(math.prod(axes) for _, _, axes in arrays)
