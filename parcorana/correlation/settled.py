"""Events in the order of time, for a calculation that is `in_order`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Settled:
    """Events that no later one can precede, or those that wait for that; in the order of time.

    Parameters
    ----------
    counters, numbers, values
        As the attributes.
    arrays : sequence of (k, n) arrays
        What the events lie in; the elements of an event lie side by side.
    which : (m,) int
        In which of these each event lies.
    at : (m,) int64
        In which row of that.

    Attributes
    ----------
    counters : (m,) int64 [pulses]
        Increasing.
    numbers : (m,) int64
        The place of each among all processed events, in the order in which they were processed.
    values : dict of str to (m,) float64
        Numbers of each event, as the config's `values` names them; NaN where one has none.
    rows : (m,) uintp
        Address of the first of the n elements of each event, for compiled code: as long as the call lasts that has
        brought the events.
    elements : int
        n.
    dtype : numpy.dtype
        float32 or float64.
    """

    def __init__(
        self,
        counters: NDArray[np.int64],
        numbers: NDArray[np.int64],
        values: Mapping[str, NDArray[np.float64]],
        arrays: Sequence[NDArray[Any]],
        which: NDArray[Any],
        at: NDArray[np.int64],
    ) -> None:
        self.counters, self.numbers, self.values = counters, numbers, dict(values)
        self.dtype, self.elements = arrays[0].dtype, arrays[0].shape[1]
        self._arrays = [self._with_rows_apart(array) for array in arrays]
        self._which, self._at = which, at
        self.rows = np.zeros(len(counters), np.uintp)
        for number, array in enumerate(self._arrays):
            mine = which == number
            self.rows[mine] = array.ctypes.data + at[mine] * array.strides[0]

    @staticmethod
    def _with_rows_apart(array):
        """Return an array of which the elements of a row lie side by side."""
        return array if array.strides[1] == array.itemsize else np.ascontiguousarray(array)

    def __len__(self) -> int:
        return len(self.counters)

    def at(self, part: slice) -> "Settled":
        """Return some of the events, as they lie."""
        values = {name: column[part] for name, column in self.values.items()}
        return Settled(self.counters[part], self.numbers[part], values, self._arrays, self._which[part], self._at[part])

    @property
    def data(self) -> NDArray[Any]:
        """(m, n) array of `dtype`, to be read only; a copy unless the rows lie one behind the other."""
        return self.columns(slice(None))

    def columns(self, part: slice) -> NDArray[Any]:
        """Return some elements of all events, to be read only: (m, k) array of `dtype`.

        Parameters
        ----------
        part : slice
            Of the n elements.
        """
        if len(self) and (self._which == self._which[0]).all() and (np.diff(self._at) == 1).all():
            columns = self._arrays[self._which[0]][self._at[0] : self._at[0] + len(self), part]
        else:
            columns = np.empty((len(self), len(range(*part.indices(self.elements)))), self.dtype)
            for number, array in enumerate(self._arrays):
                mine = self._which == number
                columns[mine] = array[:, part][self._at[mine]]
        columns.flags.writeable = False  # now it is what the program has, now a copy
        return columns
