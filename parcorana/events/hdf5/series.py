"""A series as an Eiger writes it: a group of data_000001, data_000002, ..., which are one stack of frames."""

import os
import re
from itertools import pairwise

import h5py
import numpy as np

from parcorana.correlation.rolling import FAR
from parcorana.errors import ConfigError
from parcorana.events.hdf5.files import Unreadable
from parcorana.events.hdf5.mapped import Mapped
from parcorana.events.hdf5.piece import Piece
from parcorana.events.hdf5.plain import dtype_of
from parcorana.events.hdf5.slab import Axis, shape_of
from parcorana.events.hdf5.trust import NotThere
from parcorana.events.hdf5.virtual import dataset_of

_NAME = re.compile(r"data_(\d{1,9})")
_DATA_FILE = re.compile(r"(.+)_data_\d{1,9}\.(h5|hdf5?|nxs)")
_MOST_NAMED = 5
GAPS = 10  # times the frames there are, beyond which their numbers are not believed


def master_of(name):
    """Return the name of the master that stands beside a data file of a series; None if there is none."""
    folder, file = os.path.split(name)
    found = _DATA_FILE.fullmatch(file)
    master = found and os.path.join(folder, f"{found[1]}_master.{found[2]}")
    return master if master and os.path.isfile(master) else None


class Part:
    """A dataset of a series, in the place of a `Source`."""

    def __init__(self, name, dataset):
        self._name, self._dataset = name, dataset

    def __str__(self):
        return self._name

    def name(self):
        """As `Source.name`: it was there when the series was put together."""

    def dataset(self):
        """Return the dataset."""
        return self._dataset

    def refresh(self):
        """Look again at what others write."""
        self._dataset.refresh()

    def extent(self):
        """As `Plain.extent`."""
        return self._dataset.extent()

    def guess(self, guesses):
        """As `Plain.guess`."""
        self._dataset.guess(guesses)

    def files(self):
        """Return the names of the files in which it is."""
        return self._dataset.files()


def parts_of(group):
    """Return the names of the parts of a series, in order; none if a group holds no series."""
    return sorted(filter(_NAME.fullmatch, group), key=number_of)


def number_of(name):
    """Return the number in the name of a part."""
    return int(_NAME.fullmatch(name)[1])


def series(trust, name, group, where, warnings):
    """Return the parts of a group as one stack of frames.

    Where the parts state the numbers of their images, these tell each frame's
    place, and what lies between is missing.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    name : str
        Of the file that the group is in.
    group : h5py.Group
    where : str
        Names it in errors.
    warnings : list of str
        Takes what the user should know.

    Returns
    -------
    Mapped

    Raises
    ------
    ConfigError
        A part in the middle is missing, and it cannot be told how many frames
        it has; or none is there, or they differ.
    """
    names, found, numbers, missing, path = parts_of(group), [], [], {}, group.name
    del group  # its file may be closed while others are opened
    for part in names:
        try:
            dataset, stated = frames_of(trust, name, path, part, where)
            numbers.append(numbers_for(stated, dataset.shape[0]))
            found.append(Part(part, dataset))
            check_alike(where, found)
        except (NotThere, Unreadable) as error:
            missing[part] = str(error).removeprefix(f"{where}: ")
    if not found:
        raise ConfigError(f"{where}: none of its {len(names)} parts can be read: {next(iter(missing.values()))}")
    inside = [part for part in missing if number_of(part) < number_of(str(found[-1]))]
    there = {number_of(part) for part in names}
    lacking = sorted(set(range(min(there), number_of(str(found[-1])))) - there)[:_MOST_NAMED]
    if min(there) > 1:
        warnings.append(f"{where}: its parts begin with {names[0]}: what comes before is not read")
    firsts = _places(numbers)
    if firsts is None and (inside or lacking):
        lost = inside[0] if inside else f"data_{lacking[0]:06d}"
        why = missing.get(lost, "there is no link to it")
        raise ConfigError(
            f"{where}: {lost} is missing, though {found[-1]} is there ({why}): nobody can tell how many frames it has, "
            "so those after it have no time; bring it, or read the files of the parts by 'h5=' and their names"
        )
    if missing:
        named = [*[*missing][:_MOST_NAMED], *(["..."] if len(missing) > _MOST_NAMED else [])]
        warnings.append(
            f"{where}: {len(missing)} of its {len(names)} parts are missing, {', '.join(named)} "
            f"({next(iter(missing.values()))}){'' if inside else ': was the series stopped early?'}"
        )
    lengths = [part.dataset().shape[0] for part in found]
    if firsts is None:
        firsts = np.cumsum([0, *lengths])[:-1].tolist()
        if any(each is not None for each in numbers):
            warnings.append(f"{where}: image_nr_low and image_nr_high do not go with the frames, so they are not used")
        short = [(str(part), n) for part, n in zip(found[:-1], lengths[:-1], strict=True) if n < max(lengths)]
        if short:
            named = ", ".join(f"{part} ({n:,})" for part, n in short[:_MOST_NAMED])
            more = ", ..." if len(short) > _MOST_NAMED else ""
            warnings.append(
                f"{where}: fewer frames than other parts, which have {max(lengths):,}, are in {named}{more}, before "
                "the last one, and no numbers of images are stated: if some were lost, those after them count as "
                "earlier than they are"
            )
    first = found[0].dataset()
    columns = tuple(Axis.run(0, size) for size in first.shape[1:])
    pieces = [Piece(Axis.run(at, n), columns, part) for at, n, part in zip(firsts, lengths, found, strict=True) if n]
    return Mapped((firsts[-1] + lengths[-1], *first.shape[1:]), first.dtype, first.fill, pieces)


def frames_of(trust, name, path, part, where):
    """Return the dataset of a part, and its `numbers_of`; raise ConfigError if it holds no frames."""
    file, item = trust.walk(name, trust.file(name)["/"], f"{path}/{part}", where)
    if not isinstance(item, h5py.Dataset) or len(shape_of(item) or ()) < 2 or dtype_of(item).kind not in "iuf":
        raise ConfigError(f"{where}: {part} holds no frames of numbers")
    stated = numbers_of(item)  # before the files are opened that it may draw in
    return dataset_of(trust, file, item, f"{where}: {part}"), stated


def check_alike(where, found):
    """Refuse a part whose frames are not like those of the first one."""
    first, last = found[0].dataset(), found[-1].dataset()
    for what in ("shape", "dtype"):
        one, other = (getattr(each, what)[1:] if what == "shape" else each.dtype for each in (first, last))
        if one != other:
            raise ConfigError(f"{where}: {found[-1]} has frames of {what} {other}, but {found[0]} has those of {one}")


def _places(numbers):
    """Return where the frames of each part begin, by their numbers; None where those do not tell."""
    if any(each is None for each in numbers):
        return None
    filled = [each for each in numbers if len(each)]
    if any(b[0] <= a[-1] for a, b in pairwise(filled)):
        return None
    if filled and filled[-1][-1] - filled[0][0] >= GAPS * sum(map(len, filled)):
        return None
    begin, at = filled[0][0] if filled else 0, 0
    places = []
    for each in numbers:
        places.append(int(each[0] - begin) if len(each) else at)
        at = places[-1] + len(each)
    return places


def numbers_of(item):
    """Return the numbers of the first and the last image that a dataset states, None if it does not."""
    found = []
    for name in (b"image_nr_low", b"image_nr_high"):
        if not h5py.h5a.exists(item.id, name):
            return None
        attribute = h5py.h5a.open(item.id, name)
        if attribute.dtype.kind not in "iu" or attribute.shape not in ((), (1,)):
            return None
        value = np.zeros(attribute.shape, attribute.dtype)
        attribute.read(value)
        found.append(int(value.reshape(-1)[0]))
    return tuple(found)


def numbers_for(stated, frames):
    """Return the number of each frame, (n,) int64, by those of the first and the last one; None if they do not fit."""
    if stated is None or stated[1] - stated[0] + 1 != frames or abs(stated[0]) > FAR:
        return None
    return np.arange(stated[0], stated[1] + 1, dtype=np.int64)
