"""The kernels as other machines run them, and as other compilers make them.

On aarch64 by an emulator, and with vectors of 64 bytes.

Nothing here emulates AVX-512. What can be tested is the code of x86-64-v4 for the instructions that
every x86-64 has: the same source, but for conversions by intrinsics; vectors of the same length, which
the compiler then cuts in pieces.
"""

import platform
import re
import shutil
import sys

import pytest

from parcorana import kernels

FLAGS = ["-std=gnu11", "-O1", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]


@pytest.fixture
def run_elsewhere(command, root, tmp_path):
    """Compile tests/correlation/elsewhere.c and the kernels, the files in `instead` in place of their own; run it."""

    def run(compiler, *emulator, instead=()):
        if missing := [name for name in (compiler, *emulator) if not shutil.which(name)]:
            pytest.skip(f"needs {' and '.join(missing)}")
        for folder in ("csrc", "parcorana/include"):
            shutil.copytree(root / folder, tmp_path / folder)
        for name, text in dict(instead).items():
            (tmp_path / name).write_text(text)
        csrc = tmp_path / "csrc"
        sources = [
            root / "tests/correlation/elsewhere.c",
            csrc / "rolling.c",
            csrc / "paths.c",
            csrc / "views.c",
            csrc / "threads.c",
        ]
        sources += [*csrc.glob("correlate*.c"), *csrc.glob("pairs*.c")]
        static = ["-static"] if emulator else []
        made = command(compiler, *FLAGS, *static, "-Icsrc", *sources, "-o", "elsewhere", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        done = command(*emulator, "./elsewhere", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.skipif(platform.machine() != "x86_64", reason="code paths of x86-64")
@pytest.mark.parametrize("compiler", ["gcc-10", "gcc-11", "clang"])
def test_other_compilers(run_elsewhere, compiler):
    assert run_elsewhere(compiler) == kernels.paths()


def test_a_compiler_that_is_too_old(command, root, tmp_path):
    """It stands for itself by saying its age: what comes of that is one sentence, not pages."""
    old = tmp_path / "old-cc"
    old.write_text('#!/bin/sh\nexec cc -U__GNUC__ -D__GNUC__=9 "$@"\n')
    old.chmod(0o755)
    built = command(sys.executable, "setup.py", "build", cwd=root, env={"CC": str(old)})
    want = "parcorana needs GCC 10 or newer, or clang 13 or newer: name one, as CC=gcc-12; this is "
    assert (built.returncode, built.stdout, built.stderr) == (1, "", f"{want}{old}\n")


def test_aarch64(run_elsewhere):
    assert run_elsewhere("aarch64-linux-gnu-gcc", "qemu-aarch64") == ["generic"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="code paths of x86-64")
def test_vectors_of_64_bytes(run_elsewhere, root):
    text, targets = re.subn(r"#define TARGET .*", "#define TARGET", (root / "csrc/v4.h").read_text())
    paths, checks = re.subn(
        r"return runs_here\(PCA_V3\)[^;]*;", "return 1;", (root / "csrc/paths.c").read_text(), count=1
    )
    assert (targets, checks) == (1, 1)
    correlate, widens = re.subn(r'#include "widen.h"', "", (root / "csrc/correlate_v4.c").read_text())
    assert widens == 1
    lines = run_elsewhere("cc", instead={"csrc/v4.h": text, "csrc/paths.c": paths, "csrc/correlate_v4.c": correlate})
    assert {"x86-64-v4", "generic"} <= set(lines)
