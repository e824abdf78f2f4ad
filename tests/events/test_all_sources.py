"""One stream of events, by every way that it can come: the same result, and every event accounted for.

2000 events with gaps and a clock's jitter, two segments; of 2% of the events a segment is missing. What the other
tests of the sources look at one by one is here as users have it: whole jobs under mpiexec.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import BIN, CONFIG, Setup, run_command
from effort import PATIENCE
from shmem import SharedMemory
from sources import ENVIRONMENT, WRITER
from xtc2 import L1_ACCEPT, grow, write_run

pytestmark = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")
EVENTS, SHAPE = 2000, (2, 5, 7)
DELAYS = [1, 2, 3, 5, 8, 13, 21, 34, 55]
RNG = np.random.default_rng(6)
COUNTERS = np.cumsum(1 + RNG.integers(0, 40, EVENTS) * (RNG.random(EVENTS) < 0.05))
STAMPS = 10**18 + 999_999_990 + COUNTERS * 10**9 // 120 + RNG.integers(0, 10**5, EVENTS)
LACKING = {
    (int(event), int(RNG.integers(2))) for event in RNG.choice(np.arange(1, EVENTS), EVENTS // 50, replace=False)
}
KEPT = np.setdiff1d(np.arange(EVENTS), [event for event, _ in LACKING])
ACCOUNT = {"read": EVENTS, "no_data": len(LACKING), "processed": len(KEPT)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The stream as xtc2 in two streams (run 7) and in one (run 8), and as HDF5 of what is complete."""
    folder = tmp_path_factory.mktemp("stream")
    frames = np.random.default_rng(7).poisson(5, (EVENTS, *SHAPE)).astype(np.uint16)
    write_run(folder / "two", frames, STAMPS, streams=2, missing=LACKING)
    write_run(folder / "one", frames, STAMPS, run=8, lacking=LACKING)
    with h5py.File(folder / "frames.h5", "w") as file:
        file["run/data"], file["run/timestamp"] = frames[KEPT], STAMPS[KEPT].astype(np.uint64)
    np.save(folder / "frames.npy", frames[KEPT])
    np.save(folder / "stamps.npy", STAMPS[KEPT].astype(np.uint64))
    return folder


@pytest.fixture(scope="module")
def job(data, tmp_path_factory):
    """Runs the driver on a dataset; returns the names of result files to compare."""
    setup = Setup(tmp_path_factory.mktemp("jobs"))

    def write(name, dataset, servers=1, src="mydet", **system):
        given = {"dataset": dataset, "src": src, "times": 2100, "update": 0, "numservers": servers, "delays": DELAYS}
        text = CONFIG.format(
            system=setup.system | given | {"block": 32, "h5output": f"{name}.h5"} | system,
            user=setup.user,
            user_class="G2IncrementalAccumulator",
        )
        (setup.folder / f"{name}.py").write_text(text, encoding="utf-8")

    def run(name, dataset, servers=1, **options):
        write(name, dataset, servers, **options)
        done = run_command(
            "parCorAnaDriver",
            "-c",
            f"{name}.py",
            cwd=setup.folder,
            ranks=servers + 2 if servers > 1 else 0,
            env=ENVIRONMENT,
        )
        assert done.returncode == 0, done.stderr
        return setup.folder / f"{name}.h5"

    run.write, run.folder = write, setup.folder
    return run


@pytest.fixture(scope="module")
def right(job, data):
    """The result from HDF5 with one server, which test_psana_pipeline.py compares with the slow reference."""
    return job("right", f"h5={data}/frames.h5", src="run/data")


def differences(a, b):
    """Return the paths, in the users' part of two results, whose values are not bitwise the same."""
    with h5py.File(a) as one, h5py.File(b) as two:
        found = []

        def visit(path, item):
            if isinstance(item, h5py.Dataset) and not np.array_equal(item[()], two["user"][path][()], equal_nan=True):
                found.append(path)

        assert sorted(one["user"]) == sorted(two["user"]) == [f"G2_results_at_{len(KEPT):06d}"]
        one["user"].visititems(visit)
        return found


def account_of(path):
    with h5py.File(path) as file:
        return {name: int(count) for name, count in file["system/accounting"].attrs.items() if count}


# from HDF5 by one server is what is compared with; every number of servers reads alike in the tests of each source
@pytest.mark.parametrize(("mode", "servers"), [("sequential", 1), ("sequential", 3), ("idx", 1), ("idx", 2), ("h5", 3)])
def test_finished(job, data, right, mode, servers):
    modes = {"sequential": "", "idx": ":idx"}
    if mode == "h5":
        result = job(f"{mode}{servers}", f"h5={data}/frames.h5", servers, src="run/data")
        account = {"read": len(KEPT), "processed": len(KEPT)}
    else:
        result = job(f"{mode}{servers}", f"exp=tstx00126:run=7:dir={data}/two{modes[mode]}", servers)
        account = ACCOUNT
    assert differences(right, result) == []
    assert account_of(result) == account


# Live, blocks are cut where time says, and so are the sums: that is rounding, of which whole numbers have none.


def test_live(job, data, right, tmp_path, in_thread):
    """The writer waits 3 s before it renames."""
    in_thread(grow, data / "two", tmp_path, pieces=5, pause=0.2, wait=3.0)
    result = job("live", f"exp=tstx00126:run=7:dir={tmp_path}:live", 2, latency=0.2)
    assert arrays_differ(right, result) == []
    assert account_of(result) == ACCOUNT


def test_live_with_a_lost_tail(job, data, tmp_path):
    """The data files are cut; what is not there is counted, exactly."""
    how = {"pieces": 2, "pause": 0.1, "cut": 20_000}
    grow(data / "one", tmp_path, **how)
    result = job("tail", f"exp=tstx00126:run=8:dir={tmp_path}:live", 1, latency=0.2)
    size, account = (tmp_path / "tstx00126-r0008-s000-c000.xtc2").stat().st_size, account_of(result)
    ends = event_ends(data / "one" / "tstx00126-r0008-s000-c000.xtc2")
    lost = sum(end > size for end in ends)
    lacking = sum(event < EVENTS - lost for event, _ in LACKING)
    assert lost > 20
    assert account == {"read": EVENTS, "no_data": lost + lacking, "processed": EVENTS - lost - lacking}


def test_shared_memory(job, data, right):
    """A server that drops nothing, for it goes at the clients' pace."""
    with SharedMemory(data / "one" / "tstx00126-r0008-s000-c000.xtc2", clients=2) as memory:
        result = job("shmem", f"shmem={memory.name}", 2, numevents=EVENTS, latency=0.2)
    assert account_of(result) == ACCOUNT
    assert arrays_differ(right, result) == []


def test_shared_memory_that_ends_early(job, data):
    """Its server is killed: that ends the run. It hangs: the run waits for it, and hears a signal."""
    path, held = data / "one" / "tstx00126-r0008-s000-c000.xtc2", 300
    kinds = transitions(path)[:held]
    sent = kinds.count(L1_ACCEPT)
    lacking = sum(event < sent for event, _ in LACKING)
    with SharedMemory(path, clients=2, hold=held) as killed, SharedMemory(path, hold=held) as hung:
        job.write("killed", f"shmem={killed.name}", 2, latency=0.2)
        job.write("hung", f"shmem={hung.name}", update=sent - lacking, latency=0.2)
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **ENVIRONMENT}
        pipes = {"cwd": job.folder, "env": env, "stderr": subprocess.PIPE, "text": True}
        launch = ["timeout", "-k", "5", str(PATIENCE)]
        two = subprocess.Popen([*launch, "mpiexec", "-n", "4", "parCorAnaDriver", "-c", "killed.py"], **pipes)
        one = subprocess.Popen([*launch, "parCorAnaDriver", "-c", "hung.py"], **pipes)
        killed.wait_held()
        killed.process.kill()
        hung.wait_held()
        hung.process.send_signal(signal.SIGSTOP)
        # the update of all that came: now it waits
        while not (job.folder / "hung.h5.inprogress" / f"update_{sent - lacking:06d}.h5").exists():
            assert one.poll() is None
            time.sleep(0.01)
        one.send_signal(signal.SIGTERM)
        for name, running in (("killed", two), ("hung", one)):
            _, log = running.communicate()
            assert running.returncode == 0, log
            assert account_of(job.folder / f"{name}.h5") == {
                "read": sent, "no_data": lacking, "processed": sent - lacking
            }  # fmt: skip
            assert ("the server went away, which ends the run" in log) == (name == "killed")
    with h5py.File(job.folder / "hung.h5") as file:
        assert file["system"].attrs["ended_by"] == "stopped by SIGTERM"


def test_hdf5_live(job, data, right, tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path / "live.h5", data / "frames.npy", "0", "close", data / "stamps.npy"]
    )
    try:
        result = job("h5live", f"h5={tmp_path}/live.h5:live", 2, src="run/data", latency=0.2)
    finally:
        writer.wait()
    assert arrays_differ(right, result) == []
    assert account_of(result) == {"read": len(KEPT), "processed": len(KEPT)}


def arrays_differ(right, result):
    return [path for path in differences(right, result) if path.split("/")[1] in ("G2", "IF", "IP", "delay_counts")]


def datagrams(path):
    """Yield transition and end [bytes] of each datagram of a data file."""
    from parcorana.events.psana2 import files

    offset = 0
    with open(path, "rb") as file:
        while found := files.datagram(file, offset):
            offset += found[1]
            yield found[0], offset


def event_ends(path):
    return [end for kind, end in datagrams(path) if kind == L1_ACCEPT]


def transitions(path):
    return [kind for kind, _ in datagrams(path)]
