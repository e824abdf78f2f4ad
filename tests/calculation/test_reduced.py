"""What `workerReduce` returns: sums that never wrap, whatever the number of workers; its size, said beforehand."""

import re

import h5py
import numpy as np
import pytest
from conftest import write_class
from hypothesis import given
from hypothesis import strategies as st
from local import run_local
from test_user_class import Reduces

from parcorana import BlockBase, ConfigError, PerElement, RunError, Summed, userg2
from parcorana.calculation.says import reduced_bytes
from parcorana.calculation.sums import add, narrowed, widened
from parcorana.job.config import resolve_config

SHAPE = (2, 5, 7)
WHOLE = [f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64)]
REAL = ["float16", "float32", "float64", "longdouble", "complex64", "complex128", "clongdouble"]


# -- sums ------------------------------------------------------------------------


@st.composite
def parts_of_whole(draw):
    dtype = np.dtype(draw(st.sampled_from(WHOLE)))
    about = np.iinfo(dtype)
    numbers = st.one_of(st.integers(about.min, about.max), st.sampled_from([about.min, about.max, 0]))
    rows = draw(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=6))
    return np.array(rows, dtype)


@given(parts_of_whole())
def test_whole_numbers_are_summed_exactly_or_not_at_all(parts):
    wide = np.int64 if parts.dtype.kind == "i" else np.uint64
    total, exact = widened(parts[0]).copy(), parts[0].astype(object)
    for part in parts[1:]:
        before, exact = total.copy(), exact + part.astype(object)
        if (exact > np.iinfo(wide).max).any() or (exact < np.iinfo(wide).min).any():
            with pytest.raises(OverflowError, match=f"beyond {np.dtype(wide)}"):
                add(total, part)
            np.testing.assert_array_equal(total, before)
            return
        add(total, part)
    assert total.dtype == wide and (total.astype(object) == exact).all()
    fits = ((exact <= np.iinfo(parts.dtype).max) & (exact >= np.iinfo(parts.dtype).min)).all()
    if fits:
        assert narrowed(total, parts.dtype).dtype == parts.dtype
        assert (narrowed(total, parts.dtype).astype(object) == exact).all()
    else:
        with pytest.raises(OverflowError, match=f"beyond {parts.dtype}"):
            narrowed(total, parts.dtype)


@pytest.mark.parametrize("dtype", REAL)
def test_real_numbers_are_summed_in_double(dtype):
    part = np.array([1, 2**-9, 60000], dtype)
    total = widened(part).copy()
    for _ in range(9999):
        add(total, part)
    assert total.dtype == np.result_type(dtype, "complex128" if part.dtype.kind == "c" else "float64")
    np.testing.assert_allclose(total.real, 1e4 * part.real.astype(float), rtol=1e-12)
    if dtype == "float16":
        with pytest.raises(OverflowError, match="beyond float16"):
            narrowed(total, part.dtype)
        assert np.isinf(narrowed(np.array([np.inf]), part.dtype)).all()  # that was there before


def run_reducing(tmp_path, returned, workers, **body):
    """Run a class whose k-th worker, with n elements, returns ``returned(k, n)``; return what the viewer got."""
    got = []

    def reduce(self, *args):
        mask, part = self.mpiParams.mask, self.mpiParams.part
        return returned(part.start * workers // mask.size, self.n)

    body |= {"workerReduce": reduce, "viewerPublishReduced": lambda self, c, r, reduced, g: got.append(reduced)}
    run_local(
        tmp_path, type("Mine", (Reduces,), body), np.arange(8), np.ones((8, *SHAPE), "f4"), workers=workers, times=9,
        delays=[1],
    )  # fmt: skip
    return got[-1]


@pytest.mark.parametrize("dtype", [*WHOLE, *REAL, ">i2", ">f4"])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_viewer_gets_wide_sums(tmp_path, dtype, workers):
    """100 + 100 of int8 was -56; the type and the sum are the same for every number of workers."""
    got = run_reducing(
        tmp_path, lambda k, n: {"a": np.full(2, 100, dtype), "n": n, "each": np.array(n, dtype)}, workers
    )
    kind = np.dtype(dtype).kind
    wide = np.result_type(np.dtype(dtype), {"i": "i8", "u": "u8", "f": "f8", "c": "c16"}[kind])
    assert got["a"].dtype == got["each"].dtype == wide and got["n"].dtype == np.int64
    assert got["a"].tolist() == [100 * workers] * 2 and got["n"] == got["each"] == np.prod(SHAPE)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda k, n: np.int64(2**62) * (1 + (k == 0)), ""),
        (lambda k, n: 2**62, "the sum of array 'a' over the workers is beyond int64: return float64"),
        (lambda k, n: -(2**62) - 1, "the sum of array 'a' over the workers is beyond int64: return float64"),
        (lambda k, n: np.uint64(2**63), "the sum of array 'a' over the workers is beyond uint64: return float64"),
        (lambda k, n: 2**64, "array 'a' must hold numbers, not object"),
        (lambda k, n: [2**63, -1], "'a' has whole numbers that neither int64 nor uint64 can hold together"),
        (lambda k, n: np.array("2020-01-01", "M8[D]"), "array 'a' must hold numbers, not datetime64[D]"),
        (lambda k, n: np.array(5, "m8[s]"), "array 'a' must hold numbers, not timedelta64[s]"),
        (lambda k, n: np.bool_(True), "array 'a' must hold numbers, not bool"),
        (lambda k, n: np.ma.array([1, 2], mask=[0, 1]), "array 'a' is masked"),
        (lambda k, n: [[1], [1, 2]], "'a' is no array"),
        (lambda k, n: np.ones(2, "i1" if k else "i2"), "must have the same dtype and shape on all workers, not int16"),
        (lambda k, n: np.ones(2 + k), "same dtype and shape on all workers, not float64 (2,) on the first and float64"),
        (lambda k, n: np.ones((1, 2) if k else 2), "same dtype and shape on all workers"),
        (lambda k, n: 1.0 if k else 1, "same dtype and shape on all workers, not int64 () on the first and float64 ()"),
    ],
)
def test_what_has_no_sum_is_an_error(tmp_path, value, words):
    workers = 3 if words else 1
    if not words:
        run_reducing(tmp_path, lambda k, n: {"a": value(1, n)}, workers)
        return
    with pytest.raises(RunError, match=rf"^Mine\.workerReduce: .*{re.escape(words)}"):
        run_reducing(tmp_path, lambda k, n: {"a": value(k, n)}, workers)


HUNDRED = """
import numpy as np
from parcorana import userg2

class Mine(userg2.G2atEnd):
    def workerReduce(self, arrays, counts, int8array):
        return super().workerReduce(arrays, counts, int8array) | {"hundred": np.int8([100, -100])}

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        super().viewerPublishReduced(counts, relsec, reduced, h5UserGroup)
        h5UserGroup[f"hundred_at_{self.mpiParams.processed}"] = reduced["hundred"]
"""


@pytest.mark.parametrize(("ranks", "workers"), [(0, 1), (3, 1), (5, 3)])
def test_small_integers_under_mpiexec(setup, ranks, workers):
    write_class(setup, HUNDRED, "Mine")
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        sums = [group[()] for name, group in file["user"].items() if name.startswith("hundred")]
    assert len(sums) == 4 and all(found.dtype == np.int64 for found in sums)
    assert all(found.tolist() == [100 * workers, -100 * workers] for found in sums)


# -- their size ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed"])
@pytest.mark.parametrize("normalization", ["pixel", "color", "finecolor"])
def test_the_size_of_the_shipped_classes_is_known(tmp_path, kind, normalization):
    """To the byte, but for stretches of time that are not in use yet."""
    rng = np.random.default_rng(0)
    mask = rng.random(SHAPE) < 0.8
    for name in ("color", "finecolor"):
        np.save(tmp_path / f"{name}.npy", rng.integers(1, 5, SHAPE))
    user = {"normalization": normalization, "saturated_value": 3.0, "save_arrays": False, "leverage": False}
    user |= {name: str(tmp_path / f"{name}.npy") for name in ("color", "finecolor")}
    seen = {}

    class Mine(getattr(userg2, kind)):
        def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
            seen.update({name: array.nbytes for name, array in reduced.items()})

    frames = rng.integers(0, 5, (600, *SHAPE)).astype(np.float32)
    roles = run_local(
        tmp_path, Mine, np.arange(600), frames, workers=2, mask=mask, user=user, times=9, delays=[1, 2, 8]
    )
    about = roles[0].calculation
    given = about.system_params, about.user_params
    # and not in an update
    kept = about.snapshot_bytes(*given, about.color_sums, 0) + about.frame_norm_bytes(*given, len(about.color_sizes))
    said = reduced_bytes(roles[0].config) - kept
    stretches = 512 - 300  # 600 events are 300 stretches of two
    assert seen["parcorana.intensity.events"] == 300 * 8
    assert said - sum(seen.values()) == stretches * (4 * 8 + 3 * 8)


def test_a_size_that_is_none_is_refused(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones(SHAPE, np.int8))
    system = {"dataset": "sim=brownian:shape=2x5x7:events=9:tau=3", "mask": str(tmp_path / "mask.npy")}
    for size in (None, -1, 1.5, True, "1 GB"):
        Mine = type("Mine", (Reduces,), {"reducedBytes": classmethod(lambda cls, *args, size=size: size)})
        config = resolve_config(system | {"times": 9, "delays": [1], "user_class": Mine}, {})
        with pytest.raises(
            ConfigError, match=f"^user_class Mine: reducedBytes must return a number of bytes, not {size!r}"
        ):
            reduced_bytes(config)


@pytest.mark.parametrize(("said", "size", "warned"), [(0, 15, False), (0, 17, True), (3, 17, False), (0, 5, True)])
def test_large_arrays_that_nobody_spoke_of_are_said(tmp_path, caplog, said, size, warned):
    """At the first update, once, in the type that is summed."""
    dtype = np.int8 if size == 5 else np.float64
    body = {"reducedBytes": classmethod(lambda cls, *args: said << 20)} if said else {}
    numbers = (size << 20) // np.dtype(dtype).itemsize
    run_reducing(tmp_path, lambda k, n: {"a": np.zeros(numbers, dtype)}, 1, **body)
    lines = [record.message for record in caplog.records if "--check did not count that" in record.message]
    assert len(lines) == warned
    if warned:
        assert lines[0].startswith(
            f"Mine.workerReduce returns {40 if size == 5 else 17} MiB, of which a worker and the"
        )


@pytest.mark.parametrize("said", [0, 20 << 20])
def test_what_a_class_on_blocks_says_is_not_said_again(tmp_path, caplog, said):
    """`collect` returns 20 MiB beside its arrays: a warning only where `collected_bytes` has not told."""

    class Mine(BlockBase):
        def arrays(self, elements):
            self.sums = np.zeros(elements)
            return {"sums": PerElement(self.sums)}

        def collect(self, last, buffer):
            return {"much": Summed(np.zeros((20 << 20) // 8))}

        def collected_bytes(self, elements):
            return said

        def publish(self, update, group):
            pass

    run_local(tmp_path, Mine, np.arange(9), np.zeros((9, *SHAPE), np.float32), workers=2, times=9, delays=[1])
    lines = [record.message for record in caplog.records if "--check did not count that" in record.message]
    assert len(lines) == (not said)
    if not said:
        assert lines[0].startswith("Mine.collect returns 20 MiB") and lines[0].endswith("say it by collected_bytes")
