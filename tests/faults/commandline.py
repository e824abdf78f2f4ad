"""Commands: numbers that nobody could mean, places where nothing can be printed, names that no one would choose."""

import os
import shutil

import h5py

from faults.frame import Row, expect

BAD = b"$x_{$ \xff\x1b[31m\n"
EVIL = os.fsdecode(BAD) + ".h5"
SHOWN = r"$x_{$ \udcff\x1b[31m\n.h5"
MASKS = (
    "parCorAnaMaskColorTool",
    *("start", "-d", "sim=brownian:shape=8x8", "--basename", "m", "--by", "q", "--rings", "2"),
)
# name of a number: what is in the config, the command, the environment, words of the one line
NUMBERS = {
    "threads": ({"threads": 10**6}, (), {}, "threads must be at most 1,024, not 1000000"),
    "update": ({"update": 10**30}, (), {}, "update must be at most 1,152,921,504,606,846,976, not 1000"),
    "times": ({"times": 1 << 40}, (), {}, "times must be at most 2,147,483,647"),
    "heartbeat": ({"heartbeat": 1e300}, (), {}, "heartbeat must be at most 1,000,000,000"),
    "-n": ({}, ("-n", 10**30), {}, "numevents must be at most 1,152,921,504,606,846,976"),
    "-s": ({}, ("-s", 10**9), {}, "numservers must be at most 1,048,576"),
    "--start-limit": ({}, ("--start-limit", "nan"), {}, "must be a number of seconds, 0 or more, not 'nan'"),
    "PARCORANA_PATIENCE": (
        {"dataset": "h5=later.h5:live", "src": "det/frames"}, (), {"PARCORANA_PATIENCE": "nan"},
        "PARCORANA_PATIENCE must be a number of seconds",
    ),
    "--sectors": ({}, (*MASKS, "--sectors", "1000000000"), {}, "--sectors"),
    "--most": ({}, ("cmpParCorAnaH5Output", "a.h5", "b.h5", "--most", "-1"), {}, "--most"),
    "--rtol": ({}, ("cmpParCorAnaH5Output", "a.h5", "b.h5", "--rtol", "nan"), {}, "--rtol"),
}  # fmt: skip


def shell(trial, line, *args, env=None):
    """Run a line of bash in the folder, in whose `$@` the arguments are; return what became of it."""
    return trial.run("env", *(f"{key}={value}" for key, value in (env or {}).items()), "bash", "-c", line, "sh", *args)


def is_one_line(ran, status, *words):
    """Check that a command has this status and said one line, with these words."""
    expect(ran.returncode == status, f"exit status {ran.returncode}, not {status}: {ran.stderr}")
    lines = [line for line in ran.stderr.splitlines() if line.startswith(("parCorAna", "cmpParCorAna"))]
    expect(len(lines) == 1 and lines[0].isprintable() and "Traceback" not in ran.stderr, f"no one line: {ran.stderr!r}")
    expect(all(word in lines[0] for word in words), f"the line lacks one of {words}: {lines[0]}")


def number_out_of_range(trial):
    name = list(NUMBERS)[trial.number % len(NUMBERS)]
    system, args, env, words = NUMBERS[name]
    trial.compares = False
    trial.write(**system)
    of_driver = not args or str(args[0]).startswith("-")
    start = trial.launcher.command(3 * (trial.number % 2), "parCorAnaDriver", "-c", "config.py") if of_driver else ()
    ran = shell(trial, '"$@"', *map(str, (*start, *args)), env=env)
    is_one_line(ran, 2, words)
    expect(not list(trial.folder.glob("out.h5*")), "a result was begun")


# how a command is run, which files it compares, what it must say then
PLACES = {
    "SIGCHLD is ignored": ("trap '' CHLD; \"$@\"", "whole.h5", 0),
    "standard output is a full disk": ('"$@" >/dev/full', "whole.h5", 0),
    "standard output is closed": ('"$@" >&-', "whole.h5", 0),
    "standard output is closed, other files": ('"$@" >&-', "other.h5", 1),
    "nobody reads": ('set -o pipefail; ("$@"; echo $? >status) | true; exit $(cat status)', "whole.h5", 0),
    "no file can be read": ('"$@" 2>/dev/full', "none.h5", 2),
}


def compare_where_nothing_can_be_said(trial):
    name = list(PLACES)[trial.number % len(PLACES)]
    line, other, status = PLACES[name]
    trial.write()
    shutil.copy(trial.undisturbed(), trial.folder / "whole.h5")
    with h5py.File(shutil.copy(trial.undisturbed(), trial.folder / "other.h5"), "r+") as file:
        file["user/G2_results_at_000050/delay_counts"][0] += 1
    ran = shell(trial, line, "cmpParCorAnaH5Output", "whole.h5", other)
    expect(ran.returncode == status, f"{name}: exit status {ran.returncode}, not {status}: {ran.stderr}")
    expect("Traceback" not in ran.stderr, ran.stderr)


def one_task_of_slurm(trial):
    """As in the shell of ``srun --pty bash``: there is nobody with whom MPI could begin."""
    trial.write(block=16)
    env = {"PMIX_RANK": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
    for more in (["--check"], []):
        job = trial.start(*more, ranks=0, env=env)
        job.ends(within=20)
        expect(job.status == 0, f"exit status {job.status}: {job.log}")
    trial.record.seconds = None
    expect(trial.processed() == 1000, "not all events were processed")


def names_in_the_log(trial):
    """No terminal does what stands in a name, and no line is one that the program did not write."""
    trial.write(block=16)
    with open(trial.folder / "config.py", "a", encoding="utf-8") as file:
        file.write(f"import os\nsystem_params['h5output'] = os.fsdecode({BAD + b'.h5'!r})\n")
    trial.output = trial.folder / EVIL
    job = trial.start()
    job.ends(within=30)
    trial.record.seconds = None
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    expect(SHOWN in job.log, f"the name is not shown: {job.log}")
    lines = [line for line in job.log.splitlines() if not line.isprintable()]
    expect(not lines, f"not to be printed: {lines}")


def names_in_pictures(trial):
    trial.write()
    shutil.copy(trial.undisturbed(), trial.folder / EVIL)
    picture = os.fsdecode(BAD) + ".png"
    for command in (("parCorAnaPlot", EVIL, "-o", picture), ("cmpParCorAnaH5Output", EVIL, EVIL)):
        ran = trial.run(*command)
        expect(ran.returncode == 0 and "Traceback" not in ran.stderr, f"{command}: {ran.returncode}, {ran.stderr}")
        expect(all(line.isprintable() for line in (ran.stdout + ran.stderr).splitlines()), f"not to be printed: {ran}")
    expect((trial.folder / picture).stat().st_size > 1000, "no picture")


def no_full_disk():
    return None if os.path.exists("/dev/full") else "there is no /dev/full"


TITLE = (
    "Odd command lines, names and surroundings of commands: the exit status is that of what they did, there is no "
    "traceback, and what is wrong is one line"
)
ROWS = [
    Row(f"a number out of range: {', '.join(f'`{name}`' for name in NUMBERS)}", number_out_of_range, len(NUMBERS)),
    Row(
        f"`cmpParCorAnaH5Output`: {'; '.join(PLACES)}", compare_where_nothing_can_be_said, len(PLACES),
        skip=no_full_disk,
    ),
    Row("one task of Slurm with PMIx, `--check` and a run in one process", one_task_of_slurm),
    Row("line breaks, control characters and bytes that are no text in the name of the result", names_in_the_log),
    Row("the same, and `$`, in what `parCorAnaPlot` and `cmpParCorAnaH5Output` are given", names_in_pictures),
]  # fmt: skip
