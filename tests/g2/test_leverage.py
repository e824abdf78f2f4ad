"""Leverage in the G2 classes: lists and maps against curves without each element, and what the log names."""

import logging

import h5py
import numpy as np
import pytest
from local import run_local
from without import change_without

from parcorana import ConfigError
from parcorana.calculation.says import reduced_bytes
from parcorana.job.config import resolve_config
from parcorana.multitau import MultiTauG2
from parcorana.tools.compare import compare
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

SHAPE = (2, 6, 9)
COLOR = np.arange(108).reshape(SHAPE) % 3
FINE = np.arange(108).reshape(SHAPE) // 2 % 3 + 1
DELAYS = [0, 1, 2, 4, 8]
KINDS = [G2IncrementalAccumulator, G2IncrementalWindowed, G2atEnd, MultiTauG2]
UPDATES = (100, 200, 300)
HOT = (1, 2, 4)


def run(folder, kind, normalization="color", workers=1, frames=None, **user):
    """Run a class over 300 events; return the path of the result."""
    folder.mkdir(exist_ok=True)
    frames = events() if frames is None else frames
    for name, array in (("color", COLOR), ("fine", FINE)):
        np.save(folder / f"{name}.npy", array)
    user = {"color": str(folder / "color.npy"), "finecolor": str(folder / "fine.npy")} | user
    about = {"h5output": str(folder / "out.h5"), "overwrite": True, "times": 60, "delays": DELAYS, "update": 100}
    mask = np.ones(SHAPE, bool)
    mask[0, 0, :5] = False
    user |= {"normalization": normalization}
    run_local(folder, kind, np.arange(300), frames, mask=mask, workers=workers, user=user, **about)
    return folder / "out.h5"


def events():
    """Return photons of speckle that changes within a few pulses."""
    rng = np.random.default_rng(1)
    field = rng.normal(size=(308, *SHAPE, 2))
    field = sum(field[k : k + 300] for k in range(8)) / np.sqrt(8)
    return rng.poisson(20 * (field**2).sum(axis=-1) / 2).astype(np.float32)


def truth_of(file, group, normalization):
    """Return the change of its colour's curve without each element of the detector, (elements, D)."""
    arrays = {
        name: np.array([group[f"{name}/delay_{d:06d}"][:].ravel() for d in DELAYS]) for name in ("G2", "IP", "IF")
    }
    outside = (file["system/mask"][:].ravel() == 0) | (group["saturated"][:].ravel() == 1)
    about = group["delay_counts"][:], COLOR.ravel(), outside, normalization
    truth = np.zeros((COLOR.size, len(DELAYS)))
    for p in np.flatnonzero(~outside & (COLOR.ravel() > 0)):
        truth[p] = change_without(arrays, *about, p, FINE.ravel())
    return truth


@pytest.mark.parametrize(
    ("kind", "normalization", "user"),
    [
        (G2IncrementalAccumulator, "color", {}),
        (G2IncrementalWindowed, "finecolor", {"frame_norm": "mean"}),
        (G2atEnd, "pixel", {}),
        (MultiTauG2, "color", {"saturated_value": 120}),
    ],
)
def test_lists_and_maps_are_those_of_curves_without_each_element(tmp_path, kind, normalization, user):
    path = run(tmp_path / "one", kind, normalization, **user)
    with h5py.File(path) as file:
        group = file["user/G2_results_at_000300"]
        lever, truth = group["leverage"], truth_of(file, group, normalization)
        if "frame_norm" in user:
            truth = truth / group["g2_of_frame_norm"][:]
        where, delay = lever["elements"][:], np.searchsorted(DELAYS, lever["delays"][:])
        assert len(where) == 16 and set(lever["colors"][:]) == {1, 2}
        np.testing.assert_array_equal(np.ravel_multi_index(lever["indices"][:].T, SHAPE), where)
        np.testing.assert_array_equal(COLOR.ravel()[where], lever["colors"][:])
        np.testing.assert_allclose(lever["changes"][:], truth[where, delay], rtol=1e-9)
        assert (np.diff(np.abs(lever["changes_over_error"][:])) <= 0).all()
        # the map has of every element its change at one of the delays
        assert (np.abs(truth - lever["map"][:].reshape(-1, 1)).min(axis=1) < 1e-12).all()
        assert np.count_nonzero(lever["map"]) == np.count_nonzero(truth.any(axis=1))
        np.testing.assert_array_equal(np.sign(lever["map"]), np.sign(lever["map_over_error"]))
        assert all("map" not in file[f"user/G2_results_at_{n:06d}/leverage"] for n in UPDATES[:2])
    assert not compare(path, run(tmp_path / "three", kind, normalization, workers=3, **user))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hot_pixel_is_named_once_in_the_first_update_with_it(tmp_path, caplog, kind):
    hot = events()
    hot[(slice(120, None), *HOT)] *= 50
    with caplog.at_level(logging.WARNING):
        path = run(tmp_path, kind, frames=hot, workers=2)
    flat = int(np.ravel_multi_index(HOT, SHAPE))
    (said,) = [record.getMessage() for record in caplog.records if "pulls g2" in record.getMessage()]
    assert said.startswith(f"at 200 events: element {flat} (1, 2, 4) pulls g2 of colour {COLOR[HOT]} up by ")
    assert "parCorAnaMaskColorTool" in said and "saturated_value" in said
    with h5py.File(path) as file:
        for number in UPDATES:
            lever = file[f"user/G2_results_at_{number:06d}/leverage"]
            assert lever["elements"][lever["far"][:] == 1].tolist() == [flat] * (number > 100)
        assert np.abs(lever["map_over_error"][:]).argmax() == flat


@pytest.mark.parametrize("normalization", ["color", "pixel"])
def test_nothing_is_named_in_a_clean_run(tmp_path, caplog, normalization):
    with h5py.File(run(tmp_path, G2IncrementalAccumulator, normalization)) as file:
        assert not file["user/G2_results_at_000300/leverage/far"][:].any()
    assert "pulls g2" not in caplog.text


def test_few_of_many_are_named_and_the_rest_counted(tmp_path, caplog):
    frames = events()
    bright = np.flatnonzero(COLOR.ravel() == 1)[[3, 9, 21]]  # of 35
    frames.reshape(300, -1)[150:, bright] *= [40, 60, 80]
    from parcorana.g2 import leverage

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leverage, "_SAID_AT_ONCE", 1)
        run(tmp_path, G2IncrementalAccumulator, frames=frames)
    said = [record.getMessage() for record in caplog.records if "at 200 events: " in record.getMessage()]
    assert len(said) == 2 and "pulls g2 of colour 1" in said[0] and said[1].startswith("at 200 events: 2 more elements")


def test_the_memory_of_what_workers_tell_each_other_is_known(tmp_path):
    run(tmp_path, G2IncrementalAccumulator)
    given = {"dataset": "h5=memory.h5", "mask": str(tmp_path / "mask.npy"), "user_class": G2IncrementalAccumulator}
    given |= {"times": 60, "delays": DELAYS}
    user = {"color": str(tmp_path / "color.npy")}
    more, less = (reduced_bytes(resolve_config(given, user | {"leverage": on})) for on in (True, False))
    rows, moments, table = 2 * 8 * (2 + 5), 2 * 2 * 5, 2 + 5 * 2 * 5  # of two colours; elements, and five numbers
    assert more - less == 8 * (rows + moments + table)


def test_it_can_be_left_out_and_must_be_said_plainly(tmp_path):
    with h5py.File(run(tmp_path, G2IncrementalAccumulator, leverage=False)) as file:
        assert "leverage" not in file["user/G2_results_at_000300"]
    with pytest.raises(ConfigError, match=r"user_params\['leverage'\] must be True or False, not 'no'"):
        run(tmp_path, G2IncrementalAccumulator, leverage="no")
