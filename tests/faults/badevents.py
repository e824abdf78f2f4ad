"""Events whose data is no good."""

import hashlib

import h5py
import numpy as np

from faults.frame import Row, expect

EVENTS = 400
BODY = """\
    def finalDataArray(self, dataArray, evt):
        if evt.stamp in {stamps}:
            return {bad}
        return dataArray
"""
TOO_MANY = """\
    def finalDataArray(self, dataArray, evt):
        if evt.stamp < 250:
            return dataArray
        struck()
        return dataArray[:1]
"""


def frames_of(trial, chunked=False, shape=(2, 5, 7), events=EVENTS):
    """Write frames in order, of floats; return them."""
    frames = np.random.default_rng(trial.number).poisson(5, (events, *shape)).astype(np.float32)
    with h5py.File(trial.folder / "frames.h5", "w") as file:
        more = {"chunks": (1, 2, 5, 7), "compression": "gzip", "shuffle": True, "fletcher32": True} if chunked else {}
        file.create_dataset("det/frames", data=frames, **more)
        file["det/counter"] = np.arange(events)
    return frames


def frames_in(trial):
    return hashlib.sha256((trial.folder / "frames.h5").read_bytes()).hexdigest()


def chosen(trial, count):
    return sorted(trial.random.sample(range(EVENTS), count))


FILTER = "    def eventOk(self, evt):\n        return evt.stamp not in {stamps}\n"


def run(trial, which, body="    pass", named=""):
    """Run on frames.h5, with these bad events; it must publish what a run publishes in which they are filtered."""
    bad = len(which)
    system = {"dataset": "h5=frames.h5", "src": "det/frames", "update": 100, "block": 16, "max_bad": 0.2}
    trial.write(body=FILTER.format(stamps=which), **system)
    trial.whole = trial.undisturbed((repr(which), frames_in(trial)))
    trial.write(body=body, **system)
    job = trial.start(env={"SECONDS": "0"})
    job.ends(within=60)
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    with h5py.File(trial.output) as file:
        account = {key: int(value) for key, value in file["system/accounting"].attrs.items()}
    expect(account["bad"] == bad and account["processed"] == EVENTS - bad, f"accounting: {account}")
    expect(job.log.count("bad event skipped") == min(bad, 5) and named in job.log, f"not named: {job.log}")
    trial.record.seconds = None  # of no fault: that is how long it runs
    trial.count(bad)


def not_finite(trial):
    frames = frames_of(trial)
    which = chosen(trial, 20)
    where = np.flatnonzero(trial.setup.mask)
    with h5py.File(trial.folder / "frames.h5", "r+") as file:
        for event in which:
            frames[event].reshape(-1)[trial.random.choice(where)] = trial.random.choice((np.nan, np.inf, -np.inf))
            file["det/frames"][event] = frames[event]
    run(trial, which, named="not finite in included elements")


def wrong(bad, named):
    def provoke(trial):
        frames_of(trial)
        which = chosen(trial, 20)
        run(trial, which, BODY.format(stamps=which, bad=bad), named)

    return provoke


def unreadable(trial):
    """Bytes of compressed chunks are overwritten: their checksums are wrong."""
    frames_of(trial, chunked=True)
    which = chosen(trial, 20)
    with h5py.File(trial.folder / "frames.h5") as file:
        places = [file["det/frames"].id.get_chunk_info_by_coord((event, 0, 0, 0)) for event in which]
    with open(trial.folder / "frames.h5", "r+b") as raw:
        for place in places:
            raw.seek(place.byte_offset + trial.random.randrange(place.size // 2))
            raw.write(trial.random.randbytes(8))
    run(trial, which)


def too_many(trial):
    frames_of(trial)
    trial.write(body=TOO_MANY, dataset="h5=frames.h5", src="det/frames", update=50, block=16, max_bad=0.05)
    trial.compares = False
    job = trial.start(env={"SECONDS": "0", "FAULT": "1"})
    job.fails(5, "events were bad, more than max_bad=0.05")
    trial.check_stopped("events were bad, more than max_bad=0.05")


TITLE = (
    "Events are bad: skipped, counted, the first five named; the run goes on, exit status 0, what it publishes is right"
)
ROWS = [
    Row("values that are not finite", not_finite, times=2, quick=1),
    Row("another shape", wrong("dataArray[:1]", "its shape is (1, 5, 7)"), times=2),
    Row("no numbers", wrong("np.full(dataArray.shape, 'x')", "not a number"), times=2),
    Row("chunks that cannot be read", unreadable, times=2),
    Row(
        "more than `max_bad` of them: exit status 1, one line, within 5 s, what was read is published",
        too_many,
        times=2,
    ),
]
