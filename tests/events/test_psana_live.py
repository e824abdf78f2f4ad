"""psana of LCLS-II while the data comes: files that grow, and a real shared memory server."""

import contextlib
import gc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from effort import PATIENCE
from shmem import SharedMemory
from xtc2 import grow, write_run

from parcorana.errors import ConfigError, RunError
from parcorana.events.dataset import parse_dataset
from parcorana.events.feed import END, Feed
from parcorana.events.open import open_source
from parcorana.events.protocol import Share
from parcorana.events.psana2 import files
from parcorana.events.psana2.queues import discovery, waiting

NO_PSANA = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")
EVENTS = 120
STAMPS = [10**18 + 999_999_990 + k * 8_333_333 for k in range(EVENTS)]
LACKING = {(5, 1), (17, 0), (18, 1), (119, 1)}


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).poisson(5, (EVENTS, 2, 8, 6)).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, frames):
    """Run 7 in two streams, sometimes one of them missing; run 8 in one, all there; run 9 without an end."""
    path = tmp_path_factory.mktemp("xtc")
    write_run(path, frames, STAMPS, streams=2, missing=LACKING)
    write_run(path, frames, STAMPS, run=8)
    write_run(path / "open", frames, STAMPS, run=9, end=False)
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No logbook, and short waits."""
    monkeypatch.setenv("PS_PARALLEL", "none")
    monkeypatch.setenv("PARCORANA_PATIENCE", "60")
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    if importlib.util.find_spec("psana"):
        monkeypatch.setattr("parcorana.events.psana2.live._SETTLED", 0.3)
        monkeypatch.setattr("parcorana.events.psana2.live._LATE_DATA", 0.5)


def opened(text, servers=1, log=lambda line: None):
    """Open the sources of all servers, at the same time."""
    sources, errors = [None] * servers, []

    def work(server):
        share = Share(server, servers, 8, 50)  # numevents is not the source's business
        try:
            sources[server] = open_source(parse_dataset(text), src="mydet", share=share, log=log)
        except ConfigError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(server,)) for server in range(servers)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if errors:
        raise errors[0]
    return sources


def followed(sources, seconds=PATIENCE, asked=lambda: None):
    """Read all sources in turn to their end; return (run, time, array or None) of each, and how many were lost.

    `asked` is called when a source has nothing now.
    """
    found, lost = [[] for _ in sources], 0
    streams, limit = {k: source.events() for k, source in enumerate(sources)}, time.monotonic() + seconds
    while streams:
        assert time.monotonic() < limit
        for k, stream in list(streams.items()):
            event = next(stream, END)
            if event is END:
                del streams[k]
            elif event is None:
                asked()
                time.sleep(1e-3)
            elif event.evt is None:
                lost += 1
            else:
                data = event.data()
                found[k].append((event.run, event.stamp, None if data is None else data.copy()))
    for source in sources:
        source.close()
    return found, lost


def assert_all_there(found, frames, lacking=(), run=0):
    assert sorted(stamp for _, stamp, _ in found) == STAMPS
    without = {event for event, _ in lacking}
    for ordinal, stamp, data in found:
        k = STAMPS.index(stamp)
        assert ordinal == run
        assert (data is None) == (k in without)
        assert data is None or np.array_equal(data, frames[k])


# -- files that grow -----------------------------------------------------------


@pytest.fixture
def writer(folder, tmp_path, in_thread):
    """Starts a thread that writes a run as time goes by."""

    def start(source=folder, **how):
        in_thread(grow, source, tmp_path, **how)
        return f"exp=tstx00126:run={9 if source != folder else 7}:dir={tmp_path}:live"

    return start


@NO_PSANA
@pytest.mark.parametrize("servers", [1, 2])
def test_live(writer, frames, servers):
    """Also where the files get their names right after the last write, upon which psana alone loses the tail."""
    # a source must not block: once it is open, the next piece comes when the reader was told that there is nothing now
    reading, nothing, pieces = threading.Event(), threading.Event(), []

    def pause():
        pieces.append("before")
        if len(pieces) < 4:  # to open it takes some
            return
        reading.wait(PATIENCE)
        nothing.clear()
        pieces[-1] = nothing.wait(PATIENCE)

    sources, lines = opened(writer(pause=pause), servers), []
    reading.set()
    assert all(source.live and source.stamps == "ns" and source.total is None for source in sources)
    assert "logbook cannot be reached" in sources[0].about
    found, lost = followed(sources, asked=nothing.set)
    assert pieces == ["before"] * 3 + [True] * 5
    assert_all_there([event for part in found for event in part], frames, LACKING)
    assert [len(part) for part in found] == [EVENTS // servers] * servers
    assert (lost, lines) == (0, [])


@NO_PSANA
def test_live_list_of_finished_runs(folder, frames):
    (found,), _ = followed(opened(f"exp=tstx00126:run=7,8:dir={folder}:live"))
    assert_all_there(found[:EVENTS], frames, LACKING)
    assert_all_there(found[EVENTS:], frames, run=1)


@NO_PSANA
def test_what_never_comes_is_counted(writer, frames):
    """The data files end before the small data does: each of the events that lack is counted once."""
    lines, cut = [], 12 * 300
    found, lost = followed(opened(writer(cut=cut, pause=0.05), 2, lines.append))
    found = [event for part in found for event in part]
    assert lost > 0 and len(found) + lost == EVENTS
    assert sorted(stamp for _, stamp, _ in found) == STAMPS[: len(found)]
    assert len(lines) == 2 and all("a tail is lost where a file is renamed, copied or cut" in line for line in lines)
    assert sum(int(line.split(": ")[1].split()[0]) for line in lines) == lost
    assert all(f"run 7 of tstx00126 ended after {EVENTS} events" in line for line in lines)


@NO_PSANA
@pytest.mark.parametrize("finish", [True, False])
def test_a_run_without_its_end(folder, tmp_path, frames, finish, monkeypatch):
    """The writer was killed: what is there is read, and the log says so."""
    monkeypatch.setenv("PARCORANA_PATIENCE", "2")
    lines = []
    grow(folder / "open", tmp_path, pause=0, finish=finish)
    (found,), lost = followed(opened(f"exp=tstx00126:run=9:dir={tmp_path}:live", log=lines.append))
    assert_all_there(found, frames)
    assert lost == 0
    (line,) = lines
    assert "run 9 of tstx00126 ended after 120 events: it has no end of run; a tail is lost" in line


@NO_PSANA
def test_no_files_come(tmp_path, monkeypatch):
    monkeypatch.setenv("PARCORANA_PATIENCE", "1")
    lines, text = [], f"exp=tstx00126:run=7:dir={tmp_path}:live"
    with pytest.raises(ConfigError, match=r"no files tstx00126-r0007-s\*-c000.smd.xtc2 or .* came in 1 s"):
        opened(text, log=lines.append)
    assert lines == [f"waiting for the files of run 7 of tstx00126 in {tmp_path}"]
    with pytest.raises(ConfigError, match="there is no folder"):
        opened(text.replace(str(tmp_path), f"{tmp_path}/none"))


@NO_PSANA
@pytest.mark.parametrize("comes", [True, False])
def test_the_configuration_comes_with_the_end(folder, tmp_path, frames, in_thread, monkeypatch, comes):
    """All of a short run is written while psana waits for the rest of its configuration, or nothing more is."""
    monkeypatch.setenv("PARCORANA_PATIENCE", "60" if comes else "2")
    before, paths = held(), sorted(folder.rglob("*-r0008-*.xtc2"))
    to = [tmp_path / path.relative_to(folder) for path in paths]
    (tmp_path / "smalldata").mkdir()
    for path, growing in zip(paths, to, strict=True):
        data = path.read_bytes()
        Path(f"{growing}.inprogress").write_bytes(data[:100] if ".smd." in path.name else data)

    def finish():
        limit = time.monotonic() + PATIENCE
        while not any(".smd." in name for name in held() - before) and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.3)
        for path, growing in zip(paths, to, strict=True):  # the small data first
            Path(f"{growing}.inprogress").write_bytes(path.read_bytes())
            Path(f"{growing}.inprogress").rename(growing)
            time.sleep(1.5)  # psana opens the data in between

    if not comes:
        with pytest.raises(ConfigError, match="run 8 of tstx00126: its small data has no whole configuration"):
            opened(f"exp=tstx00126:run=8:dir={tmp_path}:live")
        return
    in_thread(finish)
    (found,), lost = followed(opened(f"exp=tstx00126:run=8:dir={tmp_path}:live"))
    assert_all_there(found, frames)
    assert lost == 0


@NO_PSANA
def test_a_file_that_gets_its_final_name_as_it_is_opened(folder):
    dataset = parse_dataset(f"exp=tstx00126:run=7:dir={folder}:live")
    path = folder / "smalldata" / "tstx00126-r0007-s000-c000.smd.xtc2"
    files.check_file(dataset, f"{path}.inprogress")  # as psana gives it
    with pytest.raises(ConfigError, match=r"r0008-s001-c000.smd.xtc2 cannot be read: it does not exist"):
        files.check_file(dataset, Path(f"{path}.inprogress".replace("r0007-s000", "r0008-s001")))


@NO_PSANA
def test_live_is_stopped(writer, frames):
    """The server has had enough: the reader's thread ends, the files are closed."""
    before = held()
    (source,) = opened(writer(pause=0.3))
    stream = source.events()
    while next(stream) is None:
        time.sleep(1e-3)
    stream.close()
    source.close()
    del source, stream
    gc.collect()
    assert held() <= before


def held():
    """Return the xtc2 files that this process has open; other threads open and close files meanwhile."""
    names = set()
    with os.scandir("/proc/self/fd") as links:
        for link in links:
            with contextlib.suppress(FileNotFoundError):
                names.add(os.readlink(link.path))
    return {name for name in names if "xtc2" in name}


@NO_PSANA
def test_later_live_run_lacks_the_detector(folder, tmp_path, frames):
    write_run(tmp_path, frames, STAMPS)
    write_run(tmp_path, frames, STAMPS, run=8, detector="another")
    with pytest.raises(RunError, match="run 8 of tstx00126 has these detectors: another"):
        followed(opened(f"exp=tstx00126:run=7,8:dir={tmp_path}:live"))


def test_feed():
    def read(feed):
        for item in range(3):
            feed.put(item)
        raise ValueError("enough")

    feed, items = Feed(read, 1), []
    while len([item for item in items if item is not None]) < 3:
        items.append(feed.take())
    feed._thread.join()
    with pytest.raises(ValueError, match="enough"):
        feed.take()
    assert [item for item in items if item is not None] == [0, 1, 2]
    feed = Feed(lambda feed: feed.put(7), 1)
    feed.close()
    assert (feed.take(), feed.take()) == (7, END)
    endless = Feed(lambda feed: [feed.put(1) for _ in iter(int, 1)], 4)
    endless.close()
    assert not endless._thread.is_alive()


# -- shared memory -------------------------------------------------------------


@NO_PSANA
@pytest.mark.parametrize("servers", [1, 2])
def test_shared_memory(folder, frames, servers):
    """Each event goes to one of the servers; when the server of the memory goes, that is the end."""
    lines = []
    with SharedMemory(folder / "tstx00126-r0008-s000-c000.xtc2", clients=servers) as memory:
        found, lost = followed(opened(f"shmem={memory.name}", servers, lines.append))
    assert all(len(part) > EVENTS / 4 for part in found)
    assert_all_there([event for part in found for event in part], frames)
    assert lost == 0
    assert lines == [f"shared memory {memory.name}: the server went away, which ends the run"] * servers


class Noted:
    """A source that calls `then` after so many of its events."""

    def __init__(self, source, events, then):
        self.close, self._source, self._left, self._then = source.close, source, events, then

    def events(self):
        for event in self._source.events():
            yield event
            self._left -= event is not None
            if not self._left:
                self._left = -1
                self._then()


@NO_PSANA
@pytest.mark.parametrize("goes", [False, True])
def test_shared_memory_of_a_slow_client(tmp_path, frames, goes):
    """The end of a run overtakes events that wait; if the server goes, too, they are lost, and counted."""
    few, lines = 12, []
    write_run(tmp_path, frames[:few], STAMPS[:few])
    datagrams = 4 + few + 1 + 3  # with a slow update, begin and end
    with SharedMemory(tmp_path / "tstx00126-r0007-s000-c000.xtc2", free=1, hold=datagrams) as memory:
        sources = opened(f"shmem={memory.name}", log=lines.append)  # which takes 8 datagrams, and one in its hand
        memory.wait_held()
        if goes:
            memory.process.kill()
            memory.process.wait()
        else:  # not before all has been read
            sources[0] = Noted(sources[0], few, memory.go)
        (found,), lost = followed(sources)
    assert [stamp for _, stamp, _ in found] == STAMPS[: few - lost]
    assert all(np.array_equal(data, frames[k]) for k, (*_, data) in enumerate(found))
    assert (lost > 0) == goes
    more = f"; {lost} events that waited in its memory are lost, and count as no_data" if goes else ""
    assert lines == [f"shared memory {memory.name}: the server went away, which ends the run{more}"]


CONNECT = """
import sys
from parcorana.events.dataset import parse_dataset
from parcorana.events.psana2 import shared
from parcorana.events.open import open_source
shared.SERVER_SECONDS = 2
open_source(parse_dataset(f"shmem={sys.argv[1]}"), src="mydet")
"""


@NO_PSANA
def test_shared_memory_whose_server_does_not_answer(folder):
    """It was killed and left its queue, or it hangs: psana's client would wait for ever, deaf to signals."""
    path = folder / "tstx00126-r0008-s000-c000.xtc2"
    with SharedMemory(path) as killed, SharedMemory(path) as hung:
        clients = {}
        for memory, number in ((killed, signal.SIGKILL), (hung, signal.SIGSTOP)):
            while not waiting(discovery(memory.name)):
                time.sleep(0.01)
            memory.process.send_signal(number)
            command = [sys.executable, "-W", "ignore", "-c", CONNECT, memory.name]
            clients[memory.name] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for name, client in clients.items():
            _, said = client.communicate(timeout=PATIENCE)
            assert client.returncode == 1
            assert f"'shmem={name}': the server of this shared memory offers itself, but does not answer in 2 s" in said
            assert "Traceback" not in said and "Thread 0x" not in said


@NO_PSANA
def test_shared_memory_wrong(monkeypatch, folder):
    monkeypatch.setattr("parcorana.events.psana2.shared.SERVER_SECONDS", 0.2)
    with pytest.raises(ConfigError, match="'shmem=nowhere': no server of this shared memory answered on this host"):
        opened("shmem=nowhere")
    with pytest.raises(ConfigError, match="has no streams: leave out 'stream='"):
        opened("shmem=nowhere:stream=1")
