"""How large a result becomes and how long an update takes: written by the real viewer, into memory."""

import math
import os
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from parcorana.calculation.block import spread
from parcorana.calculation.guard import callback
from parcorana.calculation.userclass import begin
from parcorana.curves import curvefile
from parcorana.errors import RunError
from parcorana.files.aside import Disk, hdf5
from parcorana.files.sealed import seal
from parcorana.job.memory import small_bytes
from parcorana.pipeline import note
from parcorana.pipeline.block import LAST
from parcorana.pipeline.job import finished_facts
from parcorana.pipeline.transport import TAG_BODY, TAG_NOTE, LocalNetwork, run_together, wait
from parcorana.pipeline.viewer import Viewer
from parcorana.pipeline.worker import Worker
from parcorana.plan.miniature import SERVER, VIEWER, WORKER, Feeder, harmless, of_updates, part_of_job
from parcorana.results.facts import write_facts, write_system
from parcorana.results.joined import merge
from parcorana.view.progress import Progress

_ELEMENTS = 64  # that a worker has: sizes do not go with them, but for arrays of all elements
_EVENTS = 4096  # that are fed; of a longer run they lie further apart
_PIECES = 4  # of arrays of elements that are written
_UPDATES = 3  # that are written, where a run has many
_MOST_BYTES = 64 << 20  # of an update that is tried


@dataclass(frozen=True)
class Written:
    """What the viewer takes for its file.

    Attributes
    ----------
    described : int
        Bytes of a file without any update.
    at, nbytes : (k,) int64
        Events processed at some updates, and bytes that each of them adds.
    piece : int
        Bytes of one piece of an array of elements.
    publish : float [s]
        For an update, without the disk.
    of_piece : float [s]
        For a piece, without the disk.
    ends : float [s]
        For what is written once, at begin and end.
    """

    described: int
    at: np.ndarray
    nbytes: np.ndarray
    piece: int
    publish: float
    of_piece: float
    ends: float

    def size(self, total, update, pieces, last_pieces):
        """Return the bytes of the result of a run of `total` events: with so many pieces in each update, and the last.

        Returns
        -------
        int
        """
        at = updates_of(total, update)
        added = np.interp(at, self.at, self.nbytes).sum()
        return int(self.described + added + self.piece * (pieces * (len(at) - 1) + last_pieces))


def updates_of(total, update):
    """Return at how many events the updates of a run of `total` are."""
    if not update:
        return np.array([total])
    return np.minimum(np.arange(1, max(math.ceil(total / update), 1) + 1) * update, total)


class _Book:
    """In the place of a result file: each update is made, and joined, in memory.

    Attributes
    ----------
    at : list of int
        Events processed at each update.
    sizes : list of int
        Bytes of the joined file after each.
    seconds : list of float
        That each took.
    ends : float [s]
    """

    def __init__(self, config, ranks, viewer):
        start = time.perf_counter()
        self._base, self._joined, self._files = self._new(), None, []
        with hdf5(self._base) as file:
            write_system(file.create_group("system"), config, ranks)
            begin(viewer.calculation, "initViewer", config.mask, file.create_group("user"))
        self.at, self.sizes, self.seconds, self.ends = [], [], [], time.perf_counter() - start
        self.folder, self.described = None, 0

    @staticmethod
    def _new():
        return Disk(os.memfd_create("parcorana", os.MFD_CLOEXEC), "r+")

    def publish(self, processed, facts, write, ending=False):
        """Publish an update."""
        start = time.perf_counter()
        with closing(self._new()) as disk:
            self._base.seek(0)
            disk.write(self._base.read())
            with hdf5(disk, "r+") as file:
                write_facts(file["system"], facts)
                yield from write(file["user"])
            seal(disk)
            mode = "r+" if self._joined else "w"
            self._joined = self._joined or self._new()
            with hdf5(self._joined, mode) as joined, hdf5(disk, "r") as file:
                merge(file["user"], joined.require_group("user"))
        self.seconds.append(time.perf_counter() - start)
        self.at.append(processed)
        self.sizes.append(self._size())

    def _size(self):
        return os.fstat(self._joined.fileno()).st_size

    def finish(self, facts):
        """Write what is known at the end."""
        start = time.perf_counter()
        with hdf5(self._joined, "r+") as joined, hdf5(self._base, "r") as base:
            base.copy("system", joined)
            curvefile.complete(joined["user"])
            write_facts(joined["system"], facts)
        self.described = self._size() - self.sizes[-1]
        self.ends += time.perf_counter() - start

    def pieces(self, writes):
        """Write into `/user`, one after the other; return the seconds and bytes that each but the first one takes."""
        sizes, times = [], []
        with hdf5(self._joined, "r+") as joined:
            for write in writes:
                write(joined["user"])
                joined.flush()
                sizes.append(joined.id.get_filesize())
                times.append(time.perf_counter())
        each = max(len(sizes) - 1, 1)
        return (times[-1] - times[0]) / each, (sizes[-1] - sizes[0]) // each

    def close(self):
        """Free the memory."""
        for disk in filter(None, (self._base, self._joined)):
            disk.close()


def write_some(config, ranks, sample, total, pieces):
    """Measure what the viewer writes.

    Parameters
    ----------
    config : Config
    ranks : list of (int, str, str)
        Rank, role and host of every rank.
    sample : Sample
    total : int
        Events of the run.
    pieces : list of (str, str, list of int)
        Name, dtype and leading axes of arrays of elements that a result has.

    Returns
    -------
    Written

    Raises
    ------
    RunError
        Updates are too large to be tried.
    """
    config, _ = harmless(config)
    if (size := small_bytes(config)) > _MOST_BYTES:
        raise RunError(f"an update holds {size / 2**20:,.0f} MiB, too much to be tried")
    # what a file has of a run's length halves whenever that doubles, so powers of two give what the whole run would
    stride = 1 << max(math.ceil(math.log2(total / _EVENTS)), 0)
    events, update = math.ceil(total / stride), config.update or total
    few = math.ceil(total / update) <= _UPDATES + 1
    small, _ = harmless(config, save_arrays=False)
    small = of_updates(small, math.ceil(update / stride) if few else math.ceil(events / _UPDATES))
    network, elements = LocalNetwork(3), min(config.elements, _ELEMENTS)
    jobs = [part_of_job(small, network, rank, 1, elements) for rank in (VIEWER, SERVER, WORKER)]
    viewer = Viewer(jobs[VIEWER], ranks, Progress(False))
    book = viewer.results = _Book(config, ranks, viewer)
    with closing(book):
        feeder = Feeder(small, network, elements, sample, stride)
        run_together([_feed(jobs[SERVER], feeder, events), Worker(jobs[WORKER]).run(), viewer.run()], network)
        of_piece, nbytes = _piece(viewer, book, config, pieces)
        # at the first one there is the root group, too
        added = np.diff([0, *book.sizes])
        return Written(
            described=book.described,
            at=np.minimum(np.array(book.at) * stride, total),
            nbytes=added,
            piece=nbytes,
            publish=float(np.median(book.seconds)),
            of_piece=of_piece,
            ends=book.ends,
        )


def _feed(job, feeder, events):
    """Generate the steps of a server that has so many events of a sample."""
    left = events
    while left:
        part = min(left, job.config.block)
        left -= part
        yield from wait(*feeder.send(part))
    yield from wait(*feeder.send(0, LAST))
    header, body = note.pack(note.DONE, finished_facts(job, {"stopped": ""}))
    yield from wait(job.transport.send(VIEWER, TAG_NOTE, header), job.transport.send(VIEWER, TAG_BODY, body))


def _piece(viewer, book, config, pieces):
    """Return the seconds and the bytes of one piece of the arrays of elements, of the last one that is tried."""
    if not pieces:
        return 0.0, 0
    name, dtype, axes = pieces[0]
    who, _, own = name.rpartition("/")
    publish = callback(viewer._parts[who][0], "publish_piece")

    def write(user, index):
        array = spread(config.mask, np.zeros(config.elements, dtype))
        zlib.crc32(array)  # as of the file that it is in
        publish(own, (index, *[0] * (len(axes) - 1)), array, user.require_group(who) if who else user)

    # the first one makes the group of all
    numbers = range(min(axes[0] if axes else 1, _PIECES))
    seconds, nbytes = book.pieces([partial(write, index=index) for index in numbers])
    return seconds, nbytes or config.mask.size * np.dtype(dtype).itemsize
