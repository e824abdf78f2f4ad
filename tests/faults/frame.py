"""What all rows share: jobs that are watched from outside, and the record of what became of them."""

import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import traceback
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from conftest import Setup
from effort import PATIENCE

from faults.launchers import PATH, Launcher

MARK = "PARCORANA_FAULTS"
SIMULATED = {
    "dataset": "sim=brownian:shape=2x5x7:events=1000:seed=1",
    "src": None,
    "update": 50,
    "overwrite": False,
    "threads": 1,
}
MINE = """\
import os
import time
from pathlib import Path

import numpy as np
import parcorana
from parcorana import userg2

SECONDS = float(os.environ.get("SECONDS", "0"))


def struck():
    # something goes wrong now: note it, and what is published until then; only the first one does
    if "FAULT" not in os.environ:
        return False
    try:
        with open("struck", "x") as file:
            file.write(" ".join(path.stem[7:] for path in Path(".").glob("out.h5.inprogress/update_*.h5")))
    except FileExistsError:
        return False
    return True


{before}class Mine({base}):
{body}
"""


class Broken(AssertionError):
    """Something did not end as promised."""


def expect(condition, otherwise):
    """Raise Broken, with what was found, unless the condition holds."""
    if not condition:
        raise Broken(otherwise)


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes
    ----------
    fault : str
        As the table names it.
    provoke : callable
        Called with a `Trial`; raises if something is not as promised.
    times : int
        How often in ``make faults``.
    quick : int
        How often in ``make test``.
    mpi : tuple of str
        Launchers with which the row makes sense.
    alone : bool
        Whether nothing else may run meanwhile.
    skip : callable, optional
        Returns why the row cannot be done on this machine, or None.
    """

    fault: str
    provoke: Callable
    times: int = 1
    quick: int = 0
    mpi: tuple = ("mpich", "openmpi")
    alone: bool = False
    skip: Callable = lambda: None


@dataclass
class Record:
    """What became of one trial or, added up, of a row.

    Attributes
    ----------
    provoked, kept : int
        How often it was provoked, and how often it ended as promised.
    seconds : float or None
        Longest time from the fault to the end of the job.
    left : int
        Ranks (or launchers) left behind.
    lost : int
        Published results that did not open, were gone, or were not those of an undisturbed run.
    problems : list of str
    """

    provoked: int = 0
    kept: int = 0
    seconds: float | None = None
    left: int = 0
    lost: int = 0
    problems: list = field(default_factory=list)

    def add(self, other):
        """Add what became of another trial."""
        self.provoked, self.kept = self.provoked + other.provoked, self.kept + other.kept
        self.left, self.lost = self.left + other.left, self.lost + other.lost
        self.seconds = max((s for s in (self.seconds, other.seconds) if s is not None), default=None)
        self.problems += other.problems


def marked(mark):
    """Return the processes, zombies aside, that carry a mark in their environment: pid -> environment."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                environ = (path / "environ").read_bytes()
                if mark.encode() in environ:  # that of a zombie is empty
                    parts = (part.partition(b"=") for part in environ.split(b"\0"))
                    found[int(path.name)] = {key.decode(): value.decode() for key, _, value in parts}
            except (OSError, UnicodeDecodeError):
                continue
    return found


class Session:
    """What the trials of one run of the table share: results of undisturbed runs.

    Parameters
    ----------
    timed : bool
        Whether it counts how long everything takes: for the table, on a machine that does nothing else. For a test it
        does not, for a machine may be slow.
    """

    def __init__(self, timed=True):
        self.timed = timed
        self.folder = Path(tempfile.mkdtemp(prefix="parcorana-faults-"))
        self._references, self._lock, self._locks = {}, threading.Lock(), {}
        self.stood_still = 0
        threading.Thread(target=self._look_at_the_clock, daemon=True).start()

    def _look_at_the_clock(self):
        """Count how often this process was stopped from outside; the jobs may have been, too."""
        while True:
            before = time.monotonic()
            time.sleep(0.2)
            self.stood_still += time.monotonic() - before > 3

    def reference(self, key, make):
        """Return what `make` returns for a key; made once."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._references:
                self._references[key] = make()
            return self._references[key]


class Trial:
    """One provocation.

    Parameters
    ----------
    session : Session
    launcher : Launcher
    name : str
        Of its folder.
    number : int
        Which of the row's trials this is; the seed of `random`, too.

    Attributes
    ----------
    folder : Path
    setup : conftest.Setup
        Frames in HDF5, mask, colours in that folder; `setup.system` is the config to begin with.
    random : random.Random
    record : Record
    output : Path
        Of the result file.
    compares : bool
        Whether what was published must be what an undisturbed run publishes; else it must open.
    whole : Path or None
        The result of an undisturbed run, where that of the same config will not do.
    """

    def __init__(self, session, launcher, name, number):
        self.session, self.launcher, self.number = session, launcher, number
        self.folder = session.folder / f"{name}_{number:03d}"
        self.folder.mkdir()
        self.setup = Setup(self.folder, events=60)
        self.random = random.Random(f"{name} {number}")
        self.record = Record()
        self.compares, self.whole = True, None
        self.output = self.folder / "out.h5"
        self.jobs = []
        self._provoked = None
        self._key = None

    def count(self, provoked=1):
        """Note that so many faults were provoked that are no jobs; a row that never does counts one for a trial."""
        self._provoked = (self._provoked or 0) + provoked

    def write(self, base="G2atEnd", body="    pass", user=None, name="config.py", before="", **system):
        """Write `mine.py`, whose class Mine derives from a shipped one, and a config that uses it.

        `body` must not change what is calculated, or `compares` be False. `before` stands before the class, and
        defines what it is made from instead.
        """
        text = MINE.format(base=base if before else f"userg2.{base}", body=body, before=before)
        (self.folder / "mine.py").write_text(text, encoding="utf-8")
        system = SIMULATED | system
        self.setup.write(user=user, name=name, **system)
        path = self.folder / name
        text = path.read_text(encoding="utf-8").replace("from parcorana import userg2", "import mine")
        path.write_text(text.replace("userg2.G2atEnd", "mine.Mine"), encoding="utf-8")
        self._key = base, repr(sorted(self.setup.user.items() if user is None else user.items())), repr(system)

    def start(self, *args, ranks=4, limit=60, env=None, command=("parCorAnaDriver", "-c", "config.py"), before=None):
        """Start a job in the folder; return it.

        Parameters
        ----------
        *args
            Further arguments of the command.
        ranks : int
            0: without mpiexec.
        limit : float
            Seconds after which `timeout` ends it.
        env : dict, optional
        command : tuple of str
        before : list of str, optional
            What comes before mpiexec, another command that runs it.
        """
        command = self.launcher.command(ranks, *command, *args)
        job = Job(self, [*(before or []), *command], limit, env or {})
        self.jobs.append(job)
        return job

    def run(self, *command):
        """Run another command in the folder; return what became of it."""
        return subprocess.run(
            ["timeout", "-k", "5", str(PATIENCE), *command], cwd=self.folder, env={**os.environ, "PATH": PATH},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def undisturbed(self, data=None):
        """Return the result file of an undisturbed run in one process, of the same config.

        `data` stands for what else the result depends on, as what is in `frames.h5`.
        """

        def make():
            folder = self.session.folder / f"undisturbed_{len(list(self.session.folder.glob('undisturbed_*')))}"
            while True:
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    folder = folder.with_name(f"{folder.name}x")
            for path in self.folder.iterdir():
                if path.is_file() and path.suffix in (".py", ".npy", ".h5"):
                    (folder / path.name).write_bytes(path.read_bytes())
            run = self.run("sh", "-c", f"cd {folder} && exec parCorAnaDriver -c config.py -o whole.h5")
            expect(run.returncode == 0, f"the undisturbed run: {run.stderr}")
            return folder / "whole.h5"

        return self.session.reference((*self._key, data), make)

    def check_published(self, seen=(), ended=None):
        """Look at every published result; return how many are lost.

        Parameters
        ----------
        seen : iterable of int
            Updates, by the number of events, that there were when the fault was provoked.
        ended : int, optional
            An update that an undisturbed run does not have: the last one of a run that was stopped.
        """
        folder, joined = Path(f"{self.output}.inprogress"), self.output
        whole = (self.whole or self.undisturbed()) if self.compares else None
        if joined.exists():
            files = dict.fromkeys(_updates_in(joined), joined)
        else:
            files = {int(path.stem[7:]): path for path in folder.glob("update_*.h5")}
        lost = len(set(seen) - set(files))
        for number, path in files.items():
            wrong = _difference(path, None if number == ended else whole, number)
            if wrong:
                lost += 1
                self.record.problems.append(f"{path.name}: {wrong}")
        return lost

    def processed(self):
        """Return the number of events that the result says were processed: that of its last update."""
        with h5py.File(self.output) as file:
            return int(file["system/accounting"].attrs["processed"])

    def check_stopped(self, ended_by):
        """Check the result of a run that was stopped well: it is not complete, but all of what was read is in it."""
        with h5py.File(self.output) as file:
            system = file["system"].attrs
            expect(not system["complete"] and ended_by in system["ended_by"], dict(system))
            account = {key: int(value) for key, value in file["system/accounting"].attrs.items()}
            expect(f"G2_results_at_{account['processed']:06d}" in file["user"], f"not published: {account}")
        expect(account["read"] == sum(account.values()) - account["read"], f"accounting: {account}")
        expect(not os.path.exists(f"{self.output}.inprogress"), "the folder is still there")

    def finish(self):
        """End what still runs; return the record."""
        for job in self.jobs:
            job.clear()
        self.record.provoked = self._provoked or 1
        return self.record


def _updates_in(path):
    try:
        with h5py.File(path) as file:
            return [int(name.rsplit("_", 1)[1]) for name in file["user"]]
    except OSError:
        return [0]


def _difference(path, whole, number):
    """Return what is wrong with an update, if anything."""
    try:
        with h5py.File(path) as file:
            group = file[f"user/G2_results_at_{number:06d}"]
            if whole is None:
                return _does_not_add_up(file, number) or _read(group)
            with h5py.File(whole) as other:
                return _does_not_add_up(file, number) or _unequal(group, other[group.name])
    except (OSError, KeyError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def _read(group):
    """Read all there is of an update; of thousands in one file each has to be looked at once."""
    names = []
    group.visit(names.append)  # h5py ends a visit with the first thing that is returned
    for name in names:
        if isinstance(group[name], h5py.Dataset):
            group[name][()]


def _does_not_add_up(file, number):
    """Return what is wrong with the accounting of an update, if anything; in a joined file it is that of the last."""
    account = {key: int(value) for key, value in file["system/accounting"].attrs.items()}
    if account["processed"] != number and len(file["user"]) == 1:
        return f"the accounting is not of {number} events: {account}"
    return None if 2 * account["read"] == sum(account.values()) else f"the accounting does not add up: {account}"


def _unequal(one, two):
    names = [[], []]
    for group, found in zip((one, two), names, strict=True):
        group.visit(found.append)
    if names[0] != names[1]:
        return f"it has {sorted(set(names[0]) ^ set(names[1]))} and an undisturbed run has not, or the other way round"
    # where updates were merged into one, the stretch since the one before is longer
    merged = "aged" in one and one["aged"].attrs["since"] != two["aged"].attrs["since"]
    for name in names[0]:
        aged = name.startswith("aged/")
        if isinstance(one[name], h5py.Dataset) and not (aged and merged):
            # arrays are the same bits; the curves' sums over workers depend on how many there are, and of aged
            # curves they are taken from each other
            rtol = 0 if {"G2", "IF", "IP", "saturated"} & set(name.split("/")) else 1e-8 if aged else 1e-11
            if not np.allclose(one[name][()], two[name][()], rtol=rtol, atol=0, equal_nan=True):
                return f"{name} is not that of an undisturbed run"
    return None


class Job:
    """A command that runs in a trial's folder, and all processes that come of it.

    Attributes
    ----------
    status : int or None
        Exit status of mpiexec, once it has ended.
    log : str
        Its standard error.
    """

    def __init__(self, trial, command, limit, env):
        self.trial, self.command = trial, command
        self.mark = f"{MARK}={uuid.uuid4().hex}"
        self.path = trial.folder / f"log_{len(trial.jobs)}"
        name, value = self.mark.split("=")
        limit = limit if trial.session.timed else max(limit, PATIENCE)
        env = {**os.environ, "PATH": PATH, "PYTHONWARNINGS": "error", "SECONDS": "0.004", name: value, **env}
        with open(self.path, "wb") as log:
            # a shell's background job ignores SIGINT: so it may be with us, but not with the job
            self.process = subprocess.Popen(
                ["timeout", "-k", "5", str(limit), *command], cwd=trial.folder, env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=_hear,  # noqa: PLW1509
            )  # fmt: skip
        self.since, self.seen = None, ()
        self.limit = time.monotonic() + limit
        self.status = None

    @property
    def log(self):
        """What it has said."""
        return self.path.read_text(encoding="utf-8", errors="replace")

    @property
    def launcher(self):
        """The pid of mpiexec, or of the command itself where there is none."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def find(self, rank):
        """Return the process of a rank, None if there is none."""
        variable = self.trial.launcher.rank_variable
        for pid, environ in marked(self.mark).items():
            if environ.get(variable) == str(rank) and b"parCorAnaDriver" in _command_line(pid):
                return pid
        return None

    def pid(self, rank):
        """Return the process of a rank."""
        found = self.find(rank)
        expect(found is not None, f"there is no rank {rank}: {self.log}")
        return found

    def wait(self, condition, what):
        """Wait until a condition holds while the job goes on."""
        while not condition():
            expect(self.process.poll() is None, f"the job ended before {what}: {self.log}")
            time.sleep(0.005)

    def wait_published(self, updates=1):
        """Wait until so many updates are published."""
        self.wait(lambda: len(self.published()) >= updates, f"{updates} updates were published")

    def published(self):
        """Return the numbers of events of the updates that are published now."""
        return [int(path.stem[7:]) for path in Path(f"{self.trial.output}.inprogress").glob("update_*.h5")]

    def strike(self, pid=None, number=None):
        """Provoke: note what is published, start the clock (the first time), and send a signal if there is one."""
        if self.since is None:
            self.seen, self.since = self.published(), time.monotonic()
        if pid is not None:
            os.kill(pid, number)

    def ends(self, within, ended=None, grace=1.0):
        """Wait for the end; check that it came in time, that no rank is left, that nothing is lost.

        Parameters
        ----------
        within : float
            Seconds from `strike`, or from the start; looked at if the session is timed.
        ended : callable or int, optional
            As for `Trial.check_published`; called once the job has ended.
        grace : float
            Seconds in which ranks may still go after mpiexec has.
        """
        since = self.since or time.monotonic()
        while self.process.poll() is None:
            time.sleep(0.005)
        if (note := self.trial.folder / "struck").exists():  # the fault was in the job itself
            since = time.monotonic() - (time.time() - note.stat().st_mtime)
            self.seen = [int(number) for number in note.read_text(encoding="utf-8").split()]
        self.status = self.process.returncode
        timed = self.trial.session.timed
        until = time.monotonic() + (grace if timed else PATIENCE)
        while (left := self.left()) and time.monotonic() < until:
            time.sleep(0.02)
        record = self.trial.record
        seconds = time.monotonic() - since
        record.seconds = max(record.seconds or 0, seconds)
        record.left += len(left)
        record.lost += self.trial.check_published(self.seen, ended(self) if callable(ended) else ended)
        expect(time.monotonic() < self.limit, f"it went on until it was ended: {self.log}")
        expect(not timed or seconds <= within, f"it took {seconds:.1f} s, not {within}: {self.log}")
        expect(not left, f"left behind: {[_command_line(pid) for pid in left]}: {self.log}")
        expect(not record.lost, f"published results lost: {record.problems}: {self.log}")

    def fails(self, within, *words, ended=None, grace=1.0):
        """The same for a job that must end with exit status 1 and one line of error, in which `says` finds these."""
        self.ends(within, ended, grace)
        expect(self.status == 1, f"exit status {self.status}: {self.log}")
        self.says(*words)

    def says(self, *words):
        """Check the one line of error: it has these words, and what these patterns (`re.Pattern`) match."""
        lines = [line for line in self.log.splitlines() if line.startswith("parCorAnaDriver: ")]
        expect(len(lines) == 1, f"{len(lines)} lines of error: {self.log}")
        missing = [
            word for word in words if not re.search(word if isinstance(word, re.Pattern) else re.escape(word), lines[0])
        ]
        expect(not missing, f"the line of error lacks {missing}: {self.log}")
        expect("Traceback" not in self.log, f"a traceback of our own: {self.log}")

    def left(self):
        """Return the processes of this job that are there."""
        return [pid for pid in marked(self.mark) if pid != self.process.pid]

    def clear(self):
        """Kill whatever there is of this job."""
        for pid in (*marked(self.mark), *([self.process.pid] if self.process.poll() is None else [])):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _hear():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def run_trial(session, launcher, group, row, number):
    """Provoke a row's fault once; return the Record. If the machine stood still, and so proved nothing, do it again."""
    for attempt in range(3):
        before = session.stood_still
        record = _run_trial(session, launcher, f"{group}{attempt}", row, number)
        if record.kept == record.provoked or session.stood_still == before:
            break
    return record


def _run_trial(session, launcher, group, row, number):
    # the same random numbers each time it is called
    trial = Trial(session, launcher, f"{group}_{zlib.crc32(row.fault.encode()):x}", number)
    try:
        row.provoke(trial)
    except Broken as error:
        trial.record.problems.append(str(error))
    except Exception:
        trial.record.problems.append(traceback.format_exc())
    record = trial.finish()
    record.kept = 0 if record.problems else record.provoked
    return record


__all__ = ["Broken", "Job", "Launcher", "Record", "Row", "Session", "Trial", "expect", "run_trial"]
