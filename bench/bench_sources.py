"""Servers' sources beside plain loops with psana and h5py over the same bytes, in the page cache.

One reader alone, and several at once, in processes of their own, each with its share. Plain loops and servers take
turns, and what counts is the median of the ratios of neighbours. Opening is not part of the time.
"""

import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from read_source import SHAPE

HERE = Path(__file__).resolve().parent
EVENTS, BLOCK, ROUNDS = 192, 32, 9  # 384 MiB of uint16
BYTES = EVENTS * int(np.prod(SHAPE)) * 2
NO_LOGBOOK = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a function that gives the same frames as xtc2 of a jungfrau in two streams, or as HDF5."""
    some = np.random.default_rng(0).poisson(5, (8, *SHAPE)).astype(np.uint16)  # to be read one is like another
    folder = tmp_path_factory.mktemp("sources")

    def write_hdf5():
        with h5py.File(folder / "frames.h5", "w") as file:
            file["frames"] = some[np.arange(EVENTS) % 8]
        return folder / "frames.h5"

    def write_xtc2():
        sys.path.insert(0, str(HERE.parent / "tests"))
        from xtc2 import write_run

        stamps = 10**18 + np.arange(EVENTS) * 8_333_333
        write_run(folder, some[np.arange(EVENTS) % 8], stamps, streams=2, kind="jungfrau")
        return folder

    hdf5, xtc2 = cache(write_hdf5), cache(write_xtc2)
    return lambda kind: hdf5() if kind == "h5" else xtc2()


class Readers:
    """Processes that each read a share of the same data."""

    def __init__(self, kind, path, count):
        command = [sys.executable, "-W", "ignore", HERE / "read_source.py", kind, path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": os.environ | NO_LOGBOOK}
        self._readers = [
            subprocess.Popen([*map(str, command), str(k), str(count), str(BLOCK)], **pipes) for k in range(count)
        ]

    def open(self):
        """Open the data in all of them, one after the other."""
        for reader in self._readers:
            self._tell(reader)
            assert reader.stdout.readline() == "ready\n"

    def read(self):
        """Read in all of them at the same time."""
        for reader in self._readers:
            self._tell(reader)
        assert sum(int(reader.stdout.readline()) for reader in self._readers) == EVENTS

    def close(self):
        for reader in self._readers:
            reader.communicate()

    def _tell(self, reader):
        reader.stdin.write("\n")
        reader.stdin.flush()


@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["psana", "idx", "h5"])
def test_read(benchmark, data, kind, servers):
    path = data(kind)
    ours, plain = Readers(kind, path, servers), Readers(f"plain_{kind}", path, servers)
    seconds = {plain: [], ours: []}

    def read(readers):
        start = time.perf_counter()
        readers.read()
        seconds[readers].append(time.perf_counter() - start)

    def setup():
        plain.open()
        ours.open()
        read(plain)

    benchmark.extra_info.update(bytes=BYTES, events=EVENTS)
    benchmark.pedantic(lambda: read(ours), setup=setup, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    ours.close()
    plain.close()
    # the first of several is a warm-up
    theirs = seconds[plain][1:] or seconds[plain]
    low, median, high = np.percentile(np.divide(theirs, seconds[ours][-len(theirs) :]), [25, 50, 75])
    benchmark.extra_info.update(
        plain_seconds=float(np.median(theirs)), beside_plain=float(median), quartiles=[float(low), float(high)]
    )
