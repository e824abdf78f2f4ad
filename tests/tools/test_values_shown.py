"""What the commands say and draw of the values of events, before a run and after it."""

import h5py
import numpy as np
import pytest
from conftest import status_of

from parcorana.curves.monitor import Monitors
from parcorana.errors import ConfigError
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.results.values import read_values, write_values
from parcorana.tools import driver, maskcolor, plot
from parcorana.tools.values import lines_of, sample


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """A file with drop-outs, an event without data beside a flag and a value that is never there."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    data = rng.poisson(50, (100, 6, 8)).astype(np.float32)
    data[[3, 50, 51, 99]] *= 0.001
    data[7, 0, 0] = np.nan
    flag, never = np.arange(100) % 4 > 0, np.full(100, np.nan)
    with h5py.File("frames.h5", "w") as file:
        file.update({"data": data, "flag": flag.astype("u1"), "never": never, "i0": data.mean(axis=(1, 2)) * 2})
    return data


def test_start_says_and_draws(frames, capsys):
    args = ("start", "-d", "h5=frames.h5", "-s", "data", "-b", "m", "-n", 60, "-c", 2)
    assert status_of(maskcolor.main, *args, "--value", "flag=flag", "--value", "never=never") == 0
    said = capsys.readouterr().out.splitlines()
    at = next(k for k, line in enumerate(said) if line.startswith("values of"))
    assert said[at] == "values of the first 60 events with data, from the smallest to the largest:"
    assert said[at + 1].startswith("  flag  |") and said[at + 1].endswith("@| min 0, 1% 0, median 1, 99% 1, max 1")
    assert said[at + 2] == f"  never |{' ' * 40}| no number, 60 NaN"
    mask = np.load("m_mask_ndarrCoords.npy") == 1
    assert not mask[0, 0] and mask.sum() == 47, "that is not finite in an event"
    means = frames[:60, mask].mean(axis=1, dtype=float)
    numbers = dict(part.split() for part in said[at + 3].partition("| ")[2].replace("1%", "q01").split(", "))
    assert float(numbers["min"]) == pytest.approx(means.min(), rel=1e-3)
    assert float(numbers["max"]) == pytest.approx(means.max(), rel=1e-3)
    assert float(numbers["median"]) == pytest.approx(np.median(means), abs=2 * np.ptp(means) / 512)
    assert said[at + 4].strip().startswith("3 of 60 events have mean below 10% of its median")
    assert "values: picture m_values.png" in said
    with open("m_values.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a=none", "values['a']: h5=frames.h5: none: there is no such dataset in the file"),
        ("a b=flag", "values['a b']: the name of a value must be letters, digits and _"),
        ("a", "'a' is not NAME=WHERE"),
        ("mean=mean", "the mean of the included elements is shown in any case"),
    ],
)
def test_wrong_values_of_start(frames, capsys, value, words):
    assert status_of(maskcolor.main, "start", "-d", "h5=frames.h5", "-s", "data", "-b", "m", "--value", value) == 2
    assert words in capsys.readouterr().err


def test_live_events_are_not_taken(frames, capsys):
    dataset = "sim=brownian:shape=4x4:events=6:live:hz=1000"
    assert status_of(maskcolor.main, "start", "-d", dataset, "-b", "m", "-n", 4, "-c", 2, "--finecolor", 4) == 0
    assert "values: not looked at, for the events of a live run come once" in capsys.readouterr().out


def test_what_select_would_leave_out(frames):
    select = {"i0": (20, None), "flag": (1, 1), "mean": (None, 1000)}
    source = open_source(parse_dataset("h5=frames.h5"), src="data", values={"i0": "i0", "flag": "flag"})
    found = sample(source, ["i0", "flag"], np.ones((6, 8), bool), select, 1000)
    # frame 7 is not finite, as i0 is there
    assert (found.read, found.without) == (99, 1) and found.outside == {"i0": 4, "flag": 25, "mean": 0}
    said = "\n".join(lines_of(found, select))
    assert "select: 4 are not from 20 on, or NaN, and are left out" in said
    assert "select: 25 are not 1 to 1, or NaN, and are left out" in said and "below 10%" not in said
    few = sample(open_source(parse_dataset("h5=frames.h5"), src="data"), [], np.ones((6, 9), bool), {}, 10)
    assert (few.read, few.without) == (0, 100) and "(100 have none, or none that a run takes)" in lines_of(few, {})[0]


def test_a_range_without_limits_hides_no_drop_outs(frames):
    """As `frame_norm` asks for one: events without the monitor are left out, those without light are not."""
    source = open_source(parse_dataset("h5=frames.h5"), src="data", values={"i0": "i0"})
    found = sample(source, ["i0"], np.ones((6, 8), bool), {"i0": (None, None)}, 1000)
    said = "\n".join(lines_of(found, {"i0": (None, None)}))
    assert "events have i0 below 10% of its median" in said and "select: 0" not in said


def test_check_looks_at_what_the_run_takes(tmp_path, monkeypatch, capsys):
    """Bursts that only `times_src` tells, and the mean of photons, not of the charge they are counted in."""
    monkeypatch.chdir(tmp_path)
    photons = np.random.default_rng(3).poisson(0.5, (12, 4, 6, 8))
    with h5py.File("trains.h5", "w") as file:
        file["data"], file["i0"] = photons * 100.0, photons.mean(axis=(2, 3))
        file["train/pulse"] = np.arange(48).reshape(12, 4)
        file["counter"] = np.full(12, np.nan)
    np.save("mask.npy", np.ones((6, 8), np.int8))
    system = {"dataset": "h5=trains.h5", "src": "data", "times_src": "train/pulse", "mask": "mask.npy", "times": 9}
    system |= {"delays": [1], "values": {"i0": "i0"}, "photons": {"photon": 100.0}, "select": {"mean": (None, 5)}}
    text = f"from parcorana.userg2 import G2atEnd\nsystem_params = {system!r} | {{'user_class': G2atEnd}}\n"
    (tmp_path / "config.py").write_text(f"{text}user_params = {{}}\n", encoding="utf-8")
    assert status_of(driver.main, "-c", "config.py", "--check") == 0
    said = capsys.readouterr().out
    assert "values of the first 48 events with data" in said and "select: 0 are not up to 5" in said
    low = said.partition("mean |")[2].partition("| min ")[2]
    assert float(low.partition(",")[0]) == pytest.approx(photons.mean(axis=(2, 3)).min(), rel=1e-3)


def test_values_of_a_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = Monitors(["i0", "none"])
    column = np.random.default_rng(1).gamma(3, 1, 3000)
    made.note(np.arange(3000), {"i0": column, "none": np.full(3000, np.nan)}, np.arange(3000))
    made.settle()
    made.leave_out({"i0": -column[:9], "none": np.full(9, np.inf)})
    with h5py.File("r.h5", "w") as file:
        write_values(file.create_group("system"), made.distributions(), 120.0)
        file["system/select/i0"] = [0, np.inf]
        file.create_group("user")
        found, ranges, rate = read_values(file, "r.h5")
        assert rate == 120 and ranges["i0"].tolist() == [0, np.inf]
        for name, one in made.distributions().items():
            for field in vars(one):
                np.testing.assert_array_equal(getattr(found[name], field), getattr(one, field))
    assert status_of(plot.main, "r.h5", "--values", "-o", "r.png") == 0 and capsys.readouterr().out == "r.png\n"
    assert status_of(plot.main, "r.h5", "r.h5", "--values", "-o", "r.png") == 2
    with h5py.File("r.h5", "r+") as file:
        del file["system/values/i0/timeline/mean"]
        file["system/values/i0/timeline/mean"] = np.zeros(3)
        with pytest.raises(ConfigError, match=r"r\.h5: /system/values/i0: its arrays do not belong together"):
            read_values(file, "r.h5")
        del file["system/values/i0/edges"]
        with pytest.raises(ConfigError, match=r"r\.h5: /system/values/i0 lacks a part"):
            read_values(file, "r.h5")
        del file["system/values"]
    assert status_of(plot.main, "r.h5", "--values", "-o", "r.png") == 2
    assert "it does not hold the values of events: there is no /system/values" in capsys.readouterr().err
