"""The keys of `system_params`: what each must be, its default, and values made into that."""

from pathlib import Path

import numpy as np

from parcorana.errors import ConfigError, nearest, shown

REQUIRED = object()

# key: (what it must be, default); None is legal where the default is None
KEYS = {
    "dataset": (str, REQUIRED),
    "src": (str, None),
    "type": (str, None),
    "times_src": (str, None),
    "psana_config": (dict, None),
    "mask": (str, REQUIRED),
    "testmask": (str, None),
    "numservers": (int, 1),
    "serverhosts": (list, None),
    "times": (int, REQUIRED),
    "update": (int, 0),
    "delays": (list, REQUIRED),
    "user_class": (type, REQUIRED),  # or a list of classes
    "h5output": (str, None),
    "testh5output": (str, None),
    "overwrite": (bool, False),
    "numevents": (int, 0),
    "testnumevents": (int, 100),
    "block": (int, 0),
    "verbosity": (str, "INFO"),
    "rate": (float, 120.0),
    "store_dtype": (str, "float32"),
    "threads": (int, None),
    "latency": (float, 1.0),
    "max_bad": (float, 0.01),
    "heartbeat": (float, 10.0),
    "callback_limit": (float, None),
    "checkpoint": (int, 0),
    "values": (dict, {}),
    "select": (dict, {}),
    "photons": (dict, None),
}
_AT_LEAST = {
    "numservers": 1,
    "times": 1,
    "update": 0,
    "numevents": 0,
    "testnumevents": 0,
    "block": 0,
    "threads": 1,
    "checkpoint": 0,
    "latency": 0,
    "max_bad": 0,
    "heartbeat": 0,
    "callback_limit": 1,
}
_ROWS = (1 << 31) - 1  # rows of a buffer are numbered by int32
_EVENTS = 1 << 60
_SECONDS = 1e9
_AT_MOST = {
    "numservers": 1 << 20,
    "times": _ROWS,
    "update": _EVENTS,
    "numevents": _EVENTS,
    "testnumevents": _EVENTS,
    "block": _ROWS,
    "threads": 1024,
    "checkpoint": _EVENTS,
    "latency": _SECONDS,
    "max_bad": 1e18,
    "heartbeat": _SECONDS,
    "callback_limit": _SECONDS,
}
_VERBOSITIES = ("DEBUG", "INFO", "WARNING", "ERROR")
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "True or False", list: "a list"}


def checked(key, given):
    """Return the value of a key among those `given`, or its default.

    Raises
    ------
    ConfigError
        One sentence that names the key, what is wrong and what would be right.
    """
    kind, default = KEYS[key]
    if key not in given:
        if default is REQUIRED:
            raise ConfigError(f"system_params lacks the key {key!r}")
        return default
    value = given[key]
    if value is None and default is None:
        return None
    value = _converted(key, kind, value)
    if key in _AT_LEAST and not value >= _AT_LEAST[key]:
        raise ConfigError(f"{key} must be at least {_AT_LEAST[key]}, not {shown(value)}")
    if key in _AT_MOST and not value <= _AT_MOST[key]:
        raise ConfigError(f"{key} must be at most {_AT_MOST[key]:,}, not {shown(value)}")
    if key == "heartbeat" and 0 < value < 1:
        raise ConfigError(f"heartbeat must be at least 1 (s), or 0 for no watch over the ranks, not {shown(value)}")
    if key == "store_dtype" and value not in ("float32", "float64"):
        raise ConfigError(f"store_dtype must be 'float32' or 'float64', not {shown(value)}")
    if key == "verbosity":
        value = value.upper()
        if value not in _VERBOSITIES:
            raise ConfigError(
                f"verbosity must be one of {', '.join(_VERBOSITIES)}, not {shown(value)}{nearest(value, _VERBOSITIES)}"
            )
    if key == "serverhosts" and not all(isinstance(host, str) for host in value):
        raise ConfigError(f"serverhosts must be a list of host names, not {shown(value)}")
    return value


def _converted(key, kind, value):
    """Return `value` as the key's kind, where that changes nothing but the type."""
    if kind is list and isinstance(value, tuple | range | np.ndarray):
        return list(value)
    if kind is str and isinstance(value, Path | np.dtype):
        return str(value)
    if key == "store_dtype" and (value is np.float32 or value is np.float64):
        return np.dtype(value).name
    if isinstance(value, np.generic) and kind in (int, float, bool):
        value = value.item()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1 << 1000 else np.inf
    if kind is type:
        if isinstance(value, list | tuple) and value and all(isinstance(each, type) for each in value):
            return list(value) if len(value) > 1 else value[0]
        if not isinstance(value, type):
            raise ConfigError(
                f"{key} must be a class, or a list of classes (no instances, no names), not {shown(value)}"
            )
        return value
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{key} must be {_NAMES.get(kind, kind.__name__)}, not {shown(value)}")
    if kind is float and not np.isfinite(value):
        raise ConfigError(f"{key} must be a finite number, not {shown(value)}")
    return value
