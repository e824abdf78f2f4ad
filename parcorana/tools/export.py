"""``parCorAnaExport``: a result as files that other programs open."""

import os
import sys
from pathlib import Path

from parcorana.errors import ConfigError, printable, put, say, speaks, told
from parcorana.events.dataset import parse_numbers
from parcorana.export.read import read_exported, read_tables
from parcorana.export.tables import write_table
from parcorana.export.write import write_exported
from parcorana.files.plain import plain_file
from parcorana.results.folder import give_back, identity
from parcorana.results.name import resolve_name
from parcorana.results.reading import find_file
from parcorana.tools.parser import Parser, layout_of, numbers, positive

_PROG = "parCorAnaExport"
_EPILOG = """\
examples:
  parCorAnaExport result.h5 -o result_xpcs.hdf                    for pyXpcsViewer, and as NXxpcs
  parCorAnaExport result.h5 --csv result.csv                      as tables
  parCorAnaExport result.h5 -o out.hdf --energy 9.5 --distance 4000 --pixel 75 --center 512.5,480
  parCorAnaExport result.h5 -o out.hdf --iX iX.npy --iY iY.npy    the detector's segments where they are
While a run goes on, its name exports the last update published.

exit status: 0 done; 1 the file cannot be written; 2 wrong arguments or input files.
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog=_PROG,
        description="Write delay curves, two-time correlations, maps and mean intensities of a result into one file "
        "that opens in pyXpcsViewer (/xpcs) and is valid NXxpcs (/entry), or its curves into tables.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", metavar="RESULT", help="result file, or that of a run in progress")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write, .hdf or .h5")
    parser.add_argument(
        "--csv",
        metavar="FILE.csv",
        help="write the curves as a table, with or without -o; aged curves, two times and photon statistics beside it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--at", metavar="N", help="the update at N events; without it the last")
    parser.add_argument("--class", metavar="NAME", dest="of", help="whose delay curves, of several classes")
    parser.add_argument("--no-arrays", action="store_true", help="leave out G2, IP and IF of each pixel")
    parser.add_index_files()
    for name, metavar, what in (
        ("--energy", "KEV", "energy of the photons"),
        ("--distance", "MM", "from sample to detector"),
        ("--pixel", "UM", "size of a pixel"),
    ):
        parser.add_argument(name, type=positive, metavar=metavar, help=f"{what}; without it as the data state")
    parser.add_argument("--center", metavar="ROW,COLUMN", type=numbers(2, "ROW,COLUMN"), help="the beam in the image")
    return parser


def _given(args):
    named = {
        "photon_energy": args.energy, "distance": args.distance, "pixel_size": args.pixel, "beam_center": args.center,
    }  # fmt: skip
    return {name: value for name, value in named.items() if value is not None}


def _export(args):
    if args.output is None and args.csv is None:
        raise ConfigError("say what to write: -o OUT.hdf for other programs, --csv FILE.csv for tables")
    at = None
    if args.at:
        (at, *more) = parse_numbers(args.at, "--at")
        if more:
            raise ConfigError(f"--at {args.at}: one update goes into a file")
    if args.output is not None:
        _write_file(args, at)
    if args.csv is not None:
        _write_tables(args, at)


def _write_file(args, at):
    layout = layout_of(args)
    if Path(args.output).suffix not in (".hdf", ".h5"):
        raise ConfigError(f"-o {args.output}: its name must end with .hdf or .h5, for pyXpcsViewer lists no others")
    source = find_file(args.file, at)
    if identity(args.output) is not None and identity(args.output) == identity(source):
        raise ConfigError(f"-o {args.output}: it is the result that is exported")
    output = resolve_name(args.output, args.overwrite, reserves=True)
    with plain_file(source) as file:
        ex = read_exported(file, args.file, at, args.of, layout, _given(args))
        write_exported(output, ex, not args.no_arrays)
    for text in ex.doubts:
        say(f"{_PROG}: warning: {printable(text)}")
    put(output)


def _write_tables(args, at):
    """Write a table of each kind that there is: the first one as the file that is named, others beside it."""
    tables = read_tables(args.file, at, args.of)
    first, path = next(iter(tables)), Path(args.csv)
    names = {kind: path if kind == first else path.with_name(f"{path.stem}_{kind}{path.suffix}") for kind in tables}
    if there := [name for name in names.values() if not args.overwrite and os.path.lexists(name)]:
        raise ConfigError(f"--csv: {there[0]} exists; say --overwrite")
    for kind, rows in tables.items():
        write_table(names[kind], rows, streams=kind == first)
        put(str(names[kind]))


@speaks(_PROG)
def main(argv=None):
    """Run the command; return the exit status."""
    args = make_parser().parse_args(argv)
    try:
        return told(_PROG, _export, args)
    finally:
        give_back()


if __name__ == "__main__":
    sys.exit(main())
