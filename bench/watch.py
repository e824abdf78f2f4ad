"""Whether the page of a long run grows: ``python bench/watch.py [UPDATES]``, 3000 without it.

An update of a real run is published again and again, with a line of the log each time, as soon as three viewers have
been shown the one before: as many as a run of ten hours has at an update in 12 s. The page looks at it 20 times a
second. A fourth viewer never reads what it is sent. The table has the memory of the page's server (resident) by the
updates that each viewer was shown.
"""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import h5py
import numpy as np
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

UPDATES, EVENTS, VIEWERS = 3000, 20, 3
LOOK = 0.05  # s, for the 2 s of the page and the 1 s of a viewer
AT = (100, 250, 500, 1000, 1500, 2000, 2500)


def make(folder):
    """Make a result with its updates; return the last one's number."""
    from parcorana import make_delay_list, run
    from parcorana.events import simulated
    from parcorana.userg2 import G2IncrementalAccumulator

    sample = "sim=brownian:shape=2x64x64:events=600:tau=20:colors=5:sase=0.3"
    np.save(folder / "mask.npy", np.ones((2, 64, 64), np.int8))
    np.save(folder / "color.npy", simulated.colors(sample))
    system = {
        "dataset": sample, "mask": str(folder / "mask.npy"), "times": 201, "update": 200, "rate": 120.0,
        "delays": make_delay_list(1, 200, 20), "user_class": G2IncrementalAccumulator,
        "h5output": str(folder / "made.h5"),
    }  # fmt: skip
    user = {"color": str(folder / "color.npy"), "normalization": "pixel", "frame_norm": "pulse", "save_arrays": False}
    return run(system, user).processed


def publish(made, last, folder, number, log):
    """Publish an update once more, under another number of events."""
    from parcorana.results.facts import ACCOUNT

    with h5py.File(made) as old, h5py.File(folder / ".new", "w") as new:
        old.copy("system", new)
        new["system"].attrs.update({"ended_by": "not ended", "complete": False})
        new["system/accounting"].attrs.update(dict.fromkeys(ACCOUNT[:2], number))
        old.copy(f"user/G2_results_at_{last:06d}", new, f"user/G2_results_at_{number:06d}")
    os.replace(folder / ".new", folder / f"update_{number:06d}.h5")
    log.warning("update at %s events, with a warning of its own", f"{number:,}")


def serve(result):
    """Be the command, which looks more often than it does."""
    from parcorana.page import document, server
    from parcorana.tools import watch

    server.POLL, document.TICK = LOOK, int(1000 * LOOK)
    watch.main([result])


async def follow(url, seen):
    """Be a viewer; note how many updates it was shown."""
    page = await AsyncHTTPClient().fetch(url)
    token = re.search(r'"token":"([^"]+)"', page.body.decode())[1]
    socket = await websocket_connect(url.replace("http", "ws") + "ws", subprotocols=["bokeh", token])
    shown = 0
    while (message := await socket.read_message()) is not None:
        if isinstance(message, str) and " events, update" in message:  # the title of the slider
            shown += 1
            Path(seen).write_text(str(shown))


def resident(pid):
    """Return the memory of a process [MiB]."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024


def main(updates):
    """Print the table."""
    from parcorana.results.lock import FolderLock
    from parcorana.results.runlog import RunLog

    begun = []

    def begin(*command):
        begun.append(subprocess.Popen([sys.executable, __file__, *command], stdout=subprocess.PIPE, text=True))
        return begun[-1]

    with tempfile.TemporaryDirectory() as name:
        last = make(Path(name))
        folder = Path(name) / "out.h5.inprogress"
        folder.mkdir()
        logging.getLogger("parcorana").setLevel(logging.INFO)
        logging.getLogger().addHandler(logging.NullHandler())  # else it is on standard error, too
        lock, log = FolderLock(folder), RunLog(folder)
        numbers = count(EVENTS, EVENTS)

        def more():
            publish(Path(name) / "made.h5", last, folder, next(numbers), logging.getLogger("parcorana"))
            log.write()

        try:
            more()
            page = begin("--serve", str(Path(name) / "out.h5"))
            url = page.stdout.readline().strip()
            seen = [Path(name) / f"seen_{k}" for k in range(VIEWERS + 1)]
            viewers = [begin("--follow", url, str(path)) for path in seen]
            while not all(path.exists() for path in seen):
                more()
                time.sleep(1)
            viewers[-1].send_signal(signal.SIGSTOP)
            print("| updates shown | minutes | memory of the page [MiB] |\n| ---: | ---: | ---: |", flush=True)
            start = time.monotonic()
            for number in range(1, updates + 1):
                before = [path.read_text() for path in seen[:-1]]
                more()
                while any(path.read_text() in ("", old) for path, old in zip(seen, before, strict=False)):
                    time.sleep(LOOK / 5)
                if number in AT or number == updates:
                    minutes = (time.monotonic() - start) / 60
                    print(f"| {number:,} | {minutes:.1f} | {resident(page.pid):.1f} |", flush=True)
        finally:
            for each in begun:
                each.kill()
                each.wait()
            log.end()
            lock.release()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:2] == ["--follow"]:
        asyncio.run(follow(*sys.argv[2:]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else UPDATES)
