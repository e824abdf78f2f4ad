"""The result file: one complete HDF5 file per update, joined at the end.

HDF5 written in place does not survive a kill; a new file for each update,
written aside, synced and renamed, does.
"""

import errno
import os
import shutil
from pathlib import Path

import numpy as np

from parcorana.errors import RunError
from parcorana.results.disk import explained, fresh, opened, sync
from parcorana.results.facts import ACCOUNT, write_facts, write_system
from parcorana.results.folder import BASE, MADE, SUFFIX, identity, make, version_of
from parcorana.results.join import join
from parcorana.results.lock import FolderLock


class ResultFile:
    """Results of one run.

    Parameters
    ----------
    name : str
        Of the file at the end, from `resolve_name`.
    config : Config
    ranks : list of (int, str, str)
        Rank, role and host of every rank.
    init : callable
        Called with the group `/user` of the file that every update begins from.
    resumed_at : list of int
        Events processed where the run was gone on with; empty for one that
        begins. The folder is then there, and what was published stays.
    lock : FolderLock, optional
        On that folder.
    """

    def __init__(self, name, config, ranks, init, resumed_at=(), lock=None):
        self.name = os.path.abspath(name)  # user code may change the working directory
        self.folder = Path(self.name + SUFFIX)
        # a counter that was free is not there to replace what has come under it since
        self._overwrites = config.overwrite and "%C" not in (config.h5output or "")
        self._found = version_of(self.name)
        with explained(f"h5output: cannot write to {str(self.folder)!r}"):
            if lock is not None:
                self._lock = lock
                self._write_base(config, ranks, init, resumed_at)
                return
            if self._found is not None and not self._overwrites:
                raise FileExistsError(errno.EEXIST, f"{self.name!r} has come since the run was started")
            make(self.folder)
            # workers may write their parts of a checkpoint from now on: what is in it stays
            self._lock = FolderLock(self.folder)
            MADE.add(identity(self.folder))
            try:
                self._write_base(config, ranks, init)
            except BaseException:
                # nothing is lost, and the next run must not be told of a run in progress
                shutil.rmtree(self.folder, ignore_errors=True)
                raise

    def _write_base(self, config, ranks, init, resumed_at=()):
        aside = self.folder / ".base.tmp"
        with opened(aside, "w") as file:
            write_system(file.create_group("system"), config, ranks)
            if resumed_at:
                file["system"].attrs["resumed_at"] = np.array(resumed_at, np.int64)
            init(file.create_group("user"))
        sync(aside)
        os.replace(aside, self.folder / BASE)

    def publish(self, processed, facts, write, ending=False):
        """Publish one update.

        Parameters
        ----------
        processed : int
            Number of events processed, which names the file; an update
            published again replaces what was there.
        facts : dict
            From the first worker: account, relsec, first and last time.
        write : generator function
            Called with the file's group `/user`; its steps are passed on.
        ending : bool
            Whether this is what a stopped run publishes at last, but its
            continuation will not.
        """
        kind = "ending" if ending else "update"
        final = self.folder / f"{kind}_{processed:06d}.h5"
        aside = self.folder / f".{kind}_{processed:06d}.tmp"
        account = facts["account"]
        # of the block that the update cuts in two, the rest was read: not used, as long as the run gets no further
        unused = account["read"] - sum(account.get(key, 0) for key in ACCOUNT[1:])
        facts = facts | {"account": account | {"unused": account.get("unused", 0) + unused}}
        what, after = f"the update at {processed} events", ""
        if final.exists():
            what, after = f"the full arrays at {processed} events", "; all updates without them are published"
        with explained(f"cannot publish {what} in {str(self.folder)!r}", after):
            shutil.copyfile(self.folder / BASE, fresh(aside))
            with opened(aside, "r+") as file:
                write_facts(file["system"], facts)
                yield from write(file["user"])
            sync(aside)
            os.replace(aside, final)
            sync(self.folder)

    def finish(self, facts):
        """Join all updates into the file; remove the folder, unless the run was stopped and left a checkpoint there.

        Parameters
        ----------
        facts : dict
            As `write_facts` takes them.
        """
        # a run that was stopped left a result, which the one that goes on with it replaces
        if not self._overwrites and version_of(self.name) not in (None, self._found):
            raise RunError(
                f"cannot write {self.name!r}: a file of that name has come while the run went on, and overwrite is not "
                f"set; what was published stays in {str(self.folder)!r}"
            )
        join(self.folder, facts, self._lock)

    def release(self):
        """Let others have the folder."""
        self._lock.release()
