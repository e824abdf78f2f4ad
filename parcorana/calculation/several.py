"""Several calculations of one job: each has its own arrays and group, and sees what it would see alone."""

import numpy as np

from parcorana.calculation.adapter import UNFILLED
from parcorana.calculation.arrays import Common, PerElement
from parcorana.calculation.base import BlockBase, check_arrays
from parcorana.calculation.block import Update
from parcorana.calculation.checks import InPlace
from parcorana.calculation.guard import callback, drive
from parcorana.calculation.says import reduced_bytes

_SEP = "/"  # between the name of a class and that of its array


def prefixed(name, arrays):
    """Return arrays of a class under names that tell them from those of others."""
    return {f"{name}{_SEP}{key}": array for key, array in arrays.items()}


def of_class(name, arrays):
    """Return those of the arrays that belong to a class, by their own names."""
    return {key.removeprefix(name + _SEP): array for key, array in arrays.items() if key.startswith(name + _SEP)}


def with_one_buffer(parts):
    """Return the names of calculations in groups, of which each has one rolling buffer.

    Those that are `in_order` only see events that leave it, and so can have one
    together, unless they change what is stored, or take other events at once
    (`most`, `cuts`).

    Parameters
    ----------
    parts : dict of str to BlockBase
    """
    alone, together = [], {}
    for name, part in parts.items():
        if part.in_order and not part.changes_rows:
            together.setdefault((int(part.most), int(part.cuts)), []).append(name)
        else:
            alone.append([name])
    return alone + list(together.values())


class Several(BlockBase):
    """Calculations side by side, as workers and viewer know one.

    Parameters
    ----------
    parts : dict of str to BlockBase
        By the names of their classes.
    configs : dict of str to Config
        What the job would be with that class alone.
    params : MpiParams
    make_entering : callable
        Takes calculations with one buffer, returns their `parcorana.pipeline.entering.Entering`.
    """

    passes_on = True

    def __init__(self, parts, configs, params, make_entering):
        first = next(iter(configs.values()))
        super().__init__(first.user_params, first.system_params, params)
        # in the order in which their arrays come
        self.parts = {name: parts[name] for name in sorted(parts, key=lambda name: name + _SEP)}
        self._configs, self._make_entering = configs, make_entering
        each = self.parts.values()
        self.takes_pieces = any(part.takes_pieces for part in each)
        self.last_has_more = any(part.last_has_more for part in each)
        self.mends_nonfinite = all(part.mends_nonfinite for part in each)
        self.shares = min((part.shares for part in each if part.shares), default=0)

    def _methods(self, name):
        """Generate name and method of the classes that have it."""
        for who, part in self.parts.items():
            if (method := callback(part, name)) is not None:
                yield who, method

    def _only(self, name):
        """Return the method of the one class that has it."""
        return next((method for _, method in self._methods(name)), None)

    eventOk = property(lambda self: self._only("eventOk"))
    finalDataArray = property(lambda self: self._only("finalDataArray"))

    def initServer(self):
        """Prepare all."""
        for _, method in self._methods("initServer"):
            method()

    # -- worker -------------------------------------------------------------------

    def arrays(self, elements):
        """Declare the arrays of all."""
        self._elements, self._made, self._in_place, self.enterings = elements, {}, {}, {}
        for name, part in self.parts.items():
            made = check_arrays(f"{name}.arrays", callback(part, "arrays")(elements), elements)
            self._made[name], self._in_place[name] = made, InPlace(part, made)
        self._groups = with_one_buffer(self.parts)
        for names in self._groups:
            entering = self._make_entering(*(self.parts[name] for name in names))
            self.enterings |= dict.fromkeys(names, entering)
        return {key: array for name, made in self._made.items() for key, array in prefixed(name, made).items()}

    def enter(self, block):
        """Let each class take up the events, in the stretches in which it would take them alone."""
        for name, *_ in self._groups:
            entering, at, first, left = self.enterings[name], 0, block.first, len(block)
            offered = block.offered
            if self.parts[name].changes_rows:
                offered = offered.copy()  # what it changes is not for the others
            while left:
                values = {key: column[at:] for key, column in block.all_values.items()}
                entry = entering.take(block.all_counters[at:], values, offered[at:], first, left)
                entered = len(entry.processed)
                at, first, left = at + entry.consumed, first + entered, left - entered

    def end_run(self, buffer):
        """Empty the buffers."""
        for name, *_ in self._groups:
            self.enterings[name].end_run()

    def collect(self, last, buffer):
        """Return what the viewer gets of all; generate what workers add up among themselves."""
        found = {}
        for name, part in self.parts.items():
            self._in_place[name].check()
            collect = callback(part, "collect")
            got = self._made[name]
            if collect is not None:
                made = yield from drive(part, "collect", collect(last, self.enterings[name].buffer))
                got = check_arrays(f"{name}.collect", made, self._elements, collected=True)
            found |= prefixed(name, got)
        return found

    def share(self):
        """Return what those that share have."""
        return {
            key: array
            for name, method in self._methods("share")
            if self.parts[name].shares
            for key, array in prefixed(name, check_arrays(f"{name}.share", method())).items()
        }

    def named(self, name):
        """Name the method of the class that makes an array."""
        who, _, key = name.partition(_SEP)
        return self.parts[who].named(key)

    def collected_bytes(self, elements):
        """Return the bytes of what updates have beside the arrays."""
        said = sum(int(method(elements)) for _, method in self._methods("collected_bytes"))
        return said + sum(reduced_bytes(config) for config in self._configs.values())

    # -- checkpoints ----------------------------------------------------------------

    def state(self, arrays):
        """Return what a checkpoint keeps of all, their buffers included."""
        kept = {}
        for name, part in self.parts.items():
            self._in_place[name].check()
            say = callback(part, "state")
            state = self._made[name] if say is None else say(self._made[name])
            if not getattr(type(part), "passes_on", False):
                check_arrays(f"{name}.state", state, self._elements, "biufc")
            kept |= prefixed(name, {f"state {key}": array for key, array in state.items()})
        for name, *_ in self._groups:
            kept |= prefixed(name, self._rows_of(name))
        return kept

    def _rows_of(self, name):
        """Declare the buffer of a group, which has the name of its first class."""
        buffer = self.enterings[name].buffer
        rows = {"T": Common(buffer.T), "numbers": Common(buffer.numbers), "V": Common(buffer.V)}
        return rows | ({"X": PerElement(buffer.X)} if self.parts[name].buffer else {})

    def restore(self, state):
        """Take up what `state` returned."""
        for name, *_ in self._groups:
            mine, buffer = of_class(name, state), self.enterings[name].buffer
            for key, array in self._rows_of(name).items():
                array.value[...] = mine[key]
            buffer.restore(int(np.count_nonzero(buffer.T != UNFILLED)))
        for name, part in self.parts.items():
            mine = of_class(name, state)
            held = {key.removeprefix("state "): mine[key] for key in mine if key.startswith("state ")}
            if (restore := callback(part, "restore")) is not None:
                restore(held)
                continue
            say = callback(part, "state")
            own = self._made[name] if say is None else say(self._made[name])
            for key, array in own.items():
                array.value[...] = held[key]

    def viewer_state(self):
        """Return what the viewer has of all."""
        return {
            key: array
            for name, method in self._methods("viewer_state")
            for key, array in prefixed(name, method() or {}).items()
        }

    def restore_viewer(self, state):
        """Take up what `viewer_state` returned."""
        for name, method in self._methods("restore_viewer"):
            if mine := of_class(name, state):
                method(mine)

    # -- viewer ---------------------------------------------------------------------

    def initViewer(self, mask_ndarrayCoords, h5GroupUser):
        """Prepare all, each with its group."""
        for name in self.parts:
            group = h5GroupUser and h5GroupUser.require_group(name)
            if (method := callback(self.parts[name], "initViewer")) is not None:
                method(mask_ndarrayCoords, group)

    def take_shared(self, update):
        """Hand on what is shared."""
        for name, method in self._methods("take_shared"):
            if mine := of_class(name, update):
                method(Update(mine, update.processed, update.relsec))

    def publish(self, update, group):
        """Let each class publish into its own group; the viewer calls those of the parts."""
        raise NotImplementedError

    def publish_piece(self, name, index, ndarray, group):
        """Let each class publish a piece; the viewer calls those of the parts."""
        raise NotImplementedError
