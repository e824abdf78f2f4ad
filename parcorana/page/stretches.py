"""Aged curves of a run that goes on: of some of its updates, however many there are, each read once."""

import dataclasses

from parcorana.files.plain import plain_file
from parcorana.results.aged import add_stretches
from parcorana.results.reading import classes_in

MOST = 40  # stretches that are kept of each class
_AT_ONCE = 8  # files that are opened at a look: the rest waits for the next


class Stretches:
    """The aged curves of some updates.

    Those whose place is a multiple of a power of two are taken: of the ones that are read already none is
    read again as the run grows.

    Attributes
    ----------
    found : dict of str to AgedCurves
        By class; replaced, never changed.
    """

    def __init__(self):
        self.found, self._read = {}, set()

    def look(self, files, label, own):
        """Read those that are missing.

        Parameters
        ----------
        files : dict of int to path
            Of all updates, oldest first.
        label : str
        own : bool
            Whether the files have been tried.

        Raises
        ------
        ConfigError
            A file cannot be read.
        """
        step = 1
        while len(files) // step > MOST:
            step *= 2
        wanted = dict(list(files.items())[step - 1 :: step])
        missing = {}
        for number, path in wanted.items():
            if number not in self._read:
                missing.setdefault(path, []).append(number)
        if not missing and self._read == wanted.keys():
            return
        found = {of: dataclasses.replace(aged, stretches=[*aged.stretches]) for of, aged in self.found.items()}
        for path, numbers in list(missing.items())[:_AT_ONCE]:
            with plain_file(path, own) as file:
                for of in classes_in(file):
                    aged = add_stretches(found.get(of), file, label, of or None, numbers)
                    if aged is not None:
                        found[of] = aged
            self._read.update(numbers)
        self._read &= wanted.keys()
        for aged in found.values():
            aged.stretches = sorted(
                (each for each in aged.stretches if each.processed in wanted), key=lambda each: each.processed
            )
        self.found = found
