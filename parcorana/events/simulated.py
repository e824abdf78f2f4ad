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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parcorana.errors import ConfigError, nearest
from parcorana.events.dataset import Dataset, parse_dataset
from parcorana.events.source import Event, Share, even_step

# Noise along each image axis is smoothed by (1 + z)^4, that is [1, 4, 6, 4, 1]:
# neighbours then correlate by 0.8, the next ones by 0.4, 0.11 and 0.014.
_SMOOTH = 4
_SMOOTH_NORM = math.sqrt(sum(math.comb(_SMOOTH, k) ** 2 for k in range(_SMOOTH + 1)))
_CACHE_BYTES = 64 << 20
_FIELD, _PHOTONS, _GAPS, _ORDER = range(4)


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
        # Above, a bright speckle could exceed what uint16 holds.
        if self.poisson and self.mean > 1000:
            raise ConfigError(f"{where}: mean={self.mean:g} must be at most 1000 counts with poisson=1")

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
    return np.broadcast_to(_rings(options), options.shape).copy()


def _rings(options):
    """Colours of one image, int32, shape of the detector's last two axes."""
    plane = options.shape[-2:]
    # Doubled coordinates make the squared radius an exact integer.
    square = sum((2 * x - (n - 1)) ** 2 for x, n in zip(np.indices(plane, np.int64), plane, strict=True))
    ring = np.empty(square.size, np.int32)
    ring[np.argsort(square, axis=None, kind="stable")] = np.arange(square.size) * options.colors // square.size + 1
    return ring.reshape(plane)


def _generator(options, *key):
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(options.seed, spawn_key=key)))


def _pulses(options):
    """Pulse of each event of the sequence, int64, shape (events,)."""
    if options.gaps:
        generator, found, first, missing = _generator(options, _GAPS), [], 0, options.events
        while missing > 0:
            present = first + np.flatnonzero(generator.random(1 << 16) >= options.gaps)[:missing]
            found.append(present)
            first += 1 << 16
            missing -= present.size
        pulses = np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)
    else:
        pulses = np.arange(options.events, dtype=np.int64)
    if options.disorder > 1:
        chance = _generator(options, _ORDER).random(pulses.size)
        pulses = pulses[np.lexsort((chance, pulses // options.disorder))]
    return pulses


class _Fields:
    """The field at any pulse: float32, shape (2: real and imaginary, images, rows, columns)."""

    def __init__(self, options):
        self._options = options
        rows, columns = (1, *options.shape)[-2:]
        self._shape = (2, math.prod(options.shape[:-2]), rows, columns)
        # An axis of length 1 has no neighbours to be correlated with.
        pads = [_SMOOTH if size > 1 else 0 for size in (rows, columns)]
        self._padded = (*self._shape[:2], rows + pads[0], columns + pads[1])
        self._shifts = [self._padded[3]] * pads[0] + [1] * pads[1]
        # <|E|^2> = 1 is shared by the real and the imaginary part.
        self._amplitude = math.sqrt(0.5) / _SMOOTH_NORM ** np.count_nonzero(pads)
        self._rates = np.arange(1, options.colors + 1) ** 2 / options.tau
        self._ring = _rings(options).reshape(rows, columns) - 1 if options.colors > 1 else None
        self._scratch = np.empty((2, math.prod(self._padded)), np.float32)
        self._product = np.empty(self._shape, np.float32)
        self._cache, self._now = {}, 0
        wanted = 24 + 2 * options.disorder
        self._capacity = max(8, min(wanted, _CACHE_BYTES // (4 * math.prod(self._shape))))

    def at(self, pulse):
        """Return the field at `pulse`; not to be changed."""
        self._now = pulse
        return self._at(pulse)

    def _at(self, pulse):
        field = self._cache.pop(pulse, None)
        if field is None:
            field = self._make(pulse)
        self._cache[pulse] = field
        while len(self._cache) > self._capacity:
            del self._cache[self._least_useful()]
        return field

    def _least_useful(self):
        if self._options.disorder > 1:
            return next(iter(self._cache))  # the one used longest ago
        # In order, one that has passed, else the one that will be needed last.
        first = min(self._cache)
        return first if first < self._now else max(self._cache)

    def _make(self, pulse):
        step = pulse & -pulse
        if pulse == 0:
            return self._sum(0, 0.0, 1.0)
        if pulse == step:
            before = pulse // 2
            decay = np.exp(-(pulse - before) * self._rates)
            spread = np.sqrt(-np.expm1(-2 * (pulse - before) * self._rates))
            return self._sum(pulse, decay, spread, self._at(before))
        # Ornstein-Uhlenbeck bridge, the process given both ends: with
        # a = exp(-step/tau) the mean is a / (1 + a^2) times the sum of the
        # ends, the variance (1 - a^2) / (1 + a^2).
        decay = np.exp(-step * self._rates)
        spread = np.sqrt(np.tanh(step * self._rates))
        ends = [self._at(end) for end in (pulse - step, pulse + step)]
        return self._sum(pulse, decay / (1 + decay**2), spread, *ends)

    def _sum(self, pulse, weight, spread, *ends):
        """Return weight * (sum of the ends) + spread * noise."""
        field = self._noise(pulse) * self._each(spread * self._amplitude)
        if ends:
            total = np.add(*ends, out=self._product) if len(ends) == 2 else ends[0]
            field += np.multiply(total, self._each(weight), out=self._product)
        return field

    def _each(self, values):
        """Values per colour, as float32 per element of an image, or one for all."""
        values = np.broadcast_to(values, self._rates.shape).astype(np.float32)
        return values[0] if self._ring is None else values[self._ring]

    def _noise(self, pulse):
        """White in time, speckled in space, equal variance up to the edges.

        All padded images are one long array that is added to itself shifted by
        a column or a row; what wraps around ends in the padding.
        """
        noise, other = self._scratch
        _generator(self._options, _FIELD, pulse).standard_normal(dtype=np.float32, out=noise)
        size = noise.size
        for shift in self._shifts:
            size -= shift
            np.add(noise[:size], noise[shift : shift + size], out=other[:size])
            noise, other = other, noise
        return noise.reshape(self._padded)[:, :, : self._shape[2], : self._shape[3]]


class SimulatedSource:
    """``sim=brownian``: an `EventSource` of simulated speckle frames.

    Memory: about 30 fields of 8 bytes per element each, and two more per pulse
    of `disorder`, but at most 64 MiB or 13 fields, whichever is more.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    share : parcorana.events.source.Share

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

    def __init__(self, dataset: Dataset, share: Share) -> None:
        self.options = Brownian.of(dataset)
        self.pulses = _pulses(self.options)
        self.total = min(self.pulses.size, share.numevents or self.pulses.size)
        self.shape = self.options.shape
        self.dtype = self.options.dtype
        self.live = dataset.live
        self._share = share
        self._fields: _Fields | None = None

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
            self._fields = _Fields(self.options)
        real, imaginary = self._fields.at(int(pulse))
        visibility = math.sqrt(self.options.contrast)
        intensity = real * real
        intensity += imaginary * imaginary
        intensity *= np.float32(self.options.mean * visibility)
        intensity += np.float32(self.options.mean * (1 - visibility))
        intensity = intensity.reshape(self.shape)
        if self.options.poisson:
            generator = _generator(self.options, _PHOTONS, int(pulse))
            return generator.poisson(intensity).astype(np.uint16)
        return intensity

    def blocks(self) -> Iterator[Iterator[Event]]:
        """Yield this server's blocks, each an iterator of `Event`."""
        for first, last in self._share.blocks(self.total):
            yield self._block(first, last)

    def _block(self, first, last):
        for pulse in self.pulses[first:last].tolist():
            yield Event(0, pulse, lambda pulse=pulse: self.frame(pulse))

    def events(self) -> Iterator[Event | None]:
        """Yield every so many-th event at its time, the first pulse being now; None in between."""
        start, hz = time.monotonic(), self.options.hz
        for pulse in self.pulses[self._share.server :: self._share.servers].tolist():
            while time.monotonic() < start + pulse / hz:
                yield None
            yield Event(0, pulse, lambda pulse=pulse: self.frame(pulse))

    def close(self) -> None:
        """Free the fields; a later frame makes them anew."""
        self._fields = None
