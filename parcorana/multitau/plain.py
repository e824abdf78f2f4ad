"""Multi-tau once more, the plain slow way, from docs/definitions.md: what ``--test_alt`` compares with."""

import numpy as np

from parcorana.g2.plain import plain_sums


def plain_multitau(counters, data, delays, channels):
    """Sum over all pairs of frames of each delay's level.

    Parameters
    ----------
    counters : (m,) int64 [pulses]
        Increasing.
    data : (m, n) float64
    delays : sequence of int [pulses]
    channels : int

    Returns
    -------
    arrays : dict of (D, n) float64
        'G2', 'IP', 'IF'.
    counts : (D,) int64
    """
    arrays = {name: np.zeros((len(delays), data.shape[1])) for name in ("G2", "IP", "IF")}
    counts = np.zeros(len(delays), np.int64)
    for d, delay in enumerate(delays):
        pulses = 1
        while delay > channels * pulses:
            pulses *= 2
        numbers, frames = _frames(counters, data, pulses)
        found, pairs = plain_sums(numbers, frames, [delay // pulses], len(counters) + 1)
        counts[d] = pairs[0]
        for name, array in found.items():
            arrays[name][d] = array[0]
    return arrays, counts


def _frames(counters, data, pulses):
    """Return numbers and means of the frames of so many pulses of which none is missing."""
    rows = dict(zip(counters.tolist(), data, strict=True))
    means = {}
    for number in sorted({t // pulses for t in rows}):
        row = [rows.get(number * pulses + k) for k in range(pulses)]
        if all(each is not None for each in row):
            means[number] = np.mean(row, axis=0, dtype=np.float64)
    return np.array([*means], np.int64), np.array([*means.values()]).reshape(len(means), data.shape[1])
