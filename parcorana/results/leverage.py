"""Leverage in a result file: the elements that pull the curves of an update most, and maps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError

_LISTS = ("elements", "indices", "colors", "delays", "changes", "changes_over_error", "far")


@dataclass
class Leverage:
    """What pulls the delay curves of an update, from the most on: R elements.

    Attributes
    ----------
    elements : (R,) int64
        Place of each in the flat array of the detector.
    indices : (R, ndim) int64
        The same as indices of that array.
    colors : (R,) int64
    delays : (R,) int64 [pulses]
        At which it pulls the curve of its colour most.
    changes : (R,) float64
        Change of g2 at that delay if the element were left out.
    changes_over_error : (R,) float64
        That, beyond the mean change without other elements, over the error of the curve without those that are `far`.
    far : (R,) bool
        Whether it moves the curve by more than twice that error, and stands far apart from the other elements.
    map, map_over_error : (detector's shape) float64 or None
        The same of every element; None where the update has no full arrays.
    """

    elements: NDArray[np.int64]
    indices: NDArray[np.int64]
    colors: NDArray[np.int64]
    delays: NDArray[np.int64]
    changes: NDArray[np.float64]
    changes_over_error: NDArray[np.float64]
    far: NDArray[np.bool_]
    map: NDArray[np.float64] | None = None
    map_over_error: NDArray[np.float64] | None = None


def read_leverage(group: Any, label: str, shape: tuple[int, ...]) -> Leverage:
    """Read what an update has of leverage.

    Parameters
    ----------
    group : h5py.Group
        Of the update.
    label : str
        Names the file in errors.
    shape : tuple of int
        Of the detector's array.

    Raises
    ------
    ConfigError
        It has none, or arrays do not belong together.
    """
    if "leverage" not in group:
        raise ConfigError(
            f"{label}: the update has no leverage: it is of an older version, of no colour, or was made with "
            "user_params['leverage'] = False"
        )
    group = group["leverage"]
    lists = {name: group[name][:] for name in _LISTS}
    length, (first, second) = lists["elements"].shape, (lists["elements"], lists["indices"])
    wrong = second.shape != (*length, len(shape)) or any(each.dtype.kind not in "iuf" for each in lists.values())
    wrong |= len(length) != 1 or any(lists[name].shape != length for name in _LISTS if name != "indices")
    wrong |= any(each.dtype.kind not in "iu" for each in (first, second, lists["colors"], lists["delays"]))
    maps = {name: group[name][...] for name in ("map", "map_over_error") if name in group}
    wrong |= any(each.shape != shape or each.dtype.kind != "f" for each in maps.values())
    if wrong or (second < 0).any() or (second >= shape).any():
        raise ConfigError(f"{label}: {group.name} lacks a part, or its arrays do not belong together")
    return Leverage(**(lists | {"far": lists["far"] != 0}), **maps)
