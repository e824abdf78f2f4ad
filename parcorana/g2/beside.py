"""`picture` of `user_params`: an update drawn beside the result while the run goes on."""

from pathlib import Path

from parcorana.errors import ConfigError
from parcorana.files.aside import kind_in_place


def picture_of(user_params, system_params):
    """Return what `picture` asks for: True, the name of a file, or None."""
    picture = user_params.get("picture") or None
    if picture and system_params.get("h5output", True) is None:
        raise ConfigError("user_params['picture'] needs a result file to stand beside: set h5output")
    return picture


def draw_beside(picture, params, prepare):
    """Draw an update beside the result; whatever fails there must not end the run.

    Parameters
    ----------
    picture : str, Path or True
    params : parcorana.calculation.params.MpiParams
    prepare : callable
        Imports what draws; returns the size of the figure [inches], and what takes the figure and the name of the
        result.
    """
    path = Path(params.h5output)
    name = path.with_suffix(".png") if picture is True else picture
    try:
        from parcorana.view import pictures

        size, draw = prepare()
        before = kind_in_place(name)
        with pictures.shown(name, size=size, streams=False) as figure:
            draw(figure, path.name)
        if before:
            params.logWarning(f"picture {name}: {before} of that name was in its place, which it has taken")
    except Exception as error:
        params.logWarning(f"picture {name}: not drawn: {type(error).__name__}: {error}")
