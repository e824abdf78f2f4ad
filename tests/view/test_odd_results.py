"""Results whose values are not those of one: told in a sentence, whichever library raises over them."""

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure

from parcorana import correlate
from parcorana.curves.monitor import Distribution
from parcorana.errors import ConfigError
from parcorana.files import plain, trial
from parcorana.tools import maskcolor, plot, watch
from parcorana.view import monitors, texts


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Change a dataset of a result; return what a command says of it."""
    monkeypatch.chdir(tmp_path)

    def told(capsys, command, name, values, *args, **kwargs):
        correlate(np.ones((20, 6, 6), np.uint16), [1, 2], output="out.h5", **kwargs)
        with h5py.File("out.h5", "r+") as file:
            (group,) = file["user"].values()
            about = dict(group[name].attrs)
            del group[name]
            group[name] = values
            group[name].attrs.update(about)
        capsys.readouterr()
        status = command.main(["out.h5", *args])
        return status, capsys.readouterr().err

    return told


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("delays", [-2, -1], "its delays are [-2, -1], and must be whole numbers >= 0, increasing"),
        ("delays", np.array([2, 1], np.uint64), "its delays are [2, 1], and must be"),
        ("delay_counts", [np.inf, 1.0], "its delay_counts are not all finite"),
    ],
)
def test_points_that_are_none(odd, capsys, name, values, said):
    status, told = odd(capsys, plot, name, values, "-o", "out.png")
    assert status == 2 and told.startswith(f"parCorAnaPlot: out.h5: {said}")


@pytest.mark.parametrize("text", ["x" * 3_000_000, "x\n" * 20_000, "$\n" * 39 + "\n" + "$" * 281])
def test_of_long_texts_the_begin_and_the_end_are_drawn(text):
    figure = Figure()
    figure.suptitle(text)
    texts.take_as_they_are(figure)
    lines = figure.get_suptitle().replace(r"\$", "$").split("\n")
    assert len(lines) <= 41 and max(map(len, lines)) <= 285
    assert texts.plain("a" * 200 + "b" + "c" * 80) == "a" * 200 + " ... " + "c" * 80
    assert texts.plain("a" * 280 + "\n$") == "a" * 280 + "\n" + r"\$"


def test_of_many_values_the_first_are_drawn():
    one = np.ones(1)
    found = Distribution(np.arange(3.0), np.ones((2, 2), np.int64), np.zeros((2, 3), np.int64), np.ones((2, 2)),
                         *(one,) * 6)  # fmt: skip
    figure = Figure()
    monitors.draw_values(figure, {f"v{k}": found for k in range(400)}, "out.h5")
    assert len(figure.axes) == 2 * monitors.MOST
    assert figure.get_suptitle() == f"out.h5\nthe first {monitors.MOST} of 400 values; not drawn: v16, v17, v18, ..."


@pytest.mark.parametrize(("command", "args"), [(plot, ("-o", "out.png")), (watch, ("--html", "out.html"))])
def test_what_drawing_raises_is_one_sentence(odd, capsys, tmp_path, command, args):
    pytest.importorskip("bokeh")
    status, told = odd(capsys, command, "mean_color_1", np.ones((3, 7)), *args, kind="photons")
    assert status == 2 and "out.h5: cannot be drawn: " in told and told.count("\n") == 1
    assert not (tmp_path / args[1]).exists()


def test_a_live_page_goes_on(odd, capsys):
    pytest.importorskip("bokeh")
    from parcorana.page.document import Page
    from parcorana.page.follow import Follower

    odd(capsys, plot, "mean_color_1", np.ones((3, 7)), "-o", "out.png", kind="photons")
    page = Page(Follower("out.h5", None, None))
    assert "out.h5: cannot be drawn: " in page.layout.select_one({"name": "nothing"}).text


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((4, 4), 1e308), ""),
        (np.linspace(-1.7, 1.7, 16).reshape(4, 4) * 1e308, "odd.npy: cannot be drawn: "),
        (np.linspace(0, 1e-320, 16).reshape(4, 4), ""),
        (np.full((4, 4), np.longdouble("1e4000")), "'odd.npy' holds float128; it must hold real numbers of up to 64"),
    ],
    ids=["one", "wide", "tiny", "long"],
)
def test_odd_maps(tmp_path, monkeypatch, capsys, array, said):
    """They are drawn, or it is said why not."""
    monkeypatch.chdir(tmp_path)
    np.save("odd.npy", array)
    status = maskcolor.main(["plot", "-i", "odd.npy", "-o", "odd.png"])
    told = capsys.readouterr().err
    assert said in told and (status == 2) == ("odd.npy" in told) and told.count("\n") == (status == 2)


@pytest.mark.parametrize("kind", ["f8", h5py.string_dtype()], ids=["numbers", "texts"])
def test_what_was_never_written_counts_together(tmp_path, monkeypatch, kind):
    """A file of a few KB could have any number of datasets that fit into the memory one by one."""
    monkeypatch.setattr(plain, "available", lambda: 1 << 20)
    path = tmp_path / "odd.h5"
    with h5py.File(path, "w") as file:
        for name in ("packed", "again"):
            file.create_dataset(name, data=np.zeros(100_000), compression="gzip")
        file["small"], file["text"] = np.zeros(50_000), "a text"
    with plain.plain_file(path) as file:
        assert len(file) == 4
    with h5py.File(path, "r+") as file:
        for k in range(9):
            file.create_dataset(f"hollow_{k}", (1 << 14,), kind, chunks=True)
    said = "GiB of its values were never written, more than there is memory"
    with pytest.raises(ConfigError, match=said), plain.plain_file(path):
        pass


def test_a_trial_ends_however_many_items_there_are(monkeypatch):
    monkeypatch.setattr(trial, "WHOLE", 0)

    def endless():
        while True:
            trial.allow_more()

    assert trial.tried(endless).endswith(" over one item of it, or in 0 s over all of it")
