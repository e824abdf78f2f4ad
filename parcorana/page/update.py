"""One update of a run, read: all that its page shows."""

import os
from dataclasses import dataclass, field

import numpy as np

from parcorana.curves.monitor import Distribution
from parcorana.detector.images import segments_apart
from parcorana.errors import ConfigError
from parcorana.files.paths import kind_of
from parcorana.files.plain import plain_file
from parcorana.files.sealed import is_damaged
from parcorana.results.facts import ACCOUNT
from parcorana.results.kinds import CURVES, PHOTONS, TWO_TIME, kinds_in
from parcorana.results.means import mean_of_elements, means_of_colors
from parcorana.results.photons import Photons, read_photons
from parcorana.results.reading import Result, group_of, params_of, read_result
from parcorana.results.runlog import lines_of
from parcorana.results.twotime import TwoTimeResult, read_two_time
from parcorana.results.values import read_values

_SIDE = 360  # pixels of an image at most: what a page shows, and twenty viewers can be sent
_SEALED = 64 << 20  # bytes of an update that is read once more for its checksum
_AGES = 256  # bins of age of a map, along each side


_FACTS = {  # attributes of /system
    "complete": bool, "ended_by": str, "mode": str, "version": str, "updates_merged": int, "events_in_data": int,
    "updates_left_out": lambda numbers: [*map(int, numbers)], "resumed_at": lambda numbers: [*map(int, numbers)],
}  # fmt: skip


@dataclass
class Part:
    """What one class has at an update.

    Attributes
    ----------
    result : Result or None
        Delay curves.
    two_time : TwoTimeResult or None
    photons : Photons or None
    aged : bool
        Whether it has curves of what came since the update before.
    images : dict of str to (H, W) array
        'mean' (float64, NaN outside), 'color' (int64, -1 outside the detector, 0 in none).
    mean_is : str
        What 'mean' is.
    every : int
        Pixels along each side of the detector's image that one pixel here stands for.
    """

    result: Result | None = None
    two_time: TwoTimeResult | None = None
    photons: Photons | None = None
    aged: bool = False
    images: dict = field(default_factory=dict)
    mean_is: str = ""
    every: int = 1


@dataclass
class Update:
    """One update.

    Attributes
    ----------
    processed : int
    written : float [s]
        When, since 1970.
    account : dict of str to int
        Of the whole run in a file that has ended, else until then.
    facts : dict
        Some attributes of /system, and 'dataset', 'numevents', 'ranks' by role, 'elements', 'frame_norm'.
    values : dict of str to Distribution
    ranges : dict of str to (low, high)
    rate : float or None [Hz]
        Of the values.
    parts : dict of str to Part
        By the name of the class, "" of a single one.
    """

    processed: int
    written: float
    account: dict
    facts: dict
    values: dict[str, Distribution]
    ranges: dict
    rate: float | None
    parts: dict[str, Part]
    made: dict = field(default_factory=dict, repr=False)  # what is drawn of it, made once for all viewers

    def once(self, name, make, *args):
        """Return what `make` makes of it, made only the first time."""
        if name not in self.made:
            self.made[name] = make(*args)
        return self.made[name]


def numbers_in(path):
    """Return the numbers of events of the updates in a result file, increasing.

    Raises
    ------
    ConfigError
        It is no result.
    """
    with plain_file(path) as file:
        return _numbers(file)


def log_in(path):
    """Return (time, level, text) of the lines of the log that a result keeps."""
    with plain_file(path, own=True) as file:
        log = file["system"].get("log")
        return lines_of(log.asstr(errors="replace")[()]) if log is not None else []


def _numbers(file):
    found = {number for kinds in kinds_in(file, "the result").values() for each in kinds.values() for number in each}
    return sorted(found) or [_account(file["system"])["processed"]]


def _account(system):
    return {key: int(system["accounting"].attrs.get(key, 0)) for key in ACCOUNT}


def read_update(path, label, at, layout=None, own=False):
    """Read one update.

    Parameters
    ----------
    path : path
        Of its file, or of a result.
    label : str
    at : int
        Events processed.
    layout : Layout, optional
        Of the detector; segments side by side without it.
    own : bool
        Whether the file has been tried before.

    Raises
    ------
    ConfigError
        It is damaged, or no result.
    """
    _check_seal(path)
    with plain_file(path, own) as file:
        system, there = file["system"], kinds_in(file, label)
        params = params_of(system, label)
        parts, frame_norm = {}, {}
        for of, kinds in (there or {None: {}}).items():
            part = parts[of or ""] = _part(
                file, {kind: each[at] for kind, each in kinds.items() if at in each}, label, at, of
            )
            if (result := part.result) is not None and result.frame_norm:
                frame_norm[result.frame_norm] = None
        mask = system["mask"][:] != 0
        color = system["color"][:] if "color" in system else mask.astype(np.int64)
        for of, part in parts.items():
            _add_images(part, mask, color, layout, there.get(of or None, {}).get(CURVES, {}).get(at))
        values, ranges, rate = {}, {}, None
        if len(system.get("values", ())):
            values, ranges, rate = read_values(file, label)
        facts = {name: kind(system.attrs[name]) for name, kind in _FACTS.items() if name in system.attrs}
        facts["dataset"], facts["numevents"] = str(params.get("dataset", "")), params.get("numevents") or 0
        facts["elements"], facts["frame_norm"] = int(mask.sum()), list(frame_norm)
        facts["ranks"] = _ranks(system)
        written = os.stat(path).st_mtime
        return Update(at, written, _account(system), facts, values, ranges, rate, parts)


def _check_seal(path):
    try:
        # somebody may have put a pipe there: to open that would wait for whoever writes to it
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if kind := kind_of(found.st_mode):
                raise ConfigError(f"the file {str(path)!r} {kind}")
            if found.st_size <= _SEALED and is_damaged(file.fileno()):
                raise ConfigError(f"{str(path)!r} is damaged: its checksum is not that of its bytes")
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}") from None


def _ranks(system):
    if "ranks" not in system or system["ranks"].dtype.names is None:
        return {}
    roles = [role.decode(errors="replace") for role in system["ranks"]["role"]]
    return {role: roles.count(role) for role in dict.fromkeys(roles)}


def _part(file, groups, label, at, of):
    """Return what a class has, of the groups of an update by kind."""
    found, user = Part(), group_of(file, label, of)
    if CURVES in groups:
        found.aged = "aged" in groups[CURVES]
        found.result = read_result(file, label, at, of)
        found.result.of = of
    if TWO_TIME in groups:
        found.two_time = _smaller(read_two_time(user, label, at))
    if PHOTONS in groups:
        found.photons = read_photons(user, label, at)
    return found


def _smaller(two_time):
    """Take together bins of age, where a map has more than a page shows."""
    k = -(-len(two_time.ages) // _AGES)
    if k > 1:
        two_time.maps = {color: mean_of_blocks(matrix, k) for color, matrix in two_time.maps.items()}
        two_time.g2 = {}
        two_time.ages, two_time.width = two_time.ages[::k], two_time.width * k
    return two_time


def mean_of_blocks(image, k):
    """Return the mean of each k x k pixels, of those that are no NaN."""
    if k == 1:
        return image
    rows, columns = (np.arange(0, n, k) for n in image.shape)

    def summed(array):
        return np.add.reduceat(np.add.reduceat(array, rows, axis=0), columns, axis=1)

    good = np.isfinite(image)
    count = summed(good.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return summed(np.where(good, image, 0.0)) / np.where(count > 0, count, np.nan)


def _add_images(part, mask, color, layout, group):
    """Add mean image and colours, laid out and as small as a page needs."""
    layout = segments_apart(mask.shape) if layout is None or layout.iX.shape != mask.shape else layout
    part.every = k = max(1, -(-max(layout.shape) // _SIDE))
    inside = layout.covered()
    colors = np.where(inside, layout.image(np.where(mask, color, 0).astype(np.int64)), -1)
    part.images["color"] = colors[::k, ::k]
    mean, part.mean_is = _mean(part.result, mask, color, group)
    if mean is not None:
        image = np.where(inside, layout.image(np.where(mask, mean, np.nan)), np.nan)
        part.images["mean"] = mean_of_blocks(image, k)


def _mean(result, mask, color, group):
    """Return the mean intensity of each element, else of each colour, and which it is."""
    if result is None:
        return None, ""
    if (mean := mean_of_elements(result, group)) is not None:
        return mean, "mean over the events, of each element"
    if not result.intensity:
        return None, ""
    mean = np.full(mask.shape, np.nan)
    for number, value in means_of_colors(result).items():
        mean[mask & (color == number)] = value
    return mean, "mean of each colour: this update has no full arrays (save_arrays)"
