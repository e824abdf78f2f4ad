"""What ``--check`` prints, and the first line of the log."""

from parcorana._version import __version__
from parcorana.job.config import format_params
from parcorana.job.partition import elements_of

_MIB = 1 << 20
_NAMED = 8  # parts of a class's memory
_LITTLE = 0.5  # MiB


def summary(config, division, size):
    """Return a line on the job: ranks, dataset, elements, delays."""
    how = f"mpiexec with {size} ranks" if size > 1 else "one process"
    if config.mode == "test_alt":
        return (
            f"parcorana {__version__}, --test_alt: all events at once; {config.dataset.text}; {config.elements:,} of "
            f"{config.mask.size:,} elements, {len(config.delays)} delays, {config.user_class.__name__}"
        )
    how = f"--{config.mode}, {how}" if config.mode != "main" else how
    servers, workers = _number(len(division.roles.servers), "server"), _number(len(division.roles.workers), "worker")
    few, many = (choose(division.threads[rank] for rank in division.roles.workers) for choose in (min, max))
    threads = _number(many, "thread") if few == many else f"{few} to {many} threads"
    return (
        f"parcorana {__version__}, {how}: {servers}, {workers} with {threads};"
        f" {config.dataset.text}; {config.elements:,} of {config.mask.size:,} elements,"
        f" {len(config.delays)} delays {config.delays[0]}..{config.delays[-1]}, times {config.times},"
        f" {config.user_class.__name__}"
    )


def _number(n, what):
    return f"{n} {what}{'s' * (n != 1)}"


def report(config, division, size, needs, tightest):
    """Return what ``--check`` prints."""
    lines = [
        format_params(config),
        "",
        summary(config, division, size),
        "rank  role    host              elements     MiB",
    ]
    workers = division.roles.workers
    for rank, role, host in division.ranks():
        part = elements_of(workers.index(rank), len(workers), config.elements) if role == "worker" else None
        elements = f"{part.stop - part.start:,}" if part else ""
        lines.append(f"{rank:4}  {role:7} {host:16} {elements:>9} {needs[rank] / _MIB:7,.0f}")
    lines += _parts(division)
    lines.append(f"memory: {sum(needs) / _MIB:,.0f} MiB in all, at most")
    lines += tightest
    if size == 1:
        lines.append(f"over MPI: mpiexec -n {config.numservers + 2} or more ranks (numservers={config.numservers})")
    return "\n".join(lines)


def _parts(division):
    """Return lines on what takes the memory of a worker, so that one sees what to make smaller."""
    of_classes = {}
    for (who, what), size in division.parts.items():
        of_classes.setdefault(who, []).append((size / _MIB, what))
    lines = []
    for who, parts in of_classes.items():
        large = sorted((part for part in parts if part[0] >= _LITTLE), key=lambda part: -part[0])[:_NAMED]
        rest = sum(size for size, _ in parts) - sum(size for size, _ in large)
        shown = [f"{what} {size:,.0f}" for size, what in large]
        shown += [f"{'others' if large else 'all'} {rest:,.0f}"] if rest >= _LITTLE or not large else []
        lines.append(f"  {who + ': ' if who else ''}{', '.join(shown)}")
    return [f"of which on worker {division.roles.workers[0]}, in MiB:", *lines]
