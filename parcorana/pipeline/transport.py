"""What moves between ranks: one protocol, and the transport inside one process.

Everything is non-blocking: `send` and `receive` return a handle whose `done`
is polled. A role is a generator that yields whenever it has to wait, so that a
rank under MPI can sleep meanwhile, and one process can let the other roles run.
"""

import time
from collections import deque
from contextlib import nullcontext
from typing import Protocol

# Tags: what a message is.
TAG_BLOCK = 1  # server -> worker: header, stamps, runs and values of a block
TAG_DATA = 2  # server -> worker: the elements of the block's events
TAG_NOTE = 3  # any -> viewer: a note (see parcorana.pipeline.note)
TAG_BODY = 4  # any -> viewer: the bytes that belong to a note
TAG_ARRAY = 5  # worker -> viewer: one piece of a `PerElement` array
TAG_TURN = 6  # server -> server, live runs: which block is ready
TAG_STOP = 7  # any -> server, viewer: the run is to be stopped (see parcorana.pipeline.stop)
TAG_MERGE = 8  # first worker -> other workers, live runs: whether an update is made or left to the next one
TAG_SUMS = 9  # worker <-> first worker: what they add up among themselves (see parcorana.pipeline.together)
TAG_SUMS_BODY = 10  # the bytes that belong to it
# MPI takes small messages off their sender at once, however far behind the receiver is. So the sender
# of these hears when they are being received: it waits for that, and memory stays bounded on both sides.
PACED = frozenset({TAG_BLOCK, TAG_NOTE, TAG_ARRAY})

OUTSIDE = "outside"  # what a role yields that waits for the world outside, not for another role
WORKED = "worked"  # what a role yields that waits for nothing, and only lets the others have their turn


class Handle(Protocol):
    """A message under way.

    Attributes
    ----------
    count : int
        Of a finished receive: elements received.
    """

    count: int

    def done(self):
        """Tell whether the message has gone or come; a sent array may then be changed."""


class Transport(Protocol):
    """How ranks reach each other.

    Attributes
    ----------
    rank, size : int
    activity : int
        Grows whenever a message was seen to have gone or come.
    """

    rank: int
    size: int
    activity: int

    def send(self, dest, tag, array):
        """Begin to send a contiguous array; return a Handle. Do not change it before it is done.

        Of the tags in `PACED` it is done once the receiver has begun to take it.
        """

    def receive(self, source, tag, array):
        """Begin to receive into a contiguous array, at most its length; return a Handle."""

    def meanwhile(self, handles):
        """Return a context in which these messages may go on; its body does not use this Transport."""


def wait(*handles):
    """Generate until all handles are done."""
    for handle in handles:
        while not handle.done():
            yield


class _Post:
    """One mailbox: messages sent and not yet received."""

    __slots__ = ("array", "taken")

    def __init__(self, array):
        self.array, self.taken = array, False


class _Sent:
    __slots__ = ("count", "post")

    def __init__(self, post):
        self.post, self.count = post, post.array.size

    def done(self):
        return self.post.taken


class _Receiving:
    __slots__ = ("array", "box", "count", "finished", "transport")

    def __init__(self, transport, box, array):
        self.transport, self.box, self.array = transport, box, array
        self.count, self.finished = 0, False

    def done(self):
        if not self.finished and self.box:
            post = self.box.popleft()
            to, sent = self.array.reshape(-1).view("u1"), post.array.reshape(-1).view("u1")
            to[: sent.size] = sent
            self.count = sent.size // self.array.itemsize
            post.taken = self.finished = True
            self.transport.network.activity += 1
        return self.finished


class LocalNetwork:
    """The ranks of one process."""

    def __init__(self, size):
        self.size, self.boxes, self.activity = size, {}, 0

    def transport(self, rank):
        """Return the Transport of one of the ranks."""
        return _LocalTransport(self, rank)


class _LocalTransport:
    def __init__(self, network, rank):
        self.network, self.rank, self.size = network, rank, network.size

    @property
    def activity(self):
        return self.network.activity

    def _box(self, source, dest, tag):
        return self.network.boxes.setdefault((source, dest, tag), deque())

    def send(self, dest, tag, array):
        post = _Post(array)
        self._box(self.rank, dest, tag).append(post)
        self.network.activity += 1
        return _Sent(post)

    def receive(self, source, tag, array):
        return _Receiving(self, self._box(source, self.rank, tag), array)

    def meanwhile(self, handles):
        return nullcontext()


def run_together(roles, network, look=bool):
    """Run the roles of one process in turn until all have ended.

    Parameters
    ----------
    roles : list of generators
    network : LocalNetwork
    look : callable
        Called between steps, as `Stop.look`.

    Raises
    ------
    RuntimeError
        All of them wait for each other.
    """
    waiting = list(roles)
    idle_since = None
    while waiting:
        before = network.activity, len(waiting)
        steps = []
        look()
        for role in list(waiting):
            try:
                steps.append(next(role))
            except StopIteration:
                waiting.remove(role)
        if WORKED in steps or (network.activity, len(waiting)) != before:
            idle_since = None
        elif OUTSIDE in steps:
            idle_since = None
            time.sleep(1e-3)
        elif idle_since is None:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > 5:
            raise RuntimeError("the roles of this process wait for each other")
        else:
            time.sleep(1e-4)


def run_polling(role, transport, look=bool):
    """Run one role, with sleeps that grow to 2 ms while nothing moves.

    A rank blocked inside MPI would burn its core and never run a signal
    handler; with these sleeps an idle rank costs next to nothing. `look` is
    called between steps, as `Stop.look`.
    """
    pause = 0.0
    seen = -1
    for step in role:
        look()
        if step is WORKED or transport.activity != seen:
            seen, pause = transport.activity, 0.0
        else:
            pause = min(max(2 * pause, 2e-5), 2e-3)
            time.sleep(pause)
