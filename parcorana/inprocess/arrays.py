"""Frames in memory, or in anything that gives them by slices, as an event source."""

import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from parcorana.correlation.rolling import FAR
from parcorana.errors import ConfigError, one_line, shown
from parcorana.events.protocol import FrameBlock, Share, even_step

_BATCH = 16 << 20  # bytes of frames that are asked for at a time, where they are not an array of NumPy


class ArraySource:
    """An `EventSource` of frames that are there already.

    Parameters
    ----------
    frames : (T, ...) array, or what has `shape` and `dtype` and gives frames by a slice (h5py, dask, zarr)
    counters : (T,) int64 [pulses]
        Increasing.
    share : Share
    """

    live = False
    stamps: Literal["pulses"] = "pulses"

    def __init__(self, frames: Any, counters: np.ndarray, share: Share) -> None:
        self._frames, self._counters, self._share = frames, counters, share
        self.total = min(len(counters), share.numevents or len(counters))
        self.shape, self.dtype = tuple(frames.shape[1:]), np.dtype(frames.dtype)
        whole = isinstance(frames, np.ndarray)
        self._rows = len(counters) if whole else max(1, _BATCH // (self.dtype.itemsize * math.prod(self.shape)))

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the blocks, each a `FrameBlock`."""
        for first, last in self._share.blocks(self.total):
            nothing = np.zeros(last - first, np.int64)
            indexes = np.arange(first, last)
            stamps = self._counters[first:last]

            def read(k, first=first):
                return np.asarray(self._frames[first + k])

            def pieces(_wanted, first=first, last=last):
                for begin in range(first, last, self._rows):
                    yield begin - first, np.asarray(self._frames[begin : min(begin + self._rows, last)])

            yield FrameBlock(nothing, stamps, indexes, {}, read, pieces)

    def pulses_apart(self, _rate: float) -> int | None:
        """Return the pulses from each event to the next, if all are equally far apart."""
        return even_step(self._counters[: self.total])

    def files(self) -> list[str]:
        """Return the name of the file that the frames are in, if h5py has them."""
        name = getattr(getattr(self._frames, "file", None), "filename", None)
        return [name] if isinstance(name, str) else []

    def close(self) -> None:
        """Leave the frames to whoever has them."""


def checked_frames(frames: Any) -> Any:
    """Return frames as they are if they can be sliced, else as an array.

    Raises
    ------
    ConfigError
        They are no real numbers, no stack, or masked.
    """
    if isinstance(frames, Mapping):  # a group of h5py or zarr, too
        raise ConfigError("frames: is a group, not an array: take the dataset in it, as file['entry/data']")
    try:
        if not (hasattr(frames, "shape") and hasattr(frames, "dtype") and hasattr(frames, "__getitem__")):
            frames = np.asarray(frames)
        shape = tuple(operator.index(length) for length in frames.shape)
    except ValueError:  # some longer than others
        raise ConfigError("frames: they must all have the same shape") from None
    except TypeError:
        raise ConfigError(
            f"frames: how many there are is not known: {frames.shape}; dask's compute_chunk_sizes() finds it out"
        ) from None
    except RuntimeError as error:
        raise ConfigError(f"frames: cannot be read, is their file closed? {one_line(error)}") from None
    if isinstance(frames, np.ma.MaskedArray):
        raise ConfigError("frames: what a masked array masks would be taken for data: say `mask`, and frames.filled(0)")
    if len(shape) < 2 or np.dtype(frames.dtype).kind not in "iufb":
        raise ConfigError(
            f"frames: must be real numbers, one frame after the other along the first axis, not {frames.dtype} of "
            f"shape {shape}"
        )
    if not shape[0]:
        raise ConfigError("frames: there is none")
    if not math.prod(shape[1:]):
        raise ConfigError(f"frames: they have no elements, for their shape is {shape[1:]}")
    return frames


def checked_mask(mask: Any) -> np.ndarray:
    """Return a mask as bool.

    Raises
    ------
    ConfigError
        It is not of numbers.
    """
    given = np.asarray(mask)
    if given.dtype.kind not in "biuf" or np.isnan(given).any():
        raise ConfigError(f"mask: must be numbers, 0 for the elements to leave out, not {given.dtype} {shown(mask)}")
    return given != 0


def checked_counters(counters: Any, total: int) -> np.ndarray:
    """Return the pulse of each frame, int64; 0, 1, 2 ... where none is given.

    Raises
    ------
    ConfigError
        They are no increasing whole numbers, one for each frame.
    """
    if counters is None:
        return np.arange(total)
    given = np.asarray(counters)
    if given.shape != (total,) or given.dtype.kind not in "iu":
        raise ConfigError(f"counters: must be {total:,} whole numbers, one a frame, not {given.dtype} {given.shape}")
    if given.min() < -FAR or given.max() > FAR:
        raise ConfigError("counters: must be between -2^61 and 2^61, as numbers of pulses are")
    if (np.diff(given.astype(np.int64)) <= 0).any():
        raise ConfigError("counters: must increase from frame to frame; sort the frames by them")
    return given.astype(np.int64)
