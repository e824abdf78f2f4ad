"""Results for other programs: where everything is, that it is ours, and what stands in for what is not known."""

import csv
import errno
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from local import run_local

import parcorana
from parcorana.calculation.arrays import Common
from parcorana.errors import RunError
from parcorana.export import tables
from parcorana.export.what import Exported
from parcorana.export.write import asking_for_export
from parcorana.job.config import resolve_config
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.tools import export, plot
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2IncrementalAccumulator

SHAPE, DELAYS, EVENTS = (2, 6, 8), [1, 2, 3, 8, 10], 200
MASK = np.ones(SHAPE, bool)
NO_ERRORS = {"G2IncrementalAccumulator": {"errors": "pixels"}}  # with the normalization 'color'
MASK[0, 0, :3] = False
COLOR = np.where(np.arange(8) < 3, 2, 5) * np.ones(SHAPE, np.int64)
TABLE = "color,ring,sector,q,q_low,q_high,elements\n2,1,1,0.01,0.005,0.015,36\n5,2,1,0.02,0.015,0.025,60\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of two classes at once; with q and without; and of one whose arrays are not saved."""
    folder = tmp_path_factory.mktemp("results")
    np.save(folder / "rings_color_ndarrCoords.npy", COLOR)
    np.save(folder / "plain.npy", COLOR)
    (folder / "rings_colors.csv").write_text(TABLE)
    frames = np.random.default_rng(1).poisson(4, (EVENTS, *SHAPE)).astype(np.uint16)
    common = {"mask": MASK, "delays": DELAYS, "times": 64, "block": 16, "update": 100, "rate": 50.0}
    made = {}
    for name, classes, color, more in (
        ("both", [G2IncrementalAccumulator, TwoTime, PhotonStatistics], "rings_color_ndarrCoords.npy", NO_ERRORS),
        ("plain", MultiTauG2, "plain.npy", {"save_arrays": False}),
        ("times", TwoTime, "plain.npy", {"ages": 16}),
    ):
        made[name] = folder / f"{name}.h5"
        user = {"color": str(folder / color)} | more
        run_local(folder, classes, np.arange(EVENTS), frames, user=user, h5output=str(made[name]), **common)
    return made


def exported(results, name, folder, *options):
    out = folder / "out.hdf"
    assert export.main([str(results[name]), "-o", str(out), "--overwrite", *options]) == 0
    return h5py.File(out)


def test_curves_maps_and_arrays_are_those_of_the_result(results, tmp_path, capsys):
    stated = ("--energy", "9.5", "--distance", "4000", "--pixel", "75", "--center", "3,4.5")
    with exported(results, "both", tmp_path, *stated) as file, h5py.File(results["both"]) as result:
        group = result["user/G2IncrementalAccumulator/G2_results_at_000200"]
        tau, qmap = file["xpcs/multitau"], file["xpcs/qmap"]
        for k, color in enumerate((2, 5)):
            curve = group[f"delay_curve_color_{color}"][:]
            for place in (tau["normalized_g2"], file["entry/data/g2"]):
                assert np.array_equal(place[:, k], curve)
        assert tau["delay_list"][:].tolist() == DELAYS == file["entry/data/delay_difference"][:].tolist()
        partial = tau["normalized_g2_partial"][:]
        assert partial.shape == (2, len(DELAYS), 2) and tau["normalized_g2_partial_labels"][:].tolist() == [0, 100]
        assert np.array_equal(partial[1, :, 1], group["aged/delay_curve_color_5"]) and partial.shape == (
            tau["normalized_g2_partial_err"].shape
        )
        seconds, intensity = file["xpcs/spatial_mean/intensity_vs_time"]
        lines, of_color = (
            (group[f"intensity/color_{c}"][:] for c in (2, 5)),
            [np.sum(MASK & (c == COLOR)) for c in (2, 5)],
        )
        assert np.allclose(intensity, np.average([*lines], axis=0, weights=of_color)) and seconds[50] == 1
        # the two segments lie side by side, with a gap
        image = qmap["dynamic_roi_map"][:]
        assert image.shape == (6, 18) and not image[:, 8:10].any()
        for segment, part in enumerate((image[:, :8], image[:, 10:])):
            assert np.array_equal(part, np.where(MASK[segment], (COLOR[segment] == 5) + 1, 0))
        pairs = group["delay_counts"][:]
        for k, name in enumerate(("G2", "IP", "IF")):
            saved = group[f"{name}/delay_000008"][:] / pairs[3]
            assert np.allclose(tau["unnormalized_G2"][3, k][:, 10:], saved[1], rtol=1e-6)
        mean = file["xpcs/temporal_mean/scattering_2d"][0]
        assert np.allclose(mean[:, 10:], group["IP/delay_000001"][1] / pairs[0], rtol=1e-6)
        assert np.allclose(qmap["dynamic_v_list_dim0"], [0.01, 0.02])
        assert qmap["map_units"][0] == b"1/angstrom" and qmap.attrs["hash"]
        assert (qmap["detector_distance"][()], qmap["pixel_size"][()]) == (4.0, 75e-6)
        assert file["entry/instrument/incident_beam/incident_energy"][()] == 9.5
        assert file["entry/instrument/detector_1/frame_time"][()] == 1 / 50
        two = result["user/TwoTime/C2_at_000200"]
        assert np.array_equal(file["xpcs/twotime/correlation_map/c2_00002"], np.triu(two["color_5"]), equal_nan=True)
        assert np.array_equal(file["entry/twotime/two_time_corr_func"][..., 1], two["color_5"], equal_nan=True)
        cuts, errors = (file[f"entry/twotime/g2_{name}from_two_time_corr_func"] for name in ("", "err_"))
        assert errors.shape == cuts.shape == (len(two["ages"]), 2)
        assert file["xpcs/twotime/config/avg_frame"][()] == two["width"][()]
    said = capsys.readouterr().err
    assert (
        "is not known: the time from pulse to pulse" in said
        and "the curves have no errors" in said
        and "the time of day of the events" in said
        and said.count("warning") == 3
    )


def test_what_is_not_known_is_said(results, tmp_path, capsys):
    with exported(results, "plain", tmp_path) as file:
        assert file["xpcs/qmap/dynamic_v_list_dim0"][:].tolist() == [2, 5]  # the numbers of the colours
        assert file["xpcs/qmap/map_units"][0] == b"au"
        assert "unnormalized_G2" not in file["xpcs/multitau"] and "twotime" not in file["xpcs"]
        notes = file["entry"].attrs["notes"]
        image, mean = file["xpcs/qmap/dynamic_roi_map"][:], file["xpcs/temporal_mean/scattering_2d"][0]
        assert len(np.unique(mean[image == 2])) == 1 and not mean[image == 0].any()
    said = capsys.readouterr().err
    for what in ("q of the colours", "photon energy", "distance", "pixel size", "beam's centre", "no full arrays"):
        assert what in said and what in notes
    assert "--energy" in said and "--center ROW,COLUMN" in said


def test_two_times_alone(results, tmp_path):
    with exported(results, "times", tmp_path) as file:
        assert "multitau" not in file["xpcs"] and len(file["xpcs/twotime/correlation_map"]) == 2
        assert "a bin of the two times is 16 pulses" in file["entry"].attrs["notes"]
        assert "has no intensities" in file["entry"].attrs["notes"]
        assert file["xpcs/spatial_mean/intensity_vs_time"].shape == (2, 2)  # as few as the viewer can transform
        assert file["entry/data"].attrs["signal"] in file["entry/data"]


@pytest.mark.parametrize(
    ("seconds", "frames"), [([0.5, 3.5, 7.5], [0, 0, 1, 1, 1, 1, 2, 2]), ([0, 4e6, 8e6], [0, 1, 2])]
)
def test_each_frame_has_the_intensity_of_its_stretch(seconds, frames):
    run = SimpleNamespace(result=SimpleNamespace(seconds=np.array(seconds)), rate=1.0)
    assert Exported.stretch_of_frames(run).tolist() == frames


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers_of(rows, name, **which):
    wanted = {key: str(value) for key, value in which.items()}
    return [float(row[name]) for row in rows if wanted.items() <= row.items()]


def test_tables_of_all_that_is_there(results, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = str(results["both"])
    assert export.main([name, "--csv", "out.csv"]) == 0
    assert capsys.readouterr().out.split() == ["out.csv", "out_aged.csv", "out_twotime.csv", "out_photons.csv"]
    assert plot.main([name, "--class", "G2IncrementalAccumulator", "--csv", "drawn.csv", "-o", "drawn.png"]) == 0
    assert Path("drawn.csv").read_bytes() == Path("out.csv").read_bytes()
    with h5py.File(name) as file:
        user = file["user"]
        group, two, photons = (
            user[f"{at}_000200"]
            for at in ("G2IncrementalAccumulator/G2_results_at", "TwoTime/C2_at", "PhotonStatistics/photons_at")
        )
        aged, cuts, counted = (rows_of(f"out_{kind}.csv") for kind in ("aged", "twotime", "photons"))
        for color, q in ((2, 0.01), (5, 0.02)):
            rows = [row for row in rows_of("out.csv") if row["color"] == str(color)]
            assert np.allclose(numbers_of(rows, "g2"), group[f"delay_curve_color_{color}"], rtol=1e-8)
            assert numbers_of(rows, "delay [pulses]") == DELAYS and set(numbers_of(rows, "q [1/angstrom]")) == {q}
            assert numbers_of(rows, "seconds") == [delay / 50 for delay in DELAYS]
            late = numbers_of(aged, "g2", color=color, processed=200)
            assert np.allclose(late, group[f"aged/delay_curve_color_{color}"], rtol=1e-8)
            whole, of_age = ([row for row in cuts if (row["age [s]"] == "") is all_ages] for all_ages in (True, False))
            for column, part in (("g2", "mean"), ("error", "mean_err")):
                written = two[f"g2_age_{part}_color_{color}"]
                assert np.allclose(numbers_of(whole, column, color=color), written, rtol=1e-8, equal_nan=True)
            assert {row["last [pulses]"] for row in whole} == {of_age[-1]["last [pulses]"]}
            found = np.reshape(numbers_of(of_age, "g2", color=color), two[f"g2_age_color_{color}"].shape)
            assert np.allclose(found, two[f"g2_age_color_{color}"], rtol=1e-8, equal_nan=True)
            begin = numbers_of(of_age, "first [pulses]", color=color)[:: len(DELAYS)]
            assert begin == two["ages"][:].tolist()
            assert numbers_of(counted, "k=3", color=color) == photons[f"counts_color_{color}"][:, 3].tolist()
            assert np.allclose(numbers_of(counted, "contrast", color=color), photons[f"contrast_color_{color}"])
    assert export.main([name, "--csv", "out.csv", "--at", "100", "--class", "G2IncrementalAccumulator"]) == 2
    assert "out.csv exists; say --overwrite" in capsys.readouterr().err
    assert export.main([name, "--csv", "out.csv", "--at", "100", "--class", "TwoTime", "--overwrite"]) == 0
    assert rows_of("out.csv")[-1]["last [pulses]"] == "99"  # the kind that there is has the name


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ([], "say what to write: -o OUT.hdf for other programs, --csv FILE.csv for tables"),
        (["--csv", "both.h5", "--overwrite"], "--csv both.h5: its name must end with .csv"),
        (["--csv", "no/such.csv"], "--csv no/such.csv: cannot be written: No such file or directory"),
        (["-o", "out.nxs"], "its name must end with .hdf or .h5"),
        (["-o", "there.h5"], "exists; say --overwrite"),
        (["-o", "both.h5", "--overwrite"], "it is the result that is exported"),
        (["-o", "x.h5", "--at", "7"], "there is no update at 7 events; there are 100, 200"),
        (["-o", "x.h5", "--at", "100,200"], "one update goes into a file"),
        (["-o", "x.h5", "--class", "G2atEnd"], "there is no class 'G2atEnd'; there are"),
        (["-o", "x.h5", "--iX", "a.npy"], "--iX and --iY belong together"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(results, monkeypatch, capsys, options, what):
    monkeypatch.chdir(results["both"].parent)
    Path("there.h5").touch()
    before = results["both"].read_bytes()
    assert export.main(["both.h5", *options]) == 2
    said = capsys.readouterr().err
    assert what in said and len(said.splitlines()) == 1
    assert results["both"].read_bytes() == before and not list(Path.cwd().glob(".*tmp"))


@pytest.mark.parametrize("option", ["--energy=nan", "--pixel=0", "--distance=-3", "--center=1", "--center=nan,2"])
def test_numbers_that_cannot_be_are_refused(results, capsys, option):
    with pytest.raises(SystemExit) as ended:
        export.main([str(results["both"]), "-o", "x.h5", option])
    assert ended.value.code == 2 and option.partition("=")[0] in capsys.readouterr().err


class Own(parcorana.BlockBase):
    """A user's class, which says nothing of its parameters."""

    def arrays(self, elements):
        return {"events": Common(np.zeros(1, np.int64))}

    def publish(self, update, group):
        pass


@pytest.mark.parametrize(
    ("classes", "user", "asking"),
    [
        (Own, {}, None),
        (Own, {"export": True}, None),  # whatever that is to this class
        (TwoTime, {"export": True}, []),
        (TwoTime, {}, None),
        ([Own, TwoTime], {"TwoTime": {"export": True}}, ["TwoTime"]),
    ],
)
def test_who_asks_for_an_export(tmp_path, classes, user, asking):
    np.save(tmp_path / "mask.npy", np.ones((2, 2), np.int8))
    system = {"dataset": "h5=none.h5", "mask": str(tmp_path / "mask.npy"), "user_class": classes, "delays": [1, 2]}
    assert asking_for_export(resolve_config(system | {"times": 8, "h5output": None}, user)) == asking


def test_a_run_exports_itself(setup):
    setup.write("G2atEnd", user={"export": True, "save_arrays": False})
    run = setup.drive()
    assert run.returncode == 0 and "export: " in run.stderr, run.stderr
    with h5py.File(setup.folder / "out_xpcs.hdf") as file, h5py.File(setup.folder / "out.h5") as result:
        last = max(result["user"])
        curve = result[f"user/{last}/delay_curve_color_1"][:]
        assert np.array_equal(file["xpcs/multitau/normalized_g2"][:, 0], curve)


# -- with the other programs, where they are: make viewers -------------------------

VIEWERS = os.environ.get("PARCORANA_VIEWERS")
OPEN = """
import sys
import numpy as np
from pyxpcsviewer.core.xpcs_file import XpcsFile
file = XpcsFile(sys.argv[1])
q, seconds, g2, errors, labels = file.get_g2_data() if "Multitau" in file.atype else (None,) * 5
maps = file.get_twotime_c2(0)["c2_mat"] if "Twotime" in file.atype else None
stretches, labels = None, None
if "Multitau" in file.atype and file.g2_partial is not None:
    stretches, labels = np.array(file.get_g2_stability_data()[2]), file.g2_partial_labels
over_time = file.Int_t_fft
np.savez(sys.argv[2], g2=g2, seconds=seconds, maps=maps, image=file.saxs_2d, stretches=stretches, labels=labels)
"""


@pytest.mark.skipif(VIEWERS is None, reason="make viewers, which installs them, sets PARCORANA_VIEWERS")
@pytest.mark.parametrize("name", ["both", "plain", "times"])
def test_the_real_viewer_and_validator(results, tmp_path, name):
    with exported(results, name, tmp_path) as file:
        curves = file["xpcs/multitau/normalized_g2"][:] if "multitau" in file["xpcs"] else None
        stretches = None if curves is None else file["xpcs/multitau/normalized_g2_partial"][:]
    command = [f"{VIEWERS}/bin/python", "-c", OPEN, "out.hdf", "seen.npz"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run(command, cwd=tmp_path, env=env | {"QT_QPA_PLATFORM": "offscreen"}, check=True, timeout=300)
    with np.load(tmp_path / "seen.npz", allow_pickle=True) as seen:
        if curves is not None:
            assert np.array_equal(seen["g2"], curves) and np.allclose(seen["seconds"], np.array(DELAYS) / 50)
            assert np.array_equal(seen["stretches"], stretches) and seen["labels"].tolist() == [0, 100]
        if name != "plain":
            assert np.isfinite(seen["maps"]).all()
    validate = [f"{VIEWERS}/bin/nxvalidate", "out.hdf"]
    said = subprocess.run(validate, cwd=tmp_path, env=env, text=True, capture_output=True, check=True, timeout=300)
    assert "Total number of errors: 0" in said.stdout, said.stdout


def test_a_table_on_a_full_disk(monkeypatch):
    def refuse(path, streams):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "written", refuse)
    with pytest.raises(RunError, match=r"--csv a\.csv: cannot be written: No space left on device"):
        tables.write_table("a.csv", [("delay",)])
