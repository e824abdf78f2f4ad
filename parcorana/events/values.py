"""`values` and `select` of the config: the numbers of an event beside its array, and which events are wanted."""

import re
import sys

import numpy as np

from parcorana.errors import ConfigError, nearest, shown

#: The value that servers add: the mean of the included elements.
MEAN = "mean"
#: The value that every simulated event has: the intensity of its pulse.
PULSE = "pulse"
#: Where a value of psana is: detector.interface.field, and of an array one of its elements.
PSANA = re.compile(r"(?P<detector>.+)\.(?P<field>\w+\.\w+)(\[(?P<element>\d{1,9})\])?", re.ASCII)
#: Or a variable of EPICS or of a scan.
VARIABLE = re.compile(r"[^.\[\]]+")


def check_values(values, dataset):
    """Check the config's `values`.

    Parameters
    ----------
    values : dict of str to str
    dataset : parcorana.events.dataset.Dataset

    Returns
    -------
    dict of str to str

    Raises
    ------
    ConfigError
        A name that is none, or a place where nothing can be.
    """
    for name, where in values.items():
        key = f"values[{shown(name)}]"
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(f"{key}: the name of a value must be letters, digits and _, not {shown(name)}")
        if name == MEAN:
            if where != MEAN:
                raise ConfigError(
                    f"{key}: 'mean' is the mean of the included elements, {{'mean': 'mean'}}: take another name for "
                    f"{shown(where)}"
                )
        elif not isinstance(where, str) or not where.strip("/ "):
            raise ConfigError(f"{key} must say where the value is, a string, not {shown(where)}")
        elif dataset.kind == "sim" and where != PULSE:
            raise ConfigError(f"{key}: the simulator has 'pulse', not {shown(where)}")
        elif dataset.kind in ("exp", "file", "shmem") and not (PSANA.fullmatch(where) or VARIABLE.fullmatch(where)):
            raise ConfigError(
                f"{key} must be detector.interface.field, as 'gmd.raw.milliJoulesPerPulse', or an element of an array, "
                f"as 'timing.raw.eventcodes[40]', or a variable of EPICS, as 'HX2:DVD:GCC:01:PMON', not {shown(where)}"
            )
    return dict(values)


def names_of(places, dataset):
    """Return the names of the values that the source gives, in the order of the config.

    Parameters
    ----------
    places : dict of str to str
        Where each is; the mean, which servers add, is not among them.
    dataset : parcorana.events.dataset.Dataset
    """
    return [*places, *[PULSE] * (dataset.kind == "sim" and PULSE not in places)]


def check_select(select, names):
    """Check the config's `select`.

    Parameters
    ----------
    select : dict of str to (number or None, number or None)
    names : sequence of str
        Of the values that there are.

    Returns
    -------
    dict of str to (number or None, number or None)

    Raises
    ------
    ConfigError
        A name that is no value, or a range that is none.
    """
    checked, known = {}, [*names, MEAN]
    for name, limits in select.items():
        if name not in known:
            raise ConfigError(
                f"select[{shown(name)}]: there is no such value, there {'are' if len(known) > 1 else 'is'} "
                f"{', '.join(known)}: say in values where it is{nearest(name, known) if isinstance(name, str) else ''}"
            )
        checked[name] = _limits(f"select[{name!r}]", limits)
    return checked


def _limits(key, limits):
    if isinstance(limits, np.ndarray):
        limits = limits.tolist()
    if not isinstance(limits, list | tuple) or len(limits) != 2 or not all(map(_is_limit, limits)):
        raise ConfigError(f"{key} must be (low, high), numbers or None for no limit, not {shown(limits)}")
    low, high = (limit.item() if isinstance(limit, np.generic) else limit for limit in limits)
    if None not in (low, high) and low > high:
        raise ConfigError(f"{key}: no value is from {shown(low)} to {shown(high)}: the lower limit comes first")
    return low, high


def _is_limit(limit):
    if isinstance(limit, bool | np.bool_) or not isinstance(limit, int | float | np.integer | np.floating | None):
        return False
    return limit is None or bool(abs(limit) <= sys.float_info.max)


def check_uses(user_class, user_params, names):
    """Return the names of the values that a class needs; refuse one that there is not."""
    uses = []
    for each in user_class.__mro__:  # what a class adds is beside what the one needs that it is made from
        own = vars(each).get("uses", ())
        own = own.__get__(None, user_class)(user_params) if isinstance(own, classmethod) else own
        if not isinstance(own, list | tuple) or not all(isinstance(name, str) for name in own):
            raise ConfigError(f"user_class {user_class.__name__}: uses must be names of values, not {shown(own)}")
        uses += [name for name in own if name not in uses]
    for name in uses:
        if name not in (*names, MEAN):
            asks = next((f", as user_params[{key!r}] says" for key, value in user_params.items() if value is name), "")
            raise ConfigError(
                f"user_class {user_class.__name__} uses the value {name!r}{asks}: say in values where it is"
                f"{nearest(name, names)}"
            )
    return uses


def text_of(limits):
    """Return a range in words."""
    low, high = limits
    if low is None or high is None:
        return "any number" if low is high else f"up to {high:g}" if low is None else f"from {low:g} on"
    return f"{low:g} to {high:g}"


def _floats(limits):
    low, high = limits
    return -np.inf if low is None else float(low), np.inf if high is None else float(high)


class Select:
    """The filter of events by their values.

    Parameters
    ----------
    select : dict of str to (number or None, number or None)
        The range of each value, its ends included; NaN is in none.
    """

    def __init__(self, select):
        # the first ones are known before the data is
        self._limits = [(k, name, *_floats(limits)) for k, (name, limits) in enumerate(select.items()) if name != MEAN]
        self.number = list(select).index(MEAN) if MEAN in select else None
        self._low, self._high = _floats(select.get(MEAN, (None, None)))

    def __bool__(self):
        return bool(self._limits)

    def outside(self, values):
        """Return the number of the first value that is outside its range, of those known beforehand; None for none.

        Parameters
        ----------
        values : dict of str to float
        """
        return next((k for k, name, low, high in self._limits if not low <= values.get(name, np.nan) <= high), None)

    def all_outside(self, values, events):
        """Return the same of many events, (m,) int64, -1 for none; None if all are inside.

        Parameters
        ----------
        values : dict of str to (m,) float64
        events : int
        """
        if not self:
            return None
        found = np.full(events, -1, np.int64)
        for k, name, low, high in self._limits:
            column = values.get(name, np.nan)
            found[(found < 0) & ~((low <= column) & (column <= high))] = k
        return found if (found >= 0).any() else None

    def mean_outside(self, mean):
        """Tell which means, (m,) float64, are outside their range, (m,) bool; none if they have none."""
        if self.number is None:
            return np.zeros(len(mean), bool)
        return ~((self._low <= mean) & (mean <= self._high))
