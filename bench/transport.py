"""Two ranks: for each line of standard input the first sends a block, the second says when it is there."""

import sys

import numpy as np

from parcorana.pipeline import mpi
from parcorana.pipeline.transport import TAG_BLOCK, TAG_DATA, run_polling, wait

elements, events = map(int, sys.argv[1:])
transport = mpi.MpiTransport(mpi.world())
data = np.ones((events, elements), np.float32)
word = np.zeros(1, np.int64)


def server():
    for _ in sys.stdin:
        yield from wait(transport.send(1, TAG_DATA, data), transport.receive(1, TAG_BLOCK, word))
        print("there", flush=True)
    word[0] = 1
    yield from wait(transport.send(1, TAG_DATA, data[:0]))


def worker():
    while True:
        coming = transport.receive(0, TAG_DATA, data)
        yield from wait(coming)
        if not coming.count:
            return
        yield from wait(transport.send(0, TAG_BLOCK, word))


run_polling(server() if transport.rank == 0 else worker(), transport)
