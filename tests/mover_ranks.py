"""Two ranks: the second finds, after a time without any MPI call of its own, that a large block has come."""

import sys
import time

import numpy as np
from effort import PATIENCE

from parcorana.pipeline import mpi
from parcorana.pipeline.transport import TAG_DATA, run_polling, wait

transport = mpi.MpiTransport(mpi.world())
data = np.full(1 << 24, transport.rank, np.uint8)


def sends():
    yield from wait(transport.send(1, TAG_DATA, data))


def receives():
    coming = transport.receive(0, TAG_DATA, data)
    end = time.monotonic() + PATIENCE
    with transport.meanwhile([coming]):
        while not coming.finished and time.monotonic() < end:
            time.sleep(0.01)
    print("came" if coming.finished and not data.any() else "did not come", file=sys.stderr)
    yield from wait(coming)


run_polling(sends() if transport.rank == 0 else receives(), transport)
