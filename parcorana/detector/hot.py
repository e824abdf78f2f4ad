"""Which elements are hot: beyond what speckle, photons and noise around them allow, at a stated chance.

Speckle that is summed over M modes, of contrast 1 / M, follows a gamma
distribution of shape M >= 1, its photon counts a negative binomial one (Goodman,
Statistical Optics, 1985, sections 6.1 and 9.2), counts of steady light Poisson's,
noise a normal one. The logarithm of the share of elements above x is concave in x
for all of them. So a straight line through two points of it, where there are still
many elements, lies above it farther out: where that line reaches the chance, fewer
good elements are left than the chance says. Nothing has to be known of contrast,
speckle size, gain or correlation time.

What is compared is each element's value over the level of its surroundings, among
elements of similar radius and similar level, for contrast and correlation time
differ from ring to ring.
"""

from dataclasses import dataclass

import numpy as np

EVENTS = 5
"""Fewest events that tell anything."""

_HALF, _HALF_LINE = 2, 12  # elements to each side of a box's middle; of one along a line
_TRIMMED = 0.12  # of a box's elements, the brightest: hot ones among them shall not hide each other
_FEWEST = 5  # elements of a box that give it a level
_STRIP = 64  # rows of boxes at a time: bounds the memory
_GROUP, _RING = 2000, 400  # elements of a group; of a ring, at least
_STRIPE = 45  # rows of a stripe, in which a group is about as wide as high
_WIDER = 1.3  # outer over inner radius of a ring; largest over smallest level of a band
_UPPER, _FAR, _MANY = 0.25, 0.01, 10  # shares of a group above the two points; elements above the second, at least
_NEARER, _ASIDE = 0.05, 2.0  # the second share, to find what is hot beyond doubt: at so many times the limit
_CROWD = 0.02  # share of a group beyond which so bright elements are not hot ones
_STILL = 1e-3  # share of a group that never changes, below which those that do not are unusual
_ENOUGH = 50  # elements of a group, without which there is no second point
_BENT = 3.0  # by so much more than a line says there may be elements far out, by chance; else they are of two kinds
_UNSURE = 2.0  # standard errors by which the line is taken flatter than it is
_LEAST = 1e-3  # of the level: what is less above it is no matter


@dataclass(frozen=True)
class Hot:
    """What `find` found.

    Attributes
    ----------
    bright, restless, stuck : bool arrays of the detector's shape
        Mean beyond the limit; standard deviation beyond it; never changes, and
        brighter than 99% of the elements like it. One may be several of these.
    limit : float64 array of the detector's shape
        Above how many times the mean of the elements like it an element is too
        bright; NaN where that mean is not above 0.
    """

    bright: np.ndarray
    restless: np.ndarray
    stuck: np.ndarray
    limit: np.ndarray

    @property
    def where(self):
        """Bool array of the detector's shape."""
        return self.bright | self.restless | self.stuck


def find(statistics, mask, chance, radius=None):
    """Find the hot elements.

    Parameters
    ----------
    statistics : parcorana.detector.statistics.Statistics
        Of at least `EVENTS` events.
    mask : bool array of the detector's shape
        Elements to look at; the others count for nobody's surroundings.
    chance : float
        Share of good elements, at most, that are taken for hot.
    radius : float array of the detector's shape, optional
        Distance from the beam, in elements, where that is known.

    Returns
    -------
    Hot
    """
    mean, deviation, constant, events = statistics.mean, statistics.deviation, statistics.dead(), statistics.events
    fewer_mean, fewer_deviation = statistics.without_largest()
    mask = mask & np.isfinite(mean)
    changing = mask & ~constant & (mean > 0)
    # what one photon adds: where most elements have none, nothing else tells how far the next point is
    quantum = float(np.median(deviation[changing] ** 2 / mean[changing])) if changing.any() else 0.0
    each = chance / 2
    bright, limit, stuck = _beyond(mean, fewer_mean, mask, each, radius, quantum / events, constant)
    restless, _, _ = _beyond(deviation, fewer_deviation, mask, each, radius, quantum / np.sqrt(events), None)
    return Hot(bright, restless, stuck, limit)


def surroundings(values, mask):
    """Return the level around each element, and how far it differs from side to side.

    The level is the largest of five means, of 5 x 5 elements with the element in
    their middle or at one of their corners, without the three brightest:
    one is not in the shadow, where the element is not.

    Parameters
    ----------
    values : float array of the detector's shape
        Neighbours are those along the last two axes.
    mask : bool array of that shape
        What counts.

    Returns
    -------
    level, difference : float64 arrays of that shape
        The largest of the means; that less the smallest. NaN where too few
        elements count.
    """
    shape = values.shape
    rows, columns = (1, *shape)[-2:]
    level, difference = np.empty((2, values.size // (rows * columns), rows, columns))
    for k, segment in enumerate(np.where(mask, values, np.nan).reshape(-1, rows, columns)):
        means, down, right = _means_of_boxes(segment)
        low = high = None
        for i, j in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            row = np.clip(np.arange(rows) + (i - 1) * down, 0, means.shape[0] - 1)
            column = np.clip(np.arange(columns) + (j - 1) * right, 0, means.shape[1] - 1)
            found = means[np.ix_(row, column)]
            low, high = (found, found) if low is None else (np.fmin(low, found), np.fmax(high, found))
        level[k], difference[k] = high, high - low
    return level.reshape(shape), difference.reshape(shape)


def _means_of_boxes(segment):
    """Return the mean of every box that lies within the segment, and half its height and width."""
    rows, columns = segment.shape
    half = _HALF_LINE if 1 in segment.shape else _HALF
    down, right = min(half, (rows - 1) // 2), min(half, (columns - 1) // 2)
    boxes = np.lib.stride_tricks.sliding_window_view(segment, (2 * down + 1, 2 * right + 1))
    size = (2 * down + 1) * (2 * right + 1)
    means = np.full(boxes.shape[:2], np.nan)
    for first in range(0, len(boxes), _STRIP):
        strip = np.sort(boxes[first : first + _STRIP].reshape(-1, size), axis=1)  # NaN comes last
        there = size - np.count_nonzero(np.isnan(strip), axis=1)
        kept = there - np.ceil(there * _TRIMMED).astype(int)
        sums = np.where(np.arange(size) < kept[:, None], strip, 0.0).sum(axis=1)
        mean = np.divide(sums, kept, out=np.full(len(sums), np.nan), where=there >= min(_FEWEST, size))
        means[first : first + _STRIP] = mean.reshape(-1, boxes.shape[1])
    return means, down, right


def _beyond(values, fewer, mask, chance, radius, step, constant):
    """Return which values are beyond the limit, that limit, and which constant ones are among the largest 1%.

    `fewer` is as `values`, without each element's largest event; `step`, how far
    apart values are where photons are few.
    """
    level, difference = surroundings(values, mask)
    judged = mask & np.isfinite(level)
    beyond, stuck = np.zeros((2, values.size), bool)
    limit = np.full(values.size, np.nan)
    flat, fewer, level, difference = (array.ravel() for array in (values, fewer, level, difference))
    alone = flat - level > np.maximum(2 * difference, _LEAST * np.abs(level))
    for group in _groups(level, radius, np.flatnonzero(judged), values.shape):
        scale = _scale(flat[group], level[group])
        relative = flat[group] / scale
        # first by a point that hot elements do not reach; what is far beyond that limit is left aside
        top, _, _ = _limit(relative, chance, step / scale.mean(), _NEARER)
        middle = np.median(relative)
        good = relative <= middle + _ASIDE * (top - middle)
        if np.count_nonzero(good) < (1 - _CROWD) * len(group):  # a kind of their own: few photons, wider elements
            good[:] = True
        top, far, upper = _limit(relative[good], chance, step / scale.mean(), _FAR)
        # one event alone, a cosmic ray or the only photon, makes no element hot
        beyond[group] = (relative > top) & (fewer[group] / scale > top) & alone[group]
        if (usual := relative[good].mean()) > 0:
            limit[group] = top / usual
        if constant is not None:
            still = constant.ravel()[group]
            # unusual only where next to none of the fairly bright ones is
            if np.count_nonzero(still & (relative > upper) & (relative <= far)) <= _STILL * len(group):
                stuck[group] = still & (relative > far) & alone[group]
    return beyond.reshape(values.shape), limit.reshape(values.shape), stuck.reshape(values.shape)


def _groups(level, radius, index, shape):
    """Yield elements that are like each other.

    In rings of radius those of similar level; where there is no radius, in bands
    of level those that are near each other.
    """
    # contrast and correlation time change fastest near the beam, where elements are few
    key = -level[index] if radius is None else radius.ravel()[index]
    index = index[np.argsort(key, kind="stable")]
    key, first = np.sort(key), 0
    while first < len(index):
        end = max(key[first], 1.0) * _WIDER if radius is not None else key[first] / _WIDER
        last = max(first + _RING, np.searchsorted(key, end)) if end > key[first] else len(index)
        last = last if len(index) - last >= _RING else len(index)
        band = index[first:last]
        band = band[np.argsort(level[band], kind="stable") if radius is not None else _by_place(band, shape)]
        yield from np.array_split(band, max(1, len(band) // _GROUP))
        first = last


def _by_place(index, shape):
    """Return the order of elements along stripes of some rows."""
    rows, columns = (1, *shape)[-2:]
    row, column = np.divmod(index, columns)
    stripe = row // rows * rows + row % rows // _STRIPE
    return np.lexsort((column, stripe))


def _scale(values, level):
    """Return what a group's values are measured by: their levels, or 1 where noise reaches below 0."""
    mean = level.mean()
    if mean <= 0 or np.quantile(values, _FAR) < 0:
        return np.ones(len(values))
    return np.maximum(level, mean / 2)


def _limit(values, chance, step, share):
    """Return beyond which value fewer than `chance` of the good ones lie, and beyond which `share` and a quarter do."""
    ordered, number = np.sort(values), len(values)

    def point(share):
        value = ordered[max(0, number - int(np.ceil(share * number)))]
        return value, (number - np.searchsorted(ordered, value, "left")) / number

    upper, above_upper = point(_UPPER)
    share = max(share, _MANY / number)
    far, above_far = point(share) if number >= _ENOUGH else (upper, above_upper)
    # from where all of them are: needs no tail, and is exact for speckle of contrast 1 that stands still
    low, whole = min(0.0, ordered[int(_FAR * number)]), np.inf
    if low < upper and above_upper < 1:
        slope = -np.log(above_upper) / (upper - low)
        if np.log(above_far) <= slope * (low - far) + np.log(_BENT):
            whole = low - np.log(chance) / slope
    if number < _ENOUGH:
        return whole, far, upper
    if far <= upper:  # steps: fewer than `share` are one step above
        above = (number - np.searchsorted(ordered, upper, "right")) / number
        far, above_far = upper + step, min(max(above, share), 0.99 * above_upper)
    if far <= upper:  # all the same, and nothing to tell a step from
        return min(upper, whole), upper, upper
    decades = np.log(above_upper / above_far)
    slope = decades / (far - upper) * max(1 - _UNSURE / (np.sqrt(number * above_far) * decades), 1 / 3)
    return min(far + np.log(above_far / chance) / slope, whole), far, upper
