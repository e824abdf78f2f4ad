"""``check``: a mask with its colour files, by the rules that a run has for them."""

from pathlib import Path

import numpy as np

from parcorana.detector import masks
from parcorana.errors import ConfigError, put, warn
from parcorana.tools.maskcolor.average import first_events


def check(args):
    """Check a mask with its colour files by every rule of docs/definitions.md; print their numbers."""
    paths = {key: getattr(args, key) for key in ("mask", "testmask", "color", "finecolor")}
    if args.basename:
        for key, path in paths.items():
            own = f"{args.basename}_{key}_ndarrCoords.npy"
            paths[key] = path or (own if key == "mask" or Path(own).is_file() else None)
    if not paths["mask"]:
        raise ConfigError("say which files to check: -b PREFIX or --mask FILE")
    mask, bad = masks.load_mask(paths["mask"]), None
    if args.shape:
        masks.check_shape("mask", paths["mask"], mask.shape, args.shape, "--shape")
    if args.dataset:
        data, statistics = first_events(args)
        masks.check_shape("mask", paths["mask"], mask.shape, data, f"the data of {args.dataset!r}")
        if statistics.events:
            bad = statistics.gaps() | statistics.broken()
            _warn_of_gaps(mask, statistics)
    shape = masks.shown_shape(mask.shape)
    put(f"mask: {paths['mask']}: {shape}, {np.count_nonzero(mask):,} of {mask.size:,} elements to process")
    if warning := masks.other_way_round(mask, bad):
        warn(f"{warning}")
    if paths["testmask"]:
        test = masks.load_mask(paths["testmask"], "testmask")
        masks.check_shape("testmask", paths["testmask"], test.shape, mask.shape, "the mask")
        put(f"testmask: {paths['testmask']}: {np.count_nonzero(test):,} elements to process")
    color = fine = None
    if paths["color"]:
        color = masks.load_color(paths["color"], mask)
        _print_colors("color", paths["color"], color, mask)
    if paths["finecolor"]:
        fine = masks.load_color(paths["finecolor"], mask, "finecolor")
        masks.check_finecolor(paths["finecolor"], np.ones_like(fine) if color is None else color, fine)
        _print_colors("finecolor", paths["finecolor"], fine, mask)
    if color is not None and (warning := masks.leaves_out_colored(mask, color) or masks.few_colored(color[mask])):
        warn(f"{warning}")
    put("all right")


def _warn_of_gaps(mask, statistics):
    """Say how many included elements have no data in the first events: a run would take their values for counts."""
    for where, what in (
        (statistics.gaps(), f"at {statistics.top:,}, the largest value of their type, or at -1 or the like"),
        (statistics.broken(), "not finite, for which a run takes an event for bad"),
    ):
        if number := np.count_nonzero(mask & where):
            warn(
                f"{number:,} of the elements to process are {what}, in the first {statistics.events} events: "
                "leave them out, as start does",
            )


def _print_colors(key, path, color, mask):
    inside = color[mask]
    numbers, sizes = np.unique(inside[inside > 0], return_counts=True)
    put(f"{key}: {path}: {len(numbers)} colours, {np.count_nonzero(inside == 0):,} included elements with colour 0")
    if len(numbers):
        shown = [f"{size:,} of {number}" for number, size in zip(numbers, sizes, strict=True)]
        more = f", and {len(shown) - 20} more" if len(shown) > 20 else ""
        put(f"  elements: {', '.join(shown[:20])}{more}")
    outside = len(np.unique(color[color > 0])) - len(numbers)
    if outside:
        put(f"  {outside} colours have no included element: their curves will be NaN")
