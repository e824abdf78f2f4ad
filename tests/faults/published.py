"""Any rank is killed at any moment: what was published is there, opens, and is right."""

import signal
import time

from faults.frame import Row, expect

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""
TRIES = 6


def kill(base):
    def provoke(trial):
        trial.write(base=base, body=PACED, block=16, update=40, dataset="sim=brownian:shape=2x5x7:events=400:seed=7")
        ranks = 3 + trial.number % 2
        for attempt in range(TRIES):  # a job may end before it is killed
            job = trial.start(ranks=ranks, env={"SECONDS": "0.001"})
            if _is_killed(trial, job, ranks, attempt):
                break
            expect(job.process.wait() == 0, f"it failed by itself: {job.log}")
            trial.output.unlink()
            trial.jobs.clear()
        else:
            raise RuntimeError(f"{TRIES} jobs ended before they were killed")
        if trial.number % 3 == 0 and job.published():
            before = job.published()
            if trial.output.exists():  # it was about to remove the folder: all is in the file
                return
            joined = trial.run("parCorAnaDriver", "--join", "out.h5.inprogress")
            expect(joined.returncode == 0, joined.stderr)
            trial.record.lost += trial.check_published(before)
            expect(not trial.record.lost, f"lost by --join: {trial.record.problems}")

    return provoke


def _is_killed(trial, job, ranks, attempt):
    """Kill a rank in one of four parts of a run: at its start, twice in the midst of it, at its end."""
    rank, phase = trial.random.randrange(ranks), trial.number // 2 % 4
    if phase == 0:
        if not _waits(job, lambda: len(job.left()) > ranks):
            return False
        time.sleep(trial.random.uniform(0.2, 1.2) / (attempt + 1))
    elif not _waits(job, lambda: len(job.published()) >= (9 if phase == 3 else 1)):
        return False
    if phase:
        time.sleep(trial.random.uniform(0, 0.15 if phase == 3 else 0.5) / (attempt + 1))
    pid = job.find(rank)
    if pid is None or job.process.poll() is not None:
        return False
    try:
        job.strike(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    job.ends(within=5)
    return job.status != 0


def _waits(job, condition):
    while not condition():
        if job.process.poll() is not None:
            return False
        time.sleep(0.002)
    return True


TITLE = "Any rank is killed at a random moment: everything published until then opens and is right, also after `--join`"
ROWS = [
    Row(f"`{base}`", kill(base), times=36, quick=base == "G2IncrementalWindowed")
    for base in ("G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed")
]
