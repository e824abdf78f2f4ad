"""The code path of a run: one on all ranks, kept in its checkpoints, and only where the machine has all of it."""

import re
import shutil

import h5py
import numpy as np
import pytest

from parcorana import ConfigError, _core, kernels
from parcorana.correlate import cpu
from parcorana.correlate.cpu import Offer, agree

V4, V3, V2, GENERIC = PATHS = ("x86-64-v4", "x86-64-v3", "x86-64-v2", "generic")
HERE = _core.paths()
several = pytest.mark.skipif(len(HERE) < 2, reason="this machine has one code path only")


def offers(*given):
    """Return one offer for each rank: (host, its best path, what PARCORANA_CPU says)."""
    return [Offer(host, "x86_64", PATHS[PATHS.index(best) :], wanted) for host, best, wanted in given]


DIFFERENT = (
    "the CPUs are of different kinds ({}): the kernels take {} everywhere, but the last digits of what NumPy adds up "
    "may depend on which elements each rank has"
)


@pytest.mark.parametrize(
    ("given", "path", "info", "warnings"),
    [
        ([("a", V4, None)], V4, "code path x86-64-v4", []),
        ([("a", V4, None)] * 3, V4, "code path x86-64-v4 on all ranks", []),
        (
            [("a", V4, None), ("b", V3, None), ("a", V4, None)],
            V3,
            "code path x86-64-v3 on all ranks: b has no better one, others have x86-64-v4",
            [DIFFERENT.format("x86-64-v4 on a, x86-64-v3 on b", V3)],
        ),
        ([("a", V4, V2)] * 2, V2, "code path x86-64-v2 on all ranks", []),
        (
            [("a", V4, GENERIC), ("a", V4, None), ("a", V4, None)],
            GENERIC,
            "code path generic on all ranks",
            ["PARCORANA_CPU is 'generic' on rank 0; not set on 2 ranks: the run takes the code path generic"],
        ),
        (
            [("a", V4, V3), ("b", V4, V2)],
            V2,
            "code path x86-64-v2 on all ranks",
            ["PARCORANA_CPU is 'x86-64-v3' on rank 0; 'x86-64-v2' on rank 1: the run takes the code path x86-64-v2"],
        ),
        (
            [("a", V4, V4), ("b", V2, None)],
            V2,
            "code path x86-64-v2 on all ranks: b has no better one, others have x86-64-v3, x86-64-v4",
            [
                "PARCORANA_CPU is 'x86-64-v4' on rank 0; not set on rank 1: the run takes the code path x86-64-v2",
                DIFFERENT.format("x86-64-v4 on a, x86-64-v2 on b", V2),
            ],
        ),
    ],
)
def test_agreement(given, path, info, warnings):
    assert agree(offers(*given)) == (path, info, warnings)


MAY_DIFFER = "and the last digits of sums of values that are not whole numbers may not be those of an undisturbed run"


@pytest.mark.parametrize(
    ("given", "begun_with", "path", "info", "warnings"),
    [
        ([("a", V4, None)], V4, V4, "code path x86-64-v4", []),
        ([("a", V4, None)] * 2, V3, V3, "code path x86-64-v3, with which the run was begun", []),
        (
            [("a", V4, None), ("b", V3, None)],
            V4,
            V3,
            "code path x86-64-v3 on all ranks: b has no better one, others have x86-64-v4",
            [
                "--resume: the run was begun with the code path x86_64 x86-64-v4, which b lacks: it goes on with "
                f"x86-64-v3, {MAY_DIFFER}",
                DIFFERENT.format("x86-64-v4 on a, x86-64-v3 on b", V3),
            ],
        ),
        (
            [("a", V4, V2)],
            V3,
            V2,
            "code path x86-64-v2",
            [
                "--resume: the run was begun with the code path x86_64 x86-64-v3, which PARCORANA_CPU rules out: it "
                f"goes on with x86-64-v2, {MAY_DIFFER}"
            ],
        ),
        (
            [("a", V4, V4)],
            V3,
            V3,
            "code path x86-64-v3, with which the run was begun",
            ["PARCORANA_CPU is 'x86-64-v4' on rank 0: the run takes the code path x86-64-v3"],
        ),
    ],
)
def test_agreement_of_a_run_that_goes_on(given, begun_with, path, info, warnings):
    assert agree(offers(*given), f"x86_64 {begun_with}") == (path, info, warnings)


def test_machines_of_different_kinds():
    given = [*offers(("a", V4, None)), Offer("b", "aarch64", (GENERIC,), None)]
    path, _, (warning,) = agree(given)
    assert path == GENERIC
    assert warning.startswith("the ranks run on machines of different kinds, aarch64, x86_64: the last digits")
    path, _, warnings = agree(offers(("a", V4, None)), "aarch64 generic")
    assert path == V4 and "which a lacks: it goes on with x86-64-v4" in warnings[0]


def test_an_unknown_path(setup, monkeypatch):
    monkeypatch.setenv("PARCORANA_CPU", "z80")
    with pytest.raises(
        ConfigError, match=r"^PARCORANA_CPU: no code path 'z80' on this machine, .*; there are .*generic"
    ):
        cpu.offer()
    setup.write()
    for ranks in (0, 3):
        run = setup.drive(ranks=ranks, env={"PARCORANA_CPU": "z80"})
        assert run.returncode == 2
        assert run.stderr.startswith("parCorAnaDriver: PARCORANA_CPU: no code path 'z80' on this machine")
        assert run.stderr.count("\n") == 1


def test_all_kernels_take_it():
    before = _core.path()
    try:
        for path in HERE:
            cpu.use(path)
            assert _core.path() == kernels.path() == path == cpu.in_use().split()[1]
    finally:
        cpu.use(before)


# -- what a path needs ---------------------------------------------------------------


def test_all_that_a_target_names_is_asked_for(root):
    """What the compiler may use on a path, the machine is asked for before the path is taken."""
    text = (root / "csrc/paths.c").read_text(encoding="ascii")
    asked, of_path = set(), {}
    for path in ("V2", "V3", "V4"):
        body = re.search(rf"case PCA_{path}:\s*return (.*?);", text, re.DOTALL)[1]
        if path != "V2":
            assert f"runs_here(PCA_V{int(path[1]) - 1})" in body
        asked |= set(re.findall(r'__builtin_cpu_supports\("([^"]+)"\)', body))
        of_path[path.lower()] = set(asked)
    found = set()
    for file in sorted((root / "csrc").glob("*.[ch]")):
        if target := re.search(r'target\("([^"]+)"', file.read_text(encoding="ascii")):
            path = re.search(r"v\d", file.name)[0]
            assert set(target[1].split(",")) <= of_path[path], file.name
            found.add(path)
    assert found == {"v2", "v3", "v4"}


@pytest.mark.parametrize(
    ("processor", "best"),
    [("max", V3), ("max,-bmi2", V2), ("max,-fma", V2), ("max,-avx2", V2), ("max,-xsave", V2), ("max,-popcnt", GENERIC),
     ("max,-sse4.2", GENERIC)],
)  # fmt: skip
def test_a_machine_that_lacks_something(command, root, tmp_path, processor, best):
    """By an emulator: what a processor has but a system does not keep, xsave, counts, too."""
    if not shutil.which("qemu-x86_64"):
        pytest.skip("needs qemu-x86_64")
    (tmp_path / "best.c").write_text(
        '#include <stdio.h>\n#include "paths.h"\nint main(void) { puts(pca_path_name(0)); }\n'
    )
    made = command(
        "cc", "-std=gnu11", f"-I{root / 'csrc'}", "best.c", root / "csrc/paths.c", "-o", "best", cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    assert command("qemu-x86_64", "-cpu", processor, "./best", cwd=tmp_path).stdout == f"{best}\n"


# -- real ranks ----------------------------------------------------------------------


@pytest.fixture
def rough(setup):
    """Values whose sums are rounded, each code path in its own way."""
    frames = np.random.default_rng(0).gamma(2.0, 1.0, setup.frames.shape).astype(np.float32)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/frames"]
        file["det/frames"] = frames
    return setup


def bits(path):
    """Return the bytes of G2 at all updates and delays."""
    with h5py.File(path) as file:
        found = []
        file["user"].visititems(lambda name, node: found.append(node[()].tobytes()) if "/G2/delay_" in name else None)
    assert found
    return b"".join(found)


def ranks_of(*groups):
    """Return a command for groups of ranks: (how many, PARCORANA_CPU)."""
    command = ["mpiexec"]
    for number, name in groups:
        more = ["env", f"PARCORANA_CPU={name}"] if name else []
        command += [*([":"] if len(command) > 1 else []), "-n", number, *more, "parCorAnaDriver", "-c", "config.py"]
    return command


@several
@pytest.mark.parametrize("user_class", ["G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed"])
def test_one_path_on_all_ranks(rough, command, user_class):
    """Whichever rank has the variable: all take what it leaves to all, and give the bits of that."""
    rough.write(user_class)
    alone, one = {}, user_class == "G2IncrementalAccumulator"  # all of it is tried with one of them
    for path in HERE if one else (HERE[0], HERE[-1]):
        run = rough.drive("-o", f"{path}.h5", env={"PARCORANA_CPU": path})
        assert run.returncode == 0 and f" INFO code path {path}\n" in run.stderr, run.stderr
        assert "WARNING PARCORANA_CPU" not in run.stderr
        alone[path] = bits(rough.folder / f"{path}.h5")
    best, worst = HERE[0], HERE[-1]
    assert alone[best] != alone[worst]  # or this test would show nothing
    mixed = [
        ([(3, None), (1, worst)], worst),
        ([(1, worst), (3, None)], worst),
        ([(2, None), (1, worst), (1, best)], worst),
        ([(4, None)], best),
    ]
    for groups, path in mixed if one else mixed[:1]:
        run = command(*ranks_of(*groups), cwd=rough.folder)
        assert run.returncode == 0, run.stderr
        assert f" INFO code path {path} on all ranks\n" in run.stderr
        assert ("WARNING PARCORANA_CPU is " in run.stderr) == (len(groups) > 1)
        assert bits(rough.folder / "out.h5") == alone[path]


STRUCK = """\
import os
import signal

from parcorana import userg2


class Struck(userg2.G2IncrementalAccumulator):
    events = 0

    def finalDataArray(self, dataArray, evt):
        self.events += 1
        if self.events == 150 and os.environ.get("STRIKE"):
            os.kill(os.getpid(), signal.SIGKILL)
        return dataArray
"""


@several
def test_a_run_goes_on_with_its_path(rough):
    """The one in the checkpoint, though the machine has a better one; where it may not, a warning."""
    best, worst = HERE[0], HERE[-1]
    (rough.folder / "mine.py").write_text(STRUCK, encoding="utf-8")
    rough.write("Struck", checkpoint=32, update=0, overwrite=True)
    config = rough.folder / "config.py"
    config.write_text(
        config.read_text(encoding="utf-8").replace("from parcorana import userg2", "import mine as userg2")
    )
    whole = {}
    for path in (best, worst):
        run = rough.drive("-o", f"{path}.h5", env={"PARCORANA_CPU": path})
        assert run.returncode == 0, run.stderr
        whole[path] = bits(rough.folder / f"{path}.h5")
    assert rough.drive(env={"PARCORANA_CPU": worst, "STRIKE": "1"}).returncode in (-9, 137)
    run = rough.drive("--resume", ranks=3)
    assert run.returncode == 0 and "resumed at" in run.stderr, run.stderr
    assert f" INFO code path {worst}, with which the run was begun\n" in run.stderr
    assert "--resume: the run was begun with the code path" not in run.stderr
    assert bits(rough.folder / "out.h5") == whole[worst] != whole[best]
    assert rough.drive(env={"PARCORANA_CPU": best, "STRIKE": "1"}).returncode in (-9, 137)
    run = rough.drive("--resume", env={"PARCORANA_CPU": worst})
    assert run.returncode == 0 and "resumed at" in run.stderr, run.stderr
    assert f"which PARCORANA_CPU rules out: it goes on with {worst}, {MAY_DIFFER}" in run.stderr
    assert bits(rough.folder / "out.h5") not in whole.values()
