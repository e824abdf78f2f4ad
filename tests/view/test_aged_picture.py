"""``parCorAnaPlot --aged``: a line for each stretch of a run."""

import csv
import os
import shutil

import h5py
import numpy as np
import pytest
from g2.test_aged import counts_of
from matplotlib.figure import Figure

from parcorana import ConfigError
from parcorana.results.aged import read_aged
from parcorana.tools import plot
from parcorana.userg2 import G2atEnd
from parcorana.view.aged import draw_aged


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aged")
    return folder, counts_of(folder)


@pytest.fixture
def there(run, tmp_path, monkeypatch):
    """Return the datasets of four updates in out.h5, of which the second lacks a curve of colour 1."""
    shutil.copy(run[0] / "out.h5", tmp_path)
    monkeypatch.chdir(tmp_path)
    return run[1]


def test_lines_and_table_are_those_of_the_file(there, capsys):
    assert plot.main(["out.h5", "--aged", "-o", "aged.png", "--csv", "aged.csv", "--colors", "1,2"]) == 0
    assert capsys.readouterr().out.split() == ["aged.csv", "aged.png"]
    with open("aged.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for processed, group in there.items():
        for color in (1, 2):
            mine = [row for row in rows if (row["processed"], row["color"]) == (str(processed), str(color))]
            for name, dataset in (("g2", f"delay_curve_color_{color}"), ("elements", f"elements_color_{color}")):
                np.testing.assert_allclose([float(row[name]) for row in mine], group[dataset], rtol=1e-8)
            assert [int(row["counts"]) for row in mine] == group["delay_counts"].tolist()
            assert {(row["since"], row["first [pulses]"], row["last [pulses]"]) for row in mine} == {
                (str(processed - 10), str(group["first"]), str(group["last"]))
            }
    assert len(rows) == 4 * 2 * 2
    figure = Figure(layout="constrained")
    draw_aged(figure, read_aged("out.h5"))
    panels = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in panels] == ["colour 1", "colour 2"]
    for axes, color in zip(panels, (1, 2), strict=True):
        for line, group in zip(axes.lines, there.values(), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), group[f"delay_curve_color_{color}"])
        assert len({line.get_color() for line in axes.lines}) == 4
    assert "colour 1: 1 of 4 stretches have no curve" in figure.get_supxlabel()
    assert "4 stretches, 0 to 40 events" in figure.get_suptitle()


@pytest.mark.usefixtures("there")
def test_a_run_in_progress_has_those_of_its_updates():
    """Each in a file of its own."""
    with h5py.File("out.h5") as file:
        names = list(file["user"])
    os.mkdir("later.h5.inprogress")
    for name in names[:3]:
        path = f"later.h5.inprogress/update_{name[-6:]}.h5"
        shutil.copy("out.h5", path)
        with h5py.File(path, "r+") as file:
            for other in names:
                if other != name:
                    del file["user"][other]
    assert [stretch.processed for stretch in read_aged("later.h5").stretches] == [10, 20, 30]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fit", "single"], "--aged draws those of one run"),
        (["out.h5"], "--aged draws those of one run"),
        (["--at", "20,25"], "there are no aged curves at 25 events; there are at 10, 20, 30, 40"),
        (["--colors", "7"], "there is no colour 7; there are 1, 2"),
    ],
)
@pytest.mark.usefixtures("there")
def test_what_is_refused(capsys, options, says):
    assert plot.main(["out.h5", *options, "--aged", "-o", "aged.png"]) == 2
    assert says in capsys.readouterr().err


def test_a_class_with_a_window_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts_of(tmp_path, kind=G2atEnd)
    with pytest.raises(ConfigError, match=r"no update has aged curves: they need `update`, a class that keeps"):
        read_aged("out.h5")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delay_counts", np.ones(5)),
        ("first", np.array([1, 2])),
        ("last", "later"),
        ("delay_curve_color_1", np.array(["a", "b"], "S1")),
        ("elements_color_2", None),
        ("delay_counts", None),
    ],
)
@pytest.mark.usefixtures("there")
def test_damaged_groups_are_refused(name, value):
    with h5py.File("out.h5", "r+") as file:
        group = file["user/G2_results_at_000030/aged"]
        del group[name]
        if value is not None:
            group[name] = value
    with pytest.raises(ConfigError, match=r"out\.h5"):
        read_aged("out.h5")


def test_labels_are_no_formulas(there, root):
    """Every text is drawn letter by letter, so that a formula would be seen with its dollar signs."""
    figure = Figure()
    draw_aged(figure, read_aged("out.h5"))
    assert all(axes.get_ylabel() != "$g_2$" for axes in figure.axes)
    assert any(axes.get_ylabel() == "g\u2082" for axes in figure.axes)
    folders = root / "parcorana" / "view", root / "examples", root / "docs"  # all who draw by what is there
    rooms = (path for folder in folders for path in folder.glob("*.py"))
    assert not [path.name for path in rooms if path.name != "texts.py" and "$" in path.read_text(encoding="utf-8")]
