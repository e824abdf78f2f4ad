"""The tools over a result of several classes."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import status_of
from local import run_local

from parcorana.photons import PhotonStatistics
from parcorana.tools import merge, plot
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator


@pytest.fixture
def result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).poisson(5, (60, 2, 4)).astype(np.uint16)
    system = {"times": 20, "delays": [1, 2, 5], "h5output": "all.h5"}
    run_local(tmp_path, [G2IncrementalAccumulator, G2atEnd], np.arange(60), frames, **system)
    return "all.h5"


def test_the_curves_of_all_classes_are_drawn(result):
    assert status_of(plot.main, result, "-o", "all.png", "--csv", "all.csv") == 0
    rows = Path("all.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["all.h5 G2IncrementalAccumulator"] * 3 + ["all.h5 G2atEnd"] * 3


def test_one_class_is_drawn(result, capsys):
    assert status_of(plot.main, result, "-o", "one.png", "--csv", "one.csv", "--class", "G2atEnd") == 0
    assert {row.split(",")[0] for row in Path("one.csv").read_text(encoding="utf-8").splitlines()[1:]} == {
        "all.h5 G2atEnd"
    }
    assert status_of(plot.main, result, "-o", "one.png", "--class", "G2") == 2
    assert "there is no class 'G2'" in capsys.readouterr().err


def test_merging_asks_which_class(result, capsys):
    assert status_of(merge.main, result, "-o", "merged.h5", "--normalization", "pixel") == 2
    assert "say which by --class: G2IncrementalAccumulator, G2atEnd" in capsys.readouterr().err
    assert status_of(merge.main, result, "-o", "merged.h5", "--normalization", "pixel", "--class", "G2atEnd") == 0
    with h5py.File("merged.h5") as merged, h5py.File(result) as file:
        kept, was = merged["user/G2_results_at_000060"], file["user/G2atEnd/G2_results_at_000060"]
        np.testing.assert_array_equal(kept["G2/delay_000002"], was["G2/delay_000002"])
        user_class = json.loads(merged["system/system_params"].asstr()[()])["user_class"]
        assert isinstance(user_class, str) and user_class.endswith(".G2atEnd")


def test_classes_without_curves_are_asked_for(tmp_path, monkeypatch, capsys):
    """Which one is to be drawn is not guessed, and a part that is missing is one line."""
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).poisson(1, (40, 2, 4)).astype(np.uint16)
    classes, system = [TwoTime, PhotonStatistics], {"times": 4, "delays": [1, 2], "h5output": "two.h5"}
    run_local(tmp_path, classes, np.arange(40), frames, **system)
    assert status_of(plot.main, "two.h5", "-o", "two.png") == 2
    assert "no delay curves: say which by --class: PhotonStatistics, TwoTime" in capsys.readouterr().err
    for name in ("TwoTime", "PhotonStatistics"):
        assert status_of(plot.main, "two.h5", "-o", f"{name}.png", "--class", name) == 0
        assert Path(f"{name}.png").stat().st_size > 10_000
    with h5py.File("two.h5", "r+") as file:
        del file["user/PhotonStatistics/photons_at_000040/exposures"]
    capsys.readouterr()
    assert status_of(plot.main, "two.h5", "-o", "two.png", "--class", "PhotonStatistics") == 2
    assert capsys.readouterr().err.count("\n") == 1
