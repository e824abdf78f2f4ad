"""The one interface to a calculation: blocks of events come in, named arrays go out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.calculation.arrays import COLLECTED, KINDS, Array, PerElement, Summed
from parcorana.calculation.block import Block, Update
from parcorana.calculation.params import MpiParams
from parcorana.calculation.sums import NUMBERS
from parcorana.errors import RunError


class BlockBase:
    """Base class of calculations on blocks of events.

    One instance lives on every server, worker and viewer rank (in one process:
    three, one for each role). `arrays` and `publish` are needed, and `enter` in
    all but the rarest cases. A method that a class does not define itself is
    not called.

    In what follows n is the number of elements of a worker, m that of the
    events of a block. An exception in any method ends the run on all ranks,
    with exit status 1 and the traceback from the user's frame on; a
    `parcorana.RunError` is told in one line without traceback.

    Parameters
    ----------
    user_params : dict
        As in the config file, untouched.
    system_params : dict
        With all defaults filled in; ``system_params['delays']`` is a list of
        ints [pulses].
    mpiParams : MpiParams
        Rank, role, mask, and functions that log.

    Examples
    --------
    Mean and variance of every element::

        class MeanVariance(parcorana.BlockBase):
            def arrays(self, elements):
                self.sums, self.events = np.zeros((2, elements)), np.zeros(1, np.int64)
                return {"sums": PerElement(self.sums), "events": Common(self.events)}

            def enter(self, block):
                self.sums += block.data.sum(0, "f8"), np.square(block.data, dtype="f8").sum(0)
                self.events += len(block)

            def publish(self, update, group):
                mean, square = update["sums"] / update["events"]
                group[f"mean_at_{update.processed:06d}"] = mean
                group[f"variance_at_{update.processed:06d}"] = square - mean**2
    """

    #: Whether workers keep the last `times` events, and their order in memory: 'C', the elements of one event side by
    #: side; 'F', the times of one element side by side, good for compiled kernels. None: no events are kept.
    buffer: str | None = None
    #: True for a class whose `enter` puts the events into the buffer itself, by `Block.store` or while it computes.
    stores = False
    #: True for a class whose `enter` gets `Settled` events, in the order of time: each when it leaves the buffer, for
    #: nothing that comes later can precede it then, and what is stored when a run ends. It needs `buffer` 'C'.
    in_order = False
    #: The most events in one block; 0: as many as come together.
    most = 0
    #: Blocks end where so many processed events, or a multiple of that, have come, as they do at updates; 0: anywhere.
    cuts = 0
    #: Names of values that the class needs: those of the config's `values`, and 'mean', which servers add for it. Or a
    #: class method that returns them, of `user_params`.
    uses: Any = ()
    #: True for a class to which an event without one of these values (NaN) is of no use: it is filtered.
    leaves_out_missing = False
    #: Events after which workers `share` what they have for the viewer, and once more before an update and a
    #: checkpoint; 0: never.
    shares = 0
    #: True for a class that mends values that are not finite in `adjust`; otherwise such an event is bad.
    mends_nonfinite = False
    #: True for a class that takes `PerElement` arrays one piece after the other, in `publish_piece`.
    takes_pieces = False
    #: True where `collect(last=True)` gives more than `collect(last=False)`: then the last update is made in any case.
    last_has_more = False
    #: Name of the array of an update that counts the pairs of each delay, (D,) whole numbers, if there is one: the log
    #: then tells of delays that have none.
    pairs: str | None = None
    #: With `pairs`: whether a pair no longer counts when one of its events has left the buffer.
    forgets = True
    #: As in `UserBase`; true of every class without a `buffer`.
    keeps_history = False
    #: As in `UserBase`.
    takes_params: Sequence[str] | None = None

    @property
    def changes_rows(self) -> bool:
        """Whether `adjust` may change the elements of events, so that beside other classes it needs its own."""
        return type(self).adjust is not BlockBase.adjust

    def __init__(self, user_params: dict[str, Any], system_params: dict[str, Any], mpiParams: MpiParams) -> None:
        self.user_params, self.system_params, self.mpiParams = user_params, system_params, mpiParams

    @classmethod
    def checkParams(cls, user_params: dict[str, Any], mask: NDArray[np.bool_], log: Callable[[str], object]) -> None:
        """Check `user_params` before the run starts; as `UserBase.checkParams`."""

    # -- on a server --------------------------------------------------------------

    def initServer(self) -> None:
        """Prepare a server: once, before its first event."""

    def eventOk(self, evt: Any) -> Any:
        """Decide whether workers should process an event; as `UserBase.eventOk`."""

    def finalDataArray(self, dataArray: NDArray[Any], evt: Any) -> NDArray[Any] | None:
        """Decide by the data, or change it; as `UserBase.finalDataArray`."""

    # -- on a worker --------------------------------------------------------------

    def arrays(self, elements: int) -> Mapping[str, Array]:
        """Make the arrays of this worker, and declare them: once, before its first event.

        The program gathers them at updates, keeps them in checkpoints and fills
        them where a run goes on: change them in place, for it holds the same
        arrays. It also calls this for 1 element, to know the memory that a run
        needs: let nothing but the shape depend on `elements`.

        Parameters
        ----------
        elements : int
            How many elements of the detector this worker has (n).

        Returns
        -------
        dict of str to PerElement, Summed or Common
        """
        raise NotImplementedError

    def adjust(self, block: Block) -> None:
        """Change the elements of events, in place in ``block.offered``, before they are stored.

        Parameters
        ----------
        block : Block
        """

    def enter(self, block: Block) -> None:
        """Take up events that enter: after they were stored, or before if the class `stores` them itself.

        Parameters
        ----------
        block : Block
            At least one event. Of a class that is `in_order` a `parcorana.correlation.settled.Settled`: those that
            leave the buffer.
        """

    def end_run(self, buffer: Any) -> None:
        """Take leave of the stored events: the buffer empties, for the next run begins.

        Parameters
        ----------
        buffer : parcorana.correlation.rolling.RollingBuffer
        """

    def collect(self, last: bool, buffer: Any) -> Mapping[str, Array]:
        """Return what the viewer gets of an update.

        Parameters
        ----------
        last : bool
            Whether it is the last update of the job.
        buffer : parcorana.correlation.rolling.RollingBuffer
            Of a class that is `in_order`, ``buffer.waiting()`` are the events that have not entered yet, and that an
            update has to speak of, too.

        Returns
        -------
        dict of str to PerElement, Summed or Common
            Of the same names, types and leading axes on all workers; or a
            `Joined`, whose rows come one below the other. Without this method:
            what `arrays` returned. It may be a generator: of a dict of `Summed`
            that it yields it gets, as the value of the yield, a dict of the
            sums over all workers.
        """

    def share(self) -> Mapping[str, Array]:
        """Return what the viewer is to have of the events since the last time, of a class that `shares`.

        Returns
        -------
        dict of str to Summed or Common
            The viewer gets all of these, in their order, before the update that comes after them.
        """

    def named(self, name: str) -> tuple[str, str]:
        """Return how errors name one of the arrays of an update.

        Returns
        -------
        where, what : str
            The method that makes it, and which one it is.
        """
        method = "arrays" if type(self).collect is BlockBase.collect else "collect"
        return f"{type(self).__name__}.{method}", f"array {name!r}"

    def extra_bytes(self, elements: int, threads: int) -> int:
        """Say how much memory a worker needs beside its arrays, the buffer and two blocks.

        Optional: called before the run starts, after `arrays`, on an instance
        that is made for that and has one element.

        Parameters
        ----------
        elements, threads : int
            Of the worker that is asked about.

        Returns
        -------
        int
            Without this method: that of two blocks in float64, as NumPy makes them.
        """

    def collected_bytes(self, elements: int) -> int:
        """Say how large what `collect` returns is, beside what `arrays` has.

        Optional: called as `extra_bytes`, for the elements of a worker, and for
        all of the detector's, which the viewer has.

        Parameters
        ----------
        elements : int

        Returns
        -------
        int
            Without this method: 0.
        """

    # -- checkpoints: a class whose arrays are all in `arrays` needs neither ----------------------------

    def state(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return what a checkpoint keeps; all of `arrays` without this method.

        Parameters
        ----------
        arrays : dict of str to PerElement, Summed or Common
            What the method of that name has returned.

        Returns
        -------
        dict of str to PerElement, Summed or Common
            Those that do not follow from the buffer.
        """

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` returned; without this method the arrays are filled in place.

        Parameters
        ----------
        state : dict of str to ndarray
            Of the same names, `PerElement` with the elements of this worker, which may be others than before.
        """

    # -- on the viewer --------------------------------------------------------------

    def initViewer(self, mask_ndarrayCoords: NDArray[np.bool_], h5GroupUser: Any) -> None:
        """Prepare the viewer: once, before the first update; as `UserBase.initViewer`."""

    def take_shared(self, update: Update) -> None:
        """Take what the workers `share`.

        Parameters
        ----------
        update : Update
            Name to array, without any `PerElement`.
        """

    def viewer_state(self) -> Mapping[str, NDArray[Any]]:
        """Return what a checkpoint keeps of the viewer: what it has made of all that was shared."""

    def restore_viewer(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `viewer_state` has returned."""

    def publish(self, update: Update, group: Any) -> None:
        """Publish an update.

        Parameters
        ----------
        update : Update
            Name to array.
        group : h5py.Group or None
            The group ``/user`` of this update's file, open during this call
            only; None if the run writes no file.
        """
        raise NotImplementedError

    def publish_piece(self, name: str, index: tuple[int, ...], ndarray: NDArray[Any], group: Any) -> None:
        """Publish one piece of a `PerElement` array, after `publish`: of a class with `takes_pieces`.

        Parameters
        ----------
        name : str
        index : tuple of int
            Of the leading axes.
        ndarray : (detector's shape) array
        group : h5py.Group or None
        """

    def calcAndPublishForTestAlt(self, counters: NDArray[np.int64], data: NDArray[Any], h5UserGroup: Any) -> None:
        """Calculate and publish once more, the plain slow way; as `UserBase.calcAndPublishForTestAlt`."""


def check_arrays(
    who: str, arrays: Any, elements: int | None = None, numbers: str = "iufc", collected: bool = False
) -> dict[str, Array]:
    """Return what a class says of its arrays, checked.

    Parameters
    ----------
    who : str
        Class and method, for errors.
    arrays : object
    elements : int, optional
        How long the last axis of a `PerElement` array must be.
    numbers : str
        Kinds of dtype that it may have.
    collected : bool
        Whether it is what `collect` returns.

    Raises
    ------
    RunError
        It is no dict of names to arrays of numbers.
    """
    if not isinstance(arrays, dict):
        raise RunError(f"{who} must return a dict of name to array, not {type(arrays).__name__}")
    kinds = COLLECTED if collected else tuple(KINDS.values())
    for name, array in arrays.items():
        if not isinstance(name, str):
            raise RunError(f"{who}: the names must be strings, not {name!r}")
        if not isinstance(array, kinds):
            raise RunError(f"{who}: {name!r} must be a PerElement, Summed or Common array, not {type(array).__name__}")
        dtype, shape = array.value.dtype, array.value.shape
        if isinstance(array.value, np.ma.MaskedArray):
            raise RunError(f"{who}: array {name!r} is masked, and its mask would be lost: return it filled")
        if isinstance(array, Summed) and dtype.kind not in NUMBERS:
            raise RunError(f"{who}: {name!r} must hold numbers that have a sum, not {dtype}")
        if dtype.kind not in numbers:
            raise RunError(f"{who}: array {name!r} must hold numbers, not {dtype}")
        if isinstance(array, PerElement) and elements is not None and (not shape or shape[-1] != elements):
            raise RunError(
                f"{who}: the last axis of array {name!r} must be the {elements} elements of this worker, "
                f"not of shape {shape}; what is the same on all workers goes into parcorana.Common(...)"
            )
    return arrays
