"""Tells which frames of HDF5 files hold no data, and why."""

import numpy as np

from parcorana.events.hdf5.mapped import SOURCES, Mapped
from parcorana.events.hdf5.slab import runs_of

_FRAMES = 1 << 24  # of a file, beyond which nobody looks at all of them beforehand
_AT_ONCE = 1 << 16  # frames
_RANGES, _REASONS, _REPORTS = 8, 5, 5  # that are named


class Missing:
    """Says what is missing of a file: what is known at the start, and what is found while it is read.

    Parameters
    ----------
    stack : parcorana.events.hdf5.stack.Stack
    last : int or None
        Frames that will be read; None if nobody knows.
    log : callable
        Takes a line of warning.
    """

    def __init__(self, stack, last, log):
        self._stack, self._log = stack, log
        self._known = np.zeros(last, bool) if last is not None and last <= _FRAMES else None
        self._reports = self._unsaid = 0

    def look(self):
        """Look at all frames; return a line on those that are missing, None if nothing is."""
        if self._known is None or not len(self._known):
            return None
        frames, last = self._stack.frames, len(self._known)
        if isinstance(frames, Mapped) and len(frames.sources) > SOURCES:
            self._known[:] = ~frames.promised()[:last]
        else:
            for first in range(0, last, _AT_ONCE):
                end = min(first + _AT_ONCE, last)
                self._known[first:end] = ~self._stack.written(first, end)
        if not self._known.any():
            return None
        missing = int(np.count_nonzero(self._known))
        return f"h5={self._stack.name}: no data in {missing:,} of {last:,} frames: {self._reasons()}"

    def _reasons(self):
        found = {}
        for first, last in runs_of(self._known):
            while first < last:
                why, until = self._stack.why(first)
                until = min(max(until, first + 1), last)
                found.setdefault(why, []).append((first, until))
                first = until
        more = f"; and for {len(found) - _REASONS} other reasons" if len(found) > _REASONS else ""
        return "; ".join(f"{ranges(found[why])} ({why})" for why in [*found][:_REASONS]) + more

    def note(self, first, there):
        """Note what of some frames was missing when they were read.

        Parameters
        ----------
        first : int
        there : (n,) bool
        """
        missing = ~there
        if self._known is not None:
            missing &= ~self._known[first : first + len(there)]
            self._known[first : first + len(there)] |= missing
        for begin, end in runs_of(missing):
            self._reports += 1
            if self._reports > _REPORTS:
                self._unsaid += end - begin
                continue
            why, _ = self._stack.why(first + begin)
            more = "; more will be counted but not named" if self._reports == _REPORTS else ""
            which = ranges([(first + begin, first + end)])
            self._log(f"h5={self._stack.name}: no data in frames {which} ({why}){more}")

    def close(self):
        """Say how many were not named."""
        if self._unsaid:
            self._log(f"h5={self._stack.name}: no data in {self._unsaid:,} more frames than those named above")
            self._unsaid = 0


def ranges(found):
    """Return ``(first, last)`` of stretches as text: ``30-59, 71``."""
    joined = []
    for first, last in sorted(found):
        if joined and joined[-1][1] >= first:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    texts = [str(first) if last == first + 1 else f"{first}-{last - 1}" for first, last in joined]
    if len(texts) > _RANGES:
        count = sum(last - first for first, last in joined)
        return f"{', '.join(texts[: _RANGES - 1])}, ... {texts[-1]}, {count:,} in all"
    return ", ".join(texts)
