"""All classes that do not forget, in one job under mpiexec: live, and killed and gone on with on other ranks."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, run_command, status_of

from parcorana.tools import compare, driver

SIM = "sim=brownian:shape=2x8x8:events=400:tau=20:poisson=1:mean=2:colors=2:gaps=0.05"
GROUPS = {
    "G2IncrementalAccumulator": "G2_results_at_{:06d}",
    "MultiTauG2": "G2_results_at_{:06d}",
    "TwoTime": "C2_at_{:06d}",
    "PhotonStatistics": "photons_at_{:06d}",
}
CONFIG = f"""\
from keepers import strike
from parcorana import make_multitau_delays, twotime
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.userg2 import G2IncrementalAccumulator

class TwoTime(twotime.TwoTime):
    def eventOk(self, evt):
        strike("server", evt.stamp)
        return True

system_params = {{
    "dataset": {SIM!r}, "mask": "mask.npy", "times": 450, "delays": make_multitau_delays(64), "update": 100,
    "block": 16, "checkpoint": 50, "threads": 1, "h5output": "out.h5",
    "user_class": [MultiTauG2, TwoTime, PhotonStatistics, G2IncrementalAccumulator],
}}
user_params = {{"color": "color.npy", "saturated_value": 12, "TwoTime": {{"ages": 64}}}}
"""
LIVE = f"""\
from config import system_params, user_params

system_params |= {{"dataset": "{SIM}:live:hz=400", "block": 0, "checkpoint": 0, "latency": 0.05}}
"""
ENV = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Configs, and the result `whole.h5` of a run in one process that nothing disturbs."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "config.py").write_text(CONFIG, encoding="ascii")
    (folder / "live.py").write_text(LIVE, encoding="ascii")
    np.save(folder / "mask.npy", np.ones((2, 8, 8), np.uint8))
    np.save(folder / "color.npy", np.arange(128).reshape(2, 8, 8) % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(ROOT / "tests")
        assert status_of(driver.main, "-c", "config.py", "-o", "whole.h5") == 0
    return folder


def same(folder, name, *args):
    return status_of(compare.main, folder / name, folder / "whole.h5", *args) == 0


def drive(folder, *args, ranks, **env):
    return run_command("parCorAnaDriver", *args, cwd=folder, ranks=ranks, env=ENV | env)


def test_live(folder):
    run = drive(folder, "-c", "live.py", "-o", "live.h5", ranks=4)
    assert run.returncode == 0, run.stderr
    with h5py.File(folder / "live.h5") as file:
        assert set(file["user"]) == set(GROUPS)
        for name, group in GROUPS.items():
            assert group.format(100) in file["user"][name] and len(file["user"][name]) == 4
    assert same(folder, "live.h5")


def test_killed_and_gone_on_with_on_other_ranks(folder):
    killed = drive(folder, "-c", "config.py", ranks=4, STRIKE="SIGKILL:server:250")
    assert killed.returncode != 0
    assert list(Path(folder).glob("out.h5.inprogress/checkpoint_*.json")), killed.stderr
    resumed = drive(folder, "-c", "config.py", "--resume", ranks=3)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at" in resumed.stderr
    assert same(folder, "out.h5")
