"""Runs that are stopped: by signals to mpiexec or to one rank, by --stop, in one process and over MPI."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import BIN
from effort import PATIENCE

from parcorana.files import aside
from parcorana.pipeline import stop as stops

MINE = """\
import os
import time
from parcorana import userg2

SECONDS = float(os.environ.get("SECONDS", "0.004"))

class Mine(userg2.G2atEnd):
    def initServer(self):
        self.tell("server")

    def initWorker(self, numElementsWorker):
        super().initWorker(numElementsWorker)
        if self.mpiParams.firstWorker:
            self.tell("worker")

    def initViewer(self, mask_ndarray, h5GroupUser):
        super().initViewer(mask_ndarray, h5GroupUser)
        self.tell("viewer")

    def tell(self, role):
        with open(f"pid_{role}", "w") as file:
            file.write(str(os.getpid()))
"""
SLOW_SERVER = """
    def eventOk(self, evt):
        time.sleep(SECONDS)
        return evt.stamp % 7 != 0
"""
SLOW_WORKER = """
    def adjustData(self, data):
        time.sleep(SECONDS)
"""
SLOW_VIEWER = """
    def viewerPublishReduced(self, *args):
        super().viewerPublishReduced(*args)
        if args[0].any() and os.path.exists("slow"):
            open("sleeps", "w").close()
            time.sleep(600)
"""
OFFLINE = "sim=brownian:shape=2x5x7:events=20000"


@pytest.fixture
def start(make_setup):
    """Starts a job that goes on for minutes; returns it and its folder once it has published something."""
    setup, jobs = make_setup(events=50), []

    def begin(body, *args, ranks=0, dataset=OFFLINE):
        (setup.folder / "mine.py").write_text(MINE + body, encoding="utf-8")
        setup.write(dataset=dataset, src=None, update=60, overwrite=False)
        path = setup.folder / "config.py"
        text = path.read_text(encoding="utf-8").replace("from parcorana import userg2", "import mine")
        path.write_text(text.replace("userg2.G2atEnd", "mine.Mine"), encoding="utf-8")
        launcher = ["mpiexec", "-n", str(ranks)] if ranks else []
        command = [*launcher, "parCorAnaDriver", "-c", "config.py", *map(str, args)]
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}

        def hear():  # what nohup or a shell in the background may have it ignore
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

        job = subprocess.Popen(command, cwd=setup.folder, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=hear)  # noqa: PLW1509
        jobs.append(job)
        end = time.monotonic() + PATIENCE
        while not list(setup.folder.glob("out.h5.inprogress/update_*")):
            assert time.monotonic() < end and job.poll() is None
            time.sleep(0.01)
        return job, setup

    yield begin
    for job in jobs:
        if job.poll() is None:
            job.kill()
            job.communicate(timeout=PATIENCE)


def stop(job, setup, command, how):
    """Stop a job; return what its result says of its end."""
    if how == "--stop":
        asked = command("parCorAnaDriver", "--stop", "out.h5", cwd=setup.folder)
        assert asked.returncode == 0 and "asked to stop: " in asked.stdout
        name = how
    else:
        who, name = how.split()
        pid = job.pid if who == "job" else int((setup.folder / f"pid_{who}").read_text(encoding="utf-8"))
        os.kill(pid, getattr(signal, name))
    log = job.communicate(timeout=PATIENCE)[1]
    assert job.returncode == 0, log
    assert f"stopped by {name}: what was read is computed" in log
    assert "Traceback" not in log
    with h5py.File(setup.folder / "out.h5") as file:
        assert not file["system"].attrs["complete"]
        assert file["system"].attrs["ended_by"] == f"stopped by {name}"
        account = {key: int(value) for key, value in file["system/accounting"].attrs.items()}
        last = max(file["user"])
    assert not (setup.folder / "out.h5.inprogress").exists()
    assert account["read"] == sum(account.values()) - account["read"] < 20000
    assert last == f"G2_results_at_{account['processed']:06d}"
    return account


def compare(folder):
    """Compare all that users get of both runs; return the paths."""
    with h5py.File(folder / "out.h5") as one, h5py.File(folder / "whole.h5") as two:
        paths = {}
        for file in (one, two):
            paths[file] = []
            file["user"].visit(paths[file].append)
        assert paths[one] == paths[two]
        for path in paths[one]:
            if isinstance(one["user"][path], h5py.Dataset):
                # the curves' sums over workers depend on how many there are
                rtol = 0 if {"G2", "IF", "IP"} & set(path.split("/")) else 1e-11
                np.testing.assert_allclose(one["user"][path][()], two["user"][path][()], rtol=rtol)
        return set(paths[one])


@pytest.mark.parametrize(
    ("how", "ranks", "body"),
    [
        ("job SIGTERM", 0, SLOW_SERVER),
        ("job SIGHUP", 0, SLOW_WORKER),
        ("--stop", 0, SLOW_WORKER),
        ("job SIGTERM", 5, SLOW_WORKER),
        ("job SIGINT", 5, SLOW_SERVER),
        ("job SIGUSR1", 5, SLOW_SERVER),
        ("worker SIGUSR2", 5, SLOW_SERVER),
        ("viewer SIGTERM", 5, SLOW_WORKER),
        ("server SIGTERM", 5, SLOW_SERVER),
        ("--stop", 5, SLOW_SERVER),
    ],
    ids=lambda value: value.strip().split("(")[0].removeprefix("def ") if isinstance(value, str) else None,
)
def test_a_stopped_run_is_that_of_the_first_events(start, command, how, ranks, body):
    options = ["--stop-signal", how[-4:]] if "USR" in how else []
    job, setup = start(body, "-s", 2 if ranks else 1, *options, ranks=ranks)
    account = stop(job, setup, command, how)
    used = account["read"] - account["unused"]
    assert (account["filtered"] > 0) == (body is SLOW_SERVER)
    whole = setup.drive("-n", used, "-o", "whole.h5", env={"SECONDS": "0"})
    assert whole.returncode == 0, whole.stderr
    with h5py.File(setup.folder / "whole.h5") as file:
        assert file["system"].attrs["complete"] and file["system"].attrs["ended_by"] == "numevents"
        assert file["system/accounting"].attrs["processed"] == account["processed"]
        group = f"G2_results_at_{account['processed']:06d}"
    assert {f"{group}/{name}" for name in ("G2", "IF", "IP")} <= compare(setup.folder)


@pytest.mark.parametrize(("ranks", "servers"), [(0, 1), (5, 2)])
def test_a_live_run_uses_all_that_came(start, command, ranks, servers):
    live = "sim=brownian:shape=2x5x7:events=20000:live:hz=200"
    job, setup = start("", "-s", servers, ranks=ranks, dataset=live)
    account = stop(job, setup, command, "job SIGTERM")
    assert account["unused"] == 0 and account["processed"] == account["read"]


def heard(job, words):
    """Wait until a job has said something; return what it has said."""
    said = b""
    while words.encode() not in said:
        piece = os.read(job.stderr.fileno(), 1 << 16)
        assert piece, said
        said += piece
    return said.decode()


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_second_signal_ends_at_once(start, ranks):
    """Even if what is to be finished takes long."""
    job, setup = start(SLOW_SERVER + SLOW_VIEWER, ranks=ranks)
    (setup.folder / "slow").touch()
    while not (setup.folder / "sleeps").exists():
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(signal.SIGTERM)
    log = heard(job, "stopped by SIGTERM: ")
    time.sleep(1.5 * stops._AGAIN)
    assert job.poll() is None
    job.send_signal(signal.SIGTERM)
    log += job.communicate(timeout=PATIENCE)[1]
    assert job.returncode == 1, log
    # the callback keeps it from ending, and the log says so
    assert log.count("stopped by SIGTERM: as soon as Mine.viewerPublishReduced returns, which runs since ") == 1, log
    assert log.count("parCorAnaDriver: interrupted") == 1
    assert "what was published is kept" in log


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_signal_after_stop_ends_at_once(start, command, ranks):
    """It is the second time that the run is asked to stop."""
    for _ in range(9):
        job, setup = start(SLOW_SERVER + SLOW_VIEWER, ranks=ranks)
        assert command("parCorAnaDriver", "--stop", "out.h5", cwd=setup.folder).returncode == 0
        heard(job, "stopped by --stop")
        (setup.folder / "slow").touch()
        job.send_signal(signal.SIGTERM)
        log = job.communicate(timeout=PATIENCE)[1]
        if job.returncode == 1:
            break
        for path in setup.folder.glob("out.h5*"):  # it, or one of its ranks, had come to its end before
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (setup.folder / "slow").unlink()
    assert job.returncode == 1, log
    assert log.count("parCorAnaDriver: interrupted") == 1


def test_a_second_signal_is_not_lost_where_hdf5_calls_for_the_disk(monkeypatch):
    """h5py prints what is raised there, and goes on."""
    names = {"signal": signal}
    exec(compile("def write():\n    signal.raise_signal(signal.SIGUSR1)\n    return 1", aside.__file__, "exec"), names)
    monkeypatch.setattr(stops, "_AGAIN", -1)
    with stops.Stop().on_signals([signal.SIGUSR1]):
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(PATIENCE * names["write"]())


def test_launcher_and_terminal_may_bring_the_same_signal_twice(monkeypatch):
    monkeypatch.setattr(stops, "_AGAIN", 1e9)
    stop = stops.Stop()
    with stop.on_signals([signal.SIGUSR1]):
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert stop.look() == "stopped by SIGUSR1"
        monkeypatch.setattr(stops, "_AGAIN", -1)
        with pytest.raises(KeyboardInterrupt):  # long after the first one it is a second wish
            signal.raise_signal(signal.SIGUSR1)


def test_a_signal_that_comes_once_more_when_all_is_over(monkeypatch):
    """As to a rank that another one has told already: it must not be killed by it."""
    heard = []
    monkeypatch.setattr(stops, "_AGAIN", 1e9)
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        for _ in range(2):
            stop = stops.Stop()
            with stop.on_signals([signal.SIGUSR1]):
                signal.raise_signal(signal.SIGUSR1)
                assert stop.look() == "stopped by SIGUSR1"
            signal.raise_signal(signal.SIGUSR1)
        assert not heard
        monkeypatch.setattr(stops, "_AGAIN", 0)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert heard == [1, 1]
        with stops.Stop().on_signals([signal.SIGUSR1]):
            pass  # nobody asked
        signal.raise_signal(signal.SIGUSR1)
        assert heard == [1, 1, 1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_handler_of_compiled_code_is_put_back(monkeypatch):
    """Python knows nothing of one that was there before it began."""
    c = ctypes.CDLL(None)
    c.signal.restype = None
    c.signal(int(signal.SIGUSR1), ctypes.c_void_p(1))  # it is to be ignored, says C
    try:
        with monkeypatch.context() as patch:
            patch.setattr(signal, "getsignal", lambda number: None)
            stop = stops.Stop()
            with stop.on_signals([signal.SIGUSR1]):
                signal.raise_signal(signal.SIGUSR1)
                assert stop.look() == "stopped by SIGUSR1"
            monkeypatch.setattr(stops, "_AGAIN", 0)
            signal.raise_signal(signal.SIGUSR1)  # once more, and late: from here on C has it
        ignored = re.search(r"SigIgn:\t(\w+)", Path("/proc/self/status").read_text(encoding="utf-8"))[1]
        assert int(ignored, 16) & 1 << signal.SIGUSR1 - 1
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_stop_without_a_run(tmp_path, command):
    run = command("parCorAnaDriver", "--stop", "out.h5", cwd=tmp_path)
    assert run.returncode == 2 and "no run is writing 'out.h5'" in run.stderr
    (tmp_path / "out.h5.inprogress").mkdir()
    run = command("parCorAnaDriver", "--stop", "out.h5.inprogress", cwd=tmp_path)
    assert run.returncode == 2 and "goes on no more; see --join" in run.stderr
