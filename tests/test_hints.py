"""What the log tells a tired user before they notice it themselves."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from functools import partial

import h5py
import numpy as np
import pytest
from conftest import BIN
from test_config import check_line
from test_pipeline import write_user_class

from parcorana.ratecheck import RateCheck


def with_times(setup, times, name="timestamp"):
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/counter"]
        file[f"det/{name}"] = times


def test_a_rate_that_hardly_fits_is_said_at_the_start(setup):
    with_times(setup, 1e9 + np.arange(230) / 24)
    setup.write(rate=25.0)
    assert "41.67 ms apart (24 Hz), 1.042 pulses at rate=25.0: NOT a whole number" in setup.drive().stderr
    setup.write(rate=24.0)
    log = setup.drive().stderr
    assert "1 pulses at rate=24.0" in log and "NOT a whole" not in log


@pytest.mark.parametrize(
    ("hz", "rate"), [(1.0, 1.0), (119.9, 120.0), (120.0, 120.0), (1e6, 1e6), (1e6, 5e5), (24.0, 25.0)]
)
def test_events_between_two_counts(hz, rate):
    """With numbers, once; not for events on the counts with the jitter of a clock, days after the first one."""
    check, first, said = RateCheck(rate), 10**18, []
    jitter = np.random.default_rng(0).normal(0, 0.01 / hz, 3000)
    days = np.repeat([0, 11 * 86400 * 10**9], 1500)
    stamps = first + days + np.rint((np.arange(3000) / hz + jitter) * 1e9).astype(np.int64)
    for block in np.split(stamps, 30):
        said += [line] if (line := check.look(block, first)) else []
    assert len(said) == (hz != rate)
    if said:
        assert (
            f"rate={rate}: " in said[0] and "events lie between two counts, more than 0.2 pulses from either" in said[0]
        )
        apart = float(re.search(r"mostly ([\d.e+-]+) ms apart", said[0])[1])
        assert apart == pytest.approx(1e3 / hz, rel=0.05)


def test_events_between_two_counts_are_said_while_running(setup):
    with_times(setup, np.arange(230) * 10**7)
    setup.write(rate=150.0)
    for ranks in (0, 4):
        log = setup.drive(ranks=ranks).stderr
        assert log.count("events lie between two counts") == 1
        assert "10 ms apart (100 Hz), 1.5 pulses: is rate right?" in log


def test_dropping_most_events_is_a_warning(setup):
    with_times(setup, 10**9 + np.arange(230))  # seconds as whole numbers, which are nanoseconds
    setup.write()
    run = setup.drive()
    assert run.returncode == 0
    assert "229 of 230 events were duplicates" in run.stderr


def test_delays_without_pairs_are_a_warning(setup):
    with_times(setup, 5 * np.arange(230), "counter")
    setup.write()
    log = setup.drive().stderr
    assert "7 of 9 delays (as 1 pulses) have no pair: all events are multiples of 5 pulses apart" in log


def test_times_that_are_not_read_are_named(setup):
    with_times(setup, np.arange(230.0), "timestamps")
    setup.write()
    assert "('timestamps' is there, which is not read), so frames count as pulses" in setup.drive().stderr


def test_a_misspelt_callback_is_a_warning(setup):
    write_user_class(setup, "def finaldataArray(self, dataArray, evt):\n        return None")
    run = setup.drive()
    assert run.returncode == 0
    assert "'finaldataArray' is no callback; did you mean 'finalDataArray'?" in run.stderr


def test_a_class_that_cannot_be_made_is_refused_before_the_run(setup):
    write_user_class(setup, "def __init__(self):\n        pass")
    check_line(setup.drive(), "__init__ must take (self, user_params, system_params, mpiParams)")


def test_a_failure_says_what_is_kept_and_only_once(setup):
    body = """def adjustData(self, data):
        import time
        self.seen = getattr(self, 'seen', 0) + 1
        time.sleep(0.02 * (self.seen > 70))  # the viewer publishes meanwhile
        1 / (self.seen < 120)"""
    write_user_class(setup, body)
    run = setup.drive(ranks=5)
    assert run.returncode == 1
    lines = run.stderr.splitlines()
    assert sum("ZeroDivisionError" in line for line in lines) == 1
    assert "what was published is kept: 1 update so far, up to 70 events" in run.stderr
    assert f"--join {setup.folder / 'out.h5.inprogress'}" in run.stderr


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_run_in_progress_cannot_be_joined_or_replaced(setup, command, ranks):
    body = "def adjustData(self, data):\n        import time\n        time.sleep(0.05)"
    write_user_class(setup, body, update=20)
    launcher = [str(BIN / "mpiexec"), "-n", str(ranks)] if ranks else []
    job = [*launcher, str(BIN / "parCorAnaDriver"), "-c", "config.py"]
    # a job in the background of a shell would not hear SIGINT
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(job, cwd=setup.folder, stderr=subprocess.PIPE, text=True, preexec_fn=hear)  # noqa: PLW1509
    try:
        deadline = time.monotonic() + 30
        while not list(setup.folder.glob("out.h5.inprogress/update_*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        check_line(command("parCorAnaDriver", "--join", "out.h5.inprogress", cwd=setup.folder), "is being written by")
        check_line(setup.drive("--overwrite"), "another run is writing it")
        assert run.poll() is None
    finally:
        run.send_signal(signal.SIGINT)
        log = run.communicate(timeout=30)[1]
    assert run.returncode == 0, log
    assert (setup.folder / "out.h5").exists() and not (setup.folder / "out.h5.inprogress").exists()


@pytest.mark.parametrize("ranks", [0, 3])
def test_progress_in_a_terminal(setup, ranks):
    """Events, rate and time left, in the terminal that mpiexec runs in, too; nothing of it in a pipe."""
    body = "def adjustData(self, data):\n        import time\n        time.sleep(0.02)"
    write_user_class(setup, body)
    launcher = [str(BIN / "mpiexec"), "-n", str(ranks)] if ranks else []
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    job = ["timeout", "60", *launcher, str(BIN / "parCorAnaDriver"), "-c", "config.py"]
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    run = subprocess.Popen(job, cwd=setup.folder, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # all of the other ends are closed
            break
        if not piece:
            break
        shown += piece
    assert run.wait() == 0, shown.decode()
    assert re.search(r"\d+%\|.*\d+/230 \[00:\d\d<00:\d\d, +[\d.]+ events/s, processed=\d+\]", shown.decode())
    assert "processed=" not in setup.drive("-o", "piped.h5", ranks=ranks).stderr


def test_a_config_error_raised_by_one_rank_ends_all(setup):
    """Raised in user code after the start it is a failure of the run, not of the config."""
    body = "def initWorker(self, numElementsWorker):\n        self.n = numElementsWorker\n"
    body += "        if not self.mpiParams.firstWorker:\n            parcorana.make_delay_list(0, 1, 2)"
    write_user_class(setup, body)
    path = setup.folder / "mine.py"
    text = path.read_text(encoding="utf-8")
    second = text.index("    def initWorker", text.index("def arrayNames"))
    path.write_text(text[:second] + text[text.index("    def workerCalc", second) :], encoding="utf-8")
    run = setup.drive(ranks=4, seconds=20)
    assert run.returncode == 1
    assert "make_delay_list: start must be" in run.stderr
