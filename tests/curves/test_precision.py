"""What float32 storage, or a user class, gets wrong on the data at hand is said, in a run's log and file."""

import logging

import h5py
import numpy as np
import pytest
from local import run_local

from parcorana import ConfigError
from parcorana.curves import precision
from parcorana.multitau import MultiTauG2
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

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


def warnings_with(caplog, text):
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


@pytest.mark.parametrize("base", [G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_a_user_class_spoils_are_said_once(tmp_path, caplog, base, value):
    """In the log at the first update with them, and in the result; no warning of NumPy's comes of them."""

    class Mine(base):
        calls = 0

        def adjustData(self, data):
            super().adjustData(data)
            self.calls += 1
            if self.calls == 30:
                data[0] = value

    frames = np.random.default_rng(1).poisson(3, (60, 4, 4)).astype(np.uint16)
    np.save(tmp_path / "color.npy", np.repeat([5, 2], 8).reshape(4, 4))
    system = {"delays": [1, 5], "times": 20, "block": 8, "update": 20, "h5output": str(tmp_path / "out.h5")}
    user = {"color": str(tmp_path / "color.npy"), "saturated_value": 1e39}
    with caplog.at_level(logging.WARNING):
        run_local(tmp_path, Mine, np.arange(60), frames, user=user, **system)
    said = "NaN or infinite values were stored in 1 of 2 colours (5)"
    warnings = warnings_with(caplog, said)
    assert [text.partition(said)[0] for text in warnings] == ["at 40 events: ", ""]  # and once it is joined
    with h5py.File(tmp_path / "out.h5") as file:
        texts = [file[f"user/G2_results_at_{k:06d}"].attrs["normalization_error"] for k in (20, 40, 60)]
        good = file["user/G2_results_at_000060/delay_curve_color_2"][:]
    assert [text.startswith(said) for text in texts] == [False, True, True] and np.isfinite(good).all()


@pytest.mark.parametrize("user_class", [G2IncrementalAccumulator, MultiTauG2, TwoTime])
@pytest.mark.parametrize("value", [1e39, -1e39, 1e-50])
def test_notzero_is_a_number_that_is_stored(tmp_path, user_class, value):
    about, frames = {"delays": [1], "times": 20}, np.ones((4, 2, 2))
    with pytest.raises(ConfigError, match=r"notzero'\] is .*, which float32 cannot hold"):
        run_local(tmp_path, user_class, np.arange(4), frames, user={"notzero": value}, **about)
    run_local(tmp_path, user_class, np.arange(4), frames, user={"notzero": value}, store_dtype="float64", **about)


@pytest.mark.parametrize(
    ("scale", "store_dtype", "told"), [(1e-50, "float32", 1), (1e-50, "float64", 0), (0, "float32", 0)]
)
def test_data_that_float32_stores_as_nothing_are_said(tmp_path, caplog, scale, store_dtype, told):
    frames = scale * np.random.default_rng(1).poisson(3, (20, 2, 2))
    with caplog.at_level(logging.WARNING):
        run_local(
            tmp_path, G2IncrementalAccumulator, np.arange(20), frames, servers=2, delays=[1], times=9,
            block=4, store_dtype=store_dtype,
        )  # fmt: skip
    assert len(warnings_with(caplog, "float32 stores values below 7e-46 in size as 0")) == told
