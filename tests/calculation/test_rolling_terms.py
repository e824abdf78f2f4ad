"""A windowed G2 in pure Python, written from docs/user-code.md alone, equals the compiled one and the brute force."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import run_local

import parcorana
from parcorana import reference
from parcorana.userg2 import G2IncrementalAccumulator, G2IncrementalWindowed

UNFILLED = np.iinfo(np.int64).min
SHAPE = (2, 3)


class Terms:
    """What the three classes below share: nothing but lists of Python numbers."""

    def __init__(self, user_params, system_params, mpiParams):
        self.delays, self.mpiParams, self.published = system_params["delays"], mpiParams, {}
        self.calls = Counter()

    def arrayNames(self):
        return ["G2", "IF", "IP"]

    def initWorker(self, numElementsWorker):
        self.n = numElementsWorker
        self.sums = {name: [[0.0] * self.n for _ in self.delays] for name in self.arrayNames()}
        self.counts = [0] * len(self.delays)

    def pair(self, sign, d, past, future):
        self.counts[d] += sign
        for p in range(self.n):
            self.sums["G2"][d][p] += sign * float(past[p]) * float(future[p])
            self.sums["IP"][d][p] += sign * float(past[p])
            self.sums["IF"][d][p] += sign * float(future[p])

    def workerCalc(self, T, numTimesFilled, X):
        arrays = {name: np.array(rows) for name, rows in self.sums.items()}
        return arrays, np.array(self.counts), np.zeros(self.n, np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        arrays = {name: np.array([a[d] for d in self.delays]) for name, a in name2delay2ndarray.items()}
        self.published[self.mpiParams.processed] = arrays | {"counts": counts}


class OneByOne(Terms):
    """By adjustTerms."""

    def adjustTerms(self, mode, dataIdx, T, X):
        self.calls[mode] += 1
        row_at = {int(t): row for row, t in enumerate(T) if t != UNFILLED}
        t, sign = int(T[dataIdx]), {parcorana.ADD: 1, parcorana.SUBTRACT: -1}[mode]
        for d, delay in enumerate(self.delays):
            if t - delay in row_at:
                self.pair(sign, d, X[row_at[t - delay]], X[dataIdx])
            if t + delay in row_at:
                self.pair(sign, d, X[dataIdx], X[row_at[t + delay]])


class Accumulates(OneByOne):
    """Never takes anything away."""

    def adjustTerms(self, mode, dataIdx, T, X):
        if mode == parcorana.ADD:
            super().adjustTerms(mode, dataIdx, T, X)


class Blocks(Terms):
    """By adjustTermsBlock."""

    storage_order = "F"

    def adjustTermsBlock(self, mode, dataIdxs, T, X):
        self.calls[mode] += 1
        self.calls["most"] = max(self.calls["most"], len(dataIdxs))
        row_at = {int(t): row for row, t in enumerate(T) if t != UNFILLED}
        rows, sign = set(dataIdxs.tolist()), 1 if mode == parcorana.ADD else -1
        for d, delay in enumerate(self.delays):
            for t, row in row_at.items():
                other = row_at.get(t + delay)
                if other is not None and (row in rows or other in rows):  # a pair of two of the rows once
                    self.pair(sign, d, X[row], X[other])


class Compiled:
    """Lets the shipped classes publish into memory."""

    def __init__(self, *args):
        super().__init__(*args)
        self.published = {}

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        self.published[self.mpiParams.processed] = {"counts": counts, "G2": [], "IF": [], "IP": []}

    def viewerPublishArray(self, name, delay, ndarray, h5UserGroup):
        self.published[self.mpiParams.processed][name].append(ndarray)


class Windowed(Compiled, G2IncrementalWindowed):
    """The compiled window."""


class Accumulator(Compiled, G2IncrementalAccumulator):
    """The compiled accumulator."""


@st.composite
def streams(draw):
    """Counters in order, with gaps, disorder, repetitions, late events; the length of the buffer and of blocks."""
    m = draw(st.integers(0, 40))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 5, 0, -1, -3, -30]), min_size=m, max_size=m))
    return {
        "counters": 100 + np.cumsum(np.array(steps, np.int64)) if m else np.zeros(0, np.int64),
        "times": draw(st.integers(1, 12)),
        "block": draw(st.integers(1, 16)),
        "update": draw(st.sampled_from([0, 1, 7])),
        "delays": draw(st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted)),
        "servers": draw(st.integers(1, 3)),
        "workers": draw(st.integers(1, 3)),
        "cut": draw(st.integers(0, 40)),  # where a second run begins
        "seed": draw(st.integers(0, 99)),
    }


def publish(folder, kind, stream, runs=None, **more):
    settings_of = {key: stream[key] for key in ("times", "block", "update", "delays", "servers", "workers")}
    frames = np.random.default_rng(stream["seed"]).integers(0, 50, (len(stream["counters"]), *SHAPE)).astype(np.uint16)
    roles = run_local(folder, kind, stream["counters"], frames, runs=runs, **settings_of, **more)
    calculation = roles[0].calculation
    return getattr(calculation, "user", calculation).published, frames, roles


def check_equal(got, wanted):
    assert got.keys() == wanted.keys()
    for processed, arrays in wanted.items():
        for name in ("counts", "G2", "IP", "IF"):
            np.testing.assert_array_equal(got[processed][name], arrays[name], err_msg=f"{name} at {processed}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("terms")


MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(stream=streams(), kind=st.sampled_from([OneByOne, Blocks]))
def test_a_window_of_ones_own(folder, stream, kind):
    """At every update what the compiled window has, and what brute force has at the end."""
    runs = (np.arange(len(stream["counters"])) >= stream["cut"]).astype(int)
    got, frames, _ = publish(folder, kind, stream, runs)
    compiled, _, _ = publish(folder, Windowed, stream, runs, user={"save_arrays": True})
    check_equal(got, compiled)
    data = frames.reshape(len(frames), 6)
    for processed, arrays in got.items():
        want = reference.g2(
            stream["counters"], data, stream["times"], stream["delays"], "windowed", runs, limit=processed
        )
        flat = {name: arrays[name].reshape(len(stream["delays"]), 6) for name in ("G2", "IP", "IF")}
        check_equal({processed: arrays | flat}, {processed: want})


@MANY
@given(stream=streams())
def test_an_accumulator_of_ones_own(folder, stream):
    got, _, _ = publish(folder, Accumulates, stream)
    compiled, _, _ = publish(folder, Accumulator, stream, user={"save_arrays": True})
    check_equal(got, compiled)


@pytest.mark.parametrize(("order", "wanted"), [("in order", (100, 90)), ("late", (59, 49)), ("wrapping", (100, 90))])
def test_the_cases_by_name(folder, order, wanted):
    """What hypothesis draws is not seen: here the three cases are, with the number of calls that each makes."""
    counters = {
        "in order": np.arange(100),
        "late": np.stack([np.arange(100, 150), np.arange(50)]).T.ravel(),  # every other event is old
        "wrapping": np.concatenate([np.roll(np.arange(k, k + 10), 3) for k in range(0, 100, 10)]),
    }[order]
    stream = {"counters": counters, "times": 10, "block": 16, "update": 30, "delays": [1, 2, 7], "servers": 2}
    stream |= {"workers": 2, "seed": 1}
    compiled, _, _ = publish(folder, Windowed, stream, user={"save_arrays": True})
    for kind in (OneByOne, Blocks):
        got, _, roles = publish(folder, kind, stream)
        check_equal(got, compiled)
        worker = roles[-1].calculation.user
        if kind is OneByOne:
            assert (worker.calls[parcorana.ADD], worker.calls[parcorana.SUBTRACT]) == wanted
        else:
            assert 1 < worker.calls["most"] <= 10 and worker.calls[parcorana.ADD] < wanted[0] / 2
    assert compiled[30]["counts"].any() and np.any(compiled[30]["G2"])
