"""The plan of a job: measured on its own ranks, all at once, as they would share the machine; and what it says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parcorana.errors import one_line
from parcorana.job.partition import elements_of
from parcorana.pipeline.block import wire_dtype
from parcorana.plan import moving
from parcorana.plan.computing import compute_some, pieces_in, unheard
from parcorana.plan.miniature import made_up
from parcorana.plan.model import Costs, Layout, best, expected
from parcorana.plan.reading import NOTHING, read_some
from parcorana.plan.said import lines_of
from parcorana.plan.writing import write_some


@dataclass(frozen=True)
class Tried:
    """What a measurement has given, or why it has not.

    Attributes
    ----------
    value : object
        None if it failed, or was not made on this rank.
    fault : str
    """

    value: Any = None
    fault: str = ""


@dataclass(frozen=True)
class Found:
    """All that was measured.

    Attributes
    ----------
    start : float [s]
        That the job took so far.
    total, left : int or None
        Events of the whole sequence, and those that the run has to take.
    supposed : bool
        Whether nobody knows if there are so many.
    reads : list of Tried
        Of `parcorana.plan.reading.Read`: of each server; empty in a live run.
    computed : list of Tried
        Of `parcorana.plan.computing.Computed`: of each worker.
    new : float [s]
        For the memory of the rank that needs longest for it.
    messages : float [s]
        For a byte.
    disk : Tried
        Of seconds until something is on the disk, and for a byte.
    written : Tried
        Of `parcorana.plan.writing.Written`.
    """

    start: float
    total: int | None
    left: int | None
    supposed: bool
    reads: list
    computed: list
    new: float
    messages: float
    disk: Tried
    written: Tried


def _tried(function, *args):
    """Measure; whatever goes wrong with that is said, and ends nothing."""
    try:
        with unheard():
            return Tried(function(*args))
    except Exception as error:
        return Tried(fault=one_line(error) or type(error).__name__)


def plan(ranks, config, division, cores, source, h5output=None, resume=None):
    """Measure what a job will take, on its ranks: all of them call this.

    Parameters
    ----------
    ranks : parcorana.tools.ranks.Ranks
    config : Config
    division : parcorana.job.division.Division
    cores : list of frozenset of int
        Those that each rank may run on.
    source : EventSource or None
        Of a rank that reads; it is closed unless it is live, for a few of its events are read.
    h5output : str, optional
        Name of the result.
    resume : parcorana.results.checkpoint.Checkpoint, optional
        From where the run goes on.

    Returns
    -------
    list of str
        What ``--check`` says of it; on rank 0 only.
    """
    start, live = moving.age(), config.dataset.is_live
    totals = ranks.gather(source.total if source is not None and not live else None)
    total = next((each for each in totals if each is not None), None)
    if total == 0:
        return ["plan: none, for there is no event"]
    # psana does not know how many there are; the config may say how many are wanted
    asked = config.numevents if total is None and not live else 0
    total = total or asked or None
    left = total and max(total - (resume.block * config.block if resume else 0), 1)
    together = ranks.comm is None
    # before there is any that was used for this
    mine = division.ranks() if together else division.ranks()[ranks.rank :][:1]
    needs = _tried(memory_of, config, division, mine, source, left).value or 0  # where one failed others would wait
    new = _of_all(ranks, needs > 0, moving.seconds_of_new_memory, needs)
    server = division.roles.servers[0] if together else ranks.rank
    reads = _of_all(ranks, source is not None and not live, read_some, config, division, server, source)
    # in a short run blocks are fewer than servers, and some get none
    reads = [each for each in reads if each.fault != NOTHING] or reads
    samples = (each.value.sample for each in reads if each.value is not None)
    sample = next(filter(None, samples), None) or made_up(config)
    worker = division.roles.workers[0] if together else ranks.rank
    works = worker in division.roles.workers
    elements = works and _elements(config, division, worker)
    each = sum(division.parts.values()) / _elements(config, division, division.roles.workers[0])
    computed = _of_all(ranks, works, compute_some, config, division.threads[worker], elements, sample, left, each)
    messages = _of_all(ranks, not together, moving.seconds_of_messages, ranks.comm, division.roles)
    lines = []
    if ranks.rank == 0:
        folder = Path(h5output or config.h5output).parent if config.h5output else None
        of_one = next((each.value for each in computed if each.value is not None), None)
        pieces = (of_one.pieces, of_one.last_pieces) if of_one else ([], [])
        found = Found(
            start, total, left, bool(asked), reads, computed,
            max((each.value for each in new if each.value), default=0.0),
            max((each.value for each in messages if each.value), default=0.0),
            _tried(moving.seconds_of_disk, folder) if folder else Tried((0.0, 0.0)),
            _tried(write_some, config, division.ranks(), sample, total or config.update or config.block, *pieces),
        )  # fmt: skip
        said = _tried(_lines, config, division, _cores(division.hosts, cores), found, together)
        lines = said.value or [f"plan: none: {said.fault}"]
    ranks.gather(None)  # who has nothing to do leaves the machine to the viewer
    return lines


def _of_all(ranks, mine, function, *args):
    """Measure on those ranks whose it is; return what they have found."""
    found = _tried(function, *args) if mine else None
    return [each for each in ranks.gather(found) if each is not None]


def _elements(config, division, worker):
    workers = division.roles.workers
    part = elements_of(workers.index(worker), len(workers), config.elements)
    return part.stop - part.start


def _cores(hosts, cores):
    """Return how many cores the ranks have on each host."""
    of_hosts = {}
    for host, own in zip(hosts, cores, strict=False):  # of one process there are three roles and one set
        of_hosts[host] = of_hosts.get(host, frozenset()) | own
    return [len(each) for each in of_hosts.values()]


def _lines(config, division, cores, found, together):
    """Return what is said, once all was measured."""
    roles = division.roles
    layout = Layout(
        len(roles.servers), len(roles.workers), max(division.threads[r] for r in roles.workers), sum(cores), together
    )
    costs = costs_of(config, layout, found)
    if costs is None:
        why = next((each.fault for each in found.computed if each.fault), "")
        return [f"plan: none, for computing could not be measured: {why}"]
    facts = config.block, config.update, found.left
    now = expected(costs, layout, *facts)
    other = best(costs, layout, *facts, config.elements, min(cores))
    return lines_of(config, costs, now, other, found)


def costs_of(config, layout, found):
    """Return what the parts of a job take; None where nobody knows what a worker takes.

    Parameters
    ----------
    config : Config
    layout : Layout
    found : Found

    Returns
    -------
    Costs or None
    """
    workers = [each.value for each in found.computed if each.value is not None]
    if not workers:
        return None
    slowest = max(workers, key=lambda each: each.steady)
    threads = layout.workers * layout.threads
    servers = [each.value for each in found.reads if each.value is not None]
    read = max((each.seconds for each in servers), default=0.0)
    nbytes = max((each.nbytes for each in servers), default=0)
    written, (wait, of_byte) = found.written.value, found.disk.value or (0.0, 0.0)
    publish = publish_last = 0.0
    if written is not None and config.h5output is not None:
        of_piece = written.of_piece + written.piece * of_byte
        publish = written.publish + wait + pieces_in(slowest.pieces) * of_piece
        # what is joined is copied, looked at and brought to the disk once more
        publish_last = written.publish + written.ends + 2 * wait + 2 * pieces_in(slowest.last_pieces) * of_piece
    steady = max(slowest.steady, 1e-9)
    scale = config.block / slowest.events  # a run shorter than a block
    return Costs(
        read=read,
        read_processor=max((each.processor for each in servers), default=0.0),
        alone=slowest.alone * scale,
        elements=(steady - slowest.alone) * threads * scale,
        filling=float((slowest.blocks[: slowest.full] - steady).sum()) / steady / scale,
        moving=found.messages * nbytes / layout.servers,
        collect=slowest.collect * threads,
        last=slowest.last * threads,
        publish=publish,
        publish_last=publish_last,
        start=found.start,
        crowd=layout.crowd,
        new=found.new * layout.fillers,
    )


def memory_of(config, division, ranks, source, total):
    """Return how much memory servers and workers fill while a run begins, as one thread would have to do it.

    Parameters
    ----------
    config : Config
    division : parcorana.job.division.Division
    ranks : list of (int, str, str)
        Number, role and host of those that are asked about.
    source : EventSource or None
    total : int or None
        Events of the run.
    """
    total, filled = total or 1 << 62, 0.0
    blocks = min(1.0, total / (2 * config.block))
    dtype = getattr(source, "dtype", None)
    wire = config.store_dtype if dtype is None else wire_dtype(np.dtype(dtype), config.store_dtype)
    for rank, role, _ in ranks:
        if role == "server":
            filled += 2 * config.block * config.elements * wire.itemsize * blocks
        for (_, what), size in division.parts.items() if role == "worker" else ():
            if what != "at work":
                part = min(1.0, total / config.times) if what.startswith("buffer") else 1.0
                # blocks come by one thread, the others are filled by all
                filled += size * (blocks if what.startswith("2 blocks") else part / division.threads[rank])
    return int(filled)
