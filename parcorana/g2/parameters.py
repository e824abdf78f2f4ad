"""`user_params` of the G2 classes, checked."""

import os
import sys
from pathlib import Path

import numpy as np

from parcorana.curves.sums import NORMALIZATIONS
from parcorana.detector import colortable, masks
from parcorana.errors import ConfigError, nearest, shown
from parcorana.view.names import check_picture_name

PARAMS = (
    "color",
    "finecolor",
    "color_table",
    "saturated_value",
    "notzero",
    "normalization",
    "save_arrays",
    "plot_colors",
    "picture",
    "export",
    "fit",
    "frame_norm",
    "aged",
    "errors",
    "leverage",
)
#: `errors`: where those of the curves come from.
ERRORS = ("auto", "pixel groups", "time blocks", "pixels")
#: `times` up to which the viewer keeps the mean of all elements as long, for errors: beyond, it would take much memory.
MOST_TIMES = 1 << 18
#: `frame_norm`: the mean of each colour, no value of the events.
COLOR = "color"
_LARGEST = sys.float_info.max


def number_of(user_params, key):
    """Return a number of `user_params` as float, None if it is not given."""
    value = user_params.get(key)
    if value is None:
        return None
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ConfigError(f"user_params[{key!r}] must be a number or None, not {shown(value)}")
    return float(value)


def notzero_of(user_params, system_params):
    """Return `notzero` as float, None if it is not given; refuse what stored values cannot be."""
    value = number_of(user_params, "notzero")
    if value and system_params.get("store_dtype") == "float32":
        limits = np.finfo(np.float32)
        if not float(limits.tiny) <= abs(value) <= float(limits.max):
            raise ConfigError(
                f"user_params['notzero'] is {value:g}, which float32 cannot hold: it must be 0, or between "
                f"{limits.tiny:.1e} and {limits.max:.1e} in size; or set store_dtype='float64'"
            )
    return value


def file_of(user_params, key):
    """Return the name of a file in `user_params`, None if it is not given."""
    value = user_params.get(key)
    if value is None or value is False:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(f"user_params[{key!r}] must be the name of a .npy file or None, not {shown(value)}")
    return value


def normalization_of(user_params):
    """Return which normalization is asked for, or follows from the files."""
    value = user_params.get("normalization")
    if value is None or value is False or (isinstance(value, str) and not value):
        value = "finecolor" if file_of(user_params, "finecolor") else "color"
    if not isinstance(value, str) or value not in NORMALIZATIONS:
        raise ConfigError(
            f"user_params['normalization'] must be one of {', '.join(NORMALIZATIONS)}, not {shown(value)}"
            + nearest(shown(value), NORMALIZATIONS)
        )
    if value == "finecolor" and not file_of(user_params, "finecolor"):
        raise ConfigError("user_params['normalization'] is 'finecolor', but user_params['finecolor'] names no file")
    return value


def check_picture(user_params):
    """Refuse what `picture`, `plot_colors` and `export` cannot be."""
    if (export := user_params.get("export")) is not None and not isinstance(export, bool):
        raise ConfigError(f"user_params['export'] must be True or False, not {shown(export)}")
    picture, chosen = user_params.get("picture"), user_params.get("plot_colors")
    if picture is not None and not isinstance(picture, bool | str | Path):
        raise ConfigError(f"user_params['picture'] must be True, or the name of a file, not {shown(picture)}")
    if isinstance(picture, str | Path):
        check_picture_name(picture, "user_params['picture']")
    listed = isinstance(chosen, list | tuple | range) or (isinstance(chosen, np.ndarray) and chosen.ndim)
    if chosen is not None and not (listed and all(isinstance(c, int | np.integer) for c in chosen)):
        raise ConfigError(f"user_params['plot_colors'] must be a list of colours, not {shown(chosen)}")


def table_of(user_params, log=None):
    """Return the table of the colour file, as `colortable.find_table`; None if there is no such file."""
    color = file_of(user_params, "color")
    return None if color is None else colortable.find_table(color, user_params.get("color_table"), log)


def colors_of(user_params, mask):
    """Return colour and fine colour of the included elements, and all colours; no file: one colour for all."""
    color, colors, finecolor = np.ones(mask.shape, np.int64), np.ones(1, np.int64), None
    if path := file_of(user_params, "color"):
        color = masks.load_color(path, mask)
        colors = np.unique(color[color > 0])
    if path := file_of(user_params, "finecolor"):
        finecolor = masks.load_color(path, mask, key="finecolor")
        masks.check_finecolor(path, color, finecolor)
        finecolor = finecolor[mask]
    return color[mask], finecolor, colors


def check_colors(user_params, mask, log):
    """Check the files of colours; say what is odd about them."""
    color = colors_of(user_params, mask)[0]
    if warning := masks.few_colored(color):
        log(warning)
    table = table_of(user_params, log)
    number, sizes = np.unique(color[color > 0], return_counts=True)
    if table is not None and (doubt := colortable.doubts(table, number, sizes)):
        log(f"color_table: is it the table of this colour file? {doubt}")


def frame_norm_of(user_params):
    """Return the name of what curves are divided by the g2 of; None if nothing is asked for."""
    value = user_params.get("frame_norm")
    if value is None or value is False:
        return None
    if not isinstance(value, str) or not value.isidentifier():
        raise ConfigError(
            f"user_params['frame_norm'] must be the name of one of values, 'mean', 'color' or None, not {shown(value)}"
        )
    return value


def errors_of(user_params):
    """Return where errors are to come from, one of `ERRORS`."""
    value = user_params.get("errors")
    value = "auto" if value is None else value
    if not isinstance(value, str) or value not in ERRORS:
        raise ConfigError(
            f"user_params['errors'] must be one of {', '.join(map(repr, ERRORS))}, not {shown(value)}"
            + nearest(shown(value), ERRORS)
        )
    return value


def check_errors(user_class, user_params):
    """Refuse errors from time blocks of a class whose sums do not only grow, and of ratios."""
    normalization = normalization_of(user_params)
    if errors_of(user_params) == "time blocks" and (user_class.forgets or normalization == "pixel"):
        raise ConfigError(
            f"user_params['errors'] is 'time blocks', but {user_class.__name__} with the normalization "
            f"{normalization!r} has none: they need G2IncrementalAccumulator or MultiTauG2, and 'finecolor' or "
            "'color'; or take 'pixel groups'"
        )


def series_of(system_params, user_params, colors):
    """Return how many numbers of each event are correlated on the viewer, beside so many colours.

    They are what `frame_norm` divides by, and the mean of all coloured elements:
    with 'color' where there are several, else for the errors.
    """
    name = frame_norm_of(user_params)
    if name == COLOR:
        return colors + (colors > 1)
    scatter = errors_of(user_params) != "pixels" and system_params["times"] <= MOST_TIMES
    return (name is not None) + (name is not None or scatter)


def aged_of(user_params):
    """Return whether aged curves are wanted: True or False, None where nobody has said, which is as True."""
    value = user_params.get("aged")
    if value is not None and not isinstance(value, bool | np.bool_):
        raise ConfigError(f"user_params['aged'] must be True or False, not {shown(value)}")
    return value if value is None else bool(value)


def leverage_of(user_params):
    """Return whether what pulls the curves is wanted; it is unless somebody says no."""
    value = user_params.get("leverage")
    if value is not None and not isinstance(value, bool | np.bool_):
        raise ConfigError(f"user_params['leverage'] must be True or False, not {shown(value)}")
    return value is None or bool(value)


def has_aged(user_class, system_params, user_params):
    """Tell whether updates of a class have aged curves: several updates, pairs that stay, sums that can be taken off.

    Raises
    ------
    ConfigError
        They are asked for of ratios.
    """
    wanted = aged_of(user_params)
    if user_class.forgets or not system_params.get("update") or wanted is False:
        return False
    if (normalization := normalization_of(user_params)) == "pixel" and wanted:
        raise ConfigError(
            f"user_params['aged'] is True, but the normalization is {normalization!r}, whose ratios cannot be taken "
            "from each other: set it to 'finecolor' or 'color', or leave aged out"
        )
    return normalization != "pixel"
