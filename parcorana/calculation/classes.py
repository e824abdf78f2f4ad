"""A list of user classes: what they must not have in common, and the parameters of each."""

from parcorana.calculation.guard import defines
from parcorana.calculation.several import Several
from parcorana.errors import ConfigError, nearest, shown

_ONE_ONLY = ("eventOk", "finalDataArray")  # what decides over the events of all
_ALIKE = ("color", "finecolor", "color_table")


def joined_class(classes):
    """Return the class that stands for several in a job."""
    return type("+".join(each.__name__ for each in classes), (Several,), {"__module__": Several.__module__})


def split_params(classes, user_params, warn):
    """Return the parameters of each class of a list, by its name: the common ones, and its own over them.

    Parameters
    ----------
    classes : list of type
    user_params : dict
        Beside the common ones a dict under the name of each class that has some of its own.
    warn : callable
        Takes one line.

    Raises
    ------
    ConfigError
        The classes cannot be in one job.
    """
    names = [each.__name__ for each in classes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"user_class: {twice[0]} is twice in the list: each class has a group of its name in the result, so names "
            "must differ (make a class from it with another name)"
        )
    for method in _ONE_ONLY:
        having = [each.__name__ for each in classes if defines(each, method)]
        if len(having) > 1:
            raise ConfigError(
                f"user_class: {' and '.join(having)} both have {method}, which decides over the events of all classes: "
                "only one of a list may have it"
            )
    mending = [each.__name__ for each in classes if getattr(each, "mends_nonfinite", False)]
    if 0 < len(mending) < len(classes):
        other = next(name for name in names if name not in mending)
        raise ConfigError(
            f"user_class: {mending[0]} mends values that are not finite and {other} does not: an event with such a "
            "value would be bad to one and not to the other; run them apart"
        )
    common = {key: value for key, value in user_params.items() if key not in names}
    for key, value in common.items():
        if isinstance(value, dict) and str(key)[:1].isupper():
            warn(
                f"user_params[{key!r}] is a dict, but no class of user_class has that name: it goes to all"
                f"{nearest(str(key), names)}"
            )
    found = {}
    for name in names:
        own = user_params.get(name, {})
        if not isinstance(own, dict):
            raise ConfigError(f"user_params[{name!r}] must be a dict of the parameters of that class, not {shown(own)}")
        if which := next((key for key in _ALIKE if key in own), None):
            raise ConfigError(
                f"user_params[{name!r}][{which!r}]: it must be common to all classes, for the result keeps one {which} "
                "file: put it beside the dicts of the classes"
            )
        found[name] = common | own
    pictures = [name for name in names if found[name].get("picture") is True]
    if len(pictures) > 1:
        raise ConfigError(
            f"user_params['picture'] is True for {' and '.join(pictures)}, which would write one over the other: give "
            "each the name of its file, in the dict of its name"
        )
    return found
