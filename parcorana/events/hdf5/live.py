"""``h5=FILE:live``: HDF5 files that another program is writing, in SWMR mode."""

import time
from contextlib import suppress
from functools import partial

import numpy as np

from parcorana.correlation.rolling import far_from, middle_of
from parcorana.errors import ConfigError, EventError, RunError
from parcorana.events.feed import patience
from parcorana.events.hdf5.appear import HOLE, Series
from parcorana.events.hdf5.begun import Opening
from parcorana.events.hdf5.bursts import Flat
from parcorana.events.hdf5.files import Unreadable
from parcorana.events.hdf5.follows import Follows
from parcorana.events.hdf5.mapped import Mapped
from parcorana.events.hdf5.missing import Missing
from parcorana.events.hdf5.plain import Plain
from parcorana.events.hdf5.slab import Axis
from parcorana.events.hdf5.source import HDF5Source, batch_rows, same
from parcorana.events.protocol import Event, Lost

_LOOK = 0.02  # s between two looks whether the file has grown
_SHARE = 4  # a look that takes long is taken no more often than in one part of so many of the time
_GROUP = 16  # frames of a virtual dataset that one server reads together
_AHEAD = 4096  # frames, among which such later ones are looked for


class HDF5Live(HDF5Source):
    """Follows the frames of a file until its writer closes it, and those that it draws in; by a pattern, file by file.

    The writer must have the file in SWMR mode (single writer, multiple
    readers), or give it its name when it is finished. A frame is there when its
    chunks were written, and its time and its values were; so frames and values
    are written and flushed before their times. In chunks of many frames without
    times, those at the end that hold nothing but the fill value are not there
    yet; values are then written first. Once the file is closed, a value that is
    not there is NaN. Server k of S reads every S-th row of chunks.

    Parameters
    ----------
    dataset, src, share, times_src
        As for `HDF5Source`; `numevents` is the server's business.
    log : callable
        Takes one line of text for the user.
    values : dict of str to str, optional
        As for `HDF5Source`.

    Attributes
    ----------
    stamps, total, shape, dtype, unmapped, live
        As `EventSource` says; the number of events is not known.

    Raises
    ------
    ConfigError
        As `HDF5Source`; no file in the time of `parcorana.events.feed.patience`;
        a dataset of which nobody can tell what was written; several servers for
        files that are runs of their own.
    RunError
        While events come: times that cannot be read; a later file that is not
        like the first one.
    """

    live = True

    def __init__(self, dataset, src, share, log, values=None, times_src=None):
        self._share, self._log = share, log
        self._say = log if share.server == 0 else lambda line: None  # what all servers know alike
        self._series = Series(dataset, log)
        self._follows = Follows(dataset, share, self._say)
        self._state, self._apart = None, False
        self._files, self._reference = None, None  # the median of the first times
        how = {"times_src": times_src, "bursts": dataset.bursts}
        self._opening = Opening(self._series, src, dataset.dir, values or {}, how, self._say, log)
        try:
            for opened in self._opening.first():
                if opened is None:
                    time.sleep(_LOOK)
                else:
                    self._take(*opened)
        except BaseException:
            self.close()
            raise
        stack = self._stack
        self.total, self.typical_step = None, None
        self.stamps, self.about = stack.times.stamps, stack.about()
        self.shape, self.dtype = stack.frames.shape[1:], stack.frames.dtype.newbyteorder("=")
        self.unmapped = stack.frames.unmapped()

    def _take(self, files, stack, values):
        """Begin with a file."""
        if self._files is not None:
            self._files.close()
        self._files, self._stack, self._values, self._name = files, stack, values, stack.name
        self._start, self._stop, self._batch, self._there = 0, 0, None, None
        self._damaged, self._open, self._asked = range(0), {stack.name}, 0.0
        self._hole = None  # since when later frames are there
        self._unread = None  # since when HDF5 cannot read it
        self._datasets = [each for each in (stack.frames, stack.times.dataset) if each is not None]
        self._numbers = list(values.datasets.values())
        self._check_telling()
        for each in (*self._datasets, *self._numbers):
            each.look()
        self._stacks, self._first, self._missing = [stack], [0, 0], [Missing(stack, None, self._log)]
        for line in stack.warnings:
            self._say(line)
        # of what it is made of one server may know more than another, so that must not decide
        frames = stack.frames
        self._group = _GROUP if isinstance(_inner(frames), Mapped) else min(batch_rows(frames), frames.rows)
        self._guess(True)

    def _check_telling(self):
        """Refuse a dataset that is being written, if nobody can tell how far."""
        times = _inner(self._stack.times.dataset)
        for each in (_inner(self._stack.frames), times, *map(_inner, self._numbers)):
            # HDF5 has no SWMR mode for what is not in chunks; of chunks without their own time of birth, times tell
            by_times = times is not None and each is not times
            told = not isinstance(each, Plain) or each.tells or (each.chunked and by_times)
            if not told and self._files.is_written(each.name):
                raise ConfigError(
                    f"h5={self._name}: {each.path} is not in chunks that get their room as they are written, so nobody "
                    "can tell what is there while it is written: write it in chunks, or read the finished file"
                )

    def _guess(self, guesses):
        times = self._stack.times.dataset
        (self._stack.frames if times is None else times).guess(guesses)

    def events(self):
        """Yield the frames of this server as they come, None when there is none now."""
        ended = False
        while not ended:
            frames = yield from self._follow()
            self._missing[0].close()
            self._follows.ends(frames)
            ended = True
            for opened in self._opening.further():
                if opened is None:
                    yield None
                else:
                    self._look_back()
                    self._take_further(*opened)
                    ended = False
        self._look_back()

    def _look_back(self):
        """Say if a file has changed after it was read to its end; what becomes of it then is nobody's concern."""
        with suppress(RunError):
            self._check_files()

    def _check_files(self):
        self._files.check_open({name for each in (*self._datasets, *self._numbers) for name in each.files()})

    def _take_further(self, *opened):
        """Begin with a further file, if its frames are like those of the first one."""
        try:
            self._take(*opened)
        except ConfigError as error:
            raise RunError(str(error)) from error
        lacks = self._stack.frames.unmapped()
        if lacks is not None and (self.unmapped is None or (lacks & ~self.unmapped).any()):
            raise RunError(f"h5={self._name}: its frames lack elements that those of the files before have")

    def _follow(self):
        """Yield the events of a file until it is closed, or nothing more comes; return how many frames it has."""
        share, group, at, final, turn = self._share, self._group, 0, 0, self._series.turn()
        grown, looked, pause, before = time.monotonic(), 0.0, _LOOK, None
        while True:
            now = time.monotonic()
            if now - looked < pause:
                yield None
                continue
            looked = now
            writing = self._is_written()  # before the last look at what there is
            if not writing:
                self._guess(False)
            last, extent = self._refresh()
            self._check_longer(at, last)
            if not writing and self._unread is not None:  # a network file system may need a moment
                if now - self._unread > HOLE:
                    raise RunError(
                        f"h5={self._name}: nobody writes to it any more, and HDF5 cannot read it, after {at:,} frames: "
                        "it is damaged, or was written anew while it was followed"
                    )
                yield None
                continue
            pause = max(_LOOK, _SHARE * (time.monotonic() - now))
            grown, before = (grown, before) if extent == before else (now, extent)
            final = last if writing else self._end(at, last)
            while at < final:
                end = min((at // group + 1) * group, final)
                if (at // group + turn) % share.servers == share.server:
                    at += yield from self._those(at, end)
                    if at < end:
                        if writing and not self._given_up(at, last):
                            break
                        self._missing[0].note(at, np.zeros(1, bool))
                        lost = Lost()
                        lost.run = self._follows.run
                        yield lost
                        at += 1
                else:
                    at = end
            if at >= final and not writing:
                if final < (made := self._stack.frames.shape[0]):  # longer than what was written, or than its times
                    self._say(f"h5={self._name}: it was closed by its writer after {final:,} of {made:,} frames")
                return final
            if writing and self._is_given_up(now - grown, at):
                return last
            yield None

    def _is_given_up(self, waited, at):
        """Tell whether a file that somebody seems to write is left, for nothing came for long enough."""
        if waited > HOLE and self._series.next() is not None:
            waited, what = HOLE, f"and {self._series.next()} is there, so the run goes on with that after {at:,} frames"
        elif waited > (patient := patience()):
            waited, what = patient, f"which ends the run after {at} frames"
        else:
            return False
        awaited = getattr(_inner(self._stack.frames), "awaited", None)
        why = f"waiting for: {awaited}" if awaited else "was its writer killed?"
        self._say(f"h5={self._name}: nothing came for {waited} s, {what}: {why}")
        return True

    def _those(self, first, last):
        """Yield the events of frames, up to the first one that is not there; return how many there were."""
        there = self._written(first, last)
        if there[0] and self._is_first_known():
            last = first + same(there)
            (times, state), values = self._read_times_of(first, last), self._read_values_of(first, last)
            run, base = self._follows.run, self._follows.base
            for k in range(last - first):
                wrong = None if times is None or state[k] == 0 else first + k
                read = partial(self._read_one, first + k, last, wrong)
                stamp = base + first + k if times is None else int(times[k])
                yield Event(run, stamp, read, index=base + first + k, values=partial(_of_one, values, k))
            self._hole = None
            return last - first
        return 0

    def _read_one(self, index, last, wrong):
        if wrong is not None:
            raise EventError(self._stack.times.fault(wrong))
        return self._frame(index, index, last)

    def _together(self, index, first, last):
        return first, last

    def _written(self, first, last):
        """Tell which frames, (n,) bool, are there, with their times; and values, for as long as these may come."""
        times = self._stack.times.dataset
        try:
            there = self._stack.written(first, last)
            if self._open:
                there &= self._values.written(first, last)
            return there if times is None else there & times.written([Axis.run(first, last - first)])
        except ConfigError as error:
            raise RunError(str(error)) from error
        except (OSError, RuntimeError, ValueError, KeyError):  # as in `_refresh`: waited for as what does not come
            return np.zeros(last - first, bool)

    def _read_times_of(self, first, last):
        try:
            times, state = self._stack.times.read(first, last)
        except ConfigError as error:
            raise RunError(str(error)) from error
        if times is not None and self._reference is not None:
            state[far_from(times, self._reference) & (state == 0)] = 2
        return times, state

    def _read_values_of(self, first, last):
        try:
            return self._values.read(first, last)
        except ConfigError as error:
            raise RunError(str(error)) from error

    def _is_first_known(self):
        """Tell whether it is known from where times are counted: one that is hardly a time waits for two more.

        So it is with each file: its first times tell whether it goes on where the one before ended.
        """
        if self._follows.knows:
            return True
        first = None
        if self._stack.times.path is not None:
            times, state = self._read_times_of(0, min(self._last, 3))
            good = times[state == 0]
            if self._open and (not len(good) or (len(good) < 3 and far_from(good, 0).any())):
                return False
            first = middle_of(good) if len(good) else None
            if self._reference is None:
                self._reference = 0 if first is None else first
            first = int(good.min()) if len(good) else None
        if self._follows.begins(self._stack, first):
            self._reference = None  # of a run before
        return True

    def _given_up(self, index, last):
        """Tell whether a frame that is not there has been waited for, while later ones came, for long enough."""
        now = time.monotonic()
        if now - self._asked > 1:
            self._asked = now
            if last <= index + 1 or not self._written(index + 1, min(last, index + 1 + _AHEAD)).any():
                self._hole = None
            elif self._hole is None:
                self._hole = now
        return self._hole is not None and now - self._hole > HOLE

    def _end(self, first, last):
        """Return where the frames end that were written, from one on."""
        last = min([last, *(each.bound() for each in self._datasets)])
        while first < last:
            begin = max(first, last - _AHEAD)
            there = np.flatnonzero(self._written(begin, last))
            if len(there):
                return begin + int(there[-1]) + 1
            last = begin
        return first

    def _is_written(self):
        """Tell whether anybody may still write to one of the files."""
        names = (self._open - {None}).union(*(each.files() for each in self._datasets))
        names |= {name for each in self._numbers for name in each.files() if name is not None}
        self._open = {name for name in names if name is None or self._files.is_written(name)}
        return bool(self._open)

    def _check_longer(self, at, last):
        """Refuse a file that has lost frames that were read: what comes then is not what follows them."""
        if last < at and all(isinstance(_inner(each), Plain) for each in (*self._datasets, *self._numbers)):
            raise RunError(
                f"h5={self._name}: {at:,} frames were read, and now it has {last:,}: was it written anew while it is "
                "followed? Give the files of each run names of their own"
            )

    def _refresh(self):
        """Look again; return how many frames there may be, and what changes whenever something comes."""
        frames, times = self._stack.frames, self._stack.times.dataset
        try:
            for each in (*self._datasets, *self._numbers):
                each.refresh()
            self._unread = None
        except Unreadable as error:
            raise RunError(f"h5={self._name}: {error}") from error
        except ConfigError as error:  # of a part that has come
            raise RunError(str(error)) from error
        except (OSError, RuntimeError, ValueError, KeyError):  # HDF5 met what its writer has only half written
            self._files.forget_datasets()
            self._unread = self._unread or time.monotonic()
        self._check_files()
        self._first = [0, frames.shape[0]]
        there = self._datasets if not self._open else [*self._datasets, *self._numbers]
        self._last = min(each.shape[0] for each in there)
        return self._last, (frames.extent(), times and times.extent(), *(each.extent() for each in self._numbers))

    def close(self):
        """Close the files; may be called again."""
        if self._files is not None:
            super().close()


def _inner(dataset):
    """Return what a dataset is as the file has it, of bursts by event."""
    return dataset.dataset if isinstance(dataset, Flat) else dataset


def _of_one(values, k):
    """Return the values of the k-th frame of some."""
    return {name: float(column[k]) for name, column in values.items()}
