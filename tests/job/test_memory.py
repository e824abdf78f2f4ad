"""What ranks take of memory, measured, against the formulas of docs/definitions.md."""

import inspect
import re
import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from calculation.test_user_class import Own
from conftest import write_class

from parcorana import BlockBase, Common, ConfigError, PerElement, Summed
from parcorana.correlation.delays import make_delay_list, make_multitau_delays
from parcorana.correlation.lines import scratch_bytes
from parcorana.errors import UserCodeError
from parcorana.job import memory
from parcorana.job.config import resolve_config
from parcorana.job.division import divide
from parcorana.job.partition import Roles
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.pipeline import note
from parcorana.pipeline.gathered import Gathered, label
from parcorana.tools.report import report

WIDTH, TIMES, BLOCK, FRAMES, FILES = 120_000, 500, 64, 40, 20


class Plain(SimpleNamespace):
    """What stands for a config; it can be a key, as that can."""

    __hash__ = object.__hash__


def peaks(setup, user_class="G2IncrementalAccumulator", user=None, **system):
    """Run a job under mpiexec; return the MiB at most of each role, and those that --check says."""
    setup.write(user_class, {"save_arrays": False} | (user or {}), src="frames", **system)
    return peaks_of(setup)


def peaks_of(setup):
    """Run what is written."""
    check = setup.drive("--check", ranks=3)
    assert check.returncode == 0, check.stderr
    said = {role: float(mib.replace(",", "")) for role, mib in re.findall(r"\d  (\w+) .* ([\d,]+)\n", check.stdout)}
    run = setup.drive(ranks=3)
    assert run.returncode == 0, run.stderr
    found = {role: float(mib) for role, mib in re.findall(r"\n  1 (\w+) .* (\d+)(?=\n)", run.stderr)}
    assert len(found) == len(said) == 3
    return found, said


def usual(setup, width, dtype):
    """Run the usual job on so many elements."""
    rng = np.random.default_rng(0)
    with h5py.File(setup.folder / "frames_0.h5", "w") as file:
        file["frames"] = rng.poisson(5, (FRAMES, width)).astype(dtype)
    for k in range(1, FILES):
        (setup.folder / f"frames_{k}.h5").unlink(missing_ok=True)
        (setup.folder / f"frames_{k}.h5").write_bytes((setup.folder / "frames_0.h5").read_bytes())
    np.save(setup.folder / "mask.npy", np.ones(width, np.int8))
    given = {"dataset": "h5=frames_*.h5", "times": TIMES, "block": BLOCK, "update": 300, "delays": list(range(1, 41))}
    return peaks(setup, user={"saturated_value": 20.0}, **given)


@pytest.mark.parametrize("dtype", ["f4", "u2"])
def test_ranks_stay_within_their_formula(setup, dtype):
    """Less what a rank has for any detector, libraries and all, nobody takes 10% more than the formula says."""
    (small, said_small), (large, said_large) = usual(setup, 64, dtype), usual(setup, WIDTH, dtype)
    mib = WIDTH / 2**20
    formulas = {
        "worker": ((TIMES + 2 * BLOCK) * 4 + 3 * 40 * 8) * mib,
        "server": 2 * BLOCK * 4 * mib,
        "viewer": 8 * mib,
    }
    for role, formula in formulas.items():
        assert small[role] <= said_small[role] and large[role] <= said_large[role]
        assert large[role] - small[role] < 1.1 * formula + 16, (role, large, small, formula)


@pytest.mark.parametrize(
    ("user_class", "gaps"),
    [("G2IncrementalAccumulator", 0), ("G2IncrementalWindowed", 0.3), ("G2atEnd", 0.8)],
)
def test_a_million_times_of_one_element(setup, user_class, gaps):
    """There it is not the values that take memory, but their times, the plans, and the threads' scratch."""
    events, rng = 1_050_000, np.random.default_rng(0)
    with h5py.File(setup.folder / "long.h5", "w") as file:
        file["frames"] = rng.poisson(2, (events, 1)).astype(np.uint16)
        file["counter"] = np.cumsum(1 + rng.integers(0, 7, events) * (rng.random(events) < gaps))
    np.save(setup.folder / "mask.npy", np.ones(1, np.int8))
    delays = make_delay_list(1, 900_000, 40)
    given = {"dataset": "h5=long.h5", "times": 1_000_000, "block": 0, "update": 0, "delays": delays, "threads": 2}
    found, said = peaks(setup, user_class, **given)
    assert all(found[role] <= said[role] for role in found), (found, said)
    assert found["worker"] > 150  # more than buffer, blocks and sums with 64 MiB


def test_what_is_reduced_is_counted(setup):
    """4096 colours, each with its sums and its time line, on the worker."""
    events, width = 150, 20_000
    with h5py.File(setup.folder / "many.h5", "w") as file:
        file["frames"] = np.random.default_rng(0).poisson(5, (events, width)).astype(np.uint16)
    np.save(setup.folder / "mask.npy", np.ones(width, np.int8))
    np.save(setup.folder / "color.npy", np.arange(width) % 4096 + 1)
    # nothing is written: what so many datasets take in HDF5's library is another thing
    given = {
        "dataset": "h5=many.h5",
        "h5output": None,
        "times": 50,
        "block": 64,
        "update": 0,
        "delays": list(range(1, 101)),
    }
    user = {"color": "color.npy", "normalization": "color"}
    found, said = peaks(setup, user=user, **given)
    plain = {key: value for key, value in user.items() if key != "color"}
    assert said["worker"] - peaks(setup, user=plain, **given)[1]["worker"] >= 40
    assert all(found[role] <= said[role] for role in found), (found, said)


NAMES = ["a", "b", "c", "d", "e"]


def fail(cls):
    raise ValueError("not now")


class Given(SimpleNamespace):
    """Can be told from others, as a config can."""

    __hash__ = object.__hash__


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
    config = Given(
        times=100,
        block=16,
        store_dtype=np.dtype("f4"),
        delays=[1] * 10,
        mask=np.ones((7, 11)),
        user_class=user_class,
        names=[],
        photons=None,
        classes={},
        dataset=SimpleNamespace(is_live=False),
        numservers=1,
    )
    config.elements = 60
    viewer, _, *workers = memory.bytes_of_ranks(
        config, Roles(servers=(1,), workers=(2, 3)), [1] * 4, memory.sample_of(config)
    )
    assert viewer == int((arrays * 10 + 1 + 3) * 77 * 8 * 1.1) + (80 << 20)  # three: in HDF5
    scratch = scratch_bytes(100, 16, [1] * 10, 4, 1)
    assert workers == [int(((134 * 4 + arrays * 10 * 8) * 30 + 72 * 116 + scratch) * 1.1) + (80 << 20)] * 2


def test_the_viewer_holds_one_worker_s_part_beside_the_sum():
    """However many workers there are, and whatever `workerReduce` returns."""
    size = 1 << 20

    def note_of(worker):
        found = {"counts": Common(np.arange(3)), "sums": Summed(np.full(size // 8, 1.0 + worker))}
        small = {label(name, array): array.value for name, array in found.items()}
        return note.unpack(*note.pack(note.UPDATE, {}, small))[1]

    tracemalloc.start()
    try:
        gathered = Gathered(None, note_of(0), [])
        for worker in range(1, 20):
            gathered.add(note_of(worker), [])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (gathered.small["sums"] == sum(range(1, 21))).all()
    assert most < 4.5 * size  # the sum, and what comes, on its way from array to array


# -- classes on blocks: what they declare ------------------------------------------------


class Mean(BlockBase):
    """Mean and variance, as docs/blocks.md has them."""

    def arrays(self, elements):
        self.sums, self.events = np.zeros((2, elements)), np.zeros(1, np.int64)
        return {"sums": PerElement(self.sums), "events": Common(self.events)}

    def enter(self, block):
        data = block.data.astype(np.float64)
        self.sums += data.sum(axis=0), (data**2).sum(axis=0)
        self.events += len(block)

    def publish(self, update, group):
        mean, square = update["sums"] / update["events"]
        group[f"mean_at_{update.processed:06d}"] = np.stack([mean, square - mean**2])


def fails(*args):
    raise KeyError("not now")


@pytest.mark.parametrize(
    ("body", "rows", "each", "small", "gathered"),
    [
        ({"extra_bytes": lambda self, n, threads: 0}, 34, 16, 8, 16),
        ({}, 34, 16 + 16 * 16, 8, 16),  # two blocks in float64
        ({"buffer": "F"}, 134, 16 + 16 * 16, 8, 16),
        ({"extra_bytes": lambda self, n, threads: 1000 * n * threads}, 34, 16 + 2000, 8, 16),
        ({"takes_pieces": True, "publish_piece": fails}, 34, 16 + 16 * 16, 8, 8),
        ({"arrays": lambda self, n: {"s": Summed(np.zeros((50, 3), "i2"))}}, 34, 16 * 16, 1200, 0),  # int64 in sums
    ],
)
def test_what_a_class_on_blocks_declares_is_counted(tmp_path, body, rows, each, small, gathered):
    np.save(tmp_path / "mask.npy", np.ones((7, 11), np.int8))
    system = {"dataset": "sim=brownian:shape=7x11:events=9:tau=3", "mask": str(tmp_path / "mask.npy"), "delays": [1]}
    config = resolve_config(system | {"times": 100, "block": 16, "user_class": type("Mine", (Mean,), body)}, {})
    viewer, _, *workers = memory.bytes_of_ranks(
        config, Roles(servers=(1,), workers=(2,)), [2] * 3, memory.sample_of(config)
    )
    assert viewer == int(((gathered + 8 + 3 * 8) * 77 + 4 * small) * 1.1) + (80 << 20)
    own = small // 4 if small > 8 else small  # narrow, where it is not added up
    assert workers == [
        int(((rows * 4 + each) * 77 + (72 + 8 * len(config.names)) * 116 + own + 3 * small) * 1.1) + (80 << 20)
    ]


def test_check_says_what_takes_the_memory(tmp_path):
    """Of multi-tau the levels, not the longest delay; a buffer of two classes once, blocks of all once."""
    shape, n = (256, 256), 1 << 16
    np.save(tmp_path / "mask.npy", np.ones(shape, np.int8))
    system = {"dataset": "sim=brownian:shape=256x256:events=9:tau=3", "mask": str(tmp_path / "mask.npy")}
    system |= {"times": 100, "block": 16, "delays": make_multitau_delays(10**7)}

    def checked(*classes):
        config = resolve_config(system | {"user_class": list(classes)}, {"save_arrays": False})
        division = divide(config, ["here"] * 3, [frozenset({0})] * 3)
        return division, report(config, division, 3, division.needs, []).splitlines()

    division, lines = checked(MultiTauG2)
    mib, delays = n / 2**20, len(system["delays"])
    what = {
        "history (21 x 8)": 21 * 8 * 4,
        f"G2 ({delays})": 8 * delays,
        "buffer of 100 events": 400,
        "total (21)": 8 * 21,
    }
    line = next(line for line in lines if line.startswith("  MultiTauG2: "))
    for words, size in what.items():
        assert f"{words} {size * mib:,.0f}" in line, (words, line)
    assert f"  2 blocks of 16 events {136 * mib:,.0f}" in lines
    assert division.needs[2] == int(sum(division.parts.values()) * 1.1) + (80 << 20)
    (alone, _), (both, lines) = checked(PhotonStatistics), checked(MultiTauG2, PhotonStatistics, Own)
    assert "  MultiTauG2 and PhotonStatistics: buffer of 100 events 25" in lines
    assert f"a block of its own {64 * mib:,.0f}" in next(line for line in lines if line.startswith("  Own: "))
    shared = {key: size for key, size in alone.parts.items() if "buffer" not in key[1]}
    assert shared.items() <= both.parts.items()


def test_classes_and_roles_stay_within_what_is_promised(setup):
    """Two classes in the order of time on one buffer, full arrays in each of many updates, frames of the simulator.

    A block of so many elements is more than all margins, and so are the simulator's fields.
    """
    np.save(setup.folder / "mask.npy", np.ones((4, 224, 256), np.int8))
    setup.user = {"save_arrays": True, "saturated_value": 90.0}
    write_class(
        setup,
        "from parcorana.multitau import MultiTauG2\nfrom parcorana.photons import PhotonStatistics\n"
        "Both = [MultiTauG2, PhotonStatistics]",
        "Both",
        dataset="sim=brownian:shape=4x224x256:events=72:tau=9:poisson=1:disorder=9",
        times=36,
        block=36,
        update=36,
        delays=[1, 2, 4],
        threads=2,
    )
    found, said = peaks_of(setup)
    slack = 8  # docs/config.md
    assert all(found[role] <= said[role] + slack for role in found), (found, said)


def test_faults_are_told_beforehand_and_names_mean_nothing(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((7, 11), np.int8))
    system = {"dataset": "sim=brownian:shape=7x11:events=9:tau=3", "mask": str(tmp_path / "mask.npy"), "delays": [1]}

    def needs(*bases, **body):
        config = resolve_config(system | {"times": 100, "user_class": type("Mine", bases, body)}, {})
        return memory.bytes_of_ranks(config, Roles(servers=(1,), workers=(2,)), [1] * 3, memory.sample_of(config))

    plain = needs(Own)
    for body in ({"arrays": fails}, {"__init__": lambda self, user, system, params: fails()}):
        with pytest.raises(UserCodeError):
            needs(Mean, **body)
    with pytest.raises(ConfigError, match=r"^user_class Mine: arrays\(1\): 'x' must be a PerElement, Summed or Common"):
        needs(Mean, arrays=lambda self, n: {"x": np.zeros(n)})
    assert plain == needs(Own, forgets=True, buffer=None, takes_pieces=True, extra_bytes=lambda self, *args: 1 << 40)
    # what collect returns beside the arrays is held four times, by workers and viewer
    more = needs(Mean, collected_bytes=lambda self, n: 1000 * n)
    assert [b - a for a, b in zip(needs(Mean), more, strict=True)] == [4400 * 77, 0, 4400 * 77]
    for size in (None, -1, 1.5, True):
        with pytest.raises(
            ConfigError, match=f"^user_class Mine: extra_bytes must return a number of bytes, not {size}"
        ):
            needs(Mean, extra_bytes=lambda self, *args, size=size: size)


def test_a_class_on_blocks_stays_within_it(setup):
    """Measured, under mpiexec; and a buffer that is not kept is not counted."""
    with h5py.File(setup.folder / "frames.h5", "w") as file:
        file["frames"] = np.random.default_rng(0).poisson(5, (300, WIDTH)).astype(np.uint16)
    np.save(setup.folder / "mask.npy", np.ones(WIDTH, np.int8))
    given = {"dataset": "h5=frames.h5", "src": "frames", "times": 500, "block": BLOCK, "update": 300, "delays": [1]}
    code = inspect.getsource(Mean)
    write_class(
        setup, f"import numpy as np\nfrom parcorana import BlockBase, Common, PerElement\n\n{code}", "Mean", **given
    )
    found, said = peaks_of(setup)
    assert all(found[role] <= said[role] for role in found), (found, said)
    assert said["worker"] < 80 + 1.1 * (500 + 2 * BLOCK) * 4 * WIDTH / 2**20
    mean = np.random.default_rng(0).poisson(5, (300, WIDTH)).mean(axis=0)
    with h5py.File(setup.folder / "out.h5") as file:
        np.testing.assert_allclose(file["user/mean_at_000300"][0], mean, rtol=1e-12)
