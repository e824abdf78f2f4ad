"""Fits of points that vary together: pulls, chi-square, what speaks against a fit; against plain leaving out."""

import h5py
import numpy as np
import pytest

from parcorana.curves import fits
from parcorana.curves.fitchoice import choice_of
from parcorana.curves.jackknife import deviations
from parcorana.curves.noise import Covariance, _shrinkage
from parcorana.curves.sums import Curve
from parcorana.errors import ConfigError

pytest.importorskip("scipy")

DELAYS = np.unique(np.geomspace(1, 1000, 26).astype(int))
GROUPS = 32
TRUE = {
    "single": {"baseline": 1.0, "contrast": 0.3, "tau": 40.0},
    "stretched": {"baseline": 1.0, "contrast": 0.3, "tau": 40.0, "exponent": 0.7},
    "double": {"baseline": 1.0, "contrast": 0.2, "tau": 8.0, "contrast_slow": 0.2, "tau_slow": 150.0},
}


def true(kind):
    return fits.Fit(kind, **({"exponent": 1.0} | TRUE[kind])).model(DELAYS)


def curves(g2, seed, count=1, groups=GROUPS):
    """Curves of the means of groups, whose noise is correlated over decades of the delay, with their deviations."""
    at = np.log(DELAYS)
    correlation = 0.95 * np.exp(-np.abs(at[:, None] - at) / 2) + 0.05 * np.eye(len(at))
    size = 0.002 * np.sqrt(1 + DELAYS / 100) * np.sqrt(groups)
    noise = np.random.default_rng(seed).multivariate_normal(np.zeros(len(at)), correlation, (count, groups)) * size
    number = np.full(len(at), 9)
    for each in noise:
        mean = each.mean(axis=0)
        without = (each.sum(axis=0) - each) / (groups - 1)
        rows = deviations(mean, without, np.full(each.shape, 1 / groups))
        yield Curve(g2 + mean, np.sqrt((rows**2).sum(axis=0)), number, 0 * number, rows, groups, "pixel groups")


@pytest.mark.parametrize("kind", TRUE)
def test_errors_and_chi_square_hold(kind):
    found = [fits.fit_curve(DELAYS, curve, kind) for curve in curves(true(kind), 1, 200)]
    assert all(fit.ok and fit.error_from == "pixel groups" and fit.groups == GROUPS for fit in found)
    for name, value in TRUE[kind].items():
        got, errors = (np.array([getattr(fit, name + more) for fit in found]) for more in ("", "_err"))
        pulls = (got - value) / errors
        assert 0.8 < pulls.std() < 1.25 and abs(pulls.mean()) < 0.3, name
    assert {fit.degrees_of_freedom for fit in found} == {10}
    assert 0.85 < np.mean([fit.chi_square for fit in found]) / 10 < 1.15
    chances = np.histogram([fit.p_value for fit in found], 4, (0, 1))[0]
    assert (abs(chances - 50) < 25).all(), chances
    assert sum(bool(fit.doubt) for fit in found) <= 2


def test_without_deviations_points_are_as_if_independent():
    (curve,) = curves(true("single"), 2)
    plain = Curve(*curve.arrays)
    fit, rough = fits.fit_curve(DELAYS, curve, "single"), fits.fit_curve(DELAYS, plain, "single")
    assert rough.ok and rough.error_from == "pixels" and rough.groups == 0 and rough.degrees_of_freedom == 0
    assert np.isnan(rough.chi_square) and np.isnan(rough.p_value) and rough.contrast_err < fit.contrast_err / 3
    none = fits.fit_curve(DELAYS, Curve(plain.g2, plain.error * np.nan, plain.elements, plain.left_out), "single")
    assert none.ok and none.error_from == "scatter"
    few = Curve(*curve.arrays, curve.deviations, 3)
    assert fits.fit_curve(DELAYS, few, "single").error_from == "pixels"


def test_points_without_deviations_are_left_out():
    (curve,) = curves(true("single"), 3)
    curve.deviations[:, -3:], curve.deviations[:, 0] = np.nan, 0
    assert fits.fit_curve(DELAYS, curve, "single").points == len(DELAYS) - 4
    curve.deviations[:] = 0
    assert fits.fit_curve(DELAYS, curve, "single").error_from == "pixels"


@pytest.mark.parametrize("groups", [8, GROUPS])
def test_groups_that_do_not_differ_have_no_chi_square(groups):
    """Their covariance is singular but for rounding; the fit says so."""
    (curve,) = curves(true("single"), 3)
    for rows in (np.full((groups, len(DELAYS)), 0.01), np.outer(np.arange(groups) - 1.5, 1e-3 * DELAYS)):
        same = Curve(*curve.arrays, rows, groups, "pixel groups")
        fit = fits.fit_curve(DELAYS, same, "single")
        assert np.isnan(fit.chi_square) and fit.degrees_of_freedom == 0 and np.isnan(fit.p_value)
        assert not fit.ok or "no chi-square: the groups that errors are from do not differ" in fit.doubt
    fit = fits.fit_curve(DELAYS, curve, "single")
    assert fit.ok and fit.degrees_of_freedom > 0 and not fit.doubt


@pytest.mark.parametrize(("rows", "deltas"), [(4, 9), (9, 4)])
def test_shrinkage_is_the_same_by_either_side(rows, deltas):
    some = np.random.default_rng(1).normal(size=(rows, deltas)) / np.sqrt(rows)
    squares, products = some**2, some[:, :, None] * some[:, None, :]
    both = ((products.sum(axis=0) ** 2) * (1 - np.eye(deltas))).sum()
    spread = (squares.sum(axis=1) ** 2).sum() - (squares**2).sum()
    assert _shrinkage(some) == pytest.approx(np.clip(rows / (rows - 1) * (spread - both / rows) / both, 1e-3, 1))


@pytest.mark.parametrize("groups", [4, 8])
def test_few_groups(groups):
    """Errors are wide, and there is a chi-square."""
    found = [fits.fit_curve(DELAYS, curve, "single") for curve in curves(true("single"), 4, 60, groups)]
    assert all(fit.ok and fit.degrees_of_freedom == max(1, (groups - 1) // 3) for fit in found)
    for name, value in TRUE["single"].items():
        assert sum(abs(getattr(fit, name) - value) < 2 * getattr(fit, f"{name}_err") for fit in found) > 51, name


def test_a_model_that_does_not_hold_is_doubted():
    (curve,) = curves(1 + 0.3 * np.exp(-2 * (DELAYS / 40) ** 0.5), 5)
    fit = fits.fit_curve(DELAYS, curve, "single")
    assert fit.ok and fit.p_value < 1e-3 and fit.tau > 0
    assert fit.doubt.startswith("chi-square ") and fit.doubt.endswith(": not a single exponential")
    assert "doubtful: chi-square" in fits.said_of(fit, 120.0)
    stretched = fits.fit_curve(DELAYS, curve, "stretched")
    assert stretched.ok and not stretched.doubt
    assert "chi-square" in fits.said_of(stretched, 120.0, ("exponent", "chi_square"))


def test_what_is_held_and_bounded():
    (curve,) = curves(true("single"), 6)
    free = fits.fit_curve(DELAYS, curve, "single")
    held = fits.fit_curve(DELAYS, curve, {"kind": "single", "fixed": {"baseline": 1.0}})
    assert held.baseline == 1 and held.baseline_err == 0 and held.contrast_err < free.contrast_err
    wide = fits.fit_curve(DELAYS, curve, {"kind": "single", "bounds": {"tau": (1, 1000), "contrast": (0, None)}})
    assert wide.tau == pytest.approx(free.tau, rel=1e-4) and wide.tau_err == pytest.approx(free.tau_err, rel=1e-3)
    assert not wide.doubt
    narrow = fits.fit_curve(DELAYS, curve, {"kind": "single", "bounds": {"tau": (1, 20)}, "start": {"tau": 5}})
    assert narrow.tau == pytest.approx(20, rel=1e-2) and np.isnan(narrow.tau_err) and narrow.contrast_err > 0
    assert narrow.doubt.startswith("tau is at its bound 20; chi-square")
    early = fits.fit_curve(DELAYS, curve, {"kind": "single", "delays": (2, 300)})
    assert early.ok and early.points == np.count_nonzero((DELAYS >= 2) & (DELAYS <= 300))
    two = {"kind": "double", "bounds": {"tau": (100, 300), "tau_slow": (1, 20)}}
    (double,) = curves(true("double"), 7)
    assert fits.fit_curve(DELAYS, double, two).why == "tau is above tau_slow: keep them apart by bounds"
    turned = fits.fit_curve(DELAYS, double, {"kind": "double", "start": {"tau": 200, "tau_slow": 5}})
    assert turned.ok and turned.tau < 20 < turned.tau_slow
    assert fits.said_of(turned, 120.0, ("contrast_slow",)).count("pulses") == 2


def test_the_file_has_what_was_asked_for():
    choice = choice_of({"kind": "double", "fixed": {"baseline": 1}, "bounds": {"tau": (1, None)}, "delays": [1, 500]})
    (curve,) = curves(true("double"), 8)
    found = {2: fits.fit_curve(DELAYS, curve, choice), 3: fits.Fit("double", why="no decay")}
    with h5py.File("x.h5", "w", driver="core", backing_store=False) as file:
        fits.write(file.create_group("fits"), found, 120.0, choice=choice)
        fits.write(file.create_group("none"), {}, 120.0, choice=choice)
        attributes, again = dict(file["fits"].attrs), fits.Fit.read(file["fits"])
        assert fits.Fit.read(file["none"]) == {}
        file["fits"].attrs["kind"] = "triple"
        with pytest.raises(ConfigError, match=r"/fits has fits of the kind 'triple', which is none of single, str"):
            fits.Fit.read(file["fits"])
    assert attributes["fixed_baseline"] == 1 and attributes["bounds_tau"].tolist() == [1, np.inf]
    assert attributes["delays"].tolist() == [1, 500] and "tau_slow" in attributes["model"]
    assert found[2].ok and found[2] == again[2] and again[3].why == "no decay"


# -- by the definition ---------------------------------------------------------


@pytest.mark.parametrize("groups", [8, 20])
def test_each_deviation_is_weighted_by_the_others(groups):
    """Errors of parameters: each row moves them with the weights that all other rows make."""
    rng = np.random.default_rng(0)
    rows, jacobian = rng.normal(size=(groups, 7)) @ rng.normal(size=(7, 7)), rng.normal(size=(7, 2))
    noise = Covariance(rows, groups)
    sizes = np.sqrt((rows**2).sum(axis=0))
    standard, scaled = rows / sizes, jacobian / sizes[:, None]
    part, variance = _shrinkage(standard), 0.0
    for k, row in enumerate(standard):
        others = np.delete(standard, k, axis=0)
        shrunk = (1 - part) * others.T @ others + part * np.eye(7) if groups > 8 else np.diag((others**2).sum(axis=0))
        weight = np.linalg.inv(shrunk)
        variance += (np.linalg.inv(scaled.T @ weight @ scaled) @ scaled.T @ weight @ row) ** 2
    np.testing.assert_allclose(noise.errors(jacobian, None), np.sqrt(variance), rtol=1e-4)


def test_shrinkage_by_its_definition():
    rows = np.random.default_rng(1).normal(size=(9, 5))
    rows /= np.sqrt((rows**2).sum(axis=0))
    above = below = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                products = rows[:, i] * rows[:, j]
                above += 9 / 8 * ((products - products.mean()) ** 2).sum()
                below += products.sum() ** 2
    assert _shrinkage(rows) == pytest.approx(min(1, above / below))
    assert _shrinkage(np.eye(4)) == 1
