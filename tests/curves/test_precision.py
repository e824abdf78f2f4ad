"""What float32 storage gets wrong on the data at hand is said, in a run's log and file."""

import h5py
import numpy as np
import pytest
from local import run_local

from parcorana.curves import precision
from parcorana.userg2 import G2IncrementalAccumulator

COLORS, SIZES = np.array([2, 5]), np.array([10, 20])


def said(first, second, whole=False, events=(100, 100, 40)):
    means = np.array([first, second]).T
    events = np.array(events)
    return precision.doubt(COLORS, SIZES, {"sums": means * events[:, None] * SIZES, "events": events}, whole)


def test_ordinary_data_has_nothing_said():
    assert not said([1, 2, 3], [0, 0, 0])
    assert not said([1e-3, 1e5, 0], [-3, 1e-5, 2])
    assert not said([np.nan, 1, 1], [0, np.inf, 1])
    assert not said([0, 0, 0], [0, 0, 0])


@pytest.mark.parametrize(
    ("first", "second", "begins"),
    [
        ([1, 1, 1], [2e15, 3e16, 2e15], "the mean intensity of colour 5 reaches 3e+16: products"),
        ([1, 1, 1], [-3e16, 2e8, 2e8], "the mean intensity of colour 5 reaches 3e+16: products"),
        ([2e-20, 1e-20, 0], [1, 1, 1], "the mean intensity of colour 2 is 2e-20: products"),
        ([1, 1, 1], [1, 0, 4e10], "the brightest stretch of the run is 4e+10 times as bright"),
    ],
)
def test_what_float32_gets_wrong_is_said(first, second, begins):
    text = said(first, second)
    assert text.startswith(begins) and text.count(";") == 1 and "store_dtype='float64'" in text


def test_sums_of_whole_numbers_are_not_rounded():
    assert "brightest" in said([1, 1, 1], [1, 1, 3e10]) and not said([1, 1, 1], [1, 1, 3e10], whole=True)


@pytest.mark.parametrize("store_dtype", ["float32", "float64"])
def test_it_is_said_where_the_sums_are_off(tmp_path, store_dtype):
    """Pulses without a partner, much brighter than the others: the difference of sums has lost its digits."""
    frames = np.random.default_rng(1).uniform(0.5, 1.5, (300, 4, 4))
    frames[295:] *= 1e14  # in no IP of the delay 5
    system = {"delays": [1, 5], "times": 20, "block": 32, "store_dtype": store_dtype, "update": 0}
    system["h5output"] = str(tmp_path / "out.h5")
    run_local(tmp_path, G2IncrementalAccumulator, np.arange(300), frames, user={"save_arrays": True}, **system)
    with h5py.File(tmp_path / "out.h5") as file:
        group = file["user/G2_results_at_000300"]
        found, text = group["IP/delay_000005"][:], group.attrs["normalization_error"]
    off, said = np.abs(found / frames[:-5].sum(axis=0) - 1).max(), "IP and IF of delays whose pairs lack the bright"
    if store_dtype == "float64":
        assert off < 1e-12 and said not in text
    else:
        assert off > 1e-6 and said in text
