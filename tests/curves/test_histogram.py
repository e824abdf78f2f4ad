"""Histograms whose range nobody knows beforehand: against exact arithmetic, whatever the order and the pieces."""

import itertools
import math
from fractions import Fraction

import numpy as np
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.curves.histogram import Histogram

USUAL = settings(max_examples=examples(200), deadline=None)
ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)
NUMBERS = st.one_of(
    st.lists(ANY, max_size=40),
    st.lists(st.floats(-100, 100), max_size=40),
    st.lists(st.integers(-3, 300).map(float), max_size=40),
    st.lists(st.floats(1e9, 1e9 + 1e-3), max_size=40),
    st.lists(st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 1.0]), max_size=10),
)


def plain(values, bins):
    """Return exponent, first bin and counts: the narrowest bins that the numbers fit in, by exact arithmetic."""
    finite = [Fraction(v) for v in values if math.isfinite(v)]
    largest = max(map(abs, finite))
    exponent = max(math.frexp(float(largest))[1] - 53, -1074) if largest else -1074

    def index(value):
        return math.floor(value / Fraction(2) ** exponent)

    while index(max(finite)) - index(min(finite)) >= bins:
        exponent += 1
    first = index(min(finite))
    counts = [0] * bins
    for value in finite:
        counts[index(value) - first] += 1
    return exponent, first, counts


@USUAL
@given(NUMBERS, st.sampled_from([2, 8, 64]), st.data())
def test_against_exact_arithmetic(values, bins, data):
    made = Histogram(1, bins)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(values)), max_size=4)) | {0, len(values)})
    order = data.draw(st.permutations(values))
    for first, last in itertools.pairwise(cuts):
        made.add(np.array(order[first:last], float))
    column = np.array(values, float)
    assert made.special[0].tolist() == [np.isnan(column).sum(), (column == np.inf).sum(), (column == -np.inf).sum()]
    finite = column[np.isfinite(column)]
    if not len(finite):
        assert len(made.edges()) == 0 and not made.counts.any() and np.isnan(made.range).all()
        return
    exponent, first, counts = plain(values, bins)
    assert made.state()["at"].tolist() == [exponent, first] and made.counts[0].tolist() == counts
    assert made.range[0].tolist() == [finite.min(), finite.max()]
    edges = made.edges()
    assert len(edges) <= bins + 1 and not made.counts[0, len(edges) - 1 :].any()
    assert edges[0] <= finite.min() and finite.max() < edges[-1]
    # what each bin holds, as numpy has it
    for low, high, count in zip(edges, edges[1:], made.counts[0], strict=False):
        assert ((low <= finite) & (finite < high)).sum() == count


@USUAL
@given(NUMBERS, NUMBERS)
def test_two_kinds_share_their_bins(one, other):
    both, together = Histogram(2, 16), Histogram(1, 16)
    both.add(np.array(one, float), 0)
    both.add(np.array(other, float), 1)
    together.add(np.array([*one, *other], float))
    assert both.counts.sum(axis=0).tolist() == together.counts[0].tolist()
    assert both.edges().tolist() == together.edges().tolist()


def test_wide_enough():
    """At least half of the bins are in use, so that a bin is a known part of the range."""
    made = Histogram()
    made.add(np.random.default_rng(1).gamma(3, 1, 5000))
    assert 512 < len(made.edges()) - 1 <= 1024
