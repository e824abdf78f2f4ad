"""Lists of delays."""

import operator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError, shown

_LARGEST = 1 << 40  # nearly 300 years at 120 Hz; a counter and a delay must add up within int64


def make_delay_list(start: int, stop: int, num: int, spacing: str = "log", logbase: float = 10) -> list[int]:
    """Make an increasing list of distinct delays.

    Parameters
    ----------
    start, stop : int
        First and last delay [pulses], 0 <= start <= stop; both are in the list
        (`start` alone if `num` is 1). Delay 0 is each event with itself; it has
        no logarithm, so in log spacing the others begin with 1.
    num : int
        How many delays. Exactly so many come back where that many distinct
        ones exist between `start` and `stop`, else all of them.
    spacing : {'log', 'lin'}
        Even steps of the logarithm, or of the delay itself.
    logbase : float
        Base of the logarithm. It does not change the list: the points that
        divide a range evenly are the same in every base. It is here because
        users of such a function know it.

    Returns
    -------
    list of int
        Where rounded values of the plain formula coincide, the spacing at the
        small end is one pulse and the rest is spread evenly over what is left.

    Raises
    ------
    ConfigError
        A value out of range, named.
    """
    for name, value, least in (("start", start, 0), ("stop", stop, 0), ("num", num, 1)):
        if not _is_whole(value) or value < least:
            raise ConfigError(f"make_delay_list: {name} must be a whole number >= {least}, not {shown(value)}")
    start, stop, num = int(start), int(stop), int(num)
    if stop < start:
        raise ConfigError(f"make_delay_list: stop ({stop}) must be >= start ({start})")
    if stop > _LARGEST:
        raise ConfigError(f"make_delay_list: stop is {shown(stop)}, more than the largest delay, 2^40 pulses")
    if spacing not in ("log", "lin"):
        raise ConfigError(f"make_delay_list: spacing must be 'log' or 'lin', not {shown(spacing)}")
    if isinstance(logbase, str) or not logbase > 1:
        raise ConfigError(f"make_delay_list: logbase must be above 1, not {shown(logbase)}")
    num = min(num, stop - start + 1)
    if start == 0 and spacing == "log" and num > 1:
        return [0, *make_delay_list(1, stop, num - 1)]
    delays: list[int] = []
    current = start
    for left in range(num, 0, -1):
        # The point that divides what is left evenly, but never the one before,
        # and never so far that too few numbers are left.
        if delays:
            low = delays[-1] + 1
            if spacing == "log":
                current = round(delays[-1] * (stop / delays[-1]) ** (1 / left))
            else:
                current = round(delays[-1] + (stop - delays[-1]) / left)
            current = min(max(current, low), stop - (left - 1))
        delays.append(current)
    return delays


def _is_whole(value: Any) -> bool:
    """Tell whether a value is one whole number, of whatever type, but no bool."""
    try:
        return not isinstance(value, bool | np.bool_ | str | bytes) and np.ndim(value) == 0 and int(value) == value
    except (TypeError, ValueError, OverflowError):  # complex, not a number, infinite
        return False


def check_delays(delays: Any) -> NDArray[np.int64]:
    """Return `delays` as an int64 array, or raise ConfigError with the offending values."""
    wrong = ConfigError(f"delays must be a list of at least one whole number, not {shown(delays)}")
    if isinstance(delays, str | bytes | dict | set | frozenset | np.ma.MaskedArray):
        raise wrong
    try:
        pairs = [(operator.index(delay), isinstance(delay, bool | np.bool_)) for delay in delays]
    except TypeError:
        raise wrong from None
    if not pairs or any(is_bool for _, is_bool in pairs):
        raise wrong
    numbers = [number for number, _ in pairs]
    if min(numbers) < 0:
        raise ConfigError(f"delays must be 0 or more: found {min(numbers)}")
    if max(numbers) > _LARGEST:
        raise ConfigError(f"delays: {shown(max(numbers))} pulses is more than the largest delay, 2^40 pulses")
    for a, b in pairwise(numbers):
        if b <= a:
            raise ConfigError(f"delays must be increasing: {b} comes after {a}")
    return np.array(numbers, np.int64)
