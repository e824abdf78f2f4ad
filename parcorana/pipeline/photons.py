"""Frames of a server turned into counts of photons."""

import logging

import numpy as np

from parcorana import _move
from parcorana.detector.photons import FOUND, added_up
from parcorana.pipeline.means import plain

log = logging.getLogger("parcorana")


def with_more(found, more):
    """Return what was found in events, dict of int by `FOUND`, with that of others, (7,) int64."""
    both = np.array([[found[name] for name in FOUND], more])
    return dict(zip(FOUND, added_up(both).tolist(), strict=True))


class Photons:
    """Counts the photons of frames, as `photons` of the config says.

    Parameters
    ----------
    photons : dict
        As `parcorana.detector.photons.check_photons` returns it.
    mask : bool array of the detector's shape
    check : bool
        Whether frames are bad that have included elements which are not finite.
    reading : Reading
    """

    def __init__(self, photons, mask, check, reading):
        apart = photons["method"] == "threshold"
        self._finder = _move.Finder(mask, photons["photon"], photons["threshold"], photons["most"], apart, check)
        self._size, self._reading = mask.size, reading
        self._counts = np.empty((0, mask.size), np.uint8)

    def of(self, frames):
        """Count the photons of frames.

        Parameters
        ----------
        frames : (m, size) array, or list of (1, k) arrays
            As `Means.of` takes them.

        Returns
        -------
        counts : (m, size) uint8 or uint16
            Until the next call.
        found : (m, 7) int64
            As `_move.FOUND`.
        fate : (m,) uint8
            0 or, for bad frames, `_move.BROKEN` or `_move.WIDE`.
        """
        frames = plain(np.concatenate(frames, axis=1) if isinstance(frames, list) else frames)
        counts = self._room(len(frames))
        found, fate = self._finder.find(frames, counts)
        if counts.dtype == np.uint8 and (fate == _move.WIDE).any():
            log.info(
                "photons: more than 255 in an element (%s, or soon after): counts of this server are uint16 from here "
                "on, as exact",
                self._reading.at,
            )
            self._counts = np.empty((0, self._size), np.uint16)
            counts = self._room(len(frames))
            found, fate = self._finder.find(frames, counts)
        return counts, found, fate

    def _room(self, frames):
        if len(self._counts) < frames:
            self._counts = np.empty((frames, self._size), self._counts.dtype)
        return self._counts[:frames]
