"""The one door by which files are written: whole or not at all, through no link, under a name that nobody foresees.

Others may write to the folder of a result, or of its picture. A link that one of them
leaves where a file is about to be written would have another file of this user's
overwritten. So each file is made anew, beside where it is to be, in a folder that is
opened once; it gets its name when it is whole.
"""

import errno
import io
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from parcorana.files.datasets import VERSION

# bytes, as on the disk, of what describes the content: in memory it is 20 times as much; HDF5 alone keeps 2 to 32 MiB
_DESCRIPTIONS = 64 << 10
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)
_TOKEN = r"\.[0-9a-f]{8}\.tmp"


def is_aside(name, of):
    """Tell whether a file of this name was left by who was killed while it wrote one whose name matches `of`."""
    return re.fullmatch(rf"\.(?:{of}){_TOKEN}", name) is not None


class Aside:
    """A new file in a folder.

    Parameters
    ----------
    path : path
        What it is to become, or what it is called after; its folder is where the file is made.

    Raises
    ------
    OSError
        The folder is not there, or may not be written to.
    """

    def __init__(self, path):
        path = Path(path)
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f".{path.name}.{secrets.token_hex(4)}.tmp"
        self._file = -1
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._name, flags, 0o666, dir_fd=self._folder)
        except BaseException:
            self._close()
            raise

    def opened(self):
        """Return the file, as `Disk`, from its beginning; to be closed by who asks."""
        os.lseek(self._file, 0, os.SEEK_SET)
        return Disk(os.dup(self._file), "r+")

    def size(self):
        """Return its size in bytes."""
        return os.fstat(self._file).st_size

    def become(self, path):
        """Have all on the disk; give the file its name, in its folder or another one of the same file system.

        What has that name is replaced; a link is, not what it leads to.
        """
        path = Path(path)
        os.fsync(self._file)
        with _folder_of(path) as folder:
            there, mine = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False), os.fstat(self._file)
            if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
                raise FileNotFoundError(errno.ENOENT, f"somebody has put another file in the place of {self._name!r}")
            os.replace(self._name, path.name, src_dir_fd=self._folder, dst_dir_fd=folder)
            self._name = None
            os.fsync(folder)
        self._close()

    def discard(self):
        """Remove the file, unless it has its name; nothing is wrong if it is gone."""
        if self._name is not None:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
            self._name = None
            self._close()

    def _close(self):
        for each in (self._file, self._folder):
            if each >= 0:
                os.close(each)
        self._file = self._folder = -1


@contextmanager
def _folder_of(path):
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def written(path, streams=False):
    """Give a new binary file that becomes `path` when all is written; of one that fails nothing is left.

    Parameters
    ----------
    path : path
    streams : bool
        Whether a command was told to write there: then a device or a pipe of that name, if it is the user's own or the
        system's, is written to as it is. In the place of any other one, or of a device, no file is put.

    Yields
    ------
    Disk

    Raises
    ------
    OSError
    """
    if (stream := _stream(path, streams)) is not None:
        with open(stream, "wb") as file:
            yield file
        return
    aside = Aside(path)
    try:
        with aside.opened() as file:
            yield file
            if file.failure:
                raise file.failure
        aside.become(path)
    finally:
        aside.discard()


def kind_in_place(path):
    """Return what is in the place of a file that is to be written, if that is none, as 'a link'; else None."""
    with suppress(OSError):
        mode = os.lstat(path).st_mode
        return next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)
    return None


def _stream(path, streams):
    """Return the number of an open device or pipe, None where a file is to be made.

    Others may have put it there, to get what is written, or to have its writer
    wait for ever for a reader.
    """
    kind = kind_in_place(path)
    if not streams:
        if kind == "a device":
            raise FileExistsError(errno.EEXIST, f"{str(path)!r} is a device, whose place no file takes")
        return None
    if kind == "a link":
        if kind_in_place(os.path.realpath(path)) in ("a pipe", "a device"):
            raise FileExistsError(errno.EEXIST, f"{str(path)!r} is a link to a device or a pipe: name that itself")
        return None
    if kind not in ("a pipe", "a device"):
        return None
    there = os.lstat(path)
    of_system = there.st_uid == 0 and Path(path).resolve().is_relative_to("/dev")
    if stat.S_ISBLK(there.st_mode) or not (there.st_uid == os.geteuid() or (kind == "a device" and of_system)):
        raise FileExistsError(errno.EEXIST, f"{str(path)!r} is {kind} of somebody else's, or a disk: move it away")
    try:
        number = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if kind != "a pipe" or error.errno != errno.ENXIO:
            raise
        text = f"{str(path)!r} is a pipe that nobody reads: start what reads it first, or move it away"
        raise OSError(errno.ENXIO, text) from None
    if not os.path.samestat(there, os.fstat(number)):
        os.close(number)
        raise FileExistsError(errno.EEXIST, f"somebody has put something else in the place of {str(path)!r}")
    os.set_blocking(number, True)
    return number


class Disk(io.FileIO):
    """A file that HDF5 can always write to, even if the disk is full.

    HDF5 does not get over a failed write: it tries again whenever something is
    closed, complains each time, and in the end crashes the process. So the
    first failure is kept here, for `hdf5` to raise once all is closed.
    """

    failure = None

    def write(self, data):
        """Write all of it, or keep what went wrong."""
        left = memoryview(data).cast("B")
        try:
            while left and self.failure is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
        return memoryview(data).nbytes

    def truncate(self, size=None):
        """Cut it off, or keep what went wrong."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
        return size

    def readinto(self, buffer):
        """Fill a buffer; with zeros what was not written."""
        left = memoryview(buffer).cast("B")
        while left and (count := super().readinto(left)):
            left = left[count:]
        left[:] = bytes(len(left))  # only after a failure is there less than HDF5 has written
        return memoryview(buffer).nbytes


@contextmanager
def hdf5(disk, mode="w"):
    """Open a `Disk` as HDF5; a failure of the disk is raised when it is closed."""
    try:
        with h5py.File(disk, mode, libver=VERSION) as file:
            spare_memory(file)
            yield file
    finally:
        if disk.failure:
            raise disk.failure


def spare_memory(file):
    """Let HDF5 keep little of what describes the content of an open file, which may have thousands of datasets."""
    cache = file.id.get_mdc_config()
    cache.initial_size = cache.min_size = cache.max_size = _DESCRIPTIONS
    file.id.set_mdc_config(cache)
