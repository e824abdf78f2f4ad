"""parCorAnaMerge: sums of runs against a job over all of them, errors, refusals, one result in other colours."""

import json
import logging
import resource
import shutil
import sys

import h5py
import numpy as np
import pytest
from conftest import status_of
from local import run_local

from parcorana import reference, userg2
from parcorana.curves.sums import NORMALIZATIONS
from parcorana.files import plain
from parcorana.results.reading import read_result
from parcorana.tools import compare, merge, plot

EVENTS, RUNS, SHAPE, DELAYS = 90, 6, (2, 5, 7), [0, 1, 2, 5, 13, 40]
USER = {"color": "color.npy", "finecolor": "fine.npy", "normalization": "pixel", "saturated_value": 12}
AT_90 = "/user/G2_results_at_000090"
NO_MATTER = ("/system/accounting", "/system@complete", "/system@ended_by")


class Results:
    """A folder with results of several runs, and what made them."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(5)
        self.counters = [np.cumsum(1 + (rng.random(EVENTS) < 0.15)) for _ in range(RUNS)]
        self.light = rng.uniform(2, 6, SHAPE)
        self.frames = [rng.poisson(self.light, (EVENTS, *SHAPE)).astype(np.uint16) for _ in range(RUNS)]
        self.mask = rng.random(SHAPE) < 0.8
        self.smaller = self.mask & (rng.random(SHAPE) < 0.8)
        self.color = rng.integers(0, 4, SHAPE).astype(np.int32)
        self.other = rng.integers(0, 3, SHAPE).astype(np.int32)
        self.fine = rng.integers(1, 6, SHAPE).astype(np.int32)
        for name in ("smaller", "color", "other", "fine"):
            np.save(folder / f"{name}.npy", getattr(self, name).astype(np.int32))
        (folder / "other_colors.csv").write_text("color,q\n1,0.01\n2,0.02\n", encoding="utf-8")
        for k in range(RUNS):
            self.run(f"r{k}.h5", k)

    def run(self, name, *which, user=USER, mask=None, **system):
        """Make a result of some of the runs."""
        counters, frames = (np.concatenate([each[k] for k in which]) for each in (self.counters, self.frames))
        given = {"delays": DELAYS, "times": 60, "block": 16, "update": 0, "overwrite": True}
        given |= {"dataset": f"exp=x:run={','.join(str(k + 1) for k in which)}"}
        user_class = system.pop("user_class", userg2.G2IncrementalAccumulator)
        runs, mask = np.repeat(which, EVENTS), self.mask if mask is None else mask
        given |= {"h5output": str(self.folder / name)} | system
        run_local(self.folder, user_class, counters, frames, workers=2, runs=runs, mask=mask, user=user, **given)
        return name


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("merge")
        patch.chdir(folder)
        # a trial of each file in another process takes longer than all else here; test_command has it
        patch.setattr(plain, "tried", lambda read, path: None)
        logging.disable(logging.WARNING)
        yield Results(folder)
        logging.disable(logging.NOTSET)


def names(first, last):
    return [f"r{k}.h5" for k in range(first, last)]


def merged(*args):
    """Merge; return the name of the file."""
    assert status_of(merge.main, *args, "-o", "out.h5", "--overwrite") == 0
    return "out.h5"


def refused(capsys, *args):
    """Return the sentence with which a merge is refused."""
    before = sorted(entry.name for entry in merge.Path().iterdir())
    capsys.readouterr()
    assert status_of(merge.main, *args, "-o", "never.h5") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1 and lines[0].startswith("parCorAnaMerge: "), lines
    assert sorted(entry.name for entry in merge.Path().iterdir()) == before
    return lines[0]


def last_group(file):
    return file["user"][max(file["user"])]


def curves_of(name):
    with h5py.File(name) as file:
        return read_result(file, name)


# -- sums --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, RUNS])
def test_sums_are_those_of_one_job_over_all_runs(made, number):
    made.run("all.h5", *range(number))
    with h5py.File(merged(*names(0, number))) as file, h5py.File("all.h5") as wanted:
        assert list(file["user"]) == list(wanted["user"]) == [f"G2_results_at_{number * EVENTS:06d}"]
        group, whole = last_group(file), last_group(wanted)
        for name in ("G2", "IP", "IF"):
            assert set(group[name]) == set(whole[name])
            for delay in whole[name]:
                np.testing.assert_array_equal(group[name][delay], whole[name][delay])
        for name in ("delays", "delay_counts", "saturated"):
            np.testing.assert_array_equal(group[name], whole[name])
        assert dict(file["system/accounting"].attrs) == dict(wanted["system/accounting"].attrs)
        assert group["saturated"][()].sum() > 1
    one, other = curves_of("out.h5"), curves_of("all.h5")
    for c in (1, 2, 3):
        np.testing.assert_allclose(one.curves[c].g2, other.curves[c].g2, rtol=1e-12)
        np.testing.assert_array_equal(one.curves[c].elements, other.curves[c].elements)


def test_against_plain_loops(made):
    """Pairs within each run, one by one."""
    merged(*names(0, 3))
    runs = [(made.counters[k], made.frames[k][:, made.mask]) for k in range(3)]
    sums = [reference.g2(*run, 60, DELAYS, "accumulator") for run in runs]
    with h5py.File("out.h5") as file:
        group = last_group(file)
        for name in ("G2", "IP", "IF"):
            wanted = sum(each[name] for each in sums)
            for d, delay in enumerate(DELAYS):
                np.testing.assert_array_equal(group[f"{name}/delay_{delay:06d}"][()][made.mask], wanted[d])


def test_a_merged_file_is_merged_again(made):
    merged(*names(0, 3))
    shutil.move("out.h5", "three.h5")
    merged("three.h5", *names(3, 5))
    shutil.move("out.h5", "again.h5")
    merged(*names(0, 5))
    with h5py.File("again.h5") as one, h5py.File("out.h5") as other:
        assert one["system/merged_from/dataset"].asstr()[:].tolist() == [f"exp=x:run={k}" for k in range(1, 6)]
        for name in ("G2/delay_000001", "delay_counts", "delay_curve_color_1", "intensity/color_1", "intensity/first"):
            np.testing.assert_allclose(last_group(one)[name][()], last_group(other)[name][()], rtol=1e-12)


def test_the_file_says_what_it_is_made_of(made, capsys):
    with h5py.File("r1.h5", "r+") as file:
        file["system"].attrs.update(complete=False, ended_by="killed")
    merged("r0.h5", "r1.h5")
    with h5py.File("r1.h5", "r+") as file:
        file["system"].attrs.update(complete=True, ended_by="end of data")
    said = capsys.readouterr()
    assert "r1.h5 is not complete (killed): a part of a run, 90 events" in said.err
    assert "errors of the runs combined" in said.out and "180 events" in said.out
    with h5py.File("out.h5") as file:
        system = file["system"]
        assert not system.attrs["complete"] and system.attrs["ended_by"] == "end of data, killed"
        part = system["merged_from"]
        assert part["file"].asstr()[:].tolist() == ["r0.h5", "r1.h5"]
        assert part["processed"][:].tolist() == [EVENTS, EVENTS] and part["complete"][:].tolist() == [1, 0]
        assert json.loads(part["system_params"].asstr()[1])["dataset"] == "exp=x:run=2"
        for item in [*part.values(), *last_group(file)["runs"].values()]:
            assert item.attrs["units"] and item.attrs["long_name"]
        first, last = (last_group(file)["intensity"][name][:] for name in ("first", "last"))
        assert (np.diff(first) > 0).all() and (last >= first).all() and len(first) == 2 * EVENTS
    assert status_of(plot.main, "out.h5", "-o", "out.png") == 0
    assert status_of(compare.main, "out.h5", "out.h5") == 0


# -- errors ------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_errors_of_many_runs_come_from_their_scatter(made, normalization):
    found = curves_of(merged(*names(0, RUNS), "--normalization", normalization))
    counts = np.array([curves_of(name).counts for name in names(0, RUNS)])
    with h5py.File("out.h5") as file:
        own = last_group(file)["runs/delay_curves"][()]
        assert last_group(file)["delay_curve_err_color_1"].attrs["error_from"] == "runs"
        np.testing.assert_array_equal(last_group(file)["runs/delay_counts"], counts)
    for k, c in enumerate((1, 2, 3)):
        for d in range(len(DELAYS)):
            values, weights = own[:, k, d], counts[:, d] / counts[:, d].sum()
            mean = np.sum(weights * values)
            error = np.sqrt(np.sum(weights * (values - mean) ** 2) / (RUNS - 1))
            assert found.curves[c].error[d] == pytest.approx(error, rel=1e-9)
            # what it is for equal weights; these differ by a few percent
            assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(RUNS), rel=0.1)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_errors_of_few_runs_are_combined(made, normalization):
    found = curves_of(merged(*names(0, 3), "--normalization", normalization))
    with h5py.File("out.h5") as file:
        assert last_group(file)["delay_curve_err_color_1"].attrs["error_from"] == "runs combined"
    if normalization == "color":
        assert all(np.isnan(curve.error).all() for curve in found.curves.values())
        return
    np.testing.assert_allclose(found.curves[1].error, _combined(made, normalization), rtol=1e-9)


def _combined(made, normalization):
    runs = []
    for k in range(3):  # over the elements that are saturated in none; in the pixel normalization each file's own
        runs.append(curves_of(f"r{k}.h5"))
        if normalization != "pixel":
            mask = made.mask.copy()
            for other in range(3):
                mask &= curves_of(f"r{other}.h5").saturated == 0
            np.save("ok.npy", mask)
            runs[-1] = curves_of(merged(f"r{k}.h5", "--mask", "ok.npy", "--normalization", normalization))
    weights = np.array([run.counts for run in runs]) / sum(run.counts for run in runs)
    return np.sqrt(sum((w * run.curves[1].error) ** 2 for w, run in zip(weights, runs, strict=True)))


def test_runs_of_different_intensity(made, capsys):
    """Sums of bright and dim runs are no mean of their curves: said, with its size."""
    dim = [frames // 3 for frames in made.frames]
    made.frames, kept = dim, made.frames
    made.run("dim.h5", 1)
    made.frames = kept
    found = curves_of(merged("r0.h5", "dim.h5", "--normalization", "color"))
    assert "is too high by about" in found.bias and "differ in mean intensity" in found.bias
    assert found.bias in capsys.readouterr().err
    with h5py.File("out.h5") as file:
        own, means = last_group(file)["runs/delay_curves"][:, 0], last_group(file)["runs/intensity"][:, 0]
    size = float(found.bias.split("by about ")[-1].split("%")[0]) / 100
    mean = np.average(own, axis=0, weights=means**2)  # a run has that weight in the sum of products
    assert np.median(found.curves[1].g2 / mean - 1) == pytest.approx(size, rel=0.1)
    assert size == pytest.approx(means.var() / means.mean() ** 2, rel=0.1)


# -- one result, again -------------------------------------------------------------


@pytest.mark.parametrize("user_class", [userg2.G2IncrementalAccumulator, userg2.G2IncrementalWindowed])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_again_is_what_a_run_gives(made, user_class, normalization):
    """Other mask, colours, table and normalization: the file of a run with these, datasets and attributes."""
    made.run("plain.h5", 0, user={"saturated_value": 12}, user_class=user_class)
    fine = ("--finecolor", "fine.npy") if normalization == "finecolor" else ()
    args = ("--mask", "smaller.npy", "--color", "other.npy", "--normalization", normalization, *fine)
    merged("plain.h5", *args)
    user = {"color": "other.npy", "normalization": normalization, "saturated_value": 12}
    user |= {"finecolor": "fine.npy"} if fine else {}
    made.run("fresh.h5", 0, user=user, mask=made.smaller, user_class=user_class)
    with h5py.File("fresh.h5") as file:
        assert last_group(file)["delay_curve_color_1"].attrs["q"] == 0.01
    of_a_run = ["/intensity", "/leverage", "/stationarity_p", "@changes_with_age", "@stationarity_unknown"]
    of_a_run += [f"/delay_curve_color_{c}@stationarity_p" for c in (1, 2)]
    of_other_mask = (*(f"{AT_90}{name}" for name in of_a_run), "/system/values")
    lines = compare.compare("out.h5", "fresh.h5", ignore=of_other_mask)
    assert lines == []


def test_the_same_again(made):
    """Nothing but the fit changes."""
    merged("r0.h5", "--fit", "stretched,baseline=1")
    assert compare.compare("out.h5", "r0.h5", subset=True, ignore=(f"{AT_90}/leverage",)) == []
    with h5py.File("out.h5") as file:
        assert last_group(file)["fits"].attrs["kind"] == "stretched"
        assert last_group(file)["fits"].attrs["fixed_baseline"] == 1
        fit = json.loads(file["system/user_params"].asstr()[()])["fit"]
    assert fit == {"kind": "stretched", "fixed": {"baseline": 1.0}}
    shutil.move("out.h5", "again.h5")
    merged("again.h5", "--normalization", "pixel")
    with h5py.File("out.h5") as file:
        assert last_group(file)["fits"].attrs["fixed_baseline"] == 1


def test_without_arrays(made, capsys):
    merged("r0.h5", "r1.h5", "--no-save-arrays")
    with h5py.File("out.h5") as file:
        assert not {"G2", "IP", "IF"} & set(last_group(file))
    shutil.move("out.h5", "small.h5")
    assert "save_arrays: 'last'" in refused(capsys, "small.h5", "r2.h5")


def test_many_colors(made):
    """Tables, and names and fits of the last result."""
    np.save("each.npy", np.arange(1, 71).reshape(SHAPE))
    merged("r0.h5", "r1.h5", "--color", "each.npy", "--fit", "single")
    with h5py.File("out.h5") as file:
        assert last_group(file)["delay_curves"].shape == (70, len(DELAYS))
        assert "error_from" in last_group(file)["delay_curve_err_color_7"].attrs and "fits" in last_group(file)
    assert len(curves_of("out.h5").curves) == 70


def test_an_update_before_the_last(made):
    """Of a run in progress, too: its name stands for its folder."""
    for k in range(2):
        made.run(f"u{k}.h5", k, user=USER | {"save_arrays": True}, update=40)
    folder = made.folder / "u2.h5.inprogress"
    folder.mkdir()
    shutil.copy("u1.h5", folder / "update_000090.h5")
    merged("u0.h5", "u2.h5", "--at", "40")
    with h5py.File("out.h5") as file, h5py.File("u0.h5") as one, h5py.File("u1.h5") as other:
        assert list(file["user"]) == ["G2_results_at_000080"]
        found, *parts = (
            f[f"user/G2_results_at_{n:06d}/G2/delay_000005"][()] for f, n in ((file, 80), (one, 40), (other, 40))
        )
        np.testing.assert_array_equal(found, parts[0] + parts[1])
    assert "update at 80 of 180 events" in curves_of("out.h5").title


def test_facts_of_all_runs(made):
    """Ranges of `select` and what they left out, and the times of the first and last event."""
    for k in range(2):
        made.run(f"s{k}.h5", k, select={"mean": (made.light[made.mask].mean(), None)})
        with h5py.File(f"s{k}.h5", "r+") as file:
            file["system"].attrs.update(first_event_time_ns=100 - k, last_event_time_ns=200 - k)
            file["system/instrument/distance"], file["system/instrument/images_found"] = 5.0, 90 + k
    merged("s1.h5", "s0.h5")
    with h5py.File("out.h5") as file, h5py.File("s0.h5") as one, h5py.File("s1.h5") as other:
        parts = [each["system"] for each in (one, other)]
        system = file["system"]
        np.testing.assert_array_equal(system["select/mean"], parts[0]["select/mean"])
        left = [part["select"].attrs["mean"] for part in parts]
        assert system["select"].attrs["mean"] == sum(left) > max(left) > 0
        assert system["accounting"].attrs["filtered"] == sum(left)
        assert {name: item[()] for name, item in system["instrument"].items()} == {"distance": 5.0}
        assert (system.attrs["first_event_time_ns"], system.attrs["last_event_time_ns"]) == (99, 200)
    made.run("s1.h5", 1, select={"mean": (0.5, None)})
    merged("s1.h5", "s0.h5")
    with h5py.File("out.h5") as file:
        assert "select" not in file["system"] and "first_event_time_ns" not in file["system"].attrs


# -- what differs ------------------------------------------------------------------


def test_common_delays(made):
    made.run("few.h5", 1, delays=[1, 3, 5, 40])
    merged("r0.h5", "few.h5", "--common-delays")
    with h5py.File("out.h5") as file, h5py.File("r0.h5") as one, h5py.File("few.h5") as other:
        assert last_group(file)["delays"][:].tolist() == file["system/delays"][:].tolist() == [1, 5, 40]
        wanted = last_group(one)["delay_counts"][[1, 3, 5]] + last_group(other)["delay_counts"][[0, 2, 3]]
        np.testing.assert_array_equal(last_group(file)["delay_counts"], wanted)
        total = last_group(one)["G2/delay_000040"][()] + last_group(other)["G2/delay_000040"][()]
        np.testing.assert_array_equal(last_group(file)["G2/delay_000040"], total)


def test_common_mask(made):
    mask = made.mask ^ np.eye(5, 7, dtype=bool)
    made.run("mask2.h5", 1, mask=mask)
    merged("r0.h5", "mask2.h5", "--common-mask")
    with h5py.File("out.h5") as file:
        np.testing.assert_array_equal(file["system/mask"], mask & made.mask)
        assert not last_group(file)["G2/delay_000001"][()][~(mask & made.mask)].any()


def test_repeats(made, capsys):
    made.run("all.h5", 0, 1)
    merged("all.h5", "r0.h5")
    assert "all.h5 and r0.h5 both hold runs of 'exp=x:run=1,2' and 'exp=x:run=1'" in capsys.readouterr().err
    merged("r0.h5", "r1.h5")
    shutil.move("out.h5", "two.h5")
    capsys.readouterr()
    merged("two.h5", "r1.h5")
    assert "both hold 'exp=x:run=2': are its events counted twice?" in capsys.readouterr().err


DIFFERENT = {
    "rate": ({"rate": 60.0}, {}, "pulses per second of their delays: 120.0 and 60.0"),
    "class": ({"user_class": userg2.G2atEnd}, {}, "user_class: 'parcorana.userg2.G2Incr"),
    "delays": ({"delays": [1, 2]}, {}, "[0, 1, 2, 5, 13, 40] and [1, 2]; --common-delays"),
    "mask": ({"mask": np.ones(SHAPE, bool)}, {}, "differ in their mask, at"),
    "normalization": ({}, {"normalization": "color"}, "'pixel' and 'color'; choose one by --normalization"),
    "saturated": ({}, {"saturated_value": 16}, "user_params['saturated_value']: 12 and 16"),
    "notzero": ({}, {"notzero": 1}, "user_params['notzero']: None and 1"),
    "color": ({}, {"color": "other.npy"}, "differ in their color file"),
    "no color": ({}, {"color": None}, "r0.h5 has a color file, b.h5 none: name the one to use by --color"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_differs_is_refused(made, what, capsys):
    system, user, said = DIFFERENT[what]
    made.run("b.h5", 1, user=USER | user, **system)
    line = refused(capsys, "r0.h5", "b.h5")
    assert said in line and "r0.h5" in line and "b.h5" in line


def test_what_may_be_wrong_is_said(made, capsys):
    made.run("b.h5", 1, times=50)
    merged("r0.h5", "b.h5")
    assert "r0.h5 and b.h5 differ in times: 60 and 50; they are added all the same" in capsys.readouterr().err


def test_frame_norm_is_not_in_the_sums(made, capsys):
    made.run("b.h5", 1, user=USER | {"frame_norm": "color"})
    with h5py.File("b.h5", "r+") as file:
        last_group(file)["mine"] = 1
    assert "b.h5: its curves are corrected by frame_norm='color'" in refused(capsys, "b.h5", "r1.h5")
    merged("b.h5", "--uncorrected")
    assert "left out, for they are no sums that could be added: mine\n" in capsys.readouterr().err
    with h5py.File("out.h5") as file, h5py.File("b.h5") as one:
        assert "frame_norm" not in json.loads(file["system/user_params"].asstr()[()])
        before = last_group(one)["delay_curve_uncorrected_color_1"][()]
        np.testing.assert_allclose(last_group(file)["delay_curve_color_1"], before, rtol=1e-12)
        assert not np.allclose(before, last_group(one)["delay_curve_color_1"][()])
    assert curves_of("out.h5").frame_norm == ""


WRONG = {
    "one file": (("r0.h5",), "nothing to change"),
    "twice": (("r0.h5", "./r0.h5"), "are the same file: its events would count twice"),
    "twice alike": (("r0.h5", "r0.h5"), "are the same file"),
    "no file": (("nothing.h5", "r0.h5"), "'nothing.h5' does not exist"),
    "foreign": (("r0.h5", "foreign.h5"), "'foreign.h5' is not a readable result file"),
    "text": (("r0.h5", "text.h5"), "'text.h5' is not a readable result file"),
    "cut off": (("r0.h5", "cut.h5"), "'cut.h5' is not a readable result file"),
    "not finite": (("r0.h5", "nan.h5"), "nan.h5: G2/delay_000002 is damaged: 1 of its sums are not finite"),
    "another shape": (
        ("r0.h5", "shape.h5"),
        "shape.h5: IP/delay_000002 is not an array of numbers of the mask's shape",
    ),
    "a string": (("r0.h5", "string.h5"), "string.h5: IP/delay_000002 is not an array of numbers of the mask's shape"),
    "one missing": (("r0.h5", "missing.h5"), "missing.h5: its arrays are not all there: IF/delay_000005 is missing"),
    "no JSON": (("r0.h5", "json.h5"), "json.h5: its /system/user_params is not JSON"),
    "colours": (("r0.h5", "colors.h5"), "colors.h5: its /system/color is not that of a result"),
    "pairs": (("r0.h5", "pairs.h5"), "pairs.h5: its delay_counts are not those of a result"),
    "at": (("r0.h5", "r1.h5", "--at", "50"), "there is no update at 50 events"),
    "mask": (("r0.h5", "--mask", "larger.npy"), "did not process: a mask can only become smaller"),
    "mask's shape": (("r0.h5", "--mask", "flat.npy"), "it must be 2x5x7, that of the detector in r0.h5"),
    "colour": (("r0.h5", "--color", "flat.npy"), "--color: 'flat.npy' has the shape 70"),
    "fine": (("r0.h5", "--finecolor", "fine.npy"), "say --normalization finecolor, too"),
    "no fine": (("plain.h5", "--normalization", "finecolor"), "plain.h5 has no fine colours"),
    "both masks": (("r0.h5", "--mask", "smaller.npy", "--common-mask"), "exclude each other"),
}


def _change(name, path, value=None):
    shutil.copy("r1.h5", name)
    with h5py.File(name, "r+") as file:
        where = file if path in file else last_group(file)
        del where[path]
        if value is not None:
            where[path] = value


@pytest.fixture(scope="module")
def damaged(made):
    """Files that cannot be merged."""
    with h5py.File("foreign.h5", "w") as file:
        file["data"] = np.ones(3)
    (made.folder / "text.h5").write_text("no result\n" * 100, encoding="utf-8")
    whole = (made.folder / "r1.h5").read_bytes()
    (made.folder / "cut.h5").write_bytes(whole[: len(whole) // 2])
    values = np.where(np.arange(70).reshape(SHAPE) == np.flatnonzero(made.mask)[3], np.nan, 1.0)
    _change("nan.h5", "G2/delay_000002", values)
    _change("shape.h5", "IP/delay_000002", np.ones((5, 2, 7)))
    _change("string.h5", "IP/delay_000002", "one")
    _change("missing.h5", "IF/delay_000005")
    _change("json.h5", "system/user_params", "{")
    _change("colors.h5", "system/color", -np.ones(SHAPE, np.int64))
    _change("pairs.h5", "delay_counts", np.full(len(DELAYS), -1))
    np.save("larger.npy", np.ones(SHAPE, np.int8))
    np.save("flat.npy", np.ones(70, np.int8))
    made.run("plain.h5", 0, user={})
    return made


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_a_sentence(damaged, what, capsys):
    args, said = WRONG[what]
    assert said in refused(capsys, *args)


def test_what_is_there_stays(made, capsys):
    (made.folder / "kept.h5").write_text("mine", encoding="utf-8")
    assert status_of(merge.main, "r0.h5", "r1.h5", "-o", "kept.h5") == 2
    assert "say --overwrite" in capsys.readouterr().err
    assert (made.folder / "kept.h5").read_text(encoding="utf-8") == "mine"
    before = (made.folder / "r0.h5").read_bytes()
    assert status_of(merge.main, "r0.h5", "r1.h5", "-o", "r0.h5", "--overwrite") == 2
    assert "it is one of the files that are merged" in capsys.readouterr().err
    assert (made.folder / "r0.h5").read_bytes() == before
    assert status_of(merge.main, "r0.h5", "r1.h5", "-o", "no/where.h5") == 2


def test_a_full_disk(made, capsys):
    """What cannot be written is no fault of the files that are read, and nothing is left of it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        assert status_of(merge.main, "r0.h5", "r1.h5", "-o", "never.h5") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capsys.readouterr().err == "parCorAnaMerge: cannot write 'never.h5': [Errno 27] File too large\n"
    assert not list(made.folder.glob("*never*")) + list(made.folder.glob(".*never*"))


def test_command(made, command):
    """As a user runs it."""
    run = command(sys.executable, "-m", "parcorana.tools.merge", *names(0, 5), "-o", "five.h5", cwd=made.folder)
    assert run.returncode == 0, run.stderr
    assert "five.h5: 450 events, 6 delays" in run.stdout and "errors from the scatter of 5 runs" in run.stdout
    run = command(sys.executable, "-m", "parcorana.tools.merge", "r0.h5", "r0.h5", "-o", "two.h5", cwd=made.folder)
    assert run.returncode == 2 and run.stderr.count("\n") == 1
