"""psana's calibration, made to do what a `psana_config` says."""

import numpy as np

from parcorana.detector import masks
from parcorana.errors import ConfigError, one_line
from parcorana.events.psana2 import library
from parcorana.events.psana_config import CONSTANTS, asks
from parcorana.files.paths import fault_of

_LOOKED_AT = 3  # events that are compared before and after


class Calibration:
    """Loads constants, hands them to psana, and looks whether they fit and do anything.

    Parameters
    ----------
    config : dict
        As `parcorana.make_psana_config` makes it.
    log : callable or None
        Takes a line of warning; None on the servers that leave that to another.

    Raises
    ------
    ConfigError
        A file of constants cannot be read, or holds none.
    """

    def __init__(self, config, log):
        self.config, self._log = config, log
        self._left = _LOOKED_AT
        self._same = True
        self._files = {
            CONSTANTS[name]: load_constants(config[name], name) for name in CONSTANTS if isinstance(config[name], str)
        }

    def constants_of(self, run, src, where):
        """Return the constants for a run; say what is missing.

        Parameters
        ----------
        run : psana.psexp.run.Run
        src : str
            Detector name.
        where : str
            Names the run in warnings.

        Returns
        -------
        dict of str to (ndarray or object, dict)
            As psana has it: by psana's names of kinds of constants, the
            constants, in psana's units for the detector, and their experiment
            and run.
        """
        config, meta = self.config, {"experiment": run.expt or "", "run": run.runnum or 0}
        wanted = [name for name in CONSTANTS if config[name] is True]
        constants = {key: (array, meta) for key, array in self._files.items()}
        if wanted:
            found = _of_facility(run, src, config["dbsuffix"])
            constants |= {
                CONSTANTS[name]: found[CONSTANTS[name]] for name in wanted if found and CONSTANTS[name] in found
            }
            if found and "geometry" in found:
                constants["geometry"] = found["geometry"]
            missing = [name for name in wanted if CONSTANTS[name] not in constants]
            if found is None:
                self._warn(
                    f"{where}: the facility's calibration constants cannot be reached: {', '.join(missing)} of {src!r} "
                    "are left out; name files of constants in psana_config, or take type 'raw'"
                )
            elif missing and (len(missing) == len(wanted) or missing[0] == "pedestals"):
                self._warn(f"{where}: the facility has no {', '.join(missing)} for {src!r}: left out")
        if "pedestals" not in constants and constants:
            # without pedestals psana would leave out everything else, too
            like = next(iter(constants.values()))[0]
            constants["pedestals"] = np.zeros(np.shape(like), np.float32), meta
        return constants

    def options_of(self):
        """Return the arguments of psana's ``run.Detector`` that make the mask of bad pixels: dict of str."""
        config = self.config
        return {
            "status": bool(config["pixel_status"]),
            "status_bits": config["status_bits"],
            "calib": bool(config["pixel_mask"]),
            "neighbors": bool(config["neighbors"]),
            "rad": config["neighbors"],
            "edges": bool(config["edges"]),
            "edge_rows": config["edges"],
            "edge_cols": config["edges"],
            "center": bool(config["center"]),
            "center_rows": config["center"],
            "center_cols": config["center"],
        }

    def arguments_of(self, interface, src):
        """Return the arguments of psana's ``calib``.

        Parameters
        ----------
        interface : object
            psana's detector interface.
        src : str
            Its detector's name, for the error.

        Returns
        -------
        dict of str

        Raises
        ------
        ConfigError
            A common mode that psana does not do for this detector.
        """
        common = self.config["common_mode"]
        if common is None:
            return {}
        from psana.detector.areadetector import AreaDetectorRaw

        jungfrau = interface._dettype == "jungfrau"
        if type(interface).calib is AreaDetectorRaw.calib or (jungfrau and len(interface._segment_numbers) == 1):
            of = "one segment" if jungfrau else f"type {interface._dettype}"
            raise ConfigError(f"psana_config['common_mode']: psana does none for {src!r}, a detector of {of}")
        # of psana's ways for the jungfrau only the first one does it
        return {"cmpars": tuple(common)} | ({"cversion": 0} if jungfrau else {})

    def check_shapes(self, interface, raw):
        """Refuse constants that do not fit the data.

        Parameters
        ----------
        interface : object
            psana's detector interface; it has the constants.
        raw : (..., rows, columns) array
            One event's.

        Raises
        ------
        ConfigError
            Constants of other rows and columns, or not of whole frames.
        """
        for key, (array, _) in (interface._calibconst or {}).items():
            if not isinstance(array, np.ndarray):
                continue
            if array.shape[-2:] != raw.shape[-2:] or array.size % raw.size:
                name = next((name for name, of in CONSTANTS.items() if of == key), key)
                where = self.config.get(name)
                where = repr(where) if isinstance(where, str) else "of the facility"
                raise ConfigError(
                    f"psana_config[{name!r}]: the constants {where} have the shape {array.shape}, which does not fit "
                    f"data of shape {raw.shape}"
                )

    def compare(self, raw, calibrated):
        """Look at one of the first events; warn after the last of them if calibration has changed nothing.

        Parameters
        ----------
        raw, calibrated : ndarray or None
            One event's.
        """
        self._left -= 1
        if raw.shape != np.shape(calibrated) or not np.array_equal(raw, calibrated):
            self._same = False
        if not self._left and self._same and self._log is not None:
            done = ", ".join(asks(self.config))
            self._warn(f"psana_config asks for {done}, but raw and calibrated data are equal in {_LOOKED_AT} events")

    @property
    def looks(self):
        """Whether `compare` still wants events."""
        return self._left > 0

    def _warn(self, line):
        if self._log is not None:
            self._log(line)


def load_constants(path, name):
    """Read constants from a file.

    Parameters
    ----------
    path : str
        ``.npy``, or text as psana's own tools write it (2-D, may begin with comments).
    name : str
        Key of `psana_config`.

    Returns
    -------
    ndarray of two or more axes
        uint64 for 'pixel_status' and 'pixel_mask', which are bits; else float32.

    Raises
    ------
    ConfigError
        No such file, or not an array of finite numbers of two or more axes.
    """
    if path.endswith(".npy"):
        array = masks.load_numbers(f"psana_config[{name!r}]", path)
    else:
        if fault := fault_of(path):
            raise ConfigError(f"psana_config[{name!r}]: the file {path!r} {fault}")
        from psana.pscalib.calib.NDArrIO import load_txt

        try:
            array = np.asarray(load_txt(path))
        except Exception as error:  # whatever psana raises over a line that it does not know
            raise ConfigError(f"psana_config[{name!r}]: {path!r} cannot be read: {one_line(error)}") from error
    if array.dtype.kind not in "iufb" or array.ndim < 2:
        raise ConfigError(f"psana_config[{name!r}]: {path!r} has {array.dtype} of shape {array.shape}, not constants")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ConfigError(f"psana_config[{name!r}]: {path!r} has values that are not finite")
    return array.astype(np.uint64 if name in ("pixel_status", "pixel_mask") else np.float32)


def _of_facility(run, src, dbsuffix):
    """Return the facility's constants for a detector, None where it cannot be reached."""
    import requests
    from psana.pscalib.calib import CalibConstants, MDBWebUtils

    url = CalibConstants.URL
    # Only whether there is a way is asked in time: the constants themselves may be gigabytes.
    if library.in_time(lambda: requests.head(url, timeout=library.REACH_SECONDS).status_code) is None:
        return None
    unique = run.dsparms.configinfo_dict[src].uniqueid
    try:
        return MDBWebUtils.calib_constants_all_types(unique, exp=run.expt, run=run.runnum, dbsuffix=dbsuffix) or {}
    except (Exception, SystemExit):  # psana leaves the process where the service is overloaded
        return None
