"""G2 of X-ray photon correlation spectroscopy, in three forms: docs/definitions.md.

For each element p and delay d, over the pairs (t, t + d) that are both present::

    G2[d, p] = sum I(t, p) I(t + d, p)
    IP[d, p] = sum I(t, p)               (past)
    IF[d, p] = sum I(t + d, p)           (future)
    counts[d] = number of pairs

The three classes differ in which pairs count: those now stored (`G2atEnd`,
`G2IncrementalWindowed`), or all that were stored together at any time
(`G2IncrementalAccumulator`).
"""

from parcorana.g2.forms import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed, UserG2
from parcorana.g2.parameters import PARAMS

for _form in (G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed):
    _form.__module__ = __name__  # by this name results, logs and docs know them

__all__ = ["PARAMS", "G2IncrementalAccumulator", "G2IncrementalWindowed", "G2atEnd", "UserG2"]
