"""What the pictures take of Matplotlib, which looks at its settings when it is imported, and may not like them."""

from parcorana.errors import ConfigError, one_line

_SETTINGS = "see the variables MPLBACKEND and MATPLOTLIBRC, and a file matplotlibrc"

try:
    import matplotlib
    from matplotlib.axis import Axis, Tick
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import CenteredNorm, LinearSegmentedColormap, ListedColormap, LogNorm, Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.text import Text
    from matplotlib.ticker import MaxNLocator
except (ImportError, ValueError) as error:
    raise ConfigError(f"Matplotlib, which draws, cannot be loaded: {one_line(error)}; {_SETTINGS}") from None

__all__ = [
    "Axis",
    "CenteredNorm",
    "Figure",
    "LinearSegmentedColormap",
    "ListedColormap",
    "LogNorm",
    "MaxNLocator",
    "Normalize",
    "Patch",
    "ScalarMappable",
    "Text",
    "Tick",
    "matplotlib",
    "windows",
]


def windows():
    """Return pyplot, by which a window is shown.

    Raises
    ------
    ConfigError
        There is no display, or what is set shows no windows.
    """
    try:
        from matplotlib import pyplot

        backend = matplotlib.get_backend().lower()
        pyplot.switch_backend(backend)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"no window can be shown: {one_line(error)}; {_SETTINGS}; or say -o FILE.png") from None
    if backend == "agg":
        raise ConfigError("there is no display for a window: say -o FILE.png")
    if backend in ("cairo", "pdf", "pgf", "ps", "svg", "template"):
        raise ConfigError(f"no window can be shown by Matplotlib's {backend!r}; {_SETTINGS}; or say -o FILE.png")
    return pyplot
