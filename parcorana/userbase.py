"""What a user class is: every callback, with its documentation (contract, section 6)."""

import logging

ADD = "ADD"
SUBTRACT = "SUBTRACT"


class MpiParams:
    """What a user class knows of the rank that it lives on.

    Attributes
    ----------
    rank : int
    role : {'server', 'worker', 'viewer'}
    logger : logging.Logger
    mask : bool array of the detector's shape
        True for the elements to process.
    part : slice
        Of the included elements (``mask.ravel().nonzero()[0]``) those that this
        worker has; all of them on the other roles.
    firstWorker : bool
    threads : int
        OpenMP threads that a callback of this rank may use.
    processed : int
        Events processed when `workerCalc` or `viewerPublish` is called.
    """

    def __init__(self, rank, role, mask, part, first_worker=True, threads=1):
        self.rank, self.role, self.mask, self.part = rank, role, mask, part
        self.firstWorker, self.threads = first_worker, threads
        self.processed = 0
        self.logger = logging.getLogger("parcorana.user")

    def _log(self, level, msg, allWorkers):
        if self.role != "worker" or self.firstWorker or allWorkers:
            self.logger.log(level, msg)

    def logInfo(self, msg, allWorkers=False):
        """Log `msg`; of the workers only the first one does unless `allWorkers`."""
        self._log(logging.INFO, msg, allWorkers)

    def logDebug(self, msg, allWorkers=False):
        """Log `msg` as debug output, as `logInfo`."""
        self._log(logging.DEBUG, msg, allWorkers)

    def logWarning(self, msg, allWorkers=False):
        """Log `msg` as a warning, as `logInfo`."""
        self._log(logging.WARNING, msg, allWorkers)

    def logError(self, msg, allWorkers=False):
        """Log `msg` as an error, as `logInfo`."""
        self._log(logging.ERROR, msg, allWorkers)


class UserBase:
    """Base class of user classes; deriving from it is not required.

    One instance lives on every server, worker and viewer rank (in one process:
    three, one for each role). A callback that a class does not define itself is
    skipped: those of this class are here for their documentation.

    Parameters
    ----------
    user_params : dict
        As in the config file, untouched.
    system_params : dict
        With all defaults filled in.
    mpiParams : MpiParams
    """

    #: 'C': in X the elements of one event are contiguous, good for NumPy.
    #: 'F': the times of one element are, good for compiled kernels.
    storage_order = "C"
    #: True for a class that mends values that are not finite in `adjustData`.
    mends_nonfinite = False

    def __init__(self, user_params, system_params, mpiParams):
        self.user_params, self.system_params, self.mpiParams = user_params, system_params, mpiParams

    @classmethod
    def checkParams(cls, user_params, mask, log):
        """Check `user_params` before the run starts, without MPI.

        Optional. Raise `parcorana.ConfigError` for what is wrong; `log` takes
        a warning.
        """

    def arrayNames(self):
        """Return the names of the D x elements float64 arrays, as ``['G2', 'IF', 'IP']``."""
        raise NotImplementedError

    def initServer(self):
        """Optional: prepare on a server."""

    def eventOk(self, evt):
        """Optional, on a server, before detector data is fetched: falsy filters the event."""

    def finalDataArray(self, dataArray, evt):
        """Optional, on a server: None filters the event, else the array to use (same shape)."""

    def initWorker(self, numElementsWorker):
        """On a worker, once: how many elements it has."""

    def adjustData(self, data):
        """Optional, on a worker: change one event's elements in place before they are stored."""

    def adjustTerms(self, mode, dataIdx, T, X):
        """Optional, on a worker: keep a rolling calculation up to date.

        Called with `parcorana.SUBTRACT` just before row `dataIdx` is
        overwritten, and with `parcorana.ADD` just after it was filled.
        """

    def adjustTermsBlock(self, mode, dataIdxs, T, X):
        """Optional, on a worker, instead of `adjustTerms`: for at most `times` rows at once.

        SUBTRACT with all the leaving rows still there, then ADD with all the
        entering ones there: pairs of a leaving with an entering event are not seen.
        """

    def bufferClears(self, T, numTimesFilled, X):
        """Optional, on a worker: the rolling buffer is about to be emptied, for a new run."""

    def workerCalc(self, T, numTimesFilled, X):
        """On a worker, at every update.

        Parameters
        ----------
        T : (times,) int64 [pulses]
            Row i of X was taken at T[i]; the smallest int64 where unfilled.
        numTimesFilled : int
            The first so many rows are valid, in no promised order.
        X : (times, numElementsWorker) float32 or float64

        Returns
        -------
        arrays : dict of name to (D, numElementsWorker) float64
        counts : (D,) int64
        int8array : (numElementsWorker,) int8
        """
        raise NotImplementedError

    def workerReduce(self, arrays, counts, int8array):
        """Optional, on a worker: return a dict of small arrays, to be summed over the workers."""

    def initViewer(self, mask_ndarrayCoords, h5GroupUser):
        """Optional, on the viewer: mask as bool; what is written is in every result file."""

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        """On the viewer, at every update.

        ``name2delay2ndarray['G2'][3]`` is the full ndarray for the delay 3, 0
        outside the mask; `h5UserGroup` is None if the run writes no file.
        """
        raise NotImplementedError

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        """Optional, on the viewer, instead of `viewerPublish`: the sums of `workerReduce`."""

    def viewerPublishArray(self, name, delay, ndarray, h5UserGroup):
        """Optional, on the viewer, after `viewerPublishReduced` where full arrays are asked for.

        Called for one array and delay at a time, so that they need not all fit
        into memory at once. Without it, `viewerPublish` gets them together.
        """


def callback(user, name):
    """Return a user object's callback, None if its class does not define it."""
    method = getattr(user, name, None)
    if method is None or getattr(type(user), name, None) is getattr(UserBase, name, None) is not None:
        return None
    return method
