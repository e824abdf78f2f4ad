"""A job with several classes, two of which have one buffer, that is killed goes on, on other ranks."""

from conftest import run_command

CONFIG = """\
from keepers import G2IncrementalAccumulator, Stateful
from parcorana.multitau import MultiTauG2
from parcorana.photons import PhotonStatistics
from parcorana.userg2 import G2IncrementalWindowed

class Callbacks(Stateful):
    eventOk = None

classes = [G2IncrementalAccumulator, G2IncrementalWindowed, Callbacks, MultiTauG2, PhotonStatistics]
system_params = {system!r} | {{"user_class": classes}}
user_params = {{"save_arrays": True, "color": "color.npy", "G2IncrementalWindowed": {{"notzero": 3}}}}
"""


def test_a_killed_job_goes_on_on_other_ranks(setup, root):
    env = {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    system = setup.system | {"checkpoint": 32, "times": 40, "delays": [1, 2, 5, 8, 20]}
    (setup.folder / "config.py").write_text(CONFIG.format(system=system), encoding="ascii")
    killed = setup.drive(ranks=4, env=env | {"STRIKE": "SIGKILL:viewer:140"})
    assert killed.returncode != 0
    assert list(setup.folder.glob("*.inprogress/checkpoint_*.json"))
    env["STRIKE"] = "::"  # stretches of the run are as long in all three
    resumed = setup.drive("--resume", ranks=3, env=env)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at" in resumed.stderr
    whole = setup.drive("-o", "whole.h5", env=env)
    assert whole.returncode == 0, whole.stderr
    compared = run_command("cmpParCorAnaH5Output", "out.h5", "whole.h5", cwd=setup.folder)
    assert compared.returncode == 0, compared.stdout
