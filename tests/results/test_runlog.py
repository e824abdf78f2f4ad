"""The log of a run, beside what it publishes and in its result."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import pytest
from effort import PATIENCE

from parcorana.results import runlog
from parcorana.results.join import join
from parcorana.results.runlog import BEFORE, LOG, RunLog, lines_of, read_log

log = logging.getLogger("parcorana")


@pytest.fixture
def kept(tmp_path):
    log.setLevel("INFO")
    BEFORE.lines.clear()
    made = RunLog(tmp_path)
    yield made
    made.end()


def test_lines(kept, tmp_path):
    """Whole lines, whatever is logged; what follows is read from where the last reading ended."""
    log.warning("one\x1b[2J %s", "thing")
    log.info("a\ntable")
    assert not (tmp_path / LOG).exists()  # who logs waits for no disk
    kept.write()
    text, end = read_log(tmp_path)
    assert [line[1:] for line in lines_of(text)] == [("WARNING", "one\\x1b[2J thing"), ("INFO", "a"), ("INFO", "table")]
    log.error("more")
    kept.write()
    with open(tmp_path / LOG, "a", encoding="utf-8") as file:
        file.write("2026-01-01 00:00:00 INFO half a li")
    text, end = read_log(tmp_path, end)
    assert [line[1:] for line in lines_of(text)] == [("ERROR", "more")] and read_log(tmp_path, end) == ("", end)


def test_it_ends_no_run(kept, tmp_path, monkeypatch):
    """Not through a link, not without end, not where it may not write."""
    (tmp_path / "precious").write_text("mine", encoding="utf-8")
    (tmp_path / LOG).symlink_to(tmp_path / "precious")
    log.warning("one")
    kept.write()
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine" and read_log(tmp_path) == ("", 0)
    (tmp_path / LOG).unlink()
    log.warning("another one")
    assert kept.lines[0].endswith(f"{tmp_path / LOG} cannot be written: Too many levels of symbolic links; the log is "
                                  "on standard error alone")  # fmt: skip
    monkeypatch.setattr(runlog, "_MOST", 10)
    other = RunLog(tmp_path)
    for _ in range(3):
        log.warning("what is long")
        other.write()
    lines = [line for _, _, line in lines_of(read_log(tmp_path, most=1000)[0])]
    assert lines == ["what is long", "the log is too long: the rest is on standard error"]
    other.end()


def test_lines_that_come_too_fast_are_counted(kept, tmp_path):
    for number in range(runlog._WAITING + 7):
        log.info("%s", number)
    kept.write()
    lines = [line for _, _, line in lines_of(read_log(tmp_path)[0])]
    assert lines[0] == "7 lines of the log came too fast: they are not here" and lines[1] == "7"
    log.info("more")
    kept.write()
    assert len(lines_of(read_log(tmp_path)[0])) == len(lines) + 1


def test_what_nobody_else_hears_is_on_standard_error(kept, tmp_path, monkeypatch, capsys):
    """Once, however many runs there are at a time, as in a session of Python that has set up no logging."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    other = RunLog(tmp_path)
    log.warning("doubtful")
    log.info("not of interest")
    kept.end()
    log.warning("more")
    other.end()
    assert capsys.readouterr().err == "doubtful\nmore\n"
    log.addHandler(kept)
    logging.getLogger().addHandler(logging.NullHandler())
    log.warning("heard by others")
    assert not capsys.readouterr().err


def test_of_runs_in_threads(tmp_path):
    """Each has its own lines, and those of threads that are no run's."""
    step = threading.Barrier(3, timeout=PATIENCE)

    def run(folder):
        kept = RunLog(folder)
        step.wait()
        log.warning("of %s", folder.name)
        step.wait()
        step.wait()  # the line of none has come
        kept.end()

    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, folder) for folder in folders]
        step.wait()
        step.wait()
        log.warning("of none")
        step.wait()
        assert [each.result(PATIENCE) for each in runs] == [None, None]
    for folder in folders:
        assert [line for _, _, line in lines_of(read_log(folder)[0])] == [f"of {folder.name}", "of none"]


def test_of_a_run(setup):
    """From before the folder was there to its end; of one that was killed, as far as it came."""
    setup.write("G2IncrementalAccumulator")
    assert setup.drive().returncode == 0
    with h5py.File(setup.folder / "out.h5") as file:
        lines = [text for _, _, text in lines_of(file["system/log"].asstr()[()])]
        assert file["system"].attrs["events_in_data"] == 230
    for begin in ("color: 17 of 57 included elements", "code path", "update at 228 events"):
        assert any(line.startswith(begin) for line in lines)
    folder = setup.folder / "killed.h5.inprogress"
    folder.mkdir()
    os.replace(setup.folder / "out.h5", folder / "update_000228.h5")
    (folder / LOG).write_text("2026-01-01 00:00:00 WARNING something\n", encoding="utf-8")
    with h5py.File(folder / "update_000228.h5", "r+") as file:
        del file["system/log"]
    join(folder)
    with h5py.File(setup.folder / "killed.h5") as file:
        assert lines_of(file["system/log"].asstr()[()]) == [("2026-01-01 00:00:00", "WARNING", "something")]
