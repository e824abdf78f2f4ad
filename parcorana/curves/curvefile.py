"""Delay curves in a result file: a dataset for each colour, or tables of many colours.

Up to `NAMED` colours an update has a dataset for each of them. Of more, making so many takes
longer than an update may: it has tables then, a row for each colour, and the last result
of a run alone gets the datasets per colour beside them, when it is joined (`complete`).
"""

import re
from dataclasses import replace

import h5py
import numpy as np

from parcorana.curves import errorfile, fits, stationarity
from parcorana.curves.fitchoice import choice_in
from parcorana.curves.sums import Curve
from parcorana.errors import ConfigError
from parcorana.files.datasets import make_dataset, write_dataset

#: Colours up to which every update has a dataset for each, and their fits.
NAMED = 64

#: The sums of each delay that a result may hold in full: units, and what they are.
SUMS = {
    "G2": ("intensity^2", "sum of I(t) I(t+d) over the pairs of this delay"),
    "IP": ("intensity", "sum of I(t) over the pairs of this delay (past)"),
    "IF": ("intensity", "sum of I(t+d) over the pairs of this delay (future)"),
}

_HOW = {
    "pixel": "each element's G2 divided by its own IP and IF, mean over the colour",
    "finecolor": "each element's G2 divided by the mean IP and IF of its fine colour, mean over the colour",
    "color": "mean G2 of the colour divided by its mean IP and IF",
}
_MADE_AT_END = "fit_of_the_last_result"
_NAME_OF = {  # of each table: what is before the number of the colour
    "delay_curves": "delay_curve_color",
    "delay_curve_errs": "delay_curve_err_color",
    "elements": "elements_color",
    "elements_left_out": "elements_left_out_color",
}
_BESIDE = {  # the same of what is there with `frame_norm` only
    "delay_curves_uncorrected": "delay_curve_uncorrected_color",
    "g2_of_frame_norms": "g2_of_frame_norm_color",
}
_OF_ALL = "g2_of_frame_norm"
_BIAS = {"too_low_by": "low", "too_high_by": "high"}


def path_of_sums(name, delay):
    """Return where an update has one of `SUMS` of a delay [pulses]."""
    return f"{name}/delay_{delay:06d}"


def write_sums(group, name, delay, array):
    """Write one of `SUMS` of a delay [pulses], an array of the detector's shape."""
    write_dataset(group, path_of_sums(name, delay), array, *SUMS[name])


def write_points(group, delays, counts, normalization, rate):
    """Write what all curves of an update share: normalization, delays [pulses] and their pairs, (D,) int64 each."""
    group.attrs["normalization"] = normalization
    write_dataset(group, "delays", delays, "pulses", f"delays; one pulse is 1/{rate} s", rate=rate)
    write_dataset(group, "delay_counts", counts, "1", "number of pairs of each delay")


def write_curves(group, colors, curve, normalization, bias=None, stands_for=None, frame_norm=None, error_from=None):
    """Write the delay curves of an update.

    Parameters
    ----------
    group : h5py.Group
    colors : (C,) int64
    curve : parcorana.curves.Curve
        Of all colours, (C, D).
    normalization : str
    bias : parcorana.curves.bias.Bias, optional
    stands_for : (str, str, (C,) float64), optional
        What each colour stands for, as ``('q', '1/angstrom', values)``.
    frame_norm : parcorana.curves.framenorm.FrameNorm, optional
        What the curves were divided by.
    error_from : (str, str), optional
        What the errors come from, in a word and in a sentence, where that is not each element of the colour.
    """
    norm = {"normalization": normalization}
    if stands_for is not None:
        norm[f"{stands_for[0]}_unit"] = stands_for[1]
    errorfile.write_errors(group, curve)
    source, error_is = ({"error_from": error_from[0]}, error_from[1]) if error_from else errorfile.source_of(curve)
    said = {
        "delay_curves": (curve.g2, f"g2 of the colour: {_HOW[normalization]}", norm),
        "delay_curve_errs": (curve.error, error_is, norm | source),
        "elements": (curve.elements, "elements that counted, per delay", {}),
        "elements_left_out": (curve.left_out, "unsaturated elements left out for a zero denominator, per delay", {}),
    }
    if frame_norm is not None:
        said |= _of_frame_norm(group, said["delay_curves"], frame_norm)
    off = {name: _largest(getattr(bias, key)) for name, key in _BIAS.items()} if bias is not None else {}
    many = len(colors) > NAMED
    if stands_for is not None:
        kind, unit, values = stands_for
        group.attrs["color_stands_for"], group.attrs["color_unit"] = kind, unit
        off = off | {kind: values}
    if many:
        _write_colors(group, colors)
        if stands_for is not None:
            write_dataset(group, _table_of(kind), off.pop(kind), unit, f"mean {kind} of each colour")
        for name, part in off.items():
            what = f"part of g2 by which the curve may be {name[4:-3]} for its normalization, at most; an estimate"
            write_dataset(group, name, part, "1", what, **norm)
    _write_said(group, colors, said, off)
    if error_from is None:
        errorfile.write_sources(group, colors, curve, None if many else _NAME_OF["delay_curve_errs"])


def _write_said(group, colors, said, own):
    """Write what is said of each colour: values, meaning and attributes by table; the curves with numbers of their own.

    It is one table of many colours, else a dataset for each.
    """
    for table, (values, long_name, more) in said.items():
        if len(colors) > NAMED:
            write_dataset(group, table, values, "1", long_name, **more)
        else:
            about = {"units": "1", "long_name": long_name} | more
            name = (_NAME_OF | _BESIDE)[table]
            _write_rows(group, name, colors, values, about, own if table == "delay_curves" else {})


def write_aged(group, colors, curve, aged, ends, normalization, rate, stands_for=None, frame_norm=None):
    """Write the curves of the stretch of a run between two updates.

    Parameters
    ----------
    group : h5py.Group
        Of these alone, in that of the update.
    colors : (C,) int64
    curve : parcorana.curves.Curve
        Of all colours, (C, D), without errors.
    aged : parcorana.curves.aged.Aged
    ends : (2,) int64 [pulses]
        Smallest and largest counter.
    normalization : str
    rate : float
        Pulses per second.
    stands_for, frame_norm
        As `write_curves` takes them.
    """
    group.attrs["since"], group.attrs["normalization"] = aged.since, normalization
    for name, end, which in zip(("first", "last"), ends, ("smallest", "largest"), strict=True):
        what = f"{which} counter of the events since the update before; one pulse is 1/{rate} s"
        write_dataset(group, name, np.int64(end), "pulses", what, rate=rate)
    pairs = "the pairs whose later event came since the update before"
    write_dataset(group, "delay_counts", aged.counts, "1", f"number of {pairs}, per delay")
    norm, own = {"normalization": normalization}, {}
    if stands_for is not None:
        norm[f"{stands_for[0]}_unit"], own = stands_for[1], {stands_for[0]: stands_for[2]}
    said = {
        "delay_curves": (curve.g2, f"g2 of the colour, of {pairs}: {_HOW[normalization]}", norm),
        "elements": (curve.elements, "elements that counted, per delay", {}),
    }
    if frame_norm is not None:
        said |= _of_frame_norm(group, said["delay_curves"], frame_norm)
    if len(colors) > NAMED:
        _write_colors(group, colors)
    _write_said(group, colors, said, own)


def _of_frame_norm(group, curves, norm):
    """Write the g2 that the curves were divided by; return what is said, and added, per colour."""
    values, long_name, about = curves
    about = about | {"frame_norm": norm.name}
    group.attrs["frame_norm"] = norm.name
    whose = "the colour's mean" if norm.of_colors else f"the value {norm.name!r}"
    said = {
        "delay_curves": (values, f"{long_name}; divided by the g2 of {whose} over the same pairs", about),
        "delay_curves_uncorrected": (norm.before.g2, f"{long_name}; not divided by that of {whose}", about),
    }
    what = f"g2 of {whose} over the same pairs, by which the curves were divided"
    if norm.of_colors:
        return said | {"g2_of_frame_norms": (norm.g2, what, about)}
    write_dataset(group, _OF_ALL, norm.g2[0], "1", what, **about)
    return said


def write_intensity(group, colors, sizes, line, rate):
    """Write the intensity of each colour over time.

    Parameters
    ----------
    group : h5py.Group
    colors, sizes : (C,) int64
        And their numbers of included elements.
    line : dict
        As `parcorana.curves.timeline.Timeline.arrays` returns, sums over all workers.
    rate : float
        Pulses per second.
    """
    events = line["events"]
    write_dataset(group, "events", events, "1", "processed events in each stretch of the run")
    for name in ("first", "last"):
        long_name = f"{name} counter of each stretch; one pulse is 1/{rate} s"
        write_dataset(group, name, line[name], "pulses", long_name, rate=rate)
    sums = line["sums"] / (events[:, None] * np.where(sizes, sizes, np.nan))  # all of a colour may be masked
    means, what = (
        np.ascontiguousarray(sums.T),
        "mean over the colour's included elements and the events of each stretch",
    )
    if len(colors) > NAMED:
        _write_colors(group, colors)
        write_dataset(group, "means", means, "intensity", what)
    else:
        _write_rows(group, "color", colors, means, {"units": "intensity", "long_name": what})


def _table_of(kind):
    """Return the name of the table of what many colours stand for: other names may be those of groups."""
    return kind if kind in ("q", "radius") else "color_values"


def _read_stands_for(group):
    """Return what many colours stand for, as `write_curves` takes it; None if nobody has said."""
    kind = group.attrs.get("color_stands_for")
    return (kind, group.attrs["color_unit"], group[_table_of(kind)][:]) if _table_of(kind) in group else None


def _write_colors(group, colors):
    write_dataset(group, "colors", colors, "1", "colour of each row of the tables")


def write_fits(group, delays, curves, choice, rate, stands_for=None):
    """Fit the curves, ``{colour: Curve}``, and write it; above `NAMED` colours say that the last result has fits."""
    if len(curves) > NAMED:
        group.attrs[_MADE_AT_END] = choice.text
    else:
        found = fits.fit_curves(delays, curves, choice)
        fits.write(group.create_group("fits"), found, rate, stands_for, choice)


def complete(user):
    """Write into the last update what those before it lack: datasets per colour, and fits.

    Parameters
    ----------
    user : h5py.Group
        `/user` of a result that is joined.

    Returns
    -------
    list of str
        What the log should say of the last update.
    """
    said = []
    nested = [name for name in user if "_at_" not in name and isinstance(user.get(name, getlink=True), h5py.HardLink)]
    nested = [user[name] for name in nested if isinstance(user[name], h5py.Group)]
    for group in [*_last(user), *(each for part in nested for each in _last(part))]:
        if errorfile.DEVIATIONS in group and len(group[errorfile.GROUPS]) <= NAMED:
            errorfile.write_covariances(group, read_curves(group))
        if "delay_curves" in group and not _has_names(group):
            colors = group["colors"][:]
            off = {name: group[name][:] for name in (*_BIAS, stationarity.TABLE) if name in group}
            if stands_for := _read_stands_for(group):
                off[stands_for[0]] = stands_for[2]
            _spell_out_all(group, colors, off)
            errorfile.spell_out_sources(group, colors, _NAME_OF["delay_curve_errs"])
            if "aged" in group:
                _spell_out_all(
                    group["aged"], colors, {name: off[name] for name in off.keys() - {*_BIAS, stationarity.TABLE}}
                )
            if "means" in group.get("intensity", ()):
                _spell_out(group["intensity"], "means", "color", colors)
        if (text := group.attrs.get(_MADE_AT_END)) is not None:
            said += _fit_at_end(group, str(text))
        for text in filter(None, map(group.attrs.get, ("normalization_error", stationarity.SENTENCE))):
            said.append(text if group.parent.name == user.name else f"{group.parent.name.rpartition('/')[2]}: {text}")
    return said


def read_curves(group):
    """Return ``{colour: Curve}`` of an update, from its tables; in older files from the datasets per colour."""
    if "delay_curves" in group:
        colors, parts = group["colors"][:], [group[name][:] for name in _NAME_OF]
        if any(part.shape != (len(colors), *group["delays"].shape) or part.dtype.kind not in "iuf" for part in parts):
            shapes = ", ".join(f"{name} {group[name].shape}" for name in ("colors", "delays", *_NAME_OF))
            raise ConfigError(f"{group.name}: its tables of curves do not belong together: {shapes}")
        curves = Curve(*parts).each(colors)
    else:
        colors = [*read_rows(group, "delay_curves")]
        curves = {c: Curve(*(group[f"{name}_{c}"][:] for name in _NAME_OF.values())) for c in colors}
    table = "delay_curve_errs" if "delay_curves" in group else None
    words = errorfile.read_sources(group, [*curves], _NAME_OF["delay_curve_errs"], table)
    curves = {c: replace(curve, source=word) for (c, curve), word in zip(curves.items(), words, strict=True)}
    try:
        return errorfile.read_errors(group, curves)
    except ValueError as error:
        raise ConfigError(f"{group.name}: its errors do not belong to its curves: {error}") from None


def read_rows(group, table):
    """Return ``{colour: (D,) array}`` of one of the tables of curves, or of its datasets per colour."""
    if table in group:
        return dict(zip(group["colors"][:].tolist(), group[table][:], strict=True))
    names = (re.fullmatch(rf"{_NAME_OF[table]}_(\d{{1,18}})", name) for name in group)
    return {c: group[f"{_NAME_OF[table]}_{c}"][:] for c in sorted(int(name[1]) for name in names if name)}


def read_frame_norm(group, colors):
    """Return what the curves of an update were divided by, and what they were before.

    Returns
    -------
    name : str
        Empty where there was nothing.
    before, g2 : dict of int to (D,) float64
        By colour.
    """
    name = str(group.attrs.get("frame_norm", ""))
    if not name:
        return "", {}, {}
    found = []
    for table, prefix in _BESIDE.items():
        if table in group:
            found.append(dict(zip(group["colors"][:].tolist(), group[table][:], strict=True)))
        else:
            found.append({c: group[f"{prefix}_{c}" if f"{prefix}_{c}" in group else _OF_ALL][:] for c in colors})
    return name, *found


def read_intensity(group, colors):
    """Return ``{colour: (P,) float64}`` from the group `intensity` of an update."""
    if "means" in group:
        return dict(zip(group["colors"][:].tolist(), group["means"][:], strict=True))
    return {c: group[f"color_{c}"][:] for c in colors if f"color_{c}" in group}


def _last(user):
    """Return the last update in `/user`, in a list; an empty one if there is none of the shipped classes."""
    names = sorted(
        (name for name in user if re.fullmatch(r"G2_results_at_\d{1,18}", name)), key=lambda name: int(name[14:])
    )
    return [group for group in map(user.get, names) if isinstance(group, h5py.Group)][-1:]


def _has_names(group):
    return len(group["colors"]) == 0 or f"delay_curve_color_{group['colors'][0]}" in group


def _largest(values):
    """Return the largest number in each row, NaN if there is none."""
    largest = np.where(np.isnan(values), -1, values).max(axis=1, initial=-1)
    return np.where(largest < 0, np.nan, largest)


def _spell_out_all(group, colors, own):
    for table, name in (_NAME_OF | _BESIDE).items():
        if table in group:
            _spell_out(group, table, name, colors, own if table == "delay_curves" else {})


def _spell_out(group, table, name, colors, own=()):
    _write_rows(group, name, colors, group[table][:], dict(group[table].attrs), own)


def _write_rows(group, name, colors, values, attributes, own=()):
    """Write rows as datasets ``NAME_COLOUR``, with the same attributes, and with numbers of their `own`."""
    if not len(colors):
        return
    first = make_dataset(group, f"{name}_{colors[0]}", values[0])
    for key, value in (attributes | dict.fromkeys(own, 0.0)).items():
        first.attrs[key] = value
    template = first.name.encode()
    for k, (color, row) in enumerate(zip(colors, values, strict=True)):
        path = f"{name}_{color}".encode()
        if k:  # a copy with its attributes costs a tenth of what making them costs
            h5py.h5o.copy(group.id, template, group.id, path)
        dataset = h5py.h5d.open(group.id, path)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, row)
        for key in own:
            h5py.h5a.open(dataset, key.encode()).write(np.array(own[key][k]))


def _fit_at_end(group, text):
    """Fit the curves of the last update; return what the log should say of it."""
    try:
        choice = choice_in(text)
    except ConfigError as error:  # joined elsewhere than it was run
        return [f"the result has no fits: {error}"]
    del group.attrs[_MADE_AT_END]
    delays = group["delays"]
    found = fits.fit_curves(delays[:], read_curves(group), choice)
    fits.write(group.create_group("fits"), found, delays.attrs["rate"], _read_stands_for(group), choice)
    return []
