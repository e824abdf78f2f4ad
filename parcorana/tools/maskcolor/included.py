"""Which elements the new mask includes."""

from dataclasses import dataclass

import numpy as np

from parcorana.detector import hot, maps, masks
from parcorana.detector.instrument import reasons
from parcorana.errors import ConfigError, put, warn
from parcorana.tools.maskcolor.runs import hot_in

_WEAK = 8.0  # times its surroundings: where less is not hot for sure, little can be told


@dataclass(frozen=True)
class LeftOut:
    """Elements that an option has left out by what the events say of them.

    Attributes
    ----------
    option : str
    where : bool array of the detector's shape
    """

    option: str
    where: np.ndarray


def included(args, statistics, geometry, center, unmapped=None, runs=()):
    """Make the mask, and say what it leaves out.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    statistics : parcorana.detector.statistics.Statistics
    geometry : parcorana.detector.geometry.Geometry
    center : (float, float) or None
        Row and column of the beam in the image, where that is known.
    unmapped : bool array or None
        Elements that no frame has data for.
    runs : list of Statistics, optional
        Of each run, where `statistics` is of several.

    Returns
    -------
    mask : bool array of the detector's shape
    found : list of LeftOut

    Raises
    ------
    ConfigError
        The file of another mask is wrong, or no element remains.
    """
    shape = statistics.shape
    mask, found = np.ones(shape, bool), []

    def leave_out(where, why, option=None, always=True):
        where = mask & where
        mask[where] = False
        if always or where.any():
            put(f"mask: {np.count_nonzero(where):,} elements left out: {why}")
        if option:
            found.append(LeftOut(option, where))

    leave_out(statistics.broken(), "not finite in some event", always=False)
    if unmapped is not None:
        leave_out(unmapped, "no frame has data for them")
    stated = geometry.stated
    if stated is not None and (bad := stated.left_out()) is not None:
        why = f" ({reasons(stated.bad, bad)})" if bad.any() else ""
        leave_out(bad, f"bad by the detector's own mask, {stated.places['bad']} of {stated.source}{why}")
        if (marked := ~bad & (stated.bad != 0)).any():
            put(f"mask: marked by it, but not bad, so not left out for it: {reasons(stated.bad, marked)}")
    leave_out(statistics.gaps(), _gaps(statistics), always=False)
    if stated is not None and stated.limit is not None:
        text = f"at {stated.limit:,.0f} or more in some event: saturated, as {stated.source} states"
        leave_out(statistics.largest >= stated.limit, text, always=False)
    if args.mask:
        given = maps.load_mask("-m", args.mask)
        beside = args.mask.partition(":/")[0] == args.by.partition(":/")[0]
        given = given.T if args.transpose and beside else given
        given = maps.fitted("-m", args.mask, given, shape, geometry.layout if geometry.metric else None)
        leave_out(~given, f"by {args.mask}")
        if not beside and (warning := masks.other_way_round(given, statistics.gaps() | statistics.broken())):
            warn(f"-m {args.mask}: {warning}")
    down, right = geometry.down, geometry.right
    for first_row, first_column, row, column in args.rectangle:
        inside = (np.rint(down) >= first_row) & (np.rint(down) < row) & (np.rint(right) >= first_column)
        text = f"rectangle {first_row:g},{first_column:g},{row:g},{column:g}"
        leave_out(inside & (np.rint(right) < column), text)
    for row, column, radius in args.circle:
        leave_out(geometry.radius((row, column)) <= radius, f"circle {row:g},{column:g},{radius:g}")
    if args.edges:
        inside = np.zeros((1, *shape)[-2:], bool)
        inside[args.edges : -args.edges, args.edges : -args.edges] = True
        leave_out(np.broadcast_to(~inside if len(shape) > 1 else ~inside[0], shape), f"{args.edges} at the edges")
    _check_some(mask)
    if args.hot:  # before the dead ones go: what never changes and is bright is hot
        radius = None if center is None else geometry.radius(center)
        leave_out(*_hot(args.hot, statistics, mask, radius, runs), "--hot")
    dead = statistics.dead() & mask
    if args.dead:
        leave_out(dead, f"the same in all {statistics.events} events", "--dead")
    elif dead.any():
        number = f"{np.count_nonzero(dead):,} elements are the same in all {statistics.events} events"
        put(f"mask: {number}: --dead leaves them out")
    _check_some(mask)
    put(f"mask: {np.count_nonzero(mask):,} of {mask.size:,} elements to process")
    return mask, found


def _check_some(mask):
    if not mask.any():
        raise ConfigError("the mask leaves out every element: nothing to process")


def _gaps(statistics):
    text = f"at {statistics.top:,}, the largest value of their type, or at -1 or the like: gaps"
    if some := statistics.sometimes_a_gap():
        text += f"; {some:,} of them in some events only: too bright, or not read out"
    return text


def _hot(decades, statistics, mask, radius, runs):
    """Return the hot elements, and why they are left out; say what could be told.

    Of several runs each is looked at by itself, too: what is hot in one may be
    lost in the average, and where their brightness differs nothing is restless.
    The chance of a good element is divided among them all.
    """
    if statistics.events < hot.EVENTS:
        warn(
            f"--hot: {statistics.events} events are too few to tell which elements are hot, {hot.EVENTS} are "
            "the least: none is left out",
        )
        return np.zeros_like(mask), "hot"
    runs = runs if len(runs) > 1 else []
    if few := [k + 1 for k, run in enumerate(runs) if run.events < hot.EVENTS]:
        warn(
            f"--hot: runs {', '.join(map(str, few))} have fewer than {hot.EVENTS} events, too few to tell "
            "what is hot in them alone",
        )
    runs = [run for run in runs if run.events >= hot.EVENTS]
    chance = 10.0**-decades / (1 + len(runs))
    found = hot.find(statistics, mask, chance, radius)
    of_each = [hot.find(run, mask, chance, radius).where for run in runs]
    limit = found.limit[mask & np.isfinite(found.limit)]
    if len(limit):
        low, high = np.quantile(limit, (0.05, 0.95))
        put(
            f"mask: --hot: too bright is what exceeds its surroundings {low:.3g} to {high:.3g} times (90% of the "
            f"elements); by speckle, photons and noise at most 1 good element in {10**decades:,.0f} does"
        )
        if (weak := np.mean(limit > _WEAK)) > 0.01:
            warn(
                f"--hot: around {weak:.0%} of the elements the mean of {statistics.events} events tells no "
                f"speckle from a hot element of {_WEAK:g} times its surroundings: speckle changes too little in that "
                "time, or photons are few; take more events (-n)",
            )
    kinds = (
        (found.bright, "too bright"),
        (found.restless, "too restless"),
        (found.stuck, "bright, but never changing"),
    )
    where = found.where
    if of_each:
        hot_in(of_each)
        more = np.any(of_each, axis=0) & ~found.where
        kinds += ((more, "in a run, not in all together"),)
        where = where | more
    return where, f"hot ({', '.join(f'{np.count_nonzero(of):,} {what}' for of, what in kinds)})"
