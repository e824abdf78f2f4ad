"""A page of a run: it reads the folder of the run, or its result, and nothing of the run knows of it."""
