"""``/system`` of a result that was made from others."""

from itertools import chain

import numpy as np

from parcorana.files.datasets import write_dataset
from parcorana.results.facts import ACCOUNT, write_facts, write_limits, write_made_with
from parcorana.results.runs import SOURCE

_OF_ONE = ("values", "photons")  # what the events of a run were
_LONG = 60  # characters of the datasets' names, for titles of pictures


def write_merged_system(group, runs, common, asked, output, more):
    """Write `/system`.

    Parameters
    ----------
    group : h5py.Group
    runs : list of Run
    common : Common
    asked : Asked
    output : str
        Name of the file.
    more : dict
        What else `user_params` is to say.
    """
    first = runs[0]
    system_params = first.system_params | {"h5output": output, "delays": common.delays.tolist()}
    user_params = first.user_params | {"normalization": common.normalization} | more
    if asked.mask:
        system_params["mask"] = asked.mask
    for key in ("color", "finecolor"):
        if path := getattr(asked, key):
            user_params[key] = path
    if asked.uncorrected:
        user_params.pop("frame_norm", None)
    if len(runs) > 1:
        text = ", ".join(str(run.system_params.get("dataset", "")) for run in runs)
        system_params["dataset"] = f"{len(runs)} results: {text if len(text) <= _LONG else text[:_LONG] + '...'}"
    of = "of the first file, with what was asked for" if len(runs) > 1 else "as run, with what was asked for"
    mode = str(first.system.attrs.get("mode", "main"))
    params = {"system_params": system_params, "user_params": user_params}
    colors = {"color": common.color, "finecolor": common.finecolor}
    there = [(key, array) for key, array in colors.items() if array is not None]
    write_made_with(group, mode, params, of, common.mask, common.delays, there, common.table)
    _write_select(group, runs)
    _write_instrument(group, runs)
    for name in _OF_ONE if len(runs) == 1 else ():
        if name in first.system:
            first.system.copy(name, group)
    _write_sources(group.create_group("merged_from"), runs)
    write_facts(group, _facts(runs))


def _facts(runs):
    times = {
        key: [run.system.attrs.get(f"{key}_event_time_ns") for run in runs] for key in ("first", "last")
    }  # only some sources know it
    return {
        "account": {key: sum(run.result.account[key] for run in runs) for key in ACCOUNT},
        "complete": all(run.complete for run in runs),
        "ended_by": ", ".join(dict.fromkeys(run.ended_by for run in runs)),
        "first": None if None in times["first"] else min(times["first"]),
        "last": None if None in times["last"] else max(times["last"]),
    }


def _write_select(group, runs):
    """Write the ranges of `select`, and what they left out, where all runs have the same."""
    names = {frozenset(run.system.get("select", ())) for run in runs}
    limits = {name: [run.system["select"][name][()].tolist() for run in runs] for name in min(names, key=len)}
    if len(names) > 1 or any(each != of_all[0] for of_all in limits.values() for each in of_all):
        return
    for name in sorted(limits):
        write_limits(group, name, limits[name][0])
        count = sum(int(run.system["select"].attrs.get(name, 0)) for run in runs)
        group["select"].attrs[name] = np.int64(count)


def _write_instrument(group, runs):
    """Copy what the data state of the instrument, as far as it is the same in all runs."""
    if not all("instrument" in run.system for run in runs):
        return
    first = runs[0].system["instrument"]
    runs[0].system.copy(first, group)
    for name, item in first.items():
        others = [run.system["instrument"].get(name) for run in runs]
        if any(other is None or not np.array_equal(other[()], item[()]) for other in others):
            del group["instrument"][name]


def _write_sources(group, runs):
    rows = list(chain.from_iterable(run.sources for run in runs))
    for name, (units, long_name) in SOURCE.items():
        write_dataset(group, name, [row[name] for row in rows], units, long_name)
    processed = np.array([row["processed"] for row in rows], np.int64)
    write_dataset(group, "processed", processed, "1", "events processed in each run")
    complete = np.array([row["complete"] for row in rows], np.int8)
    write_dataset(group, "complete", complete, "1", "1 where a run came to its end")
