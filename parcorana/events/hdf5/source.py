"""``h5=FILE``: a stack T x NDArray in HDF5 files, read a batch of frames at a time."""

import math
from bisect import bisect_right
from functools import partial

import numpy as np

from parcorana.correlate.rolling import pulse_counters
from parcorana.errors import ConfigError
from parcorana.events.hdf5.stack import Stack, file_names
from parcorana.events.hdf5.values import Values, stretches
from parcorana.events.protocol import FrameBlock, even_step

_BATCH_BYTES = 4 << 20  # what is copied on is then still in the last cache
# A row of chunks is decompressed as a whole, so a larger batch then saves work.
_BATCH_BYTES_CHUNKED = 64 << 20
_GAP_BYTES = 64 << 10  # frames that are not wanted are read with those around them, if they are no more than this


class HDF5Source:
    """``h5=FILE``: an `EventSource` of the frames of one dataset.

    The times are in the same group: ``counter``, integer pulses; else
    ``timestamp``, float64 seconds or integer nanoseconds; with neither the
    pulses are 0, 1, 2, ... (contract, section 4). Several files are one run, in
    the order given.

    Memory: one batch of frames, 4 MiB or one frame; up to 64 MiB where the
    chunks of the dataset hold that many frames. With the times, and with each
    value, 8 bytes per frame of the files.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    src : str
        Path of the stack in the file: T x detector's ndarray, integer or float.
    share : parcorana.events.protocol.Share
    values : dict of str to str
        Of each value the path of its dataset, one number per frame.

    Attributes
    ----------
    stamps, total, shape, dtype
        As `EventSource` says; stamps are pulses, or nanoseconds with
        ``timestamp``; the dtype is the stack's in this machine's byte order.

    Raises
    ------
    ConfigError
        A file, the stack, its times or a value are missing or of the wrong
        kind, or differ from file to file.
    """

    def __init__(self, dataset, src, share, values=None):
        self._share = share
        self._start, self._stop, self._batch = 0, 0, None
        self._damaged = range(0)
        self._stacks = []
        try:
            for name in file_names(dataset):
                self._stacks.append(Stack(name, src, dataset.dir))
                _check_alike(self._stacks)
            times = [stack.times.read() for stack in self._stacks]
            read = [Values(stack, values or {}).read() for stack in self._stacks]
        except BaseException:
            self.close()
            raise
        first = self._stacks[0]
        self._first = np.cumsum([0] + [stack.item.shape[0] for stack in self._stacks]).tolist()
        self._times = None if times[0] is None else np.concatenate(times)
        self._columns = {name: np.concatenate([each[name] for each in read]) for name in values or {}}
        self.stamps = first.times.stamps
        self.total = min(self._first[-1], share.numevents or self._first[-1])
        self.about, self.typical_step = first.times.about(first.file), None
        if self._times is not None and self.stamps == "ns" and len(self._times) > 1:
            self.typical_step = float(np.median(np.diff(self._times))) * 1e-9
        self.shape = first.item.shape[1:]
        self.dtype = first.item.dtype.newbyteorder("=")
        self._rows = batch_rows(first.item)

    def pulses_apart(self, rate):
        """Return the pulses from each event to the next, if all are equally far apart; see `EventSource`."""
        if self._times is None:
            return 1
        times = self._times[: self.total]
        return even_step(times if self.stamps == "pulses" or not len(times) else pulse_counters(times, times[0], rate))

    def blocks(self):
        """Yield this server's blocks, each a `FrameBlock`."""
        for first, last in self._share.blocks(self.total):
            # A lone server's blocks adjoin, so its batches may go across them.
            limits = (self._share.first * self._share.block, self.total) if self._share.servers == 1 else (first, last)
            stamps = np.arange(first, last) if self._times is None else self._times[first:last]
            runs, indexes = np.zeros(last - first, np.int64), np.arange(first, last)
            values = {name: column[first:last] for name, column in self._columns.items()}
            read = partial(self._read_at, first, limits)
            yield FrameBlock(runs, stamps, indexes, values, read, partial(self._wanted, first, last, limits))

    def _read_at(self, first, limits, k):
        return self._frame(first + k, *limits)

    def _wanted(self, first, last, limits, wanted):
        """Yield what of each batch is in the block, without frames that are not wanted if they are many together."""
        chunks = self._stacks[0].item.chunks
        gap = max(chunks[0] if chunks else 1, _GAP_BYTES // (self.dtype.itemsize * math.prod(self.shape)))
        for begin, end in stretches(wanted, gap) if wanted is not None else [(0, last - first)]:
            # at the ends of the block batches go on as far as they do
            within = limits[0] if begin == 0 else first + begin, limits[1] if end == last - first else first + end
            for k, frames in self._pieces(first + begin, first + end, within):
                yield begin + k, frames

    def _pieces(self, first, last, limits):
        """Yield what of each batch is in the block."""
        index = first
        while index < last:
            try:
                self._frame(index, *limits)
            except OSError as error:
                yield index - first, error
                index += 1
                continue
            end = min(self._stop, last)
            yield index - first, self._batch[index - self._start : end - self._start]
            index = end

    def _frame(self, index, first, last):
        if not self._start <= index < self._stop:
            start = index - index % self._rows
            self._fetch(index, max(start, first), min(start + self._rows, last))
        return self._batch[index - self._start]

    def _fetch(self, index, start, stop):
        self._start = self._stop = 0
        self._batch = None
        # A damaged chunk must not take the good frames of its batch along.
        if index not in self._damaged:
            try:
                self._batch = self._read(start, stop)
            except OSError:
                self._damaged = range(start, stop)
        if index in self._damaged:
            start, stop = index, index + 1
            self._batch = self._read(start, stop)
        self._start, self._stop = start, stop

    def _read(self, start, stop):
        batch = np.empty((stop - start, *self.shape), self.dtype)
        at = start
        while at < stop:
            k = bisect_right(self._first, at) - 1
            first, last = at - self._first[k], min(stop, self._first[k + 1]) - self._first[k]
            self._stacks[k].item.read_direct(batch[at - start : at - start + last - first], np.s_[first:last])
            self._stacks[k].check_length()
            at += last - first
        return batch

    def close(self):
        """Close the files; may be called again."""
        self._batch = None
        self._start = self._stop = 0
        for stack in self._stacks:
            stack.close()


def batch_rows(item):
    """Frames in a batch: whole rows of chunks where those are small enough."""
    frame = item.dtype.itemsize * math.prod(item.shape[1:])
    rows = max(1, _BATCH_BYTES // frame)
    chunk = item.chunks[0] if item.chunks else 1
    if chunk > rows:
        return max(1, min(chunk, _BATCH_BYTES_CHUNKED // frame))
    return rows - rows % chunk


def _check_alike(stacks):
    """Refuse a file whose frames or times are not like those of the first."""
    first, last = stacks[0], stacks[-1]
    for what, of in (
        ("frames of shape", lambda stack: stack.item.shape[1:]),
        ("frames of dtype", lambda stack: stack.item.dtype),
        ("times from", lambda stack: stack.times.path or "none"),
    ):
        if of(first) != of(last):
            raise ConfigError(f"h5={last.name}: {what} {of(last)}, but {first.name} has {what} {of(first)}")
