"""What a worker writes into checkpoints, and takes up when its run goes on."""

import logging
import time
import zlib
from pathlib import Path

import numpy as np

from parcorana.calculation.arrays import KINDS, NAMES, Common, Own, PerElement
from parcorana.calculation.base import check_arrays
from parcorana.calculation.guard import callback
from parcorana.calculation.sums import add, narrowed, widened
from parcorana.calculation.userstate import own_callbacks, says_state
from parcorana.errors import RunError, one_line
from parcorana.files import limits
from parcorana.job.partition import elements_of
from parcorana.pipeline.transport import OUTSIDE
from parcorana.results.checkpoint import part_path
from parcorana.results.folder import SUFFIX
from parcorana.results.partfile import Damaged, PartFile, write

log = logging.getLogger("parcorana")
_PATIENCE = 60.0  # s within which the folder that the viewer makes shows up on another host
_STATE = "state "
_VALUE = "value "
_MONITOR = "monitor "


class Keeper:
    """Rolling buffer and arrays of one worker, as files of checkpoints.

    Parameters
    ----------
    job : Job
    calculation : BlockBase
    buffer : RollingBuffer
    monitors : parcorana.curves.monitor.Monitors

    Attributes
    ----------
    block : int
        Where in the sequence the last checkpoint lies.
    processed : int
        Events processed until then.
    """

    def __init__(self, job, calculation, buffer, monitors):
        self._job, self._calculation, self._buffer, self._monitors = job, calculation, buffer, monitors
        self._elements = job.part_of(job.rank).stop - job.part_of(job.rank).start
        self.block, self.processed = 0, 0
        self._arrays = {}

    def begin(self, arrays):
        """Look, once the arrays are made, whether the state can be kept; take up that of the run gone on with.

        Parameters
        ----------
        arrays : dict of str to PerElement, Summed or Common
            Of the calculation, to be filled in place.
        """
        self._arrays = arrays
        state = self._state()
        if callback(self._calculation, "restore") is None:
            self._check_filled(state)
        user_class, by_attributes = self._job.config.user_class, any(isinstance(array, Own) for array in state.values())
        own = [] if by_attributes else own_callbacks(user_class)
        if own and self._job.rank == self._job.roles.workers[0]:
            log.warning(
                "checkpoint: user_class %s has %s of its own, but %s of a class that it is made from: "
                "what it keeps besides is not in a checkpoint",
                user_class.__name__,
                own[0],
                says_state(user_class)[0],
            )
        if (resume := self._job.resume) is not None:
            self.block, self.processed = resume.block, resume.processed
            try:
                self._restore(resume)
            except Damaged as damaged:
                raise RunError(f"--resume: {damaged}") from None
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                # what a class raises comes as a UserCodeError: this is about what the files say they hold
                raise RunError(
                    f"--resume: the files of the checkpoint do not fit together: {one_line(error)}"
                ) from error

    def _state(self):
        """Return what the calculation keeps: its arrays, or what it says."""
        calculation = self._calculation
        if (say := callback(calculation, "state")) is None:
            return self._arrays
        state = say(self._arrays)
        if getattr(type(calculation), "passes_on", False):  # checked there
            return state
        return check_arrays(f"{type(calculation).__name__}.state", state, self._elements, "biufc")

    def _check_filled(self, state):
        """Refuse what nothing would fill where a run goes on."""
        for name, array in state.items():
            held = any(np.may_share_memory(array.value, each.value) for each in self._arrays.values())
            if array.value.size and not held:
                raise RunError(
                    f"{type(self._calculation).__name__}.state: {name!r} is none of the arrays that arrays returned, "
                    "so nothing fills it where a run goes on: return it there, too, or define restore"
                )

    def write(self, block, facts):
        """Write this worker's file of a checkpoint; generate a step for each piece.

        Parameters
        ----------
        block : int
            How many blocks of the sequence are used up.
        facts : dict
            What all workers know alike.

        Returns
        -------
        dict
            What the viewer needs to know.
        """
        folder = Path(self._job.h5output + SUFFIX)
        yield from self._wait_for(folder)
        buffer, roles = self._buffer, self._job.roles
        state = {_STATE + name: array for name, array in self._state().items()}
        values = {_VALUE + name: Common(column) for name, column in buffer.values.items()}
        values |= {_MONITOR + name: Common(array) for name, array in self._monitors.state().items()}
        kept = {"T": Common(buffer.T), "numbers": Common(buffer.numbers), "X": PerElement(buffer.X)} | values | state
        arrays = {name: (NAMES[type(array)], array.value) for name, array in kept.items()}
        path = part_path(folder, block, roles.workers.index(self._job.rank))
        steps = write(path, arrays, None)
        try:
            while True:
                with self._job.clock.on("publishing"):
                    next(steps)
                yield OUTSIDE
        except StopIteration as end:
            size, crc = end.value
        except OSError as error:
            raise RunError(
                f"checkpoint: cannot write {str(path)!r}: {error.strerror}; what was published and the checkpoint "
                "before stay valid"
            ) from None
        self.block, self.processed = block, facts["account"]["processed"]
        common = {
            name: [zlib.crc32(np.ascontiguousarray(array.value)), array.value.dtype.str, array.value.shape]
            for name, array in kept.items()
            if isinstance(array, Common)
        }
        own = any(isinstance(array, Own) for array in kept.values())
        run = facts | {"filled": buffer.filled}
        return {
            "block": block,
            "kept": "attributes" if own else "state",
            "part": [size, crc],
            "common": common,
            "run": run,
        }

    def _wait_for(self, folder):
        limit = time.monotonic() + _PATIENCE
        while not folder.is_dir():
            if time.monotonic() > limit:
                raise RunError(
                    f"checkpoint: there is no folder {str(folder)!r} here: all hosts of the run must see the folder of "
                    "the result file"
                )
            yield OUTSIDE

    # -- a run that goes on -----------------------------------------------------

    def _restore(self, resume):
        buffer = self._buffer
        mine = self._job.part_of(self._job.rank)
        ranges = [elements_of(k, resume.workers, resume.elements) for k in range(resume.workers)]
        # of each file that holds some of this worker's elements: the file, which of its elements, which of ours
        files = [
            (
                PartFile(resume.path_of(k)),
                max(theirs.start, mine.start) - theirs.start,
                min(theirs.stop, mine.stop) - theirs.start,
                slice(max(theirs.start - mine.start, 0), min(theirs.stop, mine.stop) - mine.start),
            )
            for k, theirs in enumerate(ranges)
            if theirs.start < mine.stop and mine.start < theirs.stop
        ]
        files[0][0].read("T", into=buffer.T)
        files[0][0].read("numbers", into=buffer.numbers)
        for name, column in buffer.values.items():
            files[0][0].read(_VALUE + name, into=column)
        for name, array in self._monitors.state().items():
            files[0][0].read(_MONITOR + name, into=array)
        for file, first, last, ours in files if buffer.X.size else ():
            file.read("X", first, last, into=buffer.X[:, ours])
        if resume.facts["filled"] > len(buffer.T):
            raise Damaged("the manifest of the checkpoint speaks of more times than there are")
        buffer.restore(resume.facts["filled"])
        held = {name.removeprefix(_STATE): row for name, row in files[0][0].arrays.items() if name.startswith(_STATE)}
        for row in held.values():
            if row["kind"] == NAMES[PerElement] and not row["shape"]:
                raise Damaged(f"{row['name'].removeprefix(_STATE)!r} has no elements")
        wanted = {
            name: (*row["shape"][:-1], self._elements) if row["kind"] == NAMES[PerElement] else tuple(row["shape"])
            for name, row in held.items()
        }
        if (restore := callback(self._calculation, "restore")) is not None:
            need = sum(int(np.prod(wanted[name], dtype=float)) * row["dtype"].itemsize for name, row in held.items())
            if need > limits.available():
                raise Damaged(f"the state in the checkpoint takes {need / 2**30:.1f} GiB, more than this host has")
            state = {name: np.empty(wanted[name], row["dtype"], order=row["order"]) for name, row in held.items()}
            for name, array in state.items():
                self._fill(array, held[name], resume, files)
            restore(state)
            return
        # into the arrays that are there: no second ones are held
        mine = self._state()
        about = [
            {name: f"{KINDS[row['kind']].__name__} {row['dtype']} {wanted[name]}" for name, row in held.items()},
            {name: f"{type(a).__name__} {a.value.dtype} {a.value.shape}" for name, a in mine.items()},
        ]
        for name in sorted(held.keys() | mine.keys()):
            one, other = (each.get(name, "nothing") for each in about)
            if one != other:
                raise Damaged(f"the checkpoint holds {one} for {name!r}, and the class has {other}")
        for name, array in mine.items():
            self._fill(array.value, held[name], resume, files)

    def _fill(self, array, row, resume, files):
        """Fill an array of this worker from those of others."""
        name, kind = row["name"], KINDS[row["kind"]]
        if kind in (Common, Own):
            array[...] = files[0][0].read(name)
        elif kind is not PerElement:
            array[...] = self._partial(resume, name, files[0][0])
        else:
            for file, begin, end, ours in files:
                if name not in file.arrays:
                    raise Damaged(f"the workers' files differ: not all hold {name.removeprefix(_STATE)!r}")
                file.read(name, begin, end, into=array[..., ours])

    def _partial(self, resume, name, first):
        """Return this worker's part of a sum: its own, or all of it on the first worker."""
        workers = self._job.roles.workers
        array = first.read(name)
        if resume.workers == len(workers):
            return array
        if self._job.rank != workers[0]:
            return np.zeros_like(array)
        total = widened(array).copy()  # of worker 0
        try:
            for k in range(1, resume.workers):
                add(total, self._alike(PartFile(resume.path_of(k)), name, array))
            return narrowed(total, array.dtype)
        except OverflowError as error:
            user_class = self._job.config.user_class
            kind = "Partial" if says_state(user_class) == ["getState"] else "Summed"
            raise RunError(
                f"--resume: the sum of {kind} {name.removeprefix(_STATE)!r} over the {resume.workers} workers of the "
                f"checkpoint is {error}: go on with {resume.workers} workers; let {user_class.__name__} keep it as "
                "int64 or float64"
            ) from None

    @staticmethod
    def _alike(file, name, array):
        """Return one more part of a sum, of the same type and shape."""
        part = file.read(name) if name in file.arrays else None
        if part is None or (part.dtype, part.shape) != (array.dtype, array.shape):
            raise Damaged(f"the workers' files differ: not all hold {name.removeprefix(_STATE)!r} as {array.dtype}")
        return part
