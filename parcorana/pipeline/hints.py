"""What the log says of delays without pairs, of pairs that were lost, of events that were dropped or have no beam.

Only what the counters of the events bear out: with gaps, trains and filters
neither a number of events nor a delay tells of the other.
"""

import numpy as np

from parcorana.calculation.says import needs_history
from parcorana.curves.monitor import PROCESSED
from parcorana.pipeline.backwards import span

_FEW = 100  # events before it is said that many of them were dropped
_LITTLE = 10  # times as many `times` as there are, which still are advice


class Hints:
    """The warnings of a run on its delays.

    Parameters
    ----------
    config : parcorana.job.config.Config
    calculation : parcorana.calculation.base.BlockBase
    """

    def __init__(self, config, calculation):
        self._config, self._delays = config, np.asarray(config.delays)
        # `counts` of a class of callbacks need be no pairs
        self._counts_pairs = isinstance(calculation, config.user_class)
        self._forgets = calculation.forgets
        self._needs = needs_history(config.user_class)
        self._in_order = getattr(calculation, "in_order", False)
        self._told = self._drops = None

    def at_update(self, facts, counts):
        """Return the lines that an update brings.

        Parameters
        ----------
        facts : dict
            Of the first worker.
        counts : (D,) int64 or None
            None: the class counts no pairs.
        """
        lines = []
        if self._drops is None and facts["account"]["read"] > _FEW:
            self._drops = self._dropped(facts)
            lines.append(self._drops)
        if self._told is None and counts is not None:
            self._told = self._lost(facts, counts)
            lines.append(self._told)
        return [line for line in lines if line]

    def at_end(self, facts, counts):
        """Return the lines that the end of a run brings; `counts` is None if there are none."""
        drops = self._dropped(facts)
        lines = [drops if drops != self._drops else None]
        lines += [found.doubt(name, PROCESSED) for name, found in facts.get("values", {}).items()]
        if counts is not None and self._needs and facts["account"]["processed"]:
            lost = self._lost(facts, counts)
            lines += [lost if lost != self._told else None, self._beyond(facts["reach"])]
            lines += [self._empty(facts, counts)]
        elif counts is not None and self._in_order and facts["account"]["processed"]:
            lines += [self._beyond(facts["reach"]), self._no_frames(facts, counts)]
        return [line for line in lines if line]

    def _dropped(self, facts):
        """Tell of duplicates and late events, if they are many, and of what may be their cause."""
        account, config, pulses = facts["account"], self._config, facts["pulses"]
        duplicate, late, behind = account["duplicate"], account["late"], facts["behind"]
        if duplicate + late <= config.max_bad * account["read"]:
            return None
        causes = []
        if duplicate:
            right = "are their counters right?" if pulses else f"is rate={config.rate} Hz right? are the times of the "
            right += "" if pulses else "events right (whole numbers are nanoseconds)?"
            causes.append(f"of duplicates: {right}" if late else right)
        if late:  # whatever the rate is: they are older than what came before them
            causes.append(f"late events are out of order: are their {'counters' if pulses else 'times'} right?")
            if 0 < behind < _LITTLE * config.times:
                causes[-1] += f" times={behind + 1:,} would take them up"
            if config.dataset.is_live and config.numservers > 1:
                causes[-1] += "; one server would keep the order of its source"
        older = f", up to {span(behind, None if pulses else config.rate)} older than the newest one" if behind else ""
        return (
            f"{duplicate} of {account['read']} events were duplicates and {late} came too late for a buffer of "
            f"times={config.times}{older}: {'; '.join(causes)}"
        )

    def _lost(self, facts, counts):
        """Tell of pairs that were lost since the buffer is too short for them."""
        reach, late = facts["reach"], facts["account"]["late"]
        lost = np.array(reach["lost"])
        which = lost > 0
        if self._forgets:  # what has left the window is not wanted; delays that it never reaches are
            which &= counts == 0
        if not self._needs or not which.any():
            return None
        more = "more than " if reach["cut"] else ""
        enough = f"times={reach['enough']:,} would have been enough" if not more else "more times are needed"
        if late:  # with more times some of them would not have been, and would have partners of their own
            number = f"{late:,} event{'s' * (late > 1)}"
            enough += f", and more for the {number} that came too late for the buffer"
        if self._forgets:
            return (
                f"times={self._config.times} is too small for {self._these(which)}: they have no pair in the buffer, "
                f"for an event leaves it before another one comes that many pulses later; {enough}"
            )
        first, last = np.flatnonzero(which)[[0, -1]]
        examples = "; ".join(
            f"delay {self._delays[d]:,}: {more}{lost[d]:,} lost, {counts[d]:,} counted" for d in sorted({first, last})
        )
        return (
            f"times={self._config.times} is too small for {self._these(which)}: {more}{lost[which].sum():,} pairs of "
            f"events were never in the buffer together, for the earlier one had left when the later one came "
            f"({examples}); {enough}"
        )

    def _beyond(self, reach):
        """Tell of delays that are longer than the run."""
        which = self._delays > reach["length"]
        if not which.any():
            return None
        length = f"{reach['length']:,} pulses ({reach['length'] / self._config.rate:.4g} s)"
        run = "the longest run" if reach["runs"] else "the run"
        return f"{self._these(which)} reach beyond {run}, whose events span {length}: they have no pairs"

    def _empty(self, facts, counts):
        """Tell of delays at which there is no pair of events, though the run is longer."""
        reach = facts["reach"]
        which = (counts == 0) & (self._delays <= reach["length"]) & (np.array(reach["lost"]) == 0)
        if not self._counts_pairs or not which.any():
            return None
        apart = reach["apart"]
        if apart > 1 and (self._delays[which] % apart).all():
            text = f"all events are multiples of {apart:,} pulses apart"
            return f"{self._these(which)} have no pair: {text}" + (
                "" if facts["pulses"] else f"; is rate={self._config.rate} Hz right?"
            )
        among = "in the buffer" if self._forgets else "that were processed"
        return f"{self._these(which)} have no pair: no two events {among} are that many pulses apart"

    def _no_frames(self, facts, counts):
        """Tell of delays at which there is no pair of frames, of a class that gets events in the order of time."""
        reach = facts["reach"]
        which = (counts == 0) & (self._delays <= reach["length"])
        if not self._counts_pairs or not which.any():
            return None
        apart, rate = reach["apart"], self._config.rate
        why = "no two frames of their level exist so far apart, for a frame needs all of its pulses"
        if apart > 1:
            text = f"{self._these(which)} have no pair: all events are multiples of {apart:,} pulses apart, and {why}"
            if facts["pulses"]:
                return f"{text}; divide the counters by {apart:,}"
            return f"{text}; set rate={rate / apart:.10g} Hz, so that they are one pulse apart"
        return f"{self._these(which)} have no pair: {why}"

    def _these(self, which):
        """Name the delays that are marked."""
        first, number, delays = self._delays[which][0], int(np.count_nonzero(which)), len(self._delays)
        of = f"{number} of {delays} delays"
        if number == 1:
            return f"{of} ({first:,} pulses)"
        tail = which[np.flatnonzero(which)[0] :].all()
        return f"{of} (from {first:,} pulses on)" if tail else f"{of} (as {first:,} pulses)"
