"""The result file: one complete HDF5 file per update, joined at the end (contract, section 7).

HDF5 written in place does not survive a kill; a new file for each update,
written aside, synced and renamed, does.
"""

import json
import logging
import os
import re
import shutil
import time
from pathlib import Path

import h5py
import numpy as np

from parcorana._version import __version__
from parcorana.datasets import write_dataset
from parcorana.errors import ConfigError, RunError

log = logging.getLogger("parcorana")

ACCOUNT = ("read", "processed", "filtered", "no_data", "duplicate", "late", "bad", "unused")
_BASE = "base.h5"
_SUFFIX = ".inprogress"


def resolve_name(template, overwrite):
    """Replace `%T` and `%C` in an output name; check that nothing is in the way.

    Parameters
    ----------
    template : str
        `%T` becomes yyyymmddhhmmss, `%C` the next free three-digit counter.
    overwrite : bool
        Whether an existing result may be replaced; a folder of a run in
        progress never is.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
    """
    name = template.replace("%T", time.strftime("%Y%m%d%H%M%S"))
    if "%C" in name:
        names = (name.replace("%C", f"{k:03d}") for k in range(1000))
        name = next((n for n in names if not Path(n).exists() and not Path(n + _SUFFIX).exists()), None)
        if name is None:
            raise ConfigError(f"h5output: all of {template!r} with %C from 000 to 999 exist; move some away")
    path = Path(name)
    if Path(name + _SUFFIX).exists():
        raise ConfigError(
            f"h5output: {name + _SUFFIX!r} exists: another run is writing it, or was killed; in that case join what it "
            f"published with 'parCorAnaDriver --join {name + _SUFFIX}', or remove the folder"
        )
    if path.is_dir():
        raise ConfigError(f"h5output: {name!r} is a folder; it must be the name of a file")
    if path.exists() and not overwrite:
        raise ConfigError(f"h5output: {name!r} exists; say --overwrite (or overwrite=True), or choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"h5output: the folder {str(path.parent)!r} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"h5output: the folder {str(path.parent)!r} may not be written to")
    return name


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_json(params):
    def other(value):
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        if isinstance(value, type):
            return f"{value.__module__}.{value.__qualname__}"
        return repr(value)

    return json.dumps(params, default=other, indent=1)


class ResultFile:
    """Results of one run.

    Parameters
    ----------
    name : str
        Of the file at the end, from `resolve_name`.
    config : Config
    ranks : list of (int, str, str)
        Rank, role and host of every rank.
    init : callable
        Called with the group `/user` of the file that every update begins from.
    """

    def __init__(self, name, config, ranks, init):
        self.name, self.folder = name, Path(name + _SUFFIX)
        try:
            self.folder.mkdir()
            with h5py.File(self.folder / _BASE, "w") as file:
                _write_system(file.create_group("system"), config, ranks)
                init(file.create_group("user"))
        except OSError as error:
            raise RunError(f"h5output: cannot write to {str(self.folder)!r}: {error}") from None
        _sync(self.folder / _BASE)

    def publish(self, processed, facts, write):
        """Publish one update.

        Parameters
        ----------
        processed : int
            Number of events processed, which names the file; an update
            published again replaces what was there.
        facts : dict
            From the first worker: account, relsec, first and last time.
        write : generator function
            Called with the file's group `/user`; its steps are passed on.
        """
        final = self.folder / f"update_{processed:06d}.h5"
        aside = self.folder / f".update_{processed:06d}.tmp"
        try:
            shutil.copyfile(self.folder / _BASE, aside)
            with h5py.File(aside, "r+") as file:
                write_facts(file["system"], facts)
                yield from write(file["user"])
            _sync(aside)
            os.replace(aside, final)
            _sync(self.folder)
        except OSError as error:
            raise RunError(
                f"cannot publish the update at {processed} events in {str(self.folder)!r}: {error}"
            ) from None

    def finish(self, facts):
        """Join all updates into the file; remove the folder.

        Parameters
        ----------
        facts : dict
            As `write_facts` takes them.
        """
        join(self.folder, facts)


def _write_system(group, config, ranks):
    group.attrs["version"] = __version__
    group.attrs["complete"] = False
    group.attrs["ended_by"] = "not ended"
    write_dataset(group, "system_params", _as_json(config.system_params), "JSON", "system_params as run")
    write_dataset(group, "user_params", _as_json(config.user_params), "JSON", "user_params as run")
    write_dataset(group, "mask", config.mask.astype(np.int8), "1", "1 for the elements that were processed")
    write_dataset(group, "delays", config.delays, "pulses", "delays")
    for key in ("color", "finecolor"):
        if isinstance(config.user_params.get(key), str | os.PathLike):
            write_dataset(group, key, np.load(config.user_params[key], allow_pickle=False), "1", f"the {key} file")
    rows = [(rank, role.encode(), host.encode()) for rank, role, host in ranks]
    width = max(len(host) for _, _, host in rows) or 1
    table = np.array(rows, [("rank", np.int32), ("role", "S8"), ("host", f"S{width}")])
    write_dataset(group, "ranks", table, "1", "role and host of each rank")


def write_facts(group, facts):
    """Write what is known only as a run goes on into `/system`.

    Parameters
    ----------
    group : h5py.Group
    facts : dict
        'account': dict of int; 'first', 'last': int [ns] or None; and where
        known 'complete': bool, 'ended_by': str, 'timing': table.
    """
    account = group.require_group("accounting")
    for key in ACCOUNT:
        account.attrs[key] = np.int64(facts["account"].get(key, 0))
    for key in ("first", "last"):
        if facts.get(key) is not None:
            group.attrs[f"{key}_event_time_ns"] = np.int64(facts[key])
    for key in ("complete", "ended_by"):
        if key in facts:
            group.attrs[key] = facts[key]
    if "timing" in facts:
        if "timing" in group:
            del group["timing"]
        write_dataset(group, "timing", facts["timing"], "s", "where each rank's time went; peak_mib is in MiB")


def join(folder, facts=None):
    """Join the updates of a run into one file and remove their folder.

    Parameters
    ----------
    folder : path
        `NAME.inprogress`.
    facts : dict, optional
        What the end of the run knows; without it the file says that the run
        was killed.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ConfigError
        There is no such folder, or it is not one of ours.
    RunError
        The file cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir() or not folder.name.endswith(_SUFFIX):
        raise ConfigError(f"--join: {str(folder)!r} is not a folder NAME{_SUFFIX}")
    updates = sorted(p for p in folder.iterdir() if re.fullmatch(r"update_\d{6,}\.h5", p.name))
    updates.sort(key=lambda p: int(p.stem[7:]))
    if not updates and not (folder / _BASE).is_file():
        raise ConfigError(f"--join: {str(folder)!r} holds no update and no {_BASE}: nothing was published")
    name = folder.with_name(folder.name[: -len(_SUFFIX)])
    if facts is None and name.exists():
        raise ConfigError(f"--join: {str(name)!r} exists; move it away first")
    aside = folder / ".joined.tmp"
    try:
        with h5py.File(aside, "w") as joined:
            _join_into(joined, updates or [folder / _BASE])
            if facts is None:
                joined["system"].attrs["ended_by"] = "killed"
            else:
                write_facts(joined["system"], facts)
        _sync(aside)
        os.replace(aside, name)
        _sync(name.parent)
        shutil.rmtree(folder)
    except OSError as error:
        raise RunError(f"cannot write {str(name)!r}: {error}; what was published stays in {str(folder)!r}") from None
    return name


def _join_into(joined, updates):
    user = joined.create_group("user")
    for path in updates:
        with h5py.File(path, "r") as update:
            for key in update["user"]:
                # the same name in two updates: the later one holds
                if key in user:
                    del user[key]
                update.copy(f"user/{key}", user)
            user.attrs.update(update["user"].attrs)
            if path is updates[-1]:
                update.copy("system", joined)
