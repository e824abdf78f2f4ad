"""Others may write to a folder, and leave links there by which a file of this user would be overwritten, or read."""

import signal

from faults.frame import Row, expect
from faults.killed import PACED

VICTIM = b"precious\n"


class Planted:
    """A link to somebody's file, in a trial's folder."""

    def __init__(self, trial, *names):
        self.victim = trial.folder / "precious"
        self.victim.write_bytes(VICTIM)
        self.links = [trial.folder / name for name in names]
        for link in self.links:
            link.symlink_to(self.victim)

    def is_harmless(self, *gone):
        """Check that the file is what it was; of the links these, by their names, must be files now."""
        expect(self.victim.read_bytes() == VICTIM, "somebody's file was overwritten through a link")
        for link in self.links:
            expect(link.name not in gone or not link.is_symlink(), f"{link.name} is still a link")


def killed(trial, **system):
    """Leave a run behind that was killed."""
    trial.write(body=PACED, **system)
    job = trial.start()
    if "checkpoint" in system:
        job.wait(lambda: any(trial.folder.glob("out.h5.inprogress/checkpoint_*.json")), "there was a checkpoint")
    job.wait_published(3)
    job.strike(job.pid(3), signal.SIGKILL)
    job.ends(within=5)
    trial.record.seconds = None


def joined(trial, *args):
    return trial.run("parCorAnaDriver", "--join", "out.h5.inprogress", *args)


def as_file_of_the_join(trial):
    killed(trial)
    planted = Planted(trial, "out.h5.inprogress/joined.h5", "out.h5.inprogress/.joined.tmp", "out.h5.inprogress/.stop")
    ran = joined(trial)
    expect(ran.returncode == 0, ran.stderr)
    planted.is_harmless()
    expect(not trial.check_published(), f"{trial.record.problems}")


def as_result(trial):
    killed(trial)
    planted = Planted(trial, "out.h5")
    ran = joined(trial)
    expect(ran.returncode == 2 and "exists" in ran.stderr, ran.stderr)
    ran = joined(trial, "--overwrite")
    expect(ran.returncode == 0, ran.stderr)
    planted.is_harmless("out.h5")
    expect(not trial.check_published(), f"{trial.record.problems}")


def as_update(trial):
    """Of somebody who would have a file of his choice among the results."""
    killed(trial)
    folder = trial.folder / "out.h5.inprogress"
    (folder / "update_000999.h5").symlink_to(folder / "update_000050.h5")
    ran = joined(trial)
    expect(ran.returncode == 1 and "update_000999.h5' is a link, and must be a file; move it away" in ran.stderr, ran)
    (folder / "update_000999.h5").unlink()
    ran = joined(trial)
    expect(ran.returncode == 0 and not trial.check_published(), ran.stderr)


def as_checkpoint(trial):
    killed(trial, checkpoint=100)
    (manifest,) = trial.folder.glob("out.h5.inprogress/checkpoint_*.json")
    manifest.rename(trial.folder / "theirs.json")
    manifest.symlink_to(trial.folder / "theirs.json")
    ran = trial.run(*trial.launcher.command(4, "parCorAnaDriver", "-c", "config.py", "--resume"))
    lines = [line for line in ran.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    expect(ran.returncode == 2 and len(lines) == 1 and manifest.name in lines[0], ran.stderr)
    expect(joined(trial).returncode == 0 and not trial.check_published(), "not joined")


def while_it_goes_on(trial):
    trial.write(body=PACED)
    job = trial.start()
    job.wait_published(2)
    planted = Planted(trial, *(f"out.h5.inprogress/{name}" for name in ("update_000900.h5", ".update_000950.tmp")))
    job.ends(within=60)
    trial.record.seconds = None
    expect(job.status == 0, f"exit status {job.status}: {job.log}")
    planted.is_harmless()


def as_picture(trial):
    trial.write()
    planted = Planted(trial, "a.png", "a.csv")
    ran = trial.run("parCorAnaPlot", str(trial.undisturbed()), "-o", "a.png", "--csv", "a.csv")
    expect(ran.returncode == 0, ran.stderr)
    planted.is_harmless("a.png", "a.csv")


TITLE = "Links are planted where something is written or read: none is followed, nothing of anybody is overwritten"
ROWS = [
    Row("in the folder of a run that is joined", as_file_of_the_join),
    Row("in the place of the result that is joined", as_result),
    Row("as an update: refused in one sentence until it is gone", as_update),
    Row("as a checkpoint: refused in one sentence", as_checkpoint),
    Row("in the folder of a run that goes on", while_it_goes_on),
    Row("in the place of a picture and its table", as_picture),
]
