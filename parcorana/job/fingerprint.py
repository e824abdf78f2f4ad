"""A digest of whatever a config may hold, which is the same in every process that has the same.

Of functions and classes it is their code that counts, of arrays, sets and
dictionaries what is in them, in whatever order; a NaN is like any other. What
tells nothing of what is in it, as a lock or an open file, stands for its kind;
so does an object of a library that holds such a thing, as a thread, and what is
another one in each process: the environment, where a library of C lies.
"""

import copyreg
import ctypes
import enum
import hashlib
import math
import os
import struct
import sys
import sysconfig
import types
from functools import cache
from pathlib import Path

import numpy as np

_PROGRAM = str(Path(__file__).resolve().parent.parent)
_LIBRARIES = tuple(f"{Path(sysconfig.get_path(name)).resolve()}/" for name in ("stdlib", "platstdlib"))
_INSTALLED = ("/site-packages/", "/dist-packages/")
_DEEPEST = 60  # objects within objects
_LARGE = 1 << 28  # bytes of a file beyond which only its ends are looked at
_PIECE = 1 << 20  # elements of an array that are looked at together
_SIMPLE = {type(None), bool, int, float, str, bytes}  # one text for each value, and no two that are not alike
_PLAIN = (type(None), type(...), type(NotImplemented), bool, int, str, bytes, bytearray, range)
# what Python itself writes into a class: places and caches
_OF_PYTHON = {"__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__"}


def digest(value):
    """Return the digest of an object, 16 bytes."""
    return _Walk().of(value)


def is_users(name):
    """Tell whether a module is one that the user keeps: not installed, not Python's, not the program's."""
    module = sys.modules.get(name)
    if module is None:
        return True  # the config itself
    path = getattr(module, "__file__", None)
    if not isinstance(path, str):
        return name == "__main__"
    return _is_users_file(path)


@cache
def _is_users_file(path):
    # as it is named first: to follow links asks the file system for each folder
    return not any(
        each.startswith((f"{_PROGRAM}/", *_LIBRARIES)) or any(part in each for part in _INSTALLED)
        for each in (follow(path) for follow in (str, os.path.realpath))
    )


def _kind(value):
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _name(value):
    """Return what puts functions, classes and their objects in order, those of a set."""
    return f"{getattr(value, '__module__', '')} {getattr(value, '__qualname__', '')} {type(value).__qualname__}"


def _hash(*parts):
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode(errors="backslashreplace") if isinstance(part, str) else part
        made.update(struct.pack("<q", len(data)))
        made.update(data)
    return made.digest()


class _Walk:
    """One walk over an object and all that is in it."""

    def __init__(self):
        self._path = {}  # of what is being looked at, how deep it is: objects may hold themselves
        self._known = {}  # of functions and classes
        self._closed = 0  # how many have told nothing

    def of(self, value):
        """Return the digest of an object."""
        if isinstance(value, types.FunctionType | type) and id(value) in self._known:
            return self._known[id(value)]
        if id(value) in self._path and not isinstance(value, _PLAIN):
            return _hash("again", str(len(self._path) - self._path[id(value)]))
        if len(self._path) > _DEEPEST:
            return _hash("deep", _kind(value))
        outer = self._path.get(id(value))
        self._path[id(value)] = len(self._path)
        try:
            found = self._look(value)
        except Exception:  # whatever somebody's class raises
            found = _hash(_kind(value))
        finally:
            del self._path[id(value)]
            if outer is not None:
                self._path[id(value)] = outer
        if isinstance(value, types.FunctionType | type):
            self._known[id(value)] = found
        return found

    def _all(self, values):
        return [self.of(value) for value in values]

    def _look(self, value):
        kind = _kind(value)
        if type(value) in _PLAIN:
            return _hash(kind, repr(value))
        if type(value) is float:
            return _hash(kind, "nan" if math.isnan(value) else value.hex())
        if isinstance(value, np.ndarray | np.generic):
            return self._array(kind, np.asarray(value), np.ma.getmask(value))
        if isinstance(value, enum.Enum):
            return _hash(kind, value.name)
        if isinstance(value, dict):
            if _are_simple(value) and _are_simple(value.values()):
                return _hash(kind, "\n".join(sorted(map(repr, value.items()))))
            return _hash(kind, *sorted(self.of(key) + self.of(item) for key, item in value.items()))
        if isinstance(value, set | frozenset):
            if _are_simple(value):
                return _hash(kind, "\n".join(sorted(map(repr, value))))
            # of functions that call each other it counts which is seen first, and that is another one in each process
            return _hash(kind, *sorted(self._all(sorted(value, key=_name))))
        if isinstance(value, list | tuple):
            if _are_simple(value):
                return _hash(kind, "\n".join(map(repr, value)))
            return _hash(kind, *self._all(value))
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return _hash(kind, self.of(value.__func__), self.of(value.__self__))
        if isinstance(value, staticmethod | classmethod):
            return _hash(kind, self.of(value.__func__))
        if isinstance(value, property):
            return _hash(kind, *self._all((value.fget, value.fset, value.fdel)))
        if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
            return _hash(kind, value.__name__)
        if isinstance(value, np.dtype):
            return _hash(kind, str(value))
        if isinstance(value, ctypes.CDLL):
            return _hash(kind, str(value._name))
        if value is os.environ:
            return _hash(kind)
        if isinstance(compiled := getattr(value, "py_func", None), types.FunctionType):
            return _hash(kind, self.of(compiled))  # of Numba, whose own number it is
        return self._object(kind, value)

    def _array(self, kind, array, masked):
        said = [kind, array.dtype.str, repr(array.shape)]
        if masked is not np.ma.nomask:
            return _hash(*said, masked.tobytes(), self.of(np.where(masked, np.zeros(1, array.dtype), array)))
        if array.dtype.names:
            return _hash(*said, *(_hash(name, self.of(array[name])) for name in array.dtype.names))
        if array.dtype.hasobject:
            return _hash(*said, *self._all(array.ravel().tolist()))
        if array.dtype.kind == "c":
            return _hash(*said, self.of(array.real), self.of(array.imag))
        pieces = np.ascontiguousarray(array).reshape(-1)
        made = hashlib.blake2b(_hash(*said), digest_size=16)
        for first in range(
            0, len(pieces) if array.nbytes else 0, _PIECE
        ):  # a copy of all may be more than there is memory for
            made.update(_numbers(pieces[first : first + _PIECE]).view(np.uint8))
        return made.digest()

    def _class(self, value):
        name = f"{value.__module__}.{value.__qualname__}"
        if not is_users(value.__module__):
            return _hash("class", name)
        parts = [
            _hash(key, self.of(item))
            for key, item in sorted(vars(value).items())
            if key not in _OF_PYTHON and not key.startswith("_abc_")
        ]
        return _hash("class", name, *self._all(value.__bases__), *parts)

    def _function(self, value):
        name = f"{value.__module__}.{value.__qualname__}"
        if not is_users(value.__module__):
            return _hash("function", name)
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        names = sorted(_names(value.__code__))
        # what it calls; of other names in its module the file's bytes tell
        called = [value.__globals__.get(each) for each in names]
        called = [each for each in called if isinstance(each, types.FunctionType | type)]
        parts = self._all((value.__defaults__, value.__kwdefaults__, *cells, *called))
        return _hash("function", name, self._code(value.__code__), *parts)

    def _code(self, code):
        constants = [self._code(each) if isinstance(each, types.CodeType) else self.of(each) for each in code.co_consts]
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return _hash("code", code.co_code, repr(names), repr(code.co_flags), *constants)

    def _object(self, kind, value):
        """Look into an object as one does who makes a copy of it."""
        try:
            made = copyreg.dispatch_table.get(type(value), lambda each: each.__reduce_ex__(4))(value)
        except Exception:  # it is nothing to copy
            self._closed += 1
            return _hash(kind)
        if isinstance(made, str):
            return _hash(kind, made)
        function, given, state, items, pairs = (*made, None, None, None)[:5]
        before = self._closed
        parts = self._all((function, given, state, list(items or ()), dict(pairs or ())))
        if self._closed > before and not is_users(type(value).__module__):
            return _hash(kind)
        return _hash(kind, *parts)


def _are_simple(values):
    return all(type(each) in _SIMPLE for each in values)


def _numbers(array):
    """Return an array whose bytes tell its numbers."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array)  # there are many
        if array.dtype.itemsize > 8:  # with bytes in it that mean nothing
            high = array.astype(np.float64)
            with np.errstate(invalid="ignore"):
                array = np.stack([high, np.nan_to_num(array - high).astype(np.float64)])
    return array.reshape(-1)


def _is_filled(cell):
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _names(code):
    """Return the names that a piece of code, and those within it, ask its module for."""
    found = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= _names(each)
    return found


def _texts(code):
    """Return the texts in a piece of code, and in those within it."""
    found = {each for each in code.co_consts if isinstance(each, str)}
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= _texts(each)
    return found


def looked_up(classes):
    """Return what the user's code asks its modules and the environment for while it runs.

    That is in no file and no code: a number that a config has made of the
    time, of chance or of the environment, each rank for itself.

    Parameters
    ----------
    classes : iterable of type

    Returns
    -------
    dict of str to object
        By how it is called in a message; None of a variable of the environment that is not there.
    """
    found, seen, left = {}, set(), list(classes)
    while left:
        each = left.pop()
        if isinstance(each, staticmethod | classmethod | types.MethodType):
            each = each.__func__
        if isinstance(each, property):
            left += each.fget, each.fset, each.fdel
        elif id(each) not in seen and isinstance(each, types.FunctionType | type) and is_users(each.__module__):
            seen.add(id(each))
            if isinstance(each, type):
                left += *each.__bases__, *vars(each).values()
                continue
            left += [cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell)]
            for name, value in _globals_of(each):
                if isinstance(value, types.FunctionType | type):
                    left.append(value)
                elif not isinstance(value, types.BuiltinFunctionType | types.ModuleType):
                    found[name] = value
            if {"environ", "getenv"} & _names(each.__code__):
                names = {text for text in _texts(each.__code__) if text.isidentifier()}
                found |= {f"${name}": os.environ.get(name) for name in names}
    return found


def _globals_of(function):
    """Yield name and value of what a function asks its module for, and others of the user's that this one has."""
    names = _names(function.__code__)
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType):
            if is_users(value.__name__):
                of_it = vars(value)
                yield from ((f"{name}.{each}", of_it[each]) for each in sorted(names & of_it.keys()))
        else:
            yield name, value


def file_digest(path):
    """Return the digest of a file; of a large one that of its size and its two ends."""
    made = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        for first, last in [(0, size)] if size <= _LARGE else [(0, _LARGE // 2), (size - _LARGE // 2, size)]:
            file.seek(first)
            while first < last and (data := file.read(min(last - first, 1 << 20))):
                made.update(data)
                first += len(data)
    return _hash(made.digest(), str(size))


def modules_of(classes):
    """Return name and file of the user's modules that are loaded, and of those that these classes are from."""
    found = {}
    of_classes = {base.__module__.partition(".")[0] for each in classes for base in each.__mro__}
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        known = name.partition(".")[0] in of_classes - {"parcorana", "numpy"} - sys.stdlib_module_names
        if name != "__main__" and isinstance(path, str) and (known or is_users(name)):
            found[name] = path
    return found
