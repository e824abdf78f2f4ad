"""How the servers of a live run keep the rotation going: small messages from each to all others.

A block of a live run is closed when it is full, when an event in it has waited
for `latency`, or when another server's block of the same round, or of a later
one, is ready and no more events are there: workers take a round as a whole. So
a server whose stream is silent holds nobody up, with an empty block, and nobody
sends anything while all are silent.
"""

import numpy as np

from parcorana.pipeline.transport import TAG_TURN, wait

_NUMBER, _READ, _END = range(3)


class Turns:
    """What one server knows of the blocks of all.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job):
        self.transport, self.servers = job.transport, job.roles.servers
        self._others = [rank for rank in self.servers if rank != job.rank]
        self._inbox = {rank: self._receive(rank) for rank in self._others}
        self._sent = []
        self._ready = {}  # number of a block -> events read for it
        self._ended = set()  # places in the rotation
        self._next, self._before = 0, 0
        self._newest = -1

    def _receive(self, rank):
        message = np.zeros(3, np.int64)
        return self.transport.receive(rank, TAG_TURN, message), message

    def poll(self):
        """Take in what the others have said."""
        for rank in list(self._inbox):
            while rank in self._inbox and self._inbox[rank][0].done():
                message = self._inbox.pop(rank)[1]
                if not message[_END]:
                    self._inbox[rank] = self._receive(rank)
                if message[_READ]:
                    self._newest = max(self._newest, int(message[_NUMBER]))
                self._note(message)

    def _note(self, message):
        number, read, end = (int(value) for value in message)
        self._ready[number] = read
        if end:
            self._ended.add(number % len(self.servers))

    def say(self, number, read, end=False):
        """Tell the others that this server's block is ready, and whether it is the last one."""
        message = np.array([number, read, end], np.int64)
        self._sent = [handle for handle in self._sent if not handle.done()]
        self._sent += [self.transport.send(rank, TAG_TURN, message) for rank in self._others]
        self._note(message)

    def awaited(self, number):
        """Tell whether a block of another server that holds anything is ready, of this one's round or a later one."""
        return self._newest >= number // len(self.servers) * len(self.servers)

    def before(self, number):
        """Return how many events were read for the blocks before this one, None while that is not known."""
        while self._next < number:
            if self._next in self._ready:
                self._before += self._ready.pop(self._next)
            elif self._next % len(self.servers) not in self._ended:
                return None
            self._next += 1
        return self._before

    def end(self):
        """Generate steps until the others have said their last, so that no message is left behind."""
        while self._inbox:
            self.poll()
            yield
        yield from wait(*self._sent)
