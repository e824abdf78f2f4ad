"""The batch scripts: bash takes them, and they do what they say on the launcher of this machine."""

import os
import signal
import subprocess
import time

import h5py
import pytest
from conftest import BIN
from effort import PATIENCE

SCRIPTS = {"batch_slurm.sh": "#SBATCH", "batch_lsf.sh": "#BSUB"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_syntax(root, name):
    done = subprocess.run(["bash", "-n", root / "examples" / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (root / "examples" / name).read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    # what the batch system reads must come before the first command
    first = next(k for k, line in enumerate(lines) if line and not line.startswith("#"))
    assert sum(line.startswith(SCRIPTS[name]) for line in lines[:first]) >= 6
    assert not any(line.startswith(SCRIPTS[name]) for line in lines[first:])


@pytest.mark.parametrize("name", SCRIPTS)
def test_dry_run(setup, root, name, command):
    """As the batch system would run it, but for the hosts: checked first, then run, options passed on."""
    setup.write(threads=1)
    (setup.folder / "activate").write_text(f"export PATH={BIN}:$PATH\n")
    env = {"CONFIG": "config.py", "ENVIRONMENT": str(setup.folder / "activate"), "LAUNCH": "mpiexec -n 3"}
    done = command("bash", root / "examples" / name, "-n", "50", "-o", f"{name}.h5", cwd=setup.folder, env=env)
    assert done.returncode == 0, done.stderr
    assert "memory:" in done.stdout and os.path.exists(setup.folder / f"{name}.h5")
    setup.write(times=0)
    failed = command("bash", root / "examples" / name, cwd=setup.folder, env=env)
    assert failed.returncode == 2 and failed.stderr.count("times must be at least 1") == 1


@pytest.fixture
def batch(setup, root, command):
    """Run a script as its batch system would."""
    setup.write(threads=1, update=100)
    (setup.folder / "activate").write_text(f"export PATH={BIN}:$PATH\n")
    common = {"CONFIG": "config.py", "ENVIRONMENT": str(setup.folder / "activate"), "LAUNCH": "mpiexec -n 3"}

    def run(name, *options, **env):
        return command("bash", root / "examples" / name, *options, cwd=setup.folder, env=common | env)

    run.folder, run.environment = setup.folder, common
    return run


@pytest.mark.parametrize(
    ("name", "array", "restart"),
    [
        ("batch_slurm.sh", {"SLURM_ARRAY_TASK_ID": "7"}, {"SLURM_RESTART_COUNT": "1"}),
        ("batch_lsf.sh", {"LSB_JOBINDEX": "7"}, {"LSB_RESTART": "Y"}),
    ],
)
def test_arrays_of_runs_and_a_job_that_comes_again(batch, name, array, restart):
    """The number of the run is in dataset and result; a second start wants to go on, and else begins anew."""
    dataset = {"DATASET": "sim=brownian:shape=2x5x7:events=400:tau=10:seed=RUN"} | array
    first = batch(name, "-n", "200", **dataset, **restart)  # put back into the queue before it came to anything
    assert first.returncode == 0 and "there is no such run" in first.stderr, first.stderr
    with h5py.File(batch.folder / "run7.h5") as file:
        assert "seed=7" in file["system/system_params"].asstr()[()]
    again = batch(name, **dataset, **restart)
    # a run that is complete has nothing to go on with: it is done again, for the config says overwrite
    assert again.returncode == 0 and "the run that wrote it has ended" in again.stderr, again.stderr
    with h5py.File(batch.folder / "run7.h5") as file:
        assert file["system/accounting"].attrs["processed"] == 400


def test_the_warning_of_lsf_stops_the_run(batch, root):
    """The signal comes to the script, and the result is finished."""
    env = os.environ | batch.environment | {"OUTPUT": "out.h5"}
    live = "sim=brownian:live:hz=400:shape=2x5x7:events=100000:tau=10"
    script = ["bash", root / "examples" / "batch_lsf.sh", "-d", live]
    with (
        open(batch.folder / "log", "wb") as log,
        subprocess.Popen(script, cwd=batch.folder, env=env, stderr=log) as job,
    ):
        published = batch.folder / "out.h5.inprogress" / "update_000100.h5"
        until = time.monotonic() + 10 * PATIENCE
        while not published.exists() and job.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        job.send_signal(signal.SIGUSR2)
        try:
            status = job.wait(PATIENCE)
        finally:
            job.kill()
    said = (batch.folder / "log").read_text()
    assert status == 0, said
    with h5py.File(batch.folder / "out.h5") as file:
        assert file["system"].attrs["ended_by"] == "stopped by --stop" and not file["system"].attrs["complete"]
