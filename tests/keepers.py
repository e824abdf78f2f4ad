"""User classes for checkpoints, that strike their own process dead where the environment says."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np

import parcorana
from parcorana import multitau, photons, userg2
from parcorana.curves.timeline import Timeline
from parcorana.g2 import snapshots

VALID = "*.inprogress/checkpoint_*.json"
WIDTH = 15  # events of a stretch of the run
SEEN = []  # stamps of the events that a server of this process was asked about


def strike(role, number):
    """Do what ``STRIKE=how:role:number`` asks for, at that event or update of that role."""
    how, wanted, at = os.environ.get("STRIKE", "::").split(":")
    if wanted == role and number >= int(at):
        if how == "raise":
            raise RuntimeError("struck")
        limit = time.monotonic() + 600
        while role == "server" and how == "SIGKILL" and time.monotonic() < limit and not list(Path().glob(VALID)):
            time.sleep(0.005)  # servers are ahead of the others
        os.kill(os.getpid(), getattr(signal, how))


class _Watching(Timeline):
    """What a shipped class shows all its events to: no callback of it is replaced for that."""

    def add(self, counters, data, threads=1):
        sums = super().add(counters, data, threads)
        strike("worker", counters.max())
        return sums


class Struck:
    """Writes the sums at the ends of stretches, too."""

    def initWorker(self, numElementsWorker):
        super().initWorker(numElementsWorker)
        self.timeline.__class__ = _Watching

    def eventOk(self, evt):
        stamp = getattr(evt, "stamp", 1)  # psana's have none
        strike("server", stamp)
        return stamp % 7 != 0

    def viewerPublishReduced(self, *args):
        super().viewerPublishReduced(*args)
        for name, array in ({} if self.snapshots is None else self.snapshots.state()).items():
            args[-1][f"snapshots_at_{self.mpiParams.processed:06d}/of {name}"] = array
        strike("viewer", self.mpiParams.processed)


class G2atEnd(Struck, userg2.G2atEnd):
    pass


class G2IncrementalAccumulator(Struck, userg2.G2IncrementalAccumulator):
    pass


class G2IncrementalWindowed(Struck, userg2.G2IncrementalWindowed):
    pass


class MultiTauG2(Struck, multitau.MultiTauG2):
    pass


class PhotonStatistics(photons.PhotonStatistics):
    def eventOk(self, evt):
        strike("server", evt.stamp)
        return evt.stamp % 7 != 0

    def enter(self, events):
        super().enter(events)
        strike("worker", events.counters.max())

    def publish(self, update, group):
        super().publish(update, group)
        strike("viewer", update.processed)


if "STRIKE" in os.environ:  # in a process of its own
    snapshots.width_of = lambda cost, system_params: WIDTH
userg2.G2IncrementalWindowed.TURNOVERS = 2  # sums are computed anew twice in a test, too


class Plain(parcorana.UserBase):
    """A mean over all events, and a history of its own: with neither getState nor setState."""

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        self.pattern, self.type, self.function = re.compile("x"), np.float64, np.sqrt  # made anew, not kept
        self.several = [1, (2.5, "three"), {"four": None, 5: {6, 7}}, 1 + 2j, np.float32(0.1), float("inf")]

    def arrayNames(self):
        return ["mean"]

    def eventOk(self, evt):
        SEEN.append(evt.stamp)
        strike("server", evt.stamp)
        return True

    def initWorker(self, numElementsWorker):
        self.sum = np.zeros(numElementsWorker)
        self.the_same = {"sum": self.sum}
        self.events, self.seen = 0, []

    def adjustData(self, data):
        self.sum += data
        self.events += 1
        self.seen.append(self.events % 3)
        self.several[0] += 1

    def workerCalc(self, T, numTimesFilled, X):
        assert self.the_same["sum"] is self.sum and self.several[0] == self.events + 1
        assert self.several[1:] == [(2.5, "three"), {"four": None, 5: {6, 7}}, 1 + 2j, np.float32(0.1), float("inf")]
        D = len(self.system_params["delays"])
        mean = np.tile(self.sum / max(self.events, 1) + sum(self.seen), (D, 1))
        return {"mean": mean}, np.full(D, self.events), np.zeros(len(self.sum), np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        group = h5UserGroup.create_group(f"mean_at_{self.mpiParams.processed:06d}")
        group["mean"], group["counts"] = name2delay2ndarray["mean"][1], counts
        group.attrs["relsec"] = relsec


class Stateful(Plain):
    """The same with the two: on any number of workers; and three dimensions, in an order of their own."""

    def initWorker(self, numElementsWorker):
        super().initWorker(numElementsWorker)
        self.lock = threading.Lock()  # nothing that could be kept
        self.cube = np.zeros((2, 3, numElementsWorker))

    def adjustData(self, data):
        super().adjustData(data)
        self.cube[:, 1] += data

    def getState(self):
        state = {"sum": self.sum, "cube": self.cube, "events": parcorana.Common(self.events)}
        half = self.events / 2 * self.mpiParams.firstWorker
        return state | {"seen": parcorana.Common(self.seen), "half": parcorana.Partial(np.array([half]))}

    def setState(self, state):
        self.sum, self.cube, self.events = state["sum"], state["cube"], int(state["events"])
        self.the_same = {"sum": self.sum}
        self.seen, self.several[0] = state["seen"].tolist(), self.events + 1
        if self.mpiParams.firstWorker:
            assert state["half"] == [self.events / 2]

    def workerCalc(self, T, numTimesFilled, X):
        assert (self.cube[1, 1] == self.sum).all() and not self.cube[:, 0].any()
        return super().workerCalc(T, numTimesFilled, X)


class Locked(Plain):
    """Has what cannot be kept."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lock = threading.Lock()


class Viewed(Plain):
    """Two arrays that are one."""

    def initWorker(self, numElementsWorker):
        super().initWorker(numElementsWorker)
        self.half = self.sum[: numElementsWorker // 2]


class Half(Plain):
    def getState(self):
        return {}


class Wrong(Stateful):
    def getState(self):
        return eval(self.user_params["state"], {"np": np, "self": self})


class Parts(Stateful):
    """Keeps parts of sums, as its parameters say them, and tells what it gets of them."""

    def getState(self):
        names = {"np": np, "first": self.mpiParams.firstWorker}
        parts = [parcorana.Partial(eval(part, names)) for part in self.user_params["parts"]]
        return super().getState() | {f"part{k or ''}": part for k, part in enumerate(parts)}

    def setState(self, state):
        super().setState(state)
        parts = [part for name, part in state.items() if name.startswith("part")]
        said = "; ".join(f"{part.dtype} {part.tolist()}" for part in parts)
        self.mpiParams.logInfo(f"part: {said}", allWorkers=True)
