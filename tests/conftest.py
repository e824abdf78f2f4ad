"""What the tests share: configurations, real frames, and ways to run the commands."""

import fcntl
import http.server
import importlib
import io
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pytest
from effort import PATIENCE  # which registers profiles before pytest asks hypothesis for one

from parcorana.results.lock import writer_of
from parcorana.tools import driver, failure

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
QUICK = {"CC": str(ROOT / ".ci/cc-quick")}  # for what users compile: nothing here is about speed


@pytest.fixture(scope="session")
def root():
    return ROOT


def run_command(*args, cwd, ranks=0, seconds=PATIENCE, env=None):
    """Run a command, under mpiexec if `ranks`; never longer than `seconds`."""
    command = [str(a) for a in args]
    if ranks:
        command = ["mpiexec", "-n", str(ranks), *command]
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONWARNINGS": "error", **(env or {})}
    done = subprocess.run(
        ["timeout", "-k", "5", str(seconds), *command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if ranks and done.returncode:
        await_ranks(cwd)
    return done


def await_ranks(folder):
    """Wait until no rank of a run that was killed holds its folder any more: they outlive mpiexec for a moment."""
    until, mine = time.monotonic() + 10, f"process {os.getpid()}"
    for each in Path(folder).glob("*.inprogress"):
        while (writer := writer_of(each)) and mine not in writer and time.monotonic() < until:
            time.sleep(0.05)


@pytest.fixture
def command():
    return run_command


@pytest.fixture(scope="session")
def run_here():
    """The same as `command`, for fixtures that outlive one test."""
    return run_command


def status_of(main, *args):
    """Return the exit status of a command that is run in this process."""
    try:
        return main([str(arg) for arg in args])
    except SystemExit as error:  # argparse's
        return error.code


@contextmanager
def the_log_as_it_was():
    """Put the loggers back as they were: one that does not hand on what it gets would blind the tests after it."""
    loggers = [logging.getLogger(name) for name in ("parcorana", "parcorana.user")]
    before = [(each.handlers[:], each.propagate, each.level) for each in loggers]
    try:
        yield
    finally:
        for each, (handlers, each.propagate, level) in zip(loggers, before, strict=True):
            each.handlers[:] = handlers
            each.setLevel(level)


@pytest.fixture(autouse=True)
def _log_of_each_test():
    with the_log_as_it_was():
        yield


def run_within(main, *args, cwd):
    """Run a command as `run_command` does, but in this process, and leave nothing of it behind."""
    out, err, mine = io.StringIO(), io.StringIO(), [path.stem for path in Path(cwd).glob("*.py")]
    # another test has another user class of that name
    others = {name: sys.modules.pop(name) for name in mine if name in sys.modules}
    importlib.invalidate_caches()
    slow = mock.patch.object(failure, "_AT_LAST", PATIENCE)  # or a slow end of a run would be that of all tests
    uncached = mock.patch.object(sys, "dont_write_bytecode", True)  # as other processes: effort.py
    try:
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err), slow, uncached, the_log_as_it_was():
            status = status_of(main, *args)
    finally:
        for name in mine:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    return subprocess.CompletedProcess(args, status, out.getvalue(), err.getvalue())


@contextmanager
def serving(handler):
    """Answer HTTP by a handler, in a thread; give the port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def in_thread():
    """Calls a function in a thread of its own, which ends before the test is over."""
    threads = []

    def start(function, *args, **kwargs):
        threads.append(threading.Thread(target=function, args=args, kwargs=kwargs))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def each_code_path(module):
    """Return a fixture: each of the CPU's code paths of a compiled module in turn."""

    @pytest.fixture(params=module.paths())
    def code_path(request):
        before = module.path()
        module.choose_path(request.param)
        yield request.param
        module.choose_path(before)

    return code_path


CONFIG = """\
import parcorana
from parcorana import userg2

system_params = {system!r} | {{"user_class": userg2.{user_class}}}
user_params = {user!r}

if __name__ == "__main__":
    parcorana.check_config(system_params, user_params)
"""


class Setup:
    """A folder with frames in HDF5, mask, colours and a config file.

    Attributes
    ----------
    counters : (m,) int64
        Gaps, disorder, duplicates and late events.
    frames : (m, 2, 5, 7) uint16
    """

    def __init__(self, folder, seed=0, events=230):
        self.folder = folder
        rng = np.random.default_rng(seed)
        counters = np.cumsum(1 + (rng.random(events) < 0.15))
        for k in range(0, events - 6, 11):
            counters[k : k + 5] = rng.permutation(counters[k : k + 5])
        counters[50:51] = counters[49]
        counters[150:151] = counters[20]
        self.counters = counters
        self.frames = rng.poisson(5, (events, 2, 5, 7)).astype(np.uint16)
        with h5py.File(folder / "frames.h5", "w") as file:
            file["det/frames"] = self.frames
            file["det/counter"] = counters
        self.mask = (rng.random((2, 5, 7)) < 0.8).astype(np.uint8)
        self.color = rng.integers(0, 4, self.mask.shape).astype(np.int32)
        self.fine = rng.integers(1, 6, self.mask.shape).astype(np.int32)
        for name in ("mask", "color", "fine"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        self.system = {
            "dataset": "h5=frames.h5",
            "src": "det/frames",
            "mask": "mask.npy",
            "times": 60,
            "update": 70,
            "delays": [1, 2, 3, 5, 8, 13, 21, 34, 55],
            "block": 16,
            "h5output": "out.h5",
            "overwrite": True,
        }
        self.user = {"color": "color.npy", "save_arrays": True}

    @property
    def included(self):
        """The included elements of all frames: (m, n)."""
        return self.frames[:, self.mask.astype(bool)]

    def write(self, user_class="G2atEnd", user=None, name="config.py", **system):
        """Write the config file; return its name."""
        given = {k: v for k, v in (self.system | system).items() if v is not ...}
        text = CONFIG.format(system=given, user=self.user if user is None else user, user_class=user_class)
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def drive(self, *args, ranks=0, config="config.py", own=False, **kwargs):
        """Run parCorAnaDriver on the config file: in this process, if nothing asks for one of its own."""
        if not (ranks or own or kwargs) and threading.current_thread() is threading.main_thread():  # faults use others
            return run_within(driver.main, "-c", config, *args, cwd=self.folder)
        return run_command("parCorAnaDriver", "-c", config, *args, cwd=self.folder, ranks=ranks, **kwargs)


def write_class(setup, code, name, **system):
    """Write a user class and a config file that names it, with the class's own parameters if it has any."""
    (setup.folder / "mine.py").write_text(code, encoding="utf-8")
    setup.write(name, **system)
    path = setup.folder / "config.py"
    text = path.read_text(encoding="utf-8").replace("from parcorana import userg2", "import mine as userg2")
    if "PARAMS" in code:
        text = text.replace(f"user_params = {setup.user!r}", "user_params = userg2.PARAMS")
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Return a function that runs the mask tool in a folder of its own; it returns status, output, error."""
    from parcorana.tools import maskcolor

    monkeypatch.chdir(tmp_path)

    def run(*args):
        status = status_of(maskcolor.main, *args)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def make_setup(tmp_path):
    return lambda **kwargs: Setup(tmp_path, **kwargs)


# -- what pip installs: made once for all tests that need it, those of other processes, too ----

RELEASE = os.environ.get("PARCORANA_DIST")  # a folder with one sdist and one wheel
OLDEST = "gcc-11"  # of the compilers that are supported and that CI has

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.inprogress", ".*_cache"
)


def left_out(folder, names):
    """Return what of a folder is no source: built, cached, or made by a run at the top."""
    here = Path(folder).relative_to(ROOT)
    made = {Path(): {"demo", "validation"}, Path("pyx"): {"_beat.c", "_core.c", "_move.c", "kernels.c"}}
    return LEFT_OUT(folder, names) | made.get(here, set())


def succeed(*args, cwd, env=None):
    env = {k: v for k, v in (env or os.environ).items() if k not in ("PYTHONPATH", "PYTHONWARNINGS")}
    command = ["timeout", "-k", "5", str(PATIENCE), *map(str, args)]
    run = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Fills a folder by a function that takes it; pytest-xdist's other processes wait, and find it filled."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def make(name, fill):
        folder, mark = base / name, base / f"{name}.filled"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                fill(folder)
                mark.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def dist(made_once):
    """The sdist and the wheel that pip builds from it, or what `make wheel` made; the tree stays as it is."""

    def build(folder):
        shutil.copytree(ROOT, folder / "tree", ignore=left_out)
        if RELEASE:
            for file in Path(RELEASE).iterdir():
                shutil.copy(file, folder)
            return
        env = os.environ | {"PARCORANA_CFLAGS": "-O0"}  # a quarter of the time, and nothing here is about speed
        if shutil.which(OLDEST):
            env["CC"] = OLDEST
        command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder]
        succeed(*command, cwd=folder / "tree", env=env)
        (sdist,) = folder.glob("*.tar.gz")
        succeed(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, sdist, cwd=folder, env=env)

    folder = made_once("dist", build)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel, folder / "tree"


@pytest.fixture(scope="session")
def clean(dist, made_once, tmp_path_factory):
    """Runs a command of an environment that has the wheel and what it depends on, from an empty folder."""

    def pip(python, *args, folder, env=None):
        # pip of this environment installs into the other, which saves the time for one there
        command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        return succeed(*command, "install", "--quiet", *args, cwd=folder, env=env)

    def fill(folder):
        succeed(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        pip(folder / "bin/python", "--no-compile", dist[1], folder=folder)

    python = made_once("clean", fill) / "bin/python"
    here = tmp_path_factory.mktemp("empty")
    path = f"{python.parent}:/usr/bin:/bin"
    # compiled when it is first imported: nothing of it was yet
    left = ("PMI", "OMPI", "MPI", "PYTHONDONTWRITEBYTECODE")
    env = {key: value for key, value in os.environ.items() if not key.startswith(left)}

    def run(name, *args, folder=here, **more):
        return succeed(python.parent / name, *args, cwd=folder, env=env | {"PATH": path} | more)

    def install(*args, folder=here):
        return pip(python, *args, folder=folder, env=os.environ | QUICK)

    run.folder, run.install = here, install
    return run


@pytest.fixture(autouse=True)
def same_umask():
    """What a library does to the umask must not decide who may write to results, or to a later test's files."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    assert os.umask(before) == before


@pytest.fixture
def no_facility(monkeypatch):
    """No service of a facility can be reached."""
    monkeypatch.setenv("PS_PARALLEL", "none")
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
