"""docs/first-night.md: its commands find the diffusion coefficient that the data was made with."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from docs.test_docs import run, run_document, text_of
from matplotlib.figure import Figure

from parcorana import make_delay_list
from parcorana.curves.dispersion import fit_dispersion
from parcorana.curves.fits import fit_curve, fit_curves
from parcorana.curves.sums import Curve
from parcorana.results.reading import read_result
from parcorana.view.times import WIDE, draw_tau_q

TEXT = text_of("docs/first-night.md")
WATER, GLYCEROL = 0.43, 0.0258  # um^2/s
WANTED = {"water": WATER, "stack": WATER, "pulses": GLYCEROL, "lcls": GLYCEROL}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("night")
    run_document(TEXT, path)
    return path


def dispersion(path):
    """Return the power law of single exponentials."""
    with h5py.File(path) as file:
        result = read_result(file, path.name)
    fits = fit_curves(result.delays, result.curves, "single")
    seconds = np.array([[fit.tau, fit.tau_err] for fit in fits.values()]) / result.rate
    return fit_dispersion(result.table.of([*fits]), *seconds.T)


@pytest.mark.parametrize("name", WANTED)
def test_diffusion(folder, name):
    """Within 3%, and by its own error, which is a lower bound."""
    if name == "lcls":
        pytest.importorskip("psana.dgramedit")
    found = dispersion(folder / f"{name}.h5")
    assert found.is_diffusion and found.points == 16
    assert found.diffusion == pytest.approx(WANTED[name], rel=0.03)
    assert abs(found.diffusion - WANTED[name]) < 4 * found.diffusion_err


def test_what_the_page_says_of_it(folder):
    """Its numbers are those of the data and of the run that it shows."""
    assert [float(d) for d in re.findall(r"D (?:is|=) (\d\.\d+) µm²/s", TEXT)] == [WATER, GLYCEROL, GLYCEROL]
    (shown,) = re.findall(r"n = (\S+) ± (\S+); D = (\S+) ± (\S+) µm²/s for n = 2", TEXT)
    found = dispersion(folder / "water.h5")
    numbers = (found.exponent, found.exponent_err, found.diffusion, found.diffusion_err)
    np.testing.assert_allclose([float(number) for number in shown], numbers, atol=6e-4)


def test_frames_that_were_lost_are_gaps(folder):
    with h5py.File(folder / "stack.h5") as file:
        counts = file["user/G2_results_at_000597/delay_counts"][:3]
    np.testing.assert_array_equal(counts, [600 - d - 3 - min(d, 3) for d in (1, 2, 3)])


def test_what_frame_norm_does(folder):
    text = (folder / "pulses.py").read_text(encoding="utf-8")
    (folder / "plain.py").write_text(text.replace('"frame_norm": "i0"', '"frame_norm": None'), encoding="utf-8")
    run(["parCorAnaDriver", "-c", "plain.py", "-o", "plain.h5"], folder)
    plain, divided = (tau_errors(folder / name) for name in ("plain.h5", "pulses.h5"))
    assert np.min(plain / divided) > 1 and 1.2 < np.median(plain / divided) < 2


def tau_errors(path):
    with h5py.File(path) as file:
        result = read_result(file, path.name)
    return np.array([fit.tau_err for fit in fit_curves(result.delays, result.curves, "single").values()])


@pytest.mark.parametrize("spacing", ["log", "lin"])
def test_what_a_wide_ring_does(spacing):
    """Elements of a ring are as many as its q is large."""
    q = np.linspace(0.8, 1.2, 1001)
    delays = np.array(make_delay_list(1, 200, 30, spacing=spacing))
    g2 = 1 + 0.5 * np.average(np.exp(-2 * q**2 * delays[:, None] / 47), axis=1, weights=q)
    curve = Curve(g2, *(np.full(30, x) for x in (np.nan, 9, 0)))
    tau = fit_curve(delays, curve, "single").tau * np.average(q, weights=q) ** 2
    assert 1.01 < tau / 47 < 1.03 < 1 + WIDE * 0.4**2


def test_wide_rings_are_said(folder):
    """Beside D, by how much it may be off; not where the rings are as narrow as those of the page."""
    with h5py.File(folder / "water.h5") as file:
        result = read_result(file, "water.h5")
    result.fits = fit_curves(result.delays, result.curves, "single")
    figure = Figure()
    assert "off by" not in draw_tau_q(figure.add_subplot(), [result])[0]
    table = result.table
    result.table = replace(table, low=table.mean * 0.8, high=table.mean * 1.2)
    assert "µm²/s for n = 2, off by up to 4.8% for rings that wide" in draw_tau_q(figure.add_subplot(), [result])[0]
