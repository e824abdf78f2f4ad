"""Plans for the correlation kernel: what a block of events is, on a line of positions.

A position is a pulse, in units of the smallest step between pulses. Pairs at a
delay are then two stretches of the line, one shifted against the other, and
a missing pulse is a zero. Where that would waste time (few events over a long
time), or count pairs that never were stored together, pairs are given as runs
of positions instead. Everything here depends on counters only, so that
all workers decide alike.
"""

import numpy as np

from parcorana import _core
from parcorana.correlation.plan import Plan, Union, as_runs

_TILE = 128  # elements that a thread takes at least
# A line may have so many positions for each event, and some more, beyond which runs are faster.
_SPARSE, _SPARE = 4, 64


def _step(t):
    """Return the pulses per position of a line through all of `t`; 0 if it would be too sparse."""
    if len(t) == 1:
        return 1
    step = int(np.gcd.reduce(np.diff(t)))
    positions = (int(t[-1]) - int(t[0])) // step + 1
    return step if positions <= _SPARSE * len(t) + _SPARE else 0


def scratch_bytes(times, block, delays, itemsize, threads, elements=None):
    """Return the bytes that the threads of a worker take at most while a plan is carried out.

    The longest line has `_SPARSE` positions for each of the events that are stored and that enter. It may hold as
    many pulses as lie between an event and its farthest partner, and those are there all at once.

    Parameters
    ----------
    times : int
        Length of the rolling buffer.
    block : int
        The most events that enter at once.
    delays : sequence of int
        Only their number counts.
    itemsize : int
        Of the stored values: 4 or 8.
    threads : int
    elements : int, optional
        At most one thread for 128 of them is ever used.

    Returns
    -------
    int
    """
    longest, among = (_SPARSE * events + _SPARE for events in (times + block, block))
    each = (
        _core.scratch_each(longest, longest, block, len(delays), True, itemsize),
        _core.scratch_each(longest, min(among, longest), block, len(delays), False, itemsize),
    )
    return max(each) * (threads if elements is None else min(threads, -(-elements // _TILE)))


def _line(t, delays, **given):
    """Return the positions of the times `t`, and a plan for a line of them."""
    step = _step(t)
    position = (t - t[0]) // step if step else np.arange(len(t))
    return position, Plan(length=int(position[-1]) + 1, step=step, counts=np.zeros(len(delays), np.int64), **given)


def _near(u, new, reach, delays):
    """Return the events that can be paired with the new ones, and whether old ones lie among or after those."""
    first = int(np.searchsorted(u.counter, reach - delays[-1]))
    last = int(np.searchsorted(u.counter, u.counter[new[-1]] + delays[-1], "right"))
    near = u.part(slice(first, last))
    return near, bool((near.seq[new[0] - first :] < 0).any())


def _lay(plan, u, position):
    """Say where the line's values come from."""
    old = u.seq < 0
    plan.old = as_runs(u.row[old], position[old])
    plan.fresh = as_runs(np.arange(np.count_nonzero(~old)), position[~old])


def _take_new(plan, u, processed):
    """Say which rows of the block the new events are, and which rows of the storage they get."""
    new = u.seq >= 0
    plan.source = processed[u.seq[new]]
    rows = u.row[new]
    stays = np.flatnonzero(rows >= 0)
    plan.keep = as_runs(stays, rows[stays])


def _add_runs(plan, u, position, kinds, delays):
    """Give the pairs of the kinds that each delay names as runs of positions."""
    if not kinds.any():
        return
    run, start, counts = _core.find_runs(
        u.counter.copy(),
        position.astype(np.int32),
        u.seq.copy(),
        u.leave.copy(),
        0,
        len(position),
        kinds,
        delays,
    )
    plan.run, plan.start = run, start
    plan.counts += counts


def _add_shifts(plan, u, position, delays, use, backwards=True):
    """Give the pairs of the delays that `use` marks as shifted stretches."""
    plan.column = np.flatnonzero(use & (delays % plan.step == 0))
    # beyond the line's length there are no pairs, however far
    shift = np.minimum(delays[plan.column] // plan.step, plan.length)
    plan.shift = -shift if backwards else shift
    present = np.zeros(plan.length, np.uint8)
    present[position] = 1
    is_new = np.zeros(plan.end - plan.begin, np.uint8)
    of_stretch = position[u.seq >= 0] - plan.begin
    is_new[of_stretch] = 1
    plan.present, plan.is_new = present, is_new
    plan.counts[plan.column] += _core.count_shifts(is_new, present, plan.begin, plan.shift)


def _first_unpaired(u, t_new):
    """Return the smallest delay at which an event left before its partner entered."""
    gone = np.arange(u.head)
    if not len(gone):
        return np.iinfo(np.int64).max
    by_seq = np.empty(len(t_new), np.int64)
    by_seq[u.seq[u.seq >= 0]] = t_new
    soonest = np.minimum.accumulate(by_seq[::-1])[::-1]
    return int((soonest[u.leave[gone]] - u.counter[gone]).min())


def plan_accumulated(u, processed, delays, deferred):
    """Plan the pairs that each event makes when it enters.

    Parameters
    ----------
    u : Union
    processed : (k,) int64
        Rows of the block that entered, in their order.
    delays : (D,) int64
    deferred : bool
        Whether IP and IF may be deferred; see docs/architecture.md.

    Returns
    -------
    Plan
    """
    new = np.flatnonzero(u.seq >= 0)
    t_new = u.counter[new]
    unpaired = _first_unpaired(u, t_new)
    # Deferred sums speak of the last pulses before the newest old event, so the line begins there.
    reach = u.counter[new[0] - 1] if new[0] else t_new[0]
    near, mixed = _near(u, new, reach, delays)
    # sums over the last pulses are deferred: what enters has to be newer than all that is stored
    newest = new[0] + len(new) == len(u.seq)
    return _plan_entering(near, processed, delays, mixed, unpaired, _core.MASKED, deferred and newest)


def plan_window(u, processed, delays):
    """Plan what a stretch does to the pairs, of G2 only, of all that is stored.

    Returns
    -------
    list of Plan
        To be carried out in this order: one for both, or what is lost and then what is gained.
    """
    both = _plan_both(u, processed, delays)
    if both is not None:
        return [both]
    leaving = _plan_leaving(u, delays)
    entering = _plan_gained(u, processed, delays)
    return [entering] if leaving is None else [leaving, entering]


def _plan_both(u, processed, delays):
    """Plan what is lost and what is gained on one line; None if new events lie among old ones."""
    stays = (u.seq < 0) | (np.arange(len(u.seq)) >= u.head)
    near = u.part(stays)
    new = np.flatnonzero(near.seq >= 0)
    gone = int(np.count_nonzero(u.seq[: u.head] < 0))
    if not gone or new[0] + len(new) != len(near.seq) or not _step(near.counter):
        return None
    near.leave[:] = _core.STAYS
    plan = _plan_entering(near, processed, delays, False, np.iinfo(np.int64).max, _core.ONLY_G2, False)
    plan.gone = int((near.counter[gone - 1] - near.counter[0]) // plan.step) + 1
    return plan


def _plan_gained(u, processed, delays):
    """Plan the pairs, of G2 only, that the stored events gain."""
    stays = u.part(slice(u.head, None))
    new = np.flatnonzero(stays.seq >= 0)
    near, mixed = _near(stays, new, stays.counter[new[0]], delays)
    near.leave[:] = _core.STAYS
    return _plan_entering(near, processed, delays, mixed, np.iinfo(np.int64).max, _core.ONLY_G2, False)


def _plan_entering(near, processed, delays, mixed, unpaired, mode, deferred):
    new = np.flatnonzero(near.seq >= 0)
    position, plan = _line(near.counter, delays, mode=mode)
    plan.begin, plan.end = int(position[new[0]]), int(position[new[-1]]) + 1
    # new events among old ones have a line of their own, which may be too sparse as well
    lined = bool(plan.step) and not (mixed and plan.end - plan.begin > _SPARSE * len(new) + _SPARE)
    plan.all_new = not (mixed and lined)
    _lay(plan, near, position)
    _take_new(plan, near, processed)
    shifted = (delays < unpaired) & lined
    kinds = np.where(shifted, _core.OLD_LATER * mixed, _core.NEW_LATER | _core.OLD_LATER).astype(np.uint8)
    if plan.step:
        if deferred and not mixed and shifted.all() and new[0] > 0:
            # a gap between the newest old event and the first new one belongs to the new ones
            plan.begin = int(position[new[0] - 1]) + 1
        _add_shifts(plan, near, position, delays, shifted)
        if deferred and not kinds.any() and new[0] > 0 and len(plan.column):
            _defer(plan)
    _add_runs(plan, near, position, kinds, delays)
    return plan


def _defer(plan):
    """Take the mode DEFERRED: correct IP and IF for the pulses that are missing."""
    plan.mode = _core.DEFERRED
    missing = np.flatnonzero(plan.present == 0)
    if len(missing):
        plan.missing = missing
        plan.new_first = np.array([np.searchsorted(missing, plan.begin), len(missing)])
        plan.lo = np.searchsorted(missing, plan.begin + plan.shift)
        plan.hi = np.searchsorted(missing, plan.end + plan.shift)


def _plan_leaving(u, delays):
    """Plan the pairs, of G2 only, that the stored events lose, before others enter."""
    old = u.seq < 0
    old_u = Union(
        u.counter[old], u.row[old], u.seq[old].copy(), np.full(np.count_nonzero(old), _core.STAYS, np.int32), 0
    )
    leaving = int(np.count_nonzero(old[: u.head]))
    if not leaving:
        return None
    last = int(np.searchsorted(old_u.counter, old_u.counter[leaving - 1] + delays[-1], "right"))
    near = old_u.part(slice(0, last))
    position, plan = _line(near.counter, delays, sign=-1.0)
    plan.old = as_runs(near.row, position)
    near.seq[:leaving] = 0
    plan.begin, plan.end = 0, int(position[leaving - 1]) + 1
    if plan.step:
        _add_shifts(plan, near, position, delays, np.ones(len(delays), bool), backwards=False)
    else:
        kinds = np.full(len(delays), _core.NEW_LATER | _core.OLD_LATER, np.uint8)
        _add_runs(plan, near, position, kinds, delays)
    return plan


def plan_stored(T, filled, delays, exact=False):
    """Plan all pairs among the first `filled` rows.

    Its mode is MASKED, or ENDS, in which IP and IF need no pairs and can be had without G2.

    Parameters
    ----------
    T : (times,) int64 [pulses]
    filled : int
    delays : (D,) int64 [pulses]
    exact : bool
        Whether IP and IF may not be differences of sums.

    Returns
    -------
    Plan
    """
    rows = np.argsort(T[:filled], kind="stable")
    t = T[rows]
    if not filled:
        return Plan(length=0, counts=np.zeros(len(delays), np.int64), mode=_core.MASKED)
    position, plan = _line(t, delays, mode=_core.MASKED)
    plan.end = plan.length
    plan.old = as_runs(rows, position)
    seq = np.zeros(filled, np.int32)
    near = Union(t, rows, seq, np.full(filled, _core.STAYS, np.int32), 0)
    if not plan.step:
        _add_runs(plan, near, position, np.full(len(delays), _core.NEW_LATER, np.uint8), delays)
        return plan
    _add_shifts(plan, near, position, delays, delays < plan.length * plan.step)
    missing = np.flatnonzero(plan.present == 0)
    if exact and len(missing):
        return plan
    plan.mode = _core.ENDS
    if len(missing):
        plan.missing, plan.new_first = missing, np.array([0, len(missing)])
    return plan


def plan_store(source, rows):
    """Plan to put rows `source` of a block into `rows` of the storage, and no more."""
    order = np.argsort(rows, kind="stable")
    plan = Plan(length=0, source=source[order])
    plan.keep = as_runs(np.arange(len(rows)), rows[order])
    return plan


def plan_tails(T, filled, delays, step):
    """Plan the sums over the newest stored events with which deferred sums are settled."""
    order = np.argsort(T[:filled], kind="stable")
    t = T[order]
    near = t > t[-1] - max(delays[-1], 1)
    rows, t = order[near], t[near]
    position = (t - t[0]) // step
    plan = Plan(length=int(position[-1]) + 1, step=step)
    plan.end = plan.length
    plan.old = as_runs(rows, position)
    plan.column = np.flatnonzero(delays % step == 0)
    plan.shift = -np.minimum(delays[plan.column] // step, plan.length)
    return plan
