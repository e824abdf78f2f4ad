"""Photon statistics once more, the plain slow way: what ``--test_alt`` compares with."""

from dataclasses import replace

import numpy as np

from parcorana.photons.counter import KEPT, POINTS
from parcorana.photons.write import statistics
from parcorana.reference import photon_windows


def plain_statistics(counters, numbers, data, index, colors, about, saturated):
    """Return what an update should hold, from all events of one run.

    Parameters
    ----------
    counters, numbers : (m,) int64
        Increasing times, and when each event was processed.
    data : (m, n) array
    index : (n,) int
        Place of each element's colour; -1: in none.
    colors : int
    about : parcorana.photons.parameters.About
    saturated : float or None

    Returns
    -------
    dict
        As `parcorana.photons.write.statistics`.
    """
    first = {}
    for k in np.argsort(numbers) if saturated is not None else ():
        for p in np.flatnonzero(data[k] >= saturated).tolist():
            first.setdefault(p, int(numbers[k]))
    windows, slots = photon_windows(counters.tolist(), numbers.tolist(), data, about, first), list(about.exposures)
    width = 1
    while len(counters) > POINTS * width:
        width *= 2
    stretches = -(-len(counters) // width)
    counts = np.zeros((stretches, len(slots), colors, about.kmax + 2), np.int64)
    photons = np.zeros((stretches, len(slots), colors), np.int64)
    for last, w, window in windows:
        for p, k in window.items():
            if index[p] >= 0:
                at = last // width, slots.index(w), index[p]
                counts[(*at, min(k, about.kmax + 1))] += 1
                photons[at] += k
    events = photon_windows(counters.tolist(), numbers.tolist(), data, replace(about, exposures=(1,)), first)
    variance = _variance([window for _, _, window in events], windows, index, counts.shape[1:3], slots)
    far = _unrelated(windows, index, counts.shape[1:], about, first)
    return statistics({"counts": counts, "photons": photons, "unrelated.counts": far[0], "unrelated.photons": far[1]},
                      variance)  # fmt: skip


def _variance(events, windows, index, shape, slots):
    """Return the relative variance of the means of windows: of the elements that count in each event."""
    means, variance = np.full((len(events), 2, shape[1]), np.nan), np.full(shape, np.nan)
    for event, photons in enumerate(events):
        for c in range(shape[1]):
            of_color = [k for p, k in photons.items() if index[p] == c]
            if of_color:
                means[event, :, c] = sum(of_color) / len(of_color), sum(of_color) / len(of_color) ** 2
    for s, exposure in enumerate(slots):
        for c in range(shape[1]):
            sums = np.array(
                [means[last - w + 1 : last + 1, :, c].sum(axis=0) for last, w, _ in windows if w == exposure]
            )
            sums = sums[np.isfinite(sums[:, 0])] if len(sums) else sums
            if len(sums) > 1 and sums[:, 0].any():
                (mean, noise), n = sums.mean(axis=0), len(sums)
                variance[s, c] = (np.square(sums[:, 0] - mean).sum() / (n - 1) - noise) / mean**2
    return variance


def _unrelated(windows, index, shape, about, first):
    counts, photons = np.zeros(shape, np.int64), np.zeros(shape[:-1], np.int64)
    for s, exposure in enumerate(about.exposures):
        kept, step = [window for _, w, window in windows if w == exposure], 1
        while -(-len(kept) // step) > KEPT:
            step *= 2
        kept = kept[::step]
        for a, b in zip(kept, kept[len(kept) // 2 :], strict=False) if len(kept) > 1 else ():
            for p in set(a) & set(b):
                if index[p] >= 0 and p not in first:
                    both = min(a[p], 255) + min(b[p], 255)
                    counts[s, index[p], min(both, about.kmax + 1)] += 1
                    photons[s, index[p]] += both
    return counts, photons
