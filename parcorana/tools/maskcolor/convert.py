"""``ndarr2img`` and ``img2ndarr``: a file from ndarray to image and back."""

import numpy as np

from parcorana.detector import masks
from parcorana.detector.images import load_layout
from parcorana.errors import put
from parcorana.tools.maskcolor import files


def _load(args):
    """Return the layout and the array of a conversion."""
    layout = load_layout(args.iX, args.iY)
    array = masks.load_numbers("-i", args.input)
    files.check_free([args.output], args.force)
    return layout, array


def ndarr2img(args):
    """Convert a file from ndarray to image; say what is lost."""
    layout, array = _load(args)
    masks.check_shape("-i", args.input, array.shape, layout.iX.shape, f"{args.iX!r}")
    image = layout.image(array)
    files.save(args.output, image, streams=True)
    put(f"{args.output}: {layout.describe()}")
    back = layout.ndarray(image)
    lost = np.count_nonzero((back != array) & ~(np.isnan(back) & np.isnan(array)))
    if lost:
        put(f"{lost:,} elements have another value than their pixel: they will not come back from the image")
    else:
        put("every element comes back from the image as it is")


def img2ndarr(args):
    """Convert a file from image to ndarray; say what is lost."""
    layout, image = _load(args)
    masks.check_shape("-i", args.input, image.shape, layout.shape, f"the image that {args.iX!r} and {args.iY!r} make")
    array = layout.ndarray(image)
    files.save(args.output, array, streams=True)
    put(f"{args.output}: {masks.shown_shape(array.shape)} elements; {layout.describe()}")
    lost = np.count_nonzero((image != 0) & ~layout.covered())
    if lost:
        put(f"{lost:,} image pixels that are not 0 have no element: what they hold is lost")
