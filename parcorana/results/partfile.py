"""One worker's file of a checkpoint: arrays one after the other, written and read in pieces.

A line that says what it is, the length of a description, the description in
JSON, and the arrays, each as it lies in memory. Nothing in it is ever run. Its
size and checksum are in the manifest of the set (`parcorana.results.checkpoint`).
"""

import json
import os
import re
import zlib
from contextlib import contextmanager

import numpy as np

from parcorana.calculation.arrays import KINDS
from parcorana.files.aside import written
from parcorana.files.sealed import taken

_MAGIC = b"parcorana checkpoint 1\n"
_PIECE = 1 << 20  # bytes that are written or read at once
_MOST = 64 << 20  # bytes of a description
_DTYPE = re.compile(r"[<>|=][biufcSUmM]\d{1,9}(\[\w{1,8}\])?")


class Damaged(Exception):
    """A file of a checkpoint is not what it should be; the text says which and why."""


def _laid_out(array):
    """Return 'F' for an array whose last axis varies slowest in memory, else 'C'."""
    return "F" if array.ndim > 1 and array.flags.f_contiguous else "C"


def _pieces(array, order):
    """Yield the bytes of an array in pieces, copying no more than one of them."""
    if not array.nbytes:
        return
    array = array.T if order == "F" else array
    if array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8)
        for at in range(0, len(flat), _PIECE):
            yield flat[at : at + _PIECE]
        return
    rows = max(1, _PIECE * len(array) // max(array.nbytes, 1))
    for at in range(0, len(array), rows):
        yield np.ascontiguousarray(array[at : at + rows]).reshape(-1).view(np.uint8)


def write(path, arrays, about):
    """Write a file aside, sync it and give it its name; generate a step for each piece.

    Parameters
    ----------
    path : pathlib.Path
    arrays : dict of str to (kind, array)
    about : object
        Anything that JSON can hold.

    Returns
    -------
    size, crc : int
        Of the file.

    Raises
    ------
    OSError
        It cannot be written; nothing is left of it.
    """
    orders = {name: _laid_out(array) for name, (_, array) in arrays.items()}
    rows = [
        {"name": name, "kind": kind, "dtype": array.dtype.str, "shape": array.shape, "order": orders[name]}
        for name, (kind, array) in arrays.items()
    ]
    text = json.dumps({"arrays": rows, "about": about}).encode()
    text += b" " * (-(len(_MAGIC) + 8 + len(text)) % 64)  # arrays begin with a cache line
    head = _MAGIC + len(text).to_bytes(8, "little") + text
    size = crc = 0
    with written(path) as file:
        for source in (iter([head]), *(_pieces(array, orders[name]) for name, (_, array) in arrays.items())):
            for piece in source:
                size, crc = size + memoryview(piece).nbytes, zlib.crc32(piece, crc)
                file.write(piece)
                yield
    return size, crc


@contextmanager
def _opened(path):
    with taken(path, path.parent) as (number, _), open(number, "rb", buffering=0, closefd=False) as file:
        yield file


def verify(path, size, crc):
    """Raise Damaged unless a file has that size and checksum."""
    try:
        with _opened(path) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise Damaged(f"{path.name} has {found:,} bytes, not {size:,}")
            sum_, piece = 0, bytearray(_PIECE)
            while count := file.readinto(piece):
                sum_ = zlib.crc32(memoryview(piece)[:count], sum_)
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from None
    if sum_ != crc:
        raise Damaged(f"{path.name} is damaged: its checksum is wrong")


class PartFile:
    """A worker's file, opened for reading.

    Parameters
    ----------
    path : pathlib.Path

    Attributes
    ----------
    about : object
    arrays : dict of str to dict
        Of each array 'kind', 'dtype', 'shape', 'order'.

    Raises
    ------
    Damaged
        It cannot be read, or its description does not fit its size.
    """

    def __init__(self, path):
        self._path = path
        try:
            with _opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                begin = file.read(len(_MAGIC) + 8)
                length = int.from_bytes(begin[len(_MAGIC) :], "little")
                if begin[: len(_MAGIC)] != _MAGIC or length > min(size, _MOST):
                    raise ValueError
                head = json.loads(file.read(length))
            self.about, self.arrays = head["about"], {}
            at = len(begin) + length
            for row in head["arrays"]:
                at = self._add(row, at)
            if at != size:
                raise ValueError
        except OSError as error:
            raise Damaged(f"{path.name} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, OverflowError):
            raise Damaged(f"{path.name} is damaged: what it says it holds is not what it holds") from None

    def _add(self, row, at):
        dtype, shape = row["dtype"], tuple(row["shape"])
        if not _DTYPE.fullmatch(dtype) or row["kind"] not in KINDS or row["order"] not in ("C", "F"):
            raise ValueError
        if not all(type(n) is int and n >= 0 for n in shape) or row["name"] in self.arrays or len(shape) > 32:
            raise ValueError
        bytes_ = np.dtype(dtype).itemsize
        for n in shape:
            bytes_ *= n
        self.arrays[row["name"]] = row | {"dtype": np.dtype(dtype), "shape": shape, "at": at}
        return at + bytes_

    def read(self, name, first=None, last=None, into=None):
        """Return an array, or the elements `first` to `last` of it.

        Parameters
        ----------
        name : str
        first, last : int, optional
            Of the last axis.
        into : ndarray, optional
            Of the shape and dtype of what is read; filled and returned.
        """
        row = self.arrays[name]
        shape = row["shape"]
        if first is None:
            first, last = 0, shape[-1] if shape else 1
        if not 0 <= first <= last <= (shape[-1] if shape else 1):
            raise Damaged(f"{self._path.name} holds {shape[-1] if shape else 0} elements of {name!r}, not {last}")
        wanted = (*shape[:-1], last - first) if shape else ()
        if into is None:
            into = np.empty(wanted, row["dtype"], order=row["order"])
        if into.shape != wanted or into.dtype != row["dtype"]:
            raise Damaged(
                f"{self._path.name} holds {name!r} as {row['dtype']} {wanted}, wanted is {into.dtype} {into.shape}"
            )
        if not into.nbytes:
            return into
        with _opened(self._path) as file:
            if not shape:
                one = np.empty(1, row["dtype"])
                self._fill(file, row["at"], one)
                into[...] = one[0]
            elif row["order"] == "F" and into.T.flags.c_contiguous:
                element = int(np.prod(shape[:-1], dtype=np.int64)) * row["dtype"].itemsize
                self._fill(file, row["at"] + first * element, into.T.reshape(-1))
            elif row["order"] == "C" and into.strides[-1] == into.itemsize:
                step, skip = shape[-1] * row["dtype"].itemsize, first * row["dtype"].itemsize
                for k, index in enumerate(np.ndindex(shape[:-1])):
                    self._fill(file, row["at"] + k * step + skip, into[index])
            else:  # arrays of one row or one element, whose layout is either
                whole = np.empty(shape, row["dtype"], order=row["order"])
                self._fill(file, row["at"], (whole.T if row["order"] == "F" else whole).reshape(-1))
                into[...] = whole[..., first:last]
        return into

    def _fill(self, file, at, target):
        """Read into a contiguous array."""
        file.seek(at)
        left = memoryview(target.view(np.uint8))
        while left:
            count = file.readinto(left[:_PIECE])
            if not count:
                raise Damaged(f"{self._path.name} ends too early")
            left = left[count:]
