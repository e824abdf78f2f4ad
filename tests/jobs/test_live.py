"""Live runs: partial blocks in time, silent streams, numevents over several servers."""

import logging
import time

import h5py
import numpy as np
import pytest
from effort import PATIENCE
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana import userg2
from parcorana.errors import ConfigError, RunError
from parcorana.events.dataset import parse_dataset
from parcorana.events.protocol import Event, Share
from parcorana.events.simulated import SimulatedSource
from parcorana.job import config
from parcorana.job.partition import Roles
from parcorana.pipeline.clock import Clock
from parcorana.pipeline.job import Job
from parcorana.pipeline.server import Server
from parcorana.pipeline.transport import LocalNetwork, run_together
from parcorana.pipeline.viewer import Viewer
from parcorana.pipeline.worker import Worker
from parcorana.view.progress import Progress

NOTHING = None


class Stream:
    """A live source of one server: what a generator yields, pulses or `NOTHING`."""

    live, stamps, total, shape, dtype = True, "pulses", None, (3,), np.dtype("f4")

    def __init__(self, pulses):
        self.pulses = pulses

    def events(self):
        for pulse in self.pulses:
            yield None if pulse is NOTHING else Event(0, pulse, lambda pulse=pulse: self.frame(pulse))

    @staticmethod
    def frame(pulse):
        return None if pulse % 7 == 3 else np.full(3, pulse % 5, "f4")

    def close(self):
        pass


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    mask = tmp_path_factory.mktemp("live") / "mask.npy"
    np.save(mask, np.ones(3, np.int8))
    return {"dataset": "sim=brownian:live", "mask": mask, "times": 1000, "delays": [1, 2, 3], "h5output": None}


class Run:
    """A run in this process, whose servers have the given streams."""

    def __init__(self, params, streams, **system):
        system = params | {"user_class": userg2.G2IncrementalAccumulator, "block": 8} | system
        resolved = config.resolve_config(system, {})
        n = len(streams)
        roles = Roles(tuple(range(1, n + 1)), (n + 1,))
        network = LocalNetwork(n + 2)

        def job(rank):
            return Job(resolved, roles, network.transport(rank), Clock(False))

        self.viewer = Viewer(job(0), [], Progress(False))
        self.servers = [Server(job(k + 1), stream) for k, stream in enumerate(streams)]
        self.worker = Worker(job(n + 1))
        self.roles, self.network = [self.viewer, *self.servers, self.worker], network

    def run(self):
        run_together([role.run() for role in self.roles], self.network)
        return self.viewer.finished

    def run_error(self):
        self.run()
        return self.worker.error


def until(happened, seconds=PATIENCE):
    """Yield NOTHING until something has happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "nothing happened"
        yield NOTHING


def test_a_slow_stream_is_worked_on_in_time(params):
    """Three events do not fill a block: they must go on without a fourth one."""

    def pulses():
        yield from (0, 1, 2)
        yield from until(lambda: run.worker.events.account["processed"] == 3)
        yield 4

    run = Run(params, [Stream(pulses())], latency=0.05)
    assert run.run()["processed"] == 4


def test_an_event_waits_for_others_as_long_as_latency_says(params):
    begin = time.monotonic()

    def pulses():
        yield 0
        yield from until(lambda: run.worker.events.account["processed"] == 1)
        waited.append(time.monotonic() - begin)

    waited = []
    run = Run(params, [Stream(pulses())], latency=0.4)
    run.run()
    assert waited[0] >= 0.4


def test_a_silent_stream_holds_nobody_up(params):
    """Full blocks of one server go through although the other one has nothing, and latency is long."""

    def busy():
        yield from range(0, 8)
        yield from range(8, 32)
        yield from until(lambda: run.worker.events.account["read"] == 32)

    def silent():
        yield from until(lambda: run.worker.events.account["read"] == 32)

    for order in (1, -1):
        streams = [Stream(busy()), Stream(silent())][::order]
        run = Run(params, streams, latency=1000.0)
        assert run.run()["read"] == 32


def test_a_live_run_that_waits_longer_is_no_deadlock(params, monkeypatch):
    now = time.monotonic
    monkeypatch.setattr("parcorana.pipeline.transport.time.monotonic", lambda: 1000 * now())
    end = now() + 0.1

    def pulses():
        yield 0
        while now() < end:
            yield NOTHING

    assert Run(params, [Stream(pulses())]).run()["read"] == 1


ACTIONS = st.lists(st.booleans(), max_size=40)


@settings(max_examples=40, deadline=None)
@given(schedule=st.lists(ACTIONS, min_size=1, max_size=3), wanted=st.integers(0, 60), block=st.integers(1, 9))
def test_every_event_once_and_numevents_exactly(params, schedule, wanted, block):
    """Whatever comes when: the accounting adds up, and the first so many events of the sequence are used."""
    logging.getLogger("parcorana").setLevel("ERROR")
    streams, pulse = [], 0
    for actions in schedule:
        pulses = []
        for event in actions:
            pulses.append(pulse if event else NOTHING)
            pulse += event
        streams.append(Stream(pulses))
    run = Run(params, streams, numevents=wanted, block=block, latency=0.0)
    account = run.run()
    used = account["read"] - account["unused"]
    assert used == min(pulse, wanted or pulse)
    assert account["processed"] + account["no_data"] == used
    if not wanted:
        stored = set(range(pulse)) - {p for p in range(pulse) if p % 7 == 3}
        first, buffer = run.worker.events.origin or 0, run.worker.entering.buffer
        assert set(buffer.T[: buffer.filled] + first) == stored
    assert all(not box for box in run.network.boxes.values())  # no message is left behind


@settings(max_examples=20, deadline=None)
@given(
    servers=st.integers(2, 4),
    steps=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    block=st.integers(1, 13),
    pulses=st.integers(1, 40),
)
def test_events_of_several_servers_enter_in_order(params, servers, steps, block, pulses):
    """Every server sees an event once its time has come: so even a buffer of one event drops none as late."""
    logging.getLogger("parcorana").setLevel("ERROR")
    now, step = 0, 0

    def stream(first):
        nonlocal now, step
        for pulse in range(first, pulses, servers):
            while now < pulse:
                yield NOTHING
                now, step = now + (steps[step % len(steps)] if step < len(steps) else 1), step + 1
            yield pulse

    streams = [Stream(stream(k)) for k in range(servers)]
    run = Run(params, streams, times=1, delays=[0], block=block, latency=1000.0)
    account = run.run()
    assert account["read"] == pulses and account["processed"] + account["no_data"] == pulses, account


def test_events_of_a_server_that_lags_behind_enter_in_order(params):
    """It is waited for as long as it has events, also after the others have ended."""

    def ahead(first):
        yield from range(first, 90, 3)

    def behind():
        for pulse in range(2, 90, 3):
            yield pulse
            yield from [NOTHING] * 3

    streams = [Stream(ahead(0)), Stream(behind()), Stream(ahead(1))]
    run = Run(params, streams, times=1, delays=[0], block=270, latency=1000.0)
    account = run.run()
    assert account["processed"] + account["no_data"] == 90, account


def test_what_waits_for_another_round_is_not_lost_where_bad_events_end_a_run(params):
    """The account still adds up: read events are processed, or counted as what became of them."""

    class Bad(Stream):
        @staticmethod
        def frame(pulse):
            return np.full(3, np.nan if pulse > 150 else 1, "f4")

    streams = [Bad([*range(0, 400, 2)]), Bad([*range(1, 400, 2)])]
    run = Run(params, streams, latency=1000.0, block=7)
    with pytest.raises(RunError, match="more than max_bad"):
        raise run.run_error()
    account = run.viewer.finished
    assert account["read"] == sum(count for name, count in account.items() if name != "read")


def test_times_that_are_none_and_wait_for_another_round_are_counted(params):
    """Such times are newer than all others, so it is these events that are held when they end the run."""

    def wrong():
        for k in range(400):
            yield 2 * k
            if k > 150:
                yield (3 << 61) + k

    run = Run(params, [Stream(wrong()), Stream(range(1, 800, 2))], latency=0.0, block=8)
    with pytest.raises(RunError, match="more than max_bad"):
        raise run.run_error()
    account = run.viewer.finished
    assert account["read"] == sum(count for name, count in account.items() if name != "read") and account["bad"]


def test_a_clock_that_is_set_back_is_said_while_the_run_goes_on(params, caplog):
    def pulses():
        yield from [*range(1000, 1300), *range(150)]
        yield from until(lambda: "go back in time" in caplog.text)

    run = Run(params, [Stream(pulses())], times=20, latency=0.01)
    run.run()
    at_once, *_, closing = [r.getMessage() for r in caplog.records if "came too late" in r.getMessage()]
    assert "by up to 1,299 pulses" in at_once and "start another one" in at_once
    assert "late events are out of order: are their counters right?" in closing and "rate" not in closing


def test_live_simulator_splits_its_events_and_keeps_time():
    text = "sim=brownian:shape=4x4:events=30:seed=2:live:hz=300"
    begin = time.monotonic()
    sources = [SimulatedSource(parse_dataset(text), Share(s, 2)) for s in range(2)]
    found = [[event.stamp for event in source.events() if event is not None] for source in sources]
    assert found == [list(range(0, 30, 2)), list(range(1, 30, 2))]
    assert time.monotonic() - begin > 28 / 300
    with pytest.raises(ConfigError, match="hz is the rate of a live run"):
        SimulatedSource(parse_dataset("sim=brownian:hz=3"), Share())


@pytest.mark.parametrize(("ranks", "servers"), [(0, 1), (5, 2), (6, 3)])
def test_a_live_run_gives_what_the_finished_one_does(setup, ranks, servers):
    """Real time, real ranks, an update of few events: the same sums as from the same frames at rest."""
    sim = "sim=brownian:shape=2x5x7:events=60:poisson=1:gaps=0.1"
    setup.write("G2IncrementalAccumulator", dataset=sim, src=..., times=100, update=0, block=0)
    assert setup.drive("-o", "rest.h5").returncode == 0
    setup.write("G2IncrementalAccumulator", dataset=sim, src=..., times=100, update=20, block=0, latency=0.05)
    run = setup.drive("-o", "live.h5", "-d", f"{sim}:live:hz=60", "-s", servers, ranks=ranks)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "rest.h5") as rest, h5py.File(setup.folder / "live.h5") as live:
        assert sorted(live["user"]) == [f"G2_results_at_{n:06d}" for n in (20, 40, 60)]
        a, b = rest["user/G2_results_at_000060"], live["user/G2_results_at_000060"]
        np.testing.assert_array_equal(a["delay_counts"], b["delay_counts"])
        for name in ("G2", "IF", "IP"):
            for delay in setup.system["delays"]:
                path = f"{name}/delay_{delay:06d}"
                np.testing.assert_array_equal(a[path], b[path])
        assert live["system/accounting"].attrs["processed"] == 60
