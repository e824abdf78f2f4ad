"""The times of a stack of frames in an HDF5 file."""

import posixpath
from itertools import islice

import h5py
import numpy as np

from parcorana.errors import ConfigError, nearest, one_line
from parcorana.files.limits import available

_INT64 = np.iinfo(np.int64)
_BYTES = 32  # for each time, while they are read
_LOOKED_AT = 1000  # names in a group, for hints
_MOST = 1 << 31  # frames of a file, beyond which a length is no length but damage

# name: (what it counts, least bytes by kind of dtype, what is right)
_KEYS = {
    "counter": ("pulses", {"i": 1, "u": 1}, "an integer, pulses"),
    # float32 seconds could not tell one pulse from the next
    "timestamp": ("ns", {"i": 1, "u": 1, "f": 8}, "float64, seconds, or an integer, nanoseconds"),
    # of small data of LCLS-I
    "event_time": ("ns", {"i": 8, "u": 8}, "an integer"),
}


class Times:
    """Where the times of a stack are, and what they count.

    The dataset `counter` or `timestamp` in the stack's own group; or else one
    of the right length in a group above it, as in LCLS small data, which has
    `timestamp` (LCLS-II) or `event_time` (LCLS-I) at the top.

    Parameters
    ----------
    file : h5py.File
    name : str
        Of the file, for errors.
    stack : h5py.Dataset
    path : str
        Of the stack in `file`.
    check : callable
        Takes a path and where it is used; refuses links into other files.
    check_storage : callable
        Takes a dataset and where it is used; refuses values in other files.

    Attributes
    ----------
    stamps : {'pulses', 'ns'}
    item : h5py.Dataset or None
        None for 0, 1, 2, ...
    path : str
        Of `item`.
    """

    def __init__(self, file, name, stack, path, check, check_storage):
        self._name, self._path = name, path
        self._check_storage = check_storage
        self.stamps, self.item, self.path = "pulses", None, None
        if stack.shape[0] > _MOST:
            raise ConfigError(f"h5={name}: {path} has {stack.shape[0]:,} frames, more than {_MOST:,}: damaged?")
        group, own = posixpath.dirname(path), True
        while self.item is None:
            for key in _KEYS if not own else ("counter", "timestamp", "event_time"):
                self._look(file, posixpath.join(group, key), key, stack, own and key != "event_time", check)
                if self.item is not None:
                    return
            if group == "/":
                return
            group, own = posixpath.dirname(group), False

    def _look(self, file, place, key, stack, strict, check):
        if place == self._path or file.get(place, getlink=True) is None:
            return
        where, length = f"h5={self._name}: {place}", stack.shape[0]
        stamps, narrowest, right = _KEYS[key]
        try:
            check(place, where)
            item = file[place]
        except ConfigError:
            raise
        except Exception as error:  # whatever h5py raises over a damaged file
            raise ConfigError(f"{where} cannot be read ({one_line(error)})") from error
        fault = None
        if not isinstance(item, h5py.Dataset):
            fault = f"is a group, and must be a dataset of shape ({length},)"
        elif item.shape != (length,):
            fault = (
                f"has shape {item.shape}, and must have ({length},), a time for each frame of {self._path.strip('/')}"
            )
        elif dtype_of(item).itemsize < narrowest.get(dtype_of(item).kind, 99):
            fault = f"has dtype {dtype_of(item)}, and must be {right}"
        if fault is None:
            self._check_storage(item, where)
            self.stamps, self.item, self.path = stamps, item, place
        elif strict:
            raise ConfigError(f"{where} {fault}")

    def read(self, first=0, last=None):
        """Return times `first` to `last` as int64, pulses or nanoseconds; None without times."""
        if self.item is None:
            return None
        where = f"h5={self._name}: {self.path}"
        number = (self.item.shape[0] if last is None else last) - first
        if number * _BYTES > available():
            raise ConfigError(f"{where}: {number:,} times are more than the memory holds")
        try:
            return to_int64(self.item[first:last], where, self.stamps == "ns")
        except ConfigError:
            raise
        except Exception as error:  # whatever h5py raises over a damaged file
            raise ConfigError(f"{where} cannot be read ({one_line(error)})") from error

    def about(self, file):
        """Return a line on where the times are from."""
        if self.item is not None:
            return f"times: {self.path.strip('/')}" if self.stamps == "ns" else None
        group = file[posixpath.dirname(self._path)]
        close = [key for key in islice(group, _LOOKED_AT) if nearest(key, ("counter", "timestamp"))]
        hint = f" ({close[0]!r} is there, which is not read)" if close else ""
        seconds = _frame_time(file, group)
        if seconds:
            hint += f"; frame_time says {seconds:.6g} s, so rate={1 / seconds:.6g} gives them their time"
        return (
            f"times: no counter or timestamp for {self._path.strip('/')}{hint}, so frames count as pulses 0, 1, 2, ..."
        )


def _frame_time(file, group):
    """Return the seconds from frame to frame that a NeXus file states, None if it does not."""
    try:
        instrument = _own(_own(file, "entry"), "instrument")
        detectors = islice(instrument or (), _LOOKED_AT)
        for place in (group, *(_own(instrument, name) for name in detectors)):
            place = _own(place, "frame_time")
            if isinstance(place, h5py.Dataset) and place.size == 1 and dtype_of(place).kind == "f":
                if place.is_virtual or place.external:
                    continue
                seconds = float(np.asarray(place[()]).reshape(-1)[0])
                if np.isfinite(seconds) and seconds > 0:
                    return seconds
    except Exception:  # a hint only: what is damaged gives none
        pass
    return None


def _own(group, name):
    """Return what a group holds by itself, not by a link that may lead into other files; None if it does not."""
    if isinstance(group, h5py.Group) and isinstance(group.get(name, getlink=True), h5py.HardLink):
        return group[name]
    return None


def dtype_of(item):
    """Return a dataset's dtype, one without numbers where NumPy has none for it."""
    try:
        return item.dtype
    except TypeError:  # HDF5 has types that NumPy has not
        return np.dtype("V")


def to_int64(times, where, clock=True):
    """Return times as int64: integers as they are, seconds as nanoseconds.

    LCLS's own form, seconds in the upper 32 bits and nanoseconds in the lower,
    is told from nanoseconds by its size: it would be the year 2050 at least.

    Raises
    ------
    ConfigError
        Times that do not fit, or are not finite.
    """
    if times.dtype.kind == "f":
        _require(np.isfinite(times), times, where, "must be finite")
        _require(np.abs(times) < _INT64.max // 10**9, times, where, "must be less than 292 years of seconds")
        whole = np.floor(times)
        # Whole and fraction apart: the product of both with 1e9 would lose the last digits.
        return whole.astype(np.int64) * 10**9 + np.rint((times - whole) * 1e9).astype(np.int64)
    if clock and times.size and times.dtype.itemsize == 8:
        packed = times.astype(np.uint64)
        seconds, nanoseconds = packed >> np.uint64(32), packed & np.uint64(0xFFFFFFFF)
        if (seconds >= 600_000_000).all() and (seconds < 1 << 31).all() and (nanoseconds < 10**9).all():
            return seconds.astype(np.int64) * 10**9 + nanoseconds.astype(np.int64)
    _require(times <= _INT64.max, times, where, "must fit in int64")
    return times.astype(np.int64)


def _require(good, times, where, right):
    if not good.all():
        index = int(np.argmin(good))
        raise ConfigError(f"{where} is {times[index]} at index {index}, and {right}")
