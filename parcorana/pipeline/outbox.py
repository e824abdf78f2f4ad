"""What a worker sends to the viewer: notes, arrays, and how long it waits for them to be taken."""

import time
from collections import deque

import numpy as np

from parcorana.pipeline import note
from parcorana.pipeline.transport import TAG_ARRAY, TAG_BODY, TAG_MERGE, TAG_NOTE, wait

_PROGRESS = 0.5  # s between two notes of progress
_NOTES = 8  # messages under way to the viewer, beyond which a worker waits for it
_BYTES = 8 << 20  # the same, of their bodies
_AHEAD = 2  # updates that wait for the viewer, beyond which those of a live run are merged
_ARRAYS = 2  # the same for full arrays


class Outbox:
    """Messages of one worker to the viewer.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job):
        self._job, self._transport = job, job.transport
        self._first = job.rank == job.roles.workers[0]
        self._notes = []  # messages under way to the viewer
        self._under_way = 0  # bytes of their bodies
        self._updates = []  # of these the headers of updates
        self._checkpoint = []  # the header of the last checkpoint's
        self._words = []  # messages under way to the other workers
        self._progress_at = time.monotonic()

    def note(self, kind, facts, arrays=None):
        """Send a note."""
        header, body = note.pack(kind, facts, arrays)
        viewer = self._job.roles.viewer
        self._notes = [h for h in self._notes if not h.done()]
        self._under_way = body.nbytes + (self._under_way if self._notes else 0)
        self._notes += [
            self._transport.send(viewer, TAG_NOTE, header),
            self._transport.send(viewer, TAG_BODY, body),
        ]
        if kind == note.UPDATE:
            self._updates.append(self._notes[-2])
        if kind == note.CHECKPOINT:
            self._checkpoint = [self._notes[-2]]

    def pieces(self, array):
        """Send an array of elements, one piece of all elements after the other; generate steps while they wait."""
        handles, clock = deque(), self._job.clock
        for index in np.ndindex(*array.shape[:-1]):
            with clock.on("moving"):
                row = np.ascontiguousarray(array[index])
                handles.append(self._transport.send(self._job.roles.viewer, TAG_ARRAY, row))
            if len(handles) == _ARRAYS:
                yield from clock.waiting(wait(handles.popleft()))
        yield from clock.waiting(wait(*handles))

    def progress(self, facts):
        """Send a note of progress, if it is time for one; `facts` is called for it."""
        now = time.monotonic()
        self._notes = [h for h in self._notes if not h.done()]
        if self._first and now - self._progress_at > _PROGRESS and len(self._notes) <= _NOTES:
            self._progress_at = now
            self.note(note.PROGRESS, facts())

    def viewer_is_busy(self):
        """Tell whether an update of a live run is to be left to the next one, so that nobody waits for the viewer.

        The first worker knows, from its own updates that the viewer has not
        taken yet; all others do as it does, for the viewer needs all their parts.
        """
        if not self._job.config.dataset.is_live:
            return False
        workers = self._job.roles.workers
        word = np.zeros(1, np.int64)
        if self._first:
            self._updates = [h for h in self._updates if not h.done()]
            word[0] = len(self._updates) >= _AHEAD
            self._words = [h for h in self._words if not h.done()]
            self._words += [self._transport.send(rank, TAG_MERGE, word) for rank in workers[1:]]
        else:
            yield from self._job.clock.waiting(wait(self._transport.receive(workers[0], TAG_MERGE, word)))
        return bool(word[0])

    def room(self):
        """Wait until only a few notes are under way: as long as they are few, nobody waits for the viewer."""
        # in live runs updates are merged instead
        much = self._under_way > _BYTES and not self._job.config.dataset.is_live
        if len(self._notes) > _NOTES or much:
            yield from self._job.clock.waiting(wait(*self._notes))

    def last_checkpoint(self):
        """Wait until the viewer has begun with the last checkpoint."""
        yield from self._job.clock.waiting(wait(*self._checkpoint))

    def empty(self):
        """Wait until all was sent."""
        yield from wait(*self._notes, *self._words)
