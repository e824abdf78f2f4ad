"""What values of events were: over time and how often, and which look like drop-outs."""

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.curves.monitor import FILTERED, PROCESSED, Distribution, Monitors, as_arrays, from_arrays
from parcorana.curves.stretches import POINTS


def of(*columns, out=()):
    """Return the distribution of one value in events processed, that come in pieces, and in those left out."""
    made, at = Monitors(["i0"]), 0
    for column in columns:
        made.note(np.arange(at, at + len(column)), {"i0": np.asarray(column, float)}, np.arange(len(column)))
        at += len(column)
        made.settle()
    made.leave_out({"i0": np.asarray(out, float)})
    return made.distributions()["i0"]


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, 700), max_size=6), st.integers(0, 2**32))
def test_time_line_against_numpy(batches, seed):
    rng = np.random.default_rng(seed)
    column = rng.integers(-9, 10, sum(batches)).astype(float)
    column[rng.random(len(column)) < 0.3] = np.nan
    column[rng.random(len(column)) < 0.1] = np.inf
    found = of(*np.split(column, np.cumsum(batches)[:-1])) if batches else of(column)
    width = 1
    while len(column) > POINTS * width:
        width *= 2
    assert found.events.sum() == len(column) == found.counts[PROCESSED].sum() + found.special[PROCESSED].sum()
    for k, first in enumerate(range(0, len(column), width)):
        part = column[first : first + width]
        part = part[np.isfinite(part)]
        assert (found.first[k], found.last[k]) == (first, min(first + width, len(column)) - 1)
        three = [part.mean(), part.min(), part.max()] if len(part) else [np.nan] * 3
        np.testing.assert_allclose([found.mean[k], found.minimum[k], found.maximum[k]], three, rtol=1e-15, atol=1e-15)


def test_a_message_holds_it():
    made = of([1, 2, np.nan], out=[5, -np.inf])
    found = from_arrays(as_arrays({"i0": made, "mean": made}))
    assert list(found) == ["i0", "mean"]
    for name in vars(made):
        np.testing.assert_array_equal(getattr(found["mean"], name), getattr(made, name))
    assert isinstance(found["i0"], Distribution) and found["i0"].special[FILTERED].tolist() == [0, 0, 1]


def test_a_run_goes_on_with_the_same_values_in_another_order():
    rng = np.random.default_rng(2)
    table = {"line": rng.random(2000), "a": rng.random(2000)}  # a value may be called as what is beside it is
    whole, first, second = Monitors(["line", "a"]), Monitors(["line", "a"]), Monitors(["a", "line"])
    for made, some in ((whole, range(20)), (first, range(9)), (second, range(9, 20))):
        if made is second:
            for name, array in made.state().items():
                array[...] = first.state()[name]
        for k in some:
            part = {name: column[k * 100 : k * 100 + 100] for name, column in table.items()}
            made.note(np.arange(k * 100, k * 100 + 100), part, np.arange(100))
            made.leave_out(part)
            made.settle()
    one, other = whole.distributions(), second.distributions()
    assert list(one) == ["line", "a"] and list(other) == ["a", "line"]
    for name in one:
        for field in vars(one[name]):
            np.testing.assert_array_equal(getattr(one[name], field), getattr(other[name], field))


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 3000), st.sampled_from([0, 0.01, 0.5, 0.99, 1]), st.integers(0, 2**32))
def test_quantiles_to_a_bin(n, part, seed):
    column = np.random.default_rng(seed).gamma(2, 3, n)
    found = of(column)
    low, high = (np.quantile(column, part, method=method) for method in ("lower", "higher"))
    width = found.edges[1] - found.edges[0]
    assert low - width <= found.quantile(part, PROCESSED) <= high + width
    assert np.isnan(found.quantile(part, FILTERED))


RNG = np.random.default_rng(5)
BEAM = RNG.gamma(8, 1 / 8, 5000)


@pytest.mark.parametrize(
    ("column", "dropped"),
    [
        (np.append(BEAM, RNG.normal(0, 0.01, 60)), 60),
        (np.append(BEAM * 1e-9, np.zeros(9)), 9),
        (np.append(BEAM, np.zeros(4)), 0),  # fewer than 1 in 1000
        (RNG.exponential(1, 5000), 0),  # many are small, but none stand apart
        (np.append(np.ones(900), np.zeros(100)), 0),  # a flag
        (np.append(BEAM, [*np.zeros(60), 1e6]), 0),  # nothing can be told
        (np.append(-BEAM, np.zeros(60)), 0),
        (np.zeros(100), 0),
        ([np.nan], 0),
        ([], 0),
    ],
)
def test_dropouts(column, dropped):
    found = of(column)
    assert found.dropouts(PROCESSED)[0] == dropped
    said = found.doubt("i0", PROCESSED)
    if not dropped:
        assert said is None
        return
    assert said.startswith(f"{dropped} of {len(column):,} events have i0 below 10% of its median, ")
    limit = float(said.partition("{'i0': (")[2].partition(",")[0])
    assert (np.asarray(column) < limit).sum() == dropped, "the limit that it names leaves out just these"
