"""``/system`` of a result file: config, ranks, accounting, timing."""

import json
import os
from contextlib import suppress

import numpy as np

from parcorana._version import __version__
from parcorana.detector import colortable, masks
from parcorana.detector.photons import place_of
from parcorana.errors import ConfigError
from parcorana.files.datasets import write_dataset
from parcorana.results.values import write_values

_LOG = 4 << 20  # characters of a log at most: its end
ACCOUNT = ("read", "processed", "filtered", "no_data", "duplicate", "late", "bad", "unused")


def as_json(params):
    """Return a dictionary of parameters as JSON, with what JSON does not know by its name."""

    def plain(value):
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    def other(value):
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        if isinstance(value, set | frozenset):  # whose order is another one in each process
            return sorted(plain(list(value)), key=repr)
        if isinstance(value, type):
            return f"{value.__module__}.{value.__qualname__}"
        return repr(value)

    return json.dumps(plain(params), default=other, indent=1)


def write_system(group, config, ranks):
    """Write what is known when the run begins."""
    group.attrs["complete"] = False
    group.attrs["ended_by"] = "not ended"
    params = {"system_params": config.system_params, "user_params": config.user_params}
    colors, table = masks.color_files(config), _color_table(config)
    write_made_with(group, config.mode, params, "as run", config.mask, config.delays, colors, table)
    for name, (low, high) in config.select.items():
        write_limits(group, name, [-np.inf if low is None else low, np.inf if high is None else high])
    if config.instrument is not None:
        _write_instrument(group.create_group("instrument"), config.instrument)
    if config.photons is not None:
        group.create_group("photons").attrs.update({k: v for k, v in config.photons.items() if v is not None})
    rows = [(rank, role.encode(), host.encode()) for rank, role, host in ranks]
    width = max(len(host) for _, _, host in rows) or 1
    table = np.array(rows, [("rank", np.int32), ("role", "S8"), ("host", f"S{width}")])
    write_dataset(group, "ranks", table, "1", "role and host of each rank")


def write_made_with(group, mode, params, how, mask, delays, colors, table):
    """Write into `/system` what curves are made with, of a run or of several.

    Parameters
    ----------
    group : h5py.Group
    mode : str
    params : dict of str to dict
        'system_params' and 'user_params'.
    how : str
        What these are: 'as run'.
    mask : bool array of the detector's shape
    delays : (D,) int64 [pulses]
    colors : iterable of (str, int64 array of the detector's shape)
        'color' and 'finecolor', those that there are.
    table : ColorTable or None
    """
    group.attrs["version"] = __version__
    group.attrs["mode"] = mode
    for name, given in params.items():
        write_dataset(group, name, as_json(given), "JSON", f"{name} {how}")
    write_dataset(group, "mask", mask.astype(np.int8), "1", "1 for the elements that were processed")
    write_dataset(group, "delays", delays, "pulses", "delays")
    for key, array in colors:
        write_dataset(group, key, array, "1", f"the {key} file")
    if table is not None:
        _write_color_table(group, table)


def write_limits(group, name, limits):
    """Write a range of `select`, two numbers, into `/system`."""
    what = f"{name} from and to which events are taken"
    write_dataset(group, f"select/{name}", np.array(limits, float), "as the value", what)


def _write_color_table(group, table):
    about = {"kind": table.kind}
    write_dataset(group, "color_table/color", table.colors, "1", "number of each colour", **about)
    for name in ("mean", "low", "high"):
        what = {"mean": "mean", "low": "least", "high": "largest"}[name]
        write_dataset(group, f"color_table/{name}", getattr(table, name), table.unit, f"{what} {table.kind}", **about)
    for name in ("sector", "elements"):
        column = table.sectors if name == "sector" else table.elements
        write_dataset(group, f"color_table/{name}", column, "1", f"{name} of each colour, as its table says", **about)


_STATED = {  # of an `Instrument`: its name here, units, what it is
    "energy": ("photon_energy", "keV", "energy of the photons"),
    "distance": ("distance", "mm", "from sample to detector"),
    "pixel": ("pixel_size", "um", "size of a pixel"),
    "beam": ("beam_center", "pixels", "row and column of the beam"),
    "frame_time": ("frame_time", "s", "from one frame to the next"),
    "count_time": ("count_time", "s", "for which light is counted in a frame"),
    "saturation": ("saturation_value", "1", "count from which on an element is saturated"),
    "bits": ("bit_depth", "1", "bits of a count"),
    "announced": ("images_announced", "1", "images that were to be taken"),
    "found": ("images_found", "1", "images that there are"),
}


def _write_instrument(group, instrument):
    """Write what the data state of the instrument."""
    group.attrs["source"] = instrument.source
    for key, (name, units, what) in _STATED.items():
        if (value := getattr(instrument, key)) is not None:
            write_dataset(group, name, np.array(value), units, f"{what}, as the data state")


def _color_table(config):
    """Return the table of the colour file that `user_params` names, None if there is none."""
    color, given = config.user_params.get("color"), config.user_params.get("color_table")
    if not isinstance(color, str | os.PathLike):
        return None  # to a user's own class the name may mean something else
    with suppress(ConfigError):
        given = os.path.join(config.folder, given) if isinstance(given, str | os.PathLike) else given
        return colortable.find_table(os.path.join(config.folder, color), given)


def write_facts(group, facts):
    """Write what is known only as a run goes on into `/system`.

    Parameters
    ----------
    group : h5py.Group
    facts : dict
        'account': dict of int; 'first', 'last': int [ns] or None; and where
        known 'filtered_by', 'photons': dict of int, 'values': dict of Distribution with 'rate': float [Hz], 'merged':
        int, 'total': int, 'complete': bool, 'ended_by': str, 'timing': table.
    """
    account = group.require_group("accounting")
    for key in ACCOUNT:
        account.attrs[key] = np.int64(facts["account"].get(key, 0))
    if facts.get("filtered_by"):
        group["select"].attrs.update({name: np.int64(count) for name, count in facts["filtered_by"].items()})
    if photons := facts.get("photons"):
        place = place_of(photons, group["mask"].shape)
        group["photons"].attrs.update({name: np.int64(number) for name, number in photons.items()})
        group["photons"].attrs["largest_at"] = np.array(place, np.int64)
    for key in ("first", "last"):
        if facts.get(key) is not None:
            group.attrs[f"{key}_event_time_ns"] = np.int64(facts[key])
    if facts.get("total", -1) > 0:
        group.attrs["events_in_data"] = np.int64(facts["total"])
    if "merged" in facts:
        group.attrs["updates_merged"] = np.int64(facts["merged"])
    for key in ("complete", "ended_by"):
        if key in facts:
            group.attrs[key] = facts[key]
    if "values" in facts:
        write_values(group, facts["values"], facts["rate"])
    if "timing" in facts:
        if "timing" in group:
            del group["timing"]
        write_dataset(group, "timing", facts["timing"], "s", "where each rank's time went; peak_mib is in MiB")


def write_log(group, text):
    """Write the log of a run into `/system`."""
    write_dataset(group, "log", text[-_LOG:], "text", "the log until the result was written: date, time, level, text")
