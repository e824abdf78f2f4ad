"""Are the errors of curves and fits right? ``python bench/errors.py [--seeds 200] [--scenario slow fast ...]``.

Speckle is simulated again and again, with another seed each time, and correlated by the shipped classes. Where errors
are right, (measured - true) / error has the standard deviation 1 and the mean 0 over the seeds. (Where what is measured
is not the true value on the average, the standard deviation is about that average.) The table has both for every class,
normalization and `frame_norm`, over all colours: the median of the delays up to a twentieth of the run, the worst of
them in brackets; the same of the decay time and the contrast of the fits. ``*`` marks what is outside of

    curves: standard deviation 0.8 to 1.25; fits: 0.75 to 1.35; mean -0.3 to 0.3,

by more than two standard errors of so many seeds.

A normalization that is too low by more than its error has a mean below that. What the file itself says of it
(`too_low_by`, here of each delay) is added in the column "mean, bias added".

The truth is that of the simulator; for multi-tau, of the means over 2^L pulses that it correlates. Ctrl-C ends with the
table of what has been run.
"""

import argparse
import logging
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from parcorana import make_multitau_delays, run
from parcorana.correlation.delays import multitau_levels
from parcorana.curves.bias import bias_of
from parcorana.curves.curvefile import read_curves
from parcorana.events.brownian import Brownian
from parcorana.events.protocol import Share
from parcorana.events.simulated import SimulatedSource, colors, true_g2
from parcorana.files.datasets import write_dataset
from parcorana.fits import Fit
from parcorana.multitau import MultiTauG2
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed
from parcorana.view.pictures import PALETTE, shown

PULSES, SIDE, RINGS, SECTORS, LARGEST = 2000, 72, 3, 6, 448
AGES, STRETCHES = 128, 32  # most bins of two times; time blocks
PART = 20  # of the run, up to which delays are judged
FEWEST = 50  # pairs of a delay that is judged: of missing pulses multi-tau has few
PAINTS = {"color": PALETTE[0], "finecolor": PALETTE[1], "pixel": PALETTE[2]}
BEGIN, END = "<!-- errors.py -->", "<!-- end -->"  # of the place in a page
CHANCE = 2  # standard errors beyond these that are no fault
CURVES, FITS, MEAN = (0.8, 1.25), (0.75, 1.35), 0.3
NOISE = 0.1  # relative, of the monitor
SCENARIOS = {
    "slow": {"tau": 100},
    "fast": {"tau": 8},
    "0.01 photons": {"tau": 20, "poisson": 1, "mean": 0.01},
    "0.1 photons": {"tau": 20, "poisson": 1, "mean": 0.1},
    "beam": {"tau": 20, "sase": 0.5},
    "gaps": {"tau": 20, "gaps": 0.1},
}
FORMS = {
    "accumulator": G2IncrementalAccumulator,
    "windowed": G2IncrementalWindowed,
    "at end": G2atEnd,
    "multi-tau": MultiTauG2,
    "two times": TwoTime,
}
#: Form, normalization, frame_norm, errors: what is looked at everywhere, and what with pulses that vary.
EVERYWHERE = [
    *(("accumulator", normalization, None, "auto") for normalization in ("color", "finecolor", "pixel")),
    ("accumulator", "finecolor", None, "pixels"),
    ("accumulator", "pixel", None, "pixels"),
    ("accumulator", "color", None, "time blocks"),
    ("multi-tau", "finecolor", None, "time blocks"),
    ("accumulator", "color", "mean", "auto"),
    ("windowed", "color", None, "auto"),
    ("windowed", "pixel", None, "auto"),
    ("at end", "finecolor", None, "auto"),
    ("multi-tau", "color", None, "auto"),
    ("multi-tau", "finecolor", None, "auto"),
    ("two times", "color", None, "auto"),
]
WITH_BEAM = [
    ("accumulator", "color", "color", "auto"),
    ("accumulator", "color", "monitor", "auto"),
    ("accumulator", "finecolor", "mean", "auto"),
    ("accumulator", "pixel", "monitor", "auto"),
    ("windowed", "color", "mean", "auto"),
    ("multi-tau", "color", "mean", "auto"),
    ("multi-tau", "color", "monitor", "auto"),
]


class TellsBias:
    """Writes of each delay what its normalization gets wrong, where the file has the largest of all delays."""

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        super().viewerPublishReduced(counts, relsec, reduced, h5UserGroup)
        sums = {name.removeprefix("parcorana."): array for name, array in reduced.items()}
        bias = bias_of(self.color_sums, sums, counts, self.delays, int(sums["events"][0]), not sums["not_whole"].any())
        group = h5UserGroup[max(h5UserGroup)]
        write_dataset(group, "too_low", bias.low, "1", "part of g2 by which each curve is too low, an estimate")


def made(name, form):
    """Return a class of that name."""
    return type(name, (form,) if form is TwoTime else (TellsBias, form), {})


def wanted(scenario):
    """Return what is looked at: class name to (form, normalization, frame_norm, errors)."""
    listed = EVERYWHERE + (WITH_BEAM if "sase" in SCENARIOS[scenario] else [])
    return {f"Variant{k}": each for k, each in enumerate(listed)}


def truth(options, delays, form):
    """Return g2 that is expected, (D,): of multi-tau that of the means over 2^L pulses."""
    g2 = true_g2(options, delays)
    if form == "multi-tau":
        width, rate = 2.0 ** multitau_levels(delays, 8), 2 / options.tau
        g2 = 1 + (g2 - 1) * (np.sinh(width * rate / 2) / (width * np.sinh(rate / 2))) ** 2
    return g2


def maps():
    """Return colours, rings, and sectors of them as fine colours."""
    color = colors({"shape": (SIDE, SIDE), "colors": RINGS})
    y, x = np.indices(color.shape) - (SIDE - 1) / 2
    sector = np.floor((np.arctan2(y, x) / (2 * math.pi) + 0.5) * SECTORS).astype(int) % SECTORS
    return color, 1 + (color - 1) * SECTORS + sector


def simulate(folder, options):
    """Write a run as HDF5: frames, their pulses, a monitor of the pulses with noise of its own."""
    source = SimulatedSource(options, Share())
    light = np.array([source.pulse(pulse) for pulse in source.pulses])
    noise = 1 + NOISE * np.random.default_rng(options.seed).standard_normal(len(light))
    with h5py.File(folder / "frames.h5", "w") as file:
        shape = len(source.pulses), *options.shape
        frames = file.create_dataset("run/frames", shape, source.dtype)
        for k, pulse in enumerate(source.pulses.tolist()):
            frames[k] = source.frame(pulse)
        file["run/counter"], file["run/monitor"] = source.pulses, light * noise
    source.close()


def measure(task):
    """Simulate and correlate one run; return of each variant the pulls of curves and fits."""
    logging.getLogger("parcorana").setLevel(logging.ERROR)
    scenario, seed = task
    gaps = SCENARIOS[scenario].get("gaps", 0)
    given = {"shape": (SIDE, SIDE), "events": round(PULSES * (1 - gaps)), "seed": seed, "modes": 1}
    options = Brownian.of(given | SCENARIOS[scenario])
    variants, found = wanted(scenario), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, options)
        for key, array in zip(("color", "fine", "mask"), (*maps(), np.ones((SIDE, SIDE), np.int8)), strict=True):
            np.save(folder / f"{key}.npy", array)
        # stretches of so short a run end with updates
        for blocks, update in ((False, 0), (True, PULSES // STRETCHES)):
            some = {which: each for which, each in variants.items() if (each[3] == "time blocks") is blocks}
            if not some:
                continue
            correlated(folder, some, update)
            with h5py.File(folder / "out.h5") as file:
                for which, (form, *_) in some.items():
                    updates = file["user"][which]
                    found[which] = off(updates[max(updates)], options, form)
    return scenario, found


def correlated(folder, variants, update):
    """Run a job of several classes, with an update every so many events."""
    user = {"color": str(folder / "color.npy"), "finecolor": str(folder / "fine.npy"), "save_arrays": False}
    for which, (form, normalization, frame_norm, errors) in variants.items():
        if form == "two times":
            user[which] = {"ages": AGES}
            continue
        user[which] = {"normalization": normalization, "frame_norm": frame_norm, "errors": errors}
        user[which]["fit"] = None if update else "single"  # updates would have one each
    system = {
        "dataset": f"h5={folder / 'frames.h5'}",
        "mask": str(folder / "mask.npy"),
        "values": {"monitor": "run/monitor"},
        "times": PULSES // 2,
        "delays": np.array(make_multitau_delays(LARGEST)),
        "update": update,
        "user_class": [made(which, FORMS[form]) for which, (form, *_) in variants.items()],
        "h5output": str(folder / "out.h5"),
        "overwrite": True,
        "threads": 1,
        "verbosity": "ERROR",
    }
    run(system, user)


def off(update, options, form):
    """Return (measured - true, error): of curves and with the bias added (2, C, D), of tau and contrast (2, C)."""
    expected = truth(options, update["delays"][:], form)
    if form == "two times":
        names = ("g2_age_mean_color", "g2_age_mean_err_color")
        g2, error = (np.array([update[f"{name}_{c + 1}"][:] for c in range(RINGS)]) for name in names)
        return {"curve": np.array([g2 - expected, error])}
    curves = read_curves(update).values()
    g2, error = (np.array([getattr(curve, name) for curve in curves]) for name in ("g2", "error"))
    error = np.where((update["delay_counts"][:] >= FEWEST) & (error > 0), error, np.nan)
    one = {"curve": np.array([g2 - expected, error])}
    one["bias added"] = np.array([g2 / (1 - update["too_low"][:]) - expected, error])
    if "fits" not in update:
        return one
    fits = Fit.read(update["fits"]).values()
    for name, true in (("tau", options.tau), ("contrast", options.contrast)):
        values = np.array([[getattr(fit, name), getattr(fit, f"{name}_err")] for fit in fits]).T
        one[name] = values - np.array([[true], [0.0]])
    return one


def spread(values):
    """Return standard deviation about what is measured on the average, and mean about the truth, in errors, (D,).

    Of (seeds, 2, C, D), as `off` returns; NaN of too few.
    """
    deviation, error = np.moveaxis(values, 1, 0).reshape(2, -1, values.shape[-1])
    there = np.isfinite(deviation / error)
    many = there.sum(axis=0) >= max(8, len(error) // 2)
    deviation, error = (np.where(there & many, each, np.nan)[:, many] for each in (deviation, error))
    std, mean = np.full((2, len(many)), np.nan)
    std[many] = np.nanstd((deviation - np.nanmedian(deviation, axis=0)) / error, axis=0)
    mean[many] = np.nanmean(deviation / error, axis=0)
    return std, mean


def cell(values, limits, seeds, ratio=False):
    """Return the median and the value that is worst, marked where one is outside by more than chance makes it."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "none"
    worst = values[np.argmax(np.abs(np.log(values)) if ratio else np.abs(values))]
    # of as many runs; colours count as one, for all may scatter alike
    low, high = limits if ratio else (-limits, limits)
    by = CHANCE / math.sqrt(seeds)
    low, high = (low * (1 - by / math.sqrt(2)), high * (1 + by / math.sqrt(2))) if ratio else (low - by, high + by)
    mark = "" if low <= values.min() and values.max() <= high else " *"
    if len(values) == 1:
        return f"{worst:.2f}{mark}"
    return f"{np.median(values):.2f} ({worst:.2f}){mark}"


def rows(scenario, collected, only=None):
    """Return a row of the table for each variant, or for those named."""
    delays = np.array(make_multitau_delays(LARGEST))
    for which, (form, normalization, frame_norm, errors) in wanted(scenario).items():
        if only is not None and which not in only:
            continue
        several = collected[which]
        window = PULSES // 2 if form in ("windowed", "at end") else PULSES
        judged = delays <= window // PART
        row = [scenario, form, normalization, frame_norm or "", errors]
        for name in ("curve", "bias added", "tau", "contrast"):
            values = several.get(name, np.full((1, 2, RINGS, len(delays)), np.nan))
            of_curve = values.ndim > 3
            std, mean = spread(values[..., judged] if of_curve else values[..., None])
            row += [cell(std, CURVES if of_curve else FITS, len(values), True)] if name != "bias added" else []
            row.append(cell(mean, MEAN, len(values)))
        row.append(f"{100 * np.isfinite(values).mean():.0f}%" if "tau" in several else "")
        yield row


HEAD = ["scenario", "class", "normalization", "frame_norm", "errors"]
HEAD += ["curve: std", "mean", "mean, bias added", "tau: std", "mean", "contrast: std", "mean", "fits"]


def short(found):
    """Return two tables, with what they are: standard deviations of curves, and of decay times and contrasts."""
    names = {which: None for several in found for which in wanted(several)}
    seeds = min(len(one["curve"]) for several in found.values() for one in several.values())
    tables = {
        f"Standard deviations of curves, with {seeds} seeds, the worst of their delays in brackets": [5],
        "Of decay times / contrasts of their fits": [8, 10],
    }
    said = []
    for what, columns in tables.items():
        lines = []
        for which in names:
            of = {name: row for name, several in found.items() for row in rows(name, several, [which])}
            about = next(iter(of.values()))[1:5]
            cells = [" / ".join(of[name][k] for k in columns) if name in of else "" for name in found]
            if set("".join(cells)) - set("none/ "):
                lines.append([*about, *cells])
        said += [f"{what}:", table(lines, [*HEAD[1:5], *found])]
    return "\n\n".join(said)


def put(path, text):
    """Write into a file; into a page, in the place that is there for it."""
    before, _, rest = (path.read_text(encoding="utf-8") if path.exists() else "").partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2] or chr(10)}", encoding="utf-8")


def table(rows, head):
    """Return rows as a table of Markdown, as wide as its cells."""
    rows = [head, *rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = [
        "| " + " | ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def collect(scenarios, seeds, processes):
    """Yield (scenario, {variant: {name: (2, C, ...)}}) of some seeds, until somebody interrupts."""
    tasks = [(scenario, seed) for seed in seeds for scenario in scenarios]
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            for k, one in enumerate(pool.imap_unordered(measure, tasks), 1):
                yield one
                if sys.stderr.isatty() or k == len(tasks):
                    minutes = (time.perf_counter() - start) / 60
                    print(f"\r{k} of {len(tasks)} runs, {minutes:.1f} minutes ", end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.kill()  # a job that is asked to stop does so in its own time
    print(file=sys.stderr)


def together(several):
    """Return {scenario: {variant: {name: (seeds, 2, C, ...)}}} of what `collect` yields."""
    found = {}
    for scenario, one in several:
        found.setdefault(scenario, []).append(one)
    return {
        scenario: {
            which: {name: np.array([one[which][name] for one in runs]) for name in runs[0][which]} for which in runs[0]
        }
        for scenario, runs in found.items()
    }


def draw(found, path):
    """Draw the standard deviation over the delay, of errors as they are and as if pixels were independent."""
    delays = np.array(make_multitau_delays(LARGEST))
    judged = delays <= PULSES // PART
    with shown(path, size=(10, 6)) as figure:
        panels = figure.subplots(2, 3, sharex=True, sharey=True).flat
        for axes, (scenario, several) in zip(panels, found.items(), strict=False):
            for which, (form, normalization, frame_norm, errors) in wanted(scenario).items():
                if form == "accumulator" and frame_norm is None and errors in ("auto", "pixels"):
                    std = spread(several[which]["curve"][..., judged])[0]
                    style = "o-" if errors == "auto" else "x--"
                    label = f"{normalization!r}" + ", as if independent" * (errors == "pixels")
                    axes.plot(delays[judged], std, style, ms=4, lw=1, color=PAINTS[normalization], label=label)
            axes.axhspan(*CURVES, color="0.9", zorder=0)
            axes.set(xscale="log", yscale="log", title=scenario, ylim=(0.4, 7))
            axes.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
            axes.minorticks_off()
        figure.supxlabel("delay [pulses]")
        figure.supylabel("standard deviation of (measured - true) / error")
        axes.legend(fontsize=7)


def main():
    """Print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="runs of each scenario (default: 200)")
    parser.add_argument("--scenario", nargs="*", choices=[*SCENARIOS], default=[*SCENARIOS], help="only these")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one for each core")
    parser.add_argument("--keep", type=Path, metavar="FILE.npy", help="file for what was found; if it is there, use it")
    parser.add_argument(
        "--out",
        type=Path,
        help="file for short tables, of standard deviations alone; or a page with a place for them",
    )
    parser.add_argument("--picture", type=Path, help="file for a picture of standard deviations over the delay")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells have ignored of what is in the background
    if there := args.keep and args.keep.exists():
        print(f"{args.keep} is there: nothing is run", file=sys.stderr)
        found = np.load(args.keep, allow_pickle=True).item()
    else:
        found = together(collect(args.scenario, range(1, args.seeds + 1), args.processes))
    found = {scenario: found[scenario] for scenario in SCENARIOS if scenario in found}
    if args.keep and not there:
        np.save(args.keep, found)
    print(table([row for scenario in found for row in rows(scenario, found[scenario])], HEAD))
    if args.out:
        put(args.out, short(found))
    if args.picture:
        draw(found, args.picture)


if __name__ == "__main__":
    main()
