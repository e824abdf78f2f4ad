"""Mean intensities, from what an update has."""

import numpy as np

from parcorana.curves.curvefile import path_of_sums


def mean_of_elements(result, group):
    """Return the mean intensity of each element over the events, from IP of the delay with most pairs.

    Parameters
    ----------
    result : Result
    group : h5py.Group or None
        Of its update.

    Returns
    -------
    (detector's shape) float64 or None
        None where the update has no full arrays.
    """
    if group is None or not result.counts.any():
        return None
    best = int(result.counts.argmax())
    IP = group.get(path_of_sums("IP", result.delays[best]))
    if IP is None or IP.shape != result.mask.shape:
        return None
    return IP[:] / result.counts[best]


def means_of_colors(result):
    """Return the mean intensity of each colour over the run, by colour; of those that have one."""
    return {color: float(np.nanmean(line)) for color, line in result.intensity.items() if np.isfinite(line).any()}
