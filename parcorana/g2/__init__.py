"""G2 of X-ray photon correlation spectroscopy."""
