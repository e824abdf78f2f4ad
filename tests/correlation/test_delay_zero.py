"""Delay 0, each event with itself, on the whole way from the config to the picture."""

import shutil

import h5py
import matplotlib.axes
import numpy as np
import pytest
from conftest import status_of
from jobs.test_pipeline import KIND, check_against_reference

from parcorana.curves import fits
from parcorana.curves.sums import Curve
from parcorana.results.reading import read_result
from parcorana.tools import driver, plot
from parcorana.tools.compare import compare
from parcorana.view import pictures

DELAYS = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]


@pytest.fixture
def from_zero(setup):
    setup.system |= {"delays": DELAYS}
    return setup


@pytest.mark.parametrize("user_class", KIND)
def test_every_division_of_the_work_gives_the_same_bits(from_zero, user_class):
    setup = from_zero
    setup.write(user_class)
    # a division over MPI is the same as with other delays, so one class shows it
    over_mpi = [("5.h5", 5, 2)] if user_class == "G2IncrementalWindowed" else []
    for name, ranks, servers in (("alone.h5", 0, 1), *over_mpi):
        run = setup.drive("-o", name, "-s", servers, ranks=ranks)
        assert run.returncode == 0, run.stderr
        check_against_reference(setup, setup.folder / name, KIND[user_class], 70)
        if ranks:
            lines = compare(setup.folder / "alone.h5", setup.folder / name, rtol=1e-12)
            assert [line for line in lines if "_err_" not in line] == []


@pytest.mark.parametrize("user_class", KIND)
@pytest.mark.parametrize("normalization", ["pixel", "finecolor", "color"])
@pytest.mark.parametrize("delays", [[0], DELAYS])
def test_the_plain_slow_way(setup, monkeypatch, capsys, user_class, normalization, delays):
    """--test_main, --test_alt, --cmp: two ways to compute it, one result."""
    monkeypatch.chdir(setup.folder)
    user = setup.user | {"normalization": normalization, "finecolor": "fine.npy"}
    setup.write(user_class, user=user, delays=delays, testmask="mask.npy", testnumevents=40)
    status = driver.main(["-c", "config.py", "--test_main", "--test_alt", "--cmp"])
    out, err = capsys.readouterr()
    assert (status, out.splitlines()[-1]) == (0, "same"), out + err


def test_the_class_to_start_from(from_zero, root):
    from_zero.write()
    assert from_zero.drive("-o", "shipped.h5").returncode == 0
    shutil.copy(root / "examples" / "user_g2.py", from_zero.folder)
    config = from_zero.folder / "config.py"
    text = config.read_text(encoding="utf-8").replace("from parcorana import userg2", "import user_g2")
    config.write_text(text.replace("userg2.G2atEnd", "user_g2.UserG2"), encoding="utf-8")
    run = from_zero.drive("-o", "own.h5")
    assert run.returncode == 0, run.stderr
    with h5py.File(from_zero.folder / "shipped.h5") as shipped, h5py.File(from_zero.folder / "own.h5") as own:
        for name, group in own["user"].items():
            for path in ("delay_counts", "delay_curve_color_2", "G2/delay_000000", "IP/delay_000000"):
                np.testing.assert_allclose(group[path], shipped[f"user/{name}/{path}"], rtol=1e-12)


def test_what_it_is(from_zero):
    """The second moment over the square of the mean, of all events; and there are pictures."""
    user = from_zero.user | {"normalization": "color", "picture": True}
    from_zero.write("G2IncrementalAccumulator", user=user, update=0)
    run = from_zero.drive()
    assert run.returncode == 0 and "not drawn" not in run.stderr, run.stderr
    assert (from_zero.folder / "out.png").stat().st_size > 10_000
    with h5py.File(from_zero.folder / "out.h5") as file:
        (group,) = file["user"].values()
        # all but the duplicate and the late event
        data = np.delete(from_zero.included.astype(float), [50, 150], axis=0)
        assert group["delay_counts"][0] == len(data) == 228
        mine = data[:, from_zero.color[from_zero.mask == 1] == 2]
        np.testing.assert_allclose(group["delay_curve_color_2"][0], (mine**2).mean() / mine.mean() ** 2, rtol=1e-12)
    for extra in ([], ["--map", "G2:0", "--map", "g2:0"]):
        assert status_of(plot.main, from_zero.folder / "out.h5", *extra, "-o", from_zero.folder / "p.png") == 0


def decay(delays, zero=None):
    g2 = 1 + 0.3 * np.exp(-2 * delays / 40)
    if zero is not None:
        g2[0] = zero
    return Curve(g2, np.full(len(delays), 0.01), np.full(len(delays), 9), np.zeros(len(delays), int))


@pytest.mark.parametrize("kind", ["single", "stretched"])
def test_a_fit_is_that_of_the_other_delays(kind):
    pytest.importorskip("scipy")
    others = np.array([1, 2, 5, 10, 20, 50, 100, 200])
    with_zero = np.r_[0, others]
    assert fits.fit_curve(with_zero, decay(with_zero, 5.0), kind) == fits.fit_curve(others, decay(others), kind)
    assert fits.fit_curve(others, decay(others), kind).ok
    alone = fits.fit_curve(np.array([0]), decay(np.array([0])), kind)
    assert not alone.ok and alone.points == 0


def test_it_has_a_place_on_a_logarithmic_axis(from_zero, monkeypatch):
    from_zero.write(update=0, user=from_zero.user | {"fit": "single"})
    run = from_zero.drive()
    assert run.returncode == 0, run.stderr
    drawn = []
    plain = matplotlib.axes.Axes.plot
    monkeypatch.setattr(matplotlib.axes.Axes, "plot", lambda *args, **more: drawn.append(args) or plain(*args, **more))
    with h5py.File(from_zero.folder / "out.h5") as file, pictures.shown(from_zero.folder / "p.png") as figure:
        result = read_result(file, "out.h5")
        pictures.draw_curves(figure.add_subplot(2, 1, 1), [result])
        pictures.draw_counts(figure.add_subplot(2, 1, 2), [result])
    curves = [args for args in drawn if len(args) > 2 and len(args[2]) == len(DELAYS)]
    assert len(curves) == 4  # three colours, and the counts
    for _, x, _, *_ in curves:
        assert x.tolist() == [0.5, *DELAYS[1:]]
    assert figure.axes[0].get_xlabel() == "delay [pulses]; 0 is drawn at 0.5"


def test_nothing_below_it(setup):
    setup.write(delays=[-1, 0, 1])
    run = setup.drive()
    assert run.returncode == 2
    assert run.stderr == "parCorAnaDriver: delays must be 0 or more: found -1\n"
