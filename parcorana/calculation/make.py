"""A user class becomes a calculation: what workers and viewer know."""

import os
from contextlib import chdir, suppress

from parcorana.calculation.adapter import CallbackAdapter
from parcorana.calculation.base import BlockBase, check_arrays
from parcorana.calculation.guard import callback, guarded
from parcorana.calculation.params import MpiParams
from parcorana.calculation.userclass import check_instance
from parcorana.errors import ConfigError, RunError


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


def make_sample(config):
    """Make an instance of a class on blocks, and its arrays for one element, to know what a run needs.

    Parameters
    ----------
    config : Config

    Returns
    -------
    calculation : BlockBase or None
        None for a class of callbacks.
    arrays : dict of str to PerElement, Summed or Common

    Raises
    ------
    ConfigError
        What `arrays` returns is no such dict.
    UserCodeError
        The class raises.
    """
    if not issubclass(config.user_class, BlockBase):
        return None, {}
    params = MpiParams(0, "worker", config.mask, slice(0, 1), first_worker=False)
    try:
        # what a class does to the working directory is not to be met by the files that are read after this
        with chdir(os.getcwd()):
            calculation = make_instance(config, params)
            made = callback(calculation, "arrays")(1)
        return calculation, check_arrays(f"user_class {config.user_class.__name__}: arrays(1)", made, 1)
    except RunError as error:
        raise ConfigError(str(error)) from error


def make_instance(config, params):
    """Make an instance of the user class that knows its `mpiParams`, with dictionaries of its own."""
    make = guarded(config.user_class, f"{config.user_class.__name__}.__init__", params.role)
    user = make(dict(config.user_params), dict(config.system_params), params)
    if getattr(user, "mpiParams", None) is None:
        with suppress(AttributeError):  # a class with __slots__ does without
            user.mpiParams = params
    check_instance(user)
    return user
