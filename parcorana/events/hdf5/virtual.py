"""What a dataset is made of: values of its own, or parts in other files that are found and checked."""

import math
import os
import re
from contextlib import suppress
from itertools import accumulate

import h5py

from parcorana.errors import ConfigError, ParCorAnaError, one_line
from parcorana.events.hdf5.files import Unreadable
from parcorana.events.hdf5.mapped import Mapped
from parcorana.events.hdf5.piece import Piece
from parcorana.events.hdf5.plain import Plain, check_plain, dtype_of
from parcorana.events.hdf5.slab import Axis, axes_of, shape_of, size_of
from parcorana.events.hdf5.trust import NotThere

_DEPTH = 8  # virtual datasets, one within the other
_PARTS = 1_000_000  # of a virtual dataset, with theirs
_OVERLAP = 2  # times that parts may cover a frame


def dataset_of(trust, name, item, where, depth=0):
    """Return what reads a dataset.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    name : str
        Of its file.
    item : h5py.Dataset
    where : str
        Names it in errors.
    depth : int
        Of virtual datasets, one within the other.

    Returns
    -------
    Plain or Mapped

    Raises
    ------
    ConfigError
        Values in external storage, compression that cannot be undone, chunks
        larger than the memory, parts mapped in an order that is not read.
    """
    if item.external:
        raise ConfigError(
            f"{where}: its values are in external storage ({item.external[0][0]}), which is not read: copy them "
            "into the file, for example with h5repack"
        )
    if item.is_virtual:
        return Virtual(trust, name, item, where, depth)
    check_plain(item, where)
    return Plain(trust, name, item)


class Source:
    """A dataset that another one draws on, found when it is first read.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    holder : str
        The file that speaks of it.
    file, path : str
        As it does so.
    where : str
        Names the virtual dataset, in errors.
    depth : int
        Of virtual datasets, one within the other.
    """

    def __init__(self, trust, holder, file, path, where, depth):
        self._trust, self._holder, self._file, self._path = trust, holder, file, path
        self._where, self._depth = where, depth
        self._dataset, self._guesses, self._finished = None, False, False

    def __str__(self):
        return self._holder if self._file == "." else self._file

    def found(self):
        """Return the file's name, where it was found.

        Raises
        ------
        NotThere
        ConfigError
            It is in no folder that is trusted.
        """
        if self._file == ".":
            return self._holder
        what = "it is a virtual dataset, made of"
        return self._trust.find(self._holder, self._file, self._where, what, "HDF5_VDS_PREFIX")

    def name(self):
        """Return the same; raise Unreadable if it is not there."""
        try:
            return self.found()
        except NotThere:
            raise Unreadable("there is no such file") from None

    def dataset(self):
        """Return the dataset, a `Plain` or a `Mapped`; Unreadable, with the reason, if there is none."""
        if self._dataset is None:
            name = self.name()
            where = f"{self._where}: {name}"
            try:
                found, item = self._trust.walk(name, self._trust.file(name)["/"], f"/{self._path.strip('/')}", where)
                if not isinstance(item, h5py.Dataset):
                    raise Unreadable(f"there is no dataset {self._path} in it")
                if not shape_of(item) or dtype_of(item).kind not in "iuf":
                    raise Unreadable(f"{self._path} holds no frames of numbers")
                self._dataset = dataset_of(self._trust, found, item, where, self._depth + 1)
            except NotThere as error:
                raise Unreadable(str(error)) from None
            except (ParCorAnaError, Unreadable):
                raise
            except Exception as error:  # whatever h5py raises over a damaged file
                raise Unreadable(one_line(error)) from error
            self._dataset.guess(self._guesses)
        return self._dataset

    def refresh(self):
        """Look again at what others write, until nobody does any more."""
        if self._finished:
            return
        with suppress(Unreadable):
            # before the last look, and of the file itself: what could not be read may have been begun since
            finished = all(name and self._trust.files.is_written(name) is False for name in self.files())
            self.dataset().refresh()
            self._finished = finished and isinstance(self._dataset, Plain)

    def extent(self):
        """As `Plain.extent`; None for one that is not there."""
        return None if self._dataset is None else self._dataset.extent()

    def guess(self, guesses):
        """As `Plain.guess`."""
        self._guesses = guesses
        if self._dataset is not None:
            self._dataset.guess(guesses)

    def files(self):
        """Return the names of the files in which it is; None for one that cannot be read, or not yet."""
        try:
            return self.dataset().files()
        except Unreadable:
            return [None]


class Virtual(Mapped):
    """A virtual dataset.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    name : str
        Of the file.
    item : h5py.Dataset
    where : str
    depth : int
    """

    def __init__(self, trust, name, item, where, depth):
        self._trust, self._name, self._where, self._depth = trust, name, where, depth
        self._made, self._mappings, self._inner = {}, [], shape_of(item)[1:]
        for mapping in item.virtual_sources():
            into, of = axes_of(mapping.vspace), _axes_of_source(mapping.src_space)
            if not into or of == [] or any(axis.endless for axes in into for axis in axes[1:]):
                self._refuse(mapping.file_name)
            self._mappings.append((mapping.file_name, mapping.dset_name, into, of))
        trust.parts += len(self._mappings)
        if depth > _DEPTH or trust.parts > _PARTS:
            raise ConfigError(
                f"{where}: more than {_DEPTH} virtual datasets, one within the other, or {_PARTS:,} parts in all"
            )
        self._endless = any(into[0][0].endless for _, _, into, _ in self._mappings)
        self._least = 0 if self._endless else item.shape[0]
        pieces, length = self._pieces()
        super().__init__((length, *self._inner), item.dtype, item.fillvalue, pieces)
        taken = sum(size_of((piece.rows, *piece.columns)) for piece in pieces)
        if taken > _OVERLAP * max(math.prod(self.shape), 1):
            raise ConfigError(f"{where}: more than {_OVERLAP} of its parts are mapped to the same elements")

    @property
    def sources(self):
        """The datasets that it draws on, those included that have no frames yet."""
        return list(self._made.values())

    def refresh(self):
        """Look again at what others write."""
        super().refresh()
        pieces, length = self._pieces() if self._endless else ([], self.shape[0])
        if length != self.shape[0]:
            self.shape = (length, *self._inner)
            self.arrange(pieces)

    def _refuse(self, file):
        raise ConfigError(
            f"{self._where}: its part {file} is mapped in another order than frame by frame, which is not read"
        )

    def _source(self, file, path):
        if (file, path) not in self._made:
            self._made[file, path] = Source(self._trust, self._name, file, path, self._where, self._depth)
        return self._made[file, path]

    def _pieces(self):
        """Return the pieces as they are now, and how many frames they make."""
        pieces, endless, length = [], [], self._least
        for file, path, into, of in self._mappings:
            if into[0][0].endless and _counts(file + path):
                pieces += self._numbered(into[0], file, path, of)
            elif into[0][0].endless:
                source = self._source(_numbered(file), _numbered(path))
                if of is not None and (len(of) > 1 or sum(axis.endless for axis in of[0]) != 1):
                    self._refuse(file)
                endless.append((into[0], source, of and of[0]))
                length = max(length, _length_of(*endless[-1]))
            else:
                pieces += self._split(into, of, self._source(_numbered(file), _numbered(path)))
        length = max([length, *(piece.rows.last + 1 for piece in pieces)])
        for (rows, *columns), source, axes in endless:
            if size := rows.before(length):
                pieces.append(Piece(rows.ended(size), tuple(columns), source, axes))
        return pieces, length

    def _split(self, into, of, source):
        """Return the pieces of a mapping, each of them regular."""
        columns, total = tuple(into[0][1:]), sum(axes[0].size for axes in into)
        if of is not None and sum(map(size_of, of)) != total * size_of(columns):
            self._refuse(source)
        if of is None or len(of) == 1:
            skipped = accumulate((axes[0].size for axes in into), initial=0)
            return [
                Piece(axes[0], columns, source, of and of[0], at, total)
                for axes, at in zip(into, skipped, strict=False)
            ]
        if size_of(of[0][1:]) != size_of(columns):
            self._refuse(source)
        rows, taken, pieces = _runs(into), _runs(of), []
        while rows:
            (row, left), (at, more) = rows.pop(), taken.pop()
            size = min(left, more)
            pieces.append(Piece(Axis.run(row, size), columns, source, (Axis.run(at, size), *of[0][1:])))
            if left > size:
                rows.append((row + size, left - size))
            if more > size:
                taken.append((at + size, more - size))
        return pieces

    def _numbered(self, into, file, path, of):
        """Return the pieces of a mapping whose files, or datasets, are numbered."""
        rows, *columns = into
        return [
            Piece(
                Axis.run(rows.start + number * rows.stride, rows.block),
                tuple(columns),
                self._source(_numbered(file, number), _numbered(path, number)),
                of and of[0],
            )
            for number in range(self._numbers(file, path))
        ]

    def _numbers(self, file, path):
        """Return how many numbered parts there are, with those that are missing before the last one."""
        folder, base = os.path.split(file)
        if _counts(base) and not _counts(folder):
            form, last = _form(base), -1
            for place in self._trust.places(self._name, os.path.join(_numbered(folder), "x"), "HDF5_VDS_PREFIX"):
                with suppress(OSError):
                    found = (form.fullmatch(name) for name in os.listdir(os.path.dirname(place)))
                    last = max([last, *(int(match["number"]) for match in found if match)])
            return min(last + 1, _PARTS)
        number = 0
        with suppress(Unreadable):
            while number < _PARTS:
                self._source(_numbered(file, number), _numbered(path, number)).dataset()
                number += 1
        return number


def _axes_of_source(space):
    """Return what is taken of a source; None for all of it, whose shape is not known here."""
    return None if space.get_select_type() == h5py.h5s.SEL_ALL else axes_of(space) or []


def _length_of(into, source, axes):
    """Return how many frames there are with those of a source that is mapped for as long as it is."""
    rows, *columns = into
    try:
        shape = source.dataset().shape
    except Unreadable:
        return 0
    axes = [Axis.run(0, size) for size in shape] if axes is None else axes
    along = next((k for k, axis in enumerate(axes) if axis.endless), 0)
    each = max(size_of(columns) // max(size_of(axes[along + 1 :]), 1), 1)
    frames = axes[along].before(shape[along]) // each
    return rows.at(frames - 1) + 1 if frames else 0


def _runs(parts):
    """Return start and size of each run along the first axis, the last one first."""
    found = []
    for rows, *_ in parts:
        found += [(rows.start + k * rows.stride, rows.block) for k in range(rows.count)]
    return found[::-1]


# In the name of a file or a dataset %b stands for the number of the part, %% for %.
_CODE = re.compile("%([b%])")


def _counts(name):
    return any(match[1] == "b" for match in _CODE.finditer(name))


def _numbered(name, number="%b"):
    return _CODE.sub(lambda match: "%" if match[1] == "%" else str(number), name)


def _form(name):
    """Return a pattern for the names of numbered parts."""
    parts = _CODE.split(name)
    codes = ["%" if code == "%" else r"(?:0|[1-9]\d*)" for code in parts[1::2]]
    codes[parts[1::2].index("b")] = r"(?P<number>0|[1-9]\d{0,9})"
    texts = [re.escape(text) for text in parts[::2]]
    return re.compile("".join(a + b for a, b in zip(texts, [*codes, ""], strict=True)))
