"""psana's objects of a run's detectors: found by name, one for each run."""

import inspect

from parcorana.errors import ConfigError, nearest


def find_field(run, src, type_, where, key=None):
    """Find what `src` and `type_` name.

    Parameters
    ----------
    run : psana.psexp.run.Run
    src : str
        Detector name.
    type_ : str
        ``'raw'``, ``'calib'``, any other field, or ``'fex.energy'`` for a field
        of a certain interface.
    where : str
        Names the run in errors.
    key : str, optional
        What of the config says so, in errors; `src` and `type` without it.

    Returns
    -------
    interface : object
        psana's, of one algorithm of the detector.
    name : str
        Of the interface's method that returns the field.

    Raises
    ------
    ConfigError
        Lists what the run, or the detector, has.
    """
    if src not in run.detnames:
        known = ", ".join(sorted(run.detnames)) or "none"
        raise ConfigError(f"{key or f'src {src!r}'}: {where} has these detectors: {known}{nearest(src, run.detnames)}")
    detector = own_detector(run, src)
    names = sorted((alg for name, alg in run.detinfo if name == src), key=lambda alg: (alg != "raw", alg))
    fields = {name: _fields(getattr(detector, name)) for name in names}
    wanted, dot, field = type_.rpartition(".")
    for name in [wanted] if dot else names:
        if field in fields.get(name, ()):
            return getattr(detector, name), field
    known = [f"{name}.{field}" for name in names for field in fields[name]]
    raise ConfigError(
        f"{key or f'type {type_!r}'}: detector {src!r} of {where} has these: {', '.join(known)}{nearest(type_, known)}"
    )


def own_detector(run, src, **options):
    """Return psana's detector object, one that no other run of this process shares; so with its constants.

    psana keeps one object per detector name and changes it when the next run is
    opened, which takes the data of the run still being read.

    Parameters
    ----------
    run : psana.psexp.run.Run
    src : str
        Detector name, one of the run's.
    **options
        For psana's ``run.Detector``, as `Calibration.options_of` says.
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


def is_calibrated(interface):
    """Tell whether a detector's class takes psana's options of calibration."""
    from psana.detector.areadetector import AreaDetectorRaw

    return isinstance(interface, AreaDetectorRaw)


def _fields(interface):
    """Return the names of a detector interface's methods that take an event."""
    names = (name for name in dir(interface) if not name.startswith("_"))
    return [name for name in names if callable(inspect.getattr_static(interface, name))]
