"""From the reader's memory to the send buffer the data is copied once, by the compiled pass that casts it."""

import importlib.util
import tracemalloc

import h5py
import numpy as np
import pytest
from local import run_local
from xtc2 import write_run

from parcorana import userg2
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5.source import HDF5Source
from parcorana.events.open import open_source
from parcorana.events.protocol import Event
from parcorana.events.segments import Segments
from parcorana.pipeline.block import BlockBuffer
from parcorana.pipeline.intake import Intake

NO_PSANA = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")
EVENTS, SHAPE = 7, (2, 512, 1024)
STAMPS = [10**18 + k * 8_333_333 for k in range(EVENTS)]


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).poisson(5, (EVENTS, *SHAPE)).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, frames):
    """Run 7 of a jungfrau in two streams, run 8 in one, and the same in HDF5."""
    path = tmp_path_factory.mktemp("copies")
    if importlib.util.find_spec("psana"):
        write_run(path, frames, STAMPS, streams=2, kind="jungfrau")
        write_run(path, frames, STAMPS, run=8, kind="jungfrau")
    with h5py.File(path / "frames.h5", "w") as file:
        file["frames"] = frames
    return path


@pytest.fixture(autouse=True)
def without_facility(no_facility):
    pass


class Watch:
    """Calls of a method: what they take of new memory at most [bytes]."""

    def __init__(self, monkeypatch, owner, name):
        self.taken, method = [], getattr(owner, name)

        def watched(*args, **kwargs):
            tracemalloc.start()
            try:
                return method(*args, **kwargs)
            finally:
                self.taken.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()

        monkeypatch.setattr(owner, name, watched)


def run(tmp_path, monkeypatch, frames, dataset, src, memory_of, servers=1):
    """Run a job; return for each event put into a buffer whether it lay in the reader's memory, and the result."""
    shared, put = [], BlockBuffer.put

    def spied(self, rows, *args):
        pieces, memory = rows if isinstance(rows, list) else [rows], memory_of()
        shared.extend([all(any(np.shares_memory(p, m) for m in memory) for p in pieces)] * len(pieces[0]))
        return put(self, rows, *args)

    monkeypatch.setattr(BlockBuffer, "put", spied)
    given = {"dataset": dataset, "src": src, "times": 10, "delays": [1, 2], "block": 4, "numservers": servers}
    mask = np.zeros(SHAPE, bool)
    mask[:, 100:102] = True  # sums of the whole detector are others' tests
    *_, worker = run_local(
        tmp_path,
        userg2.G2IncrementalAccumulator,
        [],
        frames,
        servers,
        mask=mask,
        opened=lambda share: open_source(parse_dataset(dataset), src=src, share=share, log=lambda line: None),
        **{name: value for name, value in given.items() if name not in ("dataset", "numservers")},
    )
    want = frames[:, mask].astype(float)
    buffer = worker.entering.buffer
    arrays, _, _ = worker.calculation.workerCalc(buffer.T, buffer.filled, buffer.X)
    np.testing.assert_array_equal(arrays["G2"][0], (want[:-1] * want[1:]).sum(axis=0))
    return shared


@NO_PSANA
@pytest.mark.parametrize(("run_number", "mode", "servers"), [(7, "", 1), (7, "", 2), (7, ":idx", 1), (8, "", 1)])
def test_xtc2(tmp_path, monkeypatch, frames, folder, run_number, mode, servers):
    """The segments in psana's datagrams are what is cast into the send buffer."""
    last, frame = [], Event.frame

    def noted(self):
        last[:] = [np.frombuffer(datagram, np.uint8) for datagram in self.evt._dgrams]
        return frame(self)

    monkeypatch.setattr(Event, "frame", noted)
    took = Watch(monkeypatch, Intake, "take")
    dataset = f"exp=tstx00126:run={run_number}:dir={folder}{mode}"
    shared = run(tmp_path, monkeypatch, frames, dataset, "mydet", lambda: last, servers)
    assert shared == [True] * EVENTS
    assert len(took.taken) == EVENTS
    # but for the first event of a server, which it compares with what psana makes; server 0 has done so before
    assert sorted(took.taken)[-servers] < frames[0].nbytes / 10


def test_hdf5(tmp_path, monkeypatch, frames, folder):
    """What HDF5 read into is what is cast."""
    sources, init = [], HDF5Source.__init__
    monkeypatch.setattr(HDF5Source, "__init__", lambda self, *args: init(self, *args) or sources.append(self))
    took = Watch(monkeypatch, BlockBuffer, "put")
    shared = run(tmp_path, monkeypatch, frames, f"h5={folder}/frames.h5", "frames", lambda: [s._batch for s in sources])
    assert shared == [True] * EVENTS and max(took.taken) < frames[0].nbytes / 10


@NO_PSANA
def test_a_class_that_makes_arrays_itself(folder, frames, monkeypatch):
    """The array of psana is taken where its method is not just the segments, one upon the other."""
    from psana.detector.areadetector import AreaDetectorRaw

    def other(self, evt, copy=True):
        return np.stack([self._segments(evt)[k].raw & 3 for k in self._segment_numbers])

    other.__qualname__ = "AreaDetectorRaw.raw"  # as a later psana might have it
    kinds = {}
    for change in (False, True):
        if change:
            monkeypatch.setattr(AreaDetectorRaw, "raw", other)
        source = open_source(parse_dataset(f"exp=tstx00126:run=7:dir={folder}"), src="mydet", log=lambda line: None)
        read = [(event.frame(), event.data()) for block in source.blocks() for event in block]
        source.close()
        kinds[change] = {type(frame) for frame, _ in read}
        assert all(
            np.array_equal(data, one & 3 if change else one) for (_, data), one in zip(read, frames, strict=True)
        )
    assert kinds == {False: {Segments}, True: {np.ndarray}}
