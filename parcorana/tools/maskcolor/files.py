"""The files of ``parCorAnaMaskColorTool``: what `start` calls them, and what a name says."""

import csv
import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from parcorana.errors import ConfigError, RunError, one_line
from parcorana.files.aside import written
from parcorana.files.sealed import taken

SAVED = ("mask", "testmask", "color", "finecolor", "avg")
"""What `start` saves, each as ndarray and as image."""

_PIECE = 1 << 20  # bytes of a file that are compared at a time
_NAME = re.compile(
    r"(?P<prefix>.*)_(?:(?P<kind>mask|testmask|color|finecolor|avg)_(?P<coords>ndarr|img)Coords|i[XY])\.npy"
)


def prefix_of(datasets, src):
    """Return the beginning of the files' names for some datasets and a detector (str or None)."""
    name = datasets[0].label() or f"shmem-{datasets[0].name}"
    if len(datasets) > 1:
        name += f"-and-{len(datasets) - 1}-more"
    if src:
        name += "_" + re.sub(r"^DetInfo\((.*)\)$", r"\1", src)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")


def all_names(prefix):
    """Return the names of all files that `start` writes."""
    arrays = [f"{prefix}_{kind}_{coords}Coords.npy" for kind in SAVED for coords in ("ndarr", "img")]
    return [*arrays, f"{prefix}_iX.npy", f"{prefix}_iY.npy", f"{prefix}_colors.csv"]


def table_head(name):
    """Return the first row of the table of colours, of a quantity of that name."""
    return ("color", "ring", "sector", "elements", f"{name}_mean", f"{name}_min", f"{name}_max", "unit")


def check_free(names, force):
    """Raise ConfigError where a file would go into no folder, or, unless `force`, take the place of another one."""
    for name in names:
        if not Path(name).parent.is_dir():
            raise ConfigError(f"the folder {str(Path(name).parent)!r} does not exist")
        if Path(name).exists() and not force:
            raise ConfigError(f"{name!r} exists; say --force to replace it, or choose another name")


def are_there(names):
    """Return whether all files exist: they may be what would be written again."""
    return all(Path(name).exists() for name in names)


def check_same(contents):
    """Raise ConfigError unless all files exist and hold just what would be written.

    Parameters
    ----------
    contents : dict of str to ndarray or list
        Arrays, and rows of a table, by the files' names.
    """
    for name, content in contents.items():
        wanted, what = io.BytesIO(), "exists, and would be another one now"
        _write(wanted, content)
        try:
            with taken(name) as (number, _):
                same = _holds(number, wanted.getbuffer())
        except OSError as error:
            same, what = False, error.strerror
        if not same:
            raise ConfigError(f"{name!r} {what}; say --force to replace it, or choose another name")


def _holds(number, wanted):
    """Tell whether an open file holds just these bytes."""
    if os.fstat(number).st_size != len(wanted):
        return False
    pieces = (wanted[at : at + _PIECE] for at in range(0, len(wanted), _PIECE))
    return all(os.pread(number, len(piece), k * _PIECE) == piece for k, piece in enumerate(pieces))


def parts_of(path):
    """Return prefix, kind and coordinates ('ndarr' or 'img') that a file's name says, None for what it does not."""
    found = _NAME.fullmatch(str(path))
    return (found["prefix"], found["kind"], found["coords"]) if found else (None, None, None)


def save(path, content, streams=False):
    """Save an array as .npy, whatever the file is called; or rows of str and numbers as CSV."""
    try:
        with written(path, streams) as file:
            _write(file, content)
    except OSError as error:
        raise RunError(f"cannot write {str(path)!r}: {error.strerror or one_line(error)}") from None


def _write(file, content):
    if isinstance(content, np.ndarray):
        # with a name it would add .npy to another suffix; to a file of the system it writes by itself, and of what goes
        # wrong there it knows no reason
        np.save(SimpleNamespace(write=file.write), content)
        return
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(content)
    file.write(text.getvalue().encode("utf-8"))
