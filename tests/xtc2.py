"""Writes real LCLS-II runs: xtc2 files and their small data, as the data acquisition leaves them."""

import subprocess
import time
from pathlib import Path

import numpy as np

CONFIGURE, BEGIN_RUN, END_RUN, BEGIN_STEP, END_STEP, ENABLE, DISABLE, SLOW_UPDATE, L1_ACCEPT = (
    2,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    12,
)

# (detector type, version of its 'raw' interface, field): these name the psana class that reads it.
CLASSES = {
    "cspad": ("cspad", [2, 3, 42], "arrayRaw"),  # raises TypeError for an event that lacks a segment
    "jungfrau": ("jungfrau", [0, 1, 0], "raw"),  # returns None; a segment must be 512 x 1024
}
# Detectors of numbers: their type, the version of 'raw'.
NUMBERS = {
    "gmd": ("gmd", [2, 1, 0]),  # any fields
    "timing": ("ts", [2, 0, 0]),  # 'sequenceValues', 18 words of 16 bits: its field 'eventcodes' is made of them
}


def psana_time(ns):
    """Return psana's timestamp, seconds in the upper 32 bits and nanoseconds in the lower, of an int64 time [ns]."""
    seconds, nanoseconds = divmod(int(ns), 10**9)
    if not 0 <= seconds < 2**32:
        raise ValueError(f"psana has no time {ns} ns: the seconds must be in 0 ... 2^32 - 1")
    return seconds << 32 | nanoseconds


def write_run(
    folder,
    frames,
    stamps_ns,
    *,
    exp="tstx00126",
    run=7,
    streams=1,
    missing=(),
    lacking=(),
    detector="mydet",
    kind="cspad",
    end=True,
    pieces=(),
    numbers=None,
    slow=None,
):
    """Write one run and its small data.

    Parameters
    ----------
    folder : path
        Made if need be; several runs may be in one folder.
    frames : (n, segments, rows, cols) uint16
        The detector's data, event by event.
    stamps_ns : (n,) int
        Times [ns since 1990] of the events, in the order in which they are
        written; at least 4. What gaps they have the run has.
    exp, run : str, int
        Name the files and stand in them.
    streams : int
        Files that the segments are spread over.
    missing : set of (event, stream)
        Datagrams that are left out. An event that no stream has is not in the run.
    lacking : set of (event, segment or name)
        Segments, or detectors of `numbers`, that are left out of their datagram, which stays.
    detector : str
        Its name in psana.
    kind : {'cspad', 'jungfrau'}
        Its type.
    end : bool
        False leaves out the end of run, as a crash does.
    pieces : sequence of int
        Events from which on all streams go on in a next file, ``-c001`` and so on.
    numbers : dict of str to dict of str to (n, ...) array, optional
        Detectors of `NUMBERS` in the first stream, with what each field has in each event.
    slow : dict of str to (n,) array, optional
        Variables of EPICS in the first stream: the slow update after an event has what is at its place.

    Returns
    -------
    list of pathlib.Path
        The first data file of each stream. The small data is in `folder`/smalldata.
    """
    import psana

    frames = np.asarray(frames)
    stamps = [int(stamp) for stamp in stamps_ns]
    if frames.ndim != 4 or len(frames) != len(stamps):
        raise ValueError(f"frames {frames.shape} must be (n, segments, rows, cols) with n = {len(stamps)} stamps")
    folder = Path(folder)
    (folder / "smalldata").mkdir(parents=True, exist_ok=True)
    smdwriter = Path(psana.__file__).parents[1] / "bin" / "smdwriter"
    paths = []
    for stream, segments in enumerate(np.array_split(np.arange(frames.shape[1]), streams)):
        stem = f"{exp}-r{run:04d}-s{stream:03d}-c000"
        beside = ({}, {}) if stream else (numbers or {}, slow or {})
        writer = _Stream(detector, CLASSES[kind], segments.tolist(), exp, run, *beside)
        absent = {event for event, of in missing if of == stream}
        small = b""
        for part in writer.files(stem, frames, stamps, absent, set(lacking), end, pieces):
            path = folder / part[0]
            path.write_bytes(b"".join(part[1:]))
            one = folder / "smalldata" / f"{stem}.smd.xtc2"
            subprocess.run([smdwriter, "-f", path, "-o", one], check=True, stdout=subprocess.DEVNULL)
            made = one.read_bytes()
            # of the later ones without the configuration, which comes first
            small += made[12 + int.from_bytes(made[20:24], "little") if small else 0 :]
        one.write_bytes(small)
        paths.append(folder / f"{stem}.xtc2")
    return paths


def grow(source, folder, *, pieces=8, pause=0.1, wait=0.0, cut=0, finish=True):
    """Write a run again as the data acquisition does: file by file a piece at a time, then the final names.

    Parameters
    ----------
    source : path
        Folder that `write_run` wrote.
    folder : path
        Made if need be.
    pieces : int
        How many.
    pause : float [s], or callable
        How long to wait after each of them; or called then, and waits itself.
    wait : float [s]
        Between the last piece and the final names.
    cut : int [bytes]
        What the data files lack at the end.
    finish : bool
        False leaves ``.inprogress`` at the end of the names.
    """
    paths = sorted(Path(source).rglob("*.xtc2"))
    growing = []
    for path in paths:
        to = Path(folder, path.relative_to(source))
        to.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        growing.append((data if ".smd." in path.name else data[: len(data) - cut], to))
    for piece in range(pieces):
        for data, to in growing:
            with open(f"{to}.inprogress", "ab") as file:
                file.write(data[len(data) * piece // pieces : len(data) * (piece + 1) // pieces])
        pause() if callable(pause) else time.sleep(pause)
    time.sleep(wait)
    for _, to in growing if finish else ():
        Path(f"{to}.inprogress").rename(to)


class _Stream:
    """One file: its configuration, transitions and events."""

    def __init__(self, detector, class_, segments, exp, run, numbers, slow):
        from psana.dgramCreate import CyDgram, alg, nameinfo

        type_, version, self._field = class_
        self._segments = segments
        self._names = [nameinfo(detector, type_, f"serial{segment}", 10 + segment) for segment in segments]
        self._alg = alg("raw", version)
        self._info = nameinfo("runinfo", "runinfo", "", 250), alg("runinfo", [0, 0, 1]), {"expt": exp, "runnum": run}
        self._cydgram = CyDgram()
        self._numbers = [
            (name, nameinfo(name, NUMBERS[name][0], f"{name}0", 100 + k), alg("raw", NUMBERS[name][1]), fields)
            for k, (name, fields) in enumerate(numbers.items())
        ]
        self._epics, self._slow = (nameinfo("epics", "epics", "epics0", 200), alg("raw", [2, 0, 0])), slow

    def files(self, stem, frames, stamps, absent, lacking, end, pieces):
        """Yield the name of each file and its datagrams."""
        name = f"{stem}.xtc2"
        file = [name]
        for datagram in self._datagrams(name, frames, stamps, absent, lacking, end, pieces):
            if isinstance(datagram, str):
                yield file
                file = [datagram]
            else:
                file.append(datagram)
        yield file

    def _configure(self, ns, frames, piece):
        self._add_frame(np.zeros(frames.shape[1:], frames.dtype), 0)
        self._add_slow(0)
        self._cydgram.addDet(*self._info)
        if piece:
            self._cydgram.addDet(*piece)
        return self._cydgram.getSelect(psana_time(ns), CONFIGURE, add_names=True, add_shapes_data=False)

    def _piece(self, name, number):
        from psana.dgramCreate import alg, nameinfo

        names = nameinfo("chunkinfo", "chunkinfo", "", 251), alg("chunkinfo", [0, 0, 1])
        return *names, {"filename": name.replace("-c000.", f"-c{number:03d}."), "chunkid": number}

    def _datagrams(self, name, frames, stamps, absent, lacking, end, pieces):
        first, last = (min(stamps), max(stamps)) if stamps else (10**9, 10**9)
        yield self._configure(first - 4, frames, self._piece(name, 0) if pieces else None)
        self._cydgram.addDet(*self._info)
        yield self._transition(first - 3, BEGIN_RUN)
        yield self._transition(first - 2, BEGIN_STEP)
        yield self._transition(first - 1, ENABLE)
        without = {}
        for event, segment in lacking:
            without.setdefault(event, []).append(segment)
        for event, (stamp, frame) in enumerate(zip(stamps, frames, strict=True)):
            if event in pieces:
                piece = self._piece(name, list(pieces).index(event) + 1)
                yield self._transition(stamp - 3, DISABLE)
                yield piece[2]["filename"]
                yield self._configure(first - 4, frames, piece)
                self._cydgram.addDet(*piece)
                yield self._transition(stamp - 2, ENABLE)
            if event not in absent:
                self._add_frame(frame, event, without.get(event, ()))
                yield self._transition(stamp, L1_ACCEPT)
            # Real runs have one every second.
            if event % 16 == 7 and event + 1 < len(stamps) and stamps[event + 1] > stamp + 1:
                self._add_slow(event)
                yield self._transition(stamp + 1, SLOW_UPDATE)
        yield self._transition(last + 1, DISABLE)
        yield self._transition(last + 2, END_STEP)
        if end:
            yield self._transition(last + 3, END_RUN)

    def _add_frame(self, frame, event, without=()):
        for name, segment in zip(self._names, self._segments, strict=True):
            if segment not in without:
                data = {self._field: np.ascontiguousarray(frame[segment])}
                self._cydgram.addDet(name, self._alg, data, segment=segment)
        for name, info, alg, fields in self._numbers:
            if name not in without:
                self._cydgram.addDet(info, alg, {field: column[event] for field, column in fields.items()}, segment=0)

    def _add_slow(self, event):
        if self._slow:
            data = {name: float(column[event]) for name, column in self._slow.items()}
            self._cydgram.addDet(*self._epics, data, segment=0)

    def _transition(self, ns, transition):
        return self._cydgram.getSelect(psana_time(ns), transition, add_names=False, add_shapes_data=True)
