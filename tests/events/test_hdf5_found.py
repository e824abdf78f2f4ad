"""What an HDF5 file does not say by itself: sources that changed, frames never written, counters that wrap."""

import itertools
import os
import shutil

import h5py
import numpy as np
import pytest
from test_hdf5_written import FRAMES, SHAPE, check, opened

from parcorana.errors import ConfigError, RunError
from parcorana.events.hdf5 import files as hdf5_files
from parcorana.events.hdf5 import source as hdf5
from parcorana.events.hdf5 import stack as hdf5_stack


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


def said_of_fill(text, src="data", **share):
    lines = []
    opened(text, src, lines.append, **share).close()
    return [line.split(": ", 1)[1] for line in lines if "the fill value" in line]


def unfinished(folder, written, chunks=None, size=20):
    """Write files of so many frames, of which so many each were written."""
    for k, count in enumerate(written):
        with h5py.File(folder / f"part{k}.h5", "w") as file:
            file.create_dataset("data", (size, *SHAPE), "u2", chunks=chunks)[:count] = FRAMES[:count]
    return [(f"part{k}.h5", size) for k in range(len(written))]


@pytest.mark.parametrize("chunks", [None, (10, *SHAPE)])
@pytest.mark.parametrize("how", ["virtual", "nested", "series", "turns"])
def test_fill_at_the_end_of_a_source(tmp_path, chunks, how):
    """Said of every source, where its frames are in the whole."""
    sources = unfinished(tmp_path, [15, 20, 18], chunks)
    if how == "series":
        text, src = f"h5={tmp_path}/series.h5", "entry"
        with h5py.File(tmp_path / "series.h5", "w") as file:
            for k, (name, _) in enumerate(sources, 1):
                file.require_group("entry")[f"data_{k:06d}"] = h5py.ExternalLink(name, "/data")
    else:
        text, src = master(tmp_path, sources), "data"
    if how == "nested":
        text = master(tmp_path, [("master.h5", 60)], "outer.h5")
    inside = "frames 15-19 "
    if how == "turns":
        layout = h5py.VirtualLayout((60, *SHAPE), "u2")
        for k, (name, size) in enumerate(sources):
            layout[k::3] = h5py.VirtualSource(name, "data", (size, *SHAPE))
        with h5py.File(tmp_path / "master.h5", "w") as file:
            file.create_virtual_dataset("data", layout)
        inside = "frames 45, 48, 51, 54, 56-57 "
    first, second = said_of_fill(text, src)
    assert first.startswith(inside) and "-n" not in first
    count = 1 if how == "turns" else 2
    assert second.startswith(f"the last {count} of 60 frames ") and second.endswith(f" -n {60 - count}")
    assert not said_of_fill(text, src, server=1, servers=2)


@pytest.mark.parametrize("together", [1, FRAMES[0].nbytes * 3])
def test_fill_at_the_end_however_large(tmp_path, monkeypatch, together):
    monkeypatch.setattr(hdf5_stack, "_LOOKED_BACK", together)
    unfinished(tmp_path, [5], size=40)
    assert said_of_fill(f"h5={tmp_path}/part0.h5")[0].startswith("the last 35 of 40 frames hold nothing but 0, ")
    monkeypatch.setattr(hdf5_stack, "_LOOKED_BACK_IN_ALL", 8 * FRAMES[0].nbytes)
    (line,) = said_of_fill(f"h5={tmp_path}/part0.h5")
    assert line.startswith("at least the last ") and line.endswith(" or less")


def test_advice_on_fill_with_several_files(tmp_path):
    """``-n`` counts the events of all files, and leaves out those at the very end only."""
    unfinished(tmp_path, [15, 16])
    text = f"h5={tmp_path}/part0.h5,{tmp_path}/part1.h5"
    first, second = said_of_fill(text)
    assert first.startswith("the last 5 of 20 frames ") and "-n" not in first
    assert second.startswith("the last 4 of 20 frames ") and second.endswith(" -n 36")
    (first,) = said_of_fill(text, numevents=36)
    assert first.startswith("the last 5 of 20 frames ")


@pytest.mark.parametrize("chunks", [None, (1, *SHAPE)])
@pytest.mark.parametrize("most", [1, 40])
def test_a_file_that_is_written_anew_while_it_is_read(tmp_path, monkeypatch, chunks, most):
    """Of the same length, as a copy over it: neither old values nor new ones count from then on."""
    for name in ("_FEWEST", "_MOST"):
        monkeypatch.setattr(hdf5_files, name, most)
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", FRAMES[:4].nbytes)
    for k in range(2):
        with h5py.File(tmp_path / f"part{k}.h5", "w") as file:
            file.create_dataset("data", data=FRAMES + k, chunks=chunks)
    shutil.copy(tmp_path / "part0.h5", tmp_path / "part.h5")
    source = opened(f"h5={tmp_path}/part.h5")
    events = itertools.chain.from_iterable(source.blocks())
    assert np.array_equal(next(events).data(), FRAMES[0])
    before = (tmp_path / "part.h5").stat()
    shutil.copyfile(tmp_path / "part1.h5", tmp_path / "part.h5")
    os.utime(tmp_path / "part.h5", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert all(np.array_equal(next(events).data(), FRAMES[k]) for k in range(1, 4)), "read before"
    with pytest.raises(RunError, match=r"part\.h5: the file was written to while it was read: it was last changed at"):
        next(events).data()
    source.close()


def test_written_stretches_in_the_middle_of_chunks(tmp_path):
    """The end of each is where the frames end that hold values, not where its last chunk ends."""
    there = np.zeros(40, bool)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        item = file.create_dataset("data", (40, *SHAPE), "u2", chunks=(5, 2, 6))
        for first, last in ((0, 8), (15, 17), (35, 40)):
            item[first:last], there[first:last] = FRAMES[first:last], True
    lines = []
    check(f"h5={tmp_path}/f.h5", FRAMES, there, log=lines.append)
    assert "no data in 25 of 40 frames: 8-14, 17-34 (never written)" in lines[0]


@pytest.mark.parametrize("name", ["counter", "timestamp", "instrument/NDAttributes/NDArrayUniqueId"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">u2", "i4", "u4"])
@pytest.mark.parametrize("step", [1, 3])
def test_narrow_times_that_wrap(tmp_path, name, dtype, step):
    most = int(np.iinfo(dtype).max)
    values = np.arange(most - 20 * step, most + 20 * step, step).astype(np.int64)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"], file[name] = FRAMES, values.astype(dtype)
    with pytest.raises(
        ConfigError, match=rf"/{name} goes back from \d+ to -?\d+ at index 2[12]: it wraps at the end of"
    ):
        opened(f"h5={tmp_path}/f.h5")


@pytest.mark.parametrize("bad", [{}, {17: 1}, {17: 0, 18: 0}, dict.fromkeys(range(30, 40), 0), {39: 1}])
def test_narrow_times_that_do_not_wrap(tmp_path, bad):
    """The type's whole range may be used, and a few that are none are bad events, or never written."""
    values = np.linspace(1, 65535, 40).astype("u2")
    for at, value in bad.items():
        values[at] = value
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"], file["counter"] = FRAMES, values
    source = opened(f"h5={tmp_path}/f.h5")
    assert [event.stamp for block in source.blocks() for event in block] == values.tolist()
    source.close()


@pytest.mark.parametrize("sizes", [(10, 8, 6), (10, 10, 6), (4, 4, 10)])
def test_a_part_in_the_middle_that_is_shorter(tmp_path, sizes):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for k, size in enumerate(sizes, 1):
            file[f"entry/data_{k:06d}"] = FRAMES[:size]
    lines = []
    opened(f"h5={tmp_path}/f.h5", "entry", lines.append).close()
    said = [line for line in lines if "fewer frames than other parts, which have 10" in line]
    assert len(said) == (sizes != (10, 10, 6))
    assert not said or f"data_000002 ({sizes[1]})" in said[0]
