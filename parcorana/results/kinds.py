"""What kinds of updates each class of a result has."""

from parcorana.results.photons import GROUP as PHOTONS
from parcorana.results.reading import GROUP as CURVES
from parcorana.results.reading import classes_in, group_of
from parcorana.results.twotime import GROUP as TWO_TIME
from parcorana.results.updates import updates_of

__all__ = ["CURVES", "PHOTONS", "TWO_TIME", "kinds_in"]


def kinds_in(file, label, of=None):
    """Return what there is in an open result file.

    Parameters
    ----------
    file : h5py.File
    label : str
    of : str, optional
        Only this one of several classes.

    Returns
    -------
    dict of (str or None) to dict
        By class, None for a single one: of each kind, `CURVES`, `TWO_TIME` or `PHOTONS`, that it has, the groups of its
        updates by number of events, oldest first.

    Raises
    ------
    ConfigError
        There is no such class.
    """
    names = [name or None for name in classes_in(file)] if of is None else [of]
    found = {}
    for name in names:
        group = group_of(file, label, name)
        updates = {kind: updates_of(group, kind) for kind in (CURVES, TWO_TIME, PHOTONS)}
        found[name] = {kind: groups for kind, groups in updates.items() if groups}
    return found
