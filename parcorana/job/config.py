"""The config file: read, checked once, frozen."""

import logging
import os
import runpy
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from parcorana.calculation.base import BlockBase
from parcorana.calculation.classes import joined_class, split_params
from parcorana.calculation.guard import defines
from parcorana.calculation.userclass import check_class, check_params, params_taken
from parcorana.calculation.userstate import has_state
from parcorana.correlation.delays import check_delays
from parcorana.correlation.rolling import rate_fraction
from parcorana.detector import masks
from parcorana.detector.instrument import Instrument
from parcorana.detector.photons import check_photons
from parcorana.errors import ConfigError, nearest, one_line, say, shown
from parcorana.events.dataset import Dataset, parse_dataset
from parcorana.events.psana_config import check_psana_config
from parcorana.events.values import MEAN, check_select, check_uses, check_values, names_of
from parcorana.files.paths import fault_of
from parcorana.files.trust import check_trust
from parcorana.job.fingerprint import digest, looked_up
from parcorana.job.keys import KEYS, checked
from parcorana.job.tellable import check_tellable

log = logging.getLogger("parcorana")

_BLOCK_BYTES = 5 << 28  # short blocks make the kernels fetch much for little: full cspad gets 146 events
_UPDATES = 32  # in a block
_SMALL_BLOCK_BYTES = 1 << 27  # for small detectors what is done once for a block counts more
_MOST_EVENTS, _MOST_SETTLED = 512, 256  # of a block; the latter without a history that is fetched for each block

# What the command runs: the main job, or a part of the testing mode.
MODES = ("main", "test_main", "test_alt", "cmp")


@dataclass(frozen=True, eq=False)
class Config:
    """A checked configuration.

    Attributes
    ----------
    system_params, user_params : dict
        What the user class gets; `system_params` with all defaults filled in.
    dataset : Dataset
    mask : bool array of the detector's shape
    mode : str
        One of `MODES`; of the testing mode all but 'main', with the test mask
        and `testnumevents` in the place of `mask` and `numevents`.
    delays : (D,) int64 [pulses]
    elements : int
        Included elements.
    block : int
        Events in a block, before filters.
    h5output : str or None
        With `%T` and `%C` as the user wrote them.
    folder : str
        From which names of files in `user_params` are meant: user code may
        change the working directory.
    values : dict of str to str
        Where the source finds the numbers of each event.
    names : list of str
        Of those numbers, and of what the source and the servers add: the mean of the included elements comes last.
    instrument : parcorana.detector.instrument.Instrument or None
        What the data state of it, once they are open.
    data : dict
        What tells them from others of the same name, once they are open: `events` and `first_event`, as far as known.
    photons : dict or None
        With all defaults.
    classes : dict of str to Config
        Of a job with several classes: what it would be with each of them alone. Empty with a single one; else
        `user_class` is a `Several`.

    The others are the keys of docs/config.md.
    """

    system_params: dict
    user_params: dict
    dataset: Dataset
    src: str | None
    type: str | None
    times_src: str | None
    psana_config: dict | None
    mask: Any
    mode: str
    numservers: int
    serverhosts: list | None
    times: int
    update: int
    delays: Any
    user_class: type
    h5output: str | None
    testh5output: str | None
    overwrite: bool
    numevents: int
    elements: int
    block: int
    verbosity: str
    rate: float
    store_dtype: Any
    threads: int | None
    latency: float
    max_bad: float
    heartbeat: float
    callback_limit: float | None
    checkpoint: int
    values: dict
    select: dict
    names: list
    photons: dict | None
    folder: str
    instrument: Instrument | None = None
    data: dict = field(default_factory=dict)
    classes: dict = field(default_factory=dict)

    def code(self):
        """Return what tells the user's code, and what it looks up while it runs, from others; as JSON can hold it."""
        classes = [own.user_class for own in self.classes.values()] or [self.user_class]
        found = {name: [digest(value).hex(), shown(value, 60)] for name, value in looked_up(classes).items()}
        # of another Python the same code is another one
        return {"compiled": [sys.version, digest(classes).hex()], "looked_up": found}


def read_config(path, trust=None):
    """Run a config file; return its two dictionaries.

    Parameters
    ----------
    path : str
    trust : bool, optional
        Whether to run a file that everybody may write to, or replace; None where nobody can be asked.

    Raises
    ------
    ConfigError
        The file is missing, may be written or replaced by everybody, fails when run, or lacks a dictionary.
    """
    if fault := fault_of(path):
        raise ConfigError(f"config: the file {path!r} {fault}")
    if not trust:
        check_trust(path, "" if trust is None else ", or say --trust-config")
    folder = str(Path(path).resolve().parent)
    sys.path.insert(0, folder)  # a config file may import the user module beside it
    try:
        names = runpy.run_path(path, run_name="parcorana_config")
    except ConfigError:
        raise
    except BaseException as error:
        lines = [f"line {frame.tb_lineno}" for frame in _frames(error) if frame.tb_frame.f_code.co_filename == path]
        where = f"{path}, {lines[-1]}" if lines else path
        raise ConfigError(f"config {where}: {type(error).__name__}: {one_line(error)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    for key in ("system_params", "user_params"):
        if not isinstance(names.get(key), dict):
            raise ConfigError(f"config {path}: it must define the dictionary {key}")
    return names["system_params"], names["user_params"]


def _frames(error):
    frame = error.__traceback__
    while frame:
        yield frame
        frame = frame.tb_next


def resolve_config(system_params, user_params, mode="main", **overrides):
    """Check both dictionaries; return the frozen Config.

    Parameters
    ----------
    system_params, user_params : dict
        As in the config file.
    mode : str
        One of `MODES`.
    **overrides
        Values from the command line, which replace those of `system_params`.

    Raises
    ------
    ConfigError
        One sentence that names the key, what is wrong and what would be right.
    """
    given = system_params | overrides
    for key in given:
        if key not in KEYS:
            raise ConfigError(f"unknown key {shown(key)} in system_params{nearest(shown(key), KEYS)}")
    check_tellable(given, str)
    check_tellable(user_params, lambda key: f"user_params[{key!r}]" if key else "user_params")
    params = {key: checked(key, given) for key in KEYS}
    dataset = parse_dataset(params["dataset"])
    _check_calibration(params, dataset)
    _check_times_src(params["times_src"], dataset)
    delays = check_delays(params["delays"])
    rate_fraction(params["rate"])
    mask = masks.load_mask(params["mask"])
    if params["testmask"] is not None:
        testmask = masks.load_mask(params["testmask"], "testmask")
        masks.check_shape("testmask", params["testmask"], testmask.shape, mask.shape, "the mask")
        if mode != "main":
            mask, params["mask"] = testmask, params["testmask"]
    if mode != "main":
        params["numevents"] = params["testnumevents"]
    given_class = params["user_class"]
    own_params = split_params(given_class, user_params, log.warning) if isinstance(given_class, list) else {}
    several = (
        [(each, own_params[each.__name__]) for each in given_class] if own_params else [(given_class, user_params)]
    )
    for each, _ in several:
        check_class(each, mode, log.warning)
    if dataset.is_live and not params["update"]:
        log.warning("update=0: a run that goes on shows nothing until it ends; set update to so many events")
    if "h5output" not in given:
        label = dataset.label()
        if label is None:
            raise ConfigError("h5output: shared memory gives no name for the output; set h5output to a path or to None")
        params["h5output"] = f"g2calc_{label}.h5"
    _check_checkpoint(params, dataset, mode)
    places, names = _check_values(params, dataset, several)
    _check_photons(params, dataset, several)
    elements = int(np.count_nonzero(mask))
    dtype = np.dtype(params["store_dtype"])
    settled = all(getattr(each, "in_order", False) for each, _ in several)
    most = _MOST_SETTLED if settled else _MOST_EVENTS
    block = params["block"] or _block(elements * dtype.itemsize, most, params["update"])
    for each, own in several:
        check_params(each, own, log.warning, _for_others(each, several, user_params))
        if defines(each, "checkParams"):
            each.checkParams(own, mask, log.warning)
    params |= {"delays": [int(d) for d in delays], "block": block}
    own = {each.name for each in fields(Config)}
    values = {key: value for key, value in params.items() if key in own}
    values |= {
        "dataset": dataset,
        "mode": mode,
        "mask": mask,
        "delays": delays,
        "elements": elements,
        "store_dtype": dtype,
        "values": places,
        "names": names,
        "folder": os.getcwd(),
    }
    if not own_params:
        return Config(system_params=params, user_params=dict(user_params), **values)
    values["user_class"] = joined_class(given_class)
    config = Config(system_params=params, user_params=dict(user_params), **values)
    classes = {
        each.__name__: replace(
            config, system_params=params | {"user_class": each}, user_params=dict(of), user_class=each
        )
        for each, of in several
    }
    return replace(config, classes=classes)


def _for_others(user_class, several, user_params):
    """Return the common parameters that another class of a list takes, or may take."""
    taken = [params_taken(each) for each, _ in several if each is not user_class]
    return {key for key in user_params if any(known is None or key in known for known in taken)}


def _check_checkpoint(params, dataset, mode):
    """Refuse checkpoints where nothing could be gone on with; a test has none."""
    if mode != "main":
        params["checkpoint"] = 0
    if not params["checkpoint"]:
        return
    if dataset.is_live:
        kind = "shared memory" if dataset.kind == "shmem" else "a live run"
        raise ConfigError(
            f"checkpoint={params['checkpoint']}: {kind} does not come again, so it cannot be gone on with: leave the "
            "key out"
        )
    if params["h5output"] is None:
        raise ConfigError(
            f"checkpoint={params['checkpoint']}: checkpoints stand beside the result, and h5output is None: name a file"
        )
    for each in params["user_class"] if isinstance(params["user_class"], list) else [params["user_class"]]:
        if not issubclass(each, BlockBase):
            has_state(each)


def _check_values(params, dataset, several):
    """Check `values` and `select`; return where the source finds values, and the names of all that there are."""
    params["values"] = check_values(params["values"], dataset)
    places = {name: where for name, where in params["values"].items() if name != MEAN}
    names = names_of(places, dataset)
    params["select"] = check_select(params["select"], names)
    for user_class, user_params in several:
        uses = check_uses(user_class, user_params, names) if issubclass(user_class, BlockBase) else ()
        uses = [name for name in uses if name != MEAN]  # which no event lacks
        if uses and user_class.leaves_out_missing:
            if len(several) > 1:
                log.warning(
                    "user_class: events without %s are left out for all classes, since %s cannot use them",
                    " or ".join(uses),
                    user_class.__name__,
                )
            params["select"] = dict.fromkeys(uses, (None, None)) | params["select"]
    return places, [*names, MEAN]


def _check_photons(params, dataset, several):
    """Check `photons`; warn of data that psana does not calibrate, for charge is measured from the pedestal on."""
    if params["photons"] is None:
        return
    params["photons"] = check_photons(params["photons"])
    is_raw = params["type"] is None or params["type"].rpartition(".")[2] == "raw"
    if (
        dataset.kind in ("exp", "file", "shmem")
        and is_raw
        and not any(defines(each, "finalDataArray") for each, _ in several)
    ):
        log.warning(
            "photons: type 'raw' is not calibrated, so pedestals count as charge: set type to 'calib', or psana_config"
        )


def _block(size, most, update):
    """Return the events of a block for a detector of so many bytes: if it is no small one, so many at most.

    A run that is stopped publishes all updates of the blocks that were read, and nobody wants to wait for thousands.
    """
    block = max(int(np.clip(_BLOCK_BYTES // size, 32, most)), min(_SMALL_BLOCK_BYTES // size, 4096))
    return min(block, max(_UPDATES * update, 32)) if update else block


def _check_calibration(params, dataset):
    """Check `psana_config`, and let it say src and type where nothing else does."""
    calibration = params["psana_config"]
    if calibration is None:
        return
    check_psana_config(calibration, params["src"], params["type"])
    if dataset.kind in ("h5", "sim"):
        log.warning("psana_config has no effect on %s", dataset.text)
        return
    params |= {"src": calibration["src"], "type": calibration["type"]}


def _check_times_src(place, dataset):
    """Refuse a place of times where it means nothing."""
    if place is None:
        return
    if dataset.kind != "h5":
        raise ConfigError(
            f"times_src={shown(place)}: only HDF5 files have times in a dataset that can be named, and dataset is "
            f"{dataset.text!r}: leave the key out"
        )
    if not place.strip("/ "):
        raise ConfigError(f"times_src must be the path of the times in the file, not {shown(place)}")


def format_params(config):
    """Return both dictionaries as text, one key a line."""
    lines = []
    for title, params in (("system_params", config.system_params), ("user_params", config.user_params)):
        lines.append(f"{title}:")
        width = max((len(str(key)) for key in params), default=0)
        for key, value in params.items():
            shown = repr(value)
            if key == "user_class":
                listed = value if isinstance(value, list) else [value]
                shown = ", ".join(f"{each.__module__}.{each.__name__}" for each in listed)
            if key == "psana_config" and value:
                within = max(len(name) for name in value)
                shown = "".join(f"\n    {name:{within}}  {option!r}" for name, option in value.items())
            lines.append(f"  {key!s:{width}}  {shown}")
    return "\n".join(lines)


def check_config(system_params: dict[str, Any], user_params: dict[str, Any]) -> None:
    """Check and pretty-print a config file; for the last lines of one::

        if __name__ == "__main__":
            parcorana.check_config(system_params, user_params)

    Exits with 2 and one line if something is wrong.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        config = resolve_config(system_params, user_params)
    except ConfigError as error:
        say(f"config: {error}")
        sys.exit(error.exit_status)
    print(format_params(config))
