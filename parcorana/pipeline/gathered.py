"""What the viewer has of an update: the workers' parts, put together as they come."""

import numpy as np

from parcorana.calculation.arrays import NAMES, Joined, Summed
from parcorana.calculation.sums import add, widened
from parcorana.errors import RunError


def label(name, array):
    """Return the name of a small array in a note, which tells its kind."""
    return f"{NAMES[type(array)]} {name}"


class Gathered:
    """An update, put together from what the workers send, in their order.

    `Summed` arrays are added at once, so that the viewer holds those of one
    worker beside the sum, however many workers there are.

    Parameters
    ----------
    calculation : BlockBase
        The viewer's instance, for errors.
    arrays : dict of str to ndarray
        Of the first worker's note, by `label`; they are kept, and changed.
    elements : list of [str, str, list of int]
        Of each `PerElement` array name, dtype and leading axes.

    Attributes
    ----------
    small : dict of str to ndarray
        Sums and common arrays, by name.
    elements : list
        As given.
    """

    def __init__(self, calculation, arrays, elements):
        self._calculation, self.elements = calculation, elements
        self._described, self._rows = _described(arrays, elements), {}
        # small whole numbers must not wrap
        self.small = {_name(key): widened(array) if _is_summed(key) else array for key, array in arrays.items()}

    def add(self, arrays, elements):
        """Add those of the next worker.

        Raises
        ------
        RunError
            The workers do not agree on what is common, or on names, shapes and types of what is to be added; or a sum
            of whole numbers is beyond 64 bit.
        """
        one, other = self._described, _described(arrays, elements)
        if one != other:
            key = next(key for key in one | other if one.get(key) != other.get(key))
            where, which = self._calculation.named(_name(key))
            what = [f"{np.dtype(each[key][0])} {each[key][1]}" if key in each else "nothing" for each in (one, other)]
            raise RunError(
                f"{where}: {which} must have the same dtype and shape on all workers, "
                f"not {what[0]} on the first and {what[1]} on another"
            )
        for key, array in arrays.items():
            name = _name(key)
            if key.startswith(f"{NAMES[Joined]} "):
                self._rows.setdefault(name, [self.small[name]]).append(array)
                continue
            if not _is_summed(key):
                if not np.array_equal(array, self.small[name], equal_nan=array.dtype.kind in "fc"):
                    where, which = self._calculation.named(name)
                    raise RunError(f"{where}: workers disagree on {which}, which must be the same on all")
                continue
            try:
                add(self.small[name], array)
            except OverflowError as error:
                where, which = self._calculation.named(name)
                raise RunError(f"{where}: the sum of {which} over the workers is {error}: return float64") from None

    def join(self):
        """Put the rows of all workers one below the other, when all are there."""
        self.small |= {name: np.concatenate(rows) for name, rows in self._rows.items()}


def _described(arrays, elements):
    """Return dtype and shape of what must be alike on all workers."""
    pieces = {f"elements {name}": [dtype, tuple(shape)] for name, dtype, shape in elements}
    return {key: [array.dtype.str, array.shape] for key, array in arrays.items()} | pieces


def _is_summed(key):
    return key.startswith(f"{NAMES[Summed]} ")


def _name(key):
    return key.partition(" ")[2]
