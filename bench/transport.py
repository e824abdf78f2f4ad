"""Two ranks: for each line of standard input the first sends a block, the second says when it is there.

The second one computes meanwhile, for the given time.
"""

import sys
import time

import numpy as np

from parcorana.pipeline import mpi
from parcorana.pipeline.transport import TAG_BLOCK, TAG_DATA, run_polling, wait

elements, events, busy = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
transport = mpi.MpiTransport(mpi.world())
data = np.ones((events, elements), np.float32)
word = np.zeros(1, np.int64)
some = np.zeros(1 << 20, np.float32)


def server():
    for _ in sys.stdin:
        yield from wait(transport.send(1, TAG_DATA, data), transport.receive(1, TAG_BLOCK, word))
        print("there", flush=True)
    word[0] = 1
    yield from wait(transport.send(1, TAG_DATA, data[:0]))


def compute():
    end = time.perf_counter() + busy
    while time.perf_counter() < end:
        np.add(some, 1, out=some)  # without the GIL, as the kernels


def worker():
    while True:
        coming = transport.receive(0, TAG_DATA, data)
        with transport.meanwhile([coming]):
            compute()
        yield from wait(coming)
        if not coming.count:
            return
        yield from wait(transport.send(0, TAG_BLOCK, word))


run_polling(server() if transport.rank == 0 else worker(), transport)
