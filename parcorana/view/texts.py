"""Texts of pictures: names of files, and of what is in them, come from others, and are drawn letter by letter."""

import io

from parcorana.errors import escaped, without_middle
from parcorana.view.library import Axis, Figure, Text, Tick

_BEGIN, _END = 200, 80  # characters of a line that are drawn: each costs a glyph, and files may hold millions
_LINES = 40


def plain(text):
    """Return a text as matplotlib takes it for no formula, whatever dollar signs or bytes that are no text it has.

    Of one that is longer than any picture has room for, what is too much is left out.
    """
    first, *rest = text.split("\n", _LINES)
    lines = [first, *rest[: _LINES - 1], *["..."] * (len(rest) >= _LINES)]
    return "\n".join(escaped(cut(line)).replace("$", r"\$") for line in lines)


def cut(text):
    """Return what is drawn of a line: of a long one its begin and its end."""
    return without_middle(text, _BEGIN, _END)


def take_as_they_are(figure):
    """Have every text of a figure drawn letter by letter, but for the numbers at axes, which are set as formulas."""
    numbers = [axis.offsetText for axis in figure.findobj(Axis)]
    numbers += [label for tick in figure.findobj(Tick) for label in (tick.label1, tick.label2)]
    known = set(map(id, numbers))
    for text in figure.findobj(Text):
        if id(text) not in known:
            text.set_text(plain(text.get_text()))


class Picture(Figure):
    """A figure that a notebook shows, with every text drawn letter by letter."""

    def _repr_png_(self):
        take_as_they_are(self)
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=80)
        return drawn.getvalue()
