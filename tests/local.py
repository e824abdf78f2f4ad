"""Runs of any number of servers and workers in one process, over events in memory."""

import os
from types import SimpleNamespace

import numpy as np

from parcorana.events.protocol import Event, Share
from parcorana.job.config import resolve_config
from parcorana.job.division import Division
from parcorana.job.partition import Roles
from parcorana.pipeline import run
from parcorana.pipeline.stop import Stop
from parcorana.pipeline.transport import LocalNetwork, run_together


class ListSource:
    """The events of one server; `fetched` notes the stamps whose data was asked for."""

    def __init__(self, counters, frames, share, runs=None, stamps="pulses"):
        self.counters, self.frames, self.share, self.runs, self.stamps = counters, frames, share, runs, stamps
        self.total, self.shape, self.dtype = len(counters), frames.shape[1:], frames.dtype
        self.fetched = []
        self.values = {}  # of each name a column

    def blocks(self):
        for first, last in self.share.blocks(self.total):
            yield [self.event(k) for k in range(first, last)]

    def event(self, k):
        def read():
            self.fetched.append(int(self.counters[k]))
            return self.frames[k]

        def values():
            return {name: float(column[k]) for name, column in self.values.items()}

        run = 0 if self.runs is None else int(self.runs[k])
        return Event(run, int(self.counters[k]), read, index=k, values=values)

    def close(self):
        pass


def run_local(
    folder, user_class, counters, frames, servers=1, workers=1, runs=None, mask=None, user=None, opened=None, **system
):
    """Run a user class; return the role objects: viewer, servers, workers.

    `opened` opens another source than these events for a share of the blocks.
    """
    mask = np.ones(frames.shape[1:], bool) if mask is None else mask
    np.save(folder / "mask.npy", mask.astype(np.uint8))
    given = {"dataset": "h5=memory.h5", "mask": str(folder / "mask.npy"), "user_class": user_class, "threads": 1}
    given |= {"h5output": None, "numservers": servers}
    config = resolve_config(given | system, user or {})
    roles = Roles(tuple(range(1, servers + 1)), tuple(range(servers + 1, servers + workers + 1)))
    hosts = ["here"] * (1 + servers + workers)
    division = Division(roles, hosts, [0] * len(hosts), [1] * len(hosts))
    network = LocalNetwork(len(hosts))
    made, stop, h5output = [], Stop(), config.h5output and os.path.abspath(config.h5output)
    for rank in range(len(hosts)):
        source = None
        if roles.role_of(rank) == "server":
            share = Share(roles.servers.index(rank), servers, config.block, config.numevents)
            source = opened(share) if opened else ListSource(counters, frames, share, runs)
        made.append(run.make_role(config, division, network.transport(rank), source, h5output, waits=False, stop=stop))
    run_together([role.run() for role in made], network)
    return made


def config_of_results():
    """Return what a result file needs of a config."""
    return SimpleNamespace(
        mode="main",
        overwrite=False,
        h5output="out.h5",
        user_class=object,
        system_params={},
        user_params={},
        mask=np.ones((2, 2), bool),
        delays=np.array([1]),
        select={},
        photons=None,
        instrument=None,
    )


def opened_with_light(counters, frames, runs, light, share):
    """Open events that have the value `light`."""
    source = ListSource(counters, frames, share, runs)
    source.values = {"light": light}
    return source


def whole_frames(kept, delay, channels):
    """Return the pulses of a frame of the level of a delay, and the frames without a gap: their numbers and parts.

    Of multi-tau, from its definition; `kept` are the events by their counters.
    """
    pulses = 1
    while delay > channels * pulses:
        pulses *= 2
    parts = {
        k: [kept[t] for t in range(k * pulses, (k + 1) * pulses) if t in kept] for k in {t // pulses for t in kept}
    }
    return pulses, [(k, each) for k, each in parts.items() if len(each) == pulses]
