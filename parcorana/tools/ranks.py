"""The ranks of a job as they start: what one of them finds wrong, all tell."""

import logging
import os
import time
from contextlib import contextmanager, suppress

from parcorana.errors import ConfigError, escaped
from parcorana.pipeline import mpi
from parcorana.tools.failure import describe, end_by_watch
from parcorana.watch.links import connect
from parcorana.watch.watch import Watch, end_without

log = logging.getLogger("parcorana")


class Ranks:
    """The ranks as they start: one process, or a communicator."""

    def __init__(self, debug=False):
        self.debug = debug
        self.comm = mpi.world() if mpi.launched_size() > 1 else None
        self.rank, self.size = (self.comm.rank, self.comm.size) if self.comm else (0, 1)
        self._bound = end_without(os.getppid()) if self.comm else None

    def status(self, status):
        """Return the exit status of this rank, where all ranks end by themselves.

        mpiexec combines those of all ranks, and MPICH's kills the others when
        one ends with a failure. So only rank 0 returns another status than 0.
        """
        return status if self.rank == 0 else 0

    def leave(self):
        """Let this process outlive mpiexec."""
        if self._bound:
            self._bound.stop()

    @contextmanager
    def watched(self, config, division, names, connects):
        """Watch all ranks while the body of ``with`` runs; give it the Watch."""
        links, missing = {}, []
        if self.comm is not None and connects:
            links, missing = connect(self.gather, self.rank, division.hosts)
        if missing and self.rank == 0:
            where = ", ".join(dict.fromkeys(division.hosts[rank] for rank in missing))
            log.warning(
                "ranks %s on %s do not reach the viewer on %s by a socket, so nobody watches them: heartbeat and "
                "callback_limit have no effect on them; is there a firewall between the hosts?",
                ", ".join(map(str, missing)),
                where,
                division.hosts[0],
            )
        rank = None if self.comm is None else self.rank
        watch = Watch(config, division.ranks(), rank, links, lambda reason: end_by_watch(reason, self, names))
        try:
            yield watch.start()
        finally:
            watch.close()

    def gather(self, value):
        """Return the values of all ranks; while they come, wait without burning a core."""
        if self.comm is None:
            return [value]
        request = self.comm.Ibarrier()
        while not request.Test():
            time.sleep(1e-3)
        return self.comm.allgather(value)

    def together(self, action, *args):
        """Run `action` on this rank; if it fails on any rank, all raise the first error."""
        config_error = other = result = None
        try:
            result = action(*args)
        except ConfigError as caught:
            config_error = str(caught)
        except Exception as caught:
            other = describe(caught, [], self, self.debug)
        for wrong, failed in self.gather((config_error, other)):
            if wrong is not None:
                raise ConfigError(wrong)
            if failed is not None:
                raise StartError(failed)
        return result


class StartError(Exception):
    """What went wrong on one rank before the run began, told by all: no rank is left waiting."""


class _Handler(logging.StreamHandler):
    """A log that ends no run when it cannot be written any more."""

    def handleError(self, record):
        with suppress(ValueError):  # user code has closed the stream
            super().handleError(record)


class _Formatter(logging.Formatter):
    """One line for each message, whatever names are in it; of a user class, and of tables, as many as they have."""

    def formatMessage(self, record):
        lines = getattr(record, "lines", False) or record.name.startswith("parcorana.user")
        record.message = escaped(record.message, "\n\t" if lines else "\t")
        return super().formatMessage(record)


def set_log(level, rank, user_level=None):
    """Have the log go to standard error, from a level on that may be another one for user classes."""
    handler = _Handler()
    where = "" if rank == 0 else f" rank {rank}:"
    handler.setFormatter(_Formatter(f"%(asctime)s %(levelname)s{where} %(message)s", "%H:%M:%S"))
    root = logging.getLogger("parcorana")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level)
    # what a user class logs is wanted from every rank: it chooses itself which of them speak
    logging.getLogger("parcorana.user").setLevel(user_level or level)
