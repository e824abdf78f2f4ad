"""``--resume``: which checkpoint a run goes on from, found and looked at by all ranks together."""

import logging
import re
from glob import escape, glob
from pathlib import Path

from parcorana.errors import ConfigError
from parcorana.results.checkpoint import check_fits, manifests, read_manifest, unfinished
from parcorana.results.folder import SUFFIX
from parcorana.results.lock import writer_of
from parcorana.results.name import is_complete
from parcorana.results.partfile import Damaged

log = logging.getLogger("parcorana")


def find_checkpoint(config, division, ranks, mode):
    """Return the newest checkpoint that is whole, the same on all ranks.

    Parameters
    ----------
    config : Config
    division : parcorana.job.division.Division
    ranks : object
        With `rank`, `gather` and `together`, as the driver has it.
    mode : str

    Raises
    ------
    ConfigError
        There is none, or it is of another run.
    """
    found = ranks.together(lambda: _candidates(config, mode) if ranks.rank == 0 else None)
    candidates, problems = next(entry for entry in ranks.gather(found) if entry is not None), []
    for checkpoint in candidates:
        if isinstance(checkpoint, str):
            problems.append(checkpoint)
            continue
        warning = ranks.together(_check, checkpoint, config, division)
        damages = [damage for damage in ranks.gather(checkpoint.damage(ranks.rank, ranks.size)) if damage]
        if not damages:
            if warning and ranks.rank == 0:
                log.warning("%s", warning)
            if problems and ranks.rank == 0:
                log.warning("--resume: %s; going on from the checkpoint before", "; ".join(problems))
            return checkpoint
        problems.append(damages[0])
    raise ConfigError(f"--resume: no checkpoint is whole: {'; '.join(problems)}")


def _check(checkpoint, config, division):
    warning = check_fits(checkpoint, config)
    name = config.user_class.__name__
    if checkpoint.kept == "attributes" and checkpoint.workers != len(division.roles.workers):
        raise ConfigError(
            f"--resume: the checkpoint is of {checkpoint.workers} worker{'s' * (checkpoint.workers > 1)}, and "
            f"user_class {name} has no getState and setState, so it goes on only on as many, not on "
            f"{len(division.roles.workers)}"
        )
    return warning


def _candidates(config, mode):
    """Return the checkpoints of a run, the newest first; for those without a good manifest, what is wrong with it."""
    if mode != "main":
        raise ConfigError("--resume: a part of the testing mode is not gone on with; begin it anew")
    dataset = config.dataset
    if dataset.is_live:
        kind = "shared memory" if dataset.kind == "shmem" else "a live run"
        raise ConfigError(f"--resume: dataset {dataset.text!r}: {kind} does not come again and cannot be gone on with")
    if config.h5output is None:
        raise ConfigError("--resume: h5output is None: there is no folder with a checkpoint")
    folder = _folder(config.h5output)
    name = Path(str(folder).removesuffix(SUFFIX))
    if not folder.is_dir():
        what = "the run that wrote it has ended" if name.exists() else "there is no such run"
        raise ConfigError(f"--resume: {str(name)!r}: no folder {str(folder)!r}: {what}")
    if writer := writer_of(folder):
        raise ConfigError(f"--resume: the run in {str(folder)!r} still goes on ({writer})")
    if name.exists() and is_complete(name) and not config.overwrite:
        raise ConfigError(
            f"--resume: {str(name)!r} is there and complete; move it away, or say --overwrite for it to be replaced"
        )
    found = []
    for path in manifests(folder):
        try:
            found.append(read_manifest(path))
        except Damaged as damaged:
            found.append(str(damaged))
    if not found:
        raise ConfigError(
            f"--resume: {str(folder)!r} holds no checkpoint: the run had none (key checkpoint), or was interrupted "
            f"before the first; join what it published with 'parCorAnaDriver --join {folder}', or remove the folder"
        )
    return [*unfinished(folder), *found]


def _folder(template):
    """Return the folder of the run; with `%T` or `%C` in its name the one that is there."""
    if "%T" not in template and "%C" not in template:
        return Path(template + SUFFIX)
    pattern = escape(template).replace("%T", "[0-9]" * 14).replace("%C", "[0-9]" * 3)
    folders = [folder for folder in sorted(glob(pattern + SUFFIX)) if manifests(folder)]
    if len(folders) != 1:
        names = ", ".join(re.sub(re.escape(SUFFIX) + "$", "", folder) for folder in folders) or "none"
        raise ConfigError(
            f"--resume: h5output={template!r} must stand for one interrupted run ({names}): name it by -o"
        )
    return Path(folders[0])
