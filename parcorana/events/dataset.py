"""The dataset string: psana's grammar, with ``h5=`` and ``sim=`` beside it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from parcorana.errors import ConfigError, nearest

_FLAGS = ("live", "idx", "smd", "runs", "bursts")
_KEYS = ("exp", "run", "dir", "stream", "file", "shmem", "h5", "sim", "memory")
_STARTS = ("exp", "file", "shmem", "h5", "sim", "memory")
_PATHS = ("dir", "file", "h5")
_EXAMPLE = "right would be, for example, 'exp=xpptut15:run=54', 'h5=frames.h5' or 'sim=brownian:events=1000'"


@dataclass(frozen=True)
class Dataset:
    r"""What a dataset string says.

    Attributes
    ----------
    text : str
        The string as the user gave it.
    kind : {'exp', 'file', 'shmem', 'h5', 'sim', 'memory'}
        Which key names the data.
    name : str
        Experiment, file, shared memory name, HDF5 file or simulator; without
        the backslashes of ``\:`` and ``\,``.
    names : tuple of str
        With ``h5=``, what `name` lists: files, and patterns of files.
    runs, streams : tuple of int
        Run and stream numbers, in the order given; empty if not given.
    dir : str or None
        Folder of the xtc2 files; with ``h5=``, of files that the named one may
        draw in.
    live, idx, smd : bool
        Modes.
    apart : bool
        ``runs``: each of the files is a run of its own.
    bursts : bool
        The second axis of the stack is frames, one after the other.
    options : dict of str to str
        ``sim=`` only: the other parts.
    """

    text: str
    kind: str
    name: str
    names: tuple = ()
    runs: tuple = ()
    streams: tuple = ()
    dir: str | None = None
    live: bool = False
    idx: bool = False
    smd: bool = False
    apart: bool = False
    bursts: bool = False
    options: dict = field(default_factory=dict)

    @property
    def is_live(self):
        """Whether events come as time goes by, for as long as the run goes on."""
        return self.live or self.kind == "shmem"

    def label(self):
        """Return a short name for output files, None where the dataset gives none.

        ``exp=xpptut13:run=1437`` gives ``xpptut13-r1437``. Shared memory names
        no data that would be found again, so there is none.
        """
        if self.kind == "shmem":
            return None
        if self.kind == "exp":
            experiment = self.name.rsplit("/", 1)[-1]
            return experiment + "".join(f"-r{run:04d}" for run in self.runs)
        if self.kind == "sim":
            return f"sim-{self.name}"
        return re.sub(r"[:,]", "_", re.sub(r"[*?\[\]]", "", Path((self.names or (self.name,))[0]).stem))


def escaped(name):
    """Return a path as it stands in a dataset string: its colons and commas are none of the grammar's."""
    return re.sub("[:,]", r"\\\g<0>", name)


def _split(text, mark):
    """Split at a mark that no backslash stands before."""
    return re.split(rf"(?<!\\){mark}", text)


def _plain(text):
    return re.sub(r"\\([:,])", r"\1", text)


def _fail(text, what):
    raise ConfigError(f"dataset {text!r}: {what}; {_EXAMPLE}")


def _fail_part(text, what):
    """Fail over a part that is none, which may be the rest of a name."""
    if any(f"{key}=" in text for key in _PATHS):
        what += r"; if it belongs to a name, write the colon before it as \:"
    _fail(text, what)


def parse_numbers(text, what="run"):
    """Parse ``'3-5,8'`` to ``(3, 4, 5, 8)``.

    Raises
    ------
    ConfigError
        Not numbers, a range that runs backwards, or a number given twice.
    """
    numbers = []
    for part in text.split(","):
        match = re.fullmatch(r" *([0-9]{1,9})(?:-([0-9]{1,9}))? *", part)  # no control characters, which nobody sees
        if not match:
            raise ConfigError(f"{what}={text}: {part!r} is not a number or a range like 3-5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 100_000:
            raise ConfigError(f"{what}={text}: the range {part!r} must go from a number up to a larger one")
        numbers.extend(range(first, last + 1))
    if len(set(numbers)) != len(numbers):
        raise ConfigError(f"{what}={text}: a number is given twice")
    return tuple(numbers)


def parse_dataset(text):
    r"""Parse a dataset string.

    Parameters
    ----------
    text : str
        Parts joined by ``:``, as in ``exp=xpptut15:run=54-56:smd``. A colon
        within a name is ``\:``, a comma within the name of an HDF5 file ``\,``.

    Returns
    -------
    Dataset

    Raises
    ------
    ConfigError
        Says which part is wrong and what would be right.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"dataset must be a non-empty string, not {text!r}; {_EXAMPLE}")
    values, flags, options = {}, set(), {}
    is_sim = text.lstrip().startswith("sim=")
    for part in _split(text.strip(), ":"):
        key, equals, value = part.partition("=")
        if not equals:
            if key not in _FLAGS:
                _fail_part(text, f"unknown part {part!r}{nearest(key, _FLAGS + _KEYS)}")
            flags.add(key)
            continue
        target = options if is_sim and key != "sim" else values
        if target is values and key not in _KEYS:
            _fail_part(text, f"unknown key {key!r}{nearest(key, _KEYS)}")
        if key in target:
            _fail(text, f"{key!r} is given twice")
        if not value:
            _fail(text, f"{key!r} has no value")
        target[key] = value
    starts = [key for key in _STARTS if key in values]
    if len(starts) != 1:
        _fail(text, f"exactly one of {', '.join(_STARTS)} must be there, found {starts or 'none'}")
    kind = starts[0]
    _check_parts(text, kind, values, flags)
    return Dataset(
        text=text,
        kind=kind,
        name=_plain(values[kind]),
        names=tuple(map(_plain, _split(values["h5"], ","))) if kind == "h5" else (),
        runs=parse_numbers(values["run"]) if "run" in values else (),
        streams=parse_numbers(values["stream"], "stream") if "stream" in values else (),
        dir=_plain(values["dir"]) if "dir" in values else None,
        live="live" in flags,
        idx="idx" in flags,
        smd="smd" in flags,
        apart="runs" in flags,
        bursts="bursts" in flags,
        options=options,
    )


def _check_parts(text, kind, values, flags):
    allowed = {
        "exp": ({"exp", "run", "dir", "stream"}, {"live", "idx", "smd"}),
        "file": ({"file"}, set()),
        "shmem": ({"shmem", "stream"}, set()),
        "h5": ({"h5", "dir"}, {"live", "runs", "bursts"}),
        "sim": ({"sim"}, {"live"}),
        "memory": ({"memory"}, set()),
    }
    keys, modes = allowed[kind]
    for part in [*values, *sorted(flags)]:
        if part not in keys | modes:
            _fail_part(text, f"{part!r} has no meaning beside '{kind}='")
    if kind == "exp" and "run" not in values:
        _fail(text, "'exp=' needs 'run='")
    if {"live", "idx"} <= flags:
        _fail(text, "'live' and 'idx' exclude each other: index mode needs the finished run")
