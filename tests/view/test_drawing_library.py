"""Settings of Matplotlib that it does not like: said in one line, and no run ends of them."""

import os
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import pytest

from parcorana.errors import ConfigError
from parcorana.g2.beside import draw_beside
from parcorana.view.library import windows

LOADS = "from parcorana.errors import told; told('it', lambda: __import__('parcorana.view.aged'))"


def test_a_backend_that_there_is_not():
    env = os.environ | {"MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, "-c", LOADS], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("it: Matplotlib, which draws, cannot be loaded: Key backend: 'nonsense' is not")
    assert done.stderr.count("\n") == 1 and "MPLBACKEND" in done.stderr


@pytest.mark.parametrize(
    ("backend", "why"),
    [("module://nope", "No module named 'nope'"), ("pdf", "Matplotlib's 'pdf'"), ("agg", "there is no display")],
)
def test_no_window(backend, why):
    with matplotlib.rc_context({"backend": backend}), pytest.raises(ConfigError, match=f"{why}.*say -o FILE.png"):
        windows()


def test_what_draws_cannot_be_loaded():
    said = []

    def prepare():
        raise ConfigError("Matplotlib, which draws, cannot be loaded")

    draw_beside(True, SimpleNamespace(h5output="/a/out.h5", logWarning=said.append), prepare)
    assert said == ["picture /a/out.png: not drawn: ConfigError: Matplotlib, which draws, cannot be loaded"]


def test_what_others_put_in_the_place_of_a_picture_is_said(tmp_path):
    said = []
    params = SimpleNamespace(h5output=str(tmp_path / "out.h5"), logWarning=said.append)
    os.mkfifo(tmp_path / "out.png")  # without a reader
    draw_beside(True, params, lambda: ((1, 1), lambda figure, name: None))
    assert said == [f"picture {tmp_path}/out.png: a pipe of that name was in its place, which it has taken"]
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
