"""``h5=FILE``: a stack T x NDArray in HDF5 files, read a batch of frames at a time."""

import hashlib
import math
from bisect import bisect_right
from dataclasses import replace
from functools import partial

import numpy as np

from parcorana.correlation.rolling import far_from, middle_of, pulse_counters
from parcorana.detector.geometry import Geometry
from parcorana.detector.images import segments_apart
from parcorana.errors import ConfigError, EventError, RunError
from parcorana.events.hdf5.files import Files, Unreadable
from parcorana.events.hdf5.master import announced_by, read_instruments
from parcorana.events.hdf5.missing import Missing, ranges
from parcorana.events.hdf5.order import check_alike, check_order
from parcorana.events.hdf5.series import master_of
from parcorana.events.hdf5.slab import runs_of
from parcorana.events.hdf5.stack import Stack, file_names
from parcorana.events.hdf5.values import Values
from parcorana.events.protocol import FrameBlock, even_step

_BATCH_BYTES = 4 << 20  # what is copied on is then still in the last cache
# A row of chunks is decompressed as a whole, so a larger batch then saves work.
_BATCH_BYTES_CHUNKED = 64 << 20
_GAP_BYTES = 64 << 10  # frames that are not wanted are read with those around them, if they are no more than this
_SAID = 20  # lines on what is missing, of all files together
_LOOKED_AT = 20  # files that are looked at for fill values at their ends, besides the last one
_GOOD, _UNWRITTEN, _WRONG = 0, 1, 2  # what becomes of an event by its time


class HDF5Source:
    """``h5=FILE``: an `EventSource` of the frames of one dataset.

    The times are in the same group: ``counter``, integer pulses; else
    ``timestamp``, float64 seconds or integer nanoseconds; with neither the
    pulses are 0, 1, 2, ... (docs/data.md). Several files are one run, in
    the order given, or with ``runs`` one run each.

    A frame that was never written has no data; one whose time is none is a bad
    event.

    Memory: one batch of frames, 4 MiB or one frame; up to 64 MiB where the
    chunks of the dataset hold that many frames, and a chunk that is unpacked. With the times, 9 bytes per
    frame of the files, with each value 8, and one more for what is missing.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    src : str
        Path of the stack in the file: T x detector's ndarray, integer or float.
    share : parcorana.events.protocol.Share
    log : callable
        Takes one line of text for the user.
    values : dict of str to str
        Of each value the path of its dataset, one number per frame; NaN where
        it was never written.
    times_src : str, optional
        Path of the times, where they are not beside the frames.

    Attributes
    ----------
    stamps, total, shape, dtype, unmapped, reading_bytes
        As `EventSource` says; stamps are pulses, or nanoseconds with
        ``timestamp``; the dtype is the stack's in this machine's byte order.

    Raises
    ------
    ConfigError
        A file, the stack, its times or a value are missing or of the wrong
        kind, or differ from file to file.
    """

    live = False

    def __init__(self, dataset, src, share, log=print, values=None, times_src=None):
        self._share, self._apart = share, dataset.apart
        self._start, self._stop, self._batch, self._there = 0, 0, None, None
        self._damaged = range(0)
        # what all servers know alike is said by the first one
        say = log if share.server == 0 else lambda line: None
        self._files, self._stacks, self._missing = Files(log=say), [], []
        try:
            for name in file_names(dataset):
                here = src or (self._stacks[0].src if self._stacks else None)
                how = {"times_src": times_src, "bursts": dataset.bursts}
                self._stacks.append(Stack(self._files, name, here, dataset.dir, **how))
                check_alike(self._stacks)
            if len(self._stacks) == 1 and (master := master_of(name)):  # several are what was meant
                self._stacks[0].warnings.append(
                    f"h5={name} is one data file of a series: h5={master} has all its frames, and says what the "
                    "detector is"
                )
            self._first = np.cumsum([0] + [stack.frames.shape[0] for stack in self._stacks]).tolist()
            self.total = min(self._first[-1], share.numevents or self._first[-1])
            self._read_times(dataset, say)
            self._read_values(values or {}, say)
            self._look(say, log)
        except BaseException:
            self.close()
            raise
        first = self._stacks[0]
        self.stamps = first.times.stamps
        self.about, self.typical_step = first.about(), None
        if self._times is not None and self.stamps == "ns" and np.count_nonzero(self._state == _GOOD) > 1:
            self.typical_step = float(np.median(np.diff(self._times[self._state == _GOOD]))) * 1e-9
        self.shape = first.frames.shape[1:]
        self.dtype = first.frames.dtype.newbyteorder("=")
        self._rows = batch_rows(first.frames)
        self.reading_bytes = self._rows * self.dtype.itemsize * math.prod(self.shape) + first.frames.chunk_bytes
        found = [each for stack in self._stacks if (each := stack.frames.unmapped()) is not None]
        self.unmapped = np.logical_or.reduce(found) if found else None

    def _read_times(self, dataset, say):
        """Read the times of all files, and find those that are none."""
        read = [stack.times.read() for stack in self._stacks]
        times, states = [one for one, _ in read], [state for _, state in read]
        self._times = self._state = None
        if times[0] is not None:
            groups = [[k] for k in range(len(times))] if self._apart else [list(range(len(times)))]
            for group in groups:
                joined, state = (np.concatenate([each[k] for k in group]) for each in (times, states))
                good = state == _GOOD
                if not good.any():
                    continue
                far = good & far_from(joined, middle_of(joined[good]))
                ends = np.cumsum([0] + [len(times[k]) for k in group])
                for k, a, b in zip(group, ends, ends[1:], strict=False):
                    states[k][far[a:b]] = _WRONG
            for stack, state in zip(self._stacks, states, strict=True):
                _check_times(stack, state)
            for stack, of_file in zip(self._stacks, times, strict=True):
                again = int(np.count_nonzero(of_file[1:] == of_file[:-1]))
                if 2 * again > len(of_file):
                    say(
                        f"h5={stack.name}: {again:,} of {len(of_file):,} frames have the time of the one before "
                        f"({stack.times.path.strip('/')}), so they will count as duplicates: does it number trains or "
                        "triggers? A counter of frames is needed, as number of the train x pulses + pulse"
                    )
                    break
            self._times, self._state = np.concatenate(times), np.concatenate(states)
        if len(self._stacks) > 1 and not self._apart:
            self._apart = check_order(dataset, self._stacks, times, states, say)

    def _read_values(self, values, say):
        """Read the values of all files."""
        read = []
        for stack, first in zip(self._stacks, self._first, strict=False):
            read.append(Values(stack, values).read_all(max(self.total - first, 0), say))
        self._columns = {name: np.concatenate([each[name] for each in read]) for name in values}

    def _look(self, say, log):
        """Say what is missing, as far as that is known beforehand."""
        lines, ends = [], {*range(_LOOKED_AT), len(self._stacks) - 1}
        for k, (stack, first) in enumerate(zip(self._stacks, self._first, strict=False)):
            last = max(min(stack.frames.shape[0], self.total - first), 0)
            self._missing.append(Missing(stack, last, log))
            line = self._missing[-1].look()
            if line or not stack.frames.shape[0]:
                stack.check_any()
            lines += filter(None, (*stack.warnings, *stack.trust.warnings(), line))
            if self._share.server == 0 and k in ends:
                _warn_of_fill(stack, last, self.total if first + last == self.total else None, lines.append)
                lines += _lacking(stack, last)
            if self._state is not None:
                found = runs_of(self._state[first : first + last] == _UNWRITTEN)
                if found:
                    path, which = stack.times.path.strip("/"), ranges(found)
                    lines.append(f"h5={stack.name}: no data in frames {which} (their time in {path} was never written)")
        for line in lines[:_SAID]:
            say(line)
        if (left := len(lines) - _SAID) > 0:
            say(f"h5={self._stacks[-1].name}: {left} more lines like these, on files up to this one, are left out")

    def _of(self, index):
        """Return in which file an event is."""
        return bisect_right(self._first, index, hi=len(self._stacks)) - 1

    def pulses_apart(self, rate):
        """Return the pulses from each event to the next, if all are equally far apart; see `EventSource`."""
        if self.unmapped is not None or (self._state is not None and (self._state[: self.total] != _GOOD).any()):
            return None
        if self._times is None:
            return 1
        times = self._times[: self.total]
        return even_step(times if self.stamps == "pulses" or not len(times) else pulse_counters(times, times[0], rate))

    def instrument(self):
        """Return what the files state of the instrument, a `parcorana.detector.instrument.Instrument`."""
        stacks = self._stacks[:_LOOKED_AT]
        found = read_instruments(stacks)
        dataset, counts_all = stacks[0].times.dataset, len(stacks) == len(self._stacks) and not self.live
        by_frames = self.stamps == "pulses" and (dataset is None or stacks[0].times.numbers_frames)
        instrument = replace(found[0].agreed(found[1:]), by_frames=by_frames)
        return instrument if counts_all else replace(instrument, announced=None, found=None)

    def first_event(self):
        """Return a digest of the first frame and its time, which tells other data of the same name; empty if unread."""
        frame = np.empty((1, *self.shape), self.dtype)
        try:
            if not self._stacks[0].read(0, 1, frame)[0]:
                return ""
        except (OSError, ConfigError, Unreadable):  # said where it is read
            return ""
        time = 0 if self._times is None else int(self._times[0])
        return hashlib.sha256(b"%d %s" % (time, frame.tobytes())).hexdigest()

    def files(self):
        """Return the names of the files that the dataset names."""
        return [stack.name for stack in self._stacks]

    def geometry(self):
        """Return where the elements are, as far as the files tell; None if they state nothing of the instrument."""
        stated, image = self.instrument(), len(self.shape) <= 2
        if not stated:
            return None
        where = "a plain image" if image else "none known, so segments lie side by side"
        geometry = Geometry.of_layout(segments_apart(self.shape), where, metric=image)
        return replace(geometry, beam=stated.beam if image else None, stated=stated)

    def blocks(self):
        """Yield this server's blocks, each a `FrameBlock`."""
        for first, last in self._share.blocks(self.total):
            # A lone server's blocks adjoin, so its batches may go across them.
            limits = (self._share.first * self._share.block, self.total) if self._share.servers == 1 else (first, last)
            stamps = np.arange(first, last) if self._times is None else self._times[first:last]
            runs, indexes = np.zeros(last - first, np.int64), np.arange(first, last)
            if self._apart:
                runs += np.searchsorted(self._first[1:], indexes, "right")
                indexes -= np.array(self._first)[runs]
            values = {name: column[first:last] for name, column in self._columns.items()}
            read = partial(self._read_at, first, limits)
            yield FrameBlock(runs, stamps, indexes, values, read, partial(self._wanted, first, last, limits))
        for missing in self._missing:
            missing.close()

    def _read_at(self, first, limits, k):
        index = first + k
        state = _GOOD if self._state is None else self._state[index]
        if state == _WRONG:
            k = self._of(index)
            raise EventError(self._stacks[k].times.fault(index - self._first[k]))
        return None if state == _UNWRITTEN else self._frame(index, *limits)

    def _wanted(self, first, last, limits, wanted):
        """Yield what of each batch is in the block, without frames that are not wanted if they are many together."""
        gap = max(self._stacks[0].frames.rows, _GAP_BYTES // (self.dtype.itemsize * math.prod(self.shape)))
        for begin, end in runs_of(wanted, gap) if wanted is not None else [(0, last - first)]:
            # at the ends of the block batches go on as far as they do
            within = limits[0] if begin == 0 else first + begin, limits[1] if end == last - first else first + end
            for k, frames in self._pieces(first + begin, first + end, within):
                yield begin + k, frames

    def _pieces(self, first, last, limits):
        """Yield what of each batch is in the block."""
        index = first
        while index < last:
            try:
                frame = self._read_at(first, limits, index - first)
            except (OSError, EventError) as error:
                yield index - first, error
                index += 1
                continue
            end = self._first[self._of(index) + 1] if self._apart else last
            end = index + self._alike(index, min(end, last))
            yield index - first, end - index if frame is None else self._batch[index - self._start : end - self._start]
            index = end

    def _alike(self, index, last):
        """Return how many events from one on are to be treated like it."""
        size = last - index
        if self._state is not None:
            size = same(self._state[index : index + size])
            if self._state[index] == _UNWRITTEN:
                return size
        return same(self._there[index - self._start : min(index + size, self._stop) - self._start])

    def _frame(self, index, first, last):
        """Return a frame, None where nothing was written."""
        if not self._start <= index < self._stop:
            self._fetch(index, *self._together(index, first, last))
        return self._batch[index - self._start] if self._there[index - self._start] else None

    def _together(self, index, first, last):
        """Return which frames are read with one: those of its row of chunks, or a few rows."""
        frames = self._stacks[0].frames
        if frames.rows == 1:
            start = index - index % self._rows
            return max(start, first), min(start + self._rows, last)
        k = self._of(index)
        begin, frames = self._first[k], self._stacks[k].frames
        start, stop = (begin + at for at in frames.together(index - begin, self._rows))
        if frames.packed and frames.rows <= self._rows:
            # chunks are unpacked as a whole: what is beside is kept for the blocks to come
            first, last = first - (first - begin) % frames.rows, last + (begin - last) % frames.rows
        return max(start, first), min(stop, last, self._first[k + 1])

    def _fetch(self, index, start, stop):
        self._start = self._stop = 0
        self._batch = self._there = None
        # A damaged chunk must not take the good frames of its batch along.
        if index not in self._damaged:
            try:
                self._batch, self._there = self._read(start, stop)
            except OSError:
                self._damaged = range(start, stop)
        if index in self._damaged:
            start, stop = index, index + 1
            self._batch, self._there = self._read(start, stop)
        self._start, self._stop = start, stop

    def _read(self, start, stop):
        batch = np.empty((stop - start, *self.shape), self.dtype)
        there = np.zeros(stop - start, bool)
        at = start
        while at < stop:
            k = self._of(at)
            first, last = at - self._first[k], min(stop, self._first[k + 1]) - self._first[k]
            some = slice(at - start, at - start + last - first)
            try:
                there[some] = self._stacks[k].read(first, last, batch[some])
            except Unreadable as error:
                raise RunError(f"h5={self._stacks[k].name}: {error}") from error
            except ConfigError as error:
                raise RunError(str(error)) from error
            if not there[some].all():
                self._missing[k].note(first, there[some])
            at += last - first
        return batch, there

    def close(self):
        """Close the files; may be called again."""
        self._batch = self._there = None
        self._start = self._stop = 0
        self._files.close()


def batch_rows(frames):
    """Frames in a batch: whole rows of chunks where those are small enough."""
    frame = frames.dtype.itemsize * math.prod(frames.shape[1:])
    rows, chunk = max(1, _BATCH_BYTES // frame), frames.rows
    if chunk > rows:
        return max(1, min(chunk, _BATCH_BYTES_CHUNKED // frame))
    return rows - rows % chunk


def same(values):
    """Return how many of the first values are the same."""
    other = np.flatnonzero(values != values[0])
    return int(other[0]) if len(other) else len(values)


def _check_times(stack, state):
    """Refuse times of which most are none."""
    wrong = np.flatnonzero(state == _WRONG)
    if len(wrong) and 2 * len(wrong) >= np.count_nonzero(state != _UNWRITTEN):
        raise ConfigError(f"{stack.times.fault(int(wrong[0]))}; so it is with {len(wrong):,} of {len(state):,}")


def _lacking(stack, last):
    """Return lines on frames that were announced but are in no file, if all that are there are read."""
    there, announced = stack.frames.shape[0], announced_by(stack.trust, stack.path)
    if last < there or announced is None or announced <= there:
        return []
    last_one = [name for name in stack.frames.files() if name is not None][-1]
    return [
        f"h5={stack.name}: {announced:,} images were to be taken (nimages x ntrigger), and its files hold {there:,}: "
        f"the last {announced - there:,} are missing, after those in {last_one}; was the series "
        "stopped early, or are files missing?"
    ]


def _warn_of_fill(stack, last, total, say):
    """Say which of the first `last` frames may never have been written; `total` events end with these, if it is one."""
    try:
        rows, fill, all_ = stack.fill_at_end()
    except (OSError, Unreadable):
        return  # said when it is read
    rows = rows[rows < last]
    if not len(rows):
        return
    there = np.zeros(last - rows[0], bool)
    there[rows - rows[0]] = True
    found, least = [(rows[0] + a, rows[0] + b) for a, b in runs_of(there)], "" if all_ else "at least "
    hold = f"hold nothing but {fill}, the fill value, and HDF5 cannot tell whether they were ever written; if they "
    begin, end = found.pop() if found[-1][1] == last else (last, last)
    if found:
        say(
            f"h5={stack.name}: {least}frames {ranges(found)} {hold}were not, they are taken for data nevertheless: "
            "copy what was written into datasets without them"
        )
    if begin < end:
        out = "copy what was written into a file without them"
        if total is not None and total > (count := end - begin):
            out = f"leave them out with -n {total - count}{'' if all_ else ' or less'}"
        say(f"h5={stack.name}: {least}the last {end - begin:,} of {last:,} frames {hold}were not, {out}")
