"""Runs that count photons: the same as runs over photons counted before, however they are divided."""

import re

import h5py
import numpy as np
import pytest
from clouds import clouds
from conftest import status_of
from local import ListSource, run_local

from parcorana import ConfigError
from parcorana.detector.photons import FOUND, added_up, check_photons
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.job.config import format_params, resolve_config
from parcorana.reference import find_photons
from parcorana.tools.driver import main
from parcorana.userg2 import G2IncrementalAccumulator

SHAPE, EVENTS = (2, 12, 15), 60
PHOTONS = {"photon": 10, "method": "droplet", "most": 40}


@pytest.fixture(scope="module")
def light():
    """Frames of clouds with a track, a hot element, an event that is bad, and one that is dark."""
    rng = np.random.default_rng(4)
    charge = clouds(rng, (2 * EVENTS, *SHAPE[1:]), 0.1, 0.3, 0.05)[0].reshape(EVENTS, *SHAPE)
    charge[7, 1, 5, 2:12] = 9
    charge[20:30, 0, 3, 3] = 300
    charge[33] = 0
    charge[40, 1, 2, 2] = np.nan
    mask = np.random.default_rng(5).random(SHAPE) < 0.9
    mask[0, 3, 3] = mask[1, 2, 2] = True
    return (charge * 10).astype("f4"), mask


def counted(frames, mask, photons):
    """Return what plain loops make of frames, and what they find in those that are used."""
    photons = check_photons(photons)
    both = [find_photons(frame, **photons, mask=mask) for frame in frames]
    used = [k for k in range(len(frames)) if np.isfinite(frames[k][mask]).all()]
    return np.stack([counts for counts, _ in both]), {k: [both[k][1][name] for name in FOUND] for k in used}


def run(folder, frames, mask, **system):
    given = {"times": 40, "delays": [1, 2, 5, 20], "block": 8, "max_bad": 1.0, "mask": mask, "update": 25}
    return run_local(folder, G2IncrementalAccumulator, np.arange(len(frames)), frames, **given | system)


def sums_of(roles, servers):
    return [
        np.concatenate([worker.arrays[name].value for worker in roles[1 + servers :]], axis=-1)
        for name in ("G2", "IP", "IF")
    ]


@pytest.mark.parametrize("kind", ["list", "h5"])
@pytest.mark.parametrize("method", ["droplet", "threshold"])
def test_the_result_is_that_of_photons_counted_before(tmp_path, light, kind, method):
    frames, mask = light
    photons = PHOTONS | {"method": method}
    counts, found = counted(frames, mask, photons)
    before = counts.astype("f4")
    before[40, 1, 2, 2] = np.nan
    want = run(tmp_path, before, mask, values={"mean": "mean"}, select={"mean": (0.001, None)})
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["frames"] = frames

    def opened(share):
        if kind == "list":
            return ListSource(np.arange(len(frames)), frames, share)
        return open_source(parse_dataset(f"h5={tmp_path}/frames.h5"), src=None, share=share, log=lambda line: None)

    dark = [k for k in found if not found[k][1]]
    assert 33 in dark and want[0].finished["filtered"] == len(dark)
    total = added_up(np.array([found[k] for k in found if k not in dark])).tolist()
    assert total[3] > 5 or method == "threshold"
    for servers, workers in ((1, 1), (2, 3)):
        roles = run(
            tmp_path, frames, mask, servers=servers, workers=workers, opened=opened, photons=photons,
            values={"mean": "mean"}, select={"mean": (0.001, None)},
        )  # fmt: skip
        assert roles[0].finished == want[0].finished
        for ours, theirs in zip(sums_of(roles, servers), sums_of(want, 1), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for worker in roles[1 + servers :]:
            assert list(worker.events.photons) == list(FOUND) and list(worker.events.photons.values()) == total
            assert worker.events.facts()["photons"] == worker.events.kept()["photons"] == worker.events.photons


def test_large_counts_are_exact_and_the_log_says_it(tmp_path, light, caplog):
    caplog.set_level("INFO", "parcorana")
    frames, mask = light
    counts, found = counted(frames, mask, PHOTONS | {"most": None})
    before = counts.astype("f4")
    before[40, 1, 2, 2] = np.nan
    want = run(tmp_path, before, mask)
    caplog.clear()
    roles = run(tmp_path, frames, mask, workers=2, photons=PHOTONS | {"most": None})
    for ours, theirs in zip(sums_of(roles, 1), sums_of(want, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    total = added_up(np.array(list(found.values())))
    assert caplog.text.count("more than 255 in an element (event 20 of the sequence") == 1
    assert f"at most {total[5]:,} in an element of an event, (0, 3, 3)" in caplog.text
    caplog.clear()
    roles = run(tmp_path, frames, mask, photons={"photon": 1e-3})  # of which the track and the hot element have more
    assert (roles[0].finished["processed"], roles[0].finished["bad"]) == (48, 12)
    assert "an element has more than 65,535 photons: is photons['photon'] right?" in caplog.text


def test_what_the_file_says_and_the_testing_mode(light, monkeypatch, setup):
    """The same in the result of the main run and in that of plain loops."""
    frames, mask = light
    monkeypatch.chdir(setup.folder)
    with h5py.File(setup.folder / "frames.h5", "w") as file:
        file["frames"] = frames
    np.save(setup.folder / "mask.npy", mask.astype(np.int8))
    setup.write(
        "G2IncrementalAccumulator", {}, src="frames", photons=PHOTONS, testnumevents=35, delays=[1, 2, 5], max_bad=0.5
    )
    for mode in ("--test_main", "--test_alt", "--cmp"):
        assert status_of(main, "-c", "config.py", mode) == 0
    want = added_up(np.array(list(counted(frames[:35], mask, PHOTONS)[1].values()))).tolist()
    for name in ("out.h5", "out_test_alt.h5"):
        with h5py.File(setup.folder / name) as file:
            said = dict(file["system/photons"].attrs)
            assert (said["photon"], said["threshold"], said["method"], said["most"]) == (10, 1, "droplet", 40)
            assert [said[name] for name in FOUND[:-1]] == want[:-1]
            assert tuple(said["largest_at"]) == np.unravel_index(want[-1], SHAPE)


def test_live_runs_count_what_they_use(setup):
    """Events that were read beyond `numevents` are in no number."""
    dataset = "sim=brownian:shape=2x5x7:events=3000:seed=4:poisson=1:live:hz=2000"
    setup.write(user={}, dataset=dataset, src=None, photons={"photon": 1}, numservers=2, numevents=400, update=0)
    done = setup.drive(ranks=4)
    assert done.returncode == 0, done.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        assert file["system/photons"].attrs["events"] == 400
    assert "photons: " in done.stderr


@pytest.mark.parametrize(
    ("photons", "words"),
    [
        ({}, "photons must say how much a photon is, in units of the data"),
        ({"foton": 1}, "photons['foton']: there is no such key; did you mean 'photon'?"),
        ({3: 1}, "photons[3]: there is no such key"),
        ({"photon": 0}, "photons['photon'] must be a number above 0, in units of the data, not 0"),
        ({"photon": -1.0}, "photons['photon'] must be"),
        ({"photon": "10"}, "photons['photon'] must be"),
        ({"photon": True}, "photons['photon'] must be"),
        ({"photon": float("nan")}, "photons['photon'] must be"),
        ({"photon": float("inf")}, "photons['photon'] must be"),
        ({"photon": 10**400}, "photons['photon'] must be"),
        ({"photon": 5e-324}, "photons['photon'] must be"),
        ({"photon": None}, "photons['photon'] must be"),
        ({"photon": 1, "threshold": 0}, "photons['threshold'] must be"),
        (
            {"photon": 1, "method": "droplets"},
            "photons['method'] must be 'threshold' or 'droplet', not 'droplets'; did",
        ),
        ({"photon": 1, "method": 3}, "photons['method'] must be 'threshold' or 'droplet', not 3"),
        ({"photon": 1, "most": 0}, "photons['most'] must be a whole number from 1 on, or None for no limit, not 0"),
        ({"photon": 1, "most": 2.5}, "photons['most'] must be"),
        ({"photon": 1, "most": True}, "photons['most'] must be"),
    ],
)
def test_wrong_photons(photons, words):
    with pytest.raises(ConfigError) as error:
        check_photons(photons)
    assert str(error.value).startswith(words)


def test_the_config(setup, monkeypatch, caplog):
    monkeypatch.chdir(setup.folder)
    given = setup.system | {"user_class": G2IncrementalAccumulator}
    assert resolve_config(given, {}).photons is None and resolve_config(given | {"photons": None}, {}).photons is None
    threshold = {"photon": 3.0, "threshold": 1.5, "method": "threshold", "most": None}
    assert resolve_config(given | {"photons": {"photon": np.float32(3)}}, {}).photons == threshold
    droplet = {"photon": np.int64(3), "method": "droplet", "most": np.int64(7)}
    config = resolve_config(given | {"photons": droplet}, {})
    assert config.photons == {"photon": 3.0, "threshold": 3 * 0.1, "method": "droplet", "most": 7}
    assert config.system_params["photons"] == config.photons
    assert re.search(
        r"photons +{'photon': 3.0, 'threshold': 0.3\d*, 'method': 'droplet', 'most': 7}", format_params(config)
    )
    with pytest.raises(ConfigError, match="photons must be dict, not 10"):
        resolve_config(given | {"photons": 10}, {})
    assert not caplog.text
    psana = given | {"dataset": "exp=x:run=1", "src": "epix", "photons": {"photon": 3}}
    for kind in (None, "raw", "calib"):
        caplog.clear()
        resolve_config(psana | {"type": kind}, {})
        assert ("photons: type 'raw' is not calibrated, so pedestals count" in caplog.text) == (kind != "calib")
