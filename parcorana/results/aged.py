"""Aged curves in a result file: those of all its updates."""

from dataclasses import dataclass, field

import numpy as np

from parcorana.curves.curvefile import read_rows
from parcorana.detector.colortable import ColorTable
from parcorana.errors import ConfigError
from parcorana.files.plain import plain_file
from parcorana.results.reading import classes_in, find_files, read_table, updates_in

_NONE = (
    "no update has aged curves: they need `update`, a class that keeps all pairs (G2IncrementalAccumulator, "
    "MultiTauG2) and the normalization 'color' or 'finecolor'; each curve of a class with a window is of its last "
    "events alone (--at), and TwoTime has its own g2_age"
)


@dataclass
class Stretch:
    """What came between two updates.

    Attributes
    ----------
    processed, since : int
        Events, at the update and at the one before.
    first, last : int [pulses]
        Smallest and largest counter.
    counts : (D,) int64
        Pairs of each delay whose later event came in between.
    curves, elements : dict of int to (D,) array
        g2 and how many elements counted, by colour.
    """

    processed: int
    since: int
    first: int
    last: int
    counts: np.ndarray
    curves: dict
    elements: dict

    @property
    def middle(self):
        """Its age [pulses]."""
        return (self.first + self.last) / 2


@dataclass
class AgedCurves:
    """The aged curves of a run.

    Attributes
    ----------
    label : str
    normalization, frame_norm : str
        Of the curves, and what they were divided by the g2 of; empty where that was nothing.
    delays : (D,) int64 [pulses]
    rate : float
        Pulses per second.
    stretches : list of Stretch
        Oldest first.
    table : ColorTable or None
        What the colours stand for.
    """

    label: str
    normalization: str
    frame_norm: str
    delays: np.ndarray
    rate: float
    stretches: list = field(default_factory=list)
    table: ColorTable | None = None

    @property
    def colors(self):
        """The colours that there are."""
        return sorted({c for stretch in self.stretches for c in stretch.curves})


def read_aged(name, of=None):
    """Read the aged curves of a result, or of a run in progress.

    Parameters
    ----------
    name : str
        What a user named: a file, a folder in progress or the run's name.
    of : str, optional
        Name of the class, where several have aged curves.

    Raises
    ------
    ConfigError
        There are none, several classes have some, or arrays do not belong together.
    """
    found = None
    for path in find_files(name):
        with plain_file(path) as file:
            of = _class_of(file, name, of)
            found = add_stretches(found, file, name, of)
    if found is None:
        raise ConfigError(f"{name}: {_NONE}")
    return found


def add_stretches(found, file, name, of=None, only=None):
    """Add the stretches of an open file to aged curves; return these.

    Parameters
    ----------
    found : AgedCurves or None
        None: those of other files were none so far.
    file : h5py.File
    name : str
        Names the file in errors.
    of : str, optional
        Name of the class.
    only : collection of int, optional
        The updates to take.
    """
    for processed, group in updates_in(file, name, of).items():
        if "aged" in group and (only is None or processed in only):
            found = found or _begin(file, name, group)
            found.stretches.append(_stretch(group["aged"], processed, found, name))
    return found


def _class_of(file, name, of):
    """Return the class to read, the only one that has aged curves if none is named."""
    there = classes_in(file)
    if of is not None or len(there) < 2:
        return of
    aged = [each for each in there if any("aged" in group for group in updates_in(file, name, each).values())]
    if len(aged) > 1:
        raise ConfigError(f"{name}: several classes have aged curves: say which by --class: {', '.join(aged)}")
    return (aged or there)[0]


def _begin(file, name, group):
    system, aged = file["system"], group["aged"].attrs
    table = read_table(system, name)
    normalization, frame_norm = str(aged.get("normalization", "not named")), str(aged.get("frame_norm", ""))
    rate = float(group["delays"].attrs["rate"])
    return AgedCurves(name, normalization, frame_norm, group["delays"][:], rate, table=table)


def _stretch(group, processed, found, name):
    """Read one update's; refuse arrays that do not belong together."""
    curves, elements = (read_rows(group, table) for table in ("delay_curves", "elements"))
    counts, (first, last) = group["delay_counts"][:], (group[end][()] for end in ("first", "last"))
    shape, arrays = found.delays.shape, (counts, *curves.values(), *elements.values())
    ends = np.array([first, last, group.attrs["since"]])
    wrong = ends.shape != (3,) or ends.dtype.kind not in "iu" or curves.keys() != elements.keys()
    if wrong or len(shape) != 1 or any(each.shape != shape or each.dtype.kind not in "iuf" for each in arrays):
        raise ConfigError(f"{name}: {group.name} lacks a part, or its arrays do not belong together")
    return Stretch(processed, int(ends[2]), int(first), int(last), counts, curves, elements)
