"""The examples compute what a slow and independent calculation does, in one process and under mpiexec."""

import shutil

import h5py
import numpy as np
import pytest

from parcorana.compare import compare
from parcorana.reference import ReferenceBuffer

COPIES = {"example-lag-one.md": ["lag_one.py", "lag_one_config.py"]}


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


def run_example(setup, root, module, name, ranks, **system):
    shutil.copy(root / "examples" / f"{module}.py", setup.folder)
    setup.write(**system)
    text = (setup.folder / "config.py").read_text(encoding="utf-8")
    text = text.replace("from parcorana import userg2", f"import {module}").replace(
        "userg2.G2atEnd", f"{module}.{name}"
    )
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
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
    assert compare(setup.folder / "out.h5", setup.folder / "out.h5") == []
