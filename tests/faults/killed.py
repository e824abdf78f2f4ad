"""A rank is killed, or crashes."""

import signal

from faults.frame import Row, expect
from faults.silent import ROLE, WHEN

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
    name = list(WHEN)[trial.number % len(WHEN)]
    trial.write(body=LEAVES.format(name=name, when=WHEN[name]), block=16)
    job = trial.start(env={"FAULT": "1"})
    job.ends(within=5)
    expect(job.status == 1, f"exit status {job.status}: {job.log}")
    lines = [line for line in job.log.splitlines() if line.startswith("parCorAnaDriver: ")]
    said = ROLE[name].replace(" (", ", "), f"Mine.{name}", "os._exit(0) would end this rank without a word"
    expect(len(lines) == 1 and all(text in lines[0] for text in said), job.log)


TITLE = "A rank is killed or crashes: the job ends within 5 s, exit status not 0"
ROWS = [
    Row(
        f"{role} gets {number.name}", kill(rank, number), times=3, quick=role == "a worker" and number.name == "SIGKILL"
    )
    for role, rank in ROLES.items()
    for number in (signal.SIGKILL, signal.SIGSEGV)
] + [
    Row(
        "a callback calls `os._exit(0)`, on the server, a worker, the viewer: exit status 1, one line",
        leave,
        times=9,
        quick=1,
    )
]
