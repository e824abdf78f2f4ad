"""EventBlock: what a server sends to each worker, and its form on the wire."""

from dataclasses import dataclass, field

import numpy as np

from parcorana import _move

# Fields of the header, all int64.
END, NUMBER, EVENTS, READ, FILTERED, NO_DATA, BAD, UNUSED, TOTAL, PULSES, TYPE = range(11)
HEADER = 11
LAST, STOPPED = 1, 2  # END: the last of its server; all that comes after it in the rotation is not used
SERVER_COUNTS = ("read", "filtered", "no_data", "bad", "unused")  # from READ on


@dataclass
class EventBlock:
    """One block of the sequence, as one worker gets it.

    Attributes
    ----------
    header : (11 + s,) or (11 + s + 7,) int64
        Whether this is the END of its server (`LAST` or `STOPPED`, else 0), the block's number, events that
        follow, what became of those read (`SERVER_COUNTS`), events of the whole
        sequence (-1: not known), whether stamps are pulses (else nanoseconds),
        the number (`_move.NUMBER`) of the data's dtype on the wire; how many of those filtered each of the
        config's s ranges of values left out; and with `photons` what was found of them in the events that follow.
    stamps : (m,) int64 [ns or pulses]
    runs : (m,) int64
        Ordinal of each event's run.
    data : (m, n) array of the storage's dtype, C order
    values : dict of str to (m,) float64
        Numbers of each event, by the config's names.
    left_out : dict of str to (l,) float64
        The same of the events that ranges of values left out.
    """

    header: np.ndarray
    stamps: np.ndarray
    runs: np.ndarray
    data: np.ndarray
    values: dict
    left_out: dict = field(default_factory=dict)

    @property
    def events(self):
        """Number of events that came through the filters."""
        return int(self.header[EVENTS])


def _apart(width, itemsize):
    """Return the length of rows that are whole cache lines, but not multiples of 4 KiB (few places of the cache)."""
    lines = -(-width * itemsize // 64)
    return (lines + (lines % 64 == 0)) * 64 // itemsize


def _lines(size):
    """Return `size` bytes that begin with a cache line."""
    memory = np.empty(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


def wire_dtype(dtype, store):
    """Return the dtype in which values travel: their own where that is smaller than the storage's.

    Parameters
    ----------
    dtype, store : numpy.dtype
        Of the values, and of the storage.
    """
    number = _move.NUMBER.get(dtype)
    return _move.TYPES[number] if number is not None and dtype.itemsize < store.itemsize else store


def of_header(config):
    """Return how many numbers a block's header has beside the fixed ones: of `select`, and of `photons`."""
    return len(config.select), 0 if config.photons is None else len(_move.FOUND)


class BlockBuffer:
    """Memory for one block: one message of numbers, one of data per receiver.

    Parameters
    ----------
    block : int
        The most events.
    widths : sequence of int
        Elements of each receiver.
    dtype : numpy dtype
        Of the storage. What travels may be of a smaller one.
    names : sequence of str
        Of the values of an event.
    ranges : int
        Ranges of values that filter events.
    found : int
        Numbers of what was found in an event.

    Attributes
    ----------
    head : int
        Numbers of the header.
    row : int
        Numbers of each event: its time, the ordinal of its run, its values.
    numbers : (head + row * block,) int64
        The values are float64 in the same memory.
    found : (block, f) int64
        On a server what was found in each event.
    memory : list of uint8 arrays
        One for each receiver: rows of its width and a little more, so that each
        begins with a cache line.
    handles : list
        Messages under way from or to this buffer.
    """

    def __init__(self, block, widths, dtype, names=(), ranges=0, found=0):
        self.block, self.widths, self.dtype = block, list(widths), np.dtype(dtype)
        self.names, self.row = list(names), 2 + len(names)
        self._ranges = slice(HEADER, HEADER + ranges)
        self.head, self.found = HEADER + ranges + found, np.zeros((block, found), np.int64)
        self.numbers = np.zeros(self.head + self.row * block, np.int64)
        self._table = self.numbers[self.head :].reshape(block, self.row)
        self._apart = [_apart(width, self.dtype.itemsize) for width in widths]
        # pages that are not written to take no memory, so smaller dtypes take less of it
        # and one row more: rows that begin at a later column end as much later
        self.memory = [_lines((block + 1) * apart * self.dtype.itemsize) for apart in self._apart]
        self.handles = []
        self._targets = {}

    @property
    def header(self):
        """The header, as a view."""
        return self.numbers[: self.head]

    @property
    def events(self):
        """Events that are in the block."""
        return int(self.numbers[EVENTS])

    @property
    def left_out(self):
        """Events that ranges of values left out."""
        return int(self.numbers[self._ranges].sum())

    @property
    def size(self):
        """Numbers that travel: header, events, values of those left out."""
        return self.head + self.row * (self.events + self.left_out)

    def leave_out(self, values, which):
        """Keep the values of events that ranges of values leave out, and count them.

        Parameters
        ----------
        values : (m, V) float64
            In the order of `names`.
        which : (m,) int64
            The range of each, by its number.
        """
        end = self.block - self.left_out  # from the end on backwards: nobody knows how many events will be in it
        self._table[end - len(values) : end, 2:].view(np.float64)[...] = values[::-1]
        self.header[FILTERED] += len(which)
        counts = self.header[self._ranges]
        counts += np.bincount(which, minlength=len(counts))

    def rows(self, dtype=None, columns=None):
        """Return the rows of all receivers, from the given columns on: list of (block, w) views.

        In the storage's dtype if none is given, from the first column on if none are.
        """
        dtype = dtype or self.dtype
        firsts = [column * dtype.itemsize for column in columns or [0] * len(self.memory)]
        return [
            memory[first : first + self.block * apart * dtype.itemsize].view(dtype).reshape(self.block, apart)
            for memory, apart, first in zip(self.memory, self._apart, firsts, strict=True)
        ]

    @property
    def data(self):
        """The elements in the rows: list of (block, width) views in the storage's dtype."""
        return [rows[:, :width] for rows, width in zip(self.rows(), self.widths, strict=True)]

    def begin(self, number, total, pulses):
        """Begin with an empty block."""
        self.header[:] = 0
        self.header[[NUMBER, TOTAL, PULSES]] = number, total, pulses

    def put(self, frames, stamps, run, receivers, check, values=None, found=None):
        """Add events to the block.

        Parameters
        ----------
        frames : (m, size) array, or list of (1, size) arrays
            Numbers of any dtype, the elements of each frame side by side; or
            the segments of one frame, of one dtype.
        stamps : (m,) int64, or int
        run : int
        receivers : parcorana.pipeline.receivers.Receivers
            Elements of each receiver; the same for all calls.
        check : bool
            Whether to leave out events that have values that are not finite.
        values : (m, V) or (V,) float64, optional
            Of the events, in the order of `names`; NaN without it.
        found : (m, f) int64, optional
            What was found in them.

        Returns
        -------
        (m,) uint8
            1 for each event that was left out.
        """
        pieces = frames if isinstance(frames, list) else [frames]
        dtype, events = pieces[0].dtype, self.events
        wire = wire_dtype(dtype, self.dtype)
        now = wire if events == 0 else _move.TYPES[self.numbers[TYPE]]
        if now not in (wire, self.dtype):
            self._widen(now, events)
            now = self.dtype
        self.numbers[TYPE] = _move.NUMBER[now]
        cast = dtype not in _move.NUMBER or (dtype == np.float16 and now == self.dtype)
        bad = np.zeros(len(pieces[0]), np.uint8)
        for piece, target in zip(pieces, self._targets_of(now, receivers, pieces), strict=True):
            if cast:
                with np.errstate(over="ignore", invalid="ignore"):
                    piece = piece.astype(self.dtype)
            if piece.strides[1] != piece.itemsize or not piece.flags.aligned:
                piece = np.array(piece, order="C")
            if target is not None:
                marks = np.empty(len(bad), np.uint8)
                target.take(piece, events, marks, check)
                bad |= marks
        end = events + len(bad) - np.count_nonzero(bad)
        if end - events < len(bad) > 1:
            stamps = stamps[bad == 0]
            values = values[bad == 0] if values is not None else None
            found = found[bad == 0] if found is not None else None
        rows = self._table[events:end]
        rows[:, 0], rows[:, 1] = stamps, run
        if self.names:
            rows[:, 2:].view(np.float64)[...] = np.nan if values is None else values
        if found is not None and end > events:
            self.found[events:end] = found
        self.numbers[EVENTS] = end
        return bad

    def _targets_of(self, dtype, receivers, pieces):
        """Return where each piece of a frame goes, None for one without elements of the mask."""
        key = dtype, *(piece.shape[1] for piece in pieces)
        if key not in self._targets:
            self._targets[key] = [
                _move.Target(self.rows(dtype, columns), stretches) if any(map(len, stretches)) else None
                for stretches, columns in receivers.of(key[1:])
            ]
        return self._targets[key]

    def _widen(self, dtype, events, threads=1):
        """Cast the first rows of all receivers in place, from a dtype to the storage's."""
        narrow = self.rows(dtype)
        for memory, rows, wide, width in zip(self.memory, narrow, self.rows(), self.widths, strict=True):
            if dtype != np.float16:
                _move.widen(memory, rows[:events], wide[:events], width, threads)
                continue
            for k in reversed(range(events)):
                wide[k, :width] = rows[k, :width].copy()

    def messages(self):
        """Return the numbers to send, and the rows for each receiver; to be called once."""
        first, count = self.events, self.left_out
        self._table[first : first + count] = self._table[self.block - count :][::-1].copy()
        return self.numbers[: self.size], self.sent_rows()

    def sent_rows(self):
        """Return the rows of the events that are in the block, for each receiver."""
        return [one[: self.events] for one in self.rows(_move.TYPES[self.header[TYPE]])]

    def as_block(self, threads=1):
        """Return what was received into this buffer, as an EventBlock; its data is a view."""
        m = self.events
        dtype = _move.TYPES[self.header[TYPE]]
        if m and dtype != self.dtype:
            self._widen(dtype, m, threads)
        rows = self._table[: m + self.left_out].copy()
        columns = rows[:, 2:].view(np.float64).T
        values, left_out = (dict(zip(self.names, some, strict=True)) for some in (columns[:, :m], columns[:, m:]))
        return EventBlock(
            self.header.copy(), rows[:m, 0].copy(), rows[:m, 1].copy(), self.data[0][:m], values, left_out
        )
