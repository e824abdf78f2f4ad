"""Arrays that share memory: what `parcorana.kernels` and the functions under it make of them."""

import ctypes

import numpy as np
import pytest
from conftest import each_code_path
from effort import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from parcorana import kernels, reference

USUAL = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

code_path = each_code_path(kernels)


def view(memory, first, shape, steps, writeable=False):
    """Return a view of memory by steps counted in values; None if it would reach beyond it."""
    ends = [first + sum(k) for k in ([min(s * (n - 1), 0) for s, n in zip(steps, shape, strict=True)],)]
    ends += [first + sum(max(s * (n - 1), 0) for s, n in zip(steps, shape, strict=True))]
    if min(ends) < 0 or max(ends) >= len(memory):
        return None
    return as_strided(memory[first:], shape, [s * memory.itemsize for s in steps], writeable=writeable)


def slow(runs, past, future):
    """Return G2, IP and IF, pair by pair in float64."""
    out = np.zeros((3, len(runs.counts), past.shape[1]))
    for d in range(len(runs.counts)):
        for i, j, n in runs.run[runs.start[d] : runs.start[d + 1]].tolist():
            for k in range(n):
                a, b = past[i + k].astype(np.float64), future[j + k].astype(np.float64)
                out[:, d] += [a * b, a, b]
    return out


@USUAL
@given(
    rows=st.sampled_from([1, 2, 7, 40, 300]),
    elements=st.sampled_from([1, 2, 5, 33, 70]),
    gaps=st.sampled_from([0, 0.3]),
    few=st.booleans(),
    order=st.sampled_from(["C", "F", "rows alike", "elements alike", "backwards", "Toeplitz"]),
    first=st.sampled_from([0, 0, 0, 1, 5]),
    step=st.sampled_from(["row", "element", "other", "alike", "backwards"]),
    side=st.sampled_from(["past", "future"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_a_series_of_the_same_memory(code_path, rows, elements, gaps, few, order, first, step, side, dtype, seed):
    """`past` or `future` may begin where X does, or anywhere in it."""
    rng = np.random.default_rng(seed)
    size = rows * elements
    memory = rng.integers(0, 257, 3 * size + 20).astype(dtype)
    begin, steps = {
        "C": (0, (elements, 1)),
        "F": (0, (1, rows)),
        "rows alike": (0, (0, 1)),
        "elements alike": (0, (1, 0)),
        "backwards": (size - 1, (-elements, -1)),
        "Toeplitz": (0, (1, 1)),
    }[order]
    X = view(memory, begin, (rows, elements), steps)
    at = begin + first
    series = view(
        memory, at, (rows,), ({"row": steps[0], "element": steps[1], "other": 2, "alike": 0, "backwards": -1}[step],)
    )
    assume(series is not None)
    T = np.cumsum(1 + (rng.random(rows) < gaps))
    runs = kernels.find_runs(T, [1, 2, 5, 50], [rows - 1] if few else None)
    out = np.zeros((3, 4, elements))
    kernels.add_pairs(runs, X, *out, **{side: series})
    wide = np.broadcast_to(series[:, None], X.shape)
    np.testing.assert_array_equal(out, slow(runs, *((wide, X) if side == "past" else (X, wide))))
    kernels.remove_pairs(runs, X, *out, **{side: series})
    assert not out.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rows", [12, 300])
def test_series_of_an_element_against_the_reference(code_path, dtype, order, rows):
    """The reference has no series: to it they are other events, far enough away."""
    far, delays = 10**6, [0, 1, 3]
    X = np.array(np.random.default_rng(0).integers(0, 9, (rows, 5)), dtype, order=order)
    runs = kernels.find_runs(np.arange(rows), delays)
    for element in range(5):
        out = np.zeros((3, 3, 5))
        kernels.add_pairs(runs, X, *out, past=X[:, element])
        series = np.broadcast_to(X[:, element : element + 1], X.shape).astype(float)
        events = {t: series[t] for t in range(rows)} | {far + t: X[t].astype(float) for t in range(rows)}
        want = reference.pairs_sums(events, [far + d for d in delays], 5)
        assert want["counts"].tolist() == runs.counts.tolist() == [rows, rows - 1, rows - 3]
        for name, array in zip(("G2", "IP", "IF"), out, strict=True):
            np.testing.assert_array_equal(array, want[name], err_msg=name)


layouts = st.tuples(st.integers(0, 60), st.integers(-7, 14), st.integers(-7, 14))


@USUAL
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    places=st.lists(st.integers(0, 60), min_size=3, max_size=3),
    steps=st.tuples(st.integers(-7, 14), st.integers(-7, 14)),
    x=layouts,
    series=st.one_of(st.none(), st.tuples(st.integers(0, 60), st.integers(-5, 9))),
    rows=st.integers(1, 5),
)
def test_results_in_the_memory_of_others(shape, places, steps, x, series, rows):
    """Refused, and nothing is written, wherever memory is shared; else right, or refused where values interleave."""
    memory = np.random.default_rng(sum(places)).integers(0, 9, 200).astype(np.float64)
    before = memory.copy()
    outs = [view(memory, place + 40, shape, steps, writeable=True) for place in places]
    X = view(memory, x[0] + 40, (rows, shape[1]), x[1:])
    given_series = {} if series is None else {"past": view(memory, series[0] + 40, (rows,), series[1:])}
    assume(all(array is not None for array in [*outs, X, *given_series.values()]))
    runs = kernels.find_runs(np.arange(rows), np.arange(shape[0]) + 1)
    values = [X.copy(), *(array.copy() for array in given_series.values())]
    past, future = (np.broadcast_to(values[-1][:, None], X.shape), values[0]) if series else (values[0], values[0])
    folds = (
        len(
            {
                array.ctypes.data + i * array.strides[0] + j * array.strides[1]
                for array in outs[:1]
                for i in range(shape[0])
                for j in range(shape[1])
            }
        )
        < outs[0].size
    )
    inputs = [X, *given_series.values()]
    with_inputs = any(np.shares_memory(out, other) for out in outs for other in inputs)
    with_results = any(np.shares_memory(outs[a], outs[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    shared = folds or with_inputs or with_results
    refused = ""
    try:
        kernels.add_pairs(runs, X, *outs, **given_series)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert "share memory" in refused or "lies in the memory of" in refused
        np.testing.assert_array_equal(memory, before)
        assert shared or any(np.may_share_memory(out, other) for out in outs for other in inputs)
        return
    assert not shared
    want = slow(runs, past, future)
    start = before.copy()
    for k, place in enumerate(places):
        view(start, place + 40, shape, steps, writeable=True)[...] += want[k]
    np.testing.assert_array_equal(memory, start)


@pytest.mark.parametrize("layout", ["stacked", "interleaved", "side by side", "element by element"])
def test_results_cut_from_one_array(layout):
    """The usual ways to allocate all three at once are none that share."""
    D, n = 3, 50
    whole = {
        "stacked": lambda: np.zeros((3, D, n)),
        "interleaved": lambda: np.moveaxis(np.zeros((D, n, 3)), 2, 0),
        "side by side": lambda: np.swapaxes(np.zeros((D, 3, n)), 0, 1),
        "element by element": lambda: np.transpose(np.zeros((n, 3, D)), (1, 2, 0)),
    }[layout]()
    X = np.random.default_rng(0).integers(0, 9, (20, n)).astype(np.float32)
    runs = kernels.find_runs(np.arange(20), [1, 2, 3])
    kernels.add_pairs(runs, X, *whole)
    np.testing.assert_array_equal(whole, slow(runs, X, X))


def test_which_arrays_share_is_said():
    X, runs = np.ones((20, 3)), kernels.find_runs(np.arange(20), [1])
    G2, memory = np.zeros((1, 3)), np.zeros(9)
    bad = [
        ("G2 lies in the memory of IF_", {"G2": G2, "IF_": G2}),
        ("IP lies in the memory of X", {"G2": G2, "IP": X[4:5]}),
        ("G2 lies in the memory of past", {"G2": X[:1], "past": X[:, 1].copy()} | {"X": np.ones((20, 3))}),
        ("G2 has values that share memory", {"G2": as_strided(memory, (1, 3), (8, 0))}),
    ]
    series = np.ones(20)
    bad[2][1].update(G2=series[3:6].reshape(1, 3), past=series)
    for text, arrays in bad:
        with pytest.raises(ValueError, match=f"^{text}: give the result an array of its own$"):
            kernels.add_pairs(runs, **({"X": X} | arrays))
    assert (X == 1).all() and not G2.any() and not memory.any()


def test_frames():
    """A frame is not taken apart, nor put together, in its own memory."""
    frame, index = np.arange(10.0), np.array([1, 3, 5])
    for call, text in (
        (lambda: kernels.gather(frame, index, frame[:3]), "out lies in the memory of frame"),
        (lambda: kernels.gather(frame, index, frame[7:]), "out lies in the memory of frame"),
        (lambda: kernels.gather(frame, index, index.view(float)), "out lies in the memory of index"),
        (lambda: kernels.scatter(frame[2:5], index, frame), "out lies in the memory of values"),
        (lambda: kernels.scatter(frame[::4], index, frame), "out lies in the memory of values"),
        (lambda: kernels.scatter(frame[:3], index, index.view(float)), "out lies in the memory of index"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    assert frame.tolist() == list(range(10)) and index.tolist() == [1, 3, 5]


def test_nothing_is_written_where_a_position_is_wrong():
    frame = np.arange(10.0)
    with pytest.raises(ValueError, match="beyond the 10 of out"):
        kernels.scatter(np.ones(3), np.array([1, 3, 10]), frame)
    assert frame.tolist() == list(range(10))


# -- without the GIL: the functions that other compiled modules call, called as those do --


def compiled(name, *types):
    """Return an exported function."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = kernels.__pyx_capi__[name]
    naming = ctypes.pythonapi.PyCapsule_GetName
    naming.restype, naming.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return ctypes.CFUNCTYPE(ctypes.c_int, *types)(get(capsule, naming(capsule)))


P, N, F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
OK, SHARED = 0, 7
SUMS = [P, P, P, N, N, F, ctypes.c_int]


def at(array):
    return None if array is None else array.ctypes.data


def cross(X, series, is_future, G2, IP=None, IF=None, runs=None):
    run, start, counts = runs or kernels.find_runs(np.arange(len(X)), [1, 4])
    call = compiled(f"add_cross_f{8 * X.itemsize}", P, P, N, P, ctypes.c_int, P, N, N, N, N, *SUMS)
    steps = [s // X.itemsize for s in X.strides]
    of_out = [s // 8 for s in G2.strides]
    return call(at(run), at(start), len(counts), at(series), is_future, at(X), *X.shape, *steps, at(G2), at(IP),
                at(IF), *of_out, 1.0, 1)  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rows", [6, 300])
@pytest.mark.parametrize("is_future", [0, 1])
def test_a_series_that_begins_where_x_does(code_path, dtype, order, rows, is_future):
    X = np.array(np.random.default_rng(0).integers(0, 9, (rows, 7)), dtype, order=order)
    series = X.ravel(order="K")[:rows]  # the memory of X as it lies
    out = np.zeros((3, 2, 7))
    assert np.shares_memory(series, X) and series.ctypes.data == X.ctypes.data
    assert cross(X, series, is_future, *out) == OK
    wide = np.broadcast_to(series[:, None], X.shape)
    runs = kernels.find_runs(np.arange(rows), [1, 4])
    np.testing.assert_array_equal(out, slow(runs, *((X, wide) if is_future else (wide, X))))


def test_status_of_shared_memory():
    X = np.ones((20, 7))
    G2, series = np.zeros((2, 7)), np.ones(20)
    assert cross(X, series, 0, G2, G2) == SHARED
    assert cross(X, series, 0, X[:2]) == SHARED
    assert cross(X, series, 0, np.broadcast_to(G2[:, :1], (2, 7))) == SHARED
    assert cross(X, series, 0, series[:14].reshape(2, 7)) == SHARED
    assert not G2.any() and (X == 1).all() and (series == 1).all()
    T, delay, number = np.arange(20), np.array([1, 2]), np.zeros(60, np.int64)
    runs = compiled("row_runs", P, N, P, P, N, P, N, P, P)
    assert runs(at(T), 20, None, at(delay), 2, at(number), 8, at(number[20:]), at(number[30:])) == OK
    assert runs(at(T), 20, None, at(delay), 2, at(number), 8, at(number[20:]), at(number[22:])) == SHARED
    assert runs(at(T), 20, None, at(delay), 2, at(number), 8, at(number[20:]), at(delay)) == SHARED
    assert runs(at(T), 20, None, at(delay), 2, at(number), 8, at(number[11:]), at(number[30:])) == SHARED
    frame, index = np.arange(9.0), np.arange(3)
    gather, scatter = compiled("gather_f64", P, N, P, N, P), compiled("scatter_f64", P, N, P, N, P, N)
    assert gather(at(frame), 9, at(index), 3, at(frame[6:])) == SHARED
    assert gather(at(frame), 6, at(index), 3, at(frame[6:])) == OK
    assert scatter(at(frame[4:]), 1, at(index), 3, at(frame), 9) == SHARED
    assert scatter(at(frame[4:]), 1, at(index), 3, at(frame), 4) == OK
    groups, group = (
        compiled("sum_groups_f64", P, N, N, N, N, P, ctypes.c_int32, P, N, N, ctypes.c_int),
        index.astype("i4"),
    )
    assert groups(at(frame), 3, 3, 3, 1, at(group), 3, at(frame[4:]), 1, 1, 1) == SHARED
    assert groups(at(frame), 3, 3, 3, 1, at(group), 3, at(np.zeros((3, 3))), 3, 1, 1) == OK
    with pytest.raises(ValueError, match="a result lies in the memory of another one"):
        raise_of(SHARED)


def raise_of(status):
    """Do what `check` does."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    capsule = kernels.__pyx_capi__["check"]
    ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int)(get(capsule, b"int (pca_status)"))(status)
