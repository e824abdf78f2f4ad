"""Reads one reader's share of a dataset, as a server does or with psana or h5py alone; for bench_sources.py.

For each line that comes it opens the dataset, says so, waits for another line, reads, and says how many frames
there were.

    python read_source.py {psana,idx,h5,plain_psana,plain_idx,plain_h5} PATH READER READERS BLOCK
"""

import os
import sys

os.environ["PS_PARALLEL"] = "none"

import numpy as np


def of_psana(path, reader, readers, block):
    """Yield the frames of a share as psana's documentation has it; several readers share by psana's own callback."""
    count = 0

    def share(run):
        nonlocal count
        for evt in run.events():
            if count // block % readers == reader:
                yield evt
            count += 1

    run = psana_run(path, smd_callback=share) if readers > 1 else psana_run(path)
    raw = run.Detector("mydet").raw.raw
    yield None
    for evt in run.events():
        yield raw(evt)


def of_idx(path, reader, readers, block):
    """Yield the frames of a share by their times."""
    run = psana_run(path)
    raw = run.Detector("mydet").raw.raw
    with run.build_table():
        times = sorted(run._ts_table)
    yield None
    for k, time in enumerate(times):
        if k // block % readers == reader:
            yield raw(run.event(time))


def psana_run(path, **options):
    """Open a run."""
    from psana.psexp.serial_ds import SerialDataSource

    SerialDataSource._get_file_info_from_db = lambda self, run: {}  # the folder, not the logbook
    source = SerialDataSource(exp="tstx00126", run=7, dir=path, skip_calib_load="all", log_level="WARNING", **options)
    return next(source.runs())


def of_h5(path, reader, readers, block):
    """Yield the frames of a share, a block at a time."""
    import h5py

    with h5py.File(path) as file:
        frames = file["frames"]
        yield None
        for first in range(reader * block, len(frames), readers * block):
            yield from frames[first : first + block]


def plain(kind, path, reader, readers, block):
    """Return a function that reads a share, and keeps the last frames as float32, as they are calculated with."""
    frames = {"plain_psana": of_psana, "plain_idx": of_idx, "plain_h5": of_h5}[kind](path, reader, readers, block)
    next(frames)
    kept = np.zeros((block, np.prod(SHAPE)), np.float32)

    def read():
        count = 0
        for frame in frames:
            kept[count % block] = frame.reshape(-1)
            count += 1
        return count

    return read


def server(kind, path, reader, readers, block):
    """Return a function that does what a server does, but for sending."""
    from parcorana.events.dataset import parse_dataset
    from parcorana.events.open import open_source
    from parcorana.events.protocol import Share
    from parcorana.events.segments import Segments
    from parcorana.pipeline.block import BlockBuffer
    from parcorana.pipeline.receivers import Receivers

    text = f"h5={path}" if kind == "h5" else f"exp=tstx00126:run=7:dir={path}{':idx' * (kind == 'idx')}"
    src = "frames" if kind == "h5" else "mydet"
    source = open_source(parse_dataset(text), src=src, share=Share(reader, readers, block), log=lambda line: None)
    elements = int(np.prod(SHAPE))
    receivers = Receivers([np.arange(elements)])
    buffers = [BlockBuffer(block, [elements], np.float32) for _ in range(2)]
    for buffer in buffers:
        buffer.memory[0][:] = 0  # as after the first blocks of a run: the pages are there

    def read():
        count = 0
        for events in source.blocks():
            buffer = buffers[0]
            buffers.reverse()
            buffer.begin(0, -1, False)
            if hasattr(events, "pieces"):
                for k, frames in events.pieces(None):
                    stamps = events.stamps[k : k + len(frames)]
                    buffer.put(frames.reshape(len(frames), -1), stamps, int(events.runs[k]), receivers, False)
            else:
                for event in events:
                    frame = event.frame()
                    pieces = frame.pieces if isinstance(frame, Segments) else [frame]
                    buffer.put([piece.reshape(1, -1) for piece in pieces], event.stamp, event.run, receivers, False)
            count += buffer.events
        return count

    return read


SHAPE = 2, 512, 1024


def main():
    """Read when told to."""
    kind, path = sys.argv[1:3]
    numbers = map(int, sys.argv[3:])
    arguments = kind, path, *numbers
    while sys.stdin.readline():
        read = (plain if kind.startswith("plain") else server)(*arguments)
        print("ready", flush=True)
        sys.stdin.readline()
        print(read(), flush=True)


if __name__ == "__main__":
    main()
