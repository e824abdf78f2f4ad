"""The run is asked to stop, while all ranks have as much to do as they can."""

import signal
import time

import numpy as np

from faults.frame import Row, expect

SHAPE = (4, 64, 64)


def stop(how, arrays=False):
    def provoke(trial):
        np.save(trial.folder / "mask.npy", np.ones(SHAPE, np.int8))
        trial.compares = False  # where it ends depends on the moment; tests/jobs/test_stop.py compares
        trial.write(
            base=("G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed")[trial.number % 3],
            user={"normalization": "color", "save_arrays": arrays},
            dataset=f"sim=brownian:shape={'x'.join(map(str, SHAPE))}:events=1000000:poisson=0",
            update=500,
            times=400,
            delays=[1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233],
            numservers=2,
        )
        option = ["--stop-signal", how[-4:]] if "USR" in how else []
        job = trial.start(*option, ranks=5)
        job.wait_published(2)
        time.sleep(trial.random.uniform(0, 0.5))
        name = "--stop"
        if how == "--stop":
            job.strike()
            asked = trial.run("parCorAnaDriver", "--stop", "out.h5")
            expect(asked.returncode == 0, asked.stderr)
        else:
            who, name = how.split()
            job.strike(job.launcher if who == "mpiexec" else job.pid(int(who[-1])), getattr(signal, name))
        job.ends(within=10)
        expect(job.status == 0, f"exit status {job.status}: {job.log}")
        expect("Traceback" not in job.log, job.log)
        trial.check_stopped(f"stopped by {name}")

    return provoke


MPICH = ("mpich",)  # the other kills its ranks a moment after it has passed a signal on
TITLE = "The run is asked to stop at full load: what was read is published within 10 s, exit status 0, accounting exact"
ROWS = [
    Row("SIGTERM to mpiexec", stop("mpiexec SIGTERM"), times=3, mpi=MPICH),
    Row(
        "SIGTERM to mpiexec, and full arrays are published at every update",
        stop("mpiexec SIGTERM", True),
        times=3,
        mpi=MPICH,
    ),
    Row("SIGINT to mpiexec", stop("mpiexec SIGINT"), times=3, mpi=MPICH),
    Row("SIGUSR1 to mpiexec, with `--stop-signal`", stop("mpiexec SIGUSR1"), times=1, mpi=MPICH),
    Row("SIGTERM to the viewer", stop("rank0 SIGTERM"), times=1),
    Row("SIGHUP to the viewer", stop("rank0 SIGHUP"), times=1),
    Row("SIGTERM to a server", stop("rank2 SIGTERM"), times=1),
    Row("SIGUSR2 to a worker, with `--stop-signal`", stop("rank4 SIGUSR2"), times=1),
    Row("`--stop`", stop("--stop"), times=3, quick=1),
]
