"""What a master states of the instrument: read where facilities write it, and not used where it cannot be."""

import os
import signal

import h5py
import numpy as np
import pytest
from masters import DETECTOR, FRAMES, SHAPE, SPECIFIC, bad_pixels, write_master
from test_hdf5_files import opened

from parcorana.detector.instrument import reasons
from parcorana.errors import ConfigError
from parcorana.events.hdf5 import master

BEAM = "entry/instrument/beam"
SMALL = {"frames": 3, "parts": 1}


def stated(folder, changes=None, src=None, more="", **master):
    source = opened(write_master(folder, changes, **master) + more, src)
    instrument = source.instrument()
    source.close()
    return instrument


def changed(folder, change):
    """Return what is stated when a function has changed the master's file."""
    text = write_master(folder)
    with h5py.File(folder / "A_master.h5", "a") as file:
        change(file)
    source = opened(text, None)
    instrument = source.instrument()
    source.close()
    return instrument


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    return stated(tmp_path_factory.mktemp("right"))


@pytest.mark.parametrize("classes", [True, False])
def test_what_an_eiger_states(tmp_path, classes):
    got = stated(tmp_path, classes=classes)
    assert (got.source, got.doubts, got.by_frames) == ("A_master.h5", (), True)
    assert got.energy == pytest.approx(8.0, rel=1e-6) and got.distance == pytest.approx(4900.0)
    assert got.pixel == pytest.approx(75.0) and got.beam == (11.25, 16.5)
    assert (got.frame_time, got.count_time) == pytest.approx((0.002, 0.00199))
    assert (got.saturation, got.limit, got.bits, got.announced, got.found) == (3000, 3000, 32, FRAMES, FRAMES)
    assert np.array_equal(got.bad, bad_pixels()) and np.array_equal(got.left_out(), bad_pixels() & 0xFFFF != 0)
    assert got.places["bad"] == f"{SPECIFIC}/pixel_mask"
    assert reasons(got.bad) == ("64 gap, 1 dead, 1 over-responding (hot), 1 noisy, 1 among other bad ones, 1 virtual")


@pytest.mark.parametrize(
    ("path", "value", "units", "name", "right"),
    [
        (f"{DETECTOR}/detector_distance", 4900.0, "mm", "distance", 4900.0),
        (f"{DETECTOR}/detector_distance", [490.0, 490.0], b"cm", "distance", 4900.0),
        (f"{DETECTOR}/detector_distance", 4900, None, "distance", 4900.0),
        (f"{DETECTOR}/detector_distance", [4.9], np.array(["meters"], object), "distance", 4900.0),
        (f"{DETECTOR}/frame_time", 2000.0, "µs", "frame_time", 0.002),
        (f"{DETECTOR}/frame_time", 2, "ms", "frame_time", 0.002),
        (f"{BEAM}/incident_wavelength", 0.15498025, "nm", "energy", 8.0),
        (f"{BEAM}/incident_wavelength", 1.5498025e-10, "m", "energy", 8.0),
        (f"{BEAM}/incident_wavelength", 1.5498025, "Å", "energy", 8.0),
        (f"{BEAM}/incident_wavelength", np.full(FRAMES, 1.5498025), None, "energy", 8.0),
        (f"{BEAM}/incident_energy", 8.0, "keV", "energy", 8.0),
        (f"{BEAM}/incident_energy", 8000.0, "eV", "energy", 8.0),
        (f"{BEAM}/incident_energy", 8.0, None, "energy", 8.0),
        ("entry/sample/beam/incident_energy", 8000.0, None, "energy", 8.0),
        ("entry/instrument/incident_beam/incident_energy", 8.0, None, "energy", 8.0),
        ("entry/instrument/monochromator/energy", 8.0, "keV", "energy", 8.0),
        (f"{DETECTOR}/saturation_value", np.float64(2000), "counts", "saturation", 2000),
        (f"{DETECTOR}/beam_center_y", 11.25 * 75e-3, "mm", "beam", (11.25, 16.5)),
    ],
)
def test_units_and_places(tmp_path, path, value, units, name, right):
    """A number in any unit, also where none is stated; in the other place it is stated alone."""
    alone = dict.fromkeys([f"{BEAM}/incident_wavelength", f"{SPECIFIC}/photon_energy"]) if name == "energy" else {}
    got = stated(tmp_path, alone | {path: (value, units)}, **SMALL)
    assert got.doubts == () and getattr(got, name) == pytest.approx(right, rel=1e-6)
    where = {"energy": path, "beam": DETECTOR}.get(name, path)
    assert where in got.places[name] and ("no units stated" in got.places[name]) == (
        units is None and name != "saturation"
    )


@pytest.mark.parametrize(
    ("changes", "name", "doubt"),
    [
        (
            {f"{DETECTOR}/detector_distance": (0.0, "m")},
            "distance",
            "detector_distance is 0 m, which is not a distance",
        ),
        ({f"{DETECTOR}/detector_distance": (np.nan, "m")}, "distance", "is nan, which is no number"),
        ({f"{DETECTOR}/detector_distance": (4.9, "furlong")}, "distance", "in units of 'furlong'"),
        ({f"{DETECTOR}/detector_distance": ("4.9", None)}, "distance", "its dtype is object, and must be a number"),
        ({f"{DETECTOR}/detector_distance": ([4.9, 5.9], "m")}, "distance", "2 values from 4.9 to 5.9, and not one"),
        ({f"{DETECTOR}/detector_distance": (np.zeros((0, 3)), "m")}, "distance", r"its shape is (0, 3)"),
        ({f"{DETECTOR}/detector_distance": (h5py.Empty("f8"), "m")}, "distance", "its shape is None"),
        ({f"{DETECTOR}/detector_distance": (490.0, "m")}, "distance", "is 490 m, which is not a distance"),
        ({f"{DETECTOR}/distance": (5.9, "m")}, "distance", "distance is 5.9, and entry"),
        ({f"{SPECIFIC}/photon_energy": (9000.0, "eV")}, "energy", "says 8 keV, entry/instrument/detector"),
        ({f"{BEAM}/incident_energy": (8.5, "keV")}, "energy", f"{BEAM}/incident_energy says 8.5 keV"),
        ({f"{DETECTOR}/y_pixel_size": (50e-6, "m")}, "pixel", "pixels are not square: 75 by 50 um"),
        ({f"{DETECTOR}/beam_center_x": (0, None), f"{DETECTOR}/beam_center_y": (0, None)}, "beam", "which is: not set"),
        ({f"{DETECTOR}/beam_center_x": (np.inf, None)}, "beam", "is inf, which is no number"),
        ({f"{DETECTOR}/count_time": (0.02, "s")}, "frame_time", "longer than frame_time, 0.002 s: neither is used"),
        ({f"{DETECTOR}/bit_depth_image": (64, None)}, "bits", "bit_depth_image is 64, though the frames are uint32"),
        ({f"{SPECIFIC}/countrate_correction_count_cutoff": (0, None)}, "saturation", "is 0, which is not a count"),
        ({f"{SPECIFIC}/pixel_mask": (bad_pixels()[1:], None)}, "bad", "its shape is (23, 32), and must be (24, 32)"),
        ({f"{SPECIFIC}/pixel_mask": (bad_pixels() * 1.0, None)}, "bad", "its dtype is float64"),
        ({f"{SPECIFIC}/pixel_mask": (bad_pixels() == 0, None)}, "bad", "in NXmx 0 is a good element, is it so here?"),
        ({f"{SPECIFIC}/nimages": (-3, None)}, "announced", "nimages is -3, which is not a number of images"),
    ],
)
def test_what_cannot_be_is_said_and_not_used(tmp_path, right, changes, name, doubt):
    got = stated(tmp_path, changes, **SMALL)
    assert getattr(got, name) is None and getattr(right, name) is not None
    (said,) = got.doubts
    assert doubt in said
    others = {"energy", "distance", "pixel", "beam", "saturation", "announced"} - {name}
    assert all(getattr(got, each) == getattr(right, each) for each in others)


def test_pixel_masks_of_other_forms(tmp_path):
    """Signed, bool, one for each of some frames, in a file of its own; what is not trusted is not read."""
    bad, path = bad_pixels(), f"{SPECIFIC}/pixel_mask"
    assert np.array_equal(stated(tmp_path, {path: (bad.astype(np.int32), None)}).bad, bad)
    assert np.array_equal(stated(tmp_path, {path: (bad != 0, None)}).bad, bad != 0)
    several = np.stack([bad, np.zeros_like(bad), np.zeros_like(bad)])
    several[1, 20, 1] = 2
    assert np.array_equal(stated(tmp_path, {path: (several, None)}, "entry/data").bad, bad | several[1])
    got = stated(tmp_path, {path: None, f"{DETECTOR}/pixel_mask": (bad, None)})
    assert np.array_equal(got.bad, bad) and got.places["bad"] == f"{DETECTOR}/pixel_mask"

    away = tmp_path / "away"
    away.mkdir()
    for folder in (tmp_path, away):
        with h5py.File(folder / "A_meta.h5", "w") as file:
            file.create_dataset("mask", data=bad, chunks=(5, 7), compression="gzip")

    def link(to):
        def change(file):
            del file[path]
            file[path] = h5py.ExternalLink(to, "/mask")

        return change

    assert np.array_equal(changed(tmp_path, link("A_meta.h5")).bad, bad)
    got = changed(tmp_path, link("gone.h5"))
    assert got.bad is None and got.doubts == (f"{path}: a link to what is not there",)
    got = changed(tmp_path, link("away/A_meta.h5"))
    assert got.bad is None and "other files are read only in a folder that you trust" in got.doubts[0]
    assert got.energy is not None
    source = opened(f"h5={tmp_path}/A_master.h5:dir={tmp_path}", None)
    assert np.array_equal(source.instrument().bad, bad)
    source.close()


def test_values_from_elsewhere_are_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(np.float64(4.9).tobytes())

    def change(file):
        del file[f"{DETECTOR}/detector_distance"]
        file[DETECTOR].create_dataset("detector_distance", (1,), "f8", external=str(tmp_path / "secret"))

    got = changed(tmp_path, change)
    assert got.distance is None and "its values are in external storage" in got.doubts[0]


def test_the_detector_that_has_the_frames(tmp_path):
    """Of two detectors; by the group of the frames, or by a link to them."""

    def two(file):
        file.move(DETECTOR, "entry/instrument/eiger")
        file.create_group("entry/instrument/other").attrs["NX_class"] = "NXdetector"
        file["entry/instrument/other/detector_distance"] = 1.0

    got = changed(tmp_path, two)
    assert got.distance is None and got.energy is not None
    assert "has 2 detectors (eiger, other), and which has the frames is not told" in got.doubts[0]

    def inside(file):
        two(file)
        frames = file["entry/data/data_000001"][:]
        del file["entry/data"]
        file["entry/instrument/eiger/data"] = frames
        file["entry/data/data"] = h5py.SoftLink("/entry/instrument/eiger/data")

    def linked(file):
        inside(file)
        del file["entry/data/data"]
        file["entry/data/data"] = file["entry/instrument/eiger/data"]

    for change in (inside, linked):
        write_master(tmp_path)
        with h5py.File(tmp_path / "A_master.h5", "a") as file:
            change(file)
        source = opened(f"h5={tmp_path}/A_master.h5", "entry/data/data")
        assert source.instrument().distance == pytest.approx(4900.0) and not source.instrument().doubts
        source.close()


def test_several_masters_that_differ(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, distance in ((one, 4.9), (two, 5.0)):
        folder.mkdir()
        write_master(folder, {f"{DETECTOR}/detector_distance": (distance, "m")})
        (folder / "A_master.h5").rename(folder / f"{folder.name}_master.h5")
    source = opened(f"h5={one}/one_master.h5,{two}/two_master.h5:runs", None)
    got = source.instrument()
    source.close()
    assert got.distance is None and got.doubts == ("distance: one_master.h5 and two_master.h5 differ",)
    assert got.energy == pytest.approx(8.0) and (got.announced, got.found) == (2 * FRAMES, 2 * FRAMES)


def test_one_of_several_files_that_the_library_does_not_survive(tmp_path, monkeypatch):
    """It is left alone, and the others are read."""
    text, read, here = write_master(tmp_path), master._read, os.getpid()
    (tmp_path / "B_master.h5").write_bytes((tmp_path / "A_master.h5").read_bytes())

    def crashes(stack, with_mask):
        if "B_master" in stack.name:
            assert os.getpid() != here
            os.kill(os.getpid(), signal.SIGABRT)
        return read(stack, with_mask)

    monkeypatch.setattr(master, "_read", crashes)
    source = opened(f"{text},{tmp_path}/B_master.h5:runs", None)
    got = master.read_instruments(source._stacks)
    source.close()
    assert got[0].energy == pytest.approx(8.0) and not got[0].doubts
    assert got[1].energy is None
    assert got[1].doubts == ("what it states of the instrument: HDF5's library crashes over it (SIGABRT)",)


def test_a_file_that_states_nothing(tmp_path):
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["run/data"] = np.zeros((5, *SHAPE), np.uint16)
        file["run/counter"] = np.arange(5)
    source = opened(f"h5={tmp_path}/plain.h5", "run/data")
    assert not source.instrument() and source.geometry() is None
    source.close()


def test_a_damaged_master_ends_no_run(tmp_path):
    """Whatever single bytes beside the frames are wrong: an answer, or one sentence before."""
    text, rng = write_master(tmp_path, **SMALL), np.random.default_rng(3)
    whole = (tmp_path / "A_master.h5").read_bytes()
    seen = 0
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    for at in rng.choice(used, 8, replace=False).tolist():
        (tmp_path / "A_master.h5").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            source = opened(text, "entry/data")
        except ConfigError:  # of the frames, which other tests look at
            continue
        seen += isinstance(source.instrument().doubts, tuple)
        source.close()
    assert seen


def test_announced_frames_that_are_nowhere(tmp_path):
    """A series that was stopped early names how many are missing, and after which file."""
    for images, triggers, missing in ((50, 1, 10), (10, 5, 10), (40, 1, 0), (30, 1, 0)):
        lines = []
        text = write_master(tmp_path, {f"{SPECIFIC}/nimages": (images, None), f"{SPECIFIC}/ntrigger": (triggers, None)})
        opened(text, None, lines.append).close()
        found = [line for line in lines if "were to be taken" in line]
        assert len(found) == bool(missing)
        if missing:
            assert f"{images * triggers} images were to be taken" in found[0]
            assert f"its files hold 40: the last {missing} are missing, after those in" in found[0]
            assert "A_data_000004.h5" in found[0]
    lines = []
    text = write_master(tmp_path, {f"{SPECIFIC}/nimages": (50, None)})
    opened(text, None, lines.append, numevents=12).close()
    assert not any("were to be taken" in line for line in lines)  # who asks for fewer misses none
    (tmp_path / "A_data_000004.h5").unlink()
    opened(text, None, lines.append).close()
    assert "1 of its 4 parts are missing, data_000004" in lines[-2]
    assert "hold 30: the last 20 are missing" in lines[-1] and "A_data_000003.h5" in lines[-1]
