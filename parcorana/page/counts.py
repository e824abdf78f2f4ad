"""Panels of photon statistics: how often an element had how many photons, contrast against exposure."""

import numpy as np

from parcorana.curves.contrast import probabilities
from parcorana.page.frames import as_rows, frame, hexes, only_chosen, source

_MARKS = ("circle", "square", "triangle", "inverted_triangle", "diamond")


class Counted:
    """N(k), with the negative binomial of each colour and exposure.

    Parameters
    ----------
    chosen : CheckboxGroup
    """

    def __init__(self, chosen):
        title = "Photon statistics; marks: counted, one kind for each exposure; lines: negative binomial"
        self.figure = frame(title, "photons k", "part of all elements and windows", y_axis_type="log")
        self._points = source("x", "y", "color", "paint", "mark")
        self._lines = source("xs", "ys", "color", "paint")
        view = only_chosen(self._lines, chosen)
        self.figure.multi_line("xs", "ys", source=self._lines, view=view, color="paint")
        view = only_chosen(self._points, chosen)
        self.figure.scatter(
            "x", "y", source=self._points, view=view, color="paint", marker="mark", size=7, fill_alpha=0
        )

    def fill(self, data):
        """Take what `counted_data` made."""
        self._points.data, self._lines.data = data


def counted_data(photons, colors):
    """Return the columns of points and lines."""
    paint = hexes(photons.counts)
    points = {name: [] for name in ("x", "y", "color", "paint", "mark")}
    lines = {name: [] for name in ("xs", "ys", "color", "paint")}
    for color in colors:
        counts = photons.counts[color]
        contrast, mean = photons.numbers["contrast"][color], photons.numbers["mean"][color]
        for s in range(len(photons.exposures)):
            seen, total = np.flatnonzero(counts[s, :-1]), counts[s].sum()
            if not total or not np.isfinite(contrast[s]):
                continue
            row = (seen, counts[s, seen] / total, np.full(len(seen), color))
            row += (np.full(len(seen), paint[color]), np.full(len(seen), _MARKS[s % len(_MARKS)]))
            for name, values in zip(points, row, strict=True):
                points[name].append(values)
            k = np.arange(counts.shape[1] - 1)
            shown = probabilities(mean[s : s + 1], contrast[s : s + 1], len(k) - 1)[0, :-1]
            good = shown >= min(row[1].min(), 1) / 3
            for name, value in zip(lines, (k[good], shown[good], color, paint[color]), strict=True):
                lines[name].append(value)
    return as_rows(points), lines


class Contrast:
    """Contrast against the exposure.

    Parameters
    ----------
    chosen : CheckboxGroup
    """

    def __init__(self, chosen):
        title = "Contrast; x: without the variance of the pulses; bar: twice that of unrelated windows"
        self.figure = frame(title, "exposure [pulses]", "contrast", x_axis_type="log")
        self._points = source("x", "y", "low", "high", "corrected", "unrelated", "color", "paint")
        view = only_chosen(self._points, chosen)
        more = {"source": self._points, "view": view, "color": "paint"}
        self.figure.segment("x", "low", "x", "high", **more)
        self.figure.scatter("x", "y", size=7, **more)
        self.figure.scatter("x", "corrected", marker="x", size=8, **more)
        self.figure.scatter("x", "unrelated", marker="dash", size=14, **more)

    def fill(self, data):
        """Take what `contrast_data` made."""
        self._points.data = data


def contrast_data(photons, colors):
    """Return the columns."""
    paint = hexes(photons.counts)
    points = {name: [] for name in ("x", "y", "low", "high", "corrected", "unrelated", "color", "paint")}
    for color in colors:
        number = {name: photons.numbers[name][color] for name in photons.numbers}
        y, error = number["contrast"], np.where(np.isfinite(number["contrast_err"]), number["contrast_err"], 0)
        row = (photons.exposures.astype(float), y, y - error, y + error, number["contrast_corrected"])
        row += (2 * number["contrast_unrelated"], np.full(len(y), color), np.full(len(y), paint[color]))
        for name, values in zip(points, row, strict=True):
            points[name].append(values)
    return as_rows(points)
