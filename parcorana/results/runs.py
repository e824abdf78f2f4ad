"""Several result files, open together, to be made into one."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from parcorana.correlation.delays import check_delays
from parcorana.curves.curvefile import SUMS, path_of_sums
from parcorana.errors import ConfigError, one_line
from parcorana.files.paths import allow_open_files
from parcorana.files.plain import plain_file
from parcorana.results.facts import as_json
from parcorana.results.folder import identity
from parcorana.results.reading import Result, find_file, params_of, read_result, updates_in

#: What a merged result says in words of each run in it: `/system/merged_from`.
SOURCE = {
    "file": ("1", "name of each file"),
    "dataset": ("1", "dataset of each run"),
    "ended_by": ("1", "how each run ended"),
    "system_params": ("JSON", "system_params of each run"),
    "user_params": ("JSON", "user_params of each run"),
}


@dataclass
class Run:
    """One result, open.

    Attributes
    ----------
    label : str
        As the user named it.
    result : Result
    group, system : h5py.Group
        Of the update, `/system`.
    system_params, user_params : dict
        As run.
    complete : bool
        Whether it is the result of all of a run.
    ended_by : str
    sources : list of dict
        Of each run that it is made of, which may be several: what `SOURCE` names, and 'processed', 'complete'.
    """

    label: str
    result: Result
    group: Any
    system: Any
    system_params: dict
    user_params: dict
    complete: bool
    ended_by: str
    sources: list

    def colors(self, name):
        """Return the array of a colour file, int64 of the detector's shape; None if the run had none."""
        if name not in self.system:
            return None
        array = self.system[name][()]
        if (
            getattr(array, "shape", None) != self.result.mask.shape
            or array.dtype.kind not in "iub"
            or array.min(initial=0) < 0
        ):
            raise ConfigError(f"{self.label}: its /system/{name} is not that of a result")
        return array.astype(np.int64)

    def places_of(self, delays):
        """Return where some of the delays are among all of this run."""
        return np.searchsorted(self.result.delays, delays)

    def counts_at(self, delays):
        """Return the pairs of some of the delays."""
        return self.result.counts[self.places_of(delays)].astype(np.int64)

    def check_arrays(self):
        """Refuse an update that has not all sums of all elements."""
        paths = [path_of_sums(name, delay) for delay in self.result.delays for name in SUMS]
        missing = [path for path in paths if path not in self.group]
        if not missing:
            return
        if not any(name in self.group for name in SUMS):
            raise ConfigError(
                f"{self.label}: the update at {self.result.processed:,} events holds no full arrays, and only of those "
                "new curves can be made: they are in the last update of a run with user_params save_arrays: 'last' "
                "(the default) that came to its end, and in all updates with save_arrays: True"
            )
        raise ConfigError(f"{self.label}: its arrays are not all there: {missing[0]} is missing")

    def array(self, name, delay, mask):
        """Read the sums of one delay.

        Parameters
        ----------
        name : str
            One of `parcorana.curves.curvefile.SUMS`.
        delay : int [pulses]
        mask : bool array of the detector's shape

        Returns
        -------
        (n,) float64
            Of the elements of the mask.

        Raises
        ------
        ConfigError
            Not readable, of another shape, or not finite.
        """
        path = path_of_sums(name, delay)
        try:
            array = self.group[path][()]
        except Exception as error:  # whatever h5py raises over a damaged file; of those open it is this one
            raise ConfigError(f"{self.label}: {path} cannot be read: {one_line(error)}") from error
        if getattr(array, "shape", None) != mask.shape or array.dtype.kind not in "iuf":
            raise ConfigError(f"{self.label}: {path} is not an array of numbers of the mask's shape")
        values = array[mask].astype(np.float64, copy=False)
        if not np.isfinite(values).all():
            wrong = np.count_nonzero(~np.isfinite(values))
            raise ConfigError(f"{self.label}: {path} is damaged: {wrong:,} of its sums are not finite")
        return values


@contextmanager
def opened_runs(paths, at=None, of=None):
    """Open result files; give them as a list of `Run`.

    Parameters
    ----------
    paths : sequence of str
        Results, or names of runs in progress.
    at : int, optional
        Events processed at the update that is meant; the last one without it.
    of : str, optional
        Name of the class that is meant, where results have several.

    Raises
    ------
    ConfigError
        A file is named twice, is no result of the G2 classes, or has no full arrays.
    """
    allow_open_files()
    names = {}
    with ExitStack() as stack:
        runs = []
        for path in paths:
            found = find_file(path, at)
            file = stack.enter_context(plain_file(found))
            if (before := names.get(identity(found))) is not None:
                raise ConfigError(f"{before} and {path} are the same file: its events would count twice")
            names[identity(found)] = path
            runs.append(_run(file, str(path), at, of))
        yield runs


def _run(file, label, at, of):
    result = read_result(file, label, at, of)
    group, system = updates_in(file, label, of)[result.processed], file["system"]
    try:
        check_delays(result.delays.tolist())
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from None
    if result.counts.dtype.kind not in "iu" or (result.counts < 0).any():
        raise ConfigError(f"{label}: its delay_counts are not those of a result")
    given = [params_of(system, label, name) for name in ("system_params", "user_params")]
    if isinstance(classes := given[0].get("user_class"), list) and classes:
        given = _of_one(*given, classes, of or group.parent.name.rpartition("/")[2])
    complete, ended_by = bool(system.attrs["complete"]), str(system.attrs["ended_by"])
    run = Run(label, result, group, system, *given, complete, ended_by, sources=[])
    run.sources += _sources(run)
    run.check_arrays()
    return run


def _of_one(system_params, user_params, classes, name):
    """Return the parameters that a job with one of its classes would have."""
    names = {str(each).rpartition(".")[2]: each for each in classes}
    own = user_params.get(name)
    common = {key: value for key, value in user_params.items() if key not in names}
    return system_params | {"user_class": names.get(name, name)}, common | (own if isinstance(own, dict) else {})


def _sources(run):
    if "merged_from" in run.system:
        part = run.system["merged_from"]
        columns = {name: part[name].asstr()[:].tolist() for name in SOURCE}
        columns |= {name: part[name][:].tolist() for name in ("processed", "complete")}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    params = [as_json(params) for params in (run.system_params, run.user_params)]
    texts = run.label, str(run.system_params.get("dataset", "")), run.ended_by, *params
    row = dict(zip(SOURCE, texts, strict=True))
    return [row | {"processed": run.result.processed, "complete": int(run.complete)}]
