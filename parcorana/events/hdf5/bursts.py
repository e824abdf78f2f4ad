"""Bursts: a stack whose events hold several frames each, read as one frame after the other."""

from functools import cached_property

from parcorana.events.hdf5.mapped import Mapped
from parcorana.events.hdf5.piece import Piece
from parcorana.events.hdf5.plain import Plain
from parcorana.events.hdf5.series import Part
from parcorana.events.hdf5.slab import Axis


class Flat(Mapped):
    """Frames (or their numbers) of events with `burst` of them each, in a row.

    Parameters
    ----------
    name : str
        What errors call the dataset.
    dataset : Plain or Mapped
        Its first axis counts events, the second one the frames of each.
    burst : int
        Frames of an event.
    of_event : bool
        The dataset has no such second axis: what it says of an event holds for
        each of its frames.

    Attributes
    ----------
    dataset
        As given.
    """

    def __init__(self, name, dataset, burst, of_event=False):
        self.dataset, self._burst, self._of_event = dataset, burst, of_event
        self._part, self._columns_of = Part(name, dataset), dataset.shape[1 if of_event else 2 :]
        super().__init__(self._shape(), dataset.dtype, dataset.fill, self._pieces())

    def _shape(self):
        return (self.dataset.shape[0] * self._burst, *self._columns_of)

    def _pieces(self):
        events, burst = self.dataset.shape[0], self._burst
        columns = tuple(Axis.run(0, size) for size in self._columns_of)
        if not events:
            return []
        if not self._of_event:
            return [_Events(Axis.run(0, events * burst), columns, self._part)]
        return [Piece(Axis.regular(k, burst, events, 1), columns, self._part) for k in range(burst)]

    @property
    def sources(self):
        """As `Mapped.sources`, also while it has no event."""
        return [self._part]

    def refresh(self):
        """Look again at what others write."""
        super().refresh()
        if self._shape() != self.shape:
            self.shape = self._shape()
            self.arrange(self._pieces())

    @cached_property
    def rows(self):
        """Frames of a row of chunks that are best read together."""
        dataset, burst = self.dataset, self._burst
        if not isinstance(dataset, Plain):
            return burst
        if not dataset.chunked or self._of_event:
            return 1
        if dataset.rows > 1 or burst % dataset.chunk[1]:
            return dataset.rows * burst
        return dataset.chunk[1]


class _Events(Piece):
    """All frames of a dataset of events."""

    def take(self, first, last, out=None):
        """As `Piece.take`; whole events are read at once, for chunks may hold many."""
        shape = self.source.dataset().shape
        begin, end = -(-first // shape[1]), last // shape[1]
        if out is None or begin >= end:
            return super().take(first, last, out)
        there = super().take(first, last)
        inside = slice(begin * shape[1] - first, end * shape[1] - first)
        if not there[inside].all():
            return super().take(first, last, out)
        axes = [Axis.run(begin, end - begin), *(Axis.run(0, size) for size in shape[1:])]
        there[inside] = self.source.dataset().box(axes, 0, out[inside].reshape([axis.size for axis in axes])).all()
        for some in (slice(0, inside.start), slice(inside.stop, last - first)):
            if some.start < some.stop:
                there[some] = super().take(first + some.start, first + some.stop, out[some])
        return there
