"""Commands whose standard output cannot be written: the status is that of what they did, with no traceback."""

import os
import subprocess

import pytest
from conftest import BIN
from effort import PATIENCE

COMMANDS = {
    "compare": ("cmpParCorAnaH5Output out.h5 out.h5", 0),
    "compare others": ("cmpParCorAnaH5Output out.h5 other.h5", 1),
    "check": ("parCorAnaDriver -c config.py --check -v error", 0),
    "help": ("parCorAnaDriver --help", 0),
    "plot": ("parCorAnaPlot out.h5 -o a.png --fit single", 0),
    "merge": ("python -m parcorana.tools.merge out.h5 -o m.h5 --overwrite --normalization pixel", 0),
    "mask tool": ("parCorAnaMaskColorTool check --mask mask.npy", 0),
    "what is installed": ("python -m parcorana", 0),
    "a fault": ("cmpParCorAnaH5Output out.h5 nothing.h5", 2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from conftest import Setup

    setup = Setup(tmp_path_factory.mktemp("speaks"))
    setup.write()
    for args in (("-o", "out.h5"), ("-o", "other.h5", "-n", "100")):
        assert setup.drive(*args).returncode == 0
    return setup.folder


def run(folder, command):
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    line = ["timeout", "-k", "5", str(PATIENCE), "bash", "-c", command]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_nobody_reads(folder, name):
    command, status = COMMANDS[name]
    ran = run(folder, f"set -o pipefail; ({command}; echo status $? >&2) | true")
    assert f"status {status}" in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr and "Exception ignored" not in ran.stderr, ran.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "a fault"])
def test_a_full_disk(folder, name):
    command, status = COMMANDS[name]
    ran = run(folder, f"{command} > /dev/full; echo status $? >&2")
    assert f"status {status}" in ran.stderr, ran.stderr
    assert "what it prints could not be written: [Errno 28] No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr and "Exception ignored" not in ran.stderr, ran.stderr
