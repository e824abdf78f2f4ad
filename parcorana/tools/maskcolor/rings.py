"""Rings: of what quantity, and where their edges are."""

import os
from dataclasses import dataclass

import numpy as np

from parcorana.detector import colors, colortable, maps, masks
from parcorana.errors import ConfigError, one_line, put, warn
from parcorana.files.paths import fault_of
from parcorana.tools.maskcolor import stated

OWN = ("intensity", "radius", "q")
"""What colours can be made of without a file."""

_NARROWEST, _WIDEST = 0.005, 75.0  # degrees: largest scattering angles that a detector may see
_LONGEST = 1 << 20  # characters of a list of edges
_FEW = 1000  # different whole numbers of a map of real ones: it may be a partition


@dataclass(frozen=True)
class Value:
    """A quantity at each element, and its name.

    Attributes
    ----------
    value : float64 array of the detector's shape
        NaN where there is none.
    name, unit : str
    angle : float64 array of that shape [degrees], or 0.0
        Directions, for sectors.
    """

    value: np.ndarray
    name: str
    unit: str
    angle: np.ndarray | float = 0.0


def of_geometry(args, geometry, center):
    """Return the radius or q of each element, as the geometry has it."""
    angle = _angle(args, geometry, center)
    if args.by == "radius":
        return Value(geometry.radius(center), "radius", "pixels", angle)
    wavelength = stated.wavelength_of(args, geometry)
    pixel, distance = args.pixel or geometry.pixel, args.distance or geometry.distance
    stated.need_for_q(wavelength, distance, pixel)
    put(f"rings: distance {distance:.6g} mm, pixel {pixel:.6g} um, wavelength {wavelength:.6g} angstrom")
    stated.say_lengths(args, geometry)
    q = geometry.q(center, distance, pixel, wavelength)
    degrees = np.degrees(2 * np.arcsin(min(q.max() * wavelength / (4 * np.pi), 1.0)))
    if not _NARROWEST < degrees < _WIDEST:
        warn(
            f"the largest scattering angle of the detector is {degrees:.3g} degrees; are --distance, in mm, "
            "and --pixel, in um, right?",
        )
    return Value(q, "q", "1/angstrom", angle)


def _angle(args, geometry, center):
    if not geometry.metric:
        raise ConfigError(
            "rings need to know where the segments are: give a geometry file (-g) or index files (--iX, --iY)"
        )
    named = "--center" if args.center else stated.center_of(geometry)
    put(f"rings: around row {center[0]:.6g}, column {center[1]:.6g} ({named})")
    stated.say_center(args, geometry)
    return geometry.angle(center)


def of_map(args, quantity, mask, geometry, center):
    """Return a quantity of a file in the detector's shape; say where it has none.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    quantity : parcorana.detector.maps.Quantity
    mask : bool array of the detector's shape
    geometry : parcorana.detector.geometry.Geometry
    center : (float, float) or None
    """
    value = as_ndarray(args, quantity.source, quantity.values, mask.shape, geometry)
    name, unit = named(args, quantity)
    if not unit:
        unit = "1/angstrom" if name == "q" else "1"
        put(f"rings: {args.by} does not say the unit of {name}: {unit} is taken; --unit says another one")
    known = np.isfinite(value)
    if none := np.count_nonzero(mask & ~known):
        put(f"rings: {none:,} elements to process have no {name} in {args.by} (NaN): in no colour")
    inside = value[mask & known]
    if not inside.size:
        raise ConfigError(f"--by: no included element has a {name} in {quantity.source!r} that is finite")
    if (inside == np.rint(inside)).all() and len(np.unique(inside)) <= _FEW and np.ptp(inside):
        warn(
            f"{args.by} holds whole numbers alone, {len(np.unique(inside))} different ones, as real numbers: "
            "rings are made of them; if it is a partition, save it with .astype(int)",
        )
    angle = _angle(args, geometry, center) if args.sectors > 1 else 0.0
    return Value(np.where(known, value, np.nan), name, unit, angle)


def as_ndarray(args, source, array, shape, geometry):
    """Return a map that ``--by`` names in the detector's shape; it may be that of the image."""
    if args.transpose:
        if array.ndim != 2:
            raise ConfigError(f"--transpose: {source!r} has {array.ndim} axes; it must have rows and columns alone")
        array = array.T
    layout = geometry.layout if geometry.metric else None
    if layout is not None and array.shape == layout.shape != shape:
        put(f"colors: {source} is taken as an image")
    return maps.fitted("--by", source, array, shape, layout)


def named(args, given):
    """Return name and unit of what a map holds: as the options say, else as its file does."""
    return args.quantity or given.name, given.unit if args.unit is None else maps.unit_of(args.unit)


def check_names(args):
    """Raise ConfigError if the name or the unit of a quantity is none."""
    if args.quantity is not None and (colortable.is_taken(args.quantity) or not args.quantity.isprintable()):
        raise ConfigError(f"--quantity: {args.quantity!r} cannot be its name: {colortable.IS_TAKEN}")
    if args.unit is not None and not args.unit.isprintable():
        raise ConfigError(f"--unit: {args.unit!r} has characters that cannot be shown")


def edges_of(args, inside):
    """Return the edges of rings and of fine rings.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    inside : (n,) float64
        The included elements' values, all finite.

    Returns
    -------
    rings, fine : float64 arrays, increasing

    Raises
    ------
    ConfigError
        There are no such rings.
    """
    if args.ring_edges:
        edges = given_edges(args.ring_edges)
        return edges, colors.divided(edges, args.finecolor)
    positive = inside[inside > 0] if args.log else inside
    low = args.low[0] if args.low else float(positive.min(initial=np.inf))
    high = args.high[0] if args.high else float(inside.max())
    if not low < high:
        raise ConfigError(f"--low {low:g} must be below --high {high:g}")
    if args.log and low <= 0:
        raise ConfigError(f"--low {low:g} must be above 0 for rings on a logarithmic scale")
    if not args.equal:
        return tuple(colors.edges_between(low, high, number, args.log) for number in (args.color, args.finecolor))
    within = inside[(inside >= low) & (inside <= high)]
    found = tuple(colors.edges_of_equal(within, number) for number in (args.color, args.finecolor) if within.size)
    if not found or min(map(len, found)) < 2:
        raise ConfigError(f"--equal: between {low:g} and {high:g} there are no two values for the edges of a ring")
    if len(found[0]) <= args.color:
        warn(
            f"--equal: so many elements have the same value that there are {len(found[0]) - 1} rings, not {args.color}",
        )
    return found


def given_edges(text):
    """Return edges that are given as ``0.001,0.002,0.004``, or by a file that holds them.

    Raises
    ------
    ConfigError
        Neither, or they do not increase.
    """
    try:
        edges = np.array([float(part) for part in text.split(",")])
    except ValueError:
        edges = _edges_in(text)
    if len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise ConfigError(f"--ring-edges {text}: they must be two numbers or more that increase")
    return edges


def _edges_in(path):
    if fault := fault_of(path):
        raise ConfigError(f"--ring-edges: {path!r} is no list of numbers, and no file of that name: it {fault}")
    if os.fspath(path).endswith(".npy"):
        return np.ravel(masks.load_numbers("--ring-edges", path)).astype(np.float64)
    try:
        with open(path, encoding="utf-8") as file:
            return np.array([float(part) for part in file.read(_LONGEST).replace(",", " ").split()])
    except (OSError, ValueError) as error:
        raise ConfigError(f"--ring-edges: {path!r} holds something else than numbers ({one_line(error)})") from error
