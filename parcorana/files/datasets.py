"""Datasets that explain themselves."""


def write_dataset(group, name, data, units, long_name, **attributes):
    """Write an HDF5 dataset with its units and meaning.

    Parameters
    ----------
    group : h5py.Group
    name : str
        May be a path below `group`.
    data : array, number or str
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
    dataset = group.create_dataset(name, data=data)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name
    for key, value in attributes.items():
        dataset.attrs[key] = value
    return dataset
