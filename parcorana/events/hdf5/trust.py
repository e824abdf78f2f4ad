"""What an HDF5 file may draw in from other files: what lies beside it, or in a folder that the user trusts."""

import os

import h5py

from parcorana.errors import ConfigError
from parcorana.events.dataset import escaped
from parcorana.files.paths import fault_of

_DEPTH = 8  # links, one within the other
_LINKS = 1000  # in one path, with those that they lead through: each may stand for many


class NotThere(ConfigError):
    """A file or a dataset that another one speaks of is not there."""


class Trust:
    """Finds what links and virtual datasets lead to, and looks whether it may be read.

    Parameters
    ----------
    files : parcorana.events.hdf5.files.Files
    name : str
        Of the file that the user named: those in its folder may be drawn in,
        and where it is a link, those in the folder of what it leads to.
    folder : str or None
        Its files, and those of the folders in it, may be drawn in, too.
    """

    def __init__(self, files, name, folder=None):
        self.files, self.name, self._given = files, name, folder
        self.folder = None if folder is None else os.path.realpath(folder)
        self._own = {os.path.realpath(os.path.dirname(os.path.abspath(name))), os.path.dirname(os.path.realpath(name))}
        self._links = 0
        self.parts = 0  # of virtual datasets, all together
        self.passed_over = {}  # what a file names but is not trusted, and what was found instead

    def allows(self, path):
        """Tell whether a file may be drawn in, wherever links of the file system lead."""
        real = os.path.realpath(path)
        return os.path.dirname(real) in self._own or (
            self.folder is not None and os.path.commonpath([self.folder, real]) == self.folder
        )

    def file(self, name):
        """Return a file as `Files.file` does; what has come to lead elsewhere meanwhile is refused."""
        if not self.files.has(name) and not self.allows(name):
            self._refuse(name, f"h5={self.name}", "it draws in")
        return self.files.file(name)

    def dataset(self, name, path):
        """Return a dataset of a file, until others are opened."""
        self.file(name)
        return self.files.dataset(name, path)

    def find(self, holder, wanted, where, what, prefix):
        """Return the file that another one names, looked for where HDF5 does, then in the folder that is trusted.

        Parameters
        ----------
        holder : str
            The file that speaks of it.
        wanted : str
            As it does so.
        where, what : str
            Begin the sentence of an error.
        prefix : str
            The environment variable with more folders.

        Raises
        ------
        NotThere
        ConfigError
            It is there, but not to be trusted, or no file.
        """
        places = self.places(holder, wanted, prefix)
        there = [place for place in places if os.path.exists(place)]
        found = next(filter(self.allows, there), None)
        if found is None:
            if there:
                self._refuse(there[0], where, what)
            raise NotThere(f"{where}: {what} {places[0]}, which is not there{self._elsewhere(places)}")
        if not os.path.isfile(found):
            raise ConfigError(f"{where}: {what} {found}: this {fault_of(found)}")
        if found != there[0]:
            self.passed_over[there[0]] = found
        return found

    def _refuse(self, path, where, what):
        folder = os.path.dirname(os.path.realpath(path))
        if self.folder is not None:
            folder = os.path.commonpath([self.folder, folder])  # one that has both
        named = f"':dir={escaped(folder)}'"
        advice = f"add {named} to the dataset" if self.folder is None else f"{named} has it, too"
        if folder == "/":
            advice = f"bring them together in one, {self._given} and this file have none"
        raise ConfigError(f"{where}: {what} {path}; other files are read only in a folder that you trust: {advice}")

    def _elsewhere(self, places):
        folders = list(dict.fromkeys(map(os.path.dirname, places)))[1:]
        beside = f", nor in {' or '.join(folders)}" if folders else ""
        return f"{beside}: if it was moved, name its folder by ':dir='" if self.folder is None else beside

    def places(self, holder, wanted, prefix):
        """Return where a file may be that another one names, in HDF5's order; the trusted folder comes last."""
        base = os.path.basename(wanted) if os.path.isabs(wanted) else wanted
        beside, real = os.path.dirname(os.path.abspath(holder)), os.path.dirname(os.path.realpath(holder))
        folders = [each.replace("${ORIGIN}", beside) for each in os.environ.get(prefix, "").split(":") if each]
        folders += [beside, os.getcwd(), real]
        places = [wanted] if os.path.isabs(wanted) else []
        places += [os.path.join(folder, base) for folder in folders]
        if self.folder is not None:
            places += [os.path.join(self.folder, base), os.path.join(self.folder, os.path.basename(base))]
        return list(dict.fromkeys(map(os.path.normpath, places)))

    def walk(self, name, group, path, where, depth=0):
        """Follow a path, through links into other files only where those are trusted.

        Parameters
        ----------
        name : str
            Of the file that `group` is in.
        group : h5py.Group
        path : str
        where : str
            Names what is looked for, in errors.

        Returns
        -------
        name : str
            Of the file that the path leads to.
        item : h5py object or None
            What is at the path, None if nothing is.

        Raises
        ------
        NotThere
            A link leads to nothing.
        ConfigError
            A link into a file that is not trusted, too many links.
        parcorana.events.hdf5.files.Unreadable
            A file on the way.
        """
        self._links = self._links + 1 if depth else 0
        if depth > _DEPTH or self._links > _LINKS:
            raise ConfigError(f"{where}: more than {_DEPTH} links, one after the other, or {_LINKS} in all")
        node = group.file["/"] if path.startswith("/") else group
        for part in filter(None, path.split("/")):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return name, None
            to = f"{part!r} is a link to"
            if isinstance(link, h5py.ExternalLink):
                name = self.find(name, link.filename, where, to, "HDF5_EXT_PREFIX")
                name, node = self.walk(name, self.file(name)["/"], f"/{link.path.strip('/')}", where, depth + 1)
                if node is None:
                    raise NotThere(f"{where}: {to} {link.path!r} in {name}, which is not there")
            elif isinstance(link, h5py.SoftLink):
                name, node = self.walk(name, node, link.path, where, depth + 1)
                if node is None:
                    raise NotThere(f"{where}: {to} {link.path!r}, which is not there")
            else:
                node = node[part]
        return name, node

    def warnings(self):
        """Return lines on files that were not read where they were named."""
        if not self.passed_over:
            return []
        named, found = next(iter(self.passed_over.items()))
        more = f" (and {len(self.passed_over) - 1} more)" if len(self.passed_over) > 1 else ""
        return [
            f"h5={self.name}: {found} is read{more}, and not {named}, which the file names, for that is in no folder "
            "that you trust"
        ]
