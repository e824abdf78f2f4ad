"""Checkpoints, and runs that are gone on with: as if nothing had happened."""

import importlib.util
import io
import json
import os
import re
import shutil
import zlib
from contextlib import redirect_stderr

import h5py
import keepers
import numpy as np
import pytest
from conftest import ROOT, Setup
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parcorana.calculation.arrays import NAMES, Common, PerElement
from parcorana.g2 import snapshots
from parcorana.results import partfile
from parcorana.results.lock import FolderLock
from parcorana.tools.compare import compare
from parcorana.tools.driver import main

CLASSES = ("G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed", "MultiTauG2")
WHOLES = {}  # what a config gives: the file of an undisturbed run
ENV = {"PYTHONPATH": f"{ROOT}/tests:{ROOT}", "STRIKE": "::"}


class Runs:
    """Runs in this process, and others under mpiexec, of one config after the other."""

    def __init__(self, folder, monkeypatch):
        self.setup, self.folder, self.patch = Setup(folder), folder, monkeypatch
        self.resumed = []
        monkeypatch.chdir(folder)
        monkeypatch.setattr(snapshots, "width_of", lambda cost, system_params: keepers.WIDTH)

    def write(self, user_class, user=None, **system):
        """Write the config; return what distinguishes it."""
        given = {"checkpoint": 40, "overwrite": False, "update": 70} | system
        given |= {"delays": [0, 1, 2, 5, 8, 10, 16, 20, 64]} if user_class == "MultiTauG2" else {}
        self.setup.write(user_class, user=user, **given)
        text = (self.folder / "config.py").read_text(encoding="utf-8")
        (self.folder / "config.py").write_text(text.replace("from parcorana import userg2", "import keepers as userg2"))
        return repr((user_class, user, sorted(given.items())))

    def run(self, *args, strike="::"):
        """Run the driver here; return its status and what it said."""
        self.patch.setenv("STRIKE", strike)
        said = io.StringIO()
        with redirect_stderr(said):
            status = main(["-c", "config.py", *args])
        return status, said.getvalue()

    def whole(self, key):
        """Return the file of an undisturbed run of the config."""
        if key not in WHOLES:
            name = f"whole_{len(WHOLES)}.h5"
            status, said = self.run("-o", name)
            assert status == 0, said
            WHOLES[key] = self.folder / name
        return WHOLES[key]

    def clear(self):
        shutil.rmtree(self.folder / "out.h5.inprogress", ignore_errors=True)
        (self.folder / "out.h5").unlink(missing_ok=True)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    return Runs(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield Runs(tmp_path_factory.mktemp("resume"), patch)


def check_same(one, two, workers=True):
    """Two results: the same bits; curves, which are sums over workers, to 1e-12 if there were not as many."""
    assert compare(one, two, rtol=1e-12 if workers else 1e-11, ignore=() if workers else ("/user",)) == []
    with h5py.File(one) as a, h5py.File(two) as b:
        names = []
        a["user"].visit(names.append)
        others = []
        b["user"].visit(others.append)
        assert names == others
        for name in names:
            if isinstance(a["user"][name], h5py.Dataset):
                x, y = a["user"][name][()], b["user"][name][()]
                if workers or {"G2", "IF", "IP", "mean", "saturated", "delay_counts"} & set(name.split("/")):
                    assert x.tobytes() == y.tobytes(), name
                else:
                    np.testing.assert_allclose(x, y, rtol=1e-11, err_msg=name)


def check_resumed(path, times):
    with h5py.File(path) as file:
        at = file["system"].attrs["resumed_at"]
        assert 1 <= len(at) <= times and (np.diff(at) >= 0).all()


@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    st.sampled_from([*CLASSES, "Plain", "Stateful"]),
    st.sampled_from(["raise:server", "raise:viewer", "raise:worker", "SIGTERM:server", "SIGTERM:viewer"]),
    st.integers(60, 260),
    st.integers(1, 100),
    st.sampled_from([{}, {"store_dtype": "float64"}, {"update": 0}, {"update": 40, "block": 8}, {"times": 7}]),
    st.booleans(),
    st.sampled_from([None, "mean", "color"]),
)
def test_as_if_nothing_had_happened(many, user_class, strike, at, checkpoint, system, saturates, frame_norm):
    """Ended anywhere, by an error or a signal; then again; the same in all."""
    many.clear()
    user = {"color": "color.npy", "saturated_value": 11.0 if saturates else None, "notzero": 0.5}
    user |= {"frame_norm": frame_norm} if user_class in CLASSES else {}
    whole = many.whole(many.write(user_class, user=user, **system, checkpoint=0))
    many.write(user_class, user=user, **system, checkpoint=checkpoint)
    folder, resumed = many.folder / "out.h5.inprogress", 0
    status, said = many.run(strike=f"{strike}:{at}")
    for then in (f"{strike}:{at + 60}", "::"):
        published = {path.name for path in folder.glob("update_*")}
        valid = bool(list(folder.glob("checkpoint_*.json")))
        assert valid or status == 1 or not folder.exists(), said
        assert valid == ("go on" in said), said
        if not valid:
            break
        status, said = many.run("--resume", strike=then)
        resumed += 1
        assert not status or published <= {path.name for path in folder.glob("update_*")}, said
    many.resumed.append(resumed)
    if resumed and status == 0 and "go on" not in said:
        assert not folder.exists()
        check_same(whole, many.folder / "out.h5")
        check_resumed(many.folder / "out.h5", resumed)


@pytest.mark.parametrize(
    ("strike", "system"),
    [
        ("raise:worker:150", {"times": 7}),
        ("SIGTERM:viewer:300", {"times": 60, "store_dtype": "float64", "block": 5}),
    ],
)
def test_photons_of_several_runs(runs, strike, system):
    """Windows that wait for their other half, photons kept for later, and where elements saturated."""
    with h5py.File(runs.folder / "frames2.h5", "w") as file:
        file["det/frames"], file["det/counter"] = runs.setup.frames[::-1], runs.setup.counters
    user = {"color": "color.npy", "saturated_value": 13, "exposures": [1, 2, 8], "kmax": 12}
    system = system | {"dataset": "h5=frames*.h5:runs"}
    whole = runs.whole(runs.write("PhotonStatistics", user=user, **system, checkpoint=0))
    runs.write("PhotonStatistics", user=user, **system, checkpoint=90)
    _, said = runs.run(strike=strike)
    assert "go on" in said
    status, said = runs.run("--resume")
    assert status == 0, said
    check_same(whole, runs.folder / "out.h5")
    check_resumed(runs.folder / "out.h5", 1)


def test_it_had_happened(many):
    """Most runs of the test before this one were gone on with, and some of them twice."""
    assert {0, 1, 2} >= set(many.resumed) >= {2}
    assert 2 * many.resumed.count(0) <= len(many.resumed)


@pytest.mark.parametrize(
    ("user_class", "before", "after", "strike", "system"),
    [
        ("G2atEnd", (5, 2), (3, 1), "SIGKILL:server:120", {}),
        ("G2IncrementalAccumulator", (4, 1), (6, 3), "SIGKILL:viewer:140", {"user": {"frame_norm": "color"}}),
        ("MultiTauG2", (4, 1), (3, 1), "SIGKILL:viewer:140", {"user": {"frame_norm": "color"}, "times": 5}),
        ("Stateful", (3, 1), (5, 2), "SIGTERM:server:150", {"store_dtype": "float64"}),
    ],
)
def test_killed_and_resumed_on_other_ranks(runs, user_class, before, after, strike, system):
    """Under mpiexec, with other numbers of servers and workers after; the same bits as in one process."""
    key = runs.write(user_class, **system)
    first = runs.setup.drive("-s", before[1], ranks=before[0], env=ENV | {"STRIKE": strike})
    assert (first.returncode == 0) == ("SIGTERM" in strike), first.stderr
    assert (runs.folder / "out.h5").exists() == ("SIGTERM" in strike)
    manifests = list((runs.folder / "out.h5.inprogress").glob("checkpoint_*.json"))
    assert len(manifests) == 1, first.stderr
    manifest = manifests[0]
    parts = sorted(manifest.parent.glob(f"{manifest.stem}_*.part"))
    assert len(parts) == before[0] - before[1] - 1 + (user_class != "Stateful")  # the viewer's, too
    good = parts[-1].read_bytes()
    parts[-1].write_bytes(good[:-1] + bytes([good[-1] ^ 1]))  # a set is valid if all of it is
    status, said = runs.run("--resume")
    assert (status, f"{parts[-1].name} is damaged: its checksum is wrong" in said) == (2, True), said
    parts[-1].write_bytes(good)
    then = runs.setup.drive("--resume", "-s", after[1], ranks=after[0], env=ENV)
    assert then.returncode == 0, then.stderr
    assert "resumed at" in then.stderr
    assert sorted(runs.folder.glob("out.h5*")) == [runs.folder / "out.h5"]
    check_same(runs.whole(key), runs.folder / "out.h5", workers=False)
    check_resumed(runs.folder / "out.h5", 1)


def test_a_class_without_state_goes_on_on_as_many_workers(runs):
    key = runs.write("Plain")
    runs.setup.drive(ranks=4, env=ENV | {"STRIKE": "SIGKILL:server:150"})
    status, said = runs.run("--resume")
    assert status == 2
    assert "the checkpoint is of 2 workers, and user_class Plain has no getState and setState" in said
    then = runs.setup.drive("--resume", "-s", 2, ranks=5, env=ENV)
    assert then.returncode == 0, then.stderr
    check_same(runs.whole(key), runs.folder / "out.h5", workers=False)


def interrupted(runs, user_class="G2IncrementalAccumulator", at=170, **system):
    """Leave an interrupted run; return its folder."""
    runs.write(user_class, **system)
    status, said = runs.run(strike=f"raise:server:{at}")
    assert status == 1 and "go on from its last checkpoint with --resume" in said
    return runs.folder / "out.h5.inprogress"


def test_what_is_refused_by_name(runs):
    """Nothing of an interrupted run is touched by what does not fit it."""
    folder = interrupted(runs)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = np.load("mask.npy")
    other[other > 0] = np.arange(np.count_nonzero(other)) > 0
    np.save("other.npy", other)
    shutil.copy("mask.npy", "copy.npy")
    np.save("colors.npy", np.load("color.npy") + 1)
    with h5py.File("short.h5", "w") as file:
        file["det/frames"], file["det/counter"] = runs.setup.frames[:20], runs.setup.counters[:20]
    for system, user, words in (
        ({"times": 59}, None, "the run was begun with times=60, the config now says times=59"),
        ({"update": 50}, None, "update=70"),
        ({"store_dtype": "float64"}, None, "store_dtype='float32'"),
        ({"delays": [1, 2]}, None, "delays="),
        ({"mask": "other.npy"}, None, "the mask 'other.npy' is not the one"),
        ({}, {"color": "colors.npy", "save_arrays": True}, "the color 'colors.npy' is not the one"),
        ({}, {"color": "color.npy"}, "user_params['save_arrays']=True"),
        ({"numevents": 20}, None, "numevents=20, but the run has used"),
        ({"dataset": "h5=short.h5"}, None, "dataset="),
        ({"dataset": "sim=brownian:shape=2x5x7:live", "src": None, "checkpoint": 0}, None, "a live run does not come"),
        ({"dataset": "shmem=psana.0", "checkpoint": 0}, None, "shared memory does not come again"),
        ({"dataset": "sim=brownian:shape=2x5x7:live", "src": None}, None, "checkpoint=40: a live run does not come"),
        ({"h5output": None, "checkpoint": 0}, None, "h5output is None"),
        ({"h5output": None}, None, "checkpoint=40: checkpoints stand beside the result, and h5output is None"),
        ({"h5output": "none.h5"}, None, "'none.h5': no folder 'none.h5.inprogress': there is no such run"),
        ({"h5output": "%C.h5"}, None, "h5output='%C.h5' must stand for one interrupted run (none)"),
    ):
        runs.write("G2IncrementalAccumulator", user=user, **system)
        status, said = runs.run("--resume")
        assert (status, words in said) == (2, True), said
    runs.write("G2IncrementalAccumulator")
    for args, words in (
        (["--resume", "--test_main"], "a part of the testing mode is not gone on with"),
        ([], "holds a run that was stopped, killed or failed, and a checkpoint of it: go on with --resume"),
        (["--overwrite"], "go on with --resume, join"),
    ):
        status, said = runs.run(*args)
        assert (status, words in said) == (2, True), said
    lock = FolderLock(folder)
    status, said = runs.run("--resume")
    assert status == 2 and "still goes on (" in said
    lock.release()
    (folder / ".writer").write_bytes(before[".writer"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (runs.folder / "frames.h5").unlink()
    shutil.copy("short.h5", "frames.h5")  # a dataset that has lost events
    status, said = runs.run("--resume")
    assert status == 2 and "has 20 events, but the run had used" in said
    (runs.folder / "frames.h5").unlink()
    runs.setup = Setup(runs.folder)  # and now what may differ
    runs.write("G2IncrementalAccumulator", mask="copy.npy", threads=1, max_bad=0.5, checkpoint=0, verbosity="WARNING")
    assert runs.run("--resume")[0] == 0
    check_same(runs.whole(runs.write("G2IncrementalAccumulator")), runs.folder / "out.h5", workers=False)


MINE = """\
from parcorana import userg2


class Mine(userg2.G2IncrementalAccumulator):
    def eventOk(self, evt):
        {line}
        return True
"""


def test_a_class_that_was_mended_goes_on_and_the_log_says_so(runs):
    def write(line):
        (runs.folder / "mine.py").write_text(MINE.format(line=line), encoding="utf-8")

    runs.write("Mine")
    text = (runs.folder / "config.py").read_text(encoding="utf-8").replace("import keepers as", "import mine as")
    (runs.folder / "config.py").write_text(text, encoding="utf-8")
    write("1 / (evt.stamp < 170)")
    assert "ZeroDivisionError" in runs.setup.drive().stderr
    write("2 / (evt.stamp < 250)")
    run = runs.setup.drive("--resume")
    assert "resumed at" in run.stderr and "ZeroDivisionError" in run.stderr
    warning = "WARNING --resume: the code of user_class Mine is not that with which the run was begun"
    assert run.stderr.count(warning) == 1
    begun = re.search(r"resumed at \d+", run.stderr).group()
    for _ in range(20):  # a checkpoint may not be written whole before the error ends a run
        run = runs.setup.drive("--resume")
        assert "ZeroDivisionError" in run.stderr
        if begun not in run.stderr:
            break
        assert run.stderr.count(warning) == 1
    assert "resumed at" in run.stderr and begun not in run.stderr
    assert warning not in run.stderr  # the class is as it was at the checkpoint


def put_frames(frames, counters):
    os.unlink("frames.h5")
    with h5py.File("frames.h5", "w") as file:
        file["det/frames"], file["det/counter"] = frames, counters


def test_what_the_code_looks_up_and_the_data_are_those_of_before(runs):
    interrupted(runs)
    frames, counters = runs.setup.frames, runs.setup.counters
    for others in ((frames[::-1], counters), (frames, counters + 1)):
        put_frames(*others)
        status, said = runs.run("--resume")
        assert status == 2 and "its first event is not that with which the run was begun: it is not the same" in said
    put_frames(np.concatenate([frames, frames]), np.r_[counters, counters + counters[-1]])
    status, said = runs.run("--resume")
    assert status == 0 and "'h5=frames.h5' has 460 events, and had 230 when the run was begun: is it the same" in said
    assert "$STRIKE in the code of user_class G2IncrementalAccumulator was 'raise:server:170' when the run was" in said


def test_another_version(runs, monkeypatch):
    interrupted(runs)
    monkeypatch.setattr("parcorana.results.checkpoint.__version__", "99.0")
    status, said = runs.run("--resume")
    assert status == 2 and "this is 99.0: go on with that one" in said


def test_no_checkpoint_yet(runs):
    runs.write("G2atEnd", checkpoint=1000)
    assert runs.run(strike="raise:server:170")[0] == 1
    status, said = runs.run("--resume")
    assert status == 2 and "holds no checkpoint" in said


def test_damaged_files(runs):
    """What is damaged is not used: a set before it is, if there is one; else the run does not begin."""
    folder = interrupted(runs)
    (manifest,) = folder.glob("checkpoint_*.json")
    (part,) = folder.glob("checkpoint_*_0*.part")
    good = part.read_bytes(), manifest.read_bytes()
    for what, words in (
        (good[0][:-1], "bytes, not"),
        (b"", "bytes, not"),
        (good[0][:-9] + b"x" + good[0][-8:], "its checksum is wrong"),
        (None, "No such file"),
    ):
        part.unlink() if what is None else part.write_bytes(what)
        status, said = runs.run("--resume")
        assert (status, words in said) == (2, True), said
    part.write_bytes(good[0])
    about = json.loads(good[1].split(b"\n", 1)[1])
    for what in (
        good[1][:-5], b"", b"xyz", b"\0" * 100, b"0\n{}", good[1].replace(b"1", b"2"),
        *(signed(about | more) for more in ({"parts": []}, {"parts": [["x", 1]]}, {"block": -1})),
        *(signed(about | more) for more in ({"format": 2}, {"facts": 1}, {"facts": {"account": {"read": -1}}})),
    ):  # fmt: skip
        manifest.write_bytes(what)
        status, said = runs.run("--resume")
        assert (status, "no checkpoint is whole" in said) == (2, True), said
    manifest.write_bytes(good[1])
    # a later set that is damaged, and files of one that was not finished
    later = manifest.with_name("checkpoint_000000099.json")
    later.write_bytes(signed(about | {"block": 99}))
    status, said = runs.run("--resume", strike="raise:server:200")
    assert status == 1 and "going on from the checkpoint before" in said
    assert not later.exists()
    (folder / "checkpoint_000000098_00000.part").write_bytes(b"begun")
    status, said = runs.run("--resume")
    assert status == 0 and "ended while it wrote checkpoint_000000098; going on from" in said
    check_same(runs.whole(runs.write("G2IncrementalAccumulator")), runs.folder / "out.h5")


def signed(about):
    text = json.dumps(about).encode()
    return b"%08x\n" % zlib.crc32(text) + text


def test_classes_that_cannot_be_kept(runs):
    for user_class, status, words in (
        ("Locked", 2, "the attribute 'lock' of user_class Locked is a lock, which a checkpoint cannot keep"),
        ("Viewed", 1, "attributes of user_class Viewed share their memory"),
        ("Half", 2, "user_class Half has getState but lacks setState"),
    ):
        runs.write(user_class)
        ended, said = runs.run()
        assert (ended, words in said) == (status, True), said
        runs.clear()
    for state, words in (
        ("[]", "Wrong.getState must return a dict of name to array, not list"),
        ("{1: self.sum}", "the names must be strings, not 1"),
        ("{'n': 3}", "'n' must be an array whose last axis is the elements, not int"),
        ("{'n': self.sum.astype(str)}", "must hold numbers, not <U"),
        ("{'n': np.zeros((len(self.sum), 2))}", "the last axis of array 'n' must be the"),
    ):
        runs.write("Wrong", user={"state": state})
        ended, said = runs.run()
        assert (ended, words in said) == (1, True), said
        runs.clear()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            "np.full(2, 100, np.int8)",
            "--resume: the sum of Partial 'part' over the 2 workers of the checkpoint is beyond int8",
        ),
        ("np.full(2, 4e4, np.float16)", "is beyond float16"),
        ("np.ones(1 + first)", "the workers' files differ: not all hold 'part' as float64"),
        ("np.ones(2, 'f4' if first else 'f8')", "the workers' files differ: not all hold 'part' as float32"),
    ],
)
def test_a_partial_sum_that_cannot_be_on_another_number_of_workers(runs, part, words):
    """Refused; of 2 x int8 100 it was -56."""
    stopped_on_two_workers(runs, part)
    status, said = runs.run("--resume")
    assert status == 1 and words in said, said


def test_partial_sums_on_another_number_of_workers(runs):
    """In the type of the parts."""
    stopped_on_two_workers(runs, "np.int8([40, -40])", "2**61", "1e-3 if first else 1e30")
    status, said = runs.run("--resume")
    assert status == 0 and f"part: int8 [80, -80]; int64 {2**62}; float64 1e+30" in said, said


def test_parts_of_sums_on_as_many_workers(runs):
    """Each has its own, which is what the refusal advises."""
    stopped_on_two_workers(runs, "np.uint64(2**63)", "np.ones(1 + first)")
    status, said = runs.run("--resume")
    advice = "over the 2 workers of the checkpoint is beyond uint64: go on with 2 workers; let Parts keep it"
    assert status == 1 and advice in said, said
    run = runs.setup.drive("--resume", ranks=4, env=ENV)
    assert run.returncode == 0, run.stderr
    assert sorted(re.findall("part: (.*)", run.stderr)) == [
        f"uint64 {2**63}; float64 [1.0, 1.0]",
        f"uint64 {2**63}; float64 [1.0]",
    ]


def stopped_on_two_workers(runs, *parts):
    runs.write("Parts", user={"parts": parts})
    run = runs.setup.drive(ranks=4, env=ENV | {"STRIKE": "SIGTERM:server:170"})
    assert run.returncode == 0 and "go on with --resume" in run.stderr, run.stderr


@pytest.mark.parametrize("part", ["True", "np.ones(3, bool)", "'x'", "np.ma.array([1, 2], mask=[0, 1])"])
def test_what_is_no_part_of_a_sum_is_refused_before_the_first_event(runs, part):
    runs.write("Parts", user={"parts": [part]})
    status, said = runs.run()
    assert status == 1 and "worker before the first event: Parts.getState: " in said
    assert ("array 'part' is masked" if "ma" in part else "Partial 'part' must hold numbers that have a sum") in said


def test_stopped_joined_and_gone_on_with(runs):
    """A stop leaves a result and a checkpoint; --join of a killed run keeps the checkpoint, too."""
    key = runs.write("G2IncrementalWindowed", user={"color": "color.npy"})
    status, said = runs.run(strike="SIGTERM:server:110")
    assert status == 0 and "before the end of the data; go on with --resume" in said
    with h5py.File("out.h5") as file:
        assert not file["system"].attrs["complete"]
        assert "G2" in file[f"user/{max(file['user'])}"]
    status, said = runs.run("--resume", strike="raise:server:190")
    assert status == 1
    (runs.folder / "out.h5").unlink()
    assert main(["--join", "out.h5.inprogress"]) == 0
    with h5py.File("out.h5") as file:
        assert file["system"].attrs["ended_by"] == "killed"
    status, said = runs.run("--resume")
    assert status == 0, said
    check_same(runs.whole(key), runs.folder / "out.h5")
    check_resumed(runs.folder / "out.h5", 2)
    status, said = runs.run("--resume")
    assert status == 2 and "the run that wrote it has ended" in said


def test_numevents_may_grow_where_blocks_are_whole(runs):
    key = runs.write("G2IncrementalAccumulator")
    runs.write("G2IncrementalAccumulator", numevents=200)
    assert runs.run(strike="raise:server:170")[0] == 1
    runs.write("G2IncrementalAccumulator")
    assert runs.run("--resume")[0] == 0
    check_same(runs.whole(key), runs.folder / "out.h5")


def test_skipped_events_are_not_read(runs):
    """The first callback of an event sees none of those that were used up, and all the others."""
    folder = interrupted(runs, "Plain", at=170, block=8, checkpoint=8)
    (manifest,) = folder.glob("checkpoint_*.json")
    used = 8 * json.loads(manifest.read_bytes().split(b"\n", 1)[1])["block"]
    keepers.SEEN.clear()
    status, said = runs.run("--resume")
    assert status == 0, said
    assert runs.setup.counters[used:].tolist() == keepers.SEEN
    with h5py.File("out.h5") as file:
        account = dict(file["system/accounting"].attrs)
        assert account["read"] == len(runs.setup.counters) == sum(account.values()) - account["read"]


@pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")
@pytest.mark.parametrize("how", ["file", "exp", "idx"])
def test_psana(runs, how):
    """Real xtc2: gone on with from an index of the sequence, by a file, by small data, by times; too few events."""
    from sources import ENVIRONMENT
    from xtc2 import write_run

    for name, value in ENVIRONMENT.items():
        runs.patch.setenv(name, value)
    stamps = 10**18 + np.arange(120) * 10**9 // 120
    write_run(runs.folder / "xtc", runs.setup.frames[:120], stamps, streams=1)
    write_run(runs.folder / "short", runs.setup.frames[:20], stamps[:20], streams=1)
    (file,), (short,) = ((runs.folder / name).glob("*s000*.xtc2") for name in ("xtc", "short"))
    dataset = f"file={file}" if how == "file" else f"exp=tstx00126:run=7:dir={runs.folder / 'xtc'}"
    dataset += ":idx" * (how == "idx")
    user = {"color": "color.npy"}
    key = runs.write("G2IncrementalAccumulator", user=user, dataset=dataset, src="mydet", block=8)
    status, said = runs.run(strike="raise:worker:90")
    assert status == 1 and "go on from" in said, said
    if how == "exp":
        then = runs.setup.drive("--resume", "-s", 2, ranks=5, env=ENVIRONMENT | ENV)
        assert then.returncode == 0, then.stderr
    else:
        status, said = runs.run("--resume")
        assert status == 0, said
    check_same(runs.whole(key), runs.folder / "out.h5", workers=False)
    runs.clear()
    runs.run(strike="raise:worker:90")
    if how == "file":
        shutil.copy(short, file)
    else:
        shutil.rmtree(runs.folder / "xtc")
        shutil.copytree(runs.folder / "short", runs.folder / "xtc")
    status, said = runs.run("--resume")
    assert status == (2 if how == "idx" else 1)
    assert "has 20 events, but the run had used" in said


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=2), st.integers(1, 9), st.sampled_from(["C", "F"]), st.booleans(),
    st.sampled_from(["f4", "f8", "i8", "i1", "?", "c16"]), st.data(),
)  # fmt: skip
def test_files_of_arrays(tmp_path_factory, rows, elements, order, strided, dtype, data):
    """Any array comes back, whole and any elements of it; any byte that is changed is found."""
    rng = np.random.default_rng(len(rows))
    array = np.asarray(rng.integers(0, 100, (*rows, elements)), dtype, order=order)
    array = np.repeat(array, 2, axis=-1)[..., ::2] if strided else array
    path = tmp_path_factory.mktemp("part") / "a.part"
    steps = partfile.write(path, {"a": (NAMES[PerElement], array), "b": (NAMES[Common], np.array(7))}, {"x": 1})
    while True:
        try:
            next(steps)
        except StopIteration as end:
            size, crc = end.value
            break
    partfile.verify(path, size, crc)
    file = partfile.PartFile(path)
    assert file.about == {"x": 1} and file.read("b") == 7
    np.testing.assert_array_equal(file.read("a"), array)
    first = data.draw(st.integers(0, elements))
    last = data.draw(st.integers(first, elements))
    for target in ("C", "F"):
        into = np.zeros((*rows, last - first), dtype, order=target)
        np.testing.assert_array_equal(file.read("a", first, last, into=into), array[..., first:last])
    text = bytearray(path.read_bytes())
    text[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(text)
    with pytest.raises(partfile.Damaged):
        partfile.verify(path, size, crc)
    try:
        found = partfile.PartFile(path)
        for name in found.arrays:
            found.read(name)
    except partfile.Damaged:
        pass


def test_struck_classes_are_the_shipped_ones():
    """What the tests run adds filters and blows, nothing that is calculated."""
    assert all(set(vars(getattr(keepers, name))) <= {"__module__", "__doc__"} for name in CLASSES)
