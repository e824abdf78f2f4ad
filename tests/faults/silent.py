"""A rank goes on, but says nothing: it is stopped, or its callback does not return."""

import re
import signal
import socket
import time

from faults.frame import Row, expect

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""
# in a callback of each role: asleep, in Python, and in compiled code that lets no other thread run
ASLEEP = """\
    def {name}(self, *args):
        if "HANG" in os.environ and {when}:
            Path("hangs").touch()
            {how}
        return True if {name!r} == "eventOk" else super().{name}(*args)
"""
ROLES = {"the viewer": (0, "viewer"), "a server": (1, "server"), "a worker": (3, "worker")}
WHEN = {
    "eventOk": "args[0].stamp == 220",
    "workerCalc": "self.mpiParams.processed == 200 and not self.mpiParams.firstWorker",
    "viewerPublishReduced": "self.mpiParams.processed == 200",
}
HOST = socket.gethostname()
ROLE = {"eventOk": "rank 1 (server", "workerCalc": "rank 3 (worker", "viewerPublishReduced": "rank 0 (viewer"}
AT = re.compile(r" at (event|the update at) [1-9]\d*\b")
# a call into C that keeps the interpreter for itself
HELD_FOR = "__import__('ctypes').PyDLL(None).sleep({seconds})"
HELD = HELD_FOR.format(seconds=1000)


def stop(rank, role, heartbeat):
    def provoke(trial):
        trial.write(body=PACED, heartbeat=heartbeat, block=16)
        job = trial.start()
        job.wait_published(6)
        job.strike(job.pid(rank), signal.SIGSTOP)
        job.fails(heartbeat + 5, f"rank {rank} ({role} on {HOST}) has been silent for", AT)
        expect("what was published is kept" in job.log, job.log)

    return provoke


def stop_together(trial):
    """All that is left are two workers; one of them speaks."""
    trial.write(body=PACED, heartbeat=2.0)
    job = trial.start(ranks=5)
    job.wait_published(2)
    pids = [job.pid(rank) for rank in (0, 1, 2)]
    job.strike()
    for pid in pids:
        job.strike(pid, signal.SIGSTOP)
    job.fails(8, "rank 0 (viewer on ", "has been silent for")


def wait_until_it_hangs(trial, job):
    job.wait((trial.folder / "hangs").exists, "a callback hung")
    job.strike()


def never_return(name, held=False):
    # before it has the interpreter for itself all ranks can say where they are
    how = f"time.sleep(1); {HELD}" if held else "time.sleep(1000)"

    def provoke(trial):
        trial.write(
            body=ASLEEP.format(name=name, when=WHEN[name], how=how), heartbeat=2.0, callback_limit=5.0, block=16
        )
        job = trial.start(env={"SECONDS": "0", "HANG": "1"})
        wait_until_it_hangs(trial, job)
        job.fails(10, f"{ROLE[name]} on {HOST}): Mine.{name} has run for", "longer than callback_limit=5,", AT)
        if not held or name != "viewerPublishReduced":  # then there is nobody to say so
            expect(f"Mine.{name} runs since" in job.log, f"no word of it in the log: {job.log}")

    return provoke


def never_return_unheard(trial):
    """Without a limit of silence ranks still have to hear of each other's callbacks."""
    trial.write(
        body=ASLEEP.format(name="workerCalc", when=WHEN["workerCalc"], how=f"time.sleep(1); {HELD}"),
        heartbeat=0.0, callback_limit=3.0, block=16,
    )  # fmt: skip
    job = trial.start(env={"SECONDS": "0", "HANG": "1"})
    wait_until_it_hangs(trial, job)
    job.fails(8, f"rank 3 (worker on {HOST}): Mine.workerCalc has run for", "longer than callback_limit=3,", AT)


def never_return_alone(trial):
    """In one process, without MPI."""
    trial.write(body=ASLEEP.format(name="workerCalc", when="self.mpiParams.processed == 200", how="time.sleep(1000)"),
                heartbeat=1.0, callback_limit=3.0)  # fmt: skip
    job = trial.start(ranks=0, env={"HANG": "1"})
    wait_until_it_hangs(trial, job)
    job.fails(8, "worker: Mine.workerCalc has run for", "at the update at 200 events")
    expect("Mine.workerCalc runs since" in job.log, job.log)


def take_long(trial):
    """Twice the limit of silence in a callback, with the interpreter held, is no silence."""
    how = "time.sleep(4)" if trial.number % 2 else HELD_FOR.format(seconds=4)
    name = ("workerCalc", "viewerPublishReduced", "eventOk")[trial.number % 3]
    trial.write(body=ASLEEP.format(name=name, when=WHEN[name], how=how), heartbeat=2.0, block=16)
    job = trial.start(env={"SECONDS": "0", "HANG": "1"})
    wait_until_it_hangs(trial, job)
    job.ends(within=20)
    expect(job.status == 0 and trial.record.seconds > 4, f"exit status {job.status}: {job.log}")


def be_stopped_all(trial):
    """All ranks are stopped for longer than the limit and go on: nobody is to be blamed."""
    trial.write(body=PACED, heartbeat=2.0)
    job = trial.start()
    job.wait_published(2)
    pids = [job.pid(rank) for rank in range(4)]
    job.strike()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            job.strike(pid, number)
        time.sleep(5 if number is signal.SIGSTOP else 0)
    job.ends(within=30)
    expect(job.status == 0, f"exit status {job.status}: {job.log}")


TITLE = (
    "A rank is stopped, or a callback does not return: the job ends within 5 s of the limit (`heartbeat`, "
    "`callback_limit`), exit status 1, rank, role, host and last event named"
)
ROWS = [
    # in a test of a slow machine the shorter limit might find another rank silent
    *(
        Row(f"{who} is stopped (SIGSTOP), limit 10 s", stop(*rank, 10.0), times=1, quick=rank[0] != 1)
        for who, rank in ROLES.items()
    ),
    *(Row(f"{who} is stopped (SIGSTOP), limit 2 s", stop(*rank, 2.0), times=3) for who, rank in ROLES.items()),
    Row("viewer, server and a worker are stopped together, limit 2 s", stop_together, times=2),
    *(Row(f"`{name}` sleeps for ever, limit 5 s", never_return(name), times=1) for name in WHEN),
    *(
        Row(f"`{name}` hangs in compiled code that holds the interpreter, limit 5 s", never_return(name, held=True))
        for name in WHEN
    ),
    Row("the same with `heartbeat` 0: `workerCalc`, limit 3 s", never_return_unheard, quick=1),
    Row("`workerCalc` sleeps for ever in a run without MPI, limit 3 s", never_return_alone, quick=1),
    Row("a callback takes twice the limit of silence: the run goes on, exit status 0", take_long, times=6),
    Row("all ranks are stopped for twice the limit and go on: so does the run, exit status 0", be_stopped_all, times=2),
]  # fmt: skip
