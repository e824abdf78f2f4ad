"""One field of a detector, fetched from events and calibrated."""

import inspect

import numpy as np

from parcorana.errors import ConfigError, EventError, one_line
from parcorana.events.segments import Segments

# Of psana.detector.damage: what the lower twelve bits of a damage word say, by number of the bit.
_DAMAGE = {
    1: "Truncated",
    2: "OutOfOrder",
    3: "OutOfSynch",
    4: "Corrupted",
    5: "DroppedContribution",
    6: "MissingData",
    7: "TimedOut",
    8: "UserDefined",
}
_BITS = 0xFFF
# Those of a whole datagram that its detectors share; the others may speak of another detector in it.
_OF_ALL = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
# psana's methods that only put a field of all segments together, and that field. The classes' names say which psana
# this is from; that it is still so is looked at on the first event.
_ONLY_STACK = {
    "AreaDetectorRaw.raw": "raw",
    "epix10ka_raw_2_0_1.raw": "raw",
    "epix10ka_raw_3_0_1.raw": "raw",
    "opal_base.raw": "image",
    "cspad_raw_2_3_42.raw": "arrayRaw",
}


class Field:
    """A field of a detector.

    Parameters
    ----------
    interface : object
        psana's detector interface.
    name : str
        Of one of its methods that take an event.
    options : dict
        Further arguments of that method.
    calibration : parcorana.events.psana2.calibration.Calibration or None
        Looks at the first events; None for a field that is not calibrated.
    """

    def __init__(self, interface, name, options=None, calibration=None):
        self._interface, self._name, self._calibration = interface, name, calibration
        self._method, self._options = getattr(interface, name), options or {}
        self._stacked = _ONLY_STACK.get(getattr(self._method, "__qualname__", None))
        self._sure = False  # that it is so
        # psana's plain `raw` would copy what it has just put together
        if name == "raw" and "copy" in inspect.signature(self._method).parameters:
            self._options = {"copy": False}

    def fetch(self, evt):
        """Return the field of an event.

        Parameters
        ----------
        evt : psana.event.Event

        Returns
        -------
        ndarray, Segments or None
            With several segments these are the first axis; shape and dtype are
            those of psana's method. Where it would only put segments together
            they are returned as `Segments`, without a copy. None where the
            event lacks the detector or a segment. What is returned may be
            overwritten by the next call.

        Raises
        ------
        EventError
            The data acquisition marked the data as damaged, or psana stumbles over it.
        ConfigError
            Constants do not fit the data.
        """
        segments = self._interface._segments(evt)
        if segments is None:
            return None
        damage = damage_of(self._interface._det_name, segments, evt)
        if damage:
            raise EventError(f"damaged: {_names(damage)}")
        try:
            if self._stacked and len(segments) > 1:
                return self._segments(evt, segments)
            return self._whole(evt)
        except ConfigError:
            raise
        except Exception as error:  # whatever a detector's own code raises
            what = f"{type(error).__name__}: {one_line(error)}"
            raise EventError(f"psana cannot make {self._name!r} of it: {what}") from error

    def _segments(self, evt, segments):
        """Return the segments as they are, once psana's own array has been seen to be just these."""
        pieces = [getattr(segments[k], self._stacked) for k in sorted(segments)]
        if len({(piece.shape, piece.dtype) for piece in pieces}) == 1:
            if not self._sure:
                array = self._whole(evt)
                self._sure = array.dtype == pieces[0].dtype and np.array_equal(array, pieces)
            if self._sure:
                return Segments(pieces)
        self._stacked = None
        return self._whole(evt)

    def _whole(self, evt):
        """Return what psana makes of the event."""
        looks, raw = self._calibration is not None and self._calibration.looks, None
        if looks:
            raw = self._interface.raw(evt)
            # before psana's compiled code takes it for granted
            self._calibration.check_shapes(self._interface, raw)
        array = self._method(evt, **self._options)
        if looks:
            self._calibration.compare(raw, array)
        return array


def damage_of(name, segments, evt):
    """Return the damage bits of a detector's segments in an event, all together."""
    damage = 0
    for segment in segments.values():
        xtc = getattr(segment, "_xtc", None)
        damage |= xtc.damage & _BITS if xtc is not None else 0
    for datagram in evt._dgrams:
        if datagram is not None and hasattr(datagram, name) and hasattr(datagram, "_xtc"):
            damage |= datagram._xtc.damage & _OF_ALL
    return damage


def _names(damage):
    return ", ".join(_DAMAGE.get(bit, f"bit {bit}") for bit in range(12) if damage >> bit & 1)
