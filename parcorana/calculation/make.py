"""A user class becomes a calculation: what workers and viewer know."""

from contextlib import suppress

from parcorana.calculation.adapter import CallbackAdapter
from parcorana.calculation.base import BlockBase
from parcorana.calculation.guard import guarded
from parcorana.calculation.userclass import check_instance


def make_calculation(config, params):
    """Make the calculation of one rank.

    Parameters
    ----------
    config : Config
    params : parcorana.calculation.params.MpiParams

    Returns
    -------
    BlockBase
        An instance of the user class, or what puts the callbacks of one on blocks.
    """
    user = make_instance(config, params)
    if isinstance(user, BlockBase):
        return user
    return CallbackAdapter(user, dict(config.user_params), dict(config.system_params), params)


def make_instance(config, params):
    """Make an instance of the user class that knows its `mpiParams`, with dictionaries of its own."""
    make = guarded(config.user_class, f"{config.user_class.__name__}.__init__", params.role)
    user = make(dict(config.user_params), dict(config.system_params), params)
    if getattr(user, "mpiParams", None) is None:
        with suppress(AttributeError):  # a class with __slots__ does without
            user.mpiParams = params
    check_instance(user)
    return user
