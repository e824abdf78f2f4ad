"""What a normalization gets wrong on the data at hand, from the sums that delay curves are made of.

Every normalization divides by means over some events and elements, in place of the
expectation, and errs in two ways:

- *Too low*: the mean follows the very fluctuations that are to be measured. With a and b
  the relative deviations of the past and future mean, the curve loses the factor
  1 - <a b>. One element's mean of K photons has <a b> = 1 / K, and in a run of length T
  of speckle with the correlation c(d) the integral of 2 c(d) (1 - d / T) / T over d; the
  mean over m elements has an m-th of it.
- *Too high*: the mean stands for elements of unequal intensity. Then the curve has the
  factor 1 + v, v the relative variance of the intensity within the group.

Both are estimates, of the size of the thing rather than corrections.
"""

from dataclasses import dataclass

import numpy as np

#: A curve is said to be too low, or too high, from this part of g2 on, if its error is not larger.
SAID_LOW, SAID_HIGH = 1e-4, 1e-3
_SAMPLE = 4096  # elements that tell whether the data are whole numbers
_RATES = 48  # of exponentials that are tried
_FEW = 0.2  # of 1 / K


@dataclass(frozen=True)
class Bias:
    """How far delay curves may be off, as parts of g2.

    Attributes
    ----------
    low, high : (C, D) float64
        By how much the curves are too low and too high; NaN where there is no curve.
    error : (C, D) float64
        Standard error that it is compared with: the curve's own, or an estimate of it.
    sharing : (C,) float64
        Elements that share a mean, about; 1 with the normalization 'pixel'.
    intensity : (C,) float64
        Sum of one element's intensity over the run, about (harmonic mean); NaN where not known.
    fluctuating : (C,) bool
        Whether speckle, rather than noise, makes most of `low`.
    """

    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    sharing: np.ndarray
    intensity: np.ndarray
    fluctuating: np.ndarray


def not_whole(sums):
    """Return how many of some sums (D, n) are no whole numbers: 0 where the data are counts, for all that is known."""
    some = sums.T[:: max(1, sums.shape[1] // _SAMPLE)]
    return np.count_nonzero(some != np.floor(some))


def bias_of(made, sums, counts, delays, events, whole):
    """Estimate what is wrong with delay curves.

    Parameters
    ----------
    made : parcorana.curves.ColorSums
    sums : dict of arrays
        Over all workers.
    counts, delays : (D,) int64
    events : int
        Whose pairs were counted.
    whole : bool
        Whether intensities are whole numbers: counts of photons, for all that is known.

    Returns
    -------
    Bias
    """
    curve = made.table(sums, counts)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        if made.normalization == "pixel":
            inverse = sums["inverse"] / sums["elements"]
            found = _own_means(curve, curve.error, inverse * whole, counts, delays, events)
            low, high, error, fluctuating = found[0], np.zeros_like(found[0]), curve.error / curve.g2, found[1]
            sharing, intensity = np.ones(len(low)), 1 / _least(inverse, counts > 0)
        else:
            low, high, error, sharing, fluctuating = _shared_means(made, sums, curve, counts, delays, events, whole)
            intensity = np.full(len(low), np.nan)
    none = np.isnan(curve.g2)
    # rounded: the last digits of sums depend on how the work was divided, and small differences of sums on them
    low, high = (np.where(none, np.nan, np.round(np.maximum(np.nan_to_num(part), 0), 6)) for part in (low, high))
    return Bias(low, high, error, sharing, intensity, fluctuating)


def _shared_means(made, sums, curve, counts, delays, events, whole):
    """Return low, high, error, sharing, fluctuating where several elements share a mean."""
    size = (sums["fine_elements"] if made.normalization == "finecolor" else sums["elements"])[:, None]
    past, future = sums["IP"] / size, sums["IF"] / size
    # of the elements that share a mean: how their own means vary together, noise and all
    variance = (sums["IP_IF"] / size - past * future) / (past * future) * size / (size - 1)
    variance, size = made.of_means(variance), made.of_means(size)
    weight = np.where(sums["elements"][:, None] > 0, sums["elements"][:, None], 0.0)
    known = weight * np.isfinite(variance)
    uneven = made.of_colors(np.where(known > 0, variance * known, 0.0))
    variance = np.maximum(uneven / made.of_colors(known), 0)
    total = made.of_colors(weight)
    inverse_size = made.of_colors(np.where(weight > 0, weight / size, 0.0)) / total
    error = _error(made, sums, curve, counts)
    own, fluctuating = variance, np.ones(len(total), bool)
    alone = made.of_colors(known).max(axis=1, initial=0) == 0  # one element in each group: as 'pixel'
    if alone.any():
        photons = made.of_means(1 / past)
        photons = made.of_colors(np.where((weight > 0) & np.isfinite(photons), weight * photons, 0.0)) / total * whole
        of_one, more = _own_means(curve, curve.error, photons, counts, delays, events)
        own = np.where(alone[:, None], of_one, variance)
        fluctuating = np.where(alone, more, True)
    # that is speckle, too, as far as the curve decays; light that is uneven stays in the curve at every
    # delay, so that the lowest point bounds it
    speckle = _speckle(curve.g2 - 1, error, counts, delays, events, own=False)
    often = (counts >= max(1, counts.max(initial=0) / 4)) & (delays > 0)
    ceiling = _least(curve.g2 * (1 + np.nan_to_num(error)) - 1, often)
    high = np.minimum(uneven / total - speckle[:, None], ceiling[:, None])
    return own * inverse_size, high, error, 1 / inverse_size.max(axis=1, initial=0), fluctuating


def _error(made, sums, curve, counts):
    """Return the standard error of each curve, relative, as if elements were independent."""
    if made.normalization == "finecolor":
        return curve.error / curve.g2
    n = sums["elements"][:, None]
    mean = sums["G2"] / n
    return np.sqrt(np.maximum(sums["G2_squared"] / n - mean**2, 0) / (n - 1)) / mean


def _own_means(curve, error, photons, counts, delays, events):
    """Return what curves lose to the mean of each element, (C, D), and whether most of it is speckle.

    `photons` is the mean of 1 / K, where counts are photons, else 0.
    """
    most = counts[delays > 0].max(initial=0)
    if not most:
        return np.full(curve.g2.shape, np.nan), np.zeros(len(curve.g2), bool)
    # The scatter of the elements' ratios is w / sqrt(n), with w the relative variance of one value,
    # and their means lose w / n. Speckle scatters too, but less at some delay than at others.
    spread = curve.error * np.sqrt(np.maximum(curve.elements - 1, 0)) / np.abs(curve.g2)
    often = (counts >= most / 4) & (delays > 0)  # at the delay 0 noise is correlated with itself
    scatter = _least(spread * np.sqrt(counts), often)
    noise = np.where(np.isfinite(scatter), scatter, 0)[:, None] / counts
    # whole numbers are photons where they scatter like them; with a few photons that hardly shows
    noise = np.maximum(noise, np.where(photons > _FEW, photons, np.minimum(photons, 2 * noise)))
    # of the events that have a later partner, so many have an earlier one, too
    noise = noise * (most / events) * np.maximum(0, 2 - most / counts)
    noise = np.where(counts > 0, noise, 0)
    speckle = _speckle(curve.g2 - 1 + noise, error, counts, delays, events)
    return noise + speckle[:, None], speckle > noise[:, often].mean(axis=1)


def _least(values, where):
    """Return the least of each row at some delays, (C,); infinite where there is none."""
    return np.where(where & np.isfinite(values), values, np.inf).min(axis=1, initial=np.inf)


def _speckle(excess, error, counts, delays, events, own=True):
    """Return the integral of the correlation over the run, (C,), by the exponential that fits best.

    By the mean of each element (`own`) c exp(-d / l) becomes c (exp(-d / l) - s), s its part in the mean; by
    that of many c exp(-d / l) and a constant. A longer l than the run is not told from it: it counts as that.
    """
    most = counts[delays > 0].max(initial=0)
    if not most:
        return np.zeros(len(excess))
    length = events**2 / most  # [pulses]: n pairs of N events at a short delay
    weight = np.where(np.isfinite(excess) & (error > 0) & (delays > 0), 1 / np.maximum(error, 1e-9) ** 2, 0)
    excess = np.where(weight > 0, excess, 0)
    first = delays[delays > 0].min()
    lags = np.geomspace(min(first, length) / 2, length, _RATES)
    part = 2 * lags / length * (1 - lags / length * (1 - np.exp(-length / lags)))
    shape = np.exp(-delays / lags[:, None]) - part[:, None] * own
    along, square = (weight * excess) @ shape.T, weight @ (shape**2).T
    if not own:  # what is left of both beside a constant
        whole, sums = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300), weight @ shape.T
        along = along - (weight * excess).sum(axis=1, keepdims=True) * sums / whole
        square = square - sums**2 / whole
    contrast = np.where((along > 0) & (square > 0), along / np.where(square > 0, square, 1), 0)
    gain = contrast * along
    best = np.argmax(gain >= gain.max(axis=1, keepdims=True) - 1, axis=1)
    rows = np.arange(len(excess))
    seen = gain[rows, best] > 9 * len(delays)  # points at neighbouring delays scatter together
    return np.where(seen, contrast[rows, best] * part[best], 0)


def sentence(bias, colors, left_out, elements, normalization):
    """Say what is wrong, in one sentence; empty where nothing is to be seen.

    Parameters
    ----------
    bias : Bias
    colors : (C,) int64
    left_out, elements : (C, D) int64
        Of the curves.
    normalization : str
    """
    said, error = [], np.nan_to_num(bias.error)
    if error.size:  # of a few elements a single point's error may be small by chance
        error = np.maximum(error, np.median(error, axis=1, keepdims=True))
    for sizes, least, say in ((bias.low, SAID_LOW, _too_low), (bias.high, SAID_HIGH, _too_high)):
        with np.errstate(invalid="ignore"):
            seen = np.where((sizes > error) & (sizes >= least), sizes, 0)
        worst = seen.max(axis=1, initial=0)
        if not worst.any():
            continue
        c = int(np.argmax(worst))
        also = np.count_nonzero(worst) - 1
        which = f"of colour {colors[c]}" + (f" (and of {also:,} more, less)" if also else "")
        said.append(say(bias, c, which, f"{100 * worst[c]:.2g}%", left_out, elements))
    return f"normalization {normalization!r}: {'; '.join(said)}" if said else ""


def _too_low(bias, c, which, size, left_out, elements):
    if bias.sharing[c] >= 1.5:
        few = f"only about {bias.sharing[c]:.0f} elements share a mean"
        return f"g2 {which} may be too low by up to {size}: {few}, which follows the fluctuations to be measured"
    why = "the run has few correlation times"
    if not bias.fluctuating[c]:
        why = "few photons, or noise"
        if np.isfinite(bias.intensity[c]):
            why += f": an intensity of about {bias.intensity[c]:.3g} per element in all the run"
    out, of = int(left_out[c].max(initial=0)), int((left_out + elements)[c].max(initial=0))
    more = f"; up to {out:,} of its {of:,} elements are left out, without intensity" if out else ""
    return (
        f"g2 {which} is too low by about {size}: each element is divided by its own mean, which follows the "
        f"fluctuations to be measured ({why}){more}; 'color', or 'finecolor' with a fine colour file, divides by the "
        "mean of many"
    )


def _too_high(bias, c, which, size, left_out, elements):
    return (
        f"g2 {which} may be too high by up to {size}, at all delays: elements that share a mean differ in intensity, "
        "by their light or by slow speckle; 'finecolor' with fine colours of even light, or 'pixel' in a long run, "
        "has less of it"
    )
