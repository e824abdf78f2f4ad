"""A frame whose segments lie apart in memory."""

import numpy as np


class Segments:
    """The segments of one frame, where the library that read them left them.

    A server casts each into its place in what it sends, so that putting them
    together costs no copy of its own.

    Parameters
    ----------
    pieces : list of arrays
        Of one shape and dtype; views that share the library's memory.

    Attributes
    ----------
    pieces : list of arrays
    shape : tuple of int
        Of the whole frame: the segments are its first axis.
    dtype : numpy.dtype
    """

    __slots__ = ("dtype", "pieces", "shape")

    def __init__(self, pieces):
        self.pieces = pieces
        self.shape = (len(pieces), *pieces[0].shape)
        self.dtype = pieces[0].dtype

    def together(self):
        """Return the frame as one array, a copy."""
        return np.stack(self.pieces)
