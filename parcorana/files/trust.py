"""Whether somebody else could have written a file that is run as code, or put another one in its place."""

import logging
import os
import stat
from pathlib import Path

from parcorana.errors import ConfigError

log = logging.getLogger("parcorana")


def check_trust(path, remedy=""):
    """Refuse a file that everybody may write to, or replace: it is run as code, with all that its user may do.

    Parameters
    ----------
    path : str
    remedy : str
        What to do besides, as the end of a sentence.

    Raises
    ------
    ConfigError
    """
    mode, name = os.stat(path).st_mode, str(path)
    if mode & stat.S_IWOTH:
        raise ConfigError(f"config: everybody may write to {name!r}, and it is run as code: chmod o-w it{remedy}")
    if mode & stat.S_IWGRP:
        log.warning("config: the group may write to %r, and it is run as code: chmod g-w it", name)
    for place in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):  # by way of links, too
        for item, folder in zip([Path(place), *Path(place).parents], Path(place).parents, strict=False):
            mode = os.stat(folder).st_mode
            if not mode & stat.S_IWOTH:
                continue
            where = f"everybody may write to the folder {str(folder)!r}"
            if not mode & stat.S_ISVTX:
                raise ConfigError(
                    f"config: {where}, so everybody may put another file in the place of {name!r}, and it is run as "
                    f"code: chmod o-w that folder{remedy}"
                )
            # there only who owns a thing may replace it
            if os.lstat(item).st_uid not in (os.geteuid(), 0):
                raise ConfigError(
                    f"config: {where}, {str(item)!r} in it belongs to somebody else, and {name!r} is run as code: "
                    f"copy it to a folder of your own{remedy}"
                )
