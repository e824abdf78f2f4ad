"""Leverage in the G2 classes: the elements that pull delay curves, in every update; and the log names them."""

import numpy as np

from parcorana.calculation.arrays import Joined, PerElement, Summed
from parcorana.curves.leverage import Levers, Pulls, exchanged_bytes, judge, summed
from parcorana.curves.leveragefile import write_leverage, write_maps
from parcorana.g2.parameters import leverage_of

_CHANGE, _DELAY = "leverage.change", "leverage.delay"
_SAID_AT_ONCE, _SAID = 5, 20  # elements that the log names at an update, and of a run


class Leveraged:
    """The part of the G2 classes that is about leverage."""

    #: What the last sums of colours were made of, as `ColorSums.reduce` takes it: arrays, saturated elements, pending.
    last_sums = None

    def begin_leverage(self):
        """Prepare what each role has of it, once the colours are known."""
        self.has_leverage = leverage_of(self.user_params) and len(self.color_sums.colors) > 0
        self._pulling = np.zeros(0, np.int64)  # elements that the log has named
        self._judged = None  # until the maps have come

    @classmethod
    def leverage_bytes(cls, user_params, made, delays):
        """Return the bytes of what workers tell each other and the viewer."""
        return exchanged_bytes(made, delays) if leverage_of(user_params) and len(made.colors) else 0

    # -- on a worker --------------------------------------------------------------

    def collected_bytes(self, elements):
        """Return the bytes of what the map is made of; four times what is said here is counted."""
        return 3 * elements if self.has_leverage and self._save else 0

    def pieces_of_sums(self):
        """Generate which elements, and `last_sums` of them, some elements at a time."""
        if self.last_sums is not None:
            yield slice(0, len(self.saturated)), *self.last_sums

    def collect_leverage(self, sums, counts, full):
        """Return what an update has of leverage; generate what workers add up among themselves.

        Parameters
        ----------
        sums : dict of arrays
            Of each colour, over this worker's elements.
        counts : (D,) int64
        full : bool
            Whether the update has full arrays, and so a map.
        """
        made, params, elements = self.color_sums, self.mpiParams, len(self.saturated)
        total = yield {name: Summed(array) for name, array in summed(sums).items()}
        levers, found = Levers(made, total, counts), None
        largest, delay = (np.zeros(elements), np.zeros(elements, np.int32)) if full else (None, None)
        first = params.part.start
        for part, arrays, saturated, pending in self.pieces_of_sums():
            maps = (largest[part], delay[part]) if full else ()
            mine = slice(first + part.start, first + part.stop)
            pulls = levers.pulls(arrays, saturated, mine, params.threads, pending, *maps)
            found = pulls if found is None else found.beside(pulls)
        self.last_sums = None
        if found is None:
            found = Pulls.none(len(made.colors), len(counts))
        about = {"leverage.rows": Joined(found.table()), "leverage.moments": Summed(found.moments)}
        return about, ({_CHANGE: PerElement(largest), _DELAY: PerElement(delay)} if full else {})

    # -- on the viewer --------------------------------------------------------------

    def viewer_state(self):
        """Return what a checkpoint keeps of the elements that were named, and of the rest."""
        return super().viewer_state() | ({"leverage": self._pulling} if len(self._pulling) else {})

    def restore_viewer(self, state):
        """Take up the elements that were named where a run goes on, and the rest."""
        super().restore_viewer(state)
        self._pulling = np.array(state.get("leverage", self._pulling), np.int64)

    def publish_leverage(self, group, reduced, curve, norm):
        """Write what pulls the curves of an update, and name in the log what moves them by more than twice their error.

        Parameters
        ----------
        group : h5py.Group
            Of the update.
        reduced : dict of arrays
            Over all workers.
        curve : parcorana.curves.Curve
            Of all colours, (C, D).
        norm : parcorana.curves.framenorm.FrameNorm or None
            What they were divided by.
        """
        if "leverage.rows" not in reduced:
            return
        pulls = Pulls.of_table(reduced["leverage.rows"], reduced["leverage.moments"])
        found = judge(pulls, curve, None if norm is None else norm.g2)
        made, mask = self.color_sums, self.mpiParams.mask
        where = np.flatnonzero(mask)[found.element]
        group = group.create_group("leverage")
        write_leverage(group, found, where, mask.shape, made, self.delays, self.system_params["rate"])
        self._judged = found, None if norm is None else norm.g2
        self._name_new(found, where)

    def _name_new(self, found, where):
        """Log the elements that move a curve by more than twice its error, each once in a run."""
        new = np.flatnonzero(found.far & ~np.isin(where, self._pulling))
        if not len(new):
            return
        shape, log = self.mpiParams.mask.shape, self.mpiParams.logWarning
        at, room = f"at {self.mpiParams.processed:,} events", max(_SAID - len(self._pulling), 0)
        named = new[: min(_SAID_AT_ONCE, room)]
        for k in named:
            place = ", ".join(str(i) for i in np.unravel_index(where[k], shape))
            log(
                f"{at}: element {where[k]} ({place}) pulls g2 of colour {self.color_sums.colors[found.color[k]]} "
                f"{'up' if found.change[k] < 0 else 'down'} by {abs(found.change[k]):.2g} at the delay of "
                f"{self.delays[found.delay[k]]} pulses, {abs(found.over_error[k]):.2g} times the error that the curve "
                "has without it: if it is hot, mask it (parCorAnaMaskColorTool start --hot, or by hand), or set "
                "user_params['saturated_value'] below its flashes"
            )
        if more := len(new) - len(named):
            log(
                f"{at}: {more:,} more elements move a curve by more than twice its error: leverage in the file has them"
            )
        self._pulling = np.union1d(self._pulling, where[new])

    def take_map(self, name, ndarray, group):
        """Take one of the arrays of elements that the maps are made of; write these when both are there."""
        if name == _CHANGE:
            self._map = ndarray
            return
        change, self._map = self._map, None
        if group is None or self._judged is None:
            return
        group = group[f"G2_results_at_{self.mpiParams.processed:06d}/leverage"]
        color = np.searchsorted(self.color_sums.colors, self.color)
        write_maps(group, change, ndarray, self.mpiParams.mask, np.where(self.color > 0, color, 0), *self._judged)
