"""What the G2 classes share of each event: `frame_norm`, by which curves are divided, and what all elements do."""

import numpy as np

from parcorana import _move
from parcorana.calculation.arrays import Common
from parcorana.curves.framenorm import divide, g2_of
from parcorana.errors import RunError
from parcorana.g2.parameters import COLOR, frame_norm_of, series_of
from parcorana.g2.saturation import mark_saturated
from parcorana.g2.scatter import STRETCHES, common_deviations
from parcorana.g2.series import Series, SeriesG2, events_shared


class FrameNormed:
    """The part of the G2 classes that is about `frame_norm`: None, a value's name, `'mean'` or `'color'`."""

    #: Events without the value (NaN) are filtered: they would leave nothing of the curves.
    leaves_out_missing = True

    @classmethod
    def uses(cls, user_params):
        """Return the names of the values that are needed."""
        name = frame_norm_of(user_params)
        return () if name in (None, COLOR) else (name,)

    def begin_frame_norm(self):
        """Prepare what each role has of it, once the colours are known."""
        self.frame_norm = frame_norm_of(self.user_params)
        self.series = self.series_g2 = None
        self.plain_numbers = {}  # of each event by its counter, for the testing mode
        count = series_of(self.system_params, self.user_params, len(self.color_sums.colors))
        #: Whether the scatter is wanted that all elements share: what each colour is divided by takes it away.
        self.has_scatter = count > 0 and self.frame_norm != COLOR
        if not count:
            return
        self.shares = events_shared(count)
        if self.mpiParams.role in ("viewer", "alone"):
            self.series_g2 = self.series_sums(count, self.has_scatter)

    def series_sums(self, count, marked):
        """Begin the sums of so many numbers of each event, over the pairs of the class."""
        return SeriesG2(self.delays, self.system_params["times"], count, self.forgets, marked)

    @classmethod
    def frame_norm_bytes(cls, system_params, user_params, colors):
        """Return the bytes of what is shared, and of what the viewer keeps of it, for so many colours."""
        count = series_of(system_params, user_params, colors)
        if not count:
            return 0
        held = 2 * (events_shared(count) + system_params["block"])  # numbers, and elements that made them
        kept = 6 if frame_norm_of(user_params) == COLOR else STRETCHES
        return 8 * count * (held + system_params["times"] + kept * len(system_params["delays"]))

    # -- on a worker --------------------------------------------------------------

    def arrays_of_frame_norm(self, own):
        """Begin the series of a worker whose elements have these colours; return what is declared of it."""
        if not series_of(self.system_params, self.user_params, len(self.color_sums.colors)):
            return {}
        saturates = self.saturated_value is not None
        self.series = Series(self.frame_norm, own, self.color_sums.colors, saturates)
        return {"frame_norm.run": Common(self.series.run)}

    def adjust_and_follow(self, block):
        """Mark saturated elements, and tell the series at which event each of them became so."""
        threads = self.mpiParams.threads
        new, first = mark_saturated(block, self.saturated_value, self.saturated, threads)
        for k in np.unique(first):
            self.series.saturate(int(k), new[first == k])
        if self.notzero is not None:
            _move.adjust(block.offered, block.entering, None, self.saturated, self.notzero, threads)

    def share(self):
        """Return the numbers of the events since the last time."""
        return self.series.share()

    # -- on the viewer --------------------------------------------------------------

    def take_shared(self, update):
        """Correlate what the workers have shared."""
        numbers, elements = update["numbers"], update.get("elements")
        if elements is None:
            sizes = self.color_sizes if self.frame_norm == COLOR else self.color_sizes.sum(keepdims=True)
            elements = np.broadcast_to(sizes, numbers.shape)
        if self.frame_norm == COLOR and numbers.shape[1] > 1:
            # their mean, too: what all colours do is the beam, not their speckles
            numbers, elements = (np.c_[each, each.sum(axis=1)] for each in (numbers, elements))
        numbers = numbers / np.maximum(elements, 1)
        if "value" in update:
            numbers = np.c_[update["value"], numbers]
        self.series_g2.add(update["counters"], update["run"], numbers)

    def viewer_state(self):
        """Return what a checkpoint keeps of the series."""
        return {} if self.series_g2 is None else self.series_g2.state()

    def restore_viewer(self, state):
        """Take up the series where a run goes on."""
        if self.series_g2 is not None:
            self.series_g2.restore(state)

    def normed(self, curve, counts):
        """Return the curves as they are to be, and what they were divided by.

        Parameters
        ----------
        curve : parcorana.curves.Curve
            Of all colours, (C, D).
        counts : (D,) int64

        Returns
        -------
        curve : parcorana.curves.Curve
        norm : parcorana.curves.framenorm.FrameNorm or None
        """
        if self.frame_norm is None:
            return curve, None
        sums, pairs = self.norm_sums()
        if not np.array_equal(pairs, counts):
            raise RunError(
                f"{type(self).__name__}: frame_norm has {pairs.sum():,} pairs, the curves have {counts.sum():,}: with "
                "pairs of its own a class can do without frame_norm only"
            )
        about = self.color_sizes, self.delays, counts
        return divide(curve, self.frame_norm, g2_of(sums, counts), self.color_sums.colors, about)

    def norm_sums(self, waiting=True):
        """Return G2, IP and IF of what curves are divided by, (3, S, D) float64, and the pairs, (D,) int64."""
        sums, pairs = self.series_g2.sums(waiting)
        return sums if self.frame_norm == COLOR else sums[:, :1], pairs

    def scatter(self, counts):
        """Return how the scatter that all elements share makes curves deviate, (R, D) float64, as a part of g2."""
        if not self.has_scatter:
            return np.zeros((0, len(counts)))
        sums, pairs = self.series_g2.stretches()
        if not np.array_equal(pairs.sum(axis=0), counts):  # those of a class with pairs of its own
            return np.zeros((0, len(counts)))
        return common_deviations(sums, pairs, self.frame_norm is not None)

    # -- in the testing mode: the plain way is in plain.py ------------------------------

    def note_plainly(self, block):
        """Keep the order of events, which come one by one, and the value of each."""
        column = block.values.get(self.frame_norm, np.full(len(block), np.nan))
        self.plain_numbers |= zip(block.counters.tolist(), column.tolist(), strict=True)
