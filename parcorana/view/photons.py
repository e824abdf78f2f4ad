"""Pictures of photon statistics."""

import numpy as np

from parcorana.curves.contrast import probabilities
from parcorana.view.pictures import paints

#: Of a figure [inches].
SIZE = (12, 6)
_STYLES = ("-", "--", ":", "-.")
_MARKS = "osv^D"


def draw_photons(figure, photons, colors=None):
    """Draw N(k) with the negative binomial of each colour and exposure, and the contrast against the exposure.

    Parameters
    ----------
    figure : matplotlib Figure
    photons : parcorana.results.photons.Photons
    colors : list of int, optional
        Those to draw; all without it.
    """
    chosen = [c for c in photons.counts if colors is None or c in colors]
    figure.suptitle(f"{photons.label}: photon statistics, {photons.processed:,} events processed")
    left, right = figure.subplots(1, 2)
    paint = paints(chosen)
    lowest = 1.0
    for c in chosen:
        counts, contrast, mean = photons.counts[c], photons.numbers["contrast"][c], photons.numbers["mean"][c]
        k = np.arange(counts.shape[1] - 1)
        for s, w in enumerate(photons.exposures.tolist()):
            total = counts[s].sum()
            seen = np.flatnonzero(counts[s, :-1])
            if not total or not np.isfinite(contrast[s]):
                continue
            part = counts[s, seen] / total
            lowest = min(lowest, part.min(initial=1.0))
            label = f"colour {c}, {w} pulse{'s' * (w > 1)}"
            left.plot(seen, part, _MARKS[s % 5], color=paint[c], ms=4, mfc="none", label=label)
            P = probabilities(mean[s : s + 1], contrast[s : s + 1], len(k) - 1)[0, :-1]
            left.plot(k, P, _STYLES[s % 4], color=paint[c], lw=1)
        exposures, error = photons.exposures, photons.numbers["contrast_err"][c]
        right.errorbar(exposures, contrast, error, fmt="o-", color=paint[c], capsize=3, label=f"colour {c}")
        right.plot(exposures, photons.numbers["contrast_corrected"][c], "x", color=paint[c])
        right.plot(exposures, 2 * photons.numbers["contrast_unrelated"][c], "_", ms=10, color=paint[c])
    left.set(xlabel="photons k", ylabel="part of all elements and windows", yscale="log", ylim=(lowest / 3, 1.5))
    for axes in (left, right):
        if not any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
            axes.text(0.5, 0.5, "no contrast: too few photons", ha="center", transform=axes.transAxes)
    left.set_title("points: counted; lines: negative binomial")
    right.set(xlabel="exposure [pulses]", ylabel="contrast", ylim=(0, None))
    right.set_xscale("log", base=2)
    ends = photons.exposures[photons.exposures > 0]
    if len(ends):  # without a contrast no point says where the axis goes
        right.set_xlim(ends.min() / 1.2, ends.max() * 1.2)
    right.set_title("x: without pulse variance; _: 2 x that of unrelated windows")
    for axes in (left, right):
        if len(chosen) <= 8 and axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
