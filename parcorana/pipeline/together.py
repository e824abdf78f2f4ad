"""What workers add up among themselves, at an update: each then knows the sums over all of them."""

import numpy as np

from parcorana.calculation.arrays import Summed
from parcorana.calculation.base import check_arrays
from parcorana.errors import RunError
from parcorana.pipeline import note
from parcorana.pipeline.gathered import Gathered, label
from parcorana.pipeline.transport import TAG_SUMS, TAG_SUMS_BODY, wait


class Together:
    """The sums of all workers, as one of them sees it.

    The first worker adds up what the others send, in their order, and sends it to them: so all have the same bits.
    They are at the same place of the sequence, and the viewer has no part in it.

    Parameters
    ----------
    job : Job
    calculation : BlockBase
        For errors.
    """

    def __init__(self, job, calculation):
        self._job, self._calculation = job, calculation
        self._first, *self._others = job.roles.workers
        self._under_way = []

    def add(self, arrays):
        """Add up arrays over all workers; generate the steps of that.

        Parameters
        ----------
        arrays : dict of str to Summed
            Of the same names, types and shapes on all workers.

        Returns
        -------
        dict of str to ndarray
        """
        who = f"{type(self._calculation).__name__}.collect, at a yield"
        check_arrays(who, arrays)
        if others := [name for name, array in arrays.items() if not isinstance(array, Summed)]:
            raise RunError(f"{who}: {others[0]!r} must be Summed: only sums are made of what workers tell each other")
        own = {label(name, array): np.array(array.value) for name, array in arrays.items()}
        if self._job.rank != self._first:
            self._send(self._first, own)
            total = yield from self._receive(self._first)
            return Gathered(self._calculation, total, []).small
        gathered = Gathered(self._calculation, own, [])
        for rank in self._others:
            gathered.add((yield from self._receive(rank)), [])
        if self._others:
            total = {label(name, arrays[name]): array for name, array in gathered.small.items()}
            for rank in self._others:
                self._send(rank, total)
        return gathered.small

    def _send(self, rank, arrays):
        header, body = note.pack(note.SHARED, {}, arrays)
        self._under_way = [handle for handle in self._under_way if not handle.done()]
        for tag, array in ((TAG_SUMS, header), (TAG_SUMS_BODY, body)):
            self._under_way.append(self._job.transport.send(rank, tag, array))

    def _receive(self, rank):
        transport, clock = self._job.transport, self._job.clock
        header = np.zeros(note.HEADER, np.int64)
        yield from clock.waiting(wait(transport.receive(rank, TAG_SUMS, header)))
        body = np.empty(int(header[2]), np.uint8)
        yield from clock.waiting(wait(transport.receive(rank, TAG_SUMS_BODY, body)))
        return note.unpack(header, body)[1]

    def empty(self):
        """Wait until all was sent."""
        yield from wait(*self._under_way)
