"""The config of the first run of cross.py."""

from cross import GroupMeans

import parcorana

system_params = {
    "dataset": "sim=brownian:shape=2x24x24:events=500:tau=20:seed=1",
    "mask": "mask.npy",
    "times": 200,
    "delays": [1, 2, 5, 10, 20, 50],
    "user_class": GroupMeans,
    "h5output": "means.h5",
}
user_params = {"groups": "groups.npy", "means": "means.h5", "save_arrays": False}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
