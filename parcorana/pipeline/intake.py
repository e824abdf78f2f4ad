"""From a source's events to the blocks that travel: filtered, checked, masked, counted."""

import logging
import time

import numpy as np

from parcorana.calculation.guard import callback
from parcorana.errors import EventError, RunError
from parcorana.events.segments import Segments
from parcorana.events.values import MEAN, Select
from parcorana.pipeline.block import BAD, FILTERED, HEADER, NO_DATA, READ
from parcorana.pipeline.means import Means
from parcorana.pipeline.photons import Photons
from parcorana.pipeline.receivers import Receivers

log = logging.getLogger("parcorana")
_NAMED = 5  # bad events that the log names
_LOOKED_AT = 1 << 14  # elements at a time
_NONE = 2.0**-150  # float32 has nothing between 0 and this
# of a bad frame, by `_move.BROKEN` and `_move.WIDE`
_WRONG = {
    1: "it has values that are not finite in included elements, or too large for store_dtype",
    2: "an element has more than 65,535 photons: is photons['photon'] right?",
}


class Intake:
    """Takes events into the buffers of a server.

    Parameters
    ----------
    job : Job
    calculation : BlockBase
    reading : Reading

    Attributes
    ----------
    as_they_are : bool
        Whether the user class looks at no single event.
    """

    def __init__(self, job, calculation, reading):
        config = job.config
        self._seconds, self._reading, self._mask = job.clock.seconds, reading, config.mask
        self._params, self._run_now = calculation.mpiParams, None
        self._event_ok = callback(calculation, "eventOk")
        self._final_array = callback(calculation, "finalDataArray")
        self._where = f"after {config.user_class.__name__}.finalDataArray " if self._final_array is not None else ""
        self.as_they_are = self._event_ok is None and self._final_array is None
        self._mends = calculation.mends_nonfinite
        index = np.flatnonzero(config.mask)
        self._receivers = Receivers([index[part] for part in job.parts])
        self._names = [name for name in config.names if name != MEAN]
        self._select, self._means = Select(config.select), Means(index)
        self._photons = None
        if config.photons is not None:
            self._photons = Photons(config.photons, config.mask, not self._mends, reading)
        self._named, self._looked = 0, False
        self._dim = config.store_dtype != np.float32  # whether it has been said, or need not be
        self._first = job.rank == job.roles.servers[0]

    def take(self, buffer, event):
        """Read one event; put it into the buffer or count why not.

        Returns
        -------
        int or None
            The field of the header in which it was counted, None if it is in the buffer. An event that a range of
            values leaves out is counted in the field of the range and in `FILTERED`.
        """
        header, start = buffer.header, time.perf_counter()
        header[READ] += 1
        fate, read = self._fate(buffer, event, start)
        if fate is not None:
            header[fate] += fate < HEADER  # the others are counted
        self._seconds["computing"] += time.perf_counter() - read
        return fate

    def _fate(self, buffer, event, start):
        """Return what becomes of an event, and when it was read."""
        if event.evt is None:
            return NO_DATA, start
        if event.run != self._run_now:
            self._run_now, self._params.run = event.run, event.own_run
        # before the data is fetched
        outside = self._select.outside(event.values)
        if outside is not None:
            return self._leave_out(buffer, [*self._values_of(event), np.nan], outside), start
        if self._event_ok is not None and not self._event_ok(event.evt):
            return FILTERED, start
        fault = array = None
        try:
            array = event.frame() if self._final_array is None else event.data()
        except (EventError, OSError, RunError) as error:
            fault = error
        read = time.perf_counter()
        self._seconds["reading"] += read - start
        if isinstance(fault, RunError):
            self._reading.fail(fault)
            return BAD, read
        if fault is not None:
            self._name_bad(str(fault))
            return BAD, read
        if array is None:
            return NO_DATA, read
        if self._final_array is not None:
            array = self._final_array(array, event.evt)
            if array is None:
                return FILTERED, read
        return self._fate_of_array(buffer, event, array), read

    def _fate_of_array(self, buffer, event, array):
        masked = isinstance(array, np.ma.MaskedArray)
        if isinstance(array, Segments):
            frames = [piece.reshape(1, -1) for piece in array.pieces]
        else:
            array = np.asarray(array)
            frames = array.reshape(1, -1)
        wrong = "it is a masked array, whose mask nothing reads" if masked else self._unfit(array.shape, array.dtype)
        if not wrong:
            dtype, found, fate = array.dtype, None, 0
            self._look(frames, dtype)
            if self._photons is not None:
                frames, found, (fate,) = self._photons.of(frames)
                dtype = frames.dtype
            wrong = _WRONG.get(fate)
        if not wrong:
            mean = self._means.of(frames)
            self._look_at_means(mean)
            values = [*self._values_of(event), *mean.tolist()]
            if self._outside_by_mean(mean, frames)[0]:
                return self._leave_out(buffer, values, self._select.number)
            (fate,) = self._put(buffer, frames, event.stamp, event.run, dtype, np.array(values), found)
            wrong = _WRONG.get(fate)
        if wrong:
            self._name_bad(self._where + wrong)
        return BAD if wrong else None

    def _values_of(self, event):
        return [event.values.get(name, np.nan) for name in self._names]

    @staticmethod
    def _leave_out(buffer, values, number):
        """Leave out an event for a range of values; return where it is counted."""
        buffer.leave_out(np.array([values]), np.array([number]))
        return HEADER + number

    # -- many at once ---------------------------------------------------------

    def take_pieces(self, buffer, block, first):
        """Read a block as it is, many frames at once.

        Parameters
        ----------
        buffer : BlockBuffer
        block : parcorana.events.protocol.FrameBlock
        first : int
            Number of its first event in the sequence.
        """
        header, reading, done = buffer.header, self._reading, 0
        start = time.perf_counter()
        reading.at = f"event {first} of the sequence"
        table = np.empty((len(block), len(buffer.names)))
        for column, name in enumerate(self._names):
            table[:, column] = block.values.get(name, np.nan)
        table[:, -1] = np.nan  # the mean, where no data is read
        outside = self._select.all_outside(block.values, len(block))
        for k, frames in reading.until_error(block.pieces(None if outside is None else outside < 0)):
            if reading.is_stopped():
                break
            read = time.perf_counter()
            self._seconds["reading"] += read - start
            reading.at = f"event {first + k} of the sequence"
            without, failed = isinstance(frames, int), isinstance(frames, Exception)
            end = k + (frames if without else 1 if failed else len(frames))
            _count(buffer, outside, done, end, table)
            which = np.arange(k, end) if outside is None else k + np.flatnonzero(outside[k:end] < 0)
            bad, done = [], end
            if without:
                header[NO_DATA] += len(which)
            elif wrong := frames if failed else self._unfit(frames.shape[1:], frames.dtype):
                bad = [(j, wrong) for j in which]
            else:
                rows = frames.reshape(end - k, -1)
                rows = rows if len(which) == len(rows) else rows[which - k]
                fates = self._put_many(buffer, rows, block, which, table)
                bad = [(which[j], _WRONG[fates[j]]) for j in np.flatnonzero(fates)]
            for j, what in bad:
                reading.at = f"event {first + j} of the sequence"
                header[BAD] += 1
                self._name_bad(what)
            reading.at = f"event {first + end} of the sequence"
            start = time.perf_counter()
            self._seconds["computing"] += start - read
        if not reading.stopped:
            _count(buffer, outside, done, len(block), table)

    def _put_many(self, buffer, rows, block, which, table):
        """Put frames into the buffer, `which` of the events of a block; return what is wrong with each, (m,) uint8."""
        fates, found, left = np.zeros(len(which), np.uint8), None, np.arange(len(which))
        if len(which):
            self._look(rows, rows.dtype)
        if self._photons is not None:
            rows, found, fates = self._photons.of(rows)
            rows, found, left = _those(fates == 0, rows, found, left)
        table[which[left], -1] = means = self._means.of(rows)
        self._look_at_means(means)
        inside = ~self._outside_by_mean(means, rows)
        if not inside.all():
            out = which[left[~inside]]
            buffer.leave_out(table[out], np.full(len(out), self._select.number))
        rows, found, left = _those(inside, rows, found, left)
        if len(left):
            events = which[left]
            run = int(block.runs[events[0]])
            fates[left] = self._put(buffer, rows, block.stamps[events], run, rows.dtype, table[events], found)
        return fates

    def _outside_by_mean(self, means, frames):
        """Tell of which frames the mean is outside its range, (m,) bool; those that are bad are not among them."""
        outside = self._select.mean_outside(means)
        for k in np.flatnonzero(outside & ~np.isfinite(means)):
            outside[k] = self._mends or self._means.finite(frames, k)
        return outside

    def _unfit(self, shape, dtype):
        """Return what is wrong with a frame of such a shape and dtype, if anything."""
        if shape != self._mask.shape:
            return f"its shape is {shape}, that of the mask is {self._mask.shape}"
        if dtype.kind not in "iufb":
            return f"its dtype is {dtype}, not a number"
        return None

    def _look(self, frames, dtype):
        """Look at the first frame for marks of the detector's in included elements."""
        if not self._looked:
            self._looked = True
            if (warning := at_the_largest(frames, dtype, self._mask)) and self._first:
                log.warning("%s", warning)

    def _look_at_means(self, means):
        """Say, once, of a frame that what is stored as float32 is 0 where the data are not."""
        if not self._dim and len(which := np.flatnonzero((means != 0) & (np.abs(means) < _NONE))):
            self._dim = True
            if self._first:
                log.warning(
                    "the mean of the included elements of a frame is %.2g, at %s: float32 stores values below %.0e in "
                    "size as 0, and curves of nothing but these are NaN; scale the data up, or set "
                    "store_dtype='float64'", means[which[0]], self._reading.at, _NONE,
                )  # fmt: skip

    def _put(self, buffer, frames, stamps, run, dtype, values, found):
        check = dtype.kind == "f" and not self._mends
        return buffer.put(frames, stamps, run, self._receivers, check, values, found)

    def _name_bad(self, what):
        self._named += 1
        if self._named <= _NAMED:
            more = "; more will be counted but not named" if self._named == _NAMED else ""
            log.warning("bad event skipped (%s): %s%s", self._reading.at, what, more)


def _those(wanted, *arrays):
    """Return those rows of arrays that are wanted, (m,) bool; of None, None."""
    return arrays if wanted.all() else [None if array is None else array[wanted] for array in arrays]


def _count(buffer, outside, first, last, table):
    """Count events of a block as read, and those that ranges of values leave out."""
    buffer.header[READ] += last - first
    if outside is not None:
        out = first + np.flatnonzero(outside[first:last] >= 0)
        buffer.leave_out(table[out], outside[out])


def at_the_largest(frames, dtype, mask):
    """Return a warning if included elements of the first frame hold the largest value of their type, as gaps do.

    Parameters
    ----------
    frames : (m, size) array, or list of (1, size) arrays
    dtype : numpy.dtype
    mask : bool array of the detector's shape
    """
    if dtype.kind not in "iu":
        return None
    largest, included, at, count = np.iinfo(dtype).max, mask.ravel(), 0, 0
    for piece in [piece[0] for piece in frames] if isinstance(frames, list) else [frames[0]]:
        for first in range(0, len(piece), _LOOKED_AT):  # little memory, whatever the detector
            part = piece[first : first + _LOOKED_AT]
            count += int(np.count_nonzero((part == largest) & included[at + first : at + first + len(part)]))
        at += len(piece)
    if not count:
        return None
    return (
        f"{count:,} of {np.count_nonzero(mask):,} included elements hold {largest} in the first frame, the largest "
        f"value of {dtype}: "
        "detectors mark gaps and dead pixels by it, and here it enters every sum; leave these elements out of the "
        "mask (parCorAnaMaskColorTool start does), or set saturated_value"
    )
