"""``cmpParCorAnaH5Output``: are two result files the same?"""

import sys
import traceback

import h5py
import numpy as np

from parcorana.curves.errorfile import GROUPS, update_of_errors
from parcorana.errors import ConfigError, of_memory, one_line, printable, put, say, speaks
from parcorana.files.plain import plain_file, walk
from parcorana.tools.parser import Parser, tolerance, whole

# what is known of stretches of the run, which updates may end: a viewer that is busy leaves some to later ones
_BY_UPDATES = ("@stationarity_p", "@stationarity_unknown", "@changes_with_age")
_ERRORS = 1e6  # by which rounding may show more in errors
# What says how and when a run was done, not what came out of it.
HOW = (
    "/system/system_params",
    "/system/user_params",
    "/system/ranks",
    "/system/timing",
    "/system/log",
    "/system/merged_from",
    "/system@version",
    "/system@mode",
    "/system@resumed_at",
    "/system@first_event_time_ns",
    "/system@last_event_time_ns",
    "/system@updates_merged",
    "/system@events_in_data",
)


def _items(file):
    """Return everything in a file: path of each dataset, path@name of each attribute."""
    items = {}
    try:
        for path, node in walk(file):
            if isinstance(node, h5py.Dataset):
                items[path] = node
            for key, value in node.attrs.items():
                items[f"{path}@{key}"] = value
    except Exception as error:  # of two files that are open it is this one
        raise ConfigError(f"{file.filename!r} is not a readable result file: {one_line(error)}") from error
    return items


def _value(item, file, path):
    try:
        return item[()] if isinstance(item, h5py.Dataset) else item
    except Exception as error:  # of two files that are open it is this one
        raise ConfigError(f"{file.filename!r}: {path} cannot be read: {one_line(error)}") from error


def _difference(a, b, rtol, atol):
    """Return what differs between two values, None if nothing does."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return f"the shapes are {a.shape} and {b.shape}"
    if a.dtype.kind in "iufb" and b.dtype.kind in "iufb":
        return _number_difference(a, b, rtol, atol)
    try:
        same = np.all(a == b)
    except (TypeError, ValueError):  # records of different kinds
        return f"the dtypes are {printable(str(a.dtype))} and {printable(str(b.dtype))}"
    if not same:
        return f"{a.tolist()!r:.60} and {b.tolist()!r:.60}"
    return None


def _number_difference(a, b, rtol, atol):
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        wrong = a != b
    else:
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(a - b) <= atol + rtol * np.maximum(np.abs(a), np.abs(b)))
        wrong |= np.isinf(a) | np.isinf(b)  # infinity is not within any part of itself
        wrong &= ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not np.any(wrong):
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0]) if a.ndim else ()
    where = f" at {list(first)}" if first else ""
    number = f"{np.count_nonzero(wrong)} of {a.size} values differ"
    text = f"{number}; the first{where}: {a[first]} and {b[first]}, by {_off(a[first], b[first]):.3g}"
    if np.count_nonzero(wrong) == 1:
        return text
    with np.errstate(invalid="ignore"):
        off = np.abs(a.astype(float) - b.astype(float))[wrong]
        size = np.maximum(np.abs(a.astype(float)), np.abs(b.astype(float)))[wrong]
    most = np.nanmax(off) if not np.isnan(off).all() else np.nan
    relative = np.nanmax(off / size) if not np.isnan(off).all() else np.nan
    return f"{text}; the most by {most:.3g}, and by {relative:.2g} of the value"


def _off(a, b):
    return abs(float(a) - float(b))


_OVER_ERRORS = 1e4  # how much larger changes of g2 become when they are divided by errors


def _widened(path, items, file):
    """Return by how much more rounding may show in an aged curve, a difference of sums, than in that of all pairs."""
    update = path.partition("/aged/")[0]
    places = f"{update}/delay_counts", f"{update}/aged/delay_counts"
    every, some = (np.asarray(_value(items.get(place, 0), file, place)) for place in places)
    if every.shape != some.shape or every.dtype.kind not in "iu" or some.dtype.kind not in "iu":
        return 1.0
    return float((every[some > 0] / some[some > 0]).max(initial=1.0))


def _largest(values):
    """Return the largest of some numbers; 0 where there is none."""
    numbers = np.asarray(values)
    good = numbers[np.isfinite(numbers)] if numbers.dtype.kind in "iuf" else numbers[:0]
    return float(np.abs(good).max(initial=0)) if good.size else 0.0


def compare(path_a, path_b, rtol=1e-12, atol=0.0, ignore=(), subset=False):
    """Compare two result files.

    Parameters
    ----------
    path_a, path_b : str
    rtol, atol : float
        Floating-point values a, b are the same if ``|a-b| <= atol + rtol *
        max(|a|, |b|)``; whole numbers must be equal. NaN equals NaN.
    ignore : sequence of str
        Paths (``/user/...``), attributes (``/user@relsec``) or beginnings of
        paths that do not count, beside `HOW`.
    subset : bool
        What only A holds does not count; but B must hold something in /user.

    Returns
    -------
    list of str
        One line for each difference; empty if there is none.

    Raises
    ------
    ConfigError
        A file cannot be read.
    """
    return _compare(path_a, path_b, rtol, atol, ignore, subset)[0]


def _partial(items, path):
    """Say that a file is the result of a part of a run; empty if it is not."""
    if items.get("/system@complete", True):
        return ""
    processed = items.get("/system/accounting@processed", "?")
    return f"{path} is not complete: {items.get('/system@ended_by', '?')}, {processed} events processed"


def _compare(path_a, path_b, rtol, atol, ignore, subset):
    """Return the lines of `compare`; how many items of A were not compared, of how many; what is to be known beside."""
    skip = (*HOW, *ignore)

    def counts(path):
        if path.endswith(_BY_UPDATES):
            return False
        return not any(path == s or path.startswith((s.rstrip("/") + "/", s + "@")) for s in skip)

    with plain_file(path_a) as file_a, plain_file(path_b) as file_b:
        a, b = _items(file_a), _items(file_b)
        lines = []
        if subset and not any(path.startswith("/user/") for path in b):
            lines.append(f"/user: empty in {path_b}, so nothing was compared")
        for path in [*a, *(p for p in b if p not in a)]:
            if not counts(path) or (subset and path not in b):
                continue
            if path not in a or path not in b:
                lines.append(f"{path}: only in {path_a if path in a else path_b}")
                continue
            values = _value(a[path], file_a, path), _value(b[path], file_b, path)
            what = _difference(*values, rtol, atol)
            if what and "/aged/" in path:
                what = _difference(*values, rtol * _widened(path, a, file_a), atol)
            if what and (update := update_of_errors(path)) is not None and f"{update}/{GROUPS}" in a:
                # small differences of large numbers, some of them kept in single precision
                what = _difference(*values, rtol, atol + min(rtol * _ERRORS, 1e-6) * _largest(values[0]))
            if what and "/leverage/" in path:  # differences of curves, which agree to rtol; or of these over errors
                more = rtol if path.endswith(("/changes", "/map")) else _OVER_ERRORS * rtol
                what = _difference(*values, max(rtol, more), max(atol, more))
            if what:
                lines.append(f"{path}: {what}")
        of_a = [path for path in a if counts(path)]
        notes = [note for note in (_partial(a, path_a), _partial(b, path_b)) if note]
    return lines, sum(path not in b for path in of_a), len(of_a), notes


@speaks("cmpParCorAnaH5Output")
def main(argv=None):
    """Run the command; return the exit status: 0 same, 1 different, 2 unreadable."""
    parser = Parser(
        prog="cmpParCorAnaH5Output",
        description="Compare two result files: all datasets and attributes but those that say how a run was done.",
        epilog="exit status: 0 same, 1 different, 2 a file cannot be read or the arguments are wrong",
    )
    parser.add_argument("a", metavar="A", help="a result file")
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument(
        "--rtol", type=tolerance, default=1e-12, help="relative tolerance of real numbers (default 1e-12)"
    )
    parser.add_argument("--atol", type=tolerance, default=0.0, help="absolute tolerance of real numbers (default 0)")
    parser.add_argument("--ignore", action="append", default=[], metavar="PATH", help="leave out; may be repeated")
    parser.add_argument(
        "--subset", action="store_true", help="A may hold more than B: what only A holds does not count"
    )
    parser.add_argument("--most", type=whole(0), default=10, help="how many differences to print (default 10)")
    args = parser.parse_args(argv)
    try:
        lines, left, total, notes = _compare(args.a, args.b, args.rtol, args.atol, args.ignore, args.subset)
    except ConfigError as error:
        say(f"cmpParCorAnaH5Output: cannot read a result file: {error}")
        return error.exit_status
    except MemoryError as error:
        say(f"cmpParCorAnaH5Output: {of_memory(error)}")
        return ConfigError.exit_status
    except Exception:  # 1 is the answer that they are different
        traceback.print_exc()
        return ConfigError.exit_status
    for line in lines[: args.most]:
        put(line)
    if len(lines) > args.most:
        put(f"and {len(lines) - args.most} more differences")
    if args.subset and left:
        put(f"{left} of the {total} datasets and attributes of {args.a} are not in {args.b} and were not compared")
    for note in notes:
        put(note)
    put("different" if lines else "same")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
