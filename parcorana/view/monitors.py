"""Pictures of what the values of events were: how often, and when."""

import numpy as np

from parcorana.curves.monitor import FILTERED
from parcorana.view.pictures import PALETTE

MOST = 16  # values: more are no picture either
_BARS = 128  # at most: finer ones are no picture
_KINDS = "taken", "left out by select"
PAINTS = PALETTE[0], PALETTE[1]  # of events processed, and of those that select leaves out


def draw_values(figure, distributions, title, ranges=None, rate=None):
    """Draw the course of each value over the run, and beside it how often it was what.

    Parameters
    ----------
    figure : matplotlib Figure
    distributions : dict of str to parcorana.curves.monitor.Distribution
        Of more than `MOST` the first are drawn, and the title says so.
    title : str
    ranges : dict of str to (low, high), optional
        Of `select`; None or infinite where a side is open.
    rate : float, optional
        Pulses per second; without it counters are numbers of events.
    """
    if len(distributions) > MOST:
        rest = [*distributions][MOST:]
        listed = ", ".join(rest[:3]) + ", ..." * (len(rest) > 3)
        title = f"{title}\nthe first {MOST} of {len(distributions):,} values; not drawn: {listed}"
        distributions = dict([*distributions.items()][:MOST])
    axes = figure.subplots(len(distributions), 2, squeeze=False, sharey="row", width_ratios=(2.2, 1))
    for (line, bars), (name, found) in zip(axes, distributions.items(), strict=True):
        _draw_line(line, found, rate)
        _draw_bars(bars, found)
        line.set_ylabel(name)
        for limit in (ranges or {}).get(name, ()):
            if limit is not None and np.isfinite(limit):
                for each in (line, bars):
                    each.axhline(limit, color=PALETTE[1], lw=1, ls="--")
    unit = "event" if rate is None else "time since the first event [s]"
    axes[-1, 0].set_xlabel(f"{unit}; line: mean, band: smallest to largest")
    axes[-1, 1].set_xlabel("events")
    if any(found.counts[FILTERED].any() for found in distributions.values()):
        figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.suptitle(title, fontsize=11)


def _draw_line(axes, found, rate):
    middle = (found.first + found.last) / 2 / (rate or 1)
    if not np.isfinite(found.mean).any():
        axes.text(0.5, 0.5, "no number", ha="center", va="center", transform=axes.transAxes)
        return
    order = np.argsort(middle)
    if (found.events > 1).any():
        axes.fill_between(
            middle[order], found.minimum[order], found.maximum[order], color=PALETTE[0], alpha=0.3, linewidth=0
        )
    axes.plot(middle[order], found.mean[order], ".-" if len(middle) < 100 else "-", color=PALETTE[0], lw=0.8, ms=3)


def _draw_bars(axes, found):
    """Draw a histogram lying on its side, along the axis of the line."""
    each = -(-found.counts.shape[1] // _BARS) or 1  # bins that make a bar
    starts = np.arange(0, found.counts.shape[1], each)
    if len(starts):
        counts = np.add.reduceat(found.counts, starts, axis=1)
        edges = found.edges[np.append(starts, -1)]
        left = np.zeros(len(starts))
        for few, paint, label in zip(counts, PAINTS, _KINDS, strict=True):
            some = few > 0  # an edge makes a bar seen that is thin, as of a constant
            place, size, at = edges[:-1][some], np.diff(edges)[some], left[some]
            axes.barh(place, few[some], size, left=at, align="edge", color=paint, edgecolor=paint, lw=1, label=label)
            left = left + few
    axes.set_xscale("symlog", linthresh=10)  # a few events are seen beside thousands
    axes.set_xlim(left=0)
    special = found.special.sum(axis=0)
    said = [f"{count:,} {what}" for count, what in zip(special, ("NaN", "infinite", "-infinite"), strict=True) if count]
    axes.set_title(", ".join(said), fontsize=8, loc="right")
