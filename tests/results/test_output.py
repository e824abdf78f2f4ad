"""The result file: what is in it, under which name, and that nothing published is ever lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import BIN, write_class
from effort import PATIENCE

from parcorana import ConfigError, __version__
from parcorana.results.join import join
from parcorana.results.name import resolve_name

GROUP = "user/G2_results_at_{:06d}"
UPDATES = [70, 140, 210, 228]


def read_tree(node):
    """Return every dataset and attribute below a node, by path."""
    tree = {}

    def visit(name, item):
        tree.update({f"{name}@{key}": np.asarray(value) for key, value in item.attrs.items()})
        if isinstance(item, h5py.Dataset):
            tree[name] = item[()]

    visit("", node)
    node.visititems(visit)
    return tree


def check_same(a, b):
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def error_line(run, status):
    """Return the one line that tells of the error."""
    assert run.returncode == status, run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert len(lines) == 1, run.stderr
    assert "Traceback" not in run.stderr
    return lines[0]


# -- what is in it -------------------------------------------------------------


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run under MPI with everything: times of events, colours, fine colours, all arrays."""
    from conftest import Setup

    setup = Setup(tmp_path_factory.mktemp("result"))
    setup.stamps = 1_600_000_000_123_456_789 + setup.counters * 10**9 // 120
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/counter"]
        file["det/timestamp"] = setup.stamps.astype(np.uint64)
    setup.user |= {"finecolor": "fine.npy", "saturated_value": 14.5, "plot_colors": (1, 2)}
    setup.write("G2IncrementalAccumulator", user=setup.user)
    run = setup.drive(ranks=4)
    assert run.returncode == 0, run.stderr
    setup.log = run.stderr
    return setup


def test_layout(result):
    delays = result.system["delays"]
    with h5py.File(result.folder / "out.h5") as file:
        assert set(file) == {"system", "user"}
        assert sorted(file["user"]) == [GROUP.format(n)[5:] for n in UPDATES]
        for processed in UPDATES:
            group = file[GROUP.format(processed)]
            curves = {f"{kind}_color_{c}" for kind in ("delay_curve", "delay_curve_err", "elements") for c in (1, 2, 3)}
            curves |= {f"elements_left_out_color_{c}" for c in (1, 2, 3)}
            beside = {"delays", "delay_counts", "saturated", "intensity", "aged", "leverage"}
            assert set(group) == beside | {"G2", "IF", "IP"} | curves
            np.testing.assert_array_equal(group["delays"], delays)
            assert group["delay_counts"].dtype == np.int64
            assert group["saturated"].dtype == np.int8 and group["saturated"].shape == result.mask.shape
            assert all(group[name].shape == (len(delays),) for name in curves)
            for name in ("G2", "IF", "IP"):
                assert set(group[name]) == {f"delay_{delay:06d}" for delay in delays}
                for array in group[name].values():
                    assert (array.dtype, array.shape) == (np.float64, result.mask.shape)
            assert group["G2"]["delay_000001"].attrs["units"] != group["IP"]["delay_000001"].attrs["units"]


def test_every_dataset_explains_itself(result):
    datasets = []
    with h5py.File(result.folder / "out.h5") as file:
        file.visititems(lambda name, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        assert len(datasets) > 100
        for dataset in datasets:
            for key in ("units", "long_name"):
                assert isinstance(dataset.attrs.get(key), str) and dataset.attrs[key], (dataset.name, key)


def test_system(result):
    with h5py.File(result.folder / "out.h5") as file:
        system = file["system"]
        assert system.attrs["version"] == __version__
        assert system.attrs["complete"].dtype == bool and system.attrs["complete"]
        assert system.attrs["ended_by"] == "end of data"
        processed = np.delete(result.stamps, [50, 150])  # all but the duplicate and the late one
        assert system.attrs["first_event_time_ns"] == processed.min()
        assert system.attrs["last_event_time_ns"] == processed.max()
        given = json.loads(system["system_params"].asstr()[()])
        assert given["user_class"] == "parcorana.userg2.G2IncrementalAccumulator"
        assert {key: given[key] for key in result.system if key != "user_class"} == result.system
        assert given["rate"] == 120.0  # a default
        assert json.loads(system["user_params"].asstr()[()]) == result.user | {"plot_colors": [1, 2]}
        for key, array in (("mask", result.mask), ("color", result.color), ("finecolor", result.fine)):
            np.testing.assert_array_equal(system[key], array)
        np.testing.assert_array_equal(system["delays"], result.system["delays"])
        ranks = system["ranks"][()]
        assert ranks["rank"].tolist() == [0, 1, 2, 3]
        assert ranks["role"].tolist() == [b"viewer", b"server", b"worker", b"worker"]
        assert set(ranks["host"].tolist()) == {os.uname().nodename.encode()}
        timing = system["timing"][()]
        assert timing["role"].tolist() == ranks["role"].tolist()
        assert timing["reading"][1] > 0 and timing["computing"][2] > 0 and timing["publishing"][0] > 0
        assert (timing["peak_mib"] > 1).all()


def test_accounting(result):
    with h5py.File(result.folder / "out.h5") as file:
        account = dict(file["system/accounting"].attrs)
    assert set(account) == {"read", "processed", "filtered", "no_data", "duplicate", "late", "bad", "unused"}
    assert all(isinstance(value, np.integer) for value in account.values())
    assert account == dict.fromkeys(account, 0) | {"read": 230, "processed": 228, "duplicate": 1, "late": 1}
    line = next(line for line in result.log.splitlines() if " events: read " in line)
    assert {key: int(number) for key, number in re.findall(r"(\w+) (\d+)(?:,|$)", line)} == account


@pytest.mark.parametrize(("save_arrays", "saved"), [("last", [228]), (True, UPDATES), (False, []), (None, [228])])
def test_save_arrays(setup, save_arrays, saved):
    setup.write(user={} if save_arrays is None else {"save_arrays": save_arrays})
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        for processed in UPDATES:
            names = set(file[GROUP.format(processed)]) & {"G2", "IF", "IP"}
            assert names == ({"G2", "IF", "IP"} if processed in saved else set())


# -- its name --------------------------------------------------------------------


def test_names(setup):
    setup.write(h5output=..., update=0, overwrite=False)
    assert setup.drive().returncode == 0
    assert (setup.folder / "g2calc_frames.h5").is_file()
    line = error_line(setup.drive(), 2)
    assert "g2calc_frames.h5" in line and "--overwrite" in line
    before = (setup.folder / "g2calc_frames.h5").stat().st_ino
    assert setup.drive("--overwrite").returncode == 0
    assert (setup.folder / "g2calc_frames.h5").stat().st_ino != before
    begin = int(time.time())
    assert setup.drive("-o", "r%T_%C.h5").returncode == 0
    (name,) = (path.name for path in setup.folder.glob("r*.h5"))
    stamp = re.fullmatch(r"r(\d{14})_000\.h5", name)[1]
    assert begin <= time.mktime(time.strptime(stamp, "%Y%m%d%H%M%S")) <= time.time()
    assert not list(setup.folder.glob("*.inprogress"))


def test_counter_in_the_name(tmp_path):
    template = str(tmp_path / "a%C.h5")
    assert resolve_name(template, False).endswith("a000.h5")
    (tmp_path / "a000.h5").touch()
    (tmp_path / "a001.h5.inprogress").mkdir()
    (tmp_path / "a003.h5").touch()
    assert resolve_name(template, False).endswith("a002.h5")
    for k in range(1000):
        (tmp_path / f"a{k:03d}.h5").touch()
    with pytest.raises(ConfigError, match="from 000 to 999 exist"):
        resolve_name(template, True)


def test_no_file(setup):
    before = set(os.listdir(setup.folder))
    setup.write(h5output=None)
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    assert "update at 70 events" in run.stderr
    assert set(os.listdir(setup.folder)) == before | {"config.py"}


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_run_in_progress_is_not_overwritten(setup, ranks):
    setup.write(overwrite=True)
    folder = setup.folder / "out.h5.inprogress"
    folder.mkdir()
    (folder / "update_000070.h5").write_text("somebody's")
    line = error_line(setup.drive("--overwrite", ranks=ranks), 2)
    assert "--join out.h5.inprogress" in line
    assert (folder / "update_000070.h5").read_text() == "somebody's"


OWN = """\
import numpy as np

from parcorana import userg2

PARAMS = {"color": "blue", "finecolor": "mine.py", (1, 2): {"c", "a", "b"}, "x": np.float32(2), "y": np.arange(2)}


class Own(userg2.G2atEnd):
    checkParams = reducedBytes = None

    def __init__(self, user_params, *args):
        assert user_params == PARAMS
        super().__init__({}, *args)
"""


def test_params_of_a_users_own_class(setup):
    """They go through untouched: a 'color' that names no colours, keys and values that JSON has not."""
    write_class(setup, OWN, "Own")
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        params = json.loads(file["system/user_params"].asstr()[()])
        assert params == {"color": "blue", "finecolor": "mine.py", "(1, 2)": ["a", "b", "c"], "x": 2.0, "y": [0, 1]}
        assert not {"color", "finecolor"} & set(file["system"])


# -- while running, and after a kill ------------------------------------------------

SLOW = """\
import os
import time

from parcorana import userg2


class Slow(userg2.G2IncrementalAccumulator):
    seen = 0

    def finalDataArray(self, dataArray, evt):
        self.seen += 1
        time.sleep(0.005)
        while self.seen > 150 and os.path.exists("hold"):
            time.sleep(0.005)
        return dataArray
"""


SMALL = {"update": 15, "delays": [1, 3, 13]}  # many updates, few datasets in each


@pytest.fixture
def slow(setup):
    """A run of a second or more that publishes 16 times; `slow.start` begins it."""
    write_class(setup, SLOW, "Slow", **SMALL)
    jobs = []

    def start(*args, ranks=0):
        command = ["parCorAnaDriver", "-c", "config.py", *args]
        command = ["timeout", "-k", "5", str(PATIENCE), *(["mpiexec", "-n", str(ranks)] if ranks else []), *command]
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        with open(setup.folder / "log", "w", encoding="utf-8") as log:
            jobs.append(subprocess.Popen(command, cwd=setup.folder, env=env, stderr=log, process_group=0))
        return jobs[-1]

    setup.start = start
    yield setup
    for job in jobs:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait(PATIENCE)


def published(folder):
    """Return the content of every update file in a folder, by number; each must open."""
    found = {}
    for path in sorted(folder.glob("update_*.h5")):
        with h5py.File(path) as file:
            found[int(path.stem[7:])] = read_tree(file)
    return found


def wait_for_update(folder, job, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not list(folder.glob("update_*.h5")):
        assert time.monotonic() < end and job.poll() is None
        time.sleep(0.005)


def check_against_undisturbed(trees, whole):
    """Compare update files with the result file of a run that nothing disturbed."""
    for processed, tree in trees.items():
        group = GROUP.format(processed)
        check_same({p: v for p, v in tree.items() if p.startswith("user")}, {
            p: v for p, v in whole.items()
            if p.startswith(("user@", group + "/", group + "@")) and "_cov_color_" not in p  # made at the join
        })  # fmt: skip
        account = {p.split("@")[1]: int(v) for p, v in tree.items() if p.startswith("system/accounting@")}
        assert account["processed"] == processed
        assert account["read"] == sum(account.values()) - account["read"]
        assert not tree["system@complete"]


def test_while_it_runs_the_folder_holds_complete_files(slow):
    (slow.folder / "hold").touch()  # it does not come to its end meanwhile
    job = slow.start()
    folder, seen = slow.folder / "out.h5.inprogress", {}
    wait_for_update(folder, job)
    while job.poll() is None and len(seen) < 6:
        assert not (slow.folder / "out.h5").exists()
        for path in folder.glob("update_*.h5"):
            if path.stem not in seen:
                with h5py.File(path) as file:
                    seen[path.stem] = read_tree(file)
        time.sleep(0.01)
    assert len(seen) >= 6
    (slow.folder / "hold").unlink()
    assert job.wait(PATIENCE) == 0
    assert not folder.exists()
    with h5py.File(slow.folder / "out.h5") as file:
        check_against_undisturbed({int(name[7:]): tree for name, tree in seen.items()}, read_tree(file))


@pytest.mark.parametrize(("ranks", "kills"), [(0, 2), (4, 2)])
def test_kill_at_any_moment(slow, ranks, kills):
    assert slow.drive("-o", "whole.h5", ranks=ranks).returncode == 0
    with h5py.File(slow.folder / "whole.h5") as file:
        whole = read_tree(file)
    folder = slow.folder / "out.h5.inprogress"
    (slow.folder / "hold").touch()  # it does not come to its end before it is killed
    for delay in np.random.default_rng().uniform(0, 0.4, kills):
        (slow.folder / "out.h5").unlink(missing_ok=True)
        job = slow.start(ranks=ranks)
        wait_for_update(folder, job)
        time.sleep(delay)
        os.killpg(job.pid, signal.SIGKILL)
        assert job.wait(PATIENCE) != 0
        wait_until_quiet(folder)
        trees = published(folder)
        assert 1 <= len(trees) < 16
        check_against_undisturbed(trees, whole)
        run = slow.drive("--join", folder.name)
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("joined ") and run.stdout.endswith(" events: out.h5\n")
        assert not folder.exists()
        with h5py.File(slow.folder / "out.h5") as file:
            joined = read_tree(file)
            assert file["system"].attrs["ended_by"] == "killed"
            assert not file["system"].attrs["complete"]
        groups = [GROUP.format(n) for n in trees]
        wanted = {p: v for p, v in whole.items() if re.sub("(user/[^/@]*).*", r"\1", p) in groups}
        check_same({p: v for p, v in joined.items() if p.startswith("user")}, wanted)


def wait_until_quiet(folder):
    """Wait until ranks whose launcher was killed have gone, too."""
    last = None
    while (now := sorted((p.name, p.stat().st_mtime_ns) for p in folder.iterdir())) != last:
        last = now
        time.sleep(0.3)


def test_join_keeps_what_two_updates_write_into_one_group(tmp_path):
    folder = tmp_path / "a.h5.inprogress"
    folder.mkdir()
    for n in (1, 2, 10):
        with h5py.File(folder / f"update_{n:06d}.h5", "w") as file:
            file.create_group("system").attrs["complete"] = False
            group = file.create_group("user/history")
            group[f"at_{n}"], group["newest"] = n, n
            group.attrs["newest"] = n
            file["user/last"] = n
            file["user"].attrs["last"] = n
    join(folder)
    with h5py.File(tmp_path / "a.h5") as file:
        user = read_tree(file["user"])
    history = {f"history/at_{n}": n for n in (1, 2, 10)}
    assert user == history | {"history/newest": 10, "history@newest": 10, "last": 10, "@last": 10}


def make(folder, *names):
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir()
        elif name.endswith("broken.h5") or "update" in name:
            path.write_bytes(b"no HDF5")
        else:
            path.touch()


@pytest.mark.parametrize(
    ("names", "argument", "status", "words"),
    [
        ([], "gone.h5.inprogress", 2, "'gone.h5.inprogress' is not a folder NAME.inprogress"),
        (["a.h5"], "a.h5", 2, "'a.h5' is not a folder NAME.inprogress"),
        (["folder/"], "folder", 2, "'folder' is not a folder NAME.inprogress"),
        ([".inprogress/"], ".inprogress", 2, "'.inprogress' is not a folder NAME.inprogress"),
        (["a.h5.inprogress/"], "a.h5.inprogress", 2, "nothing was published"),
        (["a.h5.inprogress/", "a.h5.inprogress/base.h5"], "a.h5.inprogress", 2, "nothing was published"),
        (
            ["a.h5.inprogress/", "a.h5.inprogress/update_000001.h5", "a.h5"],
            "a.h5.inprogress/",
            2,
            "'a.h5' exists; name another file with -o",
        ),
        (["a.h5.inprogress/", "a.h5.inprogress/update_000001.h5"], "a.h5.inprogress", 1, "stays in 'a.h5.inprogress'"),
    ],
)
def test_join_refuses(tmp_path, command, names, argument, status, words):
    make(tmp_path, *names)
    before = sorted(tmp_path.rglob("*"))
    run = command("parCorAnaDriver", "--join", argument, cwd=tmp_path)
    assert words in error_line(run, status)
    assert len(run.stderr.splitlines()) == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != ".writer"] == before


# -- no place to write ---------------------------------------------------------------


@pytest.fixture
def small_disk(setup):
    """Mounts a disk of so many KiB where the results go."""
    place = setup.folder / "small"
    place.mkdir()

    def mount(size, options="size"):
        command = ["mount", "-t", "tmpfs", "-o", f"{options}={size}k", "tmpfs", place]
        if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("only root may mount a small disk")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize(
    ("part", "ranks", "words"),
    [
        (0, 0, "small/out.h5.inprogress'"),
        (0.4, 3, "cannot publish the update at"),
        (2.4, 0, "small/out.h5'"),
    ],
)
def test_full_disk(setup, small_disk, part, ranks, words):
    """A disk that holds so many times what the run's result needs."""
    setup.write("G2IncrementalAccumulator", update=15)
    assert setup.drive("-o", "whole.h5", ranks=ranks).returncode == 0
    size = 4 + int(part * (setup.folder / "whole.h5").stat().st_size / 1024)
    place = small_disk(size)
    folder = place / "out.h5.inprogress"
    line = error_line(setup.drive("-o", "small/out.h5", ranks=ranks), 1)
    assert words in line
    assert "[Errno 28] No space left on device" in line
    assert not (place / "out.h5").exists()
    if not part:  # nothing was published: nothing is left that the next run would take for a run in progress
        assert not folder.exists()
        return
    with h5py.File(setup.folder / "whole.h5") as file:
        trees = published(folder)
        assert trees
        check_against_undisturbed(trees, read_tree(file))
    assert "[Errno 28] No space" in error_line(setup.drive("--join", folder), 1)
    assert published(folder).keys() == trees.keys()
    small_disk(10 * size, "remount,size")
    assert setup.drive("--join", folder).returncode == 0
    with h5py.File(place / "out.h5") as file:
        assert len(file["user"]) == len(trees)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
from parcorana.tools.driver import main
sys.exit(main(["-c", "config.py"]))
"""


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (500, "out.h5.inprogress'"),
        (10_000, "cannot publish the update at 70 events in '"),
        (40_000, "cannot publish the update at 70 events in '"),
        (150_000, "/out.h5'"),
    ],
)
def test_file_too_large(setup, command, limit, words):
    """As over a quota: each place where writing may fail."""
    setup.write()
    run = command(sys.executable, "-c", LIMITED.format(limit), cwd=setup.folder)
    line = error_line(run, 1)
    assert words in line and "File too large" in line
    assert list(published(setup.folder / "out.h5.inprogress")) == (UPDATES if limit == 150_000 else [])


@pytest.mark.parametrize("ranks", [0, 3])
def test_folder_vanishes(slow, ranks):
    (slow.folder / "hold").touch()  # it does not come to its end meanwhile
    job = slow.start(ranks=ranks)
    folder = slow.folder / "out.h5.inprogress"
    wait_for_update(folder, job)
    folder.rename(slow.folder / "elsewhere")
    (slow.folder / "hold").unlink()
    assert job.wait(PATIENCE) == 1
    log = (slow.folder / "log").read_text(encoding="utf-8")
    lines = [line for line in log.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert len(lines) == 1, log
    assert "out.h5.inprogress" in lines[0] and "No such file or directory" in lines[0]
    assert "Traceback" not in log
    assert published(slow.folder / "elsewhere")
    assert not (slow.folder / "out.h5").exists()
