"""The config of lag_one.py."""

from lag_one import LagOne

import parcorana

system_params = {
    "dataset": "sim=brownian:shape=2x32x32:events=600:tau=20:seed=1",
    "mask": "mask.npy",
    "times": 300,
    "update": 200,
    "delays": [1],  # the one row of the arrays; which pairs count is the class's business
    "user_class": LagOne,
    "h5output": "lag_one.h5",
}
user_params = {}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
