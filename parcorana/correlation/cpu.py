"""Which code path the kernels take: the best one that all ranks have, or one that a variable names.

Sums that are rounded differ in their last bits from one code path to another, so a
run has one of them, on all its ranks, from its first event to its last.
"""

import os
import platform
import socket
from dataclasses import dataclass

from parcorana import _core
from parcorana.errors import ConfigError, printable, shown

VARIABLE = "PARCORANA_CPU"


@dataclass(frozen=True)
class Offer:
    """What one rank can run.

    Attributes
    ----------
    host, machine : str
        The machine as 'x86_64'.
    paths : tuple of str
        Names of code paths, best first.
    wanted : str or None
        The one that ``PARCORANA_CPU`` names there.
    """

    host: str
    machine: str
    paths: tuple
    wanted: str | None

    @property
    def allowed(self):
        """Those that are not better than the one that is wanted."""
        return self.paths[self.paths.index(self.wanted) :] if self.wanted else self.paths


def offer():
    """Return the `Offer` of this process.

    Raises
    ------
    ConfigError
        ``PARCORANA_CPU`` names no code path, or one that this machine cannot run.
    """
    host, paths, wanted = socket.gethostname(), _core.paths(), os.environ.get(VARIABLE) or None
    if wanted is not None and wanted not in paths:
        raise ConfigError(
            f"{VARIABLE}: no code path {shown(wanted)} on this machine, {host}; there are {', '.join(paths)}"
        )
    return Offer(host, platform.machine(), tuple(paths), wanted)


def agree(offers, begun_with=None):
    """Return the code path of a run, and what to say of it.

    Parameters
    ----------
    offers : list of Offer
        Of all ranks, in order.
    begun_with : str, optional
        What `in_use` returned in the run that is gone on with; empty where that is not known.

    Returns
    -------
    path : str
    info : str
    warnings : list of str
    """
    common = [path for path in offers[0].allowed if all(path in offer.allowed for offer in offers)]
    path, warnings = common[0], []
    machines = {offer.machine for offer in offers}
    info = f"code path {path}{' on all ranks' if len(offers) > 1 else ''}"
    if begun_with is not None:
        machine, _, kept = begun_with.partition(" ")
        if machines == {machine} and kept in common:
            info = info if kept == path else f"code path {kept}, with which the run was begun"
            path = kept
        else:
            warnings.append(
                f"--resume: {_why_not(begun_with, machine, kept, offers)}: it goes on with {path}, and the last digits "
                "of sums of values that are not whole numbers may not be those of an undisturbed run"
            )
    if len({offer.wanted for offer in offers}) > 1 or any(offer.wanted not in (None, path) for offer in offers):
        warnings.append(f"{VARIABLE} is {_wanted(offers)}: the run takes the code path {path}")
    if len(machines) > 1:
        warnings.append(
            f"the ranks run on machines of different kinds, {', '.join(sorted(machines))}: the last digits of sums of "
            "values that are not whole numbers depend on which elements each of them has"
        )
    kinds = {}
    for one in offers:
        kinds.setdefault(one.paths[0], []).append(one.host)
    if len(kinds) > 1 and len(machines) == 1:
        who = ", ".join(f"{best} on {', '.join(dict.fromkeys(hosts))}" for best, hosts in kinds.items())
        warnings.append(
            f"the CPUs are of different kinds ({who}): the kernels take {path} everywhere, but the last digits of what "
            "NumPy adds up may depend on which elements each rank has"
        )
    lacking = [offer.host for offer in offers if path == offer.paths[0]]
    better = {other for offer in offers for other in offer.paths[: offer.paths.index(path)]}
    if lacking and better:
        info += f": {lacking[0]} has no better one, others have {', '.join(sorted(better))}"
    return path, info, warnings


def _why_not(begun_with, machine, kept, offers):
    """Return why a run does not go on with the code path with which it was begun."""
    if not begun_with:
        return "the checkpoint does not name the code path with which the run was begun"
    lacking = [offer.host for offer in offers if offer.machine != machine or kept not in offer.paths]
    why = f"{lacking[0]} lacks" if lacking else f"{VARIABLE} rules out"
    return f"the run was begun with the code path {printable(begun_with)}, which {why}"


def _wanted(offers):
    """Return which ranks have the variable, and what it is there."""
    ranks = {}
    for rank, one in enumerate(offers):
        ranks.setdefault(one.wanted, []).append(rank)
    return "; ".join(
        f"{shown(wanted) if wanted else 'not set'} on {f'rank {of[0]}' if len(of) == 1 else f'{len(of)} ranks'}"
        for wanted, of in ranks.items()
    )


def use(path):
    """Have all kernels of this process take a code path."""
    from parcorana import kernels  # of user code; it refuses to be imported where the variable is wrong

    _core.choose_path(path)
    kernels.choose_path(path)


def in_use():
    """Return the kind of machine and the code path that the kernels take, as ``'x86_64 x86-64-v3'``."""
    return f"{platform.machine()} {_core.path()}"


def choose_code_path():
    """Take the code path of a process that is alone; return its name.

    Raises
    ------
    ConfigError
        As `offer` says.
    """
    path, _, _ = agree([offer()])
    use(path)
    return path
