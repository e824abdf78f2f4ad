"""What an HDF5 file does not say by itself: sources that changed, frames never written, counters that wrap."""

import h5py
import numpy as np
import pytest
from test_hdf5_written import FRAMES, SHAPE, check, opened

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


@pytest.mark.parametrize("lacks", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("deep", [False, True])
def test_elements_that_an_inner_virtual_dataset_lacks(tmp_path, lacks, deep):
    """Frames without elements that others have are incomplete; what none has is a gap."""
    for k in range(2):
        with h5py.File(tmp_path / f"source{k}.h5", "w") as file:
            file["x"] = FRAMES[20 * k : 20 * k + 20]
        layout = h5py.VirtualLayout((20, *SHAPE), "u2")
        source, rows = h5py.VirtualSource(f"source{k}.h5", "x", (20, *SHAPE)), np.s_[:, :2] if k in lacks else np.s_[:]
        layout[rows] = source[rows]
        with h5py.File(tmp_path / f"inner{k}.h5", "w") as file:
            file.create_virtual_dataset("data", layout, fillvalue=0)
    text = master(tmp_path, [("inner0.h5", 20), ("inner1.h5", 20)])
    if deep:
        text = master(tmp_path, [("master.h5", 40)], "outer.h5")
    gap = np.zeros(SHAPE, bool)
    gap[2:] = len(lacks) == 2
    lines, there = [], np.repeat([len(lacks) == 2 or k not in lacks for k in range(2)], 20)
    source = opened(text, log=lines.append)
    assert source.unmapped is None if not gap.any() else np.array_equal(source.unmapped, gap)
    source.close()
    check(text, np.where(gap, 0, FRAMES), there, log=lines.append)
    assert there.all() or ("no data in 20 of 40 frames: " in lines[0] and "mapped to a part of them)" in lines[0])
