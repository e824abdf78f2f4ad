"""G2 of counted photons, on simulated speckle that a simulated detector reads out."""

import numpy as np
from photons import Photons

import parcorana

GAIN = 30.0  # detector units of one photon


class ReadOut(Photons):
    """Photons, of which the detector makes `GAIN` units each, and noise of 6 units."""

    def finalDataArray(self, dataArray, evt):
        """Take numbers of photons, return a signal; the noise is the same whichever server reads the event."""
        noise = np.random.default_rng(evt.stamp).normal(0, 6, dataArray.shape)
        return (GAIN * dataArray + noise).astype(np.float32)


system_params = {
    # one photon in twenty pulses; 2 x 48 x 48 elements
    "dataset": "sim=brownian:shape=2x48x48:events=3000:tau=40:mean=0.05:poisson=1:seed=3",
    "mask": "mask.npy",
    "times": 3000,
    "delays": parcorana.make_delay_list(1, 300, 20),
    "user_class": ReadOut,
    "h5output": "photons.h5",
    "overwrite": True,
}
user_params = {"gain": GAIN, "threshold": 0.7}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
