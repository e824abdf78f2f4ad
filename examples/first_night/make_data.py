"""Make data as beamlines write them, of a sample whose diffusion coefficient is known (docs/first-night.md).

Usage::

    python make_data.py eiger FOLDER      # water_master.h5 and its data files, as an Eiger writes them
    python make_data.py sase FOLDER       # pulses.h5: a pulsed run with a monitor beside the frames
    python make_data.py tiff FOLDER       # one TIFF file for each frame; needs tifffile. npy: .npy files

Full size is ``eiger FOLDER --frames 2000 --shape 514x1030``: 2 GB, two minutes, 150 MB of memory.
"""

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
from sample import GLYCEROL, PIXEL, WATER, WAVELENGTH, Place, Sample, add_size, sase_pulses

PER_FILE = 1000  # frames in each data file, as Dectris' own default
GAP, DEAD, HOT = 1, 2, 16  # bits of an Eiger's pixel mask


def shape_of(text):
    """Return (rows, columns) of a text like 514x1030."""
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and min(int(rows), int(columns)) >= 32):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape like 514x1030, of at least 32x32")
    return int(rows), int(columns)


def faults(shape, seed):
    """Return a detector's pixel mask, (rows, columns) uint32: a gap between modules, dead pixels, hot ones."""
    rng = np.random.default_rng([seed, 3])
    rows = shape[0]
    mask = np.zeros(shape, np.uint32)
    mask[rng.random(shape) < 5e-4] = DEAD
    mask[rng.random(shape) < 5e-4] = HOT
    mask[rows * 3 // 4 : rows * 3 // 4 + max(2, rows // 32)] = GAP
    return mask


def as_counted(frames, mask, dtype, seed):
    """Yield the frames of a detector with these faults: gaps hold the largest value of the type."""
    rng = np.random.default_rng([seed, 4])
    most = np.iinfo(dtype).max
    gap, dead, hot = (mask == bit for bit in (GAP, DEAD, HOT))
    for frame in frames:
        counts = np.minimum(frame, most - 1).astype(dtype)
        counts[dead] = 0
        counts[hot] = rng.poisson(500, np.count_nonzero(hot))
        counts[gap] = most
        yield counts


def put(group, name, value, units=None):
    """Write a dataset with its unit, as NeXus has it."""
    group[name] = value
    if units:
        group[name].attrs["units"] = units


def make_eiger(folder, sample, place, dtype, packed):
    """Write ``water_master.h5`` and the data files that it links to."""
    shape = sample.q.shape
    mask = faults(shape, sample.seed)
    counted = as_counted(sample.photons(), mask, dtype, sample.seed)
    if packed:
        import hdf5plugin

        packing = hdf5plugin.Bitshuffle()  # with LZ4, as a Dectris FileWriter has it
    with h5py.File(folder / "water_master.h5", "w") as file:
        for name, kind in (
            ("entry", "NXentry"),
            ("entry/data", "NXdata"),
            ("entry/instrument", "NXinstrument"),
            ("entry/instrument/beam", "NXbeam"),
            ("entry/instrument/detector", "NXdetector"),
            ("entry/instrument/detector/detectorSpecific", "NXcollection"),
            ("entry/sample", "NXsample"),
        ):
            file.create_group(name).attrs["NX_class"] = kind
        put(file, "entry/definition", "NXmx")
        put(file, "entry/sample/name", "spheres in water, simulated")
        put(file, "entry/instrument/beam/incident_wavelength", WAVELENGTH, "angstrom")
        detector = file["entry/instrument/detector"]
        put(detector, "description", "Eiger, simulated")
        put(detector, "detector_distance", place.distance, "m")
        for axis, center in (("x", place.center[1]), ("y", place.center[0])):
            put(detector, f"{axis}_pixel_size", PIXEL, "m")
            put(detector, f"beam_center_{axis}", center, "pixel")
        put(detector, "frame_time", 1 / sample.rate, "s")
        put(detector, "count_time", 1 / sample.rate - 1e-5, "s")
        put(detector, "bit_depth_image", 8 * np.dtype(dtype).itemsize)
        put(detector, "saturation_value", np.iinfo(dtype).max - 1)
        put(detector, "detectorSpecific/pixel_mask", mask)
        put(detector, "detectorSpecific/nimages", sample.frames)
        put(detector, "detectorSpecific/ntrigger", 1)
        put(detector, "detectorSpecific/x_pixels_in_detector", shape[1])
        put(detector, "detectorSpecific/y_pixels_in_detector", shape[0])
        for part, first in enumerate(range(0, sample.frames, PER_FILE), 1):
            count = min(PER_FILE, sample.frames - first)
            name = f"water_data_{part:06d}.h5"
            with h5py.File(folder / name, "w") as data:
                kept = {"dtype": dtype, "chunks": (1, *shape)} | (dict(packing) if packed else {})
                stack = data.create_dataset("entry/data/data", (count, *shape), **kept)
                stack.attrs["image_nr_low"] = np.uint64(first + 1)
                stack.attrs["image_nr_high"] = np.uint64(first + count)
                for k in range(count):
                    stack[k] = next(counted)
            file[f"entry/data/data_{part:06d}"] = h5py.ExternalLink(name, "entry/data/data")
    return folder / "water_master.h5"


def make_sase(folder, sample, dtype):
    """Write ``pulses.h5``: frames, the time of each, and the energy of its pulse."""
    pulses, monitor = sase_pulses(sample.frames, sample.seed)
    mask = faults(sample.q.shape, sample.seed)
    with h5py.File(folder / "pulses.h5", "w") as file:
        put(file, "run/timestamp", np.arange(sample.frames) / sample.rate, "s")
        put(file, "run/i0", monitor, "mJ")
        stack = file.create_dataset("run/frames", (sample.frames, *mask.shape), dtype, chunks=(1, *mask.shape))
        for k, frame in enumerate(as_counted(sample.photons(pulses), mask, dtype, sample.seed)):
            stack[k] = frame
    return folder / "pulses.h5"


def make_files(folder, sample, dtype, kind):
    """Write one file for each frame, ``frame_00001.tif`` and so on. Three of them are lost."""
    if kind == "tiff":
        from tifffile import imwrite as write

        suffix = ".tif"
    else:
        write, suffix = np.save, ".npy"
    mask = faults(sample.q.shape, sample.seed)
    lost = range(sample.frames // 3, sample.frames // 3 + 3)
    for k, frame in enumerate(as_counted(sample.photons(), mask, dtype, sample.seed), 1):
        if k not in lost:
            write(folder / f"frame_{k:05d}{suffix}", frame)
    return folder


def main():
    """Write what is asked for; say what is in it."""
    parser = argparse.ArgumentParser(description="Make data of a sample whose diffusion coefficient is known.")
    parser.add_argument("kind", choices=("eiger", "sase", "tiff", "npy"), help="which")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="made if it does not exist")
    add_size(parser, frames=600)
    parser.add_argument("--shape", metavar="SHAPE", type=shape_of, default=(128, 128), help="128x128")
    parser.add_argument("--bits", type=int, choices=(16, 32), default=16, help="of a pixel (%(default)s)")
    parser.add_argument("--bitshuffle", action="store_true", help="compress, as an Eiger does (needs hdf5plugin)")
    args = parser.parse_args()
    pulsed = args.kind == "sase"
    place = Place(args.shape)
    sample = Sample(
        place.q,
        frames=args.frames,
        rate=120.0 if pulsed else 2000.0,
        diffusion=GLYCEROL if pulsed else WATER,
        mean=args.mean,
        seed=args.seed,
    )
    dtype = f"uint{args.bits}"
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
        if args.kind == "eiger":
            made = make_eiger(args.folder, sample, place, dtype, args.bitshuffle)
        elif pulsed:
            made = make_sase(args.folder, sample, dtype)
        else:
            made = make_files(args.folder, sample, dtype, args.kind)
    except (OSError, ImportError) as error:
        sys.exit(f"make_data.py: {error}")
    print(f"{made}: {args.frames} frames of {args.shape[0]}x{args.shape[1]}, {sample}; {place}")


if __name__ == "__main__":
    main()
