"""What ranks take of memory, measured, against the formulas of the contract (section 8)."""

import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from parcorana import memory
from parcorana.partition import Roles
from parcorana.pipeline import note
from parcorana.pipeline.gathered import Gathered

WIDTH, TIMES, BLOCK, FRAMES, FILES = 120_000, 500, 64, 40, 20


def peaks(setup, width, dtype):
    """Run a job under mpiexec; return the MiB at most of each role."""
    rng = np.random.default_rng(0)
    with h5py.File(setup.folder / "frames_0.h5", "w") as file:
        file["frames"] = rng.poisson(5, (FRAMES, width)).astype(dtype)
    for k in range(1, FILES):
        (setup.folder / f"frames_{k}.h5").unlink(missing_ok=True)
        (setup.folder / f"frames_{k}.h5").symlink_to("frames_0.h5")
    np.save(setup.folder / "mask.npy", np.ones(width, np.int8))
    given = {"dataset": "h5=frames_*.h5", "src": "frames", "times": TIMES, "block": BLOCK, "update": 300}
    user = {"save_arrays": False, "saturated_value": 20.0}
    setup.write("G2IncrementalAccumulator", user, delays=list(range(1, 41)), **given)
    run = setup.drive(ranks=3)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        assert file["system/accounting"].attrs["processed"] == FRAMES * FILES
        return {row["role"].decode(): float(row["peak_mib"]) for row in file["system/timing"][()]}


@pytest.mark.parametrize("dtype", ["f4", "u2"])
def test_ranks_stay_within_their_formula(setup, dtype):
    """Less what a rank has for any detector, libraries and all, nobody takes 10% more than the formula says."""
    small, large = peaks(setup, 64, dtype), peaks(setup, WIDTH, dtype)
    mib = WIDTH / 2**20
    formulas = {
        "worker": ((TIMES + 2 * BLOCK) * 4 + 3 * 40 * 8) * mib,
        "server": 2 * BLOCK * 4 * mib,
        "viewer": 8 * mib,
    }
    for role, formula in formulas.items():
        assert small[role] < 64 + 32  # libraries: with the margin for them
        assert large[role] - small[role] < 1.1 * formula + 16, (role, large, small, formula)


NAMES = ["a", "b", "c", "d", "e"]


def fail(cls):
    raise ValueError("not now")


@pytest.mark.parametrize(
    ("names", "arrays"),
    [
        (classmethod(lambda cls: NAMES), 5),
        (staticmethod(lambda: NAMES[:1]), 1),
        (lambda self: NAMES, 3),  # needs an instance
        (classmethod(fail), 3),
    ],
)
def test_the_arrays_that_a_class_says_it_has_are_counted(names, arrays):
    user_class = type("Mine", (), {"arrayNames": names})
    config = SimpleNamespace(
        times=100, block=16, store_dtype=np.dtype("f4"), delays=[1] * 10, mask=np.ones((7, 11)), user_class=user_class
    )
    config.elements = 60
    viewer, _, *workers = memory.bytes_of_ranks(config, Roles(servers=(1,), workers=(2, 3)), 4)
    assert viewer == int((arrays * 10 + 1) * 77 * 8 * 1.1) + (64 << 20)
    assert workers == [int((132 * 4 + arrays * 10 * 8) * 30 * 1.1) + (64 << 20)] * 2


def test_the_viewer_holds_one_worker_s_part_beside_the_sum():
    """However many workers there are, and whatever `workerReduce` returns."""
    size = 1 << 20

    def note_of(worker):
        reduced = np.full(size // 8, 1.0 + worker)
        return note.unpack(*note.pack(note.UPDATE, {}, {"counts": np.arange(3), "reduced.sums": reduced}))[1]

    tracemalloc.start()
    try:
        gathered = Gathered(None, note_of(0))
        for worker in range(1, 20):
            gathered.add(note_of(worker))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (gathered.reduced["sums"] == sum(range(1, 21))).all()
    assert most < 4.5 * size  # the sum, and what comes, on its way from array to array
