"""How much curves change without an element: kernel and verdict against the slow truth."""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from without import change_without

from parcorana import _core
from parcorana.correlation.lines import plan_tails
from parcorana.curves.leverage import Levers, Pulls, judge, listed
from parcorana.curves.sums import NORMALIZATIONS, ColorSums

NAMES = ("G2", "IP", "IF")


@st.composite
def cases(draw):
    """Sums of a few elements: zeros, saturated ones, delays without pairs, any division among workers."""
    D, n = draw(st.integers(1, 7)), draw(st.integers(1, 14))
    value = st.just(0.0) | st.floats(1, 100)
    arrays = {name: draw(hnp.arrays(np.float64, (D, n), elements=value)) for name in NAMES}
    counts = draw(hnp.arrays(np.int64, D, elements=st.integers(0, 9)))
    for array in arrays.values():
        array[counts == 0] = 0
    color = draw(hnp.arrays(np.int64, n, elements=st.sampled_from([0, 1, 2, 7])))
    color[0] = 2
    fine = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 3)))
    saturated = draw(hnp.arrays(np.int8, n, elements=st.sampled_from([0, 0, 0, 1])))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=3)))
    parts = [slice(a, b) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    return arrays, counts, color, fine, saturated, parts


def found(case, normalization, threads=1):
    """Return the sums, and what pulls, as workers and viewer find it; and largest changes with their delays."""
    arrays, counts, color, fine, saturated, parts = case
    made = ColorSums(color, fine, normalization)
    own = [{name: array[:, part] for name, array in arrays.items()} for part in parts]
    each = [made.reduce(mine, counts, saturated[p], p, threads) for mine, p in zip(own, parts, strict=True)]
    sums = {name: sum(one[name] for one in each) for name in each[0]}
    levers = Levers(made, sums, counts)
    largest, delay = np.zeros(len(color)), np.zeros(len(color), np.int32)
    pulls = [
        levers.pulls(mine, saturated[p], p, threads, None, largest[p], delay[p])
        for mine, p in zip(own, parts, strict=True)
    ]
    rows, moments = np.concatenate([each.table() for each in pulls]), sum(each.moments for each in pulls)
    return made, sums, Pulls.of_table(rows, moments), largest, delay


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@settings(max_examples=examples(60), deadline=None)
@given(case=cases(), threads=st.sampled_from([1, 3]))
def test_changes_are_those_of_curves_without_each_element(normalization, case, threads):
    arrays, counts, color, fine, saturated, _ = case
    made, sums, pulls, largest, delay = found(case, normalization, threads)
    curve = made.table(sums, counts)
    truth = np.zeros((len(color), len(counts)))
    for p in np.flatnonzero((color > 0) & (saturated == 0)):
        truth[p] = change_without(arrays, counts, color, saturated, normalization, p, fine)
    size = 1e-12 * (1 + np.abs(truth).max(initial=0) + np.nan_to_num(np.abs(curve.g2)).max(initial=0))
    for c, number in enumerate(made.colors):
        mine = np.flatnonzero((color == number) & (saturated == 0))
        for k, moment in enumerate(pulls.moments[:, c], 1):
            np.testing.assert_allclose(moment, (truth[mine] ** k).sum(axis=0), rtol=1e-8, atol=size * 14)
        there = pulls.score[c] > 0
        assert np.isin(pulls.element[c][there], mine).all() and (np.diff(pulls.score[c]) <= 0).all()
        np.testing.assert_allclose(pulls.change[c][there], truth[pulls.element[c][there]], rtol=1e-9, atol=size)
        # the largest of all elements, by what the kernel says of each of them
        weight = np.zeros(len(counts))
        for k in np.flatnonzero(there)[:1]:
            p = pulls.element[c][k]
            assert largest[p] == pulls.change[c, k, delay[p]]
            weight[delay[p]] = pulls.score[c, k] / abs(largest[p])
        assert (np.abs(truth[mine]) * weight).max(initial=0) <= pulls.score[c, 0] * (1 + 1e-6)
    np.testing.assert_allclose(largest, truth[np.arange(len(color)), delay], rtol=1e-9, atol=size)


def test_the_list_has_the_most_of_each_colour_however_elements_are_divided():
    rng = np.random.default_rng(3)
    n, D = 3000, 5
    arrays = dict(zip(NAMES, rng.normal(100, 5, (3, D, n)), strict=True))
    counts, color = np.full(D, 50), rng.integers(0, 5, n)
    color[2000:] = color[1000:2000]
    for array in arrays.values():
        array[:, 2000:] = array[:, 1000:2000]  # pairs of elements that are alike: the first comes first
    saturated, lists = np.zeros(n, np.int8), []
    for cuts, threads in (([0, n], 1), ([0, n], 4), ([0, 10, 900, 2500, n], 2)):
        parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]
        _, _, pulls, *_ = found((arrays, counts, color, color, saturated, parts), "color", threads)
        lists.append(pulls)
    for other in lists[1:]:
        np.testing.assert_array_equal(other.element, lists[0].element)
        np.testing.assert_allclose(other.change, lists[0].change, atol=1e-13)
    assert lists[0].element.shape == (4, listed(4)) and lists[0].score.all()
    assert [listed(c) for c in (0, 1, 64, 100, 4096)] == [8, 8, 8, 5, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=examples(20), deadline=None)
@given(seed=st.integers(0, 999), elements=st.sampled_from([1, 3, 70]), threads=st.sampled_from([1, 2]))
def test_deferred_sums_are_settled_aside(dtype, seed, elements, threads):
    rng = np.random.default_rng(seed)
    times, delays = 12, np.array([0, 1, 3, 7])
    T = np.sort(rng.choice(30, times, replace=False)).astype(np.int64)
    X = np.asfortranarray(rng.integers(0, 50, (times, elements)).astype(dtype))
    g2, ip, fut = rng.uniform(1e4, 2e4, (3, elements, len(delays)))
    total = X.sum(axis=0, dtype=np.float64)
    levers = rng.uniform(1e5, 2e5, (6, 2, len(delays)))
    about = rng.integers(-1, 2, elements), np.array([1, 0]), levers, 2, 3, threads
    plan = plan_tails(T, times, delays, 1)
    got = _core.find_pulls_pending(plan, X, total.copy(), g2, ip.copy(), fut.copy(), *about)
    _core.settle(plan, X, ip, fut, total, threads)
    for one, other in zip(got, _core.find_pulls(g2, ip, fut, *about), strict=True):
        np.testing.assert_array_equal(one, other)


def sums_of(x, rng, D=4):
    """Return sums of elements that are evenly lit and have these ratios, (n, D): alone in a colour."""
    IP = np.full(x.T.shape, 1000.0) + rng.normal(0, 1, x.T.shape)
    return {"G2": x.T * IP**2 / 100, "IP": IP, "IF": IP.copy()}, np.full(D, 100)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hot", [1, 5])
def test_elements_that_pull_are_told_from_the_others_however_many(normalization, hot):
    rng = np.random.default_rng(hot)
    n, where = 2000, rng.choice(2000, hot, replace=False)
    x = rng.normal(1.1, 0.02, (n, 4))
    x[where, 2] += 5
    arrays, counts = sums_of(x, rng)
    case = arrays, counts, np.ones(n, np.int64), np.arange(n) % 7 + 1, np.zeros(n, np.int8), [slice(0, n)]
    made, sums, pulls, *_ = found(case, normalization)
    curve = made.table(sums, counts)
    seen = judge(pulls, curve)
    assert set(seen.element[seen.far]) == set(where) and set(seen.delay[seen.far]) == {2}
    np.testing.assert_allclose(seen.change[:hot], -5 / n, rtol=0.05)
    np.testing.assert_allclose(seen.error[0], 0.02 / np.sqrt(n), rtol=0.1)
    np.testing.assert_allclose(seen.over_error[:hot], (seen.change[:hot] - seen.others[0, 2]) / seen.error[0, 2])
    halved = judge(pulls, curve, np.full((1, 4), 2.0))
    np.testing.assert_allclose(halved.change, seen.change / 2)


@pytest.mark.parametrize("n", [2, 5, 16, 40, 2000])
def test_none_of_many_clean_colours_is_named(n):
    """With tails as speckle has them; and where all elements are alike nothing is listed."""
    rng = np.random.default_rng(n)
    colors = 20000 // n
    x = 1 + 0.1 * rng.exponential(1, (n * colors, 4))
    arrays, counts = sums_of(x, rng)
    color = np.arange(n * colors) % colors + 1
    case = arrays, counts, color, None, np.zeros(len(color), np.int8), [slice(0, len(color))]
    made, sums, pulls, *_ = found(case, "color")
    seen = judge(pulls, made.table(sums, counts))
    assert len(seen.element) and not seen.far.any()
    alike = {name: np.repeat(array[:, :1], n, axis=1) for name, array in arrays.items()}
    case = alike, counts, np.ones(n, np.int64), None, np.zeros(n, np.int8), [slice(0, n)]
    made, sums, pulls, *_ = found(case, "color")
    assert not len(judge(pulls, made.table(sums, counts)).element)
