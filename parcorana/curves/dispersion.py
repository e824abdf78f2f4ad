"""Decay times against q: the power law, and the diffusion coefficient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SQUARE = 1e-8  # um^2 in a square angstrom


@dataclass(frozen=True)
class Dispersion:
    """tau = time_at_one q^-exponent, and the diffusion coefficient if the exponent is 2.

    Attributes
    ----------
    exponent, exponent_err : float
    time_at_one : float [s]
        At q = 1/angstrom.
    diffusion, diffusion_err : float [um^2/s]
        D of 1 / tau = D q^2, with the exponent held at 2.
    lowest, highest : float [um^2/s]
        D of single points: where they go from one to the other with q, the rings are wide, or their centre is wrong.
    scatter : float
        Chi square per degree of freedom of that; above 1 the errors are larger by its square root.
    points : int
    """

    exponent: float
    exponent_err: float
    time_at_one: float
    diffusion: float
    diffusion_err: float
    lowest: float
    highest: float
    scatter: float
    points: int

    @property
    def is_diffusion(self) -> bool:
        """Whether the exponent is 2 within two of its errors, and a tenth."""
        return abs(self.exponent - 2) <= max(2 * self.exponent_err, 0.1)

    def tau(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the decay time [s] of the power law at q [1/angstrom]."""
        times: NDArray[np.float64] = self.time_at_one * q**-self.exponent
        return times


def fit_dispersion(q: NDArray[np.float64], tau: NDArray[np.float64], tau_err: NDArray[np.float64]) -> Dispersion | None:
    """Fit decay times against q, weighted by their errors.

    Parameters
    ----------
    q : (C,) float64 [1/angstrom]
    tau, tau_err : (C,) float64 [s]
        Points that are not finite, or not above 0, are left out.

    Returns
    -------
    Dispersion or None
        None for fewer than three different q.
    """
    with np.errstate(invalid="ignore"):
        good = np.isfinite(q) & np.isfinite(tau) & np.isfinite(tau_err) & (q > 0) & (tau > 0) & (tau_err > 0)
    q, tau, tau_err = q[good], tau[good], tau_err[good]
    if len(np.unique(q)) < 3:
        return None
    x, y, weight = np.log(q), np.log(tau), (tau / tau_err) ** 2
    middle = np.average(x, weights=weight)
    spread = (weight * (x - middle) ** 2).sum()
    slope = (weight * (x - middle) * y).sum() / spread
    level = np.average(y, weights=weight)
    free = (weight * (y - level - slope * (x - middle)) ** 2).sum() / (len(q) - 2)
    # 1 / tau = D q^2, in logarithms: each point's own D, weighted alike
    own = -y - 2 * x
    log_d = np.average(own, weights=weight)
    scatter = (weight * (own - log_d) ** 2).sum() / (len(q) - 1)
    diffusion = float(np.exp(log_d)) * _SQUARE
    return Dispersion(
        exponent=float(-slope),
        exponent_err=float(np.sqrt(max(free, 1.0) / spread)),
        time_at_one=float(np.exp(level - slope * middle)),
        diffusion=diffusion,
        diffusion_err=diffusion * float(np.sqrt(max(scatter, 1.0) / weight.sum())),
        lowest=float(np.exp(own.min())) * _SQUARE,
        highest=float(np.exp(own.max())) * _SQUARE,
        scatter=float(scatter),
        points=len(q),
    )
