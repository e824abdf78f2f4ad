"""Embedded speckle simulator: frames of a Brownian sample whose g2 is known exactly.

Each element carries a complex Gaussian field E with ``<|E|^2> = 1`` that follows an
Ornstein-Uhlenbeck process in time (Uhlenbeck and Ornstein, Phys. Rev. 36, 823,
1930), so the field correlation is ``exp(-d / tau_c)`` for every delay d. By the
Siegert relation (Goodman, Speckle Phenomena in Optics, 2007) the intensity
``mean * (1 + sqrt(contrast) * (|E|^2 - 1))`` has
``g2(d) = 1 + contrast * exp(-2 d / tau_c)``. A sample that ages has the same
process in a time of its own, which runs slower and slower.

Any pulse can be computed without all the earlier ones: the fields at pulses 0,
1, 2, 4, 8, ... form a chain, and in between the process is bisected, each field
drawn given the two that enclose it (Levy's construction). The process is Markov,
so this is exact, and a frame depends on seed and pulse only: not on gaps, order,
servers or blocks. The frames of one seed are the same as long as NumPy's
generators are (NEP 19), on one type of CPU.
"""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parcorana.events.brownian import Brownian, Options
from parcorana.events.dataset import Dataset
from parcorana.events.protocol import Event, Share, even_step
from parcorana.events.speckle import GAPS, ORDER, PHOTONS, PULSES, Fields, bytes_of, generator, rings
from parcorana.events.values import PULSE

__all__ = ["Brownian", "SimulatedSource", "colors", "frames", "true_c2", "true_contrast", "true_g2"]


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
        for ``<I(t) I(t+d)> / <I>^2`` scatters around it. With `aging`: the mean
        of `true_c2` over all pairs of the run; NaN for a delay without any.
    """
    options = Brownian.of(options)
    delays = np.asarray(delays, np.float64)
    if not options.aging:
        return true_c2(options, np.zeros(delays.shape), delays, color)
    pulses = np.sort(_pulses(options))
    result = np.full(delays.shape, np.nan)
    for place in np.ndindex(delays.shape):
        earlier = pulses[np.isin(pulses + delays[place], pulses)]
        if len(earlier):
            result[place] = true_c2(options, earlier, earlier + delays[place], color).mean()
    return result


def true_c2(options: Options, t1: ArrayLike, t2: ArrayLike, color: int = 1) -> NDArray[np.float64]:
    """Return the two-time correlation that the ensemble of simulated runs has.

    Parameters
    ----------
    options : Dataset, str, dict or Brownian
        As for `Brownian.of`.
    t1, t2 : array_like of int
        Pulses from 0 on, of shapes that fit each other: ``t[:, None], t`` gives a matrix.
    color : int
        Ring, 1 to the number of colours.

    Returns
    -------
    ndarray of float64
        ``1 + contrast * exp(-2 * color**2 * s / tau)``, where s is the time between
        the two pulses, divided by ``1 + aging * t`` all along: with `aging`
        ``log((1 + aging * later) / (1 + aging * earlier)) / aging``.
    """
    options = Brownian.of(options)
    if not 1 <= color <= options.colors:
        raise ValueError(f"color must be from 1 to {options.colors}, not {color}")
    t1, t2 = np.asarray(t1, np.float64), np.asarray(t2, np.float64)
    passed = np.asarray(options.passed(np.minimum(t1, t2), np.maximum(t1, t2)), np.float64)
    decay: NDArray[np.float64] = np.exp(-2 * passed * color**2 / options.tau)
    return 1 + options.contrast * decay


def true_contrast(options: Options, exposure: int = 1, color: int = 1, first: int = 0) -> float:
    """Return the contrast of the sum of several pulses, without photon noise.

    Parameters
    ----------
    options : Dataset, str, dict or Brownian
        As for `Brownian.of`.
    exposure : int
        Pulses that are summed, one after the other.
    color : int
        Ring, 1 to the number of colours.
    first : int
        The first of these pulses; it matters with `aging` only.

    Returns
    -------
    float
        Variance over squared mean of the sum: the mean of ``true_c2 - 1`` over all
        pairs of these pulses, each with itself, too. With `sase` what its pulses have
        is in it: ``(1 + contrast) * (1 + sase**2) - 1`` for one pulse.
    """
    options = Brownian.of(options)
    if exposure < 1:
        raise ValueError(f"exposure must be at least 1 pulse, not {exposure}")
    pulses = first + np.arange(exposure)
    total = exposure * ((1 + options.contrast) * (1 + options.sase**2) - 1)
    for delay in range(1, exposure):
        total += 2 * float((true_c2(options, pulses[:-delay], pulses[delay:], color) - 1).sum())
    return total / exposure**2


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


def frames(options: Options) -> NDArray[Any]:
    """Return all frames, in the order of the sequence.

    Parameters
    ----------
    options : Dataset, str, dict or Brownian
        As for `Brownian.of`.

    Returns
    -------
    (events, *shape of the detector) array of uint16 or float32 [counts]
    """
    source = SimulatedSource(options, Share())
    return np.stack([source.frame(pulse) for pulse in source.pulses.tolist()])


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

    Memory: about 30 fields of 8 bytes per element and mode each, and two more per pulse
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
    stamps, total, shape, dtype, live, reading_bytes
        As `EventSource` says; stamps are pulses.

    Raises
    ------
    ConfigError
        A wrong option.
    """

    stamps = "pulses"

    def __init__(self, dataset: Options, share: Share, values: Iterable[str] = ()) -> None:
        self.options = Brownian.of(dataset)
        self.pulses = _pulses(self.options)
        self.total = min(self.pulses.size, share.numevents or self.pulses.size)
        self.shape = self.options.shape
        self.dtype = self.options.dtype
        self.live = isinstance(dataset, Dataset) and dataset.live
        self._share = share
        self._names = tuple({*values, PULSE})
        self._fields: Fields | None = None
        self.reading_bytes = bytes_of(self.options)

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
        first, *others = self._fields.at(int(pulse))  # real and imaginary parts of each mode
        modes, mean = self.options.modes, self.options.mean * self.pulse(pulse)
        visibility = 1.0 if modes else math.sqrt(self.options.contrast)
        intensity = first * first
        for part in others:
            intensity += part * part
        intensity *= np.float32(mean * visibility / max(modes, 1))
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
