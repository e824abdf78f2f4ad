"""What pip builds and installs: the sdist, the wheel made from it, and its commands in a clean environment."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import OLDEST, RELEASE

import parcorana

# of the tree, what somebody who builds from an sdist has no use for
ONLY_IN_GIT = {".clang-format", ".editorconfig", ".gitignore", ".pre-commit-config.yaml"}
MADE = {"PKG-INFO", "setup.cfg", "parcorana.egg-info"}


def test_sdist(dist, root):
    """It has every file of the tree, the tests and the pages, too, and nothing else: no C files that Cython made."""
    if not (root / ".git").exists():
        pytest.skip("needs a clone: git says which files there are")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {name for name in names if name not in ONLY_IN_GIT and not name.startswith(".github/")}
    assert {"pyproject.toml", "setup.py", "incremental.py", "csrc/paths.c", "pyx/_core.pyx"} < wanted
    with tarfile.open(dist[0]) as file:
        found = {entry.name.partition("/")[2] for entry in file if entry.isfile()}
    assert {name for name in found if name.split("/")[0] not in MADE} == wanted


def test_wheel(dist):
    with zipfile.ZipFile(dist[1]) as file:
        names = set(file.namelist())
        (metadata,) = (file.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        (commands,) = (file.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt"))
    packages = {name for name in names if ".dist-info/" not in name}
    compiled = {name for name in packages if name.endswith(".so")}
    modules = {re.sub(r"\..*", "", name) for name in compiled}
    assert modules == {"parcorana/_beat", "parcorana/_core", "parcorana/_move", "parcorana/kernels"}
    for pattern in ("py.typed", "*.pyi", "*.pxd", "include/**/*.h", "templates/*/*.in"):
        needed = {str(path.relative_to(dist[2])) for path in (dist[2] / "parcorana").glob(pattern)}
        assert needed and needed <= packages
    sources = {str(path.relative_to(dist[2])) for path in dist[2].glob("parcorana/**/*.py")}
    assert {name for name in packages if name.endswith(".py")} == sources
    folders = {"parcorana", "parcorana.libs"} if RELEASE else {"parcorana"}  # no tests, no examples
    assert {name.split("/")[0] for name in packages} == folders
    assert f"\nVersion: {parcorana.__version__}\n" in metadata
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.M))
    assert required == {"numpy", "h5py", "mpi4py", "matplotlib", "tqdm"}
    assert {"parCorAnaDriver", "cmpParCorAnaH5Output"} <= set(re.findall(r"^(\w+) = parcorana", commands, re.M))


def test_commands_in_a_clean_environment(clean):
    assert not os.listdir(clean.folder)
    assert clean("python", "-c", "import parcorana; print(parcorana.__version__)") == f"{parcorana.__version__}\n"
    assert clean("parCorAnaDriver", "--version") == f"parcorana {parcorana.__version__}\n"
    text = clean("parCorAnaDriver", "--help")
    assert all(word in text for word in ("--config", "--join", "exit status"))
    assert "--rtol" in clean("cmpParCorAnaH5Output", "--help")
    report = clean("python", "-m", "parcorana")
    assert re.search(rf"^parcorana +{re.escape(parcorana.__version__)}$", report, re.M)
    compiler = re.search(r"^compiler +(.*)$", report, re.M)[1]
    if shutil.which(OLDEST) and not RELEASE:
        assert re.fullmatch(rf"gcc {OLDEST[4:]}\..*", compiler)
    assert re.search(r"^psana +none \(pip install parcorana\[psana\]\)$", report, re.M)
    assert not os.listdir(clean.folder)


CONFIG = """\
import numpy as np
from parcorana import userg2

np.save("mask.npy", np.ones((6, 8), np.uint8))
system_params = {
    "dataset": "sim=brownian:shape=6x8:events=100:tau=5:mean=20:poisson=1:seed=1",
    "mask": "mask.npy", "delays": [1, 2, 5], "times": 50, "user_class": userg2.G2atEnd, "h5output": "a.h5",
}
user_params = {"saturated_value": 1000}
"""


def test_a_run_in_a_clean_environment(clean):
    """No compiler, no psana, and, unless the system has one, no MPI library."""
    try:
        clean("python", "-c", "from mpi4py import MPI")
    except AssertionError:
        assert re.search(r"^MPI +none: .*pip install parcorana\[mpich\]", clean("python", "-m", "parcorana"), re.M)
    (clean.folder / "config.py").write_text(CONFIG, encoding="utf-8")
    clean("parCorAnaDriver", "-c", "config.py")
    clean("parCorAnaDriver", "-c", "config.py", "-o", "b.h5")
    assert clean("cmpParCorAnaH5Output", "a.h5", "a.h5") == "same\n"
    assert clean("cmpParCorAnaH5Output", "a.h5", "b.h5") == "same\n"
    code = "import h5py; g = h5py.File('a.h5')['user/G2_results_at_000100']; print(g['delay_curve_color_1'][0])"
    assert 1.2 < float(clean("python", "-c", code)) < 1.6


def test_sources_that_are_not_built(dist, clean):
    """In a clone Python takes the sources for the package that is installed."""
    python = clean("python", "-c", "import sys; print(sys.executable)").strip()
    run = subprocess.run([python, "-m", "parcorana"], cwd=dist[2], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "holds the sources of parcorana, and no compiled modules" in run.stderr
    assert "work in another folder" in run.stderr


def test_what_is_installed_here(command, tmp_path):
    run = command(sys.executable, "-m", "parcorana", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in run.stdout.splitlines())
    assert facts["parcorana"] == parcorana.__version__
    assert facts["Python"] == sys.version.split()[0]
    assert re.search(r"(?i)gcc|clang|icc", facts["compiler"]) and re.search(r"\d+\.\d+", facts["compiler"])
    assert re.search(r"^(yes \(.*\), \d+ cores?|no: one thread)$", facts["OpenMP"])
    assert re.search(r"(?i)mpich|open mpi|intel", facts["MPI"])
    assert re.search(r"^\d+\.\d+|^none", facts["psana"])
    assert {"NumPy", "HDF5", "CPU", "mpi4py"} <= set(facts)
