"""The plan of ``--check``: its numbers are there, sizes are right, it reads little, nothing of it fails a check."""

import os
import re

import h5py
import numpy as np
import pytest
from conftest import write_class

from parcorana.events.dataset import parse_dataset
from parcorana.events.protocol import Share
from parcorana.events.simulated import SimulatedSource
from parcorana.job.config import resolve_config
from parcorana.job.division import divide
from parcorana.pipeline.entering import Entering
from parcorana.pipeline.worker import Worker
from parcorana.plan import computing, plan, reading
from parcorana.plan.miniature import made_up, of_updates
from parcorana.plan.model import Costs, Layout, best, expected, times_as_fast
from parcorana.plan.said import busy
from parcorana.plan.writing import updates_of
from parcorana.userg2 import G2IncrementalAccumulator

UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}
TAU = {"delays": [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]}
SEVERAL = "from parcorana.multitau import MultiTauG2\nfrom parcorana.photons import PhotonStatistics\n"


def lines_of(run):
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    lines = [line.removeprefix("plan: ") for line in run.stdout.splitlines() if line.startswith("plan: ")]
    return [line for line in lines if not line.startswith("other work keeps")]  # as other tests do


def of_one_mean(setup):
    """Let frames come one after the other and have the same mean, for the bins of a histogram are up to the data."""
    rng = np.random.default_rng(1)
    frame = rng.poisson(5, setup.mask.sum()).astype(np.uint16)
    setup.frames[:, setup.mask == 1] = rng.permuted(np.tile(frame, (len(setup.frames), 1)), axis=1)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/frames"][...] = setup.frames
        file["det/counter"][...] = np.arange(len(setup.frames))


@pytest.mark.parametrize(
    ("what", "user", "more"),
    [
        ("userg2.G2IncrementalAccumulator", {"save_arrays": True, "color": "color.npy"}, {"update": 100}),
        ("userg2.G2atEnd", {"color": "color.npy", "normalization": "pixel"}, {"update": 0}),
        ("userg2.G2atEnd", {"save_arrays": False, "color": "fine.npy"}, {"update": 20, "delays": list(range(1, 60))}),
        ("TwoTime", {"color": "color.npy", "ages": 60}, {"update": 0} | TAU),
        ("[MultiTauG2, PhotonStatistics]", {"color": "color.npy"}, {"update": 100} | TAU),
    ],
)
def test_the_size_of_the_result(setup, what, user, more):
    of_one_mean(setup)
    setup.write(user=user, **more)
    path = setup.folder / "config.py"
    text = path.read_text(encoding="utf-8").replace("userg2.G2atEnd", what)
    path.write_text(f"{SEVERAL}from parcorana.twotime import TwoTime\n{text}", encoding="utf-8")
    said = next(line for line in lines_of(setup.drive("--check")) if "the result has" in line)
    number, unit = re.fullmatch(r"the result has about ([\d,.]+) (\w+)", said).groups()
    assert setup.drive().returncode == 0
    size = (setup.folder / "out.h5").stat().st_size
    assert float(number.replace(",", "")) * UNITS[unit] == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize("ranks", [0, 4])
def test_what_is_said(setup, ranks):
    """And nothing is left behind, though there is a picture."""
    setup.write(user={"color": "color.npy", "picture": True})
    before = sorted(os.listdir(setup.folder))
    lines = lines_of(setup.drive("--check", ranks=ranks))
    patterns = (
        r"about [\d,.]+ events/s, [\d.]+ (s|min) from start to end of 230 events",
        r"a server reads an event in [\d.]+ (s|ms|us) \([\d,]+ were read.*\)",
        r"the result has about [\d.]+ KiB",
        r"with (`mpiexec -n \d+`, numservers = \d+|one process) and threads = \d+ about [\d.]+ times as fast"
        r"|no other number of ranks, servers and threads is expected to be much faster on these cores",
        r"not in these numbers: pictures",
    )
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert sorted({*os.listdir(setup.folder)} - {"__pycache__"}) == before


def test_a_live_run_and_one_without_a_file(setup):
    setup.write(dataset="sim=brownian:shape=2x5x7:events=80:live", src=None, h5output=None)
    first, size = lines_of(setup.drive("--check"))
    assert re.fullmatch(r"a live run goes as fast as its events come; up to about [\d,]+ events/s can be .*", first)
    assert size == "no result file, for h5output is None"
    setup.write(dataset="sim=brownian:shape=2x5x7:events=80:live", src=None)
    said = lines_of(setup.drive("--check"))
    assert re.fullmatch(r"each update adds about [\d.]+ KiB to the result, and the end [\d.]+ KiB", said[1])


def test_a_busy_host_is_said():
    assert busy(1.4, 2) == busy(40, 128) == ""
    assert busy(9.31, 2).startswith("other work keeps this host busy (load 9.3 on 2 cores), and beside it a run ")


def test_no_event(setup):
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det"]
        file["det/frames"] = setup.frames[:0]
    setup.write()
    assert lines_of(setup.drive("--check")) == ["none, for there is no event"]


def test_servers_without_an_event_are_no_fault(setup):
    """All events are in the first block, which is that of one of three servers."""
    setup.write(numservers=3)
    lines = lines_of(setup.drive("--check", ranks=5))
    assert re.fullmatch(r"a server reads an event in .* \([\d,]+ were read.*\)", lines[1])
    assert not any("could not be measured" in line for line in lines)


def test_what_cannot_be_read_is_said(setup):
    """Each frame's checksum is wrong."""
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/frames"]
        made = file.create_dataset("det/frames", data=setup.frames, chunks=(1, 2, 5, 7), fletcher32=True)
        places = [made.id.get_chunk_info(k).byte_offset for k in range(len(setup.frames))]
    with open(setup.folder / "frames.h5", "r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"damaged")
    setup.write()
    lines = lines_of(setup.drive("--check"))
    assert lines[1] == ("reading could not be measured, and is not in these numbers: all events that were read are bad")
    assert "from start to end of 230 events" in lines[0]


MINE = """
from parcorana import BlockBase, PerElement, UserBase
from parcorana.userg2 import G2atEnd as Shipped
import numpy as np

def runs(*args):
    raise RuntimeError("it runs")

class G2atEnd(BASE):
    eventOk = finalDataArray = METHOD = publish = runs
"""


@pytest.mark.parametrize(
    ("base", "method"), [("Shipped", "workerCalc"), ("BlockBase", "enter"), ("UserBase", "arrayNames")]
)
def test_users_code_is_not_run(setup, base, method):
    code = MINE.replace("BASE", base).replace("METHOD", method)
    if base == "UserBase":
        code = code.replace(" = arrayNames", "")
        code += (
            "    workerCalc = initWorker = viewerPublish = runs\n    def arrayNames(self):\n        return ['one']\n"
        )
    if base == "BlockBase":
        code += "    def arrays(self, elements):\n        return {'sums': PerElement(np.zeros(elements))}\n"
    write_class(setup, code, "G2atEnd")
    lines = lines_of(setup.drive("--check"))
    assert lines[-1] == "not in these numbers: the code of G2atEnd, which is not run for this"
    assert "events/s" in lines[0]


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error"), ValueError("two\nlines")])
def test_a_measurement_that_fails_fails_nothing(setup, monkeypatch, error):
    def fails(*args):
        raise error

    setup.write()
    for name in ("read_some", "write_some"):
        monkeypatch.setattr(plan, name, fails)
    lines = lines_of(setup.drive("--check"))
    assert any(line.startswith("reading could not be measured") for line in lines)
    assert any(
        line.startswith("the size of the result, and how long it is written, could not be measured: ") for line in lines
    )
    monkeypatch.setattr(plan, "compute_some", fails)
    (line,) = lines_of(setup.drive("--check"))
    assert line.startswith("none, for computing could not be measured: ")


class Counted(SimulatedSource):
    asked = 0

    def frame(self, pulse):
        self.asked += 1
        return super().frame(pulse)


@pytest.fixture
def source(setup, monkeypatch):
    """A config of the simulator, its division, and a source that counts the frames that it is asked for."""
    monkeypatch.chdir(setup.folder)
    text = "sim=brownian:shape=2x5x7:events=3000"
    system = setup.system | {"dataset": text, "src": None, "block": 1024, "user_class": G2IncrementalAccumulator}
    config = resolve_config(system, {})
    return config, divide(config, ["here"], [frozenset({0})]), Counted(parse_dataset(text), Share(block=1024))


def test_reading_is_bounded_in_bytes(source, monkeypatch):
    config, division, counted = source
    monkeypatch.setattr(reading, "_SECONDS", 100.0)
    assert reading.read_some(config, division, 1, counted).events == counted.asked == config.block
    counted.asked = 0
    monkeypatch.setattr(reading, "MOST_BYTES", 20 * 70 * 4)
    assert reading.read_some(config, division, 1, counted).events == counted.asked == 20


def test_reading_is_bounded_in_time(source, monkeypatch):
    config, division, counted = source
    monkeypatch.setattr(reading, "_SECONDS", 0.0)
    assert reading.read_some(config, division, 1, counted).events == counted.asked == 1


def test_pieces_are_bounded(setup, monkeypatch):
    """A block whose frames come many at once is left after the first of them."""
    monkeypatch.chdir(setup.folder)
    config = resolve_config(setup.system | {"user_class": G2IncrementalAccumulator, "block": 230}, {})
    division, frames = divide(config, ["here"], [frozenset({0})]), setup.frames
    taken = []

    class Source:
        stamps, dtype, total, live = "pulses", frames.dtype, 230, False

        def blocks(self):
            def pieces(wanted):
                for k in range(0, 230, 23):
                    taken.append(k)
                    yield k, frames[k : k + 23]

            yield reading.FrameBlock(np.zeros(230, int), np.arange(230), np.arange(230), {}, None, pieces)

        def close(self):
            pass

    monkeypatch.setattr(reading, "_SECONDS", 0.0)
    assert reading.read_some(config, division, 1, Source()).events == 23 and taken == [0]
    monkeypatch.setattr(reading, "_SECONDS", 100.0)
    monkeypatch.setattr(reading, "MOST_BYTES", 50 * 70 * 4)
    found = reading.read_some(config, division, 1, Source())
    assert found.events == 50 and taken == [0, 0, 23, 46]
    assert found.sample.pulses and set(found.sample.steps) == {1} and found.nbytes == 2 * config.elements


def test_updates_are_not_in_the_blocks(source, monkeypatch):
    """They cut these where those of the run do; what they take is measured once they are over."""
    config, collected, stretches = of_updates(source[0], 400), [], []
    collect, take = Worker._collected, Entering.take

    def collecting(self, last):
        collected.append(self.events.processed)
        return collect(self, last)

    def taking(self, counters, *args):
        stretches.append(len(counters))
        return take(self, counters, *args)

    monkeypatch.setattr(Worker, "_collected", collecting)
    monkeypatch.setattr(Entering, "take", taking)
    found = computing.compute_some(config, 1, config.elements, made_up(config), 3000)
    assert set(collected) == {2048} and found.events == 1024 and found.blocks.shape == (2,)
    assert stretches[-7:] == [1024, 624, 224, 1024, 848, 448, 48]  # of what was offered, 400 at a time


def test_more_elements_take_more(monkeypatch):
    """What does not go with the elements is told from what does."""

    class Some:
        last_pieces = pieces = ()
        collect = last = 0.0

        def __init__(self, elements):
            self.elements, self.seconds = elements, [0.3] + [0.002 + 1e-6 * elements] * 4

    found = computing._scaled(Some(1000), Some(10_000), 100_000, 512, 1)
    assert found.steady == pytest.approx(0.102) and found.alone == pytest.approx(0.002)
    assert found.blocks[1:] == pytest.approx(0.102)
    alike = Some(50)
    assert computing._scaled(alike, alike, 50, 512, 1).steady == pytest.approx(0.00205)


COSTS = Costs(
    read=1e-3, read_processor=1e-3, alone=0.0, elements=0.4, filling=0.0, moving=0.0, collect=0.0, last=0.0,
    publish=0.0, publish_last=0.0, start=1.0, crowd=1.0, new=0.0,
)  # fmt: skip


def test_what_comes_of_the_parts():
    """A block of 100 events: 0.1 s to read, 0.4 s of one thread to compute."""
    one = expected(COSTS, Layout(1, 1, 4, 4, True), 100, 0, 1000)
    assert one.rate == pytest.approx(500) and one.seconds == pytest.approx(1 + 2.0)
    crowded = expected(COSTS, Layout(1, 2, 1, 2, False), 100, 0, None)
    assert crowded.rate == pytest.approx(1 / (0.5 / 100 / 2)) and crowded.seconds is None
    reads = expected(COSTS, Layout(1, 15, 1, 16, False), 100, 0, None)
    assert reads.rate == pytest.approx(1000)  # one server is not enough
    layout, better = best(COSTS, Layout(1, 15, 1, 16, False), 100, 0, None, 1000, 16)
    assert layout.servers > 1 and not layout.together and times_as_fast(reads, better) > 2
    few, _ = best(COSTS, Layout(1, 1, 1, 1, True), 100, 0, None, 1000, 16)
    assert few.together and few.ranks == 1
    assert times_as_fast(one, one) is None


@pytest.mark.parametrize(("update", "at"), [(0, [70]), (100, [70]), (70, [70]), (30, [30, 60, 70])])
def test_where_updates_are(update, at):
    assert updates_of(70, update).tolist() == at
