"""A frame is data only if it was written: fill values of HDF5 are never events."""

import itertools
import os
import re
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcorana.errors import RunError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5 import files as hdf5_files
from parcorana.events.hdf5 import source as hdf5
from parcorana.events.hdf5 import stack as hdf5_stack
from parcorana.events.hdf5 import unpacked as hdf5_unpacked
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

SHAPE = (4, 6)
FRAMES = np.random.default_rng(3).integers(1, 200, (40, *SHAPE)).astype(np.uint16)  # no zeros: those are fill values


def opened(text, src="data", log=print, **share):
    return open_source(parse_dataset(text), src=src, share=Share(**share), log=log)


def frames_of(source):
    """Return each frame, None without data, by both ways that a server may take."""
    one_by_one, pieces = [], []
    for block in source.blocks():
        for event in block:
            frame = event.data()
            one_by_one.append(None if frame is None else frame.copy())
    for block in source.blocks():
        before = len(pieces)
        for at, piece in block.pieces(None):
            assert at == len(pieces) - before
            pieces += [None] * piece if isinstance(piece, int) else [frame.copy() for frame in piece]
    source.close()
    assert len(one_by_one) == len(pieces)
    assert all((a is None and b is None) or np.array_equal(a, b) for a, b in zip(one_by_one, pieces, strict=True))
    return one_by_one


def check(text, right, there, src="data", log=print, **share):
    """Compare what is read with the frames of HDF5, where something is there."""
    found = frames_of(opened(text, src, log, **share))
    assert [frame is not None for frame in found] == list(there)
    for frame, truth in zip(found, right, strict=True):
        assert frame is None or np.array_equal(frame, truth)


# -- virtual datasets: what HDF5 itself reads, with every file there, is the truth -----


@st.composite
def virtual(draw):
    """Mappings of sources into a virtual dataset: stretches, every so many-th frame, modules, other ranks."""
    mappings = []
    modules = [[(0, 6, 1)], [(0, 3, 1), (3, 6, 1)], [(0, 2, 1), (4, 6, 1)], [(0, 6, 2), (1, 6, 2)]]
    columns = draw(st.sampled_from(modules))
    for first, last, step in columns:
        for _ in range(draw(st.integers(1, 3))):
            start, stride = draw(st.integers(0, 30)), draw(st.integers(1, 3))
            size = draw(st.integers(1, max((39 - start) // stride, 1)))
            kind = draw(st.sampled_from(["all", "some", "rank", "flat", "column", "irregular", "nested"]))
            mappings.append((start, stride, size, (first, last, step), kind))
    return mappings


def write_virtual(folder, mappings):
    """Write the sources and the master; return which elements have a source at all."""
    layout, taken = h5py.VirtualLayout(FRAMES.shape, "u2"), np.zeros(FRAMES.shape, bool)
    for k, (start, stride, size, (first, last, step), kind) in enumerate(mappings):
        rows, columns = slice(start, start + size * stride, stride), slice(first, last, step)
        if taken[rows, :, columns].any():
            continue  # of two sources for one element HDF5 takes either
        taken[rows, :, columns] = True
        values, name = FRAMES[rows, :, columns], f"part{k}.h5"
        with h5py.File(folder / name, "w") as file:
            if kind == "all":
                file["x"], source = values, h5py.VirtualSource(name, "x", values.shape)
            elif kind == "some":
                file["x"] = np.concatenate([values * 0 + 1, values, values])
                source = h5py.VirtualSource(name, "x", (3 * size, *values.shape[1:]))[size : 2 * size]
            elif kind == "rank":
                file["x"], source = values[None], h5py.VirtualSource(name, "x", (1, *values.shape))[:1]
            elif kind == "flat":
                flat = values.reshape(-1, values.shape[2])
                file["x"], source = flat, h5py.VirtualSource(name, "x", flat.shape)[: len(flat)]
            elif kind == "column":
                file["x"] = np.stack([values * 0 + 1, values], 1)
                source = h5py.VirtualSource(name, "x", (size, 2, *values.shape[1:]))[:, 1]
            elif kind == "irregular":
                wide = np.ones((size + 3, *values.shape[1:]), "u2")
                places = [*range(size - size // 2), *range(size - size // 2 + 3, size + 3)]
                wide[places] = values
                file["x"], source = wide, h5py.VirtualSource(name, "x", wide.shape)[places]
            else:
                inner = h5py.VirtualLayout(values.shape, "u2")
                inner[:] = h5py.VirtualSource(".", "y", values.shape)
                file.create_dataset("y", data=values, chunks=(2 if size > 1 else 1, *values.shape[1:]))
                file.create_virtual_dataset("x", inner)
                source = h5py.VirtualSource(name, "x", values.shape)
        layout[rows, :, columns] = source
    with h5py.File(folder / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=0)
    return taken


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mappings=virtual(), lost=st.integers(-1, 5), block=st.integers(1, 50), batch=st.integers(1, 4000))
def test_virtual_datasets(tmp_path_factory, mappings, lost, block, batch):
    folder = tmp_path_factory.mktemp("virtual")
    taken = write_virtual(folder, mappings)
    with h5py.File(folder / "master.h5") as file:
        right = file["data"][()]
    assert ((right != 0) == taken).all(), "HDF5 itself does not read it"
    lost = f"part{lost}.h5" if (folder / f"part{lost}.h5").exists() and len(list(folder.glob("part*"))) > 1 else None
    if lost:
        (folder / lost).rename(folder / "away.h5")
        with h5py.File(folder / "master.h5") as file:
            read = file["data"][()]
    ever = taken.any(axis=0)
    there = ((read if lost else right)[:, ever] != 0).all(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "_BATCH_BYTES", batch)
        lines = []
        check(f"h5={folder}/master.h5", right, there, log=lines.append, block=block)
    missing = [line for line in lines if "no data in" in line]
    assert len(missing) == (not there.all())
    if missing:
        assert f"no data in {np.count_nonzero(~there)} of 40 frames" in missing[0]
    if lost and (taken.any(axis=(1, 2)) & ~there).any():
        assert f"{lost}: there is no such file" in missing[0] or "to a part of them" in missing[0]


def numbered(folder, values, name="part_{}.h5"):
    for k, value in enumerate(values):
        with h5py.File(folder / name.format(k), "w") as file:
            file.create_dataset("x", data=value, maxshape=(None, *SHAPE))


def endless(folder, start, stride, block, file, whole=False):
    """Write a virtual dataset, of one mapping without end for each file named."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    unlimited = h5py.h5s.UNLIMITED
    for k, name in enumerate(file):
        into = h5py.h5s.create_simple((0, *SHAPE), (unlimited, *SHAPE))
        into.select_hyperslab((start[k], 0, 0), (unlimited, 1, 1), stride=(stride, 1, 1), block=(block, *SHAPE))
        of = h5py.h5s.create_simple((block, *SHAPE), (unlimited, *SHAPE))
        if whole:
            of = h5py.h5s.create_simple((block, *SHAPE))
        else:
            of.select_hyperslab((0, 0, 0), (unlimited, 1, 1), stride=(block, 1, 1), block=(block, *SHAPE))
        plist.set_virtual(into, name.encode(), b"x", of)
    with h5py.File(folder / "master.h5", "w", libver="latest") as master:
        into.select_all()
        h5py.h5d.create(master.id, b"data", h5py.h5t.NATIVE_UINT16, into, plist)


@pytest.mark.parametrize("lost", [None, 1, 2])
def test_numbered_files(tmp_path, lost):
    """As ``part_%b.h5``: HDF5 ends before the first one that is missing, and says nothing of those after it."""
    numbered(tmp_path, np.split(FRAMES, 4))
    endless(tmp_path, [0], 10, 10, ["part_%b.h5"], whole=True)
    with h5py.File(tmp_path / "master.h5") as file:
        assert np.array_equal(file["data"], FRAMES), "HDF5 itself does not read it"
    there, lines = np.ones(40, bool), []
    if lost is not None:
        (tmp_path / f"part_{lost}.h5").unlink()
        there[10 * lost : 10 * lost + 10] = False
    check(f"h5={tmp_path}/master.h5", FRAMES, there, log=lines.append, block=7)
    if lost is not None:
        (line,) = lines
        assert (
            f"no data in 10 of 40 frames: {10 * lost}-{10 * lost + 9} (part_{lost}.h5: there is no such file)" in line
        )


def test_sources_without_end(tmp_path):
    """As a detector's parts that take turns: the shorter one lacks the frames at the end."""
    numbered(tmp_path, [FRAMES[::2], FRAMES[1:31:2]])
    endless(tmp_path, [0, 1], 2, 1, ["part_0.h5", "part_1.h5"])
    there = np.ones(39, bool)
    there[31::2] = False
    lines = []
    check(f"h5={tmp_path}/master.h5", FRAMES[:39], there, log=lines.append)
    assert "no data in 4 of 39 frames: 31, 33, 35, 37 (part_1.h5: x has 15 frames only)" in lines[0].replace("/x", "x")


def test_source_shorter_than_it_is_mapped(tmp_path):
    layout = h5py.VirtualLayout((40, *SHAPE), "u2")
    for k, (kind, size) in enumerate((("all", 15), ("some", 12))):
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file["x"] = FRAMES[20 * k : 20 * k + size]
        source = h5py.VirtualSource(f"{k}.h5", "x", (20, *SHAPE))
        layout[20 * k : 20 * k + 20] = source if kind == "all" else source[:20]
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    there, lines = np.ones(40, bool), []
    there[15:20] = there[32:] = False
    check(f"h5={tmp_path}/master.h5", FRAMES, there, log=lines.append)
    assert "no data in 13 of 40 frames: 15-19 (0.h5: /x has 15 frames only); 32-39 (1.h5: /x has 12" in lines[0]


def test_elements_that_no_frame_has(tmp_path):
    """Gaps between modules are not missing data; the source says where they are."""
    layout = h5py.VirtualLayout(FRAMES.shape, "u2")
    for k, columns in enumerate((slice(0, 2), slice(3, 6))):
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file["x"] = FRAMES[:, :, columns]
        layout[:, :, columns] = h5py.VirtualSource(f"{k}.h5", "x", FRAMES[:, :, columns].shape)
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=65535)
        outer = h5py.VirtualLayout(FRAMES.shape, "u2")
        outer[:] = h5py.VirtualSource(".", "data", FRAMES.shape)
        file.create_virtual_dataset("outer", outer, fillvalue=65535)
    gap = np.zeros(SHAPE, bool)
    gap[:, 2] = True
    right = FRAMES.copy()
    right[:, gap] = 65535
    for src in ("data", "outer"):
        assert np.array_equal(opened(f"h5={tmp_path}/master.h5", src).unmapped, gap)
        check(f"h5={tmp_path}/master.h5", right, np.ones(40, bool), src)


@pytest.mark.parametrize("what", ["gone", "another", "cut"])
@pytest.mark.parametrize("most", [1, 40])
def test_sources_that_change_while_they_are_read(tmp_path, monkeypatch, what, most):
    """What was looked at before does not count: it is opened again, or open still."""
    for name in ("_FEWEST", "_MOST"):
        monkeypatch.setattr(hdf5_files, name, most)
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", FRAMES[:4].nbytes)
    numbered(tmp_path, np.split(FRAMES, 10))
    layout = h5py.VirtualLayout(FRAMES.shape, "u2")
    for k in range(10):
        layout[4 * k : 4 * k + 4] = h5py.VirtualSource(f"part_{k}.h5", "x", (4, *SHAPE))
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    lines = []
    source = opened(f"h5={tmp_path}/master.h5", log=lines.append)
    path, found = tmp_path / "part_7.h5", []
    assert not [line for line in lines if "no data" in line]
    for k, event in enumerate(itertools.chain.from_iterable(source.blocks())):
        if k == 5:
            if what == "gone":
                path.unlink()
            elif what == "another":
                shutil.copy(tmp_path / "part_3.h5", tmp_path / "copy.h5")
                (tmp_path / "copy.h5").replace(path)
            else:
                os.truncate(path, path.stat().st_size - 50)
        if k == 28 and (what == "another" or (what == "cut" and most > 1)):
            with pytest.raises(RunError, match=r"part_7\.h5: the file was (replaced by another one|cut off)"):
                event.data()
            source.close()
            return
        frame = event.data()
        found.append(None if frame is None else frame.copy())
    source.close()
    lost = most == 1  # else it is open, and nothing of it is lost
    assert [k for k, frame in enumerate(found) if frame is None] == (list(range(28, 32)) if lost else [])
    assert all(frame is None or np.array_equal(frame, truth) for frame, truth in zip(found, FRAMES, strict=True))
    said = [line for line in lines if "no data in frames 28-31 (part_7.h5: " in line]
    assert len(said) == lost
    assert all(("no such file" if what == "gone" else "is cut off") in line for line in said)


def test_times_of_a_file_that_is_cut_off_while_it_is_read(tmp_path):
    """Whichever dataset meets it first: the same words, and the file named once."""
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["timestamp"] = FRAMES, np.arange(len(FRAMES))
    files = hdf5_files.Files()
    stack = hdf5_stack.Stack(files, str(path), "data")
    os.truncate(path, path.stat().st_size - 50)
    with pytest.raises(RunError, match=rf"^h5={re.escape(str(path))}: the file was cut off while it was read"):
        stack.times.read()
    files.close()


# -- datasets that hold their values themselves ---------------------------------


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 6)),
    written=st.lists(
        st.tuples(st.integers(0, 39), st.integers(1, 40), st.integers(0, 5), st.integers(1, 6)), max_size=4
    ),
    libver=st.sampled_from(["earliest", "latest"]),
    grows=st.sampled_from([None, (None, *SHAPE), (None, None, SHAPE[1]), (40, None, None)]),
    compression=st.sampled_from([None, "gzip"]),
    servers=st.integers(1, 3),
    block=st.integers(1, 50),
    batch=st.integers(1, 4000),
    most=st.sampled_from([100, 1 << 26]),
)
def test_chunks(tmp_path_factory, *, chunk, written, libver, grows, compression, servers, block, batch, most):
    """A frame was written if all its chunks were, and it is not without a value at the end of one that none follows."""
    path = tmp_path_factory.mktemp("chunks") / "frames.h5"
    touched = np.zeros(FRAMES.shape, bool)
    with h5py.File(path, "w", libver=libver) as file:
        item = file.create_dataset(
            "data", FRAMES.shape, "u2", chunks=chunk, maxshape=grows, compression=compression, shuffle=bool(compression)
        )
        for first, size, column, width in written:
            box = np.s_[first : first + size, :, column : column + width]
            item[box], touched[box] = FRAMES[box], True
        right = item[()]
    chunks = np.zeros_like(touched)
    for at in np.argwhere(touched):
        chunks[tuple(slice(a // c * c, a // c * c + c) for a, c in zip(at, chunk, strict=True))] = True
    there = chunks.all(axis=(1, 2))
    for end in range(chunk[0], 40, chunk[0]):
        if chunks[end - 1].any() and not chunks[end].any():  # a row of chunks that none follows
            there[np.flatnonzero(touched[:end].any(axis=(1, 2)))[-1] + 1 : end] = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "_BATCH_BYTES", batch)
        patch.setattr(hdf5, "_BATCH_BYTES_CHUNKED", 4 * batch)
        patch.setattr(hdf5_unpacked, "MOST", most)
        for server in range(servers):
            own = np.flatnonzero(np.arange(40) // block % servers == server)
            lines = []
            check(f"h5={path}", right[own], there[own], server=server, servers=servers, block=block, log=lines.append)
            count = np.count_nonzero(~there)
            said = [line for line in lines if f"no data in {count} of 40 frames" in line and "(never written)" in line]
            assert len(said) == (count > 0 and server == 0)


@pytest.mark.parametrize("layout", ["contiguous", "compact", "early"])
def test_what_hdf5_cannot_tell(tmp_path, layout):
    """Never written at all is known of a contiguous dataset; else a warning tells of fill values at the end."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if layout == "compact":
        plist.set_layout(h5py.h5d.COMPACT)
    elif layout == "early":
        plist.set_chunk((1, *SHAPE))
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for name in ("none", "some", "all"):
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple(FRAMES.shape), plist)
        file["some"][:31], file["all"][:] = FRAMES[:31], FRAMES
        right = {name: file[name][()] for name in file}
    for name, last in (("none", 40), ("some", 9), ("all", 0)):
        lines = []
        never = name == "none" and layout == "contiguous"
        check(f"h5={tmp_path}/f.h5", right[name], [not never] * 40, name, log=lines.append)
        if never:
            assert "no data in 40 of 40 frames: 0-39 (never written)" in lines[0]
        elif last:
            (line,) = [line for line in lines if "times" not in line]
            assert f"the last {last} of 40 frames hold nothing but 0, the fill value" in line
            assert line.endswith("without them" if last == 40 else f"-n {40 - last}")  # -n 0 would leave nothing
        else:
            assert not lines


def test_fill_at_the_end_of_the_last_chunk(tmp_path):
    """Where no chunk follows HDF5 cannot tell, either."""
    for packed in (None, "gzip"):
        with h5py.File(tmp_path / "f.h5", "w") as file:
            file.create_dataset("data", FRAMES.shape, "u2", chunks=(8, 2, 3), compression=packed)[:35] = FRAMES[:35]
        lines, right = [], FRAMES.copy()
        right[35:] = 0
        check(f"h5={tmp_path}/f.h5", right, [True] * 40, log=lines.append)
        assert "the last 5 of 40 frames hold nothing but 0, the fill value" in lines[0]


def test_many_files_that_lack_frames(tmp_path):
    """The log has so many lines of them, and the number of the others."""
    for k in range(40):
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file.create_dataset("data", (4, *SHAPE), "u2", chunks=(1, *SHAPE))[:3] = FRAMES[:3]
    lines = []
    check(f"h5={tmp_path}/*.h5:runs", np.tile(FRAMES[:4], (40, 1, 1)), np.arange(160) % 4 < 3, log=lines.append)
    assert sum("no data in 1 of 4 frames: 3 (never written)" in line for line in lines) == 20
    assert "39.h5: 20 more lines like these, on files up to this one, are left out" in lines[20]


def test_times_that_were_never_written(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data"] = FRAMES
        file.create_dataset("counter", (40,), "i8", chunks=(4,))[:30] = np.arange(1, 31)
    lines = []
    check(f"h5={tmp_path}/f.h5", FRAMES, np.arange(40) < 30, log=lines.append, block=7)
    assert "no data in frames 30-39 (their time in counter was never written)" in lines[0]
