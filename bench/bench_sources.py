"""Servers' sources beside plain loops with psana and h5py over the same bytes, in the page cache.

One server alone, and several at once, in processes of their own, each with its share. Opening is not part of the
time: psana alone takes a second for it.
"""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
EVENTS, SHAPE, BLOCK = 128, (2, 512, 1024), 32  # 256 MiB of uint16
BYTES = EVENTS * int(np.prod(SHAPE)) * 2
NO_LOGBOOK = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:1")

CASES = [("plain_psana", 1), *(("psana", n) for n in (1, 2, 3)), *(("idx", n) for n in (1, 2, 3))]
CASES += [("plain_h5py", 1), *(("h5", n) for n in (1, 2, 3))]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same frames as xtc2 of a jungfrau in two streams, and as HDF5."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from xtc2 import write_run

    folder = tmp_path_factory.mktemp("sources")
    frames = np.random.default_rng(0).poisson(5, (EVENTS, *SHAPE)).astype(np.uint16)
    write_run(folder, frames, 10**18 + np.arange(EVENTS) * 8_333_333, streams=2, kind="jungfrau")
    with h5py.File(folder / "frames.h5", "w") as file:
        file["frames"] = frames
    return folder


@pytest.mark.parametrize(("kind", "servers"), CASES)
def test_read(benchmark, data, kind, servers):
    path = data / "frames.h5" if "h5" in kind else data
    command = [sys.executable, "-W", "ignore", HERE / "read_source.py", kind, path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": os.environ | NO_LOGBOOK}

    def opened():
        readers = [
            subprocess.Popen([*map(str, command), str(server), str(servers), str(BLOCK)], **pipes)
            for server in range(servers)
        ]
        for reader in readers:
            assert reader.stdout.readline() == "ready\n"
        return (readers,), {}

    def read(readers):
        for reader in readers:
            reader.stdin.write("go\n")
            reader.stdin.flush()
        assert sum(int(reader.stdout.readline()) for reader in readers) == EVENTS

    def ended(readers):
        for reader in readers:
            reader.communicate()

    benchmark.extra_info.update(bytes=BYTES, events=EVENTS)
    benchmark.pedantic(read, setup=opened, teardown=ended, rounds=5, iterations=1)
