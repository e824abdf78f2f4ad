"""What a class of callbacks is: every one of them, with its documentation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.calculation.params import MpiParams

ADD = "ADD"
SUBTRACT = "SUBTRACT"
REDUCED = ("workerReduce", "viewerPublishReduced")  # a class has both or none


class UserBase:
    """Base class of user classes; deriving from it is not required.

    One instance lives on every server, worker and viewer rank (in one process:
    three, one for each role). Needed are `arrayNames`, `initWorker`,
    `workerCalc`, and `viewerPublish` or both `workerReduce` and
    `viewerPublishReduced`. Any other callback that a class does not define
    itself is skipped: those of this class are here for their documentation.

    In what follows n is the number of elements of a worker, N that of all
    included elements, D the number of delays, m that of events. An exception
    in any callback ends the run on all ranks, with exit status 1 and the
    traceback from the user's frame on; a `parcorana.RunError` is told in one
    line without traceback.

    Parameters
    ----------
    user_params : dict
        As in the config file, untouched.
    system_params : dict
        With all defaults filled in; ``system_params['delays']`` is a list of D
        ints [pulses].
    mpiParams : MpiParams
        Rank, role, mask, and functions that log.
    """

    #: 'C': in X the elements of one event are contiguous, good for NumPy.
    #: 'F': the times of one element are, good for compiled kernels.
    storage_order = "C"
    #: True for a class that mends values that are not finite in `adjustData`;
    #: otherwise an event with such a value in an included element is bad.
    mends_nonfinite = False
    #: True for a class that keeps what it needs of earlier events itself, so that
    #: `times` need not reach beyond the delays, and delays without pairs are no fault.
    keeps_history = False
    #: Names of the `user_params` that a class takes, beside those of the classes
    #: that it is made from: a key that none of them takes is a warning. None: any.
    takes_params: Sequence[str] | None = None

    def __init__(self, user_params: dict[str, Any], system_params: dict[str, Any], mpiParams: MpiParams) -> None:
        self.user_params, self.system_params, self.mpiParams = user_params, system_params, mpiParams

    @classmethod
    def checkParams(cls, user_params: dict[str, Any], mask: NDArray[np.bool_], log: Callable[[str], object]) -> None:
        """Check `user_params` before the run starts.

        Optional, on every rank, before any instance is made and without MPI.

        Parameters
        ----------
        user_params : dict
        mask : bool array of the detector's shape
        log : callable
            Takes one line of text: a warning.

        Raises
        ------
        parcorana.ConfigError
            What is wrong: the run does not begin, exit status 2.
        """

    @classmethod
    def reducedBytes(cls, system_params: dict[str, Any], user_params: dict[str, Any], mask: NDArray[np.bool_]) -> int:
        """Say beforehand how large the arrays are that `workerReduce` returns.

        Optional, with `workerReduce`, on every rank, before any instance is
        made: for the memory that a run needs. Of a class without it nothing is
        counted, and large arrays are a warning at the first update.

        Parameters
        ----------
        system_params, user_params : dict
            As those of ``__init__``.
        mask : bool array of the detector's shape

        Returns
        -------
        int
            Bytes of all of them together, on one worker, in the types in which
            they are summed (see `workerReduce`).
        """

    def arrayNames(self) -> list[str]:
        """Name the arrays that `workerCalc` returns.

        On every rank, once, right after ``__init__``. Where it is a class method
        or a static one the class is asked before, too: for the memory that a run
        needs. Of other classes 3 arrays are counted there.

        Returns
        -------
        list of str
            Distinct, as ``['G2', 'IF', 'IP']``.
        """
        raise NotImplementedError

    def initServer(self) -> None:
        """Prepare a server: once, before its first event. Optional."""

    def eventOk(self, evt: Any) -> object:
        """Decide whether workers should process an event, before detector data is fetched.

        Optional, on a server, for each event that it reads.

        Parameters
        ----------
        evt : object
            With the attributes `stamp` (int [pulses or ns]), `index` (its
            position in its run) and `values` (dict of str to float, as the
            config names them). psana's own event with psana, whose run is
            ``mpiParams.run``; else its `run` is 0 for the first of the dataset.

        Returns
        -------
        bool
            Falsy: the event is counted as filtered.
        """

    def finalDataArray(self, dataArray: NDArray[Any], evt: Any) -> NDArray[Any] | None:
        """Decide by the data, or change it.

        Optional, on a server, for each event with data that `eventOk` let through.

        Parameters
        ----------
        dataArray : ndarray of the detector's shape
            In the type that the source gives. It may be read-only and may be
            overwritten by the next event: return another array to change it.
        evt : object
            As in `eventOk`.

        Returns
        -------
        ndarray or None
            The array to use, of the same shape and of any type of numbers;
            None: the event is counted as filtered. Of another shape, or not
            finite in an included element: it is counted as bad.
        """

    def initWorker(self, numElementsWorker: int) -> None:
        """Prepare a worker: once, before its first event.

        Parameters
        ----------
        numElementsWorker : int
            How many elements of the detector this worker has (n).
        """

    def adjustData(self, data: NDArray[Any]) -> object:
        """Change one event's elements in place, before they are stored.

        Optional, on a worker, for each event that enters the buffer: not for
        duplicate and late ones.

        Parameters
        ----------
        data : (n,) array of the buffer's type, float32 or float64
            What is returned is ignored.
        """

    def adjustTerms(self, mode: str, dataIdx: int, T: NDArray[np.int64], X: NDArray[Any]) -> None:
        """Keep a rolling calculation up to date, one event at a time.

        Optional, on a worker. An event that enters a full buffer takes the row
        of the one with the smallest counter: first comes SUBTRACT with the old
        event still in the row, then ADD with the new one in it. Into an
        unfilled row there is ADD alone. At the end of a run that another one
        follows, each stored event leaves by a SUBTRACT of its own, after which
        its row is unfilled, unless the class has `bufferClears`.

        Parameters
        ----------
        mode : {parcorana.ADD, parcorana.SUBTRACT}
            SUBTRACT: just before the row is overwritten; ADD: just after it
            was filled.
        dataIdx : int
            The row.
        T : (times,) int64 [pulses]
        X : (times, n) float32 or float64
            Both as they are at that moment: as in `workerCalc`.
        """

    def adjustTermsBlock(self, mode: str, dataIdxs: NDArray[np.int64], T: NDArray[np.int64], X: NDArray[Any]) -> None:
        """Keep a rolling calculation up to date, many events at a time.

        Optional, on a worker, instead of `adjustTerms`. First SUBTRACT with
        all the leaving events still there, then ADD with all the entering ones
        there; either is left out if it has no rows. So pairs of a leaving with
        an entering event are not seen, nor are events that enter and leave
        within the same block.

        Parameters
        ----------
        mode : {parcorana.ADD, parcorana.SUBTRACT}
        dataIdxs : (k,) int64, 1 <= k <= times
            The rows, all different.
        T : (times,) int64 [pulses]
        X : (times, n) float32 or float64
        """

    def bufferClears(self, T: NDArray[np.int64], numTimesFilled: int, X: NDArray[Any]) -> None:
        """Take leave of the stored events: the buffer empties, for the next run begins.

        Optional, on a worker, with a dataset of several runs. A class that has
        it resets its terms here and gets no SUBTRACT.

        Parameters
        ----------
        T, numTimesFilled, X
            As in `workerCalc`.
        """

    def workerCalc(
        self, T: NDArray[np.int64], numTimesFilled: int, X: NDArray[Any]
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], NDArray[np.int8]]:
        """Calculate, on a worker, at every update.

        Parameters
        ----------
        T : (times,) int64 [pulses]
            Row i of X was taken at T[i]; the smallest int64 where unfilled.
        numTimesFilled : int
            The first so many rows are valid, in no promised order.
        X : (times, n) float32 or float64
            It shares the buffer's memory: not to be changed. 0 where unfilled.

        Returns
        -------
        arrays : dict of str to (D, n) float64
            With the names of `arrayNames`.
        counts : (D,) int64
            Number of pairs of each delay. It must depend on `T` alone, so that
            all workers return the same.
        int8array : (n,) int8
            What else there is to say of each element, as whether it was saturated.
        """
        raise NotImplementedError

    def workerReduce(
        self, arrays: dict[str, NDArray[np.float64]], counts: NDArray[np.int64], int8array: NDArray[np.int8]
    ) -> dict[str, NDArray[Any]]:
        """Make small arrays of what `workerCalc` returned, to be summed over the workers.

        Optional, on a worker, at every update; it takes `viewerPublishReduced`, too.

        Returns
        -------
        dict of str to array of numbers
            Of the same shapes and types on all workers.
        """

    def getState(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of this worker beside the buffer.

        Optional, with `setState`, on a worker: once after `initWorker`, then at
        every checkpoint, between two events. What is the same after
        `initWorker`, or what `workerCalc` computes anew from the buffer, need
        not be there. A class without the two is kept by its attributes, if
        they are plain data, and goes on only on as many workers as before.

        Returns
        -------
        dict of str to ndarray
            Arrays of numbers whose last axis is the n elements of this worker,
            written before the next callback, without a copy. Beside them
            ``parcorana.Common(value)``, an array or number that is the same on
            all workers, and ``parcorana.Partial(value)``, a worker's part of a
            sum over all of them.
        """

    def setState(self, state: dict[str, NDArray[Any]]) -> None:
        """Take up what `getState` returned, in a run that goes on.

        Optional, with `getState`, on a worker, once, after `initWorker`, when
        the buffer is as it was.

        Parameters
        ----------
        state : dict of str to ndarray
            The same names; arrays with the elements of this worker, which may
            be others than before; they are the class's own, and need not be
            copied. Of `Common` and `Partial` the values, as arrays.
        """

    def initViewer(self, mask_ndarrayCoords: NDArray[np.bool_], h5GroupUser: Any) -> None:
        """Prepare the viewer: once, before the first update. Optional.

        Parameters
        ----------
        mask_ndarrayCoords : bool array of the detector's shape
        h5GroupUser : h5py.Group or None
            What is written into it is in the file of every update. None if the
            run writes no file.
        """

    def viewerPublish(
        self,
        counts: NDArray[np.int64],
        relsec: float,
        name2delay2ndarray: dict[str, dict[int, NDArray[np.float64]]],
        int8array: NDArray[np.int8],
        h5UserGroup: Any,
    ) -> None:
        """Publish an update, on the viewer.

        Parameters
        ----------
        counts : (D,) int64
        relsec : float [s]
            Time of the newest processed event minus the whole second of the first.
        name2delay2ndarray : dict of str to dict of int to ndarray
            ``name2delay2ndarray['G2'][3]``: (detector's shape) float64 for the
            delay 3 (not the index 3), 0 outside the mask.
        int8array : (detector's shape) int8
            0 outside the mask.
        h5UserGroup : h5py.Group or None
            The group ``/user`` of this update's file, open during this call
            only; None if the run writes no file.
        """
        raise NotImplementedError

    def viewerPublishReduced(
        self, counts: NDArray[np.int64], relsec: float, reduced: dict[str, NDArray[Any]], h5UserGroup: Any
    ) -> None:
        """Publish an update from small arrays, on the viewer, instead of `viewerPublish`.

        Optional, with `workerReduce`. Full arrays are then gathered only when
        ``user_params['save_arrays']`` asks for them.

        Parameters
        ----------
        counts, relsec, h5UserGroup
            As in `viewerPublish`.
        reduced : dict of str to array
            What `workerReduce` returned, summed over the workers.
        """

    def viewerPublishArray(self, name: str, delay: int, ndarray: NDArray[np.float64], h5UserGroup: Any) -> None:
        """Publish one full array, on the viewer, after `viewerPublishReduced`.

        Optional. Called for each array and delay, so that they need not all fit
        into memory at once; without it `viewerPublish` gets them together.

        Parameters
        ----------
        name : str
        delay : int [pulses]
        ndarray : (detector's shape) float64
        h5UserGroup : h5py.Group or None
        """

    def calcAndPublishForTestAlt(
        self, counters: NDArray[np.int64], data: NDArray[np.float64], h5UserGroup: Any
    ) -> None:
        """Calculate and publish once more, the plain slow way, for ``--test_alt``.

        Optional, on the one instance of a run without MPI, whose `mpiParams.role`
        is 'alone'. `initViewer`, `initServer` and `initWorker` were called before
        it, `eventOk`, `finalDataArray` and `adjustData` for the events. It
        writes what the last update of ``--test_main`` should have published;
        ``--cmp`` compares that, and leaves out what is not written here.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
            T of the processed events, increasing.
        data : (m, N) float64
            Their included elements, as they were stored. More than `times` of
            them are given if the test has more; the buffer would hold the last.
        h5UserGroup : h5py.Group
        """
