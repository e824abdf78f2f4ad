"""Make the demo's mask and colour files, in the folder that demo.py names.

For a real detector the mask comes from its bad pixels and the beamstop's shadow,
the colours from each element's momentum transfer q: one colour for each range of q.
"""

import runpy
from pathlib import Path

import numpy as np

from parcorana.events import simulated


def make_mask(shape):
    """Return a mask: 1 but at the edges, behind a beamstop and at a few dead pixels.

    Parameters
    ----------
    shape : tuple of int
        Images x rows x columns.

    Returns
    -------
    int8 ndarray of that shape
    """
    rows, columns = shape[-2:]
    down, right = np.indices((rows, columns)) - np.array([rows - 1, columns - 1]).reshape(2, 1, 1) / 2
    inside = (np.abs(down) < rows / 2 - 2) & (np.abs(right) < columns / 2 - 2)
    stop = (np.hypot(down, right) < 5) | ((np.abs(right) < 2) & (down > 0))
    dead = np.random.default_rng(0).random(shape) < 0.01
    return (inside & ~stop & ~dead).astype(np.int8)


def main():
    """Write both files; say which."""
    config = runpy.run_path(str(Path(__file__).with_name("demo.py")))
    rings = simulated.colors(config["system_params"]["dataset"])
    mask = make_mask(rings.shape)
    color = np.where(mask, rings, 0)
    # The simulator has one decay time for each ring: rings and colours are the same here.
    elements = ", ".join(f"{n:,} of {c}" for c, n in enumerate(np.bincount(color.ravel())) if c)
    shape = "x".join(map(str, mask.shape))
    Path(config["FOLDER"]).mkdir(parents=True, exist_ok=True)
    np.save(config["system_params"]["mask"], mask)
    print(f"{config['system_params']['mask']}: {shape}, {mask.sum():,} of {mask.size:,} elements to process")
    np.save(config["user_params"]["color"], color)
    print(f"{config['user_params']['color']}: {shape}, elements per colour: {elements}")


if __name__ == "__main__":
    main()
