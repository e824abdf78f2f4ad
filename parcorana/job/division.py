"""Which rank does what, on which host, with how many threads and how much memory."""

from dataclasses import dataclass, field

from parcorana.errors import ConfigError
from parcorana.job.memory import bytes_of_ranks, sample_of, worker_parts
from parcorana.job.partition import Roles, assign_roles, elements_of


@dataclass(frozen=True)
class Division:
    """Who does what, where.

    Attributes
    ----------
    roles : Roles
    hosts : list of str
        Of each rank.
    needs : list of int
        Bytes of memory of each rank.
    threads : list of int
        Of each rank, if it is a worker.
    parts : dict of (str, str) to int
        What the first worker holds, which has as many elements as any: `parcorana.job.memory.worker_parts`.
    """

    roles: Roles
    hosts: list
    needs: list
    threads: list
    parts: dict = field(default_factory=dict)

    def ranks(self):
        """Return rank, role and host of every rank."""
        return [(rank, self.roles.role_of(rank), host) for rank, host in enumerate(self.hosts)]


def threads_of_ranks(hosts, cores, workers):
    """Return how many threads each rank may have: the cores of its host, divided among the workers there.

    Parameters
    ----------
    hosts : list of str
        Of each rank.
    cores : list of frozenset of int
        Those that each rank may run on; a batch system or mpiexec may have given each its own.
    workers : iterable of int
        Their ranks.
    """
    of_hosts = {host: frozenset().union(*(c for c, h in zip(cores, hosts, strict=True) if h == host)) for host in hosts}
    here = [sum(hosts[rank] == host for rank in workers) for host in hosts]
    return [
        max(1, min(len(own), len(of_hosts[host]) // max(n, 1))) for own, host, n in zip(cores, hosts, here, strict=True)
    ]


def divide(config, hosts, cores):
    """Give every rank its role.

    Parameters
    ----------
    config : Config
    hosts : list of str
        Of each rank; a single one is a run in one process, with three roles.
    cores : list of frozenset of int
        Those that each rank may run on.

    Returns
    -------
    Division

    Raises
    ------
    ConfigError
        Too few ranks, or more workers than elements.
    """
    if len(hosts) == 1:
        roles, hosts, cores = Roles(servers=(1,), workers=(2,)), hosts * 3, cores * 3
    else:
        roles = assign_roles(hosts, config.numservers, config.serverhosts)
    if len(roles.workers) > config.elements:
        raise ConfigError(
            f"{len(roles.workers)} workers are too many for a mask with {config.elements} elements: "
            f"use mpiexec -n {config.elements + config.numservers + 1} or fewer"
        )
    threads = [config.threads] * len(hosts) if config.threads else threads_of_ranks(hosts, cores, roles.workers)
    sample, first = sample_of(config), elements_of(0, len(roles.workers), config.elements)
    needs = bytes_of_ranks(config, roles, threads, sample)
    parts = worker_parts(config, sample, first.stop - first.start, threads[roles.workers[0]])
    return Division(roles, hosts, needs, threads, parts)
