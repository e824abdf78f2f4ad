"""A dataset that holds its values itself: which of them were ever written, and reading them."""

import math
from contextlib import suppress
from itertools import product

import h5py
import numpy as np

from parcorana.errors import ConfigError
from parcorana.events.hdf5.slab import Axis, runs_of
from parcorana.events.hdf5.unpacked import Unpacked
from parcorana.files.limits import available

_LITTLE = 8 << 20  # bytes that nobody asks for


class Plain:
    """A dataset in chunks, contiguous, or compact.

    HDF5 gives fill values for what was never written. It knows which chunks
    were; a contiguous dataset is one chunk. A dataset that was given all its
    room when it was made, or is compact, counts as written. In a row of chunks,
    if the one that follows was never written, frames at the end that hold
    nothing but the fill value were not written either.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    name : str
        Of the file.
    item : h5py.Dataset

    Attributes
    ----------
    shape, dtype, fill
        As HDF5 says.
    chunked : bool
    chunk : tuple of int
        Shape of a chunk; of all where there are none.
    packed : bool
        Whether chunks are compressed, or otherwise changed.
    tells : bool
        Whether HDF5 can tell what was written.
    """

    def __init__(self, trust, name, item):
        self.trust, self.name, self.path = trust, name, item.name
        self.shape, self.dtype, self.fill = item.shape, item.dtype, item.fillvalue
        plist = item.id.get_create_plist()
        self.chunked = bool(item.chunks)
        self.chunk = item.chunks or tuple(max(size, 1) for size in item.shape)
        self.packed = plist.get_nfilters() > 0
        self.tells = self.chunked and plist.get_alloc_time() != h5py.h5d.ALLOC_TIME_EARLY
        self._guesses = False
        # the chunks of a dataset that grows along another axis have another order
        self._in_order = self.chunked and None not in item.maxshape[1:]
        self._known, self._asked, self._count = None, False, -1
        self._ends = {}
        self._unpacked = Unpacked.of(self)

    @property
    def rows(self):
        """Frames of a row of chunks that are best read together."""
        return self.chunk[0] if self.chunked else 1

    @property
    def chunk_bytes(self):
        """Bytes that HDF5 unpacks at once; 0 where it need not."""
        return self.dtype.itemsize * math.prod(self.chunk) if self.packed else 0

    def files(self):
        """Return the name of the file, in a list."""
        return [self.name]

    def item(self):
        """Return the dataset, opened again if it was closed meanwhile."""
        return self.trust.dataset(self.name, self.path)

    def refresh(self):
        """Look again at what others write."""
        item = self.item()
        item.refresh()
        shape, count = item.shape, item.id.get_num_chunks() if self.chunked else item.id.get_space_status()
        self._asked = self._asked and (shape, count) == (self.shape, self._count)
        self.shape, self._count = shape, count
        self._ends.clear()

    def guess(self, guesses):
        """Say whether the last row of chunks may still be filled: fill values at its end are then not yet written.

        None: a fill value is a value as any other, wherever it is.
        """
        self._guesses = guesses

    def look(self):
        """As `Mapped.look`."""

    def extent(self):
        """Return what changes whenever something is written."""
        return self.shape[0], self._count

    # -- what was written ------------------------------------------------------

    @property
    def _grid(self):
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunk, strict=True))

    def _written(self):
        """Return the numbers of the chunks that were written, in order; None if all were."""
        if not self._asked:
            self._known, self._asked = self._ask(), True
        return self._known

    def _ask(self):
        item, grid, none = self.item(), self._grid, np.zeros(0, np.int64)
        if not self.chunked:
            return none if item.id.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED else None
        count = item.id.get_num_chunks()
        if count == math.prod(grid):
            return None
        if not count:
            return none
        steps = [math.prod(grid[k + 1 :]) for k in range(len(grid))]

        def number(info):
            return sum(at // size * step for at, size, step in zip(info.chunk_offset, self.chunk, steps, strict=True))

        # so many from the first one on, as of a file that is being filled
        if self._in_order and number(item.id.get_chunk_info(count - 1)) == count - 1:
            return np.arange(count)
        found = []
        item.id.chunk_iter(lambda info: None if info.byte_offset is None else found.append(number(info)))
        return np.sort(np.array(found, np.int64))

    def written(self, axes, along=0):
        """Tell what of a selection was written.

        Parameters
        ----------
        axes : sequence of Axis
        along : int
            The axis that is asked about.

        Returns
        -------
        (n,) bool
            For each position of that axis whether all was, along the others.
        """
        at = axes[along].at(np.arange(axes[along].size))
        there = at < self.shape[along]
        if any(axis.last >= self.shape[k] for k, axis in enumerate(axes) if k != along):
            there[:] = False
        known = self._written()
        if not there.any() or (known is None and not self._guesses):
            return there
        places = (axis.at(np.arange(axis.size)) for axis in axes)
        cells = [np.unique(each // chunk) for each, chunk in zip(places, self.chunk, strict=True)]
        cells[along], where = np.unique(at[there] // self.chunk[along], return_inverse=True)
        if known is not None:
            there[there] = self._are_written(cells, along)[where]
        if along == 0 and self.chunk[0] > 1 and self._guesses is not None:
            for row in self._open_rows(cells[0]):
                there &= (at // self.chunk[0] != row) | (at < self._end_of(row))
        return there

    def _are_written(self, cells, along):
        """Tell, for each of the chunks along one axis, whether it and those beside it were written."""
        known, grid = self._known, self._grid
        if not len(known):
            return np.zeros(len(cells[along]), bool)
        numbers = np.zeros((), np.int64)
        for each, size in zip(cells, grid, strict=True):
            numbers = numbers[..., None] * size + each
        found = known[np.minimum(np.searchsorted(known, numbers), len(known) - 1)] == numbers
        return found.all(axis=tuple(k for k in range(len(grid)) if k != along))

    def _open_rows(self, rows):
        """Return which of some rows of chunks may end in frames that were not written: the next one was not."""
        number = self._grid[0]
        if self._known is None:
            return [number - 1] if number - 1 in rows else []
        per_row = math.prod(self._grid[1:])
        rows = rows[(rows + 1 < number) | self._guesses]
        begin, middle, end = (np.searchsorted(self._known, (rows + k) * per_row) for k in range(3))
        return rows[(begin < middle) & (middle == end)].tolist()

    def _last_row(self):
        """Return the last row of chunks of which any was written, -1 for none."""
        if self._known is None:
            return self._grid[0] - 1
        return int(self._known[-1]) // math.prod(self._grid[1:]) if len(self._known) else -1

    def bound(self):
        """Return where the frames end at the latest that were written."""
        known = self._written()
        return self.shape[0] if known is None else min((self._last_row() + 1) * self.chunk[0], self.shape[0])

    def _end_of(self, row):
        """Return where in a row of chunks the frames end that hold more than the fill value."""
        if row not in self._ends:
            end, last = row * self.chunk[0], min((row + 1) * self.chunk[0], self.shape[0])
            for cells in product(*map(range, self._grid[1:])):
                axes = [Axis.run(end, last - end), *self.tile(cells)]
                values = np.empty([axis.size for axis in axes], self.dtype.newbyteorder("="))
                self.read(axes, values)
                more = np.flatnonzero(~is_fill(values, self.fill))
                end += int(more[-1]) + 1 if len(more) else 0
                if end == last:
                    break
            self._ends[row] = end
        return self._ends[row]

    def tile(self, cells):
        """Return the axes of a chunk, all but the first."""
        return [
            Axis.run(cell * chunk, min(chunk, size - cell * chunk))
            for cell, chunk, size in zip(cells, self.chunk[1:], self.shape[1:], strict=True)
        ]

    def unmapped(self):
        """As `Mapped.unmapped`: None, for each element has its place here."""

    def ends(self):
        """Return the frames at the end of which HDF5 cannot tell whether they were written.

        Returns
        -------
        list of (Axis, number)
            With the fill value; of chunked frames, those of the last row of
            chunks. One frame with room of its own was written.
        """
        last = self.shape[0]
        first = (last - 1) // self.chunk[0] * self.chunk[0] if self.tells else 0
        return [(Axis.run(first, last - first), self.fill)] if last - first > 1 else []

    def together(self, index, rows):
        """Return which frames are best read with one: so many, which are whole rows of chunks."""
        first = index - index % rows
        return first, min(first + rows, self.shape[0])

    def why(self, axes, along=0):
        """Return why the first position of a selection does not count as written."""
        if any(axis.last >= self.shape[k] for k, axis in enumerate(axes) if k != along):
            return f"{self.path} has frames of shape {self.shape[1:]}"
        if axes[along].start >= self.shape[along]:
            return f"{self.path} has {self.shape[along]:,} frames only"
        return "never written"

    # -- reading ---------------------------------------------------------------

    def box(self, axes, along, out):
        """Read what was written of a selection.

        Parameters
        ----------
        axes : sequence of Axis
            Those before `along` have one position.
        along : int
        out : array of the selection's shape, C order
            Not touched where nothing was written.

        Returns
        -------
        (n,) bool
            As `written`.
        """
        there = self.written(axes, along)
        for first, last in runs_of(there):
            for part in axes[along].part(first, last):
                into = out[(slice(None),) * along + (slice(first, first + part.size),)]
                first += part.size
                if self._unpacked is None or along:
                    self.read([*axes[:along], part, *axes[along + 1 :]], into)
                else:
                    self._unpacked.read([part, *axes[1:]], into)
        return there

    def read(self, axes, out):
        """Read a selection as HDF5 has it."""
        item = self.item()
        space = item.id.get_space()
        start, stride, count, block = zip(*((a.start, a.stride, a.count, a.block) for a in axes), strict=True)
        space.select_hyperslab(start, count, stride, block)
        item.id.read(h5py.h5s.create_simple(out.shape), space, out)
        self.trust.files.check(self.name)


def is_fill(frames, fill):
    """Tell which frames hold nothing but the fill value."""
    same = np.isnan(frames) if frames.dtype.kind == "f" and np.isnan(fill) else frames == fill
    return same.reshape(len(frames), -1).all(axis=1)


def dtype_of(item):
    """Return a dataset's dtype, one without numbers where NumPy has none for it."""
    try:
        return item.dtype
    except TypeError:  # HDF5 has types that NumPy has not
        return np.dtype("V")


def check_bytes(what, nbytes):
    """Refuse what does not fit in the memory twice: as it is, and as it is compressed or copied."""
    if nbytes > _LITTLE and 2 * nbytes > (free := available()):
        raise ConfigError(f"{what} takes {nbytes / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB of memory are free")


def check_plain(item, where):
    """Refuse a compression that this HDF5 cannot undo, or that gives more than the memory holds."""
    if item.chunks:
        check_bytes(f"{where}: a chunk", math.prod(item.chunks) * item.dtype.itemsize)
    plist = item.id.get_create_plist()
    for k in range(plist.get_nfilters()):
        code, _, _, text = plist.get_filter(k)
        if h5py.h5z.filter_avail(code):
            continue
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401  it registers its filters
        if not h5py.h5z.filter_avail(code):
            text = text.decode(errors="replace") or "unknown"
            raise ConfigError(
                f"{where}: it is compressed with the filter {code} ({text}), which HDF5 has not by itself: "
                "pip install parcorana[compression]"
            )
