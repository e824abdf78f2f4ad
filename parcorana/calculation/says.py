"""What a class says of itself before there is an instance: parameters, history, the size of what it reduces."""

from functools import lru_cache
from typing import Any

import numpy as np

from parcorana.calculation.base import BlockBase
from parcorana.calculation.guard import defines
from parcorana.calculation.userbase import REDUCED
from parcorana.errors import ConfigError, shown


def saved_arrays(user_params: dict[str, Any]) -> str | bool:
    """Return when full arrays are asked for of a class that reduces: 'last', True or False.

    Raises
    ------
    ConfigError
        ``user_params['save_arrays']`` is something else.
    """
    value = user_params.get("save_arrays", "last")
    if not isinstance(value, bool | np.bool_ | int | str) or value not in ("last", True, False):
        raise ConfigError(f"user_params['save_arrays'] must be 'last', True or False, not {shown(value)}")
    return "last" if value == "last" else bool(value)


def needs_history(user_class: type) -> bool:
    """Tell whether `times` must reach beyond the delays for these to have pairs."""
    if issubclass(user_class, BlockBase) and (user_class.buffer is None or user_class.in_order):
        return False
    return not getattr(user_class, "keeps_history", False)


def most_at_once(user_class, block):
    """Return how many events leave, and are gone, before a class that adds pairs in `enter` sees those that enter.

    Parameters
    ----------
    user_class : type
    block : int
        The most events that come at once.

    Returns
    -------
    int
        1 for a class that sees them leave one by one, stores events itself, or looks at the buffer only in `collect`.
    """
    if not issubclass(user_class, BlockBase) or not (user_class.pairs and user_class.buffer):
        return 1
    if user_class.stores or user_class.in_order:
        return 1
    adds = defines(user_class, "enter") and (not defines(user_class, "collect") or not user_class.forgets)
    return min(user_class.most or block, block) if adds else 1


@lru_cache(maxsize=8)  # it is asked for every rank, and may read files of colours
def reduced_bytes(config: Any) -> int:
    """Return the bytes of what `workerReduce` returns on one worker, as many as the sum takes on the viewer.

    One copy of it; a worker and the viewer hold up to four, whatever the number
    of workers.

    Parameters
    ----------
    config : Config

    Returns
    -------
    int
        0 for a class that reduces nothing, or does not say.

    Raises
    ------
    ConfigError
        `reducedBytes` returns no number of bytes.
    """
    user_class = config.user_class
    if not all(defines(user_class, name) for name in (*REDUCED, "reducedBytes")):
        return 0
    try:
        size = user_class.reducedBytes(dict(config.system_params), dict(config.user_params), config.mask)
    except ConfigError:
        if defines(user_class, "checkParams"):
            raise
        return 0  # a class made from a shipped one, with parameters of its own
    return whole_bytes(user_class, "reducedBytes", size)


def whole_bytes(user_class, name, size):
    """Return a number of bytes that a class says by a method; ConfigError if it is none."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
        raise ConfigError(f"user_class {user_class.__name__}: {name} must return a number of bytes, not {shown(size)}")
    return int(size)
