"""A rank is killed, or crashes."""

import signal

from faults.frame import Row, expect
from faults.silent import HOST, ROLE, WHEN

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""
ROLES = {"the viewer": 0, "a server": 1, "a worker": 3}


def kill(rank, number):
    def provoke(trial):
        trial.write(body=PACED)
        job = trial.start()
        job.wait_published(2)
        job.strike(job.pid(rank), number)
        job.ends(within=5)
        expect(job.status != 0, "exit status 0")

    return provoke


LEAVES = """\
    def {name}(self, *args):
        if {when} and struck():
            os._exit(0)
        return True if {name!r} == "eventOk" else super().{name}(*args)
"""


def leave(trial):
    """MPICH's mpiexec kills all others within a hundredth of a second: who hears of it first has to be quick."""
    name = list(WHEN)[trial.number % len(WHEN)]
    trial.write(body=LEAVES.format(name=name, when=WHEN[name]), block=16)
    job = trial.start(env={"FAULT": "1"})
    job.ends(within=5)
    expect(job.status != 0, f"exit status 0: {job.log}")
    lines = [line for line in job.log.splitlines() if line.startswith("parCorAnaDriver: ")]
    said = f"{ROLE[name]} on {HOST}) has ended without a word; the last heard of it: "
    expect(all(said in line for line in lines) and len(lines) < 2, job.log)


TITLE = "A rank is killed or crashes: the job ends within 5 s, exit status not 0"
ROWS = [
    Row(
        f"{role} gets {number.name}", kill(rank, number), times=3, quick=role == "a worker" and number.name == "SIGKILL"
    )
    for role, rank in ROLES.items()
    for number in (signal.SIGKILL, signal.SIGSEGV)
] + [Row("a callback calls `os._exit(0)`, on the server, a worker, the viewer", leave, times=9, quick=1)]
