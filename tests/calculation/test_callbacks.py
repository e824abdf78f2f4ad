"""Every callback of `UserBase`: when, on which rank, with what."""

import json
import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import recorder
from local import run_local

from parcorana.reference import ReferenceBuffer

TIMES, UPDATE, DELAYS = 12, 20, [1, 3, 8]
SHAPE = (2, 5, 7)


def stream():
    """Counters with gaps, disorder, a duplicate and a late one; frames that tell their counter."""
    rng = np.random.default_rng(3)
    counters = 1001 + np.cumsum(1 + (rng.random(90) < 0.2))
    for k in range(8, 80, 9):
        counters[k : k + 4] = rng.permutation(counters[k : k + 4])
    counters[31], counters[60] = counters[30], 1004
    frames = (100 * counters[:, None] + np.arange(70)).reshape(-1, *SHAPE).astype(np.int32)
    return counters, frames


def run_of(counters):
    """Return what becomes of events that pass the filters: (steps, fates, stored at each update)."""
    buffer, steps, fates, stored = ReferenceBuffer(TIMES), [], Counter(), []
    for counter in counters.tolist():
        before = sorted(buffer.stored)
        fate = buffer.enter(counter, None)
        fates[fate] += 1
        if fate != "processed":
            continue
        if len(before) == TIMES:
            steps.append(("SUBTRACT", before[0], before))
        steps.append(("ADD", counter, sorted(buffer.stored)))
        if fates["processed"] % UPDATE == 0:
            stored.append(sorted(buffer.stored))
    if fates["processed"] % UPDATE:
        stored.append(sorted(buffer.stored))
    assert fates["duplicate"] and fates["late"]  # or the stream would be too tame
    return steps, fates, stored


def read_calls(folder):
    """Return {(rank, role): [[name, facts], ...]}."""
    calls = {}
    for path in Path(folder).iterdir():
        rank, role = path.name.split(".")
        calls[int(rank), role] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return calls


class Locally:
    """Runs `Recorder` and its kin with all ranks in this process."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, user_class, servers, workers, mask, stamps, **user):
        counters, frames = stamps
        calls = self.folder / "calls"
        shutil.rmtree(calls, ignore_errors=True)
        calls.mkdir()
        user |= {"calls": str(calls), "first": first_kept(counters)}
        system = {"times": TIMES, "update": UPDATE, "delays": DELAYS, "block": 8}
        run_local(self.folder, user_class, counters, frames, servers, workers, mask=mask, user=user, **system)
        return read_calls(calls)


def kept_of(counters):
    return counters[(counters % 5 != 0) & (counters % 7 != 0)]


def first_kept(counters):
    return int(kept_of(counters)[0])


def names_of(calls):
    return [name for name, _ in calls]


def some_mask():
    mask = np.random.default_rng(0).random(SHAPE) < 0.7
    mask.flat[[0, 1]] = False, True
    return mask


def check_servers(calls, servers, counters):
    """__init__ and arrayNames on all; initServer once; eventOk, then finalDataArray of what it let pass."""
    seen = []
    for (_, role), lines in calls.items():
        if role != "server":
            continue
        assert names_of(lines)[:3] == ["__init__", "arrayNames", "initServer"]
        assert set(names_of(lines[3:])) <= {"eventOk", "finalDataArray"}
        for (name, facts), (following, more) in zip(lines[3:], [*lines[4:], ["", {}]], strict=True):
            if name == "eventOk":
                seen.append(facts["stamp"])
                assert (following == "finalDataArray" and more["stamp"] == facts["stamp"]) == (facts["stamp"] % 5 != 0)
            else:
                assert facts["data"] == ["int32", *SHAPE]
                assert facts["first"] == 100 * facts["stamp"]  # the data of this event
    assert sum(role == "server" for _, role in calls) == servers
    assert sorted(seen) == sorted(counters.tolist())


def check_workers(calls, workers, mask, stored):
    sizes = []
    for (rank, role), lines in sorted(calls.items()):
        if role != "worker":
            continue
        assert names_of(lines)[:3] == ["__init__", "arrayNames", "initWorker"]
        assert lines[2][1]["type"] == "int"
        sizes.append(lines[2][1]["n"])
        updates = [facts for name, facts in lines if name == "workerCalc"]
        assert [facts["times"] for facts in updates] == stored
        for facts in updates:
            assert facts["T"] == ["int64", TIMES] and facts["X"] == ["float32", TIMES, sizes[-1]]
            assert facts["right"] and facts["order"]
        assert set(names_of(lines[3:])) <= {
            "adjustData",
            "adjustTerms",
            "adjustTermsBlock",
            "workerCalc",
            "workerReduce",
        }
        assert rank > 0
    assert len(sizes) == workers and sum(sizes) == np.count_nonzero(mask)
    assert max(sizes) - min(sizes) <= 1


def check_viewer(calls, fates, name):
    lines = calls[0, "viewer"]
    assert names_of(lines)[:3] == ["__init__", "arrayNames", "initViewer"]
    assert lines[2][1] == {"mask": ["bool", *SHAPE], "name": name}
    updates = [facts for called, facts in lines[3:] if called == "viewerPublish"]
    processed = fates["processed"]
    assert [facts["processed"] for facts in updates] == [*range(UPDATE, processed, UPDATE), processed]
    for facts in updates:
        assert facts["right"] and facts["types"] == ["int"] and facts["name"] == name
        assert facts["keys"] == {"A": DELAYS, "B": DELAYS}
        assert facts["about"] == ["int64", len(DELAYS)] and facts["int8"] == ["int8", *SHAPE]
        assert facts["counts"] == [facts["processed"] + d for d in range(len(DELAYS))]
    assert len(lines) == 3 + len(updates)
    return updates


@pytest.mark.parametrize(("servers", "workers"), [(1, 1), (1, 3), (2, 2), (3, 1)])
def test_when_where_and_with_what(tmp_path, servers, workers):
    counters, frames = stream()
    steps, fates, stored = run_of(kept_of(counters))
    calls = Locally(tmp_path)(recorder.Recorder, servers, workers, some_mask(), (counters, frames))
    check_servers(calls, servers, counters)
    check_workers(calls, workers, some_mask(), stored)
    updates = check_viewer(calls, fates, None)
    # times are counted in pulses here: seconds at `rate`, from the first event that reached the workers
    newest = max(counter for _, _, stored in steps for counter in stored)
    assert updates[-1]["relsec"] == pytest.approx((newest - first_kept(counters)) / 120)
    entered = [counter for mode, counter, _ in steps if mode == "ADD"]
    for (_, role), lines in calls.items():
        if role == "worker":  # every event that enters, in order, and no other
            data = [facts for name, facts in lines if name == "adjustData"]
            assert [facts["counter"] for facts in data] == entered
            assert all(facts["right"] and facts["data"][0] == "float32" for facts in data)


@pytest.mark.parametrize("workers", [1, 2])
def test_terms_one_by_one(tmp_path, workers):
    counters, frames = stream()
    steps, _, stored = run_of(kept_of(counters))
    calls = Locally(tmp_path)(recorder.OneByOne, 2, workers, some_mask(), (counters, frames))
    check_workers(calls, workers, some_mask(), stored)
    for (_, role), lines in calls.items():
        if role != "worker":
            continue
        terms = [facts for name, facts in lines if name == "adjustTerms"]
        assert all(facts["right"] and facts["add"] != facts["subtract"] for facts in terms)
        assert {tuple(facts["types"][:3]) for facts in terms} == {("int", "int64", "float32")}
        got = [("ADD" if facts["add"] else "SUBTRACT", facts["counter"], facts["stored"]) for facts in terms]
        assert got == steps


def test_terms_in_blocks(tmp_path):
    counters, frames = stream()
    _, _, stored = run_of(kept_of(counters))
    calls = Locally(tmp_path)(recorder.Blocks, 1, 2, some_mask(), (counters, frames))
    check_workers(calls, 2, some_mask(), stored)
    for (_, role), lines in calls.items():
        if role != "worker":
            continue
        assert "adjustTerms" not in names_of(lines)  # it is called instead
        now = set()
        for name, facts in lines:
            if name == "workerCalc":
                assert sorted(now) == facts["times"]
            if name != "adjustTermsBlock":
                continue
            assert facts["right"] and facts["add"] != facts["subtract"]
            assert facts["types"][:3] == ["int64", "int64", "float32"]
            assert 1 <= len(facts["counters"]) <= TIMES
            rows = set(facts["counters"])
            assert len(rows) == len(facts["counters"]) and rows <= set(facts["stored"])
            if facts["subtract"]:  # what leaves is still there
                assert set(facts["stored"]) == now
                now -= rows
            else:  # what enters is there, what left is gone
                now |= rows
                assert set(facts["stored"]) == now


def test_between_two_runs_every_event_leaves(tmp_path):
    """The calls of a class without `bufferClears`, so that its terms hold the run in progress only."""
    counters = np.array([5, 6, 8, 7, 5, 6, 9])
    frames = (100 * counters[:, None] + np.arange(70)).reshape(-1, *SHAPE).astype(np.float32)

    class Mine(recorder.OneByOne):
        adjustTermsBlock = None
        eventOk = finalDataArray = None

    class Many(Mine):
        adjustTermsBlock = recorder.Blocks.adjustTermsBlock

    class Clears(Mine):
        def bufferClears(self, T, numTimesFilled, X):
            self.note("bufferClears", times=sorted(T[:numTimesFilled].tolist()), right=self.is_right(T, X))

    got = {}
    for kind in (Mine, Many, Clears):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        user = {"calls": str(folder), "first": 5}
        system = {"times": TIMES, "delays": DELAYS}
        run_local(tmp_path, kind, counters, frames, user=user, runs=[0] * 4 + [1] * 3, **system)
        lines = read_calls(folder)[2, "worker"]
        got[kind] = [(name, facts) for name, facts in lines if name.startswith(("adjustTerms", "buffer"))]
    assert all(facts["right"] for calls in got.values() for _, facts in calls)
    one_by_one = [(facts["add"], facts["counter"], facts["stored"]) for _, facts in got[Mine]]
    assert one_by_one[4:9] == [
        (False, 5, [5, 6, 7, 8]),
        (False, 6, [6, 7, 8]),
        (False, 7, [7, 8]),
        (False, 8, [8]),
        (True, 5, [5]),
    ]
    assert [(facts["add"], facts["counters"]) for _, facts in got[Many]] == [
        (True, [5, 6, 8, 7]),
        (False, [5, 6, 7, 8]),
        (True, [5, 6, 9]),
    ]
    assert [name for name, _ in got[Clears]] == ["adjustTerms"] * 4 + ["bufferClears"] + ["adjustTerms"] * 3
    assert got[Clears][4][1]["times"] == [0, 1, 2, 3]


def test_data_is_fetched_after_eventok(tmp_path):
    counters, frames = np.arange(20), np.ones((20, *SHAPE))

    class Mine(recorder.Recorder):
        adjustData = None

        def eventOk(self, evt):
            return evt.stamp % 3 == 0

        def finalDataArray(self, dataArray, evt):
            return dataArray

    user = {"calls": str(tmp_path), "first": 0}
    roles = run_local(tmp_path, Mine, counters, frames, user=user, times=TIMES, delays=DELAYS)
    assert roles[1].source.fetched == [0, 3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize(("save", "full"), [("last", [False, False, True]), (True, [True] * 3), (False, [False] * 3)])
def test_reduced(tmp_path, save, full):
    counters, frames = stream()
    _, fates, stored = run_of(kept_of(counters))
    mask = some_mask()
    calls = Locally(tmp_path)(recorder.Reduces, 1, 3, mask, (counters, frames), save_arrays=save)
    assert len(stored) == len(full)
    publishes = [(name, facts) for name, facts in calls[0, "viewer"] if name.startswith("viewerPublish")]
    processed = [*range(UPDATE, fates["processed"], UPDATE), fates["processed"]]
    assert [facts["processed"] for name, facts in publishes if name == "viewerPublishReduced"] == processed
    assert [facts["processed"] for name, facts in publishes if name == "viewerPublish"] == [
        n for n, wanted in zip(processed, full, strict=True) if wanted
    ]
    elements = np.flatnonzero(mask)
    for name, facts in publishes:
        if name == "viewerPublish":
            assert facts["right"]
            continue
        wanted = [(d + 1) * 1000.0 * len(elements) + elements.sum() for d in range(len(DELAYS))]
        assert facts["sum"] == wanted and facts["n"] == len(elements)
        about = {"sum": ["float64", 3], "n": ["int64"], "empty": ["int64", 2, 0], "z": ["complex128"]}
        assert facts["abouts"] == about and facts["counts"] == ["int64", 3]
    for (_, role), lines in calls.items():
        if role == "worker":
            reduced = [facts for name, facts in lines if name == "workerReduce"]
            assert len(reduced) == len(stored) and all(facts["same"] for facts in reduced)
            assert reduced[0]["counts"] == ["int64", 3] and reduced[0]["int8"][0] == "int8"


@pytest.mark.parametrize(("servers", "ranks"), [(1, 4), (2, 4)])
def test_the_same_under_mpiexec(setup, root, servers, ranks):
    counters, frames = stream()
    with h5py.File(setup.folder / "frames.h5", "w") as file:
        file["det/frames"], file["det/counter"] = frames, counters
    first = first_kept(counters)
    mask = some_mask()
    np.save(setup.folder / "mask.npy", mask.astype(np.uint8))
    shutil.copy(root / "tests" / "recorder.py", setup.folder)
    (setup.folder / "calls").mkdir()
    user = {"calls": "calls", "first": first}
    setup.write(user=user, times=TIMES, update=UPDATE, delays=DELAYS, block=8, numservers=servers)
    text = (setup.folder / "config.py").read_text(encoding="utf-8")
    text = text.replace("from parcorana import userg2", "import recorder").replace(
        "userg2.G2atEnd", "recorder.OneByOne"
    )
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    calls = read_calls(setup.folder / "calls")
    _, fates, stored = run_of(kept_of(counters))
    check_servers(calls, servers, counters)
    check_workers(calls, ranks - 1 - servers, mask, stored)
    check_viewer(calls, fates, "/user")
