"""Which fit is asked for: its kind, parameters that are held or bounded, where it starts, the delays it is of."""

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError, nearest, shown

#: Parameters by kind; times are in pulses.
PARAMETERS = {
    "single": ("baseline", "contrast", "tau"),
    "stretched": ("baseline", "contrast", "tau", "exponent"),
    "double": ("baseline", "contrast", "tau", "contrast_slow", "tau_slow"),
}
KINDS = tuple(PARAMETERS)
#: Parameters above 0.
TIMES = ("tau", "tau_slow")
_ABOVE_0 = (*TIMES, "exponent")
_KEYS = ("kind", "fixed", "bounds", "start", "delays")
_FORM = "as single, or stretched,baseline=1,tau=10:500,exponent~0.8,delays=1:1000"


@dataclass(frozen=True)
class Choice:
    """Which fit is asked for.

    Attributes
    ----------
    kind : {'single', 'stretched', 'double'}
    fixed, start : dict of str to float
        Values of parameters that are held, and those that the search begins with.
    bounds : dict of str to (float, float)
        Infinite where there is none.
    delays : (float, float) [pulses]
        The first and the last one that count, both included.
    """

    kind: str
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    delays: tuple[float, float] = (0.0, math.inf)

    @property
    def free(self) -> tuple[str, ...]:
        """Parameters that are fitted."""
        return tuple(name for name in PARAMETERS[self.kind] if name not in self.fixed)

    @property
    def takes_all(self) -> bool:
        """Whether no delay is left out but 0."""
        return self.delays == (0.0, math.inf)

    def takes(self, delays: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which delays count; never 0, where each event with itself has the noise of photons."""
        found: NDArray[np.bool_] = (delays > 0) & (delays >= self.delays[0]) & (delays <= self.delays[1])
        return found

    def check_delays(self, delays: NDArray[Any]) -> None:
        """Raise ConfigError where the fit's delays leave too few of a run's."""
        left, least = int(np.count_nonzero(self.takes(np.asarray(delays)))), len(self.free) + 1
        if left < least and not self.takes_all:
            raise ConfigError(
                f"fit: its delays {_range(self.delays)} leave {left} of the run's {len(delays)}, and "
                f"{least - 1} parameters take {least} or more"
            )

    @property
    def text(self) -> str:
        """The form of command lines: `choice_in` makes the same again."""
        parts = [self.kind, *(f"{name}={_short(value)}" for name, value in self.fixed.items())]
        parts += [f"{name}={_range(ends)}" for name, ends in self.bounds.items()]
        parts += [f"{name}~{_short(value)}" for name, value in self.start.items()]
        return ",".join(parts + ([] if self.takes_all else [f"delays={_range(self.delays)}"]))

    @property
    def plain(self) -> str | dict[str, Any]:
        """The form of `user_params`."""
        given: dict[str, Any] = {
            "fixed": dict(self.fixed),
            "bounds": {name: _ends(pair) for name, pair in self.bounds.items()},
        }
        given |= {"start": dict(self.start), "delays": None if self.takes_all else _ends(self.delays)}
        given = {key: value for key, value in given.items() if value}
        return {"kind": self.kind, **given} if given else self.kind


def choice_of(value: Any) -> Choice | None:
    """Return what `fit` of `user_params` asks for; None for no fit.

    Parameters
    ----------
    value : str, dict, Choice or None
        A kind, or ``{'kind': ..., 'fixed': {name: value}, 'bounds': {name: (low, high)}, 'start': {name: value},
        'delays': (first, last)}``, of which all but the kind may be left out. An end that is None is open.

    Raises
    ------
    ConfigError
        There is no such fit, or no SciPy to make it.
    """
    if value is None or value is False or isinstance(value, Choice):
        return value or None
    if not isinstance(value, Mapping):
        value = {"kind": value}
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        like = nearest(kind, KINDS) if isinstance(kind, str) else ""
        what = shown(kind if "kind" in value else dict(value))
        raise ConfigError(f"fit must be one of {', '.join(KINDS)}, a dict with such a kind, or None, not {what}{like}")
    for key in value:
        if key not in _KEYS:
            raise ConfigError(f"fit has {', '.join(_KEYS)}, not {shown(key)}{nearest(key, _KEYS)}")
    parts = {key: _named(value.get(key), key, kind) for key in ("fixed", "bounds", "start")}
    fixed = {name: _number(each, f"fit fixed {name}", name) for name, each in parts["fixed"].items()}
    start = {name: _number(each, f"fit start {name}", name) for name, each in parts["start"].items()}
    bounds = {name: _pair(each, f"fit bounds {name}") for name, each in parts["bounds"].items()}
    for name in (*bounds, *start):
        if name in fixed:
            raise ConfigError(
                f"fit: {name} is fixed, and has {'bounds' if name in bounds else 'a start'}: leave one out"
            )
    for name, (low, high) in bounds.items():
        if name in _ABOVE_0 and high <= 0:
            raise ConfigError(f"fit bounds {name}: it is above 0, and must be below {_short(high)}")
        if not low <= start.get(name, low) <= high:
            raise ConfigError(f"fit: {name} starts at {_short(start[name])}, beyond its bounds {_range((low, high))}")
    delays = (0.0, math.inf)
    if value.get("delays") is not None:
        low, high = _pair(value["delays"], "fit delays")
        delays = (max(low, 0.0), high)
    found = Choice(kind, fixed, bounds, start, delays)
    if not found.free:
        raise ConfigError(f"fit: all parameters of a {kind} exponential are fixed: leave one of them free")
    if kind == "double" and not found.fixed.get("tau", 0.0) < found.fixed.get("tau_slow", math.inf):
        raise ConfigError("fit: tau is that of the fast decay, and must be below tau_slow")
    if importlib.util.find_spec("scipy") is None:
        raise ConfigError(f"fit {kind!r} needs SciPy, which is not installed: pip install 'parcorana[fit]'")
    return found


def choice_in(text: str) -> Choice:
    """Return what a text asks for: a kind, and after commas `name=value`, `name=low:high`, `name~start`.

    Raises
    ------
    ConfigError
        As `choice_of`, or the text has another form.
    """
    kind, *parts = (part.strip() for part in text.split(","))
    if kind not in KINDS:
        raise ConfigError(f"fit must be one of {', '.join(KINDS)}, not {shown(kind)}{nearest(kind, KINDS)}")
    found: dict[str, Any] = {"kind": kind, "fixed": {}, "bounds": {}, "start": {}}
    for part in parts:
        sign = "~" if "~" in part else "="
        name, there, value = (piece.strip() for piece in part.partition(sign))
        numbers = [_parsed(each, text) for each in value.split(":")]
        if not there or len(numbers) > 2 or (len(numbers) == 2 and sign == "~"):
            raise ConfigError(f"{shown(part)} in {shown(text)} is not name=value, name=low:high or name~start, {_FORM}")
        if name == "delays" and sign == "=" and len(numbers) == 2:
            target = found
        elif name == "delays":
            raise ConfigError(f"{shown(part)} in {shown(text)}: delays are a first and a last one, as delays=1:1000")
        else:
            target = found["start" if sign == "~" else "bounds" if len(numbers) > 1 else "fixed"]
        if name in target:
            raise ConfigError(f"{name} is in {shown(text)} twice")
        target[name] = numbers if len(numbers) > 1 else numbers[0]
    choice = choice_of(found)
    assert choice is not None
    return choice


def _named(values, key, kind):
    """Return a dict of parameters; refuse names that the kind has not."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        what = "(low, high)" if key == "bounds" else "value"
        raise ConfigError(f"fit {key} must be a dict, as {{'baseline': {what}}}, not {shown(values)}")
    for name in values:
        if name not in PARAMETERS[kind]:
            known = PARAMETERS[kind]
            raise ConfigError(
                f"fit {key}: a {kind} exponential has {', '.join(known)}, not {shown(name)}{nearest(name, known)}"
            )
    return values


def _number(value, where, name=""):
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    good = isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
    if not good or (name in _ABOVE_0 and value <= 0):
        raise ConfigError(f"{where} must be a number{' above 0' * (name in _ABOVE_0)}, not {shown(value)}")
    return float(value)


def _pair(value, where):
    """Return two ends, infinite where they are None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigError(f"{where} must be two numbers, low and high, not {shown(value)}")
    open_ends = (-math.inf, math.inf)
    low, high = (
        end if each is None or (isinstance(each, float) and each == end) else _number(each, where)
        for each, end in zip(value, open_ends, strict=True)
    )
    if not low < high:
        raise ConfigError(f"{where} must be low and high, in this order, not {shown(value)}")
    return low, high


def _parsed(text, whole):
    """Return a number of a text, None for an empty one."""
    try:
        return float(text) if text else None
    except ValueError:
        raise ConfigError(f"{text!r} in {shown(whole)} is not a number; it is written {_FORM}") from None


def _short(value):
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _ends(pair):
    return [each if math.isfinite(each) else None for each in pair]


def _range(pair):
    return ":".join(_short(each) if math.isfinite(each) else "" for each in pair)
