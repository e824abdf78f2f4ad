"""HDF5 files that are followed: what is there is read once, what is not yet is waited for."""

import sys
import time
from textwrap import dedent

import numpy as np
import pytest
from effort import PATIENCE

from parcorana.errors import ConfigError, RunError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5 import live as hdf5_live
from parcorana.events.hdf5.virtual import Source
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

FRAMES = np.random.default_rng(4).integers(1, 200, (24, 4, 5)).astype(np.uint16)
WRITER = """
import os, sys, time, h5py, numpy as np
frames = np.load("frames.npy")
N, SHAPE = len(frames), frames.shape[1:]
def new(name, *datasets):
    file = h5py.File(name, "w", libver="latest")
    items = [file.create_dataset(path, shape, dtype, **how) for path, shape, dtype, how in datasets]
    file.swmr_mode = True
    return file, items
def stack(length, chunk=1, path="data", **how):
    return path, (length, *SHAPE), "u2", {"chunks": (chunk, *SHAPE), "maxshape": (None, *SHAPE)} | how
def put(item, k, value, ahead=0):
    if item.shape[0] <= k:
        item.resize(k + 1 + ahead, 0)
    item[k] = value
    item.flush()
def ready():
    open("ready", "w").close()
    time.sleep(0.3)
"""


def wait_for(path):
    limit = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture
def follow(tmp_path, command, in_thread):
    """Starts a program that writes, and follows it; returns stamps, frames (None without data) and the log."""
    np.save(tmp_path / "frames.npy", FRAMES)

    def run(code, name="live.h5", seen=0):
        in_thread(command, sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)
        limit = time.monotonic() + PATIENCE  # the writer is gone before
        wait_for(tmp_path / "ready")
        lines, found = [], []
        source = open_source(
            parse_dataset(f"h5={tmp_path}/{name}:live"), src="data", share=Share(block=4), log=lines.append
        )
        for event in source.events():
            assert time.monotonic() < limit
            if event is None:
                time.sleep(1e-3)
            else:
                frame = event.data()
                if len(found) + 1 == seen:
                    (tmp_path / "seen").touch()
                found.append((event.stamp, None if frame is None else frame.copy()))
        source.close()
        return [stamp for stamp, _ in found], [frame for _, frame in found], lines

    return run


def check(found, right=FRAMES, missing=()):
    stamps, frames, lines = found
    assert [k for k, frame in enumerate(frames) if frame is None] == list(missing)
    assert len(frames) == len(right)
    assert all(frame is None or np.array_equal(frame, truth) for frame, truth in zip(frames, right, strict=True))
    return stamps, lines


@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize("ahead", [0, 7])
def test_grows(follow, chunk, ahead):
    """Also where its writer makes it longer than what it has, and cuts it at the end."""
    stamps, lines = check(
        follow(f"""
    file, (data,) = new("live.h5", stack(0, {chunk}))
    ready()
    for k in range(N):
        put(data, k, frames[k], {ahead})
        time.sleep(0.01)
    data.resize(N, 0)
    file.close()
    """)
    )
    assert stamps == list(range(24)) and not lines


def test_what_could_not_be_read_once_is_read_the_next_time(follow, monkeypatch):
    """A write that HDF5 meets half done says nothing of the file when that is closed."""
    monkeypatch.setattr(hdf5_live, "HOLE", 0.5)
    refresh, calls = hdf5_live.Plain.refresh, []

    def fails_once(self):
        calls.append(self)
        if len(calls) == 2:
            raise OSError("half written")
        refresh(self)

    monkeypatch.setattr(hdf5_live.Plain, "refresh", fails_once)
    _, lines = check(
        follow("""
    file, (data,) = new("live.h5", stack(0))
    ready()
    for k in range(N):
        put(data, k, frames[k])
        time.sleep(0.03)
    file.close()
    """)
    )
    assert len(calls) > 2 and not lines


@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize("packed", [{}, {"compression": "gzip"}])
def test_made_at_full_length(follow, chunk, packed):
    stamps, lines = check(
        follow(f"""
    file, (data,) = new("live.h5", stack(40, {chunk}, maxshape=(40, *SHAPE), **{packed!r}))
    ready()
    for k in range(N):
        put(data, k, frames[k])
        time.sleep(0.02)
    file.close()
    """)
    )
    assert stamps == list(range(24))
    assert lines[-1].endswith("it was closed by its writer after 24 of 40 frames")


@pytest.mark.parametrize("length", [0, 40])
def test_times_tell_how_far_it_is(follow, length):
    """They may be there at full length, too; frames of zeros are then frames."""
    stamps, _ = check(
        follow(f"""
    times = ("counter", ({length},), "i8", {{"chunks": (7,), "maxshape": (None,)}})
    file, (data, counter) = new("live.h5", stack(40, 3), times)
    ready()
    for k in range(N):
        put(data, k, frames[k] * (k % 4 > 0))
        put(counter, k, 3 * k + 1)
        time.sleep(0.02)
    file.close()
    """),
        FRAMES * (np.arange(24) % 4 > 0)[:, None, None],
    )
    assert stamps == [3 * k + 1 for k in range(24)]


LOSES = """
file, (data,) = new("live.h5", stack(0))
for k in range(N):
    put(data, k, frames[k])
ready()
while not os.path.exists("seen"):
    time.sleep(0.01)
"""
CUTS = "data.resize(5, 0)\ndata.flush()\ntime.sleep(2)"
# without a word to the file that was there
ANEW = """
again = "import h5py, time\\nfile = h5py.File('live.h5', 'w', libver='latest')\\n"
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
os.execv(sys.executable, [sys.executable, "-c", again + {0!r}])
"""
SAME = "file.create_dataset('data', (3, 4, 5), 'u2', chunks=(1, 4, 5), maxshape=(None, 4, 5))[:] = 1\nfile.close()"
OTHER = "file['some'] = 1\nfile.flush()\nfile.close()"


WENT = r"24 frames were read, and now|was cut off while it was read|HDF5 cannot read it, after 24 frames"


@pytest.mark.parametrize("then", [CUTS, ANEW.format(SAME), ANEW.format(OTHER)])
def test_frames_that_were_read_go(follow, monkeypatch, then):
    monkeypatch.setattr(hdf5_live, "HOLE", 0.5)
    with pytest.raises(RunError, match=WENT):
        follow(LOSES + then, seen=24)


ZEROS = """
with open("live.h5", "r+b") as raw:
    raw.seek(100)
    raw.write(bytes(os.path.getsize("live.h5") - 100))
os._exit(0)
"""


def test_a_file_that_is_damaged_while_it_is_followed(follow, monkeypatch):
    """HDF5 itself would try again for years."""
    monkeypatch.setenv("PARCORANA_PATIENCE", "1")
    *_, lines = follow(LOSES + ZEROS, seen=24)
    assert "nothing came for 1.0 s, which ends the run after 24 frames: was its writer killed?" in lines[-1]


def test_nobody_can_tell(follow, tmp_path):
    try:
        with pytest.raises(ConfigError, match="nobody can tell what is there while it is written: write it in chunks"):
            follow("""
            file, (data,) = new("live.h5", ("data", (N, *SHAPE), "u2", {}))
            ready()
            while not os.path.exists("seen"):
                time.sleep(0.01)
            """)
    finally:
        (tmp_path / "seen").touch()


def test_frames_that_never_come(follow):
    """In the middle they are waited for until the writer closes the file, or for a while if later ones are there."""
    stamps, lines = check(
        follow("""
    file, (data,) = new("live.h5", stack(N))
    ready()
    for k in range(N):
        if k not in (3, 10, 11):
            put(data, k, frames[k])
        time.sleep(0.02)
    file.close()
    """),
        missing=(3, 10, 11),
    )
    assert stamps[:3] == [0, 1, 2]
    assert [line for line in lines if "no data in frames 3 (" in line]


def test_frames_that_do_not_come_for_long(follow, monkeypatch):
    """Those that came after them are read while the file is still written."""
    monkeypatch.setattr(hdf5_live, "HOLE", 0.5)
    code = """
    file, (data,) = new("live.h5", stack(N))
    ready()
    for k in range(N - 1):
        if k not in (3, 4):
            put(data, k, frames[k])
    while not os.path.exists("seen"):
        time.sleep(0.01)
    put(data, N - 1, frames[N - 1])
    file.close()
    """
    check(follow(code, seen=23), missing=(3, 4))


@pytest.mark.parametrize("selects", ["", "[:N]"])
def test_virtual_master(follow, selects):
    """Closed before the run; the file that it is made of grows."""
    code = f"""
    layout = h5py.VirtualLayout((N, *SHAPE), np.uint16)
    layout[:] = h5py.VirtualSource("raw.h5", "data", (N, *SHAPE)){selects}
    with h5py.File("master.h5", "w", libver="latest") as master:
        master.create_virtual_dataset("data", layout, fillvalue=0)
    file, (data,) = new("raw.h5", stack(0))
    ready()
    for k in range(N):
        put(data, k, frames[k])
        time.sleep(0.02)
    file.close()
    """
    stamps, lines = check(follow(code, "master.h5"))
    assert stamps == list(range(24)) and not lines


def test_virtual_master_of_files_that_take_turns(follow):
    """The second one is begun later, lags behind, and is a frame short."""
    code = """
    layout = h5py.VirtualLayout((N, *SHAPE), np.uint16)
    for k in range(2):
        layout[k::2] = h5py.VirtualSource(f"raw{k}.h5", "data", (N // 2, *SHAPE))
    with h5py.File("master.h5", "w", libver="latest") as master:
        master.create_virtual_dataset("data", layout, fillvalue=0)
    ready()
    file, (data,) = new("raw0.h5", stack(0))
    for k in range(N // 4):
        put(data, k, frames[2 * k])
    time.sleep(0.3)
    other, (more,) = new("raw1.h5", stack(0))
    for k in range(N // 2 - 1):
        put(more, k, frames[2 * k + 1])
        if k >= N // 4:
            put(data, k, frames[2 * k])
        time.sleep(0.02)
    file.close()
    time.sleep(0.2)
    other.close()
    """
    stamps, lines = check(follow(code, "master.h5"), FRAMES[:22])
    assert stamps == list(range(22)) and lines[-1].endswith("after 22 of 24 frames")


def test_source_that_is_begun_between_two_looks(follow, tmp_path, monkeypatch):
    """One that could not be read a moment ago is not one that its writer has closed."""
    files, refresh = Source.files, Source.refresh

    def files_of(self):
        found = files(self)
        if found == [None]:
            (tmp_path / "go").touch()
            wait_for(tmp_path / "begun")
        return found

    def look(self):
        with monkeypatch.context() as patched:
            patched.setattr(Source, "files", files_of)
            refresh(self)

    monkeypatch.setattr(Source, "refresh", look)
    code = """
    layout = h5py.VirtualLayout((N, *SHAPE), np.uint16)
    layout[:] = h5py.VirtualSource("raw.h5", "data", (N, *SHAPE))
    with h5py.File("master.h5", "w", libver="latest") as master:
        master.create_virtual_dataset("data", layout, fillvalue=0)
    ready()
    while not os.path.exists("go"):
        time.sleep(0.01)
    file, (data,) = new("raw.h5", stack(0))
    put(data, 0, frames[0])
    open("begun", "w").close()
    for k in range(1, N):
        time.sleep(0.02)
        put(data, k, frames[k])
    file.close()
    """
    stamps, lines = check(follow(code, "master.h5"))
    assert stamps == list(range(24)) and not lines


def test_virtual_master_without_end(follow):
    code = """
    plist, unlimited = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple((0, *SHAPE), (unlimited, *SHAPE))
    space.select_hyperslab((0, 0, 0), (unlimited, 1, 1), block=(1, *SHAPE), stride=(1, 1, 1))
    plist.set_virtual(space, b"raw.h5", b"data", space)
    with h5py.File("master.h5", "w", libver="latest") as master:
        h5py.h5d.create(master.id, b"data", h5py.h5t.NATIVE_UINT16, space, plist)
    file, (data,) = new("raw.h5", stack(0))
    ready()
    for k in range(N):
        put(data, k, frames[k])
        time.sleep(0.02)
    file.close()
    """
    stamps, lines = check(follow(code, "master.h5"))
    assert stamps == list(range(24)) and not lines


@pytest.mark.parametrize("bogus", [0, 5])
def test_a_counter_that_is_none(follow, bogus):
    """The first one is not what the others are measured by."""
    code = f"""
    times = ("counter", (0,), "i8", {{"chunks": (7,), "maxshape": (None,)}})
    file, (data, counter) = new("live.h5", stack(0), times)
    ready()
    for k in range(N):
        put(data, k, frames[k])
        put(counter, k, 2**63 - 1 - k if k == {bogus} else k)
        time.sleep(0.02)
    file.close()
    """
    with pytest.raises(Exception, match=rf"counter is {2**63 - 1 - bogus} at index {bogus}, and must be near those of"):
        follow(code)
