"""Numbers of each event, from psana's detectors."""

import logging
import math
import numbers
from bisect import bisect_right

import numpy as np

from parcorana.errors import ConfigError, RunError, nearest, one_line
from parcorana.events.psana2.detector import find_field
from parcorana.events.psana2.field import damage_of
from parcorana.events.values import PSANA

log = logging.getLogger("parcorana")
_NAMED = 20  # variables that an error names: a run may have thousands


class NotANumber(RunError):
    """What an event has is no number."""


class Values:
    """The values of the events of one run.

    Parameters
    ----------
    run : psana.psexp.run.Run
    values : dict of str to str
        Where each is: detector.interface.field, and of an array ``[k]``, its element k; or the name of a variable of
        EPICS or of a scan.
    where : str
        Names the run in errors.

    Raises
    ------
    ConfigError
        The run has no such detector or variable, or the detector has no such field.
    """

    def __init__(self, run, values, where):
        self._each = [
            (_Value if PSANA.fullmatch(place) else _Variable)(run, name, place, where) for name, place in values.items()
        ]

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
        return _number(found, self._key, self._hint(found))

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


class _Variable:
    """What is read once in a while: the last one before an event counts, whatever was read of the run so far."""

    def __init__(self, run, name, place, where):
        self.name, self._run, self._key = name, run, f"values[{name!r}] {place!r}"
        stores = run.esm.stores
        # EPICS has names of its own beside those of the data
        self._variable = stores["epics"].epics_inv_mapper.get(place) or place
        if run.esm.env_from_variable(self._variable) is None:
            known = sorted({each for store in stores.values() for each, _ in store.env_info})
            few = ", ".join(known[:_NAMED]) + f" and {len(known) - _NAMED:,} more" * (len(known) > _NAMED)
            raise ConfigError(
                f"{self._key}: {where} has these variables of EPICS and scans: {few or 'none'}"
                f"{nearest(place, known)}; of a detector say detector.interface.field"
            )

    def of(self, evt):
        for store in self._run.esm.stores.values():  # psana makes new ones as it goes on
            for manager in store.env_managers:
                found = self._last(manager, evt.timestamp, store.env_name)
                if found is not None:
                    return _number(found, self._key)
        return math.nan

    def _last(self, manager, timestamp, kind):
        """Return what one stream's file has of it before an event, None if there is nothing."""
        if (place := manager.locate_variable(self._variable)) is None:
            return None
        algorithm, segment = place
        # a datagram need not have it; psana's own search takes one after the event where that was read already
        for k in range(bisect_right(manager._timestamps, timestamp) - 1, -1, -1):
            found = getattr(getattr(manager.dgrams[k], kind, {}).get(segment), algorithm, None)
            if found is not None:
                return getattr(found, self._variable)
        return None


def _number(found, key, hint=""):
    """Return a number as float.

    Raises
    ------
    NotANumber
        It is none.
    """
    if isinstance(found, np.ndarray) and found.ndim == 0:
        found = found[()]
    if not isinstance(found, numbers.Real | np.bool_):
        raise NotANumber(f"{key} is {_what(found)}, and must be a number{hint}")
    return float(found)


def _what(found):
    if isinstance(found, numbers.Real | np.bool_) or np.ndim(found):
        return f"an array of shape {np.shape(found)}" if np.ndim(found) else "one number"
    return type(found).__name__
