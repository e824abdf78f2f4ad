"""The config of ``make demo``, and the one to copy for your own run.

It correlates an embedded simulated dataset, so it needs no data, and its true g2
is known. From the folder above this one::

    python examples/demo_files.py                        # mask and colours, into demo/
    python examples/demo.py                              # check this config, print it
    mpiexec -n 4 parCorAnaDriver -c examples/demo.py     # the run: 1 viewer, 1 server, 2 workers
    python examples/demo_picture.py                      # delay curves over the true ones

For your own run: copy it, set ``dataset``, ``src`` and ``type``, make mask and
colours of your detector's shape, choose delays. Keys that are not here have defaults.
"""

import os

import parcorana
from parcorana.userg2 import G2IncrementalAccumulator

# Where the demo's files are, seen from the folder that the run is started in.
FOLDER = os.environ.get("PARCORANA_DEMO", "demo")

DELAYS = parcorana.make_delay_list(start=1, stop=400, num=30, spacing="log")

system_params = {
    # What to read: 'exp=xpptut15:run=54' of LCLS-II, 'h5=frames.h5' of a stack in HDF5. Here: speckle on
    # two images in four rings, decay time tau / ring**2, with photon noise and a tenth of the pulses missing.
    "dataset": "sim=brownian:shape=2x64x64:events=3000:colors=4:tau=120:mean=10:poisson=1:gaps=0.1:seed=1",
    # Which detector, and which data of it: 'jungfrau' and 'calib'; an HDF5 path as src. The simulator has one.
    "src": None,
    "type": None,
    # Pulses per second: makes the count of pulses, the unit of delays, out of the events' times.
    "rate": 120.0,
    # Which elements to process: .npy, of the detector's shape, 1 = process, 0 = leave out.
    "mask": f"{FOLDER}/mask.npy",
    # Delays in pulses, increasing.
    "delays": DELAYS,
    # How many events each worker keeps to pair new ones with: above the largest delay.
    "times": DELAYS[-1] + 1,
    # Publish every so many events, and at the end.
    "update": 1000,
    # Stop after so many events; 0: take all.
    "numevents": 0,
    # Ranks that read events. Of the others one is the viewer, all the rest are workers.
    "numservers": 1,
    # What to compute. This one takes every pair of the run: best for a sample in equilibrium. For one that
    # changes, G2IncrementalWindowed takes the pairs of the last `times` events.
    "user_class": G2IncrementalAccumulator,
    # The result file; in its name %T becomes the time, %C the next free number.
    "h5output": f"{FOLDER}/demo.h5",
    # Whether it may replace an older one.
    "overwrite": False,
    # How much the run says: DEBUG, INFO, WARNING or ERROR.
    "verbosity": "INFO",
}

user_params = {
    # Which elements share a delay curve: .npy, of the detector's shape, 0 = in none.
    "color": f"{FOLDER}/color.npy",
    # What G2 is divided by. 'pixel', each element's own mean, copes with any illumination; but in a run of N
    # decay times that mean is uncertain, and goes along with G2, which bends all curves down by some 1 / N: here
    # by 0.04. 'color', the mean over the colour, averages over hundreds of speckles: the bias is hundreds of times
    # smaller. It wants the colour evenly lit; if it is not, divide it into narrow rings, name their file as
    # 'finecolor', and say 'finecolor' here.
    "normalization": "color",
    # An element that reaches this in any event is in no curve; None: no such limit.
    "saturated_value": 1000,
    # Smaller intensities are set to this; None leaves them as they are.
    "notzero": None,
    # Write the full arrays G2, IP, IF: 'last' = with the last update, True = with all, False = never.
    # demo_picture.py makes its error bars of them.
    "save_arrays": "last",
}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
