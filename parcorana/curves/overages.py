"""g2 over all ages of a run, and its error from how it differs from age to age."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.jackknife import deviations

#: Stretches of ages that the errors are from: no more, and where there are fewer, no errors.
MOST, FEWEST = 32, 8
_HALVES = 4  # as many times the delay at which g2 - 1 has halved is a stretch long, or more


def over_ages(
    g2: NDArray[np.float64], weights: NDArray[np.float64], width: int, delays: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean of g2 over ages, and its standard error by jackknife over stretches of ages.

    Stretches know nothing of each other only if they are longer than the delay
    and than the decay. There are errors where `FEWEST` such stretches fit into the
    run, and g2 - 1 is seen to halve.

    Parameters
    ----------
    g2, weights : (A, D) float64
        Of each bin of age; NaN, and anything, where there is no pair.
    width : int
        Pulses of a bin.
    delays : (D,) [pulses]

    Returns
    -------
    mean, error : (D,) float64
        NaN where there is no pair; where there is no error.
    groups : (D,) int64
        Stretches that the errors are from; 0 where there is none.
    """
    there = np.isfinite(g2) & (weights > 0)
    sums, weights = np.where(there, g2 * weights, 0.0), np.where(there, weights, 0.0)
    total, weight = sums.sum(axis=0), weights.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean, parts = total / np.where(weight > 0, weight, np.nan), weights / np.where(weight > 0, weight, np.nan)
    error, bins = np.full(len(delays), np.nan), len(g2)
    lengths = np.maximum(np.asarray(delays, np.float64), _HALVES * _half(mean, delays))
    groups = np.minimum(np.minimum(MOST, bins), bins * width // np.maximum(lengths, 1))
    groups = np.where(groups >= FEWEST, groups, 0).astype(np.int64)
    for count in np.unique(groups[groups > 0]).tolist():
        which = groups == count
        starts = -(-np.arange(count) * bins // count)  # the first bin of each stretch
        stretch, part = (np.add.reduceat(each[:, which], starts, axis=0) for each in (sums, parts))
        left = weight[which] * (1 - part)
        without = (total[which] - stretch) / np.where(left > 0, left, np.nan)
        error[which] = np.sqrt(np.square(deviations(mean[which], without, part)).sum(axis=0))
    return mean, error, np.where(np.isfinite(error), groups, 0)


def _half(mean, delays):
    """Return the delay at which g2 - 1 is half of what it is at the first one, infinite if it is seen nowhere."""
    there = np.flatnonzero(np.isfinite(mean) & (np.asarray(delays) > 0))
    if not len(there):
        return np.inf
    halved = there[mean[there] - 1 <= (mean[there[0]] - 1) / 2]
    return float(delays[halved[0]]) if len(halved) else np.inf
