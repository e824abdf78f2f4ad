"""Where events come from: the dataset grammar, one protocol, one module per kind of data."""
