"""Between the detector's ndarray and an image: index arrays iX (rows) and iY (columns)."""

import math
from dataclasses import dataclass

import numpy as np

from parcorana.detector import masks
from parcorana.errors import ConfigError

_GAP = 2  # pixels between segments that are laid out side by side
_MARKS = (-2, -1)  # stand for elements without data, where they are the smallest numbers
_LARGEST = tuple(float(np.iinfo(f"{kind}{size}").max) for kind in ("uint", "int") for size in (16, 32, 64))
_SPARSE = 100  # image pixels for each element, beyond which index files must be wrong


@dataclass(frozen=True)
class Layout:
    """Where the elements of a detector are in its image.

    Attributes
    ----------
    iX, iY : int32 arrays of the detector's shape
        Row and column of each element.
    """

    iX: np.ndarray
    iY: np.ndarray

    @property
    def shape(self):
        """Shape of the image."""
        return int(self.iX.max()) + 1, int(self.iY.max()) + 1

    def _flat(self):
        return self.iX.ravel().astype(np.int64) * self.shape[1] + self.iY.ravel()

    def _on_pixel(self):
        return np.bincount(self._flat(), minlength=math.prod(self.shape))

    def describe(self):
        """Return a line on how the elements fall on the image's pixels."""
        on_pixel = self._on_pixel()
        shared = on_pixel > 1
        text = f"image of {self.shape[0]}x{self.shape[1]} pixels: {np.count_nonzero(on_pixel == 0):,} with no element"
        if not shared.any():
            return f"{text}, none with more than one: every element has a pixel of its own"
        return (
            f"{text}, {np.count_nonzero(shared):,} with more than one: {on_pixel[shared].sum():,} elements share a "
            "pixel with another one"
        )

    def covered(self):
        """Return a bool image: where there is an element."""
        return (self._on_pixel() > 0).reshape(self.shape)

    def image(self, array):
        """Put an ndarray into its image.

        Of several elements on one pixel whole numbers and bool give the
        smallest value, so that what is excluded stays excluded, and real
        numbers their mean.

        Parameters
        ----------
        array : ndarray of the detector's shape

        Returns
        -------
        2-D array of the same dtype
            0 where there is no element.
        """
        flat, values, size = self._flat(), array.ravel(), math.prod(self.shape)
        if array.dtype.kind == "f":
            on_pixel = self._on_pixel()
            sums = np.bincount(flat, values, size)
            result = np.divide(sums, on_pixel, out=np.zeros(size), where=on_pixel > 0).astype(array.dtype)
            alone = on_pixel[flat] == 1
            result[flat[alone]] = values[alone]  # to the last bit
            return result.reshape(self.shape)
        order = np.argsort(values, kind="stable")[::-1]
        result = np.zeros(size, array.dtype)
        result[flat[order]] = values[order]  # the smallest comes last, and stays
        return result.reshape(self.shape)

    def ndarray(self, image):
        """Take an ndarray from its image: each element gets the value of its pixel."""
        return image[self.iX, self.iY]


def is_data(array):
    """Return where a frame, or an average of frames, has data, and not a value that stands for a gap.

    Gaps are what is not finite, the largest value of the type, and -1 (and -2)
    where no smaller number is. Of floats, which may have been integers, the
    largest of all values is a gap, too, if it is the largest of an integer type
    of 16 bits or more.

    Parameters
    ----------
    array : ndarray of real numbers

    Returns
    -------
    bool array of the same shape
    """
    if array.dtype.kind == "b":
        return np.ones(array.shape, bool)
    if array.dtype.kind == "f":
        data = np.isfinite(array) & (array != np.finfo(array.dtype).max)
        largest = array.max(where=data, initial=-np.inf)
        if largest in _LARGEST:
            data &= array != largest
    else:
        data = array != np.iinfo(array.dtype).max
    if array.dtype.kind != "u" and array.min(where=data, initial=0) in _MARKS:
        data &= array >= 0
    return data


def segments_apart(shape):
    """Lay out a detector of which no geometry is known: 2-D as it is, segments side by side, nearly square."""
    *more, rows, columns = (1,) * max(0, 2 - len(shape)) + tuple(shape)
    number = math.prod(more)
    across = math.ceil(math.sqrt(number * rows / columns)) if number > 1 else 1
    row, column = np.indices((rows, columns))
    place = np.arange(number).reshape(-1, 1, 1)
    iX = row + place // across * (rows + _GAP)
    iY = column + place % across * (columns + _GAP)
    return Layout(*(index.reshape(shape).astype(np.int32) for index in (iX, iY)))


def check_both(path_x, path_y):
    """Raise ConfigError if only one of the options --iX and --iY is given."""
    if bool(path_x) != bool(path_y):
        raise ConfigError("--iX and --iY belong together: give both")


def load_layout(path_x, path_y):
    """Load index files.

    Raises
    ------
    ConfigError
        Not two files of whole numbers of one shape, or they make no image.
    """
    iX, iY = masks.load_integers("iX", path_x), masks.load_integers("iY", path_y)
    masks.check_shape("iY", path_y, iY.shape, iX.shape, f"{str(path_x)!r}")
    for key, path, index in (("iX", path_x, iX), ("iY", path_y, iY)):
        if index.min() < 0:
            raise ConfigError(f"{key}: {str(path)!r} has the negative value {index.min()}; rows and columns begin at 0")
    pixels = (int(iX.max()) + 1) * (int(iY.max()) + 1)
    if pixels > _SPARSE * iX.size + 10_000:
        raise ConfigError(
            f"iX, iY: {str(path_x)!r} and {str(path_y)!r} have values up to {iX.max()} and {iY.max()}: an image of "
            f"{pixels:,} pixels for {iX.size:,} elements; are these index files?"
        )
    return Layout(iX.astype(np.int32), iY.astype(np.int32))
