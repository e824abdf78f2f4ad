"""The testing mode: --test_main, --test_alt, --cmp, for the shipped classes and for users' own."""

import shutil
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from test_pipeline import write_user_class

from parcorana import ConfigError
from parcorana.pipeline.alone import check_alone
from parcorana.tools import driver
from parcorana.tools.compare import compare, main

CLASSES = ["G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed"]


@pytest.fixture
def here(setup, monkeypatch, capsys):
    """Runs the command in this process; returns exit status, output, errors."""
    monkeypatch.chdir(setup.folder)
    small = setup.mask.copy()
    small[1] = 0
    np.save("small.npy", small)
    setup.small = small.astype(bool)
    setup.system |= {"testmask": "small.npy", "testnumevents": 55, "update": 20, "h5output": "t.h5", "overwrite": False}

    def run(*args):
        for name in ("mine", "user_g2"):  # of another test
            sys.modules.pop(name, None)
        status = driver.main(["-c", "config.py", *map(str, args)])
        return status, *capsys.readouterr()

    return run


def in_order(setup):
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/counter"][...] = np.sort(setup.counters) + np.arange(len(setup.counters))


@pytest.mark.parametrize("user_class", CLASSES)
@pytest.mark.parametrize("normalization", ["pixel", "finecolor", "color"])
def test_the_shipped_classes(setup, here, user_class, normalization):
    user = setup.user | {"normalization": normalization, "finecolor": "fine.npy", "saturated_value": 13, "notzero": 2}
    setup.write(user_class, user=user)
    status, out, err = here("--test_main", "--test_alt", "--cmp")
    assert status == 0, out + err
    assert out.splitlines()[0] == "cmpParCorAnaH5Output --subset --rtol 1e-5 t.h5 t_test_alt.h5"
    assert out.splitlines()[-1] == "same"
    with h5py.File("t.h5") as a, h5py.File("t_test_alt.h5") as b:
        assert [a["system"].attrs["mode"], b["system"].attrs["mode"]] == ["test_main", "test_alt"]
        assert dict(a["system/accounting"].attrs) == dict(b["system/accounting"].attrs)
        assert a["system/accounting"].attrs["read"] == 55 and a["system/accounting"].attrs["duplicate"]
        np.testing.assert_array_equal(a["system/mask"][()], setup.small)
        (name,) = b["user"]  # at the end alone
        assert name in a["user"] and len(a["user"]) == 3
        # all that the job writes, but the time that the other is not told
        errors = {each for each in a["user"][name] if each.startswith("delay_curve_err")}
        left = errors if user_class == "G2IncrementalAccumulator" and normalization != "pixel" else set()
        assert set(b["user"][name]) == set(a["user"][name]) - {"intensity", "leverage"} - left
        assert set(b["user"][name].attrs) == {"normalization"}
        assert b["user"][name]["saturated"][()].any() and not b["user"][name]["saturated"][1].any()
        assert np.isfinite(b["user"][name]["delay_curve_color_2"][0])


@pytest.mark.parametrize("user_class", CLASSES)
def test_more_events_than_the_buffer_holds(setup, here, user_class):
    in_order(setup)
    setup.write(user_class, testnumevents=0)
    status, out, err = here("--test_main", "--test_alt", "--cmp")
    assert status == 0, out + err
    assert "not in order" not in err


def test_disorder_beyond_the_buffer_is_a_warning(setup, here):
    setup.write("G2atEnd", testnumevents=0)  # of which the window does not depend
    status, out, err = here("--test_main", "--test_alt", "--cmp")
    assert status == 0, out + err
    assert "more than times=60" in err


@pytest.mark.parametrize("store_dtype", ["float32", "float64"])
def test_real_numbers(setup, here, store_dtype):
    """Data whose sums are rounded: the tolerance is that of the storage."""
    rng = np.random.default_rng(0)
    with h5py.File("frames.h5", "r+") as file:
        del file["det/frames"]
        file["det/frames"] = rng.gamma(3, 1e3, setup.frames.shape)
    setup.write("G2IncrementalWindowed", store_dtype=store_dtype)
    status, out, err = here("--test_main", "--test_alt", "--cmp")
    assert status == 0, out + err


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_class_of_ones_own(setup, here, root, ranks):
    shutil.copy(root / "examples" / "user_g2.py", setup.folder)
    setup.write(user=setup.user | {"saturated_value": 13}, testnumevents=100)
    text = (setup.folder / "config.py").read_text(encoding="utf-8")
    text = text.replace("from parcorana import userg2", "import user_g2").replace("userg2.G2atEnd", "user_g2.UserG2")
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    run = setup.drive("--test_main", "-o", "mine.h5", ranks=ranks)
    assert run.returncode == 0, run.stderr
    status, out, err = here("--test_alt", "--cmp", "-o", "mine.h5")
    assert status == 0, out + err
    with h5py.File("mine_test_alt.h5") as file:
        assert any(name.startswith("G2_results") for name in file["user"])
        assert file["system/ranks"]["role"].tolist() == [b"alone"]


ALT = """adds = 0

    def eventOk(self, evt):
        return evt.stamp % 5 != 0

    def finalDataArray(self, dataArray, evt):
        return None if evt.stamp % 7 == 0 else dataArray if evt.stamp % 11 else dataArray[0]

    def adjustData(self, data):
        data *= 2

    def calcAndPublishForTestAlt(self, counters, data, h5UserGroup):
        assert counters.dtype == np.int64 and (np.diff(counters) > 0).all()
        assert data.dtype == np.float64 and data.shape == (len(counters), self.mpiParams.mask.sum())
        assert self.mpiParams.role == "alone" and self.mpiParams.processed == len(counters)
        group = h5UserGroup.create_group(f"at_{self.mpiParams.processed:06d}")
        group["counts"] = self.counts_of(counters)
        for delay in self.system_params["delays"]:
            array = np.zeros(self.mpiParams.mask.shape)
            array[self.mpiParams.mask] = sum(
                data[i] * data[j] for i, t in enumerate(counters) for j, u in enumerate(counters) if u - t == delay
            )
            array[0, 0, 0] += self.adds * (delay == 5)
            group[str(delay)] = array

    def counts_of(self, counters):
        return np.array([np.isin(counters + d, counters).sum() for d in self.system_params["delays"]])
"""


def test_filters_count_in_the_test_as_in_the_job(setup, here):
    write_user_class(setup, ALT, max_bad=1.0)
    status, out, err = here("--test_main", "--test_alt", "--cmp")
    assert status == 0, out + err
    with h5py.File("t_test_alt.h5") as file:
        account = dict(file["system/accounting"].attrs)
    assert account["read"] == 55 == sum(account[key] for key in account if key != "read")
    assert account["filtered"] and account["bad"] and account["duplicate"]


def test_a_difference_is_named(setup, here):
    setup.mask[0, 0, 0] = 1
    np.save("small.npy", setup.mask)
    write_user_class(setup, ALT.replace("adds = 0", "adds = 3"), max_bad=1.0)
    status, out, err = here("--test_main", "--test_alt", "--cmp")
    assert status == 1, out + err
    lines = out.splitlines()
    assert lines[1].startswith("/user/at_0000") and "/5: 1 of 70 values differ; the first at [0, 0, 0]: " in lines[1]
    assert lines[1].endswith(", by 3") and lines[-1] == "different"


def test_the_command_line_replaces_what_the_test_takes(setup, here):
    setup.write()
    assert here("--test_alt", "-n", 30, "-m", "mask.npy")[0] == 0
    with h5py.File("t_test_alt.h5") as file:
        assert file["system/accounting"].attrs["read"] == 30
        np.testing.assert_array_equal(file["system/mask"][()], setup.mask)
    setup.write(testmask=..., testh5output="alt.h5", testnumevents=...)
    assert here("--test_alt")[0] == 0
    with h5py.File("alt.h5") as file:  # without a test mask that of the job; 100 events
        np.testing.assert_array_equal(file["system/mask"][()], setup.mask)
        assert file["system/accounting"].attrs["read"] == 100


def test_a_whole_result_is_not_replaced_by_a_test(setup, here):
    setup.write(overwrite=True)
    assert here()[0] == 0
    status, _, err = here("--test_main")
    assert status == 2 and "'t.h5' is the result of a whole run, not of a test" in err
    assert here("--test_alt")[0] == 0
    status, _, err = here("--cmp")
    assert status == 2 and "'t.h5' is not a result of --test_main" in err
    assert here("--test_main", "--overwrite")[0] == 0
    assert here("--test_main", "--cmp")[0] == 0  # its own kind it does replace


REFUSED = [
    ({"h5output": None}, ["--test_alt"], "testh5output must name a file"),
    ({"h5output": None}, ["--cmp"], "h5output is None, so --test_main writes no file"),
    ({"h5output": "t_%C.h5"}, ["--cmp"], "'t_%C.h5' has no fixed name"),
    ({}, ["--cmp"], "cannot read a result file: the file 't.h5' does not exist"),
    ({"testmask": "gone.npy"}, ["--test_main"], "testmask: the file 'gone.npy' does not exist"),
]


@pytest.mark.parametrize(("system", "args", "words"), REFUSED)
def test_what_cannot_be_is_refused(setup, here, system, args, words):
    setup.write(user={}, **system)
    status, _, err = here(*args)
    assert status == 2 and words in err
    assert len([line for line in err.splitlines() if "INFO" not in line]) == 1


def test_a_class_without_the_callback_is_refused(setup, here):
    write_user_class(setup)
    status, _, err = here("--test_alt")
    assert status == 2 and "Mine lacks the callback 'calcAndPublishForTestAlt'" in err
    assert here("--test_main")[0] == 0


def test_under_mpiexec_it_is_refused(setup, here):
    setup.write()
    run = setup.drive("--test_alt", ranks=3)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("parCorAnaDriver: --test_alt and --cmp run in one process")


def test_a_test_over_two_runs_is_refused(setup, here):
    write_user_class(
        setup, ALT.replace("return evt.stamp % 5", "evt.run = evt.stamp > 30\n        return evt.stamp % 5")
    )
    status, _, err = here("--test_alt")
    assert status == 1 and "set testnumevents to at most that" in err


def test_an_exception_in_it_is_told_as_any_other(setup, here):
    write_user_class(setup, ALT.replace('group["counts"] =', 'group["counts"] = 1 / 0 *'))
    status, _, err = here("--test_alt")
    assert status == 1
    assert "alone at the update at 34 events, in Mine.calcAndPublishForTestAlt: ZeroDivisionError" in err
    assert 'mine.py", line' in err and "alone.py" not in err


def test_too_much_for_the_memory_is_refused():
    config = SimpleNamespace(elements=10**6, numevents=0, store_dtype=np.dtype("f4"), classes={})
    check_alone(config, SimpleNamespace(total=100), 2 << 30)
    with pytest.raises(ConfigError, match=r"10,000 events of 1,000,000 elements take 111\.8 GiB at once"):
        check_alone(config, SimpleNamespace(total=10_000), 2 << 30)


# -- cmpParCorAnaH5Output ---------------------------------------------------------


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[f"user/{name}"] = value


def test_what_differs_and_by_how_much(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_h5("a.h5", x=np.array([1.0, 2.0, np.nan, 4.0]), only=1, i=np.arange(3))
    write_h5("b.h5", x=np.array([1.0, 2.5, np.nan, 3.0]), i=np.arange(3))
    assert compare("a.h5", "b.h5") == [
        "/user/only: only in a.h5",
        "/user/x: 2 of 4 values differ; the first at [1]: 2.0 and 2.5, by 0.5; the most by 1, and by 0.25 of the value",
    ]
    assert compare("a.h5", "b.h5", subset=True, atol=1.0) == []
    assert compare("b.h5", "a.h5", subset=True, rtol=0.25) == ["/user/only: only in a.h5"]
    assert compare("a.h5", "b.h5", ignore=["/user/x", "/user/only"]) == []
    assert main(["--subset", "--ignore", "/user/x", "a.h5", "b.h5"]) == 0
    assert capsys.readouterr().out == (
        "1 of the 2 datasets and attributes of a.h5 are not in b.h5 and were not compared\nsame\n"
    )
    write_h5("none.h5")
    assert main(["--subset", "a.h5", "none.h5"]) == 1
    assert "so nothing was compared" in capsys.readouterr().out
