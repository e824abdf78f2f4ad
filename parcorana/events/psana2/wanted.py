"""What the user wants of each run: a detector's field, with calibration or without."""

import numpy as np

from parcorana.errors import ConfigError, EventError
from parcorana.events.psana2.calibration import Calibration
from parcorana.events.psana2.detector import find_field, is_calibrated, own_detector
from parcorana.events.psana2.field import Field
from parcorana.events.psana2.values import NotANumber, Values
from parcorana.events.psana_config import CALIBRATED, asks, make_psana_config


class OfRun:
    """What the user wants, of one run.

    Attributes
    ----------
    run : psana.psexp.run.Run
    field : parcorana.events.psana2.field.Field
    values : parcorana.events.psana2.values.Values
    """

    def __init__(self, run, field, values):
        self.run, self.field, self.values = run, field, values


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
    values : dict of str to str, optional
        Where the values of each event are.

    Raises
    ------
    ConfigError
        Constants that cannot be read.

    Attributes
    ----------
    interface : object or None
        psana's, of the run that was opened last.
    """

    def __init__(self, src, type_, log=None, psana_config=None, values=None):
        self._values = values or {}
        self.src, self.type = src, type_ or "raw"
        self._log, self._asked = log, psana_config is not None
        self._calibration = None
        if self.type.rpartition(".")[2] in CALIBRATED:
            config = psana_config or make_psana_config(self.src, self.type)
            self._calibration = Calibration(config, log) if asks(config) else None
        self.interface = None

    def of_run(self, run, where):
        """Return what is wanted of a run.

        Parameters
        ----------
        run : psana.psexp.run.Run
        where : str
            Names the run in errors.

        Returns
        -------
        OfRun

        Raises
        ------
        ConfigError
            The run has no such detector or field, or psana cannot calibrate it
            as the config asks.
        """
        return OfRun(run, self._field_of(run, where), Values(run, self._values, where))

    def _field_of(self, run, where):
        interface, name = find_field(run, self.src, self.type, where)
        calibration, options = self._calibration, None
        if calibration is not None and not is_calibrated(interface):
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

    def look_ahead(self, events):
        """Learn from the first of some events that has data what an array of them is.

        Parameters
        ----------
        events : iterable of parcorana.events.protocol.Event
            Not asked for any further once there was data. Events that cannot be
            read are passed over: that is told when they are read in their turn.

        Returns
        -------
        shape : tuple of int or None
        dtype : numpy.dtype or None
            Both None if no event has data.

        Raises
        ------
        ConfigError
            The detector gives something else than an array of numbers, or a
            value is none.
        """
        try:
            for event in events:
                try:
                    data = event.data()
                except EventError:
                    continue
                if data is not None:
                    check_array(data, self.src, self.type)
                    return data.shape, data.dtype
        except NotANumber as error:
            raise ConfigError(str(error)) from error
        return None, None


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
