"""Groups and numbers of a NeXus file, as facilities write them: found, with their units, or said to be none."""

import math
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import h5py
import numpy as np

from parcorana.detector.instrument import alike
from parcorana.errors import RunError, one_line, shown
from parcorana.events.hdf5.plain import dtype_of
from parcorana.events.hdf5.slab import Axis, shape_of
from parcorana.events.hdf5.trust import NotThere
from parcorana.events.hdf5.units import PURE, text_of, unit_of
from parcorana.events.hdf5.virtual import dataset_of

_LOOKED_AT = 200  # groups in another one
_NUMBERS = 1_000_000  # of one field, one for each frame


@dataclass(frozen=True)
class Kind:
    """What a number may be.

    Attributes
    ----------
    what : str
        What it is, for the user.
    units : dict of str to float
        As those of `parcorana.events.hdf5.units`.
    supposed : tuple of str
        Units that are tried where none are stated.
    least, most : float
        Limits, in that unit.
    """

    what: str
    units: dict
    supposed: tuple
    least: float
    most: float


class Nexus:
    """Finds what one file states of the instrument; notes what is wrong with it.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    path : str
        Of the frames in the file.
    name : str, optional
        Of the file, if it is another one than the user named.

    Attributes
    ----------
    instrument, detector : str or None
        Paths of the groups of the instrument, and of the detector whose the frames are.
    doubts : list of str
        What cannot be read, or cannot be.
    """

    def __init__(self, trust, path, name=None):
        self._trust, self._path, self._name = trust, path, name or trust.name
        self.doubts = []
        self.instrument = self._find_instrument()
        self.detector = self._find_detector()

    # -- groups ------------------------------------------------------------------

    def at(self, path):
        """Return file and object at a path, None for the object if there is none, or it cannot be read."""
        where = f"h5={self._name}: {path}"
        try:
            return self._trust.walk(self._name, self._trust.file(self._name)["/"], path, where)
        except RunError:
            raise
        except NotThere:  # as of what was not copied along
            self.doubts.append(f"{path.strip('/')}: a link to what is not there")
        except Exception as error:  # whatever h5py raises over a damaged file; a file that is not trusted
            self.doubts.append(f"{path.strip('/')}: {one_line(error).removeprefix(f'{where}: ')}")
        return self._name, None

    def groups(self, path, kind, names):
        """Return the paths of groups in a group that are of a kind by their NX_class, or by their names."""
        _, group = self.at(path)
        if not isinstance(group, h5py.Group):
            return []
        try:
            inside = [name for name in islice(group, _LOOKED_AT) if isinstance(name, str)]  # others are in no code
        except Exception:  # whatever h5py raises over a damaged file
            return []
        del group
        found = []
        for name in inside:
            likely = any(name.lower().startswith(each) for each in names)
            # links into other files are followed only where the name says what there is
            _, item = self.at(posixpath.join(path, name)) if likely or self._is_own(path, name) else (None, None)
            if isinstance(item, h5py.Group) and (_class_of(item) == kind or (likely and _class_of(item) is None)):
                found.append(posixpath.join(path, name))
        return found

    def _is_own(self, path, name):
        with suppress(Exception):
            return isinstance(self.at(path)[1].get(name, getlink=True), h5py.HardLink)
        return False

    def _above(self):
        """Return the groups that the frames are in, the innermost first."""
        groups = [posixpath.dirname(self._path)]
        while groups[-1] != "/":
            groups.append(posixpath.dirname(groups[-1]))
        return groups

    def _find_instrument(self):
        """Return the path of the group of the instrument; None if there is none."""
        for group in self._above():
            if group != "/" and (_class_of(self.at(group)[1]) == "NXinstrument" or _name(group) == "instrument"):
                return group
            if found := self.groups(group, "NXinstrument", ("instrument",)):
                return found[0]
        entries = self.groups("/", "NXentry", ("entry",))
        found = self.groups(entries[0], "NXinstrument", ("instrument",)) if len(entries) == 1 else []
        return found[0] if found else None

    def _find_detector(self):
        """Return the path of the group of the detector whose the frames are; None if that cannot be told."""
        for group in self._above():
            if group == self.instrument:
                break
            if _class_of(self.at(group)[1]) == "NXdetector":
                return group
        if self.instrument is None:
            return None
        found = self.groups(self.instrument, "NXdetector", ("detector",))
        if len(found) < 2:
            return found[0] if found else None
        frames = self.at(self._path)
        owners = [each for each in found if _same(self.at(f"{each}/data"), frames)]
        if len(owners) == 1:
            return owners[0]
        names = ", ".join(_name(each) for each in found)
        self.doubts.append(
            f"{self.instrument.strip('/')} has {len(found)} detectors ({names}), and which has the frames is not told"
        )
        return None

    # -- numbers -----------------------------------------------------------------

    def number(self, kind, path):
        """Return a number in the kind's own unit, and where it is; None if it is not there, or cannot be."""
        name, item = self.at(path)
        if not isinstance(item, h5py.Dataset):
            return None
        short = path.strip("/")
        try:
            values = self._values(name, item, path)
            units = None if kind.units is PURE else _units_of(item)
        except RunError:
            raise
        except Exception as error:  # whatever h5py raises over a damaged file
            self.doubts.append(f"{short}: {one_line(error).removeprefix(f'h5={self._name}: {path}: ')}")
            return None
        least, most = float(values.min()), float(values.max())
        if not math.isfinite(least + most):
            return self.doubt(short, f"{least:g}, which is no number")
        if least != most and not alike(least, most):
            return self.doubt(short, f"{values.size:,} values from {least:g} to {most:g}, and not one")
        note = ""
        if units is None:
            fits = [each for each in kind.supposed if kind.least <= least * kind.units[each] <= kind.most]
            unit = (fits or kind.supposed)[0]
            note = f", no units stated: taken for {unit}" if unit else ""
        else:
            unit = unit_of(units, kind.units)
        if unit is None:
            return self.doubt(short, f"in units of {shown(units)}, which are none of {kind.what}")
        value = least * kind.units[unit]
        if not kind.least <= value <= kind.most:
            return self.doubt(short, f"{least:g} {units or ''}".rstrip() + f", which is not {kind.what}")
        return value, short + note

    def _values(self, name, item, path):
        """Return the numbers of a dataset, (n,) float64, at least one."""
        shape = shape_of(item)
        if dtype_of(item).kind not in "iuf":
            raise ValueError(f"its dtype is {dtype_of(item)}, and must be a number")
        if shape is None or 0 in shape or math.prod(shape) > _NUMBERS:
            raise ValueError(f"its shape is {shape}, and must be that of one number")
        return self.array(name, item, path).astype(np.float64).reshape(-1)

    def array(self, name, item, path):
        """Return what a dataset holds, read as frames are: only where it is trusted, only what was written."""
        dataset = dataset_of(self._trust, name, item, path)
        if not dataset.shape:
            return np.asarray(item[()])
        dataset.guess(None)
        out = np.zeros(dataset.shape, dataset.dtype.newbyteorder("="))
        if not dataset.box([Axis.run(0, size) for size in dataset.shape], 0, out).all():
            raise ValueError("not all of it was ever written")
        return out

    def doubt(self, place, text):
        """Note what is stated at a place, and is not used."""
        self.doubts.append(f"{place} is {text}")

    def detector_number(self, kind, *names):
        """Return a number that the detector states by one name or several, and where; None if it does not."""
        if self.detector is None:
            return None
        found = [each for name in names if (each := self.number(kind, f"{self.detector}/{name}"))]
        for value, place in found[1:]:
            if not alike(value, found[0][0]):
                return self.doubt(place, f"{value:.6g}, and {found[0][1]} is {found[0][0]:.6g}")
        return found[0] if found else None


def _name(path):
    return posixpath.basename(path)


def _class_of(item):
    with suppress(Exception):
        return text_of(item, "NX_class") if isinstance(item, h5py.Group) else None
    return None


def _units_of(item):
    """Return the units that a dataset states, None if it does not."""
    for name in ("units", "unit"):
        if text := text_of(item, name):
            return text
    return None


def _same(one, other):
    """Tell whether two pairs of a file and an object are the same."""
    with suppress(Exception):
        return one[1] is not None and one == other
    return False
