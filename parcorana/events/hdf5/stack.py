"""A stack of frames in an HDF5 file: found, or refused with what the file has instead."""

import glob
import math
import os
import re
from contextlib import suppress

import h5py

from parcorana.errors import ConfigError, RunError, nearest, one_line
from parcorana.events.hdf5.times import Times, dtype_of
from parcorana.events.hdf5.trust import Trust
from parcorana.files.limits import available
from parcorana.files.paths import fault_of
from parcorana.files.trial import tried

_LISTED = 10
_LOOKED_AT = 2000  # objects of a file, for the list of what there is
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_WRITING = 0x01 | 0x04  # in the superblock: open for writing, as a single writer with many readers


class Stack:
    """The frames of one file.

    Parameters
    ----------
    name : str
        Of the file.
    src : str
        Path of the dataset T x detector's ndarray; or of a NeXus group that
        names it in its attribute `signal`.
    folder : str or None
        Of other files that this one may draw in (see `Trust`).
    swmr : bool
        The file is being written in single-writer multiple-reader mode.

    Attributes
    ----------
    item : h5py.Dataset
    times : Times
    trust : Trust
    """

    def __init__(self, name, src, folder=None, swmr=False):
        self.name = name
        self.file = _open(name, swmr)
        self._swmr, self._size = swmr, os.stat(name).st_size
        try:
            self.trust = trust = Trust(folder)
            self.item = _find(self.file, name, src, trust)
            own = self.item.file.filename == self.file.filename  # not reached by a link into another file
            path = self.item.name if own else "/" + src.strip("/")
            self.times = Times(
                self.file,
                name,
                self.item,
                path,
                lambda path, where: trust.check_path(self.file, path, where),
                # not its own method, which would keep the file open until Python happens to collect it
                lambda item, where: trust.check_storage(item, where, _check_chunks),
            )
        except BaseException:
            self.close()
            raise

    def check_storage(self, item, where):
        """Refuse a dataset whose values are not to be drawn in, or cannot be unpacked."""
        self.trust.check_storage(item, where, _check_chunks)

    def check_length(self):
        """Raise RunError if the file has become shorter: HDF5 then reads zeros, and says nothing."""
        size = os.stat(self.name).st_size if os.path.exists(self.name) else self._size
        # whoever closes a file that he wrote may give back what he had made room for
        if size < self._size and not (self._swmr and size >= _closed_end(self.name)):
            raise RunError(
                f"h5={self.name}: the file was cut off while it was read: it had {self._size:,} bytes, now {size:,}"
            )
        self._size = size

    def close(self):
        """Close the file; may be called again."""
        self.file.close()


def _superblock(name):
    """Return the first bytes of a file from where HDF5's begin; None if it is no HDF5 file, or not yet."""
    try:
        with open(name, "rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    # before it may be what others wrote there
    found = (head[at : at + 36] for at in (0, 512, 1024, 2048) if head[at : at + 8] == _SIGNATURE)
    return next((each for each in found if len(each) == 36), None)


def is_written(name):
    """Tell whether a program has a file open for writing; None if it is no HDF5 file, or not yet."""
    head = _superblock(name)
    # older superblocks than the third have no such flag, and no SWMR mode
    return head and head[8] >= 3 and bool(head[11] & _WRITING)


def _closed_end(name):
    """Return how long a file says that it is, once it is closed; before, and of others, more than any file is."""
    head = _superblock(name)
    return int.from_bytes(head[28:36], "little") if head and head[8] >= 3 and not head[11] & _WRITING else 2**64


def file_names(dataset):
    """Return the files that ``h5=`` names: one, several with commas, or a pattern.

    Raises
    ------
    ConfigError
        A pattern that fits no file, a file given twice.
    """
    if os.path.exists(dataset.name):
        return [dataset.name]
    names = []
    for part in dataset.name.split(","):
        found = sorted(glob.glob(part), key=_natural) if re.search(r"[*?\[]", part) else [part]
        if not found:
            raise ConfigError(f"h5={dataset.name}: no file fits {part!r}")
        names += found
    if len(set(names)) != len(names):
        raise ConfigError(f"h5={dataset.name}: a file is given twice")
    return names


def _natural(name):
    """Order names by the numbers in them."""
    return [int(part) if k % 2 else part for k, part in enumerate(re.split(r"(\d+)", name))]


def _open(name, swmr):
    fault = fault_of(name)
    if fault == "does not exist":
        raise ConfigError(f"h5={name}: there is no such file")
    if fault == "is a folder":
        raise ConfigError(f"h5={name}: this is a folder, and must be an HDF5 file")
    if fault:
        raise ConfigError(f"h5={name}: this {fault}")
    if not h5py.is_hdf5(name):
        raise ConfigError(f"h5={name}: this is not an HDF5 file")
    try:
        return h5py.File(name, "r", locking="best-effort", swmr=swmr)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if cut := re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", str(error)):
            there, all_ = (f"{int(number):,}" for number in cut.groups())
            raise ConfigError(f"h5={name}: the file is cut off: it has {there} of {all_} bytes") from error
        raise ConfigError(f"h5={name}: the file is damaged or still being written ({one_line(error)})") from error


def _candidates(file):
    """Paths of the datasets that could be the stack, most dimensions first."""
    found, left = [], iter(range(_LOOKED_AT))

    def visit(path, item):
        if next(left, None) is None:
            return True  # enough
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) >= 2 and _has_numbers(item):
            found.append((-len(item.shape), path, f"{path} ({'x'.join(map(str, item.shape))} {item.dtype})"))
        return None

    file.visititems(visit)
    found.sort()
    return [path for _, path, _ in found], [text for _, _, text in found]


def _has_numbers(item):
    return dtype_of(item).kind in "iuf"


def _offer(file, wanted=None):
    try:
        paths, texts = _candidates(file)
    except Exception as error:  # whatever h5py raises over a damaged file
        return f"; what the file has cannot be listed ({one_line(error)})"
    if not texts:
        return "; the file has no dataset of numbers with two or more dimensions"
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    hint = nearest(wanted, paths) if wanted else ""
    return f"{hint}; the file has {', '.join(texts[:_LISTED])}{more}"


def _find(file, name, src, trust):
    if not src:
        raise ConfigError(f"h5={name}: src must be given, the path of the frames in the file{_offer(file)}")
    if not isinstance(src, str):
        raise ConfigError(f"h5={name}: src must be the path of the frames in the file, a str, not {src!r}")
    where = f"h5={name}: src={src}"
    try:
        item = trust.check_path(file, "/" + src.strip("/"), where)
        item = _signal(item, where, trust)
    except ConfigError:
        raise
    except Exception as error:  # whatever h5py raises over a damaged file
        raise ConfigError(f"{where}: cannot be opened ({one_line(error)}){_offer(file)}") from error
    if item is None:
        raise ConfigError(f"{where}: there is no such dataset in the file{_offer(file, src.strip('/'))}")
    if not isinstance(item, h5py.Dataset):
        raise ConfigError(f"{where}: this is a group, and must be a dataset{_offer(file)}")
    if not _has_numbers(item):
        raise ConfigError(f"{where}: its dtype is {dtype_of(item)}, and must be an integer or a float{_offer(file)}")
    if len(item.shape or ()) < 2:
        shape = "nothing" if item.shape is None else f"shape {item.shape}"
        raise ConfigError(f"{where}: it has {shape}, and must be frames, time first, then the detector{_offer(file)}")
    if 0 in item.shape[1:]:
        raise ConfigError(f"{where}: its frames of shape {item.shape[1:]} have no elements")
    try:
        trust.check_storage(item, where, _check_chunks)
    except ConfigError:
        raise
    except Exception as error:  # whatever h5py raises over a damaged file
        raise ConfigError(f"{where}: cannot be read ({one_line(error)})") from error
    _check_bytes(f"{where}: a frame", math.prod(item.shape[1:]) * item.dtype.itemsize)
    return item


def _signal(item, where, trust):
    """Follow a NeXus group to the data that it says is its signal."""
    for attribute in ("default", "default", "signal"):
        if not isinstance(item, h5py.Group):
            break
        if fault := tried(item.attrs.get, attribute):
            raise ConfigError(f"{where}: {fault}")
        name = item.attrs.get(attribute)
        if isinstance(name, bytes):
            name = name.decode(errors="replace")
        if isinstance(name, str):
            item = trust.check_path(item, name, where) or item
    return item


def _check_bytes(what, nbytes):
    """Refuse what does not fit in the memory twice: as it is, and as it is compressed or copied."""
    if 2 * nbytes > (free := available()):
        raise ConfigError(f"{what} takes {nbytes / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB of memory are free")


def _check_chunks(item, where):
    """Refuse a compression that this HDF5 cannot undo, or that gives more than the memory holds."""
    if item.chunks:
        _check_bytes(f"{where}: a chunk", math.prod(item.chunks) * item.dtype.itemsize)
    plist = item.id.get_create_plist()
    for k in range(plist.get_nfilters()):
        code, _, _, text = plist.get_filter(k)
        if h5py.h5z.filter_avail(code):
            continue
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401  it registers its filters
        if not h5py.h5z.filter_avail(code):
            text = text.decode(errors="replace") or "unknown"
            raise ConfigError(
                f"{where}: it is compressed with the filter {code} ({text}), which HDF5 has not by itself: "
                "pip install parcorana[compression]"
            )
