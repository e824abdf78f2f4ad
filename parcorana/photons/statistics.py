"""Photon statistics on blocks."""

import numpy as np

from parcorana.calculation.arrays import Common, Summed
from parcorana.calculation.base import BlockBase
from parcorana.calculation.userclass import is_own
from parcorana.g2.beside import draw_beside, picture_of
from parcorana.g2.parameters import check_colors, check_picture, colors_of, number_of, table_of
from parcorana.g2.saturation import mark_saturated
from parcorana.g2.series import events_shared
from parcorana.photons import plain, write
from parcorana.photons.counter import NEVER, TOGETHER, Counter
from parcorana.photons.parameters import PARAMS, about_of
from parcorana.photons.pulses import Pulses


class PhotonStatistics(BlockBase):
    """How often an element has so many photons, and the contrast of the speckle: docs/definitions.md.

    For each colour and each exposure of 1, 2, 4 ... pulses: counts N(k), mean photons, the contrast of the negative
    binomial that makes them most likely, with its error, and the same without the variance from pulse to pulse.
    """

    buffer, in_order = "C", True
    keeps_history = True
    takes_params = PARAMS

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        self.about = about_of(user_params)
        self.saturated_value = number_of(user_params, "saturated_value")
        self.picture = picture_of(user_params, system_params)
        color, _, self.colors = colors_of(user_params, mpiParams.mask)
        self._index = np.where(color > 0, np.searchsorted(self.colors, color), -1).astype(np.int32)
        self.shares = events_shared(2 * max(len(self.colors), 1))
        self._said = set()
        if mpiParams.role in ("viewer", "alone"):
            table = table_of(user_params)
            self._stands_for = table and table.stands_for(self.colors)
            self.pulses = Pulses(self.about, len(self.colors))
            if system_params.get("photons") and self.about.photon != 1:
                mpiParams.logWarning(
                    f"user_params['photon'] is {self.about.photon:g}, but with system_params['photons'] the data are "
                    "photons already: leave it at 1"
                )
        if mpiParams.role == "alone":
            self._numbers = {}

    @property
    def changes_rows(self):
        """False: what saturates is only noted."""
        return is_own(type(self), "adjust")

    @classmethod
    def checkParams(cls, user_params, mask, log):
        """Check the parameters and files of `user_params`: docs/config.md."""
        about = about_of(user_params)
        number_of(user_params, "saturated_value")
        check_colors(user_params, mask, log)
        check_picture(user_params)
        if about.threshold > about.photon:
            log(
                f"user_params['threshold'] is {about.threshold:g}, above the {about.photon:g} of one photon: elements "
                "with one photon count as none, and the contrast is wrong; half a photon is usual"
            )

    def extra_bytes(self, elements, threads):
        """Return the bytes of the copy that an update works on, of the kernel's tables, and of what is shared."""
        about, colors = self.about, len(self.colors)
        table = 8 * len(about.exposures) * colors * (about.kmax + 3)
        copy = elements * (4 * (about.levels - 1) + 16 * len(about.exposures)) + 64 * table
        shared = 16 * colors * (self.shares + self.system_params["times"] + self.system_params["block"])
        unrelated = 72 * min(elements, TOGETHER)  # whole numbers of two windows, and where they are counted
        return copy + threads * (table + 2072 * colors) + 2 * shared + unrelated

    def collected_bytes(self, elements):
        """Return the bytes of what an update holds."""
        about, colors = self.about, len(self.colors)
        table = 8 * len(about.exposures) * colors * (about.kmax + 3)
        return 66 * table + 16 * (colors + 1) * self.system_params["times"]

    # -- on a worker --------------------------------------------------------------

    def arrays(self, elements):
        """Declare what is counted."""
        own = self._index[self.mpiParams.part][:elements]
        self.counter = Counter(own, len(self.colors), self.about)
        self._run = np.zeros(1, np.int64)
        self._not_whole = np.zeros(2, np.int64)  # elements looked at that have light, and those not near whole photons
        self._parts = []
        return self.counter.arrays() | {"run": Common(self._run), "not_whole": Summed(self._not_whole)}

    def adjust(self, block):
        """Note at which event elements saturate."""
        if self.mpiParams.role == "alone":
            self._numbers |= {int(t): block.first + k for k, t in enumerate(block.counters)}
            return
        if self.saturated_value is None:
            return
        spoilt = self.counter.spoilt
        marks = (spoilt != NEVER).astype(np.int8)
        new, first = mark_saturated(block, self.saturated_value, marks, self.mpiParams.threads)
        spoilt[new] = block.first + first

    def enter(self, events):
        """Count the photons of events that nothing can precede any more."""
        self._look(events)
        sums, number = self.counter.add(events, self.mpiParams.threads)
        self._parts.append((events.counters, np.repeat(self._run, len(events)), sums, number))

    def _look(self, events):
        """See in some events whether values lie near multiples of a photon."""
        some = events.columns(slice(None, None, max(1, events.elements // 512)))[:1]
        bright = np.asarray(some[some >= self.about.threshold], np.float64) / self.about.photon
        self._not_whole += len(bright), np.count_nonzero(np.abs(bright - np.round(bright)) > 0.25)

    def end_run(self, buffer):
        """Note that no window spans two runs."""
        self.counter.end_run()
        self._run += 1

    def _shared(self, parts):
        colors = len(self.colors)
        none = np.zeros(0, np.int64), np.zeros(0, np.int64), *np.zeros((2, 0, colors), np.int64)
        counters, run, sums, number = (np.concatenate(column) for column in zip(none, *parts, strict=True))
        return {"counters": Common(counters), "run": Common(run), "sums": Summed(sums), "number": Summed(number)}

    def share(self):
        """Return the photons of each colour and event since the last time."""
        parts, self._parts = self._parts, []
        return self._shared(parts)

    def collect(self, last, buffer):
        """Return the counts, with those of the events that still wait."""
        counter, waiting = self.counter.copy(), buffer.waiting()
        parts = []
        if len(waiting):
            sums, number = counter.add(waiting, self.mpiParams.threads)
            parts.append((waiting.counters, np.repeat(self._run, len(waiting)), sums, number))
        counts, photons = counter.unrelated()
        line = counter.stretches.arrays()
        found = {name: Summed(line[name].copy()) for name in ("counts", "photons")}
        found |= {name: Common(line[name].copy()) for name in ("first", "last", "events")}
        found |= {"unrelated.counts": Summed(counts), "unrelated.photons": Summed(photons)}
        found |= {f"waiting.{name}": array for name, array in self._shared(parts).items()}
        return found | {"not_whole": Summed(self._not_whole)}

    # -- on the viewer --------------------------------------------------------------

    def take_shared(self, update):
        """Take the photons of each colour and event."""
        self.pulses.add(update["counters"], update["run"], update["sums"], update["number"])

    def viewer_state(self):
        """Return what a checkpoint keeps of the pulses."""
        return self.pulses.state()

    def restore_viewer(self, state):
        """Take up the pulses where a run goes on."""
        self.pulses.restore(state)

    def publish(self, update, group):
        """Write counts and contrasts, and say what is wrong with them."""
        pulses = self.pulses.copy()
        pulses.add(*(update[f"waiting.{name}"] for name in ("counters", "run", "sums", "number")))
        found = write.statistics(update, pulses.variance())
        for key, text in write.warnings(self.about, self.colors, found, update.get("not_whole")):
            if key not in self._said:
                self._said.add(key)
                self.mpiParams.logWarning(f"at {update.processed:,} events: {text}")
        if group is None:
            return
        to = group.require_group(f"photons_at_{update.processed:06d}")
        to.attrs["relsec"] = update.relsec
        write.write(to, self.about, self.colors, found, self.system_params["rate"], self._stands_for)
        if self.picture:
            self._draw(group)

    def _draw(self, user):
        def prepare():
            from parcorana.results.photons import read_photons
            from parcorana.view import photons

            def draw(figure, name):
                photons.draw_photons(figure, read_photons(user, name), self.user_params.get("plot_colors"))

            return photons.SIZE, draw

        draw_beside(self.picture, self.mpiParams, prepare)

    def calcAndPublishForTestAlt(self, counters, data, h5UserGroup):
        """Count once more, by plain loops."""
        numbers = np.array([self._numbers[t] for t in counters.tolist()])
        about = self._index, len(self.colors), self.about, self.saturated_value
        found = plain.plain_statistics(counters, numbers, data, *about)
        group = h5UserGroup.create_group(f"photons_at_{self.mpiParams.processed:06d}")
        write.write(group, self.about, self.colors, found, self.system_params["rate"], self._stands_for)
