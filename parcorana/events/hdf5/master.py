"""What a NeXus file states of the instrument beside its frames: an Eiger's master, and what else follows NXmx."""

import math
import os
import posixpath
from contextlib import suppress

import h5py
import numpy as np

from parcorana.detector.geometry import KEV_ANGSTROM
from parcorana.detector.instrument import BAD, Instrument, alike
from parcorana.errors import RunError, one_line, printable
from parcorana.events.hdf5.nexus import Kind, Nexus
from parcorana.events.hdf5.plain import check_bytes, dtype_of
from parcorana.events.hdf5.slab import shape_of
from parcorana.events.hdf5.units import KEV, METRES, PURE, SECONDS
from parcorana.files.trial import allow_more, tried

_MASKS = 100  # one for each of some frames
_MOST_FRAMES = 1 << 40
_PIXELS = ("pixel", "px", "1", "")

_ENERGY = Kind("a photon energy", KEV, ("ev", "kev"), 0.1, 250.0)
_WAVELENGTH = Kind("a wavelength of X-rays", METRES, ("angstrom", "m", "nm"), 5e-12, 1.3e-8)
_DISTANCE = Kind("a distance", METRES, ("m", "mm"), 1e-3, 50.0)
_PIXEL = Kind("the size of a pixel", METRES, ("m", "um", "mm"), 1e-7, 1e-2)
_TIME = Kind("a time", SECONDS, ("s",), 1e-9, 1e5)
_COUNT = Kind("a count", PURE, ("",), 1.0, 2.0**64)
_BITS = Kind("a number of bits", PURE, ("",), 1.0, 64.0)
_IMAGES = Kind("a number of images", PURE, ("",), 1.0, float(_MOST_FRAMES))


def read_instrument(stack, with_mask=True):
    """Read what a file states of the instrument.

    Parameters
    ----------
    stack : parcorana.events.hdf5.stack.Stack
    with_mask : bool
        Whether to read the detector's own mask, too.

    Returns
    -------
    Instrument
        With nothing in it, if nothing is stated. What cannot be read, or
        cannot be, is among its doubts.
    """
    # HDF5's library may crash, or find no end, over what is damaged: nothing here is worth the run
    if fault := tried(_read, stack, with_mask):
        return Instrument(_source(stack.name), doubts=(f"what it states of the instrument: {fault}",))
    return _read(stack, with_mask)


def read_instruments(stacks):
    """Read what several files state, as `read_instrument` does; the detector's own mask of the first one only."""
    # one child tries them all; each has a child of its own only where that one does not get through
    read = read_instrument if tried(_read_all, stacks) else _read
    return [read(stack, k == 0) for k, stack in enumerate(stacks)]


def _read_all(stacks):
    for k, stack in enumerate(stacks):
        allow_more()
        _read(stack, k == 0)


def _source(name):
    return printable(os.path.basename(name))


def _read(stack, with_mask):
    frames = stack.frames
    return _Reader(stack.trust, stack.path).read(frames.shape, frames.dtype, with_mask)


def frame_time_of(trust, path):
    """Return the seconds from frame to frame that a file states for its frames at a path, None if it does not."""
    with suppress(RunError):
        found = _Reader(trust, path).frame_time()
        return found and found[0]
    return None


def announced_by(trust, path, name=None):
    """Return how many frames a file, by default the one that the user named, says that were to be taken, or None."""
    with suppress(RunError):
        return _Reader(trust, path, name).announced()
    return None


class _Reader(Nexus):
    """Makes an `Instrument` of what is stated; notes of each number where it is."""

    def __init__(self, trust, path, name=None):
        super().__init__(trust, path, name)
        self._places = {}

    def frame_time(self):
        """Return the time from frame to frame, and where it is; None if it is not stated."""
        beside = posixpath.join(posixpath.dirname(self._path), "frame_time")
        return self.detector_number(_TIME, "frame_time") or self.number(_TIME, beside)

    def announced(self):
        """Return how many images were to be taken: so many for each trigger, so many triggers."""
        images = self.detector_number(_IMAGES, "detectorSpecific/nimages")
        triggers = self.detector_number(_IMAGES, "detectorSpecific/ntrigger")
        number = images and images[0] * (triggers[0] if triggers else 1)
        if number is None or number > _MOST_FRAMES:
            return None
        self._places["announced"] = images[1] + (" x ntrigger" if triggers else "")
        return int(number)

    # -- all of it ---------------------------------------------------------------

    def read(self, shape, dtype, with_mask):
        """Return the `Instrument`; `shape` and `dtype` are those of the stack of frames."""
        self._places, known = {}, {}
        known["energy"] = self._energy()
        self._take(known, "distance", self.detector_number(_DISTANCE, "detector_distance", "distance"), 1e3)
        known["pixel"], sizes = self._pixel()
        known["beam"] = self._beam(sizes)
        self._take(known, "frame_time", self.frame_time())
        self._take(known, "count_time", self.detector_number(_TIME, "count_time"))
        frame, count = known.get("frame_time"), known.get("count_time")
        if frame and count and count > frame * (1 + 1e-3):
            self.doubt("count_time", f"{count:g} s, longer than frame_time, {frame:g} s: neither is used")
            known["frame_time"] = known["count_time"] = None
        self._limits(known, dtype)
        known["announced"], known["found"] = self.announced(), shape[0]
        if with_mask:
            known["bad"] = self._mask(shape[1:])
        places = {name: printable(place) for name, place in self._places.items() if known.get(name) is not None}
        doubts = tuple(dict.fromkeys(map(printable, self.doubts)))
        return Instrument(_source(self._trust.name), **known, places=places, doubts=doubts)

    def _take(self, known, name, found, factor=1.0):
        if found is not None:
            known[name], self._places[name] = found[0] * factor, found[1]

    def _energy(self):
        """Return the photon energy [keV], if all that states it agrees."""
        beams, found = [], []
        if self.instrument is not None:
            entry = posixpath.dirname(self.instrument)
            beams = self.groups(self.instrument, "NXbeam", ("beam", "incident_beam"))
            for sample in self.groups(entry, "NXsample", ("sample",)):
                beams += self.groups(sample, "NXbeam", ("beam", "incident_beam"))
        sources = [(beam, "incident_") for beam in beams]
        if self.instrument is not None:
            sources += [(each, "") for each in self.groups(self.instrument, "NXmonochromator", ("monochromator",))]
        for group, prefix in sources:
            if length := self.number(_WAVELENGTH, f"{group}/{prefix}wavelength"):
                found.append((KEV_ANGSTROM / (length[0] * 1e10), length[1]))
            found.append(self.number(_ENERGY, f"{group}/{prefix}energy"))
        found.append(self.detector_number(_ENERGY, "detectorSpecific/photon_energy", "photon_energy"))
        found = [each for each in found if each]
        if not found:
            return None
        for value, place in found[1:]:
            if not alike(value, found[0][0]):
                self.doubts.append(
                    f"photon energy: {found[0][1]} says {found[0][0]:.6g} keV, {place} says {value:.6g} keV"
                )
                return None
        self._places["energy"] = found[0][1]
        return found[0][0]

    def _pixel(self):
        """Return the size of a pixel [um], if it is square; and both sizes [m], x and y, None where not stated."""
        x, y = (self.detector_number(_PIXEL, f"{axis}_pixel_size") for axis in "xy")
        both = (x or y) and ((x or y)[0], (y or x)[0])
        if not both:
            return None, None
        if not alike(*both):
            self.doubts.append(f"pixels are not square: {both[0] * 1e6:.6g} by {both[1] * 1e6:.6g} um")
            return None, both
        self._places["pixel"] = (x or y)[1]
        return both[0] * 1e6, both

    def _beam(self, sizes):
        """Return row and column of the beam."""
        found = []
        for axis, name in ((1, "beam_center_y"), (0, "beam_center_x")):
            size = sizes[axis] if sizes else None
            units = dict.fromkeys(_PIXELS, 1.0) | ({unit: m / size for unit, m in METRES.items()} if size else {})
            kind = Kind("a place of the beam, in pixels", units, ("",), -1e6, 1e6)
            found.append(self.detector_number(kind, name))
        if None in found:
            return None
        (row, place), (column, _) = found
        if row == 0 and column == 0:
            self.doubt(place.replace("beam_center_y", "beam_center_x, beam_center_y"), "0, 0, which is: not set")
            return None
        self._places["beam"] = place.replace("beam_center_y", "beam_center_x, beam_center_y")
        return row, column

    def _limits(self, known, dtype):
        """Read from which count on an element is saturated, and how many bits a count has."""
        paths = ("saturation_value", "detectorSpecific/saturation_value")
        stated = self.detector_number(_COUNT, *paths)
        cutoff = self.detector_number(
            _COUNT, "detectorSpecific/countrate_correction_count_cutoff", "countrate_correction_count_cutoff"
        )
        both = sorted(filter(None, (stated, cutoff)))
        self._take(known, "saturation", both[0] if both else None)
        bits = self.detector_number(_BITS, "bit_depth_image", "detectorSpecific/bit_depth_image")
        if bits is not None and dtype.kind in "iu" and bits[0] > 8 * dtype.itemsize:
            self.doubt(bits[1], f"{bits[0]:g}, though the frames are {dtype}")
        elif bits is not None and bits[0] == int(bits[0]):
            known["bits"], self._places["bits"] = int(bits[0]), bits[1]

    def _mask(self, shape):
        """Return the detector's own mask, (shape) uint32; of several frames the reasons of all together."""
        for name in ("pixel_mask", "detectorSpecific/pixel_mask", "threshold_1_channel/pixel_mask"):
            path = f"{self.detector}/{name}"
            file, item = self.at(path) if self.detector is not None else (None, None)
            if not isinstance(item, h5py.Dataset):
                continue
            try:
                bad = self._mask_of(file, item, path, shape)
            except RunError:
                raise
            except Exception as error:  # whatever h5py raises over a damaged file
                self.doubts.append(f"{path.strip('/')}: {one_line(error)}")
                continue
            number = np.count_nonzero(bad & BAD)
            if 2 * number > bad.size:
                text = f"bad at {number:,} of {bad.size:,} elements: in NXmx 0 is a good element, is it so here?"
                self.doubt(path.strip("/"), text)
                continue
            self._places["bad"] = path.strip("/")
            return bad
        return None

    def _mask_of(self, file, item, path, shape):
        found, kind = shape_of(item) or (), dtype_of(item).kind
        masks = found[: len(found) - len(shape)]
        if kind not in ("iu" if item.is_virtual else "iub"):
            raise ValueError(f"its dtype is {dtype_of(item)}, and must be a whole number")
        if found[len(masks) :] != tuple(shape) or math.prod(masks) not in range(1, _MASKS + 1):
            raise ValueError(f"its shape is {found}, and must be {tuple(shape)}, that of a frame")
        check_bytes(path.strip("/"), math.prod(found) * max(item.dtype.itemsize, 4))
        # of signed ones bit 31 is the sign
        values = self.array(file, item, path).astype(np.uint32, copy=False).reshape(-1, *shape)
        return values[0] if len(values) == 1 else np.bitwise_or.reduce(values, axis=0)
