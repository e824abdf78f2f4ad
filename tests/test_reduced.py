"""What `workerReduce` returns: its size, said beforehand."""

import numpy as np
import pytest
from local import run_local

from parcorana import userg2
from parcorana.userbase import reduced_bytes

SHAPE = (2, 5, 7)


@pytest.mark.parametrize("kind", ["G2atEnd", "G2IncrementalAccumulator", "G2IncrementalWindowed"])
@pytest.mark.parametrize("normalization", ["pixel", "color", "finecolor"])
def test_the_size_of_the_shipped_classes_is_known(tmp_path, kind, normalization):
    """To the byte, but for stretches of time that are not in use yet."""
    rng = np.random.default_rng(0)
    mask = rng.random(SHAPE) < 0.8
    for name in ("color", "finecolor"):
        np.save(tmp_path / f"{name}.npy", rng.integers(1, 5, SHAPE))
    user = {"normalization": normalization, "saturated_value": 3.0, "save_arrays": False}
    user |= {name: str(tmp_path / f"{name}.npy") for name in ("color", "finecolor")}
    seen = {}

    class Mine(getattr(userg2, kind)):
        def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
            seen.update({name: array.nbytes for name, array in reduced.items()})

    frames = rng.integers(0, 5, (600, *SHAPE)).astype(np.float32)
    roles = run_local(
        tmp_path, Mine, np.arange(600), frames, workers=2, mask=mask, user=user, times=9, delays=[1, 2, 8]
    )
    said = reduced_bytes(roles[0].config)
    stretches = 512 - 300  # 600 events are 300 stretches of two
    assert seen["parcorana.intensity.events"] == 300 * 8
    assert said - sum(seen.values()) == stretches * (4 * 8 + 3 * 8)
