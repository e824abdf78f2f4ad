"""``parCorAnaPlot --leverage``, and `leverage` of an opened result."""

import h5py
import numpy as np
import pytest
from g2.test_leverage import HOT, SHAPE, events, run
from matplotlib.figure import Figure

from parcorana import ConfigError, open_result
from parcorana.detector.images import segments_apart
from parcorana.tools import plot
from parcorana.userg2 import G2IncrementalAccumulator
from parcorana.view.leverage import draw_leverage
from parcorana.view.pictures import notes_on

FLAT = int(np.ravel_multi_index(HOT, SHAPE))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a result in which one element is hot from the second update on."""
    frames = events()
    frames[(slice(120, None), *HOT)] *= 50
    return run(tmp_path_factory.mktemp("leverage"), G2IncrementalAccumulator, frames=frames)


def test_picture_and_list_show_the_hot_element(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert plot.main([str(made), "--leverage", "-o", "leverage.png"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"element {FLAT} (1, 2, 4), colour 1, delay ") and first.endswith("; far")
    assert last == "leverage.png" and (tmp_path / last).read_bytes().startswith(b"\x89PNG")
    found = open_result(made).leverage
    assert found.elements[found.far].tolist() == [FLAT] and found.indices[0].tolist() == list(HOT)
    assert np.abs(found.map_over_error).argmax() == np.abs(found.map).argmax() == FLAT
    figure = Figure(layout="constrained")
    draw_leverage(figure, found, segments_apart(SHAPE), open_result(made).mask, "title")
    image, bars = figure.axes[0], figure.axes[-2] if len(figure.axes) > 2 else figure.axes[-1]
    (dot,) = image.collections[1].get_offsets().tolist()
    assert image.images[0].get_array()[int(dot[1]), int(dot[0])] == pytest.approx(abs(found.map_over_error[HOT]))
    widths = [bar.get_width() for axes in (bars, figure.axes[-1]) for bar in axes.patches][:16]
    np.testing.assert_allclose(widths, np.abs(found.changes_over_error))


def test_an_update_before_the_last_has_no_map(made, tmp_path):
    assert plot.main([str(made), "--leverage", "--at", "100", "-o", str(tmp_path / "early.png")]) == 0
    early = open_result(made, at=100).leverage
    assert early.map is None and len(early.elements) == 16 and not early.far.any()


def test_pictures_of_curves_say_it(made):
    assert f"1 element moves a curve by more than twice its error: {FLAT} (colour 1, " in notes_on(
        open_result(made)._curves
    )
    assert "moves" not in notes_on(open_result(made, at=100)._curves)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda group: group.pop("leverage"), "the update has no leverage"),
        (lambda group: group["leverage"].pop("far"), "lacks a part|far"),
        (lambda group: group["leverage/indices"].write_direct(np.full((16, 3), 99)), "do not belong together"),
        (lambda group: group.move("leverage/map", "leverage/elements_"), None),
    ],
)
def test_what_is_no_leverage_is_refused(made, tmp_path, capsys, change, words):
    path = tmp_path / "changed.h5"
    path.write_bytes(made.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file["user/G2_results_at_000300"])
    status = plot.main([str(path), "--leverage", "-o", str(tmp_path / "x.png")])
    assert status == (2 if words else 0)
    if words:
        with pytest.raises(ConfigError, match=words):
            _ = open_result(path).leverage
        assert "Traceback" not in capsys.readouterr().err


def test_options_that_do_not_go_with_it_are_refused(made, capsys):
    assert plot.main([str(made), "--leverage", "--colors", "1", "-o", "x.png"]) == 2
    assert "--leverage draws that of one update" in capsys.readouterr().err
