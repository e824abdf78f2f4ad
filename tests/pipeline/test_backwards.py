"""Events that go back in time are spoken of while they come: with the size, and not once for each."""

from types import SimpleNamespace

import numpy as np
import pytest

from parcorana.correlate.rolling import RollingBuffer
from parcorana.pipeline.backwards import Backwards


def told(counters, times, cuts=64, pulses=False):
    """Return what is said of a stream, and what became of its events."""
    config = SimpleNamespace(times=times, rate=100.0, dataset=SimpleNamespace(is_live=True))
    backwards, buffer = Backwards(config), RollingBuffer(times, 0, cuts, order="C")
    lines, fates = [], []
    for first in range(0, len(counters), cuts):
        some = np.array(counters[first : first + cuts], np.int64)
        entry = buffer.offer(some, len(some))
        buffer.place(entry)
        lines.append(backwards.look(some, entry.fate, pulses))
        fates.append(entry.fate)
    return [line for line in lines if line], backwards, np.concatenate(fates)


@pytest.mark.parametrize("cuts", [1, 64, 5000])
def test_a_clock_that_jumps_back_is_said_soon_and_a_few_times(cuts):
    lines, backwards, _ = told([*range(5000), *range(1000, 4000)], 50, cuts)
    assert 1 <= len(lines) <= 6
    assert "by up to 3,999 pulses (39.99 s)" in lines[0] and "stop this run and start another one" in lines[0]
    assert "came too late for a buffer of times=50" in lines[0]
    assert backwards.behind == 3999
    if cuts == 1:
        assert len(lines) == 5 and "of the last 100 none is newer" in lines[0]


def test_a_jump_within_the_buffer_pairs_events_at_wrong_delays():
    lines, backwards, _ = told([*range(0, 2000, 2), *range(1001, 1900, 2)], 5000, pulses=True)
    assert "344 are paired with others by these times: look at the counters" in lines[-1]
    assert "0 came too late" in lines[-1] and " s)" not in lines[-1] and backwards.behind == 0


def test_nothing_but_late_events_in_any_order_are_said():
    old = np.random.default_rng(0).integers(0, 1000, 400)
    lines, _, _ = told([*range(5000, 5100), *old], 20)
    assert len(lines) in (2, 3) and "came too late" in lines[0]


@pytest.mark.parametrize(
    "counters",
    [
        range(3000),
        np.repeat(np.arange(10), 300),  # a rate that is far too small: duplicates, which do not go back
        np.concatenate([first + np.random.default_rng(first).permutation(300) for first in range(0, 3000, 300)]),
        [*range(1000), *range(950, 3000)],
    ],
    ids=["in order", "all the same", "shuffled", "a short step back"],
)
def test_what_is_no_jump_is_not_spoken_of(counters):
    assert told(list(counters), 400)[0] == []


def test_how_far_behind_late_events_are():
    rng = np.random.default_rng(1)
    counters = np.cumsum(rng.integers(-20, 30, 2000))
    _, backwards, fates = told(counters.tolist(), 5, cuts=7)
    newest = np.maximum.accumulate(counters)
    assert backwards.behind == (newest - counters)[fates == 2].max() > 0


def test_a_run_that_ends_is_forgotten():
    config = SimpleNamespace(times=5, rate=100.0, dataset=SimpleNamespace(is_live=True))
    backwards = Backwards(config)
    fate = np.zeros(300, np.int8)
    assert backwards.look(np.arange(1000, 1300), fate, False) is None
    backwards.clear()
    assert backwards.look(np.arange(300), fate, False) is None
