"""One field of a detector: found by name, fetched from events, calibrated."""

import inspect

import numpy as np

from parcorana.errors import ConfigError, EventError, nearest, one_line
from parcorana.events.psana2.calibration import Calibration
from parcorana.events.segments import Segments
from parcorana.psana_config import CALIBRATED, asks, make_psana_config

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
# psana's methods that only put a field of all segments together, and that field. The classes' names say which psana
# this is from; that it is still so is looked at on the first event.
_ONLY_STACK = {
    "AreaDetectorRaw.raw": "raw",
    "epix10ka_raw_2_0_1.raw": "raw",
    "epix10ka_raw_3_0_1.raw": "raw",
    "opal_base.raw": "image",
    "cspad_raw_2_3_42.raw": "arrayRaw",
}
# Those of a whole datagram that its detectors share; the others may speak of another detector in it.
_OF_ALL = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4


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
        Looks at the first events.
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
        """Return the field's array, None where the event lacks the detector or a segment.

        Where psana would only put segments together they are returned as
        `Segments`, without a copy. An array may be overwritten by the next call.

        Raises
        ------
        EventError
            The data acquisition marked the data as damaged, or psana stumbles over it.
        """
        segments = self._interface._segments(evt)
        if segments is None:
            return None
        damage = _damage(self._interface._det_name, segments, evt)
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


def find_field(run, src, type_, where):
    """Find what `src` and `type_` name.

    Parameters
    ----------
    run : psana run
    src : str
        Detector name.
    type_ : str
        ``'raw'``, ``'calib'``, any other field, or ``'fex.energy'`` for a field
        of a certain interface.
    where : str
        Names the run in errors.

    Returns
    -------
    interface : object
    name : str

    Raises
    ------
    ConfigError
        Lists what the run, or the detector, has.
    """
    if src not in run.detnames:
        known = ", ".join(sorted(run.detnames)) or "none"
        raise ConfigError(f"src {src!r}: {where} has these detectors: {known}{nearest(src, run.detnames)}")
    detector = own_detector(run, src)
    names = sorted((alg for name, alg in run.detinfo if name == src), key=lambda alg: (alg != "raw", alg))
    fields = {name: _fields(getattr(detector, name)) for name in names}
    wanted, dot, field = type_.rpartition(".")
    for name in [wanted] if dot else names:
        if field in fields.get(name, ()):
            return getattr(detector, name), field
    known = [f"{name}.{field}" for name in names for field in fields[name]]
    raise ConfigError(
        f"type {type_!r}: detector {src!r} of {where} has these: {', '.join(known)}{nearest(type_, known)}"
    )


def own_detector(run, src, **options):
    """Return psana's detector object, one that no other run of this process shares.

    The same holds for its constants.

    psana keeps one object per detector name and changes it when the next run is
    opened, which takes the data of the run still being read.
    """
    from psana.detector.calibconstants import CalibConstants
    from psana.detector.detector_impl import DetectorImpl

    registries = [getattr(class_, "_registry", {}) for class_ in (DetectorImpl, CalibConstants)]
    for registry in registries:
        registry.clear()
    detector = run.Detector(src, **options)
    for interface in vars(detector).values():
        if hasattr(interface, "_calibconstants"):
            interface._calibconstants()
    for registry in registries:
        registry.clear()
    return detector


def check_array(data, src, type_):
    """Refuse what cannot be masked and correlated.

    Raises
    ------
    ConfigError
        Says what the detector gives instead of an array of numbers.
    """
    if not isinstance(data, np.ndarray):
        what = f"gives {type(data).__name__} there, not an array"
    elif data.dtype.kind not in "iufb":
        what = f"gives an array of {data.dtype} there, not of numbers"
    else:
        return
    raise ConfigError(f"type {type_!r}: detector {src!r} {what}")


def _is_calibrated(interface):
    """Tell whether a detector's class takes psana's options of calibration."""
    from psana.detector.areadetector import AreaDetectorRaw

    return isinstance(interface, AreaDetectorRaw)


def _fields(interface):
    """Return the names of a detector interface's methods that take an event."""
    names = (name for name in dir(interface) if not name.startswith("_"))
    return [name for name in names if callable(inspect.getattr_static(interface, name))]


def _damage(name, segments, evt):
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


class Wanted:
    """What the user wants of each run.

    Parameters
    ----------
    src : str
        Detector name.
    type_ : str or None
        Field; ``'raw'`` if None.
    log : callable or None
        Takes a line of warning; None on the servers that leave that to another.
    psana_config : dict or None
        Of `parcorana.make_psana_config`; None for its defaults.

    Raises
    ------
    ConfigError
        Constants that cannot be read.
    """

    def __init__(self, src, type_, log=None, psana_config=None):
        self.src, self.type = src, type_ or "raw"
        self._log, self._asked = log, psana_config is not None
        self._calibration = None
        if self.type.rpartition(".")[2] in CALIBRATED:
            config = psana_config or make_psana_config(self.src, self.type)
            self._calibration = Calibration(config, log) if asks(config) else None
        self.interface = None  # psana's, of the run in progress

    def field_of(self, run, where):
        """Return the `Field` of a run; `where` names the run in errors."""
        interface, name = find_field(run, self.src, self.type, where)
        calibration, options = self._calibration, None
        if calibration is not None and not _is_calibrated(interface):
            what = f"psana has no calibration for {self.src!r}, a detector of type {interface._dettype}"
            if self._asked:
                raise ConfigError(f"psana_config: {what}: take type 'raw'")
            if self._log is not None:
                self._log(f"{where}: {what}; {self.type!r} is what its class makes")
            calibration = None
        if calibration is not None:
            run._calib_const[self.src] = calibration.constants_of(run, self.src, where)
            run.dsparms.calibconst = run._calib_const
            detector = own_detector(run, self.src, **calibration.options_of())
            interface = getattr(detector, interface._drp_class_name)
            options = calibration.arguments_of(interface, self.src)
        self.interface = interface
        return Field(interface, name, options, calibration)

    def check(self, data):
        """Refuse an array that is none, or not of numbers."""
        check_array(data, self.src, self.type)
