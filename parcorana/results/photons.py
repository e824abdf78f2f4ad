"""Photon statistics in a result file, read."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError, printable
from parcorana.results.updates import update_at

GROUP = "photons_at_"
_NUMBERS = ("mean", "contrast", "contrast_err", "contrast_corrected", "contrast_unrelated", "pulse_variance")


@dataclass(repr=False)
class Photons:
    """One update of photon statistics.

    Attributes
    ----------
    label : str
    processed : int
    exposures : (S,) int64 [pulses]
    counts : dict of int to (S, kmax + 2) int64
        By colour: 0 ... kmax photons, and more.
    numbers : dict of str to dict of int to (S,) float64
        'mean', 'contrast' and the others, by colour.
    """

    label: str
    processed: int
    exposures: NDArray[np.int64]
    counts: dict[int, NDArray[np.int64]]
    numbers: dict[str, dict[int, NDArray[np.float64]]]

    def __repr__(self) -> str:
        of = f"{len(self.counts)} colours, exposures of {', '.join(map(str, self.exposures))} pulses"
        return printable(f"<photon statistics of {self.label}: {of}, {self.processed:,} events>")

    @property
    def colors(self) -> list[int]:
        """The colours that there are."""
        return [*self.counts]


def read_photons(user, label, at=None):
    """Read an update of photon statistics.

    Parameters
    ----------
    user : h5py.Group
        Of a class in an open result file.
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
        exposures = group["exposures"][:]
        colors = sorted(int(name[13:]) for name in group if re.fullmatch(r"counts_color_\d{1,18}", name))
        counts = {c: group[f"counts_color_{c}"][:] for c in colors}
        numbers = {name: {c: group[f"{name}_color_{c}"][:] for c in colors} for name in _NUMBERS}
        shapes = {array.shape[:1] for each in (counts, *numbers.values()) for array in each.values()}
        arrays = (exposures, *counts.values(), *(array for each in numbers.values() for array in each.values()))
        if shapes - {exposures.shape} or any(array.ndim != 2 or array.shape[1] < 3 for array in counts.values()):
            raise ValueError
        if exposures.ndim != 1 or any(array.dtype.kind not in "iuf" for array in arrays):
            raise TypeError
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ConfigError(f"{label}: {group.name} lacks a part, or its arrays do not belong together") from None
    return Photons(label, processed, exposures, counts, numbers)
