"""What a run needs of memory, by the formulas of section 8 of the contract."""

from parcorana.errors import ConfigError
from parcorana.partition import elements_of

_FIXED = 64 << 20  # interpreter, libraries: beside what is counted here
_MARGIN = 1.1
_USUAL_ARRAYS = 3  # of the shipped classes


def _bounded(nbytes):
    return int(nbytes * _MARGIN) + _FIXED


def arrays_of(user_class):
    """Return how many D x element arrays a user class is taken to have.

    What a run needs is said, and refused, before there are instances. So only a
    class whose `arrayNames` is a class method or a static one can be asked; of
    others, 3 are counted, as the shipped classes have.
    """
    try:
        return len(user_class.arrayNames())
    except Exception:  # a method of instances, then nothing of it has run; or a fault, which the run is going to tell
        return _USUAL_ARRAYS


def worker_bytes(config, elements):
    """Return the bytes of a worker with so many elements: buffer, two blocks, sums."""
    rows, arrays = config.times + 2 * config.block, arrays_of(config.user_class)
    return _bounded(rows * elements * config.store_dtype.itemsize + arrays * len(config.delays) * elements * 8)


def server_bytes(config):
    """Return the bytes of a server: two blocks."""
    return _bounded(2 * config.block * config.elements * config.store_dtype.itemsize)


def viewer_bytes(config):
    """Return the bytes of the viewer: one delay of one array, or all of them where the class needs that."""
    from parcorana.userbase import UserBase

    def has(name):
        method = getattr(config.user_class, name, None)
        return method is not None and method is not getattr(UserBase, name)

    one_by_one = all(has(name) for name in ("workerReduce", "viewerPublishReduced", "viewerPublishArray"))
    gathered = 1 if one_by_one else arrays_of(config.user_class) * len(config.delays)
    return _bounded((gathered + 1) * config.mask.size * 8)


def bytes_of_ranks(config, roles, size):
    """Return the bytes of every rank, in order."""
    workers = len(roles.workers)
    needs = []
    for rank in range(size):
        role = roles.role_of(rank)
        if role == "worker":
            part = elements_of(roles.workers.index(rank), workers, config.elements)
            needs.append(worker_bytes(config, part.stop - part.start))
        else:
            needs.append(server_bytes(config) if role == "server" else viewer_bytes(config))
    return needs


def available():
    """Return the bytes that this host can give now."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 62


def check_memory(needs, hosts, free):
    """Raise ConfigError if the ranks of a host need more than it has.

    Parameters
    ----------
    needs : list of int
        Bytes of each rank.
    hosts : list of str
        Host of each rank.
    free : dict of str to int
        Bytes that each host can give.
    """
    for host, has in free.items():
        wanted = sum(need for need, where in zip(needs, hosts, strict=True) if where == host)
        if wanted > has:
            raise ConfigError(
                f"memory: the ranks on {host} need {wanted / 2**30:.1f} GiB, it has {has / 2**30:.1f} GiB: "
                "use more hosts, fewer times, a smaller block or a smaller mask (see --check)"
            )
