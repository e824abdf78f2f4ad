"""Jobs over several hosts, in network namespaces; the link to one of them is cut."""

import os
import re
import signal
import time
from dataclasses import replace

from hosts import Hosts, missing

from faults.frame import Row, expect, marked
from faults.silent import AT, PACED


def start(trial, hosts, *ranks):
    """Start a job with so many ranks on each host."""
    # which would let Open MPI put all of them onto the first one
    arguments = tuple(each for each in trial.launcher.arguments if each != "--oversubscribe")
    trial.launcher = replace(trial.launcher, arguments=arguments)
    env = hosts.environment(*ranks, mpi=trial.launcher.name)
    return trial.start(ranks=sum(ranks), env=env, before=hosts.start())


def run(*ranks, servers):
    """So many ranks on each host: the result is that of one process."""

    def provoke(trial):
        trial.write(numservers=servers)
        with Hosts(len(ranks), trial.folder) as hosts:
            job = start(trial, hosts, *ranks)
            job.ends(within=60)
            trial.record.seconds = None
            expect(job.status == 0, f"exit status {job.status}: {job.log}")
            expect(hosts.received("h2") > 100_000, "nothing went over the network")

    return provoke


def without_launcher(trial, job):
    """Open MPI's mpiexec goes on waiting for its daemon on the other host: wait until no rank is left, end the rest."""
    while any(trial.launcher.rank_variable in environ for environ in marked(job.mark).values()):
        time.sleep(0.05)
    for pid in job.left():
        os.kill(pid, signal.SIGKILL)


def cut(host, heartbeat):
    def provoke(trial):
        trial.write(body=PACED, heartbeat=heartbeat, block=16)
        with Hosts(2, trial.folder) as hosts:
            job = start(trial, hosts, 2, 2)
            job.wait_published(8)  # some seconds: the last word of a rank may be one old
            hosts.cut(host)
            job.strike()
            if trial.launcher.name == "openmpi":
                without_launcher(trial, job)
            # mpiexec ends at once; who is beyond the link goes when nothing is heard of the viewer
            job.ends(within=heartbeat + 5, grace=5)
            expect(job.status != 0, "exit status 0")
            job.says(re.compile(r"rank [23] \(worker on h2\) has been silent for"), AT)
            expect("what was published is kept" in job.log, job.log)

    return provoke


TITLE = (
    "Several hosts: the result is that of one process; a link is cut: the job is gone on both sides within 5 s of the "
    "limit (`heartbeat`), rank, role, host and last event named; Open MPI's mpiexec alone waits on, and is then killed"
)
ROWS = [
    Row("two hosts, two servers", run(2, 3, servers=2), skip=missing),
    Row("three hosts, three servers", run(2, 2, 3, servers=3), skip=missing),
    *(
        Row(
            f"the link of {who} is cut, limit {limit:.0f} s",
            cut(host, limit),
            times=times,
            quick=(host, limit) == ("h2", 10.0),
            skip=missing,
        )
        for who, host in (("the host with the workers", "h2"), ("the host with viewer and server", "h1"))
        for limit, times in ((10.0, 1), (2.0, 3))
    ),
]
