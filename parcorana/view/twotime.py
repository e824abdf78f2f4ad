"""Pictures of two-time correlations."""

import numpy as np

from parcorana.view.library import CenteredNorm

#: Of a figure [inches].
SIZE = (13, 10)
_DRAWN = 3  # colours, of which each has a map
_BANDS = 3  # of age, for cuts


def draw_two_time(figure, result, colors=None):
    """Draw the matrix of each colour, cuts along its diagonals, and g2 of bands of age.

    Parameters
    ----------
    figure : matplotlib Figure
    result : parcorana.results.twotime.TwoTimeResult
    colors : list of int, optional
        Those to draw; the first three without it.
    """
    chosen = [c for c in result.maps if colors is None or c in colors][:_DRAWN]
    more = len(result.maps) - len(chosen)
    title = f"{result.label}: two-time correlation, {result.processed:,} events processed"
    figure.suptitle(title + (f"; {more:,} more colours are not drawn (--colors)" if more and colors is None else ""))
    if not chosen or not len(result.ages):
        figure.text(0.5, 0.5, "no colour, or no event", ha="center")
        return
    for axes, color in zip(figure.subplots(len(chosen), 2, squeeze=False), chosen, strict=True):
        _draw_map(figure, axes[0], result, color)
        _draw_cuts(axes[1], result, color)


def _draw_map(figure, axes, result, color):
    matrix = result.maps[color]
    values = matrix[np.isfinite(matrix)]
    # the scale goes by most values, not by the few largest
    low, high = np.percentile(values, (1, 99)) if len(values) else (1, 1)
    off = max(abs(low - 1), abs(high - 1), 1e-6)
    norm = CenteredNorm(1, off)  # a colour as far from 1 above as below
    first, last = result.ages[0], result.ages[-1] + result.width
    drawn = axes.imshow(
        matrix.T, origin="lower", cmap="RdBu_r", norm=norm, interpolation="none", extent=(first, last, first, last)
    )
    figure.colorbar(drawn, ax=axes, label="C(t1, t2)", extend="both")
    known = result.stands_for.get(color)
    axes.set(xlabel="t1 [pulses]", ylabel="t2 [pulses]", title=f"colour {color}{', ' * bool(known)}{known or ''}")
    _add_seconds(axes, result, axes.secondary_yaxis("right"), axes.yaxis)


def _add_seconds(axes, result, seconds, axis):
    """Say seconds beside pulses."""
    ticks = [tick for tick in axis.get_ticklocs() if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]
    seconds.set_yticks(ticks, [f"{tick / result.rate:.3g} s" for tick in ticks], fontsize=8)


def _draw_cuts(axes, result, color):
    first, last = result.ages[0], result.ages[-1] + result.width
    edges = np.linspace(first, last, _BANDS + 1)
    for k in range(_BANDS):
        band = edges[k], edges[k + 1] - 0.5
        delays, g2 = result.cut(color, band)
        said = f"{band[0] / result.rate:.3g} to {edges[k + 1] / result.rate:.3g} s"
        (line,) = axes.plot(delays[1:], g2[1:], lw=1, label=f"age {said}")
        mine = (result.ages >= band[0]) & (result.ages <= band[1])
        part = result.g2[color][mine]
        with np.errstate(invalid="ignore"):
            number = np.isfinite(part).sum(axis=0)
            mean = np.nansum(part, axis=0) / np.where(number, number, np.nan)
        axes.plot(result.delays, mean, "o", ms=3.5, mfc="none", color=line.get_color())
    if color in result.mean:
        mean, error = result.mean[color], result.error[color]
        axes.errorbar(result.delays, mean, error, fmt="k_", lw=1, capsize=2, label="all ages, with standard error")
    axes.set(xscale="log", xlabel="delay [pulses]", ylabel="g\u2082")
    axes.set_title("lines: cuts of the map; circles, bars: g2 by age and delay", fontsize=9)
    axes.axhline(1, color="0.6", lw=0.7)
    rate = result.rate
    axes.secondary_xaxis("top", functions=(lambda d: d / rate, lambda s: s * rate)).set_xlabel("delay [s]", fontsize=8)
    axes.legend(fontsize=8)
