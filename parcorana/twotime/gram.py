"""Products of events, summed over elements, by BLAS: exact for whole numbers."""

import ctypes
import os
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from parcorana import _core

_EXACT = 1 << 24  # a float32 sum of whole numbers is exact up to here
_LEAST = 64  # elements in one product, below which float64 is faster
WIDE = 1 << 10  # elements that are made float64 at once
_ROUNDED = 1 << 12  # elements in one float32 sum of numbers that are not whole
_SMALL = 32  # of photons there are seldom more: their sums are exact, however many elements a colour has
_MOST = 1 << 12  # squared it is `_EXACT`
_TOLD = ("MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")


class Extent:
    """What is known of some values: the largest one, and whether all are whole numbers."""

    def __init__(self, largest=0.0, whole=True):
        self.largest, self.whole = largest, whole

    @classmethod
    def of(cls, values):
        """Look at values, (m, n) C order."""
        if not values.size:
            return cls()
        if _core.is_whole(values, _SMALL):
            return cls(float(_SMALL))
        whole = bool(_core.is_whole(values, _MOST)) or bool((values == np.rint(values)).all())
        return cls(max(float(values.max()), -float(values.min())), whole)

    def joined(self, other):
        """Return the extent of these values and others."""
        return Extent(max(self.largest, other.largest), self.whole and other.whole)


def _cut(one, other, dtype):
    """Return how many elements one product has, and in which type."""
    if dtype == np.float64:
        return 1 << 20, dtype
    if not (one.whole and other.whole):
        return _ROUNDED, dtype
    most = _EXACT / max(one.largest * other.largest, 1)
    return (int(min(most, 1 << 20)), dtype) if most >= _LEAST else (WIDE, np.dtype(np.float64))


def product(one, other, extents):
    """Sum the products of rows over the elements.

    Parameters
    ----------
    one : (a, n) float32 or float64, C order
    other : (b, n) array of the same type
        `one` itself: half of the work.
    extents : (Extent, Extent)

    Returns
    -------
    (a, b) float32 or float64
    """
    step, dtype = _cut(*extents, one.dtype)
    if step >= one.shape[1] and dtype == one.dtype:
        return one @ other.T
    sums = np.zeros((len(one), len(other)))
    for first in range(0, one.shape[1], step):
        part = slice(first, first + step)
        left = one[:, part].astype(dtype, copy=False)
        right = left if other is one else other[:, part].astype(dtype, copy=False)
        sums += left @ right.T
    return sums


def in_order(function, tasks, threads):
    """Yield ``(task, function(task))`` in the order of the tasks, made by threads that each have a BLAS to itself.

    BLAS with threads of its own waits for the slowest of them at every product. Threads end with the last task: a
    process waits for those that do not.
    """
    with blas_threads(1):
        if threads == 1 or len(tasks) < 2:
            yield from ((task, function(task)) for task in tasks)
            return
        waiting = deque()
        with ThreadPoolExecutor(threads) as pool:
            for task in tasks:
                if len(waiting) == 2 * threads:
                    yield waiting[0][0], waiting.popleft()[1].result()
                waiting.append((task, pool.submit(function, task)))
            while waiting:
                yield waiting[0][0], waiting.popleft()[1].result()


@cache
def _libraries():
    """Return how the BLAS libraries of this process are told their threads: (get, set) of each."""
    try:
        text = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    found = []
    for path in sorted(set(re.findall(r"(/\S*openblas\S*)", text))):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", ""):
                names = [f"{prefix}_{verb}_num_threads{suffix}" for verb in ("get", "set")]
                if all(hasattr(library, name) for name in names):
                    found.append(tuple(getattr(library, name) for name in names))
    return tuple(found)


def unheld_threads():
    """Return what to say of a BLAS that cannot be told its threads; None if it can, or the user has told it."""
    if _libraries() or any(os.environ.get(name) == "1" for name in _TOLD):
        return None
    name = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {}).get("name", "unknown")
    return (
        f"TwoTime: the BLAS of NumPy here ({name}) is not OpenBLAS, the one whose threads are set: each thread of a "
        "worker may get as many of its own as the host has cores, which is slow; set that variable to 1 which it "
        "heeds, before the job starts: " + ", ".join(_TOLD)
    )


@contextmanager
def blas_threads(threads):
    """Let OpenBLAS, which NumPy from PyPI and conda brings, use so many threads in a ``with`` body; never all cores."""
    before = [get() for get, _ in _libraries()]
    for _, tell in _libraries():
        tell(threads)
    try:
        yield
    finally:
        for (_, tell), number in zip(_libraries(), before, strict=True):
            tell(number)
