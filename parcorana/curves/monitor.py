"""What the values of a run's events were: how often, and when."""

from dataclasses import dataclass, fields

import numpy as np

from parcorana.curves.histogram import Histogram
from parcorana.curves.stretches import POINTS, Stretches

PROCESSED, FILTERED = 0, 1  # kinds of events, in this order in all that has two rows
LOW = 0.1  # of the median: where drop-outs are looked for
_FEW = 1e-3  # part of the events that is nothing to speak of


@dataclass(frozen=True, eq=False)
class Distribution:
    """What one value of the events was.

    Attributes
    ----------
    edges : (b + 1,) float64
        Of the bins, from the smallest to the largest finite number; (0,) if there is none.
    counts : (2, b) int64
        Events processed, and those that `select` left out.
    special : (2, 3) int64
        Of these how many are NaN, infinite, minus infinite: they are in no bin.
    range : (2, 2) float64
        Of these the smallest and the largest finite number, NaN without one.
    first, last : (P,) int64 [pulses]
        Smallest and largest counter of each stretch of events processed.
    events : (P,) int64
    mean, minimum, maximum : (P,) float64
        Of the finite numbers in each stretch, NaN without one.
    """

    edges: np.ndarray
    counts: np.ndarray
    special: np.ndarray
    range: np.ndarray
    first: np.ndarray
    last: np.ndarray
    events: np.ndarray
    mean: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    def total(self, *kinds):
        """Return how many numbers there are of some kinds, all that are not NaN, infinite or minus infinite."""
        return int(self.counts[list(kinds)].sum())

    def quantile(self, part, *kinds):
        """Return what such a part of the finite numbers does not exceed: 0 the smallest, 1 the largest.

        Between these the lower edge of its bin, which whole numbers are equal to; NaN if there are none.
        """
        counts = self.counts[list(kinds)].sum(axis=0)
        if not counts.any():
            return np.nan
        low, high = np.nanmin(self.range[list(kinds)]), np.nanmax(self.range[list(kinds)])
        below = np.cumsum(counts)
        edge = self.edges[np.searchsorted(below, max(part * below[-1], 1))]
        return float(high if part == 1 else np.clip(edge, low, high))

    def doubt(self, name, *kinds):
        """Return a sentence if some events look like drop-outs, None if none do."""
        few, median = self.dropouts(*kinds)
        if not few:
            return None
        return (
            f"{few:,} of {self.total(*kinds):,} events have {name} below {LOW:.0%} of its median, {median:.3g}: were "
            f"they without beam? 'select': {{'{name}': ({1.5 * LOW * median:.2g}, None)}} leaves them out"
        )

    def dropouts(self, *kinds):
        """Return how many events seem to be drop-outs, and the median.

        These are numbers below 10% of the median, if they are more than 0.1% of all and stand apart: of the same
        width above there are less than half as many. None where the bins are too wide for that, and where
        all others are the same number.
        """
        counts, median = self.counts[list(kinds)].sum(axis=0), self.quantile(0.5, *kinds)
        if not median > 0 or self.edges[1] - self.edges[0] > LOW * median / 2:
            return 0, median
        below, between = (self.edges[1:] <= LOW * median), (self.edges[1:] <= 2 * LOW * median)
        few, more = int(counts[below].sum()), int(counts[between & ~below].sum())
        apart = 2 * more < few and np.count_nonzero(counts[~below]) > 1
        return few if apart and few > _FEW * counts.sum() else 0, median


class Monitors:
    """Of each value of the events a histogram, and its course over the run.

    Parameters
    ----------
    names : sequence of str
    """

    def __init__(self, names):
        # in an order of their own: a run may go on with the same ones in another order
        self._names, self._given = sorted(names), list(names)
        self._histograms = {name: Histogram(2) for name in self._names}
        shape = (POINTS, len(self._names))
        columns = {
            "sums": (np.add, np.zeros(shape)),
            "numbers": (np.add, np.zeros(shape, np.int64)),
            "low": (np.fmin, np.zeros(shape)),
            "high": (np.fmax, np.zeros(shape)),
        }
        self._line = Stretches(columns, POINTS)
        self._noted = []

    def note(self, counters, values, processed):
        """Note events that are processed, in their order; `settle` adds them.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        values : dict of str to (m,) float64
        processed : (k,) int64
            Which of them are.
        """
        if len(processed):
            table = np.stack([values[name][processed] for name in self._names], axis=1)
            self._noted.append((counters[processed], table))

    def settle(self):
        """Add what was noted."""
        if not self._noted:
            return
        counters, table = (np.concatenate(column) for column in zip(*self._noted, strict=True))
        self._noted = []
        for name, column in zip(self._names, table.T, strict=True):
            self._histograms[name].add(column, PROCESSED)
        finite = np.isfinite(table)
        real = np.where(finite, table, np.nan)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers as large as they can be
            self._line.put(counters, sums=np.where(finite, table, 0), numbers=finite.astype(int), low=real, high=real)

    def leave_out(self, values):
        """Add the values of events that `select` leaves out, dict of str to (m,) float64."""
        for name in self._names:
            self._histograms[name].add(values[name], FILTERED)

    def state(self):
        """Return what a checkpoint keeps: dict of arrays that are changed in place."""
        kept = {f"line {name}": array for name, array in self._line.state().items()}
        for name, histogram in self._histograms.items():
            kept |= {f"value {name} {part}": array for part, array in histogram.state().items()}
        return kept

    def distributions(self):
        """Return the `Distribution` of each value so far, by its name."""
        line = self._line.arrays()
        found = {}
        for k, (name, histogram) in enumerate(self._histograms.items()):
            edges = histogram.edges()
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = line["sums"][:, k] / line["numbers"][:, k]
            found[name] = Distribution(
                edges=edges,
                counts=histogram.counts[:, : max(len(edges) - 1, 0)],
                special=histogram.special,
                range=histogram.range,
                **{key: line[key] for key in ("first", "last", "events")},
                mean=mean,
                minimum=line["low"][:, k],
                maximum=line["high"][:, k],
            )
        return {name: found[name] for name in self._given}


def as_arrays(distributions):
    """Return distributions as arrays that a message can hold, by 'name field'."""
    return {
        f"{name} {field.name}": getattr(one, field.name)
        for name, one in distributions.items()
        for field in fields(Distribution)
    }


def from_arrays(arrays):
    """Return the distributions of which `as_arrays` made arrays, in their order."""
    found = {}
    for key, array in arrays.items():
        name, _, field = key.partition(" ")
        found.setdefault(name, {})[field] = array
    return {name: Distribution(**parts) for name, parts in found.items()}
