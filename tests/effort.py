"""How many examples hypothesis draws: fewer with ``--hypothesis-profile=few``."""

from hypothesis import settings

settings.register_profile("few", max_examples=15)
USUAL = 100  # hypothesis' own default


def examples(usual):
    """Return how many to draw of those that a test usually draws, in the profile's proportion."""
    return max(1, usual * settings.default.max_examples // USUAL)
