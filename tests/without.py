"""How much a delay curve changes without one of its elements, the plain slow way."""

import numpy as np

from parcorana.reference import delay_curve


def change_without(arrays, counts, color, saturated, normalization, element, finecolor=None):
    """Return by how much the curve of an element's colour changes if that element is left out, (D,) float64.

    Of an unsaturated element that has a colour. 0 where its mean, that of what is left of its colour or fine colour,
    would have nothing to divide by; and where the element does not count. Parameters: as `delay_curve`.
    """
    fewer = np.array(saturated, bool)
    fewer[element] = True
    wanted = int(color[element])
    before, _ = delay_curve(arrays, counts, color, saturated, normalization, wanted, finecolor)
    after, _ = delay_curve(arrays, counts, color, fewer, normalization, wanted, finecolor)
    changes = after - before
    if normalization == "pixel":
        rest = arrays["IP"][:, element] * arrays["IF"][:, element]
    else:
        groups = color if normalization == "color" else finecolor
        same = (groups == groups[element]) & ~fewer
        rest = arrays["IP"][:, same].sum(axis=1) * arrays["IF"][:, same].sum(axis=1)
    return np.where((rest != 0) & np.isfinite(changes), changes, 0.0)
