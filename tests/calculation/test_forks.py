"""Processes that user code forks."""

import fcntl
import os
import signal
import sys
import threading

import pytest

from parcorana.calculation.guard import guarded, hold_exits, runs
from parcorana.errors import RunError
from parcorana.pipeline.stop import Stop
from parcorana.results.lock import FolderLock, writer_of


def status_of_child(function):
    """Return the exit status, or minus the signal, of a child in which a function is called."""
    child = os.fork()
    if not child:
        try:
            function()
        finally:
            os._exit(99)
    status = os.waitpid(child, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        (lambda: None, 1, "a process that Mine.enter has forked: it must end by os._exit, not return"),
        (lambda: 1 / 0, 1, "a process that Mine.enter has forked: ZeroDivisionError: division by zero"),
        (sys.exit, 0, ""),
        (lambda: sys.exit(3), 3, ""),
        (lambda: os._exit(4), 4, ""),
    ],
)
@pytest.mark.parametrize("how", ["guarded", "runs"])
def test_a_child_does_not_come_out_of_user_code(capfd, ends, status, said, how):
    found = []

    def callback():
        child = os.fork()
        if not child:
            return ends()
        found.append(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
        return None

    if how == "guarded":
        guarded(callback, "Mine.enter", "worker")()
    else:
        with runs("Mine.enter"):
            callback()
    assert found == [status]
    assert capfd.readouterr().err == (f"parCorAnaDriver: {said}\n" if said else "")


def test_user_code_does_not_end_the_process_without_a_word():
    def callback():
        assert status_of_child(lambda: os._exit(5)) == 5
        os._exit(0)

    leaves = os._exit
    with hold_exits(), pytest.raises(RunError, match=r"os\._exit\(0\) would end this rank") as caught:
        guarded(callback, "Mine.enter", "worker")()
    assert caught.value.where == "Mine.enter" and os._exit is leaves


@pytest.mark.parametrize(("status", "ends"), [(0, 1), (3, 3)])
def test_a_thread_of_user_code_does_not_end_the_process_without_a_word(capfd, status, ends):
    def rank():
        with hold_exits():
            thread = threading.Thread(target=lambda: os._exit(status), name="mine")
            thread.start()
            thread.join()

    assert status_of_child(rank) == ends
    assert capfd.readouterr().err == f"parCorAnaDriver: a thread, 'mine', ends this rank by os._exit({status})\n"


def test_a_child_that_calls_and_does_not_fork_comes_back():
    assert status_of_child(lambda: os._exit(guarded(lambda: 7, "Mine.enter", "worker")())) == 7


def test_signals_end_a_child_and_stop_the_run():
    """Whenever they come: a signal that is sent at once is not lost."""
    stop = Stop()
    with stop.on_signals({signal.SIGTERM}):
        for _ in range(20):
            child = os.fork()
            if not child:
                signal.pause()
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
        assert not stop.look()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.look() == "stopped by SIGTERM"


def test_a_child_does_not_hold_the_folder(tmp_path):
    lock = FolderLock(tmp_path)
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert writer_of(tmp_path)
    os.close(lock._file)  # as when the run is killed
    lock._file = None
    with open(tmp_path / ".writer") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(go[1], b"x")
    assert os.waitpid(child, 0)[1] == 0
    for end in (*ready, *go):
        os.close(end)
