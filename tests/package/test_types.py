"""Types of what users import: all of it has them, the stubs are what was compiled, and a checker finds wrong calls."""

import functools
import importlib
import inspect
import sys

import pytest

PUBLIC = ["parcorana", "parcorana.curves", "parcorana.events.simulated", "parcorana.fits", "parcorana.reference"]


def untyped(function):
    """Return whether a parameter, or what comes back, has no type."""
    signature = inspect.signature(function)
    parameters = [p for name, p in signature.parameters.items() if name not in ("self", "cls")]
    nothing = inspect.Parameter.empty
    return signature.return_annotation is nothing or any(p.annotation is nothing for p in parameters)


def functions_of(cls):
    """Yield (name, function) of a class's own public methods and properties."""
    for name, value in vars(cls).items():
        if name == "__init__" or name[0] != "_":
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if inspect.isfunction(function):
                yield name, function


def surface(module):
    """Yield (name, function) of what a module offers: by its `__all__`, or all that it defines."""
    here = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    for name in getattr(module, "__all__", here):
        value = getattr(module, name)
        if name[0] == "_":
            continue
        if inspect.isclass(value):
            yield from ((f"{name}.{method}", function) for method, function in functions_of(value))
        elif inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_has_types(name):
    found = dict(surface(importlib.import_module(name)))
    assert found
    assert not [name for name, function in found.items() if untyped(function)]


def test_the_search_sees_what_has_none():
    class Some:
        def __init__(self, a): ...
        @property
        def b(self): ...
        @classmethod
        def c(cls, d): ...
        def e(self, f: int) -> None: ...

    assert [name for name, function in functions_of(Some) if untyped(function)] == ["__init__", "b", "c"]


@pytest.fixture(scope="module")
def mypy(run_here, root, tmp_path_factory):
    cache = tmp_path_factory.mktemp("mypy")
    where = {"MYPYPATH": str(root), "MYPY_CACHE_DIR": str(cache)}
    return functools.partial(run_here, sys.executable, "-m", env=where)


def test_stubs_of_the_kernels(mypy, tmp_path):
    """Names, parameters and defaults are those of the compiled module."""
    run = mypy("mypy.stubtest", "parcorana.kernels", cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


RIGHT = """
import numpy as np
import parcorana
from numpy.typing import NDArray
from parcorana import kernels, reference
from parcorana.curves import Curve
from parcorana.events import simulated
from parcorana.fits import fit_curve


class Blocks(parcorana.BlockBase):
    buffer = "C"

    def arrays(self, elements: int) -> dict[str, parcorana.PerElement]:
        self.sums = np.zeros(elements)
        return {"sums": parcorana.PerElement(self.sums)}

    def enter(self, block: parcorana.Block) -> None:
        self.sums += block.data.sum(axis=0) * block.values["pulse"].mean() / len(block)

    def publish(self, update: parcorana.Update, group: object) -> None:
        print(update["sums"].mean(), update.processed, update.relsec)


class Mine(parcorana.UserBase):
    def arrayNames(self) -> list[str]:
        return ["G2"]

    def eventOk(self, evt: object) -> bool:
        self.mpiParams.logInfo("seen", allWorkers=True)
        return True

    def adjustTerms(self, mode: str, dataIdx: int, T: NDArray[np.int64], X: NDArray[np.float32]) -> None:
        runs = kernels.find_runs(T, self.system_params["delays"], [dataIdx])
        kernels.add_pairs(runs, X, np.zeros((3, X.shape[1])), threads=self.mpiParams.threads)


delays: list[int] = parcorana.make_delay_list(1, 100, 10, spacing="lin")
curve: NDArray[np.float64] = simulated.true_g2("sim=brownian:tau=5", delays)
tau: float = fit_curve(np.array(delays), Curve(curve, curve, np.array(delays), np.array(delays)), "single").tau
sums = reference.g2([0, 1, 2], np.ones((3, 4)), 3, delays, "atend")
parcorana.check_config({"user_class": Mine}, {})
print(parcorana.get_include() + "/parcorana", kernels.sum_colors(sums["G2"], [1, 1, 2, 2]).mean())
"""
WRONG = {
    'parcorana.make_delay_list("1", 100, 10)': "arg-type",
    "parcorana.make_delay_list(1, 100)": "call-arg",
    "parcorana.get_include().shape": "attr-defined",
    "kernels.sum_colors(np.ones((2, 2)), [1, 2]).upper()": "attr-defined",
    'kernels.choose_path(3)': "arg-type",
    "kernels.find_pairs": "attr-defined",
    'parcorana.UserBase({}, {}, "worker")': "arg-type",
}  # fmt: skip


def test_a_users_program(mypy, tmp_path):
    """A right one is clean under --strict, and of a wrong one every line is found."""
    # psana, h5py and SciPy bring no types: nothing of them is in what users see
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-parcorana.*]\nignore_errors = True\n", encoding="utf-8")
    (tmp_path / "right.py").write_text(RIGHT, encoding="utf-8")
    run = mypy("mypy", "--strict", "--ignore-missing-imports", "right.py", cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout == "Success: no issues found in 1 source file\n"
    first = "import numpy as np\nimport parcorana\nfrom parcorana import kernels\n"
    (tmp_path / "wrong.py").write_text(first + "\n".join(WRONG), encoding="utf-8")
    run = mypy("mypy", "--ignore-missing-imports", "wrong.py", cwd=tmp_path)
    for line, code in enumerate(WRONG.values(), first.count("\n") + 1):
        assert f"wrong.py:{line}: error: " in run.stdout, run.stdout
        (said,) = [text for text in run.stdout.splitlines() if text.startswith(f"wrong.py:{line}: error")]
        assert said.endswith(f"[{code}]")
