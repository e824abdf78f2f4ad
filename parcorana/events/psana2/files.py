"""What lies in a folder of xtc2 files, and what a file holds as far as it can be told without psana."""

import os
import re
import struct
from pathlib import Path

from parcorana.errors import ConfigError
from parcorana.files.paths import fault_of

CONFIGURE, END_RUN, L1_ACCEPT = 2, 5, 12
_HEADER = struct.Struct("<QI8xI")  # of a datagram: time, transition in bits 24-27, source and damage, extent
_PATH_LENGTH = 200  # psana cuts off the rest of a path


def experiment_of(dataset):
    """Return the name of the experiment, without the instrument that may stand before it."""
    return dataset.name.rsplit("/", 1)[-1]


def folder_of(dataset):
    """Return the folder of an experiment's xtc2 files, by psana's own rule."""
    if dataset.dir:
        return Path(dataset.dir)
    exp = experiment_of(dataset)
    return Path(os.environ.get("SIT_PSDM_DATA", "/reg/d/psdm"), exp[:3], exp, "xtc")


def small_data(folder, exp, number, ending=""):
    """Return the small data files of a run, in the order of their streams."""
    return sorted((folder / "smalldata").glob(f"{exp}-r{number:04d}-s*-c000.smd.xtc2{ending}"))


def stream_of(path):
    """Return the number of a file's stream, None where its name has none."""
    match = re.search(r"-s(\d+)-c\d+\.", str(path))
    return int(match[1]) if match else None


def of_streams(dataset, number, names, wait=False):
    """Return those of the files that ``stream=`` asks for.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    number : int
        Run number, for the error.
    names : list of str or path
    wait : bool
        Return none as long as a stream is missing, instead of the error.

    Returns
    -------
    list
        Some of `names`, in their order.

    Raises
    ------
    ConfigError
        A stream that the run has not; says which ones it has.
    """
    if not dataset.streams:
        return names
    found = [stream_of(name) for name in names]
    missing = [stream for stream in dataset.streams if stream not in found]
    if missing and wait:
        return []
    if missing:
        known = ", ".join(str(stream) for stream in sorted(filter(lambda s: s is not None, found))) or "none"
        raise ConfigError(
            f"dataset {dataset.text!r}: run {number} has no stream {missing[0]}; its streams are: {known}"
        )
    return [name for name, stream in zip(names, found, strict=True) if stream in dataset.streams]


def check_run(dataset, number):
    """Raise ConfigError for a run whose files are not there or cannot be xtc2.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'exp'.
    number : int
        Run number.
    """
    exp, folder = experiment_of(dataset), folder_of(dataset)
    if not folder.is_dir():
        raise ConfigError(f"dataset {dataset.text!r}: there is no folder {folder}; 'dir=' names that of the xtc2 files")
    small = small_data(folder, exp, number)
    if not small:
        found = {re.search(r"-r(\d+)-", path.name)[1] for path in (folder / "smalldata").glob(f"{exp}-r*-s*.smd.xtc2")}
        known = ", ".join(str(int(run)) for run in sorted(found)) or "none"
        running = small_data(folder, exp, number, ".inprogress")
        hint = "; it is still being written: add ':live'" if running else ""
        raise ConfigError(
            f"dataset {dataset.text!r}: run {number} has no files {exp}-r{number:04d}-s*-c000.smd.xtc2 in "
            f"{folder / 'smalldata'}; runs of {exp} there: {known}{hint}"
        )
    for path in of_streams(dataset, number, small):
        check_file(dataset, path)
        check_file(dataset, folder / path.name.replace(".smd.xtc2", ".xtc2"))


def check_file(dataset, path):
    """Raise ConfigError for what cannot be an xtc2 file: psana's own answer to one may be to kill the process."""
    path = Path(path)
    text = f"dataset {dataset.text!r}: {path}"
    if len(str(path)) > _PATH_LENGTH:
        raise ConfigError(f"{text}: psana takes no path longer than {_PATH_LENGTH} characters")
    fault = fault_of(path)
    if fault == "does not exist" and path.suffix == ".inprogress":
        check_file(dataset, path.with_suffix(""))  # it was written to its end just now
        return
    if fault:
        raise ConfigError(f"{text} cannot be read: it {fault}")
    try:
        with open(path, "rb") as file:
            found = datagram(file, 0)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.suffix == ".inprogress":
            check_file(dataset, path.with_suffix(""))
            return
        raise ConfigError(f"{text} cannot be read: {error.strerror}") from error
    if found is None or found[0] != CONFIGURE:
        raise ConfigError(f"{text} is not an xtc2 file, or is cut off: it does not begin with a configuration")


def datagram(file, offset):
    """Look at a datagram in a file.

    Parameters
    ----------
    file : binary file
    offset : int [bytes]
        Where it begins.

    Returns
    -------
    (int, int) or None
        Transition, and length [bytes]; None if it is not all there.
    """
    size = os.fstat(file.fileno()).st_size
    if offset + _HEADER.size > size:
        return None
    file.seek(offset)
    _, environment, extent = _HEADER.unpack(file.read(_HEADER.size))
    length = 12 + extent
    if length < _HEADER.size or offset + length > size:
        return None
    return environment >> 24 & 0xF, length


def header(datagram):
    """Return transition and time of a datagram in memory (bytes): two ints, the times as psana has them, in order."""
    time, environment, _ = _HEADER.unpack_from(datagram)
    return environment >> 24 & 0xF, time


def count_events(paths):
    """Return the number of events that the small data of a run tells of, over all its streams.

    Parameters
    ----------
    paths : list of path
        The small data of each stream, with or without ``.inprogress``, which
        may be gone meanwhile.
    """
    times = set()
    for path in map(str, paths):
        if not os.path.exists(path):
            path = path.removesuffix(".inprogress")
        with open(path, "rb") as file:
            offset = 0
            while found := datagram(file, offset):
                if found[0] in (L1_ACCEPT - 1, L1_ACCEPT):  # the first ends a batch of an integrating detector
                    file.seek(offset)
                    times.add(file.read(8))
                offset += found[1]
    return len(times)


def size_limit(path):
    """Return the size [bytes] of a stream's data file; of the largest where it is in several."""
    return max((chunk.stat().st_size for chunk in chunks_of(path)), default=Path(path).stat().st_size)


def chunks_of(path):
    """Return the files that a stream's data is divided over, in order."""
    path = Path(path)
    return sorted(path.parent.glob(re.sub(r"-c\d+\.xtc2$", "-c*.xtc2", path.name)))
