"""Panels that are images: mean intensity, colours, two times."""

import numpy as np
from bokeh.models import ColorBar, LinearColorMapper, LogColorMapper
from bokeh.palettes import RdBu11, interp_palette

from parcorana.page.frames import add_top_axis, frame, say_title, source

_GREY = (205, 205, 205)  # elements that are masked or in no colour


class MeanImage:
    """Mean intensity of each element."""

    def __init__(self):
        self.figure = frame("Mean image", "column of the image", "row of the image", height=380, match_aspect=True)
        self._image = source("image", "x", "y", "dw", "dh")
        self._log, self._linear = (
            kind(palette="Viridis256", nan_color="#ffffff") for kind in (LogColorMapper, LinearColorMapper)
        )
        self._drawn = self.figure.image(source=self._image, color_mapper=self._linear)
        self._bar = ColorBar(color_mapper=self._linear, title="mean intensity per event [as stored]")
        _as_image(self.figure, self._bar)

    def show(self, part, scale):
        """Show the mean image of a `Part`, with its scale (low, high, whether it is logarithmic)."""
        low, high, log = scale
        mapper = self._log if log else self._linear
        mapper.low, mapper.high = low, high
        self._drawn.glyph.color_mapper = self._bar.color_mapper = mapper
        say_title(self.figure, f"Mean image: {part.mean_is}{_every(part)}")

    def fill(self, data):
        """Take what `image_data` made."""
        self._image.data = data


class Colors:
    """Which elements make which curve."""

    def __init__(self):
        self.figure = frame("Colours", "column of the image", "row of the image", height=380, match_aspect=True)
        self._image = source("image", "x", "y", "dw", "dh")
        self.figure.image_rgba(source=self._image)
        _as_image(self.figure)

    def show(self, part):
        """Say what is seen."""
        say_title(self.figure, f"Colours; grey: masked, or in none{_every(part)}")

    def fill(self, data):
        """Take what `image_data` made."""
        self._image.data = data


def _as_image(made, bar=None):
    made.y_range.flipped = True
    made.grid.visible = False
    made.x_range.range_padding = made.y_range.range_padding = 0
    if bar is not None:
        bar.title_text_font_style, bar.width = "normal", 14
        made.add_layout(bar, "right")


def _every(part):
    return f"; one pixel here is {part.every} x {part.every} of the detector" if part.every > 1 else ""


def image_data(image, every):
    """Return the columns of an image, whose pixels are so many of the detector's along each side."""
    rows, columns = image.shape
    return {"image": [image], "x": [-0.5], "y": [-0.5], "dw": [columns * every], "dh": [rows * every]}


def painted(colors, paint):
    """Return an image of colours as RGBA, (H, W) uint32; those without a paint are grey."""
    rgba = np.zeros((*colors.shape, 4), np.uint8)
    rgba[colors >= 0] = (*_GREY, 255)
    for color, name in paint.items():
        rgba[colors == color] = (*(int(name[k : k + 2], 16) for k in (1, 3, 5)), 255)
    return rgba.view(np.uint32)[..., 0]


class TwoTimes:
    """The two-time correlation of one colour."""

    def __init__(self):
        self.figure = frame("Two times", "t1 [pulses]", "t2 [pulses]")
        self.figure.update(sizing_mode="scale_width", aspect_ratio=1.1, max_width=640)
        self._image = source("image", "x", "y", "dw", "dh")
        self._mapper = LinearColorMapper(palette=interp_palette(RdBu11, 255), nan_color="#ffffff")
        self.figure.image(source=self._image, color_mapper=self._mapper)
        bar = ColorBar(color_mapper=self._mapper, title="C(t1, t2)", width=14, title_text_font_style="normal")
        self.figure.add_layout(bar, "right")
        self.figure.grid.visible = False
        self.figure.x_range.range_padding = self.figure.y_range.range_padding = 0
        self._scale = add_top_axis(self.figure, "t1 [s]", log=False)

    def show(self, two_time, color):
        """Show the map of a colour of a `TwoTimeResult`."""
        known = two_time.stands_for.get(color)
        name = f"colour {color}{', ' * bool(known)}{known or ''}".replace("1/angstrom", "1/\u00c5")
        say_title(self.figure, f"Two times, {name}; {two_time.width:,} pulses per bin")
        self._scale(1 / two_time.rate)
        values = two_time.maps[color]
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, (1, 99)) if len(values) else (1, 1)
        off = float(max(abs(low - 1), abs(high - 1), 1e-6))  # a colour as far from 1 above as below
        self._mapper.low, self._mapper.high = 1 - off, 1 + off

    def fill(self, data):
        """Take what `two_time_data` made."""
        self._image.data = data


def two_time_data(two_time, color):
    """Return the columns of the map of a colour; None where it has no bins."""
    if not len(two_time.ages):
        return None
    first, size = int(two_time.ages[0]), len(two_time.ages) * two_time.width
    image = two_time.maps[color].T.astype(np.float32)
    return {"image": [image], "x": [first], "y": [first], "dw": [size], "dh": [size]}
