"""What an HDF5 file does not say by itself: sources that changed, frames never written in the middle, counters that wrap."""

import h5py
import numpy as np
import pytest
from test_hdf5_written import FRAMES, SHAPE, check, frames_of, opened

from parcorana.errors import ConfigError


def master(folder, sources, name="master.h5"):
    """Write a virtual dataset of whole sources, one after the other, each (file, number of frames)."""
    layout, at = h5py.VirtualLayout((sum(size for _, size in sources), *SHAPE), "u2"), 0
    for file, size in sources:
        layout[at : at + size] = h5py.VirtualSource(file, "data", (size, *SHAPE))
        at += size
    with h5py.File(folder / name, "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=0)
    return f"h5={folder}/{name}"


@pytest.mark.parametrize("shape", [(40, 4, 12), (40, 8, 6), (80, 4, 3), (50, 6, 4), (45, 24)])
def test_a_source_that_has_other_frames_now(tmp_path, shape):
    """HDF5 itself refuses it; no layout is made up."""
    text = master(tmp_path, [("part.h5", 40)])
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["data"] = np.ones(shape, "u2")
    if np.prod(shape) == FRAMES.size:  # the same elements in the same order
        check(text, np.ones(FRAMES.shape), [True] * 40)
        return
    with pytest.raises(ConfigError, match=r"part\.h5: it is mapped as frames of shape \(40, 4, 6\), and has shape \("):
        opened(text)


@pytest.mark.parametrize("size", [30, 50])
def test_a_source_that_is_longer_or_shorter(tmp_path, size):
    text = master(tmp_path, [("part.h5", 40)])
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["data"] = np.resize(FRAMES, (size, *SHAPE))
    check(text, FRAMES, np.arange(40) < size)
