"""Leverage in a result file: a list in each update, and maps in the last."""

import numpy as np

from parcorana.curves.leverage import listed
from parcorana.files.datasets import write_dataset

_CHANGE = "change of g2 at that delay if the element were left out"
_OVER = "that change, beyond the mean one of other elements, over the error of the curve without those that are far"
_PIECE = 1 << 16  # elements
_NAMED = 5  # elements that a sentence names


def sentence(found, where, colors):
    """Return what is said of the elements that move a curve by more than twice its error; empty if there are none."""
    far = np.flatnonzero(found.far)
    if not len(far):
        return ""
    named = [
        f"{where[k]} (colour {colors[found.color[k]]}, {abs(found.over_error[k]):.2g} times)" for k in far[:_NAMED]
    ]
    which = "element moves a curve" if len(far) == 1 else "elements move curves"
    return f"{len(far):,} {which} by more than twice its error: {', '.join(named)}{', ...' * (len(far) > _NAMED)}"


def write_leverage(group, found, where, shape, made, delays, rate):
    """Write the list of an update.

    Parameters
    ----------
    group : h5py.Group
        Of leverage alone.
    found : parcorana.curves.leverage.Leverage
    where : (R,) int64
        Place of each element in the flat array of the detector.
    shape : tuple of int
        Of the detector's array.
    made : parcorana.curves.sums.ColorSums
    delays : (D,) int64 [pulses]
    rate : float
        Pulses per second.
    """
    group.attrs["listed"] = listed(len(made.colors))
    group.attrs["normalization"] = made.normalization
    group.attrs["said"] = sentence(found, where, made.colors)
    places = np.stack(np.unravel_index(where, shape), axis=-1) if len(where) else np.zeros((0, len(shape)), np.int64)
    what = "delay at which the element pulls the curve of its colour most"
    write_dataset(group, "elements", where, "1", "place in the flat array of the detector, from what pulls most on")
    write_dataset(group, "indices", places, "1", "the same as indices of the detector's array")
    write_dataset(group, "colors", made.colors[found.color], "1", "colour of each element")
    write_dataset(group, "delays", delays[found.delay], "pulses", f"{what}; one pulse is 1/{rate} s", rate=rate)
    write_dataset(group, "changes", found.change, "1", _CHANGE)
    write_dataset(group, "changes_over_error", found.over_error, "1", _OVER)
    far = "1 where an element moves the curve by more than twice that error, and stands far apart from the others"
    write_dataset(group, "far", found.far.astype(np.int8), "1", far)


def write_maps(group, change, delay, mask, color, found, divisor=None):
    """Write the change, and that over the error, of all elements.

    Parameters
    ----------
    group : h5py.Group
        Of leverage alone.
    change, delay : arrays of the detector's shape
        As `Levers.pulls` gives them; `change` is changed.
    mask : (detector's shape) bool
    color : (n,) int64
        Index of the colour of each included element.
    found : parcorana.curves.leverage.Leverage
    divisor : (C or 1, D) float64, optional
        What the curves were divided by.
    """
    values, delay, colors = change[mask], delay[mask], len(found.error)
    by = np.ones(found.error.shape) if divisor is None else np.broadcast_to(divisor, found.error.shape)
    what = (
        "change of g2 of its colour if the element were left out, at the delay where that is most; 0: no curve has it"
    )
    beyond = "beyond the mean one of other elements, over the error of the curve without those that are far"
    for name, less, parts, long_name in (
        ("map", np.zeros((colors, 1)), by, what),
        ("map_over_error", found.others, found.error, f"{what}; {beyond}"),
    ):
        less = np.broadcast_to(less, parts.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            for first in range(0, len(values), _PIECE):  # that memory is bounded
                part = slice(first, first + _PIECE)
                at = color[part], delay[part]
                values[part] = np.where(values[part] == 0, 0.0, (values[part] - less[at]) / parts[at])
        change[mask] = values
        write_dataset(group, name, change, "1", long_name)
