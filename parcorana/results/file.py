"""The result file: one complete HDF5 file per update, joined at the end.

HDF5 written in place does not survive a kill; a new file for each update,
written aside, synced and renamed, does.
"""

import errno
import logging
import os
import shutil
from itertools import takewhile
from pathlib import Path

import numpy as np

from parcorana.errors import ConfigError, RunError, one_line
from parcorana.files.aside import hdf5, written
from parcorana.files.links import fault_of_group
from parcorana.files.sealed import seal
from parcorana.results.disk import explained
from parcorana.results.facts import ACCOUNT, write_facts, write_system
from parcorana.results.folder import BASE, JOINED, MADE, SUFFIX, identity, make, published, version_of
from parcorana.results.join import join
from parcorana.results.joined import Joined, copy_content
from parcorana.results.lock import FolderLock
from parcorana.results.runlog import RunLog

log = logging.getLogger("parcorana")
_SOME = 32  # updates that are joined at once
_LARGE = 16 << 20  # bytes of an update that is left for the end
_NEVER = object()


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
        self._user_class = getattr(config.user_class, "__name__", "")
        self._joined, self._waiting = None, []
        self.log = None
        with explained(f"h5output: cannot write to {str(self.folder)!r}"):
            if lock is not None:
                self._lock = lock
                earlier = [path for path in published(self.folder) if path.name.startswith("update")]
                self._waiting = [path for path in earlier if int(path.stem[7:]) <= max(resumed_at, default=0)]
                self._write_base(config, ranks, init, resumed_at)
                self.log = RunLog(self.folder)
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
            self.log = RunLog(self.folder)

    def _write_base(self, config, ranks, init, resumed_at=()):
        with written(self.folder / BASE) as disk:
            with hdf5(disk) as file:
                write_system(file.create_group("system"), config, ranks)
                if resumed_at:
                    file["system"].attrs["resumed_at"] = np.array(resumed_at, np.int64)
                init(file.create_group("user"))
                self._check_user(file)
            seal(disk)

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
        account = facts["account"]
        # of the block that the update cuts in two, the rest was read: not used, as long as the run gets no further
        unused = account["read"] - sum(account.get(key, 0) for key in ACCOUNT[1:])
        facts = facts | {"account": account | {"unused": account.get("unused", 0) + unused}}
        what, after = f"the update at {processed} events", ""
        if final.exists():
            what, after = f"the full arrays at {processed} events", "; all updates without them are published"
        with explained(f"cannot publish {what} in {str(self.folder)!r}", after):
            with written(final) as disk:
                copy_content(self.folder / BASE, disk)
                with hdf5(disk, "r+") as file:
                    write_facts(file["system"], facts)
                    yield from write(file["user"])
                    self._check_user(file)
                seal(disk)
        if not ending:
            self._join_soon(final)

    def _check_user(self, file):
        """Refuse what user code wrote and cannot be joined, when it does so, not at the end of the run."""
        if fault := fault_of_group(file["user"].id):
            raise RunError(f"user_class {self._user_class}: {fault}")

    def _join_soon(self, path):
        """Join updates as the run goes on, a few at a time, for at its end nobody wants to wait.

        The last one may still be published again, with its full arrays. What is
        joined is nothing until the run ends: after a kill the updates are there.
        """
        if path not in self._waiting[-1:]:
            self._waiting.append(path)
        if self._joined is _NEVER or len(self._waiting) <= _SOME:
            return
        try:
            # what is large takes as long as its publishing did, and is left for the end with all that follows
            some = [path for path in self._waiting[: 2 * _SOME] if path is not self._waiting[-1]]
            some = list(takewhile(lambda path: path.stat().st_size < _LARGE, some))
            if not some:
                return
            self._joined = self._joined or Joined(self.folder / JOINED, own=True)
            self._joined.take(some)
            del self._waiting[: len(some)]
        except (OSError, ConfigError) as error:  # at the end it is tried again, and said if it must be
            log.debug("updates are joined at the end only: %s", one_line(error))
            self._forget_joined()

    def _forget_joined(self):
        if self._joined not in (None, _NEVER):
            self._joined.discard()
        self._joined = _NEVER

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
        joined, self._joined = self._joined, _NEVER
        self.log.end()
        join(self.folder, facts, self._lock, joined=None if joined is _NEVER else joined)

    def keep_log(self):
        """Write what was logged since the last time."""
        self.log.write()

    def release(self):
        """Let others have the folder."""
        self._forget_joined()
        self.log.end()
        self._lock.release()
