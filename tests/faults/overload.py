"""More comes than somebody can take: all others wait, nothing is lost, and nobody's memory grows.

10 minutes at 120 events/s are 72,000 events; they come as fast as they can be read.
"""

import re
import shutil
import time
from pathlib import Path

import h5py
import numpy as np

from faults.frame import Row, expect

EVENTS, UPDATE = 72_000, 7_200
WIDTH, BLOCK = 480, 8  # 7680 bytes of a block are what MPI takes off a sender at once
GROWS = 10  # MiB that a rank may take on, once it has published; its formula leaves 64 beside what is counted
WAITS = """\
    def viewerPublishReduced(self, *args):
        super().viewerPublishReduced(*args)
        if os.environ.get("BUSY") and self.mpiParams.processed == int(os.environ["BUSY_AT"]):
            time.sleep(float(os.environ["BUSY"]))
"""
SLOW = """\
    calls = 0

    def adjustData(self, data):
        super().adjustData(data)
        self.calls += 1
        if self.calls % 20 == 0 and self.mpiParams.rank == int(os.environ.get("SLOW", "-1")):
            time.sleep(0.002)
"""
SLOW_VIEWER = """\
    def viewerPublishReduced(self, *args):
        super().viewerPublishReduced(*args)
        time.sleep(float(os.environ.get("BUSY", "0")))
"""


def memory(pid, *keys):
    """Return the MiB that a process takes, by keys of /proc/PID/status; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return sum(int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in keys) / 1024
    except (OSError, TypeError):
        return None


def allowed(trial, ranks, *args):
    """Return the MiB that each rank may take, as ``--check`` says."""
    command = ("parCorAnaDriver", "-c", "config.py", *args, "--check")
    done = trial.run(*trial.launcher.command(ranks, *command))
    rows = re.findall(r"^ *(\d+)  (?:viewer|server|worker) .* ([\d,]+)$", done.stdout, re.MULTILINE)
    expect(len(rows) == ranks, f"--check says: {done.stdout}{done.stderr}")
    return {int(rank): int(mib.replace(",", "")) for rank, mib in rows}


def watched(trial, *args, ranks, **kwargs):
    """Run a job; watch the memory of all ranks from the first update on: how much it is and how far it grows."""
    most_allowed = allowed(trial, ranks, *args)
    job = trial.start(*args, ranks=ranks, **kwargs)
    job.wait_published(1)
    pids = {rank: job.pid(rank) for rank in range(ranks)}
    before = {rank: memory(pid, "VmHWM") for rank, pid in pids.items()}
    highest, own = dict(before), dict.fromkeys(pids, 0)
    while job.process.poll() is None:
        for rank, pid in pids.items():
            highest[rank] = memory(pid, "VmHWM") or highest[rank]
            # the libraries' files are in the memory once for all processes, and the formula is not about them
            own[rank] = max(own[rank], memory(pid, "RssAnon", "RssShmem") or 0)
        time.sleep(0.02)
    for rank in pids:
        first, most = before[rank], highest[rank]
        expect(most - first < GROWS, f"rank {rank} grew from {first:.0f} to {most:.0f} MiB")
        expect(0 < own[rank] <= most_allowed[rank], f"rank {rank} took {own[rank]:.0f} of {most_allowed[rank]} MiB")
    return job


def write_frames(trial, events):
    """Write frames of counts, in a file that many small blocks are made of."""
    rng = np.random.default_rng(trial.number)
    with h5py.File(trial.folder / "frames.h5", "w") as file:
        file["det/frames"] = rng.integers(0, 12, (events, 1, WIDTH), np.uint16)
    np.save(trial.folder / "mask.npy", np.ones((1, WIDTH), np.int8))


def finished(trial, job, events, updates=None):
    """Check the end of a job, its accounting, and what it published."""
    job.ends(within=1e9)
    trial.record.seconds = None  # nothing ends it but the end of the data
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    with h5py.File(trial.folder / "out.h5") as file:
        account = dict(file["system/accounting"].attrs)
        merged, published = int(file["system"].attrs["updates_merged"]), len(file["user"])
    expect(account["read"] == events == sum(account.values()) - account["read"], f"the accounting is {account}")
    if updates is not None:
        expect(published + merged == updates, f"{published} updates published and {merged} merged are not {updates}")
    return account, merged


def workers_wait(events):
    """Small blocks come as fast as they can, while the workers wait for a viewer that is busy with full arrays."""

    def provoke(trial):
        write_frames(trial, events)
        system = {"dataset": "h5=frames.h5", "src": "det/frames", "block": BLOCK, "update": events // 10}
        trial.write(body=WAITS, user={"save_arrays": True}, **system)
        job = watched(trial, ranks=3, env={"BUSY": "4", "BUSY_AT": str(events // 5)})
        _, merged = finished(trial, job, events, updates=10)
        expect(merged == 0, f"{merged} updates of finished data were merged")

    return provoke


def a_worker_is_slow(trial):
    write_frames(trial, EVENTS)
    system = {"dataset": "h5=frames.h5", "src": "det/frames", "block": 32, "update": UPDATE, "numservers": 2}
    trial.write(body=SLOW, user={"save_arrays": True}, **system)
    job = watched(trial, ranks=5, env={"SLOW": "4"}, limit=240)
    finished(trial, job, EVENTS, updates=10)


def the_viewer_is_slow(events, seconds, busy):
    def provoke(trial):
        dataset = f"sim=brownian:shape=2x5x7:events={events}:poisson=1"
        trial.write("G2IncrementalAccumulator", SLOW_VIEWER, {}, dataset=dataset, update=events // 100)
        live = f"{dataset}:live:hz={events / seconds:.0f}"
        job = watched(trial, "-d", live, ranks=4, env={"BUSY": str(busy)}, limit=20 * seconds)
        account, merged = finished(trial, job, events, updates=100)
        expect(account["processed"] == events, f"the accounting is {account}")
        if trial.session.timed:  # else nobody knows who is slower
            expect(3 < merged < 95, f"{merged} of 100 updates were merged")
            expect("merged into it, for the viewer was busy" in job.log, job.log)

    return provoke


def live_and_a_worker_is_slow(trial):
    trial.compares = False  # which server's events come first depends on the time
    events = EVENTS // 3
    dataset = f"sim=brownian:shape=2x5x7:events={events}:poisson=1:live:hz=1e6"
    trial.write(body=SLOW, dataset=dataset, update=UPDATE // 3, times=5000, latency=0.05, block=16, numservers=2)
    job = watched(trial, ranks=5, env={"SLOW": "4"}, limit=240)
    account, _ = finished(trial, job, events)
    # the slower of two servers that read as fast as they can falls behind: that is no fault of the job's
    expect(account["processed"] + account["late"] == events, f"the accounting is {account}")


def checkpoints(trial):
    """Half of what a worker holds would show if it were copied."""
    with h5py.File(trial.folder / "frames_0.h5", "w") as file:
        file["frames"] = np.random.default_rng(trial.number).integers(0, 12, (40, 100_000), np.uint16)
    for k in range(1, 20):
        shutil.copyfile(trial.folder / "frames_0.h5", trial.folder / f"frames_{k}.h5")  # a file given twice is refused
    np.save(trial.folder / "mask.npy", np.ones(100_000, np.int8))
    trial.write(
        base="G2IncrementalAccumulator",
        user={"save_arrays": False},
        dataset="h5=frames_*.h5",
        src="frames",
        times=200,
        block=20,
        update=200,
        checkpoint=40,
    )
    job = watched(trial, ranks=3, limit=240)
    finished(trial, job, 800, updates=4)


TITLE = (
    "More comes than somebody can take: everybody waits, the memory of no rank grows or is more than `--check` says, "
    "the accounting is exact; in a live run nobody waits for the viewer, and updates are merged"
)
ROWS = [
    Row("72,000 events in small blocks; workers that wait for the viewer", workers_wait(EVENTS)),
    Row("24,000 events in small blocks; workers that wait for the viewer", workers_wait(24_000), quick=1),
    Row("72,000 events; one worker slower than the others", a_worker_is_slow),
    Row("72,000 live events, 100 updates; a viewer slower than that", the_viewer_is_slow(EVENTS, 15, 1.5)),
    Row("3,000 live events, 100 updates; a viewer slower than that", the_viewer_is_slow(3_000, 4, 0.3), quick=1),
    Row("800 events, and a checkpoint of 98 MiB at every 40th", checkpoints),
    Row("24,000 live events of two servers; one worker slower than the others", live_and_a_worker_is_slow),
]
