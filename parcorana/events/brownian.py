"""The options of ``sim=brownian``, checked."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from parcorana.errors import ConfigError, nearest
from parcorana.events.dataset import Dataset, parse_dataset


def _whole(low, high):
    def parse(text):
        value = int(text) if re.fullmatch(r"\d{1,20}", text) else -1
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def _real(low, high, low_too=False):
    def parse(text):
        value = float(text)
        if not (low < value <= high or (low_too and value == low)):
            raise ValueError
        return value

    return parse


def _shape(text):
    if not re.fullmatch(r"\d{1,9}(x\d{1,9}){0,7}", text):
        raise ValueError
    shape = tuple(int(size) for size in text.split("x"))
    if not 0 < math.prod(shape) < 2**31:
        raise ValueError
    return shape


_OPTIONS = {
    "shape": (_shape, "one to eight sizes of at least 1 joined by 'x', like 2x185x388, below 2^31 elements in all"),
    "events": (_whole(0, 10**7), "a whole number from 0 to 10000000"),
    "tau": (_real(1e-3, 1e9, low_too=True), "a decay time from 0.001 to 1e9 pulses"),
    "seed": (_whole(0, 2**64 - 1), "a whole number from 0 to 2^64 - 1"),
    "contrast": (_real(0, 1), "a number above 0 and at most 1"),
    "mean": (_real(0, 1e6), "a number of counts above 0 and at most 1e6"),
    "poisson": (_whole(0, 1), "0 (no photon noise) or 1"),
    "gaps": (_real(0, 0.9, low_too=True), "the fraction of missing pulses, from 0 to 0.9"),
    "disorder": (_whole(0, 1000), "a window of 0 to 1000 pulses (0 or 1: in order)"),
    "colors": (_whole(1, 10_000), "a whole number of rings from 1 to 10000"),
    "hz": (_real(1e-3, 1e6, low_too=True), "a rate from 0.001 to 1e6 pulses per second"),
    "sase": (_real(0, 1, low_too=True), "the relative standard deviation of the pulses' intensity, from 0 to 1"),
    "aging": (_real(0, 1000, low_too=True), "by what part the decay time grows in each pulse, from 0 to 1000"),
    "modes": (_whole(0, 100), "a whole number of independent fields from 1 to 100 (0: contrast says it)"),
}


@dataclass(frozen=True)
class Brownian:
    """Options of ``sim=brownian``.

    Attributes
    ----------
    shape : tuple of int
        Shape of the detector; speckles extend along its last two axes.
    events : int
    tau : float
        Decay time of the field at colour 1 [pulses].
    seed : int
    contrast : float
        Variance of the intensity over its squared mean.
    mean : float
        Mean intensity [counts].
    poisson : int
        1: photon noise, uint16 counts; 0: float32 intensity.
    gaps : float
        Fraction of the pulses that are missing.
    disorder : int
        Events come shuffled within windows of so many pulses; 0 or 1: in order.
    colors : int
        Number C of rings; in ring c = 1..C the decay time is ``tau / c**2``,
        as in diffusion where q grows linearly from ring to ring.
    hz : float
        Pulses per second of a live run.
    sase : float
        Relative standard deviation of the intensity of the pulses, which
        multiplies all elements of a frame; the value `pulse` of an event is
        that of its pulse, of mean 1. It is gamma distributed, as the energy of
        the pulses of a free-electron laser is, and independent from pulse to pulse.
    aging : float
        The sample slows down: at pulse t its decay time is ``tau * (1 + aging * t)``.
    modes : int
        M > 0: the intensity is the mean of M independent speckle patterns, as of
        light that is partly coherent. The contrast is then 1/M, and the photons of
        a pulse are distributed as a negative binomial of M modes. 0: `contrast` says it.
    """

    shape: tuple[int, ...] = (2, 185, 388)
    events: int = 1000
    tau: float = 30.0
    seed: int = 1
    contrast: float = 0.5
    mean: float = 10.0
    poisson: int = 0
    gaps: float = 0.0
    disorder: int = 0
    colors: int = 1
    hz: float = 120.0
    sase: float = 0.0
    aging: float = 0.0
    modes: int = 0

    @classmethod
    def of(cls, options: Any) -> "Brownian":
        """Make the options of a `Dataset`, its text, or a dict of options.

        Parameters
        ----------
        options : Dataset, str, dict or Brownian
            The values of a dict are as in the dataset string, or numbers and a
            tuple for the shape.

        Returns
        -------
        Brownian

        Raises
        ------
        ConfigError
            Another simulator, or an unknown option or a wrong value, named.
        """
        if isinstance(options, cls):
            return options
        where = "simulator"
        if isinstance(options, str):
            options = parse_dataset(options)
        if isinstance(options, Dataset):
            where = f"dataset {options.text!r}"
            if "hz" in options.options and not options.live:
                raise ConfigError(f"{where}: hz is the rate of a live run: add 'live', or leave it out")
            if options.kind != "sim" or options.name != "brownian":
                raise ConfigError(f"{where}: no such simulator; the only one is 'sim=brownian'")
            options = options.options
        values = {}
        for name, value in options.items():
            if name not in _OPTIONS:
                known = f"known are {', '.join(_OPTIONS)}"
                raise ConfigError(f"{where}: unknown option {name!r}{nearest(name, _OPTIONS) or '; ' + known}")
            text = "x".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
            parse, right = _OPTIONS[name]
            try:
                values[name] = parse(text)
            except ValueError:
                raise ConfigError(f"{where}: {name}={text} must be {right}") from None
        if values.get("modes"):
            if "contrast" in values:
                raise ConfigError(f"{where}: modes={values['modes']} makes the contrast 1/modes: leave contrast out")
            values["contrast"] = 1 / values["modes"]
        result = cls(**values)
        result._check(where)
        return result

    def _check(self, where):
        room = math.prod(self.shape[-2:])
        if self.colors > room:
            raise ConfigError(
                f"{where}: colors={self.colors} must be at most {room}, "
                f"the elements of an image of shape={'x'.join(map(str, self.shape))}"
            )
        # Above, a bright speckle, in a bright pulse, could exceed what uint16 holds.
        most = 1000 if not self.sase else 200
        if self.poisson and self.mean > most:
            with_sase = " and sase" if self.sase else ""
            raise ConfigError(f"{where}: mean={self.mean:g} must be at most {most} counts with poisson=1{with_sase}")

    def passed(self, earlier: Any, later: Any) -> Any:
        """Return the time from one pulse to another, as long as it is for the sample.

        Parameters
        ----------
        earlier, later : int or array of int [pulses]

        Returns
        -------
        number or float64 array
            ``integral dt / (1 + aging * t)``; without aging the difference.
        """
        if not self.aging:
            return later - earlier
        return np.log1p(self.aging * (later - earlier) / (1 + self.aging * earlier)) / self.aging

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the frames: uint16 with photon noise, else float32."""
        return np.dtype(np.uint16 if self.poisson else np.float32)


Options = Dataset | str | dict[str, Any] | Brownian
