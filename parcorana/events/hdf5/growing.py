"""A series of parts, as an Eiger writes it, while it is written: the parts appear one after the other."""

import os
import posixpath
from contextlib import suppress

from parcorana.errors import ParCorAnaError, one_line
from parcorana.events.hdf5.files import Unreadable
from parcorana.events.hdf5.mapped import Mapped
from parcorana.events.hdf5.master import announced_by
from parcorana.events.hdf5.piece import Piece
from parcorana.events.hdf5.series import GAPS, Part, check_alike, frames_of, number_of, parts_of
from parcorana.events.hdf5.slab import Axis
from parcorana.events.hdf5.trust import NotThere


class Growing(Mapped):
    """The parts that are there, each after the one before it is finished.

    Parameters
    ----------
    trust : parcorana.events.hdf5.trust.Trust
    name : str
        Of the file that the group is in: links may be added to it, by whoever
        opens it anew, or puts another one in its place.
    path : str
        Of the group.
    where : str
        Names it in errors.
    warnings : list of str
        Takes what the user should know.

    Attributes
    ----------
    awaited : str or None
        What is waited for; None once there are as many images as the file
        states.

    Raises
    ------
    NotThere
        The first part is not there yet.
    ConfigError
        Parts that differ.
    """

    def __init__(self, trust, name, path, where, warnings):
        self._trust, self._name, self._path, self._where, self._warnings = trust, name, path, where, warnings
        self._parts, self._firsts, self._begin, self._guesses = [], [], None, False
        self._seen, self._links, self._total, self.awaited = None, {}, None, "its first part"
        self._look_at_links()
        self._take_more()
        if not self._parts:
            raise NotThere(f"{where}: {self.awaited}")
        first = self._parts[0].dataset()
        super().__init__((self._end(), *first.shape[1:]), first.dtype, first.fill, self._pieces())

    def refresh(self):
        """Look again at what others write."""
        self._look_at_links()
        self._take_more()
        if self._end() != self.shape[0]:
            self.shape = (self._end(), *self.shape[1:])
            self.arrange(self._pieces())

    def extent(self):
        """Return what changes whenever something is written."""
        return self.shape[0], len(self._parts), self._parts[-1].extent()

    def guess(self, guesses):
        """As `Plain.guess`: only the last part may still be filled."""
        self._guesses = guesses
        self._parts[-1].guess(guesses)

    def files(self):
        """Return the names of the files that may be written to; None stands for parts to come."""
        return [*self._parts[-1].files(), *([] if self.awaited is None else [None])]

    def _end(self):
        return self._firsts[-1] + self._parts[-1].dataset().shape[0] if self._parts else 0

    def _pieces(self):
        found = []
        for first, part in zip(self._firsts, self._parts, strict=True):
            frames, *inner = part.dataset().shape
            if frames:
                found.append(Piece(Axis.run(first, frames), tuple(Axis.run(0, size) for size in inner), part))
        return found

    def _look_at_links(self):
        """Read the links anew if the file has changed; what cannot be read now is read later."""
        try:
            found = os.stat(self._name)
        except OSError:  # another one is about to take its place, or it was moved: what it said still holds
            return
        seen = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        if seen == self._seen:
            return
        if self._seen is not None:
            self._trust.files.forget(self._name)
        with suppress(Unreadable, OSError, RuntimeError, KeyError, ValueError):
            group = self._trust.file(self._name)[self._path]
            self._links = {number_of(part): part for part in parts_of(group)} or self._links
            del group  # its file may be closed while others are opened
            self._total = announced_by(self._trust, posixpath.join(self._path, "parts"), self._name)
            self._seen = seen

    def _take_more(self):
        """Take the parts that are there, in order, up to the first one that is still written."""
        while not self._parts or self._is_finished(self._parts[-1]):
            if self._total is not None and self._end() >= self._total:
                self.awaited = None
            if not self._append():
                return
        self.awaited = f"more of {self._parts[-1]}"

    def _is_finished(self, part):
        """Look again at a part; tell whether its writer has closed it before."""
        finished = all(self._trust.files.is_written(name) is False for name in part.files())
        part.refresh()
        if finished:
            part.guess(False)
        return finished

    def _append(self):
        """Take the next part, if it is there."""
        after = number_of(str(self._parts[-1])) + 1 if self._parts else min(self._links, default=1)
        name = self._links.get(after)
        if name is None:
            later = min((number for number in self._links if number > after), default=None)
            more = "" if later is None else f", though to {self._links[later]}"
            self._await(f"there is no link to data_{after:06d} yet{more}")
            return False
        try:
            dataset, stated = frames_of(self._trust, self._name, self._path, name, self._where)
        except (NotThere, Unreadable) as error:
            self._await(f"{name} is not there yet ({str(error).removeprefix(f'{self._where}: ')})")
            return False
        except ParCorAnaError:
            raise
        except Exception as error:  # whatever h5py raises over what is half written
            self._await(f"{name} cannot be read yet ({one_line(error)})")
            return False
        end, part = self._end(), Part(name, dataset)
        check_alike(self._where, [*self._parts[:1], part])
        if not self._parts and after > 1:
            self._warnings.append(f"{self._where}: its parts begin with {name}: what comes before is not read")
        part.guess(self._guesses)
        self._firsts.append(self._place(stated, end))
        self._parts.append(part)
        return True

    def _place(self, stated, end):
        """Return where the frames of a part begin: by the number of its first image, or after those before it."""
        if not self._parts:
            self._begin = stated and stated[0]
            return 0
        if self._begin is None or stated is None:
            return end
        first = stated[0] - self._begin
        if first < end or first > GAPS * max(end, 1):
            self._begin = None
            self._trust.files.warn(
                "numbers", f"{self._where}: image_nr_low does not go on from part to part, so it is not used"
            )
            return end
        return first

    def _await(self, what):
        if self._total is None or self._end() < self._total:
            images = "" if self._total is None else f", and of {self._total:,} images {self._end():,} are there"
            self.awaited = f"{what}{images}"
