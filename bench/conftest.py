"""What the benchmarks share: a worker in its steady state, and the machine's own limits."""

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from parcorana import MpiParams, make_delay_list, userg2
from parcorana.pipeline.block import BlockBuffer
from parcorana.pipeline.entering import Entering

BIN = Path(sys.executable).parent
BLOCK = 512


def pytest_benchmark_update_machine_info(config, machine_info):
    from parcorana.__main__ import report

    machine_info["parcorana"] = report()


@pytest.fixture(scope="session")
def multiply_add(tmp_path_factory):
    """Return a function that does float32 multiply-adds as fast as this machine can, compiled here for it."""
    library = tmp_path_factory.mktemp("machine") / "machine.so"
    source = Path(__file__).parent / "machine.c"
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", source, "-o", library], check=True)
    function = ctypes.CDLL(str(library)).multiply_add
    function.restype = ctypes.c_double
    return lambda rounds: function(ctypes.c_long(rounds), ctypes.byref(ctypes.c_float()))


class SteadyWorker:
    """One worker's kernel and buffer, fed blocks of a stream that never ends.

    Parameters
    ----------
    name : str
        User class of `parcorana.userg2`.
    elements, delays, largest, times, threads : int
    dtype : str
    steps : callable
        Takes a random generator and a number; returns the pulses from event to event.
    """

    def __init__(self, name, elements=131072, delays=100, largest=1000, times=None, threads=1, dtype="float32",
                 steps=lambda rng, n: np.ones(n, np.int64), block=BLOCK):  # fmt: skip
        self.delays = make_delay_list(1, largest, delays)
        self.times = times or largest + 100
        params = MpiParams(0, "worker", np.ones(elements, bool), slice(0, elements), threads=threads)
        system = {"delays": self.delays, "rate": 120.0, "times": self.times}
        self.user = getattr(userg2, name)({"errors": "pixels"}, system, params)
        self.user.arrays(elements)
        self.user.timeline.add = lambda *args: None  # one more pass over the block, which bench_library measures alone
        config = SimpleNamespace(times=self.times, block=block, store_dtype=dtype, names=())
        job = SimpleNamespace(config=config, rank=0, threads=threads, part_of=lambda rank: params.part)
        self.entering = Entering(job, self.user, None)
        self.rng = np.random.default_rng(0)
        self.steps, self.block, self.last = steps, block, 0
        # one event is like another for the kernel: a few different ones are enough
        some = self.rng.poisson(5, (8, elements)).astype(dtype)
        buffer = BlockBuffer(block, [elements], dtype)
        self.data = buffer.data[0]
        self.data[:] = some[np.arange(block) % 8]
        self.elements = elements
        while self.last < self.times + block:
            self.feed()

    def feed(self):
        """Let one block enter."""
        counters = self.last + np.cumsum(self.steps(self.rng, self.block))
        self.last = int(counters[-1])
        self.entering.take(counters, {}, self.data, 0, 1 << 60)

    def calculate(self):
        """Do what an update does."""
        buffer = self.entering.buffer
        return self.user.workerCalc(buffer.T, buffer.filled, buffer.X)


def measure(benchmark, function, rounds=7, **facts):
    """Time a function; `facts` go into the table."""
    benchmark.extra_info.update(facts)
    benchmark.pedantic(function, rounds=rounds, iterations=1, warmup_rounds=1)


@pytest.fixture(scope="session")
def steady(pytestconfig):
    """Makes a `SteadyWorker`: a small one where nobody looks at the time."""
    small = {"elements": 1024} if pytestconfig.getoption("benchmark_disable") else {}
    return lambda name, **case: SteadyWorker(name, **(case | small))


@pytest.fixture(scope="session")
def timed():
    return measure
