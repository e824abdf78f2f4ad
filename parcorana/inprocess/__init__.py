"""Jobs within a Python session: arrays in memory, configs, results as objects."""
