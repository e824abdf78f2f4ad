"""Files of results and maps are opened here: what is in them is their own, and fits into the memory."""

from contextlib import contextmanager, suppress

import h5py
import numpy as np

from parcorana.errors import ConfigError, ParCorAnaError, one_line
from parcorana.files.limits import available
from parcorana.files.paths import fault_of
from parcorana.files.trial import KILLED, allow_more, begin, tried

_DEEPEST = 9  # soft links that lead to each other
_SMALL = 1 << 20  # bytes that any memory has: of thousands of datasets it is not asked each time
_PACKED = 1100  # times smaller at the most: a bit more than deflate can do


@contextmanager
def plain_file(path, own=False):
    """Open a result file for reading.

    A link into another file, values in another one, or a dataset larger than
    the memory is no part of any result: whoever made such a file could have
    other files of its reader shown, or end the reader's session.

    Parameters
    ----------
    path : str or path
    own : bool
        Written by this process: it is not tried in another one first.

    Raises
    ------
    ConfigError
        In one sentence: not a file, not HDF5, damaged, or not plain; also for
        whatever h5py raises while it is open.
    """
    if fault := fault_of(path):
        raise ConfigError(f"the file {str(path)!r} {fault}")
    if not own and (fault := tried(_read_through, path)):
        raise ConfigError(f"{str(path)!r} is not a readable result file: {fault}")
    try:
        with h5py.File(path, "r") as file:
            check_plain(file, path)
            yield file
    except (ParCorAnaError, MemoryError):
        raise
    except Exception as error:  # whatever h5py and NumPy raise over a damaged file
        raise ConfigError(f"{str(path)!r} is not a readable result file: {one_line(error) or repr(error)}") from error


@contextmanager
def plain_datasets(path, names):
    """Open a file that any program may have written, for some of its datasets.

    Only these have to be plain: beside them there may be frames of any size,
    and links to other files.

    Parameters
    ----------
    path : str or path
    names : iterable of str

    Yields
    ------
    dict of str to h5py.Dataset
        Those of the names that are there; groups and anything else are left out.

    Raises
    ------
    ConfigError
        As `plain_file`.
    """
    names = list(names)
    if fault := fault_of(path):
        raise ConfigError(f"the file {str(path)!r} {fault}")
    if fault := tried(_read_some, path, names):
        raise ConfigError(f"{str(path)!r} is not readable: {fault}")
    try:
        with h5py.File(path, "r") as file:
            found = {}
            for name in names:
                if _leads_out(file, name):
                    raise ConfigError(f"{str(path)!r}: {name!r} is a link into another file: name that file")
                if isinstance(item := file.get(name), h5py.Dataset):
                    if fault := _fault_of_item(name, item):
                        raise ConfigError(f"{str(path)!r}: {fault}")
                    found[name] = item
            yield found
    except (ConfigError, MemoryError):
        raise
    except Exception as error:  # as above
        raise ConfigError(f"{str(path)!r} is not a readable HDF5 file: {one_line(error) or repr(error)}") from error


def groups_of(path):
    """Return the names of the groups that a file has at its top; nothing in them is read.

    Raises
    ------
    ConfigError
        As `plain_file`.
    """
    if fault := fault_of(path):
        raise ConfigError(f"the file {str(path)!r} {fault}")
    if fault := tried(_top_of, path):
        raise ConfigError(f"it is not readable: {fault}")
    try:
        return _top_of(path)
    except Exception as error:  # as above
        raise ConfigError(f"it is not a readable HDF5 file: {one_line(error) or repr(error)}") from error


def _top_of(path):
    with h5py.File(path, "r") as file:
        hard = (name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink))
        return {name for name in hard if isinstance(file[name], h5py.Group)}


def _read_some(path, names):
    with h5py.File(path, "r") as file:
        for name in names:
            if not _leads_out(file, name) and (item := file.get(name)) is not None:
                _read_item(name, item)
                if isinstance(item, h5py.Dataset) and not _fault_of_item(name, item):
                    item[()]


def _leads_out(file, path, depth=0):
    """Return whether a link into another file is on the way to an item; no link is followed to see that."""
    place = file
    for part in path.strip("/").split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            return True
        if isinstance(link, h5py.SoftLink):
            target = link.path if link.path.startswith("/") else f"{place.name}/{link.path}"
            if depth > _DEEPEST or _leads_out(file, target, depth + 1):
                return True
        if link is None:
            return False
        place = place.get(part)
    return False


def _fault_of_item(name, item):
    """Return why a dataset's values are not read; None for groups and for what is plain."""
    if not isinstance(item, h5py.Dataset):
        return None
    if item.external or item.is_virtual:
        return f"the values of {name!r} are in another file: no result has that"
    needs = _needs(item.id)
    if needs < _SMALL or needs <= available():
        return None
    return f"{name!r} takes {needs / 2**30:,.1f} GiB, more memory than there is"


def walk(file):
    """Generate path and object of all that is in a file, each object once, and path and None of links that lead out.

    HDF5's own way opens each object by its whole path, and follows groups
    within groups by its stack: of thousands it takes minutes, or crashes.

    Parameters
    ----------
    file : h5py.File

    Yields
    ------
    (str, h5py.Group, Dataset or Datatype), or (str, None)
        The first is the file itself, whose path is empty.
    """
    seen, left = set(), [("", None, "")]
    while left:
        path, parent, name = left.pop()
        item = file if parent is None else parent[name]
        about = h5py.h5o.get_info(item.id)
        if (about.fileno, about.addr) in seen:
            continue
        seen.add((about.fileno, about.addr))
        yield path, item
        for name in sorted(item, reverse=True) if isinstance(item, h5py.Group) else ():
            kind = item.id.links.get_info(name.encode("utf-8", "surrogateescape")).type
            if kind == h5py.h5l.TYPE_HARD:
                left.append((f"{path}/{name}", item, name))
            elif kind != h5py.h5l.TYPE_SOFT:
                yield f"{path}/{name}", None


def check_plain(file, path):
    """Raise ConfigError unless all that an open file says it holds is its own, and fits into the memory."""
    total = 0
    for full, item in walk(file):
        name = full.removeprefix("/")
        if item is None:
            raise ConfigError(f"{str(path)!r}: {name!r} leads into another file: no result has that")
        if isinstance(item, h5py.Dataset):
            total += (needs := _needs(item.id))
            if not _is_small(item.id, needs) and (fault := _fault_of_item(name, item)):
                raise ConfigError(f"{str(path)!r}: {fault}")
    if total < _SMALL or total <= (most := available()):
        return
    # more than the memory may be in a file, and is not read at once: but what is not in it, anybody can make any size
    hollow = sum(_needs(item.id) for _, item in walk(file) if isinstance(item, h5py.Dataset) and _is_hollow(item.id))
    if hollow > most:
        raise ConfigError(
            f"{str(path)!r}: {hollow / 2**30:,.1f} GiB of its values were never written, more than there is memory: no "
            "result has that"
        )


def _needs(dataset):
    """Return how many bytes the values of a dataset take; texts of variable length those of a reference each."""
    return dataset.get_space().get_simple_extent_npoints() * dataset.get_type().get_size()


def _is_hollow(dataset):
    """Return whether so little of a dataset is in its file that no compression has made it that small."""
    return dataset.get_storage_size() * _PACKED < _needs(dataset)


def _is_small(dataset, needs):
    """Tell of a dataset, without h5py's many questions for each of thousands, whether nothing can be wrong with it."""
    plist = dataset.get_create_plist()
    if plist.get_external_count() or plist.get_layout() == h5py.h5d.VIRTUAL:
        return False
    return needs < _SMALL


def fault_of_any(paths):
    """Return what HDF5's library makes of those of some files over which it crashes or finds no end, by their paths.

    Raises
    ------
    ConfigError
        One of them could not be tried, which says nothing of it.
    """
    paths = [path for path in paths if fault_of(path) is None]  # to open a pipe would wait
    if not tried(_read_all, paths):
        return {}
    faults = {path: tried(_read_through, path) for path in paths}
    if killed := next((path for path, fault in faults.items() if fault == KILLED), None):
        raise ConfigError(f"{str(killed)!r} {KILLED}")
    return {path: f"is not a readable result file: {fault}" for path, fault in faults.items() if fault}


def _read_all(paths):
    for path in paths:
        with suppress(Exception):  # whatever h5py raises; who reads the same again gets it, too
            _read_through(path)


def _read_through(path):
    """Read all that the library finds its way through by what a file says: values of fixed length are left out."""
    begin()
    with h5py.File(path, "r") as file:
        for name, item in walk(file):
            if item is not None:
                _read_item(name, item)


def _read_item(_, item):
    allow_more()
    # one after the other as the library has them: by names, as h5py gives them, it takes several times as long
    for index in range(h5py.h5a.get_num_attrs(item.id)):
        try:
            attribute = h5py.h5a.open(item.id, index=index)
            attribute.read(np.empty(attribute.shape, attribute.dtype))
        except Exception:  # there may be worse behind it
            continue
    if isinstance(item, h5py.Dataset):
        try:
            if item.chunks:
                item.id.get_num_chunks()
            if item.dtype.hasobject and not _is_hollow(item.id):
                needs = _needs(item.id)  # more than fits is refused by whoever opens the file
                if needs < _SMALL or needs <= available():
                    item[()]
        except Exception:  # as above
            return
