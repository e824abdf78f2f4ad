"""What an HDF5 file may draw in from other files: nothing, but what lies in a folder that the user trusts."""

import glob
import os
import re

import h5py

from parcorana.errors import ConfigError, one_line
from parcorana.events.dataset import escaped

_DEPTH = 8  # links and virtual datasets, one within the other
_LINKS = 1000  # in one path, with those that they lead through: each may stand for many
_PARTS = 100_000  # of a virtual dataset, with theirs


class Trust:
    """Looks at where the data of a dataset really is.

    Parameters
    ----------
    folder : str or None
        Its files, and those of the folders in it, may be drawn in.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else os.path.realpath(folder)
        self._links = self._parts = 0

    def check_path(self, group, path, where, depth=0):
        """Refuse a path that leads through links into other files than trusted ones.

        Returns
        -------
        h5py object or None
            What is at `path`, None if nothing is.
        """
        self._links = self._links + 1 if depth else 0
        if depth > _DEPTH or self._links > _LINKS:
            raise ConfigError(f"{where}: more than {_DEPTH} links, one after the other, or {_LINKS} in all")
        node = group.file["/"] if path.startswith("/") else group
        for part in filter(None, path.split("/")):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if isinstance(link, h5py.ExternalLink):
                self._check_link(node.file, part, link, where, depth)
            elif isinstance(link, h5py.SoftLink) and self.check_path(node, link.path, where, depth + 1) is None:
                raise ConfigError(f"{where}: {part!r} is a link to {link.path!r}, which is not there")
            node = node[part]
        return node

    def _check_link(self, file, part, link, where, depth):
        """Look at what a link into another file leads to: it may be such a link again."""
        name = _beside(file, link.filename)
        self._check_file(name, where, f"{part!r} is a link to")
        with h5py.File(name, "r", locking="best-effort") as opened:
            if self.check_path(opened, "/" + link.path.strip("/"), where, depth + 1) is None:
                raise ConfigError(f"{where}: {part!r} is a link to {link.path!r} in {name}, which is not there")

    def check_storage(self, item, where, check, depth=0):
        """Refuse a dataset whose values lie in other files than trusted ones.

        Parameters
        ----------
        item : h5py.Dataset
        where : str
            Names it in errors.
        check : callable
            Called with each dataset that holds values itself, and `where`.
        """
        self._parts = self._parts + 1 if depth else 0
        if depth > _DEPTH or self._parts > _PARTS:
            raise ConfigError(
                f"{where}: more than {_DEPTH} virtual datasets, one within the other, or {_PARTS:,} in all"
            )
        if item.external:
            raise ConfigError(
                f"{where}: its values are in external storage ({item.external[0][0]}), which is not read: copy them "
                "into the file, for example with h5repack"
            )
        if not item.is_virtual:
            return check(item, where)
        for name, path in sorted({(source.file_name, source.dset_name) for source in item.virtual_sources()}):
            if name == ".":
                self._check_part(item.file, path, where, check, depth)
                continue
            for file in self._files(_beside(item.file, name), where):
                try:
                    opened = h5py.File(file, "r", locking="best-effort")
                except OSError as error:
                    raise ConfigError(f"{where}: its part {file} cannot be read ({one_line(error)})") from error
                with opened:
                    self._check_part(opened, path, f"{where}: {file}", check, depth)
        return None

    def _check_part(self, file, path, where, check, depth):
        part = self.check_path(file, path, where)
        if not isinstance(part, h5py.Dataset):
            raise ConfigError(f"{where}: its part {path} is not a dataset of that file")
        self.check_storage(part, where, check, depth + 1)

    def _files(self, path, where):
        """Return the files that a name in a virtual dataset stands for."""
        found = [path]
        if re.search(r"%\d*b", path):  # a number that counts the files
            found = sorted(glob.glob(re.sub(r"%\d*b", "*", glob.escape(path))))
            self._check_file(path, where, "it is a virtual dataset, made of")
        for file in found:
            self._check_file(file, where, "it is a virtual dataset, made of")
        return found

    def _check_file(self, path, where, what):
        real = os.path.realpath(path)
        if self.folder is None or os.path.commonpath([self.folder, real]) != self.folder:
            raise ConfigError(
                f"{where}: {what} {path}; other files are read only in a folder that you trust: "
                f"add ':dir={escaped(os.path.dirname(path)) or '.'}' to the dataset"
            )
        if "%" not in path and not os.path.isfile(real):
            raise ConfigError(f"{where}: {what} {path}, which is not there")


def _beside(file, name):
    return os.path.join(os.path.dirname(os.path.abspath(file.filename)), name)
