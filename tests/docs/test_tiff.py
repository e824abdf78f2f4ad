"""examples/tiff_to_hdf5.py: what comes out, and what is refused."""

import importlib.util
import sys

import h5py
import numpy as np
import pytest
import tifffile

from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.events.protocol import Share


@pytest.fixture(scope="module")
def converter(root):
    spec = importlib.util.spec_from_file_location("tiff_to_hdf5", root / "examples" / "tiff_to_hdf5.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def convert(converter, tmp_path, monkeypatch, capsys):
    """Return a function that runs the command on a folder; it returns exit status, what it said, what went wrong."""

    def run(*arguments, where=tmp_path / "in"):
        monkeypatch.setattr(sys, "argv", ["tiff_to_hdf5.py", str(where), "-o", str(tmp_path / "out.h5"), *arguments])
        status = converter.main()
        return status, *capsys.readouterr()

    (tmp_path / "in").mkdir()
    return run


def frames_of(count, dtype=np.uint16, shape=(5, 7)):
    return np.random.default_rng(0).integers(0, 100, (count, *shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".npy"])
def test_frames_and_counters(convert, tmp_path, dtype, suffix):
    """By the numbers, not by the order of the names; what else is in the folder does not matter."""
    numbers, frames = [8, 9, 10, 13, 100, 101], frames_of(6, dtype)
    for number, frame in zip(numbers, frames, strict=True):
        path = tmp_path / "in" / f"run7_{number}_x{suffix}"
        np.save(path, frame) if suffix == ".npy" else tifffile.imwrite(path, frame)
    (tmp_path / "in" / "notes.txt").write_text("no frame", encoding="utf-8")
    status, said, wrong = convert()
    assert (status, wrong) == (0, "")
    assert "6 x 5 x 7" in said and "88 numbers are missing and stay gaps: 11-12, 14-99" in said
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["run/frames"].dtype == dtype
        np.testing.assert_array_equal(file["run/frames"], frames)
        np.testing.assert_array_equal(file["run/counter"], numbers)
    assert not (tmp_path / "out.h5.part").exists()


def test_the_program_sees_the_gaps(convert, tmp_path):
    for number, frame in zip((3, 4, 7), frames_of(3), strict=True):
        np.save(tmp_path / "in" / f"{number:06d}.npy", frame)
    assert convert()[0] == 0
    source = open_source(parse_dataset(f"h5={tmp_path / 'out.h5'}"), src=None, type_=None, share=Share(), log=print)
    assert [event.stamp for block in source.blocks() for event in block] == [3, 4, 7]
    source.close()


def test_chunks_are_cut_anywhere(converter, convert, tmp_path, monkeypatch):
    """Several frames to a chunk, the last one not full."""
    monkeypatch.setattr(converter, "CHUNK", 3 * 70)
    frames = frames_of(8)
    for number, frame in enumerate(frames):
        np.save(tmp_path / "in" / f"{number}.npy", frame)
    assert "no number is missing" in convert()[1]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["run/frames"].chunks == (3, 5, 7)
        np.testing.assert_array_equal(file["run/frames"], frames)


def test_a_pattern_takes_one_series(convert, tmp_path):
    for name in ("dark_1.npy", "run_1.npy", "run_2.npy"):
        np.save(tmp_path / "in" / name, frames_of(1)[0])
    status, _, wrong = convert()
    assert status == 2 and "both are number 1: name one series, by a pattern" in wrong
    status, said, _ = convert(where=tmp_path / "in" / "run_*.npy")
    assert status == 0 and "2 x 5 x 7" in said


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("f_3.npy", frames_of(1, shape=(5, 8))[0], "f_3.npy: uint16 (5, 8), but"),
        ("f_3.npy", frames_of(1, np.float32)[0], "f_3.npy: float32 (5, 7), but"),
        ("f_3.npy", frames_of(2), "f_3.npy: holds uint16 (2, 5, 7); a file must hold one frame"),
        ("f_3.npy", np.ones((5, 7), complex), "f_3.npy: holds complex128"),
        ("f_3.npy", np.array([{}], object), "f_3.npy: cannot be read"),
        ("f_3.tif", b"no TIFF", "f_3.tif: cannot be read"),
        ("f_3.tif", b"II*\x00\xff\xff\xff\xff", "f_3.tif: "),
        ("f_3.npy", b"", "f_3.npy: cannot be read"),
        ("f.npy", frames_of(1)[0], "f.npy: its name must have the frame's number in it"),
        ("f_99999999999999999999.npy", frames_of(1)[0], "of at most 18 digits"),
    ],
)
def test_what_is_refused_is_named(convert, tmp_path, name, content, fault):
    for number, frame in enumerate(frames_of(2), 1):
        np.save(tmp_path / "in" / f"f_{number}.npy", frame)
    if isinstance(content, bytes):
        (tmp_path / "in" / name).write_bytes(content)
    else:
        np.save(tmp_path / "in" / name, content)
    status, said, wrong = convert()
    assert (status, said) == (2, "") and fault in wrong and wrong.count("\n") == 1
    assert not [*tmp_path.glob("out.h5*")], "nothing half done is left"


def test_what_is_there_stays(convert, tmp_path):
    np.save(tmp_path / "in" / "1.npy", frames_of(1)[0])
    (tmp_path / "out.h5").write_bytes(b"mine")
    assert "--force replaces it" in convert()[2] and (tmp_path / "out.h5").read_bytes() == b"mine"
    assert convert("--force")[0] == 0 and h5py.is_hdf5(tmp_path / "out.h5")


def test_no_frames(convert, tmp_path):
    for where in (tmp_path / "in", tmp_path / "nowhere", tmp_path / "nowhere" / "*.tif"):
        status, _, wrong = convert(where=where)
        assert status == 2 and "no .tif, .tiff, .npy files there" in wrong
