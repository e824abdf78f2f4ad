"""Units, as the attributes of datasets say them."""

from contextlib import suppress

import numpy as np

from parcorana.errors import ConfigError
from parcorana.files.trial import tried

METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "angstrom": 1e-10, "pm": 1e-12}
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
SECONDS = {unit: each / 10**9 for unit, each in NANOSECONDS.items()}
KEV = {"kev": 1.0, "ev": 1e-3}
PURE = {"": 1.0}  # whatever units are stated
_NAMES = {
    **dict.fromkeys(("meter", "metre"), "m"),
    **dict.fromkeys(("centimeter", "centimetre"), "cm"),
    **dict.fromkeys(("millimeter", "millimetre"), "mm"),
    **dict.fromkeys(("micrometer", "micrometre", "micron", "µm", "μm"), "um"),
    **dict.fromkeys(("nanometer", "nanometre"), "nm"),
    **dict.fromkeys(("å", "a", "ang", "ångström", "ångstrom"), "angstrom"),
    **dict.fromkeys(("sec", "second"), "s"),
    **dict.fromkeys(("millisecond", "msec"), "ms"),
    **dict.fromkeys(("microsecond", "usec", "µsec", "μsec", "µs", "μs"), "us"),
    **dict.fromkeys(("nanosecond", "nsec"), "ns"),
    **dict.fromkeys(("kiloelectronvolt",), "kev"),
    **dict.fromkeys(("electronvolt",), "ev"),
}


def unit_of(text, units):
    """Return one of some units, as `METRES`, by any of its names; None if the text is none of these."""
    if text[:1] == "M" and text[1:] and _NAMES.get(text[1:], text[1:]) in units:
        return None  # mega: ms and Ms are not the same, second and Second are
    text = text.lower()
    for each in (text, text.removesuffix("s") if len(text) > 2 else text):
        each = _NAMES.get(each, each)
        if each in units:
            return each
    return None


def text_of(item, name):
    """Return the text of an attribute, None if there is none, or it is no text; raises what h5py does."""
    value = item.attrs.get(name)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value.strip() if isinstance(value, str) else None


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
    text, fault = "", None
    with suppress(Exception):  # whatever h5py raises over a damaged one, which states nothing
        fault = tried(text_of, item, "units") if "units" in item.attrs else None
        text = "" if fault else text_of(item, "units") or ""
    if fault:
        raise ConfigError(f"{where}: its attribute units: {fault}")
    return NANOSECONDS.get(unit_of(text, NANOSECONDS)), text
