"""Lists of delays."""

import operator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.errors import ConfigError, shown

_LARGEST = 1 << 40  # nearly 300 years at 120 Hz; a counter and a delay must add up within int64
_MOST_CHANNELS = 1 << 20  # of one level; positions of all levels must fit into int32


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


def make_multitau_delays(largest: int, channels: int = 8) -> list[int]:
    """Make the delays of multi-tau: all that its levels have, up to one.

    Parameters
    ----------
    largest : int
        No delay is larger [pulses], 1 or more.
    channels : int
        Delays of level 0: an even number, 2 or more. Each further level has half as many, twice as far apart.

    Returns
    -------
    list of int
        1, 2, ... `channels`, then for L = 1, 2, ... the multiples of 2^L above `channels` 2^(L - 1) up to
        `channels` 2^L.

    Raises
    ------
    ConfigError
        A value out of range, named.
    """
    if not _is_whole(largest) or not 1 <= largest <= _LARGEST:
        raise ConfigError(f"make_multitau_delays: largest must be a whole number from 1 to 2^40, not {shown(largest)}")
    channels = check_channels(channels, "make_multitau_delays: channels")
    delays, step = list(range(1, min(channels, int(largest)) + 1)), 2
    while channels * step // 2 < largest:
        delays += range(channels * step // 2 + step, min(channels * step, int(largest)) + 1, step)
        step *= 2
    return delays


def check_channels(channels: Any, name: str = "channels") -> int:
    """Return `channels`, or raise ConfigError, unless it is an even whole number from 2 to 2^20."""
    if not _is_whole(channels) or not 2 <= channels <= _MOST_CHANNELS or channels % 2:
        raise ConfigError(f"{name} must be an even whole number from 2 to {_MOST_CHANNELS}, not {shown(channels)}")
    return int(channels)


def multitau_levels(delays: Any, channels: Any) -> NDArray[np.int64]:
    """Return the level of each delay, the lowest one L with delay <= `channels` 2^L.

    Parameters
    ----------
    delays : sequence of int
        As `check_delays` takes them.
    channels : int

    Returns
    -------
    (D,) int64

    Raises
    ------
    ConfigError
        `channels` is not an even whole number, or a delay is no multiple of 2^L.
    """
    channels, levels = check_channels(channels), []
    for delay in check_delays(delays).tolist():
        level = (-(-delay // channels) - 1).bit_length() if delay else 0
        step = 1 << level
        if delay % step:
            below, above = delay // step * step, (delay // step + 1) * step
            near = (
                f"{below} or {above}" if 2 * delay == below + above else below if 2 * delay < below + above else above
            )
            raise ConfigError(
                f"delays: {delay} is no multiple of {step}, as delays from {channels * step // 2} to {channels * step} "
                f"must be with channels {channels}: {near} would do (parcorana.make_multitau_delays makes such lists)"
            )
        levels.append(level)
    return np.array(levels, np.int64)


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
