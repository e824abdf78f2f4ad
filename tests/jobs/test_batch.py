"""The batch scripts: bash takes them, and they do what they say on the launcher of this machine."""

import os
import subprocess

import pytest
from conftest import BIN

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
