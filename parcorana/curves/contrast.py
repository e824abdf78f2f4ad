"""Contrast from numbers of photons: the negative binomial's, by maximum likelihood; docs/definitions.md."""

import numpy as np

#: Stretches of the run that an error by jackknife needs.
LEAST = 8
_LARGEST = 100.0  # bound of the contrast
_AT_ONCE = 1 << 15  # numbers, so that what is made of them stays in the caches


@np.errstate(all="ignore")
def probabilities(mean, contrast, kmax):
    """Return P(k) of the negative binomial, k = 0 ... kmax, and of more.

    Parameters
    ----------
    mean, contrast : (...) float64
    kmax : int

    Returns
    -------
    (..., kmax + 2) float64
    """
    mean, beta = np.maximum(mean, 1e-300)[..., None], np.asarray(contrast)[..., None]
    k = np.arange(kmax + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(np.abs(beta * mean) < 1e-8, mean, np.log1p(beta * mean) / beta)
    steps = np.log1p(np.maximum(beta * np.arange(kmax), -1 + 1e-12))
    log = np.concatenate([np.zeros_like(beta), np.cumsum(steps, axis=-1)], axis=-1)
    log = log - np.cumsum(np.log(np.maximum(k, 1))) + k * (np.log(mean) - np.log1p(beta * mean)) - spread
    P = np.exp(np.minimum(log, 0))
    more = np.maximum(1 - P.sum(axis=-1, keepdims=True), 1e-300)
    return np.concatenate([P, more], axis=-1)


@np.errstate(all="ignore")  # nothing known is NaN, here and below
def _score(counts, mean, beta):
    """Return the derivative of the log likelihood, and of that the expectation, negative (information)."""
    kmax = counts.shape[-1] - 2
    k, j = np.arange(kmax + 1), np.arange(kmax)
    b, m = beta[..., None], mean[..., None]
    P = probabilities(mean, beta, kmax)
    x = b * m
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = (np.log1p(x) - x / (1 + x)) / b**2
    spread = np.where(np.abs(x) < 1e-4, m**2 * (0.5 - 2 * x / 3 + 0.75 * x**2), exact)
    sums = np.concatenate([np.zeros_like(b), np.cumsum(j / np.maximum(1 + j * b, 1e-12), axis=-1)], axis=-1)
    each = sums - k * m / (1 + x) + spread
    # more than kmax: what is left over for it, but no more than rounding allows
    tail = np.maximum(P[..., -1], 1e-13)
    more = np.clip(-(P[..., :-1] * each).sum(axis=-1) / tail, -1e6, 1e6)
    more = np.where(P[..., -1] < 1e-11, each[..., -1], more)
    each = np.concatenate([each, more[..., None]], axis=-1)
    return (counts * each).sum(axis=-1), counts.sum(axis=-1) * (P * each**2).sum(axis=-1)


def _solve(counts, mean):
    """Return the root of the score, between what the negative binomial allows below 0 and `_LARGEST`."""
    low = np.maximum(-0.5 / counts.shape[-1], -0.5 / np.maximum(mean, 1e-12))
    high = np.full_like(mean, _LARGEST)
    for _ in range(60):
        # closer to 0 than half way: contrasts are small
        middle = np.where(high > 1, np.sqrt((low + 1) * (high + 1)) - 1, (low + high) / 2)
        up = _score(counts, mean, middle)[0] > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return (low + high) / 2


def contrast_of(counts, photons):
    """Return the contrast that makes some counts most likely, its error for independent elements, and their mean.

    Parameters
    ----------
    counts : (..., kmax + 2) int64
    photons : (...) int64
        Their sum.

    Returns
    -------
    contrast, error, mean : (...) float64
        NaN without counts, or without photons.
    """
    contrast, error, mean = _unbounded(np.asarray(counts, np.float64), photons)
    return np.maximum(contrast, 0), error, mean


@np.errstate(all="ignore")
def _unbounded(counts, photons):
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = photons / counts.sum(axis=-1)
        found = np.full(mean.shape, np.nan)
        error = found.copy()
        good = mean > 0
        found[good] = _solve(counts[good], mean[good])
        error[good] = 1 / np.sqrt(_score(counts[good], mean[good], found[good])[1])
        error[np.isinf(error)] = np.nan  # the counts say nothing of it
    return found, error, mean


def _without_each(all_counts, all_photons, counts, photons, best):
    """Return the contrast without each stretch in turn, (P, ...): two steps from the solution with all."""
    flat = counts.reshape(-1, counts.shape[-1])
    total = all_counts.reshape(-1, counts.shape[-1])
    photons = (all_photons - photons).ravel()
    found = np.broadcast_to(best, counts.shape[:-1]).flatten()
    at_once = max(1, _AT_ONCE // counts.shape[-1])
    for part in range(0, len(flat), at_once):
        which = np.arange(part, min(part + at_once, len(flat)))
        left = total[which % len(total)] - flat[which]
        mean = photons[which] / left.sum(axis=-1)
        usable = mean > 0
        left, mean, which = left[usable], mean[usable], which[usable]
        for _ in range(2):
            slope, curve = _score(left, mean, found[which])
            found[which] = np.clip(found[which] + slope / curve, -0.9 / counts.shape[-1], _LARGEST)
    return found.reshape(counts.shape[:-1])


@np.errstate(all="ignore")
def with_error(counts, photons):
    """Return the contrast and its error by jackknife over stretches of the run.

    Parameters
    ----------
    counts : (P, ..., kmax + 2) int64
        Of each stretch.
    photons : (P, ...) int64

    Returns
    -------
    contrast, error, mean : (...) float64
    stretches : (...) int64
        Those that have windows: fewer than `LEAST` give no more than the error for independent elements.
    """
    all_counts, all_photons = counts.sum(axis=0).astype(np.float64), photons.sum(axis=0)
    best, error, mean = _unbounded(all_counts, all_photons)
    there = counts.sum(axis=-1) > 0
    stretches = there.sum(axis=0)
    if len(counts):
        left = _without_each(all_counts, all_photons, counts, photons, best)
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = np.where(there, left, 0).sum(axis=0) / stretches
            scatter = np.where(there, (left - centre) ** 2, 0).sum(axis=0) * (stretches - 1) / stretches
        error = np.where(stretches >= LEAST, np.fmax(error, np.sqrt(scatter)), error)
    return np.maximum(best, 0), error, mean, stretches


def from_ratio(counts, mean):
    """Return the contrast from R = N(2) / N(1), for few photons; NaN where there are none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = counts[..., 2] / counts[..., 1]
        return (2 * ratio - mean) / (mean * (1 - 2 * ratio))
