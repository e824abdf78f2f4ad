"""The times of a stack of frames in an HDF5 file."""

import math
import posixpath
from contextlib import suppress
from itertools import islice

import h5py
import numpy as np

from parcorana.errors import ConfigError, nearest
from parcorana.events.hdf5.bursts import Flat
from parcorana.events.hdf5.files import told
from parcorana.events.hdf5.master import frame_time_of
from parcorana.events.hdf5.plain import dtype_of
from parcorana.events.hdf5.slab import Axis, shape_of
from parcorana.events.hdf5.trust import NotThere
from parcorana.events.hdf5.units import nanoseconds_of
from parcorana.events.hdf5.values import offer
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
_SAYS_TIME = ("time", "epoch")  # in the name of an integer without units: it is nanoseconds
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
    shape : tuple of int
        Of the stack.
    numbers : (n,) int64 or None
        Of the frames, or events of several frames, as their own dataset states them.
    wanted : str or None
        Path of the times, as the user said it; then no other is looked for.
    bursts : bool
        Whether the second axis of the stack is frames, one after the other.
        Times with a number for each of these say so, too.

    Attributes
    ----------
    stamps : {'pulses', 'ns'}
    dataset : Plain, Mapped or None
        One number per frame. None for 0, 1, 2, ..., or for numbers.
    path : str or None
        Of the times, or what the numbers are from.
    burst : int or None
        Frames of each event of the stack; None where an event is one frame.
    """

    def __init__(self, trust, path, shape, numbers=None, wanted=None, bursts=False):
        self._trust, self._path, self._shape, self._numbers = trust, path, shape, numbers
        self._where = f"h5={trust.name}"
        self._grows = trust.files.swmr  # then frames and times need not be as many now
        self.stamps, self.dataset, self.path, self._hint = "pulses", None, None, ""
        self._unit, self._unit_name, self._each, self._wanted = None, None, False, wanted
        self.burst = shape[1] if bursts else None
        if bursts and len(shape) < 3:
            raise ConfigError(
                f"{self._where}: ':bursts' is for a stack of events x frames x detector, and {path} has shape {shape}"
            )
        if math.prod(shape[: 1 + bursts]) > _MOST:
            raise ConfigError(f"{self._where}: {path} has {shape[0]:,} frames, more than {_MOST:,}: damaged?")
        if wanted is not None:
            self._look_for("/" + wanted.strip("/"))
        else:
            self._find(path)

    @property
    def _length(self):
        return self._shape[0] * (self.burst or 1)

    def _find(self, path):
        """Find the times where they are by custom."""
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
        if self._numbers is not None:
            self.path = "image_nr_low"
            if self.burst:
                self._numbers = (self._numbers[:, None] * self.burst + np.arange(self.burst)).reshape(-1)

    def _look_for(self, place):
        """Take the times that the user named."""
        where = f"times_src: {self._of(place)}"
        with told(where):
            file = self._trust.file(self._trust.name)
            name, item = self._at(place)
            if item is None:
                raise ConfigError(f"{where}: there is no such dataset in the file{self._offer(file, place)}")
            if not isinstance(item, h5py.Dataset):
                raise ConfigError(f"{where} is a group, and must be a dataset{self._offer(file, place)}")
            dtype = dtype_of(item)
            if dtype.kind not in "iu" and not (dtype.kind == "f" and dtype.itemsize >= 8):
                right = "an integer, or float64 seconds"
                raise ConfigError(f"{where} has dtype {dtype}, and must be {right}{self._offer(file, place)}")
            name_says = any(word in posixpath.basename(place).lower() for word in _SAYS_TIME)
            self._unit, self._unit_name = nanoseconds_of(item, where)
            if dtype.kind == "f" and self._unit_name and self._unit is None:
                raise ConfigError(f"{where}: its units are {self._unit_name!r}, and must be s, ms, us or ns")
            clock = dtype.kind == "f" or self._unit is not None or name_says
            if fault := self._shaped(name, item, where, "ns" if clock else "pulses"):
                raise ConfigError(f"{where} {fault}{self._offer(file, place)}")
        self.stamps, self.path = "ns" if clock else "pulses", place

    def _offer(self, file, place):
        return offer(file, place, self._shape[0])

    def _shaped(self, name, item, where, stamps):
        """Take a dataset that has a number for each frame, or event; else return what is wrong with its shape."""
        frames, dataset = self._shape, dataset_of(self._trust, name, item, where) if shape_of(item) else None
        shape = shape_of(item) if dataset is None else dataset.shape
        rank = len(shape or ())
        fits = rank > 0 and (shape[0] == frames[0] or self._grows)
        if fits and rank == 2 and len(frames) > 2 and shape[1] == frames[1] and (self.burst or frames[1] > 1):
            self.burst, self.dataset = frames[1], Flat(name, dataset, frames[1])
        elif fits and rank == 2 and shape[1] == 1 and not self.burst:
            self.dataset = Flat(name, dataset, 1)
        elif rank == 1 and (shape[0] == self._length != frames[0] if self.burst else fits):
            self.dataset = dataset
        elif fits and rank == 1 and stamps == "pulses":
            self.dataset, self._each = Flat(name, dataset, self.burst, of_event=True), True
        elif fits and rank == 1:
            return (
                f"has one time for each event, and ':bursts' needs that of each frame, shape {frames[:2]}; a counter "
                "may have one number for each event"
            )
        else:
            bursts = f" or {frames[:2]}" if self.burst else ""
            right = f"({frames[0]},){bursts}, a time for each frame of {self._path.strip('/')}"
            return f"has shape {shape}, and must have {right}"
        return None

    def _at(self, place):
        """Return file and item at a path of the file, (name, None) if there is none."""
        with told(self._of(place)):
            return self._trust.walk(self._trust.name, self._trust.file(self._trust.name)["/"], place, self._of(place))

    def _of(self, place):
        return f"{self._where}: {place}"

    def _look(self, place, key, strict):
        if place == self._path:
            return
        name, item = self._at(place)
        if item is None:
            return
        stamps, narrowest, right = _KEYS[key]
        if not isinstance(item, h5py.Dataset):
            fault = f"is a group, and must be a dataset of shape ({self._length},)"
        elif dtype_of(item).itemsize < narrowest.get(dtype_of(item).kind, 99):
            fault = f"has dtype {dtype_of(item)}, and must be {right}"
        elif strict or shape_of(item) == self._shape[:1] or (item.is_virtual and not self._grows):
            fault = self._shaped(name, item, self._of(place), stamps)
        else:
            return
        if fault is None:
            self.stamps, self.path = stamps, place
            if stamps == "ns":
                self._unit, self._unit_name = nanoseconds_of(item, self._of(place))
        elif strict:
            raise ConfigError(f"{self._of(place)} {fault}")

    def _look_for_unique(self, place):
        with suppress(NotThere):
            name, item = self._at(place)
            if not isinstance(item, h5py.Dataset) or dtype_of(item).kind not in "iu" or len(shape_of(item) or ()) != 1:
                return
            if self._shaped(name, item, self._of(place), "pulses") is not None:
                count = shape_of(item)[0]
                self._hint = f"; {place.strip('/')} is there, but has {count:,} numbers, so it is not used"
                return
            self.path = place
            numbers, state = self.read(0, 0 if self._grows else None)
            if len(np.unique(numbers[state == 0])) < len(numbers):
                self.dataset = self.path = None
                self._each = False
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
        found[there], good = to_int64(times[there], self.stamps == "ns", self._unit)
        if self._each:
            most = _INT64.max // self.burst - 1
            fits = (found >= -most) & (found <= most)
            found = np.where(fits, found, 0) * self.burst + np.arange(first, last) % self.burst
            good &= fits[there]
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
        about = self._about()
        if not self.burst:
            return about
        bursts = f"bursts: each event is {self.burst} frames, one after the other"
        if self._each:
            bursts += f", so a frame's counter is its event's times {self.burst}, plus its place"
        return f"{about or 'times: ' + self.path.strip('/')}; {bursts}"

    def _about(self):
        path = (self.path or "").strip("/")
        if self.stamps == "ns":
            own = "seconds" if self.dataset.dtype.kind == "f" else "nanoseconds"
            odd = f", taken as {own}, for its units are {self._unit_name!r}" if not self._unit else ""
            return f"times: {path}{(odd or f', in {self._unit_name}') if self._unit_name else ''}"
        if path.endswith(_UNIQUE):
            return f"times: {path}, areaDetector's numbers of the frames, count as pulses"
        if self._wanted is not None:
            odd = f", for its units, {self._unit_name!r}, are none of time" if self._unit_name else ""
            return f"times: {path}, count as pulses{odd}"
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


def to_int64(times, clock=True, unit=None):
    """Return times as int64: counters as they are, times as nanoseconds.

    LCLS's own form, seconds in the upper 32 bits and nanoseconds in the lower,
    is told from nanoseconds by its size: it would be the year 2050 at least.

    Parameters
    ----------
    times : (n,) array of integers or floats
    clock : bool
        Whether they are times, not counters.
    unit : int or None
        Nanoseconds that 1 stands for; None: floats are seconds, integers nanoseconds.

    Returns
    -------
    times : (n,) int64
    good : (n,) bool
        False for those that do not fit, or are not finite.
    """
    if times.dtype.kind == "f":
        unit = unit or 10**9
        good = np.abs(times) < (_INT64.max >> 10) // unit * 1024  # not of NaN; a float near the limit is rounded up
        times = np.where(good, times, 0)
        whole = np.floor(times)
        # Whole and fraction apart: the product of both with 1e9 would lose the last digits.
        return whole.astype(np.int64) * unit + np.rint((times - whole) * unit).astype(np.int64), good
    if clock and unit not in (None, 1):
        good = times <= _INT64.max // unit
        if times.dtype.kind == "i":
            good &= times >= -(_INT64.max // unit)
        return np.where(good, times, 0).astype(np.int64) * unit, good
    if clock and times.size and times.dtype.itemsize == 8:
        packed = times.astype(np.uint64)
        seconds, nanoseconds = packed >> np.uint64(32), packed & np.uint64(0xFFFFFFFF)
        good = (seconds >= 600_000_000) & (seconds < 1 << 31) & (nanoseconds < 10**9)
        if 2 * np.count_nonzero(good) > len(good):  # a few may be none
            return seconds.astype(np.int64) * 10**9 + nanoseconds.astype(np.int64), good
    good = times <= _INT64.max
    return np.where(good, times, 0).astype(np.int64), good
