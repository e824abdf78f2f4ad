"""`user_params` of photon statistics, checked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError, shown
from parcorana.g2.parameters import number_of

PARAMS = (
    "photon",
    "threshold",
    "kmax",
    "exposures",
    "color",
    "color_table",
    "saturated_value",
    "picture",
    "plot_colors",
)
_KMAX, _LONGEST = 254, 1024


@dataclass(frozen=True)
class About:
    """What is counted.

    Attributes
    ----------
    photon, threshold : float
        Intensity of one photon; smaller values are none.
    kmax : int
        The largest number of photons that is counted by itself.
    exposures : tuple of int [pulses]
        Powers of two.
    """

    photon: float
    threshold: float
    kmax: int
    exposures: tuple[int, ...]

    @property
    def levels(self) -> int:
        """Lengths of windows from 1 to the longest."""
        return max(self.exposures).bit_length()

    @property
    def level_of(self) -> list[int]:
        """Of each exposure its level."""
        return [w.bit_length() - 1 for w in self.exposures]

    @property
    def slots(self) -> NDArray[np.int32]:
        """Of each level the place of its exposure, -1 where it is not asked for."""
        slots = np.full(self.levels, -1, np.int32)
        slots[self.level_of] = np.arange(len(self.exposures))
        return slots


def about_of(user_params):
    """Return what is to be counted, checked."""
    photon, threshold = number_of(user_params, "photon"), number_of(user_params, "threshold")
    photon = 1.0 if photon is None else photon
    threshold = photon / 2 if threshold is None else threshold
    for key, value in (("photon", photon), ("threshold", threshold)):
        if not 1e-30 < value < 1e30:
            raise ConfigError(f"user_params[{key!r}] must be a number above 0, not {value:g}")
    kmax = user_params.get("kmax", 10)
    if isinstance(kmax, bool) or not isinstance(kmax, int | np.integer) or not 2 <= kmax <= _KMAX:
        raise ConfigError(f"user_params['kmax'] must be a whole number from 2 to {_KMAX}, not {shown(kmax)}")
    exposures = user_params.get("exposures", [1, 2, 4])
    listed = isinstance(exposures, list | tuple) and len(exposures)
    if not listed or not all(_is_exposure(w) for w in exposures) or list(exposures) != sorted(set(exposures)):
        raise ConfigError(
            f"user_params['exposures'] must be increasing powers of two [pulses] from 1 to {_LONGEST}, as [1, 2, 4], "
            f"not {shown(exposures)}"
        )
    return About(photon, threshold, int(kmax), tuple(int(w) for w in exposures))


def _is_exposure(w):
    is_whole = isinstance(w, int | np.integer) and not isinstance(w, bool)
    return is_whole and 1 <= w <= _LONGEST and int(w).bit_count() == 1
