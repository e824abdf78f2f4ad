"""G2 of X-ray photon correlation spectroscopy: a calculation on blocks, in three forms."""
