"""psana of LCLS-II on real xtc2 files."""

import http.server
import importlib.util
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from conftest import serving
from effort import PATIENCE
from xtc2 import L1_ACCEPT, write_run

from parcorana.errors import ConfigError, EventError, RunError
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.events.protocol import Share
from parcorana.events.psana2 import files, library

pytestmark = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")

EXP, BLOCK = "tstx00126", 8
T0 = 10**18 + 999_999_990  # the first event is just before a whole second
LENGTHS = {7: 45, 8: 21}
# Of run 7: both streams are sometimes missing, an event now and then entirely.
MISSING = {(0, 1), (3, 0), (8, 1), (11, 0), (11, 1), (30, 0), (44, 1)}
PRESENT = [event for event in range(LENGTHS[7]) if not {(event, 0), (event, 1)} <= MISSING]


def frames_of(run, segments=4):
    return np.random.default_rng(run).poisson(5, (LENGTHS[run], segments, 8, 6)).astype(np.uint16)


def stamps_of(run):
    pulses = np.cumsum(np.random.default_rng(run).integers(1, 5, LENGTHS[run]))
    return [T0 + int(pulse) * 8_333_333 for pulse in pulses]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs 7 (two streams) and 8 (one) of one experiment, and a run 7 of another."""
    path = tmp_path_factory.mktemp("xtc")
    write_run(path, frames_of(7), stamps_of(7), streams=2, missing=MISSING)
    write_run(path, frames_of(8), stamps_of(8), run=8)
    write_run(path, frames_of(8, 2), stamps_of(8), exp="tstother1", detector="other")
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """One run of one stream, nothing missing."""
    path = tmp_path_factory.mktemp("plain")
    write_run(path, frames_of(7), stamps_of(7))
    return path


@pytest.fixture(autouse=True)
def no_logbook(monkeypatch):
    """The same everywhere, whether or not SLAC can be reached: a port that refuses."""
    set_logbook(monkeypatch, 1)


def set_logbook(monkeypatch, port):
    monkeypatch.setenv("PS_PARALLEL", "none")
    monkeypatch.setenv("NO_PROXY", "*")
    from psana.psexp.ds_base import DataSourceBase

    monkeypatch.setattr(DataSourceBase, "_file_info_url", lambda self, run: f"http://127.0.0.1:{port}/{run}")


def text_of(folder, runs="7", exp=EXP):
    return f"exp={exp}:run={runs}:dir={folder}"


def big_data(folder, run=7, stream=0):
    return Path(folder, f"{EXP}-r{run:04d}-s{stream:03d}-c000.xtc2")


def opened(text, *, server=0, servers=1, numevents=0, src="mydet", type_=None, log=lambda line: None, block=BLOCK):
    return open_source(
        parse_dataset(text), src=src, type_=type_, share=Share(server, servers, block, numevents), log=log
    )


def read(source):
    """Return the blocks as lists of (run, stamp, array or None), and close."""

    def copied(event):
        data = event.data()
        return event.run, event.stamp, None if data is None else data.copy()

    blocks = [[copied(event) for event in block] for block in source.blocks()]
    source.close()
    return blocks


def read_until_error(source):
    events, error = [], None
    try:
        for block in source.blocks():
            events.extend((event.run, event.stamp, event.data()) for event in block)
    except RunError as raised:
        error = str(raised)
    source.close()
    return events, error


def rotated(text, servers, **kwargs):
    """Return the events of all servers in the order of the rotation; every block but the last is full."""
    queues = [read(opened(text, server=server, servers=servers, **kwargs)) for server in range(servers)]
    count = sum(map(len, queues))
    blocks = [queues[k % servers][k // servers] for k in range(count)]
    assert all(len(block) == BLOCK for block in blocks[:-1])
    assert all(blocks)
    return [event for block in blocks for event in block]


def expected(run, ordinal=0):
    frames, stamps = frames_of(run), stamps_of(run)
    if run == 8:
        return [(ordinal, stamp, frame) for stamp, frame in zip(stamps, frames, strict=True)]
    lacking = {event for event, _ in MISSING}
    return [(ordinal, stamps[i], None if i in lacking else frames[i]) for i in PRESENT]


def assert_same(events, right):
    assert [event[:2] for event in events] == [event[:2] for event in right]
    for (_, _, data), (_, _, frame) in zip(events, right, strict=True):
        assert (data is None) == (frame is None)
        assert data is None or (data.dtype == np.uint16 and np.array_equal(data, frame))


def files_open():
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if link.exists() and "xtc2" in os.readlink(link)]


def copy_of(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("numevents", [0, 1, 8, 24, 29, 43, 44, 1000])
def test_sequence(folder, servers, numevents, mode):
    right = expected(7)[: numevents or None]
    assert_same(rotated(text_of(folder) + mode, servers, numevents=numevents), right)


@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize(("runs", "numevents"), [("7-8", 0), ("8,7", 0), ("7,8", 44), ("7,8", 45), ("7,8", 60)])
def test_list_of_runs(folder, servers, runs, numevents, mode):
    order = [8, 7] if runs == "8,7" else [7, 8]
    right = [event for ordinal, run in enumerate(order) for event in expected(run, ordinal)][: numevents or None]
    assert_same(rotated(text_of(folder, runs) + mode, servers, numevents=numevents), right)


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("numevents", [0, 1, 17])
def test_pieces_of_small_data(folder, servers, numevents, monkeypatch):
    # psana hands out the small data in pieces, of 20000 events if not told otherwise.
    monkeypatch.setenv("PS_SMD_N_EVENTS", "5")
    assert_same(rotated(text_of(folder, "7,8:smd"), servers, numevents=numevents), [
        *expected(7, 0), *expected(8, 1)
    ][: numevents or None])  # fmt: skip


def test_attributes(folder):
    source = opened(text_of(folder))
    assert (source.stamps, source.total, source.shape, source.dtype) == ("ns", None, (4, 8, 6), np.uint16)
    event = next(iter(next(source.blocks())))
    assert type(event.stamp) is int
    assert type(event.evt).__module__ == "psana.event"
    assert event.evt.timestamp == event.stamp // 10**9 << 32 | event.stamp % 10**9
    source.close()
    other = opened(text_of(folder), server=1, servers=2)
    assert (other.shape, other.dtype) == (None, None)
    other.close()


def test_first_block_without_data(tmp_path):
    write_run(tmp_path, frames_of(8), stamps_of(8), streams=2, missing={(i, 1) for i in range(BLOCK)})
    source = opened(text_of(tmp_path))
    assert source.shape is None
    assert [sum(data is not None for *_, data in block) for block in read(source)] == [0, 8, 5]


def test_no_events(tmp_path):
    write_run(tmp_path, np.zeros((0, 2, 4, 4), np.uint16), [])
    source = opened(text_of(tmp_path))
    assert (source.shape, read(source)) == (None, [])


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("mode", ["", ":idx"])
def test_one_stream(folder, servers, mode):
    """The detector then has the segments of that stream, and the run the events that stream has."""
    events = rotated(f"{text_of(folder)}:stream=0{mode}", servers)
    right = [i for i in range(LENGTHS[7]) if (i, 0) not in MISSING]
    assert_same(events, [(0, stamps_of(7)[i], frames_of(7)[i][:2]) for i in right])
    both = rotated(f"{text_of(folder)}:stream=0-1{mode}", servers)
    assert_same(both, expected(7))


@pytest.mark.parametrize("mode", ["", ":idx"])
def test_no_such_stream(folder, mode):
    with pytest.raises(ConfigError, match="run 7 has no stream 2; its streams are: 0, 1"):
        opened(f"{text_of(folder)}:stream=1-2{mode}")


def test_index(plain):
    """Index mode knows the number of events, and how far apart they are, before it reads them."""
    source = opened(text_of(plain) + ":idx", numevents=30)
    assert (source.total, source.shape, source.dtype) == (30, (4, 8, 6), np.uint16)
    assert source.typical_step == pytest.approx(np.median(np.diff(stamps_of(7))) * 1e-9)
    source.close()
    assert not files_open()
    other = opened(text_of(plain) + ":idx", server=1, servers=2)
    assert other.shape is None
    other.close()


def test_index_needs_the_whole_run(tmp_path):
    write_run(tmp_path, frames_of(8), stamps_of(8), end=False)
    with pytest.raises(ConfigError, match="has no end of run: index mode needs the finished run"):
        opened(text_of(tmp_path) + ":idx")
    assert not files_open()


@pytest.mark.parametrize("mode", ["", ":idx"])
def test_data_in_several_files(tmp_path, mode):
    """Each stream goes on in other files, of which psana's own index knows only the last one."""
    write_run(tmp_path, frames_of(7), stamps_of(7), streams=2, missing=MISSING, pieces=(10, 29))
    assert len(list(tmp_path.glob("*.xtc2"))) == 6
    for servers in (1, 2):
        assert_same(rotated(text_of(tmp_path) + mode, servers), expected(7))
    assert not files_open()
    last = tmp_path / f"{EXP}-r0007-s001-c002.xtc2"
    os.truncate(last, last.stat().st_size - 1000)
    events, error = read_until_error(opened(text_of(tmp_path) + mode))
    assert 0 < len(events) < len(PRESENT) and (last.name in error if mode else "leaves out event" in error)


def damage_events(path, where):
    """Set the damage of events in a file: of the whole datagram, or of the detector's data in it."""
    places = events_in(path)
    with open(path, "r+b") as file:
        for event, (level, bits) in where.items():
            file.seek(places[event][0] + {"datagram": 16, "detector": 28}[level])
            file.write(bits.to_bytes(2, "little"))


@pytest.mark.parametrize("mode", ["", ":idx"])
def test_damage(plain, tmp_path, mode):
    """Damaged data is bad; what the lower levels do not confirm, or users mean, is not."""
    copy = copy_of(plain, tmp_path)
    marked = {0: ("detector", 1 << 4), 3: ("detector", 1 << 8), 5: ("datagram", 1 << 1 | 1 << 4)}
    harmless = {7: ("datagram", 1 << 5), 9: ("detector", 0x3000)}
    damage_events(big_data(copy), marked | harmless)
    source, said = opened(text_of(copy) + mode), {}
    for k, event in enumerate(event for block in source.blocks() for event in block):
        try:
            assert np.array_equal(event.data(), frames_of(7)[k])
        except EventError as error:
            said[k] = str(error)
    assert said == {0: "damaged: Corrupted", 3: "damaged: UserDefined", 5: "damaged: Truncated, Corrupted"}
    assert source.shape == (4, 8, 6)


@pytest.mark.parametrize("mode", ["", ":idx"])
def test_event_without_the_detector(tmp_path, mode):
    """Its datagram is there, but for the detector, or for one of its segments: no data, and the run goes on."""
    write_run(tmp_path, frames_of(8), stamps_of(8), run=8, lacking={(4, k) for k in range(4)} | {(9, 2)})
    events = expected(8)
    for k in (4, 9):
        events[k] = (*events[k][:2], None)
    assert_same(rotated(text_of(tmp_path, 8) + mode, 2), events)


def test_detector_that_raises(folder):
    """What psana's detector code stumbles over costs the event, not the run: this class wants a segment 0."""
    source = opened(text_of(folder) + ":stream=1")
    event = next(iter(next(source.blocks())))
    with pytest.raises(EventError, match="psana cannot make 'raw' of it: KeyError: 0"):
        event.data()
    source.close()


def test_detector_that_returns_none(tmp_path):
    frames = np.random.default_rng(1).integers(0, 9, (4, 2, 512, 1024), np.uint16)
    write_run(tmp_path, frames, stamps_of(8)[:4], streams=2, missing={(1, 1), (2, 0)}, kind="jungfrau")
    data = [data for block in read(opened(text_of(tmp_path))) for *_, data in block]
    assert [item is None for item in data] == [False, True, True, False]
    assert np.array_equal(data[0], frames[0])
    assert np.array_equal(data[3], frames[3])


def test_data_is_fetched_lazily(plain, monkeypatch):
    from psana.detector.detectors import cspad_raw_2_3_42 as detector

    fetched = []
    original = detector.raw
    monkeypatch.setattr(detector, "raw", lambda self, evt: fetched.append(evt.timestamp) or original(self, evt))
    source = opened(text_of(plain), server=1, servers=2)
    events = [event for block in source.blocks() for event in block]
    assert not fetched
    assert np.array_equal(events[3].data(), frames_of(7)[BLOCK + 3])
    assert fetched == [events[3].evt.timestamp]
    source.close()


def events_in(path):
    """Return (first, last) byte of each event in a data file."""
    places, offset = [], 0
    with open(path, "rb") as file:
        while found := files.datagram(file, offset):
            if found[0] == L1_ACCEPT:
                places.append((offset, offset + found[1]))
            offset += found[1]
    return places


@pytest.mark.parametrize(("servers", "numevents"), [(1, 0), (3, 0), (3, 29), (1, 5)])
def test_only_own_data_is_read(plain, servers, numevents, monkeypatch):
    """Of the data file each server reads the bytes of its own events, once, and no others."""
    path = str(big_data(plain))
    places = events_in(path)
    assert len(places) == LENGTHS[7]
    read_bytes = []
    preadv = os.preadv

    def counted(fd, buffers, offset):
        got = preadv(fd, buffers, offset)
        if os.readlink(f"/proc/self/fd/{fd}") == path:
            read_bytes.extend(range(offset, offset + got))
        return got

    monkeypatch.setattr(os, "preadv", counted)
    for server in range(servers):
        read_bytes.clear()
        share = Share(server, servers, BLOCK, numevents)
        read(opened(text_of(plain), server=server, servers=servers, numevents=numevents))
        own = [range(*place) for index, place in enumerate(places) if share.has(index)]
        assert read_bytes == list(itertools.chain(*own))


def test_foreign_data_may_be_garbage(plain, tmp_path):
    copy = copy_of(plain, tmp_path)
    places = events_in(big_data(copy))
    with open(big_data(copy), "r+b") as file:
        for first, last in places[BLOCK : 2 * BLOCK]:
            file.seek(first)
            file.write(b"\xff" * (last - first))
    blocks = read(opened(text_of(copy), server=0, servers=2))
    assert np.array_equal(blocks[1][0][2], frames_of(7)[2 * BLOCK])


@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("numevents", [0, 8, 21, 1000])
def test_file(folder, servers, numevents):
    events = rotated(f"file={big_data(folder, 8)}", servers, numevents=numevents)
    assert_same(events, expected(8)[: numevents or None])


def test_file_of_one_stream(folder):
    # psana sees that the file has but these two of the detector's segments.
    blocks = read(opened(f"file={big_data(folder)}"))
    right = [event for event in range(LENGTHS[7]) if (event, 0) not in MISSING]
    events = [event for block in blocks for event in block]
    assert [stamp for _, stamp, _ in events] == [stamps_of(7)[event] for event in right]
    assert all(np.array_equal(data, frames_of(7)[i][:2]) for (*_, data), i in zip(events, right, strict=True))


def test_two_runs_in_a_file(plain, folder, tmp_path):
    path = tmp_path / "both.xtc2"
    path.write_bytes(big_data(plain).read_bytes() + big_data(folder, 8).read_bytes())
    right = [(0, *event) for event in zip(stamps_of(7), frames_of(7), strict=True)] + expected(8, 1)
    assert_same(rotated(f"file={path}", 2), right)


@pytest.mark.parametrize("type_", [None, "raw", "raw.raw", "calib", "image"])
def test_types(plain, type_):
    lines = []
    source = opened(text_of(plain), type_=type_, log=lines.append)
    (_, _, data), *_ = read(source)[0]
    frame = frames_of(7)[0]
    assert np.array_equal(data, np.vstack(frame) if type_ == "image" else frame)
    assert sum("no calibration for 'mydet'" in line for line in lines) == (type_ in ("calib", "image"))


@pytest.mark.parametrize(
    ("src", "type_", "words"),
    [
        ("mydat", None, ["src 'mydat'", "run 7 of tstx00126", "mydet", "did you mean 'mydet'?"]),
        (None, None, ["src None", "mydet"]),
        ("mydet", "row", ["type 'row'", "raw.calib, raw.config, raw.image, raw.raw"]),
        ("mydet", "fex.raw", ["type 'fex.raw'", "raw.raw"]),
        ("mydet", "_segments", ["type '_segments'", "raw.raw"]),
        ("mydet", "config", ["type 'config'", "dict", "not an array"]),
    ],
)
def test_wrong_src_or_type(plain, src, type_, words):
    with pytest.raises(ConfigError) as error:
        opened(text_of(plain), src=src, type_=type_)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)
    assert not files_open()


def test_later_run_lacks_the_detector(folder, tmp_path):
    copy = copy_of(folder, tmp_path)
    write_run(copy, frames_of(8), stamps_of(8), run=9, detector="another")
    source = opened(text_of(copy, "8,9"))
    blocks = source.blocks()
    assert len(list(next(blocks))) == BLOCK
    with pytest.raises(RunError, match="run 9 of tstx00126 has these detectors: another"):
        [list(block) for block in blocks]
    source.close()
    assert not files_open()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("exp=tstx00126:run=9:dir={0}", ["run 9 has no files tstx00126-r0009-s", "runs of tstx00126 there: 7, 8"]),
        ("exp=tstx00199:run=7:dir={0}", ["run 7 has no files", "there: none"]),
        ("exp=tstx00126:run=7-9:dir={0}", ["run 9 has no files"]),
        ("exp=tstx00126:run=7:dir={0}/nowhere", ["there is no folder", "nowhere", "'dir='"]),
        ("exp=tstx00126:run=7", ["there is no folder", "tst/tstx00126/xtc"]),
        ("file={0}/none.xtc2", ["none.xtc2 cannot be read", "does not exist"]),
        ("file={0}", ["cannot be read", "is a folder"]),
        ("file=" + __file__, ["test_psana.py is not an xtc2 file"]),
        ("file=/" + 200 * "x", ["no path longer than 200"]),
    ],
)
def test_wrong_dataset(folder, part, words, monkeypatch):
    monkeypatch.setenv("SIT_PSDM_DATA", str(folder))
    with pytest.raises(ConfigError) as error:
        opened(part.format(folder))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("what", ["missing", "empty", "short", "small data"])
def test_damaged_run_is_refused(plain, tmp_path, what):
    copy = copy_of(plain, tmp_path)
    path = big_data(copy)
    if what == "missing":
        path.unlink()
    elif what == "small data":
        path = copy / "smalldata" / f"{path.stem}.smd.xtc2"
    if path.exists():
        os.truncate(path, {"empty": 0}.get(what, 600))
    with pytest.raises(ConfigError, match=path.name):
        opened(text_of(copy))


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize("cut", [-5000, -4970, -4600, -100])
def test_cut_off_data(plain, tmp_path, servers, cut, mode):
    """Left alone, psana would leave events out, or make them of what lies in memory."""
    copy = copy_of(plain, tmp_path)
    os.truncate(big_data(copy), big_data(copy).stat().st_size + cut)
    errors, seen = [], []
    for server in range(servers):
        events, error = read_until_error(opened(text_of(copy) + mode, server=server, servers=servers))
        seen += events
        errors += [error] if error else []
    assert errors
    assert all("cut off" in error for error in errors)
    right = dict(zip(stamps_of(7), frames_of(7), strict=True))
    assert all(np.array_equal(data, right[stamp]) for _, stamp, data in seen)


@pytest.mark.parametrize("mode", ["", ":idx"])
def test_data_that_is_cut_off_while_it_is_read(plain, tmp_path, mode):
    """How long a file was when it was opened does not count."""
    copy = copy_of(plain, tmp_path)
    source = opened(text_of(copy) + mode, block=2)
    os.truncate(big_data(copy), big_data(copy).stat().st_size - 5000)
    events, error = read_until_error(source)
    assert "cut off" in error or "leaves out event" in error
    right = dict(zip(stamps_of(7), frames_of(7), strict=True))
    assert len(events) < LENGTHS[7]
    assert all(np.array_equal(data, right[stamp]) for _, stamp, data in events)


def test_event_left_out(plain, monkeypatch):
    """After an incomplete read psana goes on with the next batch of events."""
    path, preadv, ranges = str(big_data(plain)), os.preadv, []

    def short(fd, buffers, offset):
        if os.readlink(f"/proc/self/fd/{fd}") == path:
            ranges.append(offset)
            if len(ranges) > 2 and len(buffers[0]) < 20:
                return 0
            if len(ranges) == 3:
                return preadv(fd, [buffers[0][:-10]], offset)
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", short)
    events, error = read_until_error(opened(text_of(plain)))
    assert "psana leaves out event" in error
    assert 0 < len(events) < LENGTHS[7]
    assert_same(events, [(0, *event) for event in zip(stamps_of(7), frames_of(7), strict=True)][: len(events)])


@pytest.mark.parametrize("kind", ["small data", "file", "unfinished", "unfinished file"])
def test_run_without_end(plain, tmp_path, kind):
    copy = copy_of(plain, tmp_path)
    if kind.startswith("unfinished"):
        write_run(copy, frames_of(7), stamps_of(7), end=False)
    else:
        path = big_data(copy) if kind == "file" else copy / "smalldata" / f"{big_data(copy).stem}.smd.xtc2"
        os.truncate(path, path.stat().st_size - 1000)
    source = opened(f"file={big_data(copy)}" if "file" in kind else text_of(copy))
    events, error = read_until_error(source)
    assert "without an end of run" in error
    assert_same(
        events, [(0, stamp, frame) for stamp, frame in zip(stamps_of(7), frames_of(7), strict=True)][: len(events)]
    )
    assert (len(events) == LENGTHS[7]) == kind.startswith("unfinished")


@pytest.mark.parametrize("kind", ["exp", "file"])
def test_stops_at_numevents(plain, kind):
    text = text_of(plain) if kind == "exp" else f"file={big_data(plain)}"
    for server, last in ((0, 20), (1, 16), (2, 0)):
        source = opened(text, server=server, servers=3 if server == 2 else 2, numevents=20 if server < 2 else 16)
        read(source)
        assert source._picker.next == last


def test_numevents_needs_no_end(tmp_path):
    write_run(tmp_path, frames_of(8), stamps_of(8), end=False)
    assert sum(map(len, read(opened(text_of(tmp_path), numevents=LENGTHS[8])))) == LENGTHS[8]


def test_files_are_closed(folder):
    for numevents in (0, 3):
        for text in (text_of(folder), f"file={big_data(folder)}"):
            source = opened(text, numevents=numevents)
            next(iter(next(source.blocks())))
            assert files_open()
            source.close()
            source.close()
            assert not files_open()
            assert list(source.blocks()) == []


def test_sources_do_not_disturb_each_other(folder):
    """The process has one psana object per detector name; the two runs differ in segments."""
    first = opened(text_of(folder, "8"))
    blocks = first.blocks()
    head = [event.data().copy() for event in next(blocks)]
    second = opened(f"file={big_data(folder)}")
    tail = [event.data().copy() for block in blocks for event in block]
    assert np.array_equal(head + tail, frames_of(8))
    assert second.shape == (2, 8, 6)
    first.close()
    second.close()


def test_quiet(folder, capfd):
    lines = []
    for text in (text_of(folder, "7,8"), f"file={big_data(folder)}"):
        read(opened(text, log=lines.append))
        read(opened(f"{text_of(folder)}:idx", log=lines.append))
    assert capfd.readouterr() == ("", "")
    assert lines == []


def test_logbook_refuses(folder):
    assert_same(rotated(text_of(folder, "7,8"), 2), [*expected(7, 0), *expected(8, 1)])
    for mode in ("", ":idx"):
        source = opened(text_of(folder) + mode)
        assert "logbook cannot be reached" in source.about and str(folder) in source.about
        source.close()


def test_logbook_is_silent(folder, monkeypatch):
    monkeypatch.setattr(library, "REACH_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        set_logbook(monkeypatch, server.getsockname()[1])
        source = opened(text_of(folder, "7,8"))
        assert "logbook cannot be reached" in source.about
        assert_same([event for block in read(source) for event in block], [*expected(7, 0), *expected(8, 1)])


def test_logbook_answers(folder, monkeypatch):
    asked = []

    class Logbook(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"value": [f"/tst/xtc/{big_data(folder, 8).name}"]}).encode())

        def log_message(self, *args):
            pass

    with serving(Logbook) as port:
        set_logbook(monkeypatch, port)
        source = opened(text_of(folder, "8"))
        events = [event for block in read(source) for event in block]
    assert_same(events, expected(8))
    assert (asked, source.about) == (["/8"], "the runs' files are those that SLAC's logbook lists")


def test_psana_missing(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "psana", None)
    with pytest.raises(ConfigError, match=r"pip install parcorana\[psana\]"):
        opened(text_of(plain))


def test_psana_of_lcls1(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "psana", types.ModuleType("psana"))
    with pytest.raises(ConfigError, match="LCLS-I's, which cannot read this"):
        opened(text_of(plain))


MPI_PROGRAM = """
import sys
{imported}
from mpi4py import MPI
from parcorana.errors import ConfigError
from parcorana.events.dataset import parse_dataset
from parcorana.events.psana2 import files, library
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

comm = MPI.COMM_WORLD
share = Share(comm.rank, comm.size, 8)
try:
    source = open_source(parse_dataset(sys.argv[1]), src="mydet", share=share, log=lambda line: None)
except ConfigError as error:
    found = str(error)
else:
    found = [(event.stamp, int(event.data().sum())) for block in source.blocks() for event in block]
found = comm.gather(found)
if comm.rank == 0:
    print(found)
"""


@pytest.mark.parametrize("imported", ["", "import psana"])
def test_under_mpiexec(plain, imported, tmp_path):
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    (tmp_path / "program.py").write_text(MPI_PROGRAM.format(imported=imported))
    root = str(Path(files.__file__).parents[3])
    environ = {name: value for name, value in os.environ.items() if name != "PS_PARALLEL"}
    run = subprocess.run(
        [
            "timeout",
            "-k",
            "5",
            str(PATIENCE),
            mpiexec,
            "-n",
            "3",
            sys.executable,
            tmp_path / "program.py",
            text_of(plain),
        ],
        env=environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    if imported:
        assert "PS_PARALLEL=none" in run.stdout
        return
    right = [(stamp, int(frame.sum())) for stamp, frame in zip(stamps_of(7), frames_of(7), strict=True)]
    share = [Share(server, 3, BLOCK) for server in range(3)]
    assert json.loads(run.stdout.replace("(", "[").replace(")", "]")) == [
        [list(event) for index, event in enumerate(right) if one.has(index)] for one in share
    ]
