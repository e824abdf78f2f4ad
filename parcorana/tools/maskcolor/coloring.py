"""Colours and fine colours: by intensity, or in rings and sectors; and the table of them."""

from itertools import pairwise

import numpy as np

from parcorana.detector import colors, hot, maps
from parcorana.errors import ConfigError, put, warn
from parcorana.tools.maskcolor import files, partition, rings

_MANY = 0.01  # of a colour: more that are left out than that deserve a look
_NAMED = 10  # colours that a line names


def coloring(args, mean, mask, geometry, center, found):
    """Make the colours, and say how many of what size.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    mean : float64 array of the detector's shape
        The average.
    mask : bool array of that shape
        With ``--rings-only`` elements in no ring are taken out of it.
    geometry : parcorana.detector.geometry.Geometry
    center : (float, float) or None
        Row and column of the beam in the image, where that is known.
    found : list of parcorana.tools.maskcolor.included.LeftOut
        Said for each colour that it would have had.

    Returns
    -------
    color, fine : int32 arrays of that shape
        0 outside the mask and in no ring.
    table : list of tuple
        For each colour its number, ring, sector and number of elements, and
        mean, smallest and largest of what it was made of; first the columns' names.

    Raises
    ------
    ConfigError
        More colours than elements, rings without a metric geometry, or no
        element in any ring.
    """
    if args.by == "intensity":
        return _by_intensity(args, mean, mask, found)
    given = None if args.by in rings.OWN else maps.load_map("--by", args.by)
    if isinstance(given, maps.Partition):
        given = partition.taken(args, given, mask, geometry)
        everywhere, fine, wanted = given.color, given.fine, (0, 0)
    else:
        if given is None:
            value = rings.of_geometry(args, geometry, center)
        else:
            value = rings.of_map(args, given, mask, geometry, center)
        edges = rings.edges_of(args, value.value[mask & np.isfinite(value.value)])
        made = [colors.Rings(each, args.sectors, args.begin[0]) for each in edges]
        everywhere, fine = (each.colors(value.value, value.angle) for each in made)
        wanted = [each.number * args.sectors for each in made]
    _say_left_out(found, mask, everywhere)
    color, fine = np.where(mask, everywhere, 0), np.where(mask, fine, 0)
    if isinstance(given, maps.Partition):
        what = "partition"
        if not (color > 0).any():
            raise ConfigError(f"no included element is in a partition of {given.source!r}")
        table = partition.table(args, given, color)
    else:
        what = "ring"
        _say_rings(args, value, edges[0], mask, color)
        table = _table(args, color, value)
    if args.rings_only:
        mask &= color > 0
        put(f"mask: {np.count_nonzero(mask):,} elements to process, those in {what}s")
    _say(color, fine, mask, wanted, what)
    return color, fine, table


def _by_intensity(args, mean, mask, found):
    colors.check_sizes(max(args.color, args.finecolor), np.count_nonzero(mask))
    color, fine = (colors.by_intensity(mean, mask, number) for number in (args.color, args.finecolor))
    _warn_of_ties(color, mean)
    if any(each.where.any() for each in found):
        _say_left_out(found, mask, colors.of_level(hot.surroundings(mean, mask)[0], mean, color))
    _say(color, fine, mask, (args.color, args.finecolor))
    return color, fine, _table(args, color, rings.Value(mean, "intensity", "intensity"))


def _say_rings(args, value, edges, mask, color):
    spaced = ", logarithmic" if args.log else ", of equally many elements" if args.equal else ""
    spaced = f", {len(edges) - 1} as --ring-edges says" if args.ring_edges else spaced
    put(f"rings: {value.name} from {edges[0]:.6g} to {edges[-1]:.6g} {value.unit}{spaced}")
    if not (color > 0).any():
        inside = value.value[mask & np.isfinite(value.value)]
        raise ConfigError(
            f"no included element lies in the rings: its {value.name} goes from {inside.min():.6g} to "
            f"{inside.max():.6g} {value.unit}; choose {'--ring-edges' if args.ring_edges else '--low and --high'} in "
            f"there{', once --distance (mm), --pixel (um) and --center (row,column) are right' * (value.name == 'q')}"
        )


def _warn_of_ties(color, mean):
    """Say if colours by intensity divide elements of the same intensity, as few counts make them."""
    number = color.max()
    ends = [(mean[color == c].min(), mean[color == c].max()) for c in range(1, number + 1)]
    if ties := sum(below[1] == above[0] for below, above in pairwise(ends)):
        warn(
            f"{ties} of the {number - 1} borders between colours lie among elements of the same mean, which "
            "only their place divides: fewer colours (-c), more events (-n), or rings (--by radius) mean more",
        )


def _say_left_out(found, mask, color):
    """Say how many elements of each colour an option has left out, and warn where they are many."""
    there = mask.copy()
    for each in found:
        there |= each.where
    of_all = colors.sizes_of(color[there])
    for each in found:
        out = colors.sizes_of(color[each.where])
        numbers = sorted(out, key=lambda c: -out[c] / of_all[c])
        texts = [f"{out[c]:,} of {of_all[c]:,} in colour {c} ({out[c] / of_all[c]:.2%})" for c in numbers[:_NAMED]]
        more = f", and fewer in {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
        if texts:
            put(f"color: {each.option} left out {', '.join(texts)}{more}")
        if many := [c for c in numbers if out[c] > max(1, _MANY * of_all[c])]:
            warn(
                f"{each.option} left out more than {_MANY:.0%} of {len(many)} colours, {texts[0]}: are they "
                "good elements that few events show badly, or a feature of the pattern? plot the mask, or take more "
                "events (-n)",
            )


def _table(args, color, of_what):
    """Return the rows of the table of colours: number, ring, sector, elements, and their values."""
    unit, value = of_what.unit, of_what.value
    rows = [files.table_head(of_what.name)]
    chosen = color > 0
    number, values = color[chosen], value[chosen]
    order = np.argsort(number, kind="stable")
    number, values = number[order], values[order]
    first = np.flatnonzero(np.diff(number, prepend=0))
    for part in np.split(np.arange(len(number)), first[1:]):
        c, of = int(number[part[0]]), values[part]
        ring, sector = divmod(c - 1, args.sectors)
        rows.append((c, ring + 1, sector + 1, len(of), f"{of.mean():.9g}", f"{of.min():.9g}", f"{of.max():.9g}", unit))
    return rows


def _say(color, fine, mask, wanted, what="ring"):
    for name, array, number in (("color", color, wanted[0]), ("finecolor", fine, wanted[1])):
        sizes = np.unique(array[array > 0], return_counts=True)[1]
        empty = f"; {number - len(sizes)} of {number} have no element" if len(sizes) < number else ""
        put(f"{name}: {len(sizes)} colours of {sizes.min():,} to {sizes.max():,} elements{empty}")
    none = np.count_nonzero(mask & (color == 0))
    if none:
        put(f"color: {none:,} included elements are in no {what} (colour 0)")
