"""Panels of curves over the delay: delay curves with fits, pairs, decay times against q, aged curves."""

import numpy as np
from bokeh.models import ColorBar, CustomJSTickFormatter, HoverTool, LinearColorMapper

from parcorana.curves.fits import said_of
from parcorana.curves.rounding import with_error
from parcorana.page.frames import add_top_axis, as_rows, frame, hexes, only_chosen, say, say_title, source
from parcorana.view.pictures import on_log_axis
from parcorana.view.times import power_law, times_of

_NORM = "frame_norm: {} (x: before it, dotted: its g\u2082)"


class Curves:
    """Delay curves with errors and fits.

    Parameters
    ----------
    chosen : CheckboxGroup
    """

    def __init__(self, chosen):
        self.figure = frame("Delay curves", "delay [pulses]", "g\u2082", height=460, x_axis_type="log")
        self._scale = add_top_axis(self.figure, "delay [s]", log=True)
        self._points = source("x", "y", "low", "high", "color", "paint", "name", "seconds", "said")
        self._lines, self._fits = source("xs", "ys", "color", "paint"), source("xs", "ys", "color", "paint")
        self._before = source("x", "y", "color", "paint")
        self._divisors = source("xs", "ys", "color", "paint")
        made, (points, lines, fits, before, divisors) = (
            self.figure,
            (
                {"source": of, "view": only_chosen(of, chosen), "color": "paint"}
                for of in (self._points, self._lines, self._fits, self._before, self._divisors)
            ),
        )
        made.segment("x", "low", "x", "high", line_width=1.5, **points)
        made.multi_line("xs", "ys", line_alpha=0.6, **lines)
        made.multi_line("xs", "ys", line_width=2, **fits)
        made.multi_line("xs", "ys", line_dash="dotted", line_width=1.5, **divisors)
        made.scatter("x", "y", marker="x", size=6, **before)
        dots = made.scatter("x", "y", size=6, name="dots", **points)
        tips = [("", "@name"), ("delay", "@x{0,0.[0]} pulses, @seconds{0.000e+0} s"), ("g\u2082", "@said")]
        made.add_tools(HoverTool(renderers=[dots], tooltips=tips))

    def show(self, result):
        """Show the curves of a `Result`."""
        self._scale(1 / result.rate)
        note = on_log_axis(result.delays)[1]
        say(self.figure.xaxis[-1].axis_label, f"delay [pulses]{note}")
        title = f"Delay curves, normalization: {result.normalization}"
        say_title(self.figure, title + (f", {_NORM.format(result.frame_norm)}" if result.frame_norm else ""))

    def fill(self, data):
        """Take what `curves_data` made."""
        for into, part in zip((self._points, self._lines, self._fits, self._before, self._divisors), data, strict=True):
            into.data = part


def curves_data(result, colors):
    """Return the columns of the points, lines, fits, curves before `frame_norm`, and of what divided them."""
    places = on_log_axis(result.delays)[0].astype(float)
    paint = hexes(result.curves)
    names = ("x", "y", "low", "high", "color", "paint", "name", "seconds", "said")
    points = {name: [] for name in names}
    lines, fits, divisors = ({name: [] for name in ("xs", "ys", "color", "paint")} for _ in range(3))
    before = {name: [] for name in ("x", "y", "color", "paint")}
    for color in colors:
        curve = result.curves[color]
        good = np.isfinite(curve.g2)
        n, x, y = int(good.sum()), places[good], curve.g2[good]
        bar = np.where(np.isfinite(curve.error[good]), curve.error[good], 0)
        pairs = zip(y, curve.error[good], strict=True)
        said = [with_error(value, error) if np.isfinite(error) else f"{value:.6g}" for value, error in pairs]
        row = (x, y, y - bar, y + bar, np.full(n, color), np.full(n, paint[color]))
        row += (np.full(n, named(result, color)), result.delays[good] / result.rate, np.array(said, str))
        for name, values in zip(names, row, strict=True):
            points[name].append(values)
        fit = result.fits.get(color)
        if fit is not None and fit.ok and (result.delays > 0).any():
            fine = np.geomspace(result.delays[result.delays > 0][0], result.delays[-1], 200)
            _add_line(fits, fine, fit.model(fine), color, paint[color])
        else:
            _add_line(lines, x, y, color, paint[color])
        if result.frame_norm:
            finite = np.isfinite(result.before[color])
            row = places[finite], result.before[color][finite], np.full(finite.sum(), color)
            for name, values in zip(before, (*row, np.full(finite.sum(), paint[color])), strict=True):
                before[name].append(values)
            finite = np.isfinite(result.divisors[color])
            grey = paint[color] if result.frame_norm == "color" else "#595959"
            _add_line(divisors, places[finite], result.divisors[color][finite], color, grey)
    return as_rows(points), lines, fits, as_rows(before), divisors


def _add_line(into, x, y, color, paint):
    for name, value in zip(("xs", "ys", "color", "paint"), (x, y, color, paint), strict=True):
        into[name].append(value)


def named(result, color):
    """Return what a colour is called, with its fit."""
    fit, name = result.fits.get(color), result.name_of(color).replace("1/angstrom", "1/\u00c5")
    if not np.isfinite(result.curves[color].g2).any():
        return f"{name}: no curve"
    if fit is None:
        return name
    return f"{name}: {said_of(fit, result.rate, ('contrast', 'contrast_slow', 'exponent', 'chi_square'))}"


class Pairs:
    """Pairs of each delay."""

    def __init__(self):
        self.figure = frame("Pairs of each delay", "delay [pulses]", "pairs", height=280, x_axis_type="log")
        self._points = source("x", "y")
        self.figure.y_range.start = 0
        self.figure.line("x", "y", source=self._points, color="#595959")
        self.figure.scatter("x", "y", source=self._points, color="#595959", size=5)

    def fill(self, data):
        """Take what `pairs_data` made."""
        self._points.data = data


def pairs_data(result):
    """Return the columns."""
    return {"x": on_log_axis(result.delays)[0].astype(float), "y": result.counts.astype(float)}


class DecayTimes:
    """Decay times of the fits against q, with their power law."""

    def __init__(self):
        self.figure = frame("", "q [1/\u00c5]", "\u03c4 [s]", height=340, x_axis_type="log", y_axis_type="log")
        self.figure.xaxis.formatter = CustomJSTickFormatter(code="return String(Number(tick.toPrecision(4)))")
        self._points, self._law = source("x", "y", "low", "high"), source("x", "y")
        self.figure.line("x", "y", source=self._law, color="#595959")
        self.figure.segment("x", "low", "x", "high", source=self._points, color="#0072B2", line_width=1.5)
        self.figure.scatter("x", "y", source=self._points, color="#0072B2", size=7)

    def fill(self, data):
        """Take what `decay_data` made."""
        self._points.data, self._law.data, said = data
        say_title(self.figure, f"Decay times: {said}")


def decay_data(result):
    """Return the columns of points and power law, and what that says; None where q or fits are not known."""
    if result.table is None or not result.table.tells_q or not any(fit.ok for fit in result.fits.values()):
        return None
    q, tau, error = times_of(result)
    low = np.where(tau > error, tau - error, tau / 10)  # on a logarithmic axis an error may reach below 0
    found, said = power_law(result)
    ends = np.array([q.min(), q.max()] if found is not None else [])
    law = {"x": ends, "y": found.tau(ends) if found is not None else ends}
    return {"x": q, "y": tau, "low": low, "high": tau + error}, law, said


class Aged:
    """Curves of each stretch between two updates, of one colour: dark early, bright late."""

    def __init__(self):
        self.figure = frame("", "delay [pulses]", "g\u2082", x_axis_type="log")
        self._scale = add_top_axis(self.figure, "delay [s]", log=True)
        self._lines = source("xs", "ys", "age")
        self._mapper = LinearColorMapper(palette="Viridis256")
        paint = {"field": "age", "transform": self._mapper}
        self.figure.multi_line("xs", "ys", source=self._lines, color=paint, line_width=1.5)
        bar = ColorBar(color_mapper=self._mapper, title="age: middle of the stretch [s]", width=14)
        bar.title_text_font_style = "normal"
        self.figure.add_layout(bar, "right")

    def show(self, aged, color):
        """Show the curves of a colour of some `AgedCurves`."""
        self._scale(1 / aged.rate)
        ages = [stretch.middle / aged.rate for stretch in aged.stretches]
        self._mapper.low, self._mapper.high = min(ages), max(*ages, min(ages) + 1e-9)
        none = sum(not np.isfinite(each.curves[color]).any() for each in aged.stretches if color in each.curves)
        said = f"; {none} without a curve: elements saturated, or no pairs" if none else ""
        say_title(self.figure, f"Curves of {len(aged.stretches)} stretches between updates, colour {color}{said}")

    def fill(self, data):
        """Take what `aged_data` made."""
        self._lines.data = data


def aged_data(aged, color):
    """Return the columns of a colour."""
    places, some = on_log_axis(aged.delays)[0].astype(float), [s for s in aged.stretches if color in s.curves]
    return {
        "xs": [places] * len(some),
        "ys": [stretch.curves[color].astype(float) for stretch in some],
        "age": [stretch.middle / aged.rate for stretch in some],
    }
