"""The colours that are drawn: boxes to check, which are the legend, too."""

import numpy as np
from bokeh.models import Button, CheckboxGroup, Column, CustomJS, Row, TextInput

from parcorana.errors import ParCorAnaError
from parcorana.events.dataset import parse_numbers
from parcorana.page.frames import hexes

BOXES = 48  # colours to choose from at a time; of more the reader names those wanted
_SOME = 24  # of these at first
_BOXES_STYLE = """
:host { font-size: 14px }
.bk-input-group { display: flex; flex-flow: row wrap; gap: 2px 18px }
label { display: flex; align-items: center; gap: 6px; margin: 0; min-height: 28px; max-width: 100% }
label { white-space: normal; overflow-wrap: anywhere }
input { flex: none }
"""


class Chooser:
    """Boxes for the colours of a result.

    Parameters
    ----------
    live : bool
        Whether a server answers, so that others of many colours can be named.
    changed : callable
        Called when other colours are named.

    Attributes
    ----------
    boxes : CheckboxGroup
        With the colours as tags.
    """

    def __init__(self, live, changed):
        self.boxes = CheckboxGroup(sizing_mode="stretch_width")
        self._named = TextInput(title="", visible=False, sizing_mode="stretch_width", name="colors")
        self._wanted, self._there, self._live, self._changed = None, [], live, changed
        if live:
            self._named.on_change("value", self._take)
        buttons = []
        for label, code in (("all", "boxes.tags.map((_, k) => k)"), ("none", "[]")):
            button = Button(label=label, width=70, name=f"colors-{label}")
            button.js_on_event("button_click", CustomJS(args={"boxes": self.boxes}, code=f"boxes.active = {code}"))
            buttons.append(button)
        self.layout = Column(Row(*buttons), self.boxes, self._named, sizing_mode="stretch_width")

    def _take(self, _, __, value):
        try:
            wanted = parse_numbers(value, "colours")[:BOXES] if value.strip() else None
        except ParCorAnaError as error:
            self._named.title = str(error)
            return
        self._wanted = wanted
        self._changed()

    def offer(self, colors, label):
        """Offer the colours of a result.

        Parameters
        ----------
        colors : list of int
        label : callable
            Takes a colour, returns what is said of it.

        Returns
        -------
        list of int
            Those that are offered.
        """
        colors = sorted(colors)
        some = colors
        if len(colors) > BOXES:
            some = [colors[k] for k in np.linspace(0, len(colors) - 1, _SOME).astype(int)]
            if self._wanted is not None:
                some = [color for color in colors if color in self._wanted] or some
            self._named.title = f"{len(some)} of {len(colors):,} colours are here; name others, as 1-4,7"
        self._named.visible = self._live and len(colors) > BOXES
        labels = [label(color) for color in some]
        if self.boxes.labels != labels:
            self.boxes.labels = labels
        if self.boxes.tags != some:  # what the reader has chosen stays, as long as there are the same colours
            self.boxes.tags, self.boxes.active = some, list(range(len(some)))
            self.boxes.stylesheets = [_marks([hexes(colors)[color] for color in some])]
        return some


def _marks(paints):
    """Return the style that puts each colour's paint before its box."""
    each = (
        f"label:nth-of-type({k})::before{{content:'';flex:none;width:22px;height:12px;background:{paint}}}"
        for k, paint in enumerate(paints, 1)
    )
    return " ".join((_BOXES_STYLE, *each))
