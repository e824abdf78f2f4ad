"""Memory that a process may not have, files that it may not open: said before the run begins, in words."""

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from jobs.test_pipeline import write_user_class
from test_config import check_line

from parcorana.errors import ConfigError
from parcorana.files import limits
from parcorana.job import memory
from parcorana.job.partition import Roles

GIB = 1 << 30


def limited(setup, command, limit, *args, ranks=0):
    """Run the driver in a shell that has set a limit."""
    launcher = f"mpiexec -n {ranks} " if ranks else ""
    line = f"ulimit {limit}; exec {launcher}parCorAnaDriver -c config.py {' '.join(args)}"
    return command("bash", "-c", line, cwd=setup.folder)


@pytest.mark.parametrize("flag", ["-v", "-d"])
@pytest.mark.parametrize("ranks", [0, 3])
def test_limits_of_the_shell_count(setup, command, flag, ranks):
    """Neither --check passes nor the run begins; with what the line says, both do."""
    setup.write(times=600_000, threads=2)
    for args in (("--check",), ()):
        run = limited(setup, command, f"{flag} 460000", *args, ranks=ranks)
        check_line(run, f", ulimit {flag} 460000 leaves ")
        assert "ranks, fewer times" in run.stderr and not list(setup.folder.glob("out*"))
    enough = re.search(r"set it to (\d+), or use more", run.stderr)[1]
    assert int(enough) < 4_000_000
    for args in (("--check",), ()):
        run = limited(setup, command, f"{flag} {enough}", *args, ranks=ranks)
        assert run.returncode == 0, run.stderr


def test_check_says_which_limit_is_nearest(setup, command):
    setup.write()
    assert re.search(
        r"\nthe ranks on \S+ need \S+ MiB beside what is in use, the host leaves ", setup.drive("--check").stdout
    )
    run = limited(setup, command, "-v 2000000", "--check")
    assert "MiB beside what is in use, ulimit -v 2000000 leaves 1." in run.stdout


# -- control groups ------------------------------------------------------------


def tree(root, cgroup, **files):
    """Write a tree of /proc and /sys as the kernel shows it."""
    given = {"proc/self/cgroup": cgroup, "proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   8388608 kB\n", **files}
    given["proc/self/status"] = "Name: x\nVmSize:  200 kB\nVmRSS:\t 100 kB\n"
    for name, text in given.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return limits.rooms(root)


def left(rooms):
    """Return what each control group leaves, by the file of its limit."""
    return {re.search(r"cgroup/(.*):", room.what)[1]: room.left for room in rooms.rooms if "control group" in room.what}


V2 = "sys/fs/cgroup/"


def test_groups_of_version_2(tmp_path):
    """Of the group itself and all above it: limits less what is in use and cannot be given back."""
    slurm = f"{V2}slurm/job_1/step_0"
    rooms = tree(
        tmp_path,
        "0::/slurm/job_1/step_0\n",
        **{
            f"{slurm}/memory.max": "max\n",
            f"{slurm}/memory.current": "5",
            f"{V2}slurm/job_1/memory.max": f"{4 * GIB}\n",
            f"{V2}slurm/job_1/memory.high": f"{3 * GIB}\n",
            f"{V2}slurm/job_1/memory.current": f"{2 * GIB}\n",
            f"{V2}slurm/job_1/memory.stat": f"anon {GIB}\nfile {GIB}\ninactive_file {GIB // 2}\nactive_file 0\n"
            f"slab_reclaimable {GIB // 4}\n",
            f"{V2}slurm/memory.max": f"{9 * GIB}\n",
        },
    )
    assert left(rooms) == {"slurm/job_1/memory.high": 3 * GIB - 2 * GIB + 3 * GIB // 4, "slurm/memory.max": 9 * GIB}
    assert [room.left for room in rooms.rooms if room.what == "the host"] == [8 * GIB]
    assert rooms.used == 100 << 10


@pytest.mark.parametrize("path", ["/docker/0123", "/", "/../.."])
def test_a_container_sees_its_own_group_at_the_top(tmp_path, path):
    rooms = tree(tmp_path, f"0::{path}\n", **{f"{V2}memory.max": f"{GIB}", f"{V2}memory.current": f"{2 * GIB}"})
    assert left(rooms) == {"memory.max": 0}


@pytest.mark.parametrize("controllers", ["memory", "cpuset,memory"])
def test_groups_of_version_1(tmp_path, controllers):
    group = "sys/fs/cgroup/memory/slurm/job_1"
    rooms = tree(
        tmp_path,
        f"11:cpu:/x\n4:{controllers}:/slurm/job_1\n1:name=systemd:/y\n0::/\n",
        **{
            f"{group}/memory.limit_in_bytes": f"{2 * GIB}\n",
            f"{group}/memory.usage_in_bytes": f"{GIB}\n",
            f"{group}/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 2}\ntotal_active_file {GIB // 4}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert left(rooms) == {"memory/slurm/job_1/memory.limit_in_bytes": GIB + 3 * GIB // 4}


def test_where_nothing_can_be_read_nothing_is_limited(tmp_path):
    (room,) = limits.rooms(tmp_path).rooms
    assert room.what == "the host" and room.left == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_system_that_promises_no_more_than_it_has(tmp_path):
    files = {"proc/sys/vm/overcommit_memory": "2\n", "proc/meminfo": "MemAvailable: 900 kB\nCommitLimit: 500 kB\n"}
    rooms = tree(tmp_path, "", **files | {"proc/meminfo": files["proc/meminfo"] + "Committed_AS: 100 kB\n"})
    assert rooms.rooms[0].left == 400 << 10


def _in_namespace(tmp_path):
    """Return what runs a command where control groups are files in a folder, None where that is forbidden."""
    folder = tmp_path / "groups"
    (folder / "memory").mkdir(parents=True)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        (folder / name).write_text(f"{10 << 20}\n")
    command = ["unshare", "-m", "sh", "-c", f'mount --bind {folder} /sys/fs/cgroup && exec "$@"', "sh"]
    tried = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried and tried.returncode == 0 else None


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_job_in_a_small_group_is_refused(setup, command, tmp_path, ranks):
    within = _in_namespace(tmp_path)
    if within is None or not os.path.exists("/proc/self/cgroup"):
        pytest.skip("no namespace can be made here")
    setup.write()
    launcher = ["mpiexec", "-n", str(ranks)] if ranks else []
    run = command(*within, *launcher, "parCorAnaDriver", "-c", "config.py", "--check", cwd=setup.folder)
    check_line(run, "memory: the ranks on ")
    assert "the control group (/sys/fs/cgroup/" in run.stderr and "10 MiB) leaves 10 MiB: ask the batch" in run.stderr


# -- ranks, together and each for itself ----------------------------------------


def plan_of(needs, hosts):
    roles = Roles(servers=(1,), workers=tuple(range(2, len(hosts))))
    return SimpleNamespace(needs=needs, hosts=hosts, threads=[1] * len(hosts), roles=roles)


def rooms_of(process, used, *found):
    return limits.Rooms(list(found), process, used, 8 << 20)


def group(name, free):
    return limits.Room(name, 8 * GIB, free, "ask for more, or ")


def own(free):
    return limits.Room("ulimit -v 1", 8 * GIB, free, "set it to {enough}, or ", True, True)


def test_ranks_share_hosts_and_groups_but_not_their_own_limits():
    plan = plan_of([GIB, GIB, 2 * GIB, 2 * GIB], ["h1", "h1", "h2", "h2"])

    def check(first, second, used=0):
        rooms = [rooms_of(k, used, room) for k, room in enumerate([group("it", 9 * GIB)] * 2 + [first, second])]
        memory.check_memory(plan, rooms)

    check(group("a", 4 * GIB), group("a", 4 * GIB))
    check(group("a", 2 * GIB), group("b", 2 * GIB))  # each has one
    check(own(3 * GIB), own(3 * GIB))
    check(group("a", 4 * GIB - (100 << 20)), group("a", 4 * GIB - (100 << 20)), used=60 << 20)  # they have some already
    with pytest.raises(ConfigError, match=r"the ranks on h2 need 4.0 GiB beside what is in use, a leaves 3.0 GiB: ask"):
        check(group("a", 3 * GIB), group("a", 4 * GIB))
    with pytest.raises(
        ConfigError, match=r"rank 3 \(worker on h2\) needs 2.1 GiB .*, ulimit -v 1 leaves 1.0 GiB: set it"
    ):
        check(own(3 * GIB), own(GIB))


def test_in_one_process_the_roles_have_one_interpreter():
    plan = plan_of([100 << 20] * 3, ["h"] * 3)
    memory.check_memory(plan, [rooms_of(1, 50 << 20, group("it", 90 << 20))])
    with pytest.raises(ConfigError, match=r"the ranks on h need 90 MiB beside what is in use, it leaves 89 MiB"):
        memory.check_memory(plan, [rooms_of(1, 50 << 20, group("it", 89 << 20))])


# -- what runs out --------------------------------------------------------------

LOWERED = """def initServer(self):
        import resource
        with open("/proc/self/status") as status:
            size = next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
        resource.setrlimit(resource.RLIMIT_AS, ((size + 4000) << 10, resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("ranks", [0, 3])
def test_memory_that_runs_out_in_user_code(setup, ranks):
    write_user_class(setup, "def adjustData(self, data):\n        import numpy\n        numpy.ones(1 << 50)")
    run = setup.drive(ranks=ranks)
    lines = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert run.returncode == 1 and len(lines) == 1
    assert "in Mine.adjustData: memory ran out (Unable to allocate 8.00 PiB" in lines[0]
    assert "use more ranks, fewer times" in lines[0] and "mine.py" in run.stderr


@pytest.mark.parametrize("ranks", [0, 3])
def test_memory_that_runs_out_in_the_program(setup, ranks):
    np.save(setup.folder / "mask.npy", np.ones((1, 600, 600), np.int8))
    sim = "sim=brownian:shape=1x600x600:events=60"  # which makes its first frame when it is asked for
    write_user_class(setup, LOWERED, dataset=sim, src=..., times=2, delays=[1])
    run = setup.drive(ranks=ranks, own=True)
    lines = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert run.returncode == 1 and len(lines) == 1, run.stderr
    assert "memory ran out (" in lines[0] and "Traceback" not in run.stderr


HOARD = """
import os
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError:
    pass
"""


@pytest.mark.parametrize("ranks", [0, 3])
def test_open_files_that_run_out_are_told_as_that(setup, command, ranks):
    """Whatever cannot be opened then; the line names the limit."""
    path = setup.folder / setup.write()
    path.write_text(path.read_text() + HOARD)
    run = limited(setup, command, "-n 64", "--check", ranks=ranks)
    lines = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert run.returncode in (1, 2) and len(lines) == 1, run.stderr
    assert (
        "this process may have " in lines[0] and "files open and no more; raise that limit with ulimit -n" in lines[0]
    )


def test_memory_is_known_when_no_more_file_can_be_opened():
    code = HOARD + "print(limits.available(), limits.rooms().used)"
    command = [
        "bash",
        "-c",
        'ulimit -n 40; exec "$@"',
        "bash",
        sys.executable,
        "-c",
        f"from parcorana.files import limits\n{code}",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")), "0"]
