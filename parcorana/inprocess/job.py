"""Jobs in this process: of a config, or of frames in memory."""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np

from parcorana.correlation import cpu
from parcorana.correlation.delays import check_delays, make_multitau_delays
from parcorana.detector.masks import load_integers
from parcorana.errors import ConfigError, nearest, shown
from parcorana.events.protocol import Share
from parcorana.export.write import asking_for_export, export_beside
from parcorana.files import limits
from parcorana.forks import forks
from parcorana.inprocess.arrays import ArraySource, checked_counters, checked_frames, checked_mask
from parcorana.inprocess.result import OpenedResult, open_result
from parcorana.job import memory
from parcorana.job.config import Config, resolve_config
from parcorana.job.division import Division, divide
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.pipeline import mpi
from parcorana.pipeline import run as pipeline
from parcorana.results.folder import forget, give_back
from parcorana.tools.instrument import stated_by
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2IncrementalAccumulator

log = logging.getLogger("parcorana")

KINDS: dict[str, type] = {
    "G2": G2IncrementalAccumulator,
    "multitau": MultiTauG2,
    "twotime": TwoTime,
    "photons": PhotonStatistics,
}
_DISORDER = 2  # events that the buffer holds where they come in order, and delays need none of them


def run(system_params: Mapping[str, Any], user_params: Mapping[str, Any] | None = None) -> OpenedResult:
    """Run a job in this process, as ``parCorAnaDriver`` does without mpiexec.

    Parameters
    ----------
    system_params, user_params : dict
        As in a config file. Without `h5output`, or with None, the result is in a file that goes when what is returned
        does.

    Returns
    -------
    OpenedResult

    Raises
    ------
    ConfigError
        Something of the parameters, or of the data, is wrong.
    RunError
        The run failed; what was published before is in the folder of the result.
    UserCodeError
        The user class raised what is its cause.
    """
    for name, params in (("system_params", system_params), ("user_params", {} if user_params is None else user_params)):
        if not isinstance(params, Mapping):
            raise ConfigError(f"{name} must be a dict, as in a config file, not {shown(params)}")
    system, keeps = dict(system_params), None
    if system.get("h5output") is None:
        keeps = _Folder()
        system["h5output"] = str(keeps.path / "result.h5")
    config = resolve_config(system, dict(user_params or {}))
    return open_result(_run(config, None), keeps=keeps)


def _run(config: Config, source: Any) -> str:
    """Run a job; return the name of its result."""
    if mpi.launched_size() > 1:
        raise ConfigError("a job of several ranks is run by parCorAnaDriver, not from Python: leave mpiexec out")
    path, _, warnings = cpu.agree([cpu.offer()])
    cpu.use(path)
    if forks():  # csrc/threads.h
        if (config.threads or 1) > 1:
            log.warning("threads: in a process that is forked there is 1; one that is spawned may have more")
        config = replace(config, threads=1)
    division = divide(config, [mpi.hostname()], [frozenset(os.sched_getaffinity(0))])
    if source is None:
        source = pipeline.open_share(config, division, division.roles.servers[0], log.warning)
    try:
        return _run_opened(config, division, source, warnings)
    except BaseException:  # the traceback, which a session keeps, has what holds the source
        source.close()
        raise


def _run_opened(config: Config, division: Division, source: Any, warnings: list[str]) -> str:
    instrument, doubtful, _ = stated_by(source, config)
    data = {} if config.dataset.is_live else pipeline.about_data(source)  # for who goes on with it
    config = replace(config, instrument=instrument, data=data)
    for text in filter(None, [pipeline.short_times(source, config), *warnings, *doubtful]):
        log.warning("%s", text)
    memory.check_memory(division, [limits.rooms(reading=getattr(source, "reading_bytes", 0))])
    name = os.path.abspath(
        pipeline.output_name(config, reads=pipeline.files_read(config, source))
    )  # user code may change the working directory
    try:
        errors = pipeline.run_roles(pipeline.make_roles(config, division, None, source, name))
    except BaseException:  # this session goes on, and may try again
        give_back()
        forget(name)
        raise
    if errors:
        raise errors[0]
    if (asking := asking_for_export(config)) is not None:
        export_beside(name, asking, log)
    return name


def correlate(
    frames: Any,
    delays: Sequence[int] | np.ndarray | None = None,
    *,
    mask: Any = None,
    color: Any = None,
    finecolor: Any = None,
    q: Mapping[int, float] | Sequence[float] | np.ndarray | None = None,
    kind: str | type | list[str | type] = "G2",
    counters: Any = None,
    times: int | None = None,
    rate: float = 1.0,
    threads: int | None = None,
    store_dtype: str = "float32",
    update: int = 0,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **user_params: Any,
) -> OpenedResult:
    """Correlate frames that are in memory, or in anything that gives them by slices.

    Parameters
    ----------
    frames : (T, ...) array of numbers, h5py Dataset, dask or zarr array
        One frame after the other; 2-D detectors and any others.
    delays : sequence of int [pulses], optional
        Increasing. Without it those of `make_multitau_delays` up to a quarter of the frames.
    mask : (...) array, or the name of a .npy file, optional
        0 for the elements to leave out; without it all are taken.
    color, finecolor : (...) int array, or the name of a .npy file, optional
        Which elements make a curve; 0 for none. Without it all make one.
    q : dict of int to float, or (C,) float, optional [1/angstrom]
        Of each colour, or of the colours in the order of their numbers.
    kind : {'G2', 'multitau', 'twotime', 'photons'} or a class, or a list of these
        What is calculated: docs/correlations.md. Of a list all at once; parameters of one are in a dict by the name of
        its class, as ``TwoTime={'ages': 128}``.
    counters : (T,) int, optional [pulses]
        When each frame was taken, increasing, with gaps where frames are missing; 0, 1, 2 ... without it.
    times : int, optional
        Frames that are kept at a time; without it as many as the delays need, of a class that forgets pairs all.
    rate : float
        Pulses per second, for the delays in seconds.
    threads : int, optional
        All cores without it.
    store_dtype : {'float32', 'float64'}
    update : int
        Publish after every so many events, so that the result shows how it came about; 0: at the end only.
    progress : bool
        Whether a terminal gets a progress bar.
    output : str or Path, optional
        Result file; without it the file goes when what is returned does.
    overwrite : bool
        Whether `output` may replace another result.
    **user_params
        Of the calculation: `normalization`, `fit`, `frame_norm`, `saturated_value`, `ages`, ... (docs/config.md).

    Returns
    -------
    OpenedResult

    Raises
    ------
    ConfigError
        Which argument is wrong, and what would be right.
    """
    frames = checked_frames(frames)
    total = int(frames.shape[0])
    pulses = checked_counters(counters, total)
    several = isinstance(kind, list | tuple)
    classes = [_class_of(each) for each in (kind if isinstance(kind, list | tuple) else [kind])]
    if not classes:
        raise ConfigError(f"kind: the list is empty; it must have some of {', '.join(KINDS)}, or classes")
    if not isinstance(output, str | os.PathLike | None):
        raise ConfigError(f"output: must be the name of a file, not {shown(output)}")
    if delays is None:
        delays = make_multitau_delays(max(int(pulses[-1] - pulses[0]) // 4, 1))
    delays = check_delays(delays)
    keeps = _Folder()
    user = {name: value for name, value in user_params.items() if value is not None}
    if not isinstance(mask, str | os.PathLike):
        mask = np.ones(frames.shape[1:], bool) if mask is None else checked_mask(mask)
    files = _as_files({"mask": mask, "color": color, "finecolor": finecolor}, keeps.path)
    if q is not None:
        files["color_table"] = _table_of(q, files.get("color"), keeps.path)
    system = {
        "dataset": "memory=frames",
        "mask": files.pop("mask"),
        "delays": delays,
        "times": max(_times(each, pulses, delays) for each in classes) if times is None else times,
        "update": update,
        "user_class": classes if several else classes[0],
        "h5output": str(keeps.path / "result.h5") if output is None else os.fspath(output),
        "overwrite": overwrite,
        "rate": rate,
        "threads": threads,
        "store_dtype": store_dtype,
        "verbosity": "INFO" if progress else "WARNING",
    }
    try:
        config = resolve_config(system, user | files)
    except ConfigError as error:  # nobody knows of these files
        raise ConfigError(re.sub(rf"'{re.escape(str(keeps.path))}/\w+\.npy'", "the array", str(error))) from None
    if config.mask.shape != frames.shape[1:]:
        raise ConfigError(f"mask: its shape is {config.mask.shape}, that of a frame {tuple(frames.shape[1:])}")
    source = ArraySource(frames, pulses, Share(block=config.block))
    return open_result(_run(config, source), keeps=keeps)


class _Folder:
    """A folder for files that go with this object, or with the process that has made it, by whatever way that ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="parcorana-"))
        Finalize(self, shutil.rmtree, (self.path,), {"ignore_errors": True}, exitpriority=0)  # not in its children


def _class_of(kind: Any) -> type:
    if isinstance(kind, type):
        return kind
    if not isinstance(kind, str) or kind not in KINDS:
        like = nearest(kind, KINDS) if isinstance(kind, str) else ""
        raise ConfigError(
            f"kind must be one of {', '.join(KINDS)}, a class, or a list of these, not {shown(kind)}{like}"
        )
    return KINDS[kind]


def _as_files(arrays: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the names of files for arrays, which a config wants; those that are names stay."""
    files = {}
    for name, array in arrays.items():
        if array is None:
            continue
        if isinstance(array, str | os.PathLike):
            files[name] = os.fspath(array)
            continue
        files[name] = str(folder / f"{name}.npy")
        given = np.asarray(array)
        np.save(files[name], given.astype(np.int8) if given.dtype.kind == "b" else given)
    return files


def _table_of(q: Any, color: str | None, folder: Path) -> str:
    """Write what the colours stand for as the table that a config wants; return its name."""
    if color is None:
        raise ConfigError("q: it says what colours stand for, and color is not given")
    colors = np.unique(load_integers("color", color))
    colors = colors[colors > 0].tolist()
    known = dict(q) if isinstance(q, Mapping) else dict(zip(colors, np.ravel(q).tolist(), strict=False))
    if set(known) != set(colors) or (not isinstance(q, Mapping) and len(np.ravel(q)) != len(colors)):
        raise ConfigError(f"q: there must be one number for each of the {len(colors)} colours, {colors[:5]} ...")
    try:
        lines = [f"{c},{float(known[c])!r}\n" for c in colors]
    except (TypeError, ValueError):
        raise ConfigError(f"q: it must be numbers, not {shown(q)}") from None
    path = folder / "colors.csv"
    path.write_text("color,q\n" + "".join(lines), encoding="utf-8")
    return str(path)


def _times(user_class: type, pulses: np.ndarray, delays: np.ndarray) -> int:
    """Return how many events the buffer has to hold: all, or where pairs are kept those within the longest delay."""
    if getattr(user_class, "in_order", False):
        return _DISORDER
    if getattr(user_class, "forgets", True):
        return max(len(pulses), _DISORDER)
    longest = max(int(delays[-1]), 1)
    within = np.arange(len(pulses)) - np.searchsorted(pulses, pulses - longest) + 1
    return max(int(within.max()), _DISORDER)
