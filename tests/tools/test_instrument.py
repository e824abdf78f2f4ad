"""What a master states is used: by the mask tool, by ``--check``, in a run and in its result."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import status_of
from masters import DETECTOR, SHAPE, SPECIFIC, STATED, bad_pixels, frames_of_eiger, write_master

from parcorana.detector.geometry import KEV_ANGSTROM
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.job.config import resolve_config
from parcorana.tools import maskcolor
from parcorana.tools.instrument import stated_by
from parcorana.userg2 import G2IncrementalAccumulator

BEAM = "entry/instrument/beam/incident_wavelength"
CONFIG = """
from parcorana.userg2 import G2IncrementalAccumulator

system_params = {"dataset": "h5=A_master.h5", "mask": "mask.npy", "times": 21, "delays": [1, 2], "h5output": "out.h5",
    "user_class": G2IncrementalAccumulator, "numservers": 2, "block": 8}
user_params = {}
"""


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Return a function that makes masks and colours of a master; it returns status, output, error."""
    monkeypatch.chdir(tmp_path)

    def run(*args, stated=None):
        write_master(tmp_path, stated)
        status = status_of(maskcolor.main, "start", "-d", "h5=A_master.h5", "-b", "m", "--force", *args)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def q_of(distance=4900.0, center=(11.25, 16.5), energy=8.0, pixel=75.0):
    row, column = np.indices(SHAPE)
    radius = np.hypot(row - center[0], column - center[1]) * pixel * 1e-3
    return 4 * np.pi * energy / KEV_ANGSTROM * np.sin(np.arctan2(radius, distance) / 2)


def rings(q, mask, number):
    edges = np.linspace(q[mask].min(), q[mask].max(), number + 1)[1:-1]
    return np.where(mask, 1 + np.searchsorted(edges, q, "right"), 0)


def test_start_needs_no_numbers_by_hand(start):
    """The detector's own mask by its reasons, the saturated element, rings of q: all from the master."""
    status, said, error = start("--by", "q", "-c", "3", "--finecolor", "5")
    assert (status, error) == (0, "")
    assert "photon energy 8 keV, distance 4900 mm, pixel 75 um, beam row 11.25, column 16.5" in said
    assert "mask: 67 elements left out: bad by the detector's own mask" in said and "(64 gap, 1 dead, 1 over-" in said
    assert "marked by it, but not bad, so not left out for it: 1 virtual" in said
    assert "mask: 1 elements left out: at 3,000 or more in some event: saturated, as A_master.h5 states" in said
    right = (bad_pixels() & 0xFFFF == 0) & (frames_of_eiger().max(axis=0) < 3000)
    mask = np.load("m_mask_ndarrCoords.npy") > 0
    assert np.array_equal(mask, right)
    assert np.array_equal(np.load("m_color_ndarrCoords.npy"), rings(q_of(), mask, 3))


def test_what_is_given_by_hand_holds_and_both_are_told(start):
    by_hand = ["--distance", "5500", "--center", "11,17", "--energy", "8.01", "--pixel", "75"]
    status, said, error = start("--by", "q", "-c", "2", "--finecolor", "2", *by_hand)
    assert status == 0
    assert error == "warning: --distance 5500 mm given by hand; A_master.h5 says 4900 mm; --distance holds\n"
    assert "rings: --energy 8.01 keV given by hand; A_master.h5 says 8 keV; --energy holds" in said
    assert "rings: --center 11,17 given by hand; 11.25,16.5 as A_master.h5 states" in said and "--pixel" not in said
    mask, q = np.load("m_mask_ndarrCoords.npy") > 0, q_of(5500.0, (11, 17), 8.01)
    assert np.array_equal(np.load("m_color_ndarrCoords.npy"), rings(q, mask, 2))


def test_what_the_master_does_not_state_is_asked_for_before_events_are_read(start):
    stated = {f"{DETECTOR}/detector_distance": (0.0, "m"), BEAM: None, f"{SPECIFIC}/photon_energy": None}
    status, said, error = start("--by", "q", stated=stated)
    assert status == 2 and "average" not in said
    assert "--by q needs --wavelength or --energy, --distance, which A_master.h5 does not state so that it" in error
    assert "can be used: entry/instrument/detector/detector_distance is 0 m, which is not a distance" in error
    status, said, error = start(
        "--by", "q", "-c", "2", "--finecolor", "2", "--distance", "4900", "--energy", "8", stated=stated
    )
    assert status == 0 and error.count("warning") == 1
    assert "warning: A_master.h5: entry/instrument/detector/detector_distance is 0 m, which is not a distance" in error


def test_a_data_file_has_a_master(start, capsys):
    """Frames of one data file are some of the run's, and it states nothing: the name of the master is told."""
    start()
    lines = []
    open_source(parse_dataset("h5=A_data_000002.h5"), log=lines.append).close()
    (line,) = (line for line in lines if "one data file of a series" in line)
    assert line.startswith("h5=A_data_000002.h5 is one data file of a series: h5=A_master.h5 has all its frames")
    assert status_of(maskcolor.main, "start", "-d", "h5=A_data_000002.h5", "-b", "part", "--by", "q") == 2
    error = capsys.readouterr().err
    assert "which A_data_000002.h5 does not state; its master, A_master.h5, may" in error


def test_bits_of_a_count_are_a_limit(start):
    """Of 16 bits in frames of 32 the largest value of the type marks nothing."""
    stated = {
        f"{SPECIFIC}/countrate_correction_count_cutoff": None,
        f"{SPECIFIC}/pixel_mask": None,
        f"{DETECTOR}/bit_depth_image": (12, None),
    }
    status, said, _ = start("-c", "2", "--finecolor", "2", stated=stated)
    assert status == 0 and "at 4,095 or more" not in said  # those at the top of the type went before
    stated[f"{DETECTOR}/bit_depth_image"] = (11, None)
    said = start("-c", "2", "--finecolor", "2", stated=stated)[1]
    assert "mask: 1 elements left out: at 2,047 or more in some event" in said


def said_of(folder, stated=None, user=None, **system):
    """Return the warnings and the lines of ``--check`` for a config."""
    np.save(folder / "mask.npy", np.ones(SHAPE, np.int8))
    given = {"dataset": write_master(folder, stated), "mask": str(folder / "mask.npy"), "times": 21, "delays": [1, 2]}
    config = resolve_config(given | {"user_class": G2IncrementalAccumulator, "h5output": None} | system, user or {})
    source = open_source(config.dataset, log=lambda line: None)
    instrument, warnings, lines = stated_by(source, config)
    source.close()
    assert instrument.bad is None
    return warnings, "\n".join(lines)


def test_what_check_offers(tmp_path):
    warnings, lines = said_of(tmp_path)
    assert len(warnings) == 2 and "set 'rate': 500" in warnings[0] and "come 2 ms apart" in warnings[0]
    assert "mask.npy' includes 67 elements, as [3, 4], that the detector itself calls bad (64 gap" in warnings[1]
    for line in (
        "energy      8 keV, 1.5498 angstrom (entry/instrument/beam/incident_wavelength)",
        "distance    4900 mm",
        "pixel       75 um",
        "beam        row 11.25, column 16.5",
        "frame time  2 ms: the config's rate is 120.0 Hz, the frame time says 500 Hz: set 'rate': 500",
        "saturation  from 3,000 counts on: set user_params['saturated_value'] to 3000, which is not set",
        "bad pixels  67 of 768 elements (64 gap",
        "67 of them in the mask",
        "images      40 were to be taken, 40 are there (",
    ):
        assert line in lines


def test_the_limit_of_the_data_is_none_of_photons(tmp_path):
    lines = said_of(tmp_path, photons={"photon": 8})[1]
    assert "from 3,000 counts on, of the data as they come: saturated_value is in photons" in lines


def test_what_check_says_of_a_config_that_fits(tmp_path):
    np.save(tmp_path / "good.npy", (bad_pixels() & 0xFFFF == 0).astype(np.int8))
    warnings, lines = said_of(
        tmp_path,
        {f"{SPECIFIC}/nimages": (55, None)},
        {"saturated_value": 3000},
        rate=500.0,
        mask=str(tmp_path / "good.npy"),
    )
    assert warnings == [] and ", 500 Hz, as the config's rate" in lines and "set " not in lines
    assert "; user_params['saturated_value'] is 3000" in lines and "0 of them in the mask" in lines
    assert "images      55 were to be taken, 40 are there, 15 missing" in lines
    _, lines = said_of(tmp_path, {f"{DETECTOR}/detector_distance": (0, "m")}, {"saturated_value": 70000})
    assert "user_params['saturated_value'] is 70000, and so finds fewer; set it to 3000" in lines
    assert "not used: entry/instrument/detector/detector_distance is 0 m, which is not a distance" in lines


def test_what_check_says_where_nothing_can_be_used(tmp_path):
    nothing = dict.fromkeys([*STATED, f"{SPECIFIC}/pixel_mask"])
    warnings, lines = said_of(tmp_path, nothing | {f"{DETECTOR}/frame_time": (np.nan, "s")})
    assert warnings == [] and lines.splitlines() == [
        "A_master.h5 states nothing that can be used:",
        "  not used: entry/instrument/detector/frame_time is nan, which is no number",
    ]


def test_a_source_that_states_nothing():
    assert stated_by(SimpleNamespace(), None) == (None, [], [])


def test_a_run_says_it_once_and_keeps_it(tmp_path, command):
    """With two servers; what is stated is in the result, with units."""
    write_master(tmp_path, {f"{SPECIFIC}/nimages": (55, None)})
    np.save(tmp_path / "mask.npy", np.ones(SHAPE, np.int8))
    (tmp_path / "config.py").write_text(CONFIG)
    run = command("parCorAnaDriver", "-c", "config.py", cwd=tmp_path, ranks=4)
    assert run.returncode == 0, run.stderr
    for text in ("set 'rate': 500", "67 elements, as [3, 4], that the detector itself", "the last 15 are missing"):
        assert run.stderr.count(text) == 1
    with h5py.File(tmp_path / "out.h5") as file:
        found = {name: (item[()].tolist(), item.attrs["units"]) for name, item in file["system/instrument"].items()}
        assert file["system/instrument"].attrs["source"] == "A_master.h5"
    assert found == {
        "beam_center": ([11.25, 16.5], "pixels"),
        "bit_depth": (32, "1"),
        "count_time": (pytest.approx(0.00199), "s"),
        "distance": (pytest.approx(4900), "mm"),
        "frame_time": (pytest.approx(0.002), "s"),
        "images_announced": (55, "1"),
        "images_found": (40, "1"),
        "photon_energy": (pytest.approx(8), "keV"),
        "pixel_size": (pytest.approx(75), "um"),
        "saturation_value": (3000, "1"),
    }
