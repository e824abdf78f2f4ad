"""The file into which the updates of a run go, one after the other: at its end, or as it goes on."""

import errno
import shutil
from contextlib import contextmanager

import h5py
import numpy as np

from parcorana.curves import curvefile
from parcorana.errors import ConfigError, one_line
from parcorana.files.aside import Aside, hdf5, spare_memory
from parcorana.files.plain import check_plain, fault_of_any
from parcorana.files.sealed import is_damaged, taken
from parcorana.results.facts import write_facts, write_log
from parcorana.results.folder import version_of

_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what the process, not the file, is short of


class _Damaged(Exception):
    """An update is not what was published; the text says why."""


class Joined:
    """A file that is made aside, and is nothing until it gets its name.

    Between two calls it is closed: a process that user code forks has no part in it.

    Parameters
    ----------
    path : path
        In the folder where it is made; what it is called after.
    own : bool
        Whether all updates are of this run.

    Attributes
    ----------
    left_out : dict of pathlib.Path to str
        Updates that are damaged, and why.

    Raises
    ------
    OSError
        It cannot be written.
    """

    def __init__(self, path, own):
        self._aside, self._own = Aside(path), own
        self._taken = []
        self.left_out = {}

    def begins(self, updates):
        """Return how many of these updates are in it, if it holds nothing else; None if it does."""
        there = [(path, version_of(path)) for path in updates[: len(self._taken)]]
        return len(there) if there == self._taken else None

    def take(self, updates):
        """Add updates, the oldest first; of what two of them have the later one's holds.

        Raises
        ------
        ConfigError
            One of them is none that this program would have written.
        """
        faults = {} if self._own else fault_of_any(updates)
        with self._opened() as joined:
            user = joined.require_group("user")
            for path in updates:
                try:
                    if path in faults:
                        raise _Damaged(faults[path])
                    with _opened(path, self._own) as update:
                        merge(update["user"], user)
                except _Damaged as damaged:
                    self.left_out[path] = str(damaged)
                self._taken.append((path, version_of(path)))

    def complete(self, described, facts, log_text=""):
        """Describe it, and write what only the last update has.

        Parameters
        ----------
        described : list of path
            The first of these that is whole says what the file is.
        facts : dict or None
            As `write_facts` takes them; None of a run that was killed.
        log_text : str
            The log of the run.

        Returns
        -------
        list of str
            What the log should say of the last update.
        """
        with self._opened() as joined, self._refused():
            self._describe(joined, described)
            said = curvefile.complete(joined["user"])
            if self.left_out:
                numbers = sorted(int(path.stem[7:]) for path in self.left_out)
                joined["system"].attrs["updates_left_out"] = np.array(numbers, np.int64)
            if facts is None:
                joined["system"].attrs["ended_by"] = "killed"
            else:
                write_facts(joined["system"], facts)
            if log_text:
                write_log(joined["system"], log_text)
        return said

    def _describe(self, joined, described):
        for path in described:
            if path in self.left_out:
                continue
            try:
                with _opened(path, self._own) as file:
                    file.copy("system", joined)
                    return
            except _Damaged as damaged:
                why = str(damaged)
        path, why = next(iter(self.left_out.items()), (described[0], ""))
        raise ConfigError(f"{str(path)!r} {why or self.left_out[path]}, and no other update is whole")

    @contextmanager
    def _refused(self):
        """Raise ConfigError for whatever h5py raises over what others have put into the updates."""
        try:
            yield
        except (ConfigError, OSError, MemoryError):
            raise
        except Exception as error:
            if self._own:
                raise
            raise ConfigError(f"the updates are not those of a result: {one_line(error) or repr(error)}") from error

    @contextmanager
    def _opened(self):
        mode = "r+" if self._aside.size() else "w"
        with self._aside.opened() as disk, hdf5(disk, mode) as file:
            yield file

    def become(self, name):
        """Give the file its name."""
        self._aside.become(name)

    def discard(self):
        """Remove what has no name yet."""
        self._aside.discard()


def copy_content(path, disk):
    """Copy a file of this run into a new one."""
    with taken(path, path.parent) as (file, _), open(file, "rb", closefd=False) as source:
        shutil.copyfileobj(source, disk)


@contextmanager
def _opened(path, own):
    try:
        with taken(path, path.parent) as (number, place):
            if is_damaged(number):
                raise _Damaged("is damaged: its checksum is wrong")
            try:
                file = h5py.File(place, "r")
            except Exception as error:  # whatever h5py raises over a file that was cut off
                if isinstance(error, MemoryError) or getattr(error, "errno", None) in _SHORT:
                    raise  # nothing is wrong with the file
                raise _Damaged(f"is damaged: {one_line(error) or repr(error)}") from error
            with file:
                spare_memory(file)
                if not own:
                    check_plain(file, path)
                yield file
    except (_Damaged, MemoryError):
        raise
    except Exception as error:  # as above
        if getattr(error, "errno", None) in _SHORT:
            raise
        why = getattr(error, "strerror", None) or f"is not a readable result file: {one_line(error) or repr(error)}"
        text = str(error) if isinstance(error, ConfigError) else f"{str(path)!r} {why}"
        raise ConfigError(f"{text}; move it away, and the others can be joined") from error


def merge(source, target):
    """Copy all below one group into another, links as they are; of what both have the source's holds."""
    target.attrs.update(source.attrs)
    for name in source.id:
        if source.id.links.get_info(name).type == h5py.h5l.TYPE_SOFT:
            if name in target.id:
                target.id.unlink(name)
            target.id.links.create_soft(name, source.id.links.get_val(name))
            continue
        if name in target.id and target.id.links.get_info(name).type == h5py.h5l.TYPE_HARD:
            one, other = source[name], target[name]
            if isinstance(one, h5py.Group) and isinstance(other, h5py.Group):
                merge(one, other)
                continue
            if _are_same(one, other):  # as what initViewer wrote: in every update
                continue
        if name in target.id:
            target.id.unlink(name)
        h5py.h5o.copy(source.id, name, target.id, name)


def _are_same(one, other):
    """Tell whether two items are datasets with the same values and attributes."""
    if not (isinstance(one, h5py.Dataset) and isinstance(other, h5py.Dataset)):
        return False
    about = [
        [each.id.get_type(), each.shape, each.attrs.keys(), _bits(each[()])]
        + [(attribute.dtype, _bits(attribute)) for attribute in map(np.asarray, each.attrs.values())]
        for each in (one, other)
    ]
    return about[0] == about[1]


def _bits(value):
    """Return what is alike where all of a value is, NaN too."""
    array = np.asarray(value)
    return array.tolist() if array.dtype.hasobject else array.tobytes()
