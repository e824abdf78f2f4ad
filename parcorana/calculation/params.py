"""What a calculation knows of the rank that it lives on."""

import logging
from typing import Any


class MpiParams:
    """What a user class knows of the rank that it lives on.

    Attributes
    ----------
    rank : int
        Number of the rank; in a run in one process that of the role: 0, 1, 2.
    role : {'viewer', 'server', 'worker', 'alone'}
        'alone': the one instance of ``--test_alt``, which has all the callbacks.
    logger : logging.Logger
        ``parcorana.user``, which goes where the program's own log goes.
    mask : bool array of the detector's shape
        True for the elements to process.
    part : slice
        Of the included elements (``mask.ravel().nonzero()[0]``) those that this
        worker has; all of them on the other roles.
    firstWorker : bool
        Whether this is the first of the workers, the one that logs.
    threads : int
        OpenMP threads that a callback of this rank may use.
    processed : int
        Events processed when `workerCalc`, `viewerPublish` or
        `viewerPublishReduced` is called.
    h5output : str or None
        On the viewer: absolute path of the result file.
    run : object
        On a server that reads with psana: psana's run, that of the event in hand; before `initServer` the first one.
        None elsewhere, and as long as no run has begun.
    """

    _who = ""

    def __init__(
        self, rank: int, role: str, mask: Any, part: slice, first_worker: bool = True, threads: int = 1
    ) -> None:
        self.rank, self.role, self.mask, self.part = rank, role, mask, part
        self.firstWorker, self.threads = first_worker, threads
        self.processed = 0
        self.h5output: str | None = None
        self.run: Any = None
        self.logger = logging.getLogger("parcorana.user")

    def of_class(self, name: str) -> "MpiParams":
        """Return the same for one class of several, which begins what it logs with its name."""
        params = object.__new__(type("MpiParams", (MpiParams,), {"_who": f"{name}: "}))
        params.__dict__ = self.__dict__
        return params

    def _log(self, level: int, msg: object, allWorkers: bool) -> None:
        if self.role != "worker" or self.firstWorker or allWorkers:
            self.logger.log(level, f"{self._who}{msg}" if self._who else msg)

    def logInfo(self, msg: object, allWorkers: bool = False) -> None:
        """Log `msg`; of the workers only the first one does unless `allWorkers`."""
        self._log(logging.INFO, msg, allWorkers)

    def logDebug(self, msg: object, allWorkers: bool = False) -> None:
        """Log `msg` as debug output, as `logInfo`."""
        self._log(logging.DEBUG, msg, allWorkers)

    def logWarning(self, msg: object, allWorkers: bool = False) -> None:
        """Log `msg` as a warning, as `logInfo`."""
        self._log(logging.WARNING, msg, allWorkers)

    def logError(self, msg: object, allWorkers: bool = False) -> None:
        """Log `msg` as an error, as `logInfo`; the run goes on. To end it, raise an exception."""
        self._log(logging.ERROR, msg, allWorkers)
