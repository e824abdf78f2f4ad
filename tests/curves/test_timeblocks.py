"""Errors from stretches of a run, and whether g2 changes with age: from sums, against plain loops."""

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.curves import stationarity
from parcorana.curves.snapshots import Ends, Snapshots, points_of
from parcorana.curves.sums import ColorSums
from parcorana.curves.timeblocks import TimeBlocks

COLOR = np.repeat([1, 2], 6)
FINE = np.tile([1, 2, 3], 4)


class Run:
    """Frames, one pulse each, and what their stretches have."""

    def __init__(self, frames, delays, normalization="color", light=None, saturated_at=None):
        self.frames, self.delays, self.light = frames, np.array(delays), light
        self.made = ColorSums(COLOR, FINE, normalization)
        self.saturated_at = np.full(12, len(frames)) if saturated_at is None else saturated_at

    def sums(self, begin, end, processed):
        """Return the sums of the pairs whose later event lies there, of elements that are good until `processed`."""
        arrays, series = {name: np.zeros((len(self.delays), 12)) for name in ("G2", "IP", "IF")}, []
        counts = np.zeros(len(self.delays), np.int64)
        for k, delay in enumerate(self.delays):
            later = np.arange(max(begin, delay), end)
            past, future = self.frames[later - delay], self.frames[later]
            arrays["G2"][k], arrays["IP"][k], arrays["IF"][k] = (past * future).sum(0), past.sum(0), future.sum(0)
            counts[k] = len(later)
            if self.light is not None:
                past, future = self.light[later - delay], self.light[later]
                series.append([(past * future).sum(), past.sum(), future.sum()])
        bad = (self.saturated_at < processed).astype(np.int8)
        kept = self.made.reduce(arrays, counts, bad, slice(0, 12)) | {"counts": counts}
        return kept | ({} if self.light is None else {"series": np.array(series).T[:, None]})

    def blocks(self, ends):
        kept = [self.sums(0, end, end) for end in ends]
        return TimeBlocks(self.made, self.delays, np.array(ends), kept, 1.0)

    def curve(self, sums):
        g2 = self.made.table(sums, sums["counts"]).g2
        if self.light is None:
            return g2
        G2, IP, IF = sums["series"][:, 0]
        return g2 / (sums["counts"] * G2 / (IP * IF))

    def without(self, begin, end):
        """Return all curves of the pairs that are not of a stretch, (C, D)."""
        events = len(self.frames)
        parts = [self.sums(a, b, events) for a, b in ((0, begin), (end, events))]
        total = {name: parts[0][name] + parts[1][name] for name in parts[0] if "elements" not in name}
        return self.curve(total | {name: parts[0][name] for name in parts[0] if "elements" in name})


@settings(max_examples=examples(20), deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["color", "finecolor"]),
    st.booleans(),
    st.integers(8, 12),
    st.integers(0, 3),
)
def test_deviations_are_those_of_curves_without_each_stretch(seed, normalization, lit, stretches, late):
    """Of equal stretches; where an element saturates the first ones of its colour are one."""
    rng = np.random.default_rng(seed)
    ends = (np.arange(stretches) + 1) * 20
    saturated_at = np.full(12, 10_000)
    saturated_at[0] = late * 20 - 5 if late else 10_000  # of colour 1: the first end that has not it is number `late`
    light = rng.uniform(1, 2, ends[-1]) if lit else None
    run = Run(rng.integers(1, 9, (ends[-1], 12)).astype(float), [1, 2, 6], normalization, light, saturated_at)
    rows, groups = run.blocks(ends).deviations()
    assert rows.shape == (2, stretches, 3)
    for c in (0, 1):
        # a fine colour of both colours has lost it
        first = max(late - 1, 0) if c == 0 or normalization == "finecolor" else 0
        begins = [0, *ends[first:-1]]
        K = len(begins)
        assert groups[c] == (K if K >= 8 else 0)
        if K < 8:
            assert np.isnan(rows[c]).all()
            continue
        assert np.isnan(rows[c][:, 2]).all()  # not longer than four delays
        if first or lit:  # of unequal stretches: tests/curves/test_jackknife.py
            assert np.isfinite(rows[c][:, :2]).all()
            continue
        left = np.array([run.without(a, b)[c] for a, b in zip(begins, ends[first:], strict=True)])
        variance = (K - 1) / K * np.square(left - left.mean(axis=0)).sum(axis=0) * (K - 1) / (K - 3)
        # stretches are equal but for the pairs that the first ones lack
        np.testing.assert_allclose(np.square(rows[c]).sum(axis=0)[:2], variance[:2], rtol=0.4)


@pytest.mark.parametrize("normalization", ["color", "finecolor"])
def test_curves_of_each_stretch_and_without_it(normalization):
    """Bit for bit but for rounding, with a series to divide by."""
    rng = np.random.default_rng(3)
    run = Run(rng.integers(1, 9, (160, 12)).astype(float), [0, 1, 3], normalization, rng.uniform(1, 2, 160))
    blocks = run.blocks(np.arange(20, 161, 20))
    edges = [0, 2, 3, 8]
    for (own, rest), a, b in zip(blocks._of(edges), edges[:-1], edges[1:], strict=True):
        np.testing.assert_allclose(blocks._curve(own), run.curve(run.sums(20 * a, 20 * b, 160)), rtol=1e-10)
        np.testing.assert_allclose(blocks._curve(rest), run.without(20 * a, 20 * b), rtol=1e-10)


def test_long_delays_have_fewer_and_longer_stretches():
    """Of white noise: the errors are those of so many independent pairs, whatever the stretches."""
    rng = np.random.default_rng(1)
    delays = [1, 4, 12, 30, 49, 60]
    run = Run(rng.gamma(1.0, 1.0, (1600, 12)), delays)
    rows, groups = run.blocks(np.arange(50, 1601, 50)).deviations()
    assert rows.shape == (2, 32, 6) and groups.tolist() == [32, 32]
    errors = np.sqrt(np.square(rows).sum(axis=1))
    assert np.isfinite(errors[:, :5]).all() and np.isnan(errors[:, 5]).all()  # 8 stretches of 200
    assert (np.abs(np.log(errors[:, :5] * np.sqrt(1600 * 6))) < np.log(2)).all()
    assert [len(np.unique(np.abs(row).round(12))) for row in rows[0, :, :5].T] == [32, 32, 32, 9, 8]


def test_ends_and_what_is_kept():
    """As the run grows a stretch is as long as two before; what is kept is what ends there."""
    ends = Ends(10, 4)
    kept = Snapshots(ends)
    for events in range(3, 200, 7):
        kept.take(events, {"G2": np.full((1, 1), events)}, np.array([events]))
    assert ends.state[0] == 40 and ends.events.tolist() == [45, 80, 122, 164]
    before, sums = kept.before(199)
    assert before == [45, 80, 122, 164] and [one["counts"][0] for one in sums] == before
    assert kept.before(170)[0] == [45, 80, 122]  # what is left is hardly anything
    again = Snapshots(Ends(10, 4))
    again.restore(kept.state())
    for events in (200, 244):
        for one in (kept, again):
            one.take(events, {"G2": np.full((1, 1), events)}, np.array([events]))
    assert again.ends.events.tolist() == [80, 164, 244]  # of 80
    for name, array in kept.state().items():
        assert array.tobytes() == again.state()[name].tobytes()
    assert (points_of(1), points_of(1 << 20), points_of(1 << 30)) == (64, 32, 16)


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(1, 9), st.integers(2, 9), st.lists(st.integers(1, 30), max_size=60))
def test_ends_are_as_many_as_fit_and_the_same_asked_or_told(width, points, steps):
    """A worker asks after every block, the viewer is told of what ended there."""
    worker, viewer = Ends(width, points), Ends(width, points)
    for events in np.cumsum(steps).tolist():
        if worker.take(events):
            assert viewer.take(events)
    assert worker.state.tolist() == viewer.state.tolist() or len(worker.events) < len(viewer.events)
    found, wide = worker.events, int(worker.state[0])
    assert len(found) <= points and len(set(found // wide)) == len(found) and 0 not in found // wide


# -- does it change? --------------------------------------------------------------------------------------------


def decays(tau, delays, rng, noise=0.01):
    """Return curves of stretches, (K, D), that decay so; with noise that is theirs, and some that all delays share."""
    curves = 1 + 0.2 * np.exp(-np.array(delays) / np.array(tau)[:, None])
    return curves + noise * (rng.standard_normal(curves.shape) + rng.standard_normal((len(curves), 1)))


DELAYS = np.array([1, 2, 4, 8, 16, 32, 64, 128])


@pytest.mark.parametrize("stretches", [8, 20, 64])
def test_probabilities_of_what_does_not_change_are_uniform(stretches):
    """Or larger, most of all of few stretches."""
    rng = np.random.default_rng(stretches)
    found = []
    for _ in range(400):
        own = decays(np.full(stretches, 10.0), DELAYS, rng)
        found.append(stationarity.probability(own, own.mean(axis=0), DELAYS))
    for p in (0.01, 0.1, 0.5):
        assert np.mean(np.array(found) < p) < p + 3.5 * np.sqrt(p * (1 - p) / 400)
    assert np.mean(np.array(found) < 0.5) > 0.2


@pytest.mark.parametrize(
    "tau",
    [np.geomspace(6, 18, 30), np.where(np.arange(30) < 12, 8, 14), 10 + 5 * np.sin(np.arange(50) / 6)],
    ids=["grows", "steps", "goes and comes"],
)
def test_what_changes_is_found(tau):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        own = decays(tau, DELAYS, rng)
        found.append(stationarity.probability(own, own.mean(axis=0), DELAYS))
    assert np.median(found) < 1e-3
    same = np.ones((30, 8))
    assert np.isnan(stationarity.probability(same, same[0], DELAYS))


def test_decay_times():
    """Known where the decay ends within the delays; no less than so where it does not."""
    error = np.full(8, 1e-3)

    def found(curve, error=error, delays=DELAYS):
        return stationarity.decay_time(delays, curve, error)

    for tau in (2.0, 10.0, 30.0):
        for static in (0, 0.1):
            assert 0.8 * tau < found(1 + static + 0.2 * np.exp(-DELAYS / tau)) < 1.7 * tau
    assert 300 < found(1 + 0.2 * np.exp(-DELAYS / 400)) < 500
    assert found(np.full(8, 1.2)) == np.inf  # at rest
    assert found(np.full(8, 1.0005)) == 0  # nothing to be seen
    assert found(np.full(8, np.nan)) == np.inf
    assert found(np.array([1.2]), error[:1], np.array([0])) == np.inf
