"""Colours: which elements share a delay curve."""

from dataclasses import dataclass

import numpy as np

from parcorana.errors import ConfigError


@dataclass(frozen=True)
class Rings:
    """Rings of any quantity, each divided into sectors.

    Attributes
    ----------
    edges : (R + 1,) float64, increasing
        Of R rings that follow each other.
    sectors : int
    begin : float [degrees]
        Where the first sector begins.
    """

    edges: np.ndarray
    sectors: int = 1
    begin: float = 0.0

    @property
    def number(self):
        """Number of rings."""
        return len(self.edges) - 1

    def colors(self, value, angle):
        """Return each element's colour.

        Parameters
        ----------
        value, angle : float arrays of the detector's shape
            The quantity, NaN where there is none; degrees.

        Returns
        -------
        int32 array
            ``(ring - 1) * sectors + sector``, both from 1 on; 0 outside of all
            rings. A ring has its inner edge, the last one its outer edge, too.
        """
        ring = np.searchsorted(self.edges, value, "right")
        ring[value == self.edges[-1]] = self.number
        width = 360 / self.sectors
        sector = np.minimum((angle - self.begin) % 360 // width, self.sectors - 1).astype(np.int64)
        inside = (ring >= 1) & (ring <= self.number)
        return np.where(inside, (ring - 1) * self.sectors + sector + 1, 0).astype(np.int32)


def sizes_of(color):
    """Return how many elements each colour above 0 has, dict of int to int."""
    return dict(zip(*(array.tolist() for array in np.unique(color[color > 0], return_counts=True)), strict=True))


def edges_between(low, high, number, log=False):
    """Return the (number + 1) edges of rings of the same width, on a logarithmic scale if `log`."""
    return (np.geomspace if log else np.linspace)(low, high, number + 1)


def edges_of_equal(values, number):
    """Return the edges between which equally many of some values lie; fewer than (number + 1) if many are the same."""
    return np.unique(np.quantile(values, np.linspace(0, 1, number + 1)))


def divided(edges, number):
    """Return edges that divide each ring evenly, so that there are `number` rings or somewhat more."""
    parts = -(-number // (len(edges) - 1))
    return np.append(np.linspace(edges[:-1], edges[1:], parts, endpoint=False).T.ravel(), edges[-1])


def by_intensity(mean, mask, number):
    """Divide the included elements into equally large colours, the weakest first.

    Parameters
    ----------
    mean : float array of the detector's shape
    mask : bool array of that shape
    number : int

    Returns
    -------
    int32 array
        1 ... number; 0 outside the mask.
    """
    values = mean[mask]
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    color = np.zeros(mean.shape, np.int32)
    color[mask] = rank * number // len(values) + 1
    return color


def of_level(level, mean, color):
    """Return the colour by intensity that elements would have if their mean were a given level.

    Parameters
    ----------
    level, mean : float arrays of the detector's shape
    color : int32 array of that shape
        As `by_intensity` made it of `mean`.

    Returns
    -------
    int64 array of that shape
        0 where the level is NaN.
    """
    number = color.max()
    highest = [mean[color == c].max() for c in range(1, number)]
    return np.where(np.isfinite(level), np.searchsorted(highest, level) + 1, 0)


def some_around(mean, mask, fraction, number):
    """Return a mask of a few included elements whose mean is around a quantile.

    Parameters
    ----------
    mean, mask : arrays of the detector's shape
    fraction : float
        Which quantile, 0.95 for the 95th percentile.
    number : int
        How many elements, at most.
    """
    included = np.flatnonzero(mask)
    order = included[np.argsort(mean.ravel()[included], kind="stable")]
    first = int(np.clip(int(fraction * len(order)) - number // 2, 0, max(0, len(order) - number)))
    chosen = np.zeros(mean.size, np.int8)
    chosen[order[first : first + number]] = 1
    return chosen.reshape(mean.shape)


def check_sizes(number, elements):
    """Raise ConfigError if there are more colours than elements."""
    if number > elements:
        raise ConfigError(f"{number} colours are too many for {elements} included elements")
