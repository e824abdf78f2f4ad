"""Files that are written whole: a full disk is an error, a kill leaves nothing half-written."""

import io
import os
from contextlib import contextmanager
from pathlib import Path

import h5py

from parcorana.errors import ConfigError, RunError, one_line
from parcorana.files.datasets import VERSION


def sync(path):
    """Have what was written to a file or folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fresh(path):
    """Return a path at which nothing is any more: whoever left a link there would have another file written to."""
    Path(path).unlink(missing_ok=True)
    return path


def _unlinked(path, flags):
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


class _Disk(io.FileIO):
    """A file that HDF5 can always write to, even if the disk is full.

    HDF5 does not get over a failed write: it tries again whenever something is
    closed, complains each time, and in the end crashes the process. So the
    first failure is kept here, for `opened` to raise once all is closed.
    """

    failure = None

    def write(self, data):
        left = memoryview(data).cast("B")
        try:
            while left and self.failure is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
        return memoryview(data).nbytes

    def truncate(self, size=None):
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
        return size

    def readinto(self, buffer):
        left = memoryview(buffer).cast("B")
        while left and (count := super().readinto(left)):
            left = left[count:]
        left[:] = bytes(len(left))  # only after a failure is there less than HDF5 has written
        return memoryview(buffer).nbytes


@contextmanager
def opened(path, mode):
    """Open an HDF5 file for writing, through no link; a failure of the disk is raised when it is closed."""
    with _Disk(fresh(path) if mode == "w" else path, f"{mode.rstrip('+')}+", opener=_unlinked) as disk:
        try:
            with h5py.File(disk, mode, libver=VERSION) as file:
                yield file
        finally:
            if disk.failure:
                raise disk.failure


@contextmanager
def explained(what, after=""):
    """Raise RunError, in one line, for an OSError or a file that is not what it should be."""
    try:
        yield
    except (OSError, ConfigError) as error:
        raise RunError(f"{what}: {one_line(error)}{after}") from None
