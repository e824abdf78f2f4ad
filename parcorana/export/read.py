"""What of a result file is exported, where it holds several classes."""

from parcorana.detector.images import segments_apart
from parcorana.errors import ConfigError
from parcorana.export.what import exported
from parcorana.results.reading import classes_in, group_of, read_result, updates_in
from parcorana.results.twotime import GROUP as TWO_TIME
from parcorana.results.twotime import read_two_time
from parcorana.results.updates import updates_of


def read_exported(file, label, at=None, of=None, layout=None, given=None):
    """Gather what an open result file has for other programs.

    Parameters
    ----------
    file : h5py.File
    label : str
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
    there = classes_in(file)
    curves = [name for name in there if updates_in(file, label, name or None)]
    if of is not None:
        group_of(file, label, of)  # says which there are
    if of is None and len(curves) > 1:
        raise ConfigError(f"{label}: several classes have delay curves: say which by --class: {', '.join(curves)}")
    curves = [of] if of in curves else curves if of is None else []
    times = [name for name in there if updates_of(group_of(file, label, name or None), TWO_TIME)]
    if of is not None and of in times:
        times = [of]
    if len(times) > 1:
        raise ConfigError(
            f"{label}: several classes have two-time correlations: say which by --class: {', '.join(times)}"
        )
    if not curves and not times:
        raise ConfigError(f"{label}: it holds neither delay curves nor a two-time correlation: nothing to export")
    result = arrays = two_time = None
    if curves:
        result = read_result(file, label, at, curves[0] or None)
        arrays = updates_in(file, label, curves[0] or None)[result.processed]
    if times:
        user = group_of(file, label, times[0] or None)
        two_time = read_two_time(user, label, at if at in updates_of(user, TWO_TIME) or not curves else None)
    layout = segments_apart(file["system/mask"].shape) if layout is None else layout
    return exported(file, label, layout, result, arrays, two_time, given or {})
