"""Which code path the kernels take: the machine's best, or the one that a variable names."""

import os

from parcorana import _core
from parcorana.errors import ConfigError

VARIABLE = "PARCORANA_CPU"


def choose_code_path():
    """Take the code path that ``PARCORANA_CPU`` names, the best one without it; return its name.

    Raises
    ------
    ConfigError
        There is no such path, or this machine cannot run it.
    """
    try:
        _core.choose_path(os.environ.get(VARIABLE) or None)
    except ValueError as error:
        raise ConfigError(f"{VARIABLE}: {error}") from None
    return _core.path()
