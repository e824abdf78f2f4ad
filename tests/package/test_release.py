"""What `make wheel` made, as somebody has it who has Python alone: no compiler, no MPI, nothing else on the path."""

import os
import re
import shutil
import sys

import pytest
from conftest import RELEASE, succeed

import parcorana

pytestmark = pytest.mark.skipif(not RELEASE, reason="needs what make wheel makes")

# of the system, what every Linux has for which wheels are: see PEP 600
EVERYWHERE = r"(ld-linux-.*|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+))(-[\d.]+)?\.so(\.\d+)*"
LOADED = """
import re, sys
def loaded():
    return set(re.findall(r"(/\\S+\\.so\\S*)", open("/proc/self/maps").read()))
import bz2, ctypes, hashlib, lzma, ssl, uuid, zlib  # what these need is Python's affair
before = loaded()
from parcorana import _beat, _core, _move, kernels
import h5py, matplotlib.pyplot, tqdm
from mpi4py import MPI
print(*sorted(loaded() - before), sep="\\n")
"""
# both libraries have threads of their own; a pool that both used, or symbols of the other, would show in either's sums
THREADS = """
import os
import numpy as np
{first}
import parcorana
from parcorana.userg2 import G2IncrementalAccumulator
{then}
frames = np.random.default_rng(0).integers(0, 99, (400, 64, 64), dtype=np.uint16)
points = frames[:, 0].astype(float)
def labels():
    return KMeans(3, n_init=1, random_state=0).fit(points).labels_
def sums(threads):
    result = parcorana.correlate(frames, delays=[1, 2, 5, 9], threads=threads)
    return result.g2
alone, own = sums(1), labels()
for _ in range(3):
    assert (sums(4) == alone).all() and (labels() == own).all()
maps = open("/proc/self/maps").read()
print(len({{line.split()[-1] for line in maps.splitlines() if "libgomp" in line}}), len(os.listdir("/proc/self/task")))
"""


@pytest.fixture(scope="module")
def bare(dist, tmp_path_factory):
    """Runs a command of a new environment with the wheel, in its folder, with no other program in reach."""
    folder = tmp_path_factory.mktemp("bare")
    succeed(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    network = [
        f"{k}={v}" for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_")) or k.endswith(("_proxy", "_PROXY"))
    ]

    def run(*args, more=()):
        return succeed("env", "-i", f"PATH={folder / 'env/bin'}", f"HOME={folder}", *more, *args, cwd=folder)

    def install(*args):
        return run("pip", "install", "--quiet", "--only-binary=:all:", *args, more=network)

    install(f"{dist[1]}[mpich]")
    run.folder, run.install = folder, install
    return run


def test_tag(dist):
    """It may be installed elsewhere: what the system's libraries have to have is in its name."""
    assert re.fullmatch(rf"parcorana-{re.escape(parcorana.__version__)}-cp\d+-cp\d+-manylinux_.*\.whl", dist[1].name)


def test_no_compiler_is_in_reach(bare):
    code = "import shutil; print([shutil.which(name) for name in ('cc', 'gcc', 'clang', 'ld', 'mpicxx')])"
    assert "None, None, None, None" in bare("python", "-c", code)


def test_libraries(bare):
    """Whatever is loaded came by pip, or is what every system has; Python's own modules are Python's."""
    files = bare("python", "-c", LOADED).split()
    assert any("parcorana.libs/libgomp" in file for file in files)
    ours = (str(bare.folder), sys.base_prefix + "/")
    strange = [file for file in files if not file.startswith(ours)]
    assert not [file for file in strange if not re.fullmatch(EVERYWHERE, os.path.basename(file))]


def test_what_is_installed(bare):
    report = dict(re.findall(r"^(\S+) +(.*)$", bare("python", "-m", "parcorana"), re.M))
    assert report["parcorana"] == parcorana.__version__
    assert report["OpenMP"].startswith("yes") and report["MPI"].startswith("MPICH")


def test_demo(bare, root):
    """The job of `make demo` over four ranks, and in one process with threads."""
    shutil.copytree(root / "examples", bare.folder / "examples")
    bare("python", "examples/demo_files.py")
    job = ("parCorAnaDriver", "-c", "examples/demo.py", "--trust-config", "-o")
    bare("mpiexec", "-n", "4", *job, "demo/four.h5")
    bare(*job, "demo/one.h5")
    assert bare("cmpParCorAnaH5Output", "demo/four.h5", "demo/one.h5") == "same\n"


@pytest.mark.parametrize("which", ["first", "then"])
def test_beside_another_libgomp(bare, which):
    """Wheels bring a libgomp each; scikit-learn's and ours are two, in whatever order they are loaded."""
    bare.install("scikit-learn")
    code = THREADS.format(**{"first": "", "then": "", which: "from sklearn.cluster import KMeans"})
    libraries, threads = map(int, bare("python", "-c", code).split())
    assert libraries == 2 and threads >= 4
