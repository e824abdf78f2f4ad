"""`TwoTime`: a matrix of the correlation of any two times for each colour, and g2 by age and delay."""

import copy

import numpy as np

from parcorana import _core, _move, kernels
from parcorana.calculation.arrays import Common, PerElement, Summed
from parcorana.calculation.base import BlockBase
from parcorana.calculation.userclass import Apart, is_own
from parcorana.errors import ConfigError, shown
from parcorana.g2.beside import draw_beside, picture_of
from parcorana.g2.parameters import check_colors, check_picture, colors_of, notzero_of, number_of, table_of
from parcorana.g2.saturation import mark_saturated
from parcorana.g2.series import events_shared
from parcorana.reference import two_time
from parcorana.results.twotime import write_two_time
from parcorana.twotime.ages import LAGS, Series
from parcorana.twotime.gram import unheld_threads
from parcorana.twotime.matrices import PIECE, Matrices

PARAMS = ("color", "color_table", "saturated_value", "notzero", "ages", "window", "picture", "plot_colors", "export")
_AGES = 512
_ROWS = 512  # events that are added at once
_NEVER = np.iinfo(np.int64).max


def ages_of(user_params):
    """Return the most bins of age; ConfigError if that is no number of them."""
    value = user_params.get("ages", _AGES)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 2 <= value <= 1 << 15:
        raise ConfigError(f"user_params['ages'] must be a whole number of bins from 2 to 32768, not {shown(value)}")
    return int(value)


def window_of(user_params):
    """Return whether only the stored events count; ConfigError if that is not said with True or False."""
    value = user_params.get("window", False)
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"user_params['window'] must be True or False, not {shown(value)}")
    return bool(value)


class TwoTime(Apart, BlockBase):
    """Two-time correlation of each colour: docs/definitions.md, "Two-time correlation"."""

    buffer, in_order = "C", True
    takes_params = PARAMS
    strip = PIECE  # elements that a thread takes at a time: a plan has to try as many

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        if user_params.get("frame_norm"):
            raise ConfigError(
                "user_params['frame_norm']: TwoTime divides by the means of the colour at the two times, so that "
                "nothing is left to divide by: leave frame_norm out"
            )
        self.saturated_value = number_of(user_params, "saturated_value")
        self.notzero = notzero_of(user_params, system_params)
        self.window = window_of(user_params)
        self.ages = system_params["times"] if self.window else ages_of(user_params)
        self.picture = picture_of(user_params, system_params)
        self.color, _, self.colors = colors_of(user_params, mpiParams.mask)
        self.delays = np.asarray(system_params["delays"], np.int64)
        table = table_of(user_params) if mpiParams.role in ("viewer", "alone") else None
        self.stands_for = table and table.stands_for(self.colors)
        self.shares = 0 if self.window else events_shared(2 * len(self.colors))
        self.series = Series(self.ages, self.delays, len(self.colors))

    @property
    def changes_rows(self):
        """True with `notzero`."""
        return self.notzero is not None or is_own(type(self), "adjust")

    @classmethod
    def checkParams(cls, user_params, mask, log):
        """Check the parameters and files of `user_params`."""
        for key in ("saturated_value", "notzero"):
            number_of(user_params, key)
        ages_of(user_params)
        window_of(user_params)
        check_colors(user_params, mask, log)
        check_picture(user_params)
        if warning := unheld_threads():
            log(warning)

    # -- on a worker --------------------------------------------------------------

    def arrays(self, elements):
        """Declare which event saturated each element first, and all sums of bins and frames."""
        #: Which colour each element has; after the last one comes none.
        self.index = kernels.color_index(self.color[self.mpiParams.part][:elements], self.colors)
        self.index[self.index < 0] = len(self.colors)
        #: Of the elements, colour by colour, and where those of each begin.
        self.order = np.argsort(self.index, kind="stable")
        self.edges = np.searchsorted(self.index[self.order], np.arange(len(self.colors) + 1))
        self.saturated_at, self.run = np.full(elements, _NEVER), np.zeros(1, np.int64)
        dtype = np.dtype(self.system_params["store_dtype"])
        dtype = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        # of a window nothing is kept: the sums are made of the stored events
        self.matrices = Matrices(self.ages, self.delays, dtype, elements, self.edges, self.mpiParams.threads)
        self.parts, self.told = [], False
        kept = {"saturated_at": PerElement(self.saturated_at), "run": Common(self.run)}
        return kept if self.window else kept | self._declared(self.matrices.arrays())

    @staticmethod
    def _declared(arrays):
        kinds = {"sums": PerElement, "rings": PerElement, "pairs": Summed, "products": Summed, "squares": Summed}
        return {name: kinds.get(name, Common)(array) for name, array in arrays.items()}

    def extra_bytes(self, elements, threads):
        """Return the bytes of what threads have of pieces of the elements, and of the products on their way."""
        times, block = self.system_params["times"], self.system_params["block"]
        events = times if self.window else max(times, min(_ROWS, block))
        return self.matrices.scratch_bytes(elements, events, threads) + 24 * len(self.colors) * (block + times)

    def collected_bytes(self, elements):
        """Return the bytes of what speaks of the events that wait; of a window of the matrices, too."""
        waiting = 8 * (2 * len(self.colors) + 1) * self.system_params["times"]
        return waiting + self.window * self.matrices.product_bytes

    def adjust(self, block):
        """Note which event saturates an element first, then set small values to `notzero`."""
        threads = self.mpiParams.threads
        if self.saturated_value is not None:
            marks = (self.saturated_at != _NEVER).astype(np.int8)
            new, first = mark_saturated(block, self.saturated_value, marks, threads)
            self.saturated_at[new] = block.first + first
        if self.notzero is not None:
            marks = np.zeros(len(self.saturated_at), np.int8)
            _move.adjust(block.offered, block.entering, None, marks, self.notzero, threads)
        if self.mpiParams.role == "alone":
            self.numbers = getattr(self, "numbers", {})
            self.numbers |= {int(t): block.first + k for k, t in enumerate(block.counters)}

    def _taken(self, events):
        """Return what brings some elements of events side by side, and sums them: see `Matrices.add`."""

        def take(begin, end):
            rows = np.empty((len(events), end - begin), self.matrices.sums.dtype)
            sums, squares = np.empty((2, len(events)))
            order = self.order[begin:end]
            _core.bring_elements(events.rows, events.numbers, order, self.saturated_at, rows, sums, squares)
            return rows, sums, squares

        return take

    def _elements(self, numbers):
        """Return of how many elements of each colour events are, (m, C)."""
        elements = np.tile(np.diff(self.edges), (len(numbers), 1))
        saturated = np.flatnonzero(self.saturated_at != _NEVER)
        for color in range(len(self.colors)):
            when = np.sort(self.saturated_at[saturated[self.index[saturated] == color]])
            elements[:, color] -= np.searchsorted(when, numbers, "right")
        return elements

    def enter(self, events):
        """Add events to the sums, and keep the intensity of each colour for the viewer."""
        if self.window:
            return
        for first in range(0, len(events), _ROWS):
            part = events.at(slice(first, first + _ROWS))
            counters = part.counters.copy()
            sums = self.matrices.add(counters, self._taken(part))
            if self.matrices.rounds and not self.told:
                self.told = True
                self.mpiParams.logWarning(
                    f"TwoTime: bins of {self.matrices.about[2]} pulses have sums above 2^24, which float32 rounds by "
                    "6e-8 of themselves: store_dtype 'float64' keeps them exact",
                    allWorkers=True,
                )
            self.parts.append((np.repeat(self.run, len(counters)), counters, sums, self._elements(part.numbers)))

    def end_run(self, buffer):
        """Begin again: what there is speaks of the run in progress."""
        self.run += 1
        self.mpiParams.logWarning(
            "TwoTime: a run of the dataset ended, and the next one begins: results speak of the run in progress only; "
            "for each run take a dataset of its own"
        )
        if not self.window:
            self.matrices.clear()

    def share(self):
        """Return the intensity of each colour at the events since the last time."""
        nothing = np.zeros(0, np.int64), np.zeros(0, np.int64), *np.zeros((2, 0, len(self.colors)))
        run, counters, sums, elements = (
            np.concatenate(column) for column in zip(*self.parts or [nothing], strict=True)
        )
        self.parts = []
        found = {"run": Common(run.astype(np.int64)), "counters": Common(counters.astype(np.int64))}
        return found | {"sums": Summed(sums), "elements": Summed(elements.astype(np.int64))}

    def collect(self, last, buffer):
        """Return the sums with those of the events that wait, which are not changed by that."""
        waiting, total = buffer.waiting(), self.matrices.aside()
        sums, elements = total.add(waiting.counters, self._taken(waiting)), self._elements(waiting.numbers)
        bins = int(total.about[1])
        return {
            "run": Common(self.run),
            "counters": Common(waiting.counters),
            "sums": Summed(sums),
            "elements": Summed(elements),
            "products": Summed(total.products[:, :bins, :bins]),
            "squares": Summed(total.squares[:, :bins]),
            "pairs": Summed(total.pairs[:, :bins]),
        }

    # -- checkpoints --------------------------------------------------------------

    def state(self, arrays):
        """Keep the sums of elements in the order of the detector."""
        return {name: self._spread(array) for name, array in arrays.items()}

    def _spread(self, array):
        if not isinstance(array, PerElement) or array.value is self.saturated_at:
            return array
        spread = np.zeros((*array.value.shape[:-1], len(self.saturated_at)), array.value.dtype)
        spread[..., self.order] = array.value
        return PerElement(spread)

    def restore(self, state):
        """Take the sums up, colour by colour."""
        self.saturated_at[...], self.run[...] = state["saturated_at"], state["run"]
        for name, array in self.matrices.arrays().items() if not self.window else ():
            array[...] = state[name][..., self.order] if name in ("sums", "rings") else state[name]
        self.matrices.look()

    # -- on the viewer --------------------------------------------------------------

    def take_shared(self, update):
        """Add the intensity of each colour to the sums by which products are divided."""
        self.series.take(update["run"], update["counters"], update["sums"], update["elements"])

    def viewer_state(self):
        """Return what a checkpoint keeps of these sums."""
        return self.series.arrays()

    def restore_viewer(self, state):
        """Take them up where a run goes on."""
        for name, array in self.series.arrays().items():
            array[...] = state[name]

    def publish(self, update, group):
        """Divide, and write the matrices and g2 by age and delay."""
        if group is None:
            return
        series = copy.deepcopy(self.series)
        if self.window or series.run[0] != update["run"][0]:
            series.clear()
            series.run[:] = update["run"]
        series.take(
            np.repeat(update["run"], len(update["counters"])), update["counters"], update["sums"], update["elements"]
        )
        maps, g2, weights = divided(update, series)
        first, bins, width = series.about.tolist()
        ages = (first + np.arange(bins)) * width
        self._write(group, update.processed, update.relsec, maps, ages, width, g2, weights)
        if self.picture:
            self._draw(group)

    def _write(self, user, processed, relsec, maps, ages, width, g2, weights):
        group = user.create_group(f"C2_at_{processed:06d}")
        group.attrs["relsec"] = relsec
        rate = self.system_params["rate"]
        write_two_time(group, self.colors, maps, ages, width, self.delays, g2, weights, rate, self.stands_for)

    def _draw(self, user):
        def prepare():
            from parcorana.results.twotime import read_two_time
            from parcorana.view import twotime

            def draw(figure, name):
                twotime.draw_two_time(figure, read_two_time(user, name), self.user_params.get("plot_colors"))

            return twotime.SIZE, draw

        draw_beside(self.picture, self.mpiParams, prepare)

    # -- in the testing mode ----------------------------------------------------------

    def calcAndPublishForTestAlt(self, counters, data, h5UserGroup):
        """Compute the same by plain loops."""
        times = self.system_params["times"]
        if self.window:
            counters, data = counters[-times:], data[-times:]
        numbers = np.array([self.numbers[t] for t in counters.tolist()])
        found = [
            two_time(counters, data[:, mine], numbers, self.saturated_at[mine], self.ages, self.delays, LAGS)
            for mine in (self.color == color for color in self.colors)
        ]
        ages, width = found[0][1:3]
        maps, g2, weights = (np.array([one[k] for one in found]) for k in (0, 3, 4))
        self._write(h5UserGroup, self.mpiParams.processed, np.nan, maps, ages, width, g2, weights)


def divided(update, series):
    """Divide products by intensities.

    Parameters
    ----------
    update : dict
        'products', 'squares', 'pairs', over all workers.
    series : Series
        Of the same events.

    Returns
    -------
    maps : (C, A, A) float64
    g2, weights : (C, A, D) float64
        NaN where there is no pair, or no intensity; what it was divided by.
    """
    bins, colors = int(series.about[1]), len(series.squares)
    sums, _, elements = (series.sums[:bins, k * colors : (k + 1) * colors].T for k in range(3))
    events = series.events[:bins]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = elements / events
        maps = np.empty((colors, bins, bins))
        for c in range(colors):
            lower = update["products"][c] * np.maximum(each[c][:, None], each[c]) / (sums[c][:, None] * sums[c])
            maps[c] = np.where(np.tri(bins, dtype=bool), lower, lower.T)
            diagonal = update["products"][c].diagonal() - update["squares"][c]
            diagonal = each[c] * diagonal / (sums[c] ** 2 - series.squares[c, :bins])
            np.fill_diagonal(maps[c], np.where(events > 1, diagonal, np.nan))
        maps[~np.isfinite(maps)] = np.nan
        g2 = update["pairs"] / series.pairs[:, :bins]
    g2[~np.isfinite(g2)] = np.nan
    return maps, g2, series.pairs[:, :bins]
