"""Where psana says that a detector's elements are: geometry files, and what a run's detector knows."""

import os
import sys

from parcorana.detector.geometry import Geometry, check_size
from parcorana.errors import ConfigError, one_line
from parcorana.files.paths import fault_of


def read_geometry(path, shape):
    """Read a geometry file as psana keeps them (``geometry/*.data``): a hierarchy of panels.

    Parameters
    ----------
    path : str
    shape : tuple of int
        Of the detector's ndarray.

    Returns
    -------
    Geometry

    Raises
    ------
    ConfigError
        No psana, no such file, not a geometry file, or of another detector.
    """
    if fault := fault_of(path):
        raise ConfigError(f"-g: the file {path!r} {fault}")
    if "psana" not in sys.modules:
        os.environ["PS_PARALLEL"] = "none"  # else psana would give ranks roles of its own
    try:
        from psana.pscalib.geometry.GeometryAccess import GeometryAccess
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"-g: psana, which reads {path!r}, cannot be imported ({one_line(error)}): "
            "pip install 'parcorana[psana]', or take index files (--iX, --iY)"
        ) from None
    try:
        access = GeometryAccess(path)
        coordinates = access.get_pixel_coords()
        indexes = access.get_pixel_coord_indexes()
        pixel = access.get_pixel_scale_size()
    except Exception as error:  # whatever psana raises over a line that it does not know
        why = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"-g: {path!r} is not a geometry file that psana can read ({why})") from None
    check_size(coordinates[0].size, shape, f"-g: the geometry {path!r}")
    arrays = [array.reshape(shape) for array in (*coordinates, *indexes)]
    return Geometry.of_coordinates(*arrays, pixel, f"geometry file {path}", trust_distance=True)


def detector_geometry(interface, shape):
    """Return the geometry that psana has for the detector of a run; None if it has none of that shape.

    Parameters
    ----------
    interface : object
        psana's detector interface.
    shape : tuple of int
        Of the detector's ndarray.
    """
    constants = getattr(interface, "_calibconst", None) or {}
    deployed = bool(isinstance(constants, dict) and constants.get("geometry"))
    try:
        coordinates = interface._pixel_coords()
        indexes = interface._pixel_coord_indexes()
        pixel = interface._det_geo().get_pixel_scale_size()
        arrays = [array.reshape(shape) for array in (*coordinates, *indexes)]
    except Exception:  # a detector class without geometry, or with one for other panels
        return None
    source = "psana's, of the experiment" if deployed else "psana's default for this detector"
    return Geometry.of_coordinates(*arrays, pixel, source, trust_distance=deployed)
