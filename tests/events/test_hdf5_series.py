"""Several parts that are one run, or runs of their own: an Eiger's master, files by a pattern, frames' own numbers."""

from itertools import pairwise

import h5py
import numpy as np
import pytest
from test_hdf5 import FRAMES
from test_hdf5_files import frames_of, opened

from parcorana.errors import ConfigError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5 import files as hdf5_files

ENDS = (0, 9, 18, 23)  # of the parts: the last one is shorter
MASTER = "s_1_master.h5"


def eiger(folder, numbers=True, ends=ENDS, first=1, missing=()):
    """Write a master, and the files that its links lead to."""
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / MASTER, "w") as master:
        data = master.create_group("entry/data")
        data.attrs["NX_class"] = "NXdata"
        master["entry"].attrs["default"] = "data"
        master["entry/instrument/detector/frame_time"] = 0.002
        for k, (a, b) in enumerate(pairwise(ends), 1):
            name = f"s_1_data_{k:06d}.h5"
            data[f"data_{k:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
            if k in missing:
                continue
            with h5py.File(folder / name, "w") as file:
                item = file.create_dataset("entry/data/data", data=FRAMES[a:b], maxshape=(None, *FRAMES.shape[1:]))
                if numbers:
                    item.attrs["image_nr_low"], item.attrs["image_nr_high"] = first + a, first + b - 1
    return f"h5={folder}/{MASTER}"


def read(text, src="entry/data", **share):
    """Return stamps, frames (None without data), and the lines of the log."""
    lines, found = [], []
    source = opened(text, src, lines.append, **share)
    for block in source.blocks():
        for event in block:
            frame = event.data()
            found.append((event.stamp, None if frame is None else frame.copy()))
    source.close()
    return [stamp for stamp, _ in found], [frame for _, frame in found], [*lines, source.about or ""]


def same(frames, right):
    return len(frames) == len(right) and all(map(np.array_equal, frames, right))


@pytest.mark.parametrize("numbers", [True, False])
@pytest.mark.parametrize("src", ["entry/data", "/entry/data/", "entry"])
@pytest.mark.parametrize("block", [1, 7, 64])
def test_a_master_is_one_run(tmp_path, numbers, src, block):
    text = eiger(tmp_path / "here", numbers)
    stamps, frames, lines = read(text, src, block=block)
    assert stamps == list(range(len(FRAMES))) and same(frames, FRAMES)
    (about,) = lines
    assert "frame_time says 0.002 s, so rate=500 gives them their time" in about


def test_more_parts_than_files_that_are_open(tmp_path, monkeypatch):
    for name in ("_FEWEST", "_MOST"):
        monkeypatch.setattr(hdf5_files, name, 2)
    for src in ("entry", "entry/data/data_000001"):
        right = FRAMES[:21] if src == "entry" else FRAMES[:3]
        assert same(read(eiger(tmp_path, ends=range(0, 24, 3)), src, block=7)[1], right)


def test_first_parts_without_a_link(tmp_path):
    text = eiger(tmp_path)
    with h5py.File(tmp_path / MASTER, "a") as file:
        del file["entry/data/data_000001"]
    _, frames, lines = read(text)
    assert same(frames, FRAMES[9:]) and "its parts begin with data_000002: what comes before is not read" in lines[0]


def test_signal_of_a_series(tmp_path):
    text = eiger(tmp_path)
    with h5py.File(tmp_path / MASTER, "a") as file:
        file["entry/data"].attrs["signal"] = "data_000001"
    assert same(read(text)[1], FRAMES) and same(read(text, "entry")[1], FRAMES)


def test_one_part_named_beside_others(tmp_path):
    text = eiger(tmp_path)
    _, frames, lines = read(text, "entry/data/data_000001")
    assert same(frames, FRAMES[:9])
    assert (
        "src=entry/data/data_000001: the 9 frames of one of 3 parts are read, not those of the others, data_000001 to "
        "data_000003: src=entry/data is all of them as one run" in lines[0]
    )
    with pytest.raises(ConfigError, match="no such dataset in the file; src=entry/data is its 3 parts, data_000001 to"):
        read(text, "entry/data/data")


def test_the_last_parts_are_missing(tmp_path):
    """As of a series that was stopped early."""
    for numbers in (True, False):
        text = eiger(tmp_path / f"{numbers}", numbers, missing=(2, 3))
        _, frames, lines = read(text)
        assert same(frames, FRAMES[:9])
        assert "2 of its 3 parts are missing, data_000002, data_000003 (" in lines[0]
        assert "s_1_data_000002.h5, which is not there" in lines[0] and lines[0].endswith("stopped early?")


def test_a_part_in_the_middle_is_missing(tmp_path):
    """Without numbers nobody can tell how long it is; with them its frames are missing, and counted."""
    with pytest.raises(ConfigError, match=r"data_000002 is missing, though data_000003 is there \(.*_000002\.h5"):
        read(eiger(tmp_path / "a", numbers=False, missing=(2,)))
    stamps, frames, lines = read(eiger(tmp_path / "b", missing=(2,)), block=7)
    assert stamps == list(range(23))
    assert [frame is not None for frame in frames] == [not 9 <= k < 18 for k in range(23)]
    assert same([f for f in frames if f is not None], np.concatenate([FRAMES[:9], FRAMES[18:]]))
    assert "1 of its 3 parts are missing, data_000002" in lines[0]
    assert "no data in 9 of 23 frames: 9-17 (no source is mapped to them)" in lines[1]
    text = eiger(tmp_path / "c", numbers=False)
    with h5py.File(tmp_path / "c" / MASTER, "a") as file:
        del file["entry/data/data_000002"]
    with pytest.raises(ConfigError, match=r"data_000002 is missing, .*there is no link to it"):
        read(text)
    with pytest.raises(ConfigError, match=r"none of its 3 parts can be read: .*_000001\.h5, which is not there"):
        read(eiger(tmp_path / "d", missing=(1, 2, 3)))


def test_numbers_with_a_gap_and_numbers_that_are_wrong(tmp_path):
    text = eiger(tmp_path)
    path = tmp_path / "s_1_data_000003.h5"
    with h5py.File(path, "a") as file:
        file["entry/data/data"].attrs["image_nr_low"], file["entry/data/data"].attrs["image_nr_high"] = 22, 26
    stamps, frames, lines = read(text)
    assert stamps == list(range(26)) and [k for k, frame in enumerate(frames) if frame is None] == [18, 19, 20]
    assert "no data in 3 of 26 frames: 18-20" in lines[0]
    for low, high in ((1, 5), (10**9, 10**9 + 4), (-(2**63), 2**63 - 1), (22, 22)):
        with h5py.File(path, "a") as file:
            file["entry/data/data"].attrs.update({"image_nr_low": low, "image_nr_high": high})
        stamps, frames, lines = read(text)
        assert stamps == list(range(23)) and same(frames, FRAMES)
        assert "image_nr_low and image_nr_high do not go with the frames, so they are not used" in lines[0]


def test_parts_that_differ(tmp_path):
    text = eiger(tmp_path)
    with h5py.File(tmp_path / "s_1_data_000002.h5", "w") as file:
        file["entry/data/data"] = FRAMES[9:18, :3]
    with pytest.raises(ConfigError, match=r"data_000002 has frames of shape \(3, 5\), but data_000001 has those of"):
        read(text)
    with h5py.File(tmp_path / "s_1_data_000002.h5", "w") as file:
        file["entry/data/data"] = FRAMES[9:18].astype("f4")
    with pytest.raises(ConfigError, match="data_000002 has frames of dtype float32"):
        read(text)


def test_files_of_a_series_by_a_pattern(tmp_path):
    """The numbers of the images are times: what lies between two files is missing."""
    eiger(tmp_path)
    stamps, frames, lines = read(f"h5={tmp_path}/s_1_data_*.h5", "entry/data/data")
    assert stamps == list(range(1, 24)) and same(frames, FRAMES)
    assert lines == ["times: image_nr_low of the frames, their numbers, count as pulses"]
    (tmp_path / "s_1_data_000002.h5").unlink()
    assert read(f"h5={tmp_path}/s_1_data_*.h5", "entry/data/data")[0] == [*range(1, 10), *range(19, 24)]


# -- files that are runs of their own --------------------------------------------


def repeats(folder, times=None, count=3):
    for k in range(count):
        with h5py.File(folder / f"r{k}.h5", "w") as file:
            file["f"] = FRAMES[:8] + k
            for name, value in (times or {}).items():
                file[name] = value(k)
    return f"h5={folder}/r*.h5"


@pytest.mark.parametrize(
    "times", [None, {"counter": lambda k: np.arange(8)}, {"timestamp": lambda k: np.arange(8) / 9}]
)
@pytest.mark.parametrize("servers", [1, 2])
def test_every_file_a_run(tmp_path, times, servers):
    text = repeats(tmp_path, times)
    assert parse_dataset(f"{text}:runs").apart
    found = []
    for server in range(servers):
        for block in opened(f"{text}:runs", "f", server=server, servers=servers, block=5).blocks():
            events = [(event.run, event.data().copy()) for event in block]
            pieces = [(int(block.runs[at]), frame.copy()) for at, piece in block.pieces(None) for frame in piece]
            assert [run for run, _ in events] == [run for run, _ in pieces]
            assert same([frame for _, frame in events], [frame for _, frame in pieces])
            found += [(run, int(frame[0, 0])) for run, frame in events]
    right = [(k, int(FRAMES[i, 0, 0]) + k) for k in range(3) for i in range(8)]
    assert sorted(found) == sorted(right) and (servers > 1 or found == right)


def test_times_that_begin_anew(tmp_path):
    for times in (
        {"counter": lambda k: np.arange(8) + 2 * k},
        {"counter": lambda k: np.arange(8) + (k == 2)},
        {"timestamp": lambda k: np.arange(8) / 9},
        {"timestamp": lambda k: np.arange(8) / 9 + k / 100},
    ):
        with pytest.raises(
            ConfigError, match=r"r[12]\.h5: its times begin at .*that is not one run; say ':runs' after"
        ):
            opened(repeats(tmp_path, times), "f")


def test_counters_that_all_begin_at_the_same_number_are_runs(tmp_path):
    lines = []
    source = opened(repeats(tmp_path, {"counter": lambda k: np.arange(5, 13)}), "f", lines.append)
    assert [event.run for block in source.blocks() for event in block] == [0] * 8 + [1] * 8 + [2] * 8
    (line,) = lines
    assert "the counter of each of the 3 files begins at 5, so each is taken as a run of its own" in line


def test_times_that_go_on(tmp_path):
    """One counter twice where files meet, and times in order: no word of runs."""
    lines = []
    opened(repeats(tmp_path, {"counter": lambda k: np.arange(8) + 7 * k}), "f", lines.append)
    opened(repeats(tmp_path, {"timestamp": lambda k: np.arange(8) / 9 + k}), "f", lines.append)
    assert not lines


def test_files_side_by_side_and_files_without_times(tmp_path):
    lines = []
    opened(repeats(tmp_path, {"counter": lambda k: 3 * np.arange(8) + k}), "f", lines.append)
    (line,) = lines
    assert "many events may come late; say ':runs' after the files if each is a run of its own" in line
    lines.clear()
    opened(repeats(tmp_path), "f", lines.append)
    (line,) = lines
    assert "3 files without times are taken as one run" in line and "':runs'" in line
    for k in range(3):
        with h5py.File(tmp_path / f"one{k}.h5", "w") as file:
            file["f"] = FRAMES[k : k + 1]
    lines.clear()
    opened(f"h5={tmp_path}/one*.h5", "f", lines.append)
    assert not lines  # one frame a file is a series


def test_runs_are_of_files_only():
    with pytest.raises(ConfigError, match="'runs' has no meaning beside 'exp='"):
        parse_dataset("exp=a:run=1:runs")


def test_a_file_twice_by_two_names(tmp_path):
    repeats(tmp_path)
    (tmp_path / "r9.h5").symlink_to(tmp_path / "r0.h5")
    with pytest.raises(ConfigError, match="a file is given twice"):
        opened(f"h5={tmp_path}/r*.h5", "f")


# -- numbers that areaDetector gives the frames -----------------------------------


def area_detector(path, ids):
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = FRAMES
        file["entry/instrument/NDAttributes/NDArrayUniqueId"] = ids
    return f"h5={path}"


def test_unique_ids_are_times(tmp_path):
    ids = np.sort(np.random.default_rng(0).choice(np.arange(1000, 1100), len(FRAMES), replace=False)).astype(np.int32)
    text = area_detector(tmp_path / "a.h5", ids)
    source = opened(text, "entry/data/data")
    assert source.stamps == "pulses"
    assert "times: entry/instrument/NDAttributes/NDArrayUniqueId, areaDetector's numbers of the frames" in source.about
    assert frames_of(source)[0] == ids.tolist()
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["entry/data/timestamp"] = np.arange(len(FRAMES)) / 10
    assert opened(text, "entry/data/data").stamps == "ns"  # what is beside the frames counts first


def test_unique_ids_that_are_no_times(tmp_path):
    for ids, words in (
        (np.arange(30), "is there, but has 30 numbers, so it is not used"),
        (np.zeros(len(FRAMES), int), "is there, but repeats numbers, so it is not used"),
    ):
        source = opened(area_detector(tmp_path / "a.h5", ids), "entry/data/data")
        assert words in source.about and "frames count as pulses 0, 1, 2" in source.about
        assert frames_of(source)[0] == list(range(len(FRAMES)))
