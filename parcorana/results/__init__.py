"""A run's folder and file: written, joined, read, gone on with."""
