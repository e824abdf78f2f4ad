"""What the G2 classes have in common, whatever the pairs and how they are summed."""

from collections.abc import Sequence

import numpy as np

from parcorana import _move
from parcorana.calculation.arrays import Common, PerElement, Summed
from parcorana.calculation.base import BlockBase
from parcorana.calculation.checks import adjust_in_place, check_reduced, check_result, left_alone
from parcorana.calculation.guard import callback
from parcorana.calculation.says import saved_arrays
from parcorana.calculation.userclass import Apart, calls_inherited, is_own
from parcorana.curves import curvefile
from parcorana.curves.bias import bias_of, not_whole, sentence
from parcorana.curves.curvefile import SUMS
from parcorana.curves.fitchoice import choice_of
from parcorana.curves.precision import doubt, spoiled
from parcorana.curves.sums import ColorSums
from parcorana.curves.timeline import Timeline
from parcorana.errors import RunError
from parcorana.files.datasets import write_dataset
from parcorana.g2.aged import AgedCurves
from parcorana.g2.beside import draw_beside, picture_of
from parcorana.g2.errored import WithErrors, groups_of
from parcorana.g2.frames import FrameNormed
from parcorana.g2.leverage import Leveraged
from parcorana.g2.parameters import (
    PARAMS,
    aged_of,
    check_colors,
    check_errors,
    check_picture,
    colors_of,
    frame_norm_of,
    has_aged,
    leverage_of,
    normalization_of,
    notzero_of,
    number_of,
    table_of,
)
from parcorana.g2.plain import PlainG2
from parcorana.g2.snapshots import TimeBlocked

_OWN = "parcorana."  # before the names of what is reduced and kept here: a class made from these adds its own


def _own(arrays):
    return {_OWN + name: array for name, array in arrays.items()}


def _without_own(arrays):
    return {name.removeprefix(_OWN): array for name, array in arrays.items() if name.startswith(_OWN)}


class G2Base(PlainG2, Leveraged, TimeBlocked, AgedCurves, WithErrors, FrameNormed, Apart, BlockBase):
    """What the G2 classes have in common: parameters, saturation, delay curves."""

    takes_pieces = True
    pairs = "counts"
    takes_params: Sequence[str] = PARAMS
    #: Callbacks of `UserBase` that these classes call themselves, so that a class made from them may override them.
    takes_callbacks = (
        "initWorker",
        "adjustData",
        "workerCalc",
        "workerReduce",
        "viewerPublishReduced",
        "viewerPublishArray",
        "reducedBytes",
    )

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        self.delays = np.asarray(system_params["delays"], np.int64)
        self.saturated_value = number_of(user_params, "saturated_value")
        self.notzero = notzero_of(user_params, system_params)
        self.fit = choice_of(user_params.get("fit"))
        self.picture = picture_of(user_params, system_params)
        self._warn_of_own_adjust()
        color, finecolor, colors = colors_of(user_params, mpiParams.mask)
        self.color, self.finecolor = color, finecolor
        self.groups = groups_of(user_params, mpiParams.mask, color, colors, len(self.delays))
        self.color_sums = ColorSums(color, finecolor, normalization_of(user_params), colors, self.groups)
        self.color_sizes = np.bincount(np.searchsorted(colors, color[color > 0]), minlength=len(colors))
        self._own_color = color[mpiParams.part]
        self.begin_errors()
        self.begin_frame_norm()
        self.begin_aged()
        self.begin_snapshots()
        table = table_of(user_params) if mpiParams.role in ("viewer", "alone") else None
        #: What the colours stand for: name, unit and (C,) float64, as q of rings; None if nobody has said.
        self.stands_for = table and table.stands_for(colors)
        self._warned = set()
        self._save = saved_arrays(user_params)
        self.last_has_more = self._save == "last"
        self.begin_leverage()

    @property
    def changes_rows(self):
        """Whether events are changed before they are stored."""
        return self.notzero is not None or is_own(type(self), "adjustData") or is_own(type(self), "adjust")

    @classmethod
    def checkParams(cls, user_params, mask, log):
        """Check the parameters and files of `user_params`: docs/config.md, docs/definitions.md."""
        for key in ("saturated_value", "notzero"):
            number_of(user_params, key)
        normalization_of(user_params)
        check_colors(user_params, mask, log)
        choice_of(user_params.get("fit"))
        check_picture(user_params)
        aged_of(user_params)
        check_errors(cls, user_params)
        leverage_of(user_params)

    @classmethod
    def reducedBytes(cls, system_params, user_params, mask):
        """Return the bytes of the sums per colour, of the timeline, and of the bits of saturated elements."""
        if fit := choice_of(user_params.get("fit")):
            fit.check_delays(system_params["delays"])
        color, finecolor, colors = colors_of(user_params, mask)
        group = groups_of(user_params, mask, color, colors, len(system_params["delays"]))
        sums = ColorSums(color, finecolor, normalization_of(user_params), colors, group)
        of_delays = sums.nbytes(len(system_params["delays"]))
        size = of_delays + Timeline(color[:0], colors).nbytes
        size += cls.leverage_bytes(user_params, sums, len(system_params["delays"]))
        size += 16  # `not_whole` and `events`
        if has_aged(cls, system_params, user_params):
            size += 16 + of_delays // 2  # of two updates, where the viewer holds four times what is said here
        if number_of(user_params, "saturated_value") is not None:
            size += -(-len(color) // 8) * 8  # eight elements to a number, summed as 64 bit
        size += cls.snapshot_bytes(
            system_params, user_params, sums, len(colors) + 1 if frame_norm_of(user_params) else 0
        )
        return size + cls.frame_norm_bytes(system_params, user_params, len(colors))

    def arrays(self, elements):
        """Declare the saturated elements, and the intensity over time; a form of G2 adds its sums."""
        callback(self, "initWorker")(elements)
        line = self.timeline
        kept = {"saturated": PerElement(self.saturated), "timeline.sums": Summed(line.sums)}
        kept |= {f"timeline.{name}": Common(array) for name, array in line.common().items()}
        kept |= self.arrays_of_frame_norm(self._own_color[:elements])
        return kept | self.arrays_of_aged() | self.arrays_of_snapshots()

    def initWorker(self, numElementsWorker):
        """Allocate what marks saturated elements, and the intensity over time; a form of G2 adds its sums."""
        self.saturated = np.zeros(numElementsWorker, np.int8)
        self.timeline = Timeline(self._own_color[:numElementsWorker], self.color_sums.colors)
        self.events = 0  # whose pairs are counted

    def adjust(self, block):
        """Note saturated elements, then set small values to `notzero`."""
        if self.mpiParams.role == "alone":
            self.note_plainly(block)
        follows = self.series is not None and self.series.follows and self.mpiParams.role == "worker"
        if follows:
            self.series.saturate(0, self.saturated != 0)  # where a run goes on
        if is_own(type(self), "adjustData"):  # a class made from this one, with a way of its own
            adjust, who = callback(self, "adjustData"), type(self).__name__
            for k, number in enumerate(block.entering):
                block.at(k)
                adjust_in_place(adjust, block.offered[number], who)
                if follows:
                    self.series.saturate(k, self.saturated != 0)
        elif follows:
            self.adjust_and_follow(block)
        elif self.saturated_value is not None or self.notzero is not None:
            threads = self.mpiParams.threads
            _move.adjust(block.offered, block.entering, self.saturated_value, self.saturated, self.notzero, threads)

    def enter(self, block):
        """Keep the intensity of each colour, and what `frame_norm` needs; a form of G2 adds pairs."""
        sums = self.timeline.add(block.counters, block.data, self.mpiParams.threads)
        self.note_stretch(block.counters)
        if self.series is not None:
            self.series.add(block, sums, self.mpiParams.threads)

    def end_run(self, buffer):
        """Note that no pair spans two runs; a form of G2 takes leave of what is stored."""
        if self.series is not None:
            self.series.end_run()

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
            with np.errstate(over="ignore"):  # beyond what is stored: then nothing is saturated
                self.saturated |= data >= self.saturated_value
        if self.notzero is not None:
            np.maximum(data, self.notzero, out=data)

    def collect(self, last, buffer):
        """Return the sums of each colour, and as `save_arrays` says the full arrays; generate what workers exchange."""
        stored, full = (buffer.T, buffer.filled, buffer.X), self._save is True or (last and self._save == "last")
        found = {}
        if full or any(is_own(type(self), name) for name in ("workerCalc", "workerReduce")):
            with left_alone(type(self).__name__, buffer, last):
                result = callback(self, "workerCalc")(*stored)
            checked = check_result(type(self).__name__, result, list(SUMS), len(self.delays), len(self.saturated))
            arrays, counts, int8array = checked
            sums = check_reduced(type(self).__name__, callback(self, "workerReduce")(arrays, counts, int8array))
            found = {name: PerElement(arrays[name]) for name in sorted(SUMS)} if full else {}
        else:
            sums, counts = self._sums_of_colors(*stored)
        found |= {"counts": Common(counts)} | {f"sums.{name}": Summed(array) for name, array in sums.items()}
        for name, array in self.timeline.arrays().items():
            found[f"sums.{_OWN}intensity.{name}"] = (Summed if name == "sums" else Common)(array)
        if self.has_aged:
            found[f"sums.{_OWN}stretch"] = Common(self.end_stretch())
        if self.has_leverage and _OWN + "elements" in sums:
            small, maps = yield from self.collect_leverage(_without_own(sums), counts, full)
            found |= {f"sums.{_OWN}{name}": array for name, array in small.items()} | maps
        return found

    def _sums_of_colors(self, T, numTimesFilled, X):
        """Return the sums of each colour and the counts; a form of G2 may spare full arrays."""
        arrays, counts, int8array = self.workerCalc(T, numTimesFilled, X)
        return self._reduced(arrays, counts, int8array), counts

    def own_sums(self, T, numTimesFilled, X):
        """Return the sums of each colour by their own names, and the counts."""
        sums, counts = self._sums_of_colors(T, numTimesFilled, X)
        return _without_own(sums), counts

    def named(self, name):
        """Name the callback that makes an array."""
        who = type(self).__name__
        if name.startswith("sums."):
            return f"{who}.workerReduce", f"array {name.removeprefix('sums.').removeprefix(_OWN)!r}"
        return f"{who}.workerCalc", name if name == "counts" else f"array {name!r}"

    def workerReduce(self, arrays, counts, int8array):
        """Sum per colour what the delay curves need; and the saturated elements as bits."""
        if missing := [name for name in SUMS if name not in arrays]:
            raise RunError(
                f"{type(self).__name__}: delay curves need the arrays {', '.join(SUMS)}, and workerReduce gets no "
                f"{missing[0]}: override viewerPublishReduced, too"
            )
        return self._reduced(arrays, counts, int8array)

    def _reduced(self, arrays, counts, int8array, pending=None):
        part, threads = self.mpiParams.part, self.mpiParams.threads
        sums = self.color_sums.reduce(arrays, counts, int8array, part, threads, pending)
        if self.has_leverage:
            self.last_sums = arrays, int8array, pending
        return self._with_rest(sums, int8array, not_whole(arrays["G2"]))

    def _with_rest(self, sums, int8array, parts):
        """Add to the sums per colour what else the viewer gets; `parts` are sums that are no whole numbers."""
        if self.saturated_value is not None:
            everywhere = np.zeros(np.count_nonzero(self.mpiParams.mask), bool)
            everywhere[self.mpiParams.part] = int8array
            # the workers' bits are disjoint, so that adding them joins them
            sums["saturated"] = np.packbits(everywhere)
        sums["not_whole"] = np.array([parts])
        sums["events"] = np.array([self.events * self.mpiParams.firstWorker])
        return _own(sums)

    def publish(self, update, group):
        """Hand on what `viewerPublishReduced` writes."""
        reduced = {name.removeprefix("sums."): array for name, array in update.items() if name != "counts"}
        callback(self, "viewerPublishReduced")(update["counts"], update.relsec, reduced, group)

    def publish_piece(self, name, index, ndarray, group):
        """Hand on what `viewerPublishArray` writes; and what maps are made of."""
        if not index:
            self.take_map(name, ndarray, group)
            return
        callback(self, "viewerPublishArray")(name, int(self.delays[index[0]]), ndarray, group)

    @np.errstate(invalid="ignore")  # of what user code has made infinite: log and result say so, by `spoiled`
    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        """Write delays, counts, delay curves with their errors, saturated elements."""
        if h5UserGroup is None:
            return
        group = h5UserGroup.require_group(f"G2_results_at_{self.mpiParams.processed:06d}")
        group.attrs["relsec"] = relsec
        mask, reduced = self.mpiParams.mask, _without_own(reduced)
        if "events" not in reduced:  # beside the intensity over time
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
        curve = self.with_errors(curve, reduced, counts)
        curve, norm = self.normed(curve, counts)
        curve = self.with_scatter(curve, counts)
        curve = self.with_blocks(curve, reduced, counts)
        self.say_errors(curve)
        self.write_results(group, counts, curve, saturated, bias, norm)
        line = {name.removeprefix("intensity."): array for name, array in reduced.items() if "intensity." in name}
        colors, rate = self.color_sums.colors, self.system_params["rate"]
        rounded = self.system_params["store_dtype"] == "float32"
        rounding = doubt(colors, self.color_sizes, line, whole) if rounded else ""
        self._say_bias(group, bias, curve, norm, rounding, spoiled(colors, line))
        curvefile.write_intensity(group.create_group("intensity"), colors, self.color_sizes, line, rate)
        if self.fit:
            curvefile.write_fits(group, self.delays, curve.each(colors), self.fit, rate, self.stands_for)
        self.write_aged(group, reduced, counts)
        self.write_stationarity(group, reduced, counts)
        self.publish_leverage(group, reduced, curve, norm)
        if self.picture:
            self._draw(h5UserGroup)

    def _say_bias(self, group, bias, curve, norm, rounding, spoiled):
        """Write what normalization and rounding get wrong; say so in the log, too, at the first update with it."""
        made = self.color_sums
        text = sentence(bias, made.colors, curve.left_out, curve.elements, made.normalization)
        text = "; ".join(filter(None, (text, norm.doubt if norm is not None else "", rounding)))
        group.attrs["normalization_error"] = "; ".join(filter(None, (spoiled, text)))
        processed, update = self.mpiParams.processed, self.system_params.get("update")
        for what, said in {"spoiled": spoiled, "bias": text}.items():
            # what the result as a whole has is said when it is joined
            if said and what not in self._warned and update and processed % update == 0:
                self._warned.add(what)
                self.mpiParams.logWarning(f"at {processed:,} events: {said}")

    def _draw(self, user):
        def prepare():
            from parcorana.results.reading import read_result
            from parcorana.view import pictures

            def draw(figure, name):
                result = read_result(user.file, name, of=user.name)
                pictures.draw_result(figure, [result], self.user_params.get("plot_colors"))

            return (12, 8), draw

        draw_beside(self.picture, self.mpiParams, prepare)

    def write_results(self, group, counts, curve, saturated, bias=None, norm=None):
        """Write all but the full arrays.

        Parameters
        ----------
        group : h5py.Group
        counts : (D,) int64
        curve : parcorana.curves.Curve
            Of all colours, (C, D).
        saturated : (detector's shape) int8
        bias : parcorana.curves.bias.Bias, optional
        norm : parcorana.curves.framenorm.FrameNorm, optional
            What the curves were divided by.
        """
        made = self.color_sums
        curvefile.write_points(group, self.delays, counts, made.normalization, self.system_params["rate"])
        curvefile.write_curves(group, made.colors, curve, made.normalization, bias, self.stands_for, norm)
        write_dataset(group, "saturated", saturated, "1", "1 where any processed event reached saturated_value")

    def viewerPublishArray(self, name, delay, ndarray, h5UserGroup):
        """Write one full array, as `save_arrays` asks."""
        if h5UserGroup is None:
            return
        group = h5UserGroup[f"G2_results_at_{self.mpiParams.processed:06d}"]
        curvefile.write_sums(group, name, delay, ndarray)
