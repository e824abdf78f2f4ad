"""Who gets which elements, and which rank plays which role: arithmetic only."""

from dataclasses import dataclass

from parcorana.errors import ConfigError


def elements_of(worker, workers, elements):
    """Return the slice of the included elements that `worker` (0-based) has.

    The first ``elements % workers`` workers have one element more.
    """
    base, extra = divmod(elements, workers)
    first = worker * base + min(worker, extra)
    return slice(first, first + base + (worker < extra))


@dataclass(frozen=True)
class Roles:
    """The role of every rank: viewer is rank 0, then servers and workers.

    Attributes
    ----------
    servers, workers : tuple of int
        Their ranks, in the order of their turns and of their elements.
    """

    servers: tuple
    workers: tuple
    viewer: int = 0

    def role_of(self, rank):
        """Return ``'viewer'``, ``'server'`` or ``'worker'``."""
        if rank == self.viewer:
            return "viewer"
        return "server" if rank in self.servers else "worker"


def assign_roles(hosts, numservers, serverhosts=None):
    """Choose roles for ranks.

    Parameters
    ----------
    hosts : list of str
        Host name of each rank.
    numservers : int
    serverhosts : list of str or None
        Hosts for the servers, by turns; None spreads them over distinct hosts.

    Returns
    -------
    Roles

    Raises
    ------
    ConfigError
        Too few ranks, or `serverhosts` names a host that has no free rank.
    """
    size = len(hosts)
    if size < numservers + 2:
        raise ConfigError(
            f"{size} ranks are too few for numservers={numservers}: one viewer, {numservers} "
            f"server{'s' * (numservers > 1)} and at least one worker need mpiexec -n {numservers + 2} or more"
        )
    free = {}
    for rank in range(1, size):
        free.setdefault(hosts[rank], []).append(rank)
    order = list(dict.fromkeys(serverhosts or free))
    unknown = [host for host in order if host not in free]
    if unknown:
        raise ConfigError(f"serverhosts: no free rank on {unknown[0]!r}; hosts with free ranks: {', '.join(free)}")
    servers = []
    while len(servers) < numservers:
        candidates = [host for host in order if free[host]]
        if not candidates:
            raise ConfigError(f"serverhosts: {', '.join(order)} have too few ranks for numservers={numservers}")
        for host in candidates[: numservers - len(servers)]:
            servers.append(free[host].pop(0))
    servers.sort()
    return Roles(tuple(servers), tuple(rank for rank in range(1, size) if rank not in servers))
