"""The page: its panels, what one viewer chooses, and how it follows the run."""

import asyncio

from bokeh.events import ConnectionLost
from bokeh.models import Column, CustomJS, Div, Row, Select, Slider, Toggle

from parcorana.errors import ConfigError, ParCorAnaError, drawing, escaped
from parcorana.page import said
from parcorana.page.chooser import Chooser
from parcorana.page.counts import Contrast, Counted, contrast_data, counted_data
from parcorana.page.curves import Aged, Curves, DecayTimes, Pairs, aged_data, curves_data, decay_data, named, pairs_data
from parcorana.page.frames import hexes
from parcorana.page.maps import Colors, MeanImage, TwoTimes, image_data, painted, two_time_data
from parcorana.page.times import MONITORS, Intensity, Monitor, intensity_data, monitor_data
from parcorana.view.pictures import scale_of

TICK = 1000  # ms from one look of a viewer's page to the next
_GRID = {
    "display": "grid", "grid-template-columns": "repeat(auto-fit, minmax(min(100%, 520px), 1fr))", "gap": "16px",
    "align-items": "start",
}  # fmt: skip
#: What Bokeh's own pages lack: a phone's width, and no word of this address to others.
TEMPLATE = """\
{% block preamble %}<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">
<style>body { font-family: Helvetica, Arial, sans-serif; margin: 8px !important }</style>{% endblock %}
"""
_PAGE = {"max-width": "1900px", "margin": "0 auto", "gap": "8px"}
_MAPS = 3  # two-time maps on a page where none can be chosen
_LOST = """
    const told = document.createElement("div")
    told.id = "lost"
    told.textContent = "CONNECTION LOST at " + new Date().toLocaleTimeString() +
        ": this page shows the run as it was then. Is parCorAnaWatch still running? Then load the page again."
    told.style = "position:fixed;top:0;left:0;right:0;z-index:9999;background:#b00020;color:#fff"
    told.style.padding = "12px"
    told.style.fontSize = "18px"
    document.body.prepend(told)
"""
_WAY = "stretch_width"


_WIDE = ":host > .bk-clearfix, .bk-clearfix { display: block; width: 100% }"


def _div(name, **kwargs):
    return Div(sizing_mode=_WAY, disable_math=True, name=name, stylesheets=[_WIDE], visible="text" in kwargs, **kwargs)


class Page:
    """The page of one viewer, or that of a file.

    Parameters
    ----------
    run : Follower
    live : bool
        Whether a server answers.
    pool : Executor, optional
        Where updates are read; the loop of a server must not wait for a disk.
    of : str, optional
        The class to begin with; the first that has curves without it.
    """

    def __init__(self, run, live=True, pool=None, of=None):
        self._run, self._live, self._pool, self._of, self._seen = run, live, pool, of, None
        self.update = self._document = None
        self._banner, self._warnings, self._numbers = _div("state"), _div("warnings"), _div("numbers")
        self._account, self._log, self._nothing = _div("account"), _div("log"), _div("nothing")
        self._name = _div("name")
        self._slider = Slider(start=0, end=1, value=1, step=1, title="update", sizing_mode=_WAY, name="update")
        self._latest = Toggle(label="latest", active=True, button_type="primary", width=90, name="latest", align="end")
        self._class = Select(title="class", visible=False, name="class")
        self._color = Select(title="colour of map and aged curves", visible=False, name="map", width=240)
        self._chooser = Chooser(live, self._again)
        boxes = self._chooser.boxes
        self._curves, self._pairs, self._decay = Curves(boxes), Pairs(), DecayTimes()
        self._intensity, self._monitors = Intensity(boxes), []
        self._mean, self._colors, self._two_times = MeanImage(), Colors(), TwoTimes()
        self._counted, self._contrast = Counted(boxes), Contrast(boxes)
        self._aged = Aged()
        first = (self._curves, self._intensity, self._decay, self._counted, self._contrast)
        last = (self._mean, self._colors, self._pairs)
        self._more = [] if live else [TwoTimes() for _ in range(_MAPS - 1)]
        self._panels = [each.figure for each in (*first, self._two_times, *self._more, self._aged, *last)]
        self._grid = Column(sizing_mode=_WAY, styles=_GRID)
        controls = [Row(self._slider, self._latest, sizing_mode=_WAY)] if live else []
        self.layout = Column(
            _div("title", text=said.title(run.seen.label)),
            self._banner, self._warnings, self._numbers, *controls, self._class, self._name,
            self._chooser.layout, self._color, self._nothing, self._grid, sizing_mode=_WAY, styles=_PAGE,
        )  # fmt: skip
        self.tick()

    @property
    def of(self):
        """The class that is shown."""
        return self._class.value

    def of_one_class(self):
        """Return what is of a class alone, below its name: for a page on which none can be chosen."""
        for each in (self._account, self._log, *(monitor.figure for monitor in self._monitors)):
            self._grid.children.remove(each)
        return Column(self._name, self._chooser.layout, self._nothing, self._grid, sizing_mode=_WAY, styles=_PAGE)

    def attach(self, document):
        """Show it in a document, and follow the run."""
        self._slider.on_change("value_throttled", self._slid)
        self._latest.on_change("active", self._follow)
        for select in (self._class, self._color):
            select.on_change("value", self._chose)
        self._document = document
        document.title = f"{escaped(self._run.seen.label)} - ParCorAna"
        document.template = TEMPLATE
        document.add_root(self.layout)
        document.js_on_event(ConnectionLost, CustomJS(code=_LOST))
        document.add_periodic_callback(self.tick, TICK)

    def tick(self):
        """Show what has changed since it was called last."""
        seen, before = self._run.seen, self._seen
        _say(self._banner, said.banner(seen, self._run.looked if self._live else None))
        if seen is before:
            return
        self._seen = seen
        count = len(seen.numbers)
        self._slider.disabled = count < 2
        self._slider.end = max(count, 2)
        if self._latest.active and (before is None or seen.latest is not before.latest):
            self.show(seen.latest)
        else:
            self._say()

    def _slid(self, _, __, value):
        numbers = self._seen.numbers
        if not numbers:
            return
        number = numbers[min(max(int(value), 1), len(numbers)) - 1]
        self._latest.active = number == numbers[-1]
        if not self._latest.active:
            self._document.add_next_tick_callback(lambda: self._go(number))

    async def _go(self, number):
        """Show an older update."""
        try:
            update = await asyncio.get_running_loop().run_in_executor(self._pool, self._run.get, number)
        except ParCorAnaError as error:
            _say(self._nothing, said.warnings([str(error)]))
            return
        self.show(update)

    def _follow(self, _, __, active):
        if active:
            self.show(self._seen.latest)

    def _chose(self, _, __, ___):
        self._again()

    def _again(self):
        self.show(self.update)

    def _say(self):
        """Say in words what there is."""
        seen, update = self._seen, self.update
        _say(self._warnings, said.warnings(said.warnings_of(seen, update)))
        _say(self._numbers, said.numbers(seen, update))
        _say(self._account, said.account(seen, update))
        _say(self._log, said.log(seen))

    def show(self, update):
        """Show an update; None: there is none yet."""
        self.update = update
        self._say()
        if update is None:
            self._show_nothing(said.nothing(self._seen))
            return
        if update.processed in self._seen.numbers:
            place = self._seen.numbers.index(update.processed) + 1
            self._slider.value = place
            self._slider.title = f"{update.processed:,} events, update"
        names = list(update.parts)
        self._class.visible = self._live and len(names) > 1
        if self._class.options != names:
            self._class.options = names
            curves = next((name for name in names if update.parts[name].result is not None), names[0])
            self._class.value = self._of if self._of in names else curves
        if not self._live and len(names) > 1:
            _say(self._name, said.title(self._class.value))
        try:
            with drawing(self._seen.label):
                self._show_part(update, self._class.value, update.parts[self._class.value])
                self._show_values(update)
        except ConfigError as error:
            if not self._live:
                raise
            self._show_nothing(said.warnings([str(error)]))
            return
        self._arrange()

    def _show_nothing(self, html):
        """Show a text in place of the panels."""
        for each in (*self._panels, *(monitor.figure for monitor in self._monitors), self._chooser.layout, self._color):
            each.visible = False
        self._arrange()
        _say(self._nothing, html)

    def _arrange(self):
        """Put what there is to see into the grid: a figure without data would complain in the browser."""
        *rest, pairs = self._panels
        panels = (*rest, *(each.figure for each in self._monitors), pairs)
        wanted = [*(each for each in panels if each.visible), self._account, self._log]
        if self._grid.children != wanted:
            self._grid.children = wanted

    def _show_part(self, update, of, part):
        """Show what one class has."""
        result, photons, two_time = part.result, part.photons, part.two_time
        kinds = [kind for kind in (result, photons, two_time) if kind is not None]
        _say(self._nothing, "" if kinds else "<p>This class has no delay curves, two times or photon statistics.</p>")
        self._chooser.layout.visible = result is not None or photons is not None
        colors = []
        if result is not None:
            colors = self._chooser.offer(result.curves, lambda color: named(result, color))
        elif photons is not None:
            colors = self._chooser.offer(photons.counts, lambda color: f"colour {color}")
        key = of, tuple(colors)
        self._fill(self._curves, update, ("curves", *key), result, lambda: curves_data(result, colors))
        self._fill(self._pairs, update, ("pairs", of), result, lambda: pairs_data(result))
        self._fill(self._decay, update, ("decay", of), result, lambda: decay_data(result))
        self._fill(self._intensity, update, ("intensity", *key), result, lambda: intensity_data(result, colors))
        self._fill(self._counted, update, ("counted", *key), photons, lambda: counted_data(photons, colors))
        self._fill(self._contrast, update, ("contrast", *key), photons, lambda: contrast_data(photons, colors))
        image = part.images.get("mean")
        self._fill(self._mean, update, ("mean", of), image, lambda: image_data(image, part.every))
        if image is not None:
            self._mean.show(part, update.once(("scale", of), scale_of, image))
        image = part.images.get("color")
        paint = hexes(
            next((each.colors for each in (photons, two_time) if each is not None), (result and result.curves) or [1])
        )
        paint = {color: paint[color] for color in colors or paint}
        self._fill(self._colors, update, ("color", *key), image, lambda: image_data(painted(image, paint), part.every))
        self._colors.show(part)
        for panel in (self._curves, self._intensity):
            if result is not None:
                panel.show(result)
        self._show_one_color(update, of, two_time)

    def _fill(self, panel, update, key, of, make):
        """Fill a panel with what is made of a part, once for all viewers; hide it where there is nothing."""
        data = update.once(key, make) if of is not None else None
        panel.figure.visible = data is not None
        if data is not None:
            panel.fill(data)

    def _show_one_color(self, update, of, two_time):
        """Show what has room for one colour only: two times, and the aged curves of the whole run."""
        aged = self._seen.aged.get(of)
        colors = two_time.colors if two_time is not None else aged.colors if aged is not None else []
        names = [str(color) for color in colors]
        self._color.visible = self._live and len(names) > 1
        if self._color.options != names:
            self._color.options, self._color.value = names, names[0] if names else ""
        color = int(self._color.value) if names else None
        for panel, which in zip((self._two_times, *self._more), (color, *colors[1:], *[None] * _MAPS), strict=False):
            shown = two_time if which is not None else None
            self._fill(panel, update, ("map", of, which), shown, lambda: two_time_data(two_time, which))  # noqa: B023
            if panel.figure.visible:
                panel.show(two_time, which)
        shown = aged if names and len(aged.stretches if aged is not None else ()) > 1 else None
        key = "aged", of, color, len(aged.stretches) if aged is not None else 0
        self._fill(self._aged, update, key, shown, lambda: aged_data(aged, color))
        if shown is not None:
            self._aged.show(aged, color)

    def _show_values(self, update):
        """Show the values of the events, what divides the curves first."""
        norms = update.facts["frame_norm"]
        names = sorted(update.values, key=lambda name: name not in norms)[:MONITORS]
        while len(self._monitors) < len(names):
            self._monitors.append(Monitor())
        for panel, name in zip(self._monitors, names, strict=False):
            panel.figure.visible = True
            panel.fill(update.once(("value", name), monitor_data, update.values[name], update.rate))
            panel.show(name, name in norms, update.ranges.get(name))


def _say(div, html):
    """Put a text where it is not there already: nothing is sent that a browser has."""
    if div.text != html:
        div.text = html
        div.visible = bool(html)
