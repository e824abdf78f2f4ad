"""What the log tells a tired user before they notice it themselves."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time

import h5py
import numpy as np
import pytest
from conftest import BIN
from correlate.test_reach import plain
from effort import PATIENCE
from job.test_config import check_line
from test_pipeline import write_user_class

from parcorana.pipeline.ratecheck import RateCheck


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


def test_a_short_run_between_two_counts_is_said_at_its_end(setup):
    with_times(setup, np.arange(230) * 12_500_000)  # a camera of 80 Hz
    setup.write(rate=120.0)
    log = setup.drive("-n", 150).stderr
    assert log.count("WARNING rate=120.0: 75 of 150 events lie between two counts") == 1
    setup.write(rate=80.0)
    assert "lie between" not in setup.drive("-n", 150, "--overwrite").stderr


def test_included_elements_at_the_largest_value_of_their_type_are_said(setup):
    frames = np.random.default_rng(0).poisson(5, (60, 2, 5, 7)).astype(np.uint16)
    frames[:, 1, 2, 3:5] = 65535
    with h5py.File(setup.folder / "frames.h5", "w") as file:
        file["det/frames"] = frames
    np.save(setup.folder / "mask.npy", np.ones((2, 5, 7), np.uint8))
    setup.write()
    for ranks in (0, 4):
        log = setup.drive("--overwrite", ranks=ranks).stderr
        assert log.count(" 2 of 70 included elements hold 65535 in the first frame") == 1, log
    mask = np.ones((2, 5, 7), np.uint8)
    mask[1, 2, 3:5] = 0
    np.save(setup.folder / "mask.npy", mask)
    assert "65535" not in setup.drive("--overwrite").stderr


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


def warnings_of(run):
    """Return the warnings of the log on times and delays."""
    assert run.returncode == 0, run.stderr
    lines = [line.partition(" WARNING ")[2] for line in run.stderr.splitlines()]
    return [line for line in lines if "delay" in line.replace("delay curve", "") or "times" in line]


TRAINS = (1000 * np.arange(10)[:, None] + np.arange(23)).ravel()
WITHIN, FAR = [1, 22, 978, 1000, 2011], [1, 22, 1000, 8005]


@pytest.mark.parametrize(
    ("ranks", "user_class"),
    [(0, "G2atEnd"), (0, "G2IncrementalAccumulator"), (0, "G2IncrementalWindowed"), (4, "G2IncrementalAccumulator")],
)
def test_trains_that_fit_into_the_buffer_are_no_warning(setup, user_class, ranks):
    """`times` is far below the largest delay, and enough all the same: for the whole run, or for each delay's reach."""
    with_times(setup, TRAINS, "counter")
    for times, delays in ((230, FAR), (90, WITHIN)):
        setup.write(user_class, times=times, delays=delays)
        assert warnings_of(setup.drive(ranks=ranks)) == []
    assert warnings_of(setup.drive("--check", ranks=ranks)) == []


@pytest.mark.parametrize("ranks", [0, 4])
def test_pairs_that_a_short_buffer_loses_are_counted(setup, ranks):
    """By number, with the `times` that would do; at the first update where it shows, and at the end."""
    with_times(setup, TRAINS, "counter")
    setup.write("G2IncrementalAccumulator", times=90, delays=[*WITHIN, 5000, 8005], update=150)
    first, last = warnings_of(setup.drive(ranks=ranks))
    lost, enough, _ = plain(TRAINS.tolist(), 90, [*WITHIN, 5000, 8005])
    assert lost == [0, 0, 0, 0, 0, 5 * 23, 2 * 18 - 0] and enough == 8 * 23 + 6
    words = f"(delay 5,000: {5 * 23} lost, 0 counted; delay 8,005: {2 * 18} lost, 0 counted)"
    assert last.startswith(f"times=90 is too small for 2 of 7 delays (from 5,000 pulses on): {5 * 23 + 2 * 18} pairs")
    assert words in last and last.endswith(f"times={enough} would have been enough")
    assert "(delay 5,000:" in first and first != last
    setup.write("G2IncrementalAccumulator", times=enough, delays=[*WITHIN, 5000, 8005], update=150)
    assert warnings_of(setup.drive(ranks=ranks)) == []


def test_what_came_too_late_would_need_more_times(setup):
    with_times(setup, np.roll(TRAINS, -1), "counter")  # the first event comes last
    setup.write("G2IncrementalAccumulator", times=90, delays=[*WITHIN, 5000, 8005])
    words = " would have been enough, and more for the 1 event that came too late for the buffer"
    assert any(re.search(rf"; times=\d+{words}$", line) for line in warnings_of(setup.drive()))


def test_delays_that_a_window_never_reaches(setup):
    with_times(setup, TRAINS, "counter")
    for user_class in ("G2atEnd", "G2IncrementalWindowed"):
        setup.write(user_class, times=90, delays=[*WITHIN, 5000, 8005], update=0)
        (line,) = warnings_of(setup.drive())
        assert line.startswith("times=90 is too small for 2 of 7 delays (from 5,000 pulses on): they have no pair")
        assert line.endswith("times=190 would have been enough")


@pytest.mark.parametrize(("times", "enough"), [(55, 56), (20, 56)])
def test_a_buffer_known_to_be_short_is_told_at_the_start(setup, times, enough):
    """Where events come one pulse apart and nothing filters them; with a filter nobody knows."""
    with_times(setup, np.arange(230), "counter")
    setup.write(times=times)
    for run in (setup.drive("--check"), setup.drive("--check", ranks=3)):
        (line,) = warnings_of(run)
        assert line.startswith(f"times={times} is too small for {sum(d >= times for d in setup.system['delays'])} of 9")
        assert line.endswith(f"set times to at least {enough}")
    assert warnings_of(setup.drive("--check", "-n", "20")) == []  # as many events as the buffer holds
    write_user_class(setup, "def eventOk(self, evt):\n        return evt.stamp % 2 == 0", times=times)
    assert warnings_of(setup.drive("--check")) == []


def test_a_buffer_known_to_be_short_by_the_clock(setup):
    """Times in nanoseconds are counted as the run will count them."""
    with_times(setup, 1e9 + np.arange(230) / 24)
    for rate, short in ((24.0, 56), (48.0, 28), (25.0, None)):
        setup.write(rate=rate, times=20, delays=[1, 2, 20, 40, 55] if rate == 24 else [2, 40, 54])
        lines = warnings_of(setup.drive("--check"))
        assert len(lines) == (short is not None)
        assert not short or lines[0].endswith(f"set times to at least {short}")


@pytest.mark.parametrize("ranks", [0, 4])
def test_delays_beyond_the_run(setup, ranks):
    """Counted in pulses, however many events there were."""
    with_times(setup, TRAINS, "counter")
    setup.write(times=230, delays=[1, 22, 8005, 9022, 9023, 12000], rate=1000.0)
    (line,) = warnings_of(setup.drive(ranks=ranks))
    assert line == (
        "2 of 6 delays (from 9,023 pulses on) reach beyond the run, whose events span 9,022 pulses (9.022 s): they "
        "have no pairs"
    )


def test_delays_between_trains(setup):
    with_times(setup, TRAINS, "counter")
    setup.write("G2IncrementalAccumulator", times=230, delays=[1, 22, 23, 500, 978, 1000])
    (line,) = warnings_of(setup.drive())
    assert line == (
        "2 of 6 delays (as 23 pulses) have no pair: no two events that were processed are that many pulses apart"
    )


def test_a_class_with_a_history_of_its_own_gets_no_advice_on_the_buffer(setup):
    with_times(setup, TRAINS, "counter")
    for own in ("", "keeps_history = True\n\n    "):
        body = f"{own}def initServer(self):\n        pass"
        write_user_class(setup, body, times=20, delays=[1, 22, 1000, 20000])
        assert len(warnings_of(setup.drive())) == (0 if own else 2)


def test_a_live_run_without_updates_says_so_at_the_start(setup):
    setup.write(dataset="sim=brownian:shape=2x5x7:events=30:live:hz=1000", src=..., update=0, delays=[1])
    run = setup.drive("--check")
    assert "WARNING update=0: a run that goes on shows nothing until it ends; set update" in run.stderr
    setup.write(dataset="sim=brownian:shape=2x5x7:events=30:live:hz=1000", src=..., update=10, delays=[1])
    assert "update=" not in setup.drive("--check").stderr.replace("update   ", "")


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
    # it waits after its second update: for what is tried meanwhile there is all the time
    body = """seen = 0

    def adjustData(self, data):
        import os
        import time
        self.seen += 1
        while self.seen == 50 and not os.path.exists("go"):
            time.sleep(0.01)"""
    write_user_class(setup, body, update=20)
    launcher = [str(BIN / "mpiexec"), "-n", str(ranks)] if ranks else []
    job = [*launcher, str(BIN / "parCorAnaDriver"), "-c", "config.py"]
    run = subprocess.Popen(job, cwd=setup.folder, stderr=subprocess.PIPE, text=True)
    try:
        while not list(setup.folder.glob("out.h5.inprogress/update_*")) and run.poll() is None:
            time.sleep(0.05)
        check_line(command("parCorAnaDriver", "--join", "out.h5.inprogress", cwd=setup.folder), "is being written by")
        check_line(setup.drive("--overwrite"), "another run is writing it")
        assert run.poll() is None
    finally:
        (setup.folder / "go").touch()
        log = run.communicate()[1]
    assert run.returncode == 0, log
    assert (setup.folder / "out.h5").exists() and not (setup.folder / "out.h5.inprogress").exists()


@pytest.mark.parametrize("ranks", [0, 3])
def test_progress_in_a_terminal(setup, ranks):
    """Events, rate and time left, in the terminal that mpiexec runs in, too; nothing of it in a pipe."""
    # 1.6 s in all: it is shown twice a second
    body = "def adjustData(self, data):\n        import time\n        time.sleep(0.007)"
    write_user_class(setup, body)
    launcher = [str(BIN / "mpiexec"), "-n", str(ranks)] if ranks else []
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    job = ["timeout", str(PATIENCE), *launcher, str(BIN / "parCorAnaDriver"), "-c", "config.py"]
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
    body += "        if not self.mpiParams.firstWorker:\n            parcorana.make_delay_list(-1, 1, 2)"
    write_user_class(setup, body)
    path = setup.folder / "mine.py"
    text = path.read_text(encoding="utf-8")
    second = text.index("    def initWorker", text.index("def arrayNames"))
    path.write_text(text[:second] + text[text.index("    def workerCalc", second) :], encoding="utf-8")
    run = setup.drive(ranks=4)
    assert run.returncode == 1
    assert "make_delay_list: start must be" in run.stderr
