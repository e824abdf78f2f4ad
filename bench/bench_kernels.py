"""The kernels in their steady state: blocks of 512 events into a full buffer."""

import numpy as np
import pytest

from parcorana import kernels, make_multitau_delays
from parcorana.correlation.levels import Levels
from parcorana.correlation.lines import plan_tails
from parcorana.correlation.settled import Settled
from parcorana.curves.leverage import Levers
from parcorana.curves.sums import ColorSums

ACCUMULATOR, WINDOWED, AT_END = "G2IncrementalAccumulator", "G2IncrementalWindowed", "G2atEnd"
FAR = {"largest": 25000, "times": 30000, "elements": 8192, "block": 4096}
CASES = {
    "usual": {},
    "2 threads": {"threads": 2},
    "float64": {"dtype": "float64", "elements": 65536},
    "10 delays": {"delays": 10},
    "1000 delays": {"delays": 1000, "elements": 16384},
    "delays to 500": {"largest": 500},
    "delays to 25000": FAR,
}
STREAMS = {
    "blocks of 64": {"block": 64},
    "blocks of 1024": {"block": 1024, "elements": 65536},
    "1% gaps": {"steps": lambda rng, n: 1 + (rng.random(n) < 0.01)},
    "10% gaps": {"steps": lambda rng, n: 1 + (rng.random(n) < 0.1)},
    "every second pulse": {"steps": lambda rng, n: np.full(n, 2)},
}


def entering(benchmark, timed, worker):
    events = worker.block
    timed(benchmark, worker.feed, pairs=events * len(worker.delays) * worker.elements, events=events)


@pytest.mark.parametrize("case", CASES | STREAMS)
def test_accumulate(benchmark, timed, steady, case):
    entering(benchmark, timed, steady(ACCUMULATOR, **(CASES | STREAMS)[case]))


@pytest.mark.parametrize("case", CASES)
def test_windowed(benchmark, timed, steady, case):
    entering(benchmark, timed, steady(WINDOWED, **CASES[case]))


@pytest.mark.parametrize("case", CASES)
def test_at_end(benchmark, timed, steady, case):
    worker = steady(AT_END, **CASES[case])
    _, counts, _ = worker.calculate()
    timed(benchmark, worker.calculate, pairs=int(counts.sum()) * worker.elements)


@pytest.mark.parametrize("name", [ACCUMULATOR, WINDOWED])
def test_calculate_at_update(benchmark, timed, steady, name):
    worker = steady(name)
    rounds = 3
    benchmark.pedantic(worker.calculate, setup=worker.feed, rounds=rounds, iterations=1)


@pytest.mark.parametrize("case", ["usual", "10 delays", "delays to 25000"])
def test_snapshot(benchmark, timed, steady, case):
    """The sums at the end of a stretch of the run, of which `snapshot_cost` says what they take."""
    worker = steady(ACCUMULATOR, **CASES[case])
    buffer = worker.entering.buffer
    timed(benchmark, lambda: worker.user.own_sums(buffer.T, buffer.filled, buffer.X), rounds=3)


def test_store(benchmark, timed, steady):
    """Turning and storing a block, as G2atEnd does on entry."""
    worker = steady(AT_END)
    timed(benchmark, worker.feed, events=worker.block, bytes=worker.data.nbytes)


def test_sum_colors(benchmark, timed, steady):
    """The mean intensity of ten rings, event by event."""
    worker = steady(AT_END)
    down, right = np.indices((256, 512))
    rings = np.minimum(np.hypot(down - 128, right - 256) // 28, 9).astype(np.int32).ravel()
    timed(benchmark, lambda: kernels.sum_indexed(worker.data, rings, 10), events=worker.block, bytes=worker.data.nbytes)


@pytest.mark.parametrize("what", ["sums", "pulls"])
@pytest.mark.parametrize("pending", [False, True])
def test_colors_at_update(benchmark, timed, steady, what, pending):
    """What curves are made of, and what pulls them: one pass each over G2, IP and IF of 20 delays, ten rings."""
    worker = steady(ACCUMULATOR, delays=20)
    user, n = worker.user, worker.elements
    arrays = {name: getattr(user, name).T for name in ("G2", "IP", "IF")}
    made, none, rest = ColorSums(np.arange(n) * 10 // n + 1, None, "color"), np.zeros(n, np.int8), None
    if pending:
        buffer = worker.entering.buffer
        plan = plan_tails(buffer.T, buffer.filled, np.array(worker.delays), 1)
        rest = plan, buffer.X, user.total
    sums = made.reduce(arrays, user.counts, none, slice(0, n), 1, rest)
    levers = Levers(made, sums, user.counts)
    passes = {
        "sums": lambda: made.reduce(arrays, user.counts, none, slice(0, n), 1, rest),
        "pulls": lambda: levers.pulls(arrays, none, slice(0, n), 1, rest),
    }
    timed(benchmark, passes[what], bytes=3 * user.G2.nbytes)


@pytest.mark.parametrize("elements", [64])
def test_planning(benchmark, timed, steady, elements):
    """Hardly any elements: what a block costs before the kernel begins."""
    worker = steady(ACCUMULATOR, elements=elements)
    timed(benchmark, worker.feed, events=worker.block)


@pytest.mark.parametrize(
    "case", ["34 delays to 768", "the same, blocks of 64", "the same, 1% gaps", "the same, 120 apart"]
)
def test_multitau(benchmark, timed, case):
    """Two threads, 8 channels; pairs per second are element-events per second here."""
    elements, events = 131072, 64 if case.endswith("64") else 512
    rng = np.random.default_rng(0)
    data = rng.poisson(5, (8, elements)).astype(np.float32)[np.arange(events) % 8]
    levels = Levels(make_multitau_delays(768), 8, elements, np.float32, threads=2)
    steps = 1 + (rng.random(events) < 0.01) if "gaps" in case else np.full(events, 120 if "apart" in case else 1)

    def add():
        counters = levels.frontier[0] - 1 + np.cumsum(steps)
        rows = np.arange(events)
        levels.add(Settled(counters, rows, {}, [data], np.zeros(events, np.int8), rows))

    timed(benchmark, add, events=events, pairs=events * elements)
