"""The simulator: one sequence however it is divided, and the statistics it promises."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.errors import ConfigError
from parcorana.events import speckle
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.events.protocol import Event, Share
from parcorana.events.simulated import Brownian, SimulatedSource, colors, true_c2, true_contrast, true_g2

pytestmark = pytest.mark.filterwarnings("error")

SMALL = "sim=brownian:shape=2x6x7:events=60:tau=4:seed=3"
DELAYS = np.array([1, 2, 3, 5, 8, 12, 20, 40])


def make(text=SMALL, **share):
    return SimulatedSource(parse_dataset(text), Share(**share))


def sequence(text, servers=1, block=512, numevents=0):
    """Stamps and frames of all servers' blocks, taken in rotation."""
    sources = [make(text, server=s, servers=servers, block=block, numevents=numevents) for s in range(servers)]
    turns = itertools.zip_longest(*[source.blocks() for source in sources])
    events = [(e.stamp, e.data()) for turn in turns for b in turn if b is not None for e in b]
    return [stamp for stamp, _ in events], [frame for _, frame in events]


def same(first, second):
    assert first[0] == second[0]
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def run(text):
    source = make(text)
    frames = np.array([event.data() for block in source.blocks() for event in block])
    return source.pulses, frames


def naive_g2(pulses, frames, delays, elements=...):
    """<G2> / (<IP> <IF>) over elements, sums over the same pairs, the plain slow way."""
    row = {int(pulse): i for i, pulse in enumerate(pulses)}
    result = []
    for delay in delays:
        pairs = [(i, row[p + delay]) for p, i in row.items() if p + delay in row]
        past, future = (frames[list(side)][:, elements].astype(np.float64) for side in zip(*pairs, strict=True))
        result.append((past * future).mean() / (past.mean() * future.mean()))
    return np.array(result)


def errors_off(measured, expected):
    """How many standard errors the mean over seeds is from what is expected."""
    measured = np.asarray(measured)
    return (measured.mean(axis=0) - expected) / (measured.std(axis=0, ddof=1) / np.sqrt(len(measured)))


# One sequence


@pytest.mark.parametrize("block", [1, 7, 16, 512])
@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    ["", ":colors=3", ":aging=0.3:modes=3:poisson=1", ":poisson=1", ":gaps=0.4:disorder=9:poisson=1:colors=2"],
)
def test_every_division_gives_the_same_bits(options, servers, block):
    same(sequence(SMALL + options, servers, block), sequence(SMALL + options))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(0, 80), st.sampled_from(["", ":gaps=0.3:disorder=5"]))
def test_numevents_is_exact(servers, block, numevents, options):
    whole = sequence(SMALL + options)
    expected = numevents or 60
    same(sequence(SMALL + options, servers, block, numevents), tuple(part[:expected] for part in whole))
    assert make(SMALL + options, numevents=numevents).total == min(expected, 60)


def test_frames_depend_on_seed_and_pulse_only(monkeypatch):
    plain = make()
    frames = [plain.frame(pulse) for pulse in range(200)]
    disordered = make(SMALL + ":gaps=0.5:disorder=20")
    monkeypatch.setattr(speckle, "_CACHE_BYTES", 0)
    small_cache = make()
    for pulse in [150, 3, 199, 0, 128, 127, 64, 1, 198, 150]:
        assert np.array_equal(small_cache.frame(pulse), frames[pulse])
    for pulse in range(200):
        assert np.array_equal(small_cache.frame(pulse), frames[pulse])
    for block in disordered.blocks():
        for event in block:
            assert np.array_equal(event.data(), frames[event.stamp])
    assert not np.array_equal(make(SMALL.replace("seed=3", "seed=4")).frame(5), frames[5])


def test_frames_are_the_callers_own():
    source = make()
    frame = source.frame(7)
    before = frame.copy()
    frame[:] = -1
    assert np.array_equal(source.frame(7), before)
    source.close()
    assert np.array_equal(source.frame(7), before)


@pytest.mark.parametrize("shape", ["1", "9", "1x1", "5x1", "1x5", "2x3x4", "2x2x3x4", "3x1x1"])
@pytest.mark.parametrize("poisson", [0, 1])
def test_shapes_and_protocol(shape, poisson):
    source = open_source(parse_dataset(f"sim=brownian:shape={shape}:events=5:poisson={poisson}"), share=Share(block=2))
    assert source.stamps == "pulses" and source.total == 5
    assert source.shape == tuple(int(n) for n in shape.split("x"))
    assert source.dtype == (np.uint16 if poisson else np.float32)
    blocks = [list(block) for block in source.blocks()]
    assert [len(block) for block in blocks] == [2, 2, 1]
    for event in itertools.chain(*blocks):
        assert isinstance(event, Event) and event.evt is event and event.run == 0 and type(event.stamp) is int
        frame = event.data()
        assert frame.shape == source.shape and frame.dtype == source.dtype and np.isfinite(frame).all()
        assert frame.min() >= 0
    source.close()
    source.close()


@pytest.mark.parametrize(
    ("options", "cache"),
    [
        ("shape=2x64x64", 1 << 26),
        ("shape=90x90:poisson=1:disorder=9:colors=5", 1 << 26),
        ("shape=9000:modes=3:aging=0.1", 1 << 26),
        ("shape=3x128x128", 1 << 20),  # as large images are: few fields are kept
    ],
)
def test_no_frame_takes_more_memory_than_a_source_says(monkeypatch, options, cache):
    """Fields that are kept, those between which others are made, and the frame; and what is said is not far from it."""
    monkeypatch.setattr(speckle, "_CACHE_BYTES", cache)
    source = SimulatedSource(parse_dataset(f"sim=brownian:events=70:tau=9:{options}"), Share())
    source.frame(0)  # NumPy loads what it needs for that
    source.close()
    tracemalloc.start()
    try:
        for pulse in source.pulses.tolist():
            source.frame(pulse)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken - 100_000 < source.reading_bytes < 1.5 * taken + 100_000


def test_no_events():
    source = make("sim=brownian:events=0:gaps=0.5:disorder=3")
    assert source.total == 0 and list(source.blocks()) == []


# Gaps and disorder


@pytest.mark.parametrize("gaps", [0, 0.1, 0.9])
@pytest.mark.parametrize("disorder", [0, 1, 2, 50, 1000])
def test_pulses(gaps, disorder):
    text = f"sim=brownian:events=20000:gaps={gaps}:disorder={disorder}"
    pulses = make(text).pulses
    assert pulses.dtype == np.int64 and pulses.shape == (20000,)
    assert np.array_equal(pulses, make(text).pulses)
    assert np.unique(pulses).size == pulses.size and pulses.min() >= 0
    assert np.array_equal(np.sort(pulses), make(f"sim=brownian:events=20000:gaps={gaps}").pulses)
    missing, seen = pulses.max() + 1 - 20000, pulses.max() + 1
    assert abs(missing - gaps * seen) <= 5 * np.sqrt(seen * gaps * (1 - gaps))
    late = np.maximum.accumulate(pulses) - pulses
    assert late.max() < max(disorder, 1)
    if disorder > 1:
        assert late.max() > 0 and np.all(np.diff(pulses // disorder) >= 0)
        other = make(text + ":seed=2").pulses
        assert not np.array_equal(pulses, other)


# Statistics: exact


@pytest.mark.parametrize("aging", [0, 1e-3, 0.2, 1000])
@pytest.mark.parametrize("tau", [0.001, 0.3, 7, 1e6])
def test_field_correlation_is_exponential_for_all_pairs(monkeypatch, tau, aging):
    """With unit vectors for noise, a field is its own coefficients, and products are covariances."""
    n = 150
    fields = speckle.Fields(Brownian.of({"shape": f"{2 * n}", "tau": tau, "aging": aging}))
    unit = np.eye(2 * n, dtype=np.float32) / np.float32(fields._amplitude)
    monkeypatch.setattr(fields, "_noise", lambda pulse: np.broadcast_to(unit[pulse], fields._shape))
    made = np.array([fields.at(pulse)[0, 0, 0] for pulse in range(n)], np.float64)
    age = np.log1p(aging * np.arange(n)) / aging if aging else np.arange(n)
    expected = np.exp(-np.abs(np.subtract.outer(age, age)) / tau)
    assert np.allclose(made @ made.T, expected, rtol=0, atol=2e-6)


def test_true_g2():
    options = {"tau": 10, "contrast": 0.3, "colors": 3}
    assert np.allclose(true_g2(options, [0, 5, 10]), 1 + 0.3 * np.exp([0, -1, -2]))
    assert np.allclose(true_g2(options, [5], color=3), 1 + 0.3 * np.exp(-9))
    text = "sim=brownian:tau=10:contrast=0.3:colors=3"
    for same_options in (text, parse_dataset(text), Brownian.of(text)):
        assert np.array_equal(true_g2(same_options, [3], 2), true_g2(options, [3], 2))
    with pytest.raises(ValueError, match="from 1 to 3"):
        true_g2(options, [1], color=4)


def test_true_c2_of_a_sample_that_ages():
    options = {"tau": 10, "contrast": 0.3, "colors": 2, "aging": 0.05, "events": 60, "gaps": 0.2}
    t = np.arange(80)
    c2 = true_c2(options, t[:, None], t, color=2)
    steps = 1 / (1 + 0.05 * (np.arange(80_000) + 0.5) / 1000)  # the time that passes in the sample, added up
    age = np.r_[0, np.cumsum(steps)][::1000] / 1000
    age = np.r_[age, steps.sum() / 1000][:80]
    assert np.allclose(c2, 1 + 0.3 * np.exp(-2 * np.abs(np.subtract.outer(age, age)) * 4 / 10), rtol=0, atol=1e-7)
    pulses = set(make("sim=brownian:events=60:gaps=0.2").pulses.tolist())
    pairs = [(p, p + 3) for p in pulses if p + 3 in pulses]
    assert true_g2(options, [3, 1000], 2)[0] == pytest.approx(np.mean([true_c2(options, *pair, 2) for pair in pairs]))
    assert np.isnan(true_g2(options, [1000])).all()


@pytest.mark.parametrize("aging", [0, 0.1])
def test_true_contrast_is_that_of_all_pairs(aging):
    options = {"tau": 6, "modes": 4, "sase": 0.5, "aging": aging, "events": 10}
    for first, exposure in ((0, 1), (3, 1), (0, 5), (7, 8)):
        t = np.arange(first, first + exposure)
        pulses = 1 + 0.25 * np.eye(exposure)
        expected = (pulses * true_c2(options, t[:, None], t)).mean() - 1
        assert true_contrast(options, exposure, first=first) == pytest.approx(expected)
    assert true_contrast(options) == pytest.approx(1.25 * 1.25 - 1)
    with pytest.raises(ValueError, match="at least 1 pulse"):
        true_contrast(options, 0)


@pytest.mark.parametrize("shape", [(40,), (31, 20), (3, 32, 31), (2, 2, 9, 9)])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_colors_are_rings(shape, count):
    rings = colors({"shape": shape, "colors": count})
    assert rings.shape == shape and rings.dtype == np.int32
    image = rings.reshape((-1, *shape[-2:]))[0]
    assert (rings == image).all()
    sizes = np.bincount(image.ravel())[1:]
    assert sizes.size == count and np.ptp(sizes) <= 1
    radius = np.sqrt(sum((x - (n - 1) / 2) ** 2 for x, n in zip(np.indices(image.shape), image.shape, strict=True)))
    if len(shape) > 1:
        assert all(radius[image == c].max() <= radius[image == c + 1].min() for c in range(1, count))


# Statistics: measured, standard errors from independent seeds


@pytest.fixture(scope="module")
def g2_by_seed():
    """g2 of 24 seeds and 2 colours, shape (24, 2, delays)."""
    rings = colors({"shape": (40, 60), "colors": 2})
    result = []
    for seed in range(24):
        pulses, frames = run(f"sim=brownian:shape=40x60:events=400:tau=24:colors=2:gaps=0.1:contrast=0.4:seed={seed}")
        result.append([naive_g2(pulses, frames, DELAYS, rings == color) for color in (1, 2)])
    return np.array(result)


def off_g2(measured, color, **options):
    expected = true_g2({"tau": 24, "contrast": 0.4, "colors": 2} | options, DELAYS, color)
    return np.abs(errors_off(measured[:, color - 1], expected)).max()


@pytest.mark.parametrize("color", [1, 2])
def test_g2_is_the_true_one(g2_by_seed, color):
    assert off_g2(g2_by_seed, color) < 3


@pytest.mark.parametrize("color", [1, 2])
@pytest.mark.parametrize("wrong", [{"tau": 26.4}, {"tau": 21.6}, {"contrast": 0.44}, {"contrast": 0.36}])
def test_g2_would_tell_ten_percent(g2_by_seed, color, wrong):
    assert off_g2(g2_by_seed, color, **wrong) > 3


def test_correlation_across_borders_of_bisection():
    pairs = [(0, 1), (1, 2), (3, 5), (31, 33), (63, 64), (127, 128), (255, 257), (250, 262), (511, 513), (512, 513)]
    measured = []
    for seed in range(60):
        source = make(f"sim=brownian:shape=40x40:tau=12:contrast=1:mean=1:seed={seed}")
        measured.append([((source.frame(p) - 1.0) * (source.frame(q) - 1.0)).mean() for p, q in pairs])
    expected = true_g2({"tau": 12, "contrast": 1}, [q - p for p, q in pairs]) - 1
    assert np.abs(errors_off(measured, expected)).max() < 3
    assert np.abs(errors_off(measured, 0.9 * expected)).max() > 3


@pytest.fixture(scope="module")
def independent_frames():
    """Frames of 12 seeds far apart in time, intensity over its mean less 1, (12, 80, 2, 32, 40)."""
    runs = [
        run(f"sim=brownian:shape=2x32x40:events=80:tau=0.1:mean=50:contrast=0.7:seed={seed}")[1] for seed in range(12)
    ]
    return np.array(runs, np.float64) / 50 - 1


def test_mean_and_variance_up_to_the_edges(independent_frames):
    where = {"all": np.s_[...], "rim": np.s_[..., [0, -1]], "rows": np.s_[..., [0, -1], :], "first": np.s_[..., :3, :3]}
    for part in where.values():
        means = [frames[part].mean() for frames in independent_frames]
        variances = [(frames[part] ** 2).mean() for frames in independent_frames]
        assert abs(errors_off(means, 0)) < 3
        assert abs(errors_off(variances, 0.7)) < 3
    variances = [(frames**2).mean() for frames in independent_frames]
    assert abs(errors_off(variances, 0.77)) > 3


def test_intensity_is_exponential_at_full_contrast():
    frames = run("sim=brownian:shape=100x100:events=60:tau=0.1:contrast=1:mean=1")[1].astype(np.float64)
    for threshold in (0.1, 1, 3):
        assert abs((frames > threshold).mean() / np.exp(-threshold) - 1) < 0.03


def test_speckles_are_a_few_pixels_large(independent_frames):
    def correlation(apart_rows, apart_columns):
        past = independent_frames[..., : 32 - apart_rows, : 40 - apart_columns]
        future = independent_frames[..., apart_rows:, apart_columns:]
        return (past * future).mean(axis=(1, 2, 3, 4)) / 0.7

    for lag, field in ((1, 56 / 70), (2, 28 / 70)):
        assert abs(errors_off(correlation(lag, 0), field**2)) < 3
        assert abs(errors_off(correlation(0, lag), field**2)) < 3
    assert correlation(1, 1).mean() > 0.35
    assert abs(errors_off(correlation(20, 0), 0)) < 3 and abs(errors_off(correlation(0, 20), 0)) < 3
    between_images = (independent_frames[:, :, 0] * independent_frames[:, :, 1]).mean(axis=(1, 2, 3))
    assert abs(errors_off(between_images, 0)) < 3
    in_time = (independent_frames[:, 1:] * independent_frames[:, :-1]).mean(axis=(1, 2, 3, 4))
    assert abs(errors_off(in_time, 0)) < 3


def test_photon_noise_changes_neither_mean_nor_g2():
    g2, means, variances, delays = [], [], [], [1, 3, 8]
    options = "shape=40x50:events=120:tau=10:contrast=0.6:mean=2.5:poisson=1"
    for seed in range(16):
        pulses, frames = run(f"sim=brownian:{options}:seed={seed}")
        assert frames.dtype == np.uint16
        g2.append(naive_g2(pulses, frames, delays))
        means.append(frames.mean())
        variances.append(frames.var())
    assert abs(errors_off(means, 2.5)) < 3
    assert abs(errors_off(variances, 2.5 + 0.6 * 2.5**2)) < 3.5
    assert np.abs(errors_off(g2, true_g2({"tau": 10, "contrast": 0.6}, delays))).max() < 3
    assert np.abs(errors_off(g2, true_g2({"tau": 11, "contrast": 0.6}, delays))).max() > 3


def test_photons_of_the_brightest_samples_fit():
    frames = run("sim=brownian:shape=50x50:events=20:mean=1000:contrast=1:poisson=1")[1]
    assert 900 < frames.mean() < 1100 and frames.max() < 30000


def test_photons_of_modes_are_a_negative_binomial():
    modes, mean = 3, 0.8
    frames = run(f"sim=brownian:shape=60x60:events=150:tau=0.1:mean={mean}:modes={modes}:poisson=1")[1]
    k = np.arange(6)
    expected = np.array([math.comb(j + modes - 1, j) for j in k], float)
    expected *= (1 + modes / mean) ** -k.astype(float) * (1 + mean / modes) ** -modes
    found = np.array([(frames == j).mean(axis=(1, 2)) for j in k])  # frames are independent
    off = (found.mean(axis=1) - expected) / (found.std(axis=1, ddof=1) / np.sqrt(len(frames)))
    assert np.abs(off).max() < 3.5
    poissonian = np.exp(-mean) * mean**k / np.array([math.factorial(j) for j in k])
    assert (np.abs(found.mean(axis=1) - poissonian) > 10 * np.abs(found.mean(axis=1) - expected))[:2].all()


def test_contrast_of_exposures_and_of_a_sample_that_ages():
    contrasts = {(first, w): [] for first in (0, 40) for w in (1, 4)}
    for seed in range(24):
        text = f"sim=brownian:shape=50x50:events=44:tau=5:aging=0.2:modes=2:sase=0.2:seed={seed}"
        frames = run(text)[1].astype(np.float64) / 10
        for (first, w), found in contrasts.items():
            found.append(((frames[first : first + w].mean(axis=0) - 1) ** 2).mean())
    expected = [true_contrast(text, w, first=first) for first, w in contrasts]
    measured = np.array(list(contrasts.values())).T
    assert np.abs(errors_off(measured, expected)).max() < 3.5
    assert expected[1] < 0.8 * expected[3]


def test_one_mode_is_full_contrast():
    same(sequence(SMALL + ":modes=1"), sequence(SMALL + ":contrast=1"))
    same(sequence(SMALL + ":aging=0:modes=0"), sequence(SMALL))


# Errors


@pytest.mark.parametrize(
    ("option", "right"),
    [
        ("shape=2x", "sizes"),
        ("shape=0x3", "at least 1"),
        ("shape=-2x3", "sizes"),
        ("shape=99999x99999", "2^31"),
        ("events=-1", "whole number"),
        ("events=1e3", "whole number"),
        ("tau=0", "decay time"),
        ("tau=nan", "decay time"),
        ("tau=inf", "decay time"),
        ("tau=x", "decay time"),
        ("seed=-1", "whole number"),
        ("seed=1.5", "whole number"),
        ("contrast=0", "above 0 and at most 1"),
        ("contrast=1.01", "above 0 and at most 1"),
        ("mean=0", "counts"),
        ("mean=-2", "counts"),
        ("poisson=2", "0 (no photon noise) or 1"),
        ("poisson=yes", "0 (no photon noise) or 1"),
        ("gaps=1", "from 0 to 0.9"),
        ("gaps=-0.1", "from 0 to 0.9"),
        ("disorder=-3", "window"),
        ("disorder=2.5", "window"),
        ("colors=0", "rings"),
        ("aging=-1", "decay time grows"),
        ("aging=nan", "decay time grows"),
        ("modes=101", "independent fields"),
        ("modes=1.5", "independent fields"),
    ],
)
def test_wrong_values_are_named(option, right):
    with pytest.raises(ConfigError) as error:
        make("sim=brownian:" + option)
    assert option in str(error.value) and right in str(error.value) and "\n" not in str(error.value)


def test_wrong_names_and_combinations():
    with pytest.raises(ConfigError, match="unknown option 'taus'; did you mean 'tau'"):
        make("sim=brownian:taus=3")
    with pytest.raises(ConfigError, match="unknown option 'zzz'; known are shape, events"):
        make("sim=brownian:zzz=3")
    with pytest.raises(ConfigError, match="the only one is 'sim=brownian'"):
        make("sim=brown")
    with pytest.raises(ConfigError, match="colors=7 must be at most 6"):
        make("sim=brownian:shape=9x2x3:colors=7")
    with pytest.raises(ConfigError, match="mean=1001 must be at most 1000"):
        make("sim=brownian:mean=1001:poisson=1")
    with pytest.raises(ConfigError, match="modes=2 makes the contrast 1/modes"):
        make("sim=brownian:contrast=0.5:modes=2")
    with pytest.raises(ConfigError, match="simulator: unknown option 'x'"):
        true_g2({"x": 1}, [1])
    with pytest.raises(ValueError, match="negative"):
        make().frame(-1)
