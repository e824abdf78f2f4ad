"""What the page says in words: how the run is, what is wrong with its numbers, what became of its events."""

import time
from html import escape

import numpy as np

from parcorana.curves.monitor import PROCESSED
from parcorana.errors import escaped
from parcorana.page.follow import DIED, ENDED, GONE, RUNNING, SILENT, STOPPED, WAITING
from parcorana.view.pictures import notes_on

_PAINT = {  # of the state: behind white letters
    RUNNING: "#00704f", WAITING: "#4a5560", SILENT: "#b34700", DIED: "#b00020", STOPPED: "#b34700",
    ENDED: "#005a8f", GONE: "#b00020",
}  # fmt: skip
_HANGS = 30.0  # seconds without an answer of the disk, from which on it is said
_MANY = 0.05  # part of the elements that is saturated, from which on it is said at the top


def plain(words):
    """Return words for a page: nothing in them is taken for more than letters."""
    return escape(escaped(str(words), "\n"))


def clock(when):
    """Return a time of day."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def span(seconds):
    """Return how long something takes, as ``3 min 12 s``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def title(label):
    """Return the name of a run, as HTML."""
    return f'<div style="font-size:20px;font-weight:bold;overflow-wrap:anywhere">{plain(label)}</div>'


def banner(seen, looked=None):
    """Return the state of a run, as HTML: large, and in a colour.

    Parameters
    ----------
    seen : Seen
    looked : float, optional [s since 1970]
        When the run was looked at last. Without it, on a page that is not told any more, it says only when, not
        how long ago.
    """
    state = seen.state
    since = ""
    if state.since is not None:
        ago = f" ({span(max(time.time() - state.since, 0))} ago)" if looked else ""
        what = "last update" if state.kind in (RUNNING, SILENT, DIED) and seen.numbers else "since"
        since = f"{what} {clock(state.since)}{ago}"
    words = state.text
    if looked and time.time() - looked > _HANGS:
        words = f"{words}; its disk has not answered since {clock(looked)}: what is shown is from before"
    return (
        f'<div style="background:{_PAINT[state.kind]};color:#fff;padding:10px 14px;border-radius:6px">'
        f'<span style="font-size:24px;font-weight:bold;margin-right:14px">{state.kind.upper()}</span>'
        f'<span style="font-size:16px">{plain(since)}</span>'
        f'<div style="font-size:14px;overflow-wrap:anywhere">{plain(words)}</div></div>'
    )


def nothing(seen):
    """Return what stands in the place of curves before there is an update, as HTML."""
    words = "There is no update to show." if seen.state.is_over else "No update yet: curves come with the first one."
    return f"<p>{words}</p>"


def numbers(seen, update):
    """Return the numbers that one looks for first, as HTML: events, rate, time left."""
    if update is None:
        return ""
    account, whole = update.account, seen.latest.account
    boxes = [(f"{update.processed:,}", "events processed at this update")]
    if seen.total and not seen.state.is_over:
        boxes.append((f"{min(whole['read'] / seen.total, 1):.1%}", f"of {seen.total:,} events read"))
    if np.isfinite(seen.rate) and not seen.state.is_over:
        boxes.append((f"{seen.rate:,.3g} /s", "events processed, of late"))
    if (left := seen.seconds_left) is not None:
        boxes.append((span(left), "left at this rate"))
    lost = account["late"] + account["bad"] + account["duplicate"]
    boxes.append((f"{lost:,}", "late, bad or duplicate"))
    boxes.append((clock(update.written)[11:], f"written, {clock(update.written)[:10]}"))
    cells = "".join(
        '<div style="flex:1 1 120px;padding:4px 10px;border-left:3px solid #c9d1d9">'
        f'<div style="font-size:24px;font-weight:bold;white-space:nowrap">{plain(number)}</div>'
        f'<div style="font-size:13px;color:#444">{plain(what)}</div></div>'
        for number, what in boxes
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{cells}</div>'


def warnings_of(seen, update):
    """Return what makes a number of an update wrong or partial, a sentence each."""
    found = [seen.trouble] * bool(seen.trouble)
    if update is None:
        return [*found, *_logged(seen, found)]
    facts, account = update.facts, update.account
    if seen.state.kind == STOPPED:
        found.append(f"the result is not complete: {facts.get('ended_by')}")
    for name, why in (
        ("bad", "of another shape than the mask, unreadable or not finite"),
        ("late", "older than what the buffer holds: they are in no pair"),
        ("duplicate", "of a time that was there already"),
        # of a run that goes on, or was killed, they are those that were under way
        ("unused", "read, but not used" if seen.state.kind == STOPPED and facts.get("ended_by") != "killed" else ""),
    ):
        if account[name] and why:
            found.append(f"{account[name]:,} of {account['read']:,} events are {name}: {why}")
    if not account["processed"]:
        found.append("no event was processed: curves are NaN")
    if merged := facts.get("updates_merged"):
        found.append(
            f"{merged:,} updates were merged into later ones, for the viewer was busy; no event is lost by that"
        )
    if left_out := facts.get("updates_left_out"):
        found.append(f"damaged updates are left out: {', '.join(map(str, left_out))}")
    if facts.get("mode", "main") != "main":
        found.append(f"this is the result of --{facts['mode']}, the testing mode")
    found += filter(None, (each.doubt(name, PROCESSED) for name, each in update.values.items()))
    for of, part in update.parts.items():
        if part.result is not None:
            found += [f"{of}{': ' * bool(of)}{line}" for line in _of_curves(part.result)]
    return list(dict.fromkeys([*found, *_logged(seen, found)]))


def _logged(seen, found):
    """Return the warnings of the log, with their time, but for what is said already."""
    return [f"log, {when}: {line}" for line, when in seen.warnings if line not in found]


def _of_curves(result):
    lines = [line for line in notes_on(result, width=10_000).splitlines() if line]
    saturated, elements = np.count_nonzero(result.saturated), np.count_nonzero(result.mask)
    if saturated > _MANY * elements:
        lines.append(f"{saturated:,} of {elements:,} elements are saturated, and left out of the curves")
    none = [color for color, curve in result.curves.items() if not np.isfinite(curve.g2).any()]
    if none and result.counts.any():
        lines.append(f"colours without a curve: {', '.join(map(str, none[:10]))}{' ...' if len(none) > 10 else ''}")
    return lines


def warnings(lines):
    """Return warnings as HTML, empty without any."""
    if not lines:
        return ""
    rows = "".join(f"<li>{plain(line)}</li>" for line in lines)
    return (
        '<div style="background:#fff3e0;border-left:6px solid #d55e00;padding:8px 12px;font-size:15px;'
        f'overflow-wrap:anywhere"><b>Warnings</b><ul style="margin:4px 0;padding-left:20px">{rows}</ul></div>'
    )


def account(seen, update):
    """Return what became of the events, and of what the run is made, as an HTML table."""
    if update is None:
        return ""
    rows = [(name, f"{count:,}") for name, count in update.account.items()]
    facts = update.facts
    elements = max((np.count_nonzero(p.result.saturated) for p in update.parts.values() if p.result), default=0)
    more = [("elements of the mask", f"{facts['elements']:,}"), ("saturated elements", f"{elements:,}")]
    more += [
        ("data", facts["dataset"]),
        ("ranks", ", ".join(f"{n} {role}{'s' * (n > 1)}" for role, n in facts["ranks"].items())),
    ]
    more += [("classes", ", ".join(update.parts))] if len(update.parts) > 1 else []
    more += [("frame_norm", ", ".join(facts["frame_norm"]))] if facts["frame_norm"] else []
    resumed = facts.get("resumed_at")
    more += [("resumed at", ", ".join(f"{number:,}" for number in resumed))] if resumed else []
    more += [("parcorana", facts.get("version", ""))]
    whole = update is not seen.latest and seen.state.is_over
    title = "Events of the whole run" if whole else f"Events until {update.processed:,} were processed"
    return f"<b>{plain(title)}</b>{_table(rows, 'right')}<b>The run</b>{_table(more, 'left')}"


def _table(rows, align):
    cell = f'style="padding:1px 10px 1px 0;text-align:{align};overflow-wrap:anywhere"'
    inner = "".join(f"<tr><td>{plain(name)}</td><td {cell}>{plain(value)}</td></tr>" for name, value in rows)
    return f'<table style="font-size:14px;border-spacing:8px 2px">{inner}</table>'


def log(seen):
    """Return the log's last lines, as HTML, the newest first; empty without any."""
    if not seen.log:
        return ""
    lines = "\n".join(plain(f"{when[11:]} {level} {line}") for when, level, line in reversed(seen.log))
    style = "font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:420px;overflow-y:auto;margin:4px 0"
    return f'<b>Log, newest line first</b><pre style="{style}">{lines}</pre>'
