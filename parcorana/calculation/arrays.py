"""What a calculation has: named arrays, and how the parts of several workers become one.

One declaration serves all: what is gathered at an update, what a checkpoint
keeps, how a run goes on with other workers, how much memory it takes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parcorana.calculation.sums import wide


class Array:
    """An array of a calculation, by how the parts of the workers belong together.

    Parameters
    ----------
    value : array_like of numbers
    """

    def __init__(self, value: ArrayLike) -> None:
        self.value: NDArray[Any] = np.asanyarray(value)  # a masked array is told from others where it is checked

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value.dtype} {self.value.shape})"


class PerElement(Array):
    """The last axis is the elements of this worker; those of all workers lie side by side."""


class Summed(Array):
    """A worker's part of a sum over all of them, made in a wide type (`sums.widened`).

    Where a run goes on with as many workers each gets its own part again, else
    the first one the sum and the others zeros.
    """


class Common(Array):
    """The same on all workers, which is checked."""


class Own(Array):
    """What one worker has for itself: it is not gathered, and a run goes on with it on as many workers only."""


class Joined(Array):
    """A worker's rows, which come one below the other, in the order of the workers: only of what `collect` returns."""


KINDS = {"elements": PerElement, "partial": Summed, "common": Common, "own": Own}
#: What `collect` may return.
COLLECTED = (*KINDS.values(), Joined)
NAMES = {kind: name for name, kind in KINDS.items()} | {Joined: "rows"}


def bytes_of(arrays: Mapping[str, Array], elements: int) -> int:
    """Return the bytes of arrays that were made for one element, for so many.

    Parameters
    ----------
    arrays : dict of str to Array
        As `BlockBase.arrays` returns them for 1 element.
    elements : int
    """
    return sum(array.value.nbytes * (elements if isinstance(array, PerElement) else 1) for array in arrays.values())


def wide_bytes(array: Array) -> int:
    """Return the bytes of an array where it is added up: small types as wide ones."""
    dtype = array.value.dtype
    return array.value.size * (wide(dtype) if isinstance(array, Summed) else dtype).itemsize
