"""G2 of X-ray photon correlation spectroscopy, in three forms (contract, section 1).

For each element p and delay d, over the pairs (t, t + d) that are both present::

    G2[d, p] = sum I(t, p) I(t + d, p)
    IP[d, p] = sum I(t, p)               (past)
    IF[d, p] = sum I(t + d, p)           (future)
    counts[d] = number of pairs

The three classes differ in which pairs count: those now stored (`G2atEnd`,
`G2IncrementalWindowed`), or all that were stored together at any time
(`G2IncrementalAccumulator`).
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from parcorana import _core, _move, curvefile, fits, masks
from parcorana.bias import bias_of, sentence
from parcorana.curves import NORMALIZATIONS, ColorSums
from parcorana.datasets import write_dataset
from parcorana.errors import ConfigError, RunError, nearest, shown
from parcorana.lines import plan_accumulated, plan_stored, plan_tails, plan_window
from parcorana.output import check_picture_name
from parcorana.plaing2 import PlainG2
from parcorana.timeline import Timeline
from parcorana.userbase import UserBase
from parcorana.userclass import BlockHooks, calls_inherited, is_own
from parcorana.userstate import Common, Partial

PARAMS = (
    "color",
    "finecolor",
    "saturated_value",
    "notzero",
    "normalization",
    "save_arrays",
    "plot_colors",
    "picture",
    "fit",
)

LONG_NAMES = {
    "G2": "sum of I(t) I(t+d) over the pairs of this delay",
    "IP": "sum of I(t) over the pairs of this delay (past)",
    "IF": "sum of I(t+d) over the pairs of this delay (future)",
}
UNITS = {"G2": "intensity^2", "IP": "intensity", "IF": "intensity"}


_LARGEST = sys.float_info.max
_SAMPLE = 4096  # elements that tell whether the data are whole numbers
_OWN = "parcorana."  # before the names of what is reduced and kept here: a class made from these adds its own


def _own(arrays):
    return {_OWN + name: array for name, array in arrays.items()}


def _without_own(arrays):
    return {name.removeprefix(_OWN): array for name, array in arrays.items() if name.startswith(_OWN)}


def _number(user_params, key):
    value = user_params.get(key)
    if value is None:
        return None
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ConfigError(f"user_params[{key!r}] must be a number or None, not {shown(value)}")
    return float(value)


def _file(user_params, key):
    value = user_params.get(key)
    if value is None or value is False:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(f"user_params[{key!r}] must be the name of a .npy file or None, not {shown(value)}")
    return value


def _normalization(user_params):
    value = user_params.get("normalization")
    if value is None or value is False or (isinstance(value, str) and not value):
        value = "finecolor" if _file(user_params, "finecolor") else "color"
    if not isinstance(value, str) or value not in NORMALIZATIONS:
        raise ConfigError(
            f"user_params['normalization'] must be one of {', '.join(NORMALIZATIONS)}, not {shown(value)}"
            + nearest(shown(value), NORMALIZATIONS)
        )
    if value == "finecolor" and not _file(user_params, "finecolor"):
        raise ConfigError("user_params['normalization'] is 'finecolor', but user_params['finecolor'] names no file")
    return value


def _check_picture(user_params):
    picture, chosen = user_params.get("picture"), user_params.get("plot_colors")
    if picture is not None and not isinstance(picture, bool | str | Path):
        raise ConfigError(f"user_params['picture'] must be True, or the name of a file, not {shown(picture)}")
    if isinstance(picture, str | Path):
        check_picture_name(picture, "user_params['picture']")
    listed = isinstance(chosen, list | tuple | range) or (isinstance(chosen, np.ndarray) and chosen.ndim)
    if chosen is not None and not (listed and all(isinstance(c, int | np.integer) for c in chosen)):
        raise ConfigError(f"user_params['plot_colors'] must be a list of colours, not {shown(chosen)}")


def _colors(user_params, mask):
    """Return colour and fine colour of the included elements, and all colours; no file: one colour for all."""
    color = np.ones(mask.shape, np.int64)
    finecolor = None
    if path := _file(user_params, "color"):
        color = masks.load_color(path, mask)
    if path := _file(user_params, "finecolor"):
        finecolor = masks.load_color(path, mask, key="finecolor")
        masks.check_finecolor(path, color, finecolor)
        finecolor = finecolor[mask]
    return color[mask], finecolor, np.unique(color[color > 0])


class _G2(PlainG2, BlockHooks, UserBase):
    """What the three forms of G2 have in common: parameters, saturation, delay curves."""

    storage_order = "F"
    takes_params = PARAMS

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        self.delays = np.asarray(system_params["delays"], np.int64)
        self.saturated_value = _number(user_params, "saturated_value")
        self.notzero = _number(user_params, "notzero")
        self.fit = user_params.get("fit") or None
        self.picture = user_params.get("picture") or None
        if self.picture and system_params.get("h5output", True) is None:
            raise ConfigError("user_params['picture'] needs a result file to stand beside: set h5output")
        self._warn_of_own_adjust()
        color, finecolor, colors = _colors(user_params, mpiParams.mask)
        self.color, self.finecolor = color, finecolor
        self.color_sums = ColorSums(color, finecolor, _normalization(user_params), colors)
        self.color_sizes = np.bincount(np.searchsorted(colors, color[color > 0]), minlength=len(colors))
        self._own_color = color[mpiParams.part]
        self._warned = False

    @classmethod
    def checkParams(cls, user_params, mask, log):
        """Check the parameters and files of `user_params` (contract, sections 3 and 5)."""
        for key in ("saturated_value", "notzero"):
            _number(user_params, key)
        _normalization(user_params)
        color = _colors(user_params, mask)[0]
        if warning := masks.few_colored(color):
            log(warning)
        fits.check_kind(user_params.get("fit"))
        _check_picture(user_params)

    @classmethod
    def reducedBytes(cls, system_params, user_params, mask):
        """Return the bytes of the sums per colour, of the timeline, and of the bits of saturated elements."""
        color, finecolor, colors = _colors(user_params, mask)
        sums = ColorSums(color, finecolor, _normalization(user_params), colors)
        size = sums.nbytes(len(system_params["delays"])) + Timeline(color[:0], colors).nbytes
        size += 16  # `not_whole` and `events`
        if _number(user_params, "saturated_value") is not None:
            size += -(-len(color) // 8) * 8  # eight elements to a number, summed as 64 bit
        return size

    def arrayNames(self):
        """Return the names of the arrays."""
        return ["G2", "IF", "IP"]

    def initWorker(self, numElementsWorker):
        """Allocate the sums: element by element, as the kernel fills them."""
        shape = (numElementsWorker, len(self.delays))
        self.G2, self.IP, self.IF = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.counts = np.zeros(len(self.delays), np.int64)
        self.saturated = np.zeros(numElementsWorker, np.int8)
        self.timeline = Timeline(self._own_color, self.color_sums.colors)
        self.events = 0  # whose pairs are counted

    def getState(self):
        """Return the saturated elements and the timeline; a form of G2 adds its sums."""
        common, sums = self.timeline.state()
        state = {f"timeline.{name}": Common(value) for name, value in common.items()}
        return _own(state | {"timeline.sums": Partial(sums), "saturated": self.saturated})

    def setState(self, state):
        """Take up what `getState` returned."""
        state = _without_own(state)
        common = {name: state[f"timeline.{name}"] for name in ("width", "events", "first", "last")}
        self.timeline.restore(common, state["timeline.sums"])
        self.saturated = state["saturated"]

    def watchEvents(self, counters, data):
        """Keep the intensity of each colour of the events that are processed."""
        self.timeline.add(counters, data, self.mpiParams.threads)

    def adjustEvents(self, data, processed):
        """Do what `adjustData` does for the events of a block, given by their rows."""
        if self.saturated_value is None and self.notzero is None:
            return
        _move.adjust(data, processed, self.saturated_value, self.saturated, self.notzero, self.mpiParams.threads)

    def _warn_of_own_adjust(self):
        """Warn, on one rank, where an `adjustData` of a class made from this one leaves out what is asked for here."""
        asked = [key for key in ("saturated_value", "notzero") if getattr(self, key) is not None]
        leaves_out = is_own(type(self), "adjustData") and not calls_inherited(type(self), "adjustData")
        if asked and leaves_out and self.mpiParams.role == "viewer":
            self.mpiParams.logWarning(
                f"{type(self).__name__}.adjustData does not call super().adjustData(data): "
                f"user_params[{asked[0]!r}] does nothing"
            )

    def adjustData(self, data):
        """Note saturated elements, then set small values to `notzero`."""
        if self.saturated_value is not None:
            self.saturated |= data >= self.saturated_value
        if self.notzero is not None:
            np.maximum(data, self.notzero, out=data)

    def _reset(self):
        self.counts[:] = 0
        self._reset_sums()

    def _reset_sums(self):
        for array in (self.G2, self.IP, self.IF):
            array[...] = 0

    def _add_stored(self, plan, X, with_g2=True):
        """Add the sums over all stored pairs; without G2 the mode must be ENDS."""
        _core.correlate(plan, X, None, self.G2 if with_g2 else None, self.IP, self.IF, threads=self.mpiParams.threads)

    def _results(self):
        # a difference of sums may leave its rounding error where nothing should be
        self.IP[:, self.counts == 0] = self.IF[:, self.counts == 0] = 0
        return {"G2": self.G2.T, "IF": self.IF.T, "IP": self.IP.T}, self.counts, self.saturated

    def workerReduce(self, arrays, counts, int8array):
        """Sum per colour what the delay curves need; and the saturated elements as bits."""
        if missing := [name for name in UNITS if name not in arrays]:
            raise RunError(
                f"{type(self).__name__}: delay curves need the arrays {', '.join(UNITS)}, and workerCalc returns no "
                f"{missing[0]}: override workerReduce and viewerPublishReduced, too"
            )
        return self._reduced(arrays, counts, int8array)

    def _reduced(self, arrays, counts, int8array, pending=None):
        part = self.mpiParams.part
        sums = self.color_sums.reduce(arrays, counts, int8array, part, self.mpiParams.threads, pending)
        if self.saturated_value is not None:
            everywhere = np.zeros(np.count_nonzero(self.mpiParams.mask), bool)
            everywhere[part] = int8array
            # the workers' bits are disjoint, so that adding them joins them
            sums["saturated"] = np.packbits(everywhere)
        some = arrays["G2"].T[:: max(1, arrays["G2"].shape[1] // _SAMPLE)]
        sums["not_whole"] = np.array([np.count_nonzero(some != np.floor(some))])
        sums["events"] = np.array([self.events * self.mpiParams.firstWorker])
        for name, array in self.timeline.arrays().items():
            # times and numbers of events are the same on all workers, and must not be added
            sums[f"intensity.{name}"] = array if name == "sums" or self.mpiParams.firstWorker else array * 0
        return _own(sums)

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        """Write delays, counts, delay curves with their errors, saturated elements."""
        if h5UserGroup is None:
            return
        group = h5UserGroup.require_group(f"G2_results_at_{self.mpiParams.processed:06d}")
        group.attrs["relsec"] = relsec
        mask, reduced = self.mpiParams.mask, _without_own(reduced)
        if not reduced:
            raise RunError(
                f"{type(self).__name__}: workerReduce must add to what super().workerReduce returns, for the delay "
                "curves are made of that; or override viewerPublishReduced, too"
            )
        saturated = np.zeros(mask.shape, np.int8)
        if "saturated" in reduced:
            saturated[mask] = np.unpackbits(reduced["saturated"].astype(np.uint8), count=np.count_nonzero(mask))
        curve = self.color_sums.table(reduced, counts)
        whole = not reduced["not_whole"].any()
        events = max(int(reduced["events"][0]), int(counts.max(initial=0)))  # 0: a class with a calculation of its own
        bias = bias_of(self.color_sums, reduced, counts, self.delays, events, whole)
        self.write_results(group, counts, curve, saturated, bias)
        self._say_bias(group, bias, curve)
        line = {name.removeprefix("intensity."): array for name, array in reduced.items() if "intensity." in name}
        colors, rate = self.color_sums.colors, self.system_params["rate"]
        curvefile.write_intensity(group.create_group("intensity"), colors, self.color_sizes, line, rate)
        if self.fit:
            curvefile.write_fits(group, self.delays, curve.each(colors), self.fit, rate)
        if self.picture:
            self._draw(h5UserGroup.parent)

    def _say_bias(self, group, bias, curve):
        """Write what the normalization gets wrong; say so in the log, too, at the first update where it is seen."""
        made = self.color_sums
        text = sentence(bias, made.colors, curve.left_out, curve.elements, made.normalization)
        group.attrs["normalization_error"] = text
        processed, update = self.mpiParams.processed, self.system_params.get("update")
        # what the result as a whole has is said when it is joined
        if text and not self._warned and update and processed % update == 0:
            self._warned = True
            self.mpiParams.logWarning(f"at {processed:,} events: {text}")

    def _draw(self, file):
        """Draw the update beside the result; whatever fails there must not end the run."""
        from parcorana import pictures
        from parcorana.results import read_result

        path = self.mpiParams.h5output
        picture = Path(path).with_suffix(".png") if self.picture is True else self.picture
        try:
            with pictures.shown(picture, size=(12, 8)) as figure:
                pictures.draw_result(figure, [read_result(file, Path(path).name)], self.user_params.get("plot_colors"))
        except Exception as error:
            self.mpiParams.logWarning(f"picture {picture}: not drawn: {type(error).__name__}: {error}")

    def write_results(self, group, counts, curve, saturated, bias=None):
        """Write all but the full arrays.

        Parameters
        ----------
        group : h5py.Group
        counts : (D,) int64
        curve : parcorana.curves.Curve
            Of all colours, (C, D).
        saturated : (detector's shape) int8
        bias : parcorana.bias.Bias, optional
        """
        group.attrs["normalization"] = self.color_sums.normalization
        rate = self.system_params["rate"]
        write_dataset(group, "delays", self.delays, "pulses", f"delays; one pulse is 1/{rate} s", rate=rate)
        write_dataset(group, "delay_counts", counts, "1", "number of pairs of each delay")
        curvefile.write_curves(group, self.color_sums.colors, curve, self.color_sums.normalization, bias)
        write_dataset(group, "saturated", saturated, "1", "1 where any processed event reached saturated_value")

    def viewerPublishArray(self, name, delay, ndarray, h5UserGroup):
        """Write one full array, as `save_arrays` asks."""
        if h5UserGroup is None:
            return
        group = h5UserGroup[f"G2_results_at_{self.mpiParams.processed:06d}"]
        write_dataset(group, f"{name}/delay_{delay:06d}", ndarray, UNITS[name], LONG_NAMES[name])


class G2atEnd(_G2):
    """G2 of all pairs now stored, computed at each update."""

    def workerCalc(self, T, numTimesFilled, X):
        """Compute all sums anew."""
        self.events = numTimesFilled
        self._reset()
        plan = plan_stored(T, numTimesFilled, self.delays, exact=X.dtype == np.float64)
        self._add_stored(plan, X)
        self.counts += plan.counts
        return self._results()


class G2IncrementalAccumulator(_G2):
    """G2 of all pairs that were ever stored together: an event adds its pairs when it enters.

    While hardly a pulse is missing, IP and IF are not summed pair by pair: over
    a stretch of time, IP is the sum of everything less that of the last d
    pulses, so they are settled only when they are asked for.
    """

    forgets = False

    def initWorker(self, numElementsWorker):
        """Allocate the sums, and the sum of what came while IP and IF are deferred."""
        super().initWorker(numElementsWorker)
        self.total = np.zeros(numElementsWorker)
        self.step = 0  # pulses per position of the deferred sums; 0: nothing is deferred

    def enterEvents(self, buffer, entry, data):
        """Add the pairs of the events that enter, and store them."""
        if not len(entry.processed):
            return
        T, filled, X = buffer.T, buffer.filled, buffer.X
        # what is deferred is a difference of sums: float64 storage promises more digits than that keeps
        defers = X.dtype == np.float32
        plan = plan_accumulated(entry.union, entry.processed, self.delays, deferred=defers)
        step = plan.step if plan.mode == _core.DEFERRED else 0
        if step != self.step:
            self._settle(T, filled, X)
            plan.defer = bool(step)
            self.step = step
        threads = self.mpiParams.threads
        _core.correlate(plan, X, data, self.G2, self.IP, self.IF, self.total, threads=threads)
        self.counts += plan.counts

    def workerCalcReduced(self, T, numTimesFilled, X):
        """Do what `workerCalc` and then `workerReduce` do, and leave deferred what is."""
        self.events = self.timeline.events
        pending = None
        if self.step:
            pending = plan_tails(T, numTimesFilled, self.delays, self.step), X, self.total
        arrays = {"G2": self.G2.T, "IF": self.IF.T, "IP": self.IP.T}
        return self._reduced(arrays, self.counts, self.saturated, pending), self.counts, self.saturated

    def _settle(self, T, filled, X):
        if self.step:
            plan = plan_tails(T, filled, self.delays, self.step)
            _core.settle(plan, X, self.IP, self.IF, self.total, self.mpiParams.threads)
            self.step = 0

    def getState(self):
        """Return the sums, with what is deferred as it is: to settle it now would change the last bits."""
        sums = {"G2": self.G2.T, "IP": self.IP.T, "IF": self.IF.T, "total": self.total}
        return super().getState() | _own(sums | {"counts": Common(self.counts), "step": Common(self.step)})

    def setState(self, state):
        """Take up what `getState` returned."""
        super().setState(state)
        state = _without_own(state)
        self.G2, self.IP, self.IF = (np.ascontiguousarray(state[name].T) for name in ("G2", "IP", "IF"))
        self.total, self.counts, self.step = state["total"], state["counts"], int(state["step"])

    def bufferClears(self, T, numTimesFilled, X):
        """Settle what is deferred while the events are still there."""
        self._settle(T, numTimesFilled, X)

    def workerCalc(self, T, numTimesFilled, X):
        """Return the sums so far."""
        self.events = self.timeline.events
        self._settle(T, numTimesFilled, X)
        return self._results()


class G2IncrementalWindowed(_G2):
    """G2 of all pairs now stored, kept up to date as events enter and leave.

    IP and IF need no pairs and are computed at each update. What was added to
    G2 and taken away again leaves its rounding errors behind, so at an update
    the elements in which they could be seen (contract, section 8) are computed
    anew, and all once in 100 turnovers of the buffer. Small whole numbers have
    no such errors.
    """

    TURNOVERS = 100
    #: Whole numbers up to this have exact sums: 64 products of two in a float32 (csrc/correlate.h).
    EXACT = 512
    #: Values in one float32 sum (PCA_CHUNK in csrc/correlate.h).
    BLOCK = 64

    def initWorker(self, numElementsWorker):
        """Allocate the sums, and what tells how large the rounding errors may be."""
        super().initWorker(numElementsWorker)
        self.passed = np.zeros(numElementsWorker)  # sum of squares of all that entered
        self.largest = np.zeros(numElementsWorker)  # of one block
        self.entered = 0
        self.exact = True

    def getState(self):
        """Return G2, which has a past, unlike the rest; and how worn it is."""
        own = {"G2": self.G2.T, "passed": self.passed, "largest": self.largest}
        own["exact"] = np.full(len(self.passed), self.exact)
        return super().getState() | _own(own | {"entered": Common(self.entered)})

    def setState(self, state):
        """Take up what `getState` returned."""
        super().setState(state)
        state = _without_own(state)
        self.G2 = np.ascontiguousarray(state["G2"].T)
        self.passed, self.largest = state["passed"], state["largest"]
        self.entered, self.exact = int(state["entered"]), bool(state["exact"].all())

    def bufferClears(self, T, numTimesFilled, X):
        """Begin again: the sums speak of the run in progress."""
        self._reset()
        self.passed[:] = self.largest[:] = 0
        self.entered = 0

    def enterEvents(self, buffer, entry, data):
        """Take away the pairs of the events that leave, add those of the events that enter, store them."""
        if not (entry.row >= 0).any():
            return
        X, threads = buffer.X, self.mpiParams.threads
        energy = np.zeros_like(self.passed)
        for plan in plan_window(entry.union, entry.processed, self.delays):
            block = data if len(plan.source) else None
            _core.correlate(plan, X, block, self.G2, None, None, energy=energy, threads=threads)
        self.passed += energy
        np.maximum(self.largest, energy, out=self.largest)
        self.entered += len(entry.processed)
        self.exact = self.exact and _core.is_whole(data, self.EXACT)

    def workerCalc(self, T, numTimesFilled, X):
        """Return the sums, G2 computed anew where rounding errors may have gathered."""
        plan = plan_stored(T, numTimesFilled, self.delays, exact=X.dtype == np.float64)
        self._renew(plan, X, numTimesFilled)
        if plan.mode == _core.ENDS:
            self.IP[...] = self.IF[...] = 0
            self._add_stored(plan, X, with_g2=False)
        return self._results()

    def workerCalcReduced(self, T, numTimesFilled, X):
        """Do what `workerCalc` and then `workerReduce` do, without arrays of IP and IF where they need none."""
        plan = plan_stored(T, numTimesFilled, self.delays, exact=X.dtype == np.float64)
        self._renew(plan, X, numTimesFilled)
        if plan.mode == _core.ENDS:
            reduced = self._reduced({"G2": self.G2.T}, self.counts, self.saturated, (plan, X, None))
        else:
            reduced = self._reduced(*self._results())
        return reduced, self.counts, self.saturated

    def _renew(self, plan, X, filled):
        """Set the counts, and compute G2 anew where that is needed; IP and IF, too, where they need every pair."""
        self.events = filled
        self.counts[:] = plan.counts
        self.G2[:, self.counts == 0] = 0
        if plan.mode == _core.MASKED:
            self._reset_sums()
            self._add_stored(plan, X)
            self._computed_anew(X, filled, slice(None))
            self.entered = 0
            return
        plan = replace(plan, mode=_core.ONLY_G2, missing=None)
        worn = self._worn(X)
        # element by element, so that a bit never depends on the other elements of a worker
        edges = np.flatnonzero(np.diff(worn, prepend=False, append=False))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            part = slice(begin, end)
            self.G2[part] = 0
            _core.correlate(plan, X[:, part], None, self.G2[part], None, None, threads=self.mpiParams.threads)
            self._computed_anew(X, filled, part)

    def _computed_anew(self, X, filled, part):
        threads = self.mpiParams.threads
        _core.energy(X[:, part], filled, self.BLOCK, self.passed[part], self.largest[part], threads)

    def _worn(self, X):
        """Tell for each element whether its sums must be computed anew."""
        if self.entered > self.TURNOVERS * len(X):
            self.entered = 0
            return np.ones(X.shape[1], bool)
        if self.exact and self.passed.max(initial=0) < 2**53:
            return np.zeros(X.shape[1], bool)
        # Each of the many sums s that were added has an error of about eps |s|, of any sign, so
        # together they have eps sqrt(sum s^2) <= eps sqrt(sum |s| max |s|), and a sum of
        # products is at most the sum of squares of what entered.
        eps = np.finfo(X.dtype).eps / 2
        allowed = 3e-7 if X.dtype == np.float32 else 3e-13
        least, counted = np.empty(len(self.G2)), self.counts > 0
        for begin in range(0, len(least), 4096):  # a piece of all of G2 that stays in the caches
            part = slice(begin, begin + 4096)
            least[part] = np.abs(self.G2[part, counted]).min(axis=1, initial=np.inf)
        return eps * np.sqrt(self.passed * self.largest) > allowed * least


UserG2 = G2atEnd
