"""Errors from pixel groups, against curves made once more without each group, the plain slow way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.curves.apart import chosen, of_groups
from parcorana.curves.groups import FEWEST, MOST, pixel_groups
from parcorana.curves.jackknife import deviations
from parcorana.curves.sums import NORMALIZATIONS, ColorSums
from parcorana.g2.plain import plain_curve

DELAYS = 5


def curves_without(case, colors, group, together):
    """Return for each colour the curve, those without each group, and the groups' parts, the slow way."""
    arrays, counts, color, fine, saturated, normalization = case
    for c in colors:
        mine, left, part = color == c, [], []
        full = plain_curve(arrays, counts, mine, saturated == 0, normalization, fine)
        for k in range(group[mine].max() // together + 1):
            keep = ~(mine & (group // together == k))
            some = {name: array[:, keep] for name, array in arrays.items()}
            one = plain_curve(some, counts, mine[keep], saturated[keep] == 0, normalization, fine[keep])
            left.append(one.g2)
            part.append(1 - one.elements / np.where(full.elements, full.elements, np.nan))
        yield full, np.array(left), np.array(part)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    normalization=st.sampled_from(NORMALIZATIONS),
    parts=st.integers(1, 3),
    zeros=st.sampled_from([0.0, 0.3]),
)
def test_they_are_those_of_curves_without_each_group(seed, normalization, parts, zeros):
    rng = np.random.default_rng(seed)
    mask = rng.random((2, 20, 15)) < 0.9
    n, counts = np.count_nonzero(mask), np.arange(40, 40 - DELAYS, -1)
    color, fine = rng.integers(0, 3, n), rng.integers(0, 5, n)  # fine colours that several colours share, too
    saturated = (rng.random(n) < 0.05).astype(np.int8)
    arrays = {name: rng.random((DELAYS, n)) * counts[:, None] for name in ("G2", "IP", "IF")}
    dark = rng.random(n) < zeros
    for array in arrays.values():
        array[:, dark] = 0
    colors = np.unique(color[color > 0])
    group, groups = pixel_groups(mask, color, colors, DELAYS)
    made, without = (ColorSums(color, fine, normalization, colors, each) for each in (group, None))
    sums = {}
    for some in np.array_split(np.arange(n), parts):  # as so many workers have them
        part = slice(some[0], some[-1] + 1)
        own = {name: array[:, part] for name, array in arrays.items()}
        reduced = made.reduce(own, counts, saturated[part], part)
        sums = {name: array + sums.get(name, 0) for name, array in reduced.items()}
    plain = without.reduce(arrays, counts, saturated, slice(0, n))
    for name, array in plain.items():
        np.testing.assert_allclose(sums[name], array, rtol=1e-12, atol=1e-12)
    case = arrays, counts, color, fine, saturated, normalization
    by_together = {k: list(curves_without(case, colors, group, k)) for k in (1, 2, 4)}

    def left_out(c, together, count):
        full, left, part = by_together[together][c]
        return full.g2, left, part

    rows, found = chosen(groups, DELAYS, left_out)
    got, number = of_groups(made, sums, counts)
    assert number.tolist() == found.tolist()
    np.testing.assert_allclose(got, rows, rtol=1e-6, atol=1e-10)


def test_groups_are_compact_and_of_equal_size():
    mask = np.ones((3, 64, 64), bool)
    mask[1, :7] = False
    color = np.where(np.arange(np.count_nonzero(mask)) % 64 < 32, 1, 5)
    group, groups = pixel_groups(mask, color, np.array([1, 5]), 10)
    assert groups.tolist() == [MOST, MOST]
    for c in (1, 5):
        sizes = np.bincount(group[color == c], minlength=MOST)
        assert np.ptp(sizes) <= 1
        panel, row, column = (axis[color == c] for axis in np.nonzero(mask))
        for k in range(MOST):  # a tenth of the panel at the most where it is on one panel
            where = group[color == c] == k
            if np.ptp(panel[where]) == 0:
                assert np.ptp(row[where]) * np.ptp(column[where]) <= 6 * np.count_nonzero(where)


@pytest.mark.parametrize(("elements", "groups"), [(31, 1), (32, FEWEST), (200, 12), (5000, MOST)])
def test_so_many_groups_has_a_colour_of_so_many_elements(elements, groups):
    mask = np.zeros((100, 100), bool)
    mask.flat[:elements] = True
    assert pixel_groups(mask, np.ones(elements, np.int64), np.array([1]), 100)[1].tolist() == [groups]


def test_with_many_colours_there_are_none():
    mask = np.ones((512, 512), bool)
    color = np.arange(mask.size) % 2048 + 1
    group, groups = pixel_groups(mask, color, np.arange(1, 2049), 100)
    assert not group.any()
    assert (groups == 1).all()


def test_the_jackknife_of_a_mean_is_its_variance():
    rng = np.random.default_rng(4)
    sizes, pulls = rng.integers(20, 60, 16), []
    for _ in range(2000):
        values = [rng.normal(size=size) for size in sizes]
        total, n = sum(map(np.sum, values)), sizes.sum()
        without = np.array([(total - each.sum()) / (n - each.size) for each in values])
        pulls.append(total / n / np.sqrt(np.square(deviations(np.float64(total / n), without, sizes / n)).sum()))
    assert 0.95 < np.std(pulls) < 1.05


def test_speckles_larger_than_groups_are_seen():
    rng = np.random.default_rng(5)
    mask, side = np.ones((128, 128), bool), 16
    color = (np.indices(mask.shape)[1].ravel() // 16) + 1  # eight stripes of 2048 elements: 32 groups of 8 by 8
    counts, found = np.full(DELAYS, 1000), []
    group, _ = pixel_groups(mask, color, np.arange(1, 9), DELAYS)
    for size in (1, side):
        speckle = np.kron(rng.normal(1, 0.1, (128 // size, 128 // size)), np.ones((size, size))).ravel()
        arrays = {"G2": np.tile(1000 * (1 + speckle), (DELAYS, 1)), "IP": np.full((DELAYS, color.size), 1000.0)}
        arrays["IF"] = arrays["IP"]
        made = ColorSums(color, None, "color", np.arange(1, 9), group)
        found.append(
            of_groups(made, made.reduce(arrays, counts, np.zeros(color.size, np.int8), slice(0, color.size)), counts)
        )
    assert found[0][1].tolist() == [32] * 8
    assert found[1][1].tolist() == [8] * 8
