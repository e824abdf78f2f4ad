"""What a user class keeps beside the rolling buffer: as a checkpoint stores it, and as the class gets it back.

A class with `getState` and `setState` says it itself, element by element, so
that it can be divided among any number of workers. Of a class without them all
attributes are kept that are plain data, and it goes on on as many workers only.
Nothing is pickled: what is read from a disk never becomes code.
"""

import inspect
import logging
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import PurePath
from types import ModuleType

import numpy as np

from parcorana.calculation.arrays import Common, PerElement, Summed
from parcorana.calculation.base import BlockBase, check_arrays
from parcorana.calculation.guard import is_ours
from parcorana.calculation.sums import NUMBERS
from parcorana.calculation.userbase import UserBase
from parcorana.errors import ConfigError, RunError

_OF_PROGRAM = ("user_params", "system_params", "mpiParams")
_PLAIN = "biufcSUmM"


def has_state(user_class):
    """Tell whether a class has `getState` and `setState`; ConfigError if it has one of them only."""
    has = [
        callable(getattr(user_class, name, None)) and getattr(user_class, name) is not getattr(UserBase, name)
        for name in ("getState", "setState")
    ]
    if has[0] != has[1]:
        one, other = ("getState", "setState") if has[0] else ("setState", "getState")
        raise ConfigError(f"user_class {user_class.__name__} has {one} but lacks {other}: a checkpoint needs both")
    return all(has)


def says_state(user_class):
    """Return the methods that declare what a checkpoint keeps of a class, the one that counts first."""
    if issubclass(user_class, BlockBase):
        return ["state", "arrays"] if user_class.state is not BlockBase.state else ["arrays"]
    return ["getState"]


def own_callbacks(user_class):
    """Return the worker's methods that a class defines though what declares its state is that of a base of it.

    Not of a class on blocks that is made from another one of the user's: it changes what that holds.
    """
    mro, says = user_class.__mro__, set(says_state(user_class))
    owner = next((cls for cls in mro if says & set(vars(cls))), user_class)
    if issubclass(user_class, BlockBase) and not is_ours(owner):
        return []
    newer = [cls for cls in mro[: mro.index(owner)] if not is_ours(cls)]
    names = ["initWorker", "adjustData", "adjustTerms", "adjustTermsBlock", "workerCalc", "workerReduce"]
    if issubclass(user_class, BlockBase):
        names += ["adjust", "enter", "end_run", "collect"]
    return [name for name in names if any(name in vars(cls) for cls in newer)]


def checked_state(who, state, elements):
    """Return what `getState` says, checked; plain arrays are `PerElement`.

    Parameters
    ----------
    who : str
        Of the class.
    state : object
    elements : int
        Of this worker.

    Returns
    -------
    dict of str to PerElement, Summed or Common

    Raises
    ------
    RunError
        It is no dict of arrays whose last axis is elements.
    """
    who = f"{who}.getState"
    if not isinstance(state, dict):
        raise RunError(f"{who} must return a dict of name to array, not {type(state).__name__}")
    found = {}
    for name, value in state.items():
        if not isinstance(value, PerElement | Summed | Common | np.ndarray):
            raise RunError(
                f"{who}: {name!r} must be an array whose last axis is the elements, not {type(value).__name__}; "
                "what is the same on all workers goes into parcorana.Common(...)"
            )
        found[name] = PerElement(value) if isinstance(value, np.ndarray) else value
        if type(value) is Summed and value.value.dtype.kind not in NUMBERS:
            raise RunError(f"{who}: Partial {name!r} must hold numbers that have a sum, not {value.value.dtype}")
    return check_arrays(who, found, elements, "biufc")


# -- a class without getState and setState ---------------------------------------


def _is_code(value):
    """Tell whether a value is no data but what `__init__` and `initWorker` will make once more."""
    fixed = type | ModuleType | logging.Logger | np.dtype | np.ufunc | slice | range | PurePath | re.Pattern | Fraction
    return isinstance(value, fixed) or inspect.isroutine(value)


class Attributes:
    """All attributes of a user's instance that are plain data.

    That is: None, bool, numbers, strings, NumPy arrays, and lists, tuples, sets
    and dicts of these.

    Parameters
    ----------
    user : object
        After `initWorker`.

    Raises
    ------
    ConfigError
        An attribute is none of these, so the class needs `getState` and `setState`.
    """

    def __init__(self, user):
        self._user = user
        if not hasattr(user, "__dict__"):
            raise ConfigError(
                f"checkpoint: user_class {type(user).__name__} has no attributes that could be kept (__slots__, or "
                "compiled): give it getState and setState"
            )
        self._code = {name: value for name, value in self._named() if _is_code(value)}
        self.kept()

    def _named(self):
        return [(name, value) for name, value in vars(self._user).items() if name not in _OF_PROGRAM]

    def kept(self):
        """Return a description that JSON can hold, and the arrays that it speaks of."""
        arrays, places, about = [], {}, {}
        for name, value in self._named():
            if name in self._code:
                if value is not self._code[name]:
                    self._refuse(name, value)
                continue
            about[name] = self._encoded(name, value, arrays, places)
        _check_apart(type(self._user).__name__, arrays)
        return about, arrays

    def _refuse(self, name, value):
        whose, kind = type(self._user).__name__, type(value).__name__
        raise ConfigError(
            f"checkpoint: the attribute {name!r} of user_class {whose} is a {kind}, "
            "which a checkpoint cannot keep: give the class getState and setState, or leave out checkpoint"
        )

    def _encoded(self, name, value, arrays, places):
        if isinstance(value, np.ndarray) and value.dtype.kind in _PLAIN:
            if id(value) not in places:  # one array under two names stays one
                places[id(value)] = len(arrays)
                arrays.append(value)
            return ["array", places[id(value)]]
        if isinstance(value, np.generic) and value.dtype.kind in _PLAIN:
            arrays.append(np.array(value))
            return ["scalar", len(arrays) - 1]
        if value is None or type(value) in (bool, int, float, str):
            return ["plain", value]
        if type(value) is complex:
            return ["complex", value.real, value.imag]
        inner = [name, arrays, places]
        if type(value) in (list, tuple, set):
            return [type(value).__name__, [self._encoded(name, item, *inner[1:]) for item in value]]
        if type(value) is dict:
            return ["dict", [[self._encoded(name, item, *inner[1:]) for item in pair] for pair in value.items()]]
        return self._refuse(name, value)

    def restore(self, about, arrays):
        """Set the attributes to what was kept; those that were not there then go."""
        values = {name: _decoded(entry, arrays) for name, entry in about.items()}
        for name, _ in self._named():
            if name not in self._code and name not in values:
                delattr(self._user, name)
        for name, value in values.items():
            setattr(self._user, name, value)


def _decoded(entry, arrays):
    kind, *rest = entry
    if kind == "array":
        return arrays[rest[0]]
    if kind == "scalar":
        return arrays[rest[0]][()]
    if kind == "plain":
        return rest[0]
    if kind == "complex":
        return complex(*rest)
    if kind == "dict":
        return {_decoded(key, arrays): _decoded(value, arrays) for key, value in rest[0]}
    return {"list": list, "tuple": tuple, "set": set}[kind](_decoded(item, arrays) for item in rest[0])


def _span(array):
    """Return where in memory an array begins and ends."""
    low = high = array.__array_interface__["data"][0]
    for n, step in zip(array.shape, array.strides, strict=True):
        low, high = (low + step * (n - 1), high) if step < 0 else (low, high + step * (n - 1))
    return low, high + array.itemsize


def _check_apart(name, arrays):
    """Refuse arrays that are views of each other: apart, they would no longer change together."""
    spans = sorted(_span(array) for array in arrays if array.size)
    if any(begin < end for (_, end), (begin, _) in pairwise(spans)):
        raise ConfigError(
            f"checkpoint: attributes of user_class {name} share their memory (one array is a part of another), "
            "which a checkpoint cannot keep: give the class getState and setState, or leave out checkpoint"
        )
