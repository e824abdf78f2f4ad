"""Where errors come from, and how delays vary together, in a result file: docs/errors.md."""

import re
from dataclasses import replace

import numpy as np

from parcorana.files.datasets import write_dataset

#: Numbers of deviations that an update has, and of covariances the last one, at the most.
MOST = 1 << 20
DEVIATIONS, GROUPS, COVARIANCE = "delay_curve_deviations", "error_groups", "delay_curve_cov_color"
SHARED, SOURCES = "shared_deviations", "error_sources"
_SHARED = 64  # rows, more than there ever are
#: Names of what is made anew where curves are.
NAMES = rf"{DEVIATIONS}|{SHARED}|{GROUPS}|{SOURCES}|{COVARIANCE}_\d+"
_SAID = {
    "pixel groups": "standard error from the scatter of groups of neighbouring elements, and of what all share",
    "time blocks": "standard error from the scatter of stretches of the run",
    "pixels": "standard error over the colour's elements, as if they were independent",
    "runs": "standard error from the scatter of the runs' own curves",
    "runs combined": "standard error combined from those of each run",
}
_MIXED = "standard error, of which error_from, or the dataset error_sources, says what it comes from"


def source_of(curve):
    """Return what is said of the errors of all colours: attributes, and what they are in a sentence."""
    words = set(_words_of(curve))
    if len(words) > 1:
        return {}, _MIXED
    word = "".join(words)
    return {"error_from": word} if word else {}, _SAID[word or "pixels"]


def write_sources(group, colors, curve, prefix=None):
    """Write what the errors of each colour come from, where that is not the same of all.

    Parameters
    ----------
    group : h5py.Group
    colors : (C,) int64
    curve : parcorana.curves.Curve
        Of all colours, (C, D).
    prefix : str, optional
        What is before the number of a colour in the names of datasets, which get it as an attribute; without it
        there are tables, which get a dataset beside them.
    """
    words = _words_of(curve)
    if len(set(words)) < 2:
        return
    if prefix is None:
        what = "what the errors of each colour come from"
        write_dataset(group, SOURCES, np.array([word.encode() for word in words], "S13"), "1", what)
    else:
        _write_words(group, colors, words, prefix)


def spell_out_sources(group, colors, prefix):
    """Write what `write_sources` put beside tables at the datasets of the colours."""
    if SOURCES in group:
        _write_words(group, colors, read_sources(group, colors, prefix), prefix)


def _write_words(group, colors, words, prefix):
    for color, word in zip(colors, words, strict=True):
        if word:
            group[f"{prefix}_{color}"].attrs["error_from"] = word


def read_sources(group, colors, prefix, table=None):
    """Return what the errors of each colour come from; empty where nobody has said it in a word that is known.

    Parameters
    ----------
    group : h5py.Group
    colors : (C,) int
    prefix : str
        Of datasets of the colours.
    table : str, optional
        That of the errors, where there are tables.

    Returns
    -------
    list of str
    """
    if SOURCES in group:
        found = group[SOURCES][()]
        good = found.shape == (len(colors),) and found.dtype.kind == "S"
        words = [word.decode(errors="replace") for word in found.tolist()] if good else [""] * len(colors)
    elif table is not None:
        words = [group[table].attrs.get("error_from", "")] * len(colors)
    else:
        words = [group[f"{prefix}_{color}"].attrs.get("error_from", "") for color in colors]
    return [word if isinstance(word, str) and word in _SAID else "" for word in words]


def _words_of(curve):
    words = (str(word) for word in np.broadcast_to(curve.source, len(curve.g2)))
    return [word if word in _SAID else "" for word in words]


def write_errors(group, curve):
    """Write how many groups errors come from, and how they make the curves deviate, of all colours (C, R, D)."""
    if curve.deviations is None:
        return
    what = "groups, or stretches, that errors of each colour come from; 0 where its elements count as independent"
    write_dataset(group, GROUPS, np.asarray(curve.groups, np.int64), "1", what)
    shared = np.zeros((0, curve.g2.shape[1])) if curve.shared is None else curve.shared
    rows = curve.deviations[:, : curve.deviations.shape[1] - len(shared)]
    if rows.size > MOST:
        group[GROUPS].attrs["no_covariance"] = f"deviations would be {rows.size:,} numbers, above {MOST:,}"
        return
    what = (
        "rows of each colour, the products of which added up are the covariance between delays, but for what is shared"
    )
    write_dataset(group, DEVIATIONS, rows.astype(np.float32), "1", what)
    if len(shared):
        what = "further rows, the same of all colours: parts of g2"
        write_dataset(group, SHARED, shared.astype(np.float32), "1", what)


def write_covariances(group, curves):
    """Write the covariance between delays of each colour, of curves that were read from the group."""
    if DEVIATIONS not in group or len(curves) * group["delays"].size ** 2 > MOST:
        return
    for color, curve in curves.items():
        if curve.groups:
            what = "covariance of the curve between delays; its diagonal is the square of the error"
            write_dataset(group, f"{COVARIANCE}_{color}", curve.covariance, "1", what)


def read_errors(group, curves):
    """Return curves, ``{colour: Curve}``, with what an update says of their errors.

    Raises
    ------
    ValueError
        That does not belong to the curves.
    """
    if GROUPS not in group:
        return curves
    shape = len(curves), *group["delays"].shape
    for name, most in ((DEVIATIONS, MOST), (SHARED, _SHARED * shape[-1])):
        if name in group and group[name].size > most:
            raise ValueError(f"{name} {group[name].shape}, more than {most:,} numbers")
    groups, rows = group[GROUPS][:], group[DEVIATIONS][:] if DEVIATIONS in group else None
    shared = group[SHARED][:] if SHARED in group else None
    if groups.shape != shape[:1] or groups.dtype.kind not in "iu":
        raise ValueError(f"{GROUPS} {groups.shape}")
    if rows is not None and (rows.ndim != 3 or (len(rows), rows.shape[2]) != shape or rows.dtype.kind != "f"):
        raise ValueError(f"{DEVIATIONS} {rows.shape}")
    if shared is not None and (shared.ndim != 2 or shared.shape[1] != shape[1] or shared.dtype.kind != "f"):
        raise ValueError(f"{SHARED} {shared.shape}")
    found = {}
    for k, (c, curve) in enumerate(curves.items()):
        if not groups[k]:
            found[c] = replace(curve, source=curve.source or "pixels")
            continue
        own = None
        if rows is not None:
            own = rows[k].astype(np.float64)
            if shared is not None:
                own = np.concatenate([own, np.nan_to_num(curve.g2) * shared.astype(np.float64)])
        found[c] = replace(curve, deviations=own, groups=int(groups[k]), shared=shared)
    return found


def leave_out(group):
    """Take away what an update has of errors."""
    for name in [name for name in group if name == GROUPS or update_of_errors(f"/{name}") is not None]:
        del group[name]


def update_of_errors(path):
    """Return the update of a dataset of errors, or of what is fitted by them; None for others."""
    what = rf"({DEVIATIONS}|{SHARED}|{SOURCES}|{COVARIANCE}_\d+|delay_curve_errs?(_color_\d+)?|fits/[a-z_0-9]+)"
    found = re.fullmatch(rf"(.*)/{what}", path)
    return found[1] if found else None
