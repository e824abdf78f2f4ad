"""How large a result becomes and how long an update takes: written by the real viewer, into memory."""

import math
import os
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

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
from parcorana.plan.computing import pieces_in
from parcorana.plan.miniature import SERVER, VIEWER, WORKER, Feeder, harmless, of_updates, part_of_job
from parcorana.results.facts import write_facts, write_system
from parcorana.results.joined import merge
from parcorana.view.progress import Progress

_ELEMENTS = 64  # that a worker has: sizes do not go with them, but for arrays of all elements
_EVENTS = 4096  # that are fed; of a longer run they lie further apart
_PIECES, _MOST_PIECES = 3, 64  # of arrays of elements that are written, large and small ones
_UPDATES = 3  # that are written, where a run has many
_SMALL = 8 << 20  # bytes of arrays of elements that are written as they are
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
    grows : bool
        Whether all events were tried, so that what an update adds grows from one to the next.
    piece : float
        Bytes of one piece of an array of elements; 0 where they are in `nbytes`.
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
    grows: bool
    piece: float
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
        added = np.interp(at, self.at, self.nbytes)
        if len(self.at) > 1 and self.grows:  # before the first one that was tried
            slope = (self.nbytes[1] - self.nbytes[0]) / (self.at[1] - self.at[0])
            added -= np.maximum(self.at[0] - at, 0) * max(slope, 0.0)
        return int(self.described + added.sum() + self.piece * (pieces * (len(at) - 1) + last_pieces))


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
        Bytes of the joined file without any, and after each.
    seconds : list of float
        That each took.
    ends : float [s]
    """

    def __init__(self, config, ranks, viewer):
        start = time.perf_counter()
        self._base, self._joined, self._updates = self._new(), self._new(), []
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
        if self.at[-1:] == [processed]:  # the last one again, with more in it
            self._updates.pop().close()
            del self.at[-1], self.seconds[-1]
        start, disk = time.perf_counter(), self._new()
        self._updates.append(disk)
        self._base.seek(0)
        disk.write(self._base.read())
        with hdf5(disk, "r+") as file:
            write_facts(file["system"], facts)
            yield from write(file["user"])
        seal(disk)
        self.at.append(processed)
        self.seconds.append(time.perf_counter() - start)

    def keep_log(self):
        """Write none: of what is only tried nothing is logged."""

    @staticmethod
    def _flushed(file):
        file.flush()
        return file.id.get_filesize()

    def _size(self):
        return os.fstat(self._joined.fileno()).st_size

    def finish(self, facts):
        """Write what is known at the end."""
        with hdf5(self._joined) as joined:
            user = joined.require_group("user")
            self.sizes.append(self._flushed(joined))
            for k, disk in enumerate(self._updates):
                start = time.perf_counter()
                with hdf5(disk, "r") as file:
                    merge(file["user"], user)
                self.sizes.append(self._flushed(joined))
                self.seconds[k] += time.perf_counter() - start
        start = time.perf_counter()
        with hdf5(self._joined, "r+") as joined, hdf5(self._base, "r") as base:
            base.copy("system", joined)
            curvefile.complete(joined["user"])
            write_facts(joined["system"], facts)
        self.described = self._size() - self.sizes[-1] + self.sizes[0]
        self.ends += time.perf_counter() - start

    def pieces(self, write, numbers):
        """Write pieces into `/user`; return the seconds and bytes that each takes."""
        start, before = time.perf_counter(), self._size()
        with hdf5(self._joined, "r+") as joined:
            for number in numbers:
                write(joined["user"], number)
        return (time.perf_counter() - start) / len(numbers), (self._size() - before) / len(numbers)

    def close(self):
        """Free the memory."""
        for disk in (self._base, self._joined, *self._updates):
            disk.close()


def write_some(config, ranks, sample, total, pieces, last_pieces):
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
        Name, dtype and leading axes of the arrays of elements that an update has.
    last_pieces : list
        The same of the last one.

    Returns
    -------
    Written

    Raises
    ------
    RunError
        Updates are too large to be tried.
    """
    if (size := small_bytes(harmless(config)[0])) > _MOST_BYTES:
        raise RunError(f"an update holds {size / 2**20:,.0f} MiB, too much to be tried")
    # what a file has of a run's length halves whenever that doubles, so powers of two give what the whole run would
    stride = 1 << max(math.ceil(math.log2(total / _EVENTS)), 0)
    events, update = math.ceil(total / stride), config.update or total
    few = math.ceil(total / update) <= _UPDATES + 1
    # what is small is written as it is; of large arrays a few pieces
    each = pieces_in(last_pieces) * config.mask.size * 8
    whole = each * (_UPDATES + 1) <= _SMALL and (few or pieces == last_pieces)
    small, _ = harmless(config) if whole else harmless(config, save_arrays=False)
    small = of_updates(small, math.ceil(update / stride) if few else math.ceil(events / _UPDATES))
    network, elements = LocalNetwork(3), min(config.elements, _ELEMENTS)
    jobs = [part_of_job(small, network, rank, 1, elements) for rank in (VIEWER, SERVER, WORKER)]
    viewer = Viewer(jobs[VIEWER], ranks, Progress(False))
    book = viewer.results = _Book(config, ranks, viewer)
    with closing(book):
        feeder = Feeder(small, network, elements, sample, stride)
        run_together([_feed(jobs[SERVER], feeder, events), Worker(jobs[WORKER]).run(), viewer.run()], network)
        of_piece, nbytes = _piece(viewer, book, config, [] if whole else last_pieces)
        return Written(
            described=book.described,
            at=np.minimum(np.array(book.at) * stride, total),
            nbytes=np.diff(book.sizes),
            grows=stride == 1,
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
        return 0.0, 0.0
    name, dtype, axes = pieces[0]
    who, _, own = name.rpartition("/")
    publish = callback(viewer._parts[who][0], "publish_piece")

    def write(user, index):
        array = spread(config.mask, np.zeros(config.elements, dtype))
        zlib.crc32(array)  # as of the file that it is in
        publish(own, index, array, user.require_group(who) if who else user)

    some = max(_PIECES, _MOST_BYTES // 8 // (config.mask.size * np.dtype(dtype).itemsize))
    return book.pieces(write, list(islice(np.ndindex(*axes), min(some, _MOST_PIECES))))
