"""The groups of updates in a result file, each called by how many events were processed."""

import math
import re

import h5py

from parcorana.errors import ConfigError, shown


def updates_of(user, prefix):
    """Return the groups of one kind of update in the group of a class by number of events, oldest first."""
    found = {int(name[len(prefix) :]): user.get(name) for name in user if re.fullmatch(rf"{prefix}\d{{1,18}}", name)}
    return {number: item for number, item in sorted(found.items()) if isinstance(item, h5py.Group)}


def update_at(user, prefix, label, at=None, hint=""):
    """Return number of events and group of an update, of the last one without `at`.

    Raises
    ------
    ConfigError
        There is no such update.
    """
    updates = updates_of(user, prefix)
    if not updates:
        raise ConfigError(f"{label}: there is no {prefix}* in {user.name}{hint}")
    if at is not None and at not in updates:
        raise ConfigError(f"{label}: there is no update at {at} events; there are {', '.join(map(str, updates))}")
    processed = max(updates) if at is None else at
    return processed, updates[processed]


def rate_of(dataset, label):
    """Return the pulses per second that a dataset of pulses names.

    Raises
    ------
    ConfigError
        It is no number, or one that no run can have.
    """
    try:
        rate = float(dataset.attrs["rate"])
    except (TypeError, ValueError):
        rate = math.nan
    if not 1e-9 <= rate <= 2**31:
        raise ConfigError(
            f"{label}: {dataset.name}@rate is {shown(dataset.attrs['rate'])}, and must be pulses per second, from 1e-9 "
            "to 2**31"
        )
    return rate
