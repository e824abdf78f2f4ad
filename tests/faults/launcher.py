"""mpiexec itself is killed, and the ranks are left to themselves."""

import signal
import time

from faults.frame import Row
from faults.silent import ASLEEP, HELD, PACED, wait_until_it_hangs


def while_it_computes(trial):
    trial.write(body=PACED, block=16)
    job = trial.start()
    job.wait_published(2)
    job.strike(job.launcher, signal.SIGKILL)
    job.ends(within=10, grace=10)


def while_a_callback_hangs(trial):
    """Neither asleep nor in compiled code a rank may be waited for."""
    how = "time.sleep(1000)" if trial.number % 2 else HELD
    trial.write(body=ASLEEP.format(name="workerCalc", when="self.mpiParams.processed == 200", how=how), block=16)
    job = trial.start(env={"HANG": "1"})
    wait_until_it_hangs(trial, job)
    job.strike(job.launcher, signal.SIGKILL)
    job.ends(within=10, grace=10)


def while_it_starts(trial):
    trial.write(body=PACED)
    job = trial.start()
    job.wait(lambda: len(job.left()) > 3, "there were ranks")
    time.sleep(trial.random.uniform(0, 1))
    job.strike(job.launcher, signal.SIGKILL)
    job.ends(within=10, grace=10)


TITLE = "mpiexec is killed (SIGKILL): no rank is left after 10 s"
ROWS = [
    Row("while events are processed", while_it_computes, times=3, quick=1),
    Row("while a callback hangs, asleep or in compiled code", while_a_callback_hangs, times=2),
    Row("while the job starts", while_it_starts, times=4),
]
