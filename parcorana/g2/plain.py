"""G2 once more, the plain slow way: what ``--test_alt`` compares the shipped classes with.

Pairs by a dictionary, sums pair by pair in float64, delay curves element by
element: nothing here is shared with kernels, plans or sums per colour. Written
from docs/definitions.md.
"""

import numpy as np

from parcorana.curves import errorfile
from parcorana.curves.aged import Aged
from parcorana.curves.apart import chosen
from parcorana.curves.framenorm import divide
from parcorana.curves.sums import Curve
from parcorana.g2.errored import with_groups
from parcorana.g2.parameters import COLOR


class PlainG2:
    """The part of the G2 classes that is called by ``--test_alt`` only."""

    #: Whether pairs are forgotten once one of their events has left the buffer.
    forgets = True

    def calcAndPublishForTestAlt(self, counters, data, h5UserGroup):
        """Compute G2, IP, IF, counts, saturated elements and delay curves of all events at once."""
        times, normalization = self.system_params["times"], self.color_sums.normalization
        saturated = np.zeros(data.shape[1], bool)
        if self.saturated_value is not None:
            saturated = (data >= self.saturated_value).any(axis=0)
        series = None
        if self.frame_norm == COLOR:
            series = self._means_of(counters, data, [self.color == color for color in self.color_sums.colors])
        elif self.frame_norm is not None:
            series = np.array([[self.plain_numbers[t]] for t in counters.tolist()])
        if self.has_scatter:
            self._correlate_mean(counters, data, series)
        if self.forgets:
            counters, data = counters[-times:], data[-times:]
        arrays, counts = self.sum_plainly(counters, data)
        table = self._curves_plainly(arrays, counts, ~saturated, normalization)
        table = self._with_groups_plainly(table, arrays, counts, ~saturated, normalization)
        norm = None
        if series is not None:
            sums, _ = self.sum_plainly(counters, series[-len(counters) :])
            with np.errstate(divide="ignore", invalid="ignore"):
                g2 = (counts[:, None] * sums["G2"] / (sums["IP"] * sums["IF"])).T
            g2 = np.ascontiguousarray(np.where(counts > 0, g2, np.nan))
            table, norm = divide(table, self.frame_norm, g2, self.color_sums.colors)
        table = self.with_scatter(table, counts) if self.has_scatter else table
        group = h5UserGroup.create_group(f"G2_results_at_{self.mpiParams.processed:06d}")
        mask = self.mpiParams.mask
        full = np.zeros(mask.shape, np.int8)
        full[mask] = saturated
        self.write_results(group, counts, table, full, norm=norm)
        if (
            (table.groups == 0).any()
            and self.errors != "pixels"
            and self.snapshot_width(self.system_params, self.user_params)[0]
        ):
            errorfile.leave_out(group)  # there may be time blocks, which are made of what passes by
        if self.has_aged and len(counters):
            self._age_plainly(group, counters, data, series, (arrays, counts), saturated)
        if self.user_params.get("save_arrays", "last"):
            for name in arrays:
                for d, delay in enumerate(self.system_params["delays"]):
                    full = np.zeros(mask.shape)
                    full[mask] = arrays[name][d]
                    self.viewerPublishArray(name, delay, full, h5UserGroup)

    def _curves_plainly(self, arrays, counts, ok, normalization, but=None):
        """Return the curves of all colours, (C, D), of the elements that are `ok`, but without some."""
        none = np.zeros(len(ok), bool) if but is None else but
        curves = [
            plain_curve(arrays, counts, (self.color == color) & ~none, ok, normalization, self.finecolor)
            for color in self.color_sums.colors
        ]
        rows = zip(*(curve.arrays for curve in curves), strict=True)
        return Curve(*map(np.array, rows)) if curves else Curve(*np.zeros((4, 0, len(counts))))

    def _age_plainly(self, group, counters, data, series, sums, saturated):
        """Write the curves of the pairs that are not of the events that came until the update before."""
        update, normalization = self.system_params["update"], self.color_sums.normalization
        since = (len(counters) - 1) // update * update
        early = np.isin(counters, list(self.plain_numbers)[:since])
        arrays, counts = less(sums, self.sum_plainly(counters[early], data[early]))
        new = np.zeros(len(saturated), bool)  # what saturated since then takes its colour, or fine colour, with it
        if since and self.saturated_value is not None:
            new = saturated & ~(data[early] >= self.saturated_value).any(axis=0)
        groups = self.finecolor if normalization == "finecolor" else self.color
        gone = np.isin(groups, groups[new])
        table = self._curves_plainly(arrays, counts, ~saturated, normalization, gone)
        changed = np.array([(gone & (self.color == color)).any() for color in self.color_sums.colors], bool)
        if series is not None:
            all_of_it, before = (self.sum_plainly(counters[rows], series[rows]) for rows in (slice(None), early))
            found, _ = less(all_of_it, before)
            series = np.array([found[name].T for name in ("G2", "IP", "IF")])
        late = counters[~early]
        self.write_stretch(group, Aged(since, counts, table, changed, series), (late.min(), late.max()))

    def sum_plainly(self, counters, data):
        """Return the sums over all pairs that the class counts, as `plain_sums` does."""
        return plain_sums(counters, data, self.system_params["delays"], self.system_params["times"])

    def _means_of(self, counters, data, groups):
        """Return the mean of each group at each event, (m, C): of the elements that nothing before it saturated."""
        rows = dict(zip(counters.tolist(), data, strict=True))
        ok, means = np.ones(data.shape[1], bool), {}
        for t in self.plain_numbers:  # in the order in which they came
            if self.saturated_value is not None:
                ok &= rows[t] < self.saturated_value
            which = [ok & one for one in groups]
            means[t] = [rows[t][one].mean() if one.any() else 0.0 for one in which]
        return np.array([means[t] for t in counters.tolist()]).reshape(len(counters), len(groups))

    def _correlate_mean(self, counters, data, series):
        """Correlate the mean of all coloured elements, for the scatter that they share, in the order of the events."""
        numbers = self._means_of(counters, data, [self.color > 0])
        if series is not None:
            numbers = np.concatenate([series, numbers], axis=1)
        came = np.array([*self.plain_numbers], np.int64)
        place = np.searchsorted(counters, came)
        self.series_g2.add(came, np.zeros(len(came), np.int64), numbers[place])

    def _with_groups_plainly(self, table, arrays, counts, ok, normalization):
        """Return curves with the errors of pixel groups: each curve once more without each group."""
        if self.color_sums.parts is None:
            return with_groups(table, None, np.zeros(len(table.g2), np.int64))
        own = self.groups
        many = np.array([own[self.color == color].max(initial=0) + 1 for color in self.color_sums.colors])

        def without(c, together, groups):
            mine, left = self.color == self.color_sums.colors[c], []
            for k in range(groups):
                keep = ~(mine & (own // together == k))
                some = {name: array[:, keep] for name, array in arrays.items()}
                fine = None if self.finecolor is None else self.finecolor[keep]
                left.append(plain_curve(some, counts, mine[keep], ok[keep], normalization, fine))
            full = table.elements[c]
            part = np.array([1 - each.elements / np.where(full, full, np.nan) for each in left])
            return table.g2[c], np.array([each.g2 for each in left]), part

        return with_groups(table, *chosen(many, len(counts), without))


def plain_sums(counters, data, delays, times):
    """Sum over all pairs of events that were stored together.

    Parameters
    ----------
    counters : (m,) int64 [pulses]
        Increasing, and so they came.
    data : (m, n) float64
    delays : sequence of int [pulses]
    times : int
        Events in the buffer: one that is so many events older has left.

    Returns
    -------
    arrays : dict of (D, n) float64
        'G2', 'IP', 'IF'.
    counts : (D,) int64
    """
    arrays = {name: np.zeros((len(delays), data.shape[1])) for name in ("G2", "IP", "IF")}
    counts = np.zeros(len(delays), np.int64)
    row_at = {int(t): row for row, t in enumerate(counters)}
    for d, delay in enumerate(delays):
        for t, past in row_at.items():
            future = row_at.get(t + delay)
            if future is None or future - past >= times:
                continue
            arrays["G2"][d] += data[past] * data[future]
            arrays["IP"][d] += data[past]
            arrays["IF"][d] += data[future]
            counts[d] += 1
    return arrays, counts


def less(sums, before):
    """Return arrays and counts as `plain_sums` does, less others."""
    return {name: array - before[0][name] for name, array in sums[0].items()}, sums[1] - before[1]


def plain_curve(arrays, counts, mine, ok, normalization, finecolor):
    """Compute one delay curve.

    Parameters
    ----------
    arrays : dict of (D, n) float64
    counts : (D,) int64
    mine : (n,) bool
        The elements of the colour.
    ok : (n,) bool
        Those that are not saturated.
    normalization : {'pixel', 'finecolor', 'color'}
    finecolor : (n,) int64 or None

    Returns
    -------
    parcorana.curves.Curve
    """
    D, used = len(counts), mine & ok
    curve = Curve(np.full(D, np.nan), np.full(D, np.nan), np.zeros(D, np.int64), np.zeros(D, np.int64))
    if not used.any():
        return curve
    for d, n in enumerate(counts):
        G2, IP, IF = (arrays[name][d] for name in ("G2", "IP", "IF"))
        if normalization == "color":
            bottom = IP[used].mean() * IF[used].mean()
            if bottom and n:
                curve.g2[d], curve.elements[d] = n * G2[used].mean() / bottom, used.sum()
            else:
                curve.left_out[d] = used.sum()
            continue
        if normalization == "finecolor":
            IP, IF = (_mean_of_fine(array, ok, finecolor) for array in (IP, IF))
        bottom = (IP * IF)[used]
        good = bottom != 0
        curve.left_out[d] = np.count_nonzero(~good)
        if n and good.any():
            ratios = n * G2[used][good] / bottom[good]
            curve.g2[d], curve.elements[d] = ratios.mean(), len(ratios)
            if len(ratios) > 1:
                curve.error[d] = ratios.std() / np.sqrt(len(ratios) - 1)
    return curve


def _mean_of_fine(array, ok, finecolor):
    """Return for each element the mean over the unsaturated elements of its fine colour."""
    means = np.zeros(len(array))
    for fine in np.unique(finecolor[ok]):
        means[finecolor == fine] = array[ok & (finecolor == fine)].mean()
    return means
