"""Delay curves of pulsed sources, divided by the g2 of the pulses: docs/definitions.md, "Pulsed sources"."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.sums import Curve

_POINTS = 4  # delays that tell whether one curve follows another
_LEAST = 0.02  # of g2 - 1, below which nobody needs to know
_CHANCE = 2.5  # over the changes of a run: with N speckles chance is 1.5 sqrt(part / changes)
_UNEXPLAINED = 0.5  # of the square of what is seen, that may be something else


@dataclass(frozen=True)
class FrameNorm:
    """What curves were divided by.

    Attributes
    ----------
    name : str
        A value of the events, 'mean' or 'color'.
    g2 : (S, D) float64
        Of the series: one for all, or one of each colour.
    before : Curve
        The curves as they were, (C, D).
    doubt : str
        What it gets wrong; empty if nothing is seen.
    """

    name: str
    g2: NDArray[np.float64]
    before: Curve
    doubt: str = ""

    @property
    def of_colors(self) -> bool:
        """Whether each colour has a series of its own."""
        return self.name == "color"


def divide(
    curve: Curve,
    name: str,
    g2: NDArray[np.float64],
    colors: NDArray[np.int64],
    about: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> tuple[Curve, FrameNorm]:
    """Divide curves by the g2 of a series.

    Parameters
    ----------
    curve : Curve
        (C, D).
    name : str
        Of the series: a value, 'mean' or 'color'.
    g2 : (1, D) or (C, D) float64
        Of one series, or of that of each colour. Of all colours' mean one may follow, (C + 1, D).
    colors : (C,) int64
    about : ((C,) int64, (D,) int64, (D,) int64), optional
        Elements of each colour, delays, counts of pairs: with them it is told what comes of the speckles.
    """
    of_colors = name == "color"
    divisor = g2[: len(colors)] if of_colors else g2
    good = np.where(divisor > 0, divisor, np.nan)
    divided = replace(curve, g2=curve.g2 / good, error=curve.error / good)
    if curve.deviations is not None:
        divided = replace(divided, deviations=np.nan_to_num(curve.deviations / good[:, None, :]))
    doubt = ""
    if of_colors and about is not None and len(colors):
        doubt = sentence(colors, of_speckles(divided, g2, *about))
    return divided, FrameNorm(name, divisor, curve, doubt)


def g2_of(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return g2 of each series, (S, D): n G2 / (IP IF), NaN without pairs or light; `sums` (3, S, D)."""
    G2, IP, IF = sums
    bottom = IP * IF
    return np.divide(counts * G2, bottom, out=np.full(G2.shape, np.nan), where=(counts > 0) & (bottom > 0))


def of_speckles(
    divided: Curve,
    g2: NDArray[np.float64],
    sizes: NDArray[np.int64],
    delays: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the part of g2 - 1 that each colour loses because its mean follows its own speckles, (C,); else 0.

    The mean of N speckles has itself a g2 - 1 of one N-th of theirs. What the
    beam does, all colours do: it is in the g2 of their mean, and their own
    speckles less so the more colours there are. Of a single colour it can
    only be seen that its mean and its elements decay alike.

    Parameters
    ----------
    divided : Curve
        (C, D).
    g2 : (C, D) or (C + 1, D) float64
        Of the means of the colours, and of all together.
    sizes : (C,) int64
        Elements of each colour.
    delays, counts : (D,) int64
        [pulses], pairs of each.
    """
    count = len(divided.g2)
    own = g2[:count] - 1
    if count > 1:
        rest = 1 - sizes / max(sizes.sum(), 1)
        own = (g2[:count] - g2[count]) / np.maximum(rest, 1e-9)[:, None]
    found = np.zeros(count)
    for c, (x, y) in enumerate(zip(divided.g2 - 1, own, strict=True)):
        good = np.isfinite(x) & np.isfinite(y)
        if np.count_nonzero(good) < _POINTS:
            continue
        x, y = x[good], y[good]
        half = delays[good][np.argmax(x <= x[0] / 2)] if (x <= x[0] / 2).any() else delays[good][-1]
        times = counts.max() / (2 * max(int(half), 1))  # that speckles changed in: few make chance look like a part
        slope = (x @ y) / max(x @ x, 1e-300)
        if slope >= max(_LEAST, _CHANCE / times) and np.square(y - slope * x).sum() <= _UNEXPLAINED * (y @ y):
            found[c] = slope / (1 + slope)
    return found


def sentence(colors: NDArray[np.int64], parts: NDArray[np.float64]) -> str:
    """Return what the file and the log say of colours whose mean follows their speckles; empty if there are none."""
    which = np.flatnonzero(parts > 0)
    if not len(which):
        return ""
    which = which[np.argsort(-parts[which], kind="stable")]
    listed = ", ".join(f"{colors[c]} ({parts[c]:.0%})" for c in which[:10]) + ", ..." * (len(which) > 10)
    return (
        f"frame_norm 'color': the mean intensity of {len(which)} of {len(colors)} colours follows their own few "
        f"speckles, and dividing by its g2 lowers g2 - 1 by about the part in brackets: colour {listed}; take a "
        "monitor, 'mean', or colours of more elements"
    )
