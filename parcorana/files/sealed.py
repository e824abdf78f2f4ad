"""A checksum over all of a file, behind its end: HDF5 looks no further than what the file says it has.

Fletcher-32 is of the values of datasets that the program itself writes. Of an update every
bit counts: what user code wrote, and texts, which HDF5 keeps where it has no checksum.
"""

import errno
import os
import re
import zlib
from contextlib import contextmanager

from parcorana.files.paths import kind_of

_PIECE = 1 << 20
_WRITTEN = b"\nparcorana crc32 %08x of %016x\n"
_LENGTH = len(_WRITTEN % (0, 0))
_SEAL = re.compile(rb"\nparcorana crc32 ([0-9a-f]{8}) of ([0-9a-f]{16})\n")


def seal(disk):
    """Write the checksum of a file that is complete behind its end.

    Parameters
    ----------
    disk : parcorana.files.aside.Disk
    """
    size = os.fstat(disk.fileno()).st_size
    disk.seek(size)
    disk.write(_WRITTEN % (_sum(disk.fileno(), size), size))
    if disk.failure:
        raise disk.failure


def _sum(file, size):
    sum_, at, piece = 0, 0, memoryview(bytearray(min(_PIECE, size)))
    while at < size and (count := os.preadv(file, [piece[: size - at]], at)):
        sum_, at = zlib.crc32(piece[:count], sum_), at + count
    return sum_


@contextmanager
def taken(path, folder=None):
    """Open a file that this program has written, for reading, through no link; give a path by which only it is read.

    Parameters
    ----------
    path : path
    folder : path, optional
        Where others might have put it. Then it must belong to this user, to the
        administrator, or to whoever the folder belongs to.

    Yields
    ------
    int, str
        The open file; its path.

    Raises
    ------
    OSError
        It is not there, or no file of theirs.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(
            error.errno, "is a link, and must be a file" if os.path.islink(path) else error.strerror, str(path)
        ) from None
    try:
        found = os.fstat(file)
        if fault := _fault_of(found, folder):
            raise OSError(errno.EPERM, fault, str(path))
        own = f"/proc/self/fd/{file}"
        yield file, own if os.path.exists(own) else str(path)
    finally:
        os.close(file)


def _fault_of(found, folder):
    if kind := kind_of(found.st_mode):
        return kind
    if folder is not None and found.st_uid not in (os.geteuid(), 0, os.stat(folder).st_uid):
        return "belongs to somebody else, who is not the owner of its folder"
    return None


def is_damaged(file):
    """Tell whether an open file is not what was sealed; False, too, of one without a seal."""
    size = os.fstat(file).st_size - _LENGTH
    found = _SEAL.fullmatch(os.pread(file, _LENGTH, size)) if size > 0 else None
    return found is not None and (int(found[2], 16) != size or _sum(file, size) != int(found[1], 16))
