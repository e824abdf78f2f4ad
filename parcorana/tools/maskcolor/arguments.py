"""The command line of ``parCorAnaMaskColorTool``."""

import argparse
import os
import re

from parcorana.detector import maps
from parcorana.detector.images import check_both, load_layout
from parcorana.errors import ConfigError
from parcorana.events.values import MEAN, check_values
from parcorana.files.paths import fault_of
from parcorana.tools.maskcolor import rings
from parcorana.tools.maskcolor.stated import check_for_q, need_for_q
from parcorana.tools.parser import Parser, numbers, positive, whole

_HOT = 5.0
_HIGHEST_KEV, _SHORTEST_ANGSTROM = 250.0, 0.05  # beyond, the number is one of another unit
_EPILOG = """\
examples:
  parCorAnaMaskColorTool start -d exp=xpptut15:run=54 -s jungfrau -t calib -n 300 -c 6 --finecolor 18 -b first
      averages 300 events; writes first_mask_ndarrCoords.npy, first_color_ndarrCoords.npy, ...
  parCorAnaMaskColorTool start -d exp=xpptut15:run=54 -s jungfrau -b rings --dead --hot --edges 1 -g geometry.data \\
      --by q --low 0.002 --high 0.02 -c 10 --finecolor 50 --center 1030.5,988 --distance 5000 --energy 9.5
      rings of momentum transfer, in 1e10/m
  parCorAnaMaskColorTool plot -i first_color_ndarrCoords.npy -o color.png
  parCorAnaMaskColorTool img2ndarr -i edited_mask_imgCoords.npy -o edited_mask_ndarrCoords.npy --iX first_iX.npy \\
      --iY first_iY.npy
  parCorAnaMaskColorTool check -b first -d exp=xpptut15:run=54 -s jungfrau

exit status: 0 done; 1 failed while running; 2 wrong arguments or input files.
"""


_COLORS = 1 << 20  # more than any detector has speckles


def _decades(text):
    (value,) = numbers(1, "a number")(text)
    if not 3 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 3 to 100: 5 for a chance of 1 in 10^5")
    return value


def _value(text):
    name, equals, where = text.partition("=")
    if name == MEAN:
        raise argparse.ArgumentTypeError(f"{text!r}: the mean of the included elements is shown in any case")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=WHERE, as i0=gmd.raw.milliJoulesPerPulse")
    return name, where


def _shape(text):
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape like 32x185x388")
    return tuple(int(part) for part in text.split("x"))


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog="parCorAnaMaskColorTool",
        description="Make, convert, draw and check masks and colour files.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_start(commands.add_parser("start", help="make all files from some events of a dataset"))
    for name, source, target in (("ndarr2img", "ndarray", "image"), ("img2ndarr", "image", "ndarray")):
        convert = commands.add_parser(name, help=f"convert a file from {source} to {target}")
        convert.add_argument("-i", "--input", metavar="FILE", required=True, help=f".npy file, {source} coordinates")
        convert.add_argument("-o", "--output", metavar="FILE", required=True, help=f".npy file, {target} coordinates")
        convert.add_argument("--iX", metavar="FILE", required=True, help="row of each element in the image")
        convert.add_argument("--iY", metavar="FILE", required=True, help="column of each element in the image")
        convert.add_argument("--force", action="store_true", help="replace an existing file")
    plot = commands.add_parser("plot", help="draw a file over the average")
    plot.add_argument("-i", "--input", metavar="FILE", required=True, help="any of the files that start makes")
    plot.add_argument("-o", "--output", metavar="PNG", help="picture (.png, .pdf); without it a window")
    plot.add_argument("--avg", metavar="FILE", help="the average, in the same coordinates (that of the same prefix)")
    plot.add_argument("--iX", metavar="FILE", help="row of each element in the image (that of the same prefix)")
    plot.add_argument("--iY", metavar="FILE", help="column of each element in the image (that of the same prefix)")
    check = commands.add_parser("check", help="check a mask with its colour files, print their numbers")
    check.add_argument("-b", "--basename", metavar="PREFIX", help="check the files PREFIX_*_ndarrCoords.npy")
    for key in ("mask", "testmask", "color", "finecolor"):
        check.add_argument(f"--{key}", metavar="FILE", help=f"the {key} file, in place of the prefix's")
    check.add_argument("--shape", type=_shape, metavar="SHAPE", help="of the detector's ndarray, as 32x185x388")
    _add_dataset(check, required=False)
    return parser


def _add_dataset(parser, required, **more):
    told = "as exp=xpptut15:run=54, h5=FILE" + (
        ", or a config file; may be repeated for a mask of several runs" if more else ""
    )
    parser.add_argument("-d", "--dataset", metavar="DATASET", required=required, help=told, **more)
    parser.add_argument("-s", "--src", metavar="SRC", help="detector; for h5= the path of the frames in the file")
    parser.add_argument("-t", "--type", metavar="TYPE", help="which data of the detector: raw (default), calib, ...")


def _add_start(parser):
    _add_dataset(parser, required=True, action="append")
    parser.add_argument(
        "-n",
        "--numevents",
        type=whole(1),
        default=300,
        metavar="N",
        help="events to average, of each run (%(default)s)",
    )
    parser.add_argument(
        "-b", "--basename", metavar="PREFIX", help="beginning of the files' names (made from dataset and src)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument(
        "--value",
        type=_value,
        action="append",
        default=[],
        metavar="NAME=WHERE",
        help="say and draw what this number of the events is, beside their mean: as i0=gmd.raw.milliJoulesPerPulse; "
        "may be repeated",
    )
    place = parser.add_argument_group("where the elements are")
    place.add_argument("-g", "--geometry", metavar="FILE", help="geometry file of psana")
    place.add_argument("--iX", metavar="FILE", help="row of each element in the image, in place of a geometry file")
    place.add_argument("--iY", metavar="FILE", help="column of each element in the image")
    place.add_argument(
        "--center",
        type=numbers(2, "ROW,COLUMN"),
        metavar="ROW,COLUMN",
        help="of the beam, in the image (the geometry's origin, or as an HDF5 file states; else the middle)",
    )
    place.add_argument(
        "--distance", type=positive, metavar="MM", help="from sample to detector (the geometry's, or the HDF5 file's)"
    )
    place.add_argument(
        "--pixel", type=positive, metavar="UM", help="size of a pixel (the geometry's, or the HDF5 file's)"
    )
    place.add_argument("--wavelength", type=positive, metavar="ANGSTROM", help="of the X-rays (the HDF5 file's)")
    place.add_argument("--energy", type=positive, metavar="KEV", help="of the photons, in place of the wavelength")
    color = parser.add_argument_group("colours")
    color.add_argument(
        "-c", "--color", type=whole(1, _COLORS), default=6, metavar="N", help="colours, or rings (%(default)s)"
    )
    color.add_argument(
        "--finecolor",
        type=whole(1, _COLORS),
        default=18,
        metavar="N",
        help="fine colours, or fine rings (%(default)s)",
    )
    color.add_argument(
        "--by",
        metavar="BY",
        default="intensity",
        help="what colours are made of: intensity (equally many elements of each mean), radius or q (rings), or a map: "
        "FILE.npy, FILE.h5:/path; real numbers make rings, whole numbers are the colours; FILE.h5 of pySimpleMask or "
        "the APS: its partitions (%(default)s)",
    )
    color.add_argument("--fine-by", metavar="FILE", help="with a map of colours: the map of fine colours")
    color.add_argument("--transpose", action="store_true", help="rows and columns of the maps of --by are exchanged")
    color.add_argument("--quantity", metavar="NAME", help="what a map of real numbers holds (what its file says)")
    color.add_argument("--unit", metavar="UNIT", help="of that quantity, as 1/angstrom, degrees (what its file says)")
    color.add_argument(
        "--low", type=numbers(1, "a number"), metavar="X", help="inner edge of the rings: pixels, 1/angstrom, ..."
    )
    color.add_argument("--high", type=numbers(1, "a number"), metavar="X", help="outer edge")
    color.add_argument("--log", action="store_true", help="rings evenly spaced on a logarithmic scale")
    color.add_argument("--equal", action="store_true", help="rings of equally many elements")
    color.add_argument("--ring-edges", metavar="X,X,...", help="all edges of the rings, or a file of them (.npy, text)")
    color.add_argument(
        "--sectors", type=whole(1, _COLORS), default=1, metavar="M", help="divide each ring into sectors (%(default)s)"
    )
    color.add_argument(
        "--begin",
        type=numbers(1, "an angle"),
        default=(0.0,),
        metavar="DEGREES",
        help="where the first sector begins, from the right counter-clockwise (0)",
    )
    leave = parser.add_argument_group("what the mask leaves out")
    leave.add_argument(
        "-m",
        "--mask",
        metavar="FILE",
        help="all that this mask leaves out: FILE.npy, FILE.h5:/path, or FILE.h5 as of --by",
    )
    leave.add_argument(
        "--rectangle",
        type=numbers(4, "ROW,COLUMN,ROW,COLUMN"),
        action="append",
        default=[],
        metavar="R0,C0,R1,C1",
        help="image pixels from row R0 to before R1, column C0 to before C1; may be repeated",
    )
    leave.add_argument(
        "--circle",
        type=numbers(3, "ROW,COLUMN,RADIUS"),
        action="append",
        default=[],
        metavar="R,C,RADIUS",
        help="around image pixel R, C; may be repeated",
    )
    leave.add_argument(
        "--edges", type=whole(0), default=0, metavar="N", help="N rows and columns at each edge of every segment"
    )
    leave.add_argument(
        "--rings-only", action="store_true", help="elements in no ring or partition: a run is the faster for it"
    )
    leave.add_argument("--dead", action="store_true", help="elements that never change")
    leave.add_argument(
        "--hot",
        type=_decades,
        nargs="?",
        const=_HOT,
        metavar="N",
        help="elements brighter or more restless than speckle, photons and noise around them allow: at most 1 good "
        f"element in 10^N is taken for one ({_HOT:g})",
    )


def check_start(args, run):
    """Raise ConfigError if options of `start` contradict each other, or name what cannot be read."""
    check_values(dict(args.value), run.dataset)
    if args.wavelength and args.energy:
        raise ConfigError("--wavelength and --energy say the same thing: give one of them")
    if args.energy and args.energy > _HIGHEST_KEV:
        raise ConfigError(f"--energy {args.energy:g} is in keV: {args.energy / 1e3:g} would be {args.energy:g} eV")
    if args.wavelength and args.wavelength < _SHORTEST_ANGSTROM:
        raise ConfigError(f"--wavelength {args.wavelength:g} is in angstrom: 1.3 is that of 9.5 keV")
    check_both(args.iX, args.iY)
    if args.geometry and args.iX:
        raise ConfigError("-g and --iX, --iY say the same thing: give one of them")
    if args.geometry and (fault := fault_of(args.geometry)):
        raise ConfigError(f"-g: the file {args.geometry!r} {fault}")
    if args.iX:
        load_layout(args.iX, args.iY)
    if args.mask:
        maps.load_mask("-m", args.mask)
    if args.by == "q" and run.dataset.kind == "h5":
        check_for_q(args, run)
    elif args.by == "q":  # a geometry, psana's too, may know the other two
        there = args.geometry or run.dataset.kind != "sim"
        need_for_q(args.wavelength or args.energy, args.distance or there, args.pixel or there)
    rings.check_names(args)
    _check_colors(args)


def _check_colors(args):
    """Raise ConfigError over options that have no meaning for what colours are made of."""
    given = None
    if args.by not in rings.OWN:
        if not os.path.exists(args.by.partition(":/")[0]):
            raise ConfigError(f"--by {args.by}: it must be one of {', '.join(rings.OWN)}, or a file that exists")
        given = maps.load_map("--by", args.by)
    of_rings = {
        "--low": args.low,
        "--high": args.high,
        "--log": args.log,
        "--equal": args.equal,
        "--ring-edges": args.ring_edges,
        "--sectors": args.sectors > 1,
    }
    of_maps = {"--transpose": args.transpose, "--quantity": args.quantity, "--unit": args.unit}
    for option, value in of_rings.items():
        if value and (args.by == "intensity" or isinstance(given, maps.Partition)):
            what = "say --by radius or --by q, too" if given is None else f"{args.by} has the colours themselves"
            raise ConfigError(f"{option} belongs to rings: {what}")
    if args.rings_only and args.by == "intensity":
        raise ConfigError("--rings-only belongs to rings: say --by radius or --by q, too")
    for option, value in of_maps.items():
        if value and given is None:
            raise ConfigError(f"{option} belongs to a map: say --by FILE, too")
    if isinstance(given, maps.Partition) and not given.mean and (args.quantity or args.unit is not None):
        raise ConfigError(
            f"--quantity, --unit: {args.by} does not say what its partitions stand for; write a table of two columns, "
            "color,q, beside the colour file: PREFIX_colors.csv"
        )
    if args.fine_by:
        if not isinstance(given, maps.Partition):
            raise ConfigError("--fine-by belongs to a map of colours: say --by with a map of whole numbers, too")
        maps.load_map("--fine-by", args.fine_by)
    if args.ring_edges:
        rings.given_edges(args.ring_edges)
    if len(spaced := [o for o in ("--log", "--equal", "--ring-edges") if of_rings[o]]) > 1:
        raise ConfigError(f"{' and '.join(spaced)} are different edges: give one of them")
    if args.ring_edges and (args.low or args.high):
        raise ConfigError("--ring-edges has all edges, --low and --high too: give the one or the others")
