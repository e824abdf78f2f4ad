"""The times of a stack of frames in an HDF5 file."""

import posixpath
from contextlib import suppress
from itertools import islice

import h5py
import numpy as np

from parcorana.errors import ConfigError, ParCorAnaError, nearest, one_line
from parcorana.events.hdf5.files import told
from parcorana.events.hdf5.master import frame_time_of
from parcorana.events.hdf5.plain import dtype_of
from parcorana.events.hdf5.slab import Axis, shape_of
from parcorana.events.hdf5.trust import NotThere
from parcorana.events.hdf5.virtual import dataset_of
from parcorana.files.limits import available

_INT64 = np.iinfo(np.int64)
_NARROW = 4  # bytes of a number that may wrap in a run
_BYTES = 32  # for each time, while they are read
_LITTLE = 8 << 20  # bytes that nobody asks for
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
_UNIQUE = "instrument/NDAttributes/NDArrayUniqueId"  # areaDetector's number of a frame, beside its entry's data


class Times:
    """Where the times of a stack are, and what they count.

    The dataset `counter` or `timestamp` in the stack's own group; or else one
    of the right length in a group above it, as in LCLS small data, which has
    `timestamp` (LCLS-II) or `event_time` (LCLS-I) at the top; or else the
    numbers that areaDetector gave the frames; or else those that an Eiger did.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    path : str
        Of the stack in the file that the user named.
    length : int
        Frames of the stack.
    numbers : (length,) int64 or None
        Of the frames, as their own dataset states them.

    Attributes
    ----------
    stamps : {'pulses', 'ns'}
    dataset : Plain, Mapped or None
        None for 0, 1, 2, ..., or for numbers.
    path : str or None
        Of the times, or what the numbers are from.
    """

    def __init__(self, trust, path, length, numbers=None):
        self._trust, self._path, self._length, self._numbers = trust, path, length, numbers
        self._where = f"h5={trust.name}"
        self._grows = trust.files.swmr  # then frames and times need not be as many now
        self.stamps, self.dataset, self.path, self._hint = "pulses", None, None, ""
        if length > _MOST:
            raise ConfigError(f"{self._where}: {path} has {length:,} frames, more than {_MOST:,}: damaged?")
        groups = [posixpath.dirname(path)]
        while groups[-1] != "/":
            groups.append(posixpath.dirname(groups[-1]))
        for group in groups:
            for key in _KEYS:
                self._look(posixpath.join(group, key), key, group == groups[0] and key != "event_time")
                if self.dataset is not None:
                    return
        for group in groups:
            self._look_for_unique(posixpath.join(group, _UNIQUE))
            if self.dataset is not None:
                return
        if numbers is not None:
            self.path = "image_nr_low"

    def _at(self, place):
        """Return file and item at a path of the file, (name, None) if there is none."""
        try:
            return self._trust.walk(self._trust.name, self._trust.file(self._trust.name)["/"], place, self._of(place))
        except ParCorAnaError:
            raise
        except Exception as error:  # whatever h5py raises over a damaged file
            raise ConfigError(f"{self._of(place)} cannot be read ({one_line(error)})") from error

    def _of(self, place):
        return f"{self._where}: {place}"

    def _look(self, place, key, strict):
        if place == self._path:
            return
        name, item = self._at(place)
        if item is None:
            return
        length, shape, dataset = self._length, None, None
        stamps, narrowest, right = _KEYS[key]
        fault = None
        if isinstance(item, h5py.Dataset):
            shape = shape_of(item)
            if item.is_virtual and len(shape) == 1:
                dataset = dataset_of(self._trust, name, item, self._of(place))
                shape = dataset.shape
        if not isinstance(item, h5py.Dataset):
            fault = f"is a group, and must be a dataset of shape ({length},)"
        elif shape != (length,) and not (self._grows and strict and len(shape or ()) == 1):
            fault = f"has shape {shape}, and must have ({length},), a time for each frame of {self._path.strip('/')}"
        elif dtype_of(item).itemsize < narrowest.get(dtype_of(item).kind, 99):
            fault = f"has dtype {dtype_of(item)}, and must be {right}"
        if fault is None:
            self.dataset = dataset or dataset_of(self._trust, name, item, self._of(place))
            self.stamps, self.path = stamps, place
        elif strict:
            raise ConfigError(f"{self._of(place)} {fault}")

    def _look_for_unique(self, place):
        with suppress(NotThere):
            name, item = self._at(place)
            if not isinstance(item, h5py.Dataset) or dtype_of(item).kind not in "iu" or len(shape_of(item) or ()) != 1:
                return
            dataset = dataset_of(self._trust, name, item, self._of(place))
            if dataset.shape != (self._length,) and not self._grows:
                self._hint = f"; {place.strip('/')} is there, but has {dataset.shape[0]:,} numbers, so it is not used"
                return
            self.dataset, self.path = dataset, place
            numbers, state = self.read(0, 0 if self._grows else None)
            if len(np.unique(numbers[state == 0])) < len(numbers):
                self.dataset = self.path = None
                self._hint = f"; {place.strip('/')} is there, but repeats numbers, so it is not used"

    def read(self, first=0, last=None):
        """Return times `first` to `last`, and what is wrong with them.

        Returns
        -------
        times : (n,) int64
            Pulses or nanoseconds.
        state : (n,) uint8
            0; 1 where no time was ever written; 2 where it is none. Both are
            None without times.

        Raises
        ------
        ConfigError
            They cannot be read, or wrap.
        """
        last = self._length if last is None else last
        if self.dataset is None:
            if self._numbers is None:
                return None, None
            return self._numbers[first:last], np.zeros(last - first, np.uint8)
        where = self._of(self.path)
        if (last - first) * _BYTES > _LITTLE and (last - first) * _BYTES > available():
            raise ConfigError(f"{where}: {last - first:,} times are more than the memory holds")
        dtype = self.dataset.dtype.newbyteorder("=")
        # a narrow one may have wrapped since the one before, too
        before = int(first > 0 and dtype.itemsize <= _NARROW)
        times = np.zeros(last - first + before, dtype)
        with told(where):
            there = self.dataset.box([Axis.run(first - before, len(times))], 0, times)
        if dtype.itemsize <= _NARROW:
            self._check_wrap(first - before, times, there)
            times, there = times[before:], there[before:]
        found = np.zeros(last - first, np.int64)
        found[there], good = to_int64(times[there], self.stamps == "ns")
        state = np.where(there, 0, 1).astype(np.uint8)
        state[there] = np.where(good, 0, 2)
        return found, state

    def _check_wrap(self, first, times, there):
        """Refuse times that begin anew at the end of what their dtype holds: later ones would count as earlier."""
        some = np.flatnonzero(there & (times != self.dataset.fill))  # what was never written is no time
        steps, half = np.diff(times[some].astype(np.int64)), 1 << (8 * times.dtype.itemsize - 1)
        back = np.flatnonzero(steps < -half)
        # one that stands alone is a bad event
        back = back[(back + 1 < len(steps)) & (steps[np.minimum(back + 1, len(steps) - 1)] <= half)]
        if len(back):
            before, after = some[back[0]], some[back[0] + 1]
            raise ConfigError(
                f"{self._of(self.path)} goes back from {times[before]} to {times[after]} at index {first + after}: it "
                f"wraps at the end of what {times.dtype} holds, and must go on: store it as int64, unwrapped"
            )

    @property
    def numbers_frames(self):
        """Whether what counts as pulses are numbers that a detector gave its frames."""
        return self.dataset is not None and self.path.endswith(_UNIQUE)

    def fault(self, index):
        """Return what is wrong with a time that is none."""
        value = np.zeros(1, self.dataset.dtype.newbyteorder("="))
        self.dataset.box([Axis.run(index, 1)], 0, value)
        right = "finite, within 292 years" if value.dtype.kind == "f" else "near those of the other events"
        return f"{self._of(self.path)} is {value[0]} at index {index}, and must be {right}"

    def about(self):
        """Return a line on where the times are from; None where they are beside the frames."""
        path = (self.path or "").strip("/")
        if self.stamps == "ns":
            return f"times: {path}"
        if path.endswith(_UNIQUE):
            return f"times: {path}, areaDetector's numbers of the frames, count as pulses"
        if self.dataset is not None:
            return None
        if self.path is not None:
            return f"times: {self.path} of the frames, their numbers, count as pulses"
        _, group = self._at(posixpath.dirname(self._path))
        close = [key for key in islice(group, _LOOKED_AT) if nearest(key, ("counter", "timestamp"))]
        hint = f" ({close[0]!r} is there, which is not read)" if close else ""
        if seconds := frame_time_of(self._trust, self._path):
            hint += f"; frame_time says {seconds:.6g} s, so rate={1 / seconds:.6g} gives them their time"
        return (
            f"times: no counter or timestamp for {self._path.strip('/')}{hint}{self._hint}, so frames count as pulses "
            "0, 1, 2, ..."
        )


def to_int64(times, clock=True):
    """Return times as int64: integers as they are, seconds as nanoseconds.

    LCLS's own form, seconds in the upper 32 bits and nanoseconds in the lower,
    is told from nanoseconds by its size: it would be the year 2050 at least.

    Parameters
    ----------
    times : (n,) array of integers or floats
    clock : bool
        Whether they are times, not counters.

    Returns
    -------
    times : (n,) int64
    good : (n,) bool
        False for those that do not fit, or are not finite.
    """
    if times.dtype.kind == "f":
        good = np.abs(times) < _INT64.max // 10**9  # not of NaN
        times = np.where(good, times, 0)
        whole = np.floor(times)
        # Whole and fraction apart: the product of both with 1e9 would lose the last digits.
        return whole.astype(np.int64) * 10**9 + np.rint((times - whole) * 1e9).astype(np.int64), good
    if clock and times.size and times.dtype.itemsize == 8:
        packed = times.astype(np.uint64)
        seconds, nanoseconds = packed >> np.uint64(32), packed & np.uint64(0xFFFFFFFF)
        good = (seconds >= 600_000_000) & (seconds < 1 << 31) & (nanoseconds < 10**9)
        if 2 * np.count_nonzero(good) > len(good):  # a few may be none
            return seconds.astype(np.int64) * 10**9 + nanoseconds.astype(np.int64), good
    good = times <= _INT64.max
    return np.where(good, times, 0).astype(np.int64), good
