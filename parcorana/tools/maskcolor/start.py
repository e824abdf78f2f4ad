"""``start``: mask, test mask, colours and average, from some events of a dataset."""

import numpy as np

from parcorana.detector import colors, masks
from parcorana.detector.geometry import Geometry
from parcorana.detector.images import load_layout, segments_apart
from parcorana.events.dataset import parse_dataset
from parcorana.tools.maskcolor import files
from parcorana.tools.maskcolor.arguments import check_start
from parcorana.tools.maskcolor.average import average
from parcorana.tools.maskcolor.coloring import coloring
from parcorana.tools.maskcolor.included import included

_TEST_ELEMENTS, _TEST_QUANTILE = 10, 0.95


def start(args):
    """Average some events; write masks, colours and average, as ndarray and image, and index files."""
    dataset = parse_dataset(args.dataset)
    prefix = args.basename or files.prefix_of(dataset, args.src)
    files.check_free(files.all_names(prefix), args.force)
    check_start(args)
    statistics, source_geometry = average(args, dataset)
    mean = statistics.mean
    shape = mean.shape
    geometry = _geometry(args, shape, source_geometry)
    print(f"geometry: {geometry.source}; {geometry.layout.describe()}")
    mask = included(args, statistics, geometry)
    color, fine, table = coloring(args, mean, mask, geometry)
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
    files.write_table(f"{prefix}_colors.csv", table)
    print(f"testmask: {np.count_nonzero(arrays['testmask'])} elements around the 95th percentile of the average")
    print(f"wrote {prefix}_{{{','.join(files.SAVED)}}}_{{ndarrCoords,imgCoords}}.npy")
    print(f"wrote {prefix}_iX.npy, {prefix}_iY.npy, {prefix}_colors.csv")
    print(f"next: parCorAnaMaskColorTool plot -i {prefix}_color_ndarrCoords.npy -o {prefix}_color.png")


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
