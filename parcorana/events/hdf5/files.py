"""The HDF5 files of a dataset: opened when they are read, and closed in time when there are many."""

import ctypes
import errno
import fcntl
import os
import re
import resource
from collections import OrderedDict
from contextlib import contextmanager, suppress
from datetime import datetime

import h5py

from parcorana.errors import ConfigError, ParCorAnaError, RunError, one_line
from parcorana.files.paths import fault_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR = 3  # version of superblocks that say whether a file is open for writing
_WRITING = 0x01 | 0x04  # in the superblock: open for writing, as a single writer with many readers
_HEAD = 4096  # bytes at the beginning of a file, in which HDF5's begin
_SHARE = 4  # one in so many of the files that this process may open
_FEWEST, _MOST = 16, 512  # links and virtual datasets need a few at once
_LOOKED_AT = 2000  # objects of a file, for a list of what there is
_SCRATCH = 4  # temporary files: as many as files that take turns
_ATTEMPTS = 30  # to read what is half written: HDF5 sleeps 2^30 ns over them
_ODD = {"does not exist": "there is no such file", "is a folder": "this is a folder, and must be an HDF5 file"}


class Unreadable(Exception):
    """A file or a dataset that cannot be read; the text is the end of a sentence that begins with its name."""


class Files:
    """Files that are open for reading; of many, those that were used last.

    Parameters
    ----------
    swmr : bool
        They may be written meanwhile, in single-writer multiple-reader mode.
    log : callable
        Takes one line of warning for the user.
    """

    def __init__(self, swmr=False, log=print):
        self.swmr, self._log, self._told = swmr, log, set()
        self._open = OrderedDict()  # name: the file, and datasets of it by path
        self._scratch = []  # what has a temporary file, used last at the end
        self._seen = {}  # name: device, number, size and time of change of the file that was opened first
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(_FEWEST, min(soft // _SHARE, _MOST))

    def has(self, name):
        """Tell whether a file is open now."""
        return name in self._open

    def file(self, name):
        """Return an open file, until others are opened.

        Parameters
        ----------
        name : str

        Returns
        -------
        h5py.File

        Raises
        ------
        Unreadable
            It is not there, not to be read, no HDF5 file, cut off, damaged.
        RunError
            It is not the file that was opened first, or shorter; or this
            process may open no more files.
        """
        if name not in self._open:
            while len(self._open) >= self._most:
                self._close_oldest()
            self._open[name] = self._opened(name), {}
            self.check(name)
        self._open.move_to_end(name)
        return self._open[name][0]

    def dataset(self, name, path):
        """Return a dataset of a file, until others are opened."""
        file, items = self.file(name), self._open[name][1]
        if path not in items:
            items[path] = _best(file[path])
        return items[path]

    def forget_datasets(self):
        """Have datasets opened again: HDF5 closes one that it cannot refresh."""
        for _, items in self._open.values():
            items.clear()

    def check(self, name):
        """Raise RunError if a file has become shorter, was written to, or another one has got its name.

        HDF5 reads zeros beyond the end of a file, and of a file that is written
        anew some old and some new values, and says nothing. In SWMR mode files
        are written to.
        """
        descriptor = self._open[name][0].id.get_vfd_handle()
        here = os.fstat(descriptor)
        seen = here.st_dev, here.st_ino, here.st_size, here.st_mtime_ns
        device, number, size, changed = self._seen.setdefault(name, seen)
        try:
            there = os.stat(name)
        except OSError:  # removed, but open: what was in it is still there
            there = here
            if self.swmr:
                self.warn(
                    ("gone", name),
                    f"h5={name}: the file was given another name, or removed, while it is followed: what its writer "
                    "adds is still read",
                )
        if {(here.st_dev, here.st_ino), (there.st_dev, there.st_ino)} != {(device, number)}:
            raise RunError(f"h5={name}: the file was replaced by another one while it was read")
        # whoever closes a file that he wrote may give back what he had made room for
        if here.st_size < size and not (self.swmr and here.st_size >= _closed_end(descriptor)):
            raise RunError(
                f"h5={name}: the file was cut off while it was read: it had {size:,} bytes, now {here.st_size:,}"
            )
        if here.st_mtime_ns != changed and not self.swmr:
            raise RunError(
                f"h5={name}: the file was written to while it was read: it was last changed at {_clock(changed)}, now "
                f"at {_clock(here.st_mtime_ns)}, so what was read of it may not go together: read it when its writer "
                "is done, or follow a writer in SWMR mode with ':live'"
            )
        if here.st_mtime_ns > changed and _superblock_version(descriptor) < _SWMR:
            self.warn(
                ("written", name),
                f"h5={name}: the file was written to after it was opened, and not in SWMR mode: frames that were added "
                "are not read, and others may not be as they were written: give files their name, or bring them to "
                "their place, when they are finished",
            )
        self._seen[name] = device, number, here.st_size, changed

    def forget(self, name):
        """Close a file that may be another one when it is opened again."""
        if name in self._open:
            self._open.pop(name)[0].close()
        self._seen.pop(name, None)

    def is_written(self, name):
        """As the function; of an open file, whatever name it has now."""
        if name not in self._open:
            return is_written(name)
        try:
            return _is_written(_superblock(os.pread(self._open[name][0].id.get_vfd_handle(), _HEAD, 0)))
        except OSError:
            return None

    def check_open(self, names):
        """Do so for those of some files that are open."""
        for name in names:
            if name in self._open:
                self.check(name)

    def warn(self, kind, text):
        """Say something to the user, the first time only."""
        if kind not in self._told:
            self._told.add(kind)
            self._log(text)

    def _opened(self, name):
        if fault := fault_of(name):
            raise Unreadable(_ODD.get(fault, f"this {fault}"))
        while True:
            try:
                file = _opened_to_follow(name) if self.swmr else h5py.File(name, "r", locking="best-effort")
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                if getattr(error, "errno", None) not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise self._fault(name, error) from error
                self._close_oldest()
                continue
            if self.swmr:
                # nobody writes to it now; whoever wants to later, as to add a link, must not fail over a reader
                with suppress(OSError):
                    fcntl.flock(file.id.get_vfd_handle(), fcntl.LOCK_UN)
            return file

    def _fault(self, name, error):
        """Return what to raise of an error of HDF5's."""
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            return RunError(
                f"h5={name}: cannot be opened, for this process has as many files open as it may, {soft}: raise the "
                f"limit by 'ulimit -n' (at most {hard} here)"
            )
        if not h5py.is_hdf5(name):
            return Unreadable("this is not an HDF5 file")
        text = one_line(error)
        if cut := re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", text):
            there, all_ = (f"{int(number):,}" for number in cut.groups())
            return Unreadable(f"the file is cut off: it has {there} of {all_} bytes")
        if is_written(name):
            return Unreadable(
                "the file is open for writing, and its writer lets no readers in, which SWMR mode would"
                if self.swmr
                else "the file is open for writing: follow it with ':live'; if its writer was killed, h5clear -s helps"
            )
        return Unreadable(f"the file is damaged or still being written ({text})")

    def _close_oldest(self):
        self._open.popitem(last=False)[1][0].close()

    def use(self, scratch):
        """Note that something uses a temporary file; of many, those that were used last keep theirs."""
        self._scratch = [*(each for each in self._scratch if each is not scratch), scratch]
        while len(self._scratch) > _SCRATCH:
            self._scratch.pop(0).close()

    def close(self):
        """Close all files; may be called again."""
        while self._open:
            self._close_oldest()
        while self._scratch:
            self._scratch.pop().close()
        self._seen.clear()


def _opened_to_follow(name):
    """Open a file in SWMR mode; what its writer has only half written is tried again for a second, not forever.

    By itself HDF5 tries a hundred times, and sleeps twice as long each time, from a nanosecond on: of a file that is
    damaged or was cut off it never comes back.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_file_locking(True, True)  # 'best-effort'
    # h5py has no method for it; its modules know the library that they are linked with
    with suppress(AttributeError, OSError):
        tries = ctypes.CDLL(h5py.h5p.__file__).H5Pset_metadata_read_attempts
        tries.argtypes = ctypes.c_int64, ctypes.c_uint
        tries(access.id, _ATTEMPTS)
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(name), flags, access))


@contextmanager
def told(where, failed=" cannot be read", offer=None):
    """Let what goes wrong in a ``with`` body be a ConfigError that says where, whatever h5py raises.

    Parameters
    ----------
    where, failed : str
        Begin the sentence.
    offer : callable, optional
        Returns what the file has instead.
    """
    try:
        yield
    except ParCorAnaError:
        raise
    except Unreadable as error:
        raise ConfigError(f"{where}: {error}") from error
    except Exception as error:  # of a damaged file
        raise ConfigError(f"{where}{failed} ({one_line(error)}){offer() if offer else ''}") from error


def objects_of(file):
    """Return path and item of the objects in a file, and whether these are all: no more than some are looked at."""
    found, left = [], iter(range(_LOOKED_AT))

    def visit(path, item):
        if next(left, None) is None:
            return True  # enough
        found.append((path, item))
        return None

    return found, not file.visititems(visit)


def _best(item):
    """Return a dataset opened so that of large chunks as they are no more is read than is asked for."""
    if not isinstance(item, h5py.Dataset) or not item.chunks or item.chunks[0] == 1:
        return item
    if item.id.get_create_plist().get_nfilters():
        return item
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(0, 0, 1.0)
    name = item.name
    parent = item.file.id
    del item  # while it is open its own cache counts
    return h5py.Dataset(h5py.h5d.open(parent, name.encode(), access))


def _clock(changed):
    return f"{datetime.fromtimestamp(changed // 10**9):%Y-%m-%d %H:%M:%S}.{changed % 10**9:09d}"


def _head(name):
    """Return the first bytes of a file, none if it cannot be read."""
    try:
        with open(name, "rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _superblock(head):
    """Return the first bytes of a file from where HDF5's begin; None if it is no HDF5 file, or not yet."""
    # before it may be what others wrote there
    found = (head[at : at + 36] for at in (0, 512, 1024, 2048) if head[at : at + 8] == _SIGNATURE)
    return next((each for each in found if len(each) == 36), None)


def is_written(name):
    """Tell whether a program has a file open for writing; None if it is no HDF5 file, or not yet."""
    return _is_written(_superblock(_head(name)))


def _is_written(head):
    # older superblocks than the third have no such flag, and no SWMR mode
    return head and head[8] >= _SWMR and bool(head[11] & _WRITING)


def _superblock_version(descriptor):
    """Return the version of an open file's superblock, which tells from `_SWMR` on whether it is written."""
    head = _superblock(os.pread(descriptor, _HEAD, 0))
    return _SWMR if head is None else head[8]


def _closed_end(descriptor):
    """Return how long an open file says that it is, once it is closed; before, and of others, more than any file is."""
    head = _superblock(os.pread(descriptor, _HEAD, 0))
    return int.from_bytes(head[28:36], "little") if head and head[8] >= _SWMR and not head[11] & _WRITING else 2**64
