"""Series that appear while they are read: files by a pattern, and the parts of a master."""

import os
import shutil
import sys
import time
from textwrap import dedent

import h5py
import numpy as np
import pytest
from effort import PATIENCE
from test_hdf5_live import WRITER

from parcorana.errors import ConfigError, RunError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5 import appear, begun
from parcorana.events.hdf5 import live as hdf5_live
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

FRAMES = np.random.default_rng(11).integers(1, 200, (20, 4, 5)).astype(np.uint16)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Lines on what is waited for come at once."""
    monkeypatch.setattr(begun, "_SOON", 0.0)


@pytest.fixture
def impatient(monkeypatch):
    """What never comes is given up soon: for tests that have all files when it matters."""
    monkeypatch.setenv("PARCORANA_PATIENCE", "0.2")
    for module in (appear, begun, hdf5_live):
        monkeypatch.setattr(module, "HOLE", 0.0)


def write(path, first, last, frames=FRAMES, src="data", **times):
    """Write a file aside and give it its name, as whoever wants no reader to see half of it."""
    aside = path.with_suffix(".tmp")
    with h5py.File(aside, "w") as file:
        file[src] = frames[first:last]
        for name, values in times.items():
            file[name] = values
    aside.rename(path)


class Follow:
    """Follows a dataset, in steps: what is said may be answered, and events are taken as far as a test wants."""

    def __init__(self, text, src="data", answer=lambda line: None, times_src=None, **share):
        self.lines, self.answer = [], answer
        share = Share(block=4, **share)
        self.source = open_source(parse_dataset(text), src=src, share=share, log=self.log, times_src=times_src)
        self.events, self.found = self.source.events(), []

    def log(self, line):
        self.lines.append(line)
        self.answer(line)

    def take(self, count=1000):
        """Take so many more events, all to the end without a number; return their frames, None without data."""
        limit, frames = time.monotonic() + PATIENCE, []
        while len(frames) < count and (event := next(self.events, self)) is not self:
            assert time.monotonic() < limit, self.lines
            if event is None:
                time.sleep(1e-3)
                continue
            frame = event.data()
            frames.append(None if frame is None else frame.copy())
            self.found.append((event.run, event.stamp, event.index))
        return frames

    def said(self, words):
        return [line for line in self.lines if words in line]

    def until(self, words):
        """Go on, without an event, until something is said."""
        limit = time.monotonic() + PATIENCE
        while not self.said(words):
            assert time.monotonic() < limit, self.lines
            assert next(self.events) is None
            time.sleep(1e-3)

    def close(self):
        self.events.close()
        self.source.close()
        return self


def same(frames, right=FRAMES):
    return len(frames) == len(right) and all(map(np.array_equal, frames, right))


# -- files by a pattern -------------------------------------------------------------


@pytest.mark.parametrize(("server", "servers"), [(0, 1), (0, 2), (1, 2)])
def test_files_that_appear(tmp_path, command, in_thread, server, servers):
    """Before there is any; some grow in SWMR mode, some come whole; each frame once, in order."""
    np.save(tmp_path / "frames.npy", FRAMES)
    code = """
    for name, first, last in (("scan_8.h5", 0, 7), ("scan_9.h5", 7, 8), ("scan_10.h5", 8, 15), ("scan_11.h5", 15, 20)):
        if name in ("scan_8.h5", "scan_10.h5"):
            file, (data,) = new(name, stack(0))
            for k in range(first, last):
                put(data, k - first, frames[k])
                time.sleep(0.01)
            file.close()
        else:
            with h5py.File("aside", "w") as file:
                file["data"] = frames[first:last]
            os.rename("aside", name)
    """

    def start(line):
        if "waiting for" in line and not (tmp_path / "started").exists():
            (tmp_path / "started").touch()
            in_thread(command, sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)

    if server:  # it says nothing of what all know
        start("waiting for")
    places = [(name, k) for name, size in ((8, 7), (9, 1), (10, 7), (11, 5)) for k in range(size)]
    # in a chunked file each frame is a group of its own; of a contiguous one, too
    own = [i for i, (name, k) in enumerate(places) if (name + 5 + k) % servers == server]  # the 5 is that of .h5
    follow = Follow(f"h5={tmp_path}/scan_*.h5:live", answer=start, server=server, servers=servers)
    assert same(follow.take(len(own)), FRAMES[own])
    assert follow.found == [(0, i, i) for i in own]
    follow.close()
    assert server or ("waiting for files that fit h5=" in follow.lines[0] and "none is there yet" in follow.lines[0])


def test_times_go_on_from_file_to_file(tmp_path, impatient):
    for k in range(4):
        write(tmp_path / f"s{k}.h5", 5 * k, 5 * k + 5, counter=np.arange(5) * 2 + 100 * k)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take())
    assert [stamp for _, stamp, _ in follow.found] == [100 * k + 2 * i for k in range(4) for i in range(5)]
    assert [index for _, _, index in follow.found] == list(range(20))
    (line,) = follow.said("no further file came in 0.2 s, which ends the run after 4 files, the last one")
    assert line.endswith("s3.h5") and not follow.said("without times")


def test_times_that_are_named_and_bursts(tmp_path, impatient):
    frames = FRAMES.reshape(4, 5, 4, 5)
    for k in range(2):
        write(tmp_path / f"s{k}.h5", 2 * k, 2 * k + 2, frames, ids=np.arange(2) + 2 * k)
    follow = Follow(f"h5={tmp_path}/s*.h5:live:bursts", times_src="ids")
    assert same(follow.take()) and [stamp for _, stamp, _ in follow.found] == list(range(20))


def test_bursts_that_grow(tmp_path, command, in_thread):
    """A frame is there with its time, also in the middle of a burst."""
    np.save(tmp_path / "frames.npy", FRAMES)
    code = """
    shape = {"chunks": (1, 1, *SHAPE), "maxshape": (None, 5, *SHAPE)}
    times = ("counter", (0, 5), "i8", {"chunks": (1, 1), "maxshape": (None, 5)})
    file, (data, counter) = new("live.h5", ("data", (0, 5, *SHAPE), "u2", shape), times)
    for k in range(N - 2):
        for item, value in ((data, frames[k]), (counter, 3 * k)):
            item.resize(k // 5 + 1, 0)
            item[k // 5, k % 5] = value
            item.flush()
        time.sleep(0.01)
    file.close()
    """
    in_thread(command, sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)
    follow = Follow(f"h5={tmp_path}/live.h5:live")
    assert same(follow.take(), FRAMES[:18])
    assert follow.found == [(0, 3 * k, k) for k in range(18)]
    assert follow.said("it was closed by its writer after 18 of 20 frames")


def test_nothing_ever_comes(tmp_path, impatient):
    with pytest.raises(ConfigError, match=r"^files that fit h5=.*/s\*\.h5: none came in 0\.2 s$"):
        Follow(f"h5={tmp_path}/s*.h5:live")


def test_a_file_that_is_copied_is_waited_for(tmp_path):
    """It is cut off until it is whole."""
    write(tmp_path / "whole", 10, 20)
    write(tmp_path / "s1.h5", 0, 10)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    whole = (tmp_path / "whole").read_bytes()
    for size in (0, 5, 700, len(whole) - 100):
        (tmp_path / "s2.h5").write_bytes(whole[:size])
        if not size:
            assert same(follow.take(10), FRAMES[:10])
            follow.until("waiting for the writer of h5=")
        for _ in range(150):
            assert next(follow.events) is None
            time.sleep(1e-3)
    (tmp_path / "s2.h5").write_bytes(whole)
    assert same(follow.take(10), FRAMES[10:])
    follow.close()


def test_a_file_that_stays_damaged_is_passed_over(tmp_path, impatient):
    write(tmp_path / "s1.h5", 0, 10)
    (tmp_path / "s2.h5").write_bytes((tmp_path / "s1.h5").read_bytes()[:1000])
    write(tmp_path / "s3.h5", 10, 20)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take())
    (line,) = follow.said("this file of the series is passed over, and what is in it is in no result")
    assert "s2.h5: the file is cut off: it has 1,000 of " in line


def test_a_number_that_is_left_out_is_waited_for(tmp_path, monkeypatch):
    """For a while; once it has not come, no other one is, and one that comes later is named."""
    write(tmp_path / "s1.h5", 0, 5)
    write(tmp_path / "s3.h5", 10, 15)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take(5), FRAMES[:5])
    for _ in range(300):
        assert next(follow.events) is None
        time.sleep(1e-3)
    write(tmp_path / "s2.h5", 5, 10)
    assert same(follow.take(10), FRAMES[5:15])
    monkeypatch.setattr(appear, "HOLE", 0.0)
    write(tmp_path / "s5.h5", 15, 18)
    assert same(follow.take(3), FRAMES[15:18])
    assert follow.said("s3.h5 1 file by number did not come in 0 s, though later ones did")
    write(tmp_path / "s4.h5", 0, 5)
    write(tmp_path / "s8.h5", 18, 20)
    assert same(follow.take(2), FRAMES[18:])
    assert len(follow.said("s4.h5: it came when")) == 1 and len(follow.said("by number did not come")) == 1
    follow.close()


def test_names_with_the_same_numbers(tmp_path, impatient):
    for name, first in (("s01", 5), ("s1", 10), ("s002", 15), ("s001", 0)):
        write(tmp_path / f"{name}.h5", first, first + 5)
    assert same(Follow(f"h5={tmp_path}/s*.h5:live").take())


def test_many_files_are_found_by_few_looks(tmp_path, impatient, monkeypatch):
    for k in range(20):
        write(tmp_path / f"s{k}.h5", k, k + 1)
    looks, look = [], appear.glob.glob
    monkeypatch.setattr(appear.glob, "glob", lambda name: looks.append(name) or look(name))
    assert same(Follow(f"h5={tmp_path}/s*.h5:live").take())
    assert len(looks) < 10


def test_a_file_that_is_removed_before_it_is_read(tmp_path, impatient):
    write(tmp_path / "s1.h5", 0, 10)
    (tmp_path / "s2.h5").symlink_to("nothing")  # as one that goes while it is looked at
    write(tmp_path / "s3.h5", 10, 20)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take()) and follow.said("s2.h5: there is no such file: this file of the series is passed over")


def test_a_file_by_two_names_is_read_once(tmp_path, impatient):
    write(tmp_path / "s1.h5", 0, 10)
    (tmp_path / "s2.h5").symlink_to("s1.h5")
    write(tmp_path / "s3.h5", 10, 20)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take()) and len(follow.said("s1.h5 by another name, and is not read again")) == 1


def test_a_writer_that_was_killed_does_not_hold_up_the_next_file(tmp_path, command, impatient):
    np.save(tmp_path / "frames.npy", FRAMES)
    code = """
    file, (data,) = new("s1.h5", stack(0))
    for k in range(10):
        put(data, k, frames[k])
    os._exit(0)
    """
    command(sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)
    write(tmp_path / "s2.h5", 10, 20)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take())
    assert follow.said("s2.h5 is there, so the run goes on with that after 10 frames: was its writer killed?")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"frames": FRAMES[:, :3]}, r"s2\.h5: frames of shape \(3, 5\), but .*s1\.h5 has frames of shape \(4, 5\)"),
        ({"frames": FRAMES.astype("f4")}, "frames of dtype float32"),
        ({"src": "dat"}, r"s2\.h5: src=data: there is no such dataset in the file; did you mean 'dat'\?"),
        ({"counter": np.zeros((10, 3), int)}, r"has shape \(10, 3\), and must have \(10,\)"),
        ({"counter": np.arange(10) - 1}, "its times begin at -1, those of the file before at 0 .* say ':runs' after"),
        ({}, "times from none, but"),
    ],
)
def test_a_file_that_is_not_like_the_first_one(tmp_path, impatient, second, words):
    """The run ends with an error; what came before is used."""
    write(tmp_path / "s1.h5", 0, 10, counter=np.arange(10))
    write(tmp_path / "s2.h5", 10, 20, **second)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take(10), FRAMES[:10])
    with pytest.raises(RunError, match=words):
        follow.take()
    follow.close()


@pytest.mark.parametrize(
    ("flags", "times"),
    [(":runs", None), (":runs", lambda k: np.arange(5) + k), ("", lambda k: np.arange(5) + 7)],
)
def test_every_file_a_run(tmp_path, impatient, flags, times):
    """As the config says, or as the counters do."""
    for k in range(4):
        write(tmp_path / f"s{k}.h5", 5 * k, 5 * k + 5, **({} if times is None else {"counter": times(k)}))
    follow = Follow(f"h5={tmp_path}/s*.h5:live{flags}")
    assert same(follow.take())
    right = [(k, i if times is None else int(times(k)[i]), i) for k in range(4) for i in range(5)]
    assert follow.found == right
    said = follow.said("its counter begins at 7, as that of the first file, so each file is taken as a run of its own")
    assert len(said) == (not flags)
    with pytest.raises(ConfigError if flags else RunError, match=r"are followed by one server, .*: numservers=1"):
        Follow(f"h5={tmp_path}/s*.h5:live{flags}", servers=2).take()


def test_fewer_times_than_frames(tmp_path, impatient):
    """Frames without a time are no events, and that is said."""
    write(tmp_path / "s1.h5", 0, 10, counter=np.arange(8))
    write(tmp_path / "s2.h5", 10, 20, counter=np.arange(10) + 10)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take(), np.delete(FRAMES, [8, 9], axis=0))
    assert follow.said("s1.h5: it was closed by its writer after 8 of 10 frames")


def test_files_without_times_are_one_run(tmp_path, impatient):
    write(tmp_path / "s1.h5", 0, 10)
    write(tmp_path / "s2.h5", 10, 20)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    follow.take()
    assert len(follow.said("files without times are taken as one run, each file's first frame following")) == 1


# -- a file that changes its name ------------------------------------------------------


def test_a_live_file_that_is_renamed_is_followed(tmp_path, command, in_thread):
    np.save(tmp_path / "frames.npy", FRAMES)
    code = """
    file, (data,) = new("live.h5", stack(0))
    for k in range(10):
        put(data, k, frames[k], 30)
    open("half", "w").close()
    while not os.path.exists("renamed"):
        time.sleep(0.01)
    for k in range(10, N):
        put(data, k, frames[k])
        time.sleep(0.01)
    data.resize(N, 0)
    file.close()
    """
    in_thread(command, sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)
    follow = Follow(f"h5={tmp_path}/live.h5:live")
    assert same(follow.take(10), FRAMES[:10])
    (tmp_path / "live.h5").rename(tmp_path / "moved.h5")
    (tmp_path / "renamed").touch()
    assert same(follow.take(), FRAMES[10:])
    assert follow.said("the file was given another name, or removed, while it is followed")
    follow.close()


def test_a_live_file_that_is_replaced_ends_the_run(tmp_path, command):
    np.save(tmp_path / "frames.npy", FRAMES)
    code = """
    file, (data,) = new("live.h5", stack(0))
    for k in range(10):
        put(data, k, frames[k])
    os._exit(0)
    """
    command(sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)
    follow = Follow(f"h5={tmp_path}/live.h5:live")
    assert same(follow.take(10), FRAMES[:10])
    write(tmp_path / "live.h5", 0, 20)
    with pytest.raises(RunError, match="the file was replaced by another one while it was read"):
        follow.take()
    follow.close()


def test_a_file_that_is_written_in_another_mode(tmp_path, command):
    """Nothing in it tells, so only afterwards it can be said."""
    write(tmp_path / "s1.h5", 0, 10)
    follow = Follow(f"h5={tmp_path}/s*.h5:live")
    assert same(follow.take(10), FRAMES[:10])
    assert next(follow.events) is None and not follow.lines
    code = "import h5py; file = h5py.File('s1.h5', 'a', libver='earliest'); file['more'] = range(9); file.close()"
    command(sys.executable, "-c", code, cwd=tmp_path)
    write(tmp_path / "s2.h5", 10, 20)
    assert same(follow.take(10), FRAMES[10:])
    assert len(follow.said("s1.h5: the file was written to after it was opened, and not in SWMR mode")) == 1
    follow.close()


# -- a master whose parts appear ---------------------------------------------------------


def master(folder, links, images=None):
    """Write a master aside, with so many links, and give it its name."""
    with h5py.File(folder / "aside", "w") as file:
        group = file.create_group("entry/data")
        for k in links:
            group[f"data_{k:06d}"] = h5py.ExternalLink(f"data_{k:06d}.h5", "/entry/data/data")
        if images:
            specific = file.create_group("entry/instrument/detector/detectorSpecific")
            specific["nimages"], specific["ntrigger"] = images // 2, np.array([2])
    (folder / "aside").rename(folder / "m_master.h5")
    return f"h5={folder}/m_master.h5:live"


def part(folder, number, first, last, numbers=None):
    path = folder / f"data_{number:06d}.h5"
    write(path.with_suffix(".made"), first, last, src="entry/data/data")
    if numbers is not None:
        with h5py.File(path.with_suffix(".made"), "a") as file:
            file["entry/data/data"].attrs.update({"image_nr_low": numbers, "image_nr_high": numbers + last - first - 1})
    path.with_suffix(".made").rename(path)


@pytest.mark.parametrize("servers", [1, 2])
def test_parts_appear_and_the_master_says_how_many_images(tmp_path, servers):
    """Their links are all there from the beginning; it ends by itself."""
    text = master(tmp_path, range(1, 6), images=20)

    def answer(line):
        if "waiting" in line and not (tmp_path / "data_000001.h5").exists():
            part(tmp_path, 1, 0, 9)

    found = {}
    for server in range(servers):
        follow = Follow(text, "entry/data", answer, server=server, servers=servers)
        assert server or "data_000001.h5, which is not there" in follow.lines[0]
        own = np.flatnonzero(np.arange(20) // hdf5_live._GROUP % servers == server)
        frames = follow.take(np.count_nonzero(own < 9))
        if not server:
            part(tmp_path, 2, 9, 18)
            part(tmp_path, 3, 18, 20)
        frames += follow.take()
        found |= dict(zip(own.tolist(), frames, strict=True))
        assert [stamp for _, stamp, _ in follow.found] == own.tolist()
        follow.close()
    assert same([found[k] for k in range(20)])


def test_links_appear(tmp_path, command, monkeypatch):
    """In the master that is opened again, or put anew in its place."""
    part(tmp_path, 1, 0, 5)
    part(tmp_path, 2, 5, 10)
    follow = Follow(master(tmp_path, [1, 2]), "entry/data")
    assert same(follow.take(10), FRAMES[:10])
    code = """
    with h5py.File("m_master.h5", "a") as file:  # no reader's lock keeps its writer out
        file["entry/data/data_000003"] = h5py.ExternalLink("data_000003.h5", "/entry/data/data")
    """
    command(sys.executable, "-c", "import h5py" + dedent(code), cwd=tmp_path)
    part(tmp_path, 3, 10, 15)
    assert same(follow.take(5), FRAMES[10:15])
    master(tmp_path, [1, 2, 3, 4])
    part(tmp_path, 4, 15, 20)
    assert same(follow.take(5), FRAMES[15:])
    monkeypatch.setenv("PARCORANA_PATIENCE", "0.1")
    assert not follow.take()
    assert follow.said("which ends the run after 20 frames: waiting for: there is no link to data_000005 yet")
    follow.close()


def test_a_part_that_grows(tmp_path, command, in_thread):
    np.save(tmp_path / "frames.npy", FRAMES)
    code = """
    for number, first, last in ((1, 0, 8), (2, 8, N)):
        file, (data,) = new(f"data_{number:06d}.h5", stack(0, path="entry/data/data"))
        for k in range(first, last):
            put(data, k - first, frames[k])
            time.sleep(0.01)
        file.close()
    """
    text = master(tmp_path, [1, 2, 3], images=20)
    in_thread(command, sys.executable, "-c", WRITER + dedent(code), cwd=tmp_path)
    follow = Follow(text, "entry/data")
    assert same(follow.take())
    follow.close()


def test_numbers_of_images_leave_gaps(tmp_path, monkeypatch):
    """What was lost between two parts is no data; numbers that go back are not used."""
    monkeypatch.setattr(hdf5_live, "HOLE", 0.0)
    part(tmp_path, 1, 0, 5, numbers=1)
    part(tmp_path, 2, 5, 10, numbers=8)
    part(tmp_path, 3, 10, 20, numbers=3)
    follow = Follow(master(tmp_path, [1, 2, 3], images=22), "entry/data")
    frames = follow.take()
    assert [k for k, frame in enumerate(frames) if frame is None] == [5, 6]
    assert same([frame for frame in frames if frame is not None])
    assert follow.said("image_nr_low does not go on from part to part, so it is not used")
    follow.close()


def test_a_part_in_the_middle_never_comes(tmp_path, impatient):
    part(tmp_path, 1, 0, 5)
    part(tmp_path, 3, 10, 15)
    follow = Follow(master(tmp_path, [1, 2, 3], images=20), "entry/data")
    assert same(follow.take(), FRAMES[:5])
    (line,) = follow.said("ends the run after 5 frames: waiting for: data_000002 is not there yet (")
    assert line.endswith("and of 20 images 5 are there")
    follow.close()


def test_a_part_that_is_not_like_the_first_one(tmp_path, impatient):
    part(tmp_path, 1, 0, 5)
    with h5py.File(tmp_path / "data_000002.h5", "w") as file:
        file["entry/data/data"] = FRAMES[:, :3]
    text = master(tmp_path, [1], images=20)
    follow = Follow(text, "entry/data")
    assert same(follow.take(5), FRAMES[:5])
    master(tmp_path, [1, 2], images=20)
    with pytest.raises(RunError, match=r"data_000002 has frames of shape \(3, 5\), but data_000001 has those of"):
        follow.take()
    follow.close()


def test_no_part_ever_comes(tmp_path, impatient):
    with pytest.raises(ConfigError, match=r"src=entry/data: data_000001 is not there yet \(.*which is not there"):
        Follow(master(tmp_path, [1, 2]), "entry/data")


def test_the_copies_are_whole(tmp_path, impatient):
    """A part that is cut off while it is copied is waited for, and given up as the others are."""
    part(tmp_path, 1, 0, 10)
    part(tmp_path, 2, 10, 20)
    path = tmp_path / "data_000002.h5"
    shutil.copy(path, tmp_path / "whole")
    os.truncate(path, 900)
    follow = Follow(master(tmp_path, [1, 2], images=20), "entry/data")
    assert same(follow.take(10), FRAMES[:10])
    for _ in range(50):
        assert next(follow.events) is None
    shutil.copy(tmp_path / "whole", path)
    assert same(follow.take(), FRAMES[10:])
    follow.close()
