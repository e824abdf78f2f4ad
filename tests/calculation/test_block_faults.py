"""What a class on blocks does wrong, or in a way of its own: told in a sentence, or right all the same."""

import re

import h5py
import numpy as np
import pytest
from local import run_local
from test_user_class import Blocks, interrupt, run_class, run_driver

from parcorana import BlockBase, Common, PerElement, RunError
from parcorana.calculation.sums import add
from parcorana.errors import UserCodeError
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.pipeline.run import short_times
from parcorana.results.checkpoint import _code_of
from parcorana.results.partfile import Damaged, PartFile, write

HELD = "nobody but the program has the array 's', so nothing changes it"


class Number(Blocks):
    def arrays(self, elements):
        self.n = 0
        return {"s": Common(self.n)}


class Copy(Blocks):
    def arrays(self, elements):
        self.s = np.zeros((elements, 2))
        return {"s": PerElement(np.ascontiguousarray(self.s.T))}


class InAList(Blocks):
    def arrays(self, elements):
        self.parts = [np.zeros(elements)]
        return {"s": PerElement(self.parts[0])}

    def enter(self, block):
        self.parts[0] = self.parts[0] + block.data.sum(axis=0)


class Turned(Blocks):
    def arrays(self, elements):
        self.s = np.zeros((elements, 2))
        return {"s": PerElement(self.s.T)}

    def enter(self, block):
        self.s = self.s + 1


@pytest.mark.parametrize("kind", [Number, Copy, InAList, Turned])
def test_an_array_that_only_the_program_has_is_refused(tmp_path, kind):
    """It would be published as it was made, whatever the class sums up."""
    with pytest.raises(RunError, match=rf"^{kind.__name__}\.arrays: {HELD}"):
        run_class(tmp_path, kind)


def test_a_name_may_go_from_one_array_to_another(tmp_path):
    class Turns(Blocks):
        def arrays(self, elements):
            self.both = [np.zeros(elements), np.zeros(elements)]
            self.now = self.both[0]
            return {"a": PerElement(self.both[0]), "b": PerElement(self.both[1])}

        def enter(self, block):
            self.now += block.data.sum(axis=0)
            self.now = self.both[1]

        def publish(self, update, group):
            self.got = {name: array.sum() for name, array in update.items()}

    viewer = run_class(tmp_path, Turns)[0]
    assert min(viewer.calculation.got.values()) > 0


@pytest.mark.parametrize("workers", [1, 3])
def test_names_may_have_another_order_on_each_worker(tmp_path, workers):
    class Mixed(BlockBase):
        def arrays(self, elements):
            self.held = {name: np.full(elements, k, float) for k, name in enumerate("abcd")}
            turn = self.mpiParams.rank % 4
            names = [*"abcd"[turn:], *"abcd"[:turn]]
            return {name: PerElement(self.held[name]) for name in names}

        def publish(self, update, group):
            self.got = {name: np.unique(array).tolist() for name, array in update.items()}

    viewer = run_class(tmp_path, Mixed, workers=workers)[0]
    assert viewer.calculation.got == {"a": [0], "b": [1], "c": [2], "d": [3]}


def test_data_are_to_be_read_only(tmp_path):
    class Writes(Blocks):
        def enter(self, block):
            block.data[0] = 1

    with pytest.raises(UserCodeError) as told:
        run_class(tmp_path, Writes)
    assert "read-only" in str(told.value.__cause__)


def test_a_class_that_stores_and_does_not(tmp_path):
    class Forgets(Blocks):
        buffer, stores = "C", True

        def enter(self, block):
            pass

    with pytest.raises(RunError, match=r"^Forgets\.enter: stores is True, so it has to put the events into the buffer"):
        run_class(tmp_path, Forgets)


class Keeps(Blocks):
    def arrays(self, elements):
        self.light = np.zeros(1)
        return super().arrays(elements)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda self, arrays: [1], r"Mine\.state must return a dict"),
        (lambda self, arrays: {"s": np.zeros(2)}, r"Mine\.state: 's' must be a PerElement, Summed or Common array"),
        (lambda self, arrays: {"s": PerElement(np.zeros((5, 7)))}, r"Mine\.state: the last axis of array 's' must be"),
        (lambda self, arrays: arrays | {"light": Common(self.light)}, r"Mine\.state: 'light' is none of the arrays"),
    ],
)
def test_a_state_that_could_not_be_taken_up_is_refused(tmp_path, state, words):
    said = tmp_path / "said"
    run_driver(tmp_path, type("Mine", (Keeps,), {"state": state}), {}, status=1, checkpoint=20, said=said)
    assert re.search(words, said.read_text(encoding="utf-8")), said.read_text(encoding="utf-8")


def test_a_state_with_restore_may_hold_more(tmp_path):
    class Light(Keeps):
        def enter(self, block):
            self.light += block.data[:, :1].sum()

        def state(self, arrays):
            return arrays | {"light": Common(np.zeros(1)), "number": Common(np.full((), 3))}

        def restore(self, state):
            assert sorted(state) == ["light", "number", "sum"] and state["number"] == 3
            self.sum[...] = state["sum"]

    interrupt(tmp_path, Light, {})


def test_bytes_beyond_an_array_are_none_of_it(tmp_path):
    steps = write(tmp_path / "a.part", {"x": ("elements", np.ones((3, 4))), "y": ("elements", np.ones((2, 9)))}, None)
    list(steps)
    file = PartFile(tmp_path / "a.part")
    assert file.read("x", 1, 4).shape == (3, 3)
    with pytest.raises(Damaged, match=r"holds 4 elements of 'x', not 5"):
        file.read("x", 0, 5)


def test_sums_of_whole_numbers_take_little_memory_and_never_wrap():
    total, part = np.full(200_000, 2**62), np.full(200_000, 2**60, np.int64)
    add(total, part)
    assert (total == 2**62 + 2**60).all()
    part[-1] = 2**62
    with pytest.raises(OverflowError):
        add(total, part)


def test_the_code_of_a_class_is_that_of_all_it_is_made_from(tmp_path, monkeypatch):
    """Also where the class itself is in a config file, whose source Python does not find by the class."""
    monkeypatch.syspath_prepend(tmp_path)
    code = "class Base:\n    def f(self):\n        return {}\n"
    seen = set()
    for number in (1, 2):
        (tmp_path / f"base{number}.py").write_text(code.format(number), encoding="utf-8")
        base = __import__(f"base{number}").Base
        scope = {"Base": base, "__name__": "config_of_nobody"}
        exec(compile("class Main(Base):\n    pass\n", "config.py", "exec"), scope)
        seen.add(_code_of(scope["Main"]))
    assert len(seen) == 2 and "" not in seen


@pytest.mark.parametrize(("most", "times", "warned"), [(0, 51, True), (0, 114, False), (1, 51, False), (16, 60, True)])
def test_pairs_that_leave_within_a_block_are_warned_of(tmp_path, most, times, warned):
    """A class that adds pairs in `enter` never sees those whose earlier event its own block makes leave."""

    class Adds(BlockBase):
        buffer, pairs, forgets = "F", "counts", False

        def arrays(self, elements):
            self.counts = np.zeros(2, np.int64)
            return {"counts": Common(self.counts)}

        def enter(self, block):
            T = block.buffer.T[: block.buffer.filled]
            for row in block.entry.row[block.entry.row >= 0]:
                self.counts += [np.count_nonzero(block.buffer.T[row] - T == delay) for delay in (1, 50)]

        def publish(self, update, group):
            self.got = update["counts"]

    Adds.most = most
    counters = np.arange(600)
    frames = np.ones((600, 2, 3), np.float32)
    viewer, *_, worker = run_local(
        tmp_path, Adds, counters, frames, times=times, delays=[1, 50], block=64, update=0, user={}, workers=1
    )
    lost = viewer.calculation.got.tolist() != [599, 550]
    assert lost == warned

    class Source:
        total = 600

        def pulses_apart(self, rate):
            return 1

    said = short_times(Source(), worker.config)
    assert bool(said) == warned and (not said or "which adds pairs in enter" in said)


def test_faults_are_told_before_a_folder_is_made(setup):
    """`--check` and the run tell the same."""
    text = (
        "import numpy as np\nfrom parcorana import BlockBase, PerElement\nclass Mine(BlockBase):\n"
        "    def arrays(self, n):\n        return {'x': np.zeros(n)}\n    def publish(self, update, group):\n"
        "        pass\n"
    )
    (setup.folder / "mine.py").write_text(text, encoding="utf-8")
    setup.write("Mine")
    config = (
        (setup.folder / "config.py")
        .read_text(encoding="utf-8")
        .replace("from parcorana import userg2", "import mine as userg2")
    )
    (setup.folder / "config.py").write_text(config, encoding="utf-8")
    for args in (("--check",), ()):
        run = setup.drive(*args)
        assert run.returncode == 2 and "arrays(1): 'x' must be a PerElement" in run.stderr, run.stderr
    assert not list(setup.folder.glob("*.inprogress"))


def test_values_of_zero_at_the_end_of_a_chunk(tmp_path):
    """Of numbers 0 is one as any other; of frames it may be HDF5's fill value."""
    laser = np.array([1, 0, 1, 0, 1, 0, 0, 0, 0, 0], np.int32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["frames"] = np.ones((10, 2, 3), np.uint16)
        file.create_dataset("laser", (10,), "i4", chunks=(100,), maxshape=(None,))[:] = laser
    said = []
    source = open_source(parse_dataset(f"h5={tmp_path}/a.h5"), src="frames", log=said.append, values={"laser": "laser"})
    values = [event.values["laser"] for block in source.blocks() for event in block]
    assert values == laser.tolist() and not [line for line in said if "laser" in line]
