"""Fit the diffusion coefficient to the delay curve of each ring of q (docs/validation.md).

Usage: ``python fit.py RESULT.h5 [-o PNG]``. Prints a table and draws a picture.
The model is ``g2(q, tau) = a + b exp(-2 D q^2 tau)``.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

D_TRACKED = 0.40  # um^2/s, from tracking the particles of the same video
Q_RANGE = (2.1, 3.4)  # 1/um, where the record is long enough and the light strong enough


@dataclass(frozen=True)
class Ring:
    """The delay curve of one ring, and its fit.

    Attributes
    ----------
    color : int
    q : float [1/um]
        Mean over the ring.
    tau, g2 : (n,) float64 [s], [1]
        Where there are pairs.
    fit : (3,) float64
        a, b, D [um^2/s]; NaN where the fit failed.
    error : float [um^2/s]
        Standard error of D, as if the points of the curve were independent.
    """

    color: int
    q: float
    tau: np.ndarray
    g2: np.ndarray
    fit: np.ndarray
    error: float


def model(tau, q, a, b, D):
    """Return g2 of free diffusion; tau [s], q [1/um], D [um^2/s]."""
    return a + b * np.exp(-2 * D * q**2 * tau)


def fit_curve(tau, g2, q):
    """Fit one curve; return (a, b, D) and the standard error of D."""
    a, b = g2[-1], g2[0] - g2[-1]
    half = tau[np.argmin(np.abs(g2 - a - b / 2))]
    start = a, b, np.log(2) / (2 * q**2 * half)
    try:
        with warnings.catch_warnings(), np.errstate(over="ignore"):
            warnings.simplefilter("error", OptimizeWarning)  # given where no error can be told
            fit, covariance = curve_fit(lambda t, *p: model(t, q, *p), tau, g2, p0=start)
    except (RuntimeError, OptimizeWarning):
        return np.full(3, np.nan), np.nan  # a curve that does not decay
    return fit, np.sqrt(covariance[2, 2])


def read_rings(result, rings):
    """Read the last delay curves of a result file and fit them.

    Parameters
    ----------
    result : path
    rings : path
        rings.txt of prepare.py: color, mean q [1/um].

    Returns
    -------
    list of Ring
    """
    q_of_color = {int(row[0]): row[1] for row in np.loadtxt(rings, ndmin=2)}
    found = []
    with h5py.File(result, "r") as file:
        updates = [name for name in file["user"] if name.startswith("G2_results_at_")]
        last = file["user"][max(updates, key=lambda name: int(name.rpartition("_")[2]))]
        tau = last["delays"][:] / last["delays"].attrs["rate"]
        for color, q in sorted(q_of_color.items()):
            g2 = last[f"delay_curve_color_{color}"][:]
            good = np.isfinite(g2)
            found.append(Ring(color, q, tau[good], g2[good], *fit_curve(tau[good], g2[good], q)))
    return found


def table(rings):
    """Return what was fitted as text, one ring a line."""
    lines = ["color  q [1/um]  D [um^2/s]  error"]
    lines += [f"{ring.color:5}  {ring.q:8.2f}  {ring.fit[2]:10.3f}  {ring.error:5.3f}" for ring in rings]
    return "\n".join(lines)


def draw(rings, path):
    """Draw the curves with their fits, and D against q."""
    import matplotlib

    matplotlib.use("Agg")  # a file is wanted, and there may be no display
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    shade = plt.Normalize(rings[0].q, rings[-1].q)
    for ring in rings:
        color = plt.cm.viridis(0.92 * shade(ring.q))
        fine = np.geomspace(ring.tau[0], ring.tau[-1], 300)
        left.plot(ring.tau, ring.g2, "o", ms=2.6, color=color)
        left.plot(fine, model(fine, ring.q, *ring.fit), lw=1, color=color, label=f"{ring.q:.2f}")
        right.errorbar(ring.q, ring.fit[2], ring.error, fmt="o", ms=5, capsize=3, color=color)
    left.set(xscale="log", xlabel=r"delay $\tau$ [s]", ylabel=r"$g_2(q, \tau)$")
    ticks = 0.05, 0.1, 0.2, 0.5, 1, 2
    left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    left.xaxis.set_minor_locator(plt.NullLocator())
    left.set_title(r"Delay curves (points) and fits $a + b\,\exp(-2Dq^2\tau)$ (lines)", fontsize=11)
    left.legend(title=r"mean q [1/$\mu$m]", fontsize=8, title_fontsize=8, ncols=2, frameon=False)
    right.axvspan(*Q_RANGE, color="0.9", label=r"q from 2.1 to 3.4 1/$\mu$m")
    right.axhline(D_TRACKED, color="crimson", lw=1.2, label=r"0.40 $\mu$m$^2$/s, particle tracking")
    right.set(xlabel=r"q [1/$\mu$m]", ylabel=r"D [$\mu$m$^2$/s]", ylim=(0, None))
    right.set_title("Diffusion coefficient of each ring, standard error of the fit", fontsize=11)
    right.legend(fontsize=9, frameon=False, loc="lower left")
    figure.savefig(path, dpi=110)


def main():
    """Print the table, draw the picture."""
    parser = argparse.ArgumentParser(description="Fit the diffusion coefficient to the delay curve of each ring of q.")
    parser.add_argument("result", metavar="RESULT.h5", type=Path)
    parser.add_argument("-o", metavar="PNG", dest="picture", help="draw the curves and D against q")
    parser.add_argument("--rings", metavar="TXT", type=Path, help="rings.txt of prepare.py [the one beside RESULT.h5]")
    args = parser.parse_args()
    try:
        rings = read_rings(args.result, args.rings or args.result.with_name("rings.txt"))
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"fit.py: {args.result} and its rings cannot be read: {error}")
    print(table(rings))
    if args.picture:
        draw(rings, args.picture)
        print(f"picture: {args.picture}")


if __name__ == "__main__":
    main()
