"""The name of a result file: free, or free to be replaced."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from parcorana.errors import ConfigError
from parcorana.files.paths import kind_of
from parcorana.files.plain import groups_of, plain_file
from parcorana.results.folder import SUFFIX, check_folder, hidden_name, identity, is_reserved, reserve

_RESULTS = ({"system", "user"}, {"entry", "xpcs", "xpcs_process"})  # groups of a result, and of one that was exported


class Exists(ConfigError):
    """A result is there, and may not be replaced."""


def resolve_name(template, overwrite, reserves=False, reads=()):
    """Replace `%T` and `%C` in an output name; check that nothing is in the way.

    Parameters
    ----------
    template : str
        `%T` becomes yyyymmddhhmmss, `%C` the next free three-digit counter.
    overwrite : bool
        Whether an existing result may be replaced; a folder of a run in
        progress never is.
    reserves : bool
        Whether the folder of the run is made for a number of `%C`, so that no other run takes it meanwhile;
        `parcorana.results.folder.give_back` removes it if the run does not begin.
    reads : iterable of (str, str)
        Of each file that is read what names it, and its name.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        `Exists`, where nothing is wrong but that there is a result.
    """
    name = template.replace("%T", time.strftime("%Y%m%d%H%M%S"))
    check_name("h5output", name.replace("%C", "000"))
    if "%C" in name:
        names = (name.replace("%C", f"{k:03d}") for k in range(1000))
        free = (n for n in names if not Path(n).exists() and not os.path.lexists(n + SUFFIX))
        name = next((n for n in free if not reserves or reserve(n)), None)
        if name is None:
            raise ConfigError(f"h5output: all of {template!r} with %C from 000 to 999 exist; move some away")
    path = Path(name)
    if not is_reserved(path):
        check_folder(Path(name + SUFFIX), overwrite)
    if path.is_dir():
        raise ConfigError(f"h5output: {name!r} is a folder; it must be the name of a file")
    check_not_read("h5output", name, reads)
    if path.exists() and not overwrite:
        raise Exists(f"h5output: {name!r} exists; say --overwrite (or overwrite=True), or choose another name")
    check_is_result("h5output", name)
    if not path.parent.is_dir():
        raise ConfigError(f"h5output: the folder {str(path.parent)!r} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"h5output: the folder {str(path.parent)!r} may not be written to")
    return name


def check_name(what, name):
    """Refuse a name of a result by which no file can be made, or beside which none of what a run makes there.

    Parameters
    ----------
    what : str
        How errors begin.
    name : str or path

    Raises
    ------
    ConfigError
        Too long, with a null character, by way of what may not be searched; that of a device, pipe or socket,
        which a file would take the place of; or in the folder of a run, which goes when that ends.
    """
    try:
        with suppress(FileNotFoundError):
            os.lstat(hidden_name(Path(f"{name}{SUFFIX}")))  # the longest one
        mode = os.stat(name).st_mode if os.path.exists(name) else stat.S_IFREG
    except (OSError, ValueError) as error:  # ValueError: the null character, or what is no character
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{what}: no file can be called {str(name)!r}: {why}") from None
    if not stat.S_ISDIR(mode) and (kind := kind_of(mode)):
        raise ConfigError(f"{what}: {str(name)!r} {kind}: a result would take its place; choose another name")
    parents = Path(os.path.realpath(os.path.dirname(name) or os.curdir))
    if run := next((each for each in (parents, *parents.parents) if each.name.endswith(SUFFIX)), None):
        raise ConfigError(
            f"{what}: {str(name)!r} is in {str(run)!r}, the folder of a run in progress, which goes when it is joined; "
            "choose another name"
        )


def check_not_read(what, name, reads):
    """Refuse the name of a result if a file that is read has it, by whatever link.

    Parameters
    ----------
    what : str
        How errors begin.
    name : str or path
    reads : iterable of (str, str)
        As `resolve_name` takes them.

    Raises
    ------
    ConfigError
    """
    if not os.path.exists(name):
        return
    for key, path in reads:
        with suppress(OSError, ValueError):  # what is not there, or can be no name, is told by who reads it
            if os.path.samefile(name, path):
                raise ConfigError(
                    f"{what}: {str(name)!r} is the file of {key}, which is read, and the result would take its place; "
                    "choose another name"
                )


def check_is_result(what, name):
    """Refuse the name of a result if a file has it that is none, nor a result exported, nor empty.

    Of a link the result takes the place, and not of the file that it leads to.

    Parameters
    ----------
    what : str
        How errors begin.
    name : str or path

    Raises
    ------
    ConfigError
    """
    found = identity(name, "size")
    if not found or not found[-1] or os.path.islink(name):
        return
    try:
        groups, why = groups_of(name), ""
    except ConfigError as error:
        groups, why = set(), f": {error}"
    if not any(marks <= groups for marks in _RESULTS):
        raise ConfigError(
            f"{what}: {str(name)!r} is there and no result, so it is not replaced{why}; remove it, or choose "
            "another name"
        )


def mode_of(path):
    """Return what kind of run wrote a result file, as `parcorana.job.config.MODES`; None if it is not one."""
    try:
        with plain_file(path) as file:
            return str(file["system"].attrs.get("mode", "main"))
    except ConfigError:
        return None


def is_complete(path):
    """Tell whether a file is anything but the result of a run that was stopped or killed."""
    try:
        with plain_file(path) as file:
            return bool(file["system"].attrs.get("complete", True))
    except ConfigError:
        return True  # whatever it is, it is not ours to replace
