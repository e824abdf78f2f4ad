"""The blocks of the servers as a worker gets them: one by one, those of several servers of a live run by rounds.

Blocks of a live run hold what came to each server in the same time. One after
the other they would go back in time again and again, by as much as `latency`,
and a buffer shorter than that would drop events as late. So the blocks of a
round, one of each server, are merged in the order of time; and what is newer
than the newest event of another server waits for later rounds, for that server
may have sent its block a moment earlier, or lag behind. A server without events
in two rounds is not waited for.
"""

from collections import deque

import numpy as np

from parcorana.detector.photons import added_up
from parcorana.errors import RunError
from parcorana.pipeline.block import END, EVENTS, HEADER, NUMBER, PULSES, UNUSED, BlockBuffer, EventBlock, of_header
from parcorana.pipeline.transport import TAG_BLOCK, TAG_DATA, wait


class Rounds:
    """What comes from the servers.

    Parameters
    ----------
    job : Job
    elements : int
        Of this worker.

    Attributes
    ----------
    header : (h,) int64
        Of the block that has come, as `EventBlock` has it; of a round the counts of all its blocks together.
    """

    def __init__(self, job, elements):
        config, servers = job.config, job.roles.servers
        self._transport, self._most = job.transport, job.block
        self._found = of_header(config)[1]
        turn = job.first_block % len(servers)
        self._rotation = deque([*servers[turn:], *servers[:turn]])
        self._merges = job.by_rounds

        def buffer(block):
            return BlockBuffer(block, [elements], config.store_dtype, config.names, *of_header(config))

        self._free = [buffer(job.block) for _ in range(len(servers) if self._merges else 2)]
        self._now, self._coming = [], []  # (server, buffer)
        self._held = None  # EventBlock of what waits for a later round
        self._newest, self._round = {}, 0  # by server: (run, time, round) of its newest event
        if self._merges:
            self._rows = buffer((len(servers) + 1) * job.block).data[0]
            self._rest = buffer(job.block).data[0]

    @property
    def left(self):
        """Whether anything comes."""
        return bool(self._rotation or self._coming)

    @property
    def handles(self):
        """Messages of what comes next."""
        return [handle for _, buffer in self._coming for handle in buffer.handles]

    def _await(self):
        """Begin to receive the next block, or round."""
        while self._rotation and self._free:
            server, buffer = self._rotation.popleft(), self._free.pop(0)
            buffer.handles = [
                self._transport.receive(server, TAG_BLOCK, buffer.numbers),
                self._transport.receive(server, TAG_DATA, buffer.memory[0]),
            ]
            self._coming.append((server, buffer))
            if not self._merges:
                break

    def come(self):
        """Generate until the next block, or round, has come."""
        self._free += [buffer for _, buffer in self._now]
        if not self._coming:
            self._await()
        yield from wait(*self.handles)
        self._now, self._coming, self._round = self._coming, [], self._round + 1
        for server, buffer in self._now:
            _check_counts(buffer)
            if not buffer.header[END]:
                self._rotation.append(server)
        self.header = self._header_of([buffer.header for _, buffer in self._now])
        if not self._merges:  # the next block comes while this one is worked on
            self._await()

    def _header_of(self, headers):
        """Return the header of blocks that are taken together."""
        if len(headers) == 1:
            return headers[0].copy()
        header, table = headers[0].copy(), np.array(headers)
        header[END] = table[:, END].min()
        header[EVENTS : UNUSED + 1] = table[:, EVENTS : UNUSED + 1].sum(0)
        header[HEADER:] = table[:, HEADER:].sum(0)
        if self._found:
            header[-self._found :] = added_up(table[:, -self._found :])
        return header

    def block(self, threads):
        """Return the events of what has come as one EventBlock, in order of time if they are of several servers."""
        if not self._merges:
            return self._now[0][1].as_block(threads)
        block = self._merged([buffer.as_block(threads) for _, buffer in self._now])
        self._free += [buffer for _, buffer in self._now]
        self._now = []
        self._await()  # the next round comes while this one is worked on
        return block

    def rest(self):
        """Return what still waits for a later round, as an EventBlock; None if nothing does."""
        held, self._held = self._held, None
        return held

    def _merged(self, blocks):
        held = [self._held] if self._held is not None else []
        parts = [*held, *blocks]
        stamps, runs = (np.concatenate([getattr(part, name) for part in parts]) for name in ("stamps", "runs"))
        values, left_out = (
            {name: np.concatenate([getattr(part, of)[name] for part in some]) for name in blocks[0].values}
            for of, some in (("values", parts), ("left_out", blocks))
        )
        order = np.lexsort((stamps, runs))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        places = np.split(place, np.cumsum([part.events for part in parts])[:-1])
        for part, where in zip(parts, places, strict=True):
            self._rows[where] = part.data
        values = {name: column[order] for name, column in values.items()}
        whole = EventBlock(self.header, stamps[order], runs[order], self._rows[: len(order)], values, left_out)
        count = self._settled(blocks, whole)
        self._hold(whole, count)
        return _part(whole, slice(count), self.header, left_out)

    def _settled(self, blocks, whole):
        """Return how many events, in their order, no event of a later round is likely to precede."""
        for (server, _), block in zip(self._now, blocks, strict=True):
            if block.events:
                newest = int(np.lexsort((block.stamps, block.runs))[-1])
                self._newest[server] = int(block.runs[newest]), int(block.stamps[newest]), self._round
        awaited = [self._newest[server] for server in self._rotation if server in self._newest]
        awaited = [(run, stamp) for run, stamp, last in awaited if last >= self._round - 1]
        if not awaited:
            return len(whole.stamps)
        run, stamp = min(awaited)
        count = np.count_nonzero((whole.runs < run) | ((whole.runs == run) & (whole.stamps <= stamp)))
        return max(int(count), len(whole.stamps) - self._most)

    def _hold(self, block, first):
        """Keep events of a block, from one on, for a later round."""
        self._held = None
        if first == len(block.stamps):
            return
        header = np.zeros_like(self.header)
        header[[NUMBER, PULSES]] = self.header[[NUMBER, PULSES]]
        rest = _part(block, slice(first, None), header, {name: column[:0] for name, column in block.values.items()})
        rest.data = self._rest[: len(rest.stamps)]
        rest.data[...] = block.data[first:]
        self._held = rest


def _part(block, part, header, left_out):
    """Return some events of a block, with a header of their own."""
    values = {name: column[part] for name, column in block.values.items()}
    header[EVENTS] = len(block.stamps[part])
    return EventBlock(header, block.stamps[part], block.runs[part], block.data[part], values, left_out)


def _check_counts(buffer):
    numbers, data = buffer.handles
    rows = buffer.sent_rows()[0] if 0 <= buffer.events <= buffer.block else None
    if rows is None or numbers.count != buffer.size or data.count != rows.nbytes:
        raise RunError(
            f"a block of {buffer.events} events came with {numbers.count} numbers and {data.count} bytes of data"
        )
