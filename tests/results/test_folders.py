"""The folder of a run: who may write, join, take over and remove it, whoever else does so at that moment."""

import errno
import os
import signal
import socket
import subprocess
import time

import h5py
import pytest
from conftest import BIN, write_class
from effort import PATIENCE
from local import config_of_results

from parcorana import ConfigError
from parcorana.errors import RunError
from parcorana.results import file, lock
from parcorana.results import folder as folders
from parcorana.results.file import ResultFile
from parcorana.results.folder import ask_to_stop, clear, forget, published, take_over
from parcorana.results.join import join
from parcorana.results.lock import FolderLock, this_process, writer_of
from parcorana.results.name import resolve_name
from parcorana.tools import driver
from parcorana.tools.ranks import set_log

FACTS = {"account": {"read": 40, "processed": 40}, "first": 0, "last": 1, "merged": 0}
HELD = """\
import time

from parcorana import userg2


class Held(userg2.G2atEnd):
    def __init__(self, *args):
        super().__init__(*args)
        time.sleep(1.5)
"""


@pytest.fixture
def config():
    """What a result file needs of a config."""
    return config_of_results()


def begin(path, config, **more):
    return ResultFile(str(path), config, [(0, "viewer", "here")], lambda group: None, **more)


def publish(results, *numbers, ending=False):
    def write(group):
        group[f"at_{number}"] = number
        yield

    for number in numbers:
        facts = FACTS | {"account": {"read": number, "processed": number}}
        list(results.publish(number, facts, write, ending))


def start(*command, cwd, **how):
    """Start a command of this environment; what it says on standard error can be read."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["timeout", "-k", "5", str(PATIENCE), *command]
    return subprocess.Popen(command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True, **how)


def content(path):
    with h5py.File(path) as file:
        return sorted(int(name[3:]) for name in file["user"])


def test_two_runs_of_one_name_at_once(setup):
    """One of them has it, whichever that is, and the other one ends with a line and takes nothing away."""
    write_class(setup, HELD, "Held", overwrite=False, update=15)
    jobs = [start("parCorAnaDriver", "-c", "config.py", cwd=setup.folder) for _ in range(2)]
    said = [job.communicate()[1] for job in jobs]
    good, bad = sorted(range(2), key=lambda k: jobs[k].returncode)
    assert jobs[good].returncode == 0, said
    assert jobs[bad].returncode in (1, 2) and said[bad].count("parCorAnaDriver: ") == 1, said
    assert "exists" in said[bad] or "another run" in said[bad], said
    with h5py.File(setup.folder / "out.h5") as file:
        assert file["system"].attrs["complete"] and len(file["user"]) == 16


@pytest.mark.parametrize(("overwrite", "template"), [(False, "out.h5"), (False, "o%C.h5"), (True, "o%C.h5")])
def test_a_result_that_came_while_the_run_started_stays(tmp_path, config, overwrite, template):
    """The name was free when it was chosen; a counter never gives a name that may be replaced."""
    config.overwrite, config.h5output = overwrite, template
    (tmp_path / "out.h5").write_bytes(b"of another run")
    with pytest.raises(RunError, match="has come since the run was started"):
        begin(tmp_path / "out.h5", config)
    assert os.listdir(tmp_path) == ["out.h5"] and (tmp_path / "out.h5").read_bytes() == b"of another run"
    config.overwrite, config.h5output = True, "out.h5"
    begin(tmp_path / "out.h5", config).release()


def test_no_number_of_a_counter_is_taken_twice(tmp_path):
    """By many processes at once, some of whose runs end meanwhile."""
    template, children = str(tmp_path / "out%C.h5"), []
    for _ in range(12):
        child = os.fork()
        if not child:
            try:
                for _ in range(8):
                    name = resolve_name(template, False, reserves=True)
                    with open(tmp_path / "taken", "ab", 0) as taken:
                        taken.write(f"{os.path.basename(name)}\n".encode())
                    open(name, "x").close()
                    os.rmdir(f"{name}{folders.SUFFIX}")
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    taken = (tmp_path / "taken").read_text(encoding="utf-8").split()
    assert sorted(taken) == [f"out{k:03d}.h5" for k in range(96)]


def test_a_number_of_a_counter_is_given_back(tmp_path, config):
    template, beside = str(tmp_path / "out%C.h5"), tmp_path / "out000.h5"
    assert resolve_name(template, False) == resolve_name(template, False, reserves=True) == str(beside)
    clear(beside)
    assert resolve_name(template, False).endswith("out001.h5")
    folders.give_back()
    assert not os.listdir(tmp_path)
    begin(resolve_name(template, False, reserves=True), config).release()
    folders.give_back()  # it has begun
    assert os.listdir(tmp_path) == ["out000.h5.inprogress"]


def test_only_its_own_folder_is_forgotten(tmp_path, config):
    folder = tmp_path / "out.h5.inprogress"
    folder.mkdir()
    forget(tmp_path / "out.h5")
    assert folder.is_dir()  # another process has just made it
    folder.rmdir()
    results = begin(tmp_path / "out.h5", config)
    forget(tmp_path / "out.h5")
    assert not folder.exists()
    results.release()


def test_a_folder_that_published_nothing_is_cleared_under_the_lock(tmp_path, config):
    folder = tmp_path / "out.h5.inprogress"
    folder.mkdir()
    (folder / "base.h5").touch()
    (folder / ".update_000001.tmp").touch()
    with pytest.raises(RunError, match="File exists"):
        begin(tmp_path / "out.h5", config)
    held = FolderLock(folder)
    with pytest.raises(RunError, match="another run is writing it"):
        clear(tmp_path / "out.h5")
    assert (folder / ".update_000001.tmp").exists()
    held.release()
    clear(tmp_path / "out.h5")
    assert not os.listdir(tmp_path)
    clear(tmp_path / "out.h5")
    results = begin(tmp_path / "out.h5", config)
    publish(results, 1)
    results.release()
    with pytest.raises(RunError, match="another run has written into it"):
        clear(tmp_path / "out.h5")
    assert (folder / "update_000001.h5").exists()


def test_what_workers_write_at_once_stays(tmp_path, config, monkeypatch):
    """They begin as soon as the folder is there."""

    def lock_late(folder):
        (folder / ".checkpoint_000000001_00000.part.tmp").touch()
        return FolderLock(folder)

    monkeypatch.setattr(file, "FolderLock", lock_late)
    results = begin(tmp_path / "out.h5", config)
    assert (results.folder / ".checkpoint_000000001_00000.part.tmp").exists()
    results.release()


@pytest.mark.parametrize("ranks", [0, 4])
def test_what_a_run_without_updates_left_gives_way(setup, ranks):
    setup.write(overwrite=True, checkpoint=1, block=4)
    folder = setup.folder / "out.h5.inprogress"
    folder.mkdir()
    (folder / "checkpoint_000000001_00000.part").touch()
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    assert not list(setup.folder.glob("*out.h5.inprogress*"))


def test_two_joins_at_once(tmp_path, config):
    results = begin(tmp_path / "out.h5", config)
    publish(results, *range(1, 60))
    results.release()
    jobs = []
    for _ in range(3):
        jobs.append(start("parCorAnaDriver", "--join", "out.h5.inprogress", cwd=tmp_path))
        time.sleep(0.1)
    said = [job.communicate()[1] for job in jobs]
    assert sorted(job.returncode > 0 for job in jobs) == [False, True, True], said
    assert content(tmp_path / "out.h5") == list(range(1, 60))
    assert os.listdir(tmp_path) == ["out.h5"]


def test_join_elsewhere(tmp_path, config, capsys):
    """Where the disk of the folder is full."""
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10, 20)
    folder, there = str(results.folder), tmp_path / "there"
    results.release()
    assert driver.main(["--join", folder, "-o", str(there / "a.h5")]) == 2
    assert "in none; it must be the name of a file" in capsys.readouterr().err
    there.mkdir()
    (there / "a.h5").write_bytes(b"precious")
    assert driver.main(["--join", folder, "-o", str(there / "a.h5")]) == 2
    assert "a.h5' exists; name another file with -o, or say --overwrite" in capsys.readouterr().err
    assert (there / "a.h5").read_bytes() == b"precious"
    assert driver.main(["--join", folder, "-o", str(there / "a.h5"), "--overwrite"]) == 2
    assert "a.h5' is there and no result, so it is not replaced" in capsys.readouterr().err
    (there / "a.h5").write_bytes(b"")
    assert driver.main(["--join", folder, "-o", str(there / "a.h5"), "--overwrite"]) == 0
    assert content(there / "a.h5") == [10, 20]
    assert os.listdir(there) == ["a.h5"] and os.listdir(tmp_path) == ["there"]


def test_what_others_left_in_a_folder_stays(tmp_path, config, capsys):
    set_log("WARNING", 0)
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10, 20)
    (results.folder / "notes.txt").write_text("precious")
    results.finish(FACTS | {"complete": True, "ended_by": "end of data"})
    assert (
        "out.h5.inprogress' stays, for there is in it what no run has written: 'notes.txt'" in capsys.readouterr().err
    )
    assert content(tmp_path / "out.h5") == [10, 20] and os.listdir(results.folder) == ["notes.txt"]
    assert sorted(os.listdir(tmp_path)) == ["out.h5", "out.h5.inprogress"]


def test_join_by_a_link(tmp_path, config):
    """What the link leads to goes, and the link as well."""
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10, 20)
    results.release()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.h5.inprogress").symlink_to(results.folder.rename(tmp_path / "elsewhere" / results.folder.name))
    assert join(tmp_path / "link.h5.inprogress")[0] == tmp_path / "link.h5"
    assert content(tmp_path / "link.h5") == [10, 20]
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "link.h5"] and not os.listdir(tmp_path / "elsewhere")


def test_what_cannot_be_removed_is_no_error(tmp_path, config, monkeypatch, capsys):
    """As on network file systems, where a file that somebody reads stays; and nobody takes the rest for a run."""
    set_log("WARNING", 0)
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10, 20)
    with monkeypatch.context() as patch:

        def fail(path):
            raise OSError(errno.ENOTEMPTY, "Directory not empty")

        patch.setattr(folders.os, "rmdir", fail)
        results.finish(FACTS | {"complete": True, "ended_by": "end of data"})
    said = capsys.readouterr().err
    assert "the result is complete, but " in said and "cannot be removed" in said
    assert content(tmp_path / "out.h5") == [10, 20]
    assert sorted(os.listdir(tmp_path)) == [".out.h5.inprogress.done", "out.h5"]
    (tmp_path / "out.h5").unlink()
    results = begin(tmp_path / "out.h5", config)
    publish(results, 30)
    results.finish(FACTS | {"complete": True, "ended_by": "end of data"})
    assert os.listdir(tmp_path) == ["out.h5"] and content(tmp_path / "out.h5") == [30]


def test_stopped_before_it_was_as_far_as_before(tmp_path, config):
    """Of a run that goes on; later updates are no part of that result, and stay until it is as far again."""
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10, 20, 30, 40)
    publish(results, 15, ending=True)
    results.release()
    (results.folder / "checkpoint_000000001.json").touch()
    again = begin(tmp_path / "out.h5", config, resumed_at=[12], lock=take_over(results.folder))
    publish(again, 25, ending=True)
    facts = FACTS | {"account": {"read": 25, "processed": 25}, "complete": False, "ended_by": "stopped"}
    again.finish(facts)
    assert content(tmp_path / "out.h5") == [10, 20, 25]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["system"].attrs["resumed_at"].tolist() == [12]
        assert file["system/accounting"].attrs["processed"] == 25
    assert [path.name for path in published(again.folder)] == [
        "update_000010.h5",
        "update_000020.h5",
        "ending_000025.h5",
        "update_000030.h5",
        "update_000040.h5",
    ]
    last = begin(tmp_path / "out.h5", config, resumed_at=[12, 25], lock=take_over(results.folder))
    publish(last, 30, 40)
    last.finish(FACTS | {"complete": True, "ended_by": "end of data"})
    assert content(tmp_path / "out.h5") == [10, 20, 30, 40]
    assert os.listdir(tmp_path) == ["out.h5"]


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_goes_on_replaces_its_own_result_only(tmp_path, config, there):
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10)
    results.release()
    if there:  # it was stopped before, and left that
        (tmp_path / "out.h5").write_bytes(b"a part")
    again = begin(tmp_path / "out.h5", config, resumed_at=[12], lock=take_over(results.folder))
    (tmp_path / "other.h5").write_bytes(b"precious")
    os.replace(tmp_path / "other.h5", tmp_path / "out.h5")
    with pytest.raises(RunError, match="a file of that name has come while the run went on"):
        again.finish(FACTS | {"complete": True, "ended_by": "end of data"})
    assert (tmp_path / "out.h5").read_bytes() == b"precious"
    again.release()
    if there:
        again = begin(tmp_path / "out.h5", config, resumed_at=[12], lock=take_over(results.folder))
        again.finish(FACTS | {"complete": True, "ended_by": "end of data"})
        assert content(tmp_path / "out.h5") == [10]


def test_nobody_else_may_lock_a_folder(tmp_path, monkeypatch):
    """To read a file is enough to lock it, so others may not; to them the run goes on."""
    (tmp_path / ".writer").touch(0o644)  # of an older version
    held = FolderLock(tmp_path)
    assert (tmp_path / ".writer").stat().st_mode & 0o777 == 0o600
    held.release()
    (tmp_path / ".writer").unlink()
    FolderLock(tmp_path).release()
    assert (tmp_path / ".writer").stat().st_mode & 0o777 == 0o600 and writer_of(tmp_path) is None

    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(lock.os, "open", refuse)
    assert writer_of(tmp_path).endswith(", who alone can tell whether it goes on")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), os.mkdir])
def test_what_is_no_lock_does_not_hold_up(tmp_path, make):
    make(tmp_path / ".writer")
    assert writer_of(tmp_path) is None


# -- file systems without locks ----------------------------------------------------


@pytest.fixture
def no_locks(monkeypatch):
    """As flock behaves on a network file system that was mounted without locks."""

    def flock(*args):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", flock)


def gone():
    """Return the number of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_without_locks_names_count(tmp_path, no_locks):
    assert writer_of(tmp_path) is None
    held = FolderLock(tmp_path)
    assert writer_of(tmp_path).startswith(f"{this_process()}; if that goes on no more")
    with pytest.raises(BlockingIOError, match="another run is writing it"):
        FolderLock(tmp_path)
    held.release()
    assert writer_of(tmp_path) is None
    mark = tmp_path / ".writer"
    mark.write_text(f"{socket.gethostname()}, process {gone()}", encoding="utf-8")
    assert writer_of(tmp_path) is None  # it was killed
    FolderLock(tmp_path).release()
    mark.write_text("elsewhere, process 7", encoding="utf-8")
    assert (
        f"elsewhere, process 7; if that goes on no more, which a file system without locks cannot tell, remove '{mark}'"
        == writer_of(tmp_path)
    )
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path)
    mark.unlink()
    FolderLock(tmp_path).release()


def test_without_locks_nothing_of_a_run_is_touched(tmp_path, config, no_locks):
    results = begin(tmp_path / "out.h5", config)
    publish(results, 10)
    with pytest.raises(ConfigError, match="is being written by a run"):
        join(results.folder)
    with pytest.raises(ConfigError, match="another run is writing it"):
        resolve_name(str(tmp_path / "out.h5"), True)
    with pytest.raises(ConfigError, match="still goes on"):
        take_over(results.folder)
    assert ask_to_stop(str(tmp_path / "out.h5")).startswith(this_process())
    results.finish(FACTS | {"complete": True, "ended_by": "end of data"})
    assert os.listdir(tmp_path) == ["out.h5"]


# -- checkpoints take room ----------------------------------------------------------

BUSY = """import os
import time

from parcorana import userg2


class Busy(userg2.G2atEnd):
    def viewerPublishReduced(self, *args):
        super().viewerPublishReduced(*args)
        time.sleep(2)
"""


def test_a_busy_viewer_makes_no_heap_of_checkpoints(setup):
    """There are the last one and the one that is written, and for moments one between them."""
    write_class(setup, BUSY, "Busy", overwrite=False, update=40, checkpoint=1, block=8)
    job = start(*["mpiexec", "-n", "4", "parCorAnaDriver", "-c", "config.py"], cwd=setup.folder, process_group=0)
    folder, most = setup.folder / "out.h5.inprogress", 0
    while job.poll() is None:
        names = os.listdir(folder) if folder.is_dir() else ()
        most = max(
            most, len({name.split("_")[1] for name in names if name.startswith("checkpoint_") and ".part" in name})
        )
        if most and len(published(folder) if folder.is_dir() else ()) >= 3:
            os.killpg(job.pid, signal.SIGKILL)
        time.sleep(0.005)
    job.communicate()
    assert 2 <= most <= 3
