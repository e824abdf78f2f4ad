"""Colours and fine colours: by intensity, or in rings and sectors; and the table of them."""

import sys
from itertools import pairwise

import numpy as np

from parcorana.detector import colors, hot
from parcorana.errors import ConfigError
from parcorana.tools.maskcolor import stated

_MANY = 0.01  # of a colour: more that are left out than that deserve a look
_NARROWEST, _WIDEST = 0.005, 75.0  # degrees: largest scattering angles that a detector may see
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
        colors.check_sizes(max(args.color, args.finecolor), np.count_nonzero(mask))
        color, fine = (colors.by_intensity(mean, mask, number) for number in (args.color, args.finecolor))
        value, unit = mean, "intensity"
        _warn_of_ties(color, mean)
        if any(each.where.any() for each in found):
            _say_left_out(found, mask, colors.of_level(hot.surroundings(mean, mask)[0], mean, color))
    else:
        value, unit, angle = _value(args, geometry, center)
        low, high = _range(args, value[mask])
        everywhere, fine = (
            colors.Rings(low, high, number, args.sectors, args.begin[0], args.log).colors(value, angle)
            for number in (args.color, args.finecolor)
        )
        _say_left_out(found, mask, everywhere)
        color, fine = np.where(mask, everywhere, 0), np.where(mask, fine, 0)
        print(f"rings: {args.by} from {low:.6g} to {high:.6g} {unit}{', logarithmic' if args.log else ''}")
        if not (color > 0).any():
            inside = value[mask]
            raise ConfigError(
                f"no included element lies in the rings: its {args.by} goes from {inside.min():.6g} to "
                f"{inside.max():.6g} {unit}; choose --low and --high in there"
            )
        if args.rings_only:
            mask &= color > 0
            print(f"mask: {np.count_nonzero(mask):,} elements to process, those in rings")
    table = _table(args, color, value, unit)
    _say(color, fine, mask, args)
    return color, fine, table


def _warn_of_ties(color, mean):
    """Say if colours by intensity divide elements of the same intensity, as few counts make them."""
    number = color.max()
    ends = [(mean[color == c].min(), mean[color == c].max()) for c in range(1, number + 1)]
    if ties := sum(below[1] == above[0] for below, above in pairwise(ends)):
        print(
            f"warning: {ties} of the {number - 1} borders between colours lie among elements of the same mean, which "
            "only their place divides: fewer colours (-c), more events (-n), or rings (--by radius) mean more",
            file=sys.stderr,
        )


def _value(args, geometry, center):
    """Return what rings are made of: values, unit, directions."""
    if not geometry.metric:
        raise ConfigError(
            "rings need to know where the segments are: give a geometry file (-g) or index files (--iX, --iY)"
        )
    named = "--center" if args.center else stated.center_of(geometry)
    print(f"rings: around row {center[0]:.6g}, column {center[1]:.6g} ({named})")
    stated.say_center(args, geometry)
    angle = geometry.angle(center)
    if args.by == "radius":
        return geometry.radius(center), "pixels", angle
    wavelength = stated.wavelength_of(args, geometry)
    pixel, distance = args.pixel or geometry.pixel, args.distance or geometry.distance
    stated.need_for_q(wavelength, distance, pixel)
    print(f"rings: distance {distance:.6g} mm, pixel {pixel:.6g} um, wavelength {wavelength:.6g} angstrom")
    stated.say_lengths(args, geometry)
    q = geometry.q(center, distance, pixel, wavelength)
    degrees = np.degrees(2 * np.arcsin(min(q.max() * wavelength / (4 * np.pi), 1.0)))
    if not _NARROWEST < degrees < _WIDEST:
        print(
            f"warning: the largest scattering angle of the detector is {degrees:.3g} degrees; are --distance, in mm, "
            "and --pixel, in um, right?",
            file=sys.stderr,
        )
    return q, "1/angstrom", angle


def _range(args, inside):
    """Return inner and outer edge of all rings, where not given those of the included elements' values."""
    positive = inside[inside > 0] if args.log else inside
    low = args.low[0] if args.low else float(positive.min(initial=np.inf))
    high = args.high[0] if args.high else float(inside.max())
    if not low < high:
        raise ConfigError(f"--low {low:g} must be below --high {high:g}")
    if args.log and low <= 0:
        raise ConfigError(f"--low {low:g} must be above 0 for rings on a logarithmic scale")
    return low, high


def _say_left_out(found, mask, color):
    """Say how many elements of each colour an option has left out, and warn where they are many."""
    there = mask.copy()
    for each in found:
        there |= each.where
    of_all = np.bincount(color[there], minlength=2)
    for each in found:
        out = np.bincount(color[each.where], minlength=len(of_all))
        out[0] = 0
        numbers = sorted(np.flatnonzero(out), key=lambda c: -out[c] / of_all[c])
        texts = [f"{out[c]:,} of {of_all[c]:,} in colour {c} ({out[c] / of_all[c]:.2%})" for c in numbers[:_NAMED]]
        more = f", and fewer in {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
        if texts:
            print(f"color: {each.option} left out {', '.join(texts)}{more}")
        if many := [c for c in numbers if out[c] > max(1, _MANY * of_all[c])]:
            print(
                f"warning: {each.option} left out more than {_MANY:.0%} of {len(many)} colours, {texts[0]}: are they "
                "good elements that few events show badly, or a feature of the pattern? plot the mask, or take more "
                "events (-n)",
                file=sys.stderr,
            )


def _table(args, color, value, unit):
    """Return the rows of the table of colours: number, ring, sector, elements, and their values."""
    rows = [("color", "ring", "sector", "elements", f"{args.by}_mean", f"{args.by}_min", f"{args.by}_max", "unit")]
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


def _say(color, fine, mask, args):
    for name, array, wanted in (("color", color, args.color), ("finecolor", fine, args.finecolor)):
        sizes = np.bincount(array.ravel())[1:]
        found, wanted = np.count_nonzero(sizes), wanted * args.sectors
        empty = f"; {wanted - found} of {wanted} have no element" if found < wanted else ""
        print(f"{name}: {found} colours of {sizes[sizes > 0].min():,} to {sizes.max():,} elements{empty}")
    none = np.count_nonzero(mask & (color == 0))
    if none:
        print(f"color: {none:,} included elements are in no ring (colour 0)")
