"""What several results must have in common for their sums to be added; what differs is refused, unless told."""

from dataclasses import dataclass

import numpy as np

from parcorana.curves.sums import NORMALIZATIONS
from parcorana.detector import colortable, masks
from parcorana.detector.colortable import ColorTable
from parcorana.errors import ConfigError, shown

# Of `user_params`: what has no part in the sums, or is asked for here.
_FREE = (
    "color",
    "finecolor",
    "color_table",
    "normalization",
    "save_arrays",
    "plot_colors",
    "picture",
    "export",
    "fit",
    "errors",
    "frame_norm",
)
_SAME = ("user_class", "type", "photons")  # of `system_params`
_BETTER_SAME = ("src", "psana_config", "times_src", "values", "select", "times")  # of these a difference is said


@dataclass(frozen=True)
class Asked:
    """What is to be in the place of what the files have; None: as they have it.

    Attributes
    ----------
    mask, color, finecolor : str or None
        Names of .npy files.
    normalization : str or None
    common_mask, common_delays : bool
        Whether to take those elements, or delays, that all files have.
    uncorrected : bool
        Whether curves without `frame_norm` will do.
    """

    mask: str | None = None
    color: str | None = None
    finecolor: str | None = None
    normalization: str | None = None
    common_mask: bool = False
    common_delays: bool = False
    uncorrected: bool = False


@dataclass(frozen=True)
class Common:
    """What the curves of several results are made with.

    Attributes
    ----------
    mask : bool array of the detector's shape
    saturated : bool array of that shape
        In any of the results.
    color, finecolor : int64 array of that shape, or None
        None: no such file.
    normalization : str
    delays, counts : (D,) int64
        In pulses; pairs in all results.
    rate : float
        Pulses per second.
    table : ColorTable or None
    as_they_were : bool
        Whether the curves in the files are of the same elements and colours, with the same normalization.
    same_elements : bool
        Whether the intensities in the files are of the same elements and colours.
    """

    mask: np.ndarray
    saturated: np.ndarray
    color: np.ndarray | None
    finecolor: np.ndarray | None
    normalization: str
    delays: np.ndarray
    counts: np.ndarray
    rate: float
    table: ColorTable | None
    as_they_were: bool
    same_elements: bool


def common_of(runs, asked, warn):
    """Return what several results have in common.

    Parameters
    ----------
    runs : list of Run
    asked : Asked
    warn : callable
        Takes a line of what may be wrong, and is not refused.

    Returns
    -------
    Common

    Raises
    ------
    ConfigError
        They differ in what they must have in common, or a file that is asked for is wrong.
    """
    first = runs[0]
    rate = _same(runs, "the pulses per second of their delays", lambda run: run.result.rate)
    shape = _same(runs, "the shape of the detector", lambda run: run.result.mask.shape)
    _same(runs, "/system@mode", lambda run: str(run.system.attrs.get("mode", "main")))
    for key in _SAME:
        _same(runs, key, lambda run, key=key: run.system_params.get(key))
    for key in dict.fromkeys(key for run in runs for key in run.user_params if key not in _FREE):
        _same(runs, f"user_params[{key!r}]", lambda run, key=key: run.user_params.get(key))
    for key in _BETTER_SAME:
        if other := next((r for r in runs if r.system_params.get(key) != first.system_params.get(key)), None):
            values = (shown(run.system_params.get(key), 80) for run in (first, other))
            warn(
                f"{first.label} and {other.label} differ in {key}: {' and '.join(values)}; they are added all the same"
            )
    _check_frame_norm(runs, asked)
    normalization = _normalization(runs, asked)
    delays, counts = _delays(runs, asked)
    mask = _mask(runs, asked, shape)
    color, finecolor = _colors(runs, asked, mask, normalization)
    same_elements = not asked.color and all(np.array_equal(mask, run.result.mask != 0) for run in runs)
    as_they_were = same_elements and not (asked.finecolor or asked.uncorrected)
    as_they_were &= all(run.result.normalization == normalization for run in runs)
    table = first.result.table
    if asked.color:
        table = colortable.find_table(asked.color, log=warn)
        if text := masks.few_colored(color[mask]):
            warn(text)
        number, sizes = np.unique(color[mask & (color > 0)], return_counts=True)
        if table is not None and (doubt := colortable.doubts(table, number, sizes)):
            warn(f"--color: is {colortable.beside(asked.color)!r} the table of this colour file? {doubt}")
    return Common(
        mask=mask,
        saturated=np.any([run.result.saturated != 0 for run in runs], axis=0) & mask,
        color=color,
        finecolor=finecolor,
        normalization=normalization,
        delays=delays,
        counts=counts,
        rate=rate,
        table=table,
        as_they_were=as_they_were,
        same_elements=same_elements,
    )


def _same(runs, what, of, remedy=""):
    """Return what all have alike."""
    value = of(runs[0])
    for run in runs[1:]:
        if of(run) != value:
            one, other = shown(value, 80), shown(of(run), 80)
            raise ConfigError(f"{runs[0].label} and {run.label} differ in {what}: {one} and {other}{remedy}")
    return value


def _check_frame_norm(runs, asked):
    for run in runs:
        if (value := run.user_params.get("frame_norm")) and not asked.uncorrected:
            raise ConfigError(
                f"{run.label}: its curves are corrected by frame_norm={shown(value)}, whose sums are not in the file: "
                "say --uncorrected for curves without that"
            )


def _normalization(runs, asked):
    if asked.normalization is not None:
        value = asked.normalization
    else:
        value = _same(runs, "normalization", lambda run: run.result.normalization, "; choose one by --normalization")
    if value not in NORMALIZATIONS:
        raise ConfigError(f"{runs[0].label}: its normalization {shown(value)} is none of {', '.join(NORMALIZATIONS)}")
    if asked.finecolor and value != "finecolor":
        raise ConfigError(
            f"--finecolor: the normalization {value!r} makes no use of fine colours; say --normalization finecolor, too"
        )
    return value


def _delays(runs, asked):
    """Return the delays that are kept, and their pairs."""
    remedy = "; --common-delays keeps those that all have"
    delays = runs[0].result.delays.tolist()
    if asked.common_delays:
        delays = sorted(set(delays).intersection(*(run.result.delays.tolist() for run in runs[1:])))
        if not delays:
            raise ConfigError("--common-delays: there is no delay that all files have")
    else:
        _same(runs, "delays", lambda run: run.result.delays.tolist(), remedy)
    counts = np.sum([run.counts_at(delays) for run in runs], axis=0)
    return np.array(delays, np.int64), counts


def _mask(runs, asked, shape):
    first = runs[0]
    own = [run.result.mask != 0 for run in runs]
    if asked.mask:
        mask = masks.load_mask(asked.mask, "--mask")
        masks.check_shape("--mask", asked.mask, mask.shape, shape, f"the detector in {first.label}")
        for run, theirs in zip(runs, own, strict=True):
            if missing := np.count_nonzero(mask & ~theirs):
                raise ConfigError(
                    f"--mask: {asked.mask!r} has {missing:,} elements that {run.label} did not process: a mask can "
                    "only become smaller"
                )
        return mask
    if asked.common_mask:
        mask = np.all(own, axis=0)
        if not mask.any():
            raise ConfigError("--common-mask: there is no element that all files processed")
        return mask
    for run, theirs in zip(runs, own, strict=True):
        if differ := np.count_nonzero(theirs != own[0]):
            raise ConfigError(
                f"{first.label} and {run.label} differ in their mask, at {differ:,} elements "
                f"({np.count_nonzero(own[0]):,} and {np.count_nonzero(theirs):,} were processed): --common-mask takes "
                "what all processed, --mask FILE a part of that"
            )
    return own[0]


def _colors(runs, asked, mask, normalization):
    """Return colours and fine colours; None where there are none."""
    color = masks.load_color(asked.color, mask, "--color") if asked.color else _same_colors(runs, "color", mask)
    if normalization != "finecolor":  # they are kept for another one, later
        try:
            return color, _same_colors(runs, "finecolor", mask)
        except ConfigError:
            return color, None
    if asked.finecolor:
        finecolor = masks.load_color(asked.finecolor, mask, "--finecolor")
    else:
        finecolor = _same_colors(runs, "finecolor", mask)
    if finecolor is None:
        raise ConfigError(
            f"normalization 'finecolor': {runs[0].label} has no fine colours; name their file by --finecolor"
        )
    of_all = np.ones(mask.shape, np.int64) if color is None else color
    masks.check_finecolor(asked.finecolor or runs[0].label, of_all, finecolor)
    return color, finecolor


def _same_colors(runs, name, mask):
    color, first = runs[0].colors(name), runs[0]
    for run in runs[1:]:
        theirs = run.colors(name)
        if (color is None) != (theirs is None):
            none, some = (first, run) if color is None else (run, first)
            raise ConfigError(f"{some.label} has a {name} file, {none.label} none: name the one to use by --{name}")
        if color is not None and (differ := np.count_nonzero(color[mask] != theirs[mask])):
            raise ConfigError(
                f"{first.label} and {run.label} differ in their {name} file, at {differ:,} elements: name the one to "
                f"use by --{name}"
            )
    return color
