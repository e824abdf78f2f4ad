"""``/system/values`` of a result file: what the values of events were."""

import numpy as np

from parcorana.curves.monitor import Distribution
from parcorana.errors import ConfigError
from parcorana.files.datasets import write_dataset
from parcorana.results.updates import rate_of

_GROUP = "values"
_KINDS = {"processed": "events processed", "filtered": "events that select left out"}
_SPECIAL = ("nan", "infinite", "minus_infinite")
_LINE = {
    "first": ("pulses", "smallest counter in each stretch of events processed"),
    "last": ("pulses", "largest counter in each stretch of events processed"),
    "events": ("1", "events in each stretch"),
    "mean": ("as the value", "mean of {} in each stretch"),
    "minimum": ("as the value", "smallest {} in each stretch"),
    "maximum": ("as the value", "largest {} in each stretch"),
}


def write_values(group, distributions, rate):
    """Write what the values of events were into `/system`.

    Parameters
    ----------
    group : h5py.Group
    distributions : dict of str to Distribution
    rate : float [Hz]
        Pulses per second.
    """
    for name, found in distributions.items():
        here = group.create_group(f"{_GROUP}/{name}")
        write_dataset(here, "edges", found.edges, "as the value", f"edges of the bins of {name}")
        for k, (kind, what) in enumerate(_KINDS.items()):
            special = {label: np.int64(count) for label, count in zip(_SPECIAL, found.special[k], strict=True)}
            ends = dict(zip(("minimum", "maximum"), found.range[k], strict=True))
            long_name = f"{what} with {name} in each bin"
            write_dataset(here, kind, found.counts[k], "1", long_name, **special, **ends)
        for key, (units, long_name) in _LINE.items():
            more = {"rate": rate} if units == "pulses" else {}
            write_dataset(here, f"timeline/{key}", getattr(found, key), units, long_name.format(name), **more)


def read_values(file, label):
    """Return what `write_values` wrote.

    Parameters
    ----------
    file : h5py.File
    label : str
        Names the file in errors.

    Returns
    -------
    distributions : dict of str to Distribution
    ranges : dict of str to (2,) float64
        Of `select`, infinite where a side is open.
    rate : float [Hz]

    Raises
    ------
    ConfigError
        It has no values, or its arrays do not belong together.
    """
    system = file["system"]
    if not len(system.get(_GROUP, ())):
        raise ConfigError(f"{label}: it does not hold the values of events: there is no /system/{_GROUP}")
    found = {name: _read(group, f"{label}: /system/{_GROUP}/{name}") for name, group in system[_GROUP].items()}
    ranges = {name: limits[()] for name, limits in system.get("select", {}).items()}
    rate = rate_of(next(iter(system[_GROUP].values()))["timeline/first"], label)
    return found, {name: limits for name, limits in ranges.items() if limits.shape == (2,)}, rate


def _read(group, where):
    try:
        both = [group[kind] for kind in _KINDS]
        found = Distribution(
            edges=group["edges"][:].astype(np.float64),
            counts=np.stack([each[:] for each in both]).astype(np.int64),
            special=np.array([[each.attrs[label] for label in _SPECIAL] for each in both], np.int64),
            range=np.array([[each.attrs[end] for end in ("minimum", "maximum")] for each in both], np.float64),
            **{key: group[f"timeline/{key}"][:] for key in _LINE},
        )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        raise ConfigError(f"{where} lacks a part, or it is of another kind") from None
    points = {getattr(found, key).shape for key in _LINE}
    kinds = {getattr(found, key).dtype.kind for key in _LINE}
    wrong = found.counts.shape[1:] != (max(len(found.edges) - 1, 0),) or (found.counts < 0).any()
    if wrong or len(points) != 1 or len(points.pop()) != 1 or not kinds <= set("iuf"):
        raise ConfigError(f"{where}: its arrays do not belong together")
    return found
