"""What a picture of a result says: which update of which run, how it is normalized, what is not drawn."""

import csv
import re
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from curves.test_bias import speckle
from matplotlib.figure import Figure

from parcorana.curves.fits import fit_curve, fit_curves
from parcorana.curves.sums import Curve
from parcorana.events import simulated
from parcorana.results.reading import read_result
from parcorana.tools import plot
from parcorana.view import pictures


def picture_of(path, at=None, colors=None):
    """Draw a result; return its figure, and all that is written in it."""
    with h5py.File(path) as file:
        result = read_result(file, path.name, at)
    figure = Figure(figsize=(12, 8), layout="constrained")
    pictures.draw_result(figure, [result], colors)
    figure.draw_without_rendering()
    return figure, "\n".join(text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text")))


def legend_of(figure):
    (legend,) = (
        axes.get_legend() for axes in figure.findobj(match=lambda a: hasattr(a, "get_legend")) if axes.get_legend()
    )
    return legend


@pytest.fixture
def ran(setup):
    setup.write()
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    return setup


def test_title_says_which_update_of_which_run(ran):
    whole, part = (picture_of(ran.folder / "out.h5", at)[1] for at in (None, 140))
    assert "228 events processed (end of data)" in whole and "230 events read" in whole
    assert "update at 140 of 228 events processed" in part and "end of data" not in part
    assert "whole run: 230 events read; until then" in part


@pytest.mark.parametrize(
    ("ended_by", "complete", "title"),
    [
        ("killed", False, "228 events processed (not complete: killed)"),
        ("stopped by SIGTERM", False, "228 events processed (not complete: stopped by SIGTERM)"),
        ("not ended", False, "228 events processed so far"),
        ("numevents", True, "228 events processed (numevents)"),
    ],
)
def test_title_says_how_it_ended(ran, ended_by, complete, title):
    with h5py.File(ran.folder / "out.h5", "r+") as file:
        file["system"].attrs.update({"complete": complete, "ended_by": ended_by})
    assert title in picture_of(ran.folder / "out.h5")[1]


@pytest.mark.parametrize("normalization", ["pixel", "finecolor", "color"])
def test_legend_names_the_normalization_and_covers_no_curve(setup, normalization):
    slow = speckle(np.random.default_rng(0), 230, setup.mask.size, 60, 2)  # so that 'pixel' is far off
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/frames"][...] = 1000 * slow.reshape(setup.frames.shape)
    user = setup.user | {"finecolor": "fine.npy", "normalization": normalization, "fit": "stretched"}
    setup.write("G2IncrementalAccumulator", user=user)
    assert setup.drive().returncode == 0
    figure, text = picture_of(setup.folder / "out.h5")
    legend = legend_of(figure)
    assert legend.get_title().get_text() == f"normalization: {normalization}"
    axes, box = legend.axes.get_window_extent(), legend.get_window_extent()
    assert box.x0 >= axes.x1 and box.x1 <= figure.bbox.x1
    assert all(other is legend.axes or not box.overlaps(other.get_window_extent()) for other in figure.axes)
    with h5py.File(setup.folder / "out.h5") as file:
        said = str(file["user/G2_results_at_000228"].attrs["normalization_error"])
    assert " ".join(said.split()) in " ".join(text.split())
    assert said or normalization != "pixel"


def test_fits_are_rounded_by_their_errors(setup, monkeypatch, capsys):
    system = {
        "dataset": "sim=brownian:shape=2x32x32:events=1000:tau=40:colors=3",
        "update": 0,
        "times": 201,
        "src": None,
    }
    np.save(setup.folder / "mask.npy", np.ones((2, 32, 32), np.int8))
    np.save(setup.folder / "color.npy", simulated.colors(system["dataset"]))
    setup.write(
        "G2IncrementalAccumulator", user={"color": "color.npy"}, **system | {"delays": [1, 2, 5, 10, 20, 50, 100]}
    )
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    monkeypatch.chdir(setup.folder)
    assert plot.main(["out.h5", "-o", "a.png", "--fit", "stretched"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert len(lines) == 3
    for line in lines:
        pairs = re.findall(r"(\w+) ([\d.]+) (?:±|\+-) ([\d.]+)", line)
        assert [name for name, *_ in pairs] == ["tau", "contrast", "baseline", "exponent"], line
        for _, value, error in pairs:
            assert len(value.partition(".")[2]) == len(error.partition(".")[2])
            assert 1 <= len(error.replace(".", "").strip("0")) <= 2
    figure = Figure(layout="constrained")
    with h5py.File("out.h5") as file:
        result = read_result(file, "out.h5")
    result = replace(result, fits=fit_curves(result.delays, result.curves, "single"))
    pictures.draw_curves(figure.add_subplot(), [result])
    labels = [text.get_text() for text in legend_of(figure).get_texts()]
    form = r"colour \d: τ = [\d.]+ ± [\d.]+ ms \([\d.]+ ± [\d.]+ pulses\)"
    assert all(re.fullmatch(form, label.replace("\n", " ")) for label in labels), labels
    figure = Figure(layout="constrained")  # of several results all fits are listed, and curves without one once
    pictures.draw_curves(
        figure.add_subplot(), [result, replace(result, label="b"), replace(result, label="c", fits={})]
    )
    assert [text.get_text() for text in legend_of(figure).get_texts()] == [*labels, *labels, "out.h5", "b", "c"]


def test_what_is_not_drawn_is_said(setup):
    """A colour without elements, and delays beyond the run."""
    setup.color[setup.mask == 0] = 7
    setup.color[setup.mask == 1] = setup.color[setup.mask == 1] % 3 + 1
    np.save(setup.folder / "color.npy", setup.color)
    setup.write("G2IncrementalAccumulator", delays=[1, 2, 5, 300, 400], times=500, update=0)
    assert setup.drive().returncode == 0
    text = " ".join(picture_of(setup.folder / "out.h5")[1].split())
    assert "colour 7: no element, or no pairs" in text
    assert "2 of 5 delays have no pairs: all from 300 pulses on" in text
    with h5py.File(setup.folder / "out.h5") as file:
        (group,) = file["user"].values()
        assert np.isnan(group["delay_curve_color_1"][3:]).all() and np.isfinite(group["delay_curve_color_1"][:3]).all()
        assert (group["elements_color_1"][3:] == 0).all() and (group["elements_color_1"][:3] > 0).all()


def test_of_many_colours_a_readable_choice(setup):
    setup.color = np.arange(setup.mask.size).reshape(setup.mask.shape) + 1
    np.save(setup.folder / "color.npy", setup.color)
    setup.write(update=0)
    assert setup.drive().returncode == 0
    figure, text = picture_of(setup.folder / "out.h5")
    legend = legend_of(figure)
    assert len(legend.get_texts()) == 24 and "24 of 70 colours drawn" in text
    figure, text = picture_of(setup.folder / "out.h5", colors=range(1, 71))
    assert len(legend_of(figure).get_texts()) <= 24 and "colours drawn" not in text
    curves = [line for line in legend_of(figure).axes.lines if len(line.get_xdata())]
    assert len(curves) == np.count_nonzero(setup.mask)


def test_update_of_a_run_in_progress_can_be_chosen(ran, monkeypatch, capsys):
    """Its folder has a file for each."""
    folder = ran.folder / "late.h5.inprogress"
    folder.mkdir()
    with h5py.File(ran.folder / "out.h5") as whole:
        for n in (70, 140):
            with h5py.File(folder / f"update_{n:06d}.h5", "w") as file:
                whole.copy("system", file)
                whole.copy(f"user/G2_results_at_{n:06d}", file.create_group("user"))
    monkeypatch.chdir(ran.folder)
    assert plot.main(["late.h5", "--at", "70", "-o", "a.png"]) == 0
    assert plot.main(["late.h5", "--at", "71", "-o", "a.png"]) == 2
    assert "there is no update at 71 events" in capsys.readouterr().err


def test_delay_0_is_drawn_and_not_fitted(ran):
    """Each event with itself: its noise is no part of the decay."""
    delays = np.array([0, 1, 2, 5, 10, 20, 50])
    g2 = 1 + 0.3 * np.exp(-2 * delays / 10)
    curve = Curve(g2, np.full(7, np.nan), np.ones(7, np.int64), np.zeros(7, np.int64))
    with_noise = Curve(g2 + 5 * (delays == 0), *list(vars(curve).values())[1:])
    fit = fit_curve(delays, with_noise, "single")
    assert fit.ok and fit.tau == pytest.approx(10, rel=1e-3) and fit.points == 6
    with h5py.File(ran.folder / "out.h5") as file:
        result = read_result(file, "out.h5")
    result.delays, result.counts, result.curves, result.fits = delays, delays + 1, {1: with_noise}, {1: fit}
    figure = Figure(layout="constrained")
    pictures.draw_curves(figure.add_subplot(), [result])
    figure.draw_without_rendering()
    axes = legend_of(figure).axes
    assert axes.get_xscale() == "log" and axes.get_xlim()[0] <= 0.5
    assert axes.get_xlabel().endswith("; 0 is drawn at 0.5")


def test_older_files_are_read(ran):
    """Without what is said of the normalization."""
    shutil.copy(ran.folder / "out.h5", ran.folder / "old.h5")
    with h5py.File(ran.folder / "old.h5", "r+") as file:
        for group in file["user"].values():
            del group.attrs["normalization_error"], group.attrs["normalization"]
    assert "normalization: not named" in picture_of(ran.folder / "old.h5")[1]


def test_updates_over_each_other_and_as_a_table(ran, monkeypatch, capsys):
    monkeypatch.chdir(ran.folder)
    assert plot.main(["out.h5", "--at", "70,140", "-o", "two.png", "--csv", "curves.csv", "--colors", "1,3"]) == 0
    assert capsys.readouterr().out.splitlines() == ["curves.csv", "two.png"]
    with open("curves.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["out.h5 at 70"] * 18 + ["out.h5 at 140"] * 18
    with h5py.File("out.h5") as file:
        group = file["user/G2_results_at_000140"]
        for color in (1, 3):
            mine = [row for row in rows[18:] if int(row["color"]) == color]
            assert [int(row["delay [pulses]"]) for row in mine] == group["delays"][:].tolist()
            np.testing.assert_allclose([float(row["seconds"]) for row in mine], group["delays"][:] / 120, rtol=1e-8)
            for key, name in (("g2", "delay_curve"), ("error", "delay_curve_err"), ("elements", "elements")):
                want = group[f"{name}_color_{color}"][:]
                np.testing.assert_allclose([float(row[key]) for row in mine], want, rtol=1e-8)
            assert [int(row["counts"]) for row in mine] == group["delay_counts"][:].tolist()
    assert plot.main(["out.h5", "--at", "70,71", "-o", "two.png"]) == 2
    assert "there is no update at 71 events" in capsys.readouterr().err
    assert plot.main(["out.h5", "-o", "two.png", "--csv", "no/such/folder.csv"]) == 2
    assert "--csv no/such/folder.csv: cannot be written" in capsys.readouterr().err
