"""Panels of what goes on over the time of a run: intensity, values of the events."""

import numpy as np

from parcorana.page.frames import add_top_axis, frame, hexes, only_chosen, say, say_title, source
from parcorana.view.monitors import PAINTS

MONITORS = 8  # values of events that are drawn
_TIME = "time since the first event [s]"


class Intensity:
    """Mean intensity of each colour.

    Parameters
    ----------
    chosen : CheckboxGroup
    """

    def __init__(self, chosen):
        self.figure = frame("Intensity", _TIME, "mean intensity [as stored]", height=320)
        self._lines = source("xs", "ys", "color", "paint")
        view = only_chosen(self._lines, chosen)
        self.figure.multi_line("xs", "ys", source=self._lines, view=view, color="paint", line_width=1.5)
        self._scale = add_top_axis(self.figure, "[pulses]", log=False)

    def show(self, result):
        """Show the intensity of a `Result`."""
        self._scale(result.rate)

    def fill(self, data):
        """Take what `intensity_data` made."""
        self._lines.data = data


def intensity_data(result, colors):
    """Return the columns; None where there is no intensity."""
    if not result.intensity or not len(result.seconds):
        return None
    paint, colors = hexes(result.curves), [color for color in colors if color in result.intensity]
    return {
        "xs": [result.seconds] * len(colors),
        "ys": [result.intensity[color].astype(float) for color in colors],
        "color": colors,
        "paint": [paint[color] for color in colors],
    }


class Monitor:
    """One value of the events: mean of each stretch, and from the smallest to the largest."""

    def __init__(self):
        self.figure = frame("", _TIME, "", height=240)
        self._points = source("x", "mean", "low", "high")
        self.figure.varea("x", "low", "high", source=self._points, color=PAINTS[0], alpha=0.25)
        self.figure.line("x", "mean", source=self._points, color=PAINTS[0], line_width=1.5)

    def show(self, name, is_norm, limits):
        """Name it."""
        told = ["frame_norm divides by it"] if is_norm else []
        if limits is not None and np.isfinite(limits).any():
            low, high = (f"{limit:g}" if np.isfinite(limit) else "any" for limit in limits)
            told.append(f"select: {low} to {high}")
        more = f" ({', '.join(told)})" if told else ""
        say_title(self.figure, f"{name}{more}: line mean, band smallest to largest")
        say(self.figure.yaxis[0].axis_label, f"{name} [as in the data]")

    def fill(self, data):
        """Take what `monitor_data` made."""
        self._points.data = data


def monitor_data(found, rate):
    """Return the columns of a `Distribution`."""
    middle = (found.first + found.last) / 2 / (rate or 1)
    order = np.argsort(middle)
    return {
        "x": middle[order], "mean": found.mean[order].astype(float),
        "low": found.minimum[order].astype(float), "high": found.maximum[order].astype(float),
    }  # fmt: skip
