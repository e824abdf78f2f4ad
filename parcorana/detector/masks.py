"""Mask and colour files: loading, and every rule of docs/definitions.md, "Mask and colours"."""

import io
import math
import os
import warnings
from contextlib import suppress

import numpy as np

from parcorana.errors import ConfigError, one_line
from parcorana.files.limits import available
from parcorana.files.paths import fault_of

_AXES = 64  # more NumPy has not
_MADE = ("mask", "testmask", "color", "finecolor")  # by a tool, which who begins does not know yet
_LONGEST_HEADER = 1 << 16  # of a .npy file: six times what NumPy takes for safe


def _values(array):
    shown = [str(v) for v in array[:5]]
    return ", ".join(shown) + (", ..." if len(array) > 5 else "")


def load_numbers(key, path):
    """Load an array of real numbers from a .npy file.

    Parameters
    ----------
    key : str
        Configuration key or option that names the file, for the error.
    path : str

    Returns
    -------
    ndarray of integral, bool or real dtype, any shape

    Raises
    ------
    ConfigError
        Missing, not a .npy file, pickled objects, another dtype, empty.
    """
    fault = fault_of(path)
    if fault == "is a folder":
        raise ConfigError(f"{key}: {str(path)!r} is a folder; it must be the name of a .npy file")
    if fault:
        hint = "; parCorAnaMaskColorTool start makes such files" if key in _MADE and fault == "does not exist" else ""
        raise ConfigError(f"{key}: the file {str(path)!r} {fault}{hint}")
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, over a header that Python 2 has written
            _check_header(key, path, file)
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)
    except ConfigError:
        raise
    except Exception as error:  # whatever NumPy raises over a broken header
        raise ConfigError(f"{key}: {str(path)!r} is not a readable .npy file of numbers: {one_line(error)}") from None
    if array.dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise ConfigError(f"{key}: {str(path)!r} is damaged: it holds bool, and has bytes other than 0 and 1")
    return array


def _check_header(key, path, file):
    """Refuse what a .npy file announces, before anything of that size is asked of the memory."""
    head = io.BytesIO(file.read(_LONGEST_HEADER))
    begin = head.getvalue()[: len(np.lib.format.MAGIC_PREFIX)]
    if begin != np.lib.format.MAGIC_PREFIX:
        what = "is empty" if not begin else "is an .npz archive" if begin.startswith(b"PK") else "begins as none"
        raise ValueError(f"it {what}; numpy.save writes one")
    version = np.lib.format.read_magic(head)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(version, np.lib.format.read_array_header_2_0)
    shape, _, dtype = read(head)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are code")
    if dtype.kind not in "iubf" or dtype.itemsize > 8:
        raise ConfigError(
            f"{key}: {str(path)!r} holds {shown_dtype(dtype)}; it must hold real numbers of up to 64 bits"
        )
    if any(type(length) is not int or length < 0 for length in shape) or len(shape) > _AXES:
        raise ValueError(f"no array has the shape {shown_shape(shape)}")
    if not shape or 0 in shape:
        raise ConfigError(f"{key}: {str(path)!r} has the shape {shown_shape(shape)}, so it has no element")
    needs, there = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - head.tell()
    if needs > there:
        raise ValueError(
            f"cut off: {shown_shape(shape)} of {dtype} take {needs:,} bytes, the file has {there:,} of them"
        )
    if needs > available():
        raise ValueError(f"its {needs / 2**30:,.1f} GiB are more memory than there is")


def shown_dtype(dtype):
    """Return a dtype's name, cut: a structured one can have any number of names from others."""
    text = str(dtype)
    return text if len(text) <= 60 else f"{text[:60]}..."


def shown_shape(shape):
    """Return a shape as text, as ``32x185x388``, cut: a broken header can have any number of axes."""
    return "x".join(str(n) for n in shape[:_AXES]) or "()"


def load_integers(key, path):
    """Load an array of integral or bool dtype from a .npy file, as `load_numbers`."""
    array = load_numbers(key, path)
    if array.dtype.kind not in "iub":
        raise ConfigError(
            f"{key}: {str(path)!r} holds {array.dtype}; it must hold whole numbers or bool: save it with .astype(int)"
        )
    return array


def color_files(config):
    """Generate name and array of the colour files that `user_params` names, as the shipped classes take them.

    To a user's own class these names may mean something else: what is no such file is left out.

    Parameters
    ----------
    config : parcorana.job.config.Config
    """
    for key in ("color", "finecolor"):
        if isinstance(path := config.user_params.get(key), str | os.PathLike):
            with suppress(ConfigError):
                yield key, load_integers(key, os.path.join(config.folder, path))


def load_mask(path, key="mask"):
    """Load a mask; return it as a bool array, True = process.

    Raises
    ------
    ConfigError
        A value other than 0 and 1, or no 1 at all.
    """
    return as_mask(load_integers(key, path), path, key)


def as_mask(array, path, key="mask"):
    """Return an array of a file as a bool mask, by the rules of `load_mask`."""
    wrong = np.unique(array[(array != 0) & (array != 1)])
    if wrong.size:
        hint = ""
        if 2 * np.count_nonzero(array == 0) > array.size:
            hint = "; if 0 is a good pixel in it, as in NeXus' pixel_mask, save (array == 0)"
        raise ConfigError(
            f"{key}: {str(path)!r} has the values {_values(wrong)}; only 0 (leave out) and 1 (process) may be there"
            f"{hint}"
        )
    if not array.any():
        raise ConfigError(f"{key}: {str(path)!r} is 0 everywhere; at least one element must be 1 (process)")
    return array.astype(bool)


def other_way_round(mask, bad=None):
    """Return what to say of a mask that seems to be of the other convention, where 1 is a bad pixel; else nothing.

    Parameters
    ----------
    mask : bool array
    bad : bool array, optional
        Elements that have no data in some events: gaps, and what is not finite.
    """
    included = np.count_nonzero(mask)
    if 2 * included >= mask.size:
        return ""
    text = f"the mask includes {included:,} of {mask.size:,} elements, those with 1"
    if bad is not None and 2 * np.count_nonzero(mask & bad) > np.count_nonzero(bad):
        return (
            f"{text}, and {np.count_nonzero(mask & bad):,} of the {np.count_nonzero(bad):,} that have no data are "
            f"among them: 1 is a bad pixel in it; save 1 - mask, which includes {mask.size - included:,}"
        )
    return (
        f"{text}. In masks of other programs 1 is a bad pixel; if it is so here, {mask.size - included:,} are to be "
        "processed: save 1 - mask"
    )


def leaves_out_colored(mask, color):
    """Return what to say of a mask that leaves out most of the elements that have a colour; else nothing."""
    colored = np.count_nonzero(color > 0)
    out = np.count_nonzero((color > 0) & ~mask)
    if 2 * out <= colored:
        return ""
    return f"the mask leaves out {out:,} of the {colored:,} elements that have a colour: is 1 a bad pixel in it?"


def check_shape(key, path, shape, wanted, what):
    """Raise ConfigError unless the two shapes are the same."""
    if tuple(shape) != tuple(wanted):
        raise ConfigError(
            f"{key}: {str(path)!r} has the shape {shown_shape(shape)}; it must be {shown_shape(wanted)}, that of {what}"
        )


def load_color(path, mask, key="color"):
    """Load a colour file; return int64, 0 = in no delay curve.

    Parameters
    ----------
    path : str
    mask : bool array
        Gives the shape that is wanted.
    key : str
    """
    array = load_integers(key, path)
    check_shape(key, path, array.shape, mask.shape, "the mask (which of the two has the detector's shape?)")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ConfigError(f"{key}: {str(path)!r} has the value {array.max()}, which is too large for a colour")
    array = array.astype(np.int64)
    negative = np.unique(array[array < 0])
    if negative.size:
        raise ConfigError(f"{key}: {str(path)!r} has the negative values {_values(negative)}; colours are 0 or larger")
    return array


def check_finecolor(path, color, finecolor):
    """Raise ConfigError where an element has a colour but no fine colour."""
    missing = int(np.count_nonzero((color > 0) & (finecolor == 0)))
    if missing:
        first = tuple(int(i) for i in np.argwhere((color > 0) & (finecolor == 0))[0])
        raise ConfigError(
            f"finecolor: {str(path)!r} is 0 at {missing} elements that have a colour (the first is {first}); "
            "where the colour is above 0 the fine colour must be, too"
        )


def few_colored(color):
    """Return a warning if many included elements are in no delay curve, else an empty string.

    Parameters
    ----------
    color : (n,) int64
        Of the included elements.
    """
    none = int(np.count_nonzero(color == 0))
    if none == len(color):
        return "color: every included element has colour 0, so there will be no delay curve"
    if none > len(color) // 10:
        return f"color: {none} of {len(color)} included elements have colour 0: they are in no delay curve"
    return ""
