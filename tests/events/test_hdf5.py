"""HDF5 stacks: the frames and times as they were written, read in batches, and every refusal."""

import itertools
import re
from fractions import Fraction

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcorana.errors import ConfigError, EventError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5 import source as hdf5
from parcorana.events.hdf5 import times as hdf5_times
from parcorana.events.hdf5.source import HDF5Source
from parcorana.events.open import open_source
from parcorana.events.protocol import Event, Share

pytestmark = pytest.mark.filterwarnings("error")

FRAMES = np.random.default_rng(5).integers(0, 200, (23, 4, 5)).astype(np.uint16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frames.h5"


def write(path, frames=FRAMES, src="run/data", times=None, **how):
    with h5py.File(path, "w") as file:
        file.create_dataset(src, data=frames, **how)
        for name, value in (times or {}).items():
            file[src].parent[name] = value
    return path


def make(path, src="run/data", **share):
    return HDF5Source(parse_dataset(f"h5={path}"), src, Share(**share))


def sequence(path, servers=1, **share):
    sources = [make(path, server=s, servers=servers, **share) for s in range(servers)]
    turns = itertools.zip_longest(*[source.blocks() for source in sources])
    events = [(e.stamp, e.data().copy()) for turn in turns for b in turn if b is not None for e in b]
    for source in sources:
        source.close()
    return [stamp for stamp, _ in events], np.array([frame for _, frame in events])


def refusal(path, src="run/data"):
    with pytest.raises(ConfigError) as error:
        make(path, src)
    text = str(error.value)
    assert text.startswith(f"h5={path}: ") and "\n" not in text
    with h5py.File(path, "a") if h5py.is_hdf5(path) else path.open("rb"):
        pass  # a file left open could not be opened to write
    return text


# What is read


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8", "i2", "u4", "i8", ">u2", ">f4", "f2"])
@pytest.mark.parametrize("shape", [(6, 8), (2, 3, 4), (7,)])
def test_dtypes_and_shapes(path, dtype, shape):
    frames = np.arange(5 * np.prod(shape)).reshape(5, *shape).astype(dtype)
    source = open_source(parse_dataset(f"h5={write(path, frames)}"), src="run/data", share=Share(block=3))
    assert source.total == 5 and source.shape == shape and source.stamps == "pulses"
    assert source.dtype == np.dtype(dtype).newbyteorder("=") and source.dtype.isnative
    blocks = [[(event, event.data()) for event in block] for block in source.blocks()]
    assert [len(block) for block in blocks] == [3, 2]
    for i, (event, frame) in enumerate(itertools.chain(*blocks)):
        assert isinstance(event, Event) and event.evt is event and event.run == 0
        assert event.stamp == i and type(event.stamp) is int
        assert frame.dtype == source.dtype and np.array_equal(frame, frames[i])
    source.close()
    source.close()


@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 4, 10, 512])
@pytest.mark.parametrize("numevents", [0, 1, 13, 100])
@pytest.mark.parametrize("batch", [1, 130, 1 << 24])
def test_every_division_gives_the_same_sequence(path, monkeypatch, *, servers, block, numevents, batch):
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", batch)
    write(path, times={"counter": np.arange(23) * 3 - 7}, chunks=(3, 2, 5))
    stamps, frames = sequence(path, servers, block=block, numevents=numevents)
    expected = min(numevents or 23, 23)
    assert make(path, numevents=numevents).total == expected
    assert stamps == [3 * i - 7 for i in range(expected)]
    assert np.array_equal(frames, FRAMES[:expected])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    servers=st.integers(1, 4),
    block=st.integers(1, 9),
    numevents=st.integers(0, 30),
    batch=st.integers(1, 700),
    chunk=st.integers(0, 23),
    compression=st.sampled_from([None, "gzip", "lzf"]),
)
def test_chunks_and_compression(tmp_path_factory, *, servers, block, numevents, batch, chunk, compression):
    path = tmp_path_factory.mktemp("stack") / "frames.h5"
    write(path, **({"chunks": (chunk, 4, 5), "compression": compression} if chunk else {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "_BATCH_BYTES", batch)
        patch.setattr(hdf5, "_BATCH_BYTES_CHUNKED", 4 * batch)
        stamps, frames = sequence(path, servers, block=block, numevents=numevents)
    expected = min(numevents or 23, 23)
    assert stamps == list(range(expected)) and np.array_equal(frames, FRAMES[:expected])


@pytest.mark.parametrize(("chunk", "rows"), [(None, 6), (1, 6), (4, 4), (3, 6), (5, 5), (7, 7), (20, 12)])
def test_batches_are_bounded_and_of_whole_chunks(path, monkeypatch, chunk, rows):
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", 6 * FRAMES[0].nbytes + 1)
    monkeypatch.setattr(hdf5, "_BATCH_BYTES_CHUNKED", 12 * FRAMES[0].nbytes + 1)
    write(path, chunks=None if chunk is None else (chunk, 4, 5))
    reads = watch(make(path), monkeypatch)
    starts = range(0, 23, rows)
    assert reads == [(start, min(start + rows, 23)) for start in starts]


def test_only_own_blocks_and_wanted_events_are_read(path, monkeypatch):
    write(path, chunks=(3, 4, 5))
    assert watch(make(path, server=1, servers=2, block=5), monkeypatch) == [(5, 10), (15, 20)]
    assert watch(make(path, numevents=4), monkeypatch) == [(0, 4)]
    assert watch(make(path), monkeypatch, wanted=()) == []


def watch(source, monkeypatch, wanted=range(23)):
    """Go through a source, return the ranges that were read, each no more than once."""
    reads, read = [], source._read
    monkeypatch.setattr(source, "_read", lambda *rows: reads.append(rows) or read(*rows))
    for event in itertools.chain.from_iterable(source.blocks()):
        if event.stamp in wanted:
            event.data()
    return reads


def test_events_may_be_read_again_and_out_of_order(path, monkeypatch):
    monkeypatch.setattr(hdf5, "_BATCH_BYTES", 4 * FRAMES[0].nbytes)
    source = make(write(path))
    events = list(itertools.chain.from_iterable(source.blocks()))
    for index in (22, 0, 7, 7, 6, 21, 3):
        assert np.array_equal(events[index].data(), FRAMES[index])


@pytest.mark.parametrize("src", ["data", "/data", "a/b/c/data", "/a/b/data/"])
def test_times_are_looked_for_in_the_same_group(path, src):
    write(path, src=src.strip("/"), times={"counter": np.arange(23) + 5})
    with h5py.File(path, "a") as file:
        file.create_group("elsewhere")["counter"] = np.arange(23)
        if "/" in src.strip("/"):
            file["counter"] = np.arange(23)
    assert [e.stamp for block in make(path, src).blocks() for e in block] == list(range(5, 28))


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("times", [None, {"counter": "i8"}, {"timestamp": "f8"}, {"timestamp": "u8"}])
def test_short_stacks(path, length, times):
    times = times and {name: np.zeros(length, dtype) for name, dtype in times.items()}
    write(path, FRAMES[:length], times=times, chunks=(1, 4, 5), maxshape=(None, 4, 5))
    source = make(path)
    assert source.total == length and source.shape == (4, 5) and source.dtype == np.uint16
    assert [e.stamp for block in source.blocks() for e in block] == [0] * length


def test_damaged_chunk_costs_its_own_frames_only(path):
    write(path, chunks=(2, 4, 5), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        chunk = file["run/data"].id.get_chunk_info(4)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    source = make(path)
    for i, event in enumerate(itertools.chain.from_iterable(source.blocks())):
        if i in (8, 9):
            with pytest.raises(OSError):
                event.data()
        else:
            assert np.array_equal(event.data(), FRAMES[i])


# Times


@pytest.mark.parametrize("dtype", ["i8", "i4", "u8", "u2", "i1", ">i8"])
def test_counter(path, dtype):
    counter = np.array([5, 3, 3, 100, 0] + [7] * 18).astype(dtype)
    write(path, times={"counter": counter})
    source = make(path)
    assert source.stamps == "pulses"
    assert [e.stamp for block in source.blocks() for e in block] == counter.tolist()


def test_negative_counter_and_both_kinds(path):
    write(path, times={"counter": np.arange(-10, 13), "timestamp": np.full(5, np.nan)})
    source = make(path)
    assert source.stamps == "pulses"
    assert [e.stamp for block in source.blocks() for e in block] == list(range(-10, 13))


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_timestamp_in_nanoseconds(path, dtype):
    stamps = (1_700_000_000_123_456_789 + 8_333_333 * np.arange(23)).astype(dtype)
    write(path, times={"timestamp": stamps})
    source = make(path)
    assert source.stamps == "ns"
    assert [e.stamp for block in source.blocks() for e in block] == stamps.tolist()


def test_timestamp_in_seconds_is_rounded_to_nanoseconds(path):
    seconds = np.array([0, 1e-9, 0.1, 1 / 120, 2 / 3, -0.25, -1e-9, -1.1, 1e9 + 0.5, 1.7e9 + 0.125] + [9e9] * 13)
    write(path, times={"timestamp": seconds})
    source = make(path)
    assert source.stamps == "ns"
    stamps = [e.stamp for block in source.blocks() for e in block]
    expected = [0, 1, 10**8, 8333333, 666666667, -25 * 10**7, -1, -1100000000, 10**18 + 5 * 10**8]
    assert stamps == [*expected, 17 * 10**17 + 125 * 10**6] + [9 * 10**18] * 13


@given(st.floats(-9e9, 9e9))
def test_seconds_are_rounded_exactly(seconds):
    stamp = int(hdf5_times.to_int64(np.array([seconds]))[0][0])
    assert abs(Fraction(stamp) - Fraction(seconds) * 10**9) <= Fraction(1, 2) + Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("name", "times", "what"),
    [
        ("counter", np.arange(22), "has shape (22,), and must have (23,), a time for each frame of run/data"),
        ("counter", np.zeros((23, 2), int), "has shape (23, 2)"),
        ("counter", 5, "has shape ()"),
        ("counter", np.arange(23.0), "has dtype float64, and must be an integer, pulses"),
        ("counter", np.zeros(23, bool), "has dtype bool"),
        ("counter", np.full(23, 2**63, np.uint64), "is 9223372036854775808 at index 0, and must be near those of the"),
        ("counter", np.r_[np.full(12, 2**63, np.uint64), np.arange(11, dtype="u8")], "; so it is with 12 of 23"),
        (
            "counter",
            np.repeat([-(2**62), 0, 2**62], [8, 7, 8]),
            "at index 0, and must be near those of the other events",
        ),
        ("counter", h5py.Empty("i8"), "has shape None"),
        ("timestamp", np.arange(24.0), "has shape (24,)"),
        ("timestamp", np.arange(23, dtype="f4"), "has dtype float32, and must be float64, seconds, or an integer"),
        ("timestamp", np.zeros(23, "S9"), "has dtype |S9"),
        ("timestamp", np.zeros(23, complex), "has dtype complex128"),
        (
            "timestamp",
            np.r_[np.zeros(11), np.full(12, np.nan)],
            "is nan at index 11, and must be finite, within 292 years",
        ),
        ("timestamp", np.full(23, np.inf), "is inf at index 0, and must be finite"),
        ("timestamp", np.full(23, 1.7e18), "and must be finite, within 292 years; so it is with 23 of 23"),
        ("timestamp", np.full(23, 2**64 - 1, np.uint64), "must be near those of the other events"),
    ],
)
def test_wrong_times(path, name, times, what):
    text = refusal(write(path, times={name: times}))
    assert f"/run/{name} " in text and what in text


NONE = [2**63 - 1, -(2**63), 2**63 - 5, 2**62, -(2**62)]


@pytest.mark.parametrize(
    ("name", "times", "bogus"),
    [
        *(("counter", np.arange(23) * 10 + 7, value) for value in NONE),
        ("counter", np.arange(23, dtype=np.uint64) + 7, 2**64 - 1),
        *(("timestamp", np.arange(23) * 10**9 + 17 * 10**17, value) for value in (2**63 - 1, -(2**63), -(10**18))),
        *(("timestamp", np.arange(23) / 10 + 1.7e9, value) for value in (np.nan, np.inf, -np.inf, 1e300, 9.2e9)),
        ("timestamp", (np.arange(23, dtype="u8") + 1_700_000_000) << np.uint64(32), 2**64 - 1),
    ],
)
@pytest.mark.parametrize("at", [0, 9, 22])
def test_a_time_that_is_none_is_a_bad_event(path, name, times, bogus, at):
    """All others are as they would be without it."""
    right = sequence(write(path, times={name: times}))[0]
    times = times.copy()
    times[at] = bogus
    source, found, pieces = make(write(path, times={name: times})), [], []
    for block in source.blocks():
        for event in block:
            if len(found) == at:
                with pytest.raises(
                    EventError, match=f"/run/{name} is {re.escape(str(times[at]))} at index {at}, and must"
                ):
                    event.data()
            found.append(None if len(found) == at else (event.stamp, event.data().copy()))
        pieces += [piece for _, piece in block.pieces(None)]
    source.close()
    assert [event and event[0] for event in found] == [None if k == at else stamp for k, stamp in enumerate(right)]
    assert all(event is None or np.array_equal(event[1], frame) for event, frame in zip(found, FRAMES, strict=True))
    assert sum(len(piece) for piece in pieces if not isinstance(piece, EventError)) == 22
    assert sum(isinstance(piece, EventError) for piece in pieces) == 1


def test_times_that_are_no_dataset(path):
    write(path)
    with h5py.File(path, "a") as file:
        file["run"].create_group("counter")
    assert "/run/counter is a group" in refusal(path)
    with h5py.File(path, "a") as file:
        del file["run/counter"]
        file["run/counter"] = h5py.SoftLink("/nowhere")
    assert "/run/counter: 'counter' is a link to '/nowhere', which is not there" in refusal(path)


# Files and stacks


def test_wrong_files(path, tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        make(path)
    with pytest.raises(ConfigError, match="this is a folder"):
        make(tmp_path)
    path.write_bytes(b"not HDF5 at all" * 100)
    assert "this is not an HDF5 file" in refusal(path)
    path.write_bytes(b"")
    assert "this is not an HDF5 file" in refusal(path)
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(ConfigError, match=f"the file is cut off: it has 1,000 of {len(whole):,} bytes"):
        make(path)
    path.write_bytes(whole[:8] + b"\xff" + whole[9:])
    with pytest.raises(ConfigError, match="the file is damaged or still being written"):
        make(path)


def test_src_not_given_is_the_only_one(path):
    write(path, times={"counter": np.arange(23)})
    with h5py.File(path, "a") as file:
        file["mask"] = np.ones((4, 5), np.uint8)
    for src in (None, ""):
        source = make(path, src=src)
        assert source.total == 23
        assert source.about == "src: 'run/data', which is not given, but the only stack of frames in the file"


def test_src_not_given_lists_what_there_is(path):
    write(path, times={"counter": np.arange(23)})
    with h5py.File(path, "a") as file:
        file["mask"] = np.ones((4, 5), np.uint8)
        file["other"] = np.ones((3, 4, 5))
        file["names"] = np.zeros((4, 5), "S4")
    for src in (None, ""):
        text = refusal(path, src)
        assert "src must be given" in text
        assert text.endswith("; the file has other (3x4x5 float64), run/data (23x4x5 uint16), mask (4x5 uint8)")
    assert "a str, not 3" in refusal(path, 3)


def test_no_such_src(path):
    write(path)
    text = refusal(path, "/run/dat")
    assert "src=/run/dat: there is no such dataset" in text
    assert text.endswith("did you mean 'run/data'?; the file has run/data (23x4x5 uint16)")
    assert "this is a group, and must be a dataset" in refusal(path, "run")
    with h5py.File(path, "a") as file:
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["away"] = h5py.ExternalLink("nowhere.h5", "/data")
    assert "src=dangling" in refusal(path, "dangling")
    assert "src=away" in refusal(path, "away")


def test_long_lists_are_cut(path):
    with h5py.File(path, "w") as file:
        for i in range(14):
            file[f"d{i:02d}"] = np.zeros((2, 2))
    text = refusal(path, "x")
    assert "d09 (2x2 float64) and 4 more" in text and "d10" not in text


def test_file_without_stacks(path):
    write(path, np.arange(5), src="x")
    assert refusal(path, None).endswith("the file has no dataset of numbers with two or more dimensions")


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        (np.arange(9), "it has shape (9,), and must be frames, time first"),
        (7.5, "it has shape ()"),
        (h5py.Empty("f4"), "it has nothing"),
        (np.zeros((3, 0, 4)), "its frames of shape (0, 4) have no elements"),
        (np.zeros((3, 4), complex), "its dtype is complex128, and must be an integer or a float"),
        (np.zeros((3, 4), bool), "its dtype is bool"),
        (np.zeros((3, 4), "S5"), "its dtype is |S5"),
        (np.zeros((3, 4), [("a", "f4"), ("b", "i2")]), "and must be an integer or a float"),
    ],
)
def test_wrong_stacks(path, frames, what):
    text = refusal(write(path, frames))
    assert "src=run/data: " in text and what in text


def test_types_that_numpy_has_not(path):
    write(path)
    with h5py.File(path, "a") as file:
        file["other"] = np.ones((3, 4, 5))
        space = h5py.h5s.create_simple((3, 4))
        h5py.h5d.create(file.id, b"bits", h5py.h5t.STD_B8LE, space)
        h5py.h5d.create(file.id, b"times", h5py.h5t.UNIX_D32LE, space)
    assert "src must be given" in refusal(path, None)
    assert "src=times: its dtype is" in refusal(path, "times")
