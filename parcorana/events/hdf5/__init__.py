"""``h5=``: stacks of frames in HDF5 files."""
