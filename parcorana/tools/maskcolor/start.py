"""``start``: mask, test mask, colours and average, from some events of a dataset."""

import numpy as np

from parcorana.detector import colors, masks
from parcorana.detector.geometry import Geometry
from parcorana.detector.images import load_layout, segments_apart
from parcorana.errors import put
from parcorana.tools.maskcolor import files
from parcorana.tools.maskcolor.arguments import check_start
from parcorana.tools.maskcolor.coloring import coloring
from parcorana.tools.maskcolor.included import included
from parcorana.tools.maskcolor.runs import average_of, runs_of
from parcorana.tools.maskcolor.stated import completed
from parcorana.tools.values import show_first

_TEST_ELEMENTS, _TEST_QUANTILE = 10, 0.95


def start(args):
    """Average some events; write masks, colours and average, as ndarray and image, and index files."""
    given = runs_of(args.dataset, args.src, args.type)
    prefix = args.basename or files.prefix_of([run.dataset for run in given], given[0].src)
    names = files.all_names(prefix)
    again = not args.force and files.are_there(names)
    picture = f"{prefix}_values.png"
    files.check_free([*names, picture], args.force or again)
    check_start(args, given[0])
    if again:
        put(f"all files of {prefix} exist: they stay if they come out the same, else they need --force")
    runs, statistics, source_geometry, unmapped = average_of(args, given)
    mean = statistics.mean
    geometry = _geometry(args, statistics.shape, source_geometry)
    put(f"geometry: {geometry.source}; {geometry.layout.describe()}")
    geometry = completed(geometry, source_geometry and source_geometry.stated)
    center = _center(args, geometry)
    mask, found = included(args, statistics, geometry, center, unmapped, runs)
    color, fine, table = coloring(args, mean, mask, geometry, center, found)
    test = colors.some_around(mean, mask, _TEST_QUANTILE, _TEST_ELEMENTS)
    contents = {}
    for kind, array in zip(files.SAVED, (mask.astype(np.int8), test, color, fine, mean), strict=True):
        contents[f"{prefix}_{kind}_ndarrCoords.npy"] = array
        contents[f"{prefix}_{kind}_imgCoords.npy"] = geometry.layout.image(array)
    contents[f"{prefix}_iX.npy"], contents[f"{prefix}_iY.npy"] = geometry.layout.iX, geometry.layout.iY
    contents[f"{prefix}_colors.csv"] = table
    if again:
        files.check_same(contents)
    else:
        for name, content in contents.items():
            files.save(name, content)
    put(f"testmask: {np.count_nonzero(test)} elements around the 95th percentile of the average")
    wrote = "unchanged:" if again else "wrote"
    put(f"{wrote} {prefix}_{{{','.join(files.SAVED)}}}_{{ndarrCoords,imgCoords}}.npy")
    put(f"{wrote} {prefix}_iX.npy, {prefix}_iY.npy, {prefix}_colors.csv")
    if len(given) > 1:
        put("values: those of run 1")
    show_first(args, given[0], mask, picture)
    put(f"next: parCorAnaMaskColorTool plot -i {prefix}_color_ndarrCoords.npy -o {prefix}_color.png")


def _center(args, geometry):
    """Return row and column of the beam in the image; None if nobody has said where it is."""
    if not geometry.metric:
        return None
    return args.center or geometry.beam or (geometry.middle if args.by in ("radius", "q") or args.sectors > 1 else None)


def _geometry(args, shape, known):
    """Return the geometry that the arguments, the dataset or the shape give."""
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
