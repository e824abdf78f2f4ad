"""Reads one server's share of a dataset, or all of it with psana or h5py alone; for bench_sources.py.

Opens, says so, waits for a line, reads, says how many frames there were.

    python read_source.py {psana,idx,h5,plain_psana,plain_h5py} PATH SERVER SERVERS BLOCK
"""

import os
import sys

os.environ["PS_PARALLEL"] = "none"

import numpy as np


def plain_frames(kind, path, block):
    """Yield all frames with the library alone, as its documentation has it."""
    if kind == "plain_psana":
        from psana.psexp.serial_ds import SerialDataSource

        SerialDataSource._get_file_info_from_db = lambda self, run: {}  # the folder, not the logbook
        source = SerialDataSource(exp="tstx00126", run=7, dir=path, skip_calib_load="all", log_level="WARNING")
        run = next(source.runs())
        raw = run.Detector("mydet").raw.raw
        yield None
        for evt in run.events():
            yield raw(evt)
    else:
        import h5py

        with h5py.File(path) as file:
            yield None
            for first in range(0, len(file["frames"]), block):
                yield from file["frames"][first : first + block]


def read_plain(kind, path, block):
    """Return a function that reads everything and keeps the last frames as float32."""
    frames = plain_frames(kind, path, block)
    next(frames)

    def read():
        kept, count = None, 0
        for frame in frames:
            kept = np.empty((block, frame.size), np.float32) if kept is None else kept
            kept[count % block] = frame.reshape(-1)
            count += 1
        return count

    return read


def read_share(kind, path, server, servers, block):
    """Return a function that does what a server does, but for sending."""
    from parcorana import _move
    from parcorana.events.dataset import parse_dataset
    from parcorana.events.source import Share, open_source
    from parcorana.pipeline.block import BlockBuffer

    text = f"h5={path}" if kind == "h5" else f"exp=tstx00126:run=7:dir={path}{':idx' * (kind == 'idx')}"
    src = "frames" if kind == "h5" else "mydet"
    source = open_source(parse_dataset(text), src=src, share=Share(server, servers, block), log=lambda line: None)
    buffers, parts = None, None

    def put(frames, stamps, run):
        nonlocal buffers, parts
        if buffers is None:
            buffers = [BlockBuffer(block, [frames.shape[1]], np.float32) for _ in range(2)]
            parts = [_move.stretches(np.arange(frames.shape[1]))]
        if buffers[0].events + len(frames) > block:
            buffers.reverse()
            buffers[0].begin(0, -1, False)
        buffers[0].put(frames, stamps, run, parts, True)
        return len(frames)

    def read():
        count = 0
        for events in source.blocks():
            if hasattr(events, "pieces"):
                for k, frames in events.pieces():
                    count += put(frames.reshape(len(frames), -1), events.stamps[k : k + len(frames)], events.run)
            else:
                for event in events:
                    count += put(event.data().reshape(1, -1), event.stamp, event.run)
        return count

    return read


def main():
    """Read when told to."""
    kind, path = sys.argv[1:3]
    server, servers, block = map(int, sys.argv[3:])
    plain = kind.startswith("plain")
    read = read_plain(kind, path, block) if plain else read_share(kind, path, server, servers, block)
    print("ready", flush=True)
    sys.stdin.readline()
    print(read(), flush=True)


if __name__ == "__main__":
    main()
