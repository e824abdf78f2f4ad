"""Values of parameters can be told: they end, and each has a text; ranks compare them, and results keep them."""

import numpy as np

from parcorana.errors import ConfigError, one_line

_DEEPEST = 50  # levels
_MOST = 10_000_000  # values in one parameter, those that it has twice counted twice
_PLAIN = {str, bool, float, type(None)}


def check_tellable(params, where):
    """Refuse values that have no end, or no text.

    Parameters
    ----------
    params : dict
    where : callable
        Returns how a key of it is named.

    Raises
    ------
    ConfigError
        One sentence that names the key, what is wrong and what would be right.
    """
    for key, value in params.items():
        look = _Look()
        try:
            if type(key) is not str:
                look.text(key)
            look.at(value)
        except _Fault as fault:
            name = where(key) if type(key) is str else f"a key of {where('')}"
            raise ConfigError(f"{name} {fault}") from None


class _Fault(Exception):
    pass


class _Look:
    """One look at a value and all that is in it."""

    def __init__(self):
        self._path = set()  # of what is being looked at: it may hold itself
        self._known = {}  # of each list, dictionary, ...: it, its values, its levels

    def at(self, value):
        """Return how many values there are, and in how many levels; raise _Fault."""
        parts = _parts(value)
        if parts is None:
            if type(value) not in _PLAIN:
                self.text(value)
            return 1, 0
        if id(value) in self._path:
            raise _Fault(f"holds itself, in a {type(value).__name__}: a parameter must have an end")
        if id(value) not in self._known:
            self._path.add(id(value))
            found = [(1, 0)] if len(self._path) > _DEEPEST else [(0, 0), *map(self.at, parts)]
            self._path.remove(id(value))
            self._known[id(value)] = value, sum(size for size, _ in found), 1 + max(levels for _, levels in found)
        _, size, levels = self._known[id(value)]
        if len(self._path) + levels > _DEEPEST:
            raise _Fault(f"is nested more than {_DEEPEST} levels deep: give it in fewer")
        if size > _MOST:
            raise _Fault(f"holds more than {_MOST:,} values: give the name of a file with them, or an array")
        return size, levels

    @staticmethod
    def text(value):
        """Raise _Fault of what has no text."""
        try:
            repr(value), str(value)
        except Exception as error:  # whatever somebody's class raises, or an integer of thousands of digits
            kind = type(value).__name__
            raise _Fault(
                f"holds an object of {kind} that cannot be shown: its text raises {type(error).__name__}: "
                f"{one_line(error)}"
            ) from None


def _parts(value):
    """Return what is in a value, None if it is looked at as a whole."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return value.ravel().tolist() if isinstance(value, np.ndarray) and value.dtype.hasobject else None
