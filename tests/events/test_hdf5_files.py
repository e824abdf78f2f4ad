"""HDF5 as other programs write it: compressed, in several files, small data, NeXus, and while it grows."""

import sys
import time

import h5py
import hdf5plugin
import numpy as np
import pytest
from effort import PATIENCE
from sources import WRITER
from test_hdf5 import FRAMES, make, refusal, sequence, write

from parcorana.errors import ConfigError
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

EVENTS = len(FRAMES)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frames.h5"


def opened(text, src="run/data", log=print, **share):
    return open_source(parse_dataset(text), src=src, share=Share(**share), log=log)


def frames_of(source):
    found = [(event.stamp, event.data().copy()) for block in source.blocks() for event in block]
    source.close()
    return [stamp for stamp, _ in found], np.array([frame for _, frame in found])


# -- compression ---------------------------------------------------------------


@pytest.mark.parametrize("filter_", [hdf5plugin.Bitshuffle(), hdf5plugin.LZ4(), hdf5plugin.Zstd(), "gzip", "lzf"])
@pytest.mark.parametrize("servers", [1, 2])
def test_compressed(path, filter_, servers):
    write(path, chunks=(5, 4, 5), **(filter_ if not isinstance(filter_, str) else {"compression": filter_}))
    stamps, frames = sequence(path, servers, block=4)
    assert stamps == list(range(EVENTS)) and np.array_equal(frames, FRAMES)


def test_a_filter_that_is_not_there(path, monkeypatch):
    write(path, chunks=(5, 4, 5), **hdf5plugin.Bitshuffle())
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(ConfigError, match=r"filter 32008 \(bitshuffle.*pip install parcorana\[compression\]"):
        make(path)


# -- other files ---------------------------------------------------------------


@pytest.fixture
def parts(tmp_path):
    """Three files in a folder, and one elsewhere that is made of them by a virtual dataset."""
    folder = tmp_path / "parts"
    folder.mkdir()
    layout, at = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype), 0
    for k, piece in enumerate(np.array_split(FRAMES, 3)):
        write(folder / f"part{k}.h5", piece)
        layout[at : at + len(piece)] = h5py.VirtualSource(f"parts/part{k}.h5", "run/data", piece.shape)
        at += len(piece)
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file.create_virtual_dataset("run/data", layout)
    return tmp_path


def test_virtual_dataset(parts):
    text = f"h5={parts}/master.h5"
    with pytest.raises(ConfigError, match=f"virtual dataset, made of .*part0.h5; .* add ':dir={parts}/parts'"):
        opened(text)
    with pytest.raises(ConfigError, match="only in a folder that you trust"):
        opened(f"{text}:dir={parts}/other")
    stamps, frames = frames_of(opened(f"{text}:dir={parts}/parts"))
    assert stamps == list(range(EVENTS)) and np.array_equal(frames, FRAMES)


def test_virtual_dataset_without_its_parts(parts):
    """HDF5 itself would give zeros."""
    (parts / "parts" / "part1.h5").unlink()
    lines = []
    source = opened(f"h5={parts}/master.h5:dir={parts}", log=lines.append)
    frames = [event.data() for block in source.blocks() for event in block]
    assert [k for k, frame in enumerate(frames) if frame is None] == list(range(8, 16))
    assert "no data in 8 of 23 frames: 8-15 (parts/part1.h5: there is no such file)" in lines[0]
    for k in (0, 2):
        (parts / "parts" / f"part{k}.h5").unlink()
    with pytest.raises(ConfigError, match=r"part0\.h5, which is not there"):
        opened(f"h5={parts}/master.h5:dir={parts}")


def test_trust_is_not_deceived(parts, tmp_path):
    """By links out of the folder, and by parts that draw in others themselves."""
    text, part = f"h5={parts}/master.h5:dir={parts}/parts", parts / "parts" / "part0.h5"
    (tmp_path / "away").mkdir()
    outside = tmp_path / "away" / "outside.h5"
    part.rename(outside)
    part.symlink_to(outside)
    with pytest.raises(ConfigError, match="only in a folder that you trust"):
        opened(text)
    part.unlink()
    with h5py.File(part, "w") as file:
        file["run/data"] = h5py.ExternalLink(str(outside), "run/data")
    with pytest.raises(ConfigError, match=r"'data' is a link to .*outside\.h5; other files are read only"):
        opened(text)
    layout = h5py.VirtualLayout((8, 4, 5), FRAMES.dtype)
    layout[:] = h5py.VirtualSource(str(outside), "run/data", (8, 4, 5))
    with h5py.File(part, "w") as file:
        file.create_virtual_dataset("run/data", layout)
    with pytest.raises(ConfigError, match=r"made of .*outside\.h5; other files"):
        opened(text)


def test_virtual_dataset_of_the_same_file(path):
    write(path, src="run/raw")
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
        layout[:] = h5py.VirtualSource(file["run/raw"])
        file.create_virtual_dataset("run/data", layout)
    assert np.array_equal(frames_of(opened(f"h5={path}"))[1], FRAMES)


def test_links(parts, tmp_path):
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["run/data"] = h5py.ExternalLink("parts/part0.h5", "run/data")
        file["run/soft"] = h5py.SoftLink("/run/data")
        file["run/round"] = h5py.SoftLink("/run/round")
    text, piece = f"h5={tmp_path}/links.h5", np.array_split(FRAMES, 3)[0]
    for src in ("run/data", "run/soft"):
        with pytest.raises(ConfigError, match=r"'data' is a link to .*part0\.h5; other files are read only"):
            opened(text, src)
        assert np.array_equal(frames_of(opened(f"{text}:dir={tmp_path}", src))[1], piece)
    with pytest.raises(ConfigError, match="more than 8 links"):
        opened(text, "run/round")


def test_external_storage(path, tmp_path):
    with h5py.File(path, "w") as file:
        file.create_dataset("run/data", data=FRAMES, external=[(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)])
    assert "external storage" in refusal(path) and "raw.bin" in refusal(path)


@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("numevents", [0, 9])
def test_several_files(parts, servers, numevents):
    """One run, in the order given; a pattern goes by the numbers in the names."""
    (parts / "parts" / "part1.h5").rename(parts / "parts" / "part10.h5")
    (parts / "parts" / "part2.h5").rename(parts / "parts" / "part9.h5")
    pieces = np.array_split(FRAMES, 3)
    for names, order in (("part10.h5,{0}/part0.h5", (1, 0)), ("part*.h5", (0, 2, 1))):
        text = f"h5={parts}/parts/{names.format(parts / 'parts')}"
        share = {"servers": servers, "block": 3, "numevents": numevents}
        blocks = [list(opened(text, server=s, **share).blocks()) for s in range(servers)]
        rotation = [blocks[k % servers][k // servers] for k in range(sum(map(len, blocks)))]
        found = [(e.run, e.stamp, e.data().copy()) for block in rotation for e in block]
        right = np.concatenate([pieces[k] for k in order])[: numevents or None]
        assert [event[:2] for event in found] == [(0, k) for k in range(len(right))]
        assert np.array_equal([frame for *_, frame in found], right)
        assert parse_dataset(text).label() == ("part10" if "," in text else "part")


def test_several_files_with_times(tmp_path):
    for k in range(2):
        write(tmp_path / f"{k}.h5", times={"timestamp": 1e9 + k * 100 + np.arange(EVENTS) / 10})
    source = opened(f"h5={tmp_path}/0.h5,{tmp_path}/1.h5")
    assert source.typical_step == pytest.approx(0.1)
    right = [10**18 + k * 10**11 + i * 10**8 for k in range(2) for i in range(EVENTS)]
    np.testing.assert_allclose(np.array(frames_of(source)[0]) - 10**18, np.array(right) - 10**18, atol=200)


def test_several_files_that_differ(tmp_path):
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    write(a)
    for how, words in (
        ({"frames": FRAMES[:, :3]}, r"b.h5: frames of shape \(3, 5\), but .*a.h5 has frames of shape \(4, 5\)"),
        ({"frames": FRAMES.astype("f4")}, r"frames of dtype float32, but .* uint16"),
        ({"times": {"counter": np.arange(EVENTS)}}, "times from /run/counter, but .* has times from none"),
    ):
        write(b, **how)
        with pytest.raises(ConfigError, match=words):
            opened(f"h5={a},{b}")
    for name, words in ((f"{a},{a}", "given twice"), (f"{tmp_path}/c*.h5", "no file fits"), (f"{a},c", "no such file")):
        with pytest.raises(ConfigError, match=words):
            opened(f"h5={name}")


# -- other layouts -------------------------------------------------------------


NS = [10**18 + 999_999_990 + k * 8_333_333 for k in range(EVENTS)]
PACKED = [(ns // 10**9) << 32 | ns % 10**9 for ns in NS]


@pytest.mark.parametrize(("name", "dtype"), [("timestamp", "u8"), ("event_time", "i8")])
def test_small_data(path, name, dtype):
    """LCLS small data: the detector's group below, the times at the top, as seconds and nanoseconds in one."""
    write(path, src="jungfrau/ROI_0_area")
    with h5py.File(path, "a") as file:
        file[name] = np.array(PACKED, np.uint64).astype(dtype)
        file["ipm/sum"] = np.zeros(EVENTS)
    source = opened(f"h5={path}", "jungfrau/ROI_0_area")
    assert (source.stamps, source.about) == ("ns", f"times: {name}")
    stamps, frames = frames_of(source)
    assert stamps == NS and np.array_equal(frames, FRAMES)


def test_nanoseconds_are_not_taken_for_packed(path):
    for first in (NS[0], 1_700_000_000 * 10**9, 2_500_000_000 * 10**9):
        write(path, times={"timestamp": np.array([first + k for k in range(EVENTS)], np.uint64)})
        assert frames_of(opened(f"h5={path}"))[0] == [first + k for k in range(EVENTS)]


def test_times_above_count_only_with_the_right_length(path):
    write(path, src="a/b/data")
    with h5py.File(path, "a") as file:
        file["timestamp"], file["a/timestamp"] = np.arange(EVENTS + 1), np.arange(EVENTS)
    assert opened(f"h5={path}", "a/b/data").stamps == "ns"
    with h5py.File(path, "a") as file:
        del file["a/timestamp"]
    assert opened(f"h5={path}", "a/b/data").stamps == "pulses"


@pytest.mark.parametrize("src", ["/entry/data/data", "/entry/data", "/entry", "entry"])
def test_nexus(path, src):
    """The data by its own path, or by the groups whose attributes lead to it."""
    write(path, src="entry/data/data")
    with h5py.File(path, "a") as file:
        file["entry"].attrs.update({"NX_class": "NXentry", "default": "data"})
        file["entry/data"].attrs.update({"NX_class": "NXdata", "signal": np.bytes_("data")})
        file["entry/instrument/detector/frame_time"] = 0.002
    source = opened(f"h5={path}", src)
    assert "frame_time says 0.002 s, so rate=500 gives them their time" in source.about
    stamps, frames = frames_of(source)
    assert stamps == list(range(EVENTS)) and np.array_equal(frames, FRAMES)


# -- while it is written -------------------------------------------------------


@pytest.fixture
def writer(tmp_path, command, in_thread):
    """Starts a program that writes a file in SWMR mode."""
    np.save(tmp_path / "frames.npy", FRAMES)

    def start(pause=0.03, end="close"):
        arguments = (sys.executable, "-c", WRITER, tmp_path / "live.h5", tmp_path / "frames.npy", pause, end)
        in_thread(command, *arguments, cwd=tmp_path)
        return f"h5={tmp_path}/live.h5:live"

    return start


def followed(source, seconds=PATIENCE):
    """Read a source to its end; in one process HDF5 takes two readers of a file for one, so there is but one."""
    found, limit = [], time.monotonic() + seconds
    for event in source.events():
        assert time.monotonic() < limit
        if event is not None:
            found.append((event.stamp, event.data().copy()))
        else:
            time.sleep(1e-3)
    source.close()
    return found


@pytest.mark.parametrize(("server", "servers"), [(0, 1), (0, 2), (1, 2)])
def test_live(writer, server, servers):
    """Begun before there is a file; every frame once, in order, as it was written."""
    source = opened(writer(), server=server, servers=servers, block=4)
    assert source.live and source.shape == (4, 5) and source.total is None
    found = followed(source)
    own = [i for i in range(EVENTS) if i // 3 % servers == server]
    assert [stamp for stamp, _ in found] == [10**18 + i * 10**7 for i in own]
    assert np.array_equal([frame for _, frame in found], FRAMES[own])


def test_live_writer_killed(tmp_path, command, monkeypatch):
    """It has gone when the reader comes: how long it took to write does not matter then."""
    np.save(tmp_path / "frames.npy", FRAMES)
    path, lines = tmp_path / "live.h5", []
    command(sys.executable, "-c", WRITER, path, tmp_path / "frames.npy", 0, "kill", cwd=tmp_path)
    source = opened(f"h5={path}:live", log=lines.append)
    monkeypatch.setenv("PARCORANA_PATIENCE", "1")
    assert len(followed(source)) == EVENTS
    assert "nothing came for 1.0 s, which ends the run after 23 frames: was its writer killed?" in lines[-1]
    assert all("waiting for the writer" in line for line in lines[:-1])


def test_live_of_a_finished_file(path):
    write(path, times={"counter": np.arange(EVENTS)})
    found = followed(opened(f"h5={path}:live"))
    assert [stamp for stamp, _ in found] == list(range(EVENTS))
    with pytest.raises(ConfigError, match="there is no such dataset"):
        opened(f"h5={path}:live", "run/dat")


def test_live_wrong(tmp_path, path, monkeypatch):
    monkeypatch.setenv("PARCORANA_PATIENCE", "0.3")
    begin = time.monotonic()
    with pytest.raises(ConfigError, match="there is no such file"):
        opened(f"h5={tmp_path}/none.h5:live")
    assert time.monotonic() - begin > 0.3
    write(path)
    write(tmp_path / "b.h5")
    with pytest.raises(ConfigError, match="'live' follows one file, or those that fit one pattern, not a list of 2"):
        opened(f"h5={path},{tmp_path}/b.h5:live")
    for wrong in ("long", "nan", "inf", "-1", "1e300"):
        monkeypatch.setenv("PARCORANA_PATIENCE", wrong)
        with pytest.raises(
            ConfigError, match=f"PARCORANA_PATIENCE must be a number of seconds, 0 to .*, not '{wrong}'"
        ):
            opened(f"h5={tmp_path}/none.h5:live")
