"""``/xpcs`` and what pyXpcsViewer reads beside it: paths, shapes and units as its loader (1.2.2) wants them."""

import hashlib
import warnings
from itertools import pairwise

import numpy as np

from parcorana.files.datasets import write_dataset

_PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}  # it knows gzip and lzf only
_SEGMENTS = 5  # bands of age of a cut through two times
_PARTS = 10  # of the run, of which each has a line of intensities


def write_xpcs(file, ex, with_arrays=True):
    """Write the group.

    Parameters
    ----------
    file : h5py.File
    ex : parcorana.export.what.Exported
    with_arrays : bool
        Whether to write G2, IP and IF of each pixel, where the result has them.
    """
    root = file.create_group("xpcs")
    _write_map(root.create_group("qmap"), ex)
    _write_means(root, ex)
    if ex.result is not None:
        _write_curves(root.create_group("multitau"), ex, with_arrays)
    if ex.two_time is not None:
        _write_two_time(root.create_group("twotime"), ex)


def _write_map(group, ex):
    bins, count = ex.bins, len(ex.bins.colors)
    write_dataset(group, "mask", ex.mask.astype(np.uint8), "1", "1 for the pixels that were processed")
    for kind in ("dynamic", "static"):
        write_dataset(group, f"{kind}_roi_map", bins.image.astype(np.uint32), "1", "bin of each pixel, from 1; 0: none")
        write_dataset(group, f"{kind}_v_list_dim0", bins.values, bins.unit, f"{bins.name} of each bin")
        write_dataset(group, f"{kind}_v_list_dim1", np.zeros(1), "deg", "the bins have no second axis")
        write_dataset(group, f"{kind}_num_pts", np.array([count, 1]), "1", "bins along each axis")
        write_dataset(group, f"{kind}_index_mapping", np.arange(count), "1", "number of each bin, from 0")
        write_dataset(group, f"{kind}_colors", bins.colors, "1", "colour of each bin in the result")
    group["map_names"] = np.array([bins.name.encode(), b"phi"])
    group["map_units"] = np.array([bins.unit.encode(), b"deg"])
    write_dataset(group, "beam_center_x", ex.beam[1], "pixel", "column of the beam")
    write_dataset(group, "beam_center_y", ex.beam[0], "pixel", "row of the beam")
    write_dataset(group, "pixel_size", ex.pixel * 1e-6, "m", "size of a pixel")
    write_dataset(group, "detector_distance", ex.distance * 1e-3, "m", "from sample to detector")
    print_of_map = hashlib.sha256(bins.image.tobytes() + ex.mask.tobytes() + bins.values.tobytes())
    group.attrs["hash"] = print_of_map.hexdigest()


def _write_means(root, ex):
    of_bin = np.bincount(ex.bins.image.ravel(), minlength=len(ex.bins.colors) + 1)[1:]
    means, lines = ex.means(ex.mean), ex.lines()  # of bins; of stretches and bins
    parts = np.array_split(lines, min(len(lines), _PARTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a bin without a number: NaN
        segments = np.array([np.nanmean(part, axis=0) for part in parts])
    group = root.create_group("temporal_mean")
    image = ex.mean[None].astype(np.float32)
    write_dataset(group, "scattering_2d", image, "intensity", "mean intensity of each pixel; 0 outside the mask")
    write_dataset(group, "scattering_1d", means[None], "intensity", "mean intensity of each bin")
    what = "mean intensity of each bin in parts of the run, one after the other"
    write_dataset(group, "scattering_1d_segments", segments, "intensity", what)
    there = np.isfinite(lines) * of_bin
    with np.errstate(invalid="ignore"):
        weighed = np.nansum(lines * of_bin, axis=1) / there.sum(axis=1)
    stretch = ex.stretch_of_frames()
    both = np.stack([np.arange(len(stretch)) / ex.rate, np.nan_to_num(weighed)[stretch]])
    group = root.create_group("spatial_mean")
    what = "time, and mean intensity of all bins: of each frame, that of its stretch of the run"
    write_dataset(group, "intensity_vs_time", both, "s, intensity", what)


def _config(group, frames=1):
    config = group.create_group("config")
    write_dataset(config, "stride_frame", 1, "1", "pulses from one frame to the next that is taken")
    write_dataset(config, "avg_frame", frames, "1", "pulses that make one frame")


def _write_curves(group, ex, with_arrays):
    write_dataset(group, "delay_list", ex.result.delays, "frames", f"delays; one pulse is 1/{ex.rate} s")
    for name, what in (("g2", "normalized_g2"), ("error", "normalized_g2_err")):
        write_dataset(group, what, ex.table(name), "1", f"{name} of each delay and bin; NaN where there is none")
    if ex.aged is not None and len(ex.aged.stretches) > 1:
        curves, first = ex.stretches()
        what = "g2 of each stretch of the run, delay and bin; NaN where there is none"
        write_dataset(group, "normalized_g2_partial", curves, "1", what)
        unknown = np.full(curves.shape, np.nan)
        write_dataset(group, "normalized_g2_partial_err", unknown, "1", "errors of these, which are not known: NaN")
        write_dataset(group, "normalized_g2_partial_labels", first, "frames", "first pulse of each stretch")
    _config(group)
    if ex.arrays is not None and with_arrays:
        _write_arrays(group, ex)


def _write_arrays(group, ex):
    """Write G2, IP, IF of each pixel, delay by delay: a detector's arrays of many delays are more than the memory."""
    delays, shape = ex.result.delays, ex.layout.shape
    dataset = group.create_dataset(
        "unnormalized_G2", (len(delays), 3, *shape), np.float32, chunks=(1, 1, *shape), **_PACKED
    )
    dataset.attrs["units"] = "intensity^2, intensity, intensity"
    dataset.attrs["long_name"] = "means over the pairs of each delay: G2, IP, IF of each pixel"
    for d, (delay, count) in enumerate(zip(delays.tolist(), ex.result.counts.tolist(), strict=True)):
        for k, name in enumerate(("G2", "IP", "IF")):
            array = ex.arrays[f"{name}/delay_{delay:06d}"][:] / max(count, 1)
            dataset[d, k] = ex.layout.image(np.where(np.isfinite(array), array, 0))


def _write_two_time(group, ex):
    two, colors = ex.two_time, ex.bins.colors.tolist()
    maps = group.create_group("correlation_map")
    for k, color in enumerate(colors):
        what = f"upper triangle of C(t1, t2), bins of {two.width} pulses; NaN where there is no pair"
        dataset = maps.create_dataset(f"c2_{k + 1:05d}", data=np.triu(two.maps[color]), **_PACKED)
        dataset.attrs["units"], dataset.attrs["long_name"] = "1", what
    edges = np.linspace(two.ages[0], two.ages[-1] + two.width, _SEGMENTS + 1)
    rows = max(len(two.ages) // _SEGMENTS, 1)
    bands = np.stack([ex.cuts(band)[:rows] for band in pairwise(edges)], axis=1)
    write_dataset(group, "normalized_g2", ex.cuts(), "1", "mean along each diagonal, by bin")
    write_dataset(group, "normalized_g2_segments", bands, "1", "the same, of bands of age")
    write_dataset(group, "processed_bins", np.arange(1, len(colors) + 1), "1", "bins that have a map")
    _config(group, frames=two.width)
