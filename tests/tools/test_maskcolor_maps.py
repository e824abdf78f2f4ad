"""The mask tool with maps from files, and with several runs."""

from itertools import pairwise

import h5py
import numpy as np
import pytest

from parcorana.detector import colortable
from parcorana.detector.colors import Rings, divided, edges_of_equal
from parcorana.detector.statistics import Statistics
from parcorana.errors import ConfigError
from parcorana.tools.maskcolor.runs import runs_of

SHAPE = (24, 32)
START = ("start", "-d", "sim=brownian:shape=24x32:events=20", "-b", "m", "--force")
ROW, COLUMN = np.indices(SHAPE)
PHI = np.degrees(np.arctan2(ROW - 11.5, COLUMN - 15.5))


def table():
    return colortable.read_table("m_colors.csv")


def made():
    return [np.load(f"m_{kind}_ndarrCoords.npy") for kind in ("color", "finecolor", "mask")]


def test_rings_of_ones_own_quantity(tool):
    """Of the same width, of the same number, between given edges: as NumPy counts them."""
    phi = PHI.copy()
    phi[:2] = np.nan
    phi[2, 3] = np.inf
    np.save("phi.npy", phi[None])  # an axis more
    known = np.isfinite(phi)
    inside = phi[known]
    np.savetxt("edges.txt", [-100, 0, 30.0])
    for options, edges in (
        (("-c", 5), np.linspace(inside.min(), inside.max(), 6)),
        (("-c", 5, "--low", -90, "--high", 90), np.linspace(-90, 90, 6)),
        (("-c", 5, "--equal"), np.quantile(inside, np.linspace(0, 1, 6))),
        (("--ring-edges", "-100,0,30"), np.array([-100, 0, 30])),
        (("--ring-edges", "edges.txt"), np.array([-100, 0, 30])),
    ):
        status, said, error = tool(*START, "--by", "phi.npy", "--unit", "deg", *options)
        assert (status, error) == (0, "") and "65 elements to process have no phi in phi.npy (NaN)" in said
        color, fine, _ = made()
        for c, (low, high) in enumerate(pairwise(edges), 1):
            last = c == len(edges) - 1
            assert np.array_equal(color == c, (phi >= low) & ((phi <= high) if last else (phi < high)))
        assert not color[~known].any() and (fine[color > 0] > 0).all() and not fine[color == 0].any()
        found = table()
        assert (found.kind, found.unit) == ("phi", "degrees")
        np.testing.assert_allclose(found.mean, [phi[color == c].mean() for c in found.colors], rtol=1e-8)
    assert all(len(np.unique(color[fine == f])) == 1 for f in np.unique(fine[fine > 0]))  # given edges are divided


def test_edges():
    assert divided(np.array([0.0, 1, 3]), 3).tolist() == [0, 0.5, 1, 2, 3]
    assert edges_of_equal(np.array([1.0, 1, 1, 1, 2, 3]), 4).tolist() == [1, 1.75, 3]
    assert Rings(np.array([1.0, 2])).colors(np.array([0.5, 1, 2, 2.5, np.nan]), 0.0).tolist() == [0, 1, 1, 0, 0]


def test_names_and_units(tool):
    with h5py.File("q.h5", "w") as file:
        file["maps/momentum"] = np.hypot(ROW, COLUMN) + 1.5
        file["maps/momentum"].attrs["units"] = "1/nm"
    status, _, error = tool(*START, "--by", "q.h5:/maps/momentum", "--quantity", "q", "--sectors", 2)
    assert (status, error) == (0, "")
    found = table()
    assert (found.kind, found.unit, found.tells_q) == ("q", "1/nm", True) and found.sectors.max() == 2
    np.testing.assert_allclose(found.q(found.colors), found.mean / 10)  # what is against q is in 1/angstrom
    status, said, _ = tool("plot", "-i", "m_color_ndarrCoords.npy", "-o", "m.png")
    assert status == 0
    np.save("q.npy", np.hypot(ROW, COLUMN))
    status, said, _ = tool(*START, "--by", "q.npy")
    assert "does not say the unit of q: 1/angstrom is taken" in said and table().unit == "1/angstrom"
    np.save("whole.npy", (ROW // 8).astype(float))
    assert "if it is a partition, save it with .astype(int)" in tool(*START, "--by", "whole.npy")[2]


def test_partitions_as_they_are(tool):
    """Numbers stay, with a fine partition and a mask beside; no element has a colour without a fine one."""
    color = np.where(ROW < 4, 0, COLUMN // 8 * 5 + 2)
    fine = COLUMN // 4 + 1
    fine[20:] = 0
    mask = COLUMN > 1
    with h5py.File("p.hdf", "w") as file:
        for name, data in (("dqmap", color), ("sqmap", fine), ("mask", mask)):
            file[f"xpcs/{name}"] = data.T.astype("i4")  # as the older ones are
        file["xpcs/dqlist"] = np.arange(20)[None] / 100
    status, _, error = tool(*START, "--by", "p.hdf")
    assert status == 2 and "'p.hdf:/xpcs/dqmap' has the shape 32x24; it must be 24x32" in error
    assert "say --transpose" in error
    status, said, error = tool(*START, "--by", "p.hdf", "--transpose")
    assert status == 0 and "p.hdf has a mask, too, which is not taken: -m p.hdf takes it" in said
    status, said, error = tool(*START, "--by", "p.hdf", "--transpose", "-m", "p.hdf", "--rings-only")
    assert status == 0 and "128 elements have a colour and no fine colour" in error
    found, of_fine, included = made()
    right = np.where(mask & (fine > 0), color, 0)
    assert np.array_equal(found, right) and np.array_equal(included, right > 0)
    assert np.array_equal(of_fine, np.where(mask, fine, 0))
    assert table().colors.tolist() == [2, 7, 12, 17] and table().mean.tolist() == [0.01, 0.06, 0.11, 0.16]
    assert tool("check", "-b", "m")[0] == 0


def test_partitions_without_values(tool):
    color = np.where(ROW < 4, -7, COLUMN // 8)
    np.save("p.npy", color)
    np.save("f.npy", ROW // 5 + 1)
    status, said, error = tool(*START, "--by", "p.npy")
    assert status == 0 and "the colours are the fine colours" in said
    assert "128 elements of p.npy have negative numbers, as -7: in no colour" in error
    assert np.array_equal(made()[0], np.maximum(color, 0)) and np.array_equal(made()[1], made()[0])
    assert table().name(1) == ""
    status, said, _ = tool(*START, "--by", "p.npy", "--fine-by", "f.npy")
    assert np.array_equal(made()[1], ROW // 5 + 1) and "5 fine colours reach over several colours" in said
    np.save("bad.npy", (color > 0).astype(int))
    np.save("bad.npy", 1 - np.load("bad.npy"))
    status, _, error = tool(*START, "--by", "p.npy", "-m", "bad.npy")
    assert status == 2 and "480 of the 480 elements that have a colour: is 1 a bad pixel in it?" in error
    assert "no included element is in a partition" in error


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--by", "nothing"), "--by nothing: it must be one of intensity, radius, q, or a file that exists"),
        (("--by", "p.npy", "--low", 1), "--low belongs to rings: p.npy has the colours themselves"),
        (("--by", "p.npy", "--equal"), "--equal belongs to rings"),
        (("--by", "p.npy", "--unit", "s"), "does not say what its partitions stand for; write a table"),
        (("--by", "p.npy", "--fine-by", "v.npy"), "--fine-by: 'v.npy' holds real numbers"),
        (("--by", "v.npy", "--fine-by", "p.npy"), "--fine-by belongs to a map of colours"),
        (("--by", "v.npy", "--quantity", "tau"), "'tau' cannot be its name"),
        (("--by", "v.npy", "--quantity", "a/b"), "'a/b' cannot be its name"),
        (("--by", "v.npy", "--equal", "--log"), "--log and --equal are different edges"),
        (("--by", "v.npy", "--ring-edges", "1,3,2"), "must be two numbers or more that increase"),
        (("--by", "v.npy", "--ring-edges", "1"), "must be two numbers or more that increase"),
        (("--by", "v.npy", "--ring-edges", "none"), "'none' is no list of numbers, and no file of that name"),
        (("--by", "v.npy", "--ring-edges", "1,2", "--low", 1), "give the one or the others"),
        (("--by", "v.npy", "--ring-edges", "700,800"), "no included element lies in the rings"),
        (("--by", "n.npy"), "no included element has a n in 'n.npy' that is finite"),
        (("--by", "s.npy"), "'s.npy' has the shape 3x4; it must be 24x32, that of the data"),
        (("--by", "radius", "--unit", "mm"), "--unit belongs to a map"),
        (("--transpose",), "--transpose belongs to a map"),
    ],
)
def test_wrong_arguments(tool, args, sentence):
    np.save("p.npy", COLUMN)
    np.save("v.npy", COLUMN / 7)
    np.save("n.npy", np.full(SHAPE, np.nan))
    np.save("s.npy", np.ones((3, 4), int))
    status, _, error = tool(*START, *args)
    assert status == 2 and sentence in error and error.splitlines()[-1].startswith("parCorAnaMaskColorTool")


# -- several runs ----------------------------------------------------------------


def statistics_of(frames):
    statistics = Statistics()
    for frame in frames:
        statistics.add(frame)
    return statistics


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8"])
def test_merged_is_as_if_all_were_added(dtype):
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 126, (30, 4, 5)).astype(dtype)
    frames[:, 0, 0] = 7
    frames[:12, 0, 1], frames[12:, 0, 1] = 7, 9  # dead in each, and not in both
    frames[3, 1, 1] = frames[20, 1, 2] = (np.finfo if dtype[0] == "f" else np.iinfo)(dtype).max
    if dtype == "i4":
        frames[25, 2, 2] = -1
    one, both = statistics_of(frames), statistics_of(frames[:12]).merged(statistics_of(frames[12:]))
    assert both.events == one.events and both.top == one.top and both.sometimes_a_gap() == one.sometimes_a_gap()
    for name in ("dead", "gaps", "broken"):
        assert np.array_equal(getattr(both, name)(), getattr(one, name)()), name
    good = ~one.gaps()
    for ours, right in zip(
        (both.mean, both.deviation, *both.without_largest()), (one.mean, one.deviation, *one.without_largest()),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(ours[good], right[good], rtol=1e-11)


def test_runs_of_datasets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [run.dataset.runs for run in runs_of(["exp=a:run=3-5,9:dir=/x", "exp=a:run=7"])] == [
        (3,),
        (4,),
        (5,),
        (9,),
        (7,),
    ]
    for k in (1, 2, 10):
        (tmp_path / f"f{k}.h5").touch()
    assert [run.dataset.name for run in runs_of(["h5=f*.h5:runs"])] == ["f1.h5", "f2.h5", "f10.h5"]
    assert [run.dataset.names for run in runs_of(["h5=f*.h5"])] == [("f*.h5",)]  # one stack
    (tmp_path / "c.py").write_text("system_params = {'dataset': 'sim=brownian', 'src': 's'}; user_params = {}")
    assert [(run.dataset.kind, run.src, run.type) for run in runs_of(["c.py"], None, "raw")] == [("sim", "s", "raw")]
    (tmp_path / "d.py").write_text("system_params = {}; user_params = {}")
    (tmp_path / "e.py").write_text("system_params = {'dataset': 'sim=brownian', 'src': 5}; user_params = {}")
    for text, fault in (("d.py", "lacks the key 'dataset'"), ("e.py", "src must be"), ("f.py", "does not exist")):
        with pytest.raises(ConfigError, match=fault):
            runs_of([text])
    with pytest.raises(ConfigError, match="'exp=a:run=4' is given twice"):
        runs_of(["exp=a:run=3-5", "exp=a:run=4"])


def test_a_mask_of_several_runs(tool):
    """All frames count the same; what is bright, hot, dead or a gap in one run only is told."""
    rng = np.random.default_rng(5)
    pattern = 400 * np.exp(-np.hypot(ROW - 11.5, COLUMN - 15.5) / 12) + 1
    frames = []
    for k, (times, number) in enumerate(((1, 40), (1.2, 60), (4, 20))):
        frame = rng.poisson(times * rng.gamma(3, pattern / 3, (number, *SHAPE))).astype("u2")
        frame[:, 4, 5] *= 15
        if k == 1:
            frame[:, 20, 9], frame[0, 6, 6] = frame[:, 20, 9] * 30 + 50, 65535
        if k == 2:
            frame[:, 15, 3:5] = 0
        with h5py.File(f"r{k}.h5", "w") as file:
            file["f"] = frame
        frames.append(frame)
    begin = ("start", "-s", "f", "-b", "m", "--force", "--by", "radius", "-c", 3, "--hot", 3)
    status, said, error = tool(*begin, "-d", "h5=r*.h5:runs", "-n", 50)
    assert status == 0, error
    assert "average: 110 events of 3 runs" in said and "run 2: 50 events, 45% of all; mean" in said
    assert "warning: run 3 (h5=r2.h5) is 3." in error and error.count("times as bright as the median run") == 1
    assert "run 2: 1 elements are gaps, or not finite, in this run only" in said
    assert "run 3: 2 elements are dead in this run only" in said
    assert "run 2: 1 elements are hot in this run only, and left out" in said
    mask, mean = np.load("m_mask_ndarrCoords.npy"), np.load("m_avg_ndarrCoords.npy")
    assert mask[4, 5] == mask[20, 9] == mask[6, 6] == 0 and mask.size - mask.sum() <= 6
    every = np.concatenate([frame[:50].astype(float) for frame in frames])
    every[:, 6, 6] = np.nan
    np.testing.assert_allclose(mean, every.mean(axis=0), rtol=1e-12)
    status, _, error = tool(*begin, "-d", "h5=r0.h5", "-d", "sim=brownian:shape=4x5:events=3")
    assert status == 2 and "'sim=brownian:shape=4x5:events=3' has the shape 4x5; it must be 24x32" in error


# -- a mask of the other convention ------------------------------------------------


def test_data_tell_a_mask_of_the_other_convention(tool):
    """Gaps and a bad block as detectors have them; the list of bad pixels, and the mask that is right."""
    bad = (np.abs(ROW - 12) < 2) | (COLUMN == 16)
    frames = np.random.default_rng(2).poisson(9, (5, *SHAPE)).astype("u4")
    frames[:, bad] = 2**32 - 1
    with h5py.File("d.h5", "w") as file:
        file["f"] = frames
    np.save("bad.npy", bad.astype("u1"))
    np.save("good.npy", (~bad).astype("u1"))
    np.save("color.npy", np.where(bad, 0, 1))
    data = ("-d", "h5=d.h5", "-s", "f")
    number = np.count_nonzero(bad)
    sure = f"and {number} of the {number} that have no data are among them: 1 is a bad pixel in it; save 1 - mask"
    assert sure in tool("check", "--mask", "bad.npy", *data)[2]
    assert sure in tool("start", *data, "-b", "m", "-m", "bad.npy")[2]
    assert tool("check", "--mask", "good.npy", "--color", "color.npy", *data)[2] == ""
    assert "is 1 a bad pixel in it?" in tool("check", "--mask", "bad.npy", "--color", "color.npy")[2]
