"""Photon statistics of events in memory, beside the memory bandwidth of `bench_machine.py`."""

from types import SimpleNamespace

import numpy as np
import pytest

from parcorana.correlation.settled import Settled
from parcorana.photons.counter import Counter
from parcorana.photons.parameters import about_of

N, EVENTS = 131072, 512


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("colors", [1, 10])
def test_counting(benchmark, timed, colors, threads):
    """Rings of colours as a detector has them: of neighbours in a row most share one."""
    rng = np.random.default_rng(0)
    data = rng.poisson(0.5, (EVENTS, N)).astype(np.float32)
    color = (np.arange(N) // 100 % colors).astype(np.int32)
    counter = Counter(color, colors, about_of({"exposures": [1, 2, 4, 8]}))
    counter.stretches.common()["at"][0] = 128  # as in a run of some thousand events
    state = SimpleNamespace(first=0)

    def count():
        which = np.arange(EVENTS)
        settled = Settled(state.first + which, state.first + which, {}, [data], which * 0, which)
        counter.add(settled, threads)
        state.first += EVENTS

    timed(benchmark, count, events=EVENTS, bytes=data.nbytes)
