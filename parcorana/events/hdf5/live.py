"""``h5=FILE:live``: an HDF5 file that another program is writing, in SWMR mode."""

import os
import time
from functools import partial

from parcorana.errors import ConfigError, RunError
from parcorana.events.feed import patience
from parcorana.events.hdf5.source import HDF5Source, batch_rows
from parcorana.events.hdf5.stack import Stack, file_names, is_written
from parcorana.events.hdf5.values import Values
from parcorana.events.protocol import Event

_LOOK = 0.02  # s between two looks whether the file has grown


class HDF5Live(HDF5Source):
    """Follows the frames of one file until its writer closes it.

    The writer must have the file in SWMR mode (single writer, multiple
    readers), and write and flush frames before their times. A frame is there
    when its time and its values are. Server k of S reads every S-th row of chunks.

    Parameters
    ----------
    dataset, src, share, values
        As for `HDF5Source`; `numevents` is the server's business.
    log : callable
        Takes one line of text for the user.

    Attributes
    ----------
    stamps, total, shape, dtype, live
        As `EventSource` says; the number of events is not known.

    Raises
    ------
    ConfigError
        As `HDF5Source`; no file in the time of `parcorana.events.feed.patience`.
    RunError
        While events come: times that are none.
    """

    live = True

    def __init__(self, dataset, src, share, log, values=None):
        names = file_names(dataset)
        if len(names) > 1:
            raise ConfigError(f"dataset {dataset.text!r}: 'live' follows one file, not {len(names)}")
        self._name, self._share, self._log = names[0], share, log
        self._start, self._stop, self._batch = 0, 0, None
        self._damaged = range(0)
        self._first = [0, 0]
        stack = self._opened(src, dataset.dir, values or {})
        self._stacks = [stack]
        self.total, self.typical_step = None, None
        self.stamps, self.about = stack.times.stamps, stack.times.about(stack.file)
        self.shape, self.dtype = stack.item.shape[1:], stack.item.dtype.newbyteorder("=")
        self._group = min(batch_rows(stack.item), stack.item.chunks[0] if stack.item.chunks else 1)

    def events(self):
        """Yield the frames of this server as they come, None when there is none now."""
        share, at, grown, looked = self._share, 0, time.monotonic(), 0.0
        item = self._stacks[0].item
        while True:
            now = time.monotonic()
            if now - looked < _LOOK:
                yield None
                continue
            looked = now
            writing = is_written(self._name)  # before the last look at the length
            count = self._length(item)
            if count > at:
                grown = now
                stamps, values = self._read_numbers(at, count)
                self._stacks[0].check_length()
                for index in range(at, count):
                    if index // self._group % share.servers == share.server:
                        limits = self._limits(index, count)
                        yield Event(
                            0,
                            stamps(index),
                            partial(self._frame, index, *limits),
                            index=index,
                            values=partial(_of_one, values, index - at),
                        )
                at = count
            elif not writing:
                return
            elif now - grown > patience():
                self._log(
                    f"h5={self._name}: nothing came for {patience()} s, which ends the run after {at} frames: was its "
                    "writer killed?"
                )
                return
            yield None

    def _limits(self, index, count):
        """Return the frames that are read with one: those of its row of chunks that are there."""
        first = index - index % self._group
        return first, min(first + self._group, count)

    def _frame(self, index, first, last):
        # what was read of a row of chunks may have become more meanwhile
        if not self._start <= index < self._stop:
            self._fetch(index, index, last)
        return self._batch[index - self._start]

    def _length(self, item):
        self._stacks[0].check_length()
        times = self._stacks[0].times.item
        all_of_it = [item, *([] if times is None else [times]), *self._values.items.values()]
        for growing in all_of_it:
            growing.refresh()
        # the times are written last: without its time, and its values, a frame is not there yet
        count = min(growing.shape[0] for growing in all_of_it)
        self._first = [0, item.shape[0]]
        return count

    def _read_numbers(self, first, last):
        """Return what gives the stamp of a frame, and the values of frames."""
        try:
            times, values = self._stacks[0].times.read(first, last), self._values.read(first, last)
        except ConfigError as error:
            raise RunError(str(error)) from error
        return int if times is None else lambda index: int(times[index - first]), values

    def _opened(self, src, folder, values):
        """Open the file once it is there and its writer lets readers in."""
        begin, told = time.monotonic(), False
        while True:
            before = is_written(self._name)
            try:
                stack = Stack(self._name, src, folder, swmr=True)
                try:
                    self._values = Values(stack, values, grows=True)
                except ConfigError:
                    stack.close()
                    raise
                return stack
            except ConfigError as error:
                waited = time.monotonic() - begin
                # a finished file will not get any better; one that is begun may
                if (os.path.exists(self._name) and before is False) or waited > patience():
                    raise
                if not told and waited > 1:
                    told = True
                    self._log(f"waiting for the writer of h5={self._name} ({error})")
                time.sleep(0.1)


def _of_one(values, k):
    """Return the values of the k-th frame of some."""
    return {name: float(column[k]) for name, column in values.items()}
