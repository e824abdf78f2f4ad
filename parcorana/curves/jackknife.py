"""Jackknife: how a number that is made of sums varies, from what it is without one group of what was summed."""

import numpy as np
from numpy.typing import NDArray


def deviations(
    value: NDArray[np.float64], without: NDArray[np.float64], part: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what each group deviates by, scaled so that the sum of squares is the variance of `value`.

    Of K groups of equal size the variance is ``(K - 1) / K sum (g_k - mean)^2``;
    of others it is that of the delete-m jackknife (Busing, Meijer, van der
    Leeden, Statistics and Computing 9, 1999, equation 8). A group that counts
    nothing deviates by nothing. With few groups their scatter is itself
    uncertain: the factor ``(K - 1) / (K - 3)``, the variance of Student's
    distribution with K - 1 degrees of freedom, is in it from K = 4 on.

    Parameters
    ----------
    value : (...) float64
        Of all groups.
    without : (K, ...) float64
        Of all but one.
    part : (K, ...) float64
        Of each group in all: its elements, or pairs; they add up to 1.

    Returns
    -------
    (K, ...) float64
        Covariances are sums of products of these over the groups. NaN where fewer than two groups count.
    """
    counts = (part > 0) & (part < 1) & np.isfinite(without)
    groups = np.count_nonzero(counts, axis=0)
    times = np.where(counts, 1 / np.where(counts, part, 1), 2.0)  # how many such groups there would be
    pseudo = np.where(counts, times * value - (times - 1) * np.where(counts, without, 0), 0)
    mean = np.where(counts, pseudo, 0).sum(axis=0) / np.maximum(groups, 1)
    apart = np.where(counts, (pseudo - mean) / np.sqrt(times - 1), 0) / np.sqrt(np.maximum(groups, 1))
    apart *= np.where(groups > 3, np.sqrt(np.maximum(groups - 1, 0) / np.maximum(groups - 3, 1)), 1)
    return np.where(groups > 1, apart, np.nan)
