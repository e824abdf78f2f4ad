"""The class of multi-tau: as the G2 classes, with frames that get longer with the delay."""

import numpy as np

from parcorana.correlation.delays import check_channels
from parcorana.correlation.levels import Levels
from parcorana.curves.bias import not_whole
from parcorana.curves.curvefile import SUMS
from parcorana.files.datasets import write_dataset
from parcorana.g2.base import G2Base
from parcorana.g2.parameters import PARAMS
from parcorana.multitau.plain import plain_multitau
from parcorana.multitau.series import MultiTauSeries

_PIECE = 4096  # elements of which an update holds all sums at once
_CHANNELS = 8


def _channels_of(user_params):
    """Return `channels` of `user_params`, checked."""
    return check_channels(user_params.get("channels", _CHANNELS), "user_params['channels']")


class MultiTauG2(G2Base):
    """G2 of all pairs of a run however far apart, of frames that are means over 1, 2, 4 and more pulses.

    A delay d [pulses] belongs to the lowest level L with d <= `channels` 2^L.
    Frames of level L are the means of 2^L neighbouring pulses that were all
    processed: docs/definitions.md. `times` bounds how far events may be out of
    order, not the delays.
    """

    buffer = "C"
    in_order = True
    forgets = False
    snapshot_cost = (37.0, 0.0, 5.0, 0.0)
    keeps_history = True
    takes_params = (*PARAMS, "channels")

    def __init__(self, user_params, system_params, mpiParams):
        self.channels = _channels_of(user_params)
        super().__init__(user_params, system_params, mpiParams)
        self.level = Levels(self.delays, self.channels, 0, np.float32).level

    @classmethod
    def checkParams(cls, user_params, mask, log):
        """Check the parameters and files of `user_params`: docs/config.md, docs/definitions.md."""
        _channels_of(user_params)
        super().checkParams(user_params, mask, log)

    def series_sums(self, count, marked):
        """Begin the sums of so many numbers of each event, averaged as the elements are."""
        return MultiTauSeries(self.delays, self.channels, self.system_params["times"], count, marked)

    # -- on a worker --------------------------------------------------------------

    def extra_bytes(self, elements, threads):
        """Return the bytes of an update's piece of the sums, and of full arrays where updates have them."""
        size = 8 * (4 * len(self.delays) + 3 * (int(self.level.max()) + 1) * (self.channels + 1))
        full = 8 * len(SUMS) * len(self.delays) * elements if self._save is True else 0
        return size * min(_PIECE, elements) * 2 + full

    def initWorker(self, numElementsWorker):
        """Allocate what is kept of earlier events, and the sums."""
        super().initWorker(numElementsWorker)
        dtype, threads = np.dtype(self.system_params["store_dtype"]), self.mpiParams.threads
        self.levels = Levels(self.delays, self.channels, numElementsWorker, dtype, threads)
        self.waiting = None  # events that have not settled yet, during an update

    def arrays(self, elements):
        """Declare the frames that later ones are paired with, and the sums, too."""
        return super().arrays(elements) | self.levels.arrays()

    def adjust(self, block):
        """Note saturated elements, set small values to `notzero`; keep intensities as the events come."""
        super().adjust(block)
        if self.mpiParams.role == "worker":
            super().enter(block)

    def enter(self, events):
        """Add the pairs of frames that the events complete."""
        self.levels.add(events)
        self.waiting = ()  # a stretch ends with what has settled
        self.make_snapshot(None, 0, None)
        self.waiting = None

    def end_run(self, buffer):
        """Forget the frames: no pair spans two runs."""
        super().end_run(buffer)
        self.levels.end_run()

    def collect(self, last, buffer):
        """Return the sums of each colour, and as `save_arrays` says the full arrays; generate what workers exchange."""
        self.waiting, self.last, self.events = buffer.waiting(), last, self.timeline.events
        found = yield from super().collect(last, buffer)
        self.waiting = None
        return found

    def _pieces(self):
        """Yield the sums of some elements at a time, with the events that have not settled yet."""
        elements = len(self.saturated)
        for begin in range(0, elements, _PIECE):
            part = slice(begin, min(begin + _PIECE, elements))
            *sums, counts = self.levels.ahead(self.waiting, part)
            for array in sums:  # a difference of sums may leave its rounding error where nothing should be
                array[:, counts == 0] = 0
            yield part, dict(zip(("G2", "IP", "IF"), sums, strict=True)), counts

    def workerCalc(self, T, numTimesFilled, X):
        """Return the sums so far, in full."""
        # nothing comes after the last update: its sums take the place of those that are kept
        shape = (len(self.saturated), len(self.delays))
        full = {name: getattr(self.levels, name) if self.last else np.empty(shape) for name in SUMS}
        counts = self.levels.counts
        for part, sums, pairs in self._pieces():
            for name, array in sums.items():
                full[name][part] = array
            counts = pairs
        return {name: array.T for name, array in full.items()}, counts, self.saturated

    def _sums_of_colors(self, T, numTimesFilled, X):
        """Add up the colours piece by piece."""
        added, parts, counts, first = {}, 0, self.levels.counts, self.mpiParams.part.start
        for part, sums, pairs in self._pieces():
            mine = slice(first + part.start, first + part.stop)
            arrays = {name: array.T for name, array in sums.items()}
            reduced = self.color_sums.reduce(arrays, pairs, self.saturated[part], mine, self.mpiParams.threads)
            added = {name: array + added.get(name, 0) for name, array in reduced.items()}
            parts, counts = parts + not_whole(arrays["G2"]), pairs
        return self._with_rest(added, self.saturated, parts), counts

    def pieces_of_sums(self):
        """Generate the sums of some elements at a time, as they were added up."""
        if self.last_sums is not None:
            yield from super().pieces_of_sums()
            return
        for part, sums, _ in self._pieces():
            yield part, {name: array.T for name, array in sums.items()}, self.saturated[part], None

    # -- on the viewer --------------------------------------------------------------

    def write_results(self, group, counts, curve, saturated, bias=None, norm=None):
        """Write all but the full arrays, and the level of each delay."""
        super().write_results(group, counts, curve, saturated, bias, norm)
        what = "level of each delay: L for frames that are means of 2^L pulses"
        write_dataset(group, "level", self.level, "1", what, channels=self.channels)

    def sum_plainly(self, counters, data):
        """Return the sums over all pairs that the class counts, the plain slow way."""
        return plain_multitau(counters, data, self.system_params["delays"], self.channels)
