"""``plot``: a mask, colours or an average as a picture."""

from pathlib import Path

import numpy as np

from parcorana.detector import colortable, masks
from parcorana.detector.images import check_both, is_data, load_layout, segments_apart
from parcorana.errors import drawing, put, warn
from parcorana.tools.maskcolor import files

_KINDS = {"avg": "a frame or an average", "mask": "a mask", "color": "colours"}


def plot(args):
    """Draw a file over the average."""
    from parcorana.view import pictures

    prefix, kind, coords = files.parts_of(args.input)
    array = masks.load_numbers("-i", args.input)
    is_image = coords == "img"
    layout = _layout_of(args, prefix)
    if is_image and layout is not None and layout.shape != array.shape:
        _check_named(args, array.shape, layout.shape, "image that they make")
        layout = None
    if not is_image and (layout is None or layout.iX.shape != array.shape):
        if layout is not None:
            _check_named(args, array.shape, layout.iX.shape, "index files")
        layout = segments_apart(array.shape)
    if kind is None:
        kind = _kind_of(array)
        put(f"{args.input}: drawn as {_KINDS.get(kind, kind)}: its name does not say what it is")
    coords = "img" if is_image else "ndarr"
    average = _beside(args.avg, "--avg", prefix, "avg", coords, array.shape, args.input)
    mask = _beside(None, "mask", prefix, "mask", coords, array.shape, args.input)
    covered = layout.covered() if layout is not None else np.ones(array.shape, bool)
    as_image = (lambda values: values) if is_image else layout.image
    shown = array if kind == "avg" else average
    scaled, note = None, ""
    if shown is not None:
        shown, scaled, note = _to_show(shown, mask, covered if is_image else np.ones(array.shape, bool))
        shown, scaled = as_image(shown), as_image(scaled)
    with drawing(args.input), pictures.shown(args.output) as figure:
        image = shown if kind == "avg" else as_image(array)
        pictures.draw_elements(
            figure, kind, image, shown, covered, Path(args.input).name, scaled, note, _names(kind, prefix)
        )
    if args.output:
        put(args.output)


def _names(kind, prefix):
    """Return what names a colour: its number, and what the table beside it says."""
    table = colortable.find_table(f"{prefix}.npy", log=put) if kind == "color" and prefix is not None else None
    if table is None:
        return str

    def named(color):
        return ": ".join(filter(None, (str(color), table.name(color))))

    return named


def _check_named(args, shape, wanted, what):
    """Refuse index files of another shape if they were named, else say that they are not used."""
    if args.iX:
        masks.check_shape("-i", args.input, shape, wanted, f"the {what} {args.iX!r}, {args.iY!r}")
    warn(f"the index files beside {args.input!r} are of another shape, and are not used")


def _to_show(values, mask, there):
    """Return an average with NaN where it is none, what its scale goes by, and a note on both."""
    data = is_data(values)
    blank = np.count_nonzero(there & ~data)
    scaled = data & there & (mask != 0 if mask is not None else True)
    if not scaled.any():
        scaled = data & there
    notes = [f"without data in {blank:,} elements, left blank"] if blank else []
    if outside := np.count_nonzero(there & data & ~scaled):
        notes.append(f"scaled without the {outside:,} more that the mask leaves out")
    note = f"\nintensity: {'; '.join(notes)}" if notes else ""
    return np.where(data, values, np.nan).astype(np.float64), scaled, note


def _layout_of(args, prefix):
    """Return the layout of the index files that are named, or that have the same prefix; None if there are none."""
    check_both(args.iX, args.iY)
    if args.iX:
        return load_layout(args.iX, args.iY)
    if prefix is not None and Path(f"{prefix}_iX.npy").is_file() and Path(f"{prefix}_iY.npy").is_file():
        return load_layout(f"{prefix}_iX.npy", f"{prefix}_iY.npy")
    return None


def _beside(path, option, prefix, kind, coords, shape, name):
    """Return the average or the mask that is named, or that has the same prefix; None if there is none."""
    if path:
        array = masks.load_numbers(option, path)
        masks.check_shape(option, path, array.shape, shape, f"{name!r}")
        return array
    path = f"{prefix}_{kind}_{coords}Coords.npy"
    if prefix is None or not Path(path).is_file():
        return None
    array = masks.load_numbers(option, path)
    if array.shape == shape:
        return array
    warn(f"{path!r} is of another shape than {name!r}, and is not used")
    return None


def _kind_of(array):
    if array.dtype.kind == "f" or not is_data(array).all() or array.min() < 0:
        return "avg"
    return "mask" if array.max() <= 1 else "color"
