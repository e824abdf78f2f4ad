"""parcorana.kernels, the kernels as a library, against plain loops."""

import ctypes
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import each_code_path
from effort import PATIENCE, examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parcorana
from parcorana import kernels
from parcorana.correlation.rolling import UNFILLED

USUAL = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

code_path = each_code_path(kernels)


@st.composite
def problems(draw):
    """Times in any order, with gaps and unfilled rows; delays; how many elements; one layout of each array."""
    times = draw(st.sampled_from([0, 1, 2, 5, 30, 100, 400]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    gaps = draw(st.sampled_from([0, 0, 0.02, 0.3, 0.9]))
    T = np.cumsum(1 + (rng.random(times) < gaps)).astype(np.int64) - draw(st.integers(0, 50))
    how = draw(st.sampled_from(["ring", "ring", "any", "sorted"]))
    if how == "ring" and times:
        T = np.roll(T, draw(st.integers(0, times)))
    elif how == "any":
        rng.shuffle(T)
    T[times - draw(st.integers(0, times)) // 3 :] = UNFILLED
    largest = draw(st.sampled_from([1, 10, 60, 500]))
    delays = rng.permutation(np.arange(0, largest + 1))[: draw(st.integers(1, 9))]
    rows = None
    if draw(st.booleans()):
        rows = rng.permutation(times)[: draw(st.integers(0, times))]
    return {
        "T": T,
        "delays": delays,
        "rows": rows,
        "elements": draw(st.sampled_from([1, 2, 15, 33, 64, 70, 131])),
        "order": draw(st.sampled_from(["C", "F", "step"])),
        "out": draw(st.sampled_from(["C", "F", "step"])),
        "series": draw(st.sampled_from([None, None, "past", "future"])),
        "wanted": draw(st.sets(st.sampled_from(["G2", "IP", "IF_"]), min_size=1)),
        "seed": draw(st.integers(0, 10**6)),
    }


def laid_out(array, order):
    """Return a copy with another layout in memory."""
    if order == "step":
        wide = np.full((array.shape[0] * 2, array.shape[1] * 3), 7, array.dtype)
        wide[::2, ::3] = array
        return wide[::2, ::3]
    return np.array(array, order=order)


def slow_pairs(T, delays, rows):
    """Return the set of pairs of rows for each delay."""
    chosen = range(len(T)) if rows is None else set(map(int, rows))
    filled = {int(t): k for k, t in enumerate(T) if t != UNFILLED}
    every = [{(k, filled[t + d]) for t, k in filled.items() if t + d in filled} for d in map(int, delays)]
    return [{(i, j) for i, j in pairs if i in chosen or j in chosen} for pairs in every]


def slow_sums(pairs, past, future):
    """Return G2, IP, IF and the sums of absolute values of each, pair by pair in float64."""
    sums = np.zeros((6, len(pairs), past.shape[1]))
    for d, of_delay in enumerate(pairs):
        for i, j in of_delay:
            a, b = past[i].astype(np.float64), future[j].astype(np.float64)
            sums[:, d] += [a * b, a, b, abs(a * b), abs(a), abs(b)]
    return dict(zip(("G2", "IP", "IF_"), sums[:3], strict=True)), dict(zip(("G2", "IP", "IF_"), sums[3:], strict=True))


def operands(problem, dtype, whole):
    rng = np.random.default_rng(problem["seed"])
    shape = len(problem["T"]), problem["elements"]
    X = rng.integers(0, 257, shape) if whole else rng.normal(1, 1, shape)
    series = rng.integers(0, 257, shape[0]) if whole else rng.normal(1, 1, shape[0])
    X, series = laid_out(X.astype(dtype), problem["order"]), series.astype(dtype)
    kind = problem["series"]
    past = np.broadcast_to(series[:, None], shape) if kind == "past" else X
    future = np.broadcast_to(series[:, None], shape) if kind == "future" else X
    return X, {kind: series} if kind else {}, past, future


def results(problem, X, given, threads=1, which=kernels.add_pairs, start=0.0):
    """Return the runs, and what a function made of arrays that began with `start`."""
    runs = kernels.find_runs(problem["T"], problem["delays"], problem["rows"])
    shape = len(problem["delays"]), problem["elements"]
    out = {name: laid_out(np.full(shape, start), problem["out"]) for name in sorted(problem["wanted"])}
    which(runs, X, **out, **given, threads=threads)
    return runs, out


@settings(max_examples=examples(150), deadline=None)
@given(problems())
def test_runs_are_the_pairs(problem):
    runs = kernels.find_runs(problem["T"], problem["delays"], problem["rows"])
    want = slow_pairs(problem["T"], problem["delays"], problem["rows"])
    assert runs.start[0] == 0 and runs.start[-1] == len(runs.run)
    for d, pairs in enumerate(want):
        part = runs.run[runs.start[d] : runs.start[d + 1]]
        found = [(int(i) + k, int(j) + k) for i, j, n in part.tolist() for k in range(n)]
        assert set(found) == pairs
        assert len(found) == len(pairs) == runs.counts[d]


def test_runs_are_long():
    """A ring of consecutive pulses makes one run a delay, three where both of its ends wrap."""
    T = np.roll(np.arange(1000), 300)
    assert np.diff(kernels.find_runs(T, [1, 10, 999]).start).tolist() == [3, 3, 1]
    assert np.diff(kernels.find_runs(np.arange(1000), [1, 10, 999]).start).tolist() == [1, 1, 1]


@USUAL
@given(problem=problems(), dtype=st.sampled_from([np.float32, np.float64]))
def test_whole_numbers_are_exact(code_path, problem, dtype):
    X, given, past, future = operands(problem, dtype, whole=True)
    _, out = results(problem, X, given, start=3.0)
    want, _ = slow_sums(slow_pairs(problem["T"], problem["delays"], problem["rows"]), past, future)
    for name, array in out.items():
        np.testing.assert_array_equal(array, want[name] + 3, err_msg=name)
    _, removed = results(problem, X, given, which=kernels.remove_pairs, start=3.0)
    for name, array in removed.items():
        np.testing.assert_array_equal(array, 3 - want[name], err_msg=name)


@USUAL
@given(problem=problems())
@pytest.mark.parametrize(("dtype", "allowed"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_real_numbers(code_path, problem, dtype, allowed):
    X, given, past, future = operands(problem, dtype, whole=False)
    _, out = results(problem, X, given)
    want, scale = slow_sums(slow_pairs(problem["T"], problem["delays"], problem["rows"]), past, future)
    for name, array in out.items():
        assert (abs(array - want[name]) <= allowed * scale[name]).all(), name


@USUAL
@given(problem=problems(), dtype=st.sampled_from([np.float32, np.float64]))
def test_threads_layout_and_the_other_elements_change_no_bit(code_path, problem, dtype):
    problem["wanted"] = {"G2", "IP", "IF_"}
    X, given, _, _ = operands(problem, dtype, whole=False)
    _, out = results(problem, X, given)
    for threads, order in ((2, "C"), (3, "F"), (8, "step")):
        _, other = results(problem, laid_out(X, order), given, threads)
        for name, array in out.items():
            np.testing.assert_array_equal(array, other[name], err_msg=f"{name}, {threads} threads, {order}")
    part = slice(problem["elements"] // 3, problem["elements"] // 2 + 1)
    alone = problem | {"elements": part.stop - part.start}
    _, other = results(alone, X[:, part], given)
    for name, array in out.items():
        np.testing.assert_array_equal(array[:, part], other[name], err_msg=name)
    only = problem | {"wanted": {"G2"}}
    np.testing.assert_array_equal(out["G2"], results(only, X, given)[1]["G2"])


@pytest.mark.parametrize("delays", [[1, 2, 512], list(range(1, 600, 7)), [3]])
@pytest.mark.parametrize("shape", ["one bright lane", "constant", "alternating"])
@pytest.mark.parametrize("gaps", [0, 0.5])
def test_rounding_of_float32_at_its_worst(code_path, shape, delays, gaps):
    data = np.full((2048, 1), 1 + 2.0**-13, np.float32)
    if shape == "one bright lane":
        data[:] = 2.42e-4
        data[:9] = 1
    elif shape == "alternating":
        data[::2], data[1::2] = 1e3, 1e-3
    T = np.cumsum(1 + (np.random.default_rng(0).random(2048) < gaps))
    runs, exact = kernels.find_runs(T, delays), data[:, 0].astype(np.float64)
    out = np.zeros((3, len(delays), 1))
    kernels.add_pairs(runs, data, *out)
    for d in range(len(delays)):
        part = runs.run[runs.start[d] : runs.start[d + 1]]
        i = np.concatenate([np.arange(a, a + n) for a, _, n in part.tolist()])
        j = np.concatenate([np.arange(b, b + n) for _, b, n in part.tolist()])
        want = (exact[i] * exact[j]).sum(), exact[i].sum(), exact[j].sum()
        assert (abs(out[:, d, 0] - want) <= 1e-6 * np.array(want)).all()


@settings(max_examples=examples(60), deadline=None)
@given(
    m=st.integers(0, 40),
    n=st.integers(0, 60),
    order=st.sampled_from(["C", "F", "step"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_sums_over_colors(m, n, order, dtype, seed):
    rng = np.random.default_rng(seed)
    values = laid_out(rng.normal(0, 1, (m, n)).astype(dtype), order)
    color = rng.choice([-2, 0, 1, 3, 1000], n)
    for colors in (None, [1, 2, 3, 1000, 2000], [3]):
        used = np.unique(color[color > 0]) if colors is None else colors
        want = np.zeros((m, len(used)))
        for k, c in enumerate(used):
            want[:, k] = values[:, color == c].astype(np.float64).sum(axis=1)
        sums = kernels.sum_colors(values, color, colors)
        np.testing.assert_allclose(sums, want, rtol=1e-12, atol=1e-12)
        for threads in (2, 5):
            np.testing.assert_array_equal(sums, kernels.sum_colors(values, color, colors, threads))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks(dtype):
    rng = np.random.default_rng(0)
    mask = rng.random((2, 5, 7)) < 0.5
    frame = rng.normal(0, 1, mask.shape).astype(dtype)
    index = kernels.included(mask)
    assert index.dtype == np.int64
    np.testing.assert_array_equal(index, np.flatnonzero(mask))
    np.testing.assert_array_equal(kernels.gather(frame, index), frame[mask])
    out = np.empty(len(index), dtype)
    assert kernels.gather(frame, index, out) is out
    back = np.full(mask.shape, 9, dtype)
    assert kernels.scatter(np.asfortranarray(np.array([out, out]))[0], index, back) is back
    np.testing.assert_array_equal(back, np.where(mask, frame, 9))
    part = slice(3, 8)
    np.testing.assert_array_equal(kernels.included(mask, part), index[part])


def wrong_calls():
    T, X = np.arange(20), np.ones((20, 3), np.float32)
    G2, runs = np.zeros((2, 3)), kernels.find_runs(np.arange(20), [1, 2])
    beyond = kernels.find_runs(np.arange(21), [1, 2])
    locked = np.zeros((2, 3))
    locked.flags.writeable = False
    index, add = np.arange(3), kernels.add_pairs
    bent = kernels.Runs(runs.run, runs.start[::-1].copy(), runs.counts)
    return [
        (kernels.find_runs, (T.astype(np.int32), [1]), TypeError, "T holds int32, it should hold int64"),
        (kernels.find_runs, (list(T), [1]), TypeError, "T is a list, it should be a NumPy array"),
        (kernels.find_runs, (T, [1, -1]), ValueError, "delays has -1, all should be 0 or more"),
        (kernels.find_runs, (T // 2, [1]), ValueError, "T has the same counter in two rows"),
        (kernels.find_runs, (T, [1], [20]), ValueError, "rows has 20 to 20, T has only rows 0 to 19"),
        (add, (runs, X.astype(int), G2), TypeError, "X holds int64, it should hold float32 or float64"),
        (add, (runs, X[0], G2), ValueError, r"X has the shape 3, it should be any x any"),
        (add, (runs, X, G2[:1]), ValueError, "G2 has the shape 1 x 3, it should be 2 x 3"),
        (add, (runs, X, G2.astype("f4")), TypeError, "G2 holds float32, it should hold float64"),
        (add, (runs, X, None, locked), ValueError, "IP is read-only, and should take the result"),
        (add, (runs, X, G2, G2.copy("F")), ValueError, "IP lies in memory in another order than the other results"),
        (add, (beyond, X, G2), ValueError, "a run of rows reaches beyond the rows there are"),
        (add, (bent, X, G2), ValueError, "runs.start ends at 0|lengths do not fit together"),
        (kernels.sum_colors, (X, [1, 2]), ValueError, "color has the shape 2, values have 3 elements"),
        (kernels.sum_colors, (X, [1.0, 2, 3]), TypeError, "color should hold whole numbers: 1.0 is none"),
        (kernels.sum_colors, (X, [1, 2, 3], [2, 1]), ValueError, "colors should be increasing and above 0"),
        (kernels.sum_colors, (X, [1, 2, 3], None, 0), ValueError, "threads is 0, it should be 1 or more"),
        (kernels.gather, (X[0], index + 1), ValueError, "index has positions beyond the 3 of the frame"),
        (kernels.gather, (X[0], index - 1), ValueError, "index has positions beyond the 3 of the frame"),
        (kernels.gather, (X.T, index), ValueError, "frame and out must be contiguous"),
        (kernels.scatter, (X[0], index + 1, X[1]), ValueError, "index has positions beyond the 3 of out"),
        (kernels.scatter, (X[0], index, G2[0]), TypeError, "out holds float64, it should hold float32"),
        (kernels.included, (index,), TypeError, "mask holds int64, it should hold bool"),
        (kernels.choose_path, ("z80",), ValueError, "no code path 'z80' on this machine"),
    ]


@pytest.mark.parametrize("case", range(len(wrong_calls())))
def test_errors(case):
    function, args, kind, text = wrong_calls()[case]
    with pytest.raises(kind, match=text):
        function(*args)


def test_errors_of_series():
    X, runs = np.ones((20, 3), np.float32), kernels.find_runs(np.arange(20), [1])
    G2, mean = np.zeros((1, 3)), np.ones(20, np.float32)
    with pytest.raises(ValueError, match="past and future are both given"):
        kernels.add_pairs(runs, X, G2, past=mean, future=mean)
    with pytest.raises(TypeError, match="past holds float64, it should hold float32"):
        kernels.add_pairs(runs, X, G2, past=mean.astype(float))
    with pytest.raises(ValueError, match="future has the shape 19, it should be 20"):
        kernels.add_pairs(runs, X, G2, future=mean[1:])
    with pytest.raises(ValueError, match="threads is 0"):
        kernels.add_pairs(runs, X, G2, threads=0)
    assert not G2.any()


# -- for compiled modules ----------------------------------------------------------

RUNS = "pca_run const *, int64_t const *, int64_t"
SUMS = "double *, double *, double *, int64_t, int64_t, double, int"
X_OF = "{} const *, int64_t, int64_t, int64_t, int64_t"
ABI = 1
# Whoever changes one of these breaks modules that users have compiled: their import then fails, and says so.
# A change that keeps the types but not their meaning needs a new PARCORANA_KERNELS_ABI.
SIGNATURES = {
    "check": "int (pca_status)",
    "require_abi": "int (int)",
    "row_runs": "pca_status (int64_t const *, int64_t, uint8_t const *, int64_t const *, int64_t, pca_run *, int64_t, "
    "int64_t *, int64_t *)",
}
for suffix, real in (("f32", "float"), ("f64", "double")):
    SIGNATURES |= {
        f"add_pairs_{suffix}": f"pca_status ({RUNS}, {X_OF.format(real)}, {SUMS})",
        f"add_cross_{suffix}": f"pca_status ({RUNS}, {real} const *, int, {X_OF.format(real)}, {SUMS})",
        f"sum_groups_{suffix}": f"pca_status ({X_OF.format(real)}, int32_t const *, int32_t, double *, int64_t, "
        "int64_t, int)",
        f"gather_{suffix}": f"pca_status ({real} const *, int64_t, int64_t const *, int64_t, {real} *)",
        f"scatter_{suffix}": f"pca_status ({real} const *, int64_t, int64_t const *, int64_t, {real} *, int64_t)",
    }


def test_signatures_are_frozen():
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    exported = {name: name_of(capsule).decode() for name, capsule in kernels.__pyx_capi__.items()}
    assert exported == SIGNATURES
    assert kernels.ABI == ABI


def test_header():
    """What the compiler of a user's module reads is what the kernels were compiled with."""
    with open(os.path.join(parcorana.get_include(), "parcorana", "kernels.h"), encoding="ascii") as file:
        text = file.read()
    assert int(re.search(r"#define PARCORANA_KERNELS_ABI (\d+)", text)[1]) == kernels.ABI
    statuses = dict(re.findall(r"(PCA_\w+) = (\d+)", text))
    assert list(statuses.values()) == [str(k) for k in range(8)]
    fields = re.search(r"typedef struct \{([^}]*)\} pca_run;", text)[1]
    assert re.findall(r"(\w+) (\w+);", fields) == [("int32_t", name) for name in kernels.RUN_DTYPE.names]
    assert kernels.RUN_DTYPE.itemsize == 12


def test_code_path_by_variable(command, tmp_path):
    for name in kernels.paths():
        code = "from parcorana import kernels; print(kernels.path())"
        run = command(sys.executable, "-c", code, cwd=tmp_path, env={"PARCORANA_CPU": name})
        assert run.stdout == f"{name}\n", run.stderr
    run = command(sys.executable, "-c", code, cwd=tmp_path, env={"PARCORANA_CPU": "z80"})
    assert run.stderr.splitlines()[-1].startswith("ValueError: PARCORANA_CPU: no code path 'z80' on this machine")


FORKS = """
import os, signal
import numpy as np
from parcorana import kernels

index = kernels.color_index(np.ones(1 << 16, np.int64), np.ones(1, np.int64))
data = np.ones((2, 1 << 16), np.float32)
assert kernels.sum_indexed(data, index, 1, 2).tolist() == [[65536], [65536]]
child = os.fork()
if not child:
    signal.alarm(60)  # who waits for threads that are not there would wait for ever
    os._exit(kernels.sum_indexed(data, index, 1, 2).tolist() != [[65536], [65536]])
assert os.waitpid(child, 0)[1] == 0
assert kernels.sum_indexed(data, index, 1, 2).tolist() == [[65536], [65536]]
"""


def test_a_process_that_is_forked_does_not_wait_for_the_threads_of_the_other():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=PATIENCE)
