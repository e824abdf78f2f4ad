"""A block on its way from a server to a worker, against copying the same bytes in memory."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import BIN

ELEMENTS, EVENTS = 65536, 512  # of one worker of two


@pytest.fixture
def sending():
    """Return a context with a function that sends a block to a rank that computes for so long; it waits for both."""

    @contextmanager
    def begin(busy):
        env = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
        script = Path(__file__).parent / "transport.py"
        command = ["timeout", "-k", "5", "300", "mpiexec", "-n", "2", sys.executable, script]
        command += [str(ELEMENTS), str(EVENTS), str(busy)]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

            def send():
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout.readline() == "there\n"

            yield send
            process.stdin.close()

    return begin


def test_transport(benchmark, timed, sending):
    with sending(0) as send:
        timed(benchmark, send, bytes=4 * ELEMENTS * EVENTS)


def test_transport_while_computing(benchmark, timed, sending):
    """The worker computes for 0.1 s: so long does it take, and no longer for the block that comes meanwhile."""
    with sending(0.1) as send:
        timed(benchmark, send)


def test_memcpy(benchmark, timed):
    block = np.ones((EVENTS, ELEMENTS), np.float32)
    there = np.zeros_like(block)
    timed(benchmark, lambda: np.copyto(there, block), bytes=block.nbytes)


def test_gather(benchmark, timed):
    """Frames of uint16, all but a few elements, into the send buffers of two workers."""
    from parcorana.pipeline.block import BlockBuffer
    from parcorana.pipeline.receivers import Receivers

    rng = np.random.default_rng(0)
    frames = rng.poisson(5, (8, 2 * ELEMENTS)).astype(np.uint16)
    index = np.flatnonzero(rng.random(2 * ELEMENTS) > 0.01)
    parts = np.array_split(index, 2)
    buffer = BlockBuffer(EVENTS, [len(part) for part in parts], np.float32)
    receivers = Receivers(parts)

    def gather():
        buffer.begin(0, -1, True)
        for first in range(0, EVENTS, len(frames)):
            buffer.put(frames, np.arange(first, first + len(frames)), 0, receivers, True)

    timed(benchmark, gather, bytes=frames.nbytes * EVENTS // len(frames), events=EVENTS)
