"""Gaps of a detector, marked by the largest value of its type or by -1: no count, no intensity, no picture's scale."""

import h5py
import matplotlib.image
import numpy as np
import pytest
from conftest import status_of

from parcorana.detector.images import is_data, load_layout
from parcorana.tools import maskcolor, plot

SHAPE = (60, 80)
ROW, COLUMN = np.indices(SHAPE)
PATTERN = 300 * np.exp(-np.hypot(ROW - 30, COLUMN - 40) / 12) + 1
GAP = (np.abs(ROW - 20) < 3) | (np.abs(COLUMN - 50) < 2)


def frames_of(dtype, mark, events=12):
    frames = np.random.default_rng(0).poisson(PATTERN, (events, *SHAPE)).astype(dtype)
    frames[:, GAP] = mark
    return frames


MARKS = [("u2", 65535), ("u4", 2**32 - 1), ("i4", -1), ("i4", 2**31 - 1), ("f4", np.nan), ("f4", np.inf)]


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(main, *args):
        status = status_of(main, *args)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def shades(path):
    """Return how many colours a picture has, and the share of its pixels in bright yellow, the end of the scale."""
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    end = np.abs(pixels - (253, 231, 36)).max(axis=2) < 8
    return len(np.unique(pixels.reshape(-1, 3), axis=0)), end.mean()


@pytest.mark.parametrize(("dtype", "mark"), MARKS)
def test_start_leaves_gaps_out(dtype, mark, tool):
    frames = frames_of(dtype, mark)
    with h5py.File("frames.h5", "w") as file:
        file["f"] = frames
    status, said, _ = tool(maskcolor.main, "start", "-d", "h5=frames.h5", "-s", "f", "-b", "m", "-c", 4)
    assert status == 0 and f"mask: {GAP.sum():,} elements left out: " in said
    assert np.array_equal(np.load("m_mask_ndarrCoords.npy") == 1, ~GAP)
    average = np.load("m_avg_ndarrCoords.npy")
    assert np.isnan(average[GAP]).all()
    np.testing.assert_allclose(average[~GAP], frames[:, ~GAP].mean(axis=0, dtype=np.float64), rtol=1e-12)
    for name in ("avg_ndarr", "color_img") if dtype == "u4" else ():
        status, said, error = tool(maskcolor.main, "plot", "-i", f"m_{name}Coords.npy", "-o", f"{name}.png")
        assert (status, error) == (0, "") and shades(f"{name}.png")[0] > 150, name


def test_an_overflow_in_one_event_counts(tool):
    """An element at the type's largest value in a single event has no mean; it is named."""
    frames = frames_of("u2", 65535)
    frames[3, 5, 6] = 65535
    with h5py.File("frames.h5", "w") as file:
        file["f"] = frames
    status, said, _ = tool(maskcolor.main, "start", "-d", "h5=frames.h5", "-s", "f", "-b", "m")
    assert (
        status == 0 and "at 65,535, the largest value of their type" in said and "1 of them in some events only" in said
    )
    assert np.load("m_mask_ndarrCoords.npy")[5, 6] == 0 and np.isnan(np.load("m_avg_ndarrCoords.npy")[5, 6])


def test_pictures_of_frames(tool):
    """A frame, or a mean that somebody else made, of any name: all look as if NaN marked the gaps."""
    drawn = []
    for dtype, mark in (("f4", np.nan), ("u2", 65535), ("i4", -1), ("f8", 2**32 - 1)):
        np.save("frame.npy", frames_of(dtype, mark)[0])
        status, said, _ = tool(maskcolor.main, "plot", "-i", "frame.npy", "-o", "frame.png")
        assert status == 0 and "drawn as a frame or an average" in said
        drawn.append(matplotlib.image.imread("frame.png"))
        assert np.array_equal(drawn[0], drawn[-1])
    assert shades("frame.png")[0] > 150


def test_the_mask_gives_the_scale(tool):
    """Bright elements that the mask leaves out do not set the scale; they are drawn at its end."""
    average = PATTERN.copy()
    average[:, :10] = 1e7
    np.save("m_avg_ndarrCoords.npy", average)
    assert tool(maskcolor.main, "plot", "-i", "m_avg_ndarrCoords.npy", "-o", "all.png")[0] == 0
    np.save("m_mask_ndarrCoords.npy", (COLUMN >= 10).astype(np.int8))
    assert tool(maskcolor.main, "plot", "-i", "m_avg_ndarrCoords.npy", "-o", "masked.png")[0] == 0
    (few, _), (many, end) = shades("all.png"), shades("masked.png")
    assert many > 150 and end > 0.08, (few, many, end)
    np.save("m_mask_ndarrCoords.npy", np.ones((5, 5), np.int8))
    status, _, error = tool(maskcolor.main, "plot", "-i", "m_avg_ndarrCoords.npy", "-o", "again.png")
    assert status == 0 and "'m_mask_ndarrCoords.npy' is of another shape" in error


def test_files_of_another_shape_are_named(tool):
    """Index files and an average that do not fit: refused where they are named, said where they lie beside."""
    save = {"m_color_imgCoords": np.ones((9, 9), int), "m_avg_imgCoords": np.ones((4, 4)), "m_iX": ROW, "m_iY": COLUMN}
    for name, array in save.items():
        np.save(f"{name}.npy", array)
    status, _, error = tool(maskcolor.main, "plot", "-i", "m_color_imgCoords.npy", "-o", "a.png")
    assert status == 0 and "the index files beside 'm_color_imgCoords.npy' are of another shape" in error
    assert "'m_avg_imgCoords.npy' is of another shape" in error
    both = ("--iX", "m_iX.npy", "--iY", "m_iY.npy")
    status, _, error = tool(maskcolor.main, "plot", "-i", "m_color_imgCoords.npy", "-o", "a.png", *both)
    assert status == 2 and "it must be 60x80, that of the image that they make" in error
    assert load_layout("m_iX.npy", "m_iY.npy").shape == SHAPE


def test_maps_of_a_result(setup, tool):
    """A mask that includes gaps: the maps of G2, IP, IF and g2 show the rest, and say what they leave blank."""
    frames = np.random.default_rng(0).poisson(8, (40, 2, 5, 7)).astype(np.uint16)
    frames[:, 0, :, 3] = 65535
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/frames"], file["det/counter"]
        file["det/frames"] = frames
    np.save(setup.folder / "mask.npy", np.ones((2, 5, 7), np.int8))
    setup.write(delays=[1, 2], times=20)
    assert setup.drive().returncode == 0
    with h5py.File(setup.folder / "out.h5") as file:
        result = plot.read_result(file, "out.h5", None)
        for name in ("G2:2", "IP:2", "IF:2", "g2:2"):
            array, label = plot._array(file, result, name)
            assert np.isnan(array[0, :, 3]).all() and np.count_nonzero(np.isnan(array)) == 5
            assert label.endswith("; 5 elements of the mask have no data")


def test_check_looks_at_the_data(tool):
    frames = frames_of("u2", 65535)
    with h5py.File("frames.h5", "w") as file:
        file["f"] = frames
        file["broken"] = np.where(GAP, np.nan, frames.astype(float))
    np.save("all.npy", np.ones(SHAPE, np.int8))
    np.save("good.npy", (~GAP).astype(np.int8))
    data = ("-d", "h5=frames.h5", "-s")
    status, _, error = tool(maskcolor.main, "check", "--mask", "all.npy", *data, "f")
    assert status == 0 and f"{GAP.sum():,} of the elements to process are at 65,535, the largest value" in error
    status, _, error = tool(maskcolor.main, "check", "--mask", "all.npy", *data, "broken")
    assert status == 0 and f"{GAP.sum():,} of the elements to process are not finite" in error
    assert tool(maskcolor.main, "check", "--mask", "good.npy", *data, "f")[::2] == (0, "")
    np.save("odd.npy", np.ones((60, 79), np.int8))
    status, _, error = tool(maskcolor.main, "check", "--mask", "odd.npy", "--shape", "60x79", *data, "f")
    assert status == 2 and "it must be 60x80, that of the data of 'h5=frames.h5'" in error


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i2", "i4", "i8", "f4", "f8", "?"])
def test_what_is_data(kind):
    dtype = np.dtype(kind)
    array = np.arange(6).astype(dtype)
    assert is_data(array).all()
    if dtype.kind == "b":
        return
    top = (np.finfo if dtype.kind == "f" else np.iinfo)(dtype).max
    array[2] = top
    assert np.flatnonzero(~is_data(array)).tolist() == [2]
    if dtype.kind != "u":
        array[4] = -1
        assert np.flatnonzero(~is_data(array)).tolist() == [2, 4]
        array[5] = -3  # a number like others
        assert np.flatnonzero(~is_data(array)).tolist() == [2]
