"""ParCorAna: parallel correlation analysis of detector frames.

For every detector element, how its intensity at one moment relates to that a
delay later: G2 of X-ray photon correlation spectroscopy, and functions that
users write. See README.md and docs/.
"""

from typing import TYPE_CHECKING, Any

from parcorana._version import __version__

if TYPE_CHECKING:
    from parcorana.inprocess.job import correlate, run
    from parcorana.inprocess.result import open_result

try:
    from parcorana import _core  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"{__path__[0]} holds the sources of parcorana, and no compiled modules that fit this Python ({error}): work "
        "in another folder, where Python finds the installed package, or build it here by 'make demo'"
    ) from None
from parcorana.calculation.arrays import Common, Joined, PerElement, Summed
from parcorana.calculation.base import BlockBase
from parcorana.calculation.block import Block, Update
from parcorana.calculation.params import MpiParams
from parcorana.calculation.userbase import ADD, SUBTRACT, UserBase
from parcorana.correlation.delays import make_delay_list, make_multitau_delays
from parcorana.errors import ConfigError, ParCorAnaError, RunError
from parcorana.events.psana_config import make_psana_config
from parcorana.job.config import check_config

Partial = Summed  # the name that `getState` had for it first

__all__ = [
    "ADD",
    "SUBTRACT",
    "Block",
    "BlockBase",
    "Common",
    "ConfigError",
    "Joined",
    "MpiParams",
    "ParCorAnaError",
    "Partial",
    "PerElement",
    "RunError",
    "Summed",
    "Update",
    "UserBase",
    "__version__",
    "check_config",
    "correlate",
    "get_include",
    "make_delay_list",
    "make_multitau_delays",
    "make_psana_config",
    "open_result",
    "run",
]


_LATER = {"correlate": "job", "run": "job", "open_result": "result"}  # of parcorana.inprocess: no rank needs them


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'parcorana' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"parcorana.inprocess.{_LATER[name]}"), name)
    return found


def get_include() -> str:
    """Return the folder of the C headers, for `include_dirs` of modules that use ``parcorana.kernels`` by cimport."""
    from pathlib import Path

    return str(Path(__file__).parent / "include")
