"""Results of G2 classes made into one: sums added, and new curves from them.

One delay is in memory at a time, so that a few arrays of the detector's size
are enough, whatever the number of files and delays.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parcorana.curves import curvefile
from parcorana.curves.apart import of_groups
from parcorana.curves.bias import SAID_HIGH, bias_of, not_whole, sentence
from parcorana.curves.curvefile import SUMS
from parcorana.curves.errorfile import NAMES
from parcorana.curves.groups import pixel_groups
from parcorana.curves.sums import ColorSums, Curve
from parcorana.files.datasets import write_dataset
from parcorana.g2 import forms
from parcorana.g2.errored import with_groups, with_shared

#: Runs from which on errors come from the scatter of their curves.
MANY = 5
_NAMED = 5  # things that are left out and named
# of an update: what has other names with other colours, or is made at another place
_MADE_ANEW = re.compile(
    rf"{NAMES}|G2|IP|IF|fits|intensity|runs|colors|delay_curves|delay_curve_errs|elements|elements_left_out|too_(low|high)_by|"
    r"q|radius|color_values|delay_curves_uncorrected|g2_of_frame_norms?|g2_of_frame_norm_color_\d+|"
    r"(delay_curve|delay_curve_uncorrected|delay_curve_err|elements|elements_left_out)_color_\d+"
)
_FORGET = {form.__name__ for form in (forms.G2atEnd, forms.G2IncrementalWindowed)}


@dataclass
class Added:
    """The sums of several runs, per colour.

    Attributes
    ----------
    sums : dict of arrays
        As `ColorSums.reduce` returns them, over all runs.
    of_runs : list of dict
        The same of each run; empty for a single one.
    whole : bool
        Whether intensities are whole numbers.
    intensity : (R, C) float64
        Mean of each run and colour, over the pairs of the delay that has most.
    uneven : (C,) float64
        By which part g2 is too high where runs of different intensity are added.
    """

    sums: dict
    of_runs: list
    whole: bool
    intensity: np.ndarray
    uneven: np.ndarray


def merge(runs, common, group, fit=None, keep=True, threads=1):
    """Add the sums of several results, and write the update that they make together.

    Parameters
    ----------
    runs : list of parcorana.results.runs.Run
    common : parcorana.results.common.Common
    group : h5py.Group
        Of the update, empty.
    fit : parcorana.curves.fitchoice.Choice, optional
        Which fit.
    keep : bool
        Whether the full arrays are written, too.
    threads : int

    Returns
    -------
    said : list of str
        What is left out: a line each.
    errors : str
        What the errors of the curves are.

    Raises
    ------
    ConfigError
        An array cannot be read.
    """
    color = np.ones(common.mask.shape, np.int64) if common.color is None else common.color
    finecolor = None if common.finecolor is None else common.finecolor[common.mask]
    colors = np.unique(color[color > 0])
    parts = pixel_groups(common.mask, color[common.mask], colors, len(common.delays))[0]
    made = ColorSums(color[common.mask], finecolor, common.normalization, colors, parts)
    added = _add(runs, common, made, color[common.mask], group if keep else None, threads)
    curve = made.table(added.sums, common.counts)
    counts = [run.counts_at(common.delays) for run in runs]
    of_runs = [
        _own_errors(run, common, made, *each)
        for run, *each in zip(runs, added.of_runs or [added.sums], counts, strict=True)
    ]
    error_from = None
    if len(runs) > 1:
        curve, error_from = _with_errors(curve, of_runs, counts)
    else:
        curve, of_runs = of_runs[0], []
    bias = bias_of(made, added.sums, common.counts, common.delays, sum(map(_events, runs)), added.whole)
    stands_for = common.table and common.table.stands_for(made.colors)
    curvefile.write_points(group, common.delays, common.counts, common.normalization, common.rate)
    curvefile.write_curves(group, made.colors, curve, common.normalization, bias, stands_for, error_from=error_from)
    saturated = common.saturated.astype(np.int8)
    write_dataset(group, "saturated", saturated, "1", "1 where any processed event reached saturated_value")
    said = [
        sentence(bias, made.colors, curve.left_out, curve.elements, made.normalization),
        _unequal(added, curve, made.colors),
    ]
    group.attrs["normalization_error"] = "; ".join(filter(None, said))
    if of_runs:
        _write_runs(group.create_group("runs"), made, of_runs, counts, added.intensity)
    _keep_level(runs, common, group)
    said = _left_out(runs, group) + _write_intensity(group, runs, common, made.colors)
    if fit:
        curvefile.write_fits(group, common.delays, curve.each(made.colors), fit, common.rate, stands_for)
    return said, _says_errors(curve, of_runs)


def _says_errors(curve, of_runs):
    if not np.isfinite(curve.error).any():
        return f"without errors, for which it takes {MANY} runs" if of_runs else "without errors"
    if not of_runs:
        return "errors of the run"
    return "errors of the runs combined" if len(of_runs) < MANY else f"errors from the scatter of {len(of_runs)} runs"


def _add(runs, common, made, color, group, threads):
    """Add the arrays delay by delay; write them into the group, if there is one."""
    saturated = common.saturated[common.mask].astype(np.int8)
    parts, parts_of_runs, whole = [], [[] for _ in runs], True
    index = np.where((color > 0) & (saturated == 0), np.searchsorted(made.colors, color), len(made.colors))
    most = int(np.argmax(common.counts))
    means = np.full((2, len(runs), len(made.colors)), np.nan)
    for d, delay in enumerate(common.delays.tolist()):
        total = {name: np.zeros((1, len(saturated))) for name in SUMS}
        for r, run in enumerate(runs):
            arrays, pairs = {name: run.array(name, delay, common.mask)[None] for name in SUMS}, run.counts_at([delay])
            for name, array in arrays.items():
                total[name] += array
            if len(runs) > 1:
                parts_of_runs[r].append(made.reduce(arrays, pairs, saturated, slice(None), threads))
            if d == most and pairs[0]:
                for k, name in enumerate(("IP", "IF")):
                    means[k, r] = _mean_of_colors(arrays[name][0], index, len(made.colors)) / pairs[0]
        parts.append(made.reduce(total, common.counts[d : d + 1], saturated, slice(None), threads))
        whole &= not not_whole(total["G2"])
        for name in SUMS if group is not None else ():
            full = np.zeros(common.mask.shape)
            full[common.mask] = total[name][0]
            curvefile.write_sums(group, name, delay, full)
    weights = np.array([run.counts_at([common.delays[most]]) for run in runs], np.float64)
    uneven = _too_high(*means, weights)
    return Added(_beside(parts), [_beside(each) for each in parts_of_runs if each], whole, means.mean(axis=0), uneven)


def _beside(parts):
    """Put the sums of single delays beside each other."""
    first = parts[0]  # numbers of elements have no delay
    return {
        name: np.concatenate([part[name] for part in parts], axis=1) if first[name].ndim == 2 else first[name]
        for name in first
    }


def _mean_of_colors(values, index, colors):
    sizes = np.bincount(index, minlength=colors + 1)[:colors]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.bincount(index, values, minlength=colors + 1)[:colors] / sizes


def _too_high(past, future, weights):
    """Return the part by which g2 rises for its runs' different intensities, (C,)."""
    known = np.isfinite(past) & np.isfinite(future)
    weights = np.where(known, weights, 0.0)
    past, future = np.where(known, past, 0.0), np.where(known, future, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = weights / weights.sum(axis=0)
        apart = (weights * past * future).sum(axis=0)
        return np.nan_to_num(apart / ((weights * past).sum(axis=0) * (weights * future).sum(axis=0)) - 1)


def _unequal(added, curve, colors):
    """Say where g2 is too high because the runs' intensities differ; empty where that is not to be seen."""
    if not len(added.uneven) or not added.of_runs:
        return ""
    c = int(np.argmax(added.uneven))
    also = np.count_nonzero(added.uneven >= SAID_HIGH) - 1
    with np.errstate(invalid="ignore"):
        errors = (curve.error[c] / curve.g2[c])[np.isfinite(curve.error[c])]
    size, error = added.uneven[c], np.median(errors) if errors.size else 0.0
    if not (size >= SAID_HIGH and size > error):
        return ""
    seen = added.intensity[:, c][np.isfinite(added.intensity[:, c])]
    more = f" (and of {also:,} more, less)" if also else ""
    return (
        f"g2 of colour {colors[c]}{more} is too high by about {100 * size:.2g}%, at all delays: the runs that were "
        f"added differ in mean intensity, from {seen.min():.3g} to {seen.max():.3g}; the group runs has "
        "each run's own curves"
    )


def _events(run):
    """Return how many events a run's pairs are of."""
    name, times = str(run.system_params.get("user_class")).rpartition(".")[2], run.system_params.get("times")
    events = run.result.processed
    if name in _FORGET and type(times) is int and times > 0:
        events = min(events, times)
    return max(events, int(run.result.counts.max(initial=0)))


def _own_errors(run, common, made, sums, counts):
    """Return the curves of a run, (C, D), with the errors that its file has of them, else those of pixel groups."""
    curve, places = made.table(sums, counts), run.places_of(common.delays)
    there = [run.result.curves.get(c) for c in made.colors.tolist()]
    if not common.as_they_were:
        shared = next((each.shared for each in run.result.curves.values() if each.shared is not None), None)
        curve = with_groups(curve, *of_groups(made, sums, counts))
        return curve if shared is None else with_shared(curve, shared[:, places].astype(np.float64))
    nothing = np.full(len(places), np.nan)
    error = np.array([nothing if each is None else each.error[places] for each in there])
    rows = [None if each is None or each.deviations is None else each.deviations[:, places] for each in there]
    found = np.zeros((len(there), max((len(each) for each in rows if each is not None), default=0), len(places)))
    for own, each in zip(found, rows, strict=True):
        own[: 0 if each is None else len(each)] = 0 if each is None else each
    groups = np.array([0 if each is None else each.groups for each in there], np.int64)
    source = np.array(["" if each is None else each.source for each in there])
    return replace(curve, error=error, deviations=found if found.shape[1] else None, groups=groups, source=source)


def _with_errors(curve: Curve, of_runs: list[Curve], counts: list[Any]):
    """Return the curve with errors from those of the runs, and what these come from."""
    error, error_from = combined(of_runs, counts), ("runs combined", "standard error combined from those of each run")
    g2, weights = _weighted(of_runs, counts)
    rows, groups = None, np.zeros(len(g2[0]), np.int64)
    if len(of_runs) >= MANY:
        scatter = scattered(of_runs, counts)
        rows = np.nan_to_num(np.sqrt(weights / (len(of_runs) - 1)) * (g2 - (weights * g2).sum(axis=0)))
        rows, groups = np.moveaxis(np.where(np.isfinite(scatter), rows, 0), 0, 1), groups + len(of_runs)
        error = np.where(np.isfinite(scatter), scatter, error)
        text = (
            f"standard error from the scatter of the {len(of_runs)} runs' own curves; combined where fewer than {MANY}"
        )
        error_from = "runs", f"{text} have pairs"
    elif all(each.deviations is not None for each in of_runs):
        own = [w[:, None, :] * each.deviations for w, each in zip(np.nan_to_num(weights), of_runs, strict=True)]
        rows, groups = np.concatenate(own, axis=1), np.min([each.groups for each in of_runs], axis=0)
    error = np.where(np.isfinite(curve.g2), error, np.nan)
    return replace(curve, error=error, deviations=rows, groups=groups), error_from


def _weighted(curves, counts):
    """Return the runs' curves, (R, C, D), and their weights: their part in all pairs."""
    g2 = np.array([curve.g2 for curve in curves])
    weights = np.where(np.isfinite(g2), np.array(counts, np.float64)[:, None, :], 0.0)
    return np.where(weights > 0, g2, 0.0), weights / np.where(total := weights.sum(axis=0), total, np.nan)


def scattered(curves, counts):
    """Return the standard error of the mean of several runs' curves, weighted by their pairs, from their scatter.

    Runs of equally many pairs have sd / sqrt(R).

    Parameters
    ----------
    curves : sequence of Curve
        Of all colours, (C, D) each.
    counts : sequence of (D,) int64

    Returns
    -------
    (C, D) float64
        NaN where fewer than `MANY` runs have a value.
    """
    g2, weights = _weighted(curves, counts)
    n = np.count_nonzero(weights > 0, axis=0)
    variance = (weights * (g2 - (weights * g2).sum(axis=0)) ** 2).sum(axis=0)
    return np.where(n >= MANY, np.sqrt(variance / np.maximum(n - 1, 1)), np.nan)


def combined(curves, counts):
    """Return the same as `scattered` from the runs' own errors; NaN where a run with a value has none."""
    _, weights = _weighted(curves, counts)
    errors = np.array([curve.error for curve in curves])
    return np.sqrt((np.where(weights > 0, weights * errors, 0.0) ** 2).sum(axis=0) + 0 * weights.sum(axis=0))


def _keep_level(runs, common, group):
    """Write the level of each delay of multi-tau, where all runs have the same ones."""
    if all("level" in run.group for run in runs):
        levels = [run.group["level"][:][run.places_of(common.delays)] for run in runs]
        if all(np.array_equal(level, levels[0]) for level in levels):
            about = runs[0].group["level"].attrs
            write_dataset(group, "level", levels[0], "1", about["long_name"], channels=about["channels"])


def _left_out(runs, group):
    """Say what the updates have beside what is made anew."""
    names = {name for run in runs for name in run.group if name not in group and not _MADE_ANEW.fullmatch(name)}
    aged = ["left out: the aged curves, for no file has the sums of each stretch"] * ("aged" in names)
    aged += ["left out: which elements pull the curves (leverage), which is found while a run makes its sums"] * (
        "leverage" in names
    )
    names -= {"aged", "leverage"}
    which = ", ".join(sorted(names)[:_NAMED]) + ", ..." * (len(names) > _NAMED)
    return aged + [f"left out, for they are no sums that could be added: {which}"] * bool(names)


def _write_runs(group, made, curves, counts, intensity):
    """Write what each run has by itself."""
    write_dataset(group, "colors", made.colors, "1", "colour of each column of the tables")
    g2 = np.array([curve.g2 for curve in curves])
    what = "g2 of each run by itself, (runs, colours, delays), over the elements that are saturated in none"
    write_dataset(group, "delay_curves", g2, "1", what, normalization=made.normalization)
    write_dataset(group, "delay_counts", np.array(counts), "1", "number of pairs of each run and delay")
    write_dataset(group, "intensity", intensity, "intensity", "mean of each run and colour, over the pairs")


def _write_intensity(group, runs, common, colors):
    """Write the intensity over time, runs one after the other; say so where it is left out."""
    there = [run.result for run in runs if run.group.get("intensity") is not None]
    if len(there) < len(runs) or not common.same_elements:
        return ["the intensity over time is left out: it is not that of these elements and colours"] if there else []
    begin, stretches = 0, []
    for k, run in enumerate(runs):
        part = run.group["intensity"]
        first, last, events = (part[name][:].astype(np.int64) for name in ("first", "last", "events"))
        if k and len(first):  # one pulse after the run before
            shift = begin - first.min()
            first, last = first + shift, last + shift
        begin = last.max(initial=begin - 1) + 1
        means = np.array([run.result.intensity[c] for c in colors.tolist()]).reshape(len(colors), len(first))
        stretches.append((first, last, events, (means * events).T))
    first, last, events, sums = (np.concatenate(column) for column in zip(*stretches, strict=True))
    line = {"first": first, "last": last, "events": events, "sums": sums}
    curvefile.write_intensity(group.create_group("intensity"), colors, np.ones(len(colors)), line, common.rate)
    if len(runs) == 1:
        return []
    group["intensity"].attrs["runs"] = "one after the other: counters of a run go on where those of the one before end"
    return []
