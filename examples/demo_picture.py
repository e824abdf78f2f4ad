"""Draw the demo's delay curves over the true g2, and say how close they are.

``python examples/demo_picture.py`` after the run that examples/demo.py describes.
"""

import argparse
import json
import runpy
import sys
from pathlib import Path

import h5py
import numpy as np

from parcorana.errors import ConfigError
from parcorana.events.simulated import Brownian, true_g2
from parcorana.view.pictures import delay_axis, paints, shown

# Three speckles wide. Errors come out about a tenth too small, as what spans two tiles is
# missed; with larger tiles there are so few that the errors themselves scatter.
TILE = 8


def standard_errors(result, mask, color, number):
    """Compute the standard errors of one delay curve from the result's full arrays.

    Neighbouring elements see the same speckle, so elements do not count as
    independent; tiles of a few speckles nearly do. The curve is a ratio of
    sums over tiles, ``n N sum(G2) / (sum(IP) sum(IF))``; to first order what one
    tile adds to its relative error is its share of G2 less its shares of IP and
    IF plus its share of the elements (Cochran, Sampling Techniques, 1977, ch. 6).

    Parameters
    ----------
    result : h5py.Group
        ``/user/G2_results_at_...`` with its arrays, `normalization` 'color'.
    mask, color : ndarray of the detector's shape
    number : int
        Which colour.

    Returns
    -------
    (D,) float64 ndarray
        NaN where there is no curve.
    """
    chosen = (mask > 0) & (color == number) & (result["saturated"][:] == 0)
    *image, row, column = np.nonzero(chosen)
    place = np.stack([*image, row // TILE, column // TILE])
    tile = np.unique(place, axis=1, return_inverse=True)[1].ravel()
    tiles = tile.max() + 1

    def shares(values):
        sums = np.bincount(tile, values, tiles)
        with np.errstate(invalid="ignore"):
            return sums / sums.sum()

    errors = []
    for delay in result["delays"][:]:
        G2, IP, IF = (shares(result[f"{name}/delay_{delay:06d}"][:][chosen]) for name in ("G2", "IP", "IF"))
        parts = G2 - IP - IF + shares(np.ones(len(tile)))
        errors.append(np.sqrt(np.sum(parts**2) * tiles / (tiles - 1)))
    return np.array(errors) * result[f"delay_curve_color_{number}"][:]


def read(path):
    """Read a result file of the demo.

    Returns
    -------
    dict
        'delays' (D,) [pulses], 'rate' [pulses/s], 'options' of the simulator,
        'curves' {colour: (g2, standard errors, true g2)}, and 'read',
        'processed': numbers of events.

    Raises
    ------
    ConfigError
        Not such a file.
    """
    try:
        with h5py.File(path, "r") as file:
            system, user = file["system"], file["user"]
            params = json.loads(system["system_params"].asstr()[()])
            options = Brownian.of(params["dataset"])
            name = max((key for key in user if key.startswith("G2_results_at_")), default=None)
            if name is None or "G2" not in user[name]:
                raise ConfigError(f"{path}: no full arrays to make error bars of; run with 'save_arrays': 'last'")
            result, mask, color = user[name], system["mask"][:], system["color"][:]
            curves = {}
            for number in np.unique(color[color > 0]):
                g2 = result[f"delay_curve_color_{number}"][:]
                errors = standard_errors(result, mask, color, number)
                curves[int(number)] = g2, errors, true_g2(options, result["delays"][:], int(number))
            return {
                "delays": result["delays"][:],
                "rate": params["rate"],
                "options": options,
                "curves": curves,
                "read": int(system["accounting"].attrs["read"]),
                "processed": int(system["accounting"].attrs["processed"]),
            }
    except (OSError, KeyError) as error:
        raise ConfigError(f"{path}: it is not a readable result of the demo: {error}") from None


def draw(data, path):
    """Draw curves over the true ones, and below their distance in standard errors."""
    with shown(path, size=(8, 7.2)) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        paint_of = paints(data["curves"])
        delays, options = data["delays"], data["options"]
        fine = np.geomspace(delays[0] * 0.8, delays[-1] * 1.25, 300)
        handles = []
        for number, (g2, errors, truth) in data["curves"].items():
            paint = paint_of[number]
            tau = options.tau / number**2
            top.plot(fine, true_g2(options, fine, number), color=paint, lw=1.2, alpha=0.7, zorder=1)
            label = f"ring {number}: \N{GREEK SMALL LETTER TAU} = {tau:.3g} pulses ({tau / data['rate']:.3g} s)"
            dots = {"fmt": "o", "ms": 4, "color": paint, "capsize": 2, "elinewidth": 1, "zorder": 2}
            handles.append(top.errorbar(delays, g2, errors, label=label, **dots))
            bottom.plot(delays, (g2 - truth) / errors, "o-", ms=3, lw=0.8, color=paint)
        model = "1 + \N{GREEK SMALL LETTER BETA} exp(\N{MINUS SIGN}2 d / \N{GREEK SMALL LETTER TAU})"
        handles.append(*top.plot([], [], color="0.4", lw=1.2, label=f"true: {model}"))
        top.set_ylabel("g\N{SUBSCRIPT TWO}(d)")
        top.legend(handles=handles, frameon=False, loc="upper right", fontsize=9)
        # room for the legend
        low, high = top.get_ylim()
        top.set_ylim(low, high + 0.1 * (high - low))
        title = f"Embedded speckle simulator, {data['processed']:,} events: delay curves and true g\N{SUBSCRIPT TWO}"
        top.set_title(title, fontsize=11)
        bottom.axhspan(-1, 1, color="0.9", zorder=0)
        for level in (-3, 0, 3):
            bottom.axhline(level, color="0.6", lw=0.8, ls="-" if level == 0 else "--", zorder=0)
        bottom.set_ylabel("(measured \N{MINUS SIGN} true)\n/ standard error")
        reach = max(3.8, *np.abs(bottom.get_ylim()))
        bottom.set_ylim(-reach, reach)
        delay_axis(bottom, data["rate"], above=top)
        bottom.set_xlim(fine[0], fine[-1])


def main(argv=None):
    """Run the command; return the exit status."""
    config = runpy.run_path(str(Path(__file__).with_name("demo.py")))
    default = config["system_params"]["h5output"]
    parser = argparse.ArgumentParser(description="Draw the demo's delay curves over the true g2.")
    parser.add_argument("result", nargs="?", metavar="RESULT", default=default, help="result file (%(default)s)")
    parser.add_argument("-o", metavar="PNG", dest="png", help="picture (RESULT with the suffix .png)")
    args = parser.parse_args(argv)
    png = args.png or str(Path(args.result).with_suffix(".png"))
    try:
        data = read(args.result)
        draw(data, png)
    except (ConfigError, OSError) as error:
        print(f"demo_picture: {error}", file=sys.stderr)
        return 2
    off = np.abs([(g2 - truth) / errors for g2, errors, truth in data["curves"].values()])
    # Over 48 seeds the farthest of the 120 points, many of them strongly correlated, was at 3.0 on average.
    far = max(np.nanmax(np.abs(g2 - truth)) for g2, _, truth in data["curves"].values())
    print(
        f"Correlated {data['processed']:,} of {data['read']:,} events: {len(data['curves'])} colours,"
        f" {len(data['delays'])} delays; result {args.result}, picture {png}."
    )
    # A run cut short has no pairs, so no point, at its largest delays.
    off = off[np.isfinite(off)]
    print(
        f"The curves lie on the true g2 within {far:.3f}: of {off.size} points {np.mean(off < 1):.0%} within"
        f" 1 standard error (68% expected), the farthest at {off.max():.1f} (3 expected)."
    )
    print(
        "Next: '. .venv/bin/activate', copy examples/demo.py, set dataset, mask and colours to yours, run"
        " 'python myconfig.py' to check it; docs/config.md has every key."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
