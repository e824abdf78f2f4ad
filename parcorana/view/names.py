"""Names of pictures."""

from pathlib import Path

from parcorana.errors import ConfigError

PICTURES = (".png", ".pdf", ".svg")


def check_picture_name(path, key="-o"):
    """Raise ConfigError if a picture cannot have that name."""
    if Path(path).suffix.lower() not in PICTURES:
        raise ConfigError(f"{key}: {str(path)!r} must end in one of {', '.join(PICTURES)}")
    if not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"{key}: the folder {str(Path(path).parent)!r} does not exist")
