"""What a job takes, from what its parts do: arithmetic only."""

import math
from dataclasses import dataclass

_POLL = 1e-3  # s until a rank that waits sees that a block has come, on average
_WORTH = 1.15  # how much faster others must be to be named


@dataclass(frozen=True)
class Costs:
    """What the parts of a job take on this machine; seconds.

    Attributes
    ----------
    read, read_processor : float
        For an event, of one server; the second one of the processor.
    alone : float
        For a block, of a worker, whatever its elements.
    elements : float
        For a block, of all elements together, with one thread.
    filling : float
        How much longer all blocks took than they would with a full buffer, as a part of one block's time.
    moving : float
        For an event from a server to the workers.
    collect, last : float
        For what workers send at an update, and at the last one, of all elements with one thread.
    publish, publish_last : float
        For an update, with its file, and the last one with all that ends a run.
    start : float
        Before the first event.
    crowd : float
        Ranks for each core of the job of which that is.
    new : float
        For all memory that a run has, before it is used the first time, by one rank.
    """

    read: float
    read_processor: float
    alone: float
    elements: float
    filling: float
    moving: float
    collect: float
    last: float
    publish: float
    publish_last: float
    start: float
    crowd: float
    new: float


@dataclass(frozen=True)
class Layout:
    """How a job is divided.

    Attributes
    ----------
    servers, workers, threads : int
        Threads of each worker.
    cores : int
        Of all hosts together.
    together : bool
        Whether it is one process, whose roles take turns.
    """

    servers: int
    workers: int
    threads: int
    cores: int
    together: bool

    @property
    def ranks(self):
        """How many ranks there are."""
        return 1 if self.together else 1 + self.servers + self.workers

    @property
    def crowd(self):
        """Ranks for each core, at least 1: they start at the same time."""
        return max(self.ranks / self.cores, 1.0)

    @property
    def fillers(self):
        """How many ranks get memory at the same time."""
        return 1 if self.together else min(self.cores, self.ranks - 1)

    def text(self):
        """Return how to have it, as a sentence names it."""
        threads = f"threads = {self.threads}"
        if self.together:
            return f"one process and {threads}"
        return f"`mpiexec -n {self.ranks}`, numservers = {self.servers} and {threads}"


@dataclass(frozen=True)
class Expected:
    """What is to be expected.

    Attributes
    ----------
    rate : float
        Events per second, updates included.
    seconds : float or None
        From start to end, where the number of events is known.
    """

    rate: float
    seconds: float | None


def expected(costs, layout, block, update, total=None):
    """Return what a job will take.

    Parameters
    ----------
    costs : Costs
    layout : Layout
    block, update : int
        Events of a block, and from update to update; 0: there is one at the end.
    total : int, optional
        Events of the run.

    Returns
    -------
    Expected
    """
    busy = min(layout.workers * layout.threads, layout.cores)
    compute = costs.alone + costs.elements / busy
    collect, last = costs.collect / busy, costs.last / busy
    if layout.together:
        of_event = costs.read + compute / block
        of_update = collect + costs.publish
        at_ends = 0.0
    else:
        processor = costs.read_processor + (layout.workers * costs.alone + costs.elements) / block
        work = max(compute / block, costs.moving) + _POLL / block
        of_event = max(costs.read / layout.servers, work, processor / layout.cores)
        of_update = max(collect, (costs.collect + costs.publish) / layout.cores)
        # what goes on at the same time as something else does not at the first block, and at the last one
        at_ends = min(block, total or block) * (costs.read + work - of_event)
    rate = 1 / (of_event + (of_update / update if update else 0.0))
    if total is None:
        return Expected(rate, None)
    updates = math.ceil(total / update) if update else 1
    new = costs.new / layout.fillers
    seconds = costs.start * layout.crowd / costs.crowd + new + max(at_ends, 0.0) + total * of_event
    seconds += costs.filling * compute + (updates - 1) * of_update + last + costs.publish_last
    return Expected(rate, seconds)


def best(costs, layout, block, update, total, most_workers, most_threads):
    """Return the layout on the same cores that is expected to be the fastest, and what it takes.

    Among those that are as fast as it but for a few per cent it is the one with the fewest ranks.

    Parameters
    ----------
    costs, layout, block, update, total
        As of `expected`.
    most_workers, most_threads : int
        Workers that there may be, and threads of each: the cores of a host.

    Returns
    -------
    Layout
    Expected
    """
    cores, found = layout.cores, []
    for servers in range(1, max(2, min(cores, 16) + 1)):
        for workers in range(1, min(max(cores, 1), most_workers, 128) + 1):
            for threads in {max(cores // workers, 1), max((cores - servers) // workers, 1)}:
                found.append(Layout(servers, workers, min(threads, most_threads), cores, False))
    found.append(Layout(1, 1, most_threads, most_threads, True))
    took = {each: _seconds(expected(costs, each, block, update, total), total) for each in found}
    fastest = min(took.values())
    near = [each for each in found if took[each] <= 1.03 * fastest]
    chosen = min(near, key=lambda each: (each.ranks, each.threads))
    return chosen, expected(costs, chosen, block, update, total)


def _seconds(found, total):
    return found.seconds if total is not None else 1 / found.rate


def times_as_fast(now, other):
    """Return how many times as fast the other one is, where that is worth a sentence; else None."""
    total = now.seconds
    ratio = _seconds(now, total) / _seconds(other, total)
    return ratio if ratio >= _WORTH else None
