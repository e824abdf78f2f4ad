"""Times that are elsewhere than beside the frames, in any unit; and bursts, whose events are several frames each."""

import h5py
import numpy as np
import pytest
from test_hdf5 import FRAMES

from parcorana.errors import ConfigError, EventError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5 import source as hdf5
from parcorana.events.open import open_source
from parcorana.events.protocol import Share
from parcorana.job.config import resolve_config
from parcorana.userg2 import G2IncrementalAccumulator

N = len(FRAMES)  # 23 frames
BURSTS = np.random.default_rng(8).integers(1, 200, (7, 6, 4, 5)).astype(np.uint16)
EACH = np.arange(7)[:, None] * 1000 + np.arange(6) * 3


def opened(path, times_src=None, src="run/data", log=print, flags="", values=None, **share):
    given = {"src": src, "share": Share(**share), "log": log, "times_src": times_src, "values": values}
    return open_source(parse_dataset(f"h5={path}{flags}"), **given)


def read(source):
    """Return stamps, frames and values, and look whether pieces give the same frames."""
    found, pieces = [], []
    for block in source.blocks():
        found += [(event.stamp, event.data().copy(), event.values) for event in block]
    for block in source.blocks():
        pieces += [frame.copy() for _, piece in block.pieces(None) for frame in piece]
    source.close()
    stamps, frames, values = map(list, zip(*found, strict=True))
    assert np.array_equal(frames, pieces)
    return stamps, np.array(frames), values


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frames.h5"


def write(path, times, place="elsewhere/t", frames=FRAMES, units=None, **how):
    with h5py.File(path, "w") as file:
        file.create_dataset("run/data", data=frames, **how)
        if times is not None:
            file[place] = times
            if units is not None:
                file[place].attrs["units"] = units
    return path


# -- times_src --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "place", "units", "stamps", "right"),
    [
        (np.arange(N) * 2 + 9, "entry/instrument/NDAttributes/NDArrayUniqueId", None, "pulses", np.arange(N) * 2 + 9),
        (np.arange(N)[:, None] + 5, "image/trainId", None, "pulses", np.arange(N) + 5),
        (np.arange(N) * 2, "1.1/measurement/frames", "counts", "pulses", np.arange(N) * 2),
        (np.arange(N) / 8, "1.1/measurement/elapsed_time", "s", "ns", np.arange(N) * 125_000_000),
        (np.arange(N) / 8, "1.1/measurement/epoch", None, "ns", np.arange(N) * 125_000_000),
        (np.arange(N) * 12.5, "t", b"ms", "ns", np.arange(N) * 12_500_000),
        (np.arange(N) * 3, "t", "us", "ns", np.arange(N) * 3000),
        (np.arange(N) - 4, "t", "Seconds", "ns", (np.arange(N) - 4) * 10**9),
        (np.arange(N, dtype="u4") * 3, "t", "µs", "ns", np.arange(N) * 3000),
        (np.arange(N) * 7, "event_time", None, "ns", np.arange(N) * 7),
        (np.arange(N, dtype="u8") + (10**9 << 32), "smd/timestamp", None, "ns", np.arange(N) + 10**18),
    ],
)
def test_times_that_are_named(path, times, place, units, stamps, right):
    write(path, times, place, units=units)
    with h5py.File(path, "a") as file:
        file["run/counter"] = np.arange(N)[::-1]  # beside the frames, and not wanted
    source = opened(path, place)
    assert source.stamps == stamps and place in source.about
    found, frames, _ = read(source)
    assert found == right.tolist() and np.array_equal(frames, FRAMES)


def test_units_of_times_beside_the_frames(path):
    write(path, np.arange(N) * 2.0, "run/timestamp", units="ms")
    source = opened(path)
    assert source.about == "times: run/timestamp, in ms" and read(source)[0] == list(range(0, 2_000_000 * N, 2_000_000))
    write(path, np.arange(N) * 2.0, "run/timestamp", units="since 1970")
    source = opened(path)
    assert source.about == "times: run/timestamp, taken as seconds, for its units are 'since 1970'"


def bad_ones(source, words):
    """Return which events are bad, and look what is said of each."""
    found, k = [], 0
    for block in source.blocks():
        for event in block:
            try:
                event.data()
            except EventError as error:
                found.append((k, str(error)))
            k += 1
    source.close()
    assert all(words in text and f" at index {k}, and must be near those" in text for k, text in found)
    return [k for k, _ in found]


def test_times_too_large_for_nanoseconds_are_bad_events(path):
    times = np.arange(N) * 10
    times[5], times[6] = 2**60, -(2**60)
    assert bad_ones(opened(write(path, times, units="s"), "elsewhere/t"), "elsewhere/t is") == [5, 6]


@pytest.mark.parametrize(
    ("times", "place", "units", "words"),
    [
        (np.arange(N), "elsewhere/tt", None, "there is no such dataset in the file; did you mean 'elsewhere/t'?"),
        (np.arange(N), "elsewhere", None, "is a group, and must be a dataset"),
        (
            np.arange(N + 1),
            "elsewhere/t",
            None,
            "has shape (24,), and must have (23,), a time for each frame of run/data",
        ),
        (np.zeros((N, 2), int), "elsewhere/t", None, "has shape (23, 2), and must have (23,)"),
        (np.zeros(N, "f4"), "elsewhere/t", None, "has dtype float32, and must be an integer, or float64 seconds"),
        (np.zeros(N, "S3"), "elsewhere/t", None, "has dtype |S3"),
        (np.zeros(N, bool), "elsewhere/t", None, "has dtype bool"),
        (h5py.Empty("i8"), "elsewhere/t", None, "has shape None"),
        (np.int64(3), "elsewhere/t", None, "has shape ()"),
        (np.arange(N) / 3, "elsewhere/t", "fortnights", "its units are 'fortnights', and must be s, ms, us or ns"),
    ],
)
def test_times_that_are_none(path, times, place, units, words):
    write(path, times, units=units)
    with h5py.File(path, "a") as file:
        file["scan/frame_id"] = np.arange(N)
    with pytest.raises(ConfigError) as error:
        opened(path, place)
    text = str(error.value)
    assert text.startswith(f"times_src: h5={path}: /{place} ".rstrip()) or f"h5={path}: /{place}:" in text
    assert words in text
    assert "units" in words or ("a number for each frame have" in text and "scan/frame_id" in text)


def test_numbers_of_trains_are_no_counters_of_frames(path):
    lines = []
    opened(write(path, np.arange(N) // 4, "image/trainId"), "image/trainId", log=lines.append)
    assert "17 of 23 frames have the time of the one before (image/trainId), so they will count as" in lines[0]
    opened(write(path, np.arange(N) // 2, "image/trainId"), "image/trainId", log=lines.append)
    assert len(lines) == 1


@pytest.mark.parametrize("units", [np.array([b"ms", b"s"]), 3.5, h5py.Empty("S1"), "", b"\xff\xfe"])
def test_units_that_say_nothing(path, units):
    assert opened(write(path, np.arange(N), units=units), "elsewhere/t").stamps == "pulses"


def test_only_hdf5_files_have_such_times(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((2, 4, 4), np.uint8))
    given = {"mask": tmp_path / "mask.npy", "times": 9, "delays": [1], "user_class": G2IncrementalAccumulator}
    with pytest.raises(ConfigError, match=r"times_src='a/b': only HDF5 files have .* dataset is 'sim=brownian'"):
        resolve_config(given | {"dataset": "sim=brownian", "times_src": "a/b"}, {})
    with pytest.raises(ConfigError, match="times_src must be the path of the times in the file, not ' /'"):
        resolve_config(given | {"dataset": "h5=a.h5", "times_src": " /"}, {})
    with pytest.raises(ConfigError, match="'bursts' has no meaning beside 'sim='"):
        resolve_config(given | {"dataset": "sim=brownian:bursts"}, {})


# -- bursts -----------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, (1, 1, 4, 5), (1, 6, 4, 5), (1, 4, 2, 5), (3, 6, 4, 5), (2, 4, 4, 3)])
@pytest.mark.parametrize("batch", [1, 250, 1 << 20])
@pytest.mark.parametrize("servers", [1, 2])
def test_frames_of_a_burst_follow_each_other(path, monkeypatch, chunks, batch, servers):
    """A counter with a number for each frame says that they do; in whatever pieces they are read."""
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", batch)
    write(path, EACH, frames=BURSTS, chunks=chunks, compression=None if chunks is None else "gzip")
    for server in range(servers):
        source = opened(path, "elsewhere/t", server=server, servers=servers, block=5)
        assert source.total == 42 and source.shape == (4, 5)
        assert "bursts: each event is 6 frames, one after the other" in source.about
        own = np.flatnonzero(np.arange(42) // 5 % servers == server)
        stamps, frames, _ = read(source)
        assert stamps == EACH.reshape(-1)[own].tolist()
        assert np.array_equal(frames, BURSTS.reshape(-1, 4, 5)[own])


@pytest.mark.parametrize(
    ("times", "place", "flags", "stamps"),
    [
        (EACH, "run/counter", "", EACH.reshape(-1)),
        (EACH.reshape(-1), "run/counter", ":bursts", EACH.reshape(-1)),
        (np.arange(7) * 2 + 100, "run/counter", ":bursts", (np.arange(7) * 12 + 600)[:, None] + np.arange(6)),
        (None, "", ":bursts", np.arange(42)),
        (EACH / 1000, "run/timestamp", "", EACH * 1_000_000),
        (EACH / 1000, "run/timestamp", ":bursts", EACH * 1_000_000),
    ],
)
def test_times_of_bursts(path, times, place, flags, stamps):
    source = opened(write(path, times, place, BURSTS), flags=flags)
    assert "bursts: each event is 6 frames" in source.about
    found, frames, _ = read(source)
    assert found == np.ravel(stamps).tolist() and np.array_equal(frames, BURSTS.reshape(-1, 4, 5))


def test_arrays_of_panels_are_one_event_each(path):
    """Nothing says that they are frames, but for a wish or times of that shape."""
    source = opened(write(path, np.arange(7), "run/counter", BURSTS))
    assert source.total == 7 and source.shape == (6, 4, 5)
    stamps, frames, _ = read(source)
    assert stamps == list(range(7)) and np.array_equal(frames, BURSTS)


def test_values_of_bursts(path):
    write(path, EACH, "run/counter", BURSTS)
    columns = {"each": EACH / 7, "event": np.arange(7) * 10, "flat": np.arange(42)}
    with h5py.File(path, "a") as file:
        for name, column in columns.items():
            file[name] = column
    found = read(opened(path, values={name: name for name in columns}, block=5))[2]
    assert [v["each"] for v in found] == (EACH / 7).reshape(-1).tolist()
    assert [v["event"] for v in found] == np.repeat(np.arange(7) * 10, 6).tolist()
    assert [v["flat"] for v in found] == list(range(42))
    with h5py.File(path, "a") as file:
        file["wrong"] = np.arange(8)
    with pytest.raises(
        ConfigError, match=r"has shape \(8,\), and must have \(42,\) or \(7,\), a number for each frame"
    ):
        opened(path, values={"wrong": "wrong"})


@pytest.mark.parametrize(
    ("frames", "times", "words"),
    [
        (FRAMES[:, 0], None, "':bursts' is for a stack of events x frames x detector, and /run/data has shape (23, 5)"),
        (BURSTS, np.arange(7) / 3, "has one time for each event, and ':bursts' needs that of each frame, shape (7, 6)"),
        (BURSTS, np.zeros((7, 5)), "has shape (7, 5), and must have (7,) or (7, 6), a time for each frame of run/data"),
    ],
)
def test_bursts_that_are_none(path, frames, times, words):
    with pytest.raises(ConfigError) as error:
        opened(write(path, times, "run/timestamp", frames), flags=":bursts")
    assert words in str(error.value)


def test_frames_of_bursts_that_were_never_written(path):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("run/data", BURSTS.shape, "u2", chunks=(1, 2, 4, 5))
        data[:4], data[4, :2] = BURSTS[:4], BURSTS[4, :2]
        file["run/counter"] = EACH
    lines = []
    source = opened(path, log=lines.append, block=5)
    found = [event.data() is not None for block in source.blocks() for event in block]
    source.close()
    assert found == [True] * 26 + [False] * 16
    assert "no data in 16 of 42 frames: 26-41 (run/data: never written)" in lines[0]


def test_a_counter_of_events_that_is_far_off_makes_its_frames_bad(path):
    times = np.arange(7)
    times[3] = 2**62
    source = opened(write(path, times, "run/counter", BURSTS), flags=":bursts")
    assert bad_ones(source, f"run/counter is {2**62}") == list(range(18, 24))
