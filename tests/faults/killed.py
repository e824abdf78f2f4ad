"""A rank is killed, or crashes."""

import signal

from faults.frame import Row, expect

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


TITLE = "A rank is killed or crashes: the job ends within 5 s, exit status not 0"
ROWS = [
    Row(
        f"{role} gets {number.name}", kill(rank, number), times=3, quick=role == "a worker" and number.name == "SIGKILL"
    )
    for role, rank in ROLES.items()
    for number in (signal.SIGKILL, signal.SIGSEGV)
]
