"""Errors of the curves in the G2 classes: from pixel groups, and from the scatter that all elements share."""

from dataclasses import replace
from typing import Any

import numpy as np

from parcorana.curves.apart import of_groups
from parcorana.curves.groups import FEWEST, pixel_groups
from parcorana.g2.parameters import MOST_TIMES, errors_of

_NAMED = 10  # colours that a sentence names


def groups_of(user_params, mask, color, colors, delays):
    """Return the pixel group of each included element, (N,) int64; None where errors do not come from them."""
    if errors_of(user_params) not in ("auto", "pixel groups"):
        return None
    return pixel_groups(mask, color, colors, delays)[0]


class WithErrors:
    """The part of the G2 classes that is about errors."""

    def begin_errors(self):
        """Prepare what is said of them."""
        self.errors = errors_of(self.user_params)
        self._errors_said = self._scatter_said = False

    def with_errors(self, curve, reduced, counts):
        """Return curves with the errors that `errors` asks for, of all but the shared scatter.

        Parameters
        ----------
        curve : parcorana.curves.Curve
            Of all colours, (C, D), with errors of independent elements.
        reduced : dict of arrays
            Sums over all workers.
        counts : (D,) int64
        """
        return with_groups(curve, *of_groups(self.color_sums, reduced, counts))

    def with_scatter(self, curve, counts):
        """Add what all elements share to the errors of curves, once these are as they are to be."""
        return with_shared(curve, self.scatter(counts))

    def with_blocks(self, curve, reduced, counts):
        """Take errors from time blocks: where these are asked for, and 'auto' of colours too small for pixel groups."""
        wanted = curve.groups == 0 if self.errors == "auto" else np.full(len(curve.g2), self.errors == "time blocks")
        wanted &= curve.elements.max(axis=1, initial=0) > 0
        # which updates there are depends on how busy the viewer is: nothing that nobody asked for may depend on that
        if not wanted.any() or (self.errors == "auto" and self._by_updates):
            return curve
        rows, groups = self.time_blocks(reduced, counts)
        if not (which := wanted & (groups > 0)).any():
            return curve
        before = np.zeros((len(rows), 0, len(counts))) if curve.deviations is None else curve.deviations
        most = max(before.shape[1], rows.shape[1])
        before, rows = (np.pad(each, ((0, 0), (0, most - each.shape[1]), (0, 0))) for each in (before, rows))
        deviations = np.where(which[:, None, None], rows, before)
        error = np.where(np.isfinite(curve.g2), np.sqrt(np.square(rows).sum(axis=1)), np.nan)
        return replace(
            curve,
            error=np.where(which[:, None], error, curve.error),
            deviations=deviations,
            groups=np.where(which, groups, curve.groups),
            source=np.where(which, "time blocks", curve.source),
            shared=None,  # no part of time blocks, which have it: so it stays with each of the other colours
        )

    def say_errors(self, curve):
        """Say, once, what errors do not have, and of which colours they are those of independent elements."""
        if not (self._scatter_said or self.errors == "pixels" or self.has_scatter or self.frame_norm is not None):
            self._scatter_said = True
            self.mpiParams.logInfo(
                f"errors are without what the beam does to all elements alike: times is above {MOST_TIMES:,}"
            )
        few = np.flatnonzero((curve.groups == 0) & (curve.elements.max(axis=1, initial=0) > 0))
        if self._errors_said or self.errors == "pixels" or not len(few):
            return
        self._errors_said = True
        colors = self.color_sums.colors
        listed = ", ".join(str(colors[c]) for c in few[:_NAMED]) + ", ..." * (len(few) > _NAMED)
        what = "have no errors" if np.isnan(curve.error[few]).all() else "have errors as if elements were independent"
        why = f"are too small for {FEWEST} pixel groups" if self.errors != "time blocks" else "have too few time blocks"
        self.mpiParams.logInfo(f"errors: {len(few):,} of {len(colors):,} colours {why}, and {what}: colour {listed}")


def with_groups(curve: Any, rows: Any, groups: Any) -> Any:
    """Return curves with the errors of pixel groups, where a colour has some."""
    if not groups.any():
        return replace(curve, source="pixels", groups=groups)
    return replace(with_rows(curve, rows, groups), source=np.where(groups > 0, "pixel groups", "pixels"))


def with_shared(curve: Any, shared: Any) -> Any:
    """Return curves with what all colours deviate by alike, (S, D) as parts of g2, in their errors."""
    if curve.deviations is None or not len(shared):
        return curve
    rows = np.nan_to_num(curve.g2)[:, None, :] * shared
    return replace(with_rows(curve, np.concatenate([curve.deviations, rows], axis=1), curve.groups), shared=shared)


def with_rows(curve: Any, rows: Any, groups: Any) -> Any:
    """Return curves with errors from deviations (C, R, D), of colours that have groups (C,)."""
    error = np.sqrt(np.square(rows).sum(axis=1))
    good = (groups[:, None] > 0) & np.isfinite(curve.g2)
    return replace(curve, error=np.where(good, error, curve.error), deviations=rows, groups=groups)
