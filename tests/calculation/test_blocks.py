"""Calculations on blocks: what a class declares is gathered, kept, gone on with, and the same for all divisions."""

import re

import h5py
import numpy as np
import pytest
from conftest import ROOT, write_class
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import run_local

import parcorana
from parcorana import BlockBase, Common, PerElement, RunError, Summed
from parcorana.reference import ReferenceBuffer
from parcorana.tools.compare import compare

SHAPE = (3, 5)
USUAL = settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Everything(BlockBase):
    """All kinds of arrays, of any leading shape, without a buffer."""

    def arrays(self, elements):
        self.cube = np.zeros((2, 3, elements), np.int16)
        self.largest = np.full(elements, -np.inf, np.float32)
        self.total, self.counters = np.zeros(2, np.int8), np.zeros(1, np.int64)
        return {
            "cube": PerElement(self.cube),
            "largest": PerElement(self.largest),
            "total": Summed(self.total),
            "counters": Common(self.counters),
        }

    def enter(self, block):
        assert block.data.shape == (len(block), len(self.largest))
        self.cube[1, 2] += block.data.sum(axis=0).astype(np.int16)
        np.maximum(self.largest, block.data.max(axis=0), out=self.largest)
        self.total[1] = 100
        self.counters += block.counters.sum()

    def publish(self, update, group):
        self.published = {name: array.copy() for name, array in update.items()} | {"processed": update.processed}


class Pieces(Everything):
    takes_pieces = True

    def publish(self, update, group):
        assert set(update) == {"total", "counters"}
        self.got = []

    def publish_piece(self, name, index, ndarray, group):
        self.got.append((name, index, ndarray.copy()))


@st.composite
def streams(draw):
    counters = draw(st.lists(st.integers(0, 30), min_size=1, max_size=40))
    return {
        "counters": np.array(counters, np.int64),
        "times": draw(st.integers(1, 12)),
        "block": draw(st.integers(1, 9)),
        "servers": draw(st.integers(1, 3)),
        "workers": draw(st.integers(1, 4)),
        "update": draw(st.sampled_from([0, 3])),
        "seed": draw(st.integers(0, 99)),
    }


def frames_of(stream):
    shape = len(stream["counters"]), *SHAPE
    return np.random.default_rng(stream["seed"]).integers(0, 100, shape).astype(np.uint16)


def entered(stream):
    """Return which events enter, by section 1's rules one by one."""
    buffer = ReferenceBuffer(stream["times"])
    origin = int(stream["counters"][0])
    return [k for k, t in enumerate(stream["counters"]) if buffer.enter(int(t) - origin, None) == "processed"]


def run_stream(folder, user_class, stream, mask, **more):
    names = ("times", "block", "servers", "workers", "update")
    given = {name: stream[name] for name in names} | {"delays": [1]} | more
    return run_local(folder, user_class, stream["counters"], frames_of(stream), mask=mask, **given)


@USUAL
@given(streams())
def test_arrays_of_every_kind(tmp_path, stream):
    mask = np.random.default_rng(stream["seed"]).random(SHAPE) < 0.7
    mask.flat[: stream["workers"]] = True
    viewer = run_stream(tmp_path, Everything, stream, mask)[0]
    rows = entered(stream)
    frames, got = frames_of(stream)[rows].astype(int), viewer.calculation.published
    assert got["processed"] == len(rows)
    want = np.zeros((2, 3, *SHAPE), np.int16)
    want[1, 2] = frames.sum(axis=0) * mask
    np.testing.assert_array_equal(got["cube"], want)
    assert got["cube"].dtype == np.int16 and got["largest"].dtype == np.float32
    np.testing.assert_array_equal(got["largest"][mask], frames.max(axis=0)[mask])
    assert not got["largest"][~mask].any()
    assert got["total"].tolist() == [0, 100 * stream["workers"]], "small whole numbers do not wrap"
    assert got["counters"] == (stream["counters"][rows] - stream["counters"][0]).sum()


def test_pieces_come_one_by_one(tmp_path):
    stream = {"counters": np.arange(7), "times": 3, "block": 2, "servers": 1, "workers": 2, "update": 0, "seed": 1}
    viewer = run_stream(tmp_path, Pieces, stream, np.ones(SHAPE, bool))[0]
    got = viewer.calculation.got
    assert [index for name, index, _ in got if name == "cube"] == list(np.ndindex(2, 3))
    by_index = {(name, index): array for name, index, array in got}
    np.testing.assert_array_equal(by_index["cube", (1, 2)], frames_of(stream).sum(axis=0))
    np.testing.assert_array_equal(by_index["largest", ()], frames_of(stream).max(axis=0))


class Stored(BlockBase):
    """Sees the buffer when its rows are filled, and counts what leaves."""

    buffer = "C"

    def arrays(self, elements):
        self.seen = np.zeros(3, np.int64)
        return {"seen": Common(self.seen)}

    def enter(self, block):
        T = block.buffer.T[: block.buffer.filled]
        stays = block.entry.row >= 0
        assert set(block.counters[stays]) <= set(T)
        rows = block.entry.row[stays]
        np.testing.assert_array_equal(block.buffer.X[rows], block.data[stays])
        self.seen += len(block), len(block.entry.leaving), 0

    def end_run(self, buffer):
        self.seen[2] += buffer.filled

    def publish(self, update, group):
        self.published = update["seen"].tolist()


class StoresItself(Stored):
    stores = True
    buffer = "F"
    most = 2

    def enter(self, block):
        assert len(block) <= 2
        before = block.buffer.T.copy()
        block.store()
        assert (before[block.entry.leaving] != block.buffer.T[block.entry.leaving]).all() or not len(block)
        super().enter(block)


@pytest.mark.parametrize("kind", [Stored, StoresItself])
@USUAL
@given(streams())
def test_the_buffer(tmp_path, kind, stream):
    viewer = run_stream(tmp_path, kind, stream, np.ones(SHAPE, bool), runs=np.arange(len(stream["counters"])) // 15)[0]
    assert viewer.calculation.published[0] == viewer.finished["processed"]


def test_what_is_not_alike_is_an_error(tmp_path):
    stream = {"counters": np.arange(7), "times": 3, "block": 2, "servers": 1, "workers": 2, "update": 0, "seed": 1}

    class Mine(Everything):
        def collect(self, last, buffer):
            return {"x": self.wrong(self.mpiParams.part.start)}

    for wrong, words in (
        (Common, "Mine.collect: workers disagree on array 'x', which must be the same on all"),
        (lambda start: Summed(np.zeros(1 + start)), "array 'x' must have the same dtype and shape on all workers"),
        (lambda start: PerElement(np.zeros((1 + start, 7))), "must be the 8 elements of this worker"),
        (lambda start: np.zeros(2), "'x' must be a PerElement, Summed or Common array, not ndarray"),
        (lambda start: Common("x"), "array 'x' must hold numbers, not <U1"),
    ):
        Mine.wrong = staticmethod(wrong)
        with pytest.raises(RunError, match="Mine") as error:
            run_stream(tmp_path, Mine, stream, np.ones(SHAPE, bool))
        assert words in str(error.value)


def test_needed_methods(tmp_path):
    stream = {"counters": np.arange(7), "times": 3, "block": 2, "servers": 1, "workers": 1, "update": 0, "seed": 1}

    class Lacks(BlockBase):
        def arrays(self, elements):
            return {}

    with pytest.raises(parcorana.ConfigError, match=r"user_class Lacks lacks the method 'publish'"):
        run_stream(tmp_path, Lacks, stream, np.ones(SHAPE, bool))


# -- under mpiexec, and from checkpoints -------------------------------------------------

MINE = """
import numpy as np
from keepers import strike

from parcorana import BlockBase, Common, PerElement, Summed


class Mine(BlockBase):
    buffer = {buffer!r}

    def eventOk(self, evt):
        strike("server", evt.stamp)
        return evt.stamp % 7 != 0

    def arrays(self, elements):
        self.sums, self.histogram = np.zeros((2, elements)), np.zeros(40, np.int32)
        self.events, self.gaps = np.zeros(1, np.int64), np.zeros(1)
        kept = {{"sums": PerElement(self.sums), "histogram": Summed(self.histogram)}}
        return kept | {{"events": Common(self.events), "gaps": Common(self.gaps)}}

    def enter(self, block):
        data = block.data.astype(np.float64)
        self.sums += data.sum(axis=0), (data**2).sum(axis=0)
        self.histogram += np.bincount(block.data.astype(int).ravel(), minlength=40)
        self.events += len(block)
        self.gaps += block.counters.sum() / 2

    def publish(self, update, group):
        group = group.create_group(f"mine_at_{{update.processed:06d}}")
        assert update["histogram"].sum() == update["events"] * self.mpiParams.mask.sum()
        for name, array in update.items():
            group[name] = array
"""
STORED = """
    def collect(self, last, buffer):
        now = buffer.X[: buffer.filled].sum(axis=0, dtype=np.float64)
        kept = {"sums": PerElement(self.sums), "histogram": Summed(self.histogram), "events": Common(self.events)}
        return kept | {"now": PerElement(now)}
"""
ENV = {"PYTHONPATH": f"{ROOT}/tests:{ROOT}", "STRIKE": "::"}
KINDS = {"no buffer": (None, ""), "C": ("C", STORED), "F": ("F", STORED)}


def write_mine(setup, kind, **system):
    buffer, more = KINDS[kind]
    write_class(setup, MINE.format(buffer=buffer) + more, "Mine", **system)


def whole_of(setup):
    """Run in one process, undisturbed; return the file."""
    run = setup.drive("-o", "whole.h5", env=ENV)
    assert run.returncode == 0, run.stderr
    return setup.folder / "whole.h5"


@pytest.mark.parametrize(("ranks", "servers"), [(4, 2), (5, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_under_mpiexec(setup, kind, ranks, servers):
    write_mine(setup, kind)
    run = setup.drive("-s", servers, ranks=ranks, env=ENV)
    assert run.returncode == 0, run.stderr
    whole = whole_of(setup)
    assert compare(whole, setup.folder / "out.h5", rtol=0) == []
    with h5py.File(whole) as file:
        group = file["user"][max(file["user"])]
        taken = setup.frames[np.unique([np.flatnonzero(setup.counters == t)[0] for t in _entered(setup)])]
        np.testing.assert_array_equal(group["sums"][0], taken.sum(axis=0, dtype=float) * setup.mask)
        assert group["events"][0] == len(taken)


def _entered(setup):
    """Return the counters of the events that enter."""
    buffer, taken = ReferenceBuffer(setup.system["times"]), []
    for t in setup.counters.tolist():
        if t % 7 and buffer.enter(t, None) == "processed":
            taken.append(t)
    return taken


@pytest.mark.parametrize(
    ("kind", "before", "after", "strike"),
    [
        ("no buffer", (5, 2), (6, 1), "SIGKILL:server:150"),
        ("C", (4, 1), (3, 1), "SIGKILL:server:150"),
        ("F", (3, 1), (5, 1), "SIGTERM:server:150"),
    ],
)
def test_killed_and_resumed_on_other_ranks(setup, kind, before, after, strike):
    write_mine(setup, kind, checkpoint=40, overwrite=False)
    first = setup.drive("-s", before[1], ranks=before[0], env=ENV | {"STRIKE": strike})
    assert (first.returncode == 0) == ("SIGTERM" in strike), first.stderr
    then = setup.drive("--resume", "-s", after[1], ranks=after[0], env=ENV)
    assert then.returncode == 0, then.stderr
    assert "resumed at" in then.stderr
    whole = whole_of(setup)
    assert compare(whole, setup.folder / "out.h5", rtol=0) == []
    with h5py.File(setup.folder / "out.h5") as file:
        assert len(file["system"].attrs["resumed_at"]) == 1 and len(file["user"]) > 2


def test_a_checkpoint_of_another_declaration_is_refused(setup):
    """What the class declares now is not what the files hold: nothing is taken for something else."""
    write_mine(setup, "C", checkpoint=40, overwrite=False)
    setup.drive(ranks=4, env=ENV | {"STRIKE": "SIGKILL:server:150"})
    text = (setup.folder / "mine.py").read_text(encoding="utf-8")
    for old, new, words in (
        ("np.zeros((2, elements))", "np.zeros((2, elements), 'f4')", "PerElement float64 (2, 57) for 'sums'"),
        ("np.zeros((2, elements))", "np.zeros((3, elements))", "and the class has PerElement float64 (3, 57)"),
        (
            "np.zeros(40, np.int32)",
            "np.zeros(41, np.int32)",
            "Summed int32 (40,) for 'histogram', and the class has Sum",
        ),
        (
            '"gaps": Common(self.gaps)',
            '"others": Common(self.gaps)',
            "Common float64 (1,) for 'gaps', and the class has no",
        ),
        ("Common(self.gaps)", "Summed(self.gaps)", "Common float64 (1,) for 'gaps', and the class has Summed"),
    ):
        (setup.folder / "mine.py").write_text(text.replace(old, new), encoding="utf-8")
        run = setup.drive("--resume", env=ENV)
        assert run.returncode == 1 and words in run.stderr, run.stderr


def test_check_knows_the_memory(setup):
    """That of the arrays, of a buffer only where there is one; nothing is run."""
    said = []
    for kind in ("no buffer", "F"):
        write_mine(setup, kind, times=1_000_000)
        run = setup.drive("--check", ranks=4, env=ENV)
        assert run.returncode == 0, run.stderr
        said.append(float(re.search(r"\d  worker .* ([\d,]+)\n", run.stdout)[1].replace(",", "")))
        assert not list(setup.folder.glob("out*"))
    elements = -(-int(setup.mask.sum()) // 2)
    assert 1.1 * elements * 4e6 / 2**20 - 3 < said[1] - said[0] < 1.1 * elements * 4e6 / 2**20 + 3


@pytest.mark.parametrize(
    ("where", "who"), [("enter", "rank 2, worker at event 0"), ("publish", "rank 0, viewer at the")]
)
def test_an_error_names_the_method(setup, where, who):
    write_mine(setup, "no buffer")
    text = (setup.folder / "mine.py").read_text(encoding="utf-8")
    line = {"enter": "self.events += len(block)", "publish": "assert update"}[where]
    (setup.folder / "mine.py").write_text(text.replace(line, f"1 / 0; {line}"), encoding="utf-8")
    run = setup.drive(ranks=4, env=ENV)
    assert run.returncode == 1
    assert who in run.stderr and f"in Mine.{where}: ZeroDivisionError" in run.stderr
    assert 'mine.py", line' in run.stderr and "/parcorana/pipeline" not in run.stderr
