"""How long a server takes for an event: a few real ones, read and put into send buffers as in a run."""

import math
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from parcorana import _move
from parcorana.errors import RunError
from parcorana.events.protocol import FrameBlock
from parcorana.pipeline.block import BAD, PULSES, TYPE, BlockBuffer, of_header
from parcorana.pipeline.clock import Clock
from parcorana.pipeline.intake import Intake
from parcorana.pipeline.job import Job
from parcorana.pipeline.reading import Reading
from parcorana.plan.miniature import harmless, sample_of

MOST_BYTES, MOST_EVENTS = 64 << 20, 4096  # that are read of a block
NOTHING = "there is no event"  # of this server
_BLOCKS = 2
_SECONDS = 0.25  # of the processor
_PATIENCE = 3  # times as long may it take where others have the cores, or a disk is waited for
_SETTLES = 0.25  # of the events: caches and memory are got with the first ones


@dataclass(frozen=True)
class Read:
    """What reading takes, of one server.

    Attributes
    ----------
    events : int
        That were read.
    seconds, processor : float [s]
        For each event; the second one counts all threads. Where nothing came from a disk the first one is without what
        others had of the cores.
    nbytes : int
        Of an event on its way to the workers.
    sample : parcorana.plan.miniature.Sample or None
        None where no event could be taken.
    from_memory : bool
        Whether it is known that hardly anything came from a disk.
    """

    events: int
    seconds: float
    processor: float
    nbytes: int
    sample: Any
    from_memory: bool


class _Few:
    """The first events of a block, until there were enough, or time is over.

    Attributes
    ----------
    marks : list of (int, float, float)
        Events so far, time, time of the processor; one at the beginning and one after each piece.
    """

    def __init__(self, events, most, until):
        self._events, self._most, self._until = events, most, until
        self.marks, self._enough = [], time.process_time() + _SECONDS

    def mark(self, count):
        """Note how far it is; tell whether it is time to end."""
        self.marks.append((count, time.perf_counter(), time.process_time()))
        _, now, processor = self.marks[-1]
        return count >= self._most or now > self._until or processor > self._enough

    def one_by_one(self):
        """Generate events."""
        self.mark(0)
        for count, event in enumerate(islice(self._events, self._most), 1):
            yield event
            if self.mark(count):
                return

    def block(self):
        """Return the same as a `FrameBlock`."""
        events = self._events
        size = min(len(events), self._most)
        values = {name: column[:size] for name, column in events.values.items()}
        first = slice(0, size)
        return FrameBlock(events.runs[first], events.stamps[first], events.indexes[first], values, None, self._pieces)

    def _pieces(self, wanted):
        size = min(len(self._events), self._most)
        if wanted is not None:
            wanted = np.concatenate([wanted, np.zeros(len(self._events) - size, bool)])
        self.mark(0)
        for k, frames in self._events.pieces(wanted):
            if k >= size:
                return
            if isinstance(frames, int):
                frames = min(frames, size - k)
            elif not isinstance(frames, Exception):
                frames = frames[: size - k]
            yield k, frames
            if self.mark(
                k + (frames if isinstance(frames, int) else 1 if isinstance(frames, Exception) else len(frames))
            ):
                return


def _from_disk():
    """Return the bytes that this process had from a disk so far, NaN where nobody says."""
    try:
        with open("/proc/self/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("read_bytes:"))
    except (OSError, StopIteration, ValueError):
        return math.nan


def read_some(config, division, rank, source):
    """Read a few events of a server's source, and close it.

    Parameters
    ----------
    config : Config
    division : parcorana.job.division.Division
    rank : int
    source : EventSource
        Not a live one.

    Returns
    -------
    Read

    Raises
    ------
    RunError, OSError, ...
        Whatever reading raises.
    """
    config, _ = harmless(config)
    size = max(source.dtype.itemsize if source.dtype is not None else 8, config.store_dtype.itemsize)
    most = max(1, min(config.block, MOST_EVENTS, MOST_BYTES // (size * max(config.mask.size, 1))))
    job = Job(config, division.roles, _Alone(rank, len(division.hosts)), Clock(False))
    calculation, reading = job.make_calculation(), Reading(job.stop)
    intake = Intake(job, calculation, reading)
    widths = [part.stop - part.start for part in job.parts]
    buffer = BlockBuffer(most, widths, config.store_dtype, config.names, *of_header(config))
    for memory in buffer.memory:
        memory[:] = 0  # as after the first blocks of a run: the pages are there
    before, until, few, events = _from_disk(), time.perf_counter() + _PATIENCE * _SECONDS, None, 0
    try:
        for block in islice(source.blocks(), _BLOCKS):
            few = _Few(block, most, until)
            buffer.begin(0, -1, source.stamps == "pulses")
            if intake.as_they_are and hasattr(block, "pieces"):
                intake.take_pieces(buffer, few.block(), 0)
            else:
                for event in few.one_by_one():
                    intake.take(buffer, event)
            if reading.error is not None:
                raise reading.error
            events += few.marks[-1][0]
            # where all came at once, that it was opened counts; so another one is read
            if len(few.marks) > _BLOCKS or time.perf_counter() > until:
                break
        return _found(config, buffer, few, events, _from_disk() - before)
    finally:
        source.close()


def _found(config, buffer, few, read, from_disk):
    if not read:
        raise RunError("no event came in time" if few else NOTHING)
    marks, header = few.marks, buffer.header
    if header[BAD] >= marks[-1][0]:
        raise RunError("all events that were read are bad")
    # the first piece opens what a run opens once
    settled = _SETTLES * marks[-1][0]
    first = next(k for k, mark in enumerate(marks) if mark[0] >= settled) if len(marks) > 2 else 0
    first = min(first, len(marks) - 2)
    events = marks[-1][0] - marks[first][0]
    wall, processor = (marks[-1][k] - marks[first][k] for k in (1, 2))
    dtype = _move.TYPES[header[TYPE]]
    rows = buffer.sent_rows()[0][:, : buffer.widths[0]]
    sample = None
    if len(rows):
        table = buffer.numbers[buffer.head :].reshape(-1, buffer.row)[: buffer.events]
        values = dict(zip(buffer.names, table[:, 2:].view(np.float64).T.copy(), strict=True))
        sample = sample_of(table[:, 0].copy(), values, rows, bool(header[PULSES]), config.rate)
    nbytes = dtype.itemsize * config.elements
    from_memory = from_disk < nbytes * read / 2
    # who waits for no disk has waited for a core, and how ranks share these the model counts
    seconds = min(wall, processor) if from_memory else wall
    return Read(read, seconds / events, processor / events, nbytes, sample, from_memory)


class _Alone:
    """In the place of a transport: nothing is sent."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size
