"""A picture of decay times against q."""

import textwrap

import numpy as np

from parcorana.curves.dispersion import fit_dispersion
from parcorana.curves.rounding import with_error
from parcorana.view.pictures import MARKS, PALETTE

# of tau, times the square of a ring's width over its q: what one exponential makes of a ring of even light, at most
WIDE = 0.3


def draw_tau_q(axes, results):
    """Draw the decay times of the fits against q, with the power law; return a line of text on each result.

    Parameters
    ----------
    axes : matplotlib Axes
    results : list of parcorana.results.reading.Result
        With fits, and a table of q.
    """
    said = []
    for k, result in enumerate(results):
        q, tau, error = times_of(result)
        dots, line = MARKS[k % len(MARKS)]
        paint = PALETTE[k % len(PALETTE)]
        axes.errorbar(
            q, tau, error, fmt=dots, color=paint, ms=4, lw=1, label=result.label if len(results) > 1 else None
        )
        found, text = power_law(result)
        if found is not None:
            ends = np.geomspace(q.min(), q.max(), 100)
            axes.plot(ends, found.tau(ends), line, color=paint, lw=1.2)
        said.append(f"{result.label}: {text}")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="q [1/\u00c5]",
        ylabel="\u03c4 [s]",
        title="\n".join(textwrap.fill(text, 60) for text in said),
    )
    if len(results) > 1:
        axes.legend(fontsize=8)
    return said


def power_law(result):
    """Fit a power law to the decay times of a result against q.

    Parameters
    ----------
    result : parcorana.results.reading.Result
        As of `draw_tau_q`.

    Returns
    -------
    found : parcorana.curves.dispersion.Dispersion or None
        None where there are too few points.
    text : str
        What it says.
    """
    q, tau, error = times_of(result)
    found = fit_dispersion(q, tau, error)
    text = "too few points for a power law"
    if found is not None:
        text = f"\u03c4 ~ q^-n, n = {with_error(found.exponent, found.exponent_err)}"
        if found.is_diffusion:
            text += f"; D = {with_error(found.diffusion, found.diffusion_err)} \u00b5m\u00b2/s for n = 2"
            text += _of_width(result, found)
            text += f" (single rings: {found.lowest:.4g} to {found.highest:.4g})"
        else:
            text += "; no D, for n is not 2"
    if (missing := len(result.fits) - len(q)) > 0:
        text += f"; {missing} of {len(result.fits)} rings have no fit"
    if doubtful := sum(bool(fit.doubt) for fit in result.fits.values()):
        text += f"; {doubtful} of {len(result.fits)} fits are doubtful"
    if any(fit.kind == "double" for fit in result.fits.values()):
        text += "; of two decays the fast one"
    return found, text


def _of_width(result, found):
    """Say by how much D may be off for the width of the rings, if that is more than its error."""
    good, tau, error = _good(result)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = (tau / error) ** 2
    widths = result.table.widths(good)
    known = np.isfinite(widths) & np.isfinite(weights)
    part = WIDE * np.average(widths[known] ** 2, weights=weights[known]) if weights[known].sum() > 0 else 0.0
    if part * found.diffusion <= found.diffusion_err:
        return ""
    return f", off by up to {part:.1%} for rings that wide: take more of them"


def _good(result):
    """Return the colours that have a fit, their decay times and the errors of these [pulses]."""
    good = [color for color, fit in result.fits.items() if fit.ok]
    return good, *(np.array([getattr(result.fits[c], name) for c in good], float) for name in ("tau", "tau_err"))


def times_of(result):
    """Return q [1/angstrom], decay times and their errors [s] of the colours that have a fit, and a q above 0."""
    good, tau, error = _good(result)
    q = result.table.q(good)
    known = np.isfinite(q) & (q > 0)
    return q[known], tau[known] / result.rate, error[known] / result.rate
