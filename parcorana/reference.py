"""The slow truth: what every fast path is compared with.

Plain loops over dictionaries and float64 arrays, one event at a time, written
from docs/definitions.md and from nothing else.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

KINDS = ("atend", "accumulator", "windowed")
Sums = dict[str, NDArray[Any]]


class ReferenceBuffer:
    """The stored events, as a dictionary from counter to event.

    Parameters
    ----------
    times : int
        The most events that are stored.
    """

    def __init__(self, times: int) -> None:
        self.times = times
        self.stored: dict[int, NDArray[np.float64]] = {}

    def enter(self, counter: int, event: NDArray[np.float64]) -> str:
        """Let one event enter; return 'processed', 'duplicate' or 'late'."""
        if counter in self.stored:
            return "duplicate"
        if len(self.stored) == self.times:
            if counter < min(self.stored):
                return "late"
            del self.stored[min(self.stored)]
        self.stored[counter] = event
        return "processed"


def pairs_sums(
    events: Mapping[int, NDArray[np.float64]], delays: Sequence[int] | NDArray[np.int64], elements: int
) -> Sums:
    """Sum over all pairs of stored events.

    Parameters
    ----------
    events : dict of int to (n,) array
    delays : sequence of int
    elements : int

    Returns
    -------
    dict
        'G2', 'IP', 'IF': (D, n) float64; 'counts': (D,) int64;
        'scale': (D, n), the sums of absolute products, to which errors are relative.
    """
    sums = _zeros(len(delays), elements)
    for counter in sorted(events):
        for d, delay in enumerate(delays):
            if counter + delay in events:
                _add(sums, d, events[counter], events[counter + delay])
    return sums


def g2(
    counters: ArrayLike,
    data: ArrayLike,
    times: int,
    delays: Sequence[int] | NDArray[np.int64],
    kind: str,
    runs: Sequence[int] | NDArray[np.int64] | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Compute G2, IP, IF and counts of a sequence of events by brute force.

    Parameters
    ----------
    counters : (m,) int [pulses]
        In the order of the sequence: gaps, repetitions and disorder allowed.
    data : (m, n) array
        One event per row.
    times : int
        Length of the rolling buffer.
    delays : sequence of int
    kind : {'atend', 'accumulator', 'windowed'}
    runs : (m,) int, optional
        Run of each event: between two runs the buffer empties.
    limit : int, optional
        Stop after so many processed events.

    Returns
    -------
    dict
        As `pairs_sums`, and 'processed', 'duplicate', 'late': numbers of events.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    data = np.asarray(data, np.float64)
    buffer = ReferenceBuffer(times)
    sums = _zeros(len(delays), data.shape[1])
    fates = {"processed": 0, "duplicate": 0, "late": 0}
    for k, counter in enumerate(int(c) for c in np.asarray(counters)):
        if limit is not None and fates["processed"] == limit:
            break
        if runs is not None and k and runs[k] != runs[k - 1]:
            buffer = ReferenceBuffer(times)
        fate = buffer.enter(counter, data[k])
        fates[fate] += 1
        if fate != "processed" or kind != "accumulator":
            continue
        for d, delay in enumerate(delays):
            if counter - delay in buffer.stored:
                _add(sums, d, buffer.stored[counter - delay], data[k])
            if delay and counter + delay in buffer.stored:  # at delay 0 that is the same pair
                _add(sums, d, data[k], buffer.stored[counter + delay])
    if kind != "accumulator":
        sums = pairs_sums(buffer.stored, delays, data.shape[1])
    return sums | fates


def multitau_sums(
    counters: ArrayLike, data: ArrayLike, delays: Sequence[int] | NDArray[np.int64], channels: int
) -> Sums:
    """Sum over the pairs of frames of multi-tau: docs/definitions.md.

    Parameters
    ----------
    counters : (m,) int [pulses]
        All different.
    data : (m, n) array
    delays : increasing sequence of int
    channels : int
        A delay belongs to the lowest level L with delay <= channels 2^L.

    Returns
    -------
    dict
        As `pairs_sums`.
    """
    data = np.asarray(data, np.float64)
    frames = {int(counter): event for counter, event in zip(np.asarray(counters), data, strict=True)}
    sums, level = _zeros(len(delays), data.shape[1]), 0
    for d, delay in enumerate(delays):
        while delay > channels << level:
            halves = {k >> 1 for k in frames}
            frames = {
                k: (frames[2 * k] + frames[2 * k + 1]) / 2 for k in halves if 2 * k in frames and 2 * k + 1 in frames
            }
            level += 1
        for k in sorted(frames):
            if k + (delay >> level) in frames:
                _add(sums, d, frames[k], frames[k + (delay >> level)])
    return sums


def find_photons(
    frame: ArrayLike,
    photon: float,
    threshold: float,
    method: str,
    most: int | None = None,
    mask: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Find the photons of a frame, element by element.

    Parameters
    ----------
    frame : array
        Elements of the last two axes are neighbours; all others are segments.
    photon : float
        Charge of a photon, in units of the frame.
    threshold : float
        Elements below it are left out, and those that are not finite.
    method : {'threshold', 'droplet'}
    most : int, optional
        Droplets of more photons are left out.
    mask : bool array of the frame's shape, optional
        The elements whose photons are added up.

    Returns
    -------
    counts : int64 array of the frame's shape
    found : dict of str to int
        'events' (1), 'photons', 'droplets', 'left_out', 'left_out_photons', 'largest', 'largest_at'.
    """
    frame = np.asarray(frame)
    mask = np.ones(frame.shape, bool) if mask is None else np.asarray(mask, bool)
    bright = {
        place: float(frame[place])
        for place in map(tuple, np.argwhere(np.isfinite(frame) & (frame > 0)).tolist())
        if float(frame[place]) >= threshold
    }
    counts = np.zeros(frame.shape, np.int64)
    found = {"events": 1} | dict.fromkeys(("photons", "droplets", "left_out", "left_out_photons"), 0)
    for droplet in _droplets(bright, method):
        photons = math.floor(sum(bright[place] for place in droplet) / photon + 0.5)
        if most is not None and photons > most:
            found["left_out"] += 1
            found["left_out_photons"] += photons
            continue
        found["droplets"] += photons > 0
        left = [(-bright[place], place) for place in droplet]  # the least comes first, and the first place of equals
        heapq.heapify(left)
        for _ in range(photons):
            charge, place = left[0]
            counts[place] += 1
            heapq.heapreplace(left, (charge + photon, place))
    included = np.where(mask, counts, 0).ravel()
    found |= {"photons": int(included.sum()), "largest": int(included.max()), "largest_at": int(included.argmax())}
    return counts, found


def _droplets(bright: dict[tuple[int, ...], float], method: str) -> list[list[tuple[int, ...]]]:
    """Return the places of each droplet, increasing."""
    if method == "threshold":
        return [[place] for place in bright]
    droplets, rest = [], dict.fromkeys(sorted(bright))
    while rest:
        droplet = [next(iter(rest))]
        del rest[droplet[0]]
        for place in droplet:  # which grows meanwhile
            for axis in range(max(len(place) - 2, 0), len(place)):
                for step in (-1, 1):
                    other = (*place[:axis], place[axis] + step, *place[axis + 1 :])
                    if other in rest:
                        del rest[other]
                        droplet.append(other)
        droplets.append(sorted(droplet))
    return droplets


def _zeros(delays: int, elements: int) -> Sums:
    sums: Sums = {name: np.zeros((delays, elements)) for name in ("G2", "IP", "IF", "scale")}
    return sums | {"counts": np.zeros(delays, np.int64)}


def _add(sums: Sums, d: int, past: NDArray[np.float64], future: NDArray[np.float64]) -> None:
    sums["G2"][d] += past * future
    sums["scale"][d] += abs(past * future)
    sums["IP"][d] += past
    sums["IF"][d] += future
    sums["counts"][d] += 1


def delay_curve(
    arrays: Mapping[str, NDArray[np.float64]],
    counts: NDArray[np.int64],
    color: NDArray[np.integer[Any]],
    saturated: ArrayLike,
    normalization: str,
    wanted: int,
    finecolor: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute a delay curve of one colour, element by element.

    Parameters
    ----------
    arrays : dict
        'G2', 'IP', 'IF': (D, n).
    counts : (D,) int
    color, finecolor : (n,) int
    saturated : (n,) bool
    normalization : {'pixel', 'finecolor', 'color'}
    wanted : int
        The colour.

    Returns
    -------
    curve : (D,) float64
        NaN where there is no pair or no element.
    elements : (D,) int64
        How many elements counted.
    """
    curve = np.full(len(counts), np.nan)
    used = np.zeros(len(counts), np.int64)
    ok = ~np.asarray(saturated, bool)
    mine = np.flatnonzero((color == wanted) & ok)
    for d, n in enumerate(counts):
        G2, IP, IF = (arrays[name][d] for name in ("G2", "IP", "IF"))
        if normalization == "color":
            bottom = IP[mine].mean() * IF[mine].mean() if len(mine) else 0
            if n and bottom:
                curve[d], used[d] = n * G2[mine].mean() / bottom, len(mine)
            continue
        ratios = []
        for p in mine:
            if normalization == "pixel":
                bottom = IP[p] * IF[p]
            else:
                same = (finecolor == finecolor[p]) & ok
                bottom = IP[same].mean() * IF[same].mean()
            if n and bottom:
                ratios.append(n * G2[p] / bottom)
        if ratios:
            curve[d], used[d] = np.mean(ratios), len(ratios)
    return curve, used


def two_time(
    counters: NDArray[np.int64],
    data: NDArray[np.float64],
    numbers: NDArray[np.int64],
    saturated_at: NDArray[np.int64],
    ages: int,
    delays: Sequence[int] | NDArray[np.int64],
    lags: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], int, NDArray[np.float64], NDArray[np.float64]]:
    """Compute the two-time correlation of one colour, pair by pair.

    Parameters
    ----------
    counters : (m,) int64 [pulses], increasing
    data : (m, n) float64
    numbers, saturated_at : (m,) and (n,) int64
        When each event was processed, and which event saturated each element first.
    ages : int
        The most bins.
    delays : sequence of int
    lags : int
        Delays of a level in its own frames.

    Returns
    -------
    matrix : (A, A) float64
    ages : (A,) int64
        First counter of each bin.
    width : int
    g2, weights : (A, D) float64
        And what it was divided by, by which it weighs among all ages.
    """
    width = 1
    while len(counters) and counters[-1] // width - counters[0] // width >= ages:
        width *= 2
    bins = range(counters[0] // width, counters[-1] // width + 1) if len(counters) else range(0)
    matrix, g2 = np.full((len(bins), len(bins)), np.nan), np.full((len(bins), len(delays)), np.nan)
    weights = np.zeros(g2.shape)
    good = numbers[:, None] < saturated_at
    data = np.where(good, data, 0)
    n, s = good.sum(axis=1), data.sum(axis=1)
    for i, j in np.ndindex(matrix.shape):
        one, other = (np.flatnonzero(counters // width == bins[k]) for k in (i, j))
        pairs = [(a, b) for a in one for b in other if a != b]
        top = sum(data[a] @ data[b] for a, b in pairs)
        bottom = sum(s[a] * s[b] for a, b in pairs)
        if bottom:
            matrix[i, j] = max(n[one].mean(), n[other].mean()) * top / bottom
    for d, delay in enumerate(delays):
        frame = 1
        while delay > lags * frame:
            frame *= 2
        sums: dict[int, list[float]] = {}
        for a, b in np.argwhere((counters // frame)[None, :] - (counters // frame)[:, None] == delay // frame):
            middle = (counters[a] // frame + counters[b] // frame + 1) * frame - 1
            found = sums.setdefault(int(middle // (2 * width)) - bins[0], [0.0, 0.0])
            found[0] += data[a] @ data[b]
            found[1] += s[a] / max(n[a], 1) * s[b]
        for age, (top, bottom) in sums.items():
            g2[age, d], weights[age, d] = top / bottom if bottom else np.nan, bottom
    return matrix, np.array([k * width for k in bins], np.int64), width, g2, weights


def photon_windows(
    counters: Sequence[int], numbers: Sequence[int], data: ArrayLike, about: Any, first: Mapping[int, int]
) -> list[tuple[int, int, dict[int, int]]]:
    """Return the windows of photon statistics, in the order in which they are complete.

    Parameters
    ----------
    counters, numbers : sequence of int
        Increasing times of the events of one run, and when each was processed.
    data : (m, n) array
    about : parcorana.photons.parameters.About
    first : dict of int to int
        Of each saturated element the number of the event that saturated it first.

    Returns
    -------
    list of (place of the last event, exposure, {element: photons})
    """
    rows, found = np.asarray(data, np.float64), []
    place = {int(t): k for k, t in enumerate(counters)}
    for last, t in enumerate(counters):
        for w in about.exposures:
            begin = math.floor(int(t) / w) * w
            if int(t) != begin + w - 1 or any(begin + k not in place for k in range(w)):
                continue
            window: dict[int, int] = {}
            for p in range(rows.shape[1]):
                events = [place[begin + k] for k in range(w)]
                if all(numbers[k] < first.get(p, math.inf) for k in events):
                    values = [float(rows[k, p]) for k in events]
                    window[p] = sum(
                        min(math.floor(v / about.photon + 0.5), 1 << 20) if v >= about.threshold else 0 for v in values
                    )
            found.append((last, w, window))
    return found
