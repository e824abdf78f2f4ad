"""Embedded speckle simulator: frames of a Brownian sample whose g2 is known exactly.

Each element carries a complex Gaussian field E with ``<|E|^2> = 1`` that follows an
Ornstein-Uhlenbeck process in time (Uhlenbeck and Ornstein, Phys. Rev. 36, 823,
1930), so the field correlation is ``exp(-d / tau_c)`` for every delay d. By the
Siegert relation (Goodman, Speckle Phenomena in Optics, 2007) the intensity
``mean * (1 + sqrt(contrast) * (|E|^2 - 1))`` has
``g2(d) = 1 + contrast * exp(-2 d / tau_c)``.

Any pulse can be computed without all the earlier ones: the fields at pulses 0,
1, 2, 4, 8, ... form a chain, and in between the process is bisected, each field
drawn given the two that enclose it (Levy's construction). The process is Markov,
so this is exact, and a frame depends on seed and pulse only: not on gaps, order,
servers or blocks. The frames of one seed are the same as long as NumPy's
generators are (NEP 19), on one type of CPU.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parcorana.errors import ConfigError, nearest
from parcorana.events.dataset import Dataset, parse_dataset
from parcorana.events.protocol import Event, Share, even_step
from parcorana.events.speckle import GAPS, ORDER, PHOTONS, PULSES, Fields, generator, rings
from parcorana.events.values import PULSE


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
    "hz": (_real(0, 1e6), "a rate above 0 and at most 1e6 pulses per second"),
    "sase": (_real(0, 1, low_too=True), "the relative standard deviation of the pulses' intensity, from 0 to 1"),
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

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the frames: uint16 with photon noise, else float32."""
        return np.dtype(np.uint16 if self.poisson else np.float32)


Options = Dataset | str | dict[str, Any] | Brownian


def true_g2(options: Options, delays: ArrayLike, color: int = 1) -> NDArray[np.float64]:
    """Return the g2 that the ensemble of simulated runs has.

    Parameters
    ----------
    options : Dataset, str, dict or Brownian
        As for `Brownian.of`.
    delays : array_like of int
        Delays > 0 [pulses]. (Photon noise adds 1/mean at delay 0 only.)
    color : int
        Ring, 1 to the number of colours.

    Returns
    -------
    ndarray of float64, shape of `delays`
        ``1 + contrast * exp(-2 * delay * color**2 / tau)``. What one run gives
        for ``<I(t) I(t+d)> / <I>^2`` scatters around it.
    """
    options = Brownian.of(options)
    if not 1 <= color <= options.colors:
        raise ValueError(f"color must be from 1 to {options.colors}, not {color}")
    decay: NDArray[np.float64] = np.exp(-2 * np.asarray(delays, np.float64) * color**2 / options.tau)
    return 1 + options.contrast * decay


def colors(options: Options) -> NDArray[np.int32]:
    """Return the colour of each element: rings around the middle of each image.

    Parameters
    ----------
    options : Dataset, str, dict or Brownian
        As for `Brownian.of`.

    Returns
    -------
    ndarray of int32, shape of the detector
        1 to the number of colours, as nearly equally many elements of each as
        possible; an image is the last two axes.
    """
    options = Brownian.of(options)
    return np.broadcast_to(rings(options), options.shape).copy()


def _pulses(options):
    """Pulse of each event of the sequence, int64, shape (events,)."""
    if options.gaps:
        chances, found, first, missing = generator(options, GAPS), [], 0, options.events
        while missing > 0:
            present = first + np.flatnonzero(chances.random(1 << 16) >= options.gaps)[:missing]
            found.append(present)
            first += 1 << 16
            missing -= present.size
        pulses = np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)
    else:
        pulses = np.arange(options.events, dtype=np.int64)
    if options.disorder > 1:
        chance = generator(options, ORDER).random(pulses.size)
        pulses = pulses[np.lexsort((chance, pulses // options.disorder))]
    return pulses


class SimulatedSource:
    """``sim=brownian``: an `EventSource` of simulated speckle frames.

    Memory: about 30 fields of 8 bytes per element each, and two more per pulse
    of `disorder`, but at most 64 MiB or 13 fields, whichever is more.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    share : parcorana.events.protocol.Share
    values : iterable of str
        Names for `pulse` besides its own.

    Attributes
    ----------
    options : Brownian
    pulses : (total,) int64 ndarray
        Pulse of each event of the sequence, over all servers.
    stamps, total, shape, dtype, live
        As `EventSource` says; stamps are pulses.

    Raises
    ------
    ConfigError
        A wrong option.
    """

    stamps = "pulses"

    def __init__(self, dataset: Dataset, share: Share, values: Iterable[str] = ()) -> None:
        self.options = Brownian.of(dataset)
        self.pulses = _pulses(self.options)
        self.total = min(self.pulses.size, share.numevents or self.pulses.size)
        self.shape = self.options.shape
        self.dtype = self.options.dtype
        self.live = dataset.live
        self._share = share
        self._names = tuple({*values, PULSE})
        self._fields: Fields | None = None

    def pulse(self, pulse: int) -> float:
        """Return the intensity of a pulse, of mean 1: 1 without `sase`."""
        if not self.options.sase:
            return 1.0
        shape = self.options.sase**-2
        return float(generator(self.options, PULSES, int(pulse)).gamma(shape, 1 / shape))

    def pulses_apart(self, rate: float) -> int | None:
        """Return the pulses from each event to the next, if all are equally far apart; see `EventSource`."""
        return even_step(self.pulses[: self.total])

    def frame(self, pulse: int) -> NDArray[Any]:
        """Return the frame at `pulse`, also where that pulse is in a gap.

        Parameters
        ----------
        pulse : int
            Not negative.

        Returns
        -------
        ndarray of `dtype`, shape of the detector [counts]
            The caller's own.
        """
        if pulse < 0:
            raise ValueError(f"pulse must not be negative, and is {pulse}")
        if self._fields is None:
            self._fields = Fields(self.options)
        real, imaginary = self._fields.at(int(pulse))
        visibility, mean = math.sqrt(self.options.contrast), self.options.mean * self.pulse(pulse)
        intensity = real * real
        intensity += imaginary * imaginary
        intensity *= np.float32(mean * visibility)
        intensity += np.float32(mean * (1 - visibility))
        intensity = intensity.reshape(self.shape)
        if self.options.poisson:
            return generator(self.options, PHOTONS, int(pulse)).poisson(intensity).astype(np.uint16)
        return intensity

    def blocks(self) -> Iterator[Iterator[Event]]:
        """Yield this server's blocks, each an iterator of `Event`."""
        for first, last in self._share.blocks(self.total):
            yield self._block(first, last)

    def _block(self, first, last):
        for index, pulse in enumerate(self.pulses[first:last].tolist(), first):
            yield self._event(index, pulse)

    def _event(self, index, pulse):
        return Event(0, pulse, lambda: self.frame(pulse), index=index, values=lambda: self._values(pulse))

    def _values(self, pulse):
        return dict.fromkeys(self._names, self.pulse(pulse))

    def events(self) -> Iterator[Event | None]:
        """Yield every so many-th event at its time, the first pulse being now; None in between."""
        start, hz = time.monotonic(), self.options.hz
        for index in range(self._share.server, len(self.pulses), self._share.servers):
            pulse = int(self.pulses[index])
            while time.monotonic() < start + pulse / hz:
                yield None
            yield self._event(index, pulse)

    def close(self) -> None:
        """Free the fields; a later frame makes them anew."""
        self._fields = None
