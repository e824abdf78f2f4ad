"""xtc2 files that are cut off or have wrong bytes: psana's own parser reads them, and the job must end all the same."""

import importlib.util
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from faults.frame import Row, expect

EVENTS, SECONDS = 40, 25
PARTS = ("cut off", "small data cut off", "datagram headers", "small data headers", "headers within", "any bytes")


def write_run(folder):
    """Write a run of LCLS-II; return the paths of its data and its small data."""
    import xtc2

    frames = np.random.default_rng(0).poisson(5, (EVENTS, 2, 5, 7)).astype(np.uint16)
    (data,) = xtc2.write_run(folder, frames, 10**18 + 8_333_333 * np.arange(EVENTS))
    return data, folder / "smalldata" / data.name.replace(".xtc2", ".smd.xtc2")


def datagrams(data):
    """Return offset and transition of each datagram."""
    found, at = [], 0
    while at + 24 <= len(data):
        _, environment, extent = struct.unpack_from("<QI8xI", data, at)
        found.append((at, environment >> 24 & 0xF))
        at += 12 + extent
    return found


def harm(rng, part, paths):
    """Damage one file of a run; return what was done."""
    path = paths[1] if part.startswith("small data") else paths[0]
    data = bytearray(path.read_bytes())
    events = [at for at, transition in datagrams(data) if transition == 12]
    at = rng.choice(events)
    if "cut off" in part:
        # within the configuration, at the border of an event, within a header, within data, near the end
        at = rng.choice(
            [rng.randrange(len(data)), at, at + rng.randrange(24), at + rng.randrange(24, 60), len(data) - 5, 3]
        )
        path.write_bytes(data[:at])
        return f"{path.name} cut off at {at} of {len(data)}"
    if "headers" in part:
        if part.endswith("within"):
            at += 24 + rng.choice((0, 12, 24, 36))  # of what is in the datagram
        at, size = at + rng.choice([(0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4)])[0], 4
    else:
        at, size = rng.randrange(len(data) - 4), rng.choice((1, 4))
    change = rng.choice(
        [
            bytes(size),
            b"\xff" * size,
            b"\x7f" * size,
            rng.randbytes(size),
            bytes(b ^ 1 << rng.randrange(8) for b in data[at : at + size]),
        ]
    )
    data[at : at + size] = change
    path.write_bytes(data)
    return f"{path.name} with {change.hex()} at {at}"


def write_config(folder, kind):
    """Write a config and a mask for a run of its kind, 'exp' or 'file'."""
    dataset = "exp=tstx00126:run=7:dir=." if kind == "exp" else "file=tstx00126-r0007-s000-c000.xtc2"
    (folder / "config.py").write_text(
        "from parcorana.userg2 import G2atEnd\n"
        f"system_params = dict(dataset={dataset!r}, src='mydet', mask='mask.npy', times=20, update=8,\n"
        "    delays=[1, 2, 5], block=4, user_class=G2atEnd, h5output='out.h5', threads=1)\n"
        "user_params = {'save_arrays': True}\n",
        encoding="utf-8",
    )
    np.save(folder / "mask.npy", np.ones((2, 5, 7), np.int8))


def run_job(folder, kind):
    """Run the job in a child process; return how it ended ('exit 1', 'signal 11', 'no end'), seconds, and its log."""
    write_config(folder, kind)
    begin = time.monotonic()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        signal.alarm(SECONDS)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = 3
        try:
            from parcorana.tools import driver

            os.chdir(folder)
            status = driver.main(["-c", "config.py"])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    ended = os.waitstatus_to_exitcode(status)
    how = f"exit {ended}" if ended >= 0 else "no end" if -ended == signal.SIGALRM else f"signal {-ended}"
    return how, time.monotonic() - begin, (folder / "log").read_text(errors="replace")


def published(folder):
    """Return all published: (update, name) -> array; raises if anything does not open."""
    files = (
        [folder / "out.h5"] if (folder / "out.h5").exists() else sorted(folder.glob("out.h5.inprogress/update_*.h5"))
    )
    found = {}
    for path in files:
        with h5py.File(path) as file:
            file["user"].visititems(
                lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
            )
            counted = dict(file["system/accounting"].attrs)
    return found, (counted if files else {})


def is_finished(folder):
    """Tell whether there is a result; one of a run that failed says so."""
    if not (folder / "out.h5").exists():
        return False
    with h5py.File(folder / "out.h5") as file:
        about = file["system"].attrs
        expect(not about["complete"] and about["ended_by"].startswith("error: "), dict(about))
    return True


def verdict(folder, part, how, log, right):
    """Return a word for what became of a damaged file; raise if that must not be."""
    lines = [line for line in log.splitlines() if line.startswith("parCorAnaDriver: ")]
    found, counted = published(folder)
    if how.startswith("signal"):
        expect("Fatal Python error" in log, f"{how} without a word: {log[-2000:]}")
        return "psana crashed"
    expect(how in ("exit 0", "exit 1", "exit 2"), f"{how}: {log[-2000:]}")
    if "cut off" in part:
        # whatever psana makes of the rest: the end is missed, and what lies before is right, and published
        expect(how == "exit 2" or (how == "exit 1" and is_finished(folder)), f"{how}: {log[-2000:]}")
        wrong = [k for k in found.keys() & right.keys() if not np.array_equal(found[k], right[k], equal_nan=True)]
        expect(not wrong, f"{how}: not those of an undamaged run: {wrong}")
    if how != "exit 0":
        expect(len(lines) == 1 and "Traceback" not in log, f"{how}, {len(lines)} lines: {log[-2000:]}")
        return "refused" if how == "exit 2" else "ended with an error"
    if counted["bad"] or counted["no_data"]:
        return "counted as bad or without data"
    same = found.keys() == right.keys() and all(np.array_equal(found[k], right[k], equal_nan=True) for k in found)
    return "harmless: the same result" if same else "read as it stands: other values or times"


def campaign(folder, number, parts=PARTS, kinds=("exp", "file")):
    """Damage a run so many times; yield what was done each time, what became of it, and the seconds that it took."""
    folder.mkdir(exist_ok=True)
    right = {}
    for kind in kinds:
        (folder / kind).mkdir()
        write_run(folder / kind)
        how, _, log = run_job(folder / kind, kind)
        expect(how == "exit 0", f"undamaged: {how}: {log}")
        right[kind] = published(folder / kind)[0]
    for k in range(number):
        rng, part = random.Random(k), parts[k % len(parts)]
        kind = "exp" if part.startswith("small") else kinds[k % 5 == 0]
        here = folder / f"{k:03d}"
        here.mkdir()
        for path in (folder / kind).rglob("*.xtc2"):
            copy = here / path.relative_to(folder / kind)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
        (data,) = here.glob("*.xtc2")
        what = harm(rng, part, (data, here / "smalldata" / data.name.replace(".xtc2", ".smd.xtc2")))
        how, seconds, log = run_job(here, kind)
        try:
            word = verdict(here, part, how, log, right[kind])
        except Exception as error:
            raise AssertionError(f"{k}: {kind}: {what}: {error}") from error
        yield k, kind, what, word, seconds


def of_parts(number, *parts):
    """Return a row's function: so many damaged files, one job each, in children of one process."""

    def provoke(trial):
        run = subprocess.run(
            [
                "timeout",
                "-k",
                "5",
                "900",
                sys.executable,
                "-m",
                "faults.damaged",
                trial.folder / "runs",
                str(number),
                *parts,
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PS_PARALLEL": "none"},
        )
        expect(run.returncode == 0, run.stdout[-1000:] + run.stderr[-3000:])
        trial.count(number)
        trial.record.seconds = float(run.stdout.splitlines()[-1])

    return provoke


def under_mpiexec(trial):
    """The same files for four ranks: what would keep psana going for ever, what crashes it, and one that is cut off."""
    k, part = ((33, "small data headers"), (52, "headers within"), (0, "cut off"))[trial.number % 3]
    trial.compares = False
    paths = write_run(trial.folder)
    harm(random.Random(k), part, paths)
    write_config(trial.folder, "exp")
    job = trial.start(ranks=4, limit=60)
    job.strike()
    job.ends(within=30)
    expect(job.status != 0 and job.log.strip(), f"exit status {job.status}: {job.log}")


def no_psana():
    """Return why there are no such rows, None if there are."""
    return None if importlib.util.find_spec("psana") else "psana is not installed"


TITLE = (
    "Damaged xtc2 files: the job ends by itself, with an exit status other than 0 and a line about it, or with what "
    "could not be read counted, or with what psana makes of the bytes"
)
ROWS = [
    Row("xtc2 files that are cut off", of_parts(16, *PARTS[:2]), skip=no_psana),
    Row("xtc2 files with wrong bytes in headers", of_parts(30, *PARTS[2:5]), skip=no_psana),
    Row("xtc2 files with wrong bytes anywhere", of_parts(10, PARTS[5]), skip=no_psana),
    Row("the worst of these under mpiexec", under_mpiexec, times=3, skip=no_psana),
]


if __name__ == "__main__":
    slowest = 0.0
    for *line, seconds in campaign(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or PARTS):
        slowest = max(slowest, seconds)
        print(*line, sep=" | ", flush=True)
    print(f"{slowest:.1f}")
