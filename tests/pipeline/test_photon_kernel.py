"""Photons of frames whose detectors share charge, against plain loops over the elements."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from clouds import clouds
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parcorana import _move
from parcorana.detector.photons import added_up, check_photons, lines_of
from parcorana.pipeline.photons import Photons
from parcorana.reference import find_photons

DTYPES = ["?", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8", ">u2", ">f4", "g"]


def found_in(frames, mask=None, check=False, **photons):
    """Return counts, what was found as a dict of columns, and fates."""
    photons = check_photons({"photon": 1.0} | photons)
    mask = np.ones(frames.shape[1:], bool) if mask is None else mask
    finder = Photons(photons, mask, check, SimpleNamespace(at="here"))
    counts, found, fate = finder.of(frames.reshape(len(frames), -1))
    return counts.reshape(frames.shape), found, fate


def frames_of(rng, dtype, shape, light):
    """Charge around `light` of a photon of ten, with equals, no numbers, and one that is large."""
    dtype = np.dtype(dtype)
    charge = rng.exponential(10 * light, shape) - 0.5
    charge = np.round(charge) if rng.random() < 0.3 else charge
    if rng.random() < 0.2:
        charge.flat[rng.integers(charge.size)] = 5000
    if dtype.kind == "b":
        return charge > 5
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        return np.clip(charge, limits.min, limits.max).astype(dtype)
    charge[rng.random(shape) < 0.03] = rng.choice([np.nan, np.inf, -np.inf, -np.nan])
    return charge.astype(dtype)


@settings(max_examples=examples(100), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(1, 8), min_size=1, max_size=3).map(tuple),
    light=st.sampled_from([0.05, 0.3, 1.0, 5.0]),
    photon=st.sampled_from([10.0, 7.3, 2.0]),
    threshold=st.sampled_from([0.1, 0.5, 1.2]),
    method=st.sampled_from(["threshold", "droplet"]),
    most=st.sampled_from([None, 1, 3, 100]),
    how=st.sampled_from(["whole", "every other", "segments"]),
)
@example(0, "f4", (3, 400), 3.0, 10.0, 0.1, "droplet", None, "whole")  # one droplet, and more than one stretch
@example(1, "u2", (1500,), 1.0, 10.0, 0.1, "droplet", 100, "whole")
@example(5, "f4", (5,), 0.05, 10.0, 0.1, "threshold", None, "whole")  # many in a frame that is bad
def test_photons_are_those_of_plain_loops(seed, dtype, shape, light, photon, threshold, method, most, how):
    rng = np.random.default_rng(seed)
    frames = frames_of(rng, dtype, (4, *shape), light)
    if how == "every other":  # the elements are not side by side
        frames = np.stack([frames, frames], axis=-1)[..., 0]
    mask = rng.random(shape) < 0.8
    photons = {"photon": photon, "threshold": threshold * photon, "method": method, "most": most}
    finder = Photons(photons, mask, bool(seed % 2), SimpleNamespace(at="here"))
    if how == "segments":
        frames = frames[:1]
        given = list(frames.reshape(shape[0], 1, -1))
    else:
        given = frames.reshape(len(frames), -1)
        assert how == "whole" or frames.size == 4 or given.strides[1] != given.itemsize or len(given.base) == 4
    for _ in range(2):  # nothing is left of what was found before
        counts, found, fate = finder.of(given)
        for k, frame in enumerate(frames):
            if seed % 2 and np.dtype(dtype).kind == "f" and not np.isfinite(frame[mask]).all():
                assert fate[k] == _move.BROKEN
                continue
            want, about = find_photons(frame, **photons, mask=mask)
            assert fate[k] == 0
            np.testing.assert_array_equal(counts[k].reshape(shape), want)
            assert dict(zip(_move.FOUND, found[k].tolist(), strict=True)) == about
    # a bad frame may be given up before or after an element with many
    wide = np.array([find_photons(frame, **photons)[0].max() > 255 for frame in frames])
    assert counts.dtype == np.uint16 if (wide & (fate == 0)).any() else counts.dtype == np.uint8 or wide.any()


def test_ties_go_to_the_lowest_index():
    """Whatever the shape of the droplet: in its rows, in its columns, and when it comes together late."""
    frame = np.zeros((1, 5, 6), "f4")
    for places in ([(1, 1), (1, 2)], [(1, 1), (2, 1)], [(1, 3), (2, 3), (2, 2), (2, 1), (1, 1)]):
        frame[:] = 0
        for place in places:
            frame[0][place] = 0.6
        counts, _, _ = found_in(frame, method="droplet")
        order = sorted(places)
        photons = int(0.6 * len(places) + 0.5)
        assert [tuple(place) for place in np.argwhere(counts[0])] == order[:photons]


def test_a_photon_goes_where_most_charge_is_left():
    """2.6 and 1.5 photons: four, of which the first two and the last but one go to the brighter element."""
    counts, found, _ = found_in(np.array([[[2.6, 1.5]]]), method="droplet")
    assert counts.tolist() == [[[3, 1]]] and found[0].tolist() == [1, 4, 1, 0, 0, 3, 0]
    counts, _, _ = found_in(np.array([[[2.6, 1.7]]]), method="droplet")
    assert counts.tolist() == [[[2, 2]]]


def test_neighbours_lie_within_a_segment():
    """The end of a row and the begin of the next one are no neighbours, nor are those of two segments, nor corners."""
    for first, second in (
        ((0, 0, 3), (0, 1, 0)),
        ((0, 2, 1), (1, 0, 1)),
        ((0, 0, 0), (0, 1, 1)),
        ((0, 2, 3), (1, 0, 0)),
    ):
        frame = np.zeros((1, 2, 3, 4))
        frame[0][first] = frame[0][second] = 0.4
        counts, found, _ = found_in(frame, method="droplet")
        assert not counts.any() and found[0, 1:].tolist() == [0, 0, 0, 0, 0, 0]
    line = np.zeros((1, 9))
    line[0, 3:6] = 0.4
    assert found_in(line, method="droplet")[0].tolist() == [[0, 0, 0, 1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", ["u2", "f4", "i8"])
def test_halves_go_up_and_the_threshold_counts(dtype):
    frame = np.arange(64, dtype=dtype).reshape(1, 1, 64)
    counts, _, _ = found_in(frame, photon=10)
    want = np.where(frame >= 5, np.floor(frame / 10 + 0.5), 0)
    np.testing.assert_array_equal(counts, want)
    counts, _, _ = found_in(frame, photon=10, threshold=19.5)
    np.testing.assert_array_equal(counts, np.where(frame >= 20, want, 0))
    assert not found_in(frame, photon=1, threshold=1e200)[0].any()


def test_many_bright_elements():
    """A segment that is one droplet, where loops over its photons would find no end."""
    frames = np.random.default_rng(0).integers(1, 9, (2, 3, 40, 50)).astype("f4") * 30
    counts, found, _ = found_in(frames, method="droplet")
    np.testing.assert_array_equal(counts, frames)  # each has as many as it has charge
    assert found[:, 1].tolist() == frames.sum(axis=(1, 2, 3)).tolist() and found[:, 2].tolist() == [3, 3]
    counts, found, _ = found_in(frames + 0.25, method="droplet")
    extra = counts - frames
    assert set(np.unique(extra)) == {0, 1} and (extra.sum(axis=(2, 3)) == 500).all()
    for segment, own in zip(frames.reshape(6, -1), extra.reshape(6, -1), strict=True):
        assert own[: own.argmin()].all() and not own[own.argmin() :].any(), "of equals the first ones"
        assert len(segment) == len(own)


def test_more_photons_than_a_type_holds(caplog):
    """Counts are uint16 from the first frame on that needs it; what that does not hold is bad, and left out before."""
    caplog.set_level("INFO", "parcorana")
    for method in ("threshold", "droplet"):
        frames = np.zeros((3, 2, 4))
        frames[:, 0, 0], frames[1, 1, 2:] = 255, 256
        finder = Photons(
            check_photons({"photon": 1, "method": method}), np.ones((2, 4), bool), True, SimpleNamespace(at="event 7")
        )
        assert finder.of(frames[:1].reshape(1, -1))[0].dtype == np.uint8
        counts, _, fate = finder.of(frames.reshape(3, -1))
        assert counts.dtype == np.uint16 and not fate.any()
        np.testing.assert_array_equal(counts.reshape(3, 2, 4), frames)
        assert finder.of(frames[:1].reshape(1, -1))[0].dtype == np.uint16
        for large in (65535, 65536, 1e9, 1e300, 1.7e308):
            frames[2, 1, 2:] = large
            counts, found, fate = finder.of(frames.reshape(3, -1))
            assert fate.tolist() == [0, 0, _move.WIDE * (large > 65535)]
            np.testing.assert_array_equal(counts[:2].reshape(2, 2, 4), frames[:2])
            counts, found, fate = found_in(frames, method=method, most=70_000)
            assert fate.tolist() == [0, 0, _move.WIDE * (large == 65536 and method == "threshold")]
            assert found[0].tolist()[:6] == [1, 255, 1, 0, 0, 255]
            if large > 1e6:  # more photons than anybody counts
                assert found[2, 4] == (2e9 if large == 1e9 else 2**40 * found[2, 3])
    assert caplog.text.count("more than 255 in an element (event 7, or soon after)") == 2
    for dtype in ("i8", "u8"):
        frames = np.full((1, 2, 3), np.iinfo(dtype).max, dtype)
        assert found_in(frames, method="droplet")[2].tolist() == [_move.WIDE]
        assert found_in(frames, method="droplet", most=5)[1][0].tolist() == [1, 0, 0, 1, 2**40, 0, 0]


def test_values_that_are_not_finite():
    """They have no photons; in included elements they make a frame bad, if that is wanted."""
    for dtype, bad in itertools.product(("f2", "f4", "f8"), (np.nan, -np.nan, np.inf, -np.inf)):
        frames = np.full((3, 2, 40), 0.7, dtype)
        frames[1, 1, 5], frames[2, 0, 20] = bad, bad
        mask = np.ones((2, 40), bool)
        mask[0, 20] = False
        counts, found, fate = found_in(frames, mask, check=True)
        assert fate.tolist() == [0, _move.BROKEN, 0]
        assert found[[0, 2], 1].tolist() == [79, 79] and counts[2].sum() == 79
        counts, found, fate = found_in(frames, mask, check=False)
        assert not fate.any() and found[:, 1].tolist() == [79, 78, 79]


def test_what_is_found_adds_up():
    frames = np.zeros((4, 2, 3))
    frames[0, 1, 1], frames[1, 0, 2], frames[2, 1, 0] = 3, 3, 2
    frames[3, 1] = 9
    found = found_in(frames, method="droplet", most=10)[1]
    total = dict(zip(_move.FOUND, added_up(found).tolist(), strict=True))
    assert total == {
        "events": 4, "photons": 8, "droplets": 3, "left_out": 1, "left_out_photons": 27, "largest": 3, "largest_at": 2,
    }  # fmt: skip
    np.testing.assert_array_equal(added_up(np.stack([added_up(found[:1]), added_up(found[1:])])), added_up(found))
    assert added_up(found[:0]).tolist() == [0] * 7
    mask, photons = np.ones((2, 3), bool), check_photons({"photon": 1, "method": "droplet", "most": 10})
    said, warnings = lines_of(photons, total, mask)
    assert said == (
        "photons: 8 in included elements, 0.333 per element and event, at most 3 in an element of an event, (0, 2); "
        "all over the detector 3 droplets with photons, and 1 with more than 10, left out with their 27 photons"
    )
    assert len(warnings) == 1 and warnings[0].startswith("photons: 0.333 per element and event are too many for")
    none = dict.fromkeys(total, 0)
    assert lines_of(photons, none | {"events": 1}, mask)[1] == ["no photon was found: is photons['photon']=1 right?"]
    assert lines_of(photons, none, mask)[1] == []


@pytest.mark.parametrize(
    ("sigma", "noise", "threshold"), [(0.3, 0.05, None), (0.3, 0.1, 0.15), (0.4, 0.07, 0.095), (0.5, 0.1, 0.12)]
)
def test_droplets_of_clouds_hold_the_photons_that_fell(sigma, noise, threshold):
    """docs/data.md: right to 1% at 0.1 photons per element; one by one, elements miss many of them."""
    rng = np.random.default_rng(5)
    charge, fell = clouds(rng, (4, 200, 250), 0.1, sigma, noise)
    photons = {"photon": 100, "method": "droplet"} | ({"threshold": 100 * threshold} if threshold else {})
    _, found, _ = found_in(charge.reshape(2, 2, 200, 250) * 100, **photons)
    assert abs(found[:, 1].sum() / fell - 1) < 0.01
    alone = found_in(charge.reshape(2, 2, 200, 250) * 100, photon=100)[1][:, 1].sum()
    assert alone / fell < 0.95


def test_hot_elements_and_tracks_are_left_out():
    charge, _ = clouds(np.random.default_rng(3), (1, 64, 64), 0.02, 0.3, 0.05)
    clean, before, _ = found_in(charge[None], method="droplet", most=12)
    charge[0, 10, 10] = 400
    charge[0, 30, 5:60] = 2
    counts, found, _ = found_in(charge[None], method="droplet", most=12)
    assert found[0, 3] == 2 and 510 <= found[0, 4] <= 540
    changed = np.argwhere(counts[0, 0] != clean[0, 0])
    assert len(changed) and (np.isin(changed[:, 0], [9, 10, 11]) | (np.abs(changed[:, 0] - 30) < 8)).all()
    assert before[0, 3] == 0


def test_wrong_input():
    ones = np.ones((2, 3), bool)
    for photon, threshold in ((0, 1), (1, 0), (np.nan, 1), (1, np.nan), (-1, 1)):
        with pytest.raises(ValueError, match="above 0"):
            _move.Finder(ones, photon, threshold, None, False, True)
    with pytest.raises(ValueError, match="0 x 3 elements has none"):
        _move.Finder(np.ones((4, 0, 3), bool), 1, 1, None, False, True)
    finder, frames, counts = _move.Finder(ones, 1, 1, None, False, True), np.zeros((4, 6)), np.zeros((4, 6), np.uint8)
    for wrong in (
        frames[:, :5],
        frames.T,
        frames[0],
        np.zeros((4, 12))[:, ::2],
        np.zeros(200, "u1")[1:193].view("f8").reshape(4, 6),
    ):
        with pytest.raises(ValueError, match="side by side"):
            finder.find(wrong, counts)
    with pytest.raises(ValueError, match="not found in float16"):
        finder.find(frames.astype("f2"), counts)
    for wrong in (counts[:3], counts.astype("u4"), counts.astype("i1"), np.zeros((6, 4), np.uint8).T):
        with pytest.raises(ValueError, match="counts must be"):
            finder.find(frames, wrong)
    with pytest.raises(ValueError, match="lies in the memory"):
        finder.find(counts, counts)
    assert [array.shape for array in finder.find(frames[:0], counts[:0])] == [(0, 7), (0,)]
