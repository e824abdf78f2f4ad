"""What all pictures of the page share: frames, axes, paints, sources of data."""

import textwrap

import numpy as np
from bokeh.models import (
    CDSView,
    ColumnDataSource,
    CustomJS,
    CustomJSFilter,
    LinearAxis,
    LinearScale,
    LogAxis,
    LogScale,
    NoOverlap,
    PlainText,
    Range1d,
)
from bokeh.plotting import figure

from parcorana.view.pictures import paints

_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


def text(words):
    """Return words as Bokeh shows them letter by letter: a text between dollar signs would be a formula."""
    return PlainText(text=words)


def say(where, words):
    """Change a `text`, if it is another one: a new one each time would be a model more for each update."""
    if where.text != words:
        where.text = words


def say_title(made, words):
    """Give a figure its title, in lines that a phone has room for."""
    say(made.title.text, textwrap.fill(words, 42))


def hexes(colors):
    """Return the paint of each colour as a web page names it."""
    return {color: paint if isinstance(paint, str) else _hex(paint) for color, paint in paints(colors).items()}


def _hex(paint):
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in paint[:3])


def frame(title, x, y, height=360, **kwargs):
    """Return an empty figure as wide as there is room."""
    made = figure(
        height=height, sizing_mode="stretch_width", tools=_TOOLS, active_drag=None, toolbar_location="below", **kwargs
    )
    made.title.text = text("")
    say_title(made, title)
    made.xaxis.axis_label, made.yaxis.axis_label = text(x), text(y)
    made.toolbar.logo = None
    made.frame_align = False  # or a colour bar of one would be room that all have to leave
    made.title.text_font_size, made.title.text_font_style = "15px", "bold"
    for axis in (*made.xaxis, *made.yaxis):
        _style(axis)
    made.min_border_right = 12
    made.grid.grid_line_alpha = 0.6
    return made


def _style(axis):
    axis.axis_label_text_font_style, axis.axis_label_text_font_size = "normal", "13px"
    axis.major_label_text_font_size = "12px"
    axis.major_label_policy = NoOverlap()
    if isinstance(axis, LogAxis):
        axis.formatter.min_exponent = 4


def add_top_axis(made, label, log):
    """Give a figure a second axis of its x at the top; return a function that takes how many of it are one of x.

    It follows when the reader zooms.
    """
    second = Range1d(1, 10)
    made.extra_x_ranges, made.extra_x_scales = {"second": second}, {"second": LogScale() if log else LinearScale()}
    axis = (LogAxis if log else LinearAxis)(x_range_name="second", axis_label=text(label))
    _style(axis)
    made.add_layout(axis, "above")
    follow = CustomJS(
        args={"first": made.x_range, "second": second},
        code="const k = second.tags[0] || 1; second.setv({start: first.start * k, end: first.end * k})",
    )
    for end in ("start", "end"):
        made.x_range.js_on_change(end, follow)
    second.js_on_change("tags", follow)

    def scale(factor):
        if second.tags != [factor]:
            second.tags = [factor]

    return scale


def source(*names):
    """Return an empty source of data with columns of these names."""
    return ColumnDataSource({name: [] for name in names})


def only_chosen(of, chosen):
    """Return a view of a source in which only the rows of colours are seen that a `CheckboxGroup` has on.

    Parameters
    ----------
    of : ColumnDataSource
        With a column 'color'.
    chosen : CheckboxGroup
        Whose tags are the colours in the order of its boxes. The choice is made in the browser: a page without a
        server has it, too.
    """
    code = """
        const on = new Set(chosen.active.map((k) => chosen.tags[k]))
        return Array.from(source.data.color, (c) => on.has(c))
    """
    kept = CustomJSFilter(args={"chosen": chosen}, code=code)
    chosen.js_on_change("active", CustomJS(args={"of": of, "kept": kept}, code="kept.change.emit(); of.change.emit()"))
    chosen.js_on_change("tags", CustomJS(args={"of": of, "kept": kept}, code="kept.change.emit(); of.change.emit()"))
    return CDSView(filter=kept)


def as_rows(columns):
    """Return rows of several colours as one table: (name, list of arrays) to flat columns.

    A column without rows is a list: of an empty array of numbers the browser says that these are no colours.
    """
    return {name: np.concatenate(parts) if parts else [] for name, parts in columns.items()}
