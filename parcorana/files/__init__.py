"""Files and what this process may use of the machine: opened without trust, written whole."""
