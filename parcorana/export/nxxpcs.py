"""``/entry`` as the NeXus definition NXxpcs (contributed, 2026-06) has it."""

from pathlib import Path

import numpy as np

from parcorana._version import __version__
from parcorana.errors import escaped


def write_entry(file, ex):
    """Write the group; its instrument is what pyXpcsViewer reads, too.

    Parameters
    ----------
    file : h5py.File
    ex : parcorana.export.what.Exported
    """
    file.attrs.update({"NX_class": "NXroot", "default": "entry"})
    entry = _group(file, "entry", "NXentry", default="data")
    _put(entry, "definition", "NXxpcs", version="v2026.01")
    _put(entry, "entry_identifier", escaped(Path(ex.label).name))
    _put(entry, "scan_number", np.int64(1))  # deprecated there, and yet required
    _put(entry, "start_time", ex.start)
    _put(entry, "end_time", ex.end)
    _write_instrument(entry, ex)
    _write_data(entry, ex)
    if ex.two_time is not None:
        _write_two_time(entry, ex)
    for parent in (entry, file):  # the definition shows it beside the entry, validators want it inside
        process = _group(parent, "xpcs_process", "NXprocess")
        _put(process, "program", "ParCorAna")
        _put(process, "version", __version__)


def _group(parent, name, kind, **attributes):
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    group.attrs.update(attributes)
    return group


def _put(group, name, value, units=None, **attributes):
    dataset = group.create_dataset(name, data=value)
    if units:
        dataset.attrs["units"] = units
    dataset.attrs.update(attributes)


def _write_instrument(entry, ex):
    instrument = _group(entry, "instrument", "NXinstrument")
    _put(_group(instrument, "incident_beam", "NXbeam"), "incident_energy", ex.energy, "keV")
    detector = _group(instrument, "detector_1", "NXdetector")
    _put(detector, "frame_time", 1 / ex.rate, "s")
    _put(detector, "count_time", ex.count_time, "s")
    _put(detector, "beam_center_x", ex.beam[1], "pixel")
    _put(detector, "beam_center_y", ex.beam[0], "pixel")
    for axis in "xy":
        _put(detector, f"{axis}_pixel_size", ex.pixel * 1e-6, "m")
    _put(detector, "distance", ex.distance * 1e-3, "m")
    masks = _group(instrument, "masks", "NXnote")
    for kind in ("dynamic", "static"):
        _put(masks, f"{kind}_roi_map", ex.bins.image, "au")
        _put(masks, f"{kind}_q_list", ex.bins.values, ex.bins.unit)


def _write_data(entry, ex):
    if ex.result is None:
        data = _group(entry, "data", "NXdata", signal="frame_average")
    else:
        delays, counts = ex.result.delays, ex.result.counts
        data = _group(entry, "data", "NXdata", signal="g2", axes=["delay_difference", "."])
        one = {"storage_mode": "one_array"}
        _put(data, "g2", ex.table("g2"), "1", **one)
        _put(data, "g2_derr", ex.table("error"), "1", **one)
        _put(data, "delay_difference", delays, "1", **one)
        if ex.arrays is not None:
            means = [
                ex.means(ex.layout.image(ex.arrays[f"G2/delay_{delay:06d}"][:])) / max(pairs, 1)
                for delay, pairs in zip(delays.tolist(), counts.tolist(), strict=True)
            ]
            _put(data, "G2_unnormalized", np.array(means), "1", **one)
    _put(data, "frame_average", ex.mean, "1")


def _write_two_time(entry, ex):
    two, colors = ex.two_time, ex.bins.colors.tolist()
    group = _group(entry, "twotime", "NXdata", signal="two_time_corr_func")
    _put(
        group, "two_time_corr_func", np.stack([two.maps[color] for color in colors], axis=-1), "1",
        storage_mode="one_array", baseline_reference=1, time_origin_location="upper_left", populated_elements="all",
    )  # fmt: skip
    _put(
        group, "g2_from_two_time_corr_func", ex.cuts(), "1",
        storage_mode="one_array", baseline_reference=1, first_point_for_fit=1,
    )  # fmt: skip
    _put(group, "g2_err_from_two_time_corr_func", ex.cut_errors(), "1", storage_mode="one_array")
    _put(group, "frames_per_bin", two.width, "1")
