"""A stack of frames in an HDF5 file: found, or refused with what the file has instead."""

import glob
import math
import os
import posixpath
import re
from contextlib import suppress

import h5py
import numpy as np

from parcorana.errors import ConfigError, nearest, one_line
from parcorana.events.hdf5.bursts import Flat
from parcorana.events.hdf5.files import Unreadable, objects_of, told
from parcorana.events.hdf5.growing import Growing
from parcorana.events.hdf5.mapped import Mapped
from parcorana.events.hdf5.plain import check_bytes, dtype_of, is_fill
from parcorana.events.hdf5.series import numbers_for, numbers_of, parts_of, series
from parcorana.events.hdf5.slab import Axis, shape_of
from parcorana.events.hdf5.times import Times
from parcorana.events.hdf5.trust import Trust
from parcorana.events.hdf5.virtual import dataset_of
from parcorana.files.trial import tried

_LISTED = 10
_LOOKED_BACK = 16 << 20  # bytes of frames that are looked at together, for fill values at the end
_LOOKED_BACK_IN_ALL = 4 << 30  # bytes, beyond which nobody waits for it


class Stack:
    """The frames of one file.

    Parameters
    ----------
    files : parcorana.events.hdf5.files.Files
    name : str
        Of the file.
    src : str or None
        Path of the dataset T x detector's ndarray; or of a group of
        data_000001, data_000002, ..., or of a NeXus group that names the
        dataset in its attribute `signal`. None: the one that there is.
    folder : str or None
        Of other files that this one may draw in (see `Trust`).
    times_src : str or None
        Path of the times; None: where they are by custom (see `Times`).
    bursts : bool
        Whether the second axis of the dataset is frames, one after the other.

    Attributes
    ----------
    frames : Plain or Mapped
    times : Times
    trust : parcorana.events.hdf5.trust.Trust
    warnings : list of str
        What the user should know of it.
    src : str
        As given, or found.
    path : str
        Of the frames in the file, where links within it have led.
    """

    def __init__(self, files, name, src, folder=None, *, times_src=None, bursts=False):
        self.name, self.trust, self.src = name, Trust(files, name, folder), src
        self._where = f"h5={name}: src={src}"
        self.warnings, self._chosen = [], ""
        try:
            self.trust.file(name)
        except Unreadable as error:
            raise ConfigError(f"h5={name}: {error}") from error
        if src is None or src == "":
            self.src = self._choose()
            self._where = f"h5={name}: src={self.src}"
            self._chosen = f"src: {self.src!r}, which is not given, but the only stack of frames in the file; "
        self.path, numbers = self._find(self.src)
        self.times = Times(self.trust, self.path, self.frames.shape, numbers, times_src, bursts)
        if self.times.burst:
            self.frames = Flat(self.src, self.frames, self.times.burst)
            self._check_frames()

    def _file(self):
        """Return the file, opened again if others have taken its place meanwhile."""
        return self.trust.file(self.name)

    def _offer(self, wanted=None):
        return _offer(self._file(), wanted)

    def _find(self, src):
        """Find the frames; return their path in the file, and the numbers that they state of themselves."""
        if not isinstance(src, str):
            raise ConfigError(f"h5={self.name}: src must be the path of the frames in the file, a str, not {src!r}")
        with told(self._where, ": cannot be opened", self._offer):
            path, found, item = self._signal("/" + src.strip("/"), *self._walk("/" + src.strip("/")))
            if isinstance(item, h5py.Group) and parts_of(item):
                if self.trust.files.swmr:
                    self.frames = Growing(self.trust, found, item.name, self._where, self.warnings)
                else:
                    self.frames = series(self.trust, found, item, self._where, self.warnings)
                self._check_frames()
                return posixpath.join(path, "parts"), None
            self._check(src, item)
            own = item.name
            grows = self.trust.files.swmr and self.trust.files.is_written(found)  # then they are not final
            numbers = None if grows else numbers_of(item)
            self.frames = dataset_of(self.trust, found, item, self._where)
        self._check_frames()
        self._warn_of_part(src)
        return (own if found == self.name else path), numbers_for(numbers, self.frames.shape[0])

    def about(self):
        """Return a line on what was chosen, and where the times are from; None if there is nothing to say."""
        about = self.times.about()
        return f"{self._chosen}{about or ''}".removesuffix("; ") or None

    def _choose(self):
        """Return the path of the one stack that there is: what NeXus says, else the only one of frames."""
        try:
            path, _, item = self._signal("/", *self._walk("/"))
            found = [path] if isinstance(item, h5py.Dataset) or parts_of(item) else []
            paths = found or _stacks(self._file())
        except Exception:  # whatever h5py raises over a damaged file is told where it is read
            paths = []
        if len(paths) != 1:
            raise ConfigError(f"h5={self.name}: src must be given, the path of the frames in the file{self._offer()}")
        return paths[0].strip("/")

    def _walk(self, path):
        return self.trust.walk(self.name, self._file()["/"], path, self._where)

    def _signal(self, path, found, item):
        """Follow a NeXus group to the data that it says is its signal; of a series of parts, to the group."""
        for attribute in ("default", "default", "signal"):
            if not isinstance(item, h5py.Group):
                break
            if fault := tried(item.attrs.get, attribute):
                raise ConfigError(f"{self._where}: {fault}")
            name = item.attrs.get(attribute)
            if isinstance(name, bytes):
                name = name.decode(errors="replace")
            if isinstance(name, str) and name not in parts_of(item):
                file, there = self.trust.walk(found, item, name, self._where)
                if there is not None:
                    path, found, item = posixpath.join(path, name), file, there
        return path, found, item

    def _check(self, src, item):
        """Refuse what is no stack of frames."""
        where = self._where
        if item is None:
            beside = self._of_parts(posixpath.dirname("/" + src.strip("/")))
            raise ConfigError(f"{where}: there is no such dataset in the file{beside or self._offer(src.strip('/'))}")
        if not isinstance(item, h5py.Dataset):
            raise ConfigError(f"{where}: this is a group, and must be a dataset{self._offer()}")
        if not _has_numbers(item):
            right = "and must be an integer or a float"
            raise ConfigError(f"{where}: its dtype is {dtype_of(item)}, {right}{self._offer()}")
        if len(shape_of(item) or ()) < 2:
            shape = "nothing" if shape_of(item) is None else f"shape {shape_of(item)}"
            right = "and must be frames, time first, then the detector"
            raise ConfigError(f"{where}: it has {shape}, {right}{self._offer()}")

    def _check_frames(self):
        shape = self.frames.shape[1:]
        if 0 in shape:
            raise ConfigError(f"{self._where}: its frames of shape {shape} have no elements")
        check_bytes(f"{self._where}: a frame", math.prod(shape) * self.frames.dtype.itemsize)

    def _of_parts(self, path):
        """Return a hint to the series that a group has, '' if it has none."""
        try:
            _, group = self._walk(path)
        except (ConfigError, Unreadable):
            return ""
        names = parts_of(group) if isinstance(group, h5py.Group) else []
        if not names:
            return ""
        return f"; src={path.strip('/')} is its {len(names)} parts, {names[0]} to {names[-1]}, as one run"

    def _warn_of_part(self, src):
        """Say that a series has more than the part that `src` names."""
        group, name = posixpath.split("/" + src.strip("/"))
        _, item = self._walk(group)
        names = parts_of(item) if isinstance(item, h5py.Group) else []
        if name in names and len(names) > 1:
            self.warnings.append(
                f"{self._where}: the {self.frames.shape[0]:,} frames of one of {len(names)} parts are read, not those "
                f"of the others, {names[0]} to {names[-1]}: src={group.strip('/')} is all of them as one run"
            )

    def check_any(self):
        """Refuse a stack of which no source can be read."""
        sources = self.frames.sources if isinstance(self.frames, Mapped) else []
        for source in sources:
            try:
                source.dataset()
            except Unreadable as error:
                fault = error
            else:
                return
        if sources:
            name = sources[0].found()  # refused, if it is not there, with where it was looked for
            raise ConfigError(f"{self._where}: it is a virtual dataset, made of {name}: {fault}")

    def written(self, first, last):
        """Return which frames, (n,) bool, were written."""
        return self.frames.written(self._rows(first, last))

    def read(self, first, last, out):
        """Read frames into an array; return which, (n,) bool, were written, the others are left as they are."""
        return self.frames.box(self._rows(first, last), 0, out)

    def _rows(self, first, last):
        return [Axis.run(first, last - first), *(Axis.run(0, size) for size in self.frames.shape[1:])]

    def why(self, index):
        """Return why a frame does not count as written, and up to which frame that may hold."""
        if isinstance(self.frames, Mapped):
            return self.frames.why_frame(index)
        return self.frames.why(self._rows(index, index + 1)), self.frames.shape[0]

    def fill_at_end(self):
        """Look for frames that hold nothing but the fill value, though HDF5 gives them for written.

        They are looked for at the end of the frames, and of each source.

        Returns
        -------
        rows : (n,) int64
            Which frames, in order.
        fill : number
        all_ : bool
            False if it was not looked further.
        """
        frames, lacks, found, fill = self.frames, self.frames.unmapped(), [np.zeros(0, np.int64)], self.frames.fill
        size = max(frames.dtype.itemsize * math.prod(frames.shape[1:]), 1)
        left, most = max(_LOOKED_BACK_IN_ALL // size, 1), max(_LOOKED_BACK // size, 1)
        for axis, of_source in reversed(frames.ends()):
            end, rows = axis.size, 1
            while end:
                rows = min(rows, most, end)
                if left < rows:
                    return np.unique(np.concatenate(found)), fill, False
                values, there = self._taken(axis, end - rows, end)
                if lacks is not None:
                    values = values[:, ~lacks]
                more = np.flatnonzero(~(is_fill(values, of_source) & there))
                first = end - rows + (int(more[-1]) + 1 if len(more) else 0)
                if first < end:
                    fill = of_source
                    found.append(axis.at(np.arange(first, end)))
                if len(more):
                    break
                left, end, rows = left - rows, end - rows, 2 * rows
        return np.unique(np.concatenate(found)), fill, True

    def _taken(self, axis, first, last):
        """Return some of the frames that an axis takes, and which were written."""
        values = np.zeros((last - first, *self.frames.shape[1:]), self.frames.dtype.newbyteorder("="))
        there, at = np.zeros(last - first, bool), 0
        for part in axis.part(first, last):
            some = slice(at, at + part.size)
            there[some] = self.frames.box([part, *self._rows(0, 0)[1:]], 0, values[some])
            at += part.size
        return values, there


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
    for part in dataset.names:
        found = sorted(glob.glob(part), key=natural) if is_pattern(part) else [part]
        if not found:
            raise ConfigError(f"h5={dataset.name}: no file fits {part!r}")
        names += found
    if len({_identity(name) for name in names}) != len(names):
        raise ConfigError(f"h5={dataset.name}: a file is given twice")
    return names


def is_pattern(name):
    """Tell whether a name stands for several files; the name of one may have such characters, too."""
    return bool(re.search(r"[*?\[]", name)) and not os.path.lexists(name)


def _identity(name):
    """Return what two names of one file have in common."""
    with suppress(OSError):
        found = os.stat(name)
        return found.st_dev, found.st_ino
    return name


def natural(name):
    """Return what orders names by the numbers in them."""
    return [int(part) if k % 2 else part for k, part in enumerate(re.split(r"(\d+)", name))]


def _candidates(file):
    """Paths of the datasets that could be the stack, most dimensions first."""
    found = []
    for path, item in objects_of(file)[0]:
        shape = shape_of(item) if isinstance(item, h5py.Dataset) else None
        if len(shape or ()) >= 2 and _has_numbers(item):
            found.append((-len(shape), path, f"{path} ({'x'.join(map(str, shape))} {item.dtype})"))
    found.sort()
    return [path for _, path, _ in found], [text for _, _, text in found]


def _stacks(file):
    """Return the paths of all stacks with frames of two axes and more, and of all series of parts; none if not sure."""
    objects, all_ = objects_of(file)
    series_of = [path for path, item in objects if isinstance(item, h5py.Group) and parts_of(item)]
    frames = [
        path
        for path, item in objects
        if isinstance(item, h5py.Dataset) and len(shape_of(item) or ()) >= 3 and _has_numbers(item)
    ]
    return [*series_of, *(path for path in frames if posixpath.dirname(path) not in series_of)] if all_ else []


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
