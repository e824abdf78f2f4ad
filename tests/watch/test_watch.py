"""Sockets between ranks, and the beats on them; what comes of silence is in tests/faults/silent.py."""

import logging
import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from effort import PATIENCE
from local import run_local

from parcorana import userg2
from parcorana._beat import FINISHED, FRAME, Beats
from parcorana.calculation.guard import OF_PROGRAM, ROLE_OF, RUNNING, guarded
from parcorana.calculation.userclass import CALLBACKS, METHODS
from parcorana.tools import ranks as ranks_module
from parcorana.tools.ranks import Ranks, set_log
from parcorana.watch import links, start
from parcorana.watch.watch import Watch


def connect_all(hosts, monkeypatch, before=lambda offer: None):
    """Connect ranks that are threads; return what each of them got. `before` sees what the viewer offers."""
    barrier, values, found = threading.Barrier(len(hosts)), {}, [None] * len(hosts)

    def rank_of(rank):
        def gather(value):
            values[rank] = value
            barrier.wait(PATIENCE)
            everything = [values[k] for k in range(len(hosts))]
            if rank == 0 and isinstance(value, tuple):
                before(value)
            barrier.wait(PATIENCE)
            return everything

        found[rank] = links.connect(gather, rank, hosts)

    monkeypatch.setattr(links, "_addresses", lambda: [(socket.AF_INET, "127.0.0.2")])
    threads = [threading.Thread(target=rank_of, args=(rank,)) for rank in range(len(hosts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return found


def close_all(found):
    for got, _ in found:
        for link in got.values():
            link.close()


@pytest.mark.parametrize("hosts", ["aaaa", "abab", "abbc"])
def test_all_are_connected_whatever_strangers_do(monkeypatch, hosts):
    strangers, addressed = [], set()

    def intrude(offer):
        _, name, addresses = offer
        assert bool(addresses) == (len(set(hosts)) > 1)  # on one host no port is opened
        assert all(address == "127.0.0.1" for address, _ in addresses)
        for said in (b"", b"x", b"x" * 24, b"GET / HTTP/1.0\r\n\r\n" * 10):
            for address in [*([name] if "a" in hosts[1:] else []), *map(tuple, addresses)]:
                kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
                addressed.add((kind, address))
                strangers.append(socket.socket(kind, socket.SOCK_STREAM))
                strangers[-1].connect(address)
                strangers[-1].sendall(said)

    monkeypatch.setattr(links, "_PATIENCE", 10.0 * PATIENCE)  # who waited for a stranger would hang
    found = connect_all(list(hosts), monkeypatch, intrude)
    assert [missing for _, missing in found] == [[]] * 4
    assert [sorted(got) for got, _ in found] == [[1, 2, 3], [0], [0], [0]]
    for rank in (1, 2, 3):
        kind = socket.AF_UNIX if hosts[rank] == "a" else socket.AF_INET
        assert found[rank][0][0].family == kind
        found[rank][0][0].send(b"%d" % rank)
        viewer = found[0][0][rank]
        assert select.select([viewer], [], [], PATIENCE)[0] and viewer.recv(9) == b"%d" % rank
    for stranger in strangers:  # gone; and nobody listens any more
        stranger.settimeout(PATIENCE)
        with suppress(ConnectionError):
            assert stranger.recv(1) == b""
        stranger.close()
    for kind, address in addressed:
        with socket.socket(kind, socket.SOCK_STREAM) as again:
            again.settimeout(PATIENCE)
            with pytest.raises(ConnectionError):
                again.connect(address)
    close_all(found)


def test_who_is_turned_away_while_it_says_who_it_is_is_missing(monkeypatch):
    class TurnedAway(socket.socket):
        def sendall(self, data):
            raise BrokenPipeError

    away = TurnedAway(socket.AF_UNIX, socket.SOCK_STREAM)
    monkeypatch.setattr(links, "_reach", lambda name, addresses: away)
    monkeypatch.setattr(links, "_PATIENCE", 0.1)  # so long the viewer waits for who does not come
    assert connect_all(list("aa"), monkeypatch) == [({}, [1])] * 2
    assert away.fileno() == -1


# another process that connects so often, says something, and waits for the end of its connections
INTRUDER = """
import os, socket, sys
times, user, said = int(sys.argv[2]), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
os.setuid(user) if user != os.getuid() else None
links = [socket.socket(socket.AF_UNIX) for _ in range(times)]
for link in links:
    link.connect("\\0" + sys.argv[1])
    if said:
        link.sendall(said)
print("there", flush=True)
for link in links:
    try:
        link.recv(1)
    except ConnectionError:
        pass
"""


def intruder(name, times, user, said=b""):
    """Start one; return it when all of its connections are there."""
    command = [sys.executable, "-c", INTRUDER, name[1:], str(times), str(user), said.hex()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    return process


def is_done(process):
    process.communicate(timeout=PATIENCE)
    return process.returncode == 0


def test_strangers_do_not_use_up_the_descriptors(monkeypatch):
    """Sixty connections that say nothing, where hardly as many more files may be opened; ranks come after them.

    The viewer alone is in this process: ranks that shared its descriptors would lose theirs to the strangers.
    """
    hosts, started = list("aaaa"), []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(links, "_make_room", lambda ranks: None)  # the limit is that of the system here
    monkeypatch.setattr(links, "_PATIENCE", 10.0 * PATIENCE)

    def gather(value):
        if isinstance(value, tuple):
            token, name, _ = value
            started.append(intruder(name, 60, os.getuid()))
            started.extend(intruder(name, 1, os.getuid(), links._HELLO.pack(token, rank)) for rank in (1, 2, 3))
            used = set(map(int, os.listdir("/proc/self/fd")))
            free = [number for number in range(len(used) + 31) if number not in used]
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[30], hard))
        return [value] * len(hosts)

    try:
        found = links.connect(gather, 0, hosts)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    got, missing = found
    assert sorted(got) == [1, 2, 3] and missing == []
    assert is_done(started[0])  # all were turned away
    close_all([found])
    assert all(is_done(each) for each in started[1:])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_is_no_rank_whatever_token_he_knows(monkeypatch):
    started = []
    found = connect_all(
        list("aaaa"),
        monkeypatch,
        lambda offer: started.append(intruder(offer[1], 1, 65534, links._HELLO.pack(offer[0], 2))),
    )
    assert [missing for _, missing in found] == [[]] * 4
    assert is_done(started[0])
    found[2][0][0].send(b"2")
    viewer = found[0][0][2]
    assert select.select([viewer], [], [], PATIENCE)[0] and viewer.recv(9) == b"2"
    close_all(found)


def test_who_cannot_be_reached_is_named(monkeypatch):
    monkeypatch.setattr(links, "_PATIENCE", 3.0)  # for those that can be reached, too
    monkeypatch.setattr(links, "_address_towards", lambda *args: None)
    found = connect_all(["a", "b", "a", "b"], monkeypatch)
    assert [missing for _, missing in found] == [[1, 3]] * 4
    assert [sorted(got) for got, _ in found] == [[2], [], [0], []]
    close_all(found)


def test_the_log_warns_of_ranks_that_nobody_watches(monkeypatch, capsys):
    """Which a firewall between the hosts may bring about; the run goes on without."""
    ranks = Ranks()
    ranks.comm, ranks.hosts, ranks._bound = "of four ranks", ["a", "b", "a", "b"], Beats(RUNNING, 0, 10)
    monkeypatch.setattr(ranks_module, "connect", lambda *_: ({}, [1, 3]))
    set_log("WARNING", 0)
    with ranks.watched([]):
        ranks.warn_of_unwatched()
    ranks.leave()
    (warning,) = (line for line in capsys.readouterr().err.splitlines() if "ranks " in line)
    assert "WARNING ranks 1, 3 on b do not reach the viewer on a by a socket, so nobody watches them" in warning


def frame_of(link):
    """Return the next beat, unpacked."""
    link.settimeout(PATIENCE)
    data = b""
    while len(data) < FRAME.size and (more := link.recv(FRAME.size - len(data))):
        data += more
    return FRAME.unpack(data)


def test_beats_tell_which_callback_runs():
    """The time of one call, not of many; and all of it without the interpreter."""
    one, two = socket.socketpair()
    beats = Beats(RUNNING, 0, 10)
    beats.say("event 7")
    beats.add(one.fileno(), 0.05)
    seen = []

    def hears():  # as long as that takes, however busy the machine is
        while [frame[4].rstrip(b"\0") for frame in seen[-4:]] != 4 * [b"Mine.slow"] and len(seen) < 1000:
            seen.append(frame_of(two))

    try:
        begin = time.monotonic()
        guarded(hears, "Mine.slow", "worker")()
        slow = time.monotonic() - begin
        assert seen[-1][4].rstrip(b"\0") == b"Mine.slow" and seen[-1][5].rstrip(b"\0") == b"event 7"
        assert 0.05 < max(frame[2] for frame in seen) <= slow
        quick = guarded(lambda: time.sleep(0.001), "Mine.quick", "worker")
        longest = [0.0]
        while len(longest) < 500:
            begin = time.monotonic()
            quick()
            longest.append(time.monotonic() - begin)
            name, seconds = beats.look()
            assert name == "" and seconds == 0
        with pytest.raises(Exception, match=r"Mine\.fails"):
            guarded(lambda: 1 / 0, "Mine.fails", "worker")()
        assert beats.look() == ("", 0.0)
    finally:
        beats.stop()
    frames = [frame_of(two)]
    while frames[-1][0] != FINISHED:
        frames.append(frame_of(two))
    quick = [frame[2] for frame in frames if frame[4].rstrip(b"\0") != b"Mine.slow"]
    assert len(quick) > 2 and max(quick) <= max(longest)
    one.close()
    assert two.recv(1) == b""  # nothing came after it
    two.close()
    beats.stop()  # once more does no harm


@pytest.mark.parametrize(
    ("module", "level", "name"),
    [
        ("mine", "WARNING", "Mine.workerCalc"),
        ("parcorana_mine", "WARNING", "Mine.workerCalc"),
        ("parcorana.userg2", "INFO", "the program's own workerCalc"),
    ],
)
def test_what_the_program_does_itself_is_no_warning(caplog, module, level, name):
    """It takes long where the machine is busy or there is much to do; a user's callback may be at fault."""
    caplog.set_level(logging.INFO, "parcorana")

    def spoken_of():
        return [record for record in caplog.records if " since " in record.message]

    def works():
        until = time.monotonic() + PATIENCE
        while not spoken_of() and time.monotonic() < until:
            time.sleep(0.01)

    works.__module__ = module
    known = [(0, "viewer", "")]
    watch = Watch(0.0, known, None, {}, pytest.fail).start()
    watch.know(SimpleNamespace(heartbeat=0.2, callback_limit=None), known)
    try:
        guarded(works, "Mine.workerCalc", "worker")()
    finally:
        watch.close()
    first = spoken_of()[0]
    assert first.levelname == level and first.message.startswith(f"worker, at the start: {name} runs since ")


def test_who_loses_mpi_is_told_which_rank_has_gone():
    pairs = {rank: socket.socketpair() for rank in (1, 2)}
    known = [(0, "viewer", "here"), (1, "server", "here"), (2, "worker", "there")]
    watch = Watch(0.0, known, 0, {rank: own for rank, (own, _) in pairs.items()}, pytest.fail)
    try:
        assert watch.lost(0.01) == ""
        pairs[2][1].close()
        assert watch.lost(PATIENCE).startswith("rank 2 (worker on there) has ended without a word; the last heard of")
        watch._finished = time.monotonic()  # one has told why the job ends
        assert watch.lost(0.01) == ""
    finally:
        watch.close()
        pairs[1][1].close()


def test_the_methods_of_the_shipped_classes_go_by_documented_names(tmp_path):
    """In the log a user reads no name that no document has."""
    frames = np.ones((30, 2, 3), np.uint16)
    for kind in ("G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed"):
        run_local(tmp_path, getattr(userg2, kind), np.arange(30), frames, times=9, delays=[1], update=10)
    said = {name.removeprefix(OF_PROGRAM) for name in ROLE_OF if name.startswith(OF_PROGRAM)}
    assert said >= {"arrays", "enter", "collect", "publish"}
    assert said <= {"__init__", *METHODS, *CALLBACKS}


def test_a_peer_that_does_not_read_or_goes_does_no_harm():
    one, two = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2000)
    three, four = socket.socketpair()
    beats = Beats(RUNNING, 0, 10)
    beats.add(one.fileno(), 0.001)
    beats.add(three.fileno(), 0.001)
    time.sleep(0.1)
    four.close()
    time.sleep(0.1)
    for _ in range(40):  # what was held up comes in whole beats
        kind, pid, _, _, callback, _ = frame_of(two)
        assert kind == 0 and pid > 0 and not callback.rstrip(b"\0")
    beats.stop()
    for link in (one, two, three):
        link.close()


@pytest.mark.parametrize(
    ("found", "local", "turns"),
    [
        ([(0, 70, "S"), (1, 71, "T"), (2, 72, "R"), (3, 73, "S")], None, {70: 0, 72: 1, 73: 2}),
        ([(1, 71, "T"), (2, 72, "R")], "2", {72: 1}),  # rank 0 is not seen, for it is just becoming this program
        ([(0, 70, "t"), (1, 71, "R")], "1", {71: 0}),
        ([(8, 70, "S"), (9, 71, "S")], "0", {70: 0, 71: 1}),  # of each rank alike, as by mpiexec within a job of Slurm
        ([], None, {70: 0}),
    ],
)
def test_one_after_the_other_tells_why_mpi_has_not_started(monkeypatch, found, local, turns):
    for name in start._LOCAL:
        monkeypatch.delenv(name, raising=False)
    if local is not None:
        monkeypatch.setenv("SLURM_LOCALID" if found[0][0] == 8 else "MPI_LOCALRANKID", local)
    assert {pid: start.turn_of(pid, found) for pid in turns} == turns
