"""Numbers of each frame, in datasets of the same HDF5 file."""

from itertools import islice

import h5py
import numpy as np

from parcorana.errors import ConfigError, nearest, one_line
from parcorana.events.hdf5.times import dtype_of
from parcorana.files.limits import available

_BYTES = 16  # for each number, while they are read
_LISTED = 10
_LOOKED_AT = 2000  # objects of a file, for the list of what there is


class Values:
    """The values of the frames of one file.

    Parameters
    ----------
    stack : parcorana.events.hdf5.stack.Stack
    values : dict of str to str
        Of each value the path of its dataset.
    grows : bool
        Whether the file is being written: there need not be as many numbers as frames now.

    Attributes
    ----------
    items : dict of str to h5py.Dataset

    Raises
    ------
    ConfigError
        There is no such dataset, or it has not one number per frame.
    """

    def __init__(self, stack, values, grows=False):
        self._grows = grows
        self._where = {name: f"values[{name!r}]: h5={stack.name}: {path}" for name, path in values.items()}
        self.items = {name: self._find(stack, name, path) for name, path in values.items()}

    def _find(self, stack, name, path):
        where, length = self._where[name], stack.item.shape[0]
        path = "/" + path.strip("/")
        try:
            item = stack.trust.check_path(stack.file, path, where)
            if item is None:
                raise ConfigError(f"{where}: there is no such dataset in the file{_offer(stack.file, path, length)}")
            if not isinstance(item, h5py.Dataset):
                raise ConfigError(f"{where} is a group, and must be a dataset{_offer(stack.file, path, length)}")
            if dtype_of(item).kind not in "iufb":
                raise ConfigError(f"{where} has dtype {dtype_of(item)}, and must be numbers")
            if item.shape != (length,) and not (self._grows and len(item.shape or ()) == 1):
                raise ConfigError(f"{where} has shape {item.shape}, and must have ({length},), a number for each frame")
            stack.check_storage(item, where)
        except ConfigError:
            raise
        except Exception as error:  # whatever h5py raises over a damaged file
            raise ConfigError(f"{where} cannot be read ({one_line(error)})") from error
        return item

    def read(self, first=0, last=None):
        """Return the values of some frames, of all if none are named: dict of str to (n,) float64."""
        return {name: self._read(item, self._where[name], first, last) for name, item in self.items.items()}

    @staticmethod
    def _read(item, where, first, last):
        number = (item.shape[0] if last is None else last) - first
        if number * _BYTES > available():
            raise ConfigError(f"{where}: {number:,} values are more than the memory holds")
        try:
            return item[first:last].astype(np.float64)
        except Exception as error:  # whatever h5py raises over a damaged file
            raise ConfigError(f"{where} cannot be read ({one_line(error)})") from error


def stretches(wanted, gap):
    """Return where wanted frames begin and end, those together that fewer than `gap` others part: list of (int, int).

    Parameters
    ----------
    wanted : (m,) bool
    gap : int
    """
    where = np.flatnonzero(wanted)
    cuts = np.flatnonzero(np.diff(where) > gap)
    begins, ends = np.append(where[:1], where[cuts + 1]), np.append(where[cuts], where[-1:])
    return list(zip(begins.tolist(), (ends + 1).tolist(), strict=True))


def _offer(file, wanted, length):
    """Return a list of the datasets that would do."""
    found, left = [], iter(range(_LOOKED_AT))

    def visit(path, item):
        if next(left, None) is None:
            return True  # enough
        if isinstance(item, h5py.Dataset) and item.shape == (length,) and dtype_of(item).kind in "iufb":
            found.append(path)
        return None

    file.visititems(visit)
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    listed = f"; a number for each frame have {', '.join(islice(found, _LISTED))}{more}" if found else ""
    return nearest(wanted.strip("/"), found) + listed
