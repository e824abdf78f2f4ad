"""What a result has to give to another program, with stand-ins for what it does not know."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from parcorana import kernels
from parcorana.detector.geometry import KEV_ANGSTROM
from parcorana.detector.images import Layout
from parcorana.errors import ConfigError
from parcorana.results.aged import AgedCurves
from parcorana.results.means import mean_of_elements, means_of_colors
from parcorana.results.reading import Result, read_table
from parcorana.results.twotime import TwoTimeResult

#: keV, mm, um: so that a photon has 1 angstrom, and numbers that a viewer divides by are none of them 0.
_STANDS_IN = {"photon_energy": KEV_ANGSTROM, "distance": 1000.0, "pixel_size": 1.0}
_FRAMES = 1_000_000  # of a run, of which each one's intensity is written: so many that nobody minds the size
#: Names in /system/instrument, units there, options that say the same.
STATED = {"photon_energy": ("keV", "--energy"), "distance": ("mm", "--distance"), "pixel_size": ("um", "--pixel")}


@dataclass(frozen=True)
class Bins:
    """Colours as an image whose bins count from 1.

    Attributes
    ----------
    image : (H, W) int64
        0 outside.
    colors : (C,) int64
        The colour of each bin.
    values : (C,) float64
        What the colours stand for.
    name, unit : str
    """

    image: np.ndarray
    colors: np.ndarray
    values: np.ndarray
    name: str
    unit: str


@dataclass
class Exported:
    """One update of a result, as far as other programs want it.

    Attributes
    ----------
    label : str
    layout : Layout
        The detector as an image.
    result : Result or None
        Delay curves.
    arrays : h5py.Group or None
        Of the update, with G2, IP, IF of each delay; None where they are not saved.
    two_time : TwoTimeResult or None
    mask : (H, W) bool
    bins : Bins
        Of the colours.
    mean : (H, W) float64
        Mean intensity of each pixel, or of its colour; 0 outside the mask.
    rate : float
        Pulses per second.
    energy, distance, pixel : float [keV, mm, um]
    beam : (float, float)
        Row and column.
    count_time : float [s]
    start, end : str
        In ISO 8601, UTC.
    doubts : list of str
        What stands in for something that is not known.
    aged : AgedCurves or None
        Those until the update.
    """

    label: str
    layout: Layout
    result: Result | None
    arrays: Any
    two_time: TwoTimeResult | None
    mask: np.ndarray
    bins: Bins
    mean: np.ndarray
    rate: float
    energy: float
    distance: float
    pixel: float
    beam: tuple[float, float]
    count_time: float
    start: str
    end: str
    doubts: list[str] = field(default_factory=list)
    aged: AgedCurves | None = None

    def table(self, name):
        """Return what the curves have of each delay and bin, (D, C): 'g2' or 'error'."""
        return np.stack([getattr(self.result.curves[color], name) for color in self.bins.colors.tolist()], axis=1)

    def lines(self):
        """Return the mean intensity of each stretch of the run and bin, (P, C)."""
        if self.result is None or not len(self.result.seconds):
            return self.means(self.mean)[None]
        nothing, intensity = np.full(len(self.result.seconds), np.nan), self.result.intensity
        return np.stack([intensity.get(c, nothing) for c in self.bins.colors.tolist()], axis=1)

    def stretch_of_frames(self):
        """Return which of the `lines` each frame of the run belongs to, two frames at least."""
        if self.result is None or len(self.result.seconds) < 2:
            return np.zeros(2, np.int64)
        middle = (self.result.seconds - self.result.seconds[0]) * self.rate
        if middle[-1] >= _FRAMES:
            return np.arange(len(middle))
        return np.searchsorted((middle[1:] + middle[:-1]) / 2, np.arange(round(middle[-1]) + 1))

    def stretches(self):
        """Return the aged curves, (k, D, C), NaN of a bin without one, and the first pulse of each stretch, (k,)."""
        nothing, stretches = np.full(len(self.result.delays), np.nan), self.aged.stretches
        curves = [[each.curves.get(c, nothing) for c in self.bins.colors.tolist()] for each in stretches]
        return np.array(curves).swapaxes(1, 2), np.array([each.first for each in stretches])

    def cuts(self, band=(-np.inf, np.inf)):
        """Return the mean along each diagonal of each bin's two times, (A, C), within a band of age [pulses]."""
        return np.stack([self.two_time.cut(color, band)[1] for color in self.bins.colors.tolist()], axis=1)

    def cut_errors(self):
        """Return the standard errors of the `cuts` of all ages, (A, C)."""
        return np.stack([self.two_time.cut_error(color) for color in self.bins.colors.tolist()], axis=1)

    def means(self, image):
        """Return the mean over the pixels of each bin, (C,); NaN of one without pixels."""
        used, count = self.bins.image > 0, len(self.bins.colors) + 1
        which = self.bins.image[used]
        with np.errstate(divide="ignore", invalid="ignore"):
            return (np.bincount(which, image[used], count) / np.bincount(which, minlength=count))[1:]


def exported(file, label, layout, result, arrays, two_time, given, aged=None):
    """Gather what a result has.

    Parameters
    ----------
    file : h5py.File
        The result, open.
    label : str
    layout : Layout
    result : Result or None
    arrays : h5py.Group or None
    two_time : TwoTimeResult or None
    given : dict of str to float
        By the names of `STATED`, and 'beam_center': what the user says, which holds.
    aged : AgedCurves, optional

    Raises
    ------
    ConfigError
        The layout is that of another detector.
    """
    system, doubts = file["system"], []
    if layout.iX.shape != system["mask"].shape:
        raise ConfigError(f"the index files have the shape {layout.iX.shape}, {label} has {system['mask'].shape}")
    mask = system["mask"][:] != 0
    color = system["color"][:] if "color" in system else mask.astype(np.int64)
    rate = result.rate if result is not None else two_time.rate
    colors = [*result.curves] if result is not None else two_time.colors
    bins = _bins(layout, np.where(mask, color, 0), np.asarray(colors, np.int64), read_table(system, label), doubts)
    numbers = {name: _number(system, name, given, doubts) for name in STATED}
    beam = given.get("beam_center", _stated(system, "beam_center"))
    if beam is None:
        beam = tuple((n - 1) / 2 for n in layout.shape)
        doubts.append("the beam's centre is not known: the middle of the image stands for it; say --center ROW,COLUMN")
    count_time = _stated(system, "count_time")
    if count_time is None:
        count_time = 1 / rate
        doubts.append("the exposure of a frame is not known: the time from pulse to pulse stands for it")
    if result is not None and all(np.isnan(curve.error).all() for curve in result.curves.values()):
        doubts.append(
            f"the curves have no errors, for the normalization {result.normalization!r} gives none: pyXpcsViewer takes "
            "1e-6 for each"
        )
    if result is not None and len(result.seconds) and np.ptp(result.seconds) * rate >= _FRAMES:
        doubts.append(
            f"pyXpcsViewer draws the intensity over time as if there were {len(result.seconds):,} frames: each point "
            "is the mean of a stretch of the run"
        )
    if two_time is not None and two_time.width > 1:
        doubts.append(
            f"a bin of the two times is {two_time.width:,} pulses, which pyXpcsViewer 1.2.2 takes for one: times that "
            f"it draws there are {two_time.width:,} times too short; `ages` says how many bins there are"
        )
    arrays = arrays if arrays is not None and "IP" in arrays else None
    mean = _mean(result, arrays, layout, bins, mask, doubts)
    first, last = (system.attrs.get(f"{which}_event_time_ns") for which in ("first", "last"))
    if first is None:
        doubts.append("the time of day of the events is not known: the beginning of 1970 stands for it")
    return Exported(
        label, layout, result, arrays, two_time, layout.image(mask), bins, mean, rate,
        numbers["photon_energy"], numbers["distance"], numbers["pixel_size"], (float(beam[0]), float(beam[1])),
        float(count_time), _when(first), _when(last), doubts, aged,
    )  # fmt: skip


def _bins(layout, color, colors, table, doubts):
    name, unit, values = table.stands_for(colors) if table is not None else ("", "", np.full(len(colors), np.nan))
    if not np.isfinite(values).all():
        name, unit, values = "q", "au", colors.astype(float)
        doubts.append(
            "the q of the colours is not known: their numbers stand for it (unit au); parCorAnaMaskColorTool --by q "
            "writes it beside the colour file"
        )
    number = kernels.color_index(color.ravel(), colors).reshape(color.shape) + 1
    return Bins(layout.image(number), colors, values, name, unit)


def _stated(system, name):
    return system[f"instrument/{name}"][()] if f"instrument/{name}" in system else None


def _number(system, name, given, doubts):
    value = given.get(name, _stated(system, name))
    if value is None:
        units, option = STATED[name]
        value = _STANDS_IN[name]
        doubts.append(f"the {name.replace('_', ' ')} is not known: {value:.6g} {units} stands for it; say {option}")
    return float(value)


def _mean(result, arrays, layout, bins, mask, doubts):
    """Return the mean intensity: of each element from IP of the delay with most pairs, else of each colour."""
    if result is not None and (mean := mean_of_elements(result, arrays)) is not None:
        return layout.image(np.where(mask, mean, 0.0))
    means = np.zeros(len(bins.colors) + 1)
    if result is None:
        doubts.append("the result has no intensities, which classes with delay curves write: they are 0")
        return means[bins.image]
    of_colors = means_of_colors(result)
    means[1:] = [of_colors.get(color, 0.0) for color in bins.colors.tolist()]
    doubts.append("the result has no full arrays (save_arrays): each pixel's mean intensity is that of its colour")
    return means[bins.image]


def _when(ns):
    """Return a time as text; the beginning of time where it is not known."""
    when = datetime.fromtimestamp(float(ns or 0) / 1e9, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
