"""Tables of numbers as CSV, which commands write beside their pictures."""

import csv
import io

from parcorana.errors import ConfigError
from parcorana.files.aside import written


def write_table(path, rows):
    """Write what `--csv` asks for.

    Parameters
    ----------
    path : str
    rows : iterable of sequences of str and numbers
        The first one names the columns.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    csv.writer(text := io.StringIO(newline=""), lineterminator="\n").writerows(rows)
    try:
        with written(path) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        raise ConfigError(f"--csv {path}: cannot be written: {error.strerror}") from None
