"""Make the input of the validation run: HDF5 stack, mask, rings of q (docs/validation.md).

Usage: ``python prepare.py FRAMES.npy FOLDER``. Into FOLDER go ``frames.h5``,
``mask.npy``, ``color.npy`` and ``rings.txt``, the mean q of each ring.
"""

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np

RATE = 24.0  # frames/s
# The frames are the centre of the power spectrum of a video 424 pixels wide, 285 pixels in 100 um.
FIELD_OF_VIEW = 424 * 100 / 285  # um
# Below the first ring a few bright elements hold most of the light; above the last one lie only corners.
RING_CENTRES = 0.7 + 0.3 * np.arange(11)  # 1/um
RING_WIDTH = 0.3  # 1/um


def q_of_elements(shape):
    """Return q of every element.

    Parameters
    ----------
    shape : (int, int)
        Of a frame; q = 0 is at element (rows // 2, columns // 2).

    Returns
    -------
    ndarray of float64 [1/um]
    """
    rows, columns = (np.arange(n) - n // 2 for n in shape)
    return 2 * np.pi * np.hypot(rows[:, None], columns) / FIELD_OF_VIEW


def ring_colors(q):
    """Return the colour of every element: 1, 2, ... from the innermost ring, 0 outside of them."""
    edges = np.append(RING_CENTRES - RING_WIDTH / 2, RING_CENTRES[-1] + RING_WIDTH / 2)
    color = np.searchsorted(edges, q, side="right")
    return np.where(color == len(edges), 0, color).astype(np.int32)


def write_stack(path, frames):
    """Write the frames, and when each was taken, as ``h5=`` datasets want them."""
    nanoseconds = np.rint(np.arange(len(frames)) * 1e9 / RATE).astype(np.uint64)
    with h5py.File(path, "w") as file:
        stack = file.create_dataset("run/frames", data=frames)
        stack.attrs["units"] = "arbitrary"
        stack.attrs["long_name"] = "power spectrum of a video of Brownian particles"
        timestamp = file.create_dataset("run/timestamp", data=nanoseconds)
        timestamp.attrs["units"] = "ns"
        timestamp.attrs["long_name"] = "time of each frame since the first one"


def load_frames(path):
    """Load the stack; leave with one sentence if it is not one."""
    try:
        frames = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        sys.exit(f"prepare.py: cannot read {str(path)!r} as a .npy file of frames: {error}")
    if frames.ndim != 3 or frames.dtype.kind not in "iuf":
        sys.exit(
            f"prepare.py: {str(path)!r} holds {frames.dtype} {frames.shape}; it must be numbers, T x rows x columns"
        )
    return frames


def main():
    """Write the four files, say what is in them."""
    parser = argparse.ArgumentParser(description="Make the input of the validation run.")
    parser.add_argument("frames", metavar="FRAMES.npy", type=Path)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="made if it does not exist")
    args = parser.parse_args()
    frames = load_frames(args.frames)
    q = q_of_elements(frames.shape[1:])
    color = ring_colors(q)
    rings = [(c, q[color == c].mean(), np.count_nonzero(color == c)) for c in np.unique(color[color > 0])]
    args.folder.mkdir(parents=True, exist_ok=True)
    write_stack(args.folder / "frames.h5", frames)
    np.save(args.folder / "mask.npy", (color > 0).astype(np.int8))
    np.save(args.folder / "color.npy", color)
    np.savetxt(args.folder / "rings.txt", rings, "%2d %.6f %5d", header="color q[1/um] elements")

    shape = " x ".join(str(n) for n in frames.shape)
    print(f"{args.folder / 'frames.h5'}: run/frames {shape} {frames.dtype}, run/timestamp, {RATE} frames/s")
    print(f"{args.folder / 'mask.npy'}: {np.count_nonzero(color)} of {color.size} elements included")
    print(f"{args.folder / 'color.npy'}, {args.folder / 'rings.txt'}: {len(rings)} rings of q")
    for c, mean, elements in rings:
        print(f"  color {c:2}: mean q {mean:.3f} 1/um, {elements:4} elements")


if __name__ == "__main__":
    main()
