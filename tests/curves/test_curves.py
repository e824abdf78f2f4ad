"""Delay curves: the fast sums against the slow truth, alone and in the result file of a run."""

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana import reference
from parcorana.curves.sums import NORMALIZATIONS, ColorSums

NAMES = ("G2", "IP", "IF")
NEAR = {"rtol": 1e-12, "atol": 1e-12}  # absolute: a curve is near 1


@st.composite
def cases(draw):
    """Sums of a few elements: zeros, saturated ones, delays without pairs, any division among workers."""
    D, n = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    value = st.just(0.0) | st.floats(0.01, 1000)
    arrays = {name: draw(hnp.arrays(np.float64, (D, n), elements=value)) for name in NAMES}
    counts = draw(hnp.arrays(np.int64, D, elements=st.integers(0, 9)))
    for array in arrays.values():
        array[counts == 0] = 0  # no pairs, no sums
    color = draw(hnp.arrays(np.int64, n, elements=st.sampled_from([0, 1, 2, 7])))
    fine = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 4)))
    fine[color == 0] *= draw(st.integers(0, 1))  # only where there is a colour a fine colour is asked for
    saturated = draw(hnp.arrays(np.int8, n, elements=st.sampled_from([0, 0, 1])))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=3)))
    parts = [slice(a, b) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    return arrays, counts, color, fine, saturated, parts


def fast(case, normalization, threads=1):
    """Return the curves from the sums of all workers, as the viewer makes them."""
    arrays, counts, color, fine, saturated, parts = case
    sums = ColorSums(color, fine, normalization)
    each = [sums.reduce({k: a[:, p] for k, a in arrays.items()}, counts, saturated[p], p, threads) for p in parts]
    return sums.curves({name: sum(one[name] for one in each) for name in each[0]}, counts)


def denominators(arrays, fine, saturated, normalization):
    """Return what divides each element's G2, its own or (else) its fine colour's mean: (D, n)."""
    if normalization == "pixel":
        return arrays["IP"] * arrays["IF"]
    same = (fine[:, None] == fine) & (saturated == 0)
    number = np.maximum(same.sum(1), 1)
    return (arrays["IP"] @ same.T) * (arrays["IF"] @ same.T) / number**2


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@settings(max_examples=100, deadline=None)
@given(case=cases(), threads=st.sampled_from([1, 2, 3, 8]))
def test_curves_equal_the_reference(normalization, case, threads):
    """Of every normalization, 'pixel', 'finecolor' and 'color'."""
    arrays, counts, color, fine, saturated, _ = case
    found = fast(case, normalization, threads)
    assert list(found) == sorted(set(color[color > 0]))
    for c, curve in found.items():
        g2, elements = reference.delay_curve(arrays, counts, color, saturated, normalization, c, fine)
        np.testing.assert_allclose(curve.g2, g2, **NEAR)
        np.testing.assert_array_equal(curve.elements, elements)
        assert np.array_equal(np.isnan(curve.g2), elements == 0)


@pytest.mark.parametrize("normalization", ["pixel", "finecolor"])
@settings(max_examples=70, deadline=None)
@given(case=cases())
def test_error_of_the_mean_and_elements_left_out(normalization, case):
    arrays, counts, color, fine, saturated, _ = case
    bottom = denominators(arrays, fine, saturated, normalization)
    for c, curve in fast(case, normalization).items():
        mine = (color == c) & (saturated == 0)
        for d, n in enumerate(counts):
            good = mine & (bottom[d] != 0)
            assert curve.left_out[d] == np.count_nonzero(mine & ~good)
            ratios = n * arrays["G2"][d, good] / bottom[d, good]
            if n and len(ratios) > 1:
                want = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
                # a variance from sums of squares: of nearly equal ratios half the digits are left
                size = np.abs(ratios - (normalization == "pixel")).max()
                assert curve.error[d] == pytest.approx(want, rel=1e-9, abs=5e-8 * size)
            else:
                assert np.isnan(curve.error[d])


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_no_error_where_there_is_one_ratio_per_colour(case):
    arrays, _, color, _, saturated, _ = case
    for c, curve in fast(case, "color").items():
        mine = (color == c) & (saturated == 0)
        zero = (arrays["IP"][:, mine].sum(1) == 0) | (arrays["IF"][:, mine].sum(1) == 0)
        assert np.isnan(curve.error).all()
        np.testing.assert_array_equal(curve.left_out, np.where(zero, mine.sum(), 0))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_spread_of_real_curves_is_not_rounded_away(normalization):
    """2000 elements whose ratios are 1.2 with a spread of 1e-3, over two workers."""
    rng = np.random.default_rng(0)
    IP, IF = rng.uniform(900, 1100, (2, 3, 2000))
    ratios = rng.normal(1.2, 1e-3, (3, 2000))
    counts = np.array([100, 99, 98])
    color, fine = np.ones(2000, np.int64), np.arange(2000) // 4
    bottom = denominators({"IP": IP, "IF": IF}, fine, np.zeros(2000), normalization)
    arrays = {"G2": ratios * bottom / counts[:, None], "IP": IP, "IF": IF}
    case = arrays, counts, color, fine, np.zeros(2000, np.int8), [slice(0, 700), slice(700, 2000)]
    curve = fast(case, normalization)[1]
    if normalization == "color":
        want = counts * arrays["G2"].mean(1) / (IP.mean(1) * IF.mean(1))
        np.testing.assert_allclose(curve.g2, want, **NEAR)
        return
    np.testing.assert_allclose(curve.g2, ratios.mean(1), **NEAR)
    np.testing.assert_allclose(curve.error, ratios.std(1, ddof=1) / np.sqrt(2000), rtol=1e-8)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_colour_without_elements_is_nan(normalization):
    ones = np.ones((2, 3))
    color = np.array([1, 1, 2])
    case = dict.fromkeys(NAMES, ones), np.array([5, 0]), color, np.array([1, 1, 1]), np.array([1, 1, 0], np.int8)
    found = fast((*case, [slice(0, 1), slice(1, 3)]), normalization)
    assert np.isnan(found[1].g2).all() and np.isnan(found[1].error).all()
    assert not found[1].elements.any() and not found[1].left_out.any()
    np.testing.assert_array_equal(found[2].g2, [5, np.nan])
    np.testing.assert_array_equal(found[2].elements, [1, 0])


@settings(max_examples=50, deadline=None)
@given(case=cases(), threads=st.sampled_from([1, 3]))
def test_sums_that_tell_what_is_wrong(case, threads):
    """1 / IP over the elements that have a ratio; IP IF over those that share a mean."""
    arrays, counts, color, fine, saturated, parts = case
    G2, IP, IF = (arrays[name] for name in NAMES)
    ok = saturated == 0

    def sums_of(normalization):
        made = ColorSums(color, fine, normalization)
        each = [made.reduce({k: a[:, p] for k, a in arrays.items()}, counts, saturated[p], p, threads) for p in parts]
        return made, {name: sum(one[name] for one in each) for name in each[0]}

    made, sums = sums_of("pixel")
    for row, c in zip(sums["inverse"], made.colors, strict=True):
        good = (IP * IF != 0) & (color == c) & ok
        np.testing.assert_allclose(row, np.where(good, 1 / np.where(good, IP, 1), 0).sum(1), rtol=1e-12)
    for normalization, groups, numbers in (("color", color, None), ("finecolor", fine, np.unique(fine))):
        made, sums = sums_of(normalization)
        for row, g in zip(sums["IP_IF"], made.colors if numbers is None else numbers, strict=True):
            np.testing.assert_allclose(row, (IP * IF)[:, ok & (groups == g)].sum(1), rtol=1e-12)
        of_color = [G2[:, ok & (color == c)] for c in made.colors]
        squares = made.of_colors(sums["G2_squared"])
        for row, mine in zip(squares, of_color, strict=True):
            np.testing.assert_allclose(row, (mine**2).sum(1), rtol=1e-12)


def test_no_colours_no_curves():
    case = dict.fromkeys(NAMES, np.ones((1, 2))), np.array([1]), np.array([0, 0]), np.array([0, 0])
    for normalization in NORMALIZATIONS:
        assert fast((*case, np.zeros(2, np.int8), [slice(0, 2)]), normalization) == {}
    with pytest.raises(ValueError, match="pixel, finecolor, color"):
        ColorSums(case[2], case[3], "pixels")


# -- in the result file of a run ----------------------------------------------

LIMIT = 20


def brighten(setup):
    """Let some elements reach LIMIT, in events of every fate; return where, by name."""
    inside = [tuple(p) for p in np.argwhere((setup.mask == 1) & (setup.color > 0))]
    outside = tuple(np.argwhere(setup.mask == 0)[0])
    assert setup.counters[50] == setup.counters[49] and setup.counters[150] == setup.counters[20]
    setup.frames = np.minimum(setup.frames, LIMIT - 1)
    events = {"first": 0, "early": 5, "late": 150, "duplicate": 50, "at the end": 225, "masked": 60}
    where = dict(zip(events, inside, strict=False)) | {"masked": outside}
    for name, event in events.items():
        setup.frames[(event, *where[name])] = LIMIT + (name != "early") * 500  # just at the limit is saturated
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/frames"][...] = setup.frames
    return where


def follow(setup, until):
    """Return which elements an event among the first so many processed saturated: (n,)."""
    buffer, processed = reference.ReferenceBuffer(setup.system["times"]), 0
    saturated = np.zeros(setup.included.shape[1], bool)
    for counter, event in zip(setup.counters, setup.included, strict=True):
        if processed < until and buffer.enter(int(counter), event) == "processed":
            processed += 1
            saturated |= event >= LIMIT
    return saturated


@pytest.mark.parametrize(
    ("user_class", "kind", "notzero", "normalization", "ranks"),
    [
        ("G2atEnd", "atend", 3, None, 0),
        ("G2IncrementalWindowed", "windowed", 3, "pixel", 4),
        ("G2IncrementalAccumulator", "accumulator", 3, "color", 0),
        ("G2atEnd", "atend", LIMIT + 10, "finecolor", 0),  # marked first: else every element would be saturated
    ],
)
def test_curves_of_a_run(setup, user_class, kind, notzero, normalization, ranks):
    where = brighten(setup)
    user = {"color": "color.npy", "finecolor": "fine.npy", "saturated_value": LIMIT, "notzero": notzero}
    user |= {"save_arrays": False, "normalization": normalization}
    setup.write(user_class, user=user)
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    mask, delays = setup.mask.astype(bool), setup.system["delays"]
    data = np.maximum(setup.included, notzero)
    with h5py.File(setup.folder / "out.h5") as file:
        for processed in (70, 140, 210, 228):
            group = file[f"user/G2_results_at_{processed:06d}"]
            marked = group["saturated"][()]
            saturated = follow(setup, processed)
            np.testing.assert_array_equal(marked[mask], saturated)
            assert not marked[~mask].any()
            assert marked[where["first"]] and marked[where["early"]]  # stay so long after they have left the window
            assert not marked[where["late"]] and not marked[where["duplicate"]]
            assert marked[where["at the end"]] == (processed == 228)
            want = reference.g2(setup.counters, data, setup.system["times"], delays, kind, limit=processed)
            for c in (1, 2, 3):
                g2, elements = reference.delay_curve(
                    want,
                    want["counts"],
                    setup.color[mask],
                    saturated,
                    normalization or "finecolor",  # the default where there is a fine colour file
                    c,
                    setup.fine[mask],
                )
                assert elements.all()
                np.testing.assert_allclose(group[f"delay_curve_color_{c}"], g2, **NEAR)
                np.testing.assert_array_equal(group[f"elements_color_{c}"], elements)
                assert np.isnan(group[f"delay_curve_err_color_{c}"]).all() == (normalization == "color")
                assert group[f"delay_curve_color_{c}"].attrs["normalization"] == (normalization or "finecolor")


def test_a_colour_of_masked_elements_only_is_nan(setup):
    """A user who asks for five curves finds five, and sees which of them has no element."""
    setup.color[setup.mask == 0] = 7
    setup.color[setup.mask == 1] %= 4
    np.save(setup.folder / "color.npy", setup.color)
    setup.write(update=0)
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        (group,) = file["user"].values()
        assert np.isnan(group["delay_curve_color_7"]).all()
        assert not group["elements_color_7"][()].any() and np.isnan(group["intensity/color_7"]).all()
        assert np.isfinite(group["delay_curve_color_1"]).all()
