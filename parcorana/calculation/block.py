"""What a calculation gets: blocks of events on workers, updates on the viewer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Block:
    """Events that enter together, in the order of the sequence; duplicates and late ones are not among them.

    Parameters
    ----------
    counters : (k,) int64 [pulses]
        Of all events that came.
    offered : (k, n) array of the buffer's dtype
        Their elements; those of an event lie side by side.
    entering : (m,) int64
        Which of them enter, in order.
    values : dict of str to (k,) float64
    first : int
        Events processed before.
    buffer, entry : optional
        As the attributes.
    say : callable, optional
        Takes a text: what is being done, for errors.

    Attributes
    ----------
    counters : (m,) int64 [pulses]
    values : dict of str to (m,) float64
        Numbers of each event, as the config's `values` names them; NaN where one has none.
    first : int
    offered, entering
        As given.
    all_counters, all_values
        Counters and values of all events that came, as given.
    buffer : parcorana.correlation.rolling.RollingBuffer
        T, X, `values` and `filled` of what is stored, row by row. X has no elements where the class keeps no `buffer`.
    entry : parcorana.correlation.rolling.Entry
        What enters and leaves, row by row, and the pairs that it makes.
    """

    def __init__(
        self,
        counters: NDArray[np.int64],
        offered: NDArray[Any],
        entering: NDArray[np.int64],
        values: Mapping[str, NDArray[np.float64]] | None = None,
        first: int = 0,
        buffer: Any = None,
        entry: Any = None,
        say: Callable[[str], object] | None = None,
    ) -> None:
        self.all_counters, self.all_values = counters, values or {}
        self.counters = counters[entering]
        self.values = {name: column[entering] for name, column in (values or {}).items()}
        self.first, self.offered, self.entering = first, offered, entering
        self.buffer, self.entry = buffer, entry
        self._say = say

    def __len__(self) -> int:
        return len(self.entering)

    @property
    def data(self) -> NDArray[Any]:
        """(m, n) array of the buffer's dtype, to be read only: the elements of the events that enter.

        Those of an event lie side by side, but events may be apart in memory: in
        Cython it is a ``const real[:, :]``.
        """
        which = self.entering
        data = self.offered[: len(which)] if not len(which) or len(which) == which[-1] + 1 else self.offered[which]
        data.flags.writeable = False  # now it is what `offered` has, now a copy
        return data

    def at(self, k: int) -> None:
        """Name event `k` of the block in errors: for code that goes through them one by one."""
        if self._say is not None:
            self._say(f"event {self.first + k} of those processed, T={self.counters[k]}")

    def store(self) -> None:
        """Put the events into the buffer: for a class that `stores` them itself, once."""
        self.buffer.store(self.entry, self.offered, self.values, self.first)

    def stored(self) -> None:
        """Say that the class has filled the rows of the buffer's X itself (`entry.row` tells which)."""
        self.buffer.place(self.entry, self.values, self.first)


class Update(dict[str, NDArray[Any]]):
    """What all workers together have: name to array, with `Summed` parts added.

    `PerElement` arrays have the leading axes, then the detector's shape, 0
    outside the mask; they are left out where a class takes them piece by piece.

    Attributes
    ----------
    processed : int
        Events processed so far.
    relsec : float [s]
        Time of the newest processed event minus the whole second of the first.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], processed: int, relsec: float) -> None:
        super().__init__(arrays)
        self.processed, self.relsec = processed, relsec


def spread(mask: NDArray[np.bool_], flat: NDArray[Any]) -> NDArray[Any]:
    """Return the detector's ndarray of one value per included element, 0 outside the mask."""
    full = np.zeros(mask.shape, flat.dtype)
    full[mask] = flat
    return full
