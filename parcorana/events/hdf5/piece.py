"""A piece of a dataset that is made of others: some of its frames, or of their elements, and where they are."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from parcorana.errors import ConfigError
from parcorana.events.hdf5.slab import Axis, size_of


@dataclass(frozen=True)
class Piece:
    """Some frames of a dataset, or some elements of them, and where they are.

    Attributes
    ----------
    rows : Axis
        The frames.
    columns : tuple of Axis
        The elements, along the other axes.
    source : Source
        The dataset that has them.
    axes : tuple of Axis or None
        What of it is taken, element by element in the same order; None: all.
    skipped : int
        Frames of that which belong to earlier pieces.
    frames : int or None
        Frames of that, those of all pieces; None: of this one alone.
    """

    rows: Axis
    columns: tuple
    source: Any
    axes: tuple | None = None
    skipped: int = 0
    frames: int | None = None

    def placed(self):
        """Return the axes in the source, which of them is time, and how many of its positions make a frame."""
        shape = self.source.dataset().shape
        if self.axes is None:
            self._check_shape(shape)
        axes = [Axis.run(0, size) for size in shape] if self.axes is None else list(self.axes)
        elements, along, inner = size_of(self.columns), len(axes) - 1, 1
        while along and inner * axes[along].size <= elements:
            inner *= axes[along].size
            along -= 1
        each, rest = divmod(elements, max(inner, 1))
        lead = size_of(axes[:along])
        frames = self.skipped + self.rows.size
        if self.axes is None and lead == 1:
            axes[along] = Axis.run(0, frames * each)  # what is not there yet counts as missing
        axes[along] = axes[along].ended(frames * each)
        if rest or (lead > 1 and axes[along].size % each):
            raise ConfigError(f"{self.source}: it is mapped in another order than frame by frame, which is not read")
        return axes, along, each

    def _check_shape(self, shape):
        """Refuse a source, mapped as a whole, that has other frames now; along time it may be longer or shorter."""
        frames = self.skipped + self.rows.size if self.frames is None else self.frames
        wanted = [axis.size for axis in self.columns if axis.size > 1]
        if math.prod(shape) == frames * math.prod(wanted):
            return
        # axes of one position say nothing
        alike = any(math.prod(shape[:k]) == 1 and _wide(shape[k + 1 :]) == wanted for k in range(len(shape)))
        if not alike:
            mapped = (frames, *(axis.size for axis in self.columns))
            raise ConfigError(
                f"{self.source}: it is mapped as frames of shape {mapped}, and has shape {tuple(shape)} now, so nobody "
                "can tell which of its elements are which: make the virtual dataset anew, or bring the source it was "
                "made of"
            )

    def take(self, first, last, out=None):
        """Read frames number `first` to `last` of these, or only tell what of them was written.

        Parameters
        ----------
        first, last : int
        out : (n, elements) array or None

        Returns
        -------
        (n,) bool
        """
        axes, along, each = self.placed()
        dataset, inner = self.source.dataset(), size_of(axes[along + 1 :])
        there = np.zeros((last - first) * each, bool)
        values = None if out is None else out.reshape(len(there), inner)
        at, most = 0, min((self.skipped + last) * each, size_of(axes[: along + 1]))
        for ahead, some in _stretches(axes[: along + 1], (self.skipped + first) * each, most):
            box, now = [*ahead, some, *axes[along + 1 :]], slice(at, at + some.size)
            if out is None:
                there[now] = dataset.written(box, along)
            else:
                there[now] = dataset.box(box, along, values[now].reshape([axis.size for axis in box]))
            at += some.size
        return there.reshape(-1, each).all(axis=1)

    def why(self, number):
        """Return why frame `number` of these is missing."""
        axes, along, each = self.placed()
        first = (self.skipped + number) * each
        ahead, some = _stretches(axes[: along + 1], first, first + each)[0]
        return self.source.dataset().why([*ahead, some, *axes[along + 1 :]], along)


def _wide(shape):
    return [size for size in shape if size != 1]


def _stretches(axes, first, last):
    """Cut positions `first` to `last`, counted through all axes, into runs along the last axis."""
    *ahead, along = axes
    found, size = [], along.size if ahead and size_of(ahead) > 1 else last
    while first < last:
        row, start = divmod(first, size) if size else (0, first)
        end = min(start + last - first, size)
        places = np.unravel_index(row, [axis.size for axis in ahead]) if ahead else ()
        at = [Axis.run(axis.at(int(place)), 1) for axis, place in zip(ahead, places, strict=True)]
        found += [(at, part) for part in along.part(start, end)]
        first += end - start
    return found
