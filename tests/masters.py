"""An Eiger's master as Dectris' FileWriter makes it, or NXmx: frames in files of their own, and what it states."""

from itertools import pairwise

import h5py
import numpy as np

SHAPE, FRAMES = (24, 32), 40
GAP = 2**32 - 1
DETECTOR = "entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
CLASSES = {
    "entry": "NXentry",
    "entry/data": "NXdata",
    "entry/instrument": "NXinstrument",
    "entry/instrument/beam": "NXbeam",
    DETECTOR: "NXdetector",
    SPECIFIC: "NXcollection",
}
STATED = {  # path: value, units
    "entry/instrument/beam/incident_wavelength": (np.float32(1.5498025), "angstrom"),
    f"{DETECTOR}/detector_distance": (np.float32(4.9), "m"),
    f"{DETECTOR}/x_pixel_size": (np.float32(75e-6), "m"),
    f"{DETECTOR}/y_pixel_size": (np.float32(75e-6), "m"),
    f"{DETECTOR}/beam_center_x": (np.float32(16.5), "pixel"),
    f"{DETECTOR}/beam_center_y": (np.float32(11.25), "pixel"),
    f"{DETECTOR}/frame_time": (np.float32(0.002), "s"),
    f"{DETECTOR}/count_time": (np.float32(0.00199), "s"),
    f"{DETECTOR}/bit_depth_image": (np.int64(32), None),
    f"{SPECIFIC}/photon_energy": (np.float32(8000), "eV"),
    f"{SPECIFIC}/countrate_correction_count_cutoff": (np.uint32(3000), None),
    f"{SPECIFIC}/nimages": (np.uint64(FRAMES), None),
    f"{SPECIFIC}/ntrigger": (np.uint64(1), None),
}


def bad_pixels():
    """Return a pixel mask: a gap of two rows, a dead, a hot, a noisy element, one that is only interpolated."""
    bad = np.zeros(SHAPE, np.uint32)
    bad[10:12], bad[3, 4], bad[5, 6], bad[7, 7], bad[1, 1] = 1, 2, 8, 16 | 64, 1 << 31
    return bad


def frames_of_eiger(frames=FRAMES):
    """Return frames, (n, 24, 32) uint32: counts of 5, gaps, and an element that saturates in some."""
    data = np.random.default_rng(0).poisson(5, (frames, *SHAPE)).astype(np.uint32)
    data[:, bad_pixels() & 3 != 0] = GAP
    data[5:9, 20, 20] = 4000
    return data


def write_master(folder, stated=None, classes=True, frames=FRAMES, parts=4):
    """Write a master and the files of its frames; return its name as a dataset.

    Parameters
    ----------
    folder : path
    stated : dict of str to (value, units) or None
        In place of `STATED`, where the path is the same; None leaves it out.
    classes : bool
        Whether groups state their NX_class.
    """
    data = frames_of_eiger(frames)
    stated = {f"{SPECIFIC}/pixel_mask": (bad_pixels(), None)} | STATED | (stated or {})
    with h5py.File(folder / "A_master.h5", "w") as file:
        for path, name in CLASSES.items():
            file.create_group(path).attrs.update({"NX_class": name} if classes else {})
        for path, value in stated.items():
            if value is not None:
                file[path] = value[0]
                file[path].attrs.update({"units": value[1]} if value[1] is not None else {})
        ends = np.linspace(0, frames, parts + 1).astype(int).tolist()
        for k, (a, b) in enumerate(pairwise(ends), 1):
            name = f"A_data_{k:06d}.h5"
            file[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
            with h5py.File(folder / name, "w") as part:
                part["entry/data/data"] = data[a:b]
                part["entry/data/data"].attrs.update({"image_nr_low": a + 1, "image_nr_high": b})
    return f"h5={folder}/A_master.h5"
