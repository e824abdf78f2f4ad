"""``make_psana_config``: every option of psana's calibration in one dictionary that can be edited."""

from typing import Any

from parcorana.errors import ConfigError, nearest, shown

# name: (default with 'calib' and 'image', default otherwise, what it is)
OPTIONS = {
    "pedestals": (True, False, "subtract the pedestals"),
    "gain": (True, False, "divide by the gain"),
    "offset": (True, False, "subtract the offset, too (jungfrau)"),
    "pixel_status": (True, False, "set pixels to 0 that the status constants call bad"),
    "status_bits": (0xFFFF, 0xFFFF, "which bits of the status are bad"),
    "pixel_mask": (False, False, "set pixels to 0 that the mask constants leave out"),
    "neighbors": (0, 0, "set pixels to 0 that are as near to a bad one [pixels]"),
    "edges": (0, 0, "set so many rows and columns at the edges of each segment to 0"),
    "center": (0, 0, "set so many rows and columns at the joints within each segment to 0"),
    "common_mode": (None, None, "psana's numbers for the common mode: (algorithm, mode, largest correction, ...)"),
    "dbsuffix": ("", "", "a private database of constants"),
}
CONSTANTS = {
    "pedestals": "pedestals",
    "gain": "pixel_gain",
    "offset": "pixel_offset",
    "pixel_status": "pixel_status",
    "pixel_mask": "pixel_mask",
}
"""Options that want constants, and psana's names of these."""

CALIBRATED = ("calib", "image")
"""Fields of a detector that psana calibrates."""


def make_psana_config(src: str, type: str = "calib", **adjust: Any) -> dict[str, Any]:
    """Return a dictionary for the key `psana_config`, with every option in it.

    Parameters
    ----------
    src : str
        Detector name.
    type : str
        ``'calib'`` or ``'image'``: calibrated; any other field is not.
    **adjust
        Other values than the defaults. `pedestals`, `gain`, `offset`,
        `pixel_status` and `pixel_mask` are True (with the constants of the
        facility), False (not at all), or the path of a file of constants:
        ``.npy``, or text. `status_bits`, `neighbors`, `edges` and `center` are
        whole numbers. `common_mode` is None or psana's numbers.

    Returns
    -------
    dict
        May be changed before the run; what it says then is what is done.

    Raises
    ------
    ConfigError
        An unknown option, or a value that is none.
    """
    calibrated = str(type).rpartition(".")[2] in CALIBRATED
    config: dict[str, Any] = {"src": src, "type": type}
    config |= {name: values[not calibrated] for name, values in OPTIONS.items()}
    for name in adjust:
        if name not in OPTIONS:
            raise ConfigError(f"make_psana_config: unknown option {shown(name)}{nearest(shown(name), OPTIONS)}")
    config |= adjust
    return check_psana_config(config)


def check_psana_config(config: dict[str, Any], src: str | None = None, type_: str | None = None) -> dict[str, Any]:
    """Check a dictionary as `make_psana_config` makes it; return it.

    Parameters
    ----------
    config : dict
    src, type_ : str or None
        Those of `system_params`, if given there.
    """
    for name in config:
        if name not in OPTIONS and name not in ("src", "type"):
            raise ConfigError(f"psana_config: unknown option {shown(name)}{nearest(shown(name), OPTIONS)}")
    for name in ("src", "type", *OPTIONS):
        if name not in config:
            raise ConfigError(f"psana_config lacks {name!r}: parcorana.make_psana_config gives all of them")
    for name, given in (("src", src), ("type", type_)):
        if not isinstance(config[name], str):
            raise ConfigError(f"psana_config[{name!r}] must be a string, not {shown(config[name])}")
        if given is not None and given != config[name]:
            raise ConfigError(f"{name} is {given!r} in system_params, but {config[name]!r} in psana_config")
    for name in CONSTANTS:
        if not isinstance(config[name], bool | str):
            raise ConfigError(f"psana_config[{name!r}] must be True, False or a path, not {shown(config[name])}")
    for name in ("status_bits", "neighbors", "edges", "center"):
        value = config[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"psana_config[{name!r}] must be a whole number from 0 on, not {shown(value)}")
    common = config["common_mode"]
    numbers = isinstance(common, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in common
    )
    if common is not None and (not numbers or len(common) < 3):
        raise ConfigError(f"psana_config['common_mode'] must be None or three numbers or more, not {shown(common)}")
    if not isinstance(config["dbsuffix"], str):
        raise ConfigError(f"psana_config['dbsuffix'] must be a string, not {shown(config['dbsuffix'])}")
    if config["neighbors"] and not (config["pixel_status"] or config["pixel_mask"]):
        raise ConfigError("psana_config['neighbors'] wants bad pixels: switch on pixel_status or pixel_mask")
    if asks(config) and config["type"].rpartition(".")[2] not in CALIBRATED:
        raise ConfigError(
            f"psana_config asks for {', '.join(asks(config))}, but type {config['type']!r} is not calibrated: "
            "take 'calib' or 'image'"
        )
    return config


def asks(config: dict[str, Any]) -> list[str]:
    """Return the corrections that a configuration asks for."""
    names = (*CONSTANTS, "neighbors", "edges", "center", "common_mode")
    return [name for name in names if config[name] not in (False, None, 0)]
