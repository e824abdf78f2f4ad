"""``plot``: a mask, colours or an average as a picture."""

from pathlib import Path

import numpy as np

from parcorana.detector import masks
from parcorana.detector.images import check_both, load_layout, segments_apart
from parcorana.tools.maskcolor import files


def plot(args):
    """Draw a file over the average."""
    from parcorana.view import pictures

    prefix, kind, coords = files.parts_of(args.input)
    array = masks.load_numbers("-i", args.input)
    is_image = coords == "img"
    layout = _layout_of(args, prefix)
    if is_image and layout is not None and layout.shape != array.shape:
        layout = None
    if not is_image and (layout is None or layout.iX.shape != array.shape):
        if layout is not None and args.iX:
            masks.check_shape("-i", args.input, array.shape, layout.iX.shape, f"{args.iX!r}")
        layout = segments_apart(array.shape)
    average = _average_of(args, prefix, "img" if is_image else "ndarr", array.shape)
    covered = layout.covered() if layout is not None else np.ones(array.shape, bool)
    if not is_image:
        array = layout.image(array)
        average = layout.image(average) if average is not None else None
    kind = kind or _kind_of(array)
    with pictures.shown(args.output) as figure:
        pictures.draw_elements(figure, kind, array, average, covered, Path(args.input).name)
    if args.output:
        print(args.output)


def _layout_of(args, prefix):
    """Return the layout of the index files that are named, or that have the same prefix; None if there are none."""
    check_both(args.iX, args.iY)
    if args.iX:
        return load_layout(args.iX, args.iY)
    if prefix is not None and Path(f"{prefix}_iX.npy").is_file() and Path(f"{prefix}_iY.npy").is_file():
        return load_layout(f"{prefix}_iX.npy", f"{prefix}_iY.npy")
    return None


def _average_of(args, prefix, coords, shape):
    path = args.avg or f"{prefix}_avg_{coords}Coords.npy"
    if not args.avg and not Path(path).is_file():
        return None
    average = masks.load_numbers("--avg", path)
    if args.avg:
        masks.check_shape("--avg", path, average.shape, shape, f"{args.input!r}")
    return average.astype(np.float64) if average.shape == shape else None


def _kind_of(array):
    if array.dtype.kind == "f":
        return "avg"
    return "mask" if array.max() <= 1 and array.min() >= 0 else "color"
