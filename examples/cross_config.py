"""The config of the second run of cross.py: the same events, another class."""

from cross import Cross
from cross_means_config import system_params, user_params

import parcorana

system_params = system_params | {"user_class": Cross, "h5output": "cross.h5"}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
