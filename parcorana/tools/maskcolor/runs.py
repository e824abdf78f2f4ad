"""The average of several runs, and how they differ."""

from dataclasses import dataclass, replace

import numpy as np

from parcorana.detector import masks
from parcorana.errors import ConfigError, put, warn
from parcorana.events.dataset import Dataset, escaped, parse_dataset
from parcorana.events.psana_config import check_psana_config
from parcorana.job.config import read_config
from parcorana.job.keys import checked
from parcorana.tools.maskcolor.average import average

_OTHER = 1.5  # times as bright as half of the runs, or as dim: worth a look


@dataclass(frozen=True)
class Run:
    """What is averaged by itself.

    Attributes
    ----------
    dataset : parcorana.events.dataset.Dataset
    src, type : str or None
        Which detector, which data of it.
    psana_config : dict or None
        Calibration, as a config file may have it.
    times_src : str or None
        Where the times are, as a config file may have it.
    """

    dataset: Dataset
    src: str | None = None
    type: str | None = None
    psana_config: dict | None = None
    times_src: str | None = None


def runs_of(texts, src=None, type_=None):
    """Return the runs that some dataset strings, or config files, name.

    Parameters
    ----------
    texts : list of str
        A name that ends in ``.py`` is that of a config file.
    src, type_ : str, optional
        In the place of those of config files.

    Returns
    -------
    list of Run

    Raises
    ------
    ConfigError
        One is wrong, names no file, or a run is there twice.
    """
    found, options = [], {key: value for key, value in (("src", src), ("type", type_)) if value is not None}
    for text in texts:
        is_config = text.endswith(".py") and "=" not in text
        given = (read_config(text)[0] if is_config else {"dataset": text}) | options
        own = {key: checked(key, given) for key in ("dataset", "src", "type", "psana_config", "times_src")}
        dataset = parse_dataset(own.pop("dataset"))
        if (calibration := own["psana_config"]) is not None:
            check_psana_config(calibration, own["src"], own["type"])
            own |= {"src": calibration["src"], "type": calibration["type"]} if dataset.kind not in ("h5", "sim") else {}
        found += [Run(each, **own) for each in _apart(dataset)]
    names = [(run.dataset.text, run.src) for run in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"-d {twice[0][0]!r} is given twice: its events would count twice")
    return found


def _apart(dataset):
    if len(dataset.runs) > 1 and not dataset.is_live:
        parts = [part for part in dataset.text.split(":") if not part.startswith("run=")]
        return [replace(dataset, text=":".join([*parts, f"run={run}"]), runs=(run,)) for run in dataset.runs]
    if dataset.kind == "h5" and dataset.apart:
        from parcorana.events.hdf5.stack import file_names

        return [
            replace(dataset, text=f"h5={escaped(name)}", name=name, names=(name,), apart=False)
            for name in file_names(dataset)
        ]
    return [dataset]


def average_of(args, given):
    """Read events of each run; say how many there were, and how the runs differ.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    given : list of Run

    Returns
    -------
    runs : list of Statistics
    statistics : Statistics
        Of all events together: each counts the same, whatever its run.
    geometry : parcorana.detector.geometry.Geometry or None
        What the first source that knows one has.
    unmapped : bool array or None
        Elements that no frame of some run has data for.

    Raises
    ------
    ConfigError
        A run cannot be read, or is of another shape than the first one.
    """
    runs, geometry, unmapped = [], None, None
    for run in given:
        if len(given) > 1:
            put(f"run {len(runs) + 1} of {len(given)}: {run.dataset.text}")
        statistics, known, nowhere = average(run, args.numevents, dict(args.value))
        if runs:
            masks.check_shape("-d", run.dataset.text, statistics.shape, runs[0].shape, f"{given[0].dataset.text!r}")
        runs.append(statistics)
        geometry = known if geometry is None else geometry
        unmapped = nowhere if unmapped is None else unmapped if nowhere is None else unmapped | nowhere
    together = runs[0]
    for statistics in runs[1:]:
        together = together.merged(statistics)
    if len(runs) > 1:
        put(f"average: {together.events} events of {len(runs)} runs")
        _say_how_they_differ(runs, together, given)
    return runs, together, geometry, unmapped


def _say_how_they_differ(runs, together, given):
    good = np.isfinite(together.mean)
    levels = np.array([run.mean[good].mean() if good.any() else np.nan for run in runs])
    middle, of = (np.median(levels), "the median run") if len(runs) > 2 else (levels[0], "run 1")
    odd = []
    for k, (run, level) in enumerate(zip(runs, levels, strict=True)):
        times = level / middle if middle > 0 else np.nan
        share = run.events / together.events
        put(f"run {k + 1}: {run.events} events, {share:.0%} of all; mean {level:.4g}, {times:.3g} times that of {of}")
        if np.isfinite(times) and not 1 / _OTHER <= times <= _OTHER:
            odd.append(f"run {k + 1} ({given[k].dataset.text}) is {times:.3g} times as bright as {of}")
    if odd:
        warn(
            f"{', '.join(odd)}: the average, and colours by intensity, are made of events of different "
            "brightness; make rings, or leave such runs out",
        )
    _say_each(runs, "gaps, or not finite,", lambda run: run.gaps() | run.broken())
    _say_each(runs, "dead", lambda run: run.dead() & ~run.gaps(), "; --dead leaves out what is so in all of them")


def _say_each(runs, what, of, more=""):
    for k, only in enumerate(_in_one_only([of(run) for run in runs])):
        if number := np.count_nonzero(only):
            put(f"run {k + 1}: {number:,} elements are {what} in this run only{more}")


def _in_one_only(each):
    number = np.sum(each, axis=0)
    return [where & (number == 1) for where in each]


def hot_in(found):
    """Say what is hot in one run alone.

    Parameters
    ----------
    found : list of bool arrays of the detector's shape
        Of each run.
    """
    for k, only in enumerate(_in_one_only(found)):
        if number := np.count_nonzero(only):
            put(f"run {k + 1}: {number:,} elements are hot in this run only, and left out")
