"""Builds the C core; everything else about the package is in pyproject.toml."""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math"]
# `make lint` and CI add warnings here; a user's compiler may be newer than ours.
FLAGS += os.environ.get("PARCORANA_CFLAGS", "").split()
COMPILER = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()


def check_compiler():
    """End in one sentence, that of csrc/compiler.h, if the compiler is too old; of one that is missing others tell."""
    command = ["env", "LC_ALL=C", *COMPILER, "-fsyntax-only", "csrc/compiler.h"]
    seen = subprocess.run(command, capture_output=True, text=True, check=False)
    if found := re.search(r'error: (?:#error )?"(.*)"', seen.stderr):
        sys.exit(f"{found[1]}; this is {' '.join(COMPILER)}")


def openmp():
    """Return the flag for OpenMP, or none where the compiler lacks it."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "t.c")
        with open(source, "w", encoding="ascii") as file:
            file.write("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        command = [*COMPILER, "-fopenmp", source, "-o", os.path.join(folder, "t")]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            print("parcorana: no OpenMP, workers will use one thread each", file=sys.stderr)
            return []
    return ["-fopenmp"]


check_compiler()
OPENMP = openmp()
# what parcorana.kernels offers to users; the bookkeeping of rows is in both
SHARED = [*glob("pyx/*.pxi"), *glob("parcorana/include/parcorana/*.h")]
PATHS = {*glob("csrc/paths.*"), "csrc/compiler.h"}
KERNELS = {*glob("csrc/pairs*"), *glob("csrc/groups*")}
MOVE = {*glob("csrc/gather*"), *glob("csrc/adjust*"), *glob("csrc/photons*")}
BEAT = {*glob("csrc/beat*")}
VIEWS = {*glob("csrc/views*"), *glob("csrc/threads*")}
CORE = {*glob("csrc/*")} - KERNELS - MOVE - BEAT


def extension(name, files):
    """Describe one compiled module, made of C files and depending on the headers among `files`."""
    return Extension(
        f"parcorana.{name}",
        [f"pyx/{name}.pyx", *sorted(file for file in files if file.endswith(".c"))],
        include_dirs=["csrc", "parcorana/include"],
        depends=[*sorted(file for file in files if file.endswith(".h")), *SHARED],
        extra_compile_args=FLAGS + OPENMP + ["-pthread"],
        extra_link_args=[*OPENMP, "-pthread"],
    )


modules = [
    extension("_core", CORE),
    extension("_beat", BEAT),
    extension("_move", MOVE | VIEWS | {"csrc/each_real.h"}),
    extension(
        "kernels", KERNELS | VIEWS | PATHS | {"csrc/rolling.c", "csrc/parcorana.h", "csrc/each_real.h", "csrc/v4.h"}
    ),
]
setup(ext_modules=cythonize(modules, language_level=3, include_path=["."]))
