"""What is said of pairs that the rolling buffer lost, against a plain loop over the same events."""

import numpy as np
import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parcorana.correlation import reach
from parcorana.correlation.reach import Reach, is_state
from parcorana.correlation.rolling import RollingBuffer
from parcorana.reference import ReferenceBuffer


def plain(counters, times, delays):
    """Return lost pairs of each delay, and the least `times` that would have lost none."""
    buffer, gone, seen = ReferenceBuffer(times), set(), []
    lost, enough = [0] * len(delays), 0
    for counter in counters:
        before = set(buffer.stored)
        if buffer.enter(counter, None) != "processed":
            continue
        gone |= before - set(buffer.stored)
        for k, delay in enumerate(delays):
            if counter - delay in gone:
                lost[k] += 1
                enough = max(enough, 1 + sum(other >= counter - delay for other in seen))
        seen.append(counter)
    return lost, enough, seen


def followed(counters, times, delays, block, cut=None):
    """Return what `Reach` finds of events that enter in blocks; at block `cut` it goes on from its own state."""
    buffer, found = RollingBuffer(times, 1, block), Reach(delays)
    for k, first in enumerate(range(0, len(counters), block)):
        part = np.array(counters[first : first + block])
        entry = buffer.offer(part, len(part))
        found.look(entry.union, part[entry.processed])
        buffer.place(entry)
        if k == cut:
            state, found = found.state(), Reach(delays)
            assert is_state(state, len(delays))
            found.restore(state)
    return found


STEPS = st.lists(st.sampled_from([1, 1, 1, 2, 3, 40]), min_size=1, max_size=80)


@settings(max_examples=examples(200), deadline=None)
@given(
    steps=STEPS,
    swaps=st.lists(st.integers(0, 200), max_size=8),
    times=st.integers(1, 40),
    delays=st.sets(st.integers(0, 150), min_size=1, max_size=6),
    block=st.integers(1, 20),
)
@example(steps=[1] * 4, swaps=[0], times=1, delays={0, 1, 2}, block=1)  # with times=2 another event is not late
def test_lost_pairs_are_those_of_a_plain_loop(steps, swaps, times, delays, block):
    counters, delays = np.cumsum([0, *steps]).tolist(), sorted(delays)
    for k in swaps:  # out of order, and one that comes again
        k %= len(counters)
        counters[k : k + 4] = reversed(counters[k : k + 4])
        counters.append(counters[k])
    found, (lost, enough, seen) = followed(counters, times, delays, block), plain(counters, times, delays)
    assert found.lost.tolist() == lost
    # out of order an event of the same stretch may count that came later
    assert enough <= found.enough <= (enough + block * bool(swaps)) * bool(enough)
    assert found.length == max(seen) - min(seen)
    steps = np.diff(sorted(seen))
    assert found.apart == (np.gcd.reduce(steps) if len(steps) else 0)
    if found.enough and set(seen) == set(counters):  # it is enough, where none came too late
        assert not any(plain(counters, found.enough, delays)[0])
    elif times >= len(seen):
        assert not any(lost)


def test_events_one_by_one_beyond_what_is_heaped_up():
    counters = [*range(1500), *range(1600, 1700), 2600]
    delays = [1, 300, 900, 1100]
    found, (lost, enough, _) = followed(counters, 200, delays, 1), plain(counters, 200, delays)
    assert (found.lost.tolist(), found.enough) == (lost, enough) and lost[1] > lost[3] > 0


def test_what_is_forgotten_makes_lower_bounds(monkeypatch):
    monkeypatch.setattr(reach, "MOST", 100)
    found, (lost, enough, _) = followed(range(600), 50, [10, 400], 16), plain(range(600), 50, [10, 400])
    assert found.cut and found.lost.tolist() <= lost and 0 <= found.enough <= enough
    assert not followed(range(600), 50, [10, 100], 16).cut


def test_a_run_that_goes_on_counts_on():
    counters, delays = list(range(0, 900, 3)), [3, 90, 120]
    whole, resumed = followed(counters, 20, delays, 16), followed(counters, 20, delays, 16, cut=9)
    assert resumed.cut and not whole.cut
    assert (resumed.length, resumed.apart, resumed.enough) == (whole.length, 3, whole.enough) == (897, 3, 41)
    assert (resumed.lost <= whole.lost).all() and (resumed.lost[1:] > 0.8 * whole.lost[1:]).all()


def test_runs_are_apart():
    found, buffer = Reach([5, 50]), RollingBuffer(3, 1, 16)
    for first in (0, 10):  # the second run is the longer one; between them the buffer empties
        part = np.arange(100 * first, 100 * first + 8 + first)
        entry = buffer.offer(part, len(part))
        found.look(entry.union, part)
        buffer.clear()
        found.clear()
    assert (found.runs, found.length, found.apart) == (2, 17, 1)
    assert found.lost.tolist() == [(8 - 5) + (18 - 5), 0] and found.enough == 6


@pytest.mark.parametrize(
    "change",
    [{"lost": [1]}, {"lost": [1, -1]}, {"enough": -1}, {"cut": 0}, {"first": "1"}, {"more": 1}, {"one": 1 << 63}],
)
def test_a_state_that_is_none(change):
    state = followed([0, 1, 2], 2, [1, 2], 4).state()
    assert is_state(state, 2) and not is_state(state | change, 2)
