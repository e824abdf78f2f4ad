"""What a user class may define, looked at before the run starts.

A class is asked for what its base declares: `UserBase`, or `BlockBase`. Nothing
is called for its name alone, and a callback that would never be called is an
error.
"""

import inspect
import sys
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from parcorana.calculation.base import BlockBase
from parcorana.calculation.guard import callback, defines, is_ours
from parcorana.calculation.says import saved_arrays
from parcorana.calculation.userbase import REDUCED, UserBase
from parcorana.errors import ConfigError, nearest, shown

DECLARED = tuple(name for name in vars(UserBase) if not name.startswith("_"))
CALLBACKS = tuple(name for name in DECLARED if callable(getattr(UserBase, name)))
_OF_BLOCKS = tuple(name for name in vars(BlockBase) if not name.startswith("_"))
METHODS = tuple(name for name in _OF_BLOCKS if callable(getattr(BlockBase, name)))
_NEEDS = tuple(name for name in _OF_BLOCKS if name not in METHODS)
_OF_CLASS = ("checkParams", "reducedBytes")  # called before there is any instance
_NEEDED = ("arrayNames", "initWorker", "workerCalc")
_OF_ALL = ("user_params", "system_params", "mpiParams")  # attributes that a class and its base may both set
_OF_REDUCED = ("viewerPublishArray", "reducedBytes")  # of a class that reduces only
_MISSING = object()
_NEEDED_OF_BLOCKS = ("arrays", "publish")
# what to override in a class on blocks instead of a callback
_INSTEAD = {
    "arrayNames": "arrays or collect",
    "initWorker": "arrays",
    "adjustData": "adjust",
    "adjustTerms": "enter",
    "adjustTermsBlock": "enter",
    "bufferClears": "end_run",
    "workerCalc": "collect",
    "workerReduce": "collect",
    "reducedBytes": "extra_bytes",
    "getState": "arrays or state",
    "setState": "arrays or restore",
    "viewerPublish": "publish",
    "viewerPublishReduced": "publish",
    "viewerPublishArray": "publish_piece",
}
# methods of a shipped class that one made from it hardly means to do without
_PARTS = ("arrays", "adjust", "enter", "end_run", "state", "restore")


class Apart:
    """Keeps attributes of a shipped class and of a class made from it apart."""

    def __setattr__(self, name, value):
        """Set an attribute, unless it is the program's and user code sets it, or the other way round."""
        if name not in _OF_ALL:
            # a user's `self.counts` in a class made from this one would else be the sum that is published
            ours = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] == "parcorana"
            of_program = self.__dict__.setdefault("_of_program", {})
            if name not in of_program:
                of_program[name] = ours or any(name in vars(cls) for cls in type(self).__mro__ if is_ours(cls))
            was_ours = of_program[name]
            if ours != was_ours and value is not self.__dict__.get(name):
                raise ConfigError(
                    f"user_class {type(self).__name__}: it sets self.{name}, an attribute that the shipped class which "
                    "it is made from uses itself: give it another name"
                )
        object.__setattr__(self, name, value)


def _taken(user_class):
    """Return the callbacks that a class on blocks calls itself."""
    return tuple(getattr(user_class, "takes_callbacks", ()))


def _declared(user_class):
    """Return the names that mean something to the program in a class."""
    return (*_OF_BLOCKS, *_taken(user_class)) if issubclass(user_class, BlockBase) else DECLARED


def _owners(user_class, name):
    """Return the classes that define a name, the one that counts first."""
    return [cls for cls in user_class.__mro__ if name in vars(cls)]


def is_own(user_class, name):
    """Tell whether what counts for a name is the user's, not that of a shipped class or of `UserBase`."""
    owners = _owners(user_class, name)
    return bool(owners) and not is_ours(owners[0])


def calls_inherited(user_class, name):
    """Tell whether a user's callback seems to call the one that it replaces."""
    function = inspect.unwrap(getattr(user_class, name))
    if not inspect.isfunction(function):  # compiled, or made in another way: nobody can look into it
        return True
    return bool({name, "getattr"} & set(function.__code__.co_names))


def check_class(user_class, mode, warn):
    """Check what a class defines.

    Parameters
    ----------
    user_class : type
    mode : str
        One of `parcorana.job.config.MODES`.
    warn : callable
        Takes one line.

    Raises
    ------
    ConfigError
        What is missing, wrong, or would never be called, and what to do instead.
    """
    who, blocks = f"user_class {user_class.__name__}", issubclass(user_class, BlockBase)
    _check_methods(user_class, who, (*METHODS, *_taken(user_class)) if blocks else CALLBACKS)
    _check_attributes(user_class, who)
    missing = [name for name in (_NEEDED_OF_BLOCKS if blocks else _NEEDED) if not defines(user_class, name)]
    if not blocks and not defines(user_class, "viewerPublish") and not all(defines(user_class, n) for n in REDUCED):
        missing.append("viewerPublish")
    if mode == "test_alt" and not defines(user_class, "calcAndPublishForTestAlt"):
        missing.append("calcAndPublishForTestAlt")
    if missing:
        raise ConfigError(f"{who} lacks the {'method' if blocks else 'callback'} {missing[0]!r}")
    try:
        inspect.signature(user_class).bind(None, None, None)
    except TypeError:
        raise ConfigError(f"{who}: __init__ must take (self, user_params, system_params, mpiParams)") from None
    _check_hidden(user_class, who)
    if blocks:
        _check_blocks(user_class, who)
    else:
        _check_called(user_class, who, warn)
    if issubclass(user_class, Apart):
        _check_made_from_shipped(user_class, who, warn)
    _warn_of_misspelt(user_class, who, warn)


def _check_blocks(user_class, who):
    """Refuse callbacks that a class on blocks does not call."""
    called = {*METHODS, *_taken(user_class)}
    for name in CALLBACKS:
        if name not in called and defines(user_class, name) and is_own(user_class, name):
            shipped = next(cls.__name__ for cls in user_class.__mro__ if is_ours(cls))
            raise ConfigError(
                f"{who}: {name} is never called, for {shipped} takes whole blocks of events: override "
                f"{_INSTEAD[name]}, or make the class from parcorana.UserBase"
            )
    if is_own(user_class, "storage_order"):
        raise ConfigError(f"{who}: storage_order is never read, for the class takes whole blocks of events: see buffer")


def _check_bool(name, value, who):
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{who}: {name} must be True or False, not {shown(value)}")


def _check_needs(calculation, who):
    """Check what a class on blocks, or an instance of one, says that it needs.

    Parameters
    ----------
    calculation : type or BlockBase
    who : str
    """
    flags = ("stores", "in_order", "takes_pieces", "last_has_more", "mends_nonfinite", "forgets", "keeps_history")
    for name in (*flags, "leaves_out_missing"):
        _check_bool(name, getattr(calculation, name), who)
    if calculation.buffer not in (None, "C", "F"):
        raise ConfigError(f"{who}: buffer must be 'C', 'F' or None, not {shown(calculation.buffer)}")
    pairs = calculation.pairs
    for name, none in (("most", "any"), ("cuts", "anywhere"), ("shares", "never")):
        events = getattr(calculation, name)
        if not isinstance(events, int | np.integer) or isinstance(events, bool) or events < 0:
            raise ConfigError(f"{who}: {name} must be a whole number of events, 0 for {none}, not {shown(events)}")
    if not isinstance(pairs, str | None):
        raise ConfigError(f"{who}: pairs must be the name of an array or None, not {shown(pairs)}")
    if calculation.stores and not calculation.buffer:
        raise ConfigError(f"{who}: stores is True, but it has no buffer: set buffer to 'C' or 'F'")
    if calculation.in_order and (calculation.buffer != "C" or calculation.stores):
        raise ConfigError(
            f"{who}: in_order is True, so events leave the buffer row by row before they enter: set buffer to 'C' and "
            "stores to False"
        )
    own = calculation if isinstance(calculation, type) else type(calculation)
    if calculation.takes_pieces and not defines(own, "publish_piece"):
        raise ConfigError(f"{who}: takes_pieces is True, but it lacks the method 'publish_piece'")
    lacking = [name for name in ("share", "take_shared") if not defines(own, name)]
    if calculation.shares and lacking:
        raise ConfigError(f"{who}: shares is {calculation.shares}, but it lacks the method {lacking[0]!r}")
    if not calculation.shares and is_own(own, "share") and calculation is not own:
        raise ConfigError(f"{who}: share is never called, for shares is 0: set shares to a number of events")
    hands_on = getattr(own, "passes_on", False)  # to classes of which none need take pieces
    if not calculation.takes_pieces and defines(own, "publish_piece") and calculation is not own and not hands_on:
        raise ConfigError(
            f"{who}: publish_piece is never called, for takes_pieces is False: set takes_pieces = True in the class"
        )


def _check_methods(user_class, who, names):
    for name in names:
        if not defines(user_class, name):
            continue
        static, value = inspect.getattr_static(user_class, name), getattr(user_class, name)
        if isinstance(static, property | cached_property) or isinstance(value, type) or not callable(value):
            raise ConfigError(f"{who}: {name} must be a method, not {shown(static)}")
        plain = inspect.unwrap(value)
        yields = inspect.isgeneratorfunction(plain) and name != "collect"
        if yields or inspect.iscoroutinefunction(plain):
            raise ConfigError(f"{who}: nothing in {name} would run, for it has a 'yield' or is 'async': make it plain")
        if name in _OF_CLASS and inspect.isfunction(static):
            raise ConfigError(f"{who}: {name} is called before there is an instance: put @classmethod above it")


def _check_attributes(user_class, who):
    if issubclass(user_class, BlockBase):
        _check_needs(user_class, who)
    else:
        order = getattr(user_class, "storage_order", "C")
        if order not in ("C", "F"):
            raise ConfigError(f"{who}: storage_order must be 'C' or 'F', not {shown(order)}")
        for name in ("mends_nonfinite", "keeps_history"):
            _check_bool(name, getattr(user_class, name, False), who)
    mends = [name for name in ("adjustData", "adjust") if name in _declared(user_class)]
    if getattr(user_class, "mends_nonfinite", False) and not any(is_own(user_class, name) for name in mends):
        raise ConfigError(f"{who}: mends_nonfinite is True, but it has no {mends[0]} of its own that would mend")
    for cls in _owners(user_class, "takes_params"):
        names = vars(cls)["takes_params"]
        listed = names is None or isinstance(names, list | tuple | set | frozenset)
        if not listed or not all(isinstance(name, str) for name in names or ()):
            raise ConfigError(f"{who}: takes_params must be a tuple of names of user_params, not {shown(names)}")


def _check_hidden(user_class, who):
    """Refuse what the order of the base classes keeps from being called."""
    for name in (*_declared(user_class), "__init__"):
        first, *rest = _owners(user_class, name) or [None]
        own = [cls for cls in rest if not is_ours(cls) and cls is not object]
        if first is not None and is_ours(first) and own:
            raise ConfigError(
                f"{who}: {name} of {own[0].__name__} is hidden by that of {first.__name__}: name {own[0].__name__} "
                "first among the base classes"
            )


def _is_newer(user_class, name, than):
    """Tell whether a user's class defines `name` over a class that has `than` already."""
    mro = user_class.__mro__
    return is_own(user_class, name) and mro.index(_owners(user_class, name)[0]) < mro.index(
        (_owners(user_class, than) or [object])[0]
    )


def _check_called(user_class, who, warn):
    """Refuse callbacks that others of the class keep from being called."""
    has = {name: defines(user_class, name) for name in CALLBACKS}
    for name, other in (REDUCED, REDUCED[::-1], *((name, REDUCED[0]) for name in _OF_REDUCED)):
        turned_off = _is_newer(user_class, other, name) and not has[other]
        if has[name] and not has[other] and is_own(user_class, name) and not turned_off:
            raise ConfigError(f"{who}: {name} is called only of a class that has {other}, too: define both, or none")
    reduces = all(has[name] for name in REDUCED)
    for name, instead, when in (
        ("adjustTerms", "adjustTermsBlock", True),
        ("viewerPublish", "viewerPublishArray", reduces),
    ):
        if not (when and has[name] and has[instead]):
            continue
        text = f"{who}: {name} is never called, for {instead} is called instead"
        if _is_newer(user_class, name, instead):
            raise ConfigError(f"{text}: override that, or set {instead} = None in the class")
        if instead != "adjustTermsBlock" and _owners(user_class, name)[0] is _owners(user_class, instead)[0]:
            warn(text)


def _check_made_from_shipped(user_class, who, warn):
    mro, declared = user_class.__mro__, _declared(user_class)
    shipped = next(cls for cls in mro if is_ours(cls))
    program = {name: cls for cls in mro if is_ours(cls) and cls is not BlockBase for name in vars(cls)}
    for cls in mro:
        if is_ours(cls) or cls is object:
            continue
        for name in vars(cls):
            own = name in ("buffer", "stores", "takes_pieces", "pairs", "forgets") or name not in declared
            if name in program and own and not (name.startswith("__") and name.endswith("__")):
                raise ConfigError(
                    f"{who}: {name!r} is a name that {shipped.__name__} uses itself, and no callback: give it another "
                    "name, and override adjustData, workerCalc or workerReduce to change what is calculated"
                )
    for name in _PARTS:
        if is_own(user_class, name) and defines(shipped, name) and not calls_inherited(user_class, name):
            warn(f"{who}: {name} does not call super().{name}, so {shipped.__name__} does not do its part of it")


def _warn_of_misspelt(user_class, who, warn):
    def plain(name):
        return name.replace("_", "").lower()

    declared = _declared(user_class)
    known = {plain(name): name for name in declared}
    for name in (name for cls in user_class.__mro__ if not is_ours(cls) and cls is not object for name in vars(cls)):
        if name in declared or name.startswith("_"):
            continue
        if close := get_close_matches(plain(name), known, 1, 0.82):
            kind = "method" if issubclass(user_class, BlockBase) else "callback"
            warn(f"{who}: {name!r} is no {kind}; did you mean {known[close[0]]!r}?")


def params_taken(user_class):
    """Return the names of the `user_params` that a class says it takes; None where it does not say."""
    if getattr(user_class, "takes_params", None) is None:
        return None
    known = [name for cls in _owners(user_class, "takes_params") for name in vars(cls)["takes_params"] or ()]
    return [*known, *(["save_arrays"] if _reduces(user_class) else [])]


def _reduces(user_class):
    return all(defines(user_class, name) for name in REDUCED)


def check_params(user_class, user_params, warn, of_others=()):
    """Check what the program itself reads; warn of keys that the class does not take, where it says what it takes.

    Parameters
    ----------
    user_class : type
    user_params : dict
    warn : callable
        Takes one line.
    of_others : iterable of str
        Keys that are there for other classes of the job.
    """
    if _reduces(user_class):
        saved_arrays(user_params)
    if (known := params_taken(user_class)) is None:
        return
    for key in user_params:
        if key not in known and key not in of_others:
            warn(f"user_params[{key!r}] means nothing to {user_class.__name__}{nearest(key, known)}")


def check_instance(user):
    """Refuse methods that an instance has and its class has not: what was looked at before the run must hold.

    Raises
    ------
    ConfigError
        Which one, and what to do instead.
    """
    who, blocks = f"user_class {type(user).__name__}", isinstance(user, BlockBase)
    if blocks:
        _check_needs(user, who)
    for name in {*METHODS, *DECLARED} - {*_NEEDS} if blocks else DECLARED:
        if name in getattr(user, "__dict__", ()):
            raise ConfigError(f"{who}: it sets self.{name}, which is looked for in the class only: define it there")
        if inspect.getattr_static(user, name, _MISSING) is _MISSING and getattr(user, name, None) is not None:
            raise ConfigError(f"{who}: its __getattr__ answers for {name}, which is looked for in the class only")


def begin(calculation, name, *args):
    """Call a method that prepares a role, if there is one; look once more at what the instance has then."""
    before = [getattr(calculation, need) for need in _NEEDS]
    method = callback(calculation, name)
    made = None if method is None else method(*args)
    for need, value in zip(_NEEDS, before, strict=True):
        if getattr(calculation, need) != value:
            raise ConfigError(
                f"user_class {type(calculation).__name__}: {name} sets self.{need}, which is asked for before: set it "
                "in the class or in __init__"
            )
    check_instance(getattr(calculation, "user", calculation))
    return made
