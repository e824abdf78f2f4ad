"""Real frames, by the commands of docs/validation.md: D as the data's README expects, arrays as brute force."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from effort import PATIENCE

from parcorana import reference

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "validation.md"
GIVEN = os.environ.get("PARCORANA_VALIDATION_DATA")
DATA = Path(GIVEN or ROOT.parent / "shared" / "data" / "bulk_water_fourier_300x128x128_u2.npy").resolve()

pytestmark = pytest.mark.skipif(
    not DATA.is_file(), reason=f"no frames at {DATA}: name the file in PARCORANA_VALIDATION_DATA"
)

DELAYS = np.arange(1, 65)
TIMES = 65
# The data's README says 0.39 to 0.46, with two digits.
D_LOWEST, D_HIGHEST = 0.385, 0.465


@dataclass
class Run:
    folder: Path
    table: np.ndarray  # of fit.py: color, q, D, error

    @property
    def ring_folder(self):
        return self.folder / "validation"


def documented_commands():
    (block,) = re.findall(r"^```sh\n(.*?)^```", DOC.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return block.splitlines()


def as_table(text, separator=None):
    """Return the rows of four numbers in `text`."""
    rows = [line.strip().strip("|").split(separator) for line in text.splitlines()]
    rows = [row for row in rows if len(row) == 4 and row[0].strip().isdigit()]
    return np.array(rows, float)


def run_documented(folder, frames):
    """Run what the document shows, as it shows it, in a folder of its own."""
    (folder / "FRAMES.npy").symlink_to(frames)
    (folder / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONWARNINGS": "error"}
    for line in documented_commands():
        command = ["timeout", "-k", "5", str(PATIENCE), *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Run(folder, as_table(done.stdout))


def brute_force(frames, mask):
    """Sum over all pairs of the record, one delay after the other, all in float64."""
    X = frames[:, mask].astype(np.float64)
    sums = {name: np.zeros((len(DELAYS), X.shape[1])) for name in ("G2", "IP", "IF")}
    for d, delay in enumerate(DELAYS):
        past, future = X[:-delay], X[delay:]
        sums["G2"][d] = np.einsum("tp,tp->p", past, future)
        sums["IP"][d], sums["IF"][d] = past.sum(axis=0), future.sum(axis=0)
    # no intensity is negative, so that each sum is also the sum of absolute terms
    assert X.min() >= 0
    return sums, len(X) - DELAYS


def check_sums(found, wanted):
    """Require every sum to 1e-6 of the sum of absolute terms."""
    assert found.shape == wanted.shape
    assert np.all(np.abs(found - wanted) <= 1e-6 * wanted)


def check_arrays(run, frames):
    mask = np.load(run.ring_folder / "mask.npy").astype(bool)
    sums, counts = brute_force(frames, mask)
    with h5py.File(run.ring_folder / "g2.h5", "r") as file:
        group = file["user/G2_results_at_000300"]
        assert np.array_equal(group["delays"], DELAYS)
        assert np.array_equal(group["delay_counts"], counts)
        for name, wanted in sums.items():
            full = np.array([group[f"{name}/delay_{delay:06d}"] for delay in DELAYS])
            assert not full[:, ~mask].any()
            check_sums(full[:, mask], wanted)


def check_D(table):
    chosen = table[(table[:, 1] >= 2.1) & (table[:, 1] <= 3.4)]
    assert len(chosen) == 5
    assert np.all((chosen[:, 2] > D_LOWEST) & (chosen[:, 2] < D_HIGHEST)), chosen[:, 2]


@pytest.fixture(scope="module")
def frames():
    return np.load(DATA, allow_pickle=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_documented(tmp_path_factory.mktemp("validation"), DATA)


def test_the_commands_are_the_ones_that_were_asked_for():
    programs = [line.split()[:4] for line in documented_commands()]
    assert ["mpiexec", "-n", "4", "parCorAnaDriver"] in programs
    assert len(programs) == 3


def test_diffusion_coefficient(run):
    check_D(run.table)
    # the record is too short for the innermost ring, and the document says so
    assert run.table[0, 2] > 1.5 * 0.40


def test_the_document_shows_what_the_commands_print(run):
    shown = as_table(DOC.read_text(encoding="utf-8"), "|")
    assert shown.shape == run.table.shape
    assert np.allclose(shown, run.table, rtol=0, atol=0.002)  # the last digit may differ between machines
    assert (run.ring_folder / "fit.png").read_bytes().startswith(b"\x89PNG")
    picture = ROOT / "docs" / "img" / "validation.png"
    assert picture.stat().st_size < 200_000


def test_rings_are_those_of_the_readme(run):
    color = np.load(run.ring_folder / "color.npy")
    i, j = np.indices((128, 128))
    q = 2 * np.pi * np.sqrt((i - 64) ** 2 + (j - 64) ** 2) / (424 * 100 / 285)
    assert np.array_equal(color > 0, np.load(run.ring_folder / "mask.npy"))
    for wanted, mean_q, elements in np.loadtxt(run.ring_folder / "rings.txt"):
        ring = q[color == wanted]
        assert len(ring) == elements
        assert np.isclose(ring.mean(), mean_q, atol=1e-6)
        assert np.ptp(ring) < 0.3
        # a whole ring: nothing of its range of q has another colour
        assert np.count_nonzero((q >= ring.min()) & (q <= ring.max())) == elements


def test_arrays_equal_brute_force(run, frames):
    check_arrays(run, frames)


def test_all_frames_are_accounted_for(run):
    with h5py.File(run.ring_folder / "g2.h5", "r") as file:
        assert file["system"].attrs["complete"]
        account = dict(file["system/accounting"].attrs)
    assert account.pop("read") == account.pop("processed") == 300
    assert not any(account.values())


def test_reference_and_delay_curves(run, frames):
    mask = np.load(run.ring_folder / "mask.npy").astype(bool)
    color = np.load(run.ring_folder / "color.npy")[mask]
    sums, counts = brute_force(frames, mask)

    few = np.random.default_rng(1).choice(mask.sum(), 5, replace=False)
    slow = reference.g2(range(len(frames)), frames[:, mask][:, few], TIMES, DELAYS.tolist(), "accumulator")
    assert np.array_equal(slow["counts"], counts)
    for name, values in sums.items():
        assert np.array_equal(values[:, few], slow[name])

    saturated = (frames == 65535).any(axis=0) & mask
    assert saturated.any()
    with h5py.File(run.ring_folder / "g2.h5", "r") as file:
        group = file["user/G2_results_at_000300"]
        assert np.array_equal(group["saturated"], saturated)
        for ring in np.unique(color):
            curve, used = reference.delay_curve(sums, counts, color, saturated[mask], "color", ring)
            assert np.array_equal(group[f"elements_color_{ring}"], used)
            assert np.allclose(group[f"delay_curve_color_{ring}"], curve, rtol=1e-6, atol=0)


def test_wrong_sums_are_noticed(frames):
    mask = np.zeros((128, 128), bool)
    mask[60, 20:40] = True
    sums, _ = brute_force(frames, mask)
    wrong = sums["G2"].copy()
    wrong[40, 7] *= 1 + 2e-6
    with pytest.raises(AssertionError):
        check_sums(wrong, sums["G2"])
    one_left_out = np.delete(frames, 150, axis=0)
    with pytest.raises(AssertionError):
        check_sums(brute_force(one_left_out, mask)[0]["IP"], sums["IP"])


def test_frames_in_another_order_are_noticed(tmp_path, frames):
    np.save(tmp_path / "shuffled.npy", np.random.default_rng(0).permutation(frames))
    run = run_documented(tmp_path, tmp_path / "shuffled.npy")
    with pytest.raises(AssertionError):
        check_D(run.table)
    with pytest.raises(AssertionError):
        check_arrays(run, frames)
