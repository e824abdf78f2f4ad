"""Which elements the new mask includes."""

import numpy as np

from parcorana.detector import masks
from parcorana.errors import ConfigError


def included(args, statistics, geometry):
    """Make the mask, and say what it leaves out.

    Parameters
    ----------
    args : argparse.Namespace
        Of the command `start`.
    statistics : parcorana.detector.statistics.Statistics
    geometry : parcorana.detector.geometry.Geometry

    Returns
    -------
    bool array of the detector's shape

    Raises
    ------
    ConfigError
        The file of another mask is wrong, or no element remains.
    """
    shape = statistics.mean.shape
    mask = np.ones(shape, bool)

    def leave_out(where, why, always=False):
        more = np.count_nonzero(mask & where)
        mask[where] = False
        if more or always:
            print(f"mask: {more:,} elements left out: {why}")

    leave_out(statistics.broken(), "not finite in some event")
    if args.mask:
        given = masks.load_mask(args.mask, "-m")
        masks.check_shape("-m", args.mask, given.shape, shape, "the data")
        leave_out(~given, f"by {args.mask}", True)
    down, right = geometry.down, geometry.right
    for first_row, first_column, row, column in args.rectangle:
        inside = (np.rint(down) >= first_row) & (np.rint(down) < row) & (np.rint(right) >= first_column)
        text = f"rectangle {first_row:g},{first_column:g},{row:g},{column:g}"
        leave_out(inside & (np.rint(right) < column), text, True)
    for row, column, radius in args.circle:
        leave_out(geometry.radius((row, column)) <= radius, f"circle {row:g},{column:g},{radius:g}", True)
    if args.edges:
        inside = np.zeros((1, *shape)[-2:], bool)
        inside[args.edges : -args.edges, args.edges : -args.edges] = True
        leave_out(np.broadcast_to(~inside if len(shape) > 1 else ~inside[0], shape), f"{args.edges} at the edges", True)
    dead = statistics.dead() & mask
    if args.dead:
        leave_out(dead, f"the same in all {statistics.events} events", True)
    elif dead.any():
        number = f"{np.count_nonzero(dead):,} elements are the same in all {statistics.events} events"
        print(f"mask: {number}: --dead leaves them out")
    if args.hot:
        hot = statistics.hot(args.hot)
        if hot is None:
            print("mask: --hot: too few events or counts to tell which elements are hot")
        else:
            why = f"mean or deviation {args.hot:g} times the usual above the neighbours'"
            leave_out(hot, why, True)
    included = np.count_nonzero(mask)
    if not included:
        raise ConfigError("the mask leaves out every element: nothing to process")
    print(f"mask: {included:,} of {mask.size:,} elements to process")
    return mask
