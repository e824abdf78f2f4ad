"""Mask and colour files: loading and every rule of section 5 of the contract."""

from pathlib import Path

import numpy as np

from parcorana.errors import ConfigError


def _values(array):
    shown = [str(v) for v in array[:5]]
    return ", ".join(shown) + (", ..." if len(array) > 5 else "")


def _shape(shape):
    return "x".join(str(n) for n in shape) or "()"


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
    if Path(path).is_dir():
        raise ConfigError(f"{key}: {str(path)!r} is a folder; it must be the name of a .npy file")
    if not Path(path).is_file():
        raise ConfigError(f"{key}: the file {str(path)!r} does not exist")
    try:
        with open(path, "rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # whatever NumPy raises over a broken header
        what = " ".join(str(error).split())
        raise ConfigError(f"{key}: {str(path)!r} is not a readable .npy file of numbers: {what}") from None
    if array.dtype.kind not in "iubf":
        raise ConfigError(f"{key}: {str(path)!r} holds {array.dtype}; it must hold real numbers")
    if array.size == 0 or array.ndim == 0:
        raise ConfigError(f"{key}: {str(path)!r} has the shape {_shape(array.shape)}, so it has no element")
    return array


def load_integers(key, path):
    """Load an array of integral or bool dtype from a .npy file, as `load_numbers`."""
    array = load_numbers(key, path)
    if array.dtype.kind not in "iub":
        raise ConfigError(
            f"{key}: {str(path)!r} holds {array.dtype}; it must hold whole numbers or bool: save it with .astype(int)"
        )
    return array


def load_mask(path, key="mask"):
    """Load a mask; return it as a bool array, True = process.

    Raises
    ------
    ConfigError
        A value other than 0 and 1, or no 1 at all.
    """
    array = load_integers(key, path)
    wrong = np.unique(array[(array != 0) & (array != 1)])
    if wrong.size:
        raise ConfigError(f"{key}: {str(path)!r} has the values {_values(wrong)}; only 0 (leave out) and 1 (process)")
    if not array.any():
        raise ConfigError(f"{key}: {str(path)!r} is 0 everywhere; at least one element must be 1 (process)")
    return array.astype(bool)


def check_shape(key, path, shape, wanted, what):
    """Raise ConfigError unless the two shapes are the same."""
    if tuple(shape) != tuple(wanted):
        raise ConfigError(
            f"{key}: {str(path)!r} has the shape {_shape(shape)}; it must be {_shape(wanted)}, that of {what}"
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
