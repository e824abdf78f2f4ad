"""Put a folder of frames, one TIFF or .npy file each, into one HDF5 stack that `h5=` reads.

Usage::

    python tiff_to_hdf5.py FOLDER -o frames.h5       # *.tif, *.tiff and *.npy in it
    python tiff_to_hdf5.py 'FOLDER/run7_*.tif' -o run7.h5

The last number in a file's name is the frame's counter, so frames that were lost
stay lost: the run counts them as gaps. Frames keep their type. TIFF needs tifffile
(``pip install 'parcorana[tiff]'``), and imagecodecs where it is compressed.
"""

import argparse
import os
import re
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

SUFFIXES = (".tif", ".tiff", ".npy")
CHUNK = 2**20  # bytes: few enough to read one frame, enough to read all of them fast


class Refused(Exception):
    """What is wrong with a file, in a sentence."""


def files_of(where):
    """Return (counter, path) of each frame, by the last number in the names.

    Parameters
    ----------
    where : str
        A folder, or a pattern of names in one.

    Raises
    ------
    Refused
        No files; a name without a number; two of the same number.
    """
    path = Path(where)
    names = path.iterdir() if path.is_dir() else path.parent.glob(path.name) if path.parent.is_dir() else ()
    found = {}
    for name in names:
        if name.suffix.lower() not in SUFFIXES:
            continue
        numbers = re.findall(r"\d+", name.stem)
        if not numbers or len(numbers[-1]) > 18:
            raise Refused(f"{name}: its name must have the frame's number in it, of at most 18 digits")
        other = found.setdefault(int(numbers[-1]), name)
        if other != name:
            raise Refused(f"{other} and {name} both are number {int(numbers[-1])}: name one series, by a pattern")
    if not found:
        raise Refused(f"{where}: no {', '.join(SUFFIXES)} files there")
    return sorted(found.items())


def load(path):
    """Return the frame in a file, (rows, columns) of integers or floats.

    Raises
    ------
    Refused
        It cannot be read, or holds something else.
    """
    try:
        if path.suffix.lower() == ".npy":
            frame = np.load(path, allow_pickle=False)
        else:
            from tifffile import imread

            frame = imread(path)
    except Exception as error:  # over a damaged TIFF tifffile raises whatever its parts do
        raise Refused(f"{path}: cannot be read: {type(error).__name__}: {error}") from None
    if frame.ndim != 2 or 0 in frame.shape or frame.dtype.kind not in "iuf":
        raise Refused(
            f"{path}: holds {frame.dtype} {frame.shape}; a file must hold one frame, rows x columns of numbers"
        )
    return frame


def convert(where, target):
    """Write the stack; return its shape, type and counters.

    One chunk is in memory at a time. `target` appears when all of them are in it.

    Parameters
    ----------
    where : str
        See `files_of`.
    target : path
        HDF5 file, replaced if it is there.
    """
    files = files_of(where)
    counters = np.array([counter for counter, _ in files], np.int64)
    first = load(files[0][1])
    chunk = min(len(files), max(1, CHUNK // first.nbytes))
    part = Path(f"{target}.part")
    try:
        with h5py.File(part, "w") as file:
            stack = file.create_dataset(
                "run/frames", (len(files), *first.shape), first.dtype, chunks=(chunk, *first.shape)
            )
            stack.attrs.update({"units": "counts", "long_name": "frames"})
            for start in range(0, len(files), chunk):
                rows = [load(path) for _, path in files[start : start + chunk]]
                for (_, path), frame in zip(files[start : start + chunk], rows, strict=True):
                    if (frame.shape, frame.dtype) != (first.shape, first.dtype):
                        raise Refused(
                            f"{path}: {frame.dtype} {frame.shape}, but {files[0][1]} is {first.dtype} {first.shape}; "
                            "all frames must be alike"
                        )
                stack[start : start + len(rows)] = rows
            times = file.create_dataset("run/counter", data=counters)
            times.attrs.update({"units": "pulses", "long_name": "number in the name of the frame's file"})
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return (len(files), *first.shape), first.dtype, counters


def gaps_of(counters):
    """Return in words what numbers are not there."""
    gaps = [(a + 1, b - 1) for a, b in pairwise(counters.tolist()) if b > a + 1]
    if not gaps:
        return "no number is missing"
    first = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in gaps[:5])
    more = f" and {len(gaps) - 5} more gaps" if len(gaps) > 5 else ""
    return f"{sum(b - a + 1 for a, b in gaps):,} numbers are missing and stay gaps: {first}{more}"


def main():
    """Convert, and say what came out; exit status 2 if files are wrong."""
    parser = argparse.ArgumentParser(description="Put a folder of TIFF or .npy frames into one HDF5 stack.")
    parser.add_argument("where", metavar="FOLDER", help="with the frames; or a pattern of their names, in quotes")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="HDF5 file")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    args = parser.parse_args()
    try:
        if os.path.exists(args.output) and not args.force:
            raise Refused(f"{args.output}: exists already; --force replaces it")
        shape, dtype, counters = convert(args.where, args.output)
    except (Refused, OSError) as error:
        print(f"tiff_to_hdf5.py: {error}", file=sys.stderr)
        return 2
    size = " x ".join(map(str, shape))
    print(f"{args.output}: {size}, {dtype}, numbers {counters[0]} to {counters[-1]}; {gaps_of(counters)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
