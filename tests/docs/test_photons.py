"""The worked example of docs/example-photons.md: built and run by the commands of that page, against slow loops."""

import re
import shutil

import h5py
import numpy as np
import pytest
from conftest import QUICK

from parcorana import reference
from parcorana.events import simulated


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    """Do what the page says, in a folder that has the examples."""
    folder = tmp_path_factory.mktemp("photons")
    shutil.copytree(root / "examples" / "photons", folder / "examples" / "photons")
    (commands,) = re.findall(
        r"^```text\n(.*?)^```", (root / "docs" / "example-photons.md").read_text("utf-8"), re.M | re.S
    )
    (folder / "commands").write_text(commands, encoding="utf-8")
    return folder / "photons"


@pytest.fixture(scope="module")
def built(project, run_here):
    run = run_here("bash", "-e", "-u", "commands", cwd=project.parent, env=QUICK)
    assert run.returncode == 0, run.stdout + run.stderr
    return project


def test_the_curve_is_the_true_one(built):
    dataset = re.search(r'"dataset": "([^"]+)"', (built / "config.py").read_text("utf-8"))[1]
    with h5py.File(built / "photons.h5") as file:
        result = file["user/photons_at_003000"]
        true = simulated.true_g2(dataset, result["delays"][()])
        np.testing.assert_allclose(result["g2"], true, atol=0.04, rtol=0)
        np.testing.assert_allclose(np.mean(result["g2"] - true), 0, atol=0.015)


CONFIG = """\
from photons import Photons

system_params = {{
    "dataset": "h5=frames.h5", "src": "det/frames", "mask": "own.npy", "times": 90, "block": 32, "overwrite": True,
    "delays": [1, 2, 3, 7, 20, 60], "user_class": Photons, "h5output": "own.h5", "store_dtype": "{}",
}}
user_params = {}
"""


def slow_count(signal, gain, threshold):
    """Count photons one by one."""
    photons = 0
    while signal >= (photons + threshold) * gain:
        photons += 1
    return photons


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_slow_loops(built, run_here, dtype):
    """Dark and bright elements, gaps, disorder, duplicates and late events; servers and workers share the work."""
    rng = np.random.default_rng(5)
    counters = np.cumsum(1 + (rng.random(300) < 0.2))
    counters[100:150] = rng.permutation(counters[100:150])
    counters[200], counters[260] = counters[199], counters[3]
    rates = rng.choice([0.01, 0.05, 2.0], (3, 7))
    frames = (32 * rng.poisson(rates, (300, 3, 7)) + rng.normal(0, 5, (300, 3, 7))).astype(np.float32)
    mask = rng.random((3, 7)) < 0.8
    with h5py.File(built / "frames.h5", "w") as file:
        file["det/frames"], file["det/counter"] = frames, counters
    np.save(built / "own.npy", mask)
    (built / "own.py").write_text(CONFIG.format(dtype, {"gain": 32.0, "threshold": 0.75}), encoding="utf-8")
    run = run_here("parCorAnaDriver", "-c", "own.py", cwd=built, ranks=5)
    assert run.returncode == 0, run.stderr
    photons = np.vectorize(slow_count)(frames[:, mask], 32, 0.75)
    assert np.mean(photons == 1) > 0.02 and photons.max() > 4
    want = reference.g2(counters, photons, 90, [1, 2, 3, 7, 20, 60], "atend")
    assert want["duplicate"] and want["late"]
    with h5py.File(built / "own.h5") as file:
        (name,) = file["user"]
        result = file["user"][name]
        np.testing.assert_array_equal(result["counts"], want["counts"])
        for array in ("G2", "IP", "IF"):
            for d, delay in enumerate((1, 2, 3, 7, 20, 60)):
                np.testing.assert_array_equal(result[f"{array}/delay_{delay:06d}"][()][mask], want[array][d])
        bottom = want["IP"].mean(axis=1) * want["IF"].mean(axis=1)
        np.testing.assert_allclose(result["g2"], want["counts"] * want["G2"].mean(axis=1) / bottom, rtol=1e-12)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({}, "user_params['gain'] must be a number above 0, not None"),
        ({"gain": -1}, "user_params['gain'] must be a number above 0, not -1"),
        ({"gain": 1, "threshold": 2}, "user_params['threshold'] must be above 0 and at most 1, not 2"),
    ],
)
def test_wrong_parameters(built, run_here, user, said):
    (built / "own.py").write_text(CONFIG.format("float32", user), encoding="utf-8")
    np.save(built / "own.npy", np.ones((3, 7), bool))
    run = run_here("parCorAnaDriver", "-c", "own.py", cwd=built)
    assert run.returncode == 2
    assert said in run.stderr
