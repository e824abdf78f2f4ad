"""What every role of a run knows: one frozen object."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from parcorana.config import Config
from parcorana.errors import RunError
from parcorana.partition import Roles, elements_of
from parcorana.pipeline.clock import Clock
from parcorana.pipeline.transport import Transport
from parcorana.userbase import MpiParams


@dataclass(frozen=True)
class Job:
    """A run as one rank sees it.

    Attributes
    ----------
    config : Config
    roles : Roles
    transport : Transport
    clock : Clock
    threads : int
        OpenMP threads of this rank, if it is a worker.
    """

    config: Config
    roles: Roles
    transport: Transport
    clock: Clock
    threads: int = 1

    @property
    def rank(self):
        """The number of this rank."""
        return self.transport.rank

    @property
    def role(self):
        """The role of this rank."""
        return self.roles.role_of(self.rank)

    def part_of(self, worker_rank):
        """Return the slice of included elements of a worker."""
        workers = self.roles.workers
        return elements_of(workers.index(worker_rank), len(workers), self.config.elements)

    @property
    def parts(self):
        """Slices of all workers, in their order."""
        return [self.part_of(rank) for rank in self.roles.workers]

    def make_user(self):
        """Make this rank's instance of the user class."""
        config, is_worker = self.config, self.role == "worker"
        part = self.part_of(self.rank) if is_worker else slice(0, config.elements)
        params = MpiParams(
            self.rank,
            self.role,
            config.mask,
            part,
            first_worker=is_worker and self.rank == self.roles.workers[0],
            threads=self.threads,
        )
        user = config.user_class(config.user_params, config.system_params, params)
        user_params_of(user, params)
        return user, params


def user_params_of(user, params):
    """Let a user object that does not keep `mpiParams` itself have it."""
    if getattr(user, "mpiParams", None) is None:
        user.mpiParams = params


def check_names(user):
    """Return the user's array names; raise RunError if they are not distinct strings."""
    names = list(user.arrayNames())
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise RunError(f"{type(user).__name__}.arrayNames must return a list of distinct strings, not {names!r}")
    return names


def check_result(user, result, names, delays, elements):
    """Check what `workerCalc` returned (contract, section 6).

    Returns
    -------
    arrays : dict of (D, n) float64
    counts : (D,) int64
    int8array : (n,) int8

    Raises
    ------
    RunError
        Names the class, the array, what came and what is wanted.
    """
    who = f"{type(user).__name__}.workerCalc"
    if not isinstance(result, tuple) or len(result) != 3:
        raise RunError(f"{who} must return (arrays, counts, int8array), not {type(result).__name__}")
    arrays, counts, int8array = result
    if not isinstance(arrays, dict) or set(arrays) != set(names):
        got = sorted(map(str, arrays)) if isinstance(arrays, dict) else type(arrays).__name__
        raise RunError(f"{who}: the arrays must be a dict with the names {sorted(names)}, not {got}")
    wanted = [(f"array {name!r}", arrays[name], (delays, elements), np.float64) for name in names]
    wanted += [("counts", counts, (delays,), np.int64), ("int8array", int8array, (elements,), np.int8)]
    for what, array, shape, dtype in wanted:
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
            got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise RunError(f"{who}: {what} must be {np.dtype(dtype).name} {shape}, not {got}")
    return arrays, counts, int8array


def finished_note(job, facts: dict[str, Any] | None = None):
    """Return what a rank tells the viewer when it is done."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"role": job.role, "seconds": job.clock.seconds, "peak_mib": peak} | (facts or {})
