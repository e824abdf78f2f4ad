"""Checkpoints of a run: sets of files in its folder `NAME.inprogress`, of which the last whole one is resumed.

A set is one file of each worker, `checkpoint_%09d_%05d.part`, and a manifest,
`checkpoint_%09d.json`, that the viewer writes when all of those are there; the
first number is that of blocks of the sequence that were used up. A class that shares things with
the viewer has one more, `checkpoint_%09d_viewer.part`. Only with its
manifest is a set valid; the one before it goes after that. A checkpoint lies
between two blocks, so nothing in the run is cut where it would not be cut
without it.
"""

import hashlib
import inspect
import json
import os
import re
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from parcorana._version import __version__
from parcorana.calculation.arrays import NAMES, Common
from parcorana.calculation.guard import is_ours
from parcorana.correlation.reach import is_state
from parcorana.detector import masks
from parcorana.detector.photons import FOUND
from parcorana.errors import ConfigError, RunError
from parcorana.files.aside import written
from parcorana.files.sealed import taken
from parcorana.results.facts import ACCOUNT, as_json
from parcorana.results.partfile import Damaged, PartFile, verify, write

# What all workers know alike, and what it may be.
FACTS = {
    "account": (dict,),
    "filtered_by": (dict,),
    "photons": (dict,),
    "run_now": (int, type(None)),
    "origin": (int, type(None)),
    "newest": (int, type(None)),
    "oldest": (int, type(None)),
    "pulses": (bool,),
    "total": (int,),
    "published": (int,),
    "reached": (dict,),
}
_MOST = 64 << 20  # bytes of a manifest
_FORMAT = 1
# Keys of system_params that say how a run is done, not what comes out of it; `mask` and `numevents` are looked at.
_FREE = (
    "numservers",
    "serverhosts",
    "threads",
    "verbosity",
    "heartbeat",
    "callback_limit",
    "latency",
    "max_bad",
    "checkpoint",
    "mask",
    "testmask",
    "numevents",
    "testnumevents",
    "h5output",
    "testh5output",
    "overwrite",
)


@dataclass(frozen=True)
class Checkpoint:
    """A set of files, as its manifest describes it.

    Attributes
    ----------
    folder : str
        `NAME.inprogress`.
    block : int
        So many blocks of the sequence were used up; the run goes on with the next one.
    elements : int
        Of all workers together.
    parts : list of (int, int)
        Size and checksum of each worker's file.
    kept : {'state', 'attributes'}
        Whether the user class has `getState`.
    facts : dict
        What all workers know alike: account, run, times, ...
    config : dict
        As `fingerprint` makes it.
    resumed_at : list of int
        Events processed where the run was gone on with before.
    code_path : str
        As `parcorana.correlation.cpu.in_use` says it: on another one the last bits would differ. Empty: not known.
    viewer : list of int
        Size and checksum of the viewer's file; empty if there is none.
    version : str
        Of the program.
    """

    folder: str
    block: int
    elements: int
    parts: list
    kept: str
    facts: dict
    config: dict
    resumed_at: list
    code_path: str = ""
    viewer: list = field(default_factory=list)
    version: str = __version__

    def __post_init__(self):
        facts, account = self.facts, self.facts["account"]
        whole = [self.block, self.elements, facts["filled"], *self.resumed_at, *account.values()]
        whole += [*facts["filtered_by"].values(), *facts["photons"].values()]
        whole += [number for part in [*self.parts, self.viewer] for number in part]
        good = len(self.viewer) in (0, 2)
        good &= self.parts and all(len(part) == 2 for part in self.parts) and set(account) == set(ACCOUNT)
        good &= all(type(self.config[key]) is dict for key in ("system_params", "user_params", "files"))
        good &= type(self.code_path) is str
        good &= self.kept in ("state", "attributes") and set(facts) == {"filled", *FACTS}
        good &= all(type(facts[name]) in kinds for name, kinds in FACTS.items())
        good &= set(facts["photons"]) in (set(), set(FOUND))
        good &= is_state(facts["reached"], len(self.config["system_params"].get("delays") or ()))
        good &= all(abs(value) < 2**63 for value in facts.values() if type(value) is int)
        if not good or not all(type(number) is int and 0 <= number < 2**63 for number in whole):
            raise ValueError("not what was written")

    @property
    def workers(self):
        """How many workers wrote it."""
        return len(self.parts)

    @property
    def processed(self):
        """How many events had been processed."""
        return self.facts["account"]["processed"]

    def path_of(self, worker):
        """Return the path of a worker's file."""
        return part_path(self.folder, self.block, worker)

    def damage(self, rank=0, size=1):
        """Return what is wrong with those files that fall to a rank, of so many that look; empty if nothing."""
        files = [(self.path_of(worker), *self.parts[worker]) for worker in range(rank, self.workers, size)]
        if self.viewer and rank == 0:
            files.append((viewer_path(self.folder, self.block), *self.viewer))
        for file in files:
            try:
                verify(*file)
            except Damaged as damaged:
                return str(damaged)
        return ""


def part_path(folder, block, worker):
    """Return the path of a worker's file."""
    return Path(folder) / f"checkpoint_{block:09d}_{worker:05d}.part"


def viewer_path(folder, block):
    """Return the path of the viewer's file."""
    return Path(folder) / f"checkpoint_{block:09d}_viewer.part"


def write_viewer(folder, block, state):
    """Write the viewer's file, if there is anything to be kept; return its size and checksum, in a list."""
    if not state:
        return []
    steps = write(viewer_path(folder, block), {name: (NAMES[Common], array) for name, array in state.items()}, None)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return list(end.value)


def read_viewer(checkpoint):
    """Return the arrays of the viewer's file.

    Raises
    ------
    RunError
        It is damaged.
    """
    try:
        file = PartFile(viewer_path(checkpoint.folder, checkpoint.block))
        return {name: file.read(name) for name in file.arrays}
    except Damaged as damaged:
        raise RunError(f"--resume: {damaged}") from None


def _manifest_path(folder, block):
    return Path(folder) / f"checkpoint_{block:09d}.json"


def fingerprint(config):
    """Return what has to be the same for a run to be gone on with, as JSON can hold it."""
    system, user = (
        # functions are told by their names: where they lie in memory says nothing
        json.loads(re.sub(r" at 0x[0-9a-fA-F]+", "", as_json(params)))
        for params in (config.system_params, config.user_params)
    )
    files = {"mask": _digest(config.mask)} | {key: _digest(array) for key, array in masks.color_files(config)}
    code = "".join(_code_of(own.user_class) for own in config.classes.values()) or _code_of(config.user_class)
    params = {"system_params": system, "user_params": user, "files": files}
    return params | {"code": code, "data": config.data} | config.code()


def _code_of(user_class):
    """Return a checksum of the Python code of a user class, and of those of the user's that it is made from."""
    own = [each for each in user_class.__mro__ if each is not object and not is_ours(each)]
    text = "\n".join(map(_source_of, own))
    return hashlib.sha256(text.encode()).hexdigest() if text.strip() else ""


def _source_of(cls):
    """Return the source of a class; where Python cannot tell it, as in a config file, of its functions."""
    with suppress(OSError, TypeError):
        return inspect.getsource(cls)
    texts = []
    for each in vars(cls).values():
        with suppress(OSError, TypeError):  # a compiled one has none
            texts.append(inspect.getsource(inspect.unwrap(getattr(each, "__func__", each))))
    return "\n".join(texts)


def _digest(array):
    """Return a checksum of whole numbers, whatever their type."""
    array = np.asarray(array, np.int64)
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()


def commit(checkpoint):
    """Make a set valid by its manifest; remove the others.

    Raises
    ------
    OSError
        The manifest cannot be written; the set before stays valid.
    """
    text = json.dumps({"format": _FORMAT, **asdict(checkpoint)}).encode()
    path = _manifest_path(checkpoint.folder, checkpoint.block)
    with written(path) as file:
        file.write(b"%08x\n" % zlib.crc32(text) + text)
    remove_others(checkpoint.folder, checkpoint.block, newer=False)


def remove_others(folder, block, newer=True):
    """Remove all sets but one; those after it only if `newer`."""
    found = []
    for path in Path(folder).iterdir():
        match = re.fullmatch(r"\.?checkpoint_(\d{9,})(_\d{5,}|_viewer)?\.(part|json)(\..*tmp)?", path.name)
        if match and int(match[1]) != block and (newer or int(match[1]) < block):
            found.append((match[3] != "json", path))
    for _, path in sorted(found):  # the manifests first: without its parts one is worth nothing
        path.unlink(missing_ok=True)


def manifests(folder):
    """Return the manifests in a folder, the newest first."""
    found = (re.fullmatch(r"checkpoint_(\d{9,})\.json", path.name) for path in Path(folder).iterdir())
    return [_manifest_path(folder, block) for block in sorted((int(m[1]) for m in found if m), reverse=True)]


def unfinished(folder):
    """Return a sentence, in a list, if the run ended while it wrote a checkpoint that is newer than all whole ones."""
    found = (
        re.fullmatch(r"\.?checkpoint_(\d{9,})_(?:\d{5,}|viewer)\.part(\..*tmp)?", path.name)
        for path in Path(folder).iterdir()
    )
    newest = max((int(m[1]) for m in found if m), default=-1)
    whole = manifests(folder)
    if newest <= (int(whole[0].stem.rpartition("_")[2]) if whole else -1):
        return []
    return [f"the run ended while it wrote checkpoint_{newest:09d}"]


def read_manifest(path):
    """Return the `Checkpoint` of a manifest.

    Raises
    ------
    Damaged
        It is not what was written.
    """
    try:
        with taken(path, path.parent) as (number, _), open(number, "rb", closefd=False) as file:
            if os.fstat(number).st_size > _MOST:
                raise ValueError
            check, text = file.read().split(b"\n", 1)
        if int(check, 16) != zlib.crc32(text):
            raise ValueError
        about = json.loads(text)
        if about.pop("format") != _FORMAT:
            raise Damaged(f"{path.name} has a format that parcorana {__version__} does not know")
        if path != _manifest_path(path.parent, about["block"]):
            raise ValueError
        return Checkpoint(**(about | {"folder": str(path.parent)}))
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged(f"{path.name} is damaged") from None


def check_fits(checkpoint, config):
    """Raise ConfigError, naming what differs, if a checkpoint is of another run than a config describes.

    Returns
    -------
    str
        A warning of what is allowed, but may not be meant; empty if there is nothing.
    """
    if checkpoint.version != __version__:
        raise ConfigError(
            f"--resume: the checkpoint in {checkpoint.folder!r} was written by parcorana {checkpoint.version}, this is "
            f"{__version__}: go on with that one, or begin anew"
        )
    was, now = checkpoint.config, fingerprint(config)
    for title, free in (("system_params", _FREE), ("user_params", ("color", "finecolor"))):
        for key in [*was[title], *(key for key in now[title] if key not in was[title])]:
            same = was[title].get(key) == now[title].get(key)
            if not same and (key not in free or (title == "user_params" and key not in now["files"])):
                raise ConfigError(
                    f"--resume: the run was begun with {_shown(title, key, was)}, the config now says "
                    f"{_shown(title, key, now)}: only what does not change the result may differ"
                )
    for key in [*was["files"], *(key for key in now["files"] if key not in was["files"])]:
        if was["files"].get(key) != now["files"].get(key):
            path = (config.system_params if key == "mask" else config.user_params).get(key)
            raise ConfigError(
                f"--resume: the {key} {str(path)!r} is not the one with which the run was begun: its values differ"
            )
    read = checkpoint.facts["account"]["read"]
    if 0 < config.numevents < read:
        raise ConfigError(f"--resume: numevents={config.numevents}, but the run has used {read} events already")
    compiled = was.get("compiled", now["compiled"])
    name, other = config.user_class.__name__, []
    if was.get("code") != now["code"] or (compiled[0] == now["compiled"][0] and compiled != now["compiled"]):
        other.append(f"the code of user_class {name} is not that with which the run was begun")
    before = was.get("looked_up", now["looked_up"])
    for key, (made, text) in now["looked_up"].items():
        if key in before and before[key][0] != made:
            other.append(
                f"{key} in the code of user_class {name} was {before[key][1]} when the run was begun, now {text}"
            )
    # mended after it failed, perhaps: so it is not refused
    return f"--resume: {'; '.join(other)}; what comes of the events before is kept as it is" if other else ""


def check_data(checkpoint, config):
    """Raise ConfigError if the data is not that with which the run of a checkpoint was begun, as far as is known.

    Returns
    -------
    str
        A warning of data that has become more, or less; empty if there is nothing.
    """
    was, now, text = checkpoint.config.get("data") or {}, config.data, config.dataset.text
    if was.get("first_event") and now.get("first_event") and was["first_event"] != now["first_event"]:
        raise ConfigError(
            f"--resume: dataset {text!r}: its first event is not that with which the run was begun: it is not the same "
            "data"
        )
    events = was.get("events"), now.get("events")
    same = checkpoint.config["system_params"].get("numevents") == config.system_params.get("numevents")
    if None in events or events[0] == events[1] or not same:
        return ""
    return (
        f"--resume: dataset {text!r} has {events[1]:,} events, and had {events[0]:,} when the run was begun: is it the "
        "same data?"
    )


def _shown(title, key, params):
    where = key if title == "system_params" else f"user_params[{key!r}]"
    text = repr(params[title][key]) if key in params[title] else "nothing"
    return f"{where}={text if len(text) <= 80 else f'{text[:77]}...'}"
