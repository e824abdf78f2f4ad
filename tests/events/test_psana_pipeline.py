"""The same frames as real xtc2 and as HDF5 give the same result file, as `cmpParCorAnaH5Output` tells it."""

import importlib.util
import re

import h5py
import numpy as np
import pytest
from sources import ENVIRONMENT

from parcorana import reference

KIND = {"G2atEnd": "atend", "G2IncrementalAccumulator": "accumulator", "G2IncrementalWindowed": "windowed"}
NO_PSANA = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")
EVENTS = 120
T0 = 10**18 + 999_999_990  # just before a whole second
# Datagrams (event, stream) that are left out: the first event, one stream, both, neighbours across a block.
MISSING = {(0, 1), (7, 0), (15, 1), (16, 0), (40, 0), (40, 1), (77, 1), (119, 0)}
LACKING = {event for event, _ in MISSING}
NOWHERE = {event for event, _ in MISSING if {(event, 0), (event, 1)} <= MISSING}
# SLAC's logbook: the same everywhere, whether or not it can be reached


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(3).poisson(5, (EVENTS, 2, 5, 7)).astype(np.uint16)


@pytest.fixture(scope="module")
def counters():
    rng = np.random.default_rng(4)
    return np.cumsum(1 + rng.integers(0, 40, EVENTS) * (rng.random(EVENTS) < 0.2))


@pytest.fixture(scope="module")
def stamps(counters):
    """Times of a real clock: pulses of 120 Hz with jitter."""
    return T0 + counters * 10**9 // 120 + np.random.default_rng(5).integers(0, 10**5, EVENTS)


@pytest.fixture(scope="module")
def data(tmp_path_factory, frames, stamps):
    """A folder with run 7 (two streams, some segments missing), run 8 (one stream, all there), and both in HDF5."""
    from xtc2 import write_run

    folder = tmp_path_factory.mktemp("data")
    write_run(folder, frames, stamps, streams=2, missing=MISSING)
    write_run(folder, frames, stamps, run=8)
    for run, keep in ((7, [i for i in range(EVENTS) if i not in LACKING]), (8, slice(None))):
        with h5py.File(folder / f"run{run}.h5", "w") as file:
            file["det/frames"], file["det/timestamp"] = frames[keep], stamps[keep].astype(np.uint64)
    return folder


class Pair:
    """Runs on both forms of the same frames."""

    def __init__(self, setup, data, command):
        self.setup, self.data, self.command = setup, data, command

    def drive(self, name, user_class, dataset, src, ranks=0, servers=1):
        """Run the driver; return its log."""
        self.setup.write(user_class, dataset=dataset, src=src, times=50, update=30, numservers=servers, block=8)
        run = self.setup.drive("-o", name, ranks=ranks, env=ENVIRONMENT)
        assert run.returncode == 0, run.stderr
        return run.stderr

    def compare(self, *args):
        return self.command("cmpParCorAnaH5Output", *args, cwd=self.setup.folder)


@pytest.fixture
def pair(setup, data, command):
    return Pair(setup, data, command)


@NO_PSANA
@pytest.mark.parametrize(
    ("user_class", "ranks", "servers"),
    [("G2atEnd", 0, 1), ("G2IncrementalWindowed", 3, 1), ("G2IncrementalAccumulator", 5, 3)],
)
def test_missing_segments(pair, frames, counters, user_class, ranks, servers):
    exp = f"exp=tstx00126:run=7:dir={pair.data}"
    log = pair.drive("xtc.h5", user_class, exp, "mydet", ranks, servers)
    if not ranks:
        assert log.count("SLAC's logbook cannot be reached") == 1
    pair.drive("h5.h5", user_class, f"h5={pair.data}/run7.h5", "det/frames")
    same = pair.compare("xtc.h5", "h5.h5", "--ignore", "/system/accounting")
    assert (same.returncode, same.stdout) == (0, "same\n"), same.stdout
    different = pair.compare("xtc.h5", "h5.h5")
    assert different.returncode == 1
    assert "/system/accounting@no_data" in different.stdout and "/user" not in different.stdout
    kept = [i for i in range(EVENTS) if i not in LACKING]
    mask, delays = pair.setup.mask.astype(bool), pair.setup.system["delays"]
    want = reference.g2(counters[kept], frames[kept][:, mask], 50, delays, KIND[user_class])
    with h5py.File(pair.setup.folder / "xtc.h5") as file:
        account = dict(file["system/accounting"].attrs)
        numbers = {"read": EVENTS - len(NOWHERE), "no_data": len(LACKING - NOWHERE), "processed": len(kept)}
        assert account == dict.fromkeys(account, 0) | numbers
        group = file[f"user/G2_results_at_{len(kept):06d}"]
        assert want["counts"].all()
        np.testing.assert_array_equal(group["delay_counts"], want["counts"])
        for d, delay in enumerate(delays):
            np.testing.assert_array_equal(group[f"G2/delay_{delay:06d}"][mask], want["G2"][d])


@NO_PSANA
@pytest.mark.parametrize(("kind", "ranks"), [("exp", 0), ("file", 4)])
def test_nothing_missing(pair, kind, ranks):
    """Then the accounting is the same, too; and so is the time of the first and last event."""
    exp = f"exp=tstx00126:run=8:dir={pair.data}"
    file = f"file={pair.data}/tstx00126-r0008-s000-c000.xtc2"
    pair.drive("xtc.h5", "G2atEnd", exp if kind == "exp" else file, "mydet", ranks, 2)
    pair.drive("h5.h5", "G2atEnd", f"h5={pair.data}/run8.h5", "det/frames")
    same = pair.compare("xtc.h5", "h5.h5")
    assert (same.returncode, same.stdout) == (0, "same\n"), same.stdout
    with h5py.File(pair.setup.folder / "xtc.h5") as a, h5py.File(pair.setup.folder / "h5.h5") as b:
        for key in ("first_event_time_ns", "last_event_time_ns"):
            assert a["system"].attrs[key] == b["system"].attrs[key]


# -- the command itself ---------------------------------------------------------


def write_result(path, g2=1.5, counts=(3, 4), late=2, more=False):
    with h5py.File(path, "w") as file:
        file["user/g2"], file["user/counts"] = [1.0, g2, np.nan], list(counts)
        file["user/g2"].attrs["units"] = "1"
        file.create_group("system/accounting").attrs["late"] = late
        file["system"].attrs["version"] = str(path)
        file["system/system_params"] = str(path)
        if more:
            file["user/more"] = 1


@pytest.mark.parametrize(
    ("changes", "args", "status", "words"),
    [
        ({}, [], 0, "same"),
        ({"g2": 1.5 * (1 + 1e-13)}, [], 0, "same"),
        ({"g2": 1.5003}, [], 1, r"^/user/g2: 1 of 3 values differ; the first at \[1\]: 1.5 and 1.5003, by 0.0003\n"),
        ({"g2": 1.5003}, ["--rtol", "1e-3"], 0, "same"),
        ({"g2": 1.5003}, ["--rtol", "1e-4"], 1, "/user/g2"),
        ({"g2": 1.5003}, ["--rtol", "0", "--atol", "1e-3"], 0, "same"),
        ({"g2": np.nan}, ["--rtol", "1"], 1, "/user/g2"),
        ({"g2": np.inf}, ["--rtol", "1"], 1, "/user/g2.* 1.5 and inf, by inf"),
        ({"g2": -np.inf}, ["--atol", "1"], 1, "/user/g2"),
        ({"counts": (3, 5)}, ["--rtol", "1"], 1, r"^/user/counts: 1 of 2 values differ; .* 4 and 5, by 1\n"),
        ({"counts": (3, 4, 5)}, [], 1, r"^/user/counts: the shapes are \(2,\) and \(3,\)\n"),
        ({"late": 3}, [], 1, r"^/system/accounting@late: 1 of 1 values differ; the first: 2 and 3, by 1\n"),
        ({"late": 3}, ["--ignore", "/system/accounting"], 0, "same"),
        ({"late": 3}, ["--ignore", "/system/acc"], 1, "/system/accounting@late"),
        ({"late": 3, "more": True}, ["--ignore", "/system/accounting", "--ignore", "/user/more"], 0, "same"),
        ({"more": True}, [], 1, r"^/user/more: only in b\.h5\n"),
    ],
)
def test_compare_command(tmp_path, monkeypatch, capsys, changes, args, status, words):
    from parcorana.tools.compare import main

    monkeypatch.chdir(tmp_path)
    write_result("a.h5")
    write_result("b.h5", **changes)
    assert main(["a.h5", "b.h5", *args]) == status
    out = capsys.readouterr().out
    assert re.search(words, out)
    assert out.endswith("different\n" if status else "same\n")


def test_compare_command_says_what_is_of_a_part_of_a_run(tmp_path, monkeypatch, capsys):
    """Two of the same part are the same, and not the result of a run."""
    from parcorana.tools.compare import main

    monkeypatch.chdir(tmp_path)
    for name, ended_by in (("a.h5", "killed"), ("b.h5", "killed"), ("c.h5", "end of data")):
        write_result(name)
        with h5py.File(name, "r+") as file:
            file["system"].attrs.update({"complete": ended_by != "killed", "ended_by": ended_by})
            file["system/accounting"].attrs["processed"] = 300
    assert main(["a.h5", "b.h5"]) == 0
    notes = [f"{name}.h5 is not complete: killed, 300 events processed" for name in "ab"]
    assert capsys.readouterr().out.splitlines() == [*notes, "same"]
    assert main(["a.h5", "c.h5"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert notes[0] in said and notes[1] not in said and said[-1] == "different"
    assert main(["c.h5", "c.h5"]) == 0
    assert capsys.readouterr().out == "same\n"


@pytest.mark.parametrize("what", ["missing", "text", "folder", "cut off", "damaged"])
def test_compare_command_unreadable(tmp_path, command, what):
    write_result(tmp_path / "a.h5")
    path = tmp_path / "b.h5"
    if what == "text":
        path.write_text("no HDF5")
    elif what == "folder":
        path.mkdir()
    elif what != "missing":
        whole = (tmp_path / "a.h5").read_bytes()
        path.write_bytes(whole[:-300] if what == "cut off" else whole.replace(b"TREE", b"????"))
    for files in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        run = command("cmpParCorAnaH5Output", *files, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr.startswith("cmpParCorAnaH5Output: cannot read")
        assert len(run.stderr.splitlines()) == 1, run.stderr
