"""Results as tables of numbers: what ``--csv`` writes. Names of columns have their units."""

import csv
import io

import numpy as np

from parcorana.errors import ConfigError, RunError, one_line
from parcorana.files.aside import written

_OF_PAIRS = ["delay [pulses]", "seconds", "g2"]
_OF_COLORS = ["color", "q [1/angstrom]"]
_OF_STRETCH = ["first [pulses]", "last [pulses]", "age [s]"]


def write_table(path, rows, streams=True):
    """Write what `--csv` asks for.

    Parameters
    ----------
    path : str
    rows : iterable of sequences of str and numbers
        The first one names the columns.
    streams : bool
        Whether it was asked for by just this name, as `written` wants to know.

    Raises
    ------
    ConfigError
        Its name is that of something else, or there is no such folder.
    RunError
        It cannot be written.
    """
    if not str(path).lower().endswith(".csv"):  # a result or a config must not be replaced by a slip of the hand
        raise ConfigError(f"--csv {path}: its name must end with .csv")
    csv.writer(text := io.StringIO(newline=""), lineterminator="\n").writerows(rows)
    try:
        with written(path, streams) as file:
            file.write(text.getvalue().encode(errors="backslashreplace"))  # names of files may be no text
    except OSError as error:
        kind = ConfigError if isinstance(error, FileNotFoundError | NotADirectoryError) else RunError
        raise kind(f"--csv {path}: cannot be written: {error.strerror or one_line(error)}") from None


def curve_rows(results, colors=None):
    """Generate a line for each colour and delay of curves, after the names of the columns.

    Parameters
    ----------
    results : list of parcorana.results.reading.Result
    colors : collection of int, optional
        Only these.
    """
    normed = any(result.frame_norm for result in results)
    more = ["error", "counts", "elements", *["g2_uncorrected", "g2_of_frame_norm"] * normed]
    yield ["file", *_OF_COLORS, *_OF_PAIRS, *more]
    for result in results:
        for color in _chosen(result.curves, colors):
            curve = result.curves[color]
            nothing = np.full(len(curve.g2), np.nan)
            before = (result.before.get(color, curve.g2), result.divisors.get(color, nothing)) if normed else ()
            about, pairs = (result.label, color, _q(result.table, color)), (result.delays, result.delays / result.rate)
            columns = *pairs, curve.g2, curve.error, result.counts, curve.elements, *before
            yield from ([*about, *map(_text, row)] for row in zip(*columns, strict=True))


def aged_rows(several, colors=None):
    """Generate a line for each stretch, colour and delay of aged curves, after the names of the columns.

    Parameters
    ----------
    several : list of parcorana.results.aged.AgedCurves
    colors : collection of int, optional
        Only these.
    """
    yield ["file", "since", "processed", *_OF_STRETCH, *_OF_COLORS, *_OF_PAIRS, "counts", "elements"]
    for aged in several:
        for stretch in aged.stretches:
            about = aged.label, stretch.since, stretch.processed, stretch.first, stretch.last
            age = _text(stretch.middle / aged.rate)
            for color in _chosen(stretch.curves, colors):
                columns = aged.delays, aged.delays / aged.rate, stretch.curves[color], stretch.counts
                for row in zip(*columns, stretch.elements[color], strict=True):
                    yield [*about, age, color, _q(aged.table, color), *map(_text, row)]


def two_time_rows(several, table=None):
    """Generate a line for each colour, age and delay of two-time correlations, after the names of the columns.

    Before those of a colour come the lines of all its ages together, with errors.

    Parameters
    ----------
    several : list of parcorana.results.twotime.TwoTimeResult
    table : ColorTable, optional
        What the colours stand for.
    """
    yield ["file", *_OF_STRETCH, *_OF_COLORS, *_OF_PAIRS, "error"]
    for two in several:
        seconds = [_text(delay / two.rate) for delay in two.delays]
        for color, g2 in two.g2.items():
            about = color, _q(table, color)
            if color in two.mean:
                ends = int(two.ages[0]), int(two.ages[-1]) + two.width - 1
                pairs = zip(two.delays.tolist(), seconds, two.mean[color], two.error[color], strict=True)
                for delay, second, mean, error in pairs:
                    yield [two.label, *ends, "", *about, delay, second, _text(mean), _text(error)]
            for first, row in zip(two.ages.tolist(), g2, strict=True):
                last = first + two.width - 1
                age = _text((first + last) / 2 / two.rate)
                for pair in zip(two.delays.tolist(), seconds, map(_text, row), strict=True):
                    yield [two.label, first, last, age, *about, *pair, ""]


def photon_rows(several, table=None):
    """Generate a line for each colour and exposure of photon statistics, after the names of the columns.

    Parameters
    ----------
    several : list of parcorana.results.photons.Photons
    table : ColorTable, optional
        What the colours stand for.
    """
    numbers = [*dict.fromkeys(name for each in several for name in each.numbers)]
    kmax = max((counts.shape[1] - 2 for each in several for counts in each.counts.values()), default=0)
    yield ["file", *_OF_COLORS, "exposure [pulses]", *numbers, *(f"k={k}" for k in range(kmax + 1)), "more"]
    for each in several:
        for color, counts in each.counts.items():
            about, fill = (each.label, color, _q(table, color)), [""] * (kmax + 2 - counts.shape[1])
            for s, (exposure, (*row, more)) in enumerate(zip(each.exposures, counts, strict=True)):
                found = [_text(each.numbers[name][color][s]) for name in numbers]
                yield [*about, exposure, *found, *row, *fill, more]


def _chosen(there, colors):
    return [color for color in there if colors is None or color in colors]


def _q(table, color):
    return _text(np.nan if table is None else table.q([color])[0])


def _text(number):
    return f"{number:.9g}" if isinstance(number, float | np.floating) else number
