"""What every role of a run knows: one frozen object."""

from dataclasses import dataclass, field
from typing import Any

from parcorana.calculation.make import make_calculation
from parcorana.calculation.params import MpiParams
from parcorana.calculation.several import Several
from parcorana.job.config import Config
from parcorana.job.partition import Roles, elements_of
from parcorana.pipeline.clock import Clock
from parcorana.pipeline.entering import Entering
from parcorana.pipeline.stop import Stop
from parcorana.pipeline.transport import Transport


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
    stop : Stop
    resume : parcorana.results.checkpoint.Checkpoint or None
        From where the run goes on.
    h5output : str or None
        Name of the result file.
    """

    config: Config
    roles: Roles
    transport: Transport
    clock: Clock
    threads: int = 1
    stop: Stop = field(default_factory=Stop)
    resume: Any = None
    h5output: str | None = None

    @property
    def first_block(self):
        """Number of the block that the run begins with."""
        return self.resume.block if self.resume else 0

    @property
    def by_rounds(self):
        """Whether workers merge the blocks of all servers, one of each: `parcorana.pipeline.rounds`."""
        return self.config.dataset.is_live and len(self.roles.servers) > 1

    @property
    def block(self):
        """The most events of a server's block; those of a round have `block` of the config together."""
        return max(self.config.block // len(self.roles.servers), 1) if self.by_rounds else self.config.block

    @property
    def resumable(self):
        """Whether the run leaves a checkpoint when it is stopped."""
        return bool(self.config.checkpoint or self.resume)

    @property
    def rank(self):
        """The number of this rank."""
        return self.transport.rank

    @property
    def role(self):
        """The role of this rank."""
        return self.roles.role_of(self.rank)

    @property
    def place(self):
        """How many ranks of the same role come before this one."""
        alike = {"server": self.roles.servers, "worker": self.roles.workers}.get(self.role, (self.rank,))
        return alike.index(self.rank)

    def part_of(self, worker_rank):
        """Return the slice of included elements of a worker."""
        workers = self.roles.workers
        return elements_of(workers.index(worker_rank), len(workers), self.config.elements)

    @property
    def parts(self):
        """Slices of all workers, in their order."""
        return [self.part_of(rank) for rank in self.roles.workers]

    def make_calculation(self):
        """Make this rank's calculation; what it knows of the rank is its `mpiParams`."""
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
        if not config.classes:
            return make_calculation(config, params)
        parts = {name: make_calculation(each, params.of_class(name)) for name, each in config.classes.items()}
        return Several(
            parts, config.classes, params, lambda first, *others: Entering(self, first, lambda at: None, others)
        )


def finished_facts(job, facts: dict[str, Any] | None = None):
    """Return what a rank tells the viewer when it is done."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"role": job.role, "seconds": job.clock.seconds, "peak_mib": peak} | (facts or {})
