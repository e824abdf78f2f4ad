"""Lists of delays."""

import numpy as np

from parcorana.errors import ConfigError, shown

_LARGEST = 1 << 40  # nearly 300 years at 120 Hz; a counter and a delay must add up within int64


def make_delay_list(start, stop, num, spacing="log", logbase=10):
    """Make an increasing list of distinct delays.

    Parameters
    ----------
    start, stop : int
        First and last delay [pulses], 1 <= start <= stop; both are in the list
        (`start` alone if `num` is 1).
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
    for name, value in (("start", start), ("stop", stop), ("num", num)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ConfigError(f"make_delay_list: {name} must be a whole number >= 1, not {value!r}")
    if stop < start:
        raise ConfigError(f"make_delay_list: stop ({stop}) must be >= start ({start})")
    if spacing not in ("log", "lin"):
        raise ConfigError(f"make_delay_list: spacing must be 'log' or 'lin', not {spacing!r}")
    if not logbase > 1:
        raise ConfigError(f"make_delay_list: logbase must be above 1, not {logbase!r}")
    start, stop, num = int(start), int(stop), int(num)
    num = min(num, stop - start + 1)
    delays = []
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


def check_delays(delays):
    """Return `delays` as an int64 array, or raise ConfigError with the offending values."""
    try:
        array = np.asarray(list(delays))
    except TypeError:
        raise ConfigError(f"delays must be a list of whole numbers, not {shown(delays)}") from None
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ConfigError(f"delays must be a list of at least one whole number, not {shown(delays)}")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ConfigError(f"delays: {array.max()} is too large")
    array = array.astype(np.int64)
    if array[0] < 1:
        raise ConfigError(f"delays must be positive: found {array[0]}")
    if array.max() > _LARGEST:
        raise ConfigError(f"delays: {array.max()} pulses is more than the largest delay, 2^40 pulses")
    steps = np.flatnonzero(np.diff(array) <= 0)
    if steps.size:
        a, b = array[steps[0]], array[steps[0] + 1]
        raise ConfigError(f"delays must be increasing: {b} comes after {a}")
    return array
