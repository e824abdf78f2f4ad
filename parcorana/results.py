"""A result file, read: what pictures and fits need of it."""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from parcorana.curves import Curve
from parcorana.errors import ConfigError
from parcorana.fits import Fit
from parcorana.output import ACCOUNT, published

_GROUP = "G2_results_at_"


@dataclass
class Result:
    """One update of one result file.

    Attributes
    ----------
    label, title : str
        For legends, for the top of a picture.
    processed : int
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
    """

    label: str
    title: str
    processed: int
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


def find_file(path):
    """Return the file to open for what a user named: a result, its folder in progress, or the run's name.

    Raises
    ------
    ConfigError
        There is no such file, or nothing was published yet.
    """
    path = Path(path)
    folder = path if path.is_dir() else Path(f"{path}.inprogress")
    if path.is_file():
        return path
    if not folder.is_dir():
        raise ConfigError(f"the file {str(path)!r} does not exist")
    updates = published(folder)
    if not updates:
        raise ConfigError(f"{str(folder)!r} holds no update yet: nothing was published so far")
    return updates[-1]


@contextmanager
def opened(path):
    """Open a result file for reading; ConfigError, in one line, if it is none."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        what = " ".join(str(error).split())
        raise ConfigError(f"{str(path)!r} is not a readable result file: {what}") from None


def updates_in(file):
    """Return the groups of the updates in an open result file by number of events, oldest first."""
    user = file["user"]
    return {int(name[len(_GROUP) :]): user[name] for name in sorted(user) if name.startswith(_GROUP)}


def read_result(file, label, at=None):
    """Read an update of the shipped G2 classes from an open result file.

    Parameters
    ----------
    file : h5py.File or Group
        With ``system`` and ``user``.
    label : str
    at : int, optional
        Events processed at the update; the last one without it.

    Raises
    ------
    ConfigError
        There is no such update.
    """
    updates = updates_in(file)
    if not updates:
        raise ConfigError(f"{label}: there is no {_GROUP}* in /user; only results of the G2 classes are drawn")
    if at is not None and at not in updates:
        raise ConfigError(f"{label}: there is no update at {at} events; there are {', '.join(map(str, updates))}")
    processed = max(updates) if at is None else at
    group, system = updates[processed], file["system"]
    rate = float(group["delays"].attrs["rate"])
    colors = sorted(int(name.rpartition("_")[2]) for name in group if name.startswith("delay_curve_color_"))
    seconds, intensity = np.zeros(0), {}
    if "intensity" in group:
        part = group["intensity"]
        seconds = (part["first"][:] + part["last"][:]) / 2 / rate
        intensity = {c: part[f"color_{c}"][:] for c in colors if f"color_{c}" in part}
    dataset = json.loads(system["system_params"].asstr()[()]).get("dataset", "")
    # a run in progress says 'not ended', and so does the picture that it draws of its last update
    ended = f" ({system.attrs['ended_by']})" if system.attrs["ended_by"] != "not ended" else ""
    return Result(
        label=label,
        title=f"{label}: {dataset}; {processed:,} events processed{ended}",
        processed=processed,
        delays=group["delays"][:],
        counts=group["delay_counts"][:],
        rate=rate,
        curves={c: _curve(group, c) for c in colors},
        fits=Fit.read(group["fits"]) if "fits" in group else {},
        seconds=seconds,
        intensity=intensity,
        account={key: int(system["accounting"].attrs[key]) for key in ACCOUNT},
        mask=system["mask"][:],
        saturated=group["saturated"][:],
    )


def _curve(group, color):
    names = ("delay_curve_color", "delay_curve_err_color", "elements_color", "elements_left_out_color")
    return Curve(*(group[f"{name}_{color}"][:] for name in names))
