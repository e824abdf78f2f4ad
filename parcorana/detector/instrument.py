"""What data state of the instrument that took them: energy, distance, pixels, beam, times, limits, bad pixels."""

from dataclasses import dataclass, replace

import numpy as np

BAD = np.uint32(0xFFFF)
"""Bits that make an element bad; those above tell something of it that is no reason to leave it out."""

_REASONS = {
    0: "gap",
    1: "dead",
    2: "under-responding",
    3: "over-responding (hot)",
    4: "noisy",
    6: "among other bad ones",
    8: "masked by the user",
    31: "virtual",
}
_TEXTS = {
    "energy": "{:.6g} keV",
    "distance": "{:.6g} mm",
    "pixel": "{:.6g} um",
    "beam": "row {:.6g}, column {:.6g}",
}
_ALIKE = 1e-3  # relative difference, up to which two numbers say the same


@dataclass(frozen=True)
class Instrument:
    """What the data state; None where they do not, or where that cannot be.

    Attributes
    ----------
    source : str
        Name of the file that states it.
    energy : float [keV] or None
        Of the photons.
    distance : float [mm] or None
        From sample to detector.
    pixel : float [um] or None
        Size of a pixel, the same in both directions.
    beam : (float, float) or None
        Row and column of the beam in a frame.
    frame_time, count_time : float [s] or None
        From one frame to the next; how long light is counted for one.
    saturation : float or None
        Count from which on an element is saturated.
    bits : int or None
        Of a count.
    announced, found : int or None
        Frames that were to be taken, and that there are.
    bad : (detector's shape) uint32 or None
        Why an element is bad, in bits as NXmx defines them; 0: it is good.
    by_frames : bool
        Whether the frames count as pulses, so that `frame_time` tells the rate.
    places : dict of str to str
        Of each of these names where it is stated, with what had to be supposed.
    doubts : tuple of str
        What is stated, but not used, and why.
    """

    source: str
    energy: float | None = None
    distance: float | None = None
    pixel: float | None = None
    beam: tuple | None = None
    frame_time: float | None = None
    count_time: float | None = None
    saturation: float | None = None
    bits: int | None = None
    announced: int | None = None
    found: int | None = None
    bad: np.ndarray | None = None
    by_frames: bool = False
    places: dict | None = None
    doubts: tuple = ()

    def __bool__(self):
        """Tell whether anything is stated at all."""
        return bool(self.places or self.doubts)

    @property
    def limit(self):
        """Count from which on an element is saturated: as stated, or the largest one of so many bits; else None."""
        if self.saturation is not None or self.bits is None:
            return self.saturation
        return float(2**self.bits - 1)

    @property
    def without_arrays(self):
        """The same without `bad`, to be sent to other processes."""
        return replace(self, bad=None)

    def text(self, name):
        """Return the energy, distance, pixel or beam with its unit; an empty text if it is not stated."""
        value = getattr(self, name)
        return _TEXTS[name].format(*np.atleast_1d(value)) if value else ""

    def left_out(self):
        """Return where elements are bad, (detector's shape) bool; None if nothing is stated of them."""
        return None if self.bad is None else (self.bad & BAD) != 0

    def agreed(self, others):
        """Return what is stated here and contradicted by none of other files of the same run.

        Parameters
        ----------
        others : iterable of Instrument
            Their `bad` is not looked at.
        """
        kept, doubts = {}, []
        for name in ("energy", "distance", "pixel", "beam", "frame_time", "count_time", "saturation", "bits"):
            mine = getattr(self, name)
            for other in others:
                theirs = getattr(other, name)
                if mine is not None and theirs is not None and not alike(mine, theirs):
                    kept[name] = None
                    doubts.append(f"{name.replace('_', ' ')}: {self.source} and {other.source} differ")
                    break
        counts = [self, *others]
        for name in ("announced", "found"):
            of_each = [getattr(each, name) for each in counts]
            kept[name] = None if None in of_each else sum(of_each)
        return replace(self, **kept, doubts=(*self.doubts, *doubts))


def alike(one, other):
    """Tell whether two numbers, or two pairs of numbers, say the same."""
    return bool(np.allclose(one, other, rtol=_ALIKE, atol=0))


def reasons(bad, where=True):
    """Return why how many elements are bad, as text: ``1,200 gap, 3 dead``.

    Parameters
    ----------
    bad : uint32 array
        As `Instrument.bad`.
    where : bool array of that shape, optional
        Which are counted. One that is bad for several reasons is counted for each.
    """
    chosen = bad[np.broadcast_to(where, bad.shape)]
    chosen = chosen[chosen != 0]
    numbers = {bit: int(np.count_nonzero(chosen & np.uint32(1 << bit))) for bit in range(32)}
    return ", ".join(f"{n:,} {_REASONS.get(bit, f'bit {bit}')}" for bit, n in numbers.items() if n)
