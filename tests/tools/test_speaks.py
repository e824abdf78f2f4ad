"""Commands whose standard output cannot be written: the status is that of what they did, with no traceback."""

import os
import signal
import subprocess

import h5py
import pytest
from conftest import BIN
from effort import PATIENCE

from parcorana.errors import speaks, told
from parcorana.files.trial import tried
from parcorana.tools import compare

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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("name", ["a fault", "a log"])
def test_a_full_disk_for_the_log(folder, name):
    command, status = COMMANDS.get(name, ("parCorAnaDriver -c config.py -o full.h5 -n 5", 0))
    ran = run(folder, f"export PYTHONUNBUFFERED=; {command} 2> /dev/full; exit $?")
    assert ran.returncode == status


@pytest.mark.parametrize(("name", "how"), [("compare", ">&- 2>&-"), ("compare others", ">&-"), ("compare", "SIGCHLD")])
def test_streams_that_are_closed_and_children_nobody_waits_for(folder, name, how):
    command, status = COMMANDS[name]
    if how == "SIGCHLD":
        ran = run(folder, f"trap '' CHLD; {command}; exit $?")
    else:
        ran = run(folder, f"({command}) {how}; exit $?")
    assert ran.returncode == status, ran.stderr
    assert "Traceback" not in ran.stderr


def test_who_interrupts_a_command_is_told_in_a_line(capsys):
    def wait(*args):
        raise KeyboardInterrupt

    assert speaks("any")(lambda argv: told("any", wait))() == 130
    assert capsys.readouterr().err == "any: interrupted\n"


def test_what_goes_wrong_is_no_difference(monkeypatch, capsys):
    def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(compare, "_compare", fail)
    assert compare.main(["a", "b"]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_children_that_nobody_waits_for():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert tried(lambda: None) is None
        assert tried(lambda: 1 / 0) is None, "who reads it again gets that, too"
        assert "HDF5's library crashes over it" in tried(lambda: os.kill(os.getpid(), signal.SIGKILL))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_groups_within_groups_without_end(tmp_path):
    """Each is opened in the one above it: by their whole paths it would take minutes."""
    for name, last in (("a.h5", 1), ("b.h5", 2)):
        with h5py.File(tmp_path / name, "w") as file:
            group = file
            for _ in range(300):
                group = group.create_group("g")
            group.attrs["last"] = last
            file["again"] = file["g/g"]  # the same by another name
            file["g/g/here"] = h5py.SoftLink("/g")
    assert compare.compare(tmp_path / "a.h5", tmp_path / "a.h5") == []
    (line,) = compare.compare(tmp_path / "a.h5", tmp_path / "b.h5")
    assert line.endswith("/g@last: 1 of 1 values differ; the first: 1 and 2, by 1")
