"""The examples compute what a slow and independent calculation does, in one process and under mpiexec."""

import shutil

import h5py
import numpy as np
import pytest

from parcorana.reference import ReferenceBuffer

COPIES = {
    "example-lag-one.md": ["lag_one.py", "lag_one_config.py"],
    "example-cross.md": ["cross.py", "cross_means_config.py", "cross_config.py"],
}


@pytest.mark.parametrize("page", COPIES)
def test_the_pages_show_the_files(root, page):
    text = (root / "docs" / page).read_text(encoding="utf-8")
    for name in COPIES[page]:
        code = (root / "examples" / name).read_text(encoding="utf-8")
        assert f"<!-- file: {name} -->\n```python\n{code}```\n" in text


def stored_at(setup, times, update):
    """Return {processed: {counter: (n,) float64}} of all updates, by brute force."""
    buffer, found, processed = ReferenceBuffer(times), {}, 0
    for counter, frame in zip(setup.counters.tolist(), setup.included.astype(float), strict=True):
        if buffer.enter(counter, frame) == "processed":
            processed += 1
            if processed % update == 0:
                found[processed] = dict(buffer.stored)
    return found | {processed: dict(buffer.stored)}


def run_example(setup, root, module, name, ranks, status=0, **system):
    shutil.copy(root / "examples" / f"{module}.py", setup.folder)
    setup.write(**system)
    text = (setup.folder / "config.py").read_text(encoding="utf-8")
    text = text.replace("from parcorana import userg2", f"import {module}").replace(
        "userg2.G2atEnd", f"{module}.{name}"
    )
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    run = setup.drive(ranks=ranks)
    assert run.returncode == status, run.stderr
    return run


@pytest.mark.parametrize("ranks", [0, 4])
def test_lag_one(setup, root, ranks):
    inside = np.argwhere(setup.mask == 1)[0]
    setup.frames[(slice(None), *inside)] = 7  # an element that never changes
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/frames"][...] = setup.frames
    run = run_example(setup, root, "lag_one", "LagOne", ranks, delays=[1], user={})
    mask = setup.mask.astype(bool)
    assert "mean lag-one correlation" in run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        for processed, stored in stored_at(setup, 60, 70).items():
            group = file[f"user/lag_one_at_{processed:06d}"]
            pairs = [t for t in stored if t + 1 in stored]
            assert group.attrs["pairs"] == len(pairs) > 30
            for k, place in enumerate(np.argwhere(mask)):
                series = {t: float(values[k]) for t, values in stored.items()}
                mean = sum(series.values()) / len(series)
                variance = sum((value - mean) ** 2 for value in series.values()) / len(series)
                here = {name: group[name][tuple(place)] for name in group}
                assert here["mean"] == pytest.approx(mean, rel=1e-12)
                assert here["variance"] == pytest.approx(variance, rel=1e-12)
                assert here["constant"] == (variance == 0)
                covariance = sum((series[t] - mean) * (series[t + 1] - mean) for t in pairs) / len(pairs)
                wanted = covariance / variance if variance else np.nan
                assert here["lag_one"] == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True)
            assert group["constant"][tuple(inside)] == 1
            assert not group["mean"][~mask].any()


def test_lag_one_without_a_pair(setup, root):
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/counter"][...] = 3 * np.arange(len(setup.counters))
    run_example(setup, root, "lag_one", "LagOne", 0, delays=[1], user={}, update=0)
    with h5py.File(setup.folder / "out.h5") as file:
        (group,) = file["user"].values()
        assert group.attrs["pairs"] == 0 and np.isnan(group["lag_one"][setup.mask == 1]).all()
        assert np.isfinite(group["variance"]).all()


@pytest.mark.parametrize("ranks", [0, 5])
def test_cross(setup, root, ranks):
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 3, setup.mask.shape)
    np.save(setup.folder / "groups.npy", groups)
    mask = setup.mask.astype(bool)
    setup.frames[(slice(None), *np.argwhere(mask)[5])] = 0  # an element without a ratio
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/frames"][...] = setup.frames
    user = {"groups": "groups.npy", "means": "means.h5", "save_arrays": False}
    shared = {"user": user, "numservers": 2, "update": 0}
    run_example(setup, root, "cross", "GroupMeans", ranks, h5output="means.h5", **shared)
    run_example(setup, root, "cross", "Cross", ranks, **shared)
    (stored,) = stored_at(setup, 60, 10**9).values()
    means = {t: [values[groups[mask] == g].mean() for g in (1, 2)] for t, values in stored.items()}
    with h5py.File(setup.folder / "out.h5") as file:
        (group,) = file["user"].values()
        for d, delay in enumerate(setup.system["delays"]):
            pairs = [(t, t + delay) for t in stored if t + delay in stored]
            assert group["counts"][d] == len(pairs)
            for k, name in enumerate(("cross_1", "cross_2")):
                image = group[f"{name}/delay_{delay:06d}"][()]
                assert not image[~mask].any()
                top = sum(means[t][k] * stored[u] for t, u in pairs)
                past, future = sum(means[t][k] for t, _ in pairs), sum(stored[u] for _, u in pairs)
                with np.errstate(invalid="ignore"):
                    np.testing.assert_allclose(image[mask], len(pairs) * top / (past * future), rtol=1e-6)
                assert np.isnan(image[tuple(np.argwhere(mask)[5])])


def test_cross_says_when_the_means_do_not_fit(setup, root):
    np.save(setup.folder / "groups.npy", np.where(setup.mask, 1 + np.arange(70).reshape(setup.mask.shape) % 2, 0))
    user = {"groups": "groups.npy", "means": "means.h5", "save_arrays": False}
    run_example(setup, root, "cross", "GroupMeans", 0, h5output="means.h5", user=user, numevents=100)
    run = run_example(setup, root, "cross", "Cross", 0, status=1, user=user, update=0)
    assert run.stderr.splitlines()[-1].endswith("'means.h5' lacks events: make it with the same dataset and mask")
