"""A result file, read: what pictures and fits need of it."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from parcorana.curves import stationarity
from parcorana.curves.curvefile import read_curves, read_frame_norm, read_intensity
from parcorana.curves.fits import Fit
from parcorana.detector.colortable import ColorTable
from parcorana.errors import ConfigError, shown
from parcorana.files.paths import fault_of
from parcorana.results.facts import ACCOUNT
from parcorana.results.folder import published
from parcorana.results.updates import rate_of, update_at, updates_of

GROUP = "G2_results_at_"
_AT = re.compile(r"_at_\d{6,18}$")


@dataclass
class Result:
    """One update of one result file.

    Attributes
    ----------
    label, title : str
        For legends, for the top of a picture.
    processed : int
        Events, at the update.
    normalization, bias : str
        Of the curves, and what it gets wrong; empty where that is nothing to speak of.
    delays, counts : (D,) int64
        Delays [pulses], pairs of each.
    rate : float
        Pulses per second.
    curves : dict of int to Curve
    fits : dict of int to Fit
        As the run made them; empty where none were asked for.
    seconds : (P,) float64 [s]
        Middle of each stretch of the run.
    intensity : dict of int to (P,) float64
    account : dict of str to int
    mask, saturated : arrays of the detector's shape
    table : ColorTable or None
        What the colours stand for.
    frame_norm : str
        What the curves were divided by the g2 of; empty where that was nothing.
    before, divisors : dict of int to (D,) float64
        The curves without that, and that g2, by colour.
    pulls : str
        What is said of elements that move a curve by more than twice its error; empty if none does.
    of : str or None
        Which of several classes it is of.
    stationarity : dict of int to float
        How probable it is that g2 changes as it does by chance, of the colours of which it is known.
    changes : str
        Which colours change with age; empty if none is seen to.
    """

    label: str
    title: str
    processed: int
    normalization: str
    bias: str
    delays: np.ndarray
    counts: np.ndarray
    rate: float
    curves: dict
    fits: dict
    seconds: np.ndarray
    intensity: dict
    account: dict
    mask: np.ndarray
    saturated: np.ndarray
    table: ColorTable | None = None
    frame_norm: str = ""
    before: dict = field(default_factory=dict)
    divisors: dict = field(default_factory=dict)
    pulls: str = ""
    of: str | None = None
    stationarity: dict = field(default_factory=dict)
    changes: str = ""

    def name_of(self, color):
        """Return what a colour is called: its number, and its q if that is known."""
        known = "" if self.table is None else self.table.name(color)
        return f"colour {color}{', ' * bool(known)}{known}"


def find_files(path):
    """Return the files that hold what a user named: a result, or all updates of a folder in progress, oldest first.

    Raises
    ------
    ConfigError
        There is no such file, or nothing was published yet.
    """
    path, fault = Path(path), fault_of(path)
    if fault is None:
        return [path]
    folder = path if fault == "is a folder" else Path(f"{path}.inprogress")
    if fault_of(folder) != "is a folder":
        raise ConfigError(f"the file {str(path)!r} {fault}")
    updates = published(folder)
    if not updates:
        raise ConfigError(f"{str(folder)!r} holds no update yet: nothing was published so far")
    return updates


def find_file(path, at=None):
    """Return the one to open of `find_files`: of a folder the last update, or that at so many events."""
    *others, last = find_files(path)
    return next((update for update in others if int(update.stem[7:]) == at), last)


def classes_in(file):
    """Return the names of the groups of classes in an open result file, [""] if it is that of a single class."""
    user = file.get("user")
    if not hasattr(user, "keys"):
        raise ConfigError(f"{str(file.filename)!r} is not a readable result file: it has no group /user")
    if any(_AT.search(name) for name in user):
        return [""]
    groups = {name: item for name in user if hasattr(item := user.get(name), "keys")}
    return [name for name, group in groups.items() if any(_AT.search(key) for key in group)]


def group_of(file, label, of):
    """Return the group of a class in an open result file, /user of a single one.

    Raises
    ------
    ConfigError
        There are several classes and none is named, or not that one.
    """
    there = classes_in(file)
    if of is not None and of.startswith("/"):
        return file[of]
    if of is None:
        if len(there) < 2:
            return file["user"][there[0]] if there and there[0] else file["user"]
        raise ConfigError(f"{label}: it holds several classes: say which by --class: {', '.join(there)}")
    if there == [""]:
        raise ConfigError(f"{label}: --class {of}: it is the result of a single class")
    if of not in there:
        raise ConfigError(f"{label}: there is no class {shown(of)}; there are {', '.join(there) or 'none'}")
    return file["user"][of]


def updates_in(file, label="the result", of=None):
    """Return the groups of the updates of a class in an open result file by number of events, oldest first."""
    user = group_of(file, label, of)
    return updates_of(user, GROUP)


def read_result(file, label, at=None, of=None):
    """Read an update of the shipped G2 classes from an open result file.

    Parameters
    ----------
    file : h5py.File or Group
        With ``system`` and ``user``.
    label : str
    at : int, optional
        Events processed at the update; the last one without it.
    of : str, optional
        Name of the class, where there are several; or of its group, from '/' on.

    Raises
    ------
    ConfigError
        There is no such update.
    """
    only = "; only results of the G2 classes are drawn"
    processed, group = update_at(group_of(file, label, of), GROUP, label, at, only)
    system = file["system"]
    rate = rate_of(group["delays"], label)
    curves = read_curves(group)
    seconds, intensity = np.zeros(0), {}
    if "intensity" in group:
        part = group["intensity"]
        seconds = (part["first"][:] + part["last"][:]) / 2 / rate
        intensity = read_intensity(part, curves)
    frame_norm, before, divisors = read_frame_norm(group, curves)
    dataset = params_of(system, label).get("dataset", "")
    account = {key: int(system["accounting"].attrs[key]) for key in ACCOUNT}
    result = Result(
        label=label,
        title=f"{label}: {dataset}; {_state(system, processed, account['processed'])}",
        processed=processed,
        normalization=str(group.attrs.get("normalization", "not named")),
        bias=str(group.attrs.get("normalization_error", "")),
        delays=group["delays"][:],
        counts=group["delay_counts"][:],
        rate=rate,
        curves=curves,
        fits=Fit.read(group["fits"]) if "fits" in group else {},
        seconds=seconds,
        intensity=intensity,
        account=account,
        mask=system["mask"][:],
        saturated=group["saturated"][:],
        table=read_table(system, label),
        frame_norm=frame_norm,
        before=before,
        divisors=divisors,
        stationarity=stationarity.read(group, curves),
        changes=str(group.attrs.get(stationarity.SENTENCE, "")),
        pulls=str(group["leverage"].attrs.get("said", "")) if "leverage" in group else "",
    )
    _check_alike(result, label)
    return result


def read_table(system, label):
    """Return the table of what the colours stand for, from `/system`; None if there is none."""
    if "color_table" not in system:
        return None
    group = system["color_table"]
    found = {name: group[name] for name in ("color", "mean", "low", "high", "sector", "elements")}
    if {item.shape for item in found.values()} != {found["color"].shape} or len(found["color"].shape) != 1:
        raise ConfigError(f"{label}: the columns of its /system/color_table do not belong together")
    kind, unit = str(found["color"].attrs["kind"]), str(found["mean"].attrs["units"])
    whole = (found[name][:].astype(np.int64) for name in ("color", "sector", "elements"))
    real = (found[name][:].astype(np.float64) for name in ("mean", "low", "high"))
    color, sector, elements = whole
    return ColorTable(kind, unit, color, *real, sectors=sector, elements=elements)


def _state(system, processed, all_processed):
    """Say how far a run was at an update, and how it ended if that is its last one."""
    if processed != all_processed:
        return f"update at {processed:,} of {all_processed:,} events processed"
    text, ended_by = f"{processed:,} events processed", str(system.attrs["ended_by"])
    if ended_by == "not ended":  # as the update of a run in progress says, and the last that it draws
        return f"{text} so far"
    return f"{text} ({ended_by})" if system.attrs["complete"] else f"{text} (not complete: {ended_by})"


def params_of(system, label, name="system_params"):
    """Return the parameters of a run from `/system`, `system_params` or `user_params`."""
    try:
        params = json.loads(system[name].asstr()[()])
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{label}: its /system/{name} is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise ConfigError(f"{label}: its /system/{name} is {shown(params)}, and must be a dictionary")
    return params


def _check_alike(result, label):
    """Refuse arrays that do not belong together, for which a picture would raise something else."""
    length, points = result.delays.shape, result.seconds.shape
    parts = [("delay_counts", result.counts)]
    for c, curve in result.curves.items():
        parts += [(f"delay_curve_color_{c}, its error or elements", part) for part in curve.arrays]
        parts += [(f"what frame_norm did to colour {c}", each[c]) for each in (result.before, result.divisors) if each]
    for name, array in parts:
        if array.shape != length or array.dtype.kind not in "iuf":
            raise ConfigError(
                f"{label}: {name} has {array.dtype} of shape {array.shape}, and must be numbers, {length}"
            )
    for c, array in result.intensity.items():
        if array.shape != points or array.dtype.kind not in "iuf":
            raise ConfigError(f"{label}: intensity/color_{c} has the shape {array.shape}, and must have {points}")
    d = result.delays
    if d.ndim != 1 or d.dtype.kind not in "iu" or (d < 0).any() or (d[1:] <= d[:-1]).any():
        raise ConfigError(
            f"{label}: its delays are {shown(d.ravel()[:100].tolist())}, and must be whole numbers >= 0, increasing"
        )
    if not np.isfinite(result.counts).all():
        raise ConfigError(f"{label}: its delay_counts are not all finite numbers")
    if result.mask.ndim == 0 or result.mask.shape != result.saturated.shape or result.mask.dtype.kind not in "iub":
        raise ConfigError(f"{label}: its mask and saturated are not those of a result")
