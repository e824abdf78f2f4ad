"""Whole jobs over HDF5 files that lack frames, or are several runs: the numbers are those of what is there."""

import time

import h5py
import numpy as np
import pytest
from conftest import run_command, write_class
from effort import PATIENCE
from local import ListSource, run_local

from parcorana import reference
from parcorana.userg2 import G2IncrementalAccumulator

DELAYS = [1, 2, 5, 13, 34]
RANKS = [0, 4]


def drive(setup, *args, ranks=0, shell=None, **system):
    """Run the accumulator in one process, or with two servers; return what is in the result, and the log."""
    given = {"update": 0, "times": 300, "delays": DELAYS, "numservers": 2, "threads": 1} | system
    setup.write("G2IncrementalAccumulator", **given)
    command = ["parCorAnaDriver", "-c", "config.py", *args]
    if shell:
        launcher = f"mpiexec -n {ranks} " if ranks else ""
        run = run_command("bash", "-c", f"{shell}; exec {launcher}{' '.join(command)}", cwd=setup.folder)
    else:
        run = run_command(*command, cwd=setup.folder, ranks=ranks)
    assert run.returncode == 0, run.stderr
    return result(setup.folder / "out.h5"), run.stderr


def result(path):
    with h5py.File(path) as file:
        (name,) = file["user"]
        group = file["user"][name]
        sums = {each: np.array([group[f"{each}/delay_{d:06d}"] for d in DELAYS]) for each in ("G2", "IP", "IF")}
        account = {key: int(value) for key, value in file["system/accounting"].attrs.items()}
        assert account["read"] == sum(account[key] for key in account if key != "read")
        return sums | {"counts": group["delay_counts"][()], "account": account}


def check(setup, found, there, counters=None, **fates):
    """Compare with the sums over the frames that are there, by plain loops."""
    mask, counters = setup.mask.astype(bool), np.arange(len(there)) if counters is None else counters
    want = reference.g2(counters[there], setup.included[: len(there)][there], 300, DELAYS, "accumulator")
    np.testing.assert_array_equal(found["counts"], want["counts"])
    for name in ("G2", "IP", "IF"):
        np.testing.assert_array_equal(found[name][:, mask], want[name])
    expected = {"read": len(there), "processed": int(np.count_nonzero(there))} | fates
    assert {key: value for key, value in found["account"].items() if value} == {k: v for k, v in expected.items() if v}


def parts(setup, count, name="parts/p{}.h5", master="master.h5"):
    """Write the frames into so many files, and a virtual dataset of them."""
    frames, layout = setup.frames, h5py.VirtualLayout(setup.frames.shape, "u2")
    (setup.folder / name).parent.mkdir(exist_ok=True)
    for k, rows in enumerate(np.array_split(np.arange(len(frames)), count)):
        with h5py.File(setup.folder / name.format(k), "w") as file:
            file["x"] = frames[rows]
        source = h5py.VirtualSource(name.format(k), "x", frames[rows].shape)
        layout[rows[0] : rows[-1] + 1] = source
    with h5py.File(setup.folder / master, "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=0)
    return {"dataset": "h5=master.h5:dir=parts", "src": "data"}


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("limit", ["ulimit -Sn 100", "ulimit -Sn 100; ulimit -Hn 100"])
def test_more_files_than_may_be_open(setup, ranks, limit):
    found, log = drive(setup, ranks=ranks, shell=limit, **parts(setup, 200))
    check(setup, found, np.ones(230, bool))
    assert "no data" not in log


def test_more_files_than_may_be_open_by_a_pattern(setup):
    parts(setup, 200)
    found, _ = drive(setup, shell="ulimit -Sn 100; ulimit -Hn 100", dataset="h5=parts/p*.h5", src="x")
    check(setup, found, np.ones(230, bool))


@pytest.mark.parametrize("ranks", RANKS)
def test_missing_frames_have_no_data(setup, ranks):
    """Of a file that is not there, of one that is too short, of chunks that were never written; named, once."""
    system = parts(setup, 10)
    (setup.folder / "parts/p3.h5").unlink()
    with h5py.File(setup.folder / "parts/p5.h5", "w") as file:
        file["x"] = setup.frames[115:120]
    with h5py.File(setup.folder / "parts/p7.h5", "w") as file:
        item = file.create_dataset("x", (23, *setup.frames.shape[1:]), "u2", chunks=(1, 2, 5, 7))
        item[:9], item[11:] = setup.frames[161:170], setup.frames[172:184]
    there = np.ones(230, bool)
    there[69:92] = there[120:138] = there[170:172] = False
    found, log = drive(setup, ranks=ranks, **system)
    check(setup, found, there, no_data=43)
    (line,) = [line for line in log.splitlines() if "no data in" in line]
    for words in (
        "h5=master.h5: no data in 43 of 230 frames: 69-91 (parts/p3.h5: there is no such file)",
        "120-137 (parts/p5.h5: /x has 5 frames only)",
        "170-171 (parts/p7.h5: never written)",
    ):
        assert words in line
    # with numevents, and gone on with after a checkpoint
    found, log = drive(setup, ranks=ranks, numevents=125, **system)
    check(setup, found, there[:125], no_data=28)
    assert "no data in 28 of 125 frames" in log


DIES = """
import os
from parcorana.userg2 import G2IncrementalAccumulator
class Dies(G2IncrementalAccumulator):
    def finalDataArray(self, data, evt):
        if os.path.exists("dies") and evt.stamp == 150:
            raise ValueError("enough")
        return data
"""


@pytest.mark.parametrize("ranks", RANKS)
def test_goes_on_where_frames_are_missing(setup, ranks):
    system = parts(setup, 10) | {"checkpoint": 20, "times": 300, "delays": DELAYS, "update": 0, "numservers": 2}
    for k in (3, 8):
        (setup.folder / f"parts/p{k}.h5").unlink()
    write_class(setup, DIES, "Dies", **system)
    (setup.folder / "dies").touch()
    assert setup.drive(ranks=ranks).returncode == 1
    (setup.folder / "dies").unlink()
    run = setup.drive("--resume", ranks=ranks)
    assert run.returncode == 0 and "resumed at" in run.stderr, run.stderr
    there = np.ones(230, bool)
    there[69:92] = there[184:207] = False
    check(setup, result(setup.folder / "out.h5"), there, no_data=46)
    assert "no data in 46 of 230 frames: 69-91 (" in run.stderr


@pytest.mark.parametrize("times", [None, "counter"])
@pytest.mark.parametrize("ranks", RANKS)
def test_every_file_a_run(setup, times, ranks):
    """Pairs never span two of them."""
    for k in range(10):
        with h5py.File(setup.folder / f"r{k}.h5", "w") as file:
            file["f"] = setup.frames[23 * k : 23 * k + 23]
            if times:
                file["counter"] = np.arange(23)
    found, _ = drive(setup, ranks=ranks, dataset="h5=r*.h5:runs", src="f")
    mask = setup.mask.astype(bool)
    want = [
        reference.g2(np.arange(23), setup.included[23 * k : 23 * k + 23], 300, DELAYS, "accumulator") for k in range(10)
    ]
    np.testing.assert_array_equal(found["counts"], sum(one["counts"] for one in want))
    for name in ("G2", "IP", "IF"):
        np.testing.assert_array_equal(found[name][:, mask], sum(one[name] for one in want))
    assert found["account"]["processed"] == 230 and not found["account"]["late"] + found["account"]["duplicate"]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("at", [0, 100])
def test_a_bogus_counter_is_one_bad_event(setup, ranks, at):
    counters = np.arange(230) * 3 + 11
    counters[at] = 2**63 - 1
    with h5py.File(setup.folder / "frames.h5", "a") as file:
        file["det/counter"][:] = counters
    found, log = drive(setup, ranks=ranks)
    check(setup, found, np.arange(230) != at, counters, bad=1)
    assert f"h5=frames.h5: /det/counter is {2**63 - 1} at index {at}, and must be near" in log


@pytest.mark.parametrize("ranks", RANKS)
def test_nonsense_for_times_ends_the_run(setup, ranks):
    counters = np.arange(230)
    counters[100:120] = 2**63 - 1
    with h5py.File(setup.folder / "frames.h5", "a") as file:
        file["det/counter"][:] = counters
    setup.write(update=0, numservers=2)
    run = setup.drive(ranks=ranks)
    assert run.returncode == 1 and "events were bad, more than max_bad=0.01; see the warnings above" in run.stderr


@pytest.mark.parametrize("stamps", ["pulses", "ns"])
@pytest.mark.parametrize("bogus", [2**63 - 1, -(2**63), 2**62])
@pytest.mark.parametrize("at", [0, 3, 40])
def test_workers_find_a_time_that_no_source_looks_at(tmp_path, caplog, stamps, bogus, at):
    """All of them alike; the first one of all is not what the others are counted from."""
    frames = np.random.default_rng(0).poisson(5, (60, 3, 4)).astype(np.uint16)
    counters = np.arange(60) * (1 if stamps == "pulses" else 10**9) + 5
    counters[at] = bogus
    rest = np.arange(60) != at

    how = {"workers": 2, "servers": 2, "block": 16, "times": 60, "delays": [1, 7], "rate": 1.0, "update": 0}
    with caplog.at_level("WARNING", logger="parcorana"):
        *_, worker = run_local(
            tmp_path,
            G2IncrementalAccumulator,
            counters,
            frames,
            opened=lambda share: ListSource(counters, frames, share, stamps=stamps),
            **how,
        )
    assert f" {bogus} is too far from the first one, {counters[rest][0]}" in caplog.text
    assert worker.events.account["bad"] == 1 and worker.events.account["processed"] == 59
    assert worker.events.origin == counters[rest][0]
    want = reference.g2(np.arange(60)[rest], frames[rest].reshape(59, -1), 60, [1, 7], "accumulator")
    buffer = worker.entering.buffer
    counts = worker.calculation.workerCalc(buffer.T, buffer.filled, buffer.X)[1]
    np.testing.assert_array_equal(counts, want["counts"])


def test_elements_without_a_source_must_not_be_included(setup):
    layout = h5py.VirtualLayout(setup.frames.shape, "u2")
    with h5py.File(setup.folder / "part.h5", "w") as file:
        file["x"] = setup.frames[:, 0]
    layout[:, 0] = h5py.VirtualSource("part.h5", "x", setup.frames[:, 0].shape)
    with h5py.File(setup.folder / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=0)
    setup.write(dataset="h5=master.h5", src="data")
    run = setup.drive()
    count = np.count_nonzero(setup.mask[1])
    assert run.returncode == 2
    assert f"mask: 'mask.npy' includes {count} elements, as [1, " in run.stderr and "not all frames of" in run.stderr
    tool = run_command(
        "parCorAnaMaskColorTool",
        "start",
        "-d",
        "h5=master.h5",
        "--src",
        "data",
        "-n",
        "30",
        "-b",
        "made",
        cwd=setup.folder,
    )
    assert "35 elements left out: no frame has data for them" in tool.stdout, tool.stdout + tool.stderr
    setup.write(dataset="h5=master.h5", src="data", mask="made_mask_ndarrCoords.npy", user={})
    assert setup.drive().returncode == 0


def test_a_series_that_appears_while_the_job_runs(setup, in_thread):
    """Two servers share each file; the number of events ends the run."""
    first, *others = np.array_split(np.arange(230), 12)

    def write(k, rows):
        with h5py.File(setup.folder / "aside", "w") as file:
            file["x"], file["counter"] = setup.frames[rows], 2 * rows
        (setup.folder / "aside").rename(setup.folder / f"scan_{k}.h5")

    def write_others():
        limit = time.monotonic() + PATIENCE
        while not (setup.folder / "out.h5.inprogress").exists() and time.monotonic() < limit:
            time.sleep(0.01)
        for k, rows in enumerate(others, 1):
            write(k, rows)
            time.sleep(0.02)

    write(0, first)
    in_thread(write_others)
    found, log = drive(setup, ranks=4, dataset="h5=scan_*.h5:live", src="x", numevents=230, latency=0.05)
    check(setup, found, np.ones(230, bool), counters=2 * np.arange(230))
    assert "passed over" not in log and "not read" not in log


def test_bursts_with_times_elsewhere(setup):
    """The sums over frames at their own times, as by a plain loop."""
    counters = (np.arange(46)[:, None] * 13 + np.arange(5) * 2).astype(np.uint64)
    with h5py.File(setup.folder / "trains.h5", "w") as file:
        file["image/data"] = setup.frames.reshape(46, 5, *setup.frames.shape[1:])
        file["index/pulse"] = counters
    found, log = drive(setup, dataset="h5=trains.h5", src="image/data", times_src="index/pulse", update=0)
    check(setup, found, np.ones(230, bool), counters=counters.astype(int).reshape(-1))
    assert "bursts: each event is 5 frames, one after the other" in log
    setup.write(dataset="h5=trains.h5", src="image/data")
    run = setup.drive()
    assert run.returncode == 2
    assert (
        "it must be 5x2x5x7, that of the data of 'h5=trains.h5', unless its events are bursts of frames" in run.stderr
    )
