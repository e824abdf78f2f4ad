"""psana itself: found, opened, and its errors told as ours."""

import os
import sys
import threading

from parcorana.errors import ConfigError, RunError, one_line

REACH_SECONDS = 3.0
"""Longest wait for a service of the facility before the run goes on without it."""


def need_psana():
    """Import psana of LCLS-II in a way that leaves the MPI ranks alone; ConfigError where that cannot be."""
    # psana would otherwise give ranks of COMM_WORLD roles of its own.
    if "psana" not in sys.modules:
        os.environ["PS_PARALLEL"] = "none"
    try:
        import psana
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        if getattr(error, "name", None) == "psana":
            raise ConfigError("psana is not installed: pip install parcorana[psana]") from error
        raise ConfigError(f"psana is installed but cannot be imported: {one_line(error)}") from error
    if getattr(psana, "xtc_version", None) != 2:
        raise ConfigError("the psana that is installed is LCLS-I's, which cannot read this: take psana of LCLS-II")
    from psana.psexp import tools

    if tools.mode == "mpi" and tools.MODE == "PARALLEL":
        raise ConfigError(
            "psana was imported before PS_PARALLEL was set and took the MPI ranks for itself: "
            "import it in the user class's methods, or set PS_PARALLEL=none in the environment"
        )


def opened(reader, name, options):
    """Open psana's data source.

    Parameters
    ----------
    reader : type
        One of psana's classes of data sources, or made from one.
    name : str
        What errors call the data.
    options : dict
        Its arguments.

    Raises
    ------
    ConfigError
        Whatever psana raises.
    """
    try:
        return reader(**options, skip_calib_load="all", log_level="WARNING")
    except (ConfigError, RunError):
        raise
    except Exception as error:  # whatever psana raises over a damaged file
        raise ConfigError(f"psana cannot open {name}: {one_line(error)}") from error


def guarded(items, name, kind=RunError):
    """Pass items on, with psana's own errors told as ours.

    Parameters
    ----------
    items : iterator
        Of psana.
    name : str
        What errors call the data.
    kind : type
        ConfigError or RunError: what psana's errors become.
    """
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except (ConfigError, RunError):
            raise
        except Exception as error:
            raise kind(f"{name}: psana cannot read on: {type(error).__name__}: {one_line(error)}") from error
        yield item


def later(runs):
    """Pass on the runs after the first one: a ConfigError over one of them is a RunError, for events have been read."""
    try:
        yield from runs
    except ConfigError as error:
        raise RunError(str(error)) from error


def in_time(ask):
    """Return what `ask` returns, None where it finds no connection or takes more than `REACH_SECONDS`."""
    from requests import exceptions

    answers = []

    def work():
        try:
            answers.append((ask(), None))
        except Exception as error:
            answers.append((None, error))

    # A thread, since the look-up of a host's name has no time limit of its own.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    value, error = answers[0] if answers else (None, None)
    if error is not None and not isinstance(error, (exceptions.ConnectionError, exceptions.Timeout)):
        raise error
    return value


def stamp_of(time):
    """Return psana's timestamp, seconds in the upper 32 bits and nanoseconds in the lower, as one int [ns]."""
    return (time >> 32) * 10**9 + (time & 0xFFFFFFFF)
