"""Fits of delay curves: single, stretched and double exponential, by SciPy.

The models are ``g2(d) = baseline + contrast exp(-2 (d / tau)^exponent)``: with the
exponent 1 that of diffusion, tau being the decay time of the field (Siegert
relation; Goodman, Speckle Phenomena in Optics, 2007); and the sum of two
such decays with the exponent 1, a fast and a slow one.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.fitchoice import KINDS, PARAMETERS, TIMES, Choice, choice_of
from parcorana.curves.fitmodel import FORMULAS, Model
from parcorana.curves.noise import noise_of
from parcorana.curves.rounding import time_with_error, with_error
from parcorana.curves.sums import Curve
from parcorana.errors import ConfigError, shown
from parcorana.files.datasets import write_dataset

_LONG_NAMES = {
    "contrast": ("1", "contrast of the fit; of two decays that of the fast one"),
    "tau": ("pulses", "decay time of the field; of two that of the fast decay"),
    "exponent": ("1", "exponent of the fit; 1 in a single or double exponential"),
    "baseline": ("1", "g2 at long delays"),
    "contrast_slow": ("1", "contrast of the slow one of two decays; NaN where there is one decay"),
    "tau_slow": ("pulses", "decay time of the slow one of two decays; NaN where there is one decay"),
}
_NAMES_OF = {"single": "a single exponential", "stretched": "a stretched exponential", "double": "two exponentials"}
_LINEAR_ALGEBRA = 40 << 20  # bytes: OpenBLAS, in SciPy, asks for 32 MiB again and again for ever, where it gets none
_SIGNIFICANT = 9  # decimals: what rounding does beyond them must not reach the fit
_ROUNDED = 10.0 ** (1 - _SIGNIFICANT)  # contrast that rounding alone may make
_UNLIKELY = 1e-3  # p-value below which the model is doubted
#: What the errors of fits come from, by `error_from`.
SOURCES = {
    "pixel groups": "errors by the covariance of the curve's points, from groups of pixels",
    "time blocks": "errors by the covariance of the curve's points, from stretches of the run",
    "runs": "errors by the covariance of the curve's points, from the scatter of the runs that were added",
    "runs combined": "errors by the covariance of the curve's points, combined from those of the runs",
    "covariance": "errors by the covariance of the curve's points",
    "pixels": "errors too small: weights by errors over pixels, and points as if independent",
    "scatter": "errors too small: from the scatter of the curve's points, as if independent",
}


@dataclass(frozen=True)
class Fit:
    """The fit of one delay curve; numbers are NaN where `ok` is False.

    Attributes
    ----------
    kind : {'single', 'stretched', 'double'}
    contrast, tau, exponent, baseline : float
        tau in pulses. Of two decays the fast one; their exponent is 1.
    contrast_slow, tau_slow : float
        Of two decays the slow one; NaN where there is one.
    contrast_err, tau_err, exponent_err, baseline_err, contrast_slow_err, tau_slow_err : float
        Standard errors; 0 for what is held, NaN at a bound.
    error_from : {'pixel groups', 'time blocks', 'runs', 'runs combined', 'covariance', 'pixels', 'scatter'}
        Where they come from: the covariance of the curve's points, from
        groups of pixels, stretches of the run, runs, or what nobody has said; or
        the scatter of the points about the fit, as if these were independent,
        with weights by their errors over pixels, or with equal ones.
    groups : int
        What the covariance is from; 0 without one.
    chi_square, degrees_of_freedom, p_value : float, int, float
        Of the fit, with the covariance; NaN, 0 and NaN without one.
    points : int
        Of the curve.
    ok : bool
    why : str
        What went wrong if not `ok`; else what speaks against the fit, if
        anything does.
    """

    kind: str
    contrast: float = np.nan
    contrast_err: float = np.nan
    tau: float = np.nan
    tau_err: float = np.nan
    exponent: float = np.nan
    exponent_err: float = np.nan
    baseline: float = np.nan
    baseline_err: float = np.nan
    contrast_slow: float = np.nan
    contrast_slow_err: float = np.nan
    tau_slow: float = np.nan
    tau_slow_err: float = np.nan
    chi_square: float = np.nan
    degrees_of_freedom: int = 0
    p_value: float = np.nan
    error_from: str = ""
    groups: int = 0
    points: int = 0
    ok: bool = False
    why: str = ""

    @property
    def doubt(self) -> str:
        """What speaks against a fit that is there; empty where nothing does."""
        return self.why if self.ok else ""

    def model(self, delays: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return g2 at delays [pulses]."""
        decay: NDArray[np.float64] = np.exp(-2 * (delays / self.tau) ** self.exponent)
        g2: NDArray[np.float64] = self.baseline + self.contrast * decay
        return g2 + self.contrast_slow * np.exp(-2 * delays / self.tau_slow) if self.kind == "double" else g2

    @classmethod
    def read(cls, group: Any) -> "dict[int, Fit]":
        """Return ``{colour: Fit}`` from what `write` has written, now or in an older version."""
        kind = str(group.attrs["kind"])
        if kind not in KINDS and len(group["colors"]):
            raise ConfigError(f"{group.name} has fits of the kind {shown(kind)}, which is none of {', '.join(KINDS)}")
        names = [field.name for field in fields(cls)[1:] if field.name in group]
        columns = {name: group[name].asstr()[:] if name in ("why", "error_from") else group[name][:] for name in names}
        kinds = {name: type(getattr(cls, name)) for name in names}
        return {
            int(c): cls(kind, **{name: kinds[name](columns[name][k]) for name in names})
            for k, c in enumerate(group["colors"][:])
        }


def fit_curve(delays: NDArray[np.int64], curve: Curve, fit: str | Mapping[str, Any] | Choice) -> Fit:
    """Fit one delay curve.

    Parameters
    ----------
    delays : (D,) int64 [pulses]
        Delay 0 is left out: each event with itself has the noise of single
        photons and of the detector, which no other delay has.
    curve : parcorana.curves.Curve
        With `deviations` its covariance gives weights and errors, and points
        without are left out. Else it is weighted by its errors where all its
        points have one.
    fit : {'single', 'stretched', 'double'} or dict
        As `fit` in `user_params`.

    Returns
    -------
    Fit

    Raises
    ------
    ConfigError
        There is no such fit.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    choice = choice_of(fit)
    if choice is None:
        raise ValueError("fit must say what is fitted")
    np.empty(_LINEAR_ALGEBRA, np.uint8)  # a MemoryError here instead
    noise, good = noise_of(curve, np.isfinite(curve.g2) & choice.takes(delays))
    d = delays[good].astype(np.float64)
    # the last digits depend on how the work was divided: the fit must not
    g2 = np.round(curve.g2[good], _SIGNIFICANT)
    model = Model(choice)
    found: dict[str, Any] = {"kind": choice.kind, "error_from": noise.name, "groups": noise.groups, "points": len(d)}
    if len(d) <= len(model.free):
        return Fit(**found, why=f"{len(d)} points are too few for {len(model.free)} parameters")
    more = {"bounds": model.limits()} if choice.bounds else {}
    try:
        with warnings.catch_warnings(), np.errstate(over="ignore", under="ignore", invalid="ignore"):
            warnings.simplefilter("error", OptimizeWarning)  # given where no error can be told
            best = model.start(d, g2)
            for sigma in noise.sigmas:
                best, _ = curve_fit(model, d, g2, p0=best, sigma=sigma, jac=model.jacobian, maxfev=2000, **more)
    except (RuntimeError, OptimizeWarning, ValueError, np.linalg.LinAlgError):
        return Fit(**found, why="no convergence")
    held = model.at_limits(best)
    if held.all():
        return Fit(**found, why="all parameters are at their bounds")
    errors = np.full(len(best), np.nan)
    try:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            jacobian, residuals = model.jacobian(d, *best)[:, ~held], g2 - model(d, *best)
            errors[~held] = noise.errors(jacobian, residuals)
            names = ("chi_square", "degrees_of_freedom", "p_value")
            found |= dict(zip(names, noise.chi_square(jacobian, residuals), strict=True))
    except np.linalg.LinAlgError:  # parameters of which the curve tells nothing
        return Fit(**found, why="no errors")
    if not (np.isfinite(best).all() and np.isfinite(errors[~held]).all()):
        return Fit(**found, why="no errors")
    values = {"exponent": 1.0} | model.parameters(best)
    each = zip(model.free, errors.tolist(), strict=True)
    of = {name: error * (values[name] if name in TIMES else 1.0) for name, error in each}
    return _judged(choice, d, values, of, [name for name, at in zip(model.free, held, strict=True) if at], found)


def _judged(choice, d, values, errors, held, found):
    """Return the fit, unless it says what the curve cannot tell."""
    if choice.kind == "double" and values["tau_slow"] < values["tau"]:
        if any(name.startswith(("tau", "contrast")) for name in (*choice.fixed, *choice.bounds)):
            return Fit(**found, why="tau is above tau_slow: keep them apart by bounds")
        for one, other in (("tau", "tau_slow"), ("contrast", "contrast_slow")):
            for of in (values, errors):
                of[one], of[other] = of[other], of[one]
    for name, which in (("tau", " fast" if choice.kind == "double" else ""), ("tau_slow", " slow")):
        if name not in values:
            continue
        value, contrast = values[name], name.replace("tau", "contrast")
        if errors.get(name, 0) > value:
            return Fit(**found, why=f"{name} is uncertain by more than itself")
        if name in errors and not d[0] / 2 <= value <= 5 * d[-1]:
            return Fit(**found, why=f"{name} {value:.3g} is beyond the delays")
        if contrast in errors and (values[contrast] <= _ROUNDED or values[contrast] <= errors[contrast]):
            return Fit(**found, why=f"no{which} decay")
    if "exponent" in errors and not 0.1 <= values["exponent"] <= 10:
        return Fit(**found, why=f"exponent {values['exponent']:.3g}")
    said = [f"{name} is at its bound {values[name]:.4g}" for name in held]
    if found["p_value"] < _UNLIKELY:
        part = f"{found['chi_square']:.3g}/{found['degrees_of_freedom']}"
        said.append(f"chi-square {part}, p {found['p_value']:.0e}: not {_NAMES_OF[choice.kind]}")
    elif found["groups"] and not found["degrees_of_freedom"]:
        said.append("no chi-square: the groups that errors are from do not differ")
    numbers = {name: float(value) for name, value in values.items()}
    numbers |= {f"{name}_err": float(errors.get(name, 0.0)) for name in values}
    return Fit(**found, **numbers, ok=True, why="; ".join(said))


def fit_curves(
    delays: NDArray[np.int64], curves: Mapping[int, Curve], fit: str | Mapping[str, Any] | Choice
) -> dict[int, Fit]:
    """Fit all curves, ``{colour: Curve}``; return ``{colour: Fit}``."""
    return {color: fit_curve(delays, curve, fit) for color, curve in curves.items()}


def said_of(fit: Fit, rate: float, names: tuple[str, ...] = (), plus: str = "±", tau: str = "\u03c4 =") -> str:
    """Return a fit in words: decay times [s and pulses], others of its parameters, and what speaks against it.

    Parameters
    ----------
    fit : Fit
    rate : float
        Pulses per second.
    names : tuple of str
        Parameters beside times, of which those count that the fit has; and `chi_square`.
    plus, tau : str
        What stands for plus or minus, and before decay times.
    """
    if not fit.ok:
        return f"no fit ({fit.why})"
    times = [
        f"{time_with_error(value / rate, error / rate, plus)} ({with_error(value, error, plus)} pulses)"
        for value, error in (
            (getattr(fit, name), getattr(fit, f"{name}_err")) for name in PARAMETERS[fit.kind] if name in TIMES
        )
    ]
    others = [
        f"chi-square {fit.chi_square:.3g}/{fit.degrees_of_freedom}"
        if name == "chi_square"
        else f"{name.replace('_', ' ')} {with_error(getattr(fit, name), getattr(fit, f'{name}_err'), plus)}"
        for name in names
        if name in PARAMETERS[fit.kind] or (name == "chi_square" and fit.degrees_of_freedom and not fit.doubt)
    ]
    return ", ".join([f"{tau} {' and '.join(times)}", *others]) + (f"; doubtful: {fit.doubt}" if fit.doubt else "")


def write(
    group: Any,
    found: Mapping[int, Fit],
    rate: float,
    stands_for: tuple[str, str, NDArray[np.float64]] | None = None,
    choice: Choice | None = None,
) -> None:
    """Write fits into an HDF5 group.

    Parameters
    ----------
    group : h5py.Group
    found : dict of int to Fit
    rate : float
        Pulses per second.
    stands_for : (str, str, (C,) float64), optional
        What the colours stand for, as ``('q', '1/angstrom', values)``.
    choice : Choice, optional
        What was asked for.
    """
    kind = next(iter(found.values())).kind if found else "none"
    group.attrs["kind"], group.attrs["model"] = kind, FORMULAS.get(kind, "")
    if choice is not None:
        for key in ("fixed", "bounds", "start"):
            for name, value in getattr(choice, key).items():
                group.attrs[f"{key}_{name}"] = value
        if not choice.takes_all:
            group.attrs["delays"] = choice.delays
    write_dataset(group, "colors", np.array(list(found), np.int64), "1", "colours that were fitted")
    if stands_for is not None:
        name, unit, values = stands_for
        write_dataset(group, name, values, unit, f"mean {name} of each colour")
    for name, (units, long_name) in _LONG_NAMES.items():
        more = {"rate": rate} if name == "tau" else {}
        write_dataset(group, name, _column(found, name), units, long_name, **more)
        error = f"standard error of the {name}; 0 for what is held, NaN at a bound"
        write_dataset(group, f"{name}_err", _column(found, f"{name}_err"), units, error)
    for name in ("tau", "tau_err", "tau_slow", "tau_slow_err"):
        what = f"standard error, as {name}" if name.endswith("_err") else _LONG_NAMES[name][1]
        write_dataset(group, f"{name}_seconds", _column(found, name) / rate, "s", what)
    what = "what errors come from: " + "; ".join(f"{name}: {text}" for name, text in SOURCES.items())
    sources = np.array([fit.error_from.encode() for fit in found.values()], "S13")
    write_dataset(group, "error_from", sources, "1", what)
    what = "groups of the curve's elements, or stretches of the run, that the covariance is from; 0 without one"
    write_dataset(group, "groups", _column(found, "groups", np.int64), "1", what)
    write_dataset(
        group, "chi_square", _column(found, "chi_square"), "1", "chi-square by the covariance; NaN without one"
    )
    freedom = "degrees of freedom of chi_square: of points taken together, until there are few against the groups"
    write_dataset(group, "degrees_of_freedom", _column(found, "degrees_of_freedom", np.int64), "1", freedom)
    chance = "chance of a larger chi_square where the model holds, by the F distribution"
    write_dataset(group, "p_value", _column(found, "p_value"), "1", chance)
    write_dataset(group, "points", _column(found, "points", np.int64), "1", "points of the curve")
    write_dataset(
        group, "ok", _column(found, "ok", np.int8), "1", "1 where there is a fit, else its parameters are NaN"
    )
    why = np.array([fit.why.encode() for fit in found.values()], "S200")
    write_dataset(group, "why", why, "1", "what went wrong where there is no fit; else what speaks against it")


def _column(found, name, dtype=np.float64):
    return np.array([getattr(fit, name) for fit in found.values()], dtype)
