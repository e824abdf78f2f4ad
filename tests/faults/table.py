"""All groups, one after the other, and the table of provoked.md."""

import importlib
import os
import pkgutil
import platform
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faults
from faults.frame import Record, Session, run_trial
from faults.launchers import NAMES

HEAD = (
    "| fault | provoked | as promised | longest time to the end [s] | ranks left behind | published results lost |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def groups(only=None):
    """Return the modules of this package that have rows: name -> module."""
    names = [module.name for module in pkgutil.iter_modules(faults.__path__) if module.name != "__main__"]
    modules = {name: importlib.import_module(f"faults.{name}") for name in names}
    found = {name: module for name, module in modules.items() if hasattr(module, "ROWS")}
    unknown = set(only or ()) - set(found)
    if unknown:
        raise SystemExit(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    return {name: module for name, module in found.items() if only is None or name in only}


def machine():
    """Return what the figures were taken on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    name = model[1].strip() if model else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, Linux {platform.release().split('-')[0]}"


def run(launcher, only=None, jobs=2, times=None):
    """Provoke everything; return the rows of the table, (module, row, Record or why not), as they come.

    Parameters
    ----------
    launcher : Launcher
    only : list of str, optional
        Names of groups.
    jobs : int
        Trials at once.
    times : float, optional
        Multiplies how often each fault is provoked.
    """
    session = Session()
    work = []
    for name, module in groups(only).items():
        for row in module.ROWS:
            why = row.skip() or (None if launcher.name in row.mpi else f"not with {NAMES[launcher.name]}")
            count = 0 if why else max(1, round(row.times * (times or 1)))
            work.append((name, module, row, why, count))
    done = []
    with ThreadPoolExecutor(jobs) as pool:
        futures = {}
        for name, _, row, _, count in work:
            if not row.alone:
                futures[id(row)] = [pool.submit(run_trial, session, launcher, name, row, k) for k in range(count)]
        for name, module, row, why, count in work:
            start = time.monotonic()
            record = Record()
            if row.alone and count:
                for others in futures.values():
                    for future in others:
                        future.result()
                parts = [run_trial(session, launcher, name, row, k) for k in range(count)]
            else:
                parts = [future.result() for future in futures.get(id(row), [])]
            for part in parts:
                record.add(part)
            done.append((module, row, why or record))
            tell(row, why or record, time.monotonic() - start)
    shutil.rmtree(session.folder, ignore_errors=True)
    return done


def tell(row, record, seconds):
    """Print one row as it comes."""
    if isinstance(record, str):
        print(f"left out  {row.fault}: {record}", flush=True)
        return
    good = record.kept == record.provoked and not record.left and not record.lost
    print(f"{'ok' if good else 'NOT SO':8}  {line(row, record)}  ({seconds:.1f} s)", flush=True)
    for problem in record.problems[:3]:
        print("    " + problem.replace("\n", "\n    "), file=sys.stderr, flush=True)


def line(row, record):
    """Return a row of the table."""
    seconds = "" if record.seconds is None else f"{record.seconds:.1f}"
    return f"| {row.fault} | {record.provoked} | {record.kept} | {seconds} | {record.left} | {record.lost} |"


def is_good(done):
    """Tell whether everything ended as promised."""
    records = [record for _, _, record in done if isinstance(record, Record)]
    return bool(records) and all(r.kept == r.provoked and not r.left and not r.lost for r in records)


def as_text(done, launcher, seconds):
    """Return the table."""
    records = [record for _, _, record in done if isinstance(record, Record)]
    total = Record()
    for record in records:
        total.add(record)
    lines = [
        f"{launcher}, {machine()}, {time.strftime('%Y-%m-%d')}: {total.provoked:,} faults in "
        f"{seconds / 60:.1f} minutes, {total.kept:,} as promised.",
        "",
        HEAD,
    ]
    last = None
    for module, row, record in done:
        if module is not last:
            lines.append(f"| **{module.TITLE}** | | | | | |")
            last = module
        lines.append(f"| {row.fault} | {record} | | | | |" if isinstance(record, str) else line(row, record))
    return "\n".join(lines)


def write(path, launcher, text):
    """Put the table between the markers of this launcher in a document."""
    path = Path(path)
    begin, end = f"<!-- faults: {launcher.name} -->", f"<!-- end of faults: {launcher.name} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{path}: it has no lines {begin} and {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
