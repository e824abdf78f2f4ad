"""The unit of times, as the attribute `units` of their dataset says it."""

import h5py
import numpy as np

from parcorana.errors import ConfigError
from parcorana.files.trial import tried

_PREFIXES = {"": 10**9, "m": 10**6, "u": 10**3, "µ": 10**3, "μ": 10**3, "n": 1}
_NAMES = ("s", "sec", "secs")
_UNITS = {prefix + name: factor for prefix, factor in _PREFIXES.items() for name in _NAMES} | {
    prefix + name: _PREFIXES[letter]
    for prefix, letter in (("", ""), ("milli", "m"), ("micro", "u"), ("nano", "n"))
    for name in ("second", "seconds")
}


def nanoseconds_of(item, where):
    """Return the nanoseconds that 1 stands for, None if no time is stated; and the text of the attribute, or ''.

    Parameters
    ----------
    item : h5py.Dataset
    where : str
        Begins the sentence of an error.

    Raises
    ------
    ConfigError
        HDF5's library does not get through it.
    """
    try:
        if not h5py.h5a.exists(item.id, b"units"):
            return None, ""
        if fault := tried(item.attrs.get, "units"):
            raise ConfigError(f"{where}: its attribute units: {fault}")
        stated = np.asarray(item.attrs.get("units")).reshape(-1)
    except ConfigError:
        raise
    except Exception:  # whatever h5py raises over a damaged one, which states nothing
        return None, ""
    text = stated[0] if len(stated) == 1 else ""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    text = text.strip() if isinstance(text, str) else ""
    # ms and Ms are not the same, second and Second are
    unit = _UNITS.get(text, _UNITS.get(text.lower()) if len(text) > 2 or text == "S" else None)
    return unit, text
