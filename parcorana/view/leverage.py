"""A picture of leverage: where the elements are that pull delay curves, and how much they do."""

import numpy as np

from parcorana.view.library import LogNorm
from parcorana.view.pictures import PALETTE

SIZE = (13, 7)
_BARS = 24  # elements


def draw_leverage(figure, found, layout, mask, title):
    """Draw the map, with the listed elements in circles, and the list as bars.

    Parameters
    ----------
    figure : matplotlib Figure
    found : parcorana.results.leverage.Leverage
    layout : parcorana.detector.images.Layout
    mask : (detector's shape) bool
    title : str
    """
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1))
    _draw_map(left, found, layout, mask)
    _draw_list(right.add_subplot(), found)
    figure.suptitle(title, fontsize=11)


def _draw_map(figure, found, layout, mask):
    axes = figure.add_subplot()
    covered = layout.covered() & (layout.image(mask.astype(float)) == 1)
    values, what = found.map_over_error, "|change of g2| / error"
    if values is None:
        axes.imshow(np.ma.masked_array(np.ones(covered.shape), ~covered), cmap="gray", vmin=0, vmax=1.3)
        axes.set_title("where they are; full arrays, and so a map, are in other updates", fontsize=10)
    else:
        image = np.abs(layout.image(np.where(mask, values, 0.0)))
        image = np.ma.masked_invalid(np.ma.masked_array(image, ~covered | (image == 0)))
        low, top = (float(np.quantile(image.compressed(), q)) for q in (0.25, 1)) if image.count() else (0.1, 1.0)
        norm = LogNorm(low, top if top > low else 2 * low, clip=True)
        drawn = axes.imshow(image, cmap="viridis", norm=norm, interpolation="none")
        figure.colorbar(drawn, ax=axes, shrink=0.8, label=what)
        axes.set_title("change of its colour's g2 without the element, where that is most", fontsize=10)
    rows, columns = (index[tuple(found.indices.T)] for index in (layout.iX, layout.iY))
    for which, paint in ((~found.far, "0.6"), (found.far, PALETTE[1])):
        axes.scatter(columns[which], rows[which], s=70, facecolors="none", edgecolors=paint, linewidths=1.2)
    axes.set(xlabel="column of the image", ylabel="row of the image")


def _draw_list(axes, found):
    some = np.arange(min(len(found.elements), _BARS))
    size = np.abs(found.changes_over_error[some])
    axes.barh(some, size, color=[PALETTE[1] if found.far[k] else "0.6" for k in some], height=0.7)
    for k in some:
        axes.annotate(f" {found.changes[k]:+.2g}", (size[k], k), va="center", fontsize=8)
    places = [", ".join(map(str, found.indices[k])) for k in some]
    labels = [f"({place}) colour {found.colors[k]}, delay {found.delays[k]}" for k, place in enumerate(places)]
    axes.set_yticks(some, labels=labels, fontsize=8)
    axes.set(ylim=(max(len(some), 3) - 0.4, -0.6), xlabel="|change of g2| / error of the curve without it")
    if len(some):
        axes.set(xscale="log", xlim=(size.min() / 2, 2 * max(size.max(), 1)))
        axes.axvline(1, color="0.3", lw=0.8, ls=":")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.text(0.5, 0.5, "no element pulls", ha="center", transform=axes.transAxes)
    title = f"the {len(some)} that pull most" + f" of {len(found.elements):,} listed" * (
        len(some) < len(found.elements)
    )
    number = np.count_nonzero(found.far)
    said = f"{number:,} beyond the error and far from others" if number else "none beyond the error and far from others"
    axes.set_title(f"{title}: {said}\nnumbers: change of g2 if it were left out", fontsize=9, loc="right")
