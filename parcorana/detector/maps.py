"""Maps of a detector: of a quantity, to make rings of, or partitions that other programs have made."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parcorana.detector import masks
from parcorana.errors import ConfigError, one_line, printable
from parcorana.files.paths import fault_of
from parcorana.files.plain import plain_datasets

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LARGEST = np.iinfo(np.int32).max  # of a colour's number in the files
_LONGEST = 60  # characters of a name or a unit
_UNITS = {
    "1/angstrom": ("1/a", "1/å", "a-1", "a^-1", "å-1", "å^-1", "å⁻¹", "angstrom^-1", "angstrom-1", "1/angstroms"),
    "1/nm": ("nm-1", "nm^-1", "nm⁻¹"),
    "degrees": ("deg", "degree", "°"),
}


@dataclass(frozen=True)
class _Names:
    """What a program calls its datasets: each of the fine partition has `fine` in the place of `coarse`.

    The values of the partitions are one for each, or, with `sectors`, one for
    each ring and one for each sector: partition p (from 1) is then the ring and
    sector of the number ``mapping[p - 1]``, from 0, of which those of one ring
    follow each other.
    """

    groups: tuple
    coarse: str
    fine: str
    values: str
    sectors: str = ""
    mask: str = "mask"
    mapping: str = ""
    units: tuple = ()  # datasets of the names, and of the units, of ring and sector


# pySimpleMask and pyXpcsViewer (APS); the definition NXxpcs; APS before NeXus: results, and partitions before them
_LAYOUTS = (
    _Names(
        ("/xpcs/qmap", "/qmap", "/entry/xpcs/qmap", "/entry/qmap"),
        "dynamic_roi_map",
        "static_roi_map",
        "dynamic_v_list_dim0",
        "dynamic_v_list_dim1",
        mapping="dynamic_index_mapping",
        units=("map_names", "map_units"),
    ),
    _Names(
        ("/entry/instrument/masks", "/entry/xpcs/masks", "/entry/xpcs"),
        "dynamic_roi_map",
        "static_roi_map",
        "dynamic_q_list",
    ),
    _Names(("/xpcs", "/exchange"), "dqmap", "sqmap", "dqlist"),
    _Names(("/data",), "dynamicMap", "staticMap", "dqval"),
)


@dataclass(frozen=True)
class Quantity:
    """A quantity at each element.

    Attributes
    ----------
    values : float64 array
        NaN where there is none.
    name : str
        That of the dataset, or of the file.
    unit : str
        As the file says; empty where it does not.
    source : str
        File, and place in it.
    """

    values: np.ndarray
    name: str
    unit: str
    source: str


@dataclass(frozen=True)
class Partition:
    """Elements that belong together, as another program has numbered them.

    Attributes
    ----------
    color : int32 array
        From 1 on; 0 in none.
    fine : int32 array or None
        The finer partition beside it.
    mean : dict of int to float
        What partitions stand for, where the file says so.
    place : dict of int to (int, int)
        Ring and sector of partitions, from 1 on, where the file says so.
    name, unit : str
        Of `mean`; empty where the file does not say.
    source : str
        File, and place in it.
    has_mask : bool
        Whether the file has a mask, too.
    notes : tuple of str
        What has to be said of the file.
    """

    color: np.ndarray
    fine: np.ndarray | None
    mean: dict
    place: dict
    name: str
    unit: str
    source: str
    has_mask: bool = False
    notes: tuple = ()


def unit_of(text):
    """Return a unit as tables and pictures write it: 1/angstrom for what files have as 1/A, A^-1 and so on."""
    text = " ".join(printable(text).split())[:_LONGEST]
    return next((unit for unit, others in _UNITS.items() if text.casefold() in others), text)


def load_map(key, text):
    """Load a map from a .npy file, or from an HDF5 file.

    Parameters
    ----------
    key : str
        Option that names it, for errors.
    text : str
        ``FILE.npy``; ``FILE.h5:/path`` for a dataset, or a group of partitions;
        ``FILE.h5`` for partitions where a known program has them.

    Returns
    -------
    Quantity or Partition
        Real numbers are a quantity, whole numbers a partition. In the shape
        that they have in the file.

    Raises
    ------
    ConfigError
        Missing, of another kind, damaged, or without a known partition.
    """
    path, inside = _split(key, text)
    if inside is None and not _is_hdf5(path):
        return _plain(key, text, masks.load_numbers(key, path), Path(path).stem)
    groups = _groups(inside)
    names = {name for group, layout in groups for name in _all_of(group, layout)} | ({inside} if inside else set())
    with plain_datasets(path, sorted(names)) as found:
        if inside in found and (not _is_known(inside) or found[inside].dtype.kind == "f"):
            item = found[inside]
            return _plain(key, text, _numbers(key, text, item), Path(inside).name, _unit(item))
        # two programs may call a map the same: then it is the one whose values are there
        for group, layout in sorted(groups, key=lambda each: f"{each[0]}/{each[1].values}" not in found):
            for is_fine in (False, True):
                name = f"{group}/{layout.fine if is_fine else layout.coarse}"
                if name in found and inside in (None, group, name):
                    return _partition(key, f"{path}:{name}", found, group, layout, is_fine)
    if inside:
        raise ConfigError(f"{key}: {path!r} has no dataset {inside!r}, and no partition in a group of that name")
    known = ", ".join(f"{layout.groups[0]}/{layout.coarse}" for layout in _LAYOUTS)
    raise ConfigError(
        f"{key}: {path!r} has no partition where known programs put one ({known}): name the dataset, as "
        f"{path}:/path/map"
    )


def _plain(key, text, array, name, unit=""):
    """Return a map of which nothing more is known: a quantity if its numbers are real, else a partition."""
    if array.dtype.kind == "f":
        return Quantity(array.astype(np.float64), _word(name) or "map", unit_of(unit), text)
    color, notes = _colors(key, text, array)
    return Partition(color, None, {}, {}, "", "", text, notes=notes)


def load_mask(key, text):
    """Load a mask as `load_map`: from a .npy file, or an HDF5 file's dataset, or what lies beside a known partition.

    Returns
    -------
    bool array
        True = process, in the shape that it has in the file.
    """
    path, inside = _split(key, text)
    if inside is None and not _is_hdf5(path):
        return masks.load_mask(path, key)
    if inside:
        names = [inside, f"{inside}/mask"]
    else:
        names = [f"{group}/{layout.mask}" for layout in _LAYOUTS for group in layout.groups]
    with plain_datasets(path, names) as found:
        name = next((name for name in names if name in found), None)
        if name is None:
            raise ConfigError(f"{key}: {path!r} has no mask at {names[0]!r}: name the dataset, as {path}:/path/mask")
        array = _numbers(key, f"{path}:{name}", found[name])
    return masks.as_mask(array, f"{path}:{name}", key)


def fitted(key, source, array, shape, layout=None):
    """Return a map in the detector's shape.

    Parameters
    ----------
    key, source : str
        For the error.
    array : ndarray
    shape : tuple of int
        Axes of length 1 in front do not matter.
    layout : parcorana.detector.images.Layout, optional
        An array of its image's shape is taken as an image.

    Raises
    ------
    ConfigError
        It has neither of the two shapes.
    """
    there, wanted = _without_ones(array.shape), _without_ones(shape)
    if there == wanted:
        return array.reshape(shape)
    if layout is not None and there == _without_ones(layout.shape):
        return layout.ndarray(array.reshape(layout.shape))
    text, right = masks.shown_shape(array.shape), masks.shown_shape(shape)
    turned = "; its rows and columns are exchanged: say --transpose" if there == wanted[::-1] else ""
    image = f", or {masks.shown_shape(layout.shape)} of its image" if layout and layout.shape != wanted else ""
    raise ConfigError(f"{key}: {source!r} has the shape {text}; it must be {right}, that of the data{image}{turned}")


def _without_ones(shape):
    return tuple(shape[next((k for k, length in enumerate(shape) if length != 1), len(shape)) :])


def _split(key, text):
    """Return the file's name, and the path in it or None."""
    path, colon, inside = str(text).partition(":/")
    if not colon or os.path.exists(text):
        path, inside = str(text), None
    if fault := fault_of(path):
        raise ConfigError(f"{key}: the file {path!r} {fault}")
    if inside is None:
        return path, None
    inside = "/" + inside.strip("/")
    if not _is_hdf5(path):
        raise ConfigError(f"{key}: {path!r} is not an HDF5 file, so there is no {inside!r} in it")
    return path, inside


def _is_hdf5(path):
    try:
        with open(path, "rb") as file:
            return file.read(len(_HDF5)) == _HDF5
    except OSError as error:
        raise ConfigError(f"the file {path!r} cannot be read: {one_line(error)}") from error


def _is_known(inside):
    return inside.rsplit("/", 1)[-1] in {name for layout in _LAYOUTS for name in (layout.coarse, layout.fine)}


def _groups(inside):
    """Return where partitions may be, as pairs of a group's name and how it names them."""
    if inside is None:
        return [(group, layout) for layout in _LAYOUTS for group in layout.groups]
    return [(group, layout) for group in (inside, inside.rpartition("/")[0]) for layout in _LAYOUTS]


def _of_fine(layout, name):
    """Return the name that a dataset has for the finer partition."""
    if name == layout.coarse:
        return layout.fine
    return name.replace("dynamic", "static") if name.startswith("dynamic") else f"s{name[1:]}"


def _all_of(group, layout):
    names = [name for name in (layout.coarse, layout.values, layout.sectors, layout.mapping) if name]
    names += [_of_fine(layout, name) for name in names]
    return [f"{group}/{name}" for name in (*names, layout.mask, *layout.units)]


def _numbers(key, text, item):
    if item.dtype.kind not in "iubf" or item.dtype.itemsize > 8:
        raise ConfigError(
            f"{key}: {text!r} holds {masks.shown_dtype(item.dtype)}; it must hold real numbers of up to 64 bits"
        )
    if not item.shape or 0 in item.shape:
        raise ConfigError(f"{key}: {text!r} has the shape {item.shape}, so it has no element")
    return item[()]


def _attribute(item, name):
    """Return an attribute that is a text, else an empty one."""
    value = item.attrs.get(name, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _unit(item):
    return _attribute(item, "units") or _attribute(item, "unit")


def _word(text):
    """Return a name as a heading of the table: one word of what can be shown."""
    return re.sub(r"[^\w()^+-]+", "_", printable(text)).strip("_")[:_LONGEST]


def _colors(key, text, array):
    """Return the numbers of a partition as int32, 0 where there is none, and what has to be said of them."""
    if array.dtype.kind == "f":
        known = np.isfinite(array)
        if (array[known] != np.rint(array[known])).any():
            raise ConfigError(f"{key}: {text!r} is a partition, and has numbers that are not whole")
        array = np.where(known & (np.abs(array) <= _LARGEST), array, 0).astype(np.int64)
    if array.dtype.kind == "b":
        array = array.astype(np.int32)
    if array.max() > _LARGEST:
        raise ConfigError(f"{key}: {text!r} has the value {array.max()}, which is too large for a colour")
    if not (array > 0).any():
        raise ConfigError(f"{key}: {text!r} has no number above 0, so it has no partition")
    below = np.unique(array[array < 0])
    notes = ()
    if below.size and below[0] < -1:
        notes = (
            f"{np.count_nonzero(array < 0):,} elements of {text} have negative numbers, as {below[0]}: in no colour",
        )
    return np.where(array > 0, array, 0).astype(np.int32), notes


def _partition(key, source, found, group, layout, is_fine):
    """Return the partition of a known layout, with what the file says of it."""

    def item(name):
        return found.get(f"{group}/{_of_fine(layout, name) if is_fine else name}") if name else None

    def numbers(name):
        there = item(name)
        return None if there is None or there.dtype.kind not in "iubf" else np.ravel(there[()])

    color, notes = _colors(key, source, _numbers(key, source, item(layout.coarse)))
    fine, of_fine = None, f"{group}/{layout.fine}"
    if of_fine in found:
        fine, more = _colors(key, f"{source.partition(':/')[0]}:{of_fine}", _numbers(key, of_fine, found[of_fine]))
        notes += more if not is_fine else ()
        if fine.shape != color.shape:
            raise ConfigError(f"{key}: {source!r} has the shape {color.shape}, and {of_fine!r} the shape {fine.shape}")
    name, unit = "q", ""
    if (values := item(layout.values)) is not None:
        first = [_first_text(found.get(f"{group}/{n}")) for n in layout.units] or ["", ""]
        name = _word(_attribute(values, "name") or first[0]) or "q"
        unit = unit_of(_unit(values) or first[1])
    mean, place, note = _values(color, numbers(layout.values), numbers(layout.sectors), numbers(layout.mapping), layout)
    return Partition(
        color, fine, mean, place, name if mean else "", unit or ("1/angstrom" if name == "q" else ""), source,
        f"{group}/{layout.mask}" in found, (*notes, *([f"{source}: {note}"] if note else [])),
    )  # fmt: skip


def _first_text(item):
    """Return the first of a dataset's texts; empty without one."""
    value = np.ravel(item[()])[:1] if item is not None and item.dtype.kind in "OS" else []
    return "".join(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in value)


def _values(color, values, sectors, mapping, layout):
    """Return the value, and ring and sector, of each partition, and why there are none."""
    numbers = np.unique(color[color > 0]).astype(np.int64)
    if values is None or not values.size:
        return {}, {}, f"no {layout.values} says what its partitions stand for"
    natural = numbers - 1
    if mapping is not None and mapping.dtype.kind in "iu" and natural[-1] < len(mapping):
        natural = mapping[natural].astype(np.int64)
    ring, sector = np.divmod(natural, 1 if sectors is None else max(sectors.size, 1))
    if natural.min() < 0 or ring.max() >= len(values):
        if len(values) != len(numbers):
            return {}, {}, f"{len(values)} {layout.values} and partitions up to {numbers[-1]} do not belong together"
        ring, sector = np.arange(len(numbers)), np.zeros(len(numbers), np.int64)
    mean = {int(c): float(v) for c, v in zip(numbers, values[ring], strict=True) if np.isfinite(v)}
    place = {int(c): (int(r) + 1, int(s) + 1) for c, r, s in zip(numbers, ring, sector, strict=True)}
    return mean, place if layout.sectors else {}, ""
