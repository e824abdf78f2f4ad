"""What looks like whole numbers, or like values, and is something else: refused, each in a sentence."""

import numpy as np
import pytest

from parcorana import ConfigError, _core, _move, kernels, make_delay_list
from parcorana.correlation.delays import check_delays
from parcorana.correlation.plan import Plan

T = np.arange(20)
X = np.ones((20, 3), np.float32)
RUNS = kernels.find_runs(T, [1, 2])
MASK = np.arange(20) < 2
HIDDEN = np.ma.array([1, 2], mask=[True, False])

# what is no list of whole numbers, and what is said of it
NOT_WHOLE = {
    "fraction": ([1.5], "1.5 is none"),
    "float": ([1.0], "1.0 is none"),
    "not a number": ([float("nan")], "nan is none"),
    "text": (["1"], "'1' is none"),
    "one text": ("12", "'12' is none"),
    "bytes": (b"12", "b'12' is none"),
    "bool": ([True], "True is none"),
    "bool among others": ([2, np.bool_(True)], "True_? is none|True is none"),
    "None": ([None], "None is none"),
    "complex": ([1 + 0j], r"\(1\+0j\) is none"),
    "table": ([[1, 2], [3, 4]], r"\[1, 2\] is none"),
    "array in a list": ([np.array([1, 2])], "is none"),
    "dict": ({1: 2}, "is none"),
    "set": ({1, 2}, "is none"),
    "float array": (np.array([1.0, 2.0]), "holds float64"),
    "complex array": (np.array([1 + 0j]), "holds complex128"),
    "text array": (np.array(["1"]), "holds <U1"),
    "object array": (np.array([1, 2], object), "holds object"),
    "times": (np.array([1], "m8[s]"), r"holds timedelta64\[s\]"),
    "bool array": (MASK, "holds bool, it should hold whole numbers: np.flatnonzero makes them of a mask"),
    "masked array": (HIDDEN, "is a masked array, whose mask would count for nothing"),
    "masked": ([1, np.ma.masked], "is none"),
    "2-D": (np.array([[1], [2]]), "has the shape 2 x 1, it should be any"),
    "huge": ([1 << 63], "has 9223372036854775808, which is beyond int64"),
    "hugely below": ([-(1 << 63) - 1], "which is beyond int64"),
    "uint64": (np.array([1, 1 << 63], np.uint64), "has 9223372036854775808, which is beyond int64"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_WHOLE)
@pytest.mark.parametrize("name", ["delays", "rows", "color", "colors"])
def test_no_whole_numbers(name, what):
    value, text = NOT_WHOLE[what]
    call = {
        "delays": lambda: kernels.find_runs(T, value),
        "rows": lambda: kernels.find_runs(T, [1], value),
        "color": lambda: kernels.sum_colors(X, value),
        "colors": lambda: kernels.sum_colors(X, [1, 2, 3], value),
    }[name]
    with pytest.raises((TypeError, ValueError), match=f"^{name} .*({text})"):
        call()


def test_whole_numbers_of_any_kind():
    want = kernels.find_runs(T, np.array([1, 2]), np.array([3, 19]))
    for kind in (list, tuple, np.uint8, np.int16, np.uint64, ">i4", "strided"):
        delays, rows = ([1, 2], [3, 19]) if kind in (list, "strided") else ((1, 2), (3, 19))
        if kind == "strided":
            delays, rows = np.array([1, 9, 2])[::2], np.array([3, 9, 19])[::2]
        elif kind not in (list, tuple):
            delays, rows = np.array(delays, kind), np.array(rows, kind)
        found = kernels.find_runs(T, delays, rows)
        assert all((a == b).all() for a, b in zip(found, want, strict=True))
    one = kernels.find_runs(T, 1, np.int32(3))  # adjustTerms is told one row
    assert one.run.tolist() == kernels.find_runs(T, [1], [3]).run.tolist() == [(2, 3, 2)]
    assert kernels.find_runs(T, [], []).counts.tolist() == []
    assert kernels.find_runs(T, [1], []).counts.tolist() == [0]
    assert kernels.sum_colors(X, np.array([1, 1, 2], np.uint64)).tolist() == [[2, 1]] * 20


@pytest.mark.parametrize(
    ("threads", "kind", "text"),
    [
        (1.5, TypeError, "threads is 1.5, it should be a whole number"),
        (1.0, TypeError, "threads is 1.0, it should be a whole number"),
        (True, TypeError, "threads is True, it should be a whole number"),
        ("1", TypeError, "threads is '1', it should be a whole number"),
        (None, TypeError, "threads is None, it should be a whole number"),
        (float("nan"), TypeError, "threads is nan, it should be a whole number"),
        ([1], TypeError, r"threads is \[1\], it should be a whole number"),
        (0, ValueError, "threads is 0, it should be 1 or more"),
        (-3, ValueError, "threads is -3, it should be 1 or more"),
        (1 << 40, ValueError, "threads is 1099511627776, it should be 4096 at most"),
        (1 << 70, ValueError, "threads is 1180591620717411303424, it should be 4096 at most"),
    ],
)
def test_threads(threads, kind, text):
    G2, index = np.zeros((2, 3)), np.zeros(3, np.int32)
    for call in (
        lambda: kernels.add_pairs(RUNS, X, G2, threads=threads),
        lambda: kernels.remove_pairs(RUNS, X, G2, threads=threads),
        lambda: kernels.sum_colors(X, [1, 2, 3], threads=threads),
        lambda: kernels.sum_indexed(X, index, 1, threads),
    ):
        with pytest.raises(kind, match=f"^{text}"):
            call()
    assert not G2.any()


def masked(array):
    return np.ma.array(array, mask=np.zeros(np.shape(array), bool))


def test_the_mask_of_a_masked_array_is_not_ignored():
    G2, index, mean = np.zeros((2, 3)), np.arange(3), np.ones(20, np.float32)
    run, start, counts = RUNS
    calls = {
        "T": lambda: kernels.find_runs(masked(T), [1]),
        "X": lambda: kernels.add_pairs(RUNS, masked(X), G2),
        "G2": lambda: kernels.add_pairs(RUNS, X, masked(G2)),
        "IP": lambda: kernels.add_pairs(RUNS, X, None, masked(G2)),
        "IF_": lambda: kernels.remove_pairs(RUNS, X, IF_=masked(G2)),
        "past": lambda: kernels.add_pairs(RUNS, X, G2, past=masked(mean)),
        "future": lambda: kernels.add_pairs(RUNS, X, G2, future=masked(mean)),
        "runs.run": lambda: kernels.add_pairs(kernels.Runs(masked(run), start, counts), X, G2),
        "runs.start": lambda: kernels.add_pairs(kernels.Runs(run, masked(start), counts), X, G2),
        "runs.counts": lambda: kernels.add_pairs(kernels.Runs(run, start, masked(counts)), X, G2),
        "values": lambda: kernels.sum_colors(masked(X), [1, 2, 3]),
        "index": lambda: kernels.gather(X[0], masked(index)),
        "frame": lambda: kernels.gather(masked(X[0]), index),
        "out": lambda: kernels.scatter(X[0], index, masked(X[1].copy())),
        "mask": lambda: kernels.included(masked(MASK)),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"^{name} is a masked array, whose mask would count for nothing"):
            call()
    assert not G2.any()


def test_arrays_of_the_wrong_kind():
    G2, index = np.zeros((2, 3)), np.arange(3)
    crooked = np.zeros(20 * 3 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(20, 3)
    locked = G2.copy()
    locked.flags.writeable = False
    for call, text in (
        (lambda: kernels.add_pairs(RUNS, X.astype(">f4"), G2), "X holds >f4, it should hold float32 or float64"),
        (lambda: kernels.add_pairs(RUNS, X.astype(complex), G2), "X holds complex128"),
        (lambda: kernels.add_pairs(RUNS, X.astype(object), G2), "X holds object"),
        (lambda: kernels.add_pairs(RUNS, X.astype("f2"), G2), "X holds float16"),
        (lambda: kernels.add_pairs(RUNS, X.tolist(), G2), "X is a list"),
        (lambda: kernels.add_pairs(RUNS, X, G2.astype(">f8")), "G2 holds >f8"),
        (lambda: kernels.add_pairs(RUNS, X, G2.astype(complex)), "G2 holds complex128"),
        (lambda: kernels.add_pairs(RUNS, X, locked), "G2 is read-only"),
        (lambda: kernels.add_pairs(RUNS, crooked, G2), "X lies across its values' boundaries"),
        (lambda: kernels.add_pairs(list(RUNS), X, G2), "runs is a list, it should be what find_runs returns"),
        (lambda: kernels.add_pairs(RUNS[:2], X, G2), "runs is a tuple, it should be what find_runs returns"),
        (lambda: kernels.find_runs(T.astype(">i8"), [1]), "T holds >i8, it should hold int64"),
        (lambda: kernels.find_runs(T.astype(np.uint64), [1]), "T holds uint64, it should hold int64"),
        (lambda: kernels.find_runs(T.astype(float), [1]), "T holds float64"),
        (lambda: kernels.gather(X[0], index.astype(">i8")), "index holds >i8"),
        (lambda: kernels.gather(X[0], MASK[:3]), "index holds bool"),
        (lambda: kernels.gather(X[0], None), "index is a NoneType"),
        (lambda: kernels.gather(X[0].tolist(), index), "frame is a list"),
        (lambda: kernels.scatter(X[0], index, locked[0].astype("f4")), None),
        (lambda: kernels.scatter(locked[0], index, locked[1]), "out is read-only"),
        (lambda: kernels.sum_indexed(X, np.zeros(3, np.int32), 1.5), "colors is 1.5, it should be a whole number"),
        (lambda: kernels.sum_indexed(X, np.zeros(3, np.int32), -1), "colors is -1, it should be 0 or more"),
        (lambda: kernels.included(MASK, 3), "part is 3, it should be a slice"),
        (lambda: kernels.choose_path(3), "no code path 3"),
    ):
        if text is None:
            call()
            continue
        with pytest.raises((TypeError, ValueError), match=f"^{text}"):
            call()
    assert not G2.any()


def test_a_subclass_that_hides_nothing(tmp_path):
    """Frames in a file on disk are memory as any other."""
    wide = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    wide[:] = np.arange(60).reshape(20, 3)
    G2, want = np.zeros((2, 2, 3))
    kernels.add_pairs(RUNS, wide, G2)
    kernels.add_pairs(RUNS, np.array(wide), want)
    np.testing.assert_array_equal(G2, want)


# -- runs without a pair, arrays without a value -----------------------------------


def with_empty(runs, rows):
    """Return the same pairs, with empty runs before, among and behind them."""
    parts, start = [], [0]
    for d in range(len(runs.counts)):
        own = runs.run[runs.start[d] : runs.start[d + 1]].tolist()
        own = [(0, rows, 0), *[each for run in own for each in (run, (run[1], run[0], 0))], (rows, rows, 0)]
        parts += own
        start.append(len(parts))
    return kernels.Runs(np.array(parts, kernels.RUN_DTYPE), np.array(start), runs.counts)


@pytest.mark.parametrize("delays", [[1], [0, 1, 2, 700], list(range(1, 300, 7)), [900]])
@pytest.mark.parametrize("gaps", [0, 0.5])
@pytest.mark.parametrize("rows", [None, [7]])
def test_empty_runs_add_nothing_and_change_no_bit(delays, gaps, rows):
    rng = np.random.default_rng(0)
    times = np.cumsum(1 + (rng.random(1000) < gaps))
    data = rng.normal(1, 1, (1000, 5)).astype(np.float32)
    runs = kernels.find_runs(times, delays, rows)
    sums, want = np.zeros((2, 3, len(delays), 5))
    kernels.add_pairs(runs, data, *want)
    kernels.add_pairs(with_empty(runs, 1000), data, *sums)
    np.testing.assert_array_equal(sums, want)


@pytest.mark.parametrize("run", [(0, 19, 2), (19, 0, 2), (-1, 0, 1), (0, -1, 1), (0, 0, -1), (21, 0, 0), (0, -1, 0)])
def test_runs_beyond_the_rows(run):
    bad = kernels.Runs(np.array([run], kernels.RUN_DTYPE), np.array([0, 1]), np.array([1]))
    G2 = np.zeros((1, 3))
    for values in (X, X[:, :0]):
        with pytest.raises(
            ValueError, match="a run of rows reaches beyond the rows there are, or its length is below 0"
        ):
            kernels.add_pairs(bad, values, G2[:, : values.shape[1]])
    assert not G2.any()


def test_arrays_without_a_value():
    none = kernels.find_runs(T[:0], [0, 1, 2])
    assert none.counts.tolist() == [0, 0, 0] and len(none.run) == 0
    for rows, delays, elements in ((0, [0, 1], 3), (20, [], 3), (20, [0, 1], 0), (0, [], 0)):
        runs, sums = kernels.find_runs(T[:rows], delays), np.zeros((3, len(delays), elements))
        kernels.add_pairs(runs, X[:rows, :elements], *sums, past=np.ones(rows, np.float32))
        assert not sums.any()
    with pytest.raises(ValueError, match="reaches beyond the rows"):
        kernels.add_pairs(RUNS, X[:0], np.zeros((2, 3)))
    assert kernels.sum_colors(X[:0], [1, 2, 3]).shape == (0, 3)
    assert kernels.sum_colors(X[:, :0], []).shape == (20, 0)
    assert kernels.gather(X[0], np.zeros(0, np.int64)).shape == (0,)
    assert kernels.scatter(X[0, :0], np.zeros(0, np.int64), np.ones(3, np.float32)).tolist() == [1, 1, 1]
    assert kernels.included(MASK[:0]).shape == (0,)


def test_a_plan_without_pairs():
    """Empty runs and no delays: what enters is stored all the same."""
    data, x = np.ones((2, 3), np.float32), np.zeros((4, 3), np.float32, order="F")
    run = lambda *each: np.array(list(each), _core.RUN_DTYPE)  # noqa: E731
    plan = Plan(length=4, source=np.array([0, 1]), old=run((4, 0, 0)), fresh=run((2, 4, 0), (0, 0, 2)),
                keep=run((0, 1, 2), (0, 4, 0)), end=2)  # fmt: skip
    _core.correlate(plan, x, data, *np.zeros((3, 3, 0)))
    assert x[:, 0].tolist() == [0, 1, 1, 0]


# -- the functions under the classes -----------------------------------------------


@pytest.mark.parametrize("number", [1.5, float("nan"), "1", None, [1], 1 << 70])
def test_whole_numbers_of_the_core(number):
    x, sums = np.zeros((4, 3), np.float32, order="F"), np.zeros((3, 3, 1))
    stamps, out = np.zeros(2, np.int64), np.zeros(2, np.int64)
    plan = Plan(length=4)
    for call in (
        lambda: _core.correlate(plan, x, None, *sums, threads=number),
        lambda: _core.correlate(Plan(length=number), x, None, *sums),
        lambda: _core.store(plan, x, x[:2], number),
        lambda: _core.settle(plan, x, sums[0], sums[1], np.zeros(3), number),
        lambda: _core.energy(x, 4, 1, np.zeros(3), np.zeros(3), number),
        lambda: _core.energy(x, number, 1, np.zeros(3), np.zeros(3)),
        lambda: _core.energy(x, 4, number, np.zeros(3), np.zeros(3)),
        lambda: _core.counters(stamps, number, 1, 1, out),
        lambda: _core.counters(stamps, 0, number, 1, out),
        lambda: _core.is_whole(np.ascontiguousarray(x), number),
        lambda: _core.count_shifts(np.zeros(1, "u1"), np.zeros(1, "u1"), number, out),
        lambda: _core.sum_colors(*sums, np.ones(1), np.zeros(3, np.int64), number, None, 0),
        lambda: _core.sum_colors(*sums, np.ones(1), np.zeros(3, np.int64), 1, None, 0, number),
        lambda: _move.adjust(np.ones((2, 3)), np.zeros(1, np.int64), 1.0, np.zeros(3, np.int8), None, number),
        lambda: _move.widen(np.zeros(60, "u1"), np.zeros((3, 5), "u2"), np.zeros((3, 5), "f4"), 5, number),
    ):
        with pytest.raises((TypeError, OverflowError)):
            call()


def test_results_of_the_core_in_the_memory_of_others():
    x, table = np.zeros((4, 3), np.float32, order="F"), np.zeros((3, 1))
    plan = Plan(length=4, mode=_core.MASKED)
    keeping = Plan(length=0, source=np.array([0]), keep=np.array([(0, 0, 1)], _core.RUN_DTYPE))
    own = lambda: np.zeros((3, 1))  # noqa: E731
    many = np.zeros((4, 3), order="F")
    stamps = np.zeros(5, np.int64)
    pixels = np.zeros(60, np.uint8)
    for call in (
        lambda: _core.correlate(plan, x, None, table, table, own()),
        lambda: _core.correlate(plan, x, None, own(), table, table),
        lambda: _core.correlate(plan, many, None, many[:3, :1], own(), own()),
        lambda: _core.correlate(plan, x, None, own(), own(), own(), table[:, 0], table[:, 0]),
        lambda: _core.store(keeping, x, x.reshape(-1, order="F")[:6].reshape(2, 3)),
        lambda: _core.settle(plan, x, table, table, np.zeros(3)),
        lambda: _core.energy(many, 4, 1, many[:3, 0], np.zeros(3)),
        lambda: _core.energy(many, 4, 1, *[np.zeros(3)] * 2),
        lambda: _core.counters(stamps[:4], 0, 1, 1, stamps[1:]),
        lambda: _move.adjust(many.T, np.zeros(1, np.int64), 1.0, many.T[1].view(np.int8)[:4], None),
    ):
        with pytest.raises(ValueError, match="memory of"):
            call()
    rows = pixels[:30].view("u2").reshape(3, 5)
    with pytest.raises(ValueError, match="begin where the memory does"):
        _move.widen(pixels, rows, np.zeros((3, 5), "f4"), 5)
    assert not x.any() and not many.any() and not table.any()


# -- delays ------------------------------------------------------------------------


@pytest.mark.parametrize("what", [name for name in NOT_WHOLE if name != "object array"])
def test_delays_of_a_config(what):
    with pytest.raises(ConfigError, match=r"^delays"):
        check_delays(NOT_WHOLE[what][0])


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0.5, 10, 3), "start must be a whole number >= 0, not 0.5"),
        ((-1, 10, 3), "start must be a whole number >= 0, not -1"),
        ((True, 10, 3), "start must be a whole number >= 0, not True"),
        ((1, "a", 3), "stop must be a whole number >= 0, not 'a'"),
        ((1, float("inf"), 3), "stop must be a whole number >= 0, not inf"),
        ((1, 1 << 50, 3), "stop is 1125899906842624, more than the largest delay, 2^40 pulses"),
        ((1, 10, float("nan")), "num must be a whole number >= 1, not nan"),
        ((1, 10, 0), "num must be a whole number >= 1, not 0"),
        ((1, 10, None), "num must be a whole number >= 1, not None"),
        ((1, 10, np.array([3, 4])), "num must be a whole number >= 1, not "),
        ((1 + 0j, 10, 3), "start must be a whole number >= 0, not "),
        ((11, 10, 3), "stop (10) must be >= start (11)"),
        ((1, 10, 3, "exp"), "spacing must be 'log' or 'lin', not 'exp'"),
        ((1, 10, 3, "log", "x"), "logbase must be above 1, not 'x'"),
        ((1, 10, 3, "log", float("nan")), "logbase must be above 1, not nan"),
    ],
)
def test_arguments_of_make_delay_list(args, text):
    with pytest.raises(ConfigError) as caught:
        make_delay_list(*args)
    assert str(caught.value).startswith(f"make_delay_list: {text}")
