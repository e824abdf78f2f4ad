"""Data that is followed while it is written: its writer is killed, its file is cut off or renamed, its clock is set."""

import importlib.util
import os
import subprocess
import sys
import threading
from functools import partial

import h5py
import numpy as np

from faults.badevents import frames_of
from faults.frame import SIMULATED, Row, expect

EVENTS, PAUSE, START = 300, 0.012, 10**18
MORE = (
    1000  # frames of an HDF5 file: its writer is to be killed, and not to be done before, however busy the machine is
)
PATIENCE = 2.0  # s without anything new, after which a writer is given up
SLOW = """\
    def eventOk(self, evt):
        time.sleep(5 * SECONDS)  # none in an undisturbed run
        return True
"""


def hdf5(trial, events=MORE, clock=lambda steps: steps):
    """Return the keys for frames at rest, the dataset of the same ones as they are written, and a writer to start."""
    from sources import WRITER

    frames = frames_of(trial, events=events)
    times = START + 10**7 * clock(np.arange(events))
    np.save(trial.folder / "frames.npy", frames)
    np.save(trial.folder / "times.npy", times)
    with h5py.File(trial.folder / "frames.h5", "w") as file:
        file["run/data"], file["run/timestamp"] = frames, times
    # what is not compressed shows nothing where zeros are read in its place
    command = [
        sys.executable,
        "-c",
        WRITER.replace(', compression="gzip"', ""),
        "live.h5",
        "frames.npy",
        str(PAUSE),
        "",
        "times.npy",
    ]
    system = {"dataset": "h5=frames.h5", "src": "run/data", "rate": 100.0}
    return system, "h5=live.h5:live", lambda: subprocess.Popen(command, cwd=trial.folder)


class Growing(threading.Thread):
    """Writes a run of xtc2 files piece by piece; its end is missing, as if it were killed before."""

    def __init__(self, source, folder):
        super().__init__(daemon=True)
        self.source, self.folder = source, folder
        self.start()

    def run(self):
        from xtc2 import grow

        grow(self.source, self.folder, pieces=40, pause=EVENTS * PAUSE / 40, finish=False)

    def kill(self):
        """Wait until it has written all but the end."""
        self.join()

    wait = kill


def xtc2(trial):
    """The same for xtc2 files."""
    from xtc2 import write_run

    frames = np.random.default_rng(trial.number).poisson(5, (EVENTS, 2, 5, 7)).astype(np.uint16)
    for name, end in (("rest", True), ("source", False)):
        write_run(trial.folder / name, frames, START + 8_333_333 * np.arange(EVENTS), end=end)
    dataset = f"exp=tstx00126:run=7:dir={trial.folder}"
    system = {"dataset": f"{dataset}/rest", "src": "mydet"}
    return system, f"{dataset}/live:live", lambda: Growing(trial.folder / "source", trial.folder / "live")


def follow(trial, make, body="    pass"):
    """Start a job that follows data, and its writer; return both once a few updates are published."""
    from sources import ENVIRONMENT

    system, live, write = make(trial)
    trial.write("G2IncrementalAccumulator", body, update=25, block=8, **system)
    trial.whole = trial.undisturbed(trial.number)
    job = trial.start("-d", live, env=ENVIRONMENT | {"PARCORANA_PATIENCE": str(PATIENCE), "PS_PARALLEL": "none"})
    writer = write()
    job.wait_published(3)
    return job, writer


def account_of(trial):
    with h5py.File(trial.output) as file:
        return {key: int(value) for key, value in file["system/accounting"].attrs.items()}


def writer_is_killed(make):
    def provoke(trial):
        job, writer = follow(trial, make)
        writer.kill()
        writer.wait()
        job.strike()
        job.ends(within=PATIENCE + 10, ended=lambda _: trial.processed())
        expect(job.status == 0, f"exit status {job.status}: {job.log}")
        account = account_of(trial)
        expect(account["processed"] == account["read"] > 0, f"accounting: {account}")
        expect("was its writer killed?" in job.log or "it has no end of run" in job.log, f"no word of it: {job.log}")

    return provoke


def stopped(make):
    def provoke(trial):
        job, writer = follow(trial, make)
        job.strike()
        asked = trial.run("parCorAnaDriver", "--stop", "out.h5")
        expect(asked.returncode == 0, asked.stderr)
        job.ends(within=10, ended=lambda _: trial.processed())
        writer.kill()
        writer.wait()
        expect(job.status == 0, f"exit status {job.status}: {job.log}")
        trial.check_stopped("stopped by --stop")
        account = account_of(trial)
        expect(account["processed"] == account["read"] > 0, f"accounting: {account}")

    return provoke


def hdf5_is_cut_off(trial):
    """HDF5 itself would read zeros, for times and frames alike."""
    job, writer = follow(trial, partial(hdf5, events=EVENTS), SLOW)  # so that there is something that was not read yet
    writer.kill()
    writer.wait()
    path = trial.folder / "live.h5"
    os.truncate(path, path.stat().st_size // 2)
    job.strike()
    wrong = "h5=live.h5: the file was cut off while it was read"
    job.fails(10, "server at event ", wrong, ended=lambda _: trial.processed())
    trial.check_stopped(f"error: {wrong}")


def xtc2_is_cut_off(trial):
    """The small data tells of events whose data is gone."""
    job, writer = follow(trial, xtc2, SLOW)
    writer.kill()
    (path,) = (trial.folder / "live").glob("*.xtc2*")
    os.truncate(path, path.stat().st_size // 2)
    job.strike()
    job.ends(within=30, ended=lambda _: trial.processed())
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    account = account_of(trial)
    expect(account["no_data"] > 0 and account["processed"] + account["no_data"] == EVENTS, f"accounting: {account}")
    expect(f"{account['no_data']} events of this server never came, and count as no_data" in job.log, job.log)


def hdf5_is_renamed(trial):
    job, writer = follow(trial, partial(hdf5, events=EVENTS))
    (trial.folder / "live.h5").rename(trial.folder / "moved.h5")
    writer.wait()
    job.strike()
    job.ends(within=PATIENCE + 10)
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    expect(trial.processed() == EVENTS, f"accounting: {account_of(trial)}")
    expect("the file was given another name, or removed, while it is followed" in job.log, f"no word of it: {job.log}")


# the clock of the data, in steps of a frame: set back once, or so far that nothing is ever new again
CLOCKS = (lambda k: np.where(k < 200, k, k - 150), lambda k: np.where(k < 200, k, k - 10**6))


def clock_is_set_back(trial):
    """It must be said while there is still something to save."""
    job, writer = follow(trial, partial(hdf5, events=MORE, clock=CLOCKS[trial.number % 2]))
    job.wait(lambda: "the events go back in time, by up to" in job.log, "a word of it")
    goes_on = writer.poll() is None
    writer.kill()
    writer.wait()
    job.strike()
    job.ends(within=PATIENCE + 10, ended=lambda _: trial.processed())
    expect(goes_on, f"it was said at the end only: {job.log}")
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    account = account_of(trial)
    expect(account["late"] > 20 and 2 * account["read"] == sum(account.values()), f"accounting: {account}")


def many_servers(trial):
    """Each has every other event of a stream in perfect order, and a buffer of a fiftieth of a second takes it."""
    servers = 2 + trial.number % 2
    sim = f"{SIMULATED['dataset']}:poisson=1"  # sums of whole numbers are the same in blocks of any length
    # as many events as a server's part of a block wait for servers that lag, of a busy machine's three, too
    about = {"times": 21, "delays": [1, 2, 5, 10, 20], "update": 500, "block": 1200, "latency": 0.2}
    trial.write("G2IncrementalAccumulator", dataset=sim, **about)
    job = trial.start("-d", f"{sim}:live:hz=1000", "-s", servers, ranks=servers + 3)
    job.ends(within=60)
    trial.record.seconds = None
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    account = account_of(trial)
    expect(account["processed"] == account["read"] == 1000, f"accounting: {account}: {job.log}")


def no_psana():
    return None if importlib.util.find_spec("psana") else "psana is not installed"


TITLE = "Data that is followed while it is written: what came is published and right, the accounting exact"
ROWS = [
    Row("the writer of an HDF5 file is killed: the run ends with a warning, exit status 0", writer_is_killed(hdf5)),
    Row(
        "an HDF5 file is cut off: exit status 1 within 10 s, one line that names file and event",
        hdf5_is_cut_off,
        2,
        quick=1,
    ),
    Row("`--stop` of a run that follows an HDF5 file", stopped(hdf5)),
    Row("the writer of xtc2 files is killed: the same", writer_is_killed(xtc2), skip=no_psana),
    Row("xtc2 files are cut off: events that never come are counted, exit status 0", xtc2_is_cut_off, skip=no_psana),
    Row("`--stop` of a run that follows xtc2 files", stopped(xtc2), skip=no_psana),
    Row("an HDF5 file gets another name: it is followed to its end", hdf5_is_renamed),
    Row(
        "the clock of the data is set back, by less or more than all of it: said while the run goes on",
        clock_is_set_back,
        2,
    ),
    Row("a stream in order at 1 kHz, two or three servers, `times` 21: no event is too late", many_servers, 2),
]
