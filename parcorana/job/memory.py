"""What a run needs of memory, by the formulas of docs/definitions.md, and whether the hosts let it have that."""

import math
from dataclasses import dataclass, field

from parcorana.calculation.arrays import PerElement, bytes_of, wide_bytes
from parcorana.calculation.guard import callback, defines
from parcorana.calculation.make import make_sample
from parcorana.calculation.says import reduced_bytes, whole_bytes
from parcorana.calculation.several import with_one_buffer
from parcorana.calculation.userbase import REDUCED
from parcorana.correlation.lines import scratch_bytes
from parcorana.errors import ConfigError
from parcorana.files.limits import Room
from parcorana.job.partition import elements_of

_FIXED = 80 << 20  # interpreter and libraries: beside what is counted here
_LATER = 12 << 20  # of that, what comes only while the run begins
_THREADS = 4  # of a rank, beside those of OpenMP: they move messages and watch
_ADDRESSES = 64 << 20  # that the allocator sets aside for them, used or not
_MARGIN = 1.1
_SPARE = 8 << 20  # bytes by which what a process has in use differs from one run to the next
_USUAL_ARRAYS = 3  # of the shipped classes
_NOTED = 72  # bytes for each row of the buffer: 28 for time, order and row, the rest while pairs are planned
_TEMPORARY = 2 * 8  # bytes for each value of a block, where a class does not say: NumPy makes copies in float64
_NOTED_PHOTONS = 36  # bytes for each element of a segment that may be bright
_COUNTS = 8 << 20  # bytes of photons, of as many frames as are read at once
_WRITTEN = 12 << 20  # bytes that HDF5 holds at most of what is written, in chunks with checksums
_HELD = 4  # times that the arrays of `workerReduce` are held, as results and on their way


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


def worker_bytes(config, sample, elements, threads=1):
    """Return the bytes of a worker with so many elements: of all its `worker_parts`."""
    return _bounded(sum(worker_parts(config, sample, elements, threads).values()))


def worker_parts(config, sample, elements, threads=1):
    """Return what a worker with so many elements holds.

    Blocks, and of each class its buffer, its arrays, and what it needs beside.

    Parameters
    ----------
    config : Config
    sample : tuple, or dict of str to tuple
        Of a class on blocks, as `parcorana.calculation.make.make_sample` makes it; of several by their names.
    elements, threads : int

    Returns
    -------
    dict of (str, str) to int
        By whose and what it is, bytes.
    """
    row = elements * config.store_dtype.itemsize
    block = config.block * row
    found, samples = {("", f"2 blocks of {config.block} events"): 2 * (block + row)}, sample if config.classes else {}
    if config.dataset.is_live and config.numservers > 1:  # what waits for the next round: `parcorana.pipeline.rounds`
        found["", "blocks that wait for those of other servers"] = 2 * block // config.numservers
    blind = [name for name, (calculation, _) in samples.items() if calculation is None]
    known = {name: calculation for name, (calculation, _) in samples.items() if calculation is not None}
    buffers = [[name] for name in blind] + with_one_buffer(known)
    for names in buffers or [[""]]:
        who = " and ".join(names) or config.user_class.__name__
        calculation = (samples[names[0]] if names[0] else sample)[0]
        kept = 0 if calculation is not None and calculation.buffer is None else config.times
        rows = kept * row
        noted = (_NOTED + 8 * len(config.names)) * (config.times + config.block)
        found[who, f"buffer of {config.times} events"] = rows + noted
        if names[0] and (calculation is None or calculation.changes_rows):
            found[who, "a block of its own"] = block
    for name, own in (config.classes or {"": config}).items():
        for what, size in _class_parts(own, samples[name] if name else sample, elements, threads).items():
            found[own.user_class.__name__, what] = size
    return found


def _class_parts(config, sample, elements, threads):
    """Return the bytes of a class's arrays, and of what else it needs on a worker, by what they are.

    That are the threads' scratch, and the small arrays that are summed.
    """
    calculation, arrays = sample
    delays, more = len(config.delays), _HELD * reduced_bytes(config)
    if calculation is None:
        number, itemsize = arrays_of(config.user_class), config.store_dtype.itemsize
        more += scratch_bytes(config.times, config.block, config.delays, itemsize, threads, elements)
        return {f"{number} arrays ({delays})": number * delays * elements * 8, "at work": more}
    found = {}
    for name, array in arrays.items():
        shape = array.value.shape[:-1] if isinstance(array, PerElement) else array.value.shape
        found[f"{name} ({' x '.join(map(str, shape))})" if shape else name] = bytes_of({name: array}, elements)
    extra = callback(calculation, "extra_bytes")
    said = extra(elements, threads) if extra else _TEMPORARY * config.block * elements
    more += (_HELD - 1) * _small_bytes(arrays) + whole_bytes(config.user_class, "extra_bytes", said)
    return found | {"at work": more + _HELD * collected_bytes(config, calculation, elements)}


def collected_bytes(config, calculation, elements):
    """Return the bytes of what a class says that `collect` returns for so many elements, beside its arrays."""
    say = callback(calculation, "collected_bytes")
    return whole_bytes(config.user_class, "collected_bytes", say(elements)) if say else 0


def small_bytes(config):
    """Return the bytes of what an update holds beside arrays of elements; of several classes of all."""
    if config.classes:
        return sum(small_bytes(own) for own in config.classes.values())
    calculation, arrays = make_sample(config)
    return _small_bytes(arrays) + collected_bytes(config, calculation, 1)


def _small_bytes(arrays):
    return sum(wide_bytes(array) for array in arrays.values() if not isinstance(array, PerElement))


def server_bytes(config):
    """Return the bytes of a server: two blocks; with `photons` the counts of some frames, and notes on a segment.

    What its source takes is known only when that is open.
    """
    found = 0
    if config.photons is not None:
        found = _NOTED_PHOTONS * math.prod(config.mask.shape[-2:]) + max(2 * config.mask.size, _COUNTS)
    return _bounded(2 * (config.block + 1) * config.elements * config.store_dtype.itemsize + found)


def viewer_bytes(config, sample):
    """Return the bytes of the viewer: small arrays, and one delay of one array or, if the class needs that, all.

    And what HDF5 copies of what is written.
    """
    if config.classes:
        each = (viewer_bytes(own, sample[name]) for name, own in config.classes.items())
        return sum(each) - _FIXED * (len(config.classes) - 1)
    calculation, arrays = sample
    one = 8
    if calculation is None:
        one_by_one = all(defines(config.user_class, name) for name in (*REDUCED, "viewerPublishArray"))
        gathered = 8 * (1 if one_by_one else arrays_of(config.user_class) * len(config.delays))
    else:
        whole = [array.value for array in arrays.values() if isinstance(array, PerElement)]
        one = max([one, *(a.itemsize for a in whole)])
        gathered = one * bool(whole) if calculation.takes_pieces else sum(a.nbytes for a in whole)
    small = reduced_bytes(config) + _small_bytes(arrays)
    small += 0 if calculation is None else collected_bytes(config, calculation, config.mask.size)
    written = min(3 * one * config.mask.size, _WRITTEN)
    return _bounded((gathered + one) * config.mask.size + written + _HELD * small)


def sample_of(config):
    """Return the sample of a job's class; of several classes a dict of those of each."""
    return {name: make_sample(own) for name, own in config.classes.items()} or make_sample(config)


def bytes_of_ranks(config, roles, threads, sample):
    """Return the bytes of every rank, in order; of each rank its threads are given."""
    workers, needs = len(roles.workers), []
    for rank, number in enumerate(threads):
        role = roles.role_of(rank)
        if role == "worker":
            part = elements_of(roles.workers.index(rank), workers, config.elements)
            needs.append(worker_bytes(config, sample, part.stop - part.start, number))
        else:
            needs.append(server_bytes(config) if role == "server" else viewer_bytes(config, sample))
    return needs


@dataclass
class _Pool:
    """A limit, and the ranks that it holds for.

    Attributes
    ----------
    room : parcorana.files.limits.Room
        As the one of them sees it that has least left.
    more : int
        Bytes that these ranks need beside what they have.
    ranks : list of int
    """

    room: Room
    more: int = 0
    ranks: list = field(default_factory=list)

    @property
    def lacks(self):
        """Bytes that are missing; negative if some are left over."""
        return self.more - self.room.left

    def line(self, division):
        """Return what is needed, and what there is."""
        first = self.ranks[0]
        who = f"the ranks on {division.hosts[first]} need"
        if self.room.own and len(division.hosts) > len(self.ranks):
            who = f"rank {first} ({division.roles.role_of(first)} on {division.hosts[first]}) needs"
        more, left = _size(max(self.more, 0)), _size(self.room.left)
        return f"{who} {more} beside what is in use, {self.room.what} leaves {left}"


def needs_now(division, rooms):
    """Return the bytes of every rank, by the formula, with what its process already uses beyond a bare interpreter.

    Libraries that read events, and times of events, are known only when they are there; and then what reading takes.
    """
    alone = len(rooms) == 1
    found = [
        need + max(has.used + _LATER - _FIXED, 0) + has.reading
        for need, has in zip(division.needs, rooms, strict=False)
    ]
    # in one process the roles have one interpreter
    return found + [need - _FIXED for need in division.needs[1:]] if alone else found


def _pools(division, rooms):
    """Return the limits, each with all ranks that it holds for together."""
    pools, alone = {}, len(rooms) == 1
    for rank, (need, host) in enumerate(zip(needs_now(division, rooms), division.hosts, strict=True)):
        has = rooms[0 if alone else rank]
        first = rank == 0 or not alone
        for room in has.rooms:
            key = (host, room.what, has.process if room.own else None)
            pool = pools.setdefault(key, _Pool(room))
            pool.room = min(pool.room, room, key=lambda each: each.left)
            pool.more += need - has.used * first
            pool.ranks.append(rank)
            if room.virtual and first:
                workers = [r for r in division.roles.workers if alone or r == rank]
                pool.more += _ADDRESSES + (sum(division.threads[r] for r in workers) + _THREADS) * has.stack
    return list(pools.values())


def check_memory(division, rooms):
    """Raise ConfigError if ranks need more than their hosts and limits let them have.

    Parameters
    ----------
    division : parcorana.job.division.Division
    rooms : list of parcorana.files.limits.Rooms
        Of each rank; of a run in one process a single one.
    """
    worst = max(_pools(division, rooms), key=lambda pool: pool.lacks)
    if worst.lacks > 0:
        enough = -(-(worst.room.limit + worst.lacks + _SPARE) // (10_000 << 10)) * 10_000
        remedy = worst.room.remedy.format(enough=enough)
        kind = "ranks" if worst.room.own else "hosts"
        raise ConfigError(
            f"memory: {worst.line(division)}: {remedy}use more {kind}, fewer times, a smaller block or a smaller mask "
            "(see --check)"
        )


def tightest(division, rooms):
    """Return a line for each host, on the limit that its ranks come nearest to."""
    nearest = {}
    for pool in _pools(division, rooms):
        host = division.hosts[pool.ranks[0]]
        nearest[host] = max(nearest.get(host, pool), pool, key=lambda each: each.lacks)
    return [pool.line(division) for pool in nearest.values()]


def _size(nbytes):
    return f"{nbytes / 2**30:,.1f} GiB" if nbytes >= 1 << 30 else f"{nbytes / 2**20:,.0f} MiB"
