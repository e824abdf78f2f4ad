"""Where a detector's elements are in space, and what momentum transfer they see."""

from dataclasses import dataclass

import numpy as np

from parcorana.detector.images import Layout
from parcorana.detector.instrument import Instrument
from parcorana.detector.masks import shown_shape
from parcorana.errors import ConfigError

KEV_ANGSTROM = 12.398419843320025
"""Photon energy times wavelength: h c / e, exact in the SI of 2019."""


@dataclass(frozen=True)
class Geometry:
    """Positions of a detector's elements.

    Attributes
    ----------
    layout : Layout
    down, right : float64 arrays of the detector's shape [image pixels]
        Centre of each element: whole numbers are the centres of the image's pixels.
    farther : float64 array [um], or 0.0
        How much farther downstream each element is than their mean.
    pixel : float [um] or None
        Size of an image pixel, where that is known.
    distance : float [mm] or None
        From sample to detector, mean over the elements, where that is known.
    beam : (float, float) or None
        Row and column of the beam in the image, where that is known.
    stated : parcorana.detector.instrument.Instrument or None
        What the data state of the instrument.
    source : str
        Where it comes from, for the log.
    metric : bool
        False if the segments are only laid out side by side, so that there are no rings.
    """

    layout: Layout
    down: np.ndarray
    right: np.ndarray
    farther: np.ndarray | float = 0.0
    pixel: float | None = None
    distance: float | None = None
    beam: tuple | None = None
    stated: Instrument | None = None
    source: str = ""
    metric: bool = True

    @classmethod
    def of_layout(cls, layout, source, metric=True):
        """Make a geometry of index files alone: elements sit at the centres of their pixels."""
        return cls(layout, layout.iX.astype(np.float64), layout.iY.astype(np.float64), source=source, metric=metric)

    @classmethod
    def of_coordinates(cls, x, y, z, iX, iY, pixel, source, trust_distance):
        """Make a geometry of psana's pixel coordinates.

        Parameters
        ----------
        x, y, z : float arrays of the detector's shape [um]
            In psana's frame: x along the image's rows (down), y along its
            columns (right), z against the beam, beam and sample at (0, 0, 0).
        iX, iY : int arrays
        pixel : float [um]
        source : str
        trust_distance : bool
            Whether z is the distance to the sample, and not a place holder.
        """
        layout = Layout(np.asarray(iX, np.int32), np.asarray(iY, np.int32))
        return cls(
            layout,
            (x - x.min()) / pixel,
            (y - y.min()) / pixel,
            farther=z.mean() - z,
            pixel=float(pixel),
            distance=abs(float(z.mean())) / 1e3 if trust_distance and z.mean() else None,
            beam=(-float(x.min()) / pixel, -float(y.min()) / pixel),
            source=source,
        )

    @property
    def middle(self):
        """Row and column of the middle of the image."""
        rows, columns = self.layout.shape
        return (rows - 1) / 2, (columns - 1) / 2

    def radius(self, center):
        """Return each element's distance to `center`, (row, column), in image pixels."""
        return np.hypot(self.down - center[0], self.right - center[1])

    def angle(self, center):
        """Return each element's direction from `center`: degrees, 0 to the right, 90 up, as the picture is drawn."""
        return np.degrees(np.arctan2(center[0] - self.down, self.right - center[1])) % 360

    def q(self, center, distance, pixel, wavelength):
        """Return each element's momentum transfer, ``4 pi / wavelength sin(angle / 2)``.

        Als-Nielsen and McMorrow, Elements of Modern X-ray Physics, 2011, section 4.1.

        Parameters
        ----------
        center : (float, float)
            Row and column of the beam.
        distance : float [mm]
            From sample to detector, mean over the elements.
        pixel : float [um]
        wavelength : float [1e-10 m]

        Returns
        -------
        float64 array of the detector's shape [1e10 / m]
        """
        downstream = distance * 1e3 + self.farther
        scattering = np.arctan2(self.radius(center) * pixel, downstream)
        return 4 * np.pi / wavelength * np.sin(scattering / 2)


def check_size(geometry_size, shape, what):
    """Raise ConfigError if a geometry has not as many elements as the data."""
    if geometry_size != int(np.prod(shape)):
        raise ConfigError(
            f"{what} has {geometry_size:,} elements, the data {int(np.prod(shape)):,} ({shown_shape(shape)}): "
            "it is of another detector"
        )
