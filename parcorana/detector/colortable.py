"""The table beside a colour file: which ring and sector a colour is, and its q."""

import csv
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError, one_line, shown
from parcorana.files.paths import fault_of

_COLOR_FILE = "_color_ndarrCoords.npy"  # as parCorAnaMaskColorTool names it
_TABLE = "_colors.csv"
_LARGEST = 1 << 24  # bytes of a table
_WHOLE = ("color", "ring", "sector", "elements")
_UNITS = {"q": "1/angstrom", "radius": "pixels", "intensity": "intensity"}
_IN_ANGSTROM = {"1/angstrom": 1.0, "1/nm": 0.1, "1/um": 1e-4, "1/m": 1e-10}
_TAKEN = {
    *_WHOLE,
    *("colors", "units", "unit", "long_name", "normalization", "error_from", "too_low_by", "too_high_by"),
    *("contrast", "tau", "tau_seconds", "exponent", "baseline", "points", "ok", "why"),
}
IS_TAKEN = "results have that name for something else, or it is none"


def is_taken(name):
    """Return whether a quantity cannot have a name: results have it for something else, or HDF5 would take it apart."""
    return not name or name in _TAKEN or "_err" in name or "/" in name or name.startswith(".")


@dataclass(frozen=True)
class ColorTable:
    """What colours stand for.

    Attributes
    ----------
    kind, unit : str
        ``'q'`` in 1/angstrom; ``'radius'`` and ``'intensity'`` of other rings,
        or whatever a map of one's own holds.
    colors : (C,) int64, increasing
    mean, low, high : (C,) float64
        Of each colour's elements; NaN where the table does not say.
    sectors, elements : (C,) int64
        0 where the table does not say.
    """

    kind: str
    unit: str
    colors: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    sectors: NDArray[np.int64]
    elements: NDArray[np.int64]

    def of(self, colors: Any) -> NDArray[np.float64]:
        """Return the mean value of each of some colours, NaN for those that are not in the table."""
        return self._each(colors, self.mean)

    def _each(self, colors, numbers):
        """Return those of the numbers, one for each colour of the table, that belong to some colours; else NaN."""
        known = dict(zip(self.colors.tolist(), numbers.tolist(), strict=True))
        return np.array([known.get(int(color), math.nan) for color in colors], float)

    def stands_for(self, colors: Any) -> tuple[str, str, NDArray[np.float64]]:
        """Return kind, unit, and the mean value of each of some colours, (C,), as results have them."""
        return self.kind, self.unit, self.of(colors)

    @property
    def tells_q(self) -> bool:
        """Whether the values are q, in a unit that is known."""
        return self.kind == "q" and self.unit in _IN_ANGSTROM

    def q(self, colors: Any) -> NDArray[np.float64]:
        """Return the mean q [1/angstrom] of each of some colours, NaN for those of which it is not known."""
        return self.of(colors) * (_IN_ANGSTROM[self.unit] if self.tells_q else math.nan)

    def widths(self, colors: Any) -> NDArray[np.float64]:
        """Return how wide each of some colours is, as a part of its mean; NaN where the table does not say."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._each(colors, (self.high - self.low) / self.mean)

    def name(self, color: int) -> str:
        """Return what a colour stands for, as ``q = 0.0123 1/angstrom, sector 2``; empty if that is not known."""
        (where,) = np.nonzero(self.colors == color)
        if not len(where) or not np.isfinite(self.mean[where[0]]):
            return ""
        sector = f", sector {self.sectors[where[0]]}" if self.sectors.max() > 1 else ""
        return f"{self.kind} = {self.mean[where[0]]:.4g} {self.unit}{sector}"


def beside(path):
    """Return the name that the table of a colour file has.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str
        ``PREFIX_colors.csv`` for ``PREFIX_color_ndarrCoords.npy`` and for ``PREFIX.npy``.
    """
    path = os.fspath(path)
    prefix = path.removesuffix(_COLOR_FILE)
    return (path.removesuffix(".npy") if prefix == path else prefix) + _TABLE


def find_table(color, given=None, log=None):
    """Return the table of a colour file, None if there is none.

    Parameters
    ----------
    color : str or path
        The colour file.
    given : str, path, False or None
        Names the table; None: it is looked for beside the colour file; False: none is wanted.
    log : callable, optional
        Takes a line of warning, if the one beside the colour file cannot be read.

    Raises
    ------
    ConfigError
        The one that is named cannot be read.
    """
    if given is False:
        return None
    if given is not None:
        if not isinstance(given, str | os.PathLike) or not os.fspath(given):
            raise ConfigError(f"user_params['color_table'] must be the name of a .csv file, not {shown(given)}")
        return read_table(given)
    path = beside(color)
    if not os.path.exists(path):
        return None
    try:
        return read_table(path)
    except ConfigError as error:
        if log is not None:
            log(f"color: {error}; curves are known by their colours only ('color_table': False to do without)")
        return None


def read_table(path):
    """Read a table of colours.

    Its first line names the columns: ``color``, and one of ``q``, ``q_mean``
    or another value's ``..._mean``. Beside them it may have ``ring``,
    ``sector``, ``elements``, ``..._min``, ``..._max`` and ``unit``, as
    `parCorAnaMaskColorTool` writes it.

    Parameters
    ----------
    path : str

    Returns
    -------
    ColorTable

    Raises
    ------
    ConfigError
        It is not there, no such table, or has a colour twice.
    """
    where = f"the table of colours {os.fspath(path)!r}"
    if fault := fault_of(path):
        raise ConfigError(f"{where} {fault}")
    if os.path.getsize(path) > _LARGEST:
        raise ConfigError(f"{where} has more than {_LARGEST >> 20} MiB, which no table of colours has")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{where} cannot be read ({one_line(error)})") from error
    return _table(where, [row for row in rows if any(row)])


def _table(where, rows):
    head = [name.strip() for name in rows[0]] if rows else []
    kinds = [name.removesuffix("_mean") for name in head if name.endswith("_mean") or name == "q"]
    if "color" not in head or not kinds:
        raise ConfigError(
            f"{where}: its first line must name the columns color and q (or q_mean), not {shown(','.join(head))}"
        )
    kind = kinds[0]
    if is_taken(kind):
        raise ConfigError(f"{where}: what colours stand for cannot be called {shown(kind)}: {IS_TAKEN}")
    columns = {name: [] for name in (*_WHOLE, "mean", "low", "high", "unit")}
    names = {"mean": kind if kind in head else f"{kind}_mean", "low": f"{kind}_min", "high": f"{kind}_max"}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise ConfigError(f"{where}: line {number} has {len(row)} columns, and the first line names {len(head)}")
        given = dict(zip(head, row, strict=True))
        for name, column in columns.items():
            column.append(_value(f"{where}: line {number}", names.get(name, name), given, name))
    colors = np.array(columns["color"], np.int64)
    order = np.argsort(colors, kind="stable")
    if (np.diff(colors[order]) == 0).any() or (colors < 1).any():
        raise ConfigError(f"{where}: its colours must be whole numbers above 0, each in one line")
    units = set(columns["unit"]) or {_UNITS.get(kind, "1")}
    if len(units) > 1:
        raise ConfigError(f"{where}: its lines must have one unit, not {shown(', '.join(sorted(units)))}")
    whole = {name: np.array(columns[name], np.int64)[order] for name in ("sector", "elements")}
    real = {name: np.array(columns[name], float)[order] for name in ("mean", "low", "high")}
    unit = units.pop() or _UNITS.get(kind, "1")
    return ColorTable(kind, unit, colors[order], **real, sectors=whole["sector"], elements=whole["elements"])


def _value(where, name, given, kind):
    """Return a number, or the unit, of a line; what the table does not have is 0, NaN or empty."""
    text = given.get(name, "").strip()
    if kind == "unit":
        return text
    if not text and name != "color":
        return 0 if kind in _WHOLE else math.nan
    try:
        number = int(text) if kind in _WHOLE else float(text)
    except ValueError:
        number = -1 if kind in _WHOLE else math.inf
    if not (0 <= number < 1 << 62 if kind in _WHOLE else math.isfinite(number)):
        raise ConfigError(f"{where}: {name} must be a {'whole ' * (kind in _WHOLE)}number, not {shown(text)}")
    return number


def doubts(table, colors, sizes):
    """Return what makes a table look as if it were another colour file's; None if nothing does.

    Parameters
    ----------
    table : ColorTable
    colors, sizes : (C,) int64
        Colours, and the included elements of each.
    """
    unknown = [c for c in colors.tolist() if c not in table.colors]
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        return f"it has no colour {unknown[0]}{more}"
    told = dict(zip(table.colors.tolist(), table.elements.tolist(), strict=True))
    for color, size in zip(colors.tolist(), sizes.tolist(), strict=True):
        if 0 < told[color] < size:
            return f"it says that colour {color} has {told[color]:,} elements, and {size:,} are included"
    return None


def attributes_of(stands_for, k):
    """Return what the k-th colour stands for as attributes of a dataset: ``{'q': ..., 'q_unit': ...}``.

    Parameters
    ----------
    stands_for : (str, str, (C,) float64) or None
        As `ColorTable.stands_for` returns it.
    k : int
    """
    return {} if stands_for is None else {stands_for[0]: stands_for[2][k], f"{stands_for[0]}_unit": stands_for[1]}
