"""Fits of delay curves: single and stretched exponential, by SciPy.

The model is ``g2(d) = baseline + contrast exp(-2 (d / tau)^exponent)``: with the
exponent 1 that of diffusion, tau being the decay time of the field (Siegert
relation; Goodman, Speckle Phenomena in Optics, 2007).
"""

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.sums import Curve
from parcorana.errors import ConfigError, shown
from parcorana.files.datasets import write_dataset

KINDS = ("single", "stretched")
_LONG_NAMES = {
    "contrast": ("1", "contrast of the fit"),
    "tau": ("pulses", "decay time of the field"),
    "exponent": ("1", "exponent of the fit; 1 in a single exponential"),
    "baseline": ("1", "g2 at long delays"),
}
_LINEAR_ALGEBRA = 40 << 20  # bytes: OpenBLAS, in SciPy, asks for 32 MiB again and again for ever, where it gets none
_SIGNIFICANT = 9  # decimals: what rounding does beyond them must not reach the fit


@dataclass(frozen=True)
class Fit:
    """The fit of one delay curve; numbers are NaN where `ok` is False.

    Attributes
    ----------
    kind : {'single', 'stretched'}
    contrast, tau, exponent, baseline : float
        tau in pulses.
    contrast_err, tau_err, exponent_err, baseline_err : float
        Standard errors from the scatter of the points about the fit, as if
        these were independent; 0 for the exponent of a single exponential.
    points : int
        Of the curve.
    ok : bool
    why : str
        What went wrong if not `ok`.
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
    points: int = 0
    ok: bool = False
    why: str = ""

    def model(self, delays: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return g2 at delays [pulses]."""
        decay: NDArray[np.float64] = np.exp(-2 * (delays / self.tau) ** self.exponent)
        return self.baseline + self.contrast * decay

    @classmethod
    def read(cls, group: Any) -> "dict[int, Fit]":
        """Return ``{colour: Fit}`` from what `write` has written."""
        kind, names = group.attrs["kind"], [field.name for field in fields(cls)[1:-1]]
        columns = {name: group[name][:].tolist() for name in names}
        whys = group["why"].asstr()[:]
        return {
            int(c): cls(kind, *(columns[name][k] for name in names[:-1]), bool(columns["ok"][k]), str(whys[k]))  # type: ignore[call-arg]
            for k, c in enumerate(group["colors"][:])
        }


def check_kind(kind: Any) -> None:
    """Raise ConfigError unless there is such a fit, and SciPy to make it."""
    if kind is not None and kind is not False and not (isinstance(kind, str) and kind in KINDS):
        raise ConfigError(f"fit must be one of {', '.join(KINDS)}, or None, not {shown(kind)}")
    if kind and importlib.util.find_spec("scipy") is None:
        raise ConfigError(f"fit {kind!r} needs SciPy, which is not installed: pip install 'parcorana[fit]'")


def fit_curve(delays: NDArray[np.int64], curve: Curve, kind: str) -> Fit:
    """Fit one delay curve.

    Parameters
    ----------
    delays : (D,) int64 [pulses]
        Delay 0 is left out: each event with itself has the noise of single
        photons and of the detector, which no other delay has.
    curve : parcorana.curves.Curve
        Weighted by its errors where all its points have one.
    kind : {'single', 'stretched'}

    Returns
    -------
    Fit
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    np.empty(_LINEAR_ALGEBRA, np.uint8)  # a MemoryError here instead
    good = np.isfinite(curve.g2) & (delays > 0)  # at 0 there is the noise of each event with itself
    d = delays[good].astype(np.float64)
    # the last digits depend on how the work was divided: the fit must not
    g2, error = np.round(curve.g2[good], _SIGNIFICANT), np.round(curve.error[good], _SIGNIFICANT)
    count = 3 if kind == "single" else 4
    if len(d) <= count:
        return Fit(kind, points=len(d), why=f"{len(d)} points are too few for {count} parameters")
    weights = error if (error > 0).all() else None
    baseline, contrast = g2[-1], g2[0] - g2[-1]
    half = d[np.argmin(np.abs(g2 - baseline - contrast / 2))]
    start = [baseline, contrast, np.log(2 * half / np.log(2)), 1.0][:count]

    def model(x, baseline, contrast, log_tau, exponent=1.0):
        return baseline + contrast * np.exp(-2 * np.exp(exponent * (np.log(x) - log_tau)))

    try:
        with warnings.catch_warnings(), np.errstate(over="ignore", under="ignore", invalid="ignore"):
            warnings.simplefilter("error", OptimizeWarning)  # given where no error can be told
            best, covariance = curve_fit(model, d, g2, p0=start, sigma=weights, maxfev=2000)
    except (RuntimeError, OptimizeWarning, ValueError, np.linalg.LinAlgError):
        return Fit(kind, points=len(d), why="no convergence")
    errors = np.sqrt(np.diag(covariance))
    if not (np.isfinite(best).all() and np.isfinite(errors).all()):
        return Fit(kind, points=len(d), why="no errors")
    return _judged(kind, d, best, errors)


def _judged(kind, d, best, errors):
    """Return the fit, unless it says what the curve cannot tell."""
    baseline, contrast, log_tau, exponent = (*best, 1.0)[:4]
    tau = np.exp(np.clip(log_tau, -700, 700))
    if errors[2] > 1:
        why = "tau is uncertain by more than itself"
    elif not d[0] / 2 <= tau <= 5 * d[-1]:
        why = f"tau {tau:.3g} is beyond the delays"
    elif abs(contrast) <= errors[1] or contrast < 0:
        why = "no decay"
    elif not 0.1 <= exponent <= 10:
        why = f"exponent {exponent:.3g}"
    else:
        err = (*errors, 0.0)[:4]
        values = (contrast, err[1], tau, tau * err[2], exponent, err[3], baseline, err[0])
        return Fit(kind, *map(float, values), points=len(d), ok=True)
    return Fit(kind, points=len(d), why=why)


def fit_curves(delays: NDArray[np.int64], curves: Mapping[int, Curve], kind: str) -> dict[int, Fit]:
    """Fit all curves, ``{colour: Curve}``; return ``{colour: Fit}``."""
    return {color: fit_curve(delays, curve, kind) for color, curve in curves.items()}


def write(
    group: Any,
    found: Mapping[int, Fit],
    rate: float,
    stands_for: tuple[str, str, NDArray[np.float64]] | None = None,
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
    """
    group.attrs["kind"] = next(iter(found.values())).kind if found else "none"
    group.attrs["model"] = "baseline + contrast exp(-2 (d / tau)^exponent)"
    write_dataset(group, "colors", np.array(list(found), np.int64), "1", "colours that were fitted")
    if stands_for is not None:
        name, unit, values = stands_for
        write_dataset(group, name, values, unit, f"mean {name} of each colour")
    for name, (units, long_name) in _LONG_NAMES.items():
        more = {"rate": rate} if name == "tau" else {}
        write_dataset(group, name, _column(found, name), units, long_name, **more)
        error = f"standard error of the {name}, as if the curve's points were independent"
        write_dataset(group, f"{name}_err", _column(found, f"{name}_err"), units, error)
    for name in ("tau", "tau_err"):
        what = "decay time of the field" if name == "tau" else "standard error of tau, as tau_err"
        write_dataset(group, f"{name}_seconds", _column(found, name) / rate, "s", what)
    write_dataset(group, "points", _column(found, "points", np.int64), "1", "points of the curve")
    write_dataset(group, "ok", _column(found, "ok", np.int8), "1", "1 where there is a fit, else all is NaN")
    why = np.array([fit.why.encode() for fit in found.values()], "S60")
    write_dataset(group, "why", why, "1", "what went wrong where there is no fit")


def _column(found, name, dtype=np.float64):
    return np.array([getattr(fit, name) for fit in found.values()], dtype)
