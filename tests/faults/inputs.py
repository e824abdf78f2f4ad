"""Files of the input are cut off, or wrong."""

import os

import h5py
import numpy as np

from faults.badevents import frames_of
from faults.frame import Row, expect

LARGE = (2, 64, 64)
SLOW = """\
    def eventOk(self, evt):
        time.sleep(SECONDS)
        return True
"""


def cut_before(trial):
    """At any place: HDF5 will not open such a file."""
    frames_of(trial, chunked=trial.number % 2)
    path = trial.folder / "frames.h5"
    size = path.stat().st_size
    os.truncate(
        path, (0, 1, 7, 100, size - 1, size // 2)[trial.number] if trial.number < 6 else trial.random.randrange(size)
    )
    trial.compares = False
    trial.write(dataset="h5=frames.h5", src="det/frames")
    job = trial.start(limit=30)
    job.strike()
    job.ends(within=20)
    expect(job.status == 2, f"exit status {job.status}: {job.log}")
    job.says("frames.h5")
    expect(not trial.output.exists() and not job.published(), "something was published")
    trial.record.seconds = None


def cut_while_it_is_read(trial):
    """HDF5 itself would read zeros."""
    frames_of(trial, shape=LARGE)
    np.save(trial.folder / "mask.npy", np.ones(LARGE, np.int8))
    user = {"normalization": "color", "save_arrays": True}
    trial.write(body=SLOW, user=user, dataset="h5=frames.h5", src="det/frames", update=20, block=16)
    trial.whole = trial.undisturbed(trial.number)
    job = trial.start(env={"SECONDS": "0.01"})
    job.wait_published(3)
    job.strike()
    with h5py.File(trial.folder / "frames.h5") as file:
        begin = file["det/frames"].id.get_offset()
    size = (trial.folder / "frames.h5").stat().st_size
    os.truncate(trial.folder / "frames.h5", trial.random.randrange(begin, begin + (size - begin) // 2))
    wrong = "h5=frames.h5: the file was cut off while it was read"
    job.fails(10, "server at event ", wrong, ended=lambda _: trial.processed())
    trial.check_stopped(f"error: {wrong}")


def _another_mask(trial):
    trial.write(user={})
    np.save(trial.folder / "mask.npy", np.ones((2, 5, 6), int))


def _no_fine_colours(trial):
    np.save(trial.folder / "fine.npy", np.zeros((2, 5, 7), int))
    trial.write(user={"color": "color.npy", "finecolor": "fine.npy"})


def _no_result(trial):
    _write(trial, "out.h5", "notes")
    trial.write(overwrite=True)


# name of a file or key: what is wrong with it, words of the one line
WRONG = {
    "config.py: a syntax error": (lambda t: _write(t, "config.py", "system_params = {"), "config.py"),
    "config.py: an exception": (lambda t: _write(t, "config.py", "1 / 0"), "ZeroDivisionError"),
    "config.py: not there": (lambda t: (t.folder / "config.py").unlink(), "does not exist"),
    "config.py: no user_params": (lambda t: _write(t, "config.py", "system_params = {}"), "user_params"),
    "config.py: anybody may write to it": (lambda t: (t.folder / "config.py").chmod(0o666), "--trust-config"),
    "an unknown key": (lambda t: t.write(tims=5), "did you mean 'times'?"),
    "a wrong type": (lambda t: t.write(times="60"), "times"),
    "heartbeat too short": (lambda t: t.write(heartbeat=0.1), "heartbeat must be at least 1"),
    "a dataset that is not there": (lambda t: t.write(dataset="h5=none.h5", src="x"), "none.h5"),
    "a mask that is not there": (lambda t: (t.folder / "mask.npy").unlink(), "mask"),
    "a mask cut off": (lambda t: os.truncate(t.folder / "mask.npy", 90), "mask.npy"),
    "a mask of twos": (lambda t: np.save(t.folder / "mask.npy", np.full((2, 5, 7), 2)), "mask.npy"),
    "a mask of another shape": (_another_mask, "mask.npy"),
    "a mask of floats": (lambda t: np.save(t.folder / "mask.npy", np.ones((2, 5, 7))), "mask.npy"),
    "a mask that is a pickle": (lambda t: np.save(t.folder / "mask.npy", np.array([{}])), "mask.npy"),
    "a colour file of another shape": (lambda t: np.save(t.folder / "color.npy", np.ones(3, int)), "color.npy"),
    "negative colours": (lambda t: np.save(t.folder / "color.npy", np.full((2, 5, 7), -1)), "color.npy"),
    "no fine colour for a colour": (_no_fine_colours, "fine.npy"),
    "a result that exists": (lambda t: (t.folder / "out.h5").touch(), "--overwrite"),
    "a result in the place of the mask": (lambda t: t.write(h5output="mask.npy", overwrite=True), "the file of mask"),
    "a result in the place of no result": (_no_result, "is there and no result"),
    "a file in the place of the run's folder": (lambda t: (t.folder / "out.h5.inprogress").touch(), "is no folder"),
    "a result in the folder of a run": (lambda t: t.write(h5output="a.inprogress/b.h5"), "the folder of a run"),
    "too few ranks": (lambda t: t.write(numservers=5), "ranks are too few"),
}  # fmt: skip


def _write(trial, name, text):
    (trial.folder / name).write_text(text, encoding="utf-8")


def be_wrong(trial):
    trial.compares = False
    trial.write()
    name = list(WRONG)[trial.number % len(WRONG)]
    break_it, words = WRONG[name]
    break_it(trial)
    there = (trial.folder / "out.h5").exists()
    job = trial.start(limit=30)
    job.strike()
    trial.output = trial.folder / "none"
    job.ends(within=20)
    expect(job.status == 2, f"{name}: exit status {job.status}: {job.log}")
    job.says(words)
    expect((trial.folder / "out.h5").exists() == there, f"{name}: a result was begun")
    trial.record.seconds = None


TITLE = "Input is wrong: one line that names file or key; before any event exit status 2, later 1"
ROWS = [
    Row("config, mask, colour files and keys of twenty kinds", be_wrong, times=len(WRONG)),
    Row("an HDF5 file that is cut off at any place: exit status 2", cut_before, times=20),
    Row(
        "an HDF5 file that is cut off while it is read: exit status 1 within 10 s, what was read is published",
        cut_while_it_is_read,
        times=3,
    ),
]
