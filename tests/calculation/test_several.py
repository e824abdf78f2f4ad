"""Several classes in one job: each gives what it gives alone."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keepers import Stateful
from local import run_local

import parcorana
from parcorana.calculation.arrays import Common, PerElement
from parcorana.errors import ConfigError
from parcorana.job.config import resolve_config
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

SYSTEM = {"times": 20, "update": 25, "delays": [1, 2, 3, 5, 8], "block": 16}


class Callbacks(Stateful):
    eventOk = None


class InOrder(parcorana.BlockBase):
    """The last differences of neighbours, whose sum tells the order."""

    buffer, in_order = "C", True

    def arrays(self, elements):
        self.sums, self.events = np.zeros(elements), np.zeros(1, np.int64)
        return {"sums": PerElement(self.sums), "events": Common(self.events)}

    def enter(self, events):
        for counter, row in zip(events.counters, events.data, strict=True):
            self.sums += row * (counter % 7)
        self.events += len(events)

    def publish(self, update, group):
        group[f"sums_at_{update.processed:06d}"] = update["sums"]
        group.attrs[f"events_at_{update.processed:06d}"] = update["events"]


class Mean(parcorana.BlockBase):
    """Halves what it sees, which is nobody else's."""

    def arrays(self, elements):
        self.sums = np.zeros(elements)
        return {"sums": PerElement(self.sums)}

    def adjust(self, block):
        block.offered[block.entering] *= 0.5

    def enter(self, block):
        self.sums += block.data.sum(axis=0)

    def publish(self, update, group):
        group[f"mean_at_{update.processed:06d}"] = update["sums"] / update.processed


SHIPPED = [G2IncrementalAccumulator, G2atEnd, G2IncrementalWindowed, MultiTauG2, PhotonStatistics, TwoTime]
CLASSES = [*SHIPPED, Callbacks, InOrder, Mean]
OWN = {"G2atEnd": {"notzero": 3.0}, "G2IncrementalWindowed": {"saturated_value": 9}}


def everything(group):
    """Return all datasets and attributes below a group."""
    found = {}

    def visit(name, node):
        found[name] = node[()] if isinstance(node, h5py.Dataset) else None
        found.update({f"{name}@{key}": value for key, value in node.attrs.items()})

    visit("", group)
    group.visititems(visit)
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@settings(max_examples=6)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True),
    workers=st.integers(1, 3),
)
def test_each_class_gives_what_it_gives_alone(tmp_path_factory, seed, classes, workers):
    folder, rng = tmp_path_factory.mktemp("several"), np.random.default_rng(seed)
    counters = np.cumsum(rng.integers(0, 4, 90))  # with duplicates
    counters = counters[np.argsort(np.arange(90) + rng.integers(0, 30, 90))]  # disorder, and late events
    frames, runs = rng.poisson(5, (90, 2, 3)).astype(np.uint16), np.repeat([0, 1], [50, 40])
    user = {"save_arrays": True}

    def result(classes, name, user):
        path = folder / name
        run_local(folder, classes, counters, frames, 1, workers, runs, user=user, h5output=str(path), **SYSTEM)
        return h5py.File(path)

    with result(classes, "all.h5", user | OWN) as together:
        assert set(together["user"]) == {each.__name__ for each in classes}
        for each in classes:
            with result(each, f"{each.__name__}.h5", user | OWN.get(each.__name__, {})) as alone:
                assert_same(everything(together["user"][each.__name__]), everything(alone["user"]))
    shutil.rmtree(folder)


class Halving(InOrder):
    """In order, too, but of other numbers."""

    adjust = Mean.adjust


def test_those_that_are_in_order_and_change_nothing_have_one_buffer(tmp_path):
    frames, system = np.random.default_rng(1).poisson(5, (30, 2, 3)).astype(np.uint16), SYSTEM | {"delays": [1, 2]}
    classes = [TwoTime, MultiTauG2, Halving, InOrder, G2atEnd, PhotonStatistics]

    def buffers(**own):
        user, path = own | {"picture": None}, str(tmp_path / "together.h5")
        *_, worker = run_local(
            tmp_path, classes, np.arange(30), frames, user=user, h5output=path, overwrite=True, **system
        )
        return {name: id(each.buffer) for name, each in worker.calculation.enterings.items()}

    found = buffers()
    assert len({found[name] for name in ("TwoTime", "MultiTauG2", "InOrder", "PhotonStatistics")}) == 1
    assert len(set(found.values())) == 3
    found = buffers(MultiTauG2={"notzero": 6}, TwoTime={"notzero": 3})
    assert len(set(found.values())) == 5 and found["InOrder"] == found["PhotonStatistics"]
    with h5py.File(tmp_path / "together.h5") as together:
        for each, own in ((MultiTauG2, {"notzero": 6}), (InOrder, {}), (Halving, {})):
            path = str(tmp_path / f"{each.__name__}.h5")
            run_local(tmp_path, each, np.arange(30), frames, user=own, h5output=path, **system)
            with h5py.File(path) as alone:
                assert_same(everything(together["user"][each.__name__]), everything(alone["user"]))


class AFew(InOrder):
    """Takes no more than three at once, and remembers how many came."""

    most = 3
    came = []

    def enter(self, events):
        super().enter(events)
        self.came.append(len(events))


def test_as_many_events_come_at_once_as_a_class_takes(tmp_path):
    frames = np.ones((80, 2, 3), np.uint16)
    AFew.came.clear()
    path = str(tmp_path / "few.h5")
    run_local(tmp_path, [AFew, InOrder], np.arange(80), frames, h5output=path, **SYSTEM)
    assert max(AFew.came) == 3 and sum(AFew.came) == 60  # the others are stored


class Choosy(Mean):
    def eventOk(self, evt):
        return True


class Choosier(Choosy):
    pass


class Mending(Mean):
    mends_nonfinite = True

    def adjust(self, block):
        np.nan_to_num(block.offered, copy=False)


@pytest.mark.parametrize(
    ("classes", "user", "said"),
    [
        ([G2atEnd, G2atEnd], {}, "twice in the list"),
        ([Choosy, Choosier], {}, "both have eventOk"),
        ([G2atEnd, Mending], {}, "Mending mends values that are not finite and G2atEnd does not"),
        ([G2atEnd, Mean], {"Mean": 3}, r"user_params\['Mean'\] must be a dict"),
        ([G2atEnd, G2IncrementalAccumulator], {"picture": True}, "picture"),
        ([G2atEnd, Mean], {"G2atEnd": {"color": "c.npy"}}, "common to all classes"),
        ([G2atEnd, 3], {}, "a class, or a list of classes"),
        ([], {}, "a class, or a list of classes"),
    ],
)
def test_a_list_that_makes_no_job_is_refused(tmp_path, classes, user, said):
    frames = np.ones((2, 2, 2), np.uint16)
    with pytest.raises(ConfigError, match=said):
        run_local(tmp_path, classes, np.arange(2), frames, user=user, **SYSTEM)


def test_a_list_of_one_is_that_class(tmp_path):
    path = tmp_path / "one.h5"
    run_local(tmp_path, [Mean], np.arange(30), np.ones((30, 2, 2), np.uint16), h5output=str(path), **SYSTEM)
    with h5py.File(path) as file:
        assert set(file["user"]) == {"mean_at_000025", "mean_at_000030"}


def test_a_misspelt_class_of_parameters_is_said(tmp_path, caplog):
    frames = np.ones((2, 2, 2), np.uint16)
    run_local(
        tmp_path,
        [G2atEnd, Mean],
        np.arange(2),
        frames,
        user={"G2atend": {"notzero": 1}},
        h5output=str(tmp_path / "a.h5"),
        **SYSTEM,
    )
    assert "no class of user_class has that name" in caplog.text


@pytest.mark.parametrize(("value", "said"), [("pulse", 1), ("mean", 0)])
def test_what_is_left_out_for_all_is_said(tmp_path, caplog, value, said):
    """No event lacks its mean."""
    np.save(tmp_path / "mask.npy", np.ones((2, 2), np.int8))
    system = {"dataset": "sim=brownian:shape=2x2", "mask": str(tmp_path / "mask.npy"), "h5output": None} | SYSTEM
    resolve_config(system | {"user_class": [G2atEnd, Mean]}, {"frame_norm": value})
    assert caplog.text.count("events without pulse are left out for all classes, since G2atEnd cannot use them") == said


def test_what_one_class_takes_is_no_fault_of_another(tmp_path, caplog):
    """Parameters in common are for whom they mean something; what is logged names its class."""
    user = {"normalization": "pixel", "kmax": 3, "kmaxx": 1, "PhotonStatistics": {"fit": "single"}}
    frames = np.full((30, 2, 2), 9, np.uint16)
    classes, path = [G2atEnd, PhotonStatistics], str(tmp_path / "a.h5")
    run_local(tmp_path, classes, np.arange(30), frames, user=user, h5output=path, **SYSTEM)
    said = [record.message for record in caplog.records if "means nothing to" in record.message]
    assert [line.partition(" means nothing to ")[::2] for line in said] == [
        ("user_params['kmaxx']", "G2atEnd"),
        ("user_params['kmaxx']", "PhotonStatistics; did you mean 'kmax'?"),
        ("user_params['fit']", "PhotonStatistics"),
    ]
    assert any(line.startswith("PhotonStatistics: at 25 events: 100.0% of the elements") for line in caplog.messages)
