"""Aged curves in the G2 classes: the curve of each stretch of the run between two updates."""

import numpy as np

from parcorana.calculation.arrays import Common
from parcorana.curves import curvefile
from parcorana.curves.aged import Ages, sentence
from parcorana.curves.framenorm import divide, g2_of
from parcorana.g2.parameters import aged_of, has_aged


class AgedCurves:
    """The part of the G2 classes that is about aged curves: those of sums that only grow."""

    def begin_aged(self):
        """Prepare what each role has of it, once colours and `frame_norm` are known."""
        self.has_aged = has_aged(type(self), self.system_params, self.user_params)
        self.ages = Ages(self.color_sums) if self.has_aged and self.mpiParams.role == "viewer" else None
        self._aged_warned = False
        of_ratios = self.color_sums.normalization == "pixel" and not self.forgets and self.system_params.get("update")
        if of_ratios and aged_of(self.user_params) is None and self.mpiParams.role == "viewer":
            self.mpiParams.logInfo(
                "no aged curves: with the normalization 'pixel' there are ratios, which cannot be taken from each "
                "other; 'finecolor' and 'color' have them"
            )

    # -- on a worker --------------------------------------------------------------

    def arrays_of_aged(self):
        """Begin the counters of a stretch; return what is declared of it."""
        #: Smallest and largest counter [pulses] since the last update, and whether the next event begins anew.
        self.stretch = np.array([0, -1, 1])
        return {"stretch": Common(self.stretch)} if self.has_aged else {}

    def note_stretch(self, counters):
        """Note events that are processed."""
        if not len(counters):
            return
        first, last = int(counters.min()), int(counters.max())
        if not self.stretch[2]:
            first, last = min(first, int(self.stretch[0])), max(last, int(self.stretch[1]))
        self.stretch[:] = first, last, 0

    def end_stretch(self):
        """Return the counters of the stretch that ends with an update, (2,) int64 [pulses]."""
        self.stretch[2] = 1
        return self.stretch[:2].copy()

    # -- on the viewer --------------------------------------------------------------

    def viewer_state(self):
        """Return what a checkpoint keeps of the updates so far, and of `frame_norm`."""
        kept = {} if self.ages is None else {f"aged {name}": array for name, array in self.ages.state().items()}
        return super().viewer_state() | kept

    def restore_viewer(self, state):
        """Take up the updates where a run goes on, and `frame_norm`."""
        super().restore_viewer(state)
        if self.ages is not None:
            self.ages.restore({name[5:]: array for name, array in state.items() if name.startswith("aged ")})

    def write_aged(self, group, reduced, counts):
        """Write the curves of the pairs whose later event came since the update before.

        Parameters
        ----------
        group : h5py.Group
            Of the update.
        reduced : dict of arrays
            Sums over all workers.
        counts : (D,) int64
        """
        if self.ages is None:
            return
        processed = self.mpiParams.processed
        series = None if self.frame_norm is None else self.norm_sums()[0]
        aged, ends = self.ages.take(processed, reduced, counts, series), reduced.get("stretch", (0, -1))
        if aged is None or ends[0] > ends[1]:
            return
        self.write_stretch(group, aged, ends)
        text = sentence(self.color_sums.colors, aged, self.color_sums.normalization)
        if text and not self._aged_warned:
            self._aged_warned = True
            self.mpiParams.logWarning(f"at {processed:,} events: {text}; the file says it of later updates, too")

    def write_stretch(self, group, aged, ends):
        """Write a `parcorana.curves.aged.Aged` into an update; `ends` are its counters, (2,) int64 [pulses]."""
        made, norm, curve = self.color_sums, None, aged.curve
        if aged.series is not None:
            curve, norm = divide(curve, self.frame_norm, g2_of(aged.series, aged.counts), made.colors)
        about = made.normalization, self.system_params["rate"], self.stands_for, norm
        group = group.create_group("aged")
        group.attrs["saturated"] = sentence(made.colors, aged, made.normalization)
        curvefile.write_aged(group, made.colors, curve, aged, ends, *about)
