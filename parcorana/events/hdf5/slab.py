"""Hyperslabs: which positions of a dataset's axes a selection takes, in HDF5's own terms."""

import math
from dataclasses import dataclass
from itertools import pairwise

import h5py
import numpy as np

UNLIMITED = h5py.h5s.UNLIMITED


@dataclass(frozen=True)
class Axis:
    """Positions of one axis: `count` blocks of `block` positions, `stride` apart, from `start` on.

    They are numbered in their order, 0 to `size` - 1.
    """

    start: int
    stride: int
    count: int
    block: int

    @classmethod
    def run(cls, start, size):
        """Return `size` positions side by side."""
        return cls(start, max(size, 1), 1, size)

    @classmethod
    def regular(cls, start, stride, count, block):
        """Return what HDF5 says of an axis; blocks that adjoin are one."""
        if UNLIMITED not in (count, block) and (count == 1 or stride == block):
            return cls.run(start, count * block)
        return cls(start, stride, count, block)

    @property
    def size(self):
        """Number of positions."""
        return self.count * self.block

    @property
    def last(self):
        """The last position."""
        return self.at(self.size - 1)

    @property
    def endless(self):
        """Whether it goes on for as long as the dataset does."""
        return UNLIMITED in (self.count, self.block)

    def at(self, number):
        """Return position `number`, which may be an array."""
        return self.start + number // self.block * self.stride + number % self.block

    def before(self, position):
        """Return how many positions lie before one."""
        if position <= self.start:
            return 0
        blocks, rest = divmod(position - self.start, self.stride)
        return min(blocks * self.block + min(rest, self.block), self.size)

    def ended(self, size):
        """Return the same with an end: at least `size` positions, if it is endless."""
        if self.block == UNLIMITED:
            return Axis.run(self.start, size)
        if self.count != UNLIMITED:
            return self
        if self.stride == self.block:
            return Axis.run(self.start, size)
        return Axis(self.start, self.stride, -(-size // self.block), self.block)

    def part(self, first, last):
        """Return positions number `first` to `last`, as a list of one axis, or of several side by side."""
        if first >= last:
            return []
        block = self.block
        if self.count == 1:
            return [Axis.run(self.start + first, last - first)]
        if block == 1:
            return [Axis(self.at(first), self.stride, last - first, 1)]
        ends = sorted({first, min(-(-first // block) * block, last), max(last // block * block, first), last})
        return [
            Axis.regular(self.at(a), self.stride, (b - a) // block, block)
            if a % block == 0 and (b - a) % block == 0
            else Axis.run(self.at(a), b - a)
            for a, b in pairwise(ends)
        ]

    def index(self):
        """Return the positions as an index of NumPy's: a slice where they are one."""
        if self.count == 1:
            return slice(self.start, self.start + self.block)
        if self.block == 1:
            return slice(self.start, self.last + 1, self.stride)
        return self.at(np.arange(self.size))


def index_of(axes):
    """Return the positions of several axes as one index of an array."""
    found = [axis.index() for axis in axes]
    if all(isinstance(each, slice) for each in found):
        return tuple(found)
    return np.ix_(*(np.arange(each.start, each.stop, each.step) if isinstance(each, slice) else each for each in found))


def axes_of(space):
    """Return what a dataspace selects.

    Parameters
    ----------
    space : h5py.h5s.SpaceID

    Returns
    -------
    list of tuple of Axis, or None
        One tuple for each stretch along the first axis: one only where the
        selection is regular. None where it cannot be said so.
    """
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [tuple(Axis.run(0, size) for size in space.shape)]
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        return None
    if space.is_regular_hyperslab():
        return [tuple(Axis.regular(*map(int, axis)) for axis in zip(*space.get_regular_hyperslab(), strict=True))]
    boxes = sorted(tuple(tuple(map(int, end)) for end in box) for box in space.get_select_hyper_blocklist())
    if len({(first[1:], last[1:]) for first, last in boxes}) > 1:
        return None
    return [tuple(Axis.run(a, b - a + 1) for a, b in zip(first, last, strict=True)) for first, last in boxes]


def shape_of(item):
    """Return a dataset's shape, None if it has none; of a virtual one that has no end, as it was made.

    To count the frames of such a one HDF5 would open all that it names, a pipe, too.
    """
    if not item.is_virtual:
        return item.shape
    plist = item.id.get_create_plist()
    return plist.get_virtual_vspace(0).shape if plist.get_virtual_count() else item.shape


def size_of(axes):
    """Return how many elements axes select together."""
    return math.prod(axis.size for axis in axes)


def runs_of(mask, gap=1):
    """Return ``(first, last)`` of each stretch of a mask that is True; with `gap` those less far apart are one."""
    where = np.flatnonzero(mask)
    cuts = np.flatnonzero(np.diff(where) > gap)
    begins, ends = np.append(where[:1], where[cuts + 1]), np.append(where[cuts], where[-1:])
    return list(zip(begins.tolist(), (ends + 1).tolist(), strict=True))
