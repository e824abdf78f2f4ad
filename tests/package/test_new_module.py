"""`python -m parcorana new-module`: the project that it writes, built and run as it is against an installed wheel."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import BIN

import parcorana
from parcorana.errors import ConfigError, RunError
from parcorana.tools import newmodule

NAME = "speckle_sums"
FILES = {f"{NAME}.pyx", f"test_{NAME}.py", "README.md", "config.py", "mask.npy", "pyproject.toml", "setup.py"}


@pytest.fixture(scope="module")
def project(clean, tmp_path_factory):
    """The project as somebody makes it who has only the wheel, installed there by `pip install .`."""
    where = tmp_path_factory.mktemp("user")
    said = clean("python", "-m", "parcorana", "new-module", NAME, folder=where)
    folder = where / NAME
    assert {path.name for path in folder.iterdir()} == FILES
    assert "SpeckleSums" in said
    clean.install(".", folder=folder)
    return folder


def test_its_own_test_passes(clean, project):
    clean("python", "-m", "unittest", folder=project)


def test_it_runs_alone_and_under_mpiexec(clean, project):
    """The result is the same; the MPI library is that of the tests, the rest that of the clean environment."""
    clean("parCorAnaDriver", "-c", "config.py", folder=project)
    mpiexec = shutil.which("mpiexec", path=f"{BIN}:{os.environ['PATH']}")
    libraries = f"{Path(mpiexec).parent.parent / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    job = (mpiexec, "-n", "4", "parCorAnaDriver", "-c", "config.py", "-o", "mpi.h5")
    clean(*job, folder=project, LD_LIBRARY_PATH=libraries)
    assert clean("cmpParCorAnaH5Output", f"{NAME}.h5", "mpi.h5", folder=project) == "same\n"
    code = f"import h5py; f = h5py.File('mpi.h5')['user/{NAME}_at_002000']; print(len(f['curve']), f['curve'][19])"
    delays, last = clean("python", "-c", code, folder=project).split()
    assert delays == "20"
    assert float(last) == pytest.approx(2 * 0.5, rel=0.1)  # twice the contrast of the simulated speckle


SMALL = """\
from parcorana.kernels cimport gather_f32, import_kernels
import_kernels()
def use():
    gather_f32(NULL, 0, NULL, 0, NULL)
"""
BUILD = """\
from Cython.Build import cythonize
from setuptools import Extension, setup
flags = {"include_dirs": ["parcorana/include"], "extra_compile_args": ["-O0"]}
module = Extension("small", ["small.pyx"], **flags)
setup(ext_modules=cythonize([module], language_level=3, include_path=["."]))
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "kernels.h",
            r"(_ABI) \d+",
            r"\1 77",
            "compiled for version 77 of parcorana's kernels, the installed ones have",
        ),
        (
            "kernels.pxd",
            r"gather_f32\(const",
            "gather_f32(",
            "function parcorana.kernels.gather_f32 has wrong signature",
        ),
    ],
    ids=["another version", "another signature"],
)
def test_what_was_compiled_for_other_kernels_is_not_imported(command, tmp_path, file, old, new, said):
    package = tmp_path / "parcorana"
    shutil.copytree(parcorana.get_include(), package / "include")
    (package / "__init__.py").touch()
    shutil.copy(Path(parcorana.__file__).parent / "kernels.pxd", package)
    (changed,) = package.rglob(file)
    text, times = re.subn(old, new, changed.read_text(encoding="ascii"))
    assert times == 1
    changed.write_text(text, encoding="ascii")
    (tmp_path / "small.pyx").write_text(SMALL, encoding="ascii")
    (tmp_path / "build.py").write_text(BUILD, encoding="ascii")
    run = command(sys.executable, "build.py", "-q", "build_ext", "--build-lib", "lib", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    run = command(sys.executable, "-c", "import small", cwd=tmp_path / "lib")
    assert run.returncode == 1
    assert said in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["Abc", "a" * 65, "a-b", "1a", "", "a.b", "../a", "é", "class", "_a"])
def test_names_that_python_cannot_import(name, tmp_path):
    with pytest.raises(ConfigError, match=r"^NAME: .* cannot be imported by that name; take up to 64"):
        newmodule.make_module(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json", "'json' is taken, by Python or by a file of the project"),
        ("config", "'config' is taken"),
        ("parcorana", "a module 'parcorana' is installed here already"),
        ("mine", "mine' exists already; take another name, or move it out of the way"),
    ],
)
def test_names_that_are_taken(name, said, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match=said):
        newmodule.make_module(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # of another test
    with pytest.raises(RunError, match="no/mine' cannot be written: No such file or directory"):
        newmodule.make_module("mine", tmp_path / "no")


def test_exit_status(command, tmp_path):
    """0, then 2 because it is there; one line; and nothing left behind but the project."""
    first, second, third = (
        command(sys.executable, "-m", "parcorana", *args, cwd=tmp_path)
        for args in (("new-module", "mine"), ("new-module", "mine"), ("new-modul",))
    )
    assert (first.returncode, second.returncode, third.returncode) == (0, 2, 2)
    assert not first.stderr and first.stdout.startswith("mine: a module with the user class Mine.")
    assert second.stderr == (
        "python -m parcorana new-module: NAME: 'mine' exists already; take another name, or move it out of the way\n"
    )
    assert "new-module" in third.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    for file in (tmp_path / "mine").glob("*[!y]"):
        assert not re.search("@[A-Z]+@", file.read_text(encoding="utf-8")), file
