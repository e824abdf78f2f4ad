"""What float32, or a user class, gets wrong on the data at hand, from the intensity of each colour over time."""

import numpy as np

#: Mean intensities between which products of two values, and sums of eight of these, are float32 numbers with all their
#: digits: for values from a thousandth to a thousand times the mean.
SMALLEST, LARGEST = 1e-15, 1e15
#: How much brighter than another one a stretch of the run may be. IP and IF are the sum of everything less that of the
#: pulses without a partner, in float64: beyond this a difference may have lost the digits that 1e-6 needs.
UNEVEN = 1e9
_NAMED = 10  # colours that a sentence names


def doubt(colors, sizes, line, whole):
    """Say which intensities are beyond what float32 storage keeps exact.

    Parameters
    ----------
    colors, sizes : (C,) int64
        And their numbers of included elements.
    line : dict
        As `parcorana.curves.timeline.Timeline.arrays` returns, sums over all workers.
    whole : bool
        Whether the data are whole numbers: then no sum up to 2^53 is rounded.

    Returns
    -------
    str
        A sentence; empty where there is nothing to say.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.abs(line["sums"]) / (line["events"][:, None] * sizes)
    means = np.where(np.isfinite(means) & (means > 0), means, np.nan)
    if not np.isfinite(means).any():
        return ""
    seen = ~np.isnan(means).all(axis=0)
    colors, means = np.asarray(colors)[seen], means[:, seen]
    low, high = np.nanmin(means, axis=0), np.nanmax(means, axis=0)
    said = []
    if (which := np.flatnonzero(high > LARGEST)).size:
        c = which[high[which].argmax()]
        said.append(
            f"the mean intensity of colour {colors[c]} reaches {high[c]:.2g}: products of values above {LARGEST:.0e} "
            f"are too large for the float32 sums of G2; scale the data down, or set store_dtype='float64'"
        )
    if (which := np.flatnonzero(high < SMALLEST)).size:
        c = which[high[which].argmin()]
        said.append(
            f"the mean intensity of colour {colors[c]} is {high[c]:.2g}: products of values below {SMALLEST:.0e} lose "
            f"digits in the float32 sums of G2; scale the data up, or set store_dtype='float64'"
        )
    if not whole and (which := np.flatnonzero(high > UNEVEN * low)).size:
        c = which[(high[which] / low[which]).argmax()]
        said.append(
            f"the brightest stretch of the run is {high[c] / low[c]:.1g} times as bright as the darkest one (colour "
            f"{colors[c]}): with float32 storage IP and IF of delays whose pairs lack the bright pulses may be off by "
            f"more than 1e-6; leave such pulses out (select), or set store_dtype='float64'"
        )
    return "; ".join(said)


def spoiled(colors, line):
    """Say of which colours the intensity is not a number any more.

    What is read is looked at: frames that are not finite are bad events. What a
    user class makes of the values when they are stored is not.

    Parameters
    ----------
    colors : (C,) int64
    line : dict
        As `parcorana.curves.timeline.Timeline.arrays` returns, sums over all workers.

    Returns
    -------
    str
        A sentence; empty where there is nothing to say.
    """
    bad = np.flatnonzero(~np.isfinite(line["sums"]).all(axis=0))
    if not bad.size:
        return ""
    listed = ", ".join(str(colors[c]) for c in bad[:_NAMED]) + ", ..." * (bad.size > _NAMED)
    return (
        f"NaN or infinite values were stored in {bad.size:,} of {len(colors):,} colours ({listed}): adjustData or "
        "adjust of the user class has made or left them; the curves of these colours are NaN, and errors of all may "
        "lack the scatter that colours share; have it leave finite numbers, or leave such events out in finalDataArray"
    )
