"""Thousands of colours: tables in every update, a dataset for each colour in the last result."""

import os
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from conftest import BIN, await_ranks, write_class
from effort import PATIENCE

from parcorana import reference
from parcorana.curves import curvefile
from parcorana.curves.sums import Curve
from parcorana.errors import ConfigError
from parcorana.results.reading import read_result
from parcorana.tools.compare import compare

TABLES = {
    "delay_curves": "delay_curve_color",
    "delay_curve_errs": "delay_curve_err_color",
    "elements": "elements_color",
    "elements_left_out": "elements_left_out_color",
}
COLORS = np.r_[1:66, 100:106]  # 71, not all in a row


@pytest.fixture
def many(setup):
    """A setup with more colours than have names in every update; one of them has masked elements only."""
    rng = np.random.default_rng(3)
    setup.frames = rng.poisson(5, (230, 2, 12, 12)).astype(np.uint16)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/frames"]
        file["det/frames"] = setup.frames
    setup.color = COLORS[rng.integers(0, len(COLORS), (2, 12, 12))].astype(np.int32)
    setup.color.ravel()[: len(COLORS)] = COLORS
    setup.fine = rng.integers(1, 40, setup.color.shape).astype(np.int32)
    setup.mask = (rng.random(setup.color.shape) < 0.9).astype(np.uint8)
    setup.mask[setup.color == 33] = 0
    for name in ("mask", "color", "fine"):
        np.save(setup.folder / f"{name}.npy", getattr(setup, name))
    setup.user = {"color": "color.npy", "finecolor": "fine.npy", "save_arrays": False}
    return setup


def names_in(group):
    return {name for name in group if any(name.startswith(f"{prefix}_") for prefix in TABLES.values())}


def check_tables(group):
    np.testing.assert_array_equal(group["colors"], COLORS)
    for name in TABLES:
        assert group[name].shape == (len(COLORS), len(group["delays"]))
    for name in ("too_low_by", "too_high_by"):
        assert group[name].shape == (len(COLORS),)


def check_last(group):
    """Names and tables say the same, attributes included."""
    check_tables(group)
    assert len(names_in(group)) == 4 * len(COLORS)
    for table, prefix in TABLES.items():
        for row, c in zip(group[table][:], COLORS, strict=True):
            named = group[f"{prefix}_{c}"]
            assert named.dtype == row.dtype and named.shape == row.shape
            np.testing.assert_array_equal(named, row)
            assert dict(group[table].attrs).items() <= dict(named.attrs).items()
    for k, c in enumerate(COLORS):
        for key in ("too_low_by", "too_high_by"):
            np.testing.assert_array_equal(group[f"delay_curve_color_{c}"].attrs[key], group[key][k])
        np.testing.assert_array_equal(group["intensity"][f"color_{c}"], group["intensity/means"][k])


def check_whole(path, updates):
    with h5py.File(path) as file:
        groups = [file[f"user/G2_results_at_{n:06d}"] for n in updates]
        assert len(file["user"]) == len(updates)
        for group in groups[:-1]:
            check_tables(group)
            assert not names_in(group) and set(group["intensity"]) == {"colors", "means", "events", "first", "last"}
        check_last(groups[-1])
        broken = []
        file.visititems(lambda name, item: None if {"units", "long_name"} <= set(item.attrs) else broken.append(name))
        assert all(isinstance(file[name], h5py.Group) for name in broken)


@pytest.mark.parametrize(("normalization", "ranks"), [("pixel", 0), ("finecolor", 0), ("color", 0), ("pixel", 4)])
def test_tables_and_names(many, normalization, ranks):
    many.write("G2IncrementalAccumulator", user=many.user | {"normalization": normalization})
    run = many.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    check_whole(many.folder / "out.h5", [70, 140, 210, 228])
    mask, delays = many.mask.astype(bool), many.system["delays"]
    saturated = np.zeros(np.count_nonzero(mask), bool)
    with h5py.File(many.folder / "out.h5") as file:
        for n in (70, 228):
            group = file[f"user/G2_results_at_{n:06d}"]
            sums = reference.g2(many.counters, many.included, 60, delays, "accumulator", limit=n)
            colors, fine = many.color[mask], many.fine[mask]
            for c in (1, 33, 64, 103):
                g2, elements = reference.delay_curve(sums, sums["counts"], colors, saturated, normalization, c, fine)
                row = COLORS.tolist().index(c)
                np.testing.assert_allclose(group["delay_curves"][row], g2, rtol=1e-12)
                np.testing.assert_array_equal(group["elements"][row], elements)
                assert np.isnan(g2).all() == (c == 33)
            read = read_result(file, "out.h5", n)
            assert list(read.curves) == COLORS.tolist() == list(read.intensity)
            np.testing.assert_array_equal(read.curves[64].g2, group["delay_curves"][COLORS.tolist().index(64)])


def test_few_datasets_in_an_update(many):
    """What takes the time: of 2160 colours an update has hardly more than of one."""
    many.color = np.arange(1, 2161, dtype=np.int32).reshape(3, 24, 30)
    np.save(many.folder / "color.npy", many.color)
    np.save(many.folder / "mask.npy", np.ones(many.color.shape, np.int8))
    with h5py.File(many.folder / "frames.h5", "r+") as file:
        del file["det/frames"]
        file["det/frames"] = np.random.default_rng(0).poisson(5, (230, *many.color.shape)).astype(np.uint16)
    many.write(user={"color": "color.npy", "save_arrays": False})
    assert many.drive().returncode == 0
    with h5py.File(many.folder / "out.h5") as file:
        counted = []
        file["user/G2_results_at_000140"].visit(counted.append)
        assert len(counted) < 30
        assert len(names_in(file["user/G2_results_at_000228"])) == 4 * 2160
        assert file["user/G2_results_at_000228/delay_curve_color_2160"].shape == (9,)


def test_up_to_64_colours_every_update_has_the_names_and_nothing_else(many):
    many.color = np.minimum(many.color, 64)
    np.save(many.folder / "color.npy", many.color)
    many.write()
    assert many.drive().returncode == 0
    with h5py.File(many.folder / "out.h5") as file:
        for group in file["user"].values():
            assert len(names_in(group)) == 4 * 64
            own = {"delays", "delay_counts", "saturated", "intensity", "leverage"}
            own |= {"error_groups", "delay_curve_deviations", "shared_deviations"}
            assert {name for name in set(group) - names_in(group) if "_cov_" not in name} == own
            assert set(group["intensity"]) == {"events", "first", "last"} | {f"color_{c}" for c in range(1, 65)}


@pytest.mark.parametrize("count", [3, 70])
@pytest.mark.parametrize("sources", [["pixel groups", "pixels", "time blocks"], ["runs"], [""]])
def test_each_colour_says_what_its_errors_come_from(count, sources):
    colors, source = np.arange(1, count + 1), np.resize(sources, count)
    groups, ones = np.where(np.isin(source, ["pixels", ""]), 0, 8), np.ones((count, 4))
    curve = Curve(ones, ones, ones.astype(np.int64), ones.astype(np.int64), np.ones((count, 8, 4)), groups, source)
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        group = file.create_group("user/G2_results_at_000009")
        curvefile.write_points(group, np.arange(4), np.ones(4, np.int64), "color", 120.0)
        curvefile.write_curves(group, colors, curve, "color")
        want = [word or "pixels" for word in source.tolist()]
        assert [each.source for each in curvefile.read_curves(group).values()] == want  # as it is published
        curvefile.complete(file["user"])
        assert [each.source for each in curvefile.read_curves(group).values()] == want  # as it is joined
        said = [group[f"delay_curve_err_color_{c}"].attrs.get("error_from", "") for c in colors]
        assert said == source.tolist()
        for wrong in ("pixel groups, pixels", np.arange(3), b"pixels"):  # as others may have written it
            group.pop("error_sources", None)
            for name in ("delay_curve_errs", *(f"delay_curve_err_color_{c}" for c in colors)):
                if name in group:
                    group[name].attrs["error_from"] = wrong
            assert {each.source for each in curvefile.read_curves(group).values()} <= {"", "pixels"}


@pytest.mark.parametrize(
    ("name", "shape"), [("delay_curve_deviations", (3, 1 << 17, 4)), ("shared_deviations", (65, 4))]
)
def test_more_rows_than_are_ever_written_are_refused(name, shape):
    """Without a byte of them in the file they would take any memory."""
    ones = np.ones((3, 4))
    curve = Curve(ones, ones, ones.astype(np.int64), ones.astype(np.int64), np.ones((3, 8, 4)), np.full(3, 8))
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        curvefile.write_points(file, np.arange(4), np.ones(4, np.int64), "color", 120.0)
        curvefile.write_curves(file, np.arange(1, 4), curve, "color")
        file.pop(name, None)
        file.create_dataset(name, shape, "f4", chunks=True)
        with pytest.raises(
            ConfigError, match=f"errors do not belong to its curves: {name} .* more than [0-9,]+ numbers"
        ):
            curvefile.read_curves(file)


def test_the_division_of_the_work_changes_nothing(many):
    many.write("G2IncrementalWindowed")
    assert many.drive("-o", "one.h5").returncode == 0
    assert many.drive("-o", "other.h5", "-s", "2", ranks=6).returncode == 0
    assert compare(many.folder / "one.h5", many.folder / "other.h5") == []


def test_full_arrays_published_later(many):
    """The last update is published twice, without and with its arrays."""
    many.write("G2atEnd", user=many.user | {"save_arrays": "last"})
    assert many.drive(ranks=3).returncode == 0
    check_whole(many.folder / "out.h5", [70, 140, 210, 228])
    with h5py.File(many.folder / "out.h5") as file:
        assert "G2" in file["user/G2_results_at_000228"] and "G2" not in file["user/G2_results_at_000210"]


def test_testing_mode(many):
    small = many.mask.copy()
    small[1, 6:] = 0
    np.save(many.folder / "small.npy", small)
    many.write(testmask="small.npy", testnumevents=55, update=20)
    run = many.drive("--test_main", "--test_alt", "--cmp", "-o", "t.h5")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1] == "same"
    with h5py.File(many.folder / "t_test_alt.h5") as file:
        (group,) = file["user"].values()
        assert len(names_in(group)) == 4 * len(COLORS) and group["delay_curves"].shape == (len(COLORS), 9)


SLOW = """\
import time

from parcorana import userg2

PARAMS = {"color": "color.npy", "finecolor": "fine.npy", "save_arrays": False}


class Slow(userg2.G2IncrementalAccumulator):
    def finalDataArray(self, dataArray, evt):
        time.sleep(0.01)
        return dataArray
"""


@pytest.fixture
def start(many):
    """Begins a slow run, and waits for its second update; gives process and folder."""
    write_class(many, SLOW, "Slow", update=30, checkpoint=60)
    jobs = []

    def begin(*args):
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        command = ["timeout", "-k", "5", str(PATIENCE), "parCorAnaDriver", "-c", "config.py", *args]
        with open(many.folder / "log", "w", encoding="utf-8") as log:
            jobs.append(subprocess.Popen(command, cwd=many.folder, env=env, stderr=log, process_group=0))
        folder, end = many.folder / "out.h5.inprogress", time.monotonic() + PATIENCE
        while len(list(folder.glob("update_*.h5"))) < 2:
            assert time.monotonic() < end and jobs[-1].poll() is None
            time.sleep(0.01)
        return jobs[-1], folder

    yield begin
    for job in jobs:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait(PATIENCE)


def test_join_of_a_killed_run(many, start):
    """Its last update gets the names, too."""
    job, folder = start()
    os.killpg(job.pid, signal.SIGKILL)
    job.wait(PATIENCE)
    updates = sorted(int(path.stem[7:]) for path in folder.glob("update_*.h5"))
    with h5py.File(folder / f"update_{updates[-1]:06d}.h5") as file:
        (group,) = file["user"].values()
        check_tables(group)
        assert not names_in(group)
    await_ranks(many.folder)
    run = many.drive("--join", folder)
    assert run.returncode == 0, run.stderr
    check_whole(many.folder / "out.h5", updates)


def test_stopped_and_gone_on_with(many, start):
    """The result of the stopped run has the names in its last update; that of the continuation in its own."""
    job, _ = start()
    assert many.drive("--stop", "out.h5").returncode == 0
    job.wait(PATIENCE)
    log = (many.folder / "log").read_text(encoding="utf-8")
    assert (many.folder / "out.h5").exists(), log
    with h5py.File(many.folder / "out.h5") as file:
        stopped = sorted(int(name.rpartition("_")[2]) for name in file["user"])
    check_whole(many.folder / "out.h5", stopped)
    assert stopped[-1] < 228
    run = many.drive("--resume")
    assert run.returncode == 0, run.stderr
    check_whole(many.folder / "out.h5", [30, 60, 90, 120, 150, 180, 210, 228])


def test_fits_are_made_of_the_last_result(many):
    many.write(user=many.user | {"fit": {"kind": "single", "bounds": {"tau": (1, None)}}})
    assert many.drive(ranks=3).returncode == 0
    with h5py.File(many.folder / "out.h5") as file:
        groups = [file[f"user/G2_results_at_{n:06d}"] for n in (140, 228)]
        assert "fits" not in groups[0] and groups[0].attrs["fit_of_the_last_result"] == "single,tau=1:"
        np.testing.assert_array_equal(groups[1]["fits/colors"], COLORS)
        assert "fit_of_the_last_result" not in groups[1].attrs
        assert groups[1]["fits"].attrs["bounds_tau"].tolist() == [1, np.inf]
        assert groups[1]["fits"].attrs["kind"] == "single" and groups[1]["fits/tau"].attrs["rate"] == 120


def test_picture_of_a_run(many):
    many.write(user=many.user | {"picture": True}, update=0)
    run = many.drive()
    assert run.returncode == 0 and "not drawn" not in run.stderr, run.stderr
    assert (many.folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_what_colours_stand_for_may_have_the_name_of_a_group(many):
    """The mask tool's colours by intensity: results have a group of that name."""
    kind = "intensity"
    lines = "".join(f"{c},{c / 10}\n" for c in COLORS)
    (many.folder / "color_colors.csv").write_text(f"color,{kind}_mean\n{lines}", encoding="utf-8")
    many.write(user=many.user | {"fit": "single"})
    run = many.drive()
    assert run.returncode == 0, run.stderr
    with h5py.File(many.folder / "out.h5") as file:
        group = file["user/G2_results_at_000228"]
        assert group["delay_curve_color_64"].attrs[kind] == 6.4
        np.testing.assert_array_equal(group["color_values"], COLORS / 10)
        np.testing.assert_array_equal(group[f"fits/{kind}"], COLORS / 10)


@pytest.mark.parametrize("wrong", ["colors", "delay_curves", "elements"])
def test_tables_that_do_not_belong_together(many, command, wrong):
    many.write()
    assert many.drive().returncode == 0
    shutil.copy(many.folder / "out.h5", many.folder / "bad.h5")
    with h5py.File(many.folder / "bad.h5", "r+") as file:
        group = file["user/G2_results_at_000228"]
        values = group[wrong][:-1]
        del group[wrong]
        group[wrong] = values
    run = command("parCorAnaPlot", "bad.h5", "-o", "a.png", cwd=many.folder)
    assert run.returncode == 2 and "tables of curves do not belong together" in run.stderr, run.stderr
    assert "Traceback" not in run.stderr


def test_a_class_without_tables_is_left_alone(tmp_path):
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file.create_group("user/G2_results_at_000010")["mine"] = [1.0]
        file.create_group("user/other")
        assert curvefile.complete(file["user"]) == []
        assert list(file["user/G2_results_at_000010"]) == ["mine"]
        assert curvefile.complete(file.create_group("none")) == []
