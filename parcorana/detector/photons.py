"""`photons` of the config: what it may say, and what was found of them."""

import math

import numpy as np

from parcorana import _move
from parcorana.errors import ConfigError, nearest, shown

#: What is known of the photons of an event, or of many.
FOUND = _move.FOUND
METHODS = ("threshold", "droplet")
# of a photon. An element that counts by itself has half of one; a droplet wants the rims of its cloud, too: noise of
# a twentieth of a photon is below this in 98 of 100 elements
_THRESHOLDS = {"threshold": 0.5, "droplet": 0.1}
_KEYS = ("photon", "threshold", "method", "most")
_TOUCH = 0.3  # photons per element and event from which on few droplets are of one photon


def check_photons(photons):
    """Check the config's `photons`.

    Parameters
    ----------
    photons : dict

    Returns
    -------
    dict
        'photon', 'threshold' : float; 'method' : str; 'most' : int or None. With all defaults.

    Raises
    ------
    ConfigError
        An unknown key, or a value that is none.
    """
    for key in photons:
        if key not in _KEYS:
            raise ConfigError(f"photons[{shown(key)}]: there is no such key{nearest(shown(key), _KEYS)}")
    if "photon" not in photons:
        raise ConfigError("photons must say how much a photon is, in units of the data: {'photon': 10.0}")
    method = photons.get("method", "threshold")
    if method not in METHODS:
        raise ConfigError(
            f"photons['method'] must be 'threshold' or 'droplet', not {shown(method)}"
            + (nearest(method, METHODS) if isinstance(method, str) else "")
        )
    photon = _above_zero("photon", photons["photon"])
    threshold = photons.get("threshold")
    threshold = _THRESHOLDS[method] * photon if threshold is None else _above_zero("threshold", threshold)
    most = photons.get("most")
    if isinstance(most, np.integer):
        most = int(most)
    if most is not None and (type(most) is not int or most < 1):
        raise ConfigError(f"photons['most'] must be a whole number from 1 on, or None for no limit, not {shown(most)}")
    return {"photon": photon, "threshold": threshold, "method": method, "most": most}


def _above_zero(key, value):
    if isinstance(value, np.generic):
        value = value.item()
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e300
    if not good or not math.isfinite(1 / value):
        raise ConfigError(f"photons[{key!r}] must be a number above 0, in units of the data, not {shown(value)}")
    return float(value)


def added_up(found):
    """Add up what was found in events.

    Parameters
    ----------
    found : (m, 7) int64
        As `FOUND`.

    Returns
    -------
    (7,) int64
        Sums; the largest count, and the first of the elements that have it.
    """
    total, (counts, places) = found.sum(axis=0), found[:, -2:].T
    if len(found):
        total[-2:] = counts.max(), places[counts == counts.max()].min()
    return total


def lines_of(photons, found, mask):
    """Return what the log says at the end: of what was found, and warnings.

    Parameters
    ----------
    photons : dict
        As `check_photons` returns it.
    found : dict of str to int
        As `FOUND`.
    mask : bool array of the detector's shape

    Returns
    -------
    said : str
    warnings : list of str
    """
    rate = found["photons"] / max(found["events"] * np.count_nonzero(mask), 1)
    said = f"photons: {found['photons']:,} in included elements, {rate:.3g} per element and event"
    if found["largest"]:
        said += f", at most {found['largest']:,} in an element of an event, {place_of(found, mask.shape)}"
    kind = "droplets" if photons["method"] == "droplet" else "elements"
    said += f"; all over the detector {found['droplets']:,} {kind} with photons"
    if photons["most"] is not None:
        said += (
            f", and {found['left_out']:,} with more than {photons['most']:,}, left out with their "
            f"{found['left_out_photons']:,} photons"
        )
    warnings = []
    if found["events"] and not found["photons"]:
        warnings.append(f"no photon was found: is photons['photon']={photons['photon']:g} right?")
    if photons["method"] == "droplet" and rate > _TOUCH:
        warnings.append(
            f"photons: {rate:.3g} per element and event are too many for droplets, which run into each other: where "
            "photons fell among neighbours is not to be known, and some of their charge is lost; is the light, or "
            f"photons['photon']={photons['photon']:g}, right?"
        )
    return said, warnings


def place_of(found, shape):
    """Return the index of the element with the largest count."""
    return tuple(int(k) for k in np.unravel_index(found["largest_at"], shape))
