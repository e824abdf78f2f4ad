"""Config of the validation run (docs/validation.md); prepare.py makes the files that it names."""

import parcorana
from parcorana.userg2 import G2IncrementalAccumulator

FOLDER = "validation"  # relative to where the command is run

system_params = {
    "dataset": f"h5={FOLDER}/frames.h5",
    "src": "run/frames",
    "mask": f"{FOLDER}/mask.npy",
    "rate": 24.0,  # one pulse is one frame of the video
    "delays": list(range(1, 65)),
    # The accumulator adds the pairs of an event as it enters and keeps them, so the
    # buffer need only reach back to the largest delay for all pairs of the record.
    "times": 65,
    "user_class": G2IncrementalAccumulator,
    "h5output": f"{FOLDER}/g2.h5",
    "overwrite": True,
}

user_params = {
    "color": f"{FOLDER}/color.npy",
    "saturated_value": 65535,  # the largest that uint16 holds: brighter elements were clipped
    # The mean of each element over a record of only some correlation times follows the
    # very fluctuations that are to be measured; dividing by it ('pixel') makes g2 decay too
    # fast. The mean over the hundreds of speckles of a ring does so much less.
    "normalization": "color",
}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
