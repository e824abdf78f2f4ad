"""Frames of a sample whose diffusion coefficient is known: spheres that diffuse, as a detector counts their speckle."""

import argparse
from dataclasses import dataclass

import numpy as np

PIXEL = 75e-6  # m
WAVELENGTH = 1.55  # angstrom: 8 keV
# Spheres of 1 um in water of 20 degrees, k T / (6 pi eta r); a glycerol solution 17 times as viscous slows them down.
WATER, GLYCEROL = 0.43, 0.0258  # um^2/s
MODES = 2  # independent patterns in each pixel: contrast 1 / MODES


@dataclass
class Place:
    """Where a detector is whose pixels are a plain image.

    The beam is off the middle, as it mostly is, and a larger detector stands farther away: it sees the same q at its
    edges.

    Attributes
    ----------
    shape : (int, int)
    """

    shape: tuple

    @property
    def center(self):
        """Row and column of the beam."""
        return 0.45 * self.shape[0], 0.55 * self.shape[1]

    @property
    def distance(self):
        """From sample to detector [m]."""
        return 0.04 * self.shape[0]

    @property
    def q(self):
        """Of each pixel, (rows, columns) [1/um]."""
        down, right = np.indices(self.shape)
        return q_of(np.hypot(down - self.center[0], right - self.center[1]) * PIXEL, self.distance)

    def __str__(self):
        row, column = self.center
        return (
            f"beam at row {row:g}, column {column:g}, distance {self.distance * 1e3:g} mm, "
            f"pixels of {PIXEL * 1e6:g} um, {WAVELENGTH:g} angstrom"
        )


def q_of(radius, distance):
    """Return the momentum transfer [1/um] of pixels as far from the beam, both in m."""
    return 4e4 * np.pi / WAVELENGTH * np.sin(np.arctan2(radius, distance) / 2)


@dataclass
class Sample:
    """What the frames are made of.

    Attributes
    ----------
    q : float array of any shape [1/um]
        Of each pixel.
    frames : int
        How many.
    rate : float [1/s]
        Frames, or pulses, per second.
    diffusion : float [um^2/s]
        D. The field of a pixel decays as exp(-D q^2 t), so g2 - 1 = exp(-2 D q^2 t) / MODES.
    mean : float
        Photons per frame of a pixel at the smallest q.
    seed : int
        Of the random numbers.
    """

    q: np.ndarray
    frames: int
    rate: float
    diffusion: float
    mean: float
    seed: int = 1

    def __str__(self):
        return f"D = {self.diffusion:g} um^2/s, {self.rate:g} frames/s"

    def speckle(self):
        """Yield each frame's expected photons, float32 of the shape of q.

        In each pixel MODES complex fields relax as g1 = exp(-D q^2 t), exactly, whatever the time between frames.
        """
        rng = np.random.default_rng(self.seed)
        keep = np.exp(-self.diffusion * self.q**2 / self.rate).astype(np.float32)
        stir = np.sqrt(1 - keep.astype(np.float64) ** 2).astype(np.float32)
        level = (self.mean / (2 * MODES) / (1 + (self.q / 30) ** 2) ** 2).astype(np.float32)  # falls as q^-4
        field = rng.standard_normal((2 * MODES, *self.q.shape), np.float32)
        noise = np.empty_like(field)
        for _ in range(self.frames):
            yield np.square(field).sum(axis=0) * level
            rng.standard_normal(out=noise, dtype=np.float32)
            field *= keep
            noise *= stir
            field += noise

    def photons(self, pulses=None):
        """Yield each frame's counts, int64 of the shape of q; `pulses` are the frames' intensities, 1 on average."""
        rng = np.random.default_rng([self.seed, 1])
        for k, light in enumerate(self.speckle()):
            yield rng.poisson(light if pulses is None else light * np.float32(pulses[k]))


def sase_pulses(count, seed):
    """Return intensities of pulses of a free-electron laser, and what a monitor says of them.

    Parameters
    ----------
    count, seed : int

    Returns
    -------
    pulses : (count,) float64
        Gamma distributed, 30% of relative standard deviation; 3% of the pulses are lost.
    monitor : (count,) float64 [mJ]
        The same with 1% of noise, 2 mJ on average.
    """
    rng = np.random.default_rng([seed, 2])
    pulses = rng.gamma(1 / 0.3**2, 0.3**2, count)
    pulses[rng.random(count) < 0.03] = 0
    return pulses, 2 * pulses * rng.normal(1, 0.01, count) + rng.normal(0, 0.002, count)


def add_size(parser, frames):
    """Add the options that both scripts have: how many frames, how bright, which random numbers."""
    parser.add_argument("--frames", metavar="N", type=_whole, default=frames, help="how many (%(default)s)")
    parser.add_argument(
        "--mean", metavar="X", type=_mean, default=4.0, help="photons per pixel and frame at small q (%(default)s)"
    )
    parser.add_argument("--seed", metavar="N", type=_whole, default=1, help="of the random numbers (%(default)s)")


def _whole(text):
    if not text.isdecimal() or not 0 < int(text) < 10**7:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 9999999")
    return int(text)


def _mean(text):
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and below 10000")
    return value
