"""Every wrong config, mask, colour or argument: exit 2 and one sentence, before any event is read."""

import os

import numpy as np
import pytest

from parcorana import ConfigError, make_delay_list, userg2
from parcorana.correlation.delays import check_delays
from parcorana.events.dataset import parse_dataset
from parcorana.job.config import read_config, resolve_config
from parcorana.job.partition import assign_roles, elements_of
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics

WRONG_SYSTEM = [
    ({"tymes": 5}, "unknown key 'tymes' in system_params; did you mean 'times'?"),
    ({"times": ...}, "system_params lacks the key 'times'"),
    ({"times": "60"}, "times must be a whole number, not '60'"),
    ({"times": True}, "times must be a whole number"),
    ({"times": 0}, "times must be at least 1"),
    ({"update": -1}, "update must be at least 0"),
    ({"delays": [1, 3, 3]}, "delays must be increasing: 3 comes after 3"),
    ({"delays": [-1, 1]}, "delays must be 0 or more: found -1"),
    ({"delays": []}, "at least one"),
    ({"delays": [1.5]}, "whole number"),
    ({"mask": "nowhere.npy"}, "mask: the file 'nowhere.npy' does not exist; parCorAnaMaskColorTool start makes"),
    ({"mask": "frames.h5"}, "not a readable .npy file"),
    ({"mask": "mask_float.npy"}, "it must hold whole numbers or bool"),
    ({"mask": "mask_two.npy"}, "has the values 2; only 0"),
    ({"mask": "mask_zero.npy"}, "is 0 everywhere"),
    ({"mask": "mask_object.npy"}, "not a readable .npy file"),
    ({"mask": "mask_shape.npy"}, "has the shape 2x5; it must be 2x5x7, that of the data of 'h5=frames.h5'"),
    ({"testmask": "mask_shape.npy"}, "it must be 2x5x7, that of the mask"),
    ({"dataset": "h5=gone.h5"}, "gone.h5"),
    ({"dataset": "run=5"}, "exactly one of exp, file, shmem, h5, sim"),
    ({"dataset": "exp=x:run=1:liv"}, "unknown part 'liv'; did you mean 'live'?"),
    ({"src": "det/nothing"}, "det/nothing"),
    ({"src": 3}, "src must be"),
    ({"rate": 0}, "rate must be above 0"),
    ({"rate": float("nan")}, "rate must be a finite number"),
    ({"store_dtype": "float16"}, "store_dtype must be 'float32' or 'float64'"),
    ({"verbosity": "lots"}, "verbosity must be one of"),
    ({"threads": 0}, "threads must be at least 1"),
    ({"threads": 10**6}, "threads must be at most 1,024, not 1000000"),
    ({"update": 10**30}, "update must be at most"),
    ({"times": 1 << 31}, "times must be at most 2,147,483,647"),
    ({"heartbeat": 1e300}, "heartbeat must be at most"),
    ({"checkpoint": 100, "h5output": None}, "h5output is None: name a file"),
    ({"h5output": "no/such/folder/out.h5"}, "the folder 'no/such/folder' does not exist"),
    ({"user_class": "G2"}, "user_class must be a class"),
]
WRONG_USER = [
    ({"color": "gone.npy"}, "color: the file 'gone.npy' does not exist"),
    ({"color": "mask_shape.npy"}, "color: 'mask_shape.npy' has the shape 2x5; it must be 2x5x7, that of the mask"),
    ({"color": "negative.npy"}, "negative values -1"),
    ({"color": "color.npy", "finecolor": "holes.npy"}, "is 0 at"),
    ({"normalization": "pixels"}, "did you mean 'pixel'?"),
    ({"normalization": "finecolor"}, "names no file"),
    ({"saturated_value": "high"}, "user_params['saturated_value'] must be a number"),
    ({"save_arrays": "first"}, "user_params['save_arrays'] must be"),
]


def write_wrong_files(setup):
    folder, shape = setup.folder, setup.mask.shape
    np.save(folder / "mask_float.npy", np.ones(shape))
    np.save(folder / "mask_two.npy", 2 * np.ones(shape, int))
    np.save(folder / "mask_zero.npy", np.zeros(shape, int))
    np.save(folder / "mask_object.npy", np.array([None, {}], object), allow_pickle=True)
    np.save(folder / "mask_shape.npy", np.ones(shape[:2], int))
    np.save(folder / "negative.npy", -np.ones(shape, int))
    np.save(folder / "holes.npy", np.zeros(shape, int))


def check_line(run, words):
    assert run.returncode == 2, run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert len(lines) == 1, run.stderr
    assert words in lines[0]
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(("changes", "words"), WRONG_SYSTEM)
def test_wrong_system_params(setup, changes, words):
    write_wrong_files(setup)
    if isinstance(changes.get("user_class"), str):
        setup.write()
        path = setup.folder / "config.py"
        path.write_text(path.read_text().replace("userg2.G2atEnd", "'G2'"))
    elif changes.get("rate") != changes.get("rate"):
        setup.write()
        path = setup.folder / "config.py"
        path.write_text(path.read_text().replace("| {", "| {'rate': float('nan'), ", 1))
    else:
        setup.write(user={}, **changes)
    check_line(setup.drive(), words)
    assert not list(setup.folder.glob("out*"))


@pytest.mark.parametrize(("user", "words"), WRONG_USER)
def test_wrong_user_params(setup, user, words):
    write_wrong_files(setup)
    setup.write(user=user)
    check_line(setup.drive(), words)


@pytest.mark.parametrize("servers", [1, 2])
def test_too_few_ranks(setup, servers):
    setup.write(numservers=servers)
    run = setup.drive(ranks=servers + 1)
    check_line(run, f"need mpiexec -n {servers + 2} or more")


def test_more_workers_than_elements(setup):
    mask = np.zeros(setup.mask.shape, int)
    mask.flat[3] = 1
    np.save(setup.folder / "mask.npy", mask)
    setup.write(user={})
    check_line(setup.drive(ranks=4), "2 workers are too many for a mask with 1 elements")


def test_errors_under_mpi_come_once(setup):
    setup.write(tymes=5)
    check_line(setup.drive(ranks=4), "unknown key 'tymes'")


def test_an_error_in_the_config_file_names_the_line(setup):
    (setup.folder / "config.py").write_text("import parcorana\nsystem_params = {}\nuser_params = nothing\n")
    check_line(setup.drive(), "config.py, line 3: NameError")
    (setup.folder / "config.py").write_text("system_params = {}\n")
    check_line(setup.drive(), "it must define the dictionary user_params")
    check_line(setup.drive(config="gone.py"), "the file 'gone.py' does not exist")


def test_debug_adds_the_traceback(setup):
    setup.write(tymes=5)
    run = setup.drive("-v", "debug")
    assert run.returncode == 2
    assert "Traceback" in run.stderr


def test_check_prints_config_roles_elements_memory(setup):
    setup.write(numservers=2)
    run = setup.drive("--check", ranks=5)
    assert run.returncode == 0, run.stderr
    included = int(setup.mask.sum())
    for words in (
        "times           60",
        "2 servers, 2 workers",
        "G2atEnd",
        "MiB in all",
        "on worker 3, in MiB",
        f"{included // 2}",
    ):
        assert words in run.stdout
    assert run.stdout.count("worker  ") >= 2
    assert not list(setup.folder.glob("out*"))


def test_too_little_memory_is_refused(setup):
    setup.write(times=2_000_000_000)
    run = setup.drive("--check")
    check_line(run, "memory: the ranks on")


def test_config_file_run_as_a_script(setup, command):
    setup.write()
    run = command("python", "config.py", cwd=setup.folder)
    assert run.returncode == 0, run.stderr
    assert "G2atEnd" in run.stdout and "'color.npy'" in run.stdout
    setup.write(tymes=1)
    run = command("python", "config.py", cwd=setup.folder)
    assert run.returncode == 2
    assert run.stderr == "config: unknown key 'tymes' in system_params; did you mean 'times'?\n"


def test_overrides_of_the_command_line(setup):
    setup.write()
    np.save(setup.folder / "other.npy", np.ones(setup.mask.shape, int))
    run = setup.drive("--check", "-n", "11", "-s", "3", "-m", "other.npy", "-v", "warning", "-o", "new.h5")
    assert run.returncode == 0, run.stderr
    for words in ("numevents       11", "numservers      3", "'other.npy'", "'WARNING'", "'new.h5'"):
        assert words in run.stdout


def test_output_in_the_way(setup):
    setup.write(overwrite=False)
    (setup.folder / "out.h5").touch()
    check_line(setup.drive(), "'out.h5' exists; say --overwrite")
    checked = setup.drive("--check", ranks=3)
    assert checked.returncode == 0 and "a run would be refused: h5output: 'out.h5' exists; say --ov" in checked.stderr
    folder = setup.folder / "out.h5.inprogress"
    folder.mkdir()
    check_line(setup.drive(), "is left from a run that published nothing; remove it, or say --overwrite")
    (folder / "update_000100.h5").touch()
    check_line(setup.drive("--overwrite"), "'parCorAnaDriver --join out.h5.inprogress', or remove the folder")
    (folder / "update_000100.h5").unlink()
    (folder / "notes.txt").touch()  # somebody else's: it stays
    check_line(setup.drive("--overwrite"), "if nothing but that is in it")
    (folder / "notes.txt").unlink()
    assert setup.drive("--overwrite", "--check").returncode == 0
    assert folder.exists()
    assert setup.drive("--overwrite").returncode == 0
    assert not folder.exists()


def test_values_of_other_types_that_mean_the_same(setup, monkeypatch):
    monkeypatch.chdir(setup.folder)
    params = setup.system | {"user_class": userg2.G2atEnd, "delays": np.arange(1, 5), "times": np.int32(9)}
    config = resolve_config(params | {"rate": 24, "store_dtype": np.float64, "mask": setup.folder / "mask.npy"}, {})
    assert config.times == 9 and config.rate == 24.0 and config.store_dtype == np.float64
    with pytest.raises(AttributeError):
        config.times = 5


@pytest.mark.parametrize(
    ("classes", "rows", "events"),
    [
        ([userg2.G2atEnd], 512, 512),
        ([MultiTauG2], 512, 256),
        ([PhotonStatistics, MultiTauG2], 512, 256),
        ([MultiTauG2, userg2.G2atEnd], 512, 512),
        ([MultiTauG2], 32, 1024),  # a small detector
    ],
)
def test_blocks_are_as_long_as_the_classes_need_them(tmp_path, classes, rows, events):
    np.save(tmp_path / "mask.npy", np.ones((rows, 1024), np.int8))
    params = {"dataset": "h5=frames.h5", "mask": str(tmp_path / "mask.npy"), "times": 9, "delays": [1, 2]}
    assert resolve_config(params | {"user_class": classes}, {}).block == events
    assert resolve_config(params | {"user_class": classes, "update": 3}, {}).block == 96  # 32 updates
    assert resolve_config(params | {"user_class": classes, "update": 3, "block": 7}, {}).block == 7


def test_default_output_names(setup, monkeypatch):
    monkeypatch.chdir(setup.folder)
    for dataset, name in [
        ("exp=xpptut13:run=1437", "g2calc_xpptut13-r1437.h5"),
        ("exp=XPP/xpptut13:run=3-4,8:dir=d", "g2calc_xpptut13-r0003-r0004-r0008.h5"),
        ("h5=some/frames.h5", "g2calc_frames.h5"),
        ("sim=brownian:tau=3", "g2calc_sim-brownian.h5"),
    ]:
        params = {k: v for k, v in setup.system.items() if k != "h5output"} | {"user_class": userg2.G2atEnd}
        assert resolve_config(params | {"dataset": dataset}, {}).h5output == name
    with pytest.raises(ConfigError, match="shared memory gives no name"):
        resolve_config(params | {"dataset": "shmem=psana"}, {})
    assert resolve_config(params | {"dataset": "shmem=psana", "h5output": None}, {}).h5output is None


def test_dataset_grammar():
    data = parse_dataset("exp=xpptut15:run=3-5,8:dir=some/folder:stream=0,2:smd")
    assert (data.kind, data.name, data.runs, data.dir) == ("exp", "xpptut15", (3, 4, 5, 8), "some/folder")
    assert data.streams == (0, 2) and data.smd and not data.live
    assert parse_dataset("sim=brownian:tau=3:shape=2x3").options == {"tau": "3", "shape": "2x3"}
    for text, words in [
        ("", "non-empty"),
        ("exp=a", "needs 'run='"),
        ("exp=a:run=x", "not a number"),
        ("exp=a:run=5-3", "larger"),
        ("exp=a:run=1,1", "twice"),
        ("exp=a:exp=b:run=1", "given twice"),
        ("exp=a:run=", "no value"),
        ("exp=a:run=1:live:idx", "exclude each other"),
        ("file=a.xtc2:run=4", "no meaning"),
        ("h5=a.h5:idx", "no meaning"),
        ("exp=a:h5=b:run=1", "exactly one"),
    ]:
        with pytest.raises(ConfigError, match=words):
            parse_dataset(text)


@pytest.mark.parametrize("spacing", ["log", "lin"])
@pytest.mark.parametrize(
    ("start", "stop", "num"),
    [
        *[(1, 1000, 100), (1, 100, 100), (5, 9, 50), (1, 2, 1), (7, 25000, 300)],
        *[(0, 0, 3), (0, 1, 2), (0, 5, 1), (0, 9, 3), (0, 9, 50), (0, 1000, 100), (0, 1 << 40, 50)],
    ],
)
def test_delay_lists(start, stop, num, spacing):
    delays = make_delay_list(start, stop, num, spacing)
    assert len(delays) == min(num, stop - start + 1)
    assert delays[0] == start and (num == 1 or delays[-1] == stop)
    assert (np.diff(delays) > 0).all() or num == 1
    check_delays(delays)
    if start == 0 and spacing == "log" and num > 1 and stop:
        assert delays[1:] == make_delay_list(1, stop, num - 1)
    if (start, spacing, num) == (1, "log", 100) and stop == 1000:
        ratio = np.diff(np.log(delays))
        assert ratio[60:].max() / ratio[60:].min() < 1.2


def test_wrong_delay_lists():
    for args, words in [
        ((-1, 5, 3), "start"),
        ((5, 3, 3), "stop"),
        ((1, 5, 0), "num"),
        ((1, 5, 2, "cubic"), "spacing"),
    ]:
        with pytest.raises(ConfigError, match=words):
            make_delay_list(*args)


def test_partition_covers_everything_once():
    for elements in (1, 2, 7, 100):
        for workers in range(1, min(elements, 9) + 1):
            parts = [elements_of(w, workers, elements) for w in range(workers)]
            assert [i for part in parts for i in range(part.start, part.stop)] == list(range(elements))
            sizes = [part.stop - part.start for part in parts]
            assert max(sizes) - min(sizes) <= 1


def test_servers_are_spread_over_hosts():
    hosts = ["a"] * 4 + ["b"] * 4
    assert assign_roles(hosts, 2).servers == (1, 4)
    assert assign_roles(hosts, 2, ["b"]).servers == (4, 5)
    assert len(assign_roles(hosts, 3).workers) == 4
    with pytest.raises(ConfigError, match="no free rank on 'c'"):
        assign_roles(hosts, 2, ["c"])
    with pytest.raises(ConfigError, match="too few ranks"):
        assign_roles(["a", "a", "b", "b"], 2, ["a"])


def test_a_config_file_that_others_may_replace(tmp_path):
    """Its folders are what it is; where each may remove only what is theirs, it must belong to its user."""
    (folder := tmp_path / "shared" / "mine").mkdir(parents=True)
    (path := folder / "config.py").write_text("system_params = user_params = {}\n", encoding="utf-8")
    (link := tmp_path / "link.py").symlink_to(path)
    read_config(str(path), False)
    folder.parent.chmod(0o777)
    for each in (path, link):
        with pytest.raises(
            ConfigError, match=r"everybody may write to the folder '.*/shared', .* or say --trust-config"
        ):
            read_config(str(each), False)
    assert read_config(str(path), True) == ({}, {})
    folder.parent.chmod(0o1777)
    read_config(str(path), False)
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
        with pytest.raises(
            ConfigError, match=r"'.*/mine' in it belongs to somebody else, .* copy it to a folder of your own"
        ):
            read_config(str(path))


def test_a_config_file_that_others_may_write_to(setup):
    path = setup.folder / setup.write()
    path.chmod(0o666)
    run = setup.drive("--check")
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1
    assert "everybody may write to 'config.py', and it is run as code" in run.stderr
    run = setup.drive("--check", ranks=3)
    assert run.returncode == 2 and run.stderr.count("everybody may write") == 1
    run = setup.drive("--check", "--trust-config")
    assert run.returncode == 0 and "may write" not in run.stderr
    path.chmod(0o664)
    run = setup.drive("--check", ranks=3)
    assert run.returncode == 0 and run.stderr.count("the group may write to 'config.py'") == 1
    path.chmod(0o644)
    assert "may write" not in setup.drive("--check").stderr
