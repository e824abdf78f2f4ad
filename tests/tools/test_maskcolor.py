"""parCorAnaMaskColorTool: every wrong file its sentence, conversions, statistics; parCorAnaPlot, pictures, fits."""

import dataclasses
import importlib.util
import os
import resource
import shutil
import signal
from pathlib import Path

import h5py
import hypothesis.extra.numpy as hnp
import matplotlib.image
import numpy as np
import pytest
from conftest import status_of
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.curves import fits
from parcorana.curves.fitchoice import KINDS, choice_of
from parcorana.curves.sums import Curve
from parcorana.detector import colors, hot
from parcorana.detector.geometry import Geometry
from parcorana.detector.images import Layout, segments_apart
from parcorana.detector.statistics import Statistics
from parcorana.errors import ConfigError, RunError
from parcorana.tools import maskcolor, plot
from parcorana.tools.maskcolor import files
from parcorana.tools.maskcolor.coloring import coloring


def save(**arrays):
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)


MASK = np.ones((2, 3), np.int8)
COLOR = np.array([[1, 2, 0], [1, 2, 2]])
# files beside the right ones, and the sentence that each gets
WRONG = {
    "missing": ({"mask": None}, "mask: the file 'mask.npy' does not exist"),
    "float": ({"mask": MASK * 1.0}, "mask: 'mask.npy' holds float64; it must hold whole numbers or bool"),
    "complex": ({"mask": MASK * 1j}, "mask: 'mask.npy' holds complex128; it must hold real numbers"),
    "text": ({"mask": np.array(["a"])}, "mask: 'mask.npy' holds <U1; it must hold real numbers"),
    "empty": ({"mask": np.zeros((0, 3), int)}, "mask: 'mask.npy' has the shape 0x3, so it has no element"),
    "values": ({"mask": MASK * 3}, "mask: 'mask.npy' has the values 3; only 0 (leave out) and 1 (process)"),
    "none": ({"mask": MASK * 0}, "mask: 'mask.npy' is 0 everywhere"),
    "shape": ({"mask": MASK.T}, "mask: 'mask.npy' has the shape 3x2; it must be 2x3, that of --shape"),
    "color shape": ({"color": COLOR.T}, "color: 'color.npy' has the shape 3x2; it must be 2x3"),
    "negative": ({"color": -COLOR}, "color: 'color.npy' has the negative values -2, -1; colours are 0 or larger"),
    "color float": ({"color": COLOR / 2}, "color: 'color.npy' holds float64; it must hold whole numbers"),
    "large": ({"color": COLOR.astype(np.uint64) << np.uint64(63)}, "which is too large for a colour"),
    "fine": ({"fine": COLOR * 0}, "finecolor: 'fine.npy' is 0 at 5 elements that have a colour (the first is (0, 0))"),
    "fine negative": ({"fine": COLOR - 1}, "finecolor: 'fine.npy' has the negative values -1"),
    "testmask": ({"test": MASK[:1]}, "testmask: 'test.npy' has the shape 1x3; it must be 2x3, that of the mask"),
}


@pytest.mark.parametrize("case", WRONG)
def test_every_wrong_file_has_its_sentence(tool, case):
    files, sentence = WRONG[case]
    save(
        **{
            k: a
            for k, a in ({"mask": MASK, "color": COLOR, "fine": COLOR, "test": MASK} | files).items()
            if a is not None
        }
    )
    args = ["--mask", "mask.npy", "--color", "color.npy", "--finecolor", "fine.npy", "--testmask", "test.npy"]
    status, _, error = tool("check", *args, "--shape", "2x3")
    assert status == 2 and sentence in error and error.count("\n") == 1, error


def test_files_that_are_none(tool, tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "text.npy").write_text("0 1 1\n")
    np.save("pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("good.npy", MASK)
    whole = (tmp_path / "good.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-2])
    (tmp_path / "header.npy").write_bytes(whole.replace(b"}", b" "))
    with open("huge.npy", "wb") as file:
        header = {"descr": "|i1", "fortran_order": False, "shape": (10**15, 99)}
        np.lib.format.write_array_header_1_0(file, header)
    for name in ("folder", "text", "pickle", "cut", "header", "huge"):
        words = "is a folder" if name == "folder" else "is not a readable .npy file"
        status, _, error = tool("check", "--mask", f"{name}.npy")
        assert status == 2 and words in error and error.count("\n") == 1, (name, error)


def test_right_files_and_their_numbers(tool):
    save(mask=MASK, color=COLOR)
    status, said, error = tool("check", "--mask", "mask.npy", "--color", "color.npy")
    assert status == 0 and said.endswith("all right\n")
    assert "2x3, 6 of 6 elements" in said and "2 of 1, 3 of 2" in said and "1 of 6 included elements" in error


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int32, (2, 3, 4), elements=st.integers(0, 5)), st.integers(0, 99), st.booleans())
def test_images_and_back(array, seed, one_to_one):
    rng = np.random.default_rng(seed)
    place = rng.permutation(60)[:24] if one_to_one else rng.integers(0, 12, 24)
    layout = Layout((place // 10).reshape(2, 3, 4).astype(np.int32), (place % 10).reshape(2, 3, 4).astype(np.int32))
    image = layout.image(array)
    for pixel in np.ndindex(*layout.shape):
        on = array[(layout.iX == pixel[0]) & (layout.iY == pixel[1])]
        assert image[pixel] == (on.min() if on.size else 0)
        assert layout.covered()[pixel] == bool(on.size)
        assert layout.image(array / 3)[pixel] == pytest.approx(on.mean() / 3 if on.size else 0)
    if one_to_one:
        assert np.array_equal(layout.ndarray(image), array)
        assert "every element has a pixel of its own" in layout.describe()


def test_losses_are_named(tool):
    save(iX=np.array([0, 0, 1]), iY=np.array([0, 0, 1]), array=np.array([1, 0, 1]), image=np.array([[1, 5], [5, 1]]))
    both = ["--iX", "iX.npy", "--iY", "iY.npy"]
    _, said, _ = tool("ndarr2img", "-i", "array.npy", "-o", "out.npy", *both)
    assert "2 elements share a pixel" in said and "1 elements have another value than their pixel" in said
    status, _, error = tool("img2ndarr", "-i", "image.npy", "-o", "out.npy", *both)
    assert status == 2 and "'out.npy' exists; say --force" in error
    _, said, _ = tool("img2ndarr", "-i", "image.npy", "-o", "out.npy", *both, "--force")
    assert "2 image pixels that are not 0 have no element" in said and np.load("out.npy").tolist() == [1, 1, 1]
    save(iY=np.array([0, 0, 10**6]))
    assert "are these index files?" in tool("ndarr2img", "-i", "array.npy", "-o", "no.npy", *both)[2]


def test_hot_dead_broken_and_gaps():
    rng = np.random.default_rng(0)
    frames = rng.poisson(50, (40, 2, 30, 40)).astype(float)
    frames[:, 0, 3, 4] += 300
    frames[:, 1, 5, 6] = 50 + 60 * (-1.0) ** np.arange(40)  # the usual mean, but restless
    frames[:, 0, 7, 8] = 51
    frames[3, 1, 9, 9] = np.nan
    frames[4, 1, 8, 9] = np.inf
    statistics = statistics_of(frames)
    assert np.argwhere(hot.find(statistics, ~statistics.broken(), 1e-5).where).tolist() == [[0, 3, 4], [1, 5, 6]]
    assert np.argwhere(statistics.dead()).tolist() == [[0, 7, 8]]
    assert np.argwhere(statistics.broken()).tolist() == [[1, 8, 9], [1, 9, 9]]
    assert np.array_equal(np.isnan(statistics.mean), statistics.broken()) and not statistics.gaps().any()


def statistics_of(frames):
    statistics = Statistics()
    for frame in frames:
        statistics.add(frame)
    return statistics


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u2", "f4", "f8"])
def test_statistics_are_those_of_numpy(kind):
    """Whatever the type: sums do not overflow, and the type's largest value is a gap, not a count."""
    dtype = np.dtype(kind)
    top = (np.finfo if dtype.kind == "f" else np.iinfo)(dtype).max
    frames = np.random.default_rng(0).integers(90, 126, (30, 3, 4)).astype(dtype)
    frames[:, 0, 0] = top
    frames[7, 0, 1] = top
    frames[:, 0, 2] = frames[:, 0, 2] // 2
    statistics = statistics_of(frames)
    assert np.argwhere(statistics.gaps()).tolist() == [[0, 0], [0, 1]] and statistics.sometimes_a_gap() == 1
    assert np.isnan(statistics.mean[0, :2]).all()
    good = ~statistics.gaps()
    exact = np.where(good, frames, 0).astype(np.float64)
    np.testing.assert_allclose(statistics.mean[good], exact.mean(axis=0)[good], rtol=1e-14)
    np.testing.assert_allclose(statistics.deviation[good], exact.std(axis=0)[good], rtol=1e-12)
    mean, deviation = statistics.without_largest()
    rest = np.sort(exact, axis=0)[:-1]
    np.testing.assert_allclose(mean[good], rest.mean(axis=0)[good], rtol=1e-14)
    np.testing.assert_allclose(deviation[good], rest.std(axis=0)[good], rtol=1e-12)


@pytest.mark.parametrize("events", [1, 20])
def test_negative_numbers_that_stand_for_gaps(events):
    counts = np.random.default_rng(1).poisson(5, (events, 6, 7)).astype(np.int32)
    counts[:, 1, 1], counts[:, 2, 2], counts[-1, 3, 3] = -1, -2, -1
    gaps = np.argwhere(statistics_of(counts).gaps()).tolist()
    assert gaps == [[1, 1], [2, 2], [3, 3]]
    noise = counts - 7  # negative as others are: only what never changes is no data
    noise[:, 4, 4] = -9
    found = np.argwhere(statistics_of(noise).gaps()).tolist()
    assert found == ([] if events == 1 else [[1, 1], [2, 2], [4, 4]])
    assert not statistics_of(noise.astype(np.float32)).gaps().any()


def test_colours_by_intensity_and_the_test_mask():
    mean, mask = np.random.default_rng(1).random((20, 30)), np.ones((20, 30), bool)
    mask[0] = False
    color = colors.by_intensity(mean, mask, 7)
    assert not color[0].any() and np.ptp(np.bincount(color[mask])[1:]) <= 1
    assert all(mean[color == c].max() < mean[color == c + 1].min() for c in range(1, 7))
    test = colors.some_around(mean, mask, 0.95, 10)
    assert test.sum() == 10 and np.all(np.abs(mean[test == 1] - np.quantile(mean[mask], 0.95)) < 0.03)
    assert colors.some_around(mean, mean == mean.max(), 0.95, 10).sum() == 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--by", "q"], "--by q needs --wavelength or --energy, --distance, --pixel"),
        (["--by", "q", "--energy", "9"], "--by q needs --distance, --pixel"),
        (["--energy", "9", "--wavelength", "1"], "give one of them"),
        (["--sectors", "2"], "--sectors belongs to rings"),
        (["--by", "radius", "--low", "500", "--high", "600"], "no included element lies in the rings"),
        (["--by", "radius", "--low", "9", "--high", "3"], "--low 9 must be below --high 3"),
        (["--by", "radius", "--low", "0", "--log"], "above 0 for rings on a logarithmic scale"),
        (["--rectangle", "0,0,99,99"], "the mask leaves out every element"),
        (["-c", "9999"], "9999 colours are too many"),
        (["-g", "nowhere.data"], "-g: the file 'nowhere.data' does not exist"),
        (["--iX", "a.npy"], "--iX and --iY belong together"),
        (["-b", "no/where"], "the folder 'no' does not exist"),
        (["--center", "5"], "'5' is not ROW,COLUMN"),
        (["--by", "q", "--energy", "9500"], "--energy 9500 is in keV: 9.5 would be 9500 eV"),
        (["--by", "q", "--wavelength", "1.3e-10"], "--wavelength 1.3e-10 is in angstrom"),
        (["-m", "nowhere.npy"], "-m: the file 'nowhere.npy' does not exist"),
        (["--iX", "a.npy", "--iY", "b.npy"], "iX: the file 'a.npy' does not exist"),
    ],
)
def test_wrong_arguments_of_start(tool, args, sentence):
    status, _, error = tool("start", "-d", "sim=brownian:shape=12x16:events=4", *args)
    assert status == 2 and sentence in error


@pytest.mark.parametrize(
    ("args", "warned"),
    [
        (["--distance", "5000", "--pixel", "75"], ""),
        (["--distance", "5", "--pixel", "7500"], "the largest scattering angle of the detector is 85.9 degrees"),
        (
            ["--distance", "5000", "--pixel", "0.000075"],
            "the largest scattering angle of the detector is 7.99e-09 degrees",
        ),
    ],
)
def test_lengths_of_another_unit(tool, args, warned):
    by_q = ["--by", "q", "--energy", "9.5", "-c", "2", "--finecolor", "2", *args]
    status, _, error = tool("start", "-d", "sim=brownian:shape=12x16:events=4", "-b", "m", *by_q)
    assert status == 0 and warned in error and bool(warned) == bool(error)
    assert not warned or "are --distance, in mm, and --pixel, in um, right?" in error


def test_lengths_that_are_not_those_of_the_geometry(capsys):
    geometry = dataclasses.replace(Geometry.of_layout(segments_apart((12, 16)), ""), pixel=75.0, distance=5000.0)
    for options, warned in (
        ({}, []),
        ({"distance": 5010.0}, []),
        (
            {"distance": 4000.0, "pixel": 50.0},
            ["--distance 4000 mm given by hand; the geometry says 5000 mm", "--pixel 50 um given by hand"],
        ),
    ):
        args = maskcolor.make_parser().parse_args(["start", "-d", "x", "--by", "q", "--energy", "9"])
        vars(args).update(options)
        coloring(args, np.ones((12, 16)), np.ones((12, 16), bool), geometry, (5, 5), [])
        error = capsys.readouterr().err
        assert error.count("warning") == len(warned) and all(text in error for text in warned)


def test_colours_that_few_counts_do_not_divide(tool):
    dim, bright = ("sim=brownian:shape=12x16:events=20:poisson=1:mean=0.02", "sim=brownian:shape=12x16:events=20")
    status, _, error = tool("start", "-d", dim, "-b", "dim", "-c", 4)
    assert status == 0 and "of the 3 borders between colours lie among elements of the same mean" in error
    assert tool("start", "-d", bright, "-b", "bright", "-c", 4)[2] == ""


def test_how_many_events_are_looked_at(tool):
    """The first so many, of how many; those without data and those that cannot be used."""
    dataset = "sim=brownian:shape=12x16:events=40"
    assert (
        "30 more events of the dataset are not looked at (-n)" in tool("start", "-d", dataset, "-n", 10, "-b", "a")[1]
    )
    assert "more events" not in tool("start", "-d", dataset, "-n", 40, "-b", "b")[1]
    frames = np.random.default_rng(0).poisson(5, (8, 12, 16)).astype(np.uint16)
    with h5py.File("frames.h5", "w") as file:
        file.create_dataset("f", data=frames, chunks=(1, 12, 16), fletcher32=True)
        at = [file["f"].id.get_chunk_info(k).byte_offset for k in (2, 5)]
    with open("frames.h5", "r+b") as file:
        for offset in at:  # what is written there does not fit the checksum
            file.seek(offset)
            file.write(b"\xff\x00\xff")
    status, said, error = tool("start", "-d", "h5=frames.h5", "-s", "f", "-b", "c", "-n", 5)
    assert status == 0 and "average: 5 events of 12x16 elements; 1 more events" in said
    assert "warning: of the first 7 events 0 had no data, 2 were bad" in error
    np.testing.assert_allclose(np.load("c_avg_ndarrCoords.npy"), frames[[0, 1, 3, 4, 6]].mean(0), rtol=1e-12)


def test_rings_need_a_geometry(tool):
    status, _, error = tool("start", "-d", "sim=brownian:shape=4x12x16:events=4", "--by", "radius")
    assert status == 2 and "give a geometry file (-g) or index files" in error
    layout = segments_apart((4, 12, 16))
    save(iX=layout.iX, iY=layout.iY)
    args = ["--by", "radius", "-c", 3, "-b", "four", "--rings-only", "--high", 8, "--iX", "iX.npy", "--iY", "iY.npy"]
    assert tool("start", "-d", "sim=brownian:shape=4x12x16:events=4", *args)[0] == 0
    mask, color = np.load("four_mask_ndarrCoords.npy"), np.load("four_color_ndarrCoords.npy")
    assert np.array_equal(mask == 1, color > 0) and 0 < mask.mean() < 0.5
    status, said, error = tool("start", "-d", "sim=brownian:shape=4x12x16:events=4", *args)
    assert status == 0 and "unchanged: four_" in said  # the same files again
    before = {path.name: path.read_bytes() for path in Path().glob("four_*")}
    for changed in (["-n", "2"], ["--high", "7"], ["--edges", "1"]):
        status, said, error = tool("start", "-d", "sim=brownian:shape=4x12x16:events=4", *args, *changed)
        assert status == 2 and "exists, and would be another one now; say --force to replace it" in error
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):  # as others may have put there
        Path("four_iX.npy").unlink()
        make("four_iX.npy")
        status, _, error = tool("start", "-d", "sim=brownian:shape=4x12x16:events=4", *args)
        assert status == 2 and "'four_iX.npy' is a " in error and "; say --force to replace it" in error
    Path("four_iX.npy").unlink()
    assert "exists; say --force" in tool("start", "-d", "sim=brownian:shape=4x12x16:events=4", *args)[2]
    assert before == {path.name: path.read_bytes() for path in Path().glob("four_*")} | {
        "four_iX.npy": before["four_iX.npy"]
    }


# -- fits ----------------------------------------------------------------------

DELAYS = np.unique(np.geomspace(1, 1000, 30).astype(int))


def curve_of(g2, error=np.nan):
    number = np.full(len(DELAYS), 5)
    return Curve(g2, np.full(len(DELAYS), float(error)), number, number * 0)


def true(tau, contrast=0.3, exponent=1.0, baseline=1.0):
    return baseline + contrast * np.exp(-2 * (DELAYS / tau) ** exponent)


@pytest.mark.parametrize("kind", ["single", "stretched"])
def test_fits_and_their_errors(kind):
    exponent = 1.0 if kind == "single" else 0.7
    found = []
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, 0.003, len(DELAYS))
        fit = fits.fit_curve(DELAYS, curve_of(true(40, exponent=exponent) + noise, 0.003), kind)
        assert fit.ok and fit.points == len(DELAYS), fit
        found.append(fit)
    for name, value in (("tau", 40), ("contrast", 0.3), ("baseline", 1), ("exponent", exponent)):
        got = np.array([getattr(fit, name) for fit in found])
        errors = np.array([getattr(fit, f"{name}_err") for fit in found])
        if name == "exponent" and kind == "single":
            assert not errors.any()
            continue
        assert abs(got.mean() - value) < 4 * got.std() / np.sqrt(60) + 0.02 * abs(value)
        assert 0.7 < np.sqrt(np.mean(errors**2)) / got.std() < 1.4, name


@pytest.mark.parametrize(
    ("g2", "why"),
    [
        (np.full(len(DELAYS), np.nan), "0 points are too few"),
        (np.where(DELAYS < 3, true(40), np.nan), "2 points are too few"),
        (true(1e5), ""),
        (true(0.1), ""),
        (2 - true(40), ""),
        (1 + np.random.default_rng(0).normal(0, 0.01, len(DELAYS)), ""),
    ],
)
def test_fits_that_fail_say_so(g2, why):
    for kind in KINDS:
        fit = fits.fit_curve(DELAYS, curve_of(g2), kind)
        assert not fit.ok and fit.why.startswith(why) and fit.why
        assert np.isnan([fit.tau, fit.tau_err, fit.contrast, fit.baseline]).all()


def test_fits_in_the_file():
    found = {3: fits.fit_curve(DELAYS, curve_of(true(40), 0.01), "stretched"), 7: fits.Fit("stretched", why="no decay")}
    with h5py.File("x.h5", "w", driver="core", backing_store=False) as file:
        fits.write(file.create_group("fits"), found, 120.0)
        assert file["fits/tau"].attrs["rate"] == 120
        again = fits.Fit.read(file["fits"])
        for name in set(file["fits"]) & {"tau_slow", "error_from", "groups", "chi_square", "degrees_of_freedom"}:
            del file["fits"][name]  # as older versions wrote it
        older = fits.Fit.read(file["fits"])
    np.testing.assert_equal(dataclasses.asdict(again[3]), dataclasses.asdict(found[3]))
    assert older[3].tau == found[3].tau and older[3].ok and older[3].error_from == ""
    assert not again[7].ok and again[7].why == "no decay"


# -- pictures ------------------------------------------------------------------


def test_pictures_of_a_run(setup, monkeypatch, capsys):
    """The run draws, parCorAnaPlot draws, and what is wrong is a sentence."""
    monkeypatch.chdir(setup.folder)
    setup.write(user=setup.user | {"picture": True, "fit": "single", "plot_colors": [1, 2]})
    run = setup.drive(ranks=3)
    assert run.returncode == 0, run.stderr
    assert matplotlib.image.imread("out.png").shape[0] > 800 and not list(setup.folder.glob(".*part*"))
    with h5py.File("out.h5") as file:
        assert set(file["user/G2_results_at_000070/fits/colors"][:]) == {1, 2, 3}

    def draw(*args):
        status = status_of(plot.main, *args)
        return status, capsys.readouterr().err

    maps = [part for name in ("g2:1", "G2:55", "saturated", "mask", "color") for part in ("--map", name)]
    assert draw("out.h5", "-o", "all.pdf", *maps, "--fit", "stretched", "--at", 70) == (0, "")
    assert (setup.folder / "all.pdf").read_bytes().startswith(b"%PDF")
    for args, sentence in (
        (["none.h5", "-o", "a.png"], "the file 'none.h5' does not exist"),
        (["frames.h5", "-o", "a.png"], "'frames.h5' is not a readable result file"),
        (["mask.npy", "-o", "a.png"], "'mask.npy' is not a readable result file"),
        (["out.h5", "-o", "a.gif"], "must end in one of .png, .pdf, .svg"),
        (["out.h5", "-o", "no/a.png"], "the folder 'no' does not exist"),
        (["out.h5", "-o", "a.png", "--at", 7], "there is no update at 7 events; there are 70, 140"),
        (["out.h5", "-o", "a.png", "--colors", "9"], "there is no colour 9; there are 1, 2, 3"),
        (["out.h5", "-o", "a.png", "--map", "G2:4"], "4 is none of the delays"),
        (["out.h5", "-o", "a.png", "--map", "finecolor"], "the run had no finecolor file"),
        (["out.h5"], "there is no display for a window: say -o FILE.png"),
    ):
        status, error = draw(*args)
        assert status == 2 and sentence in error and error.count("\n") == 1, error
    # a run in progress: its name draws the last update
    shutil.copytree(setup.folder, setup.folder / "now.h5.inprogress", ignore=lambda *_: ["now.h5.inprogress"])
    (setup.folder / "now.h5.inprogress" / "out.h5").rename(setup.folder / "now.h5.inprogress" / "update_000070.h5")
    assert draw("now.h5", "-o", "now.png")[0] == 0


@pytest.mark.parametrize(
    ("user", "system", "sentence"),
    [
        ({"picture": "a.gif"}, {}, "user_params['picture']: 'a.gif' must end in one of"),
        ({"picture": 5}, {}, "user_params['picture'] must be True, or the name of a file, not 5"),
        ({"picture": True}, {"h5output": None}, "user_params['picture'] needs a result file"),
        (
            {"fit": {"kind": "single", "delays": (21, None)}},
            {},
            "fit: its delays 21: leave 3 of the run's 9, and 3 parameters take 4 or more",
        ),
        (
            {"fit": "triple"},
            {},
            "fit must be one of single, stretched, double, a dict with such a kind, or None, not 'triple'",
        ),
        ({"plot_colors": "1"}, {}, "user_params['plot_colors'] must be a list of colours"),
    ],
)
def test_wrong_parameters(setup, user, system, sentence):
    setup.write(user=setup.user | user, **system)
    run = setup.drive()
    assert run.returncode == 2 and sentence in run.stderr


def test_scipy_is_asked_for(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'parcorana\[fit\]'"):
        choice_of("single")
    choice_of(None)


def test_a_mask_of_the_other_convention(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mask = np.ones((4, 10), np.uint8)
    mask[0, :3] = 0
    for array, warned in ((mask, False), (1 - mask, True)):
        np.save("mask.npy", array)
        assert maskcolor.main(["check", "--mask", "mask.npy"]) == 0
        err = capsys.readouterr().err
        assert ("the mask includes 3 of 40 elements, those with 1" in err and "37 are to be processed" in err) == warned
        assert bool(err) == warned


def test_why_a_file_cannot_be_written_is_said(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
        with pytest.raises(RunError, match=r"cannot write .*a\.npy': File too large"):
            files.save(tmp_path / "a.npy", np.zeros(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not os.listdir(tmp_path)
    files.save(tmp_path / "a.npy", turned := np.arange(6.0).reshape(2, 3).T)
    files.check_same({tmp_path / "a.npy": turned})
