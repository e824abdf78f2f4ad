"""What a run stands on goes: its log, its terminal, the name of its result, the memory that ranks share; user code."""

import os
import signal
import subprocess

import h5py

from faults.frame import Row, expect

PACED = """\
    def adjustData(self, data):
        super().adjustData(data)
        time.sleep(SECONDS)
"""
RAISES = """\
    def workerCalc(self, T, numTimesFilled, X):
        if self.mpiParams.processed == 200 and not self.mpiParams.firstWorker and struck():
            {before}raise ValueError("by me")
        return super().workerCalc(T, numTimesFilled, X)
"""
# a shell for every rank, with streams of its own
OWN_STREAMS = ("sh", "-c", "exec parCorAnaDriver -c config.py {}")
OWN_SHARED_MEMORY = [
    *("unshare", "-m", "sh", "-c"),
    'mount -t tmpfs tmpfs /dev/shm; "$@"; s=$?; ls /dev/shm >left; exit $s',
    "sh",
]
ELSEWHERE = (
    PACED
    + """
    def initViewer(self, *args):
        super().initViewer(*args)
        os.chdir("/")

    def initWorker(self, *args):
        super().initWorker(*args)
        os.chdir("/")

    def viewerPublishReduced(self, *args):
        super().viewerPublishReduced(*args)
        os.chdir("/tmp")
"""
)
# the tags of the program's own messages
TALKS = """\
    def workerCalc(self, T, numTimesFilled, X):
        if not self.mpiParams.firstWorker and "TALKS" in os.environ:
            from mpi4py import MPI
            for tag in range(1, 9):
                MPI.COMM_WORLD.isend("by me", 0, tag).free()
        return super().workerCalc(T, numTimesFilled, X)

    def viewerPublishReduced(self, *args):
        if "TALKS" in os.environ:
            from mpi4py import MPI
            for tag in range(1, 9):
                assert MPI.COMM_WORLD.recv(source=3, tag=tag) == "by me"
        super().viewerPublishReduced(*args)
"""
THREAD = """\
    def viewerPublishReduced(self, *args):
        if "THREAD" in os.environ and self.mpiParams.processed == 200:
            import threading
            threading.Thread(target=time.sleep, args=(6,), name="mine").start()
        super().viewerPublishReduced(*args)
"""
POOL = """\
    def workerCalc(self, T, numTimesFilled, X):
        if "POOL" in os.environ:
            import multiprocessing
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(abs, range(-9, 9))[0] == 9
        return super().workerCalc(T, numTimesFilled, X)
"""
FORKED = """\
    def viewerPublishReduced(self, *args):
        if "FORKED" in os.environ:
            child = os.fork()
            if not child:
                {how}
            assert os.waitpid(child, 0)[1] == {status} << 8
        super().viewerPublishReduced(*args)
"""
NO_THREAD = """\
    def workerCalc(self, T, numTimesFilled, X):
        if self.mpiParams.processed == 200 and not self.mpiParams.firstWorker and struck():
            import faulthandler
            def none(*args, **kwargs):
                raise RuntimeError("unable to start watchdog thread")
            faulthandler.dump_traceback_later = none
            raise ValueError("by me")
        return super().workerCalc(T, numTimesFilled, X)
"""


def run_well(job, trial, within=30):
    """Wait for a job that must end as if nothing had happened."""
    job.ends(within)
    trial.record.seconds = None
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    with h5py.File(trial.output) as file:
        expect(file["system"].attrs["complete"], "not complete")
    expect(not os.path.exists(f"{trial.output}.inprogress"), "the folder is still there")


def lose_log(trial):
    """Nobody can be told, but the job has to end."""
    trial.write(body=RAISES.format(before=""), block=16)
    command = (*OWN_STREAMS[:2], OWN_STREAMS[2].format("2>/dev/full"))
    job = trial.start(command=command, env={"FAULT": "1"})
    job.ends(within=5)
    expect(job.status == 1, f"exit status {job.status}: {job.log}")


def have_no_streams(trial):
    trial.write(block=16)
    run_well(trial.start(command=(*OWN_STREAMS[:2], OWN_STREAMS[2].format("<&- >&- 2>&-"))), trial)


def close_log(trial):
    """User code closes the stream, then fails."""
    trial.write(body=RAISES.format(before="__import__('sys').stderr.close(); "), block=16)
    job = trial.start(env={"FAULT": "1"})
    job.fails(5, "rank 3, worker at the update at 200 events, in Mine.workerCalc: ValueError: by me")


def lose_reader(trial):
    """As in ``mpiexec ... 2>&1 | head -1``: MPICH's mpiexec dies of it."""
    trial.write(body=PACED, block=16)
    job = trial.start(before=["sh", "-c", '{ "$@" 2>&1; echo $? >status; } | head -1', "sh"], env={"SECONDS": "0.002"})
    job.ends(within=15)
    trial.record.seconds = None
    expect((trial.folder / "status").read_text(encoding="utf-8").strip() != "0", "exit status 0")


def take_name(trial):
    """Somebody puts a file there while the run goes on: it is not the run's to replace."""
    trial.write(body=PACED, block=16, dataset="sim=brownian:shape=2x5x7:events=400:seed=1")
    job = trial.start()
    job.wait_published(2)
    precious = trial.folder / "out.h5"
    precious.write_bytes(b"precious")
    trial.output = trial.folder / "away" / "out.h5"  # it is not what is looked at
    job.process.wait()
    expect(precious.read_bytes() == b"precious", "the file was replaced")
    os.mkdir(trial.folder / "away")
    os.rename(trial.folder / "out.h5.inprogress", f"{trial.output}.inprogress")
    job.fails(30, "a file of that name has come while the run went on", "stays in")
    trial.record.seconds = None
    joined = trial.run("parCorAnaDriver", "--join", "away/out.h5.inprogress")
    expect(joined.returncode == 0, joined.stderr)


def leave_no_memory(kills):
    """The ranks share memory, under a name that MPICH leaves behind."""

    def provoke(trial):
        trial.write(body=PACED if kills else RAISES.format(before=""), block=16)
        job = trial.start(before=OWN_SHARED_MEMORY, env={} if kills else {"FAULT": "1"})
        if kills:
            job.wait_published(2)
            job.strike(job.pid(3), signal.SIGKILL)
        job.ends(within=5)
        expect(job.status != 0, f"exit status 0: {job.log}")
        left = (trial.folder / "left").read_text(encoding="utf-8").split()
        expect(not left, f"left in /dev/shm: {left}")

    return provoke


def have_little_memory(trial):
    trial.write()
    little = [part.replace("tmpfs /dev/shm", "-o size=1m tmpfs /dev/shm") for part in OWN_SHARED_MEMORY]
    job = trial.start(before=little)
    job.ends(within=10)
    expect(job.status != 0, f"exit status 0: {job.log}")
    expect("/dev/shm has " in job.log and " MiB free" in job.log, job.log)


def go_elsewhere(trial):
    trial.write(body=ELSEWHERE, block=16, checkpoint=100)
    run_well(trial.start(env={"SECONDS": "0.001"}), trial)


def go_on_elsewhere(trial):
    """From the first line of its constructor on: nothing that the run has to find again may depend on it."""
    body = (
        ELSEWHERE
        + """
    def __init__(self, *args):
        super().__init__(*args)
        if "ELSEWHERE" in os.environ:
            os.chdir("/")
"""
    )
    trial.write(body=body, block=16, checkpoint=100)
    job = trial.start(env={"ELSEWHERE": "1"})
    job.wait(lambda: any(trial.folder.glob("out.h5.inprogress/checkpoint_*.json")), "there was a checkpoint")
    job.strike(job.pid(3), signal.SIGKILL)
    job.ends(within=5)
    expect(job.status != 0, "exit status 0")
    job = trial.start("--resume", env={"SECONDS": "0", "ELSEWHERE": "1"})
    run_well(job, trial)
    expect("resumed at" in job.log, job.log)


def talk(trial):
    trial.write(body=TALKS, block=16)
    run_well(trial.start(env={"TALKS": "1"}), trial)


def leave_thread(trial):
    trial.write(body=THREAD, block=16)
    job = trial.start(env={"THREAD": "1"})
    run_well(job, trial)
    expect("waits for 1 of the threads that user code has started, as 'mine'" in job.log, job.log)


def fork_a_pool(trial):
    """Its processes are ended by SIGTERM, which stops a run."""
    trial.write(body=POOL, block=16, update=200)
    run_well(trial.start(env={"POOL": "1"}), trial)


def come_back_from_fork(trial):
    """A child that does not end where it should is no rank: nothing of the run is touched by it."""
    how, status = (("raise ValueError('in the child')", 1), ("sys.exit(3)", 3), ("return", 1))[trial.number % 3]
    trial.write(body=FORKED.format(how=how.replace("sys", "__import__('sys')"), status=status), block=16, update=200)
    job = trial.start(env={"FORKED": "1"})
    run_well(job, trial)
    said = "a process that Mine.viewerPublishReduced has forked: "
    expect((said in job.log) == (status == 1), job.log)


def have_no_thread(trial):
    trial.write(body=NO_THREAD, block=16)
    job = trial.start(env={"FAULT": "1"})
    job.fails(5, "rank 3, worker at the update at 200 events, in Mine.workerCalc: ValueError: by me")


def no_namespaces():
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return "needs root, for a mount of its own" if done.returncode else None


MPICH = ("mpich",)
TITLE = (
    "What a run stands on goes, or user code takes it: the run goes on as if nothing had happened, or all ranks are "
    "gone within 5 s, exit status not 0; nothing of anybody is lost"
)
ROWS = [
    Row("every rank's log is on a full disk, and a callback raises: exit status 1", lose_log, times=2, quick=1),
    Row("the ranks have no standard streams: the run goes on", have_no_streams),
    Row("a callback closes the log, then raises: exit status 1, one line", close_log),
    Row("who reads the log goes (a pipe is closed)", lose_reader, mpi=MPICH),
    Row("a file takes the name of the result: it stays, exit status 1, `--join` after it", take_name),
    Row(
        "a callback raises: no shared memory is left", leave_no_memory(False), quick=1, mpi=MPICH, skip=no_namespaces
    ),
    Row("a rank gets SIGKILL: no shared memory is left", leave_no_memory(True), mpi=MPICH, skip=no_namespaces),
    Row("hardly any memory to share: it is said before MPI crashes", have_little_memory, mpi=MPICH, skip=no_namespaces),
    Row("callbacks change the working directory: the run goes on", go_elsewhere),
    Row("the same, and a rank is killed: it goes on with `--resume`", go_on_elsewhere, quick=1),
    Row("callbacks send messages of their own, with the program's tags: the run goes on", talk),
    Row("a callback uses a `multiprocessing.Pool`: the run goes on", fork_a_pool, times=3, quick=1),
    Row("a process that a callback forks raises, exits or returns: the run goes on", come_back_from_fork, times=3),
    Row("a callback raises when no further thread can be started: exit status 1, one line", have_no_thread, quick=1),
    Row("a callback leaves a thread behind: the run waits for it, and says so", leave_thread),
]  # fmt: skip
