"""What a full disk, or a file that is not what it should be, comes to: an error in one line."""

from contextlib import contextmanager

from parcorana.errors import ConfigError, RunError, one_line


@contextmanager
def explained(what, after=""):
    """Raise RunError, in one line, for an OSError or a file that is not what it should be."""
    try:
        yield
    except (OSError, ConfigError) as error:
        raise RunError(f"{what}: {one_line(error)}{after}") from None
