"""Charge of photons that fell at known places, as a detector shares it among neighbours."""

import math

import numpy as np

_REACH = 3  # elements


def clouds(rng, shape, rate, sigma, noise):
    """Let photons fall.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (segments, rows, columns)
    rate : float
        Photons per element.
    sigma : float
        Standard deviation of a photon's cloud, Gaussian, in elements.
    noise : float
        Standard deviation of an element's noise, in photons.

    Returns
    -------
    charge : array of this shape, float64 [photons]
    fell : int
        How many; those near an edge leave some of their charge outside.
    """
    charge = np.zeros((shape[0], *(n + 2 * _REACH for n in shape[1:])))
    fell = rng.poisson(rate * math.prod(shape))
    segment = rng.integers(shape[0], size=fell)
    (y, x), within = zip(*(np.divmod(rng.random(fell) * n, 1) for n in shape[1:]), strict=True)
    erf = np.vectorize(math.erf)
    edges = np.arange(-_REACH, _REACH + 2)
    down, across = (np.diff(erf((edges - part[:, None]) / (sigma * math.sqrt(2)))) / 2 for part in within)
    for i in range(2 * _REACH + 1):
        for j in range(2 * _REACH + 1):
            np.add.at(charge, (segment, y.astype(int) + i, x.astype(int) + j), down[:, i] * across[:, j])
    inside = charge[:, _REACH:-_REACH, _REACH:-_REACH]
    return inside + rng.normal(0, noise, shape), fell
