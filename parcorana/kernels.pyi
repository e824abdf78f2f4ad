"""Types of the compiled module; what the functions do is in docs/kernels.md and in their docstrings."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Real = TypeVar("_Real", np.float32, np.float64)
_RealArray = NDArray[np.float32] | NDArray[np.float64]
_Ints = NDArray[np.integer[Any]] | Sequence[int]

# what Cython adds
__pyx_capi__: dict[str, Any]
__test__: dict[str, Any]

ABI: int
RUN_DTYPE: np.dtype[np.void]

class Runs(NamedTuple):
    run: NDArray[np.void]
    start: NDArray[np.int64]
    counts: NDArray[np.int64]

def find_runs(T: NDArray[np.int64], delays: _Ints, rows: _Ints | None = None) -> Runs: ...
def add_pairs(
    runs: Runs,
    X: NDArray[_Real],
    G2: NDArray[np.float64] | None = None,
    IP: NDArray[np.float64] | None = None,
    IF_: NDArray[np.float64] | None = None,
    *,
    past: NDArray[_Real] | None = None,
    future: NDArray[_Real] | None = None,
    threads: int = 1,
) -> None: ...
def remove_pairs(
    runs: Runs,
    X: NDArray[_Real],
    G2: NDArray[np.float64] | None = None,
    IP: NDArray[np.float64] | None = None,
    IF_: NDArray[np.float64] | None = None,
    *,
    past: NDArray[_Real] | None = None,
    future: NDArray[_Real] | None = None,
    threads: int = 1,
) -> None: ...
def sum_colors(
    values: _RealArray, color: _Ints, colors: _Ints | None = None, threads: int = 1
) -> NDArray[np.float64]: ...
def color_index(color: NDArray[np.integer[Any]], colors: NDArray[np.integer[Any]]) -> NDArray[np.int32]: ...
def sum_indexed(values: _RealArray, index: NDArray[np.int32], colors: int, threads: int = 1) -> NDArray[np.float64]: ...
def included(mask: ArrayLike, part: slice = ...) -> NDArray[np.int64]: ...
def gather(frame: NDArray[_Real], index: NDArray[np.int64], out: NDArray[_Real] | None = None) -> NDArray[_Real]: ...
def scatter(values: NDArray[_Real], index: NDArray[np.int64], out: NDArray[_Real]) -> NDArray[_Real]: ...
def paths() -> list[str]: ...
def path() -> str: ...
def choose_path(name: str | None) -> None: ...
