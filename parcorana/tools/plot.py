"""``parCorAnaPlot``: pictures of results."""

import dataclasses
import sys

import numpy as np

from parcorana.curves.curvefile import path_of_sums
from parcorana.curves.fits import SOURCES, fit_curves, said_of
from parcorana.detector.images import check_both, is_data, segments_apart
from parcorana.detector.masks import check_shape
from parcorana.errors import ConfigError, drawing, printable, put, say, speaks, told
from parcorana.events.dataset import parse_numbers
from parcorana.export.tables import curve_rows, write_table
from parcorana.files.plain import plain_file
from parcorana.results.kinds import CURVES, PHOTONS, TWO_TIME, kinds_in
from parcorana.results.photons import read_photons
from parcorana.results.reading import classes_in, find_file, group_of, read_result, updates_in
from parcorana.results.twotime import read_two_time
from parcorana.results.values import read_values
from parcorana.tools import aged, leverage
from parcorana.tools.parser import Parser, layout_of

_PLAIN_MAPS = ("saturated", "mask", "color", "finecolor")
_DELAY_MAPS = ("G2", "IP", "IF", "g2")
# what a result may hold in place of delay curves, by the names of its updates: how errors call it, how it is read
_OTHERS = {
    PHOTONS: ("photon statistics are", read_photons),
    TWO_TIME: ("a two-time correlation is", read_two_time),
}
_ASCII = {ord("±"): "+-", ord("µ"): "u", ord("²"): "2", ord("τ"): "tau"}

_EPILOG = """\
examples:
  parCorAnaPlot result.h5 -o result.png                     everything, in a picture
  parCorAnaPlot result.h5 --colors 1-4 --fit stretched      in a window, with fits
  parCorAnaPlot result.h5 -o map.pdf --map g2:10            with each element's own g2 at the delay 10
  parCorAnaPlot result.h5 --fit single --tau-q -o tau.png   decay times against q, and the diffusion coefficient
  parCorAnaPlot result.h5 --at 500,1000 -o grown.png        two updates of one run over each other
  parCorAnaPlot result.h5 --aged -o aged.png                how curves changed from update to update
  parCorAnaPlot result.h5 --leverage -o leverage.png        which elements pull the curves
  parCorAnaPlot today.h5 yesterday.h5 -o both.png           curves of two runs over each other
  parCorAnaPlot result.h5 --values -o values.png            what the values of events were, of any user class
While a run goes on, its name draws the last update published.

exit status: 0 done; 1 failed while running; 2 wrong arguments or input files.
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog="parCorAnaPlot",
        description="Draw delay curves, intensity over time, pairs, what became of the events, and maps.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="result file, or that of a run in progress")
    parser.add_argument("-o", "--output", metavar="PICTURE", help=".png, .pdf or .svg; without it a window")
    parser.add_argument("--colors", metavar="LIST", help="only these colours, as 1-4,7")
    parser.add_argument("--at", metavar="LIST", help="the updates at so many events, as 500,1000; without it the last")
    parser.add_argument("--class", metavar="NAME", dest="of", help="only this one of several classes")
    parser.add_argument("--csv", metavar="FILE", help="write the curves that are drawn as a table, too")
    parser.add_argument(
        "--map", action="append", default=[], metavar="NAME[:DELAY]", dest="maps",
        help="draw an array of the detector's shape, too: G2:10, IP:10, IF:10, g2:10 (each element's own), "
        "saturated, mask, color, finecolor; may be repeated",
    )  # fmt: skip
    parser.add_index_files(", for maps")
    parser.add_argument(
        "--tau-q", action="store_true", help="draw the decay times of the fits against q, with their power law, instead"
    )
    parser.add_argument(
        "--values", action="store_true", help="draw what the values of events were, how often and when, instead"
    )
    parser.add_argument(
        "--aged",
        action="store_true",
        help="draw the curves of each stretch between two updates, colour by colour, instead",
    )
    parser.add_argument(
        "--leverage",
        action="store_true",
        help="draw which elements pull the curves, and how much these would change without them, instead",
    )
    parser.add_fit(", in place of the fits in the file")
    return parser


def _maps(args, file, result):
    """Return image, covered and label of each map that is asked for."""
    layout = layout_of(args) or segments_apart(result.mask.shape)
    if args.iX:
        check_shape("iX", args.iX, layout.iX.shape, result.mask.shape, "the result")
    made = []
    for text in args.maps:
        array, label = _array(file, result, text)
        outside = result.mask == 0 if text != "mask" else np.zeros(result.mask.shape, bool)
        image = layout.image(np.where(outside, np.nan, array.astype(np.float64)))
        made.append((image, layout.covered(), label))
    return made


def _array(file, result, text):
    """Return the array that a --map names, and a label."""
    name, colon, delay = text.partition(":")
    group, system = updates_in(file, result.label, result.of)[result.processed], file["system"]
    if name in _PLAIN_MAPS and not colon:
        if name == "saturated":
            return result.saturated, "saturated"
        if name not in system:
            raise ConfigError(f"--map {text}: the run had no {name} file")
        return system[name][:], name
    if name not in _DELAY_MAPS or not delay.isdecimal():
        raise ConfigError(
            f"--map {text}: it must be one of {', '.join(_PLAIN_MAPS)}, or one of {', '.join(_DELAY_MAPS)} with a "
            "delay, as G2:10"
        )
    number = int(delay)
    if number not in result.delays:
        raise ConfigError(f"--map {text}: {number} is none of the delays {', '.join(map(str, result.delays))}")
    if "G2" not in group:
        raise ConfigError(f"--map {text}: the update has no arrays; user_params['save_arrays'] says which updates have")
    G2, IP, IF = (group[path_of_sums(each, number)][:] for each in ("G2", "IP", "IF"))
    n = result.counts[list(result.delays).index(number)]
    data = is_data(IP / max(n, 1))
    gaps = np.count_nonzero((result.mask != 0) & ~data)
    note = f"; {gaps:,} elements of the mask have no data" if gaps else ""
    if name != "g2":
        array = np.where(data, {"G2": G2, "IP": IP, "IF": IF}[name], np.nan)
        return array, f"{name} at the delay {number}{note}"
    with np.errstate(divide="ignore", invalid="ignore"):
        array = np.where(data & (IP * IF != 0), n * G2 / (IP * IF), np.nan)
    return array, f"each element's g2 at the delay {number}{note}"


def _draw_values(args):
    """Draw the values of the events of one run."""
    if len(args.files) > 1 or args.at:
        raise ConfigError("--values draws those of one run, from its first event to the last one published")
    (name,) = args.files
    with plain_file(find_file(name)) as file:
        found, ranges, rate = read_values(file, name)
    from parcorana.view import monitors, pictures

    with pictures.shown(args.output, size=(9, 1 + 2 * min(len(found), monitors.MOST))) as figure:
        monitors.draw_values(figure, found, name, ranges, rate)
    if args.output:
        put(args.output)


def _draw_other(args, colors):
    """Draw what one run has in place of delay curves; return whether it is that."""
    at = parse_numbers(args.at, "--at") if args.at else (None,)
    name = args.files[0]
    with plain_file(find_file(name, at[0])) as file:
        there = kinds_in(file, name, args.of)
        found = [(group_of(file, name, of), kind) for of, kinds in there.items() for kind in _OTHERS if kind in kinds]
        if not found or any(CURVES in kinds for kinds in there.values()):
            return False
        if len(found) > 1:
            named = ", ".join(user.name.rpartition("/")[2] for user, _ in found)
            raise ConfigError(f"{name}: it holds several classes and no delay curves: say which by --class: {named}")
        user, kind = found[0]
        what, read = _OTHERS[kind]
        if len(args.files) > 1 or len(at) > 1 or args.maps or args.fit or args.tau_q or args.csv:
            raise ConfigError(f"{name}: {what} drawn for one run, with -o, --colors and --at")
        result = read(user, name, at[0])
    _check_colors(colors, result.colors)
    from parcorana.view import photons, pictures, twotime

    size, draw = {
        PHOTONS: (photons.SIZE, photons.draw_photons),
        TWO_TIME: (twotime.SIZE, twotime.draw_two_time),
    }[kind]
    with pictures.shown(args.output, size=size) as figure:
        draw(figure, result, colors)
    if args.output:
        put(args.output)
    return True


def _check_colors(chosen, there):
    """Refuse colours that a result has not."""
    if missing := sorted(set(chosen or ()) - set(there)):
        known = ", ".join(map(str, there)) or "none"
        raise ConfigError(f"--colors: there is no colour {missing[0]}; there are {known}")


def _classes(args, file, name):
    """Return the classes of a result that are to be drawn; those that have no curves are said."""
    if args.of is not None or len(classes_in(file)) < 2:
        return [args.of]
    there = kinds_in(file, name)
    drawn = [of for of, kinds in there.items() if CURVES in kinds]
    if left := [of for of in there if of not in drawn]:
        text = f"{name}: not drawn, for they have no delay curves: {', '.join(left)} (--class)"
        say(f"parCorAnaPlot: {printable(text)}")
    return drawn or [*there][:1]


def _draw_or_say(args):
    with drawing(", ".join(args.files)):
        _draw(args)


def _draw(args):
    colors = parse_numbers(args.colors, "--colors") if args.colors else None
    if args.aged:
        aged.draw(args, colors, _check_colors)
        return
    if args.leverage:
        leverage.draw(args)
        return
    if args.values:
        _draw_values(args)
        return
    if _draw_other(args, colors):
        return
    check_both(args.iX, args.iY)
    results, maps = [], []
    updates = parse_numbers(args.at, "--at") if args.at else (None,)
    for name, at in ((name, at) for name in args.files for at in updates):
        with plain_file(find_file(name, at)) as file:
            for of in _classes(args, file, name):
                result = read_result(file, name, at, of)
                label = f"{name}{(of and f' {of}') or ''}{f' at {at:,}' if len(updates) > 1 else ''}"
                result = dataclasses.replace(result, label=label, of=of)
                if args.fit:
                    result = dataclasses.replace(result, fits=fit_curves(result.delays, result.curves, args.fit))
                if not results:
                    maps = _maps(args, file, result)
                results.append(result)
    _check_colors(colors, {c: None for result in results for c in result.curves})
    from parcorana.view import pictures, times

    if args.tau_q:
        _check_tau_q(results)
        with pictures.shown(args.output, size=(8, 7)) as figure:
            said = times.draw_tau_q(figure.add_subplot(), results)
    else:
        said = []
        with pictures.shown(args.output, size=(12 + 4 * min(len(maps), 2), 8)) as figure:
            pictures.draw_result(figure, results, colors, maps)
    if args.fit:
        for result in results:
            _print_fits(result)
    for line in said:
        put(line if _speaks_utf() else line.translate(_ASCII))
    if args.csv:
        write_table(args.csv, curve_rows(results, colors))
        put(args.csv)
    if args.output:
        put(args.output)


def _check_tau_q(results):
    for result in results:
        if result.table is None or not result.table.tells_q:
            raise ConfigError(
                f"--tau-q: {result.label} does not know the q of its colours: the run takes it from the table beside "
                "the colour file, which parCorAnaMaskColorTool start --by q writes (PREFIX_colors.csv)"
            )
        if not any(fit.ok for fit in result.fits.values()):
            raise ConfigError(f"--tau-q: {result.label} has no fit: add --fit single, or another one")


def _speaks_utf():
    return "utf" in (sys.stdout.encoding or "").lower()  # the terminal of a batch job may know ASCII only


def _print_fits(result):
    plus = "±" if _speaks_utf() else "+-"
    sources = {fit.error_from: None for fit in result.fits.values()}
    put(f"{result.label}: one pulse is 1/{result.rate:g} s; {'; '.join(SOURCES.get(each, each) for each in sources)}")
    names = ("contrast", "contrast_slow", "baseline", "exponent", "chi_square")
    for color, fit in result.fits.items():
        put(f"  {result.name_of(color)}: {said_of(fit, result.rate, names, plus, 'tau')}")


@speaks("parCorAnaPlot")
def main(argv=None):
    """Run the command; return the exit status."""
    args = make_parser().parse_args(argv)
    return told("parCorAnaPlot", _draw_or_say, args)


if __name__ == "__main__":
    sys.exit(main())
