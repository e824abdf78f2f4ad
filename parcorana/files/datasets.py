"""Datasets that explain themselves, and tell when a bit of them is damaged."""

import h5py
import numpy as np

#: Least version of the format of files that are written: each part of what describes the content has a checksum, and
#: one chunk needs no index, which in older ones takes some 2 KiB for each dataset.
VERSION = ("v110", "v110")

_CHUNK = 1 << 20  # bytes at most, of which HDF5 has several copies while it makes their checksum
_COMPACT = 60000  # bytes that HDF5 keeps beside the description of a dataset, with its checksum


def write_dataset(group, name, data, units, long_name, **attributes):
    """Write an HDF5 dataset with its units and meaning.

    Parameters
    ----------
    group : h5py.Group
    name : str
        May be a path below `group`.
    data : array, number, str or list of str
    units : str
        ``'1'`` for pure numbers.
    long_name : str
        One sentence: what it is.
    **attributes
        More attributes.

    Returns
    -------
    h5py.Dataset
    """
    dataset = make_dataset(group, name, data)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name
    for key, value in attributes.items():
        dataset.attrs[key] = value
    return dataset


def make_dataset(group, name, data):
    """Write an HDF5 dataset with a checksum: Fletcher-32; of a single value or text that of its description."""
    data = _fixed(data)
    if data.size and data.ndim:
        return group.create_dataset(name, data=data, chunks=_chunks(data), fletcher32=True)
    # h5py lets nobody choose where a single value is kept
    plist, link = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5p.create(h5py.h5p.LINK_CREATE)
    link.set_create_intermediate_group(True)
    if data.nbytes <= _COMPACT:
        plist.set_layout(h5py.h5d.COMPACT)
    kind = h5py.h5t.py_create(data.dtype, logical=True)
    space = h5py.h5s.create_simple(data.shape) if data.ndim else h5py.h5s.create(h5py.h5s.SCALAR)
    made = h5py.h5d.create(group.id, name.encode(), kind, space, plist, link)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    return h5py.Dataset(made)


def _fixed(data):
    """Return data as an array; texts get a fixed length, for no checksum covers where HDF5 keeps others."""
    data = np.asarray(data)
    if data.dtype.kind != "U":
        return data
    data = np.char.encode(data, "utf-8", "backslashreplace")  # names of files may hold bytes that are no text
    return data.astype(h5py.string_dtype("utf-8", max(data.dtype.itemsize, 1)))


def _chunks(data):
    """Return the shape of chunks: all of a small array, as few of its last axes as fit for a large one."""
    chunks, size = [], data.itemsize
    for length in reversed(data.shape):
        chunks.append(max(1, min(length, _CHUNK // size)))
        size *= chunks[-1]
    return tuple(reversed(chunks))
