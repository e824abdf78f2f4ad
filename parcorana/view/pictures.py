"""Pictures of masks, colours and results: matplotlib, and nothing else knows of it."""

import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from parcorana.curves.fits import said_of
from parcorana.errors import without_middle
from parcorana.files.aside import written
from parcorana.view.library import Figure, ListedColormap, LogNorm, MaxNLocator, Normalize, Patch, matplotlib, windows
from parcorana.view.names import check_picture_name
from parcorana.view.texts import cut, plain, take_as_they_are

# Okabe and Ito's palette: told apart by colour-blind readers too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE = {
    "font.size": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "legend.frameon": False,
    "text.usetex": False,
}
_LEAST = float(np.finfo(np.float64).tiny)  # below it logarithms of a scale lose their digits
_NAMED = 14  # colours of an image that a legend names one by one
_DRAWN = 24  # delay curves that a legend beside them has room for


@contextmanager
def shown(path, size=(11, 8), streams=True):
    """Give a figure to draw in; then save it, or show it in a window if `path` is None.

    A picture appears all at once, so that who watches it never sees half of it. `streams` is that of `written`.

    Raises
    ------
    ConfigError
        Another suffix, no such folder, or no display for a window.
    """
    with matplotlib.rc_context(STYLE):
        if path is None:
            pyplot = windows()
            yield (figure := pyplot.figure(figsize=size, layout="constrained"))
            take_as_they_are(figure)
            pyplot.show()
            return
        check_picture_name(path)
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        take_as_they_are(figure)
        with written(path, streams) as file:
            figure.savefig(file, dpi=120, format=Path(path).suffix[1:])


def paints(colors):
    """Return a paint for each colour, in order: a palette for a few, a gradient for many."""
    colors = sorted(colors)
    if len(colors) <= len(PALETTE):
        return dict(zip(colors, PALETTE, strict=False))
    gradient = matplotlib.colormaps["turbo"](np.linspace(0.03, 0.97, len(colors)))
    return dict(zip(colors, map(tuple, gradient), strict=True))


def scale_of(values):
    """Return the ends of an image's scale, without outliers, and whether it is logarithmic: over more than a decade."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0, False
    low, high = map(float, np.percentile(values, (1, 99.5)))
    positive = values[values > 0]
    floor = max(float(np.percentile(positive, 1)), high / 1e4) if len(positive) else high
    if high > 10 * max(low, 0) and _LEAST <= floor < high:
        return floor, high, True
    return low, high if high > low else low + max(1.0, abs(low) / 1000), False


def brightness(values):
    """Return how to scale an image: logarithmic if it goes over more than a decade, without its outliers."""
    low, high, log = scale_of(values)
    return LogNorm(low, high, clip=True) if log else Normalize(low, high, clip=True)


# -- masks and colours ---------------------------------------------------------


def draw_elements(figure, kind, image, average, covered, title, scaled=None, note="", names=str):
    """Draw one of the tool's files over the average.

    Parameters
    ----------
    figure : matplotlib Figure
    kind : {'mask', 'testmask', 'color', 'finecolor', 'avg'}
    image : 2-D array
    average : 2-D float array or None
        NaN is left blank.
    covered : 2-D bool array
        Where there is an element.
    title : str
    scaled : 2-D bool array, optional
        What of the average its scale goes by; all that is covered without it.
    note : str, optional
        Further lines of the title, each after a line break.
    names : callable, optional
        Takes a colour's number, returns what the legend says of it.
    """
    scaled = covered if scaled is None else scaled
    axes = figure.add_subplot()
    axes.set(xlabel="column of the image", ylabel="row of the image")
    if kind == "avg":
        _image(figure, axes, image, covered, "mean intensity", "viridis", scaled)
        axes.set_title(f"{title}{note}")
        return
    if average is not None:
        shown_average = np.ma.masked_invalid(np.ma.masked_array(average, ~covered))
        axes.imshow(shown_average, cmap="gray", norm=brightness(average[scaled]), interpolation="none")
    else:
        axes.imshow(np.ma.masked_array(np.ones(image.shape), ~covered), cmap="gray", vmin=0, vmax=2)
    if kind == "mask":
        number = np.count_nonzero(image[covered])
        _overlay(axes, covered & (image == 0), "#D55E00", 0.65)
        figure.legend(handles=[Patch(color="#D55E00", alpha=0.65, label="left out")], loc="outside right upper")
        axes.set_title(f"{title}: {number:,} of {np.count_nonzero(covered):,} pixels to process{note}")
    elif kind == "testmask":
        rows, columns = np.nonzero(image)
        axes.scatter(columns, rows, s=90, facecolors="none", edgecolors="#D55E00", linewidths=1.5)
        axes.set_title(f"{title}: {len(rows)} pixels, in circles{note}")
    else:
        _color_overlay(figure, axes, image, names=names)
        number = np.unique(image[image > 0])
        none = np.count_nonzero(covered & (image == 0))
        axes.set_title(f"{title}: {len(number)} colours, {none:,} pixels in none{note}")


_OUTSIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}


def _overlay(axes, where, paint, alpha):
    axes.imshow(np.ma.masked_array(np.ones(where.shape), ~where), cmap=ListedColormap([paint]), alpha=alpha,
                interpolation="none")  # fmt: skip


def _color_overlay(figure, axes, image, alpha=0.6, names=str):
    numbers = np.unique(image[image > 0])
    if not len(numbers):
        return
    paint = paints(numbers)
    index = np.searchsorted(numbers, image)
    overlay = np.ma.masked_array(index, image <= 0)
    colormap = ListedColormap([paint[c] for c in numbers])
    drawn = axes.imshow(overlay, cmap=colormap, vmin=-0.5, vmax=len(numbers) - 0.5, alpha=alpha, interpolation="none")
    if len(numbers) <= _NAMED:
        handles = [Patch(color=paint[c], alpha=alpha, label=_in_angstrom(names(c))) for c in numbers]
        axes.legend(handles=handles, title="colour", **_OUTSIDE)
    else:
        bar = figure.colorbar(drawn, ax=axes, shrink=0.8, label="colour")
        ticks = np.unique(np.linspace(0, len(numbers) - 1, 8).astype(int))
        bar.set_ticks(ticks, labels=[plain(_in_angstrom(names(numbers[k]))) for k in ticks])


def _image(figure, axes, image, covered, label, colormap, scaled=None):
    values = np.ma.masked_invalid(np.ma.masked_array(image, ~covered))
    norm = brightness(values.compressed() if scaled is None else image[scaled])
    drawn = axes.imshow(values, cmap=colormap, norm=norm, interpolation="none")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label=label)


# -- results -------------------------------------------------------------------


def on_log_axis(delays):
    """Return where delays are drawn, and what to say of it: half of the next one stands for delay 0."""
    if not len(delays) or delays[0] > 0:
        return delays, ""
    place = delays[1] / 2 if len(delays) > 1 else 0.5
    return np.maximum(delays, place), f"; 0 is drawn at {place:g}"


def delay_axis(axes, rate, above=None, note=""):
    """Make the x axis logarithmic, in pulses, with seconds at the top: of `above`, if that shares the axis."""
    axes.set_xscale("log")
    axes.set_xlabel(f"delay [pulses]{note}")
    seconds = (above or axes).secondary_xaxis("top", functions=(lambda d: d / rate, lambda s: s * rate))
    seconds.set_xlabel("delay [s]")
    for axis in (axes.xaxis, seconds.xaxis):
        axis.set_major_formatter("{x:g}")


def draw_curves(axes, results, colors=None):
    """Draw delay curves, of several results over each other, with their error bands and fits.

    Parameters
    ----------
    axes : matplotlib Axes
    results : list of parcorana.results.reading.Result
    colors : sequence of int, optional
        Those to draw; all without it.
    """
    number, paint, every = _chosen([result.curves for result in results], colors)
    drawn, note = False, ""
    # of the first result every colour has a line in the legend, of the others those with a fit
    listed = number[:: -(-len(number) * max(1, sum(bool(result.fits) for result in results)) // _DRAWN) or 1]
    for k, result in enumerate(results):
        dots, line = MARKS[k % len(MARKS)]
        places, said = on_log_axis(result.delays)
        note = note or said
        for c in number:
            curve, fit = result.curves.get(c), result.fits.get(c)
            if curve is None:
                continue
            label = _label(result, c) if c in listed and (k == 0 or c in result.fits) else None
            if not np.isfinite(curve.g2).any():
                axes.plot([], [], dots, color=paint[c], ms=3.5, lw=1, label=label)
                continue
            drawn = True
            _draw_frame_norm(axes, result, c, places, paint[c])
            good = np.isfinite(curve.error)
            if good.any():
                band = [np.where(good, curve.g2 + sign * curve.error, np.nan) for sign in (-1, 1)]
                axes.fill_between(places, *band, color=paint[c], alpha=0.25, linewidth=0)
            axes.plot(places, curve.g2, dots, color=paint[c], ms=3.5, lw=1, label=label,
                      linestyle="none" if fit is not None and fit.ok else line)  # fmt: skip
            if fit is not None and fit.ok:
                fine = np.geomspace(result.delays[result.delays > 0][0], result.delays[-1], 300)
                axes.plot(fine, fit.model(fine), line, color=paint[c], lw=1.2)
    axes.set_ylabel("g\u2082")
    if drawn:
        delay_axis(axes, results[0].rate, note=note)
    else:
        axes.text(0.5, 0.5, "no curve: no pairs, or no element with a colour", ha="center", transform=axes.transAxes)
    handles, labels = axes.get_legend_handles_labels()
    if len(results) > 1:
        for k, result in enumerate(results):
            dots, line = MARKS[k % len(MARKS)]
            handles += axes.plot([], [], dots, ls=line, color="0.35", ms=3.5, lw=1)
            labels.append(result.label)
    for style in (_BEFORE, _DIVISOR) if any(result.frame_norm for result in results) else ():
        handles += axes.plot([], [], color="0.35", **style)
        labels.append("without frame_norm" if style is _BEFORE else "g2 of frame_norm")
    title = "normalization: " + ", ".join(sorted({result.normalization for result in results}))
    if names := sorted({result.frame_norm for result in results if result.frame_norm}):
        title += f"\nframe_norm: {', '.join(names)}"
    title += "".join(map(_on_age, results if len(results) == 1 else ()))
    if len(number) < every:
        title += f"\n{len(number):,} of {every:,} colours drawn"
    size = 8 if len(labels) <= _ROOMY else 6
    axes.legend(handles, labels, title=title, fontsize=size, title_fontsize=8, alignment="left", **_OUTSIDE)


def _on_age(result):
    """Return a line on whether g2 changes with age, of a legend; empty where it is not known."""
    found = [p for c, p in result.stationarity.items() if c in result.curves]
    if not found:
        return ""
    return "\ng\u2082 changes with age" if result.changes else f"\nno change with age seen (p \u2265 {min(found):.2g})"


_BEFORE = {"ls": "none", "marker": "x", "ms": 3, "mew": 0.7, "alpha": 0.8}
_DIVISOR = {"ls": ":", "lw": 0.9, "alpha": 0.8}


def _draw_frame_norm(axes, result, color, places, paint):
    """Draw a curve as it was before it was divided, and the g2 that divided it: of all colours in grey."""
    if result.frame_norm:
        axes.plot(places, result.before[color], color=paint, **_BEFORE)
        axes.plot(places, result.divisors[color], color=paint if result.frame_norm == "color" else "0.35", **_DIVISOR)


def _chosen(of_results, colors):
    """Return the colours to draw, the paint of every one, whichever are drawn, and how many there are."""
    number = sorted(set().union(*of_results))
    some = number if colors is None else [c for c in number if c in colors]
    if colors is None and len(some) > _DRAWN:
        some = [some[k] for k in np.linspace(0, len(some) - 1, _DRAWN).astype(int)]
    return some, paints(number), len(number)


_ROOMY = 16  # entries of a legend, of which more want smaller letters
MARKS = (("o", "-"), ("s", "--"), ("^", ":"), ("v", "-."))


def _label(result, color):
    curve, fit = result.curves[color], result.fits.get(color)
    if not np.isfinite(curve.g2).any():
        said = ": " + ("no element has intensity" if curve.left_out.any() else "no element, or no pairs")
    elif fit is None:
        said = ""
    else:
        said = f": {said_of(fit, result.rate, ('exponent',))}"
    return textwrap.fill(cut(_in_angstrom(result.name_of(color)) + said), 38)


def _in_angstrom(text):
    return text.replace("1/angstrom", "1/\u00c5")


def notes_on(result, width=100):
    """Return what a reader of the curves has to know beside them, in lines of so many letters."""
    notes = [text for text in (result.bias, result.changes) if text]
    notes += [f"{result.pulls} (--leverage shows where)"] if result.pulls else []
    none = result.counts == 0
    if none.any():
        which = "all from {:,} pulses on" if (np.diff(none.astype(int)) >= 0).all() else "the first is {:,} pulses"
        which = which.format(result.delays[none][0])
        notes.append(f"{np.count_nonzero(none):,} of {len(none):,} delays have no pairs: {which}")
    return "\n".join(line for note in notes for line in textwrap.wrap(without_middle(note, 2000, 500), width))


def draw_intensity(axes, results, colors=None):
    """Draw the mean intensity of each colour over the time of the run."""
    number, paint, _ = _chosen([result.intensity for result in results], colors)
    for k, result in enumerate(results):
        for c in number:
            if c in result.intensity and len(result.seconds):
                axes.plot(result.seconds, result.intensity[c], MARKS[k % len(MARKS)][1], color=paint[c], lw=0.9,
                          marker="." if len(result.seconds) < 50 else None)  # fmt: skip
    axes.set(xlabel="time since the first event [s]", ylabel="mean intensity")
    if not number:
        axes.text(0.5, 0.5, "not in this file", ha="center", transform=axes.transAxes)


def draw_counts(axes, results):
    """Draw the number of pairs of each delay."""
    for k, result in enumerate(results):
        places, _ = on_log_axis(result.delays)
        axes.plot(places, result.counts, MARKS[k % len(MARKS)][0], color="0.35", ms=3, lw=0.8,
                  linestyle=MARKS[k % len(MARKS)][1])  # fmt: skip
    axes.set(
        xscale="log",
        xlabel="delay [pulses]",
        ylabel="pairs",
        ylim=(0, 1.1 * max(1, *(r.counts.max() for r in results))),
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def draw_account(axes, result):
    """Draw what became of the events, and how many elements are saturated."""
    names = [name for name, count in result.account.items() if name != "read" and (count or name == "processed")]
    counts = [result.account[name] for name in names]
    axes.barh(names, counts, color=["#009E73" if name == "processed" else "#D55E00" for name in names], height=0.6)
    for y, count in enumerate(counts):
        axes.annotate(f" {count:,}", (count, y), va="center", fontsize=9)
    axes.set(xlim=(0, max(1, *counts) * 1.3), ylim=(max(len(names), 3) - 0.4, -0.6), xticks=[])
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(left=False)
    read, elements = result.account.get("read", 0), np.count_nonzero(result.mask)
    saturated = np.count_nonzero(result.saturated)
    title = f"{read:,} events read; {saturated:,} of {elements:,} elements saturated"
    if result.processed != result.account.get("processed"):
        title = f"whole run: {read:,} events read; until then {saturated:,} of {elements:,} elements saturated"
    axes.set_title(title, fontsize=10, loc="left")


def draw_map(figure, axes, image, covered, label):
    """Draw an array of the detector's shape, laid out as an image; NaN is left blank."""
    if label in ("color", "finecolor"):
        _color_overlay(figure, axes, np.nan_to_num(image).astype(np.int64), alpha=1)
    elif label in ("saturated", "mask"):
        marked = image == (0 if label == "mask" else 1)  # orange is what is not as the others, in every picture
        _overlay(axes, covered & ~marked, "0.85", 1)
        _overlay(axes, covered & marked, PALETTE[1], 1)
        number = f"{np.count_nonzero(covered & (image == 1)):,} pixels"
        title = f"mask: {number} processed, those left out marked" if label == "mask" else f"{label}: {number}, marked"
        axes.set_title(title, fontsize=10)
    else:
        _image(figure, axes, image, covered, "", "viridis")
    if label not in ("saturated", "mask"):
        axes.set_title(label, fontsize=10)
    axes.set(xlabel="column of the image", ylabel="row of the image")


def draw_result(figure, results, colors=None, maps=()):
    """Draw everything of one result, or several over each other.

    Parameters
    ----------
    figure : matplotlib Figure
    results : list of parcorana.results.reading.Result
    colors : sequence of int, optional
    maps : sequence of (image, covered, label)
    """
    across = 0 if not maps else 1 + (len(maps) > 2)
    parts = figure.subfigures(1, 3 if maps else 2, width_ratios=(1.6, 1, across)[: 3 if maps else 2])
    draw_curves(parts[0].add_subplot(), results, colors)
    if notes := "\n".join(filter(None, map(notes_on, results))):
        parts[0].supxlabel(notes, fontsize=8, color=PALETTE[1], x=0.02, ha="left")
    intensity, counts, account = parts[1].subplots(3, 1, height_ratios=(1, 1, 0.8))
    draw_intensity(intensity, results, colors)
    draw_counts(counts, results)
    draw_account(account, results[0])
    if maps:
        down = -(-len(maps) // across)
        for k, one in enumerate(maps):
            draw_map(parts[2], parts[2].add_subplot(down, across, k + 1), *one)
    figure.suptitle("\n".join(result.title for result in results), fontsize=11)
