"""Hot elements: good speckle stays, whatever its contrast and speed; planted ones are found."""

import h5py
import numpy as np
import pytest
from conftest import status_of

from parcorana.detector import hot
from parcorana.detector.statistics import Statistics
from parcorana.events.dataset import parse_dataset
from parcorana.events.protocol import Share
from parcorana.events.simulated import SimulatedSource
from parcorana.tools import maskcolor

SIDE = 160
ROW, COLUMN = np.indices((SIDE, SIDE))
CENTER = (SIDE / 2 - 0.3, SIDE / 2 + 0.4)
RADIUS = np.hypot(ROW - CENTER[0], COLUMN - CENTER[1])
STOP = (RADIUS < 8) | ((np.abs(COLUMN - CENTER[1]) < 3) & (CENTER[0] < ROW))  # a beam stop and its arm
FALL = {
    "exponential": 10 ** (-3 * RADIUS / RADIUS.max()),
    "power": (np.maximum(RADIUS, 8) / 8) ** -2.7,
    "flat": np.ones((SIDE, SIDE)),
}
CHANCE = 1e-5
ALLOWED = 4  # of 25,600: 1e-4, and some room for the chance of few


def pattern_of(fall, mean):
    """Mean intensity over up to three decades, a thousandth of it behind the beam stop."""
    return mean * np.where(STOP, 1e-3, 1) * FALL[fall]


def speckle(rng, pattern, tau, events, size=1, contrast=1.0):
    """Yield intensities whose field decays in `tau` pulses (array), with speckles of `size` elements."""

    def noise():
        wide = rng.standard_normal((2, SIDE + size - 1, SIDE + size - 1))
        return sum(wide[:, i : i + SIDE, j : j + SIDE] for i in range(size) for j in range(size)) / (size * np.sqrt(2))

    keep = np.exp(-1 / tau)
    field, visible = noise(), np.sqrt(contrast)
    for _ in range(events):
        yield pattern * (1 - visible + visible * (field**2).sum(axis=0))
        field = keep * field + np.sqrt(1 - keep**2) * noise()


def diffusion(tau):
    """Decay times as of diffusion, `tau` at radius 30."""
    return tau * (30 / np.maximum(RADIUS, 3)) ** 2


def statistics_of(frames):
    statistics = Statistics()
    for frame in frames:
        statistics.add(frame)
    return statistics


def hot_of(frames, radius=RADIUS, mask=None):
    mask = np.ones((SIDE, SIDE), bool) if mask is None else mask
    return hot.find(statistics_of(frames), mask, CHANCE, radius)


def check_few(where, good=True):
    """Next to none of all, and not 1% of any ring of 400 elements."""
    wrong = where & good
    assert np.count_nonzero(wrong) <= ALLOWED, np.argwhere(wrong)
    for ring in np.array_split(np.argsort((RADIUS + 1e3 * STOP).ravel()), wrong.size // 400):
        assert np.count_nonzero(wrong.ravel()[ring]) < 4


# -- good speckle stays --------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["beam known", "unknown"])
@pytest.mark.parametrize("fall", FALL)
@pytest.mark.parametrize(
    ("tau", "events", "mean", "size"),
    [(1e9, 40, 1000, 1), (1e9, 40, 1000, 2), (1e9, 40, 10, 1), (1e9, 60, 0.3, 2), (300, 40, 30, 1), (30, 60, 1000, 1),
     (30, 60, 1, 2), (0.01, 30, 1e5, 1), (0.01, 100, 0.01, 1)],
)  # fmt: skip
def test_photons_of_good_speckle(tau, events, mean, size, fall, known):
    """Contrast 1, still, slow and fast, bright and dim: next to nothing is taken for hot."""
    rng = np.random.default_rng(int(tau * events + mean + size))
    frames = (rng.poisson(i) for i in speckle(rng, pattern_of(fall, mean), diffusion(tau), events, size))
    # behind the stop a few elements see nothing but what a thousandth of the beam would give: no surroundings
    check_few(hot_of(frames, RADIUS if known else None).where, ~STOP)


@pytest.mark.parametrize(("tau", "contrast"), [(1e9, 1), (50, 1), (50, 0.2), (1e9, 0.2)])
def test_intensities_of_good_speckle(tau, contrast):
    rng = np.random.default_rng(int(tau + 10 * contrast))
    frames = speckle(rng, pattern_of("exponential", 1e3), diffusion(tau), 40, 2, contrast)
    check_few(hot_of(np.float32(frame) for frame in frames).where)


@pytest.mark.parametrize("modes", [1, 1.5, 10])
@pytest.mark.parametrize("mean", [0.02, 0.5, 40])
@pytest.mark.parametrize("still", [True, False])
def test_negative_binomial(modes, mean, still):
    """Photons of M modes, anew in each event; or of gamma distributed intensities that stand still."""
    rng = np.random.default_rng(int(100 * mean + modes))
    pattern = pattern_of("power", mean * 50)
    intensity = rng.gamma(modes, pattern / modes)
    frames = (
        rng.poisson(intensity) if still else rng.negative_binomial(modes, modes / (modes + pattern)) for _ in range(40)
    )
    check_few(hot_of(frames).where, ~STOP)


@pytest.mark.parametrize("fall", ["exponential", "flat"])
def test_runs_of_different_brightness(fall):
    """Of runs that are three times as bright, or half so, together: good speckle stays, what is hot is found."""
    rng = np.random.default_rng(21)
    pattern, places = pattern_of(fall, 200), some_places(np.random.default_rng(4), 30, ~STOP)
    together = None
    for times, events in ((1, 40), (3, 30), (0.5, 50)):
        frames = np.array([rng.poisson(i) for i in speckle(rng, times * pattern, diffusion(3), events)])
        for i, j in places:
            frames[:, i, j] += np.uint16(10 * times * pattern[i, j] + 1)
        own = statistics_of(frames)
        together = own if together is None else together.merged(own)
    planted = np.zeros((SIDE, SIDE), bool)
    planted[tuple(np.transpose(places))] = True
    found = hot.find(together, np.ones((SIDE, SIDE), bool), CHANCE, RADIUS).where
    check_few(found, ~planted & ~STOP)
    assert np.count_nonzero(found & planted) >= 0.9 * len(places)


@pytest.mark.parametrize("options", ["tau=1e8:contrast=1", "tau=60:contrast=1:colors=4", "tau=1e8:contrast=1:mean=0.1"])
@pytest.mark.parametrize("poisson", [0, 1])
def test_the_simulator(options, poisson):
    source = SimulatedSource(
        parse_dataset(f"sim=brownian:shape=160x160:events=40:{options}:poisson={poisson}"), Share()
    )
    frames = (event.data() for block in source.blocks() for event in block)
    check_few(hot_of(frames, np.hypot(ROW - 79.5, COLUMN - 79.5)).where)


def test_frames_of_differing_brightness():
    """Each pulse has its own intensity, the same for all elements."""
    rng = np.random.default_rng(3)
    still = rng.exponential(pattern_of("exponential", 100))
    check_few(hot_of(rng.poisson(still * rng.exponential()) for _ in range(50)).where, ~STOP)


def test_noise_and_pedestals():
    """Values that are not counts: around 0, or on a pedestal that differs from element to element."""
    rng = np.random.default_rng(4)
    pedestal = rng.normal(2000, 100, (SIDE, SIDE))
    for offset, dtype in ((0.0, np.float32), (pedestal, np.uint16)):
        frames = [(rng.normal(0, 5, (SIDE, SIDE)) + offset).round(2).astype(dtype) for _ in range(30)]
        for frame in frames:
            frame[50, 60] += 1500
        found = hot_of(frames, None)
        assert np.argwhere(found.where).tolist() == [[50, 60]]


def test_rare_photons_and_cosmic_rays():
    """One event makes no element hot: the only photon among quiet elements, a track of a cosmic ray."""
    rng = np.random.default_rng(5)
    frames = [rng.normal(0, 2.5, (SIDE, SIDE)) + 160 * rng.poisson(1e-4, (SIDE, SIDE)) for _ in range(40)]
    for k in range(40):
        frames[k][k : k + 3, 4 * k] += 5000
    check_few(hot_of(frames, None).where)


# -- hot ones are found --------------------------------------------------------


def planted(rng, frames, pattern, places):
    """Make elements hot: Poisson counts of 10 x the local mean, that number always, three in ten events."""
    for frame in frames:
        frame = rng.poisson(frame).astype(np.int64)
        for k, (i, j) in enumerate(places):
            ten = 10 * pattern[i, j]
            frame[i, j] = (rng.poisson(ten), max(1, round(ten)), (rng.random() < 0.3) * max(1, round(ten / 0.3)))[k % 3]
        yield frame


def some_places(rng, number, where):
    candidates = np.argwhere(where)
    return [tuple(at) for at in candidates[rng.choice(len(candidates), number, replace=False)]]


@pytest.mark.parametrize("known", [True, False], ids=["beam known", "unknown"])
@pytest.mark.parametrize("fall", FALL)
def test_planted_ones_are_found(fall, known):
    """Over three decades, next to the beam stop and its arm, and at the detector's edges."""
    rng = np.random.default_rng(6)
    pattern = pattern_of(fall, 1000)
    near = ~STOP & ((RADIUS < 12) | (np.abs(COLUMN - CENTER[1]) < 5))
    edge = (ROW < 2) | (COLUMN < 2) | (ROW > SIDE - 3) | (COLUMN > SIDE - 3)
    places = some_places(rng, 30, ~STOP) + some_places(rng, 9, near) + some_places(rng, 9, edge)
    frames = planted(rng, speckle(rng, pattern, diffusion(3), 100), pattern, places)
    where = hot_of(frames, RADIUS if known else None).where
    found = [where[at] for at in places]
    assert np.mean(found) > 0.95 and all(found[1::3]) and all(found[2::3]), [a for a in places if not where[a]]
    good = ~STOP
    good[tuple(np.transpose(places))] = False
    check_few(where, good)


def test_dim_ones_are_found():
    """0.01 photons per event: ten times that is 30 in 300 events, where 3 are usual."""
    rng = np.random.default_rng(7)
    places = some_places(rng, 60, np.ones((SIDE, SIDE), bool))
    pattern = np.full((SIDE, SIDE), 0.01)
    where = hot_of(planted(rng, speckle(rng, pattern, 0.01, 300), pattern, places), None).where
    assert np.mean([where[at] for at in places]) > 0.95
    where[tuple(np.transpose(places))] = False
    check_few(where)


def test_still_speckle_hides_what_it_may():
    """Contrast 1 that does not change: ten times the mean may be speckle; a constant or restless value may not."""
    rng = np.random.default_rng(8)
    pattern = pattern_of("exponential", 1000)
    places = some_places(rng, 60, ~STOP)
    found = hot_of(planted(rng, speckle(rng, pattern, 1e9, 60), pattern, places))
    assert np.median(found.limit[~STOP]) > 9
    at = [found.where[place] for place in places]
    assert all(at[1::3]) and all(at[2::3])
    assert all(found.stuck[place] for place in places[1::3]) and all(found.restless[place] for place in places[2::3])
    good = ~STOP
    good[tuple(np.transpose(places))] = False
    check_few(found.where, good)


def test_what_is_masked_counts_for_nobody():
    """Gaps beside an element, broken ones, and a detector of one line, of few elements, of one segment in many."""
    rng = np.random.default_rng(9)
    for shape in ((2, 90, 80), (4000,), (5, 7), (3, 3)):
        frames = rng.poisson(20, (30, *shape)).astype(np.uint16)
        at = tuple(length // 2 for length in shape)
        frames[(slice(None), *at)] += 400
        frames.reshape(30, -1)[:, 1] = 65535
        frames.reshape(30, -1)[5, 3] = 65535
        statistics = statistics_of(frames)
        mask = np.ones(shape, bool)
        found = hot.find(statistics, mask, CHANCE)
        assert np.argwhere(found.where).tolist() == [list(at)], shape
        mask[at] = False
        assert not hot.find(statistics, mask, CHANCE).where.any()


def test_all_the_same_and_nothing_at_all():
    for frames in (np.zeros((9, 30, 30)), np.full((9, 30, 30), 7), np.arange(900.0).reshape(1, 30, 30).repeat(9, 0)):
        assert not hot.find(statistics_of(frames), np.ones((30, 30), bool), CHANCE).where.any()
    assert not hot.find(statistics_of(np.ones((9, 30, 30))), np.zeros((30, 30), bool), CHANCE).where.any()


# -- the tool says what it did -------------------------------------------------


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(frames, *args):
        with h5py.File("frames.h5", "w") as file:
            file["f"] = frames
        begin = ("start", "-d", "h5=frames.h5", "-s", "f", "-b", "m", "--force", "--center", f"{CENTER[0]},{CENTER[1]}")
        status = status_of(maskcolor.main, *begin, *args)
        said = capsys.readouterr()
        return status, said.out, said.err, np.load("m_mask_ndarrCoords.npy") if status == 0 else None

    return run


def test_the_tool_keeps_good_speckle(start):
    """Slow speckle on a steep pattern: no ring loses elements, and the limit of what can be told is said."""
    rng = np.random.default_rng(10)
    pattern = pattern_of("exponential", 1000)
    frames = [rng.poisson(i).astype(np.uint16) for i in speckle(rng, pattern, diffusion(300), 40)]
    frames = np.minimum(frames, 60000)
    for by in (("--by", "radius", "-c", "6", "--low", "8"), ("--by", "intensity")):
        status, said, warned, mask = start(frames, "--hot", *by)
        assert status == 0 and "at most 1 good element in 100,000 does" in said
        assert mask.size - mask.sum() <= 4
        assert "the mean of 40 events tells no speckle from a hot element of 8 times" in warned


def test_the_tool_counts_by_colour(start):
    """How many, in which colour, which share; and a warning where a ring loses much."""
    rng = np.random.default_rng(11)
    frames = rng.poisson(20, (30, SIDE, SIDE)).astype(np.uint16)
    inner = some_places(rng, 15, RADIUS < 20)
    for i, j in [*inner, (5, 5)]:
        frames[:, i, j] += 300
    for by in (("--by", "radius", "-c", "9"), ("--by", "radius", "-c", "9", "--sectors", "3")):
        status, said, warned, mask = start(frames, "--hot", *by)
        assert status == 0 and mask.size - mask.sum() == 16 and all(mask[place] == 0 for place in inner)
        (line,) = (line for line in said.splitlines() if line.startswith("color: --hot left out"))
        counts = [int(part.split(" of ")[0].split()[-1]) for part in line.split(", ") if " of " in part]
        assert sum(counts) == 16 and "in colour 1 (" in line
        assert "warning: --hot left out more than 1% of" in warned
    status, said, warned, _ = start(frames, "--hot", "100", "--by", "radius", "-c", "5")
    assert status == 0 and "16 elements left out: hot" in said
    status, said, warned, mask = start(frames[:4], "--hot")
    assert status == 0 and mask.all() and "4 events are too few to tell which elements are hot" in warned


@pytest.mark.parametrize("value", ["2", "-5", "101", "nan", "5x", "1e-5"])
def test_wrong_numbers(start, value):
    status, *_ = start(np.ones((6, 20, 20)), "--hot", value)
    assert status == 2
