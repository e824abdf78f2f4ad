"""Whether several HDF5 files are one run, as they are taken to be."""

import numpy as np

from parcorana.errors import ConfigError

#: What to do about files that are no one run.
APART = "say ':runs' after the files if each is a run of its own"


def check_alike(stacks):
    """Refuse a file whose frames or times are not like those of the first."""
    first, last = stacks[0], stacks[-1]
    for what, of in (
        ("frames of shape", lambda stack: stack.frames.shape[1:]),
        ("frames of dtype", lambda stack: stack.frames.dtype),
        ("times from", lambda stack: stack.times.path or "none"),
    ):
        if of(first) != of(last):
            raise ConfigError(f"h5={last.name}: {what} {of(last)}, but {first.name} has {what} {of(first)}")


def check_order(dataset, stacks, times, states, say):
    """Look whether the times of several files go on from one to the next.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    stacks : list of parcorana.events.hdf5.stack.Stack
    times : list of (n,) int64, or of None
    states : list of (n,) uint8
        0 for those that are times.
    say : callable
        Takes one line of text for the user.

    Returns
    -------
    bool
        Whether each file is a run of its own, for its counter begins where that of the first one does.

    Raises
    ------
    ConfigError
        Their times overlap in another way, which is no run.
    """
    if times[0] is None:
        if any(stack.frames.shape[0] > 1 for stack in stacks):
            say(
                f"h5={dataset.name}: {len(stacks)} files without times are taken as one run, each file's first frame "
                f"following the last one of the file before; {APART}"
            )
        return False
    good = [np.unique(of_file[state == 0]) for of_file, state in zip(times, states, strict=True)]
    if stacks[0].times.stamps == "pulses" and all(len(some) and some[0] == good[0][0] for some in good):
        say(
            f"h5={dataset.name}: the counter of each of the {len(stacks)} files begins at {good[0][0]}, so each is "
            "taken as a run of its own, as ':runs' says: no pair spans two of them. If they are parts of the detector "
            "that were written side by side, make one virtual dataset of them"
        )
        return True
    before, warned = None, False
    for stack, some in zip(stacks, good, strict=True):
        if before is not None and len(some) and np.median(some) <= before[-1]:
            begin = f"h5={stack.name}: its times begin at {some[0]}, those of the files before end at {before[-1]}"
            overlap = some[-1] >= before[0]
            if (stack.times.stamps == "ns" and overlap) or len(np.intersect1d(some, before)) > 1:
                raise ConfigError(
                    f"{begin} ({stack.times.path.strip('/')}): that is not one run; {APART}; files that were written "
                    "side by side are one where a virtual dataset puts their frames in order"
                )
            if not warned:
                warned = True
                say(f"{begin}: the files are read one after the other, so many events may come late; {APART}")
        if len(some):
            before = some if before is None else np.union1d(before, some)
    return False
