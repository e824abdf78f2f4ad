"""Colours and fine colours as another program has made them."""

from dataclasses import replace

import numpy as np

from parcorana.detector import colors, maps, masks
from parcorana.errors import ConfigError, put, warn
from parcorana.tools.maskcolor import files
from parcorana.tools.maskcolor.rings import as_ndarray, named

_ANY = "partition"  # heads the table of what stands for nothing that the file tells


def taken(args, given, mask, geometry):
    """Return a partition in the detector's shape, and say what is odd about it.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    given : parcorana.detector.maps.Partition
    mask : bool array of the detector's shape
    geometry : parcorana.detector.geometry.Geometry

    Returns
    -------
    parcorana.detector.maps.Partition
        With fine colours, above 0 wherever there is a colour.

    Raises
    ------
    ConfigError
        Another shape, or the file of the fine partition is none.
    """
    shape = mask.shape
    for note in given.notes:
        warn(f"{note}")
    color = as_ndarray(args, given.source, given.color, shape, geometry)
    fine, source = given.fine, given.source
    if args.fine_by:
        fine, source = _fine(args.fine_by), args.fine_by
    number = len(np.unique(color[color > 0]))
    put(f"colors: the {number} partitions of {given.source}, numbered as there; -c and --finecolor say nothing here")
    if fine is None:
        put(f"finecolor: {args.by} has no finer partition, so the colours are the fine colours; --fine-by names one")
        fine = color
    else:
        fine = as_ndarray(args, source, fine, shape, geometry)
    without = (color > 0) & (fine == 0)
    if without.any():
        warn(
            f"{np.count_nonzero(without):,} elements have a colour and no fine colour: they are in no colour "
            "now, for no mean would be there to divide by",
        )
        color = np.where(without, 0, color)
    pairs = np.unique((fine[color > 0].astype(np.int64) << 32) + color[color > 0])
    if across := np.count_nonzero(np.unique(pairs >> 32, return_counts=True)[1] > 1):
        put(f"finecolor: {across} fine colours reach over several colours, and are their mean")
    if out := np.count_nonzero((color > 0) & ~mask):
        put(f"colors: the mask leaves out {out:,} of the {np.count_nonzero(color > 0):,} elements of the partitions")
    if warning := masks.leaves_out_colored(mask, color):
        warn(f"{warning}")
    if given.has_mask and not args.mask:
        put(f"mask: {args.by} has a mask, too, which is not taken: -m {args.by.partition(':/')[0]} takes it")
    return replace(given, color=color, fine=fine)


def _fine(path):
    given = maps.load_map("--fine-by", path)
    if not isinstance(given, maps.Partition):
        raise ConfigError(f"--fine-by: {path!r} holds real numbers; it must be a partition: save it with .astype(int)")
    return given.color


def table(args, given, color):
    """Return the rows of the table of colours: what the file says of each that is there.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    given : parcorana.detector.maps.Partition
    color : int32 array
        The colours that are left.
    """
    name, unit = named(args, given) if given.mean else (_ANY, "")
    rows = [files.table_head(name)]
    for c, size in colors.sizes_of(color).items():
        mean = f"{given.mean[c]:.9g}" if c in given.mean else ""
        rows.append((c, *given.place.get(c, ("", "")), size, mean, "", "", unit or "1"))
    return rows
