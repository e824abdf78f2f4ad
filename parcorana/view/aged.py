"""A picture of aged curves: a line for each stretch of the run."""

import numpy as np

from parcorana.view.library import LinearSegmentedColormap, Normalize, ScalarMappable
from parcorana.view.pictures import PALETTE, delay_axis, on_log_axis

_PANELS = 6  # colours
_LINES = 60  # stretches
#: Dark to bright with age, without the yellow that is lost on white.
_PAINT = LinearSegmentedColormap.from_list("aged", ["#440154", "#31688e", "#35b779", "#e0a800"])


def size_of(aged, colors=None):
    """Return the size of the figure [inches]."""
    down, across = _grid(len(_chosen(aged, colors)))
    return 2 + 5.5 * across, 1.2 + 3.8 * down


def draw_aged(figure, aged, colors=None):
    """Draw g2 over the delay, a panel for each colour, a line for each stretch of the run.

    Parameters
    ----------
    figure : matplotlib Figure
    aged : parcorana.results.aged.AgedCurves
    colors : list of int, optional
        Those to draw; some without it.
    """
    chosen = _chosen(aged, colors)
    some = aged.stretches
    if len(some) > _LINES:
        some = [some[k] for k in np.linspace(0, len(some) - 1, _LINES).astype(int)]
    ages = np.array([stretch.middle for stretch in some]) / aged.rate
    norm = Normalize(ages.min(), ages.max() if ages.max() > ages.min() else ages.min() + 1)
    places, note = on_log_axis(aged.delays)
    notes, panels = [], figure.subplots(*_grid(len(chosen)), squeeze=False).ravel()
    for axes in panels[max(len(chosen), 1) :]:
        axes.set_axis_off()
    for axes, color in zip(panels, chosen, strict=False):
        for stretch, age in zip(some, ages, strict=True):
            axes.plot(places, stretch.curves[color], ".-", color=_PAINT(norm(age)), ms=4, lw=1)
        axes.set(ylabel="g\u2082", title=_name(aged, color))
        delay_axis(axes, aged.rate, note=note)
        none = sum(not np.isfinite(stretch.curves[color]).any() for stretch in aged.stretches)
        if none:
            notes.append(f"colour {color}: {none:,} of {len(aged.stretches):,} stretches have no curve")
    if notes:
        why = "for there elements saturated, or there are no pairs"
        figure.supxlabel(f"{'; '.join(notes)}: {why}", fontsize=8, color=PALETTE[1], x=0.02, ha="left")
    if not chosen:
        panels[0].text(0.5, 0.5, "no colour", ha="center", transform=panels[0].transAxes)
    bar = figure.colorbar(ScalarMappable(norm, _PAINT), ax=panels.tolist(), label="age: middle of the stretch [s]")
    rate = aged.rate
    bar.ax.secondary_yaxis("left", functions=(lambda s: s * rate, lambda p: p / rate)).set_ylabel("[pulses]")
    figure.suptitle(_title(aged, some, chosen), fontsize=11)


def _chosen(aged, colors):
    some = [c for c in aged.colors if colors is None or c in colors]
    if colors is None and len(some) > _PANELS:
        some = [some[k] for k in np.linspace(0, len(some) - 1, _PANELS).astype(int)]
    return some


def _grid(panels):
    across = min(max(panels, 1), 3 if panels > 4 else 2)
    return -(-max(panels, 1) // across), across


def _name(aged, color):
    known = "" if aged.table is None else aged.table.name(color).replace("1/angstrom", "1/\u00c5")
    return f"colour {color}{', ' * bool(known)}{known}"


def _title(aged, some, chosen):
    first, last = aged.stretches[0], aged.stretches[-1]
    title = f"{aged.label}: curves of {len(aged.stretches):,} stretches, {first.since:,} to {last.processed:,} events"
    said = [f"normalization: {aged.normalization}"]
    said += [f"frame_norm: {aged.frame_norm}"] * bool(aged.frame_norm)
    if len(some) < len(aged.stretches):
        said.append(f"{len(some):,} of {len(aged.stretches):,} stretches drawn")
    if len(chosen) < len(aged.colors):
        said.append(f"{len(chosen):,} of {len(aged.colors):,} colours drawn")
    return f"{title}\n{'; '.join(said)}"
