"""The callbacks of `UserBase` on the one interface to a calculation: how an interface of one's own is put on blocks."""

import json

import numpy as np

from parcorana.calculation.arrays import Common, Own, PerElement, Summed
from parcorana.calculation.base import BlockBase
from parcorana.calculation.checks import adjust_in_place, check_names, check_reduced, check_result, left_alone
from parcorana.calculation.guard import callback
from parcorana.calculation.says import saved_arrays
from parcorana.calculation.userbase import ADD, REDUCED, SUBTRACT
from parcorana.calculation.userstate import Attributes, checked_state, has_state

UNFILLED = np.iinfo(np.int64).min
_ARRAY, _REDUCED, _COUNTS, _INT8, _ABOUT = "array ", "reduced ", "counts", "int8array", "attributes"


class CallbackAdapter(BlockBase):
    """A class of callbacks (`UserBase`), as workers and viewer know calculations.

    Parameters
    ----------
    user : object
        An instance of the class, on this rank.
    params : MpiParams
    system_params, user_params : dict
    """

    passes_on = True
    stores = True
    pairs = "counts"

    def __init__(self, user, user_params, system_params, params):
        super().__init__(user_params, system_params, params)
        self.user, self.who = user, type(user).__name__
        self.delays = len(system_params["delays"])
        self.names = check_names(user)
        self.buffer = getattr(type(user), "storage_order", "C")
        self.mends_nonfinite = getattr(type(user), "mends_nonfinite", False)
        self._adjust_data, self._one, self._many, self._clears = (
            self._callback(name) for name in ("adjustData", "adjustTerms", "adjustTermsBlock", "bufferClears")
        )
        # many rows at once, or one by one, for which the buffer must be as it is at that very event
        self.most = system_params["times"] if self._many else 1 if self._one else 0
        # a class that is told of events as they come and go may keep pairs, others see what is stored
        self.forgets = not (self._one or self._many)
        self._reduces = all(self._callback(name) for name in REDUCED)
        self.takes_pieces = bool(self._reduces and self._callback("viewerPublishArray"))
        takes_arrays = self._callback("viewerPublish") or self._callback("viewerPublishArray")
        self._save = self._reduces and takes_arrays and saved_arrays(user_params)
        self.last_has_more = self._reduces and self._save == "last"
        self._attributes = None
        if params.role == "worker" and system_params["checkpoint"] and not has_state(type(user)):
            Attributes(user)  # so early, it is an error of the config

    @property
    def changes_rows(self):
        """Whether the class has an `adjustData`."""
        return self._adjust_data is not None

    def _callback(self, name):
        return callback(self.user, name)

    initServer = property(lambda self: self._callback("initServer"))
    eventOk = property(lambda self: self._callback("eventOk"))
    finalDataArray = property(lambda self: self._callback("finalDataArray"))
    initViewer = property(lambda self: self._callback("initViewer"))
    calcAndPublishForTestAlt = property(lambda self: self._callback("calcAndPublishForTestAlt"))

    # -- worker -------------------------------------------------------------------

    def arrays(self, elements):
        """Let the class prepare; its arrays are its own, and are asked for when they are needed."""
        self.elements = elements
        if (init := self._callback("initWorker")) is not None:
            init(elements)
        return {}

    def adjust(self, block):
        """Call `adjustData` for each event that enters."""
        if self._adjust_data is not None:
            for k, number in enumerate(block.entering):
                block.at(k)
                adjust_in_place(self._adjust_data, block.offered[number], self.who)

    def enter(self, block):
        """Let events enter, and tell the class of the rows that leave and of those that are filled."""
        buffer, entry = block.buffer, block.entry
        if len(entry.leaving):
            self._terms(SUBTRACT, entry.leaving, buffer)
        block.store()
        self._terms(ADD, entry.row[entry.row >= 0], buffer)

    def _terms(self, mode, rows, buffer):
        if self._many is not None and len(rows):
            self._many(mode, rows, buffer.T, buffer.X)
        elif self._one is not None and self._many is None:
            for row in rows:
                self._one(mode, int(row), buffer.T, buffer.X)

    def end_run(self, buffer):
        """Let every stored event leave, or call `bufferClears` for them all."""
        if self._clears is not None:
            self._clears(buffer.T, buffer.filled, buffer.X)
            return
        rows = np.argsort(buffer.T[: buffer.filled])
        if self._many is not None:
            self._terms(SUBTRACT, rows, buffer)
        elif self._one is not None:
            for row in rows:
                self._terms(SUBTRACT, [row], buffer)
                buffer.T[row], buffer.X[row] = UNFILLED, 0

    def collect(self, last, buffer):
        """Return what `workerCalc` and `workerReduce` return; the full arrays only where they are asked for."""
        with left_alone(self.who, buffer, last):
            result = self._callback("workerCalc")(buffer.T, buffer.filled, buffer.X)
        arrays, counts, int8array = check_result(self.who, result, self.names, self.delays, self.elements)
        found = {_COUNTS: Common(counts)}
        if self._reduces:
            reduced = check_reduced(self.who, self._callback("workerReduce")(arrays, counts, int8array))
            found |= {_REDUCED + name: Summed(array) for name, array in reduced.items()}
        if not self._reduces or self._save is True or (last and self._save == "last"):
            found |= {_ARRAY + name: PerElement(arrays[name]) for name in self.names} | {_INT8: PerElement(int8array)}
        return found

    def named(self, name):
        """Name the callback that makes an array, and the array."""
        if name.startswith(_REDUCED):
            return f"{self.who}.workerReduce", f"array {name.removeprefix(_REDUCED)!r}"
        what = name if name in (_COUNTS, _INT8) else f"array {name.removeprefix(_ARRAY)!r}"
        return f"{self.who}.workerCalc", what

    # -- checkpoints ----------------------------------------------------------------

    def state(self, arrays):
        """Return what `getState` says, or the attributes of a class without it."""
        if has_state(type(self.user)):
            return checked_state(self.who, self._callback("getState")(), self.elements)
        about, arrays = self._kept().kept()
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        return {_ABOUT: Own(text)} | {f"{k}": Own(array) for k, array in enumerate(arrays)}

    def _kept(self):
        if self._attributes is None:
            self._attributes = Attributes(self.user)
        return self._attributes

    def restore(self, state):
        """Take up what `state` returned."""
        if has_state(type(self.user)):
            self._callback("setState")(state)
            return
        about = json.loads(state.pop(_ABOUT).tobytes())
        self._kept().restore(about, [state[f"{k}"] for k in range(len(state))])

    # -- viewer ---------------------------------------------------------------------

    def publish(self, update, group):
        """Call `viewerPublishReduced`, and `viewerPublish` where full arrays have come."""
        counts = update[_COUNTS]
        if self._reduces:
            reduced = {name.removeprefix(_REDUCED): a for name, a in update.items() if name.startswith(_REDUCED)}
            self._callback("viewerPublishReduced")(counts, update.relsec, reduced, group)
        if not self.takes_pieces and _INT8 in update:
            arrays = {name: self._by_delay(update[_ARRAY + name]) for name in self.names}
            self._callback("viewerPublish")(counts, update.relsec, arrays, update[_INT8], group)

    def _by_delay(self, array):
        return dict(zip(self.system_params["delays"], array, strict=True))

    def publish_piece(self, name, index, ndarray, group):
        """Call `viewerPublishArray`."""
        if name != _INT8:
            delay = self.system_params["delays"][index[0]]
            self._callback("viewerPublishArray")(name.removeprefix(_ARRAY), delay, ndarray, group)
