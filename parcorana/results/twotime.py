"""Two-time correlations in a result file."""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.overages import FEWEST, over_ages
from parcorana.detector.colortable import attributes_of
from parcorana.errors import ConfigError, printable
from parcorana.files.datasets import write_dataset
from parcorana.results.updates import rate_of, update_at

GROUP = "C2_at_"
TIME = "time blocks"
_OF_ALL = "mean_color", "mean_err_color"
_ERROR = (
    "standard error of g2 over all ages, from its scatter over `groups` stretches of the run; NaN where fewer than "
    f"{FEWEST} stretches that are longer than the delay and the decay fit into the run"
)


@dataclass(repr=False)
class TwoTimeResult:
    """One update of a two-time correlation.

    Attributes
    ----------
    label : str
    processed : int
        Events, at the update.
    rate : float
        Pulses per second.
    ages : (A,) int64 [pulses]
        First counter of each bin.
    width : int
        Pulses per bin.
    delays : (D,) int64 [pulses]
    maps : dict of int to (A, A) float64
        By colour.
    g2 : dict of int to (A, D) float64
    stands_for : dict of int to str
        What a colour is, where that is known.
    mean, error : dict of int to (D,) float64
        g2 over all ages, and its standard error; empty in older files.
    """

    label: str
    processed: int
    rate: float
    ages: NDArray[np.int64]
    width: int
    delays: NDArray[np.int64]
    maps: dict[int, NDArray[np.float64]]
    g2: dict[int, NDArray[np.float64]]
    stands_for: dict[int, str] = field(default_factory=dict)
    mean: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    error: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def __repr__(self) -> str:
        of = f"{len(self.maps)} colours, {len(self.ages)} ages of {self.width} pulses, {len(self.delays)} delays"
        return printable(f"<two times of {self.label}: {of}, {self.processed:,} events>")

    @property
    def colors(self) -> list[int]:
        """The colours that there are."""
        return [*self.maps]

    def cut(
        self, color: int, band: tuple[float, float] = (-np.inf, np.inf)
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the mean along each diagonal of a map, within a band of age.

        Parameters
        ----------
        color : int
        band : (float, float) [pulses]
            Of (t1 + t2) / 2.

        Returns
        -------
        delays : (A,) int64 [pulses]
        g2 : (A,) float64
            NaN where there is no pair.
        """
        matrix, middle = self.maps[color], self.ages + (self.width - 1) / 2
        found = np.full(len(middle), np.nan)
        for lag in range(len(middle)):
            age = (middle[: len(middle) - lag] + middle[lag:]) / 2
            values = matrix.diagonal(lag)[(age >= band[0]) & (age <= band[1])]
            if np.isfinite(values).any():
                found[lag] = np.nanmean(values)
        return np.arange(len(middle)) * self.width, found

    def cut_error(self, color: int) -> NDArray[np.float64]:
        """Return the standard error of the `cut` of all ages, (A,) float64; NaN where there is none, as of `error`."""
        matrix, bins = self.maps[color], len(self.ages)
        along = np.full((bins, bins), np.nan)  # (age, delay)
        for lag in range(bins):
            along[lag // 2 : lag // 2 + bins - lag, lag] = matrix.diagonal(lag)
        return over_ages(along, np.ones(along.shape), self.width, np.arange(bins) * self.width)[1]


def write_two_time(group, colors, maps, ages, width, delays, g2, weights, rate, stands_for=None):
    """Write an update.

    Parameters
    ----------
    group : h5py.Group
    colors : (C,) int64
    maps : (C, A, A) float64
    ages : (A,) int64 [pulses]
    width : int
    delays : (D,) int64 [pulses]
    g2, weights : (C, A, D) float64
        What g2 of each age was divided by weighs it among all ages.
    rate : float
    stands_for : (str, str, (C,) float64), optional
        As ``('q', '1/angstrom', values)``.
    """
    about = {"rate": rate}
    write_dataset(group, "ages", ages, "pulses", f"first counter of each bin; one pulse is 1/{rate} s", **about)
    write_dataset(group, "width", width, "pulses", "pulses per bin of age")
    write_dataset(group, "delays", delays, "pulses", f"delays; one pulse is 1/{rate} s", **about)
    for k, color in enumerate(colors):
        known = attributes_of(stands_for, k)
        what = "two-time correlation C(t1, t2) of the colour, bins of age along both axes; NaN where there is no pair"
        write_dataset(group, f"color_{color}", maps[k], "1", what, **known)
        what = "g2 of the colour, ages x delays: of the pairs whose middle is in the bin; NaN where there is no pair"
        write_dataset(group, f"g2_age_color_{color}", g2[k], "1", what, **known)
        mean, error, groups = over_ages(g2[k], weights[k], width, delays)
        what = "g2 of the colour over all ages: a ratio of sums; NaN where there is no pair"
        write_dataset(group, f"g2_age_mean_color_{color}", mean, "1", what, **known)
        write_dataset(group, f"g2_age_mean_err_color_{color}", error, "1", _ERROR, error_from=TIME, groups=groups)


def read_two_time(user, label, at=None):
    """Read an update.

    Parameters
    ----------
    user : h5py.Group
        What holds the groups of the updates.
    label : str
    at : int, optional
        Events processed at the update; the last one without it.

    Raises
    ------
    ConfigError
        There is no such update, or its arrays do not belong together.
    """
    processed, group = update_at(user, GROUP, label, at)
    try:
        ages, delays, width = group["ages"], group["delays"], group["width"]
        colors = sorted(int(name[6:]) for name in group if re.fullmatch(r"color_\d{1,18}", name))
        maps = {c: group[f"color_{c}"] for c in colors}
        g2 = {c: group[f"g2_age_color_{c}"] for c in colors}
        shapes = {maps[c].shape: (len(ages), len(ages)) for c in colors}
        shapes |= {g2[c].shape: (len(ages), len(delays)) for c in colors}
        numbers = (ages, delays, width, *maps.values(), *g2.values())
        if any(has != should for has, should in shapes.items()) or width.shape or ages.ndim != 1 or delays.ndim != 1:
            raise ValueError
        if any(array.dtype.kind not in "iuf" for array in numbers):
            raise TypeError
        both = [
            {c: group[f"g2_age_{name}_{c}"][:] for c in colors if f"g2_age_{name}_{c}" in group} for name in _OF_ALL
        ]
        wrong = (array.shape != delays.shape or array.dtype.kind != "f" for each in both for array in each.values())
        if both[0].keys() != both[1].keys() or any(wrong):
            raise ValueError
        known = {c: _name(maps[c].attrs) for c in colors}
        return TwoTimeResult(
            label, processed, rate_of(ages, label), ages[:], int(width[()]), delays[:],
            {c: each[:] for c, each in maps.items()}, {c: each[:] for c, each in g2.items()},
            {c: name for c, name in known.items() if name}, *both,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ConfigError(f"{label}: {group.name} lacks a part, or its arrays do not belong together") from None


def _name(attributes):
    kind = next((name for name in attributes if f"{name}_unit" in attributes), None)
    return f"{kind} = {float(attributes[kind]):.4g} {attributes[f'{kind}_unit']}" if kind else ""
