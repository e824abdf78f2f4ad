"""EventBlock: what a server sends to each worker, and its form on the wire."""

from dataclasses import dataclass

import numpy as np

# Fields of the header, all int64.
END, NUMBER, EVENTS, READ, FILTERED, NO_DATA, BAD, UNUSED, TOTAL, PULSES = range(10)
HEADER = 10
SERVER_COUNTS = ("read", "filtered", "no_data", "bad", "unused")  # from READ on


@dataclass
class EventBlock:
    """One block of the sequence, as one worker gets it.

    Attributes
    ----------
    header : (9,) int64
        Whether this is the END of its server, the block's number, events that
        follow, what became of those read (`SERVER_COUNTS`), events of the whole
        sequence (-1: not known), whether stamps are pulses (else nanoseconds).
    stamps : (m,) int64 [ns or pulses]
    runs : (m,) int64
        Ordinal of each event's run.
    data : (m, n) array, C order
    """

    header: np.ndarray
    stamps: np.ndarray
    runs: np.ndarray
    data: np.ndarray

    @property
    def events(self):
        """Number of events that came through the filters."""
        return int(self.header[EVENTS])


def _apart(width, itemsize):
    """Return a row's length: rows a multiple of 4 KiB apart would share a few places of the cache."""
    return width + 64 // itemsize if width * itemsize % 4096 == 0 else width


class BlockBuffer:
    """Memory for one block: one message of numbers, one of data per receiver.

    Parameters
    ----------
    block : int
        The most events.
    widths : sequence of int
        Elements of each receiver.
    dtype : numpy dtype

    Attributes
    ----------
    rows : list of (block, w) arrays, C order
        What is sent; w is a little more than the width where that would make
        the distance of two events a power of two.
    data : list of (block, width) arrays
        The elements in them.
    """

    def __init__(self, block, widths, dtype):
        self.block = block
        self.numbers = np.zeros(HEADER + 2 * block, np.int64)
        self.rows = [np.empty((block, _apart(width, np.dtype(dtype).itemsize)), dtype) for width in widths]
        self.data = [rows[:, :width] for rows, width in zip(self.rows, widths, strict=True)]
        self.handles = []

    @property
    def header(self):
        """The header, as a view."""
        return self.numbers[:HEADER]

    def add(self, stamp, run):
        """Note the time and run of the event whose data was just written."""
        k = self.numbers[EVENTS]
        self.numbers[HEADER + 2 * k] = stamp
        self.numbers[HEADER + 2 * k + 1] = run
        self.numbers[EVENTS] = k + 1

    def message(self):
        """Return the numbers to send."""
        return self.numbers[: HEADER + 2 * self.numbers[EVENTS]]

    def as_block(self):
        """Return what was received into this buffer, as an EventBlock of views."""
        m = int(self.numbers[EVENTS])
        pairs = self.numbers[HEADER : HEADER + 2 * m].reshape(m, 2)
        return EventBlock(self.header, pairs[:, 0].copy(), pairs[:, 1].copy(), self.data[0][:m])
