"""How much a test does, and how long it may take: as long as it likes, for machines may be slow or busy.

Fewer examples are drawn with ``--hypothesis-profile=few``.
"""

import os

from hypothesis import HealthCheck, settings

# Threads of OpenMP that wait for each other sleep. By default they turn on the spot for a while, and with more
# processes than cores that takes half of the machine. To be read by libgomp this is before the first import of it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of processes started: no threads that do nothing
# two files of one name, size and second are the same to Python's cache
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

PATIENCE = 900  # s after which something hangs; to be right nothing has to be quick

_SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("usual", **_SLOW)
settings.register_profile("few", max_examples=15, **_SLOW)
settings.load_profile("usual")
USUAL = 100  # hypothesis' own default


def examples(usual):
    """Return how many to draw of those that a test usually draws, in the profile's proportion."""
    return max(1, usual * settings.default.max_examples // USUAL)
