"""Picks one server's events out of the small data of a run, and knows which ones psana owes us."""

from collections import deque

from parcorana.errors import RunError


class Picker:
    """Picks this server's events; for ``exp=`` it is psana's ``smd_callback``.

    psana calls it anew for each piece of a run's small data and then reads the
    detectors' data of the events that it yields. So it counts over calls, runs
    and lists of runs.

    Parameters
    ----------
    share : parcorana.events.protocol.Share

    Attributes
    ----------
    next : int
        Index, in the sequence, of the next event.
    last : int or None
        Index of this server's last event if `numevents` is given, -1 if it has none.
    picked : collections.deque of (int, int)
        Index and psana timestamp of what was yielded and not read yet.
    limits : list of (str, int)
        Path and size of the data file of each stream.
    cut : str
        What is wrong if an event lies beyond the end of its file.
    """

    def __init__(self, share):
        self.next = 0
        self.last = _last(share)
        self.picked = deque()
        self.limits = []
        self.cut = ""
        self._share = share

    def __call__(self, run):
        """Yield this server's events of a piece of small data."""
        # Called again after what came before the cut was read: psana would call for ever.
        if self.cut:
            raise RunError(self.cut)
        for evt in run.events():
            index = self.next
            self.next += 1
            if not self._share.has(index):
                continue
            # psana does not look, and makes an event of whatever lies in memory after the end.
            for stream, (path, limit) in enumerate(self.limits):
                if int(evt.get_offset_and_size(stream).sum()) > limit:
                    self.cut = f"{path} is cut off: it ends before event {index} of the sequence does"
                    return
            self.picked.append((index, evt.timestamp))
            yield evt
            if index == self.last:
                return


def _last(share):
    """Return the index of the last event of a share, None without `numevents`, -1 if it has none."""
    if not share.numevents:
        return None
    for first in range((share.numevents - 1) // share.block * share.block, -1, -share.block):
        if share.has(first):
            return min(first + share.block, share.numevents) - 1
    return -1
