"""What workers add up among themselves while they collect an update, and rows that come one below the other."""

import numpy as np
import pytest
from local import run_local

from parcorana import BlockBase, Common, Joined, PerElement, RunError, Summed
from parcorana.errors import UserCodeError

FRAMES = np.random.default_rng(0).integers(0, 9, (40, 3, 5)).astype(np.float32)


class Shares(BlockBase):
    """Sends of every worker its part of the light, in numbers that no worker knows alone."""

    def arrays(self, elements):
        self.light = np.zeros(elements)
        return {"light": PerElement(self.light)}

    def enter(self, block):
        self.light += block.data.sum(axis=0)

    def collect(self, last, buffer):
        total = yield {"light": Summed(self.light.sum()), "elements": Summed(np.int32(len(self.light)))}
        again = yield {"twice": Summed(2 * total["light"])}
        rows = np.array([[self.light.sum() / total["light"], len(self.light)]])
        return {
            "total": Common(np.array([total["light"], total["elements"], again["twice"]])),
            "rows": Joined(rows),
            "part": PerElement(self.light / total["light"]),
        }

    def publish(self, update, group):
        self.published = dict(update)


@pytest.mark.parametrize("workers", [1, 3])
def test_sums_are_those_of_all_workers_and_rows_in_their_order(tmp_path, workers):
    viewer, *_ = run_local(tmp_path, Shares, np.arange(40), FRAMES, workers=workers, times=3, delays=[1], update=10)
    got = viewer.calculation.published
    light = FRAMES.sum()
    np.testing.assert_allclose(got["total"], [light, 15, 2 * workers * light])
    np.testing.assert_allclose(got["part"], FRAMES.sum(axis=0) / light)
    parts = [part.sum() / light for part in np.split(FRAMES.sum(axis=0).ravel(), workers)]
    np.testing.assert_allclose(got["rows"], [[part, 15 // workers] for part in parts])


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (lambda self: {"a": Common(np.ones(2))}, RunError, "'a' must be Summed"),
        (lambda self: np.ones(2), RunError, "must return a dict of name to array, not ndarray"),
        (lambda self: {"a": Summed(np.ones(len(self.light)))}, RunError, "must have the same dtype and shape"),
        (lambda self: 1 / 0, UserCodeError, "Wrong.collect"),
    ],
)
def test_what_cannot_be_added_is_told(tmp_path, asked, error, words):
    class Wrong(Shares):
        def collect(self, last, buffer):
            yield asked(self)
            return {}

    with pytest.raises(error, match=words):
        run_local(tmp_path, Wrong, np.arange(40), FRAMES, workers=2, times=3, delays=[1])


def test_rows_are_of_collect_alone(tmp_path):
    class Wrong(Shares):
        def arrays(self, elements):
            return super().arrays(elements) | {"rows": Joined(np.ones((1, 1)))}

    with pytest.raises(RunError, match="'rows' must be a PerElement, Summed or Common array, not Joined"):
        run_local(tmp_path, Wrong, np.arange(40), FRAMES, times=3, delays=[1])
