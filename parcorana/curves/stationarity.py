"""Does g2 change with the age of the sample? A probability for each colour, from the curves of stretches of the run.

Stretches are compared in the order of time, by ranks, which need no errors: of the contrast at short delays, and of
the decay, each for a trend (Kendall) and for neighbours that are more alike than others (runs above and below the
median). Neighbouring stretches of a slow sample are alike by themselves, so each must be many decay times
long: docs/definitions.md, "Does it change?".
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError
from parcorana.files.datasets import write_dataset

#: Stretches that it takes.
LEAST = 8
#: Decay times of g2 - 1 that a stretch must have at the least.
DECAYS = 12
#: A colour changes, so it is said, where the probability is below this one, divided by the number of colours.
SAID = 1e-3
_VISIBLE = 3  # standard errors that tell a decay from noise
_HIGH, _LOW = 0.7, 0.15  # parts of the decay: short delays above, long ones below
_SIGNIFICANT = 10  # decimals: what rounding does beyond them must not decide about ranks
_NAMED = 10  # colours that a sentence names

#: In a result file: the probabilities of many colours, or the attribute of each curve; what is said of them.
TABLE, SENTENCE, UNKNOWN = "stationarity_p", "changes_with_age", "stationarity_unknown"
_WHAT = "probability that g2 of a colour that does not change with age changes so much by chance"

#: Why a colour has none.
TOO_SHORT = (
    f"the run has not yet {LEAST} stretches of {DECAYS} decay times each (more updates make more of them, a longer run "
    "longer ones)"
)
NO_DECAY = "g2 does not decay within the delays, so nobody knows how long stretches must be"
NOTHING = "its stretches are all the same, or there is no light in them"
CHANGED = f"elements saturated too late for {LEAST} stretches to come after it"


def decay_time(delays: NDArray[np.int64], curve: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Return after how many pulses g2 - 1 has decayed to 1 / e, about.

    Parameters
    ----------
    delays : (D,) int64 [pulses]
    curve, error : (D,) float64
        g2, and its standard error, to tell a decay from noise.

    Returns
    -------
    float [pulses]
        0 where no correlation is seen, infinite where it does not decay within the delays. Where it does not end
        there it is that of an exponential that decays to 0.
    """
    good = np.isfinite(curve) & np.isfinite(error) & (delays > 0)
    if not good.any():
        return np.inf
    d, y, error = delays[good], curve[good] - 1, error[good]
    end = max(1, len(d) // 5)
    first, last, noise = y[0], y[-end:].mean(), np.hypot(error[0], error[-1])
    if abs(first) < _VISIBLE * error[0]:
        return 0.0
    if first - last < max(_VISIBLE * noise, 1e-12):
        return np.inf
    part = (y - last) / (first - last)
    found = max(_crossing(d, part, np.exp(-1)), _crossing(d, part, 0.1) / np.log(10))
    if found > d[-1] / 4:  # what it decays to is not seen
        if last >= first:
            return np.inf
        found = max(found, d[-1] / np.log(first / last) if last > 0 else d[-1])
    return found


def _crossing(delays, part, level):
    """Return where a part first falls to a level."""
    k = int(np.argmax(part <= level))
    return float(np.interp(-level, -part[k - 1 : k + 1], delays[k - 1 : k + 1])) if k else float(delays[0])


def probability(curves: NDArray[np.float64], curve: NDArray[np.float64], delays: NDArray[np.int64]) -> float:
    """Return how probable changes as these are of a colour that does not change.

    Parameters
    ----------
    curves : (K, D) float64
        g2 of each stretch, oldest first.
    curve : (D,) float64
        Of all.
    delays : (D,) int64 [pulses]

    Returns
    -------
    float
        NaN where there is nothing to compare.
    """
    found = [p for series in summaries(curves, curve, delays) for p in (_trend(series), _neighbours(series))]
    found = [p for p in found if np.isfinite(p)]
    if not found:
        return np.nan
    # Cauchy's combination: holds whatever the tests have in common (Liu, Xie, JASA 115, 2020)
    total = np.mean([np.tan((0.5 - min(max(p, 1e-15), 1 - 1e-15)) * np.pi) for p in found])
    return float(0.5 - np.arctan(total) / np.pi)


def summaries(curves, curve, delays):
    """Return what is compared of the stretches: (K,) of the short delays, and of the decay beside them if it is seen.

    Which delays these are follows from the curve of all, which no order of the stretches changes.
    """
    use = (delays > 0) & np.isfinite(curve)
    lit = np.isfinite(curves[:, use][:, :1]).all(axis=1)  # the beam may be off for a while
    use &= np.isfinite(curves[lit]).all(axis=0)
    curves = curves[lit]
    if len(curves) < LEAST or not use.any():
        return []
    own, y = curves[:, use] - 1, curve[use] - 1
    far = len(y) - max(1, len(y) // 5)
    end = y[far:].mean()
    part = (y - end) / (y[0] - end) if y[0] > end else np.zeros(len(y))
    part[0] = 1
    after = _first(part < _HIGH, 1)
    gone = _first(part < _LOW, after + 1)
    if after <= far:  # a beam that gets brighter or weaker raises all delays alike
        own, y = own - own[:, far:].mean(axis=1, keepdims=True), y - end
    short = own[:, :after].mean(axis=1)
    found = [short]
    if gone > after and (level := y[:after].mean()):
        # of the contrast, which both have, only what is beside it
        found.append(own[:, after:gone].mean(axis=1) - y[after:gone].mean() / level * short)
    return [np.round(series, _SIGNIFICANT) for series in found]


def _first(which, begin):
    """Return where something is so first, from a place on; the length where nowhere is."""
    found = np.flatnonzero(which[begin:])
    return begin + int(found[0]) if len(found) else len(which)


def _trend(series):
    """Return how probable such a trend is in a series without any: Kendall's tau, its exact distribution."""
    n = len(series)
    if np.ptp(series) == 0:
        return np.nan
    score = abs(np.triu(np.sign(series[None] - series[:, None])).sum())
    turned = int(np.ceil((n * (n - 1) / 2 - score) / 2))  # pairs that go against the trend
    return min(1.0, 2 * float(_inversions(n)[: turned + 1].sum()))


@lru_cache(maxsize=128)
def _inversions(n):
    """Return how probable each number of inversions is of n things in any order."""
    found = np.ones(1)
    for k in range(2, n + 1):
        found = np.convolve(found, np.full(k, 1 / k))
    return found


def _neighbours(series):
    """Return how probable it is that neighbours lie so often on the same side of the median (Wald, Wolfowitz 1940).

    Sides, not sizes: where a weak beam makes stretches noisier, they do not look alike for that.
    """
    above = series > np.median(series)
    n, high = len(series), int(np.count_nonzero(above))
    both = 2 * high * (n - high)
    variance = both * (both - n) / (n * n * (n - 1))
    if variance <= 0:
        return np.nan
    runs = 1 + np.count_nonzero(np.diff(above))
    return math.erfc((both / n + 0.5 - runs) / math.sqrt(2 * variance)) / 2


def sentence(colors: NDArray[np.int64], found: NDArray[np.float64]) -> str:
    """Return what is said of colours that change; empty if none does."""
    which = np.flatnonzero(found < SAID / max(len(colors), 1))
    if not len(which):
        return ""
    which = which[np.argsort(found[which], kind="stable")]
    listed = ", ".join(f"{colors[c]} (p = {found[c]:.0e})" for c in which[:_NAMED]) + ", ..." * (len(which) > _NAMED)
    return (
        f"g2 of {len(which):,} of {len(colors):,} colours changes with age: colour {listed}; a curve of the whole run "
        "is then a mean of different ones: look at the aged curves (parCorAnaPlot --aged; they need `update`), or at "
        "TwoTime"
    )


def write(group: Any, colors: NDArray[np.int64], found: NDArray[np.float64], why: list[str]) -> str:
    """Write the probabilities into an update that has its curves; return what is to be said of them.

    Parameters
    ----------
    group : h5py.Group
    colors : (C,) int64
    found : (C,) float64
        NaN where it is not known.
    why : list of str
        Of each colour, why that is so.
    """
    text = group.attrs[SENTENCE] = sentence(colors, found)
    reasons = {reason: np.flatnonzero([one == reason for one in why]) for reason in dict.fromkeys(filter(None, why))}
    group.attrs[UNKNOWN] = "; ".join(
        f"of {len(which):,} of {len(colors):,} colours: {reason}" for reason, which in reasons.items()
    )
    if "delay_curves" in group:  # of many colours
        write_dataset(group, TABLE, found, "1", _WHAT)
    else:
        for color, p in zip(colors, found, strict=True):
            group[f"delay_curve_color_{color}"].attrs[TABLE] = p
    return text


def read(group: Any, colors: Iterable[int]) -> dict[int, float]:
    """Return the probabilities of an update by colour; those that are not known, or not there, are left out.

    Raises
    ------
    ConfigError
        They are no numbers, or not as many as colours.
    """
    colors = list(colors) if TABLE in group or "delay_curves" not in group else []
    if TABLE in group:
        values = group[TABLE][:]
    else:
        each = [np.asarray(group[f"delay_curve_color_{c}"].attrs.get(TABLE, np.nan)) for c in colors]
        values = np.array(each) if {one.shape for one in each} == {()} else np.full(len(colors), np.nan)
    if values.shape != (len(colors),) or values.dtype.kind != "f":
        raise ConfigError(
            f"{group.name}: its {TABLE} has {values.dtype} {values.shape}, and must have a number per curve"
        )
    return {c: float(p) for c, p in zip(colors, values, strict=True) if np.isfinite(p)}
