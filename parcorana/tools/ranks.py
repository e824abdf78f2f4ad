"""The ranks of a job as they start: what one of them finds wrong, all tell."""

import logging
import os
from contextlib import contextmanager, suppress
from functools import partial

from parcorana.errors import ConfigError, RunError, escaped
from parcorana.job.alike import Fact, differences, named, sentence
from parcorana.job.fingerprint import digest
from parcorana.pipeline import mpi
from parcorana.results.runlog import BEFORE
from parcorana.tools.failure import describe, end_by_watch
from parcorana.watch.links import connect
from parcorana.watch.watch import Watch, end_without

log = logging.getLogger("parcorana")
_LOST = 0.05  # s: a socket may say a little later than MPI that a rank has gone


class Ranks:
    """The ranks as they start: one process, or a communicator.

    Parameters
    ----------
    debug : bool
        Whether tracebacks are asked for.
    start_limit : float
        Seconds that MPI, or a config, may take; 0: any.
    """

    def __init__(self, debug=False, start_limit=0.0):
        self.debug, self.start_limit = debug, start_limit
        self.comm = self._bound = None
        self.rank, self.size, self.hosts = 0, 1, [mpi.hostname()]
        if mpi.launched_size() > 1:
            self._bound = end_without(os.getppid(), start_limit)
            self.comm = mpi.world()
            self.rank, self.size = self.comm.rank, self.comm.size
            self.hosts = self.gather(mpi.hostname())
        self._missing = []

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
    def watched(self, names):
        """Watch all ranks while the body of ``with`` runs; give it the Watch."""
        links = {}
        if self.comm is not None:
            links, self._missing = connect(self.gather, self.rank, self.hosts)
            self._bound.or_else(0, [])
        rank, known = (None, [(0, "the run", "")]) if self.comm is None else (self.rank, self._places())
        ends = partial(end_by_watch, ranks=self, names=names)
        watch = Watch(self.start_limit, known, rank, links, ends)
        try:
            yield watch.start()
        except Exception as error:
            if self.comm is not None and mpi.is_of_mpi(error) and (lost := watch.lost(_LOST)):
                raise RunError(lost) from error
            raise
        finally:
            watch.close()

    def _places(self):
        return [(rank, "", host) for rank, host in enumerate(self.hosts)]

    def warn_of_unwatched(self):
        """Say which ranks the viewer does not hear."""
        if self._missing and self.rank == 0:
            log.warning(
                "ranks %s on %s do not reach the viewer on %s by a socket, so nobody watches them: heartbeat and "
                "callback_limit have no effect on them; is there a firewall between the hosts?",
                ", ".join(map(str, self._missing)),
                ", ".join(dict.fromkeys(self.hosts[rank] for rank in self._missing)),
                self.hosts[0],
            )

    def gather(self, value):
        """Return the values of all ranks."""
        return [value] if self.comm is None else mpi.gather(self.comm, value)

    def together(self, action, *args):
        """Run `action` on this rank; if it fails on any rank, all raise the first error."""
        return self._together(action, args, lambda failed: "")

    def alike(self, action, *args):
        """The same of what all ranks do alike: an error that only some of them have names them."""
        return self._together(action, args, self._only)

    def _only(self, failed):
        if len(failed) == self.size:
            return ""
        return (
            f"; so on {named(failed, self.hosts)} only, not on the other {self.size - len(failed)} of {self.size}: all "
            "ranks must find the same files and modules"
        )

    def _together(self, action, args, only):
        config_error = other = result = None
        try:
            result = action(*args)
        except ConfigError as caught:
            config_error = str(caught)
        except Exception as caught:
            other = describe(caught, [], self, self.debug)
        outcomes = self.gather((config_error, other))
        failed = [rank for rank, outcome in enumerate(outcomes) if outcome != (None, None)]
        for wrong, worse in outcomes:
            if wrong is not None:
                raise ConfigError(f"{wrong}{only(failed)}")
            if worse is not None:
                raise StartError(worse)
        return result

    def compare(self, facts):
        """Refuse a job whose ranks do not have the same: on all ranks.

        Parameters
        ----------
        facts : callable
            Returns what should be alike, name to `parcorana.job.alike.Fact`; not called where there is one rank.

        Raises
        ------
        ConfigError
        """
        if self.comm is None:
            return
        own = self.together(lambda: {name: tuple(fact) for name, fact in facts().items()})
        if len(set(self.gather(digest(own)))) == 1:
            return
        wrong, doubtful = differences([_as_facts(each) for each in self.gather(own)], self.hosts)
        if wrong:
            raise ConfigError(
                f"the ranks do not have the same job: {sentence(wrong)}. Was a file edited while the job started, does "
                "a host have an old copy, or does the config depend on rank, host or time?"
            )
        if doubtful and self.rank == 0:
            log.warning("the ranks do not have quite the same job: %s", sentence(doubtful))


def _as_facts(plain):
    return {name: Fact(*fact) for name, fact in plain.items()}


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
    root.handlers[:] = [handler, BEFORE] if rank == 0 else [handler]
    root.propagate = False
    root.setLevel(level)
    # what a user class logs is wanted from every rank: it chooses itself which of them speak
    logging.getLogger("parcorana.user").setLevel(user_level or level)
