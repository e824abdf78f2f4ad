"""`picture` of `user_params`: an update drawn beside the result while the run goes on."""

from pathlib import Path

from parcorana.errors import ConfigError


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
        with pictures.shown(name, size=size) as figure:
            draw(figure, path.name)
    except Exception as error:
        params.logWarning(f"picture {name}: not drawn: {type(error).__name__}: {error}")
