"""``parCorAnaMaskColorTool``: masks and colours, in the detector's ndarray and in images."""

import argparse
import csv
import re
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np

from parcorana import colors, masks
from parcorana.errors import ConfigError, EventError, RunError, told
from parcorana.events.dataset import parse_dataset
from parcorana.events.source import Share, open_source
from parcorana.geometry import KEV_ANGSTROM, Geometry
from parcorana.images import load_layout, segments_apart
from parcorana.statistics import Statistics

_BLOCK = 32  # events that are read ahead
_TEST_ELEMENTS, _TEST_QUANTILE = 10, 0.95
_HOT = 10.0
_PAUSE = 0.002  # s between two looks at a live run
_SAVED = ("mask", "testmask", "color", "finecolor", "avg")
_NAME = re.compile(
    r"(?P<prefix>.*)_(?:(?P<kind>mask|testmask|color|finecolor|avg)_(?P<coords>ndarr|img)Coords|i[XY])\.npy"
)

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


def _numbers(count, what):
    def parse(text):
        try:
            values = tuple(float(part) for part in text.split(","))
            if len(values) != count or not np.isfinite(values).all():
                raise ValueError
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        return values

    return parse


def _whole(least):
    def parse(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return parse


def _positive(text):
    (value,) = _numbers(1, "a number")(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _shape(text):
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape like 32x185x388")
    return tuple(int(part) for part in text.split("x"))


def make_parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="parCorAnaMaskColorTool",
        description="Make, convert, draw and check masks and colour files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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


def _add_dataset(parser, required):
    parser.add_argument("-d", "--dataset", metavar="DATASET", required=required, help="as exp=xpptut15:run=54, h5=FILE")
    parser.add_argument("-s", "--src", metavar="SRC", help="detector; for h5= the path of the frames in the file")
    parser.add_argument("-t", "--type", metavar="TYPE", help="which data of the detector: raw (default), calib, ...")


def _add_start(parser):
    _add_dataset(parser, required=True)
    parser.add_argument(
        "-n", "--numevents", type=_whole(1), default=300, metavar="N", help="events to average (%(default)s)"
    )
    parser.add_argument(
        "-b", "--basename", metavar="PREFIX", help="beginning of the files' names (made from dataset and src)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    place = parser.add_argument_group("where the elements are")
    place.add_argument("-g", "--geometry", metavar="FILE", help="geometry file of psana")
    place.add_argument("--iX", metavar="FILE", help="row of each element in the image, in place of a geometry file")
    place.add_argument("--iY", metavar="FILE", help="column of each element in the image")
    place.add_argument(
        "--center",
        type=_numbers(2, "ROW,COLUMN"),
        metavar="ROW,COLUMN",
        help="of the beam, in the image (the geometry's origin; without geometry the middle)",
    )
    place.add_argument("--distance", type=_positive, metavar="MM", help="from sample to detector (the geometry file's)")
    place.add_argument("--pixel", type=_positive, metavar="UM", help="size of a pixel (the geometry's)")
    place.add_argument("--wavelength", type=_positive, metavar="ANGSTROM", help="of the X-rays")
    place.add_argument("--energy", type=_positive, metavar="KEV", help="of the photons, in place of the wavelength")
    color = parser.add_argument_group("colours")
    color.add_argument("-c", "--color", type=_whole(1), default=6, metavar="N", help="colours, or rings (%(default)s)")
    color.add_argument(
        "--finecolor", type=_whole(1), default=18, metavar="N", help="fine colours, or fine rings (%(default)s)"
    )
    color.add_argument(
        "--by",
        choices=("intensity", "radius", "q"),
        default="intensity",
        help="what colours are made of: equally many elements of each mean intensity, or rings (%(default)s)",
    )
    color.add_argument(
        "--low", type=_numbers(1, "a number"), metavar="X", help="inner edge of the rings: pixels, or 1/angstrom"
    )
    color.add_argument("--high", type=_numbers(1, "a number"), metavar="X", help="outer edge")
    color.add_argument("--log", action="store_true", help="rings evenly spaced on a logarithmic scale")
    color.add_argument(
        "--sectors", type=_whole(1), default=1, metavar="M", help="divide each ring into sectors (%(default)s)"
    )
    color.add_argument(
        "--begin",
        type=_numbers(1, "an angle"),
        default=(0.0,),
        metavar="DEGREES",
        help="where the first sector begins, from the right counter-clockwise (0)",
    )
    leave = parser.add_argument_group("what the mask leaves out")
    leave.add_argument("-m", "--mask", metavar="FILE", help="all that this mask leaves out (ndarray coordinates)")
    leave.add_argument(
        "--rectangle",
        type=_numbers(4, "ROW,COLUMN,ROW,COLUMN"),
        action="append",
        default=[],
        metavar="R0,C0,R1,C1",
        help="image pixels from row R0 to before R1, column C0 to before C1; may be repeated",
    )
    leave.add_argument(
        "--circle",
        type=_numbers(3, "ROW,COLUMN,RADIUS"),
        action="append",
        default=[],
        metavar="R,C,RADIUS",
        help="around image pixel R, C; may be repeated",
    )
    leave.add_argument(
        "--edges", type=_whole(0), default=0, metavar="N", help="N rows and columns at each edge of every segment"
    )
    leave.add_argument("--rings-only", action="store_true", help="elements in no ring: a run is the faster for it")
    leave.add_argument("--dead", action="store_true", help="elements that never change")
    leave.add_argument(
        "--hot",
        type=_positive,
        nargs="?",
        const=_HOT,
        metavar="TIMES",
        help=f"elements whose mean or deviation is so many times the usual spread above their neighbours' ({_HOT:g})",
    )


# -- start ---------------------------------------------------------------------


def start(args):
    """Average some events; write masks, colours and average, as ndarray and image, and index files."""
    dataset = parse_dataset(args.dataset)
    prefix = args.basename or _prefix(dataset, args.src)
    names = [f"{prefix}_{kind}_{coords}Coords.npy" for kind in _SAVED for coords in ("ndarr", "img")]
    names += [f"{prefix}_iX.npy", f"{prefix}_iY.npy", f"{prefix}_colors.csv"]
    _check_free(names, args.force)
    wavelength = _wavelength(args)
    statistics, source_geometry = _average(args, dataset)
    mean = statistics.mean
    shape = mean.shape
    geometry = _geometry(args, shape, source_geometry)
    print(f"geometry: {geometry.source}; {geometry.layout.describe()}")
    mask = _mask(args, statistics, geometry)
    color, fine, table = _colors(args, mean, mask, geometry, wavelength)
    arrays = {
        "mask": mask.astype(np.int8),
        "testmask": colors.some_around(mean, mask, _TEST_QUANTILE, _TEST_ELEMENTS),
        "color": color,
        "finecolor": fine,
        "avg": np.nan_to_num(mean),
    }
    for kind, array in arrays.items():
        np.save(f"{prefix}_{kind}_ndarrCoords.npy", array)
        np.save(f"{prefix}_{kind}_imgCoords.npy", geometry.layout.image(array))
    np.save(f"{prefix}_iX.npy", geometry.layout.iX)
    np.save(f"{prefix}_iY.npy", geometry.layout.iY)
    _write_table(f"{prefix}_colors.csv", table)
    print(f"testmask: {np.count_nonzero(arrays['testmask'])} elements around the 95th percentile of the average")
    print(f"wrote {prefix}_{{{','.join(_SAVED)}}}_{{ndarrCoords,imgCoords}}.npy")
    print(f"wrote {prefix}_iX.npy, {prefix}_iY.npy, {prefix}_colors.csv")
    print(f"next: parCorAnaMaskColorTool plot -i {prefix}_color_ndarrCoords.npy -o {prefix}_color.png")


def _prefix(dataset, src):
    name = dataset.label() or f"shmem-{dataset.name}"
    if src:
        name += "_" + re.sub(r"^DetInfo\((.*)\)$", r"\1", src)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")


def _check_free(names, force):
    for name in names:
        if not Path(name).parent.is_dir():
            raise ConfigError(f"the folder {str(Path(name).parent)!r} does not exist")
        if Path(name).exists() and not force:
            raise ConfigError(f"{name!r} exists; say --force to replace it, or choose another name")


def _wavelength(args):
    if args.wavelength and args.energy:
        raise ConfigError("--wavelength and --energy say the same thing: give one of them")
    return KEV_ANGSTROM / args.energy if args.energy else args.wavelength


def _average(args, dataset):
    """Return the statistics of some events, and the geometry that the source knows."""
    source = open_source(dataset, src=args.src, type_=args.type, share=Share(block=_BLOCK), log=print)
    statistics, without, bad = Statistics(), 0, 0
    try:
        for frame in _frames(source):
            if isinstance(frame, str) or (statistics.events and frame.shape != statistics.mean.shape):
                bad += 1
            elif frame is None:
                without += 1
            else:
                with np.errstate(over="ignore", invalid="ignore"):
                    statistics.add(frame)
                if statistics.events == args.numevents:
                    break
        place = getattr(source, "geometry", None)
        known = place() if statistics.events and place is not None else None
    except RunError as error:
        if not statistics.events:
            raise
        print(f"warning: {error}; what came before is used", file=sys.stderr)
        known = None
    finally:
        source.close()
    if not statistics.events:
        raise ConfigError(f"-d {args.dataset!r}: of {without + bad} events none has data that can be read")
    more = f"; {without} more had no data, {bad} were bad" if without or bad else ""
    shape = "x".join(map(str, statistics.mean.shape))
    print(f"average: {statistics.events} events of {shape} elements{more}")
    return statistics, known


def _frames(source):
    """Yield the ndarray of each event, None without one, a str if it cannot be read."""
    for event in _live(source) if getattr(source, "live", False) else chain.from_iterable(source.blocks()):
        try:
            frame = event.data()
        except (EventError, OSError) as error:
            frame = str(error)
        yield frame


def _live(source):
    for event in source.events():
        if event is None:  # none now
            time.sleep(_PAUSE)
        else:
            yield event


def _geometry(args, shape, known):
    """Return the geometry that the arguments, the dataset or the shape give."""
    if bool(args.iX) != bool(args.iY):
        raise ConfigError("--iX and --iY belong together: give both")
    if args.geometry and args.iX:
        raise ConfigError("-g and --iX, --iY say the same thing: give one of them")
    if args.geometry:
        from parcorana.events.psana2.geometry import read_geometry

        return read_geometry(args.geometry, shape)
    if args.iX:
        layout = load_layout(args.iX, args.iY)
        masks.check_shape("iX", args.iX, layout.iX.shape, shape, "the data")
        return Geometry.of_layout(layout, f"index files {args.iX}, {args.iY}")
    if known is not None:
        return known
    if len(shape) <= 2:
        return Geometry.of_layout(segments_apart(shape), "a plain image")
    return Geometry.of_layout(segments_apart(shape), "none known, so segments lie side by side", metric=False)


def _mask(args, statistics, geometry):
    """Return the mask as bool, and say what it leaves out."""
    shape = statistics.mean.shape
    mask = np.ones(shape, bool)

    def leave_out(where, why, always=False):
        more = np.count_nonzero(mask & where)
        mask[where] = False
        if more or always:
            print(f"mask: {more:,} elements left out: {why}")

    leave_out(statistics.broken(), "not finite in some event")
    if args.mask:
        given = masks.load_mask(args.mask, "-m")
        masks.check_shape("-m", args.mask, given.shape, shape, "the data")
        leave_out(~given, f"by {args.mask}", True)
    down, right = geometry.down, geometry.right
    for first_row, first_column, row, column in args.rectangle:
        inside = (np.rint(down) >= first_row) & (np.rint(down) < row) & (np.rint(right) >= first_column)
        text = f"rectangle {first_row:g},{first_column:g},{row:g},{column:g}"
        leave_out(inside & (np.rint(right) < column), text, True)
    for row, column, radius in args.circle:
        leave_out(geometry.radius((row, column)) <= radius, f"circle {row:g},{column:g},{radius:g}", True)
    if args.edges:
        inside = np.zeros((1, *shape)[-2:], bool)
        inside[args.edges : -args.edges, args.edges : -args.edges] = True
        leave_out(np.broadcast_to(~inside if len(shape) > 1 else ~inside[0], shape), f"{args.edges} at the edges", True)
    dead = statistics.dead() & mask
    if args.dead:
        leave_out(dead, f"the same in all {statistics.events} events", True)
    elif dead.any():
        number = f"{np.count_nonzero(dead):,} elements are the same in all {statistics.events} events"
        print(f"mask: {number}: --dead leaves them out")
    if args.hot:
        hot = statistics.hot(args.hot)
        if hot is None:
            print("mask: --hot: too few events or counts to tell which elements are hot")
        else:
            why = f"mean or deviation {args.hot:g} times the usual above the neighbours'"
            leave_out(hot, why, True)
    included = np.count_nonzero(mask)
    if not included:
        raise ConfigError("the mask leaves out every element: nothing to process")
    print(f"mask: {included:,} of {mask.size:,} elements to process")
    return mask


def _colors(args, mean, mask, geometry, wavelength):
    """Return colour, fine colour and a table of the colours."""
    if args.by == "intensity":
        for option, value in (
            ("--low", args.low),
            ("--high", args.high),
            ("--log", args.log),
            ("--sectors", args.sectors > 1),
            ("--rings-only", args.rings_only),
        ):
            if value:
                raise ConfigError(f"{option} belongs to rings: say --by radius or --by q, too")
        colors.check_sizes(max(args.color, args.finecolor), np.count_nonzero(mask))
        color, fine = (colors.by_intensity(mean, mask, number) for number in (args.color, args.finecolor))
        value, unit, angle = mean, "intensity", None
    else:
        value, unit, angle = _value(args, geometry, wavelength)
        low, high = _range(args, value[mask])
        made = []
        for number in (args.color, args.finecolor):
            rings = colors.Rings(low, high, number, args.sectors, args.begin[0], args.log)
            made.append(np.where(mask, rings.colors(value, angle), 0))
        color, fine = made
        print(f"rings: {args.by} from {low:.6g} to {high:.6g} {unit}{', logarithmic' if args.log else ''}")
        if not (color > 0).any():
            inside = value[mask]
            raise ConfigError(
                f"no included element lies in the rings: its {args.by} goes from {inside.min():.6g} to "
                f"{inside.max():.6g} {unit}; choose --low and --high in there"
            )
        if args.rings_only:
            mask &= color > 0
            print(f"mask: {np.count_nonzero(mask):,} elements to process, those in rings")
    table = _table(args, color, value, unit)
    _say(color, fine, mask, args)
    return color, fine, table


def _value(args, geometry, wavelength):
    """Return what rings are made of: values, unit, directions."""
    if not geometry.metric:
        raise ConfigError(
            "rings need to know where the segments are: give a geometry file (-g) or index files (--iX, --iY)"
        )
    center = args.center or geometry.beam or geometry.middle
    named = "--center" if args.center else ("the geometry's origin" if geometry.beam else "the middle of the image")
    print(f"rings: around row {center[0]:.6g}, column {center[1]:.6g} ({named})")
    angle = geometry.angle(center)
    if args.by == "radius":
        return geometry.radius(center), "pixels", angle
    pixel, distance = args.pixel or geometry.pixel, args.distance or geometry.distance
    for option, value in (("--wavelength or --energy", wavelength), ("--distance", distance), ("--pixel", pixel)):
        if value is None:
            raise ConfigError(f"--by q needs {option}")
    print(f"rings: distance {distance:.6g} mm, pixel {pixel:.6g} um, wavelength {wavelength:.6g} angstrom")
    return geometry.q(center, distance, pixel, wavelength), "1/angstrom", angle


def _range(args, inside):
    low = args.low[0] if args.low else float(inside[inside > 0].min() if args.log else inside.min())
    high = args.high[0] if args.high else float(inside.max())
    if not low < high:
        raise ConfigError(f"--low {low:g} must be below --high {high:g}")
    if args.log and low <= 0:
        raise ConfigError(f"--low {low:g} must be above 0 for rings on a logarithmic scale")
    return low, high


def _table(args, color, value, unit):
    """Return the rows of the table of colours: number, ring, sector, elements, and their values."""
    rows = [("color", "ring", "sector", "elements", f"{args.by}_mean", f"{args.by}_min", f"{args.by}_max", "unit")]
    chosen = color > 0
    number, values = color[chosen], value[chosen]
    order = np.argsort(number, kind="stable")
    number, values = number[order], values[order]
    first = np.flatnonzero(np.diff(number, prepend=0))
    for part in np.split(np.arange(len(number)), first[1:]):
        c, of = int(number[part[0]]), values[part]
        ring, sector = divmod(c - 1, args.sectors)
        rows.append((c, ring + 1, sector + 1, len(of), f"{of.mean():.9g}", f"{of.min():.9g}", f"{of.max():.9g}", unit))
    return rows


def _say(color, fine, mask, args):
    for name, array, wanted in (("color", color, args.color), ("finecolor", fine, args.finecolor)):
        sizes = np.bincount(array.ravel())[1:]
        found, wanted = np.count_nonzero(sizes), wanted * args.sectors
        empty = f"; {wanted - found} of {wanted} have no element" if found < wanted else ""
        print(f"{name}: {found} colours of {sizes[sizes > 0].min():,} to {sizes.max():,} elements{empty}")
    none = np.count_nonzero(mask & (color == 0))
    if none:
        print(f"color: {none:,} included elements are in no ring (colour 0)")


def _write_table(path, rows):
    with open(path, "w", newline="", encoding="ascii") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


# -- convert -------------------------------------------------------------------


def _load(args):
    """Return the layout and the array of a conversion."""
    layout = load_layout(args.iX, args.iY)
    array = masks.load_numbers("-i", args.input)
    _check_free([args.output], args.force)
    return layout, array


def ndarr2img(args):
    """Convert a file from ndarray to image; say what is lost."""
    layout, array = _load(args)
    masks.check_shape("-i", args.input, array.shape, layout.iX.shape, f"{args.iX!r}")
    image = layout.image(array)
    _save(args.output, image)
    print(f"{args.output}: {layout.describe()}")
    back = layout.ndarray(image)
    lost = np.count_nonzero((back != array) & ~(np.isnan(back) & np.isnan(array)))
    if lost:
        print(f"{lost:,} elements have another value than their pixel: they will not come back from the image")
    else:
        print("every element comes back from the image as it is")


def img2ndarr(args):
    """Convert a file from image to ndarray; say what is lost."""
    layout, image = _load(args)
    masks.check_shape("-i", args.input, image.shape, layout.shape, f"the image that {args.iX!r} and {args.iY!r} make")
    array = layout.ndarray(image)
    _save(args.output, array)
    print(f"{args.output}: {'x'.join(map(str, array.shape))} elements; {layout.describe()}")
    lost = np.count_nonzero((image != 0) & ~layout.covered())
    if lost:
        print(f"{lost:,} image pixels that are not 0 have no element: what they hold is lost")


def _save(path, array):
    with open(path, "wb") as file:  # numpy.save would add .npy to another suffix
        np.save(file, array)


# -- plot ----------------------------------------------------------------------


def _beside(path):
    """Return prefix, kind and coordinates that a file's name says, None where it does not."""
    found = _NAME.fullmatch(str(path))
    return (found["prefix"], found["kind"], found["coords"]) if found else (None, None, None)


def plot(args):
    """Draw a file over the average."""
    from parcorana import pictures

    prefix, kind, coords = _beside(args.input)
    array = masks.load_numbers("-i", args.input)
    is_image = coords == "img"
    layout = _layout_of(args, prefix)
    if is_image and layout is not None and layout.shape != array.shape:
        layout = None
    if not is_image and (layout is None or layout.iX.shape != array.shape):
        if layout is not None and args.iX:
            masks.check_shape("-i", args.input, array.shape, layout.iX.shape, f"{args.iX!r}")
        layout = segments_apart(array.shape)
    average = _average_of(args, prefix, "img" if is_image else "ndarr", array.shape)
    covered = layout.covered() if layout is not None else np.ones(array.shape, bool)
    if not is_image:
        array = layout.image(array)
        average = layout.image(average) if average is not None else None
    kind = kind or _kind_of(array)
    with pictures.shown(args.output) as figure:
        pictures.draw_elements(figure, kind, array, average, covered, Path(args.input).name)
    if args.output:
        print(args.output)


def _layout_of(args, prefix):
    if bool(args.iX) != bool(args.iY):
        raise ConfigError("--iX and --iY belong together: give both")
    if args.iX:
        return load_layout(args.iX, args.iY)
    if prefix is not None and Path(f"{prefix}_iX.npy").is_file() and Path(f"{prefix}_iY.npy").is_file():
        return load_layout(f"{prefix}_iX.npy", f"{prefix}_iY.npy")
    return None


def _average_of(args, prefix, coords, shape):
    path = args.avg or f"{prefix}_avg_{coords}Coords.npy"
    if not args.avg and not Path(path).is_file():
        return None
    average = masks.load_numbers("--avg", path)
    if args.avg:
        masks.check_shape("--avg", path, average.shape, shape, f"{args.input!r}")
    return average.astype(np.float64) if average.shape == shape else None


def _kind_of(array):
    if array.dtype.kind == "f":
        return "avg"
    return "mask" if array.max() <= 1 and array.min() >= 0 else "color"


# -- check ---------------------------------------------------------------------


def check(args):
    """Check a mask with its colour files by every rule of section 5 of the contract; print their numbers."""
    paths = {key: getattr(args, key) for key in ("mask", "testmask", "color", "finecolor")}
    if args.basename:
        for key, path in paths.items():
            own = f"{args.basename}_{key}_ndarrCoords.npy"
            paths[key] = path or (own if key == "mask" or Path(own).is_file() else None)
    if not paths["mask"]:
        raise ConfigError("say which files to check: -b PREFIX or --mask FILE")
    mask = masks.load_mask(paths["mask"])
    wanted = args.shape or (_shape_of(args) if args.dataset else None)
    if wanted is not None:
        what = f"the data of {args.dataset!r}" if args.dataset and not args.shape else "--shape"
        masks.check_shape("mask", paths["mask"], mask.shape, wanted, what)
    shape = "x".join(map(str, mask.shape))
    print(f"mask: {paths['mask']}: {shape}, {np.count_nonzero(mask):,} of {mask.size:,} elements to process")
    if paths["testmask"]:
        test = masks.load_mask(paths["testmask"], "testmask")
        masks.check_shape("testmask", paths["testmask"], test.shape, mask.shape, "the mask")
        print(f"testmask: {paths['testmask']}: {np.count_nonzero(test):,} elements to process")
    color = fine = None
    if paths["color"]:
        color = masks.load_color(paths["color"], mask)
        _print_colors("color", paths["color"], color, mask)
    if paths["finecolor"]:
        fine = masks.load_color(paths["finecolor"], mask, "finecolor")
        masks.check_finecolor(paths["finecolor"], np.ones_like(fine) if color is None else color, fine)
        _print_colors("finecolor", paths["finecolor"], fine, mask)
    if color is not None:
        warning = masks.few_colored(color[mask])
        if warning:
            print(f"warning: {warning}", file=sys.stderr)
    print("all right")


def _print_colors(key, path, color, mask):
    inside = color[mask]
    numbers, sizes = np.unique(inside[inside > 0], return_counts=True)
    print(f"{key}: {path}: {len(numbers)} colours, {np.count_nonzero(inside == 0):,} included elements with colour 0")
    if len(numbers):
        shown = [f"{size:,} of {number}" for number, size in zip(numbers, sizes, strict=True)]
        more = f", and {len(shown) - 20} more" if len(shown) > 20 else ""
        print(f"  elements: {', '.join(shown[:20])}{more}")
    outside = len(np.unique(color[color > 0])) - len(numbers)
    if outside:
        print(f"  {outside} colours have no included element: their curves will be NaN")


def _shape_of(args):
    dataset = parse_dataset(args.dataset)
    source = open_source(dataset, src=args.src, type_=args.type, share=Share(block=_BLOCK), log=print)
    try:
        if source.shape is None:
            raise ConfigError(f"-d {args.dataset!r}: the first {_BLOCK} events have no data that would tell the shape")
        return source.shape
    finally:
        source.close()


_COMMANDS = {"start": start, "ndarr2img": ndarr2img, "img2ndarr": img2ndarr, "plot": plot, "check": check}


def main(argv=None):
    """Run the command; return the exit status."""
    args = make_parser().parse_args(argv)
    return told("parCorAnaMaskColorTool", _COMMANDS[args.command], args)


if __name__ == "__main__":
    sys.exit(main())
