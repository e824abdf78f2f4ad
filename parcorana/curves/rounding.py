"""Numbers with errors, rounded as they are read: by the error, both to the same digit."""

import math

_DIGITS = 2  # of an error
_NONE = 1e-12  # of a number, from which on an error is none
_SMALLEST = 1e-300
_LONG = 8  # digits before or behind the point from which on a power of ten is clearer


def with_error(value, error, plus="±"):
    """Return a number and its error, as ``318 ± 30`` or ``1.00000 ± 0.00035``.

    Parameters
    ----------
    value, error : float
        The error gives two digits. A question mark stands for one that is not known (NaN, infinite,
        negative); 0 is that of a number which has none.
    plus : str
        What stands between them.
    """
    if not math.isfinite(value):
        return f"{value}"
    if not (math.isfinite(error) and error >= 0):
        return f"{value:.4g} {plus} ?"
    if error <= _NONE * abs(value):
        return f"{value:.4g}"
    place = _place(error)
    largest = max(_place(abs(value)), place) + _DIGITS - 1
    if largest < _LONG and -place <= _LONG:
        decimals = max(-place, 0)
        return f"{round(value, -place):.{decimals}f} {plus} {round(error, -place):.{decimals}f}"
    decimals, scale = largest - place, 10.0**largest
    if scale < _SMALLEST:
        return f"{value:.1e} {plus} {error:.1e}"
    return f"({value / scale:.{decimals}f} {plus} {error / scale:.{decimals}f})e{largest:+03d}"


def time_with_error(seconds, error, plus="±"):
    """Return a time and its error in the unit that suits it, as ``2.650 ± 0.080 ms``."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs" if plus == "±" else "us", 1e-6), ("ns", 1e-9))
    unit, size = next((each for each in units if not seconds < each[1]), units[-1])
    return f"{with_error(seconds / size, error / size, plus)} {unit}"


def _place(number):
    """Return the power of ten of the last digit of a number of two digits."""
    # as it is written, for 0.0996 is 0.10
    return -1 << 10 if number == 0 else int(f"{number:.{_DIGITS - 1}e}".partition("e")[2]) - _DIGITS + 1
