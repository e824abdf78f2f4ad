"""What the viewer has of an update: the workers' parts, put together as they come."""

import numpy as np

from parcorana.errors import RunError
from parcorana.calculation.sums import add, widened


class Gathered:
    """An update, put together from what the workers send, in their order.

    Small arrays are added at once, so that the viewer holds those of one
    worker beside the sum, however many workers there are.

    Parameters
    ----------
    user : object
        The viewer's instance of the user class, for errors.
    arrays : dict of str to ndarray
        Of the first worker's note; they are kept, and changed.

    Attributes
    ----------
    counts : (D,) int64
        Pairs per delay.
    reduced : dict of str to ndarray
        Sums of what `workerReduce` returned, in wide types: `parcorana.calculation.sums`.
    int8 : list of (n,) int8
        Of each worker, where full arrays are gathered.
    """

    def __init__(self, user, arrays):
        self._who = type(user).__name__
        first = _reduced_of(arrays)
        self._kinds = _kinds_of(first)
        self.reduced = {name: widened(array) for name, array in first.items()}
        self.counts, self.int8 = arrays["counts"], []
        self._keep_int8(arrays)

    def add(self, arrays):
        """Add those of the next worker.

        Raises
        ------
        RunError
            The workers do not agree on counts, or on names, shapes and types of what is to be added; or a sum of
            whole numbers is beyond 64 bit.
        """
        if not np.array_equal(arrays["counts"], self.counts):
            raise self.disagreement()
        more = _reduced_of(arrays)
        one, other = self._kinds, _kinds_of(more)
        if one != other:
            name = next(name for name in one | other if one.get(name) != other.get(name))
            what = [f"{each[name][0]} {each[name][1]}" if name in each else "nothing" for each in (one, other)]
            raise RunError(
                f"{self._who}.workerReduce: array {name!r} must have the same dtype and shape on all workers, "
                f"not {what[0]} on the first and {what[1]} on another"
            )
        for name, array in more.items():
            try:
                add(self.reduced[name], array)
            except OverflowError as error:
                raise RunError(
                    f"{self._who}.workerReduce: the sum of array {name!r} over the workers is {error}: return float64"
                ) from None
        self._keep_int8(arrays)

    def disagreement(self):
        """Return the error to raise where workers count otherwise."""
        return RunError(f"{self._who}.workerCalc: workers disagree on counts; they must depend on T alone")

    def _keep_int8(self, arrays):
        if "int8" in arrays:
            self.int8.append(arrays["int8"])


def _reduced_of(arrays):
    return {name.removeprefix("reduced."): array for name, array in arrays.items() if name.startswith("reduced.")}


def _kinds_of(arrays):
    return {name: (array.dtype, array.shape) for name, array in arrays.items()}
