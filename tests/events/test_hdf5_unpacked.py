"""Chunks of many frames: each is unpacked once, however few frames are read at a time."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_hdf5_files import opened

from parcorana.events.hdf5 import source as hdf5
from parcorana.events.hdf5 import unpacked as hdf5_unpacked

FRAMES = np.random.default_rng(1).integers(0, 2**16, (180, 256, 200)).astype(np.uint16)  # does not get smaller


def bytes_read():
    """Return how much this process has read from files: what is unpacked is read before."""
    return int(next(line for line in Path("/proc/self/io").read_text().splitlines() if "rchar" in line).split()[1])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "f.h5"
    with h5py.File(path, "w") as file:
        # a row of chunks is larger than HDF5's own cache of chunks
        file.create_dataset("tiles", data=FRAMES, chunks=(120, 32, 40), compression="lzf")
        file.create_dataset("frames", data=FRAMES, chunks=(30, 256, 200), compression="lzf")
        layout = h5py.VirtualLayout(FRAMES.shape, "u2")
        for k in range(2):
            layout[k::2] = h5py.VirtualSource(".", "tiles", FRAMES.shape)[90 * k : 90 * k + 90]
        file.create_virtual_dataset("turns", layout)
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", 5 * FRAMES[0].nbytes)
    monkeypatch.setattr(hdf5, "_BATCH_BYTES_CHUNKED", 31 * FRAMES[0].nbytes)
    monkeypatch.setattr(hdf5_unpacked, "MOST", 31 * FRAMES[0].nbytes)


def read(path, src, log=print, **share):
    """Read a server's blocks as a server does; check them; return how many bytes were read from files."""
    source = opened(f"h5={path}", src, log, **share)
    before, right, seen = bytes_read(), FRAMES, 0
    if src == "turns":
        right = np.stack([FRAMES[:90], FRAMES[90:]], 1).reshape(FRAMES.shape)
    for block in source.blocks():
        for at, piece in block.pieces(None):
            first = int(block.stamps[at])
            assert np.array_equal(piece, right[first : first + len(piece)])
            seen += len(piece)
    source.close()
    assert seen
    return bytes_read() - before


@pytest.mark.parametrize(("src", "most"), [("tiles", 2.3), ("frames", 1.2)])
@pytest.mark.parametrize(("servers", "block"), [(1, 512), (1, 16), (2, 16)])
def test_each_chunk_is_unpacked_once(path, src, most, servers, block):
    """In bytes: the file once, and what lies in the temporary file once."""
    for server in range(servers):
        assert read(path, src, server=server, servers=servers, block=block) < most * FRAMES.nbytes


def test_through_a_virtual_dataset(path):
    read(path, "turns", block=16)


def test_no_room_for_it(path, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    lines = []
    read(path, "tiles", lines.append)
    (line,) = [line for line in lines if "TMPDIR" in line]
    assert "a row of chunks of /tiles holds 120 frames, 0.0 GiB, for which" in line


def test_a_damaged_chunk(tmp_path):
    """Every frame of its row has a part in it; the others are good."""
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        item = file.create_dataset("tiles", data=FRAMES[:90], chunks=(40, 128, 100), compression="lzf", fletcher32=True)
        chunk = item.id.get_chunk_info_by_coord((40, 128, 0))
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(b"\xff" * 100)
    source = opened(f"h5={path}", "tiles")
    before, bad = bytes_read(), []
    for block in source.blocks():
        for k, event in enumerate(block):
            try:
                assert np.array_equal(event.data(), FRAMES[k])
            except OSError:
                bad.append(k)
    source.close()
    assert bad == list(range(40, 80))
    assert bytes_read() - before < 2.5 * FRAMES[:90].nbytes
