"""Photon statistics once more, the plain slow way: what ``--test_alt`` compares with."""

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
    means = [[[] for _ in range(colors)] for _ in slots]
    for last, w, window in windows:
        sums = np.zeros((2, colors), np.int64)
        for p, k in window.items():
            if index[p] >= 0:
                at = last // width, slots.index(w), index[p]
                counts[(*at, min(k, about.kmax + 1))] += 1
                photons[at] += k
                sums[:, index[p]] += k, 1
        for c in np.flatnonzero(sums[1]):
            means[slots.index(w)][c].append((sums[0, c] / sums[1, c], sums[0, c] / sums[1, c] ** 2))
    variance = np.full((len(slots), colors), np.nan)
    for s, of_colors in enumerate(means):
        for c, pairs in enumerate(of_colors):
            if len(pairs) > 1:
                mean, noise = np.array(pairs).T
                with np.errstate(divide="ignore", invalid="ignore"):
                    variance[s, c] = (mean.var(ddof=1) - noise.mean()) / mean.mean() ** 2
    far = _unrelated(windows, index, counts.shape[1:], about, first)
    return statistics({"counts": counts, "photons": photons, "unrelated.counts": far[0], "unrelated.photons": far[1]},
                      variance)  # fmt: skip


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
