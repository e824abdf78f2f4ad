"""What of a result file is exported, where it holds several classes."""

import dataclasses

from parcorana.detector.images import segments_apart
from parcorana.errors import ConfigError
from parcorana.export.tables import aged_rows, curve_rows, photon_rows, two_time_rows
from parcorana.export.what import exported
from parcorana.files.plain import plain_file
from parcorana.results.aged import read_aged
from parcorana.results.kinds import CURVES, PHOTONS, TWO_TIME, kinds_in
from parcorana.results.photons import read_photons
from parcorana.results.reading import find_file, group_of, read_result, read_table
from parcorana.results.twotime import read_two_time


def read_exported(file, name, at=None, of=None, layout=None, given=None):
    """Gather what an open result file has for other programs.

    Parameters
    ----------
    file : h5py.File
    name : str
        What a user named.
    at : int, optional
        Events processed at the update; the last one of each class without it.
    of : str, optional
        Class whose delay curves are meant, where there are several.
    layout : Layout, optional
        The detector as an image; without it segments lie side by side.
    given : dict, optional
        As `parcorana.export.what.exported` takes it.

    Raises
    ------
    ConfigError
        There is nothing that other programs want, or not that update.
    """
    there = kinds_in(file, name)
    curves, times = ([each for each, kinds in there.items() if kind in kinds] for kind in (CURVES, TWO_TIME))
    if of is not None:
        group_of(file, name, of)  # says which there are
    if of is None and len(curves) > 1:
        raise ConfigError(f"{name}: several classes have delay curves: say which by --class: {', '.join(curves)}")
    curves = [of] if of in curves else curves if of is None else []
    if of is not None and of in times:
        times = [of]
    if len(times) > 1:
        raise ConfigError(
            f"{name}: several classes have two-time correlations: say which by --class: {', '.join(times)}"
        )
    if not curves and not times:
        raise ConfigError(f"{name}: it holds neither delay curves nor a two-time correlation: nothing to export")
    result = arrays = two_time = aged = None
    if curves:
        result, updates = read_result(file, name, at, curves[0]), there[curves[0]][CURVES]
        arrays, aged = updates[result.processed], _aged(name, curves[0], updates, at)
    if times:
        user, updates = group_of(file, name, times[0]), there[times[0]][TWO_TIME]
        two_time = read_two_time(user, name, at if at in updates or not curves else None)
    layout = segments_apart(file["system/mask"].shape) if layout is None else layout
    return exported(file, name, layout, result, arrays, two_time, given or {}, aged)


def _aged(name, of, updates, at):
    """Return the aged curves of a class until an update; None where it has none."""
    if not any("aged" in update for update in updates.values()):
        return None
    found = read_aged(name, of)
    until = [stretch for stretch in found.stretches if at is None or stretch.processed <= at]
    return dataclasses.replace(found, stretches=until)


def read_tables(name, at=None, of=None):
    """Gather what a result, or a run in progress, has as tables.

    Parameters
    ----------
    name : str
        What a user named.
    at : int, optional
        Events processed at the update; the last one of each class without it. Aged curves are those until then.
    of : str, optional
        Only this one of several classes.

    Returns
    -------
    dict of str to generator
        Rows by kind, what there is of '' (delay curves), 'aged', 'twotime', 'photons', in this order.

    Raises
    ------
    ConfigError
        There is nothing of that, or not that update.
    """
    curves, aged, times, counted = [], [], [], []
    with plain_file(find_file(name, at)) as file:
        for each, kinds in kinds_in(file, name, of).items():
            label, group = f"{name} {each}" if each else name, group_of(file, name, each)
            if CURVES in kinds:
                curves.append(dataclasses.replace(read_result(file, name, at, each), label=label))
                if (found := _aged(name, each, kinds[CURVES], at)) is not None:
                    aged.append(dataclasses.replace(found, label=label))
            if TWO_TIME in kinds:
                times.append(dataclasses.replace(read_two_time(group, name, at), label=label))
            if PHOTONS in kinds:
                counted.append(dataclasses.replace(read_photons(group, name, at), label=label))
        table = read_table(file["system"], name)
    made = {
        "": (curves, curve_rows(curves)),
        "aged": (aged, aged_rows(aged)),
        "twotime": (times, two_time_rows(times, table)),
        "photons": (counted, photon_rows(counted, table)),
    }
    if not any(parts for parts, _ in made.values()):
        raise ConfigError(f"{name}: it holds no delay curves, two times or photon statistics: nothing for a table")
    return {kind: rows for kind, (parts, rows) in made.items() if parts}
