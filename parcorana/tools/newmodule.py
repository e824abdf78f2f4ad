"""A new project for a user's own compiled module: ``python -m parcorana new-module NAME``."""

import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

from parcorana._version import __version__
from parcorana.errors import ConfigError, RunError

MASK_SHAPE = (2, 32, 32)  # that of the simulated detector in the config


def check_name(name):
    """Raise ConfigError unless `name` can be that of a new module."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise ConfigError(
            f"NAME: {name!r} cannot be imported by that name; take up to 64 lower-case letters, digits and _, "
            "a letter first" + (f", but no word of Python's, as {name!r} is" if keyword.iskeyword(name) else "")
        )
    if name in sys.stdlib_module_names or name in ("config", "setup"):
        raise ConfigError(f"NAME: {name!r} is taken, by Python or by a file of the project; take another name")


def _check_free(name, folder):
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"NAME: {str(folder)!r} exists already; take another name, or move it out of the way")
    if importlib.util.find_spec(name) is not None:
        raise ConfigError(f"NAME: a module {name!r} is installed here already; take another name, or uninstall it")


def make_module(name, where="."):
    """Write the project; return its folder.

    Parameters
    ----------
    name : str
        Of the module, and of the folder.
    where : str
        Folder in which that is made.

    Raises
    ------
    ConfigError
        The name cannot be one, or is taken.
    RunError
        The files cannot be written.
    """
    check_name(name)
    folder = Path(where) / name
    _check_free(name, folder)
    words = {"NAME": name, "CLASS": "".join(word.capitalize() for word in name.split("_")), "VERSION": __version__}
    try:
        # all of it or nothing: written aside, then renamed
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=where) as aside:
            new = Path(aside) / name
            new.mkdir()
            for template in (resources.files("parcorana") / "templates" / "module").iterdir():
                text = re.sub("@([A-Z]+)@", lambda found: words[found[1]], template.read_text(encoding="utf-8"))
                file = template.name.removesuffix(".in").replace("module", name)
                (new / file).write_text(text, encoding="utf-8")
            np.save(new / "mask.npy", np.ones(MASK_SHAPE, np.uint8))
            shutil.move(new, folder)
    except OSError as error:
        raise RunError(f"{str(folder)!r} cannot be written: {error.strerror or error}") from None
    return folder


NEXT = """\
{folder}: a module with the user class {cls}. What next:
  cd {folder}
  pip install .
  python -m unittest
  mpiexec -n 4 parCorAnaDriver -c config.py
README.md says more, and where to put your own function."""


def report(folder):
    """Return what to do with a new project."""
    return NEXT.format(folder=folder, cls="".join(word.capitalize() for word in folder.name.split("_")))
