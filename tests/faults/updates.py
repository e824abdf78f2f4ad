"""What was published is damaged, or cannot be joined; there are thousands of updates when the run is stopped.

More of them, on a quiet machine::

    PARCORANA_FAULTS_UPDATES=10000 PYTHONPATH=tests python -m faults --only updates
"""

import os
import signal

import h5py
import numpy as np

from faults.frame import Row, expect
from faults.killed import PACED

MANY = int(os.environ.get("PARCORANA_FAULTS_UPDATES", "2000"))
LINKS = """\
    def viewerPublishReduced(self, counts, relsec, reduced, group):
        super().viewerPublishReduced(counts, relsec, reduced, group)
        import h5py
        if "FAULT" in os.environ and self.mpiParams.processed == 200:
            struck()
            {how}
"""
HOW = (
    'group["raw"] = h5py.ExternalLink("raw.h5", "/frames")',
    'group["raw"] = h5py.SoftLink("/user/nothing")',
    'group.create_dataset("raw", (9,), "u1", external=[("raw.bin", 0, 9)])',
    'group["raw"] = group.ref',
)


def stop_after_many(trial):
    """Nobody waits until thousands of updates are joined."""
    np.save(trial.folder / "mask.npy", np.ones((2, 5, 7), np.int8))
    trial.compares = False  # where it ends depends on the moment
    trial.write(user={"save_arrays": False}, dataset="sim=brownian:shape=2x5x7:events=1000000", update=5, times=20)
    job = trial.start(ranks=3, limit=300 + 0.1 * MANY)
    folder = trial.folder / "out.h5.inprogress"
    job.wait(lambda: folder.is_dir() and len(os.listdir(folder)) > MANY, f"{MANY} updates were published")
    job.strike(job.launcher, signal.SIGTERM)
    job.ends(within=10)
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    with h5py.File(trial.output) as file:
        expect(len(file["user"]) >= MANY, f"{len(file['user'])} updates")


def flip_bits(trial):
    """One of the updates of a run that was killed is not what was written: it is left out, with a word."""
    trial.write(body=PACED)
    job = trial.start()
    job.wait_published(3)
    job.strike(job.pid(0), signal.SIGKILL)
    job.ends(within=5)
    trial.compares = False  # one is lost by what was done to it
    paths = sorted((trial.folder / "out.h5.inprogress").glob("update_*.h5"))
    path = paths[trial.number % len(paths)]
    data = bytearray(path.read_bytes())
    data[trial.random.randrange(len(data) - 50)] ^= 1 << trial.random.randrange(8)
    path.write_bytes(data)
    joined = trial.run("parCorAnaDriver", "--join", "out.h5.inprogress")
    expect(joined.returncode == 0, joined.stderr)
    expect(f"{path.name} is damaged: its checksum is wrong; it is left out" in joined.stderr, joined.stderr)
    with h5py.File(trial.output) as file:
        left_out = file["system"].attrs["updates_left_out"].tolist()
        expect(left_out == [int(path.stem[7:])] and len(file["user"]) == len(paths) - 1, left_out)


def link_elsewhere(trial):
    """What could not be joined at the end is refused when user code writes it."""
    trial.write(body=LINKS.format(how=HOW[trial.number % len(HOW)]))
    job = trial.start(env={"FAULT": "1"})
    job.fails(5, "user_class Mine: ", "/user/raw'")
    expect(trial.run("parCorAnaDriver", "--join", "out.h5.inprogress").returncode == 0, "what was before is not joined")


TITLE = "What was published is damaged, or would not be joined: said with what to do, all else is kept"
ROWS = [
    Row(f"SIGTERM to mpiexec after {MANY} updates", stop_after_many, mpi=("mpich",), alone=True),
    Row("a bit of an update flips before it is joined", flip_bits, times=3),
    Row("user code links to what is not in the file, or writes references", link_elsewhere, times=len(HOW)),
]
