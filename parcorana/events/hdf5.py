"""``h5=FILE``: a stack T x NDArray in an HDF5 file, read a batch of frames at a time."""

import os
import posixpath
from functools import partial

import h5py
import numpy as np

from parcorana.errors import ConfigError, nearest
from parcorana.events.source import FrameBlock

_BATCH_BYTES = 16 << 20
# A row of chunks is decompressed as a whole, so a larger batch then saves work.
_BATCH_BYTES_CHUNKED = 64 << 20
_LISTED = 10
_INT64 = np.iinfo(np.int64)


class HDF5Source:
    """``h5=FILE``: an `EventSource` of the frames of one dataset.

    The times are in the same group: ``counter``, integer pulses; else
    ``timestamp``, float64 seconds or integer nanoseconds; with neither the
    pulses are 0, 1, 2, ... (contract, section 4).

    Memory: one batch of frames, 16 MiB or one frame; up to 64 MiB where the
    chunks of the dataset hold that many frames. With the times, 8 bytes per
    frame of the file.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    src : str
        Path of the stack in the file: T x detector's ndarray, integer or float.
    share : parcorana.events.source.Share

    Attributes
    ----------
    stamps, total, shape, dtype
        As `EventSource` says; stamps are pulses, or nanoseconds with
        ``timestamp``; the dtype is the stack's in this machine's byte order.

    Raises
    ------
    ConfigError
        The file, the stack or its times are missing or of the wrong kind.
    """

    def __init__(self, dataset, src, share):
        self._share = share
        self._start, self._stop, self._batch = 0, 0, None
        self._damaged = range(0)
        self._file = _open(dataset.name)
        try:
            self._stack = _find_stack(self._file, dataset.name, src)
            self.stamps, self._times = _read_times(self._file, dataset.name, src, self._stack.shape[0])
        except BaseException:
            self.close()
            raise
        self.total = min(self._stack.shape[0], share.numevents or self._stack.shape[0])
        self.about, self.typical_step = self._about_times(src)
        self.shape = self._stack.shape[1:]
        self.dtype = self._stack.dtype.newbyteorder("=")
        self._rows = _batch_rows(self._stack)

    def _about_times(self, src):
        """Return a line on where the times come from, and the median step [s] if they are times."""
        if self._times is None:
            group = self._file[posixpath.normpath("/" + src.strip("/"))].parent
            close = [key for key in group if nearest(key, ("counter", "timestamp"))]
            hint = f" ({close[0]!r} is there, which is not read)" if close else ""
            return f"times: no counter or timestamp beside {src}{hint}, so frames count as pulses 0, 1, 2, ...", None
        if self.stamps == "pulses" or len(self._times) < 2:
            return None, None
        return f"times: timestamp beside {src}", float(np.median(np.diff(self._times))) * 1e-9

    def blocks(self):
        """Yield this server's blocks, each a `FrameBlock`."""
        for first, last in self._share.blocks(self.total):
            # A lone server's blocks adjoin, so its batches may go across them.
            limits = (0, self.total) if self._share.servers == 1 else (first, last)
            stamps = np.arange(first, last) if self._times is None else self._times[first:last]
            read = partial(self._read_at, first, limits)
            yield FrameBlock(0, stamps, read, partial(self._pieces, first, last, limits))

    def _read_at(self, first, limits, k):
        return self._frame(first + k, *limits)

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
        self._stack.read_direct(batch, np.s_[start:stop])
        return batch

    def close(self):
        """Close the file; may be called again."""
        self._batch = None
        self._start = self._stop = 0
        self._file.close()


def _batch_rows(stack):
    """Frames in a batch: whole rows of chunks where those are small enough."""
    frame = stack.dtype.itemsize * int(np.prod(stack.shape[1:], dtype=np.int64))
    rows = max(1, _BATCH_BYTES // frame)
    chunk = stack.chunks[0] if stack.chunks else 1
    if chunk > rows:
        return max(1, min(chunk, _BATCH_BYTES_CHUNKED // frame))
    return rows - rows % chunk


def _open(name):
    if not os.path.exists(name):
        raise ConfigError(f"h5={name}: there is no such file")
    if os.path.isdir(name):
        raise ConfigError(f"h5={name}: this is a folder, and must be an HDF5 file")
    if not os.access(name, os.R_OK):
        raise ConfigError(f"h5={name}: no permission to read this file")
    if not h5py.is_hdf5(name):
        raise ConfigError(f"h5={name}: this is not an HDF5 file")
    try:
        return h5py.File(name, "r", locking="best-effort")
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"h5={name}: the file is damaged or still being written ({reason})") from error


def _candidates(file):
    """Paths of the datasets that could be the stack, most dimensions first."""
    found = []

    def visit(path, item):
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) >= 2 and _has_numbers(item):
            found.append((-len(item.shape), path, f"{path} ({'x'.join(map(str, item.shape))} {item.dtype})"))

    file.visititems(visit)
    found.sort()
    return [path for _, path, _ in found], [text for _, _, text in found]


def _dtype(item):
    try:
        return item.dtype
    except TypeError:  # HDF5 has types that NumPy has not
        return np.dtype("V")


def _has_numbers(item):
    return _dtype(item).kind in "iuf"


def _offer(file, wanted=None):
    paths, texts = _candidates(file)
    if not texts:
        return "; the file has no dataset of numbers with two or more dimensions"
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    hint = nearest(wanted, paths) if wanted else ""
    return f"{hint}; the file has {', '.join(texts[:_LISTED])}{more}"


def _find_stack(file, name, src):
    if not src:
        raise ConfigError(f"h5={name}: src must be given, the path of the frames in the file{_offer(file)}")
    if not isinstance(src, str):
        raise ConfigError(f"h5={name}: src must be the path of the frames in the file, a str, not {src!r}")
    where = f"h5={name}: src={src}"
    try:
        item = file.get(src)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be opened ({' '.join(str(error).split())}){_offer(file)}") from error
    if item is None:
        raise ConfigError(f"{where}: there is no such dataset in the file{_offer(file, src.strip('/'))}")
    if not isinstance(item, h5py.Dataset):
        raise ConfigError(f"{where}: this is a group, and must be a dataset{_offer(file)}")
    if not _has_numbers(item):
        raise ConfigError(f"{where}: its dtype is {_dtype(item)}, and must be an integer or a float{_offer(file)}")
    if len(item.shape or ()) < 2:
        shape = "nothing" if item.shape is None else f"shape {item.shape}"
        raise ConfigError(f"{where}: it has {shape}, and must be frames, time first, then the detector{_offer(file)}")
    if 0 in item.shape[1:]:
        raise ConfigError(f"{where}: its frames of shape {item.shape[1:]} have no elements")
    return item


def _read_times(file, name, src, length):
    """Return what the times count, and int64 times of shape (length,), None for 0, 1, 2, ..."""
    path = posixpath.normpath("/" + src.strip("/"))
    for key, stamps, narrowest, right in (
        ("counter", "pulses", {"i": 1, "u": 1}, "an integer, pulses"),
        # float32 seconds could not tell one pulse from the next.
        ("timestamp", "ns", {"i": 1, "u": 1, "f": 8}, "float64, seconds, or an integer, nanoseconds"),
    ):
        place = posixpath.join(posixpath.dirname(path), key)
        if place == path or file.get(place, getlink=True) is None:
            continue
        where = f"h5={name}: {place}"
        try:
            item = file[place]
            if not isinstance(item, h5py.Dataset):
                raise ConfigError(f"{where} is a group, and must be a dataset of shape ({length},)")
            if item.shape != (length,):
                raise ConfigError(
                    f"{where} has shape {item.shape}, and must have ({length},), a time for each frame of {src}"
                )
            dtype = _dtype(item)
            if dtype.itemsize < narrowest.get(dtype.kind, 99):
                raise ConfigError(f"{where} has dtype {dtype}, and must be {right}")
            return stamps, _to_int64(item[:], where)
        except (KeyError, OSError) as error:
            raise ConfigError(f"{where} cannot be read ({' '.join(str(error).split())})") from error
    return "pulses", None


def _to_int64(times, where):
    if times.dtype.kind == "f":
        _require(np.isfinite(times), times, where, "must be finite")
        _require(np.abs(times) < _INT64.max // 10**9, times, where, "must be less than 292 years of seconds")
        whole = np.floor(times)
        # Whole and fraction apart: the product of both with 1e9 would lose the last digits.
        return whole.astype(np.int64) * 10**9 + np.rint((times - whole) * 1e9).astype(np.int64)
    _require(times <= _INT64.max, times, where, "must fit in int64")
    return times.astype(np.int64)


def _require(good, times, where, right):
    if not good.all():
        index = int(np.argmin(good))
        raise ConfigError(f"{where} is {times[index]} at index {index}, and {right}")
