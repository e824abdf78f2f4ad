"""Chunks along time, unpacked once: a row of them holds more frames than the memory should."""

import os
import tempfile
from itertools import product

import numpy as np

from parcorana.events.hdf5.slab import Axis, index_of

MOST = 64 << 20  # bytes of a row of chunks that a batch holds


class Unpacked:
    """One row of chunks of a dataset, in a temporary file.

    Frames are read some at a time, but HDF5 unpacks chunks as a whole. A
    thousand frames to a chunk would be unpacked for every few of them. So the
    chunks of a row are unpacked one after the other, into a file that has no
    name, below ``TMPDIR``, and frames are read from there. Where that has no
    room they are read as HDF5 does it, with a warning.

    Parameters
    ----------
    plain : parcorana.events.hdf5.plain.Plain
    """

    @classmethod
    def of(cls, plain):
        """Return one for a dataset that needs it, else None."""
        wide = np.prod(plain.shape[1:], dtype=object) * plain.dtype.itemsize
        needs = plain.packed and plain.chunk[0] > 1 and plain.chunk[0] * wide > MOST and not plain.trust.files.swmr
        return cls(plain) if needs else None

    def __init__(self, plain):
        self._plain = plain
        self._row, self._tiles, self._file = None, {}, None
        self._faulty = self._room = None
        self._dtype = plain.dtype.newbyteorder("=")

    def read(self, axes, out):
        """Read a selection whose first axis is one run of frames; all of it was written."""
        plain, rows = self._plain, self._plain.chunk[0]
        first, at = axes[0].start, 0
        while at < axes[0].size:
            row = (first + at) // rows
            size = min((row + 1) * rows - first - at, axes[0].size - at)
            frames = [Axis.run(first + at, size), *axes[1:]]
            if self._has(row):
                self._take(frames, row, out[at : at + size])
            else:
                plain.read(frames, out[at : at + size])
            at += size

    def _has(self, row):
        """Unpack a row of chunks, if that is not done yet; tell whether there is room for it."""
        if self._room is False or row == self._row:
            return self._room
        if self._faulty is not None and self._faulty[0] == row:
            raise OSError(str(self._faulty[1]))
        self._row = None
        tiles, nbytes = self._places(row)
        try:
            self._plain.trust.files.use(self)
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="parcorana_")  # noqa: SIM115  it stays open
            os.posix_fallocate(self._file.fileno(), 0, nbytes)  # here it fails, not later in a write
        except OSError as error:
            self._room = False
            self._say_so(nbytes, error)
            return False
        try:
            for at, axes in tiles.values():
                values = np.empty([axis.size for axis in axes], self._dtype)
                self._plain.read(axes, values)
                _write(self._file.fileno(), values, at)
        except OSError as error:
            self._faulty = row, error  # a damaged chunk, of which every frame of the row has a part
            raise
        self._row, self._tiles, self._room = row, tiles, True
        return True

    def close(self):
        """Give the file back; it is made anew if it is needed."""
        if self._file is not None:
            self._file.close()
        self._file = self._row = None

    def _places(self, row):
        """Return where each chunk of a row is in the file, and what it selects; and the length of all."""
        plain, found, at = self._plain, {}, 0
        first = row * plain.chunk[0]
        frames = Axis.run(first, min(plain.chunk[0], plain.shape[0] - first))
        for cells in product(*(range(-(-s // c)) for s, c in zip(plain.shape[1:], plain.chunk[1:], strict=True))):
            axes = [frames, *plain.tile(cells)]
            found[cells] = at, axes
            at += int(np.prod([axis.size for axis in axes])) * self._dtype.itemsize
        return found, at

    def _take(self, axes, row, out):
        frames = np.empty((axes[0].size, *self._plain.shape[1:]), self._dtype)
        skipped = axes[0].start - row * self._plain.chunk[0]
        for at, tile in self._tiles.values():
            values = np.empty([axes[0].size, *(axis.size for axis in tile[1:])], self._dtype)
            start = at + skipped * values[0].nbytes
            if os.preadv(self._file.fileno(), [values], start) != values.nbytes:
                raise OSError(f"h5={self._plain.name}: a temporary file was cut off")
            frames[(slice(None), *index_of(tile[1:]))] = values
        out[...] = frames[(slice(None), *index_of(axes[1:]))]

    def _say_so(self, nbytes, error):
        plain = self._plain
        plain.trust.files.warn(
            "unpacked",
            f"h5={plain.name}: a row of chunks of {plain.path} holds {plain.chunk[0]:,} frames, {nbytes / 2**30:.1f} "
            f"GiB, for which {tempfile.gettempdir()} has no room ({error.strerror}): every chunk is unpacked again for "
            "each few frames, which takes long; name another folder by the environment variable TMPDIR",
        )


def _write(file, values, at):
    view = memoryview(values).cast("B")
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done
