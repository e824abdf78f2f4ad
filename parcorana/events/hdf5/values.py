"""Numbers of each frame, in datasets of the same HDF5 file."""

from itertools import islice

import h5py
import numpy as np

from parcorana.errors import ConfigError, nearest
from parcorana.events.hdf5.bursts import Flat
from parcorana.events.hdf5.files import objects_of, told
from parcorana.events.hdf5.missing import ranges
from parcorana.events.hdf5.plain import dtype_of
from parcorana.events.hdf5.slab import Axis, runs_of
from parcorana.events.hdf5.virtual import dataset_of
from parcorana.files.limits import available

_BYTES = 24  # for each number, while they are read
_LISTED = 10


class Values:
    """The values of the frames of one file.

    A value that was never written is NaN.

    Parameters
    ----------
    stack : parcorana.events.hdf5.stack.Stack
    values : dict of str to str
        Of each value the path of its dataset, in the file that the user named;
        a link may lead elsewhere, as for frames. While the file is written there
        need not be as many numbers as frames.

    Attributes
    ----------
    datasets : dict of str to (Plain or Mapped)

    Raises
    ------
    ConfigError
        There is no such dataset, or it has not one number per frame.
    """

    def __init__(self, stack, values):
        self._trust, self._length, self._burst = stack.trust, stack.frames.shape[0], stack.times.burst
        self._where = {name: f"values[{name!r}]: h5={stack.name}: {path}" for name, path in values.items()}
        self.datasets = {name: self._find(name, "/" + path.strip("/")) for name, path in values.items()}

    def _find(self, name, path):
        where, length, trust = self._where[name], self._length, self._trust
        with told(where):
            file = trust.file(trust.name)
            holder, item = trust.walk(trust.name, file["/"], path, where)
            if item is None:
                raise ConfigError(f"{where}: there is no such dataset in the file{offer(file, path, length)}")
            if not isinstance(item, h5py.Dataset):
                raise ConfigError(f"{where} is a group, and must be a dataset{offer(file, path, length)}")
            if dtype_of(item).kind not in ("iuf" if item.is_virtual else "iufb"):
                raise ConfigError(f"{where} has dtype {dtype_of(item)}, and must be numbers")
            dataset = self._shaped(holder, item, where)
        # of numbers 0 is one as any other: what tells how far they were written are their chunks, frames and times
        dataset.guess(None)
        return dataset

    def _shaped(self, holder, item, where):
        """Return the dataset, as one number per frame: of bursts each event may have one, or each of its frames."""
        length, burst, grows, shape = self._length, self._burst or 1, self._trust.files.swmr, item.shape or ()
        of_event = burst > 1 and len(shape) == 1 and (grows or shape == (length // burst,))
        of_burst = burst > 1 and shape[1:] == (burst,) and (grows or shape[0] == length // burst)
        if not (of_event or of_burst or shape == (length,) or (grows and len(shape) == 1)):
            events = f" or ({length // burst},)" if burst > 1 else ""
            raise ConfigError(
                f"{where} has shape {item.shape}, and must have ({length},){events}, a number for each frame"
            )
        dataset = dataset_of(self._trust, holder, item, where)
        return Flat(holder, dataset, burst, of_event=of_event) if of_event or of_burst else dataset

    def written(self, first, last):
        """Return of which frames, (n,) bool, all values are there."""
        there = np.ones(last - first, bool)
        for dataset in self.datasets.values():
            there &= dataset.written([Axis.run(first, last - first)])
        return there

    def read(self, first=0, last=None):
        """Return the values of some frames, of all if none are named: dict of str to (n,) float64."""
        last = self._length if last is None else last
        return {name: self._read(name, first, last)[0] for name in self.datasets}

    def read_all(self, last, say):
        """Return the values of all frames, as `read`; say which of the first `last` were never written."""
        columns = {}
        for name, dataset in self.datasets.items():
            columns[name], there = self._read(name, 0, self._length)
            missing = runs_of(~there[:last])
            if missing:
                why = dataset.why([Axis.run(missing[0][0], 1)])
                say(f"{self._where[name]}: no number, so NaN, for frames {ranges(missing)} ({why})")
        return columns

    def _read(self, name, first, last):
        dataset, where = self.datasets[name], self._where[name]
        found = np.full(last - first, np.nan)
        if first == last:
            return found, np.ones(0, bool)
        if (last - first) * _BYTES > available():
            raise ConfigError(f"{where}: {last - first:,} values are more than the memory holds")
        numbers = np.zeros(last - first, dataset.dtype.newbyteorder("="))
        with told(where):
            there = dataset.box([Axis.run(first, last - first)], 0, numbers)
        with np.errstate(over="ignore", invalid="ignore"):
            found[there] = numbers[there]
        return found, there


def offer(file, wanted, length):
    """Return, as the end of an error, which datasets of a file have a number for each of `length` frames."""
    found = [
        path
        for path, item in objects_of(file)[0]
        if isinstance(item, h5py.Dataset) and item.shape == (length,) and dtype_of(item).kind in "iufb"
    ]
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    listed = f"; a number for each frame have {', '.join(islice(found, _LISTED))}{more}" if found else ""
    return nearest(wanted.strip("/"), found) + listed
