"""Which elements reach the value at which a detector saturates, and when."""

import numpy as np

from parcorana import _move


def mark_saturated(block, value, saturated, threads):
    """Mark the elements that reach a value in the events that enter.

    Parameters
    ----------
    block : parcorana.calculation.block.Block
    value : float
    saturated : (n,) int8
        1 for those marked before; is changed.
    threads : int

    Returns
    -------
    new : (k,) int64
        The elements that were not marked before.
    first : (k,) int64
        At which of the events that enter each of them was first.
    """
    before = saturated.copy()
    _move.adjust(block.offered, block.entering, value, saturated, None, threads)
    new = np.flatnonzero(saturated != before)
    if not len(new):
        return new, new
    values = block.offered[np.ix_(block.entering, new)]
    return new, (values >= values.dtype.type(value)).argmax(axis=0)
