"""The ranks do not have the same job: files are copies of their own, or were edited while the job started."""

import os
import re
import socket

import numpy as np

from faults.frame import Row, expect

HOST = socket.gethostname()
# what the config says on one rank only
ON_ONE = "\nif os.environ.get({variable!r}) == '{rank}':\n    {line}\n"
WHAT = {
    "mask": ("system_params['mask'] = 'other.npy'", "the mask differs: rank {rank} ({host}) has "),
    "color": ("user_params['color'] = 'fine.npy'", "user_params['color'] differs: rank {rank} ({host}) has "),
    "notzero": ("user_params['notzero'] = 9", "user_params['notzero'] differs: rank {rank} ({host}) has 9"),
    "numservers": ("system_params['numservers'] = 2", "numservers differs: rank {rank} ({host}) has 2, the others"),
    "heartbeat": ("system_params['heartbeat'] = 0", "heartbeat differs: rank {rank} ({host}) has 0.0, the others"),
    "code": ("mine.Mine.eventOk = lambda self, evt: True", "the code of Mine differs: rank {rank} ({host}) has "),
    "error": ("1 / 0", "ZeroDivisionError: division by zero; so on rank {rank} ({host}) only"),
}


def write(trial, rank, line, **system):
    """Write a config that has one more line on one rank."""
    trial.write(**system)
    path = trial.folder / "config.py"
    more = ON_ONE.format(variable=trial.launcher.rank_variable, rank=rank, line=line)
    path.write_text(f"import os, signal, time\n{path.read_text(encoding='utf-8')}{more}", encoding="utf-8")


def differ(trial):
    """A server, a worker, the viewer in turn."""
    rank = (1, 3, 0)[trial.number % 3]
    name = list(WHAT)[trial.number % len(WHAT)]
    line, words = WHAT[name]
    other = trial.setup.mask.copy()
    other[0, 0] = 1 - other[0, 0]
    np.save(trial.folder / "other.npy", other)
    write(trial, rank, line)
    job = trial.start()
    job.ends(within=30)
    trial.record.seconds = None
    expect(job.status == 2, f"exit status {job.status}: {job.log}")
    job.says(words.format(rank=rank, host=HOST))
    expect(not list(trial.folder.glob("out.h5*")), "it began a result")


def hang_in_config(trial):
    write(trial, 2, "time.sleep(1000)")
    job = trial.start("--start-limit", "4")
    job.fails(30, f"rank 2 (on {HOST}): the config file has run for 4 s, longer than --start-limit=4")
    trial.record.seconds = None


def stop_in_config(trial):
    """One that is stopped is silent: that has the limit of all silence."""
    write(trial, 2, "os.kill(os.getpid(), signal.SIGSTOP)")
    job = trial.start()
    job.fails(30, f"rank 2 (on {HOST}) has been silent for 1")
    trial.record.seconds = None


def stop_before_mpi(trial):
    """The others wait in MPI for it, and let no other thread run."""
    trial.write()
    early = f"if os.environ.get({trial.launcher.rank_variable!r}) == '1':\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
    (trial.folder / "sitecustomize.py").write_text(f"import os, signal\n{early}", encoding="utf-8")
    job = trial.start("--start-limit", "4", env={"PYTHONPATH": f"{trial.folder}:{os.environ.get('PYTHONPATH', '')}"})
    job.ends(within=30)
    trial.record.seconds = None
    expect(job.status != 0, f"exit status 0: {job.log}")
    job.says(re.compile(rf"not all ranks have started within 4 s .*: rank 1 on {HOST} \(process \d+\) is stopped"))


TITLE = (
    "The ranks do not have the same job, or one does not come: who differs is named, exit status 2; who hangs is "
    "named, exit status not 0"
)
ROWS = [
    Row(f"on one rank another {', '.join(WHAT)}", differ, times=len(WHAT) * 2, quick=1),
    Row("a config does not return on one rank, limit 4 s: exit status 1", hang_in_config, quick=1),
    Row("a rank is stopped (SIGSTOP) in its config: exit status 1", stop_in_config),
    Row("a rank is stopped before MPI has started, limit 4 s", stop_before_mpi, quick=1),
]
