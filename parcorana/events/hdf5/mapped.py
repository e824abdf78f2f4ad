"""A dataset made of others: a virtual dataset, or the parts of a series, read from their own files.

HDF5 itself gives fill values for what no part is mapped to, and for parts that
it cannot open. So the parts are opened and read here, one by one.
"""

import math
from contextlib import suppress
from functools import cached_property

import numpy as np

from parcorana.events.hdf5.files import Unreadable
from parcorana.events.hdf5.slab import Axis, index_of, size_of

_TOGETHER = 64 << 20  # bytes of frames that are read together for the sake of chunks
SOURCES = 2000  # of a dataset: of more only the names are looked at beforehand


class Mapped:
    """Frames that lie in other datasets.

    A frame was written if all its elements were that any frame has a source for,
    within sources that are made of others, too.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    fill : number
        Of the elements that no frame has a source for.
    pieces : list of Piece

    Attributes
    ----------
    shape, dtype, fill
        As they were given.
    """

    tells = True

    def __init__(self, shape, dtype, fill, pieces):
        self.shape, self.dtype, self.fill = tuple(shape), dtype, fill
        self._lacking = None  # what `unmapped` returned first: what is read later is judged by the same
        self.arrange(pieces)

    def arrange(self, pieces):
        """Take these pieces."""
        self.pieces = sorted(pieces, key=lambda piece: piece.rows.start)
        self._starts = np.array([piece.rows.start for piece in self.pieces], np.int64)
        self._ends = np.maximum.accumulate(np.array([piece.rows.last + 1 for piece in self.pieces], np.int64))
        kinds = {}
        self._kinds = [kinds.setdefault(piece.columns, len(kinds)) for piece in self.pieces]
        covered = np.zeros(self.shape[1:], np.int32)
        for columns in kinds:
            covered[index_of(columns)] += 1
        self._columns, self._whole = list(kinds), covered > 0
        self._apart = covered.max(initial=0) <= 1
        self._gaps = {}  # what the source of a piece lacks, by both

    def _within(self, first, last):
        """Yield the numbers of the pieces that have any of the frames, and which of theirs."""
        low, high = np.searchsorted(self._ends, first, "right"), np.searchsorted(self._starts, last)
        for k in range(int(low), int(high)):
            rows = self.pieces[k].rows
            begin, end = rows.before(first), rows.before(last)
            if begin < end:
                yield k, begin, end

    def look(self):
        """Open every source that is there, the first ones of very many: refuses those that are not to be trusted."""
        for source in self.sources[:SOURCES]:
            with suppress(Unreadable):
                source.dataset().look()
        for piece in self.pieces[:SOURCES]:
            with suppress(Unreadable):
                piece.placed()

    def promised(self):
        """Return which frames, (n,) bool, have sources whose files are there; nothing is opened."""
        there, named = np.zeros((self.shape[0], len(self._columns)), bool), {}
        for kind, piece in zip(self._kinds, self.pieces, strict=True):
            if piece.source not in named:
                try:
                    piece.source.name()
                    named[piece.source] = True
                except Unreadable:
                    named[piece.source] = False
            if named[piece.source]:
                there[piece.rows.at(np.arange(piece.rows.before(self.shape[0]))), kind] = True
        return there.all(axis=1) if self._apart else there.any(axis=1)

    def unmapped(self):
        """Return which elements no frame has a source for, (frame's shape) bool; None if there is none."""
        if self._lacking is None:
            has, unknown = np.zeros(self.shape[1:], bool), {}
            first = {id(source) for source in self.sources[:SOURCES]}
            pieces = {self._of_source(piece): k for k, piece in enumerate(self.pieces)}
            for kind, piece in ((self._kinds[k], self.pieces[k]) for k in pieces.values()):
                unknown.setdefault(kind, True)
                if id(piece.source) not in first and not unknown[kind]:
                    continue
                try:
                    gap = self._gap(piece)
                except Unreadable:
                    continue  # said elsewhere
                unknown[kind] = False
                has[index_of(piece.columns)] |= True if gap is None else ~gap
            for kind, columns in enumerate(self._columns):
                if unknown[kind]:
                    has[index_of(columns)] = True
            self._lacking = ~has
        return self._lacking if self._lacking.any() else None

    def _of_source(self, piece):
        return id(piece.source), piece.columns, piece.axes and piece.axes[1:]

    def _gap(self, piece):
        """Return which elements of a piece its source lacks in turn, being made of others; None if it has them all."""
        key = self._of_source(piece)
        if key not in self._gaps:
            dataset, gap = piece.source.dataset(), None
            inner = dataset.unmapped() if isinstance(dataset, Mapped) else None
            if inner is not None:
                axes, _, _ = piece.placed()
                found, elements = inner[index_of(axes[1:])].reshape(-1), size_of(piece.columns)
                # one position may have several frames, or be one of several that make a frame
                whole = len(found) and max(len(found), elements) % min(len(found), elements) == 0
                found = (
                    np.resize(found, max(len(found), elements)).reshape(-1, elements).any(axis=0) if whole else found
                )
                gap = found.reshape([axis.size for axis in piece.columns]) if whole and found.any() else None
            self._gaps[key] = gap
        return self._gaps[key]

    def _lacks(self, piece):
        """Tell whether the source of a piece lacks elements that others have."""
        gap = self._gap(piece)
        return gap is not None and (
            self.unmapped() is None or bool((gap & ~self._lacking[index_of(piece.columns)]).any())
        )

    def ends(self):
        """As `Plain.ends`, of each source, in the order of the pieces."""
        found, frames = [], self.shape[0]
        for piece in self.pieces[-SOURCES:]:
            try:
                dataset, (axes, along, each) = piece.source.dataset(), piece.placed()
            except Unreadable:
                continue  # said elsewhere
            taken, skipped, size = axes[0], piece.skipped, piece.rows.size
            for end, fill in dataset.ends():
                first, last = 0, size
                if not along and each == 1:
                    first, last = (min(max(taken.before(at) - skipped, 0), size) for at in (end.start, end.last + 1))
                    # the source goes on in other pieces
                    if first == last or taken.at(skipped + size - 1) <= end.last - taken.stride // taken.block:
                        continue
                found += [(part, fill) for part in piece.rows.part(first, last) if part.start < frames]
        return list(dict.fromkeys(found))

    def frames(self, first, last, out=None):
        """Read frames, or only tell which of them were written.

        Parameters
        ----------
        first, last : int
        out : (n, ...) array or None
            Takes the frames; what is not there is left as it is.

        Returns
        -------
        (n,) bool
        """
        there = np.zeros((last - first, len(self._columns)), bool)
        if out is not None and not self._whole.all():
            out[:] = self.fill
        for k, begin, end in self._within(first, last):
            piece = self.pieces[k]
            rows = piece.rows.at(np.arange(begin, end)) - first
            try:
                if self._lacks(piece):
                    continue
                found = self._one(piece, rows, begin, end, out)
            except Unreadable:
                continue
            there[rows, self._kinds[k]] |= found
        whole = there.all(axis=1)
        if not self._apart and not whole.all():
            for row in np.flatnonzero(there.any(axis=1) & ~whole):
                covered = np.zeros(self.shape[1:], bool)
                for kind in np.flatnonzero(there[row]):
                    covered[index_of(self._columns[kind])] = True
                whole[row] = (covered == self._whole).all()
        return whole if self._columns else np.zeros(last - first, bool)

    def _one(self, piece, rows, begin, end, out):
        if out is None:
            return piece.take(begin, end)
        elements = size_of(piece.columns)
        adjoin = rows[-1] - rows[0] == len(rows) - 1
        if adjoin and elements == math.prod(self.shape[1:]):
            return piece.take(begin, end, out[rows[0] : rows[-1] + 1].reshape(len(rows), elements))
        values = np.empty((len(rows), elements), out.dtype)
        found = piece.take(begin, end, values)
        index, shape = index_of(piece.columns), [axis.size for axis in piece.columns]
        if all(isinstance(each, slice) for each in index):
            out[(rows[found], *index)] = values[found].reshape(-1, *shape)
        else:
            for row in np.flatnonzero(found):
                out[rows[row]][index] = values[row].reshape(shape)
        return found

    def bound(self):
        """Return where the frames end at the latest that were written."""
        return self.shape[0]

    def written(self, axes, along=0):
        """Tell what of a selection was written, as `Plain.written` does."""
        return self._selected(axes, along, None)

    def box(self, axes, along, out):
        """Read what was written of a selection, as `Plain.box` does."""
        return self._selected(axes, along, out)

    def _selected(self, axes, along, out):
        first, last = axes[0].start, min(axes[0].last + 1, self.shape[0])
        if first >= last or any(axis.last >= size for axis, size in zip(axes[1:], self.shape[1:], strict=True)):
            return np.zeros(axes[along].size, bool)
        whole = out is not None and axes == [Axis.run(first, last - first), *(Axis.run(0, s) for s in self.shape[1:])]
        frames = None
        if out is not None:
            frames = out if whole else np.empty((last - first, *self.shape[1:]), out.dtype)
        rows = axes[0].at(np.arange(axes[0].size)) - first
        there = np.zeros(max(int(rows[-1]) + 1, last - first), bool)
        there[: last - first] = self.frames(first, last, frames)
        there = there[rows]
        if out is not None and not whole:
            inside = rows < last - first
            out[inside] = frames[rows[inside]][(slice(None), *index_of(axes[1:]))]
        return there if along == 0 else np.full(axes[along].size, there.all())

    def why(self, axes, along=0):
        """Return why the first frame of a selection does not count as written."""
        return self.why_frame(axes[0].start)[0]

    def why_frame(self, index):
        """Return why a frame does not count as written, and up to which frame that may hold."""
        later = self._starts[np.searchsorted(self._starts, index, "right") :]
        until, text = int(later[0]) if len(later) else self.shape[0], "no source is mapped to them"
        for k, begin, _ in self._within(index, index + 1):
            piece = self.pieces[k]
            until = min(until, piece.rows.last + 1) if piece.rows.count == 1 else index + 1
            try:
                if piece.take(
                    begin, begin + 1, np.empty((1, size_of(piece.columns)), self.dtype.newbyteorder("="))
                ).all():
                    text = "no source is mapped to a part of them"
                    continue
                return f"{piece.source}: {piece.why(begin)}", until
            except (Unreadable, OSError) as error:
                return f"{piece.source}: {error}", until
        return text, until

    # -- how it is best read ---------------------------------------------------

    def _first(self):
        for piece in self.pieces:
            try:
                return piece.source.dataset()
            except Unreadable:
                continue
        return None

    @cached_property
    def rows(self):
        """Frames of a row of chunks that are best read together."""
        first = self._first()
        return 1 if first is None else first.rows

    @cached_property
    def packed(self):
        """Whether chunks are compressed."""
        first = self._first()
        return first is not None and first.packed

    @property
    def chunk_bytes(self):
        """Bytes that HDF5 unpacks at once; 0 where it need not."""
        first = self._first()
        return 0 if first is None else first.chunk_bytes

    def together(self, index, rows):
        """Return which frames are best read with one: whole rows of chunks of its source, or so many."""
        for k, number, _ in self._within(index, index + 1):
            piece = self.pieces[k]
            try:
                axes, along, each = piece.placed()
                dataset = piece.source.dataset()
            except Unreadable:
                break
            if along or each > 1 or axes[0].count > 1 or piece.rows.size < dataset.rows:
                break
            at, apart = axes[0].at(piece.skipped + number), piece.rows.stride if piece.rows.count > 1 else 1
            most = max(rows, _TOGETHER // (math.prod(self.shape[1:]) * self.dtype.itemsize))
            if apart * dataset.rows > most:
                break
            some = dataset.together(at, max(rows // apart, dataset.rows))
            first, last = (min(max(axes[0].before(each) - piece.skipped, 0), piece.rows.size) for each in some)
            return piece.rows.at(first), piece.rows.at(last - 1) + 1
        first = index - index % rows
        return first, min(first + rows, self.shape[0])

    @property
    def sources(self):
        """The datasets that these frames are in."""
        return list({id(piece.source): piece.source for piece in self.pieces}.values())

    def refresh(self):
        """Look again at what others write."""
        for source in self.sources:
            source.refresh()

    def extent(self):
        """Return what changes whenever something is written."""
        return self.shape[0], *(source.extent() for source in self.sources)

    def guess(self, guesses):
        """Say whether what is written may still be filled, as `Plain.guess` does."""
        for source in self.sources:
            source.guess(guesses)

    def files(self):
        """Return the names of the files that these frames are in."""
        return [name for source in self.sources for name in source.files()]
