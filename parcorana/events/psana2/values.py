"""Numbers of each event, from psana's detectors."""

import logging
import math
import numbers

import numpy as np

from parcorana.errors import RunError, one_line
from parcorana.events.psana2.detector import find_field
from parcorana.events.psana2.field import damage_of
from parcorana.events.values import PSANA

log = logging.getLogger("parcorana")


class NotANumber(RunError):
    """What an event has is no number."""


class Values:
    """The values of the events of one run.

    Parameters
    ----------
    run : psana.psexp.run.Run
    values : dict of str to str
        Where each is: detector.interface.field, and of an array ``[k]``, its element k.
    where : str
        Names the run in errors.

    Raises
    ------
    ConfigError
        The run has no such detector, or it has no such field.
    """

    def __init__(self, run, values, where):
        self._each = [_Value(run, name, place, where) for name, place in values.items()]

    def of(self, evt):
        """Return the values of an event, dict of str to float: NaN where it has none, or none that is whole.

        Raises
        ------
        NotANumber
            It has something else than a number.
        """
        return {each.name: each.of(evt) for each in self._each}


class _Value:
    def __init__(self, run, name, place, where):
        parts = PSANA.fullmatch(place)
        self.name, self._key = name, f"values[{name!r}] {place!r}"
        self._place, self._element = place, None if parts["element"] is None else int(parts["element"])
        self._interface, field = find_field(run, parts["detector"], parts["field"], where, self._key)
        self._method = getattr(self._interface, field)
        self._told = False

    def of(self, evt):
        segments = self._interface._segments(evt)
        if segments is None or damage_of(self._interface._det_name, segments, evt):
            return math.nan
        try:
            found = self._method(evt)
        except Exception as error:  # whatever a detector's own code raises
            if not self._told:
                self._told = True
                what = f"{type(error).__name__}: {one_line(error)}"
                log.warning("%s: psana cannot make it of an event (%s): it is NaN there", self._key, what)
            return math.nan
        if self._element is not None and found is not None:
            found = self._element_of(found)
        if found is None:
            return math.nan
        if isinstance(found, np.ndarray) and found.ndim == 0:
            found = found[()]
        if not isinstance(found, numbers.Real | np.bool_):
            raise NotANumber(f"{self._key} is {_what(found)}, and must be a number{self._hint(found)}")
        return float(found)

    def _element_of(self, found):
        if np.ndim(found) != 1:
            place = self._place.partition("[")[0]
            raise NotANumber(f"{self._key}: {place!r} is {_what(found)}, which has no element {self._element}")
        if self._element >= len(found):
            raise NotANumber(f"{self._key}: there is no element {self._element} in {len(found)}, which begin with 0")
        return found[self._element]

    def _hint(self, found):
        if np.ndim(found) != 1 or self._element is not None:
            return ""
        if self._place.endswith(".eventcodes"):
            return f": '{self._place}[40]' is 1 in events that have the code 40, and 0 in others"
        return f": '{self._place}[0]' is its first element"


def _what(found):
    if isinstance(found, numbers.Real | np.bool_) or np.ndim(found):
        return f"an array of shape {np.shape(found)}" if np.ndim(found) else "one number"
    return type(found).__name__
