"""The sums of the colours at the ends of stretches of a run, on their way from the workers to the viewer."""

import itertools
from functools import partial

import h5py
import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import opened_with_light, run_local
from test_aged import CHANNELS, COLOR, FINE, _of_frames, added, pairs_of, saturated_until, streams

from parcorana import ConfigError, reference
from parcorana.curves.snapshots import KEPT
from parcorana.g2 import snapshots
from parcorana.multitau import MultiTauG2
from parcorana.results.reading import read_result
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator


@pytest.fixture
def short(monkeypatch):
    """Return a function that says after how many events a stretch may end."""

    def set_width(width):
        monkeypatch.setattr(snapshots, "width_of", lambda cost, system_params: width)

    return set_width


NUMBERS = itertools.count()


def viewer_of(folder, kind, stream, user, delays, **more):
    """Run a stream; return the viewer's calculation."""
    for name, array in (("color", COLOR), ("fine", FINE)):
        np.save(folder / f"{name}.npy", array)
    user = {"color": str(folder / "color.npy"), "save_arrays": False, "saturated_value": 20} | user
    if user["normalization"] == "finecolor":
        user["finecolor"] = str(folder / "fine.npy")
    about = stream["counters"], stream["frames"], stream["runs"], stream["light"]
    given = {"times": stream["times"], "delays": delays, "values": {"light": "light"}} | stream["system"] | more
    given |= {"h5output": str(folder / "out.h5"), "overwrite": True}
    roles = run_local(folder, kind, *about[:2], user=user, opened=partial(opened_with_light, *about), **given)
    return roles[0].calculation


def until(stream, rows, processed, delays, channels, settled):
    """Return the pairs until so many events; of frames of which all events have left the buffer, if `settled`."""
    counters = stream["counters"] - stream["counters"][0]
    if not settled:
        pairs, _ = pairs_of(counters, rows, stream["runs"], stream["times"], delays, channels)
        return [pair for pair in pairs if pair[0] < processed]
    buffer, before, kept, found = None, None, {}, []
    for counter, row, run in zip(counters.tolist(), rows, stream["runs"], strict=True):
        if run != before:
            found += _of_frames(kept, delays, channels)
            buffer, before, kept = reference.ReferenceBuffer(stream["times"]), run, {}
        if processed and buffer.enter(counter, row) == "processed":
            kept[counter] = 0, row
            processed -= 1
        if not processed:
            break
    newest = sorted(kept)[-stream["times"] :]
    return found + _of_frames({t: kept[t] for t in kept if t not in newest}, delays, channels)


def by_color(sums, ok, normalization):
    """Add up sums of elements, (3, D, n), as `ColorSums.reduce` does: dict of arrays."""
    color, fine = COLOR.ravel(), FINE.ravel()
    colored = [(c, None) for c in (1, 2)]
    if normalization == "finecolor":
        colored = [(c, f) for c in (1, 2) for f in np.unique(fine) if ((color == c) & (fine == f)).any()]
    which = [ok & (color == c) & ((fine == f) if f else True) for c, f in colored]
    divides = which if normalization == "color" else [ok & (fine == f) for f in np.unique(fine)]
    found = {"elements": [one.sum() for one in which], "G2": [sums[0][:, one].sum(axis=1) for one in which]}
    found |= {name: [sums[k][:, one].sum(axis=1) for one in divides] for k, name in ((1, "IP"), (2, "IF"))}
    return found | ({"fine_elements": [one.sum() for one in divides]} if normalization == "finecolor" else {})


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams(), st.sampled_from([3, 6]), st.booleans())
def test_sums_at_the_ends_of_stretches_are_of_the_pairs_until_then(tmp_path, short, stream, width, updates):
    """With gaps, disorder, runs, elements that saturate, a series to divide by; the same of one worker."""
    short(width)
    if not updates:
        stream["system"]["update"] = 0
    delays, channels, kind = [0, 1, 2, 5], None, G2IncrementalAccumulator
    user = {"normalization": stream["normalization"], "frame_norm": stream["frame_norm"]}
    if stream["multi"]:
        delays, channels, kind = [0, 1, 2, 4, 8, 12, 16], CHANNELS, MultiTauG2
        user["channels"] = CHANNELS
    many, alone = (tmp_path / f"{next(NUMBERS)}" for _ in range(2))  # what was before may not have been let go of yet
    for each in (many, alone):
        each.mkdir()
    made = viewer_of(many, kind, stream, user, delays)
    kept, events = made.snapshots.state(), made.snapshots.ends.events.tolist()
    update, rows = stream["system"]["update"], stream["frames"].reshape(-1, 12).astype(float)
    by_updates = 0 < update <= width
    _, entered = pairs_of(stream["counters"] - stream["counters"][0], rows, stream["runs"], stream["times"], delays)
    assert events == sorted({end for end in events if 0 < end <= len(entered)})
    assert len({end // width for end in events}) == len(events)  # no two in one
    if by_updates or kind is G2IncrementalAccumulator:
        step = update if by_updates else width
        assert events == list(range(step, len(entered) + 1, step))
    for k, end in enumerate(events):
        about = end, delays, channels, kind is MultiTauG2 and not by_updates
        sums, counts = added(until(stream, rows, *about), delays, 12)
        assert kept["counts"][k].tolist() == counts.tolist()
        wanted = by_color(sums, ~saturated_until(entered, end, 20), stream["normalization"])
        assert kept.keys() == wanted.keys() | {"counts", "ends"} | ({"series"} if stream["frame_norm"] else set())
        for name, array in wanted.items():
            np.testing.assert_allclose(kept[name][k], array, rtol=1e-6, atol=1e-9, err_msg=name)
        if stream["frame_norm"]:
            series, _ = added(until(stream, stream["light"][:, None], *about), delays, 1)
            np.testing.assert_allclose(kept["series"][k], series.transpose(0, 2, 1), rtol=1e-12, atol=1e-12)
    of_one = viewer_of(alone, kind, stream, user, delays, workers=1, servers=1).snapshots.state()
    for name, array in kept.items():
        np.testing.assert_allclose(array, of_one[name], rtol=1e-13, atol=1e-12)


def speckle(changes=False, events=300):
    """Return a stream of speckle that is new at every event; if it changes, at less and less of them."""
    rng = np.random.default_rng(7)
    frames = rng.integers(1, 9, (events, 3, 4)).astype(np.float32)
    for k in range(1, events):
        if changes and rng.random() < 0.7 * k / events:
            frames[k] = frames[k - 1]
    about = {"counters": np.arange(events), "frames": frames, "runs": np.zeros(events, int), "light": np.ones(events)}
    return about | {"times": 20, "system": {"block": 10}}


def test_what_changes_with_age_is_said_once_and_written(tmp_path, short, caplog):
    """At the first update that shows it; before it, why it is not known."""
    short(20)
    user = {"normalization": "color"}
    viewer_of(
        tmp_path,
        G2IncrementalAccumulator,
        speckle(changes=True, events=1200),
        user,
        [1, 2, 3, 5, 8, 12, 15, 17],
        update=100,
    )
    with h5py.File(tmp_path / "out.h5") as file:
        last = file["user/G2_results_at_001200"]
        for color in (1, 2):
            assert last[f"delay_curve_color_{color}"].attrs["stationarity_p"] < 5e-4
        assert last.attrs["changes_with_age"].startswith("g2 of 2 of 2 colours changes with age: colour ")
        assert last.attrs["stationarity_unknown"] == ""
        first = file["user/G2_results_at_000100"]
        assert np.isnan(first["delay_curve_color_1"].attrs["stationarity_p"])
        assert first.attrs["stationarity_unknown"].startswith("of 2 of 2 colours: the run has not yet 8 stretches")
    said = [line for line in caplog.messages if "changes with age" in line]
    assert [" events: g2 of " in line for line in said] == [True, False]  # and once at the end


@pytest.mark.parametrize("user", [{}, {"normalization": "pixel"}])
def test_there_are_none_where_nothing_can_be_taken_away(tmp_path, short, user):
    short(10)
    kind = G2IncrementalAccumulator if user else G2atEnd
    made = viewer_of(tmp_path, kind, speckle(), {"normalization": "color"} | user, [1, 2], update=100)
    deviations, groups = made.time_blocks({}, np.zeros(2, int))
    assert (deviations.shape, groups.tolist()) == ((2, 0, 2), [0, 0])
    with h5py.File(tmp_path / "out.h5") as file:
        assert "stationarity_p" not in file["user/G2_results_at_000300/delay_curve_color_1"].attrs


def test_what_is_kept_is_known_beforehand(tmp_path, short):
    """Of more stretches than fit: at the most what is said of the viewer, which holds it four times."""
    short(1)
    stream = speckle() | {"system": {"block": 2}}
    made = viewer_of(tmp_path, G2IncrementalAccumulator, stream, {"normalization": "color"}, [1, 2, 5])
    assert made.snapshots.ends.events.tolist() == list(range(8, 301, 8))
    about = made.system_params, made.user_params, made.color_sums, 0
    kept = sum(array.nbytes for name, array in made.snapshots.state().items() if name in (*KEPT, "counts"))
    assert kept <= 4 * made.snapshot_bytes(*about)


def test_a_stretch_is_long_where_its_sums_take_long():
    """The longer the delays reach and the more there are; never longer than from one update to the next."""

    def width(kind, **given):
        system = {"delays": list(range(1, 101)), "times": 2000, "update": 0} | given
        return kind.snapshot_width(system, {})

    assert width(G2IncrementalAccumulator) == (3210, False)
    far, few = [*range(1, 100), 25_000], [1, 2, 5]
    assert width(G2IncrementalAccumulator, delays=far, times=30_000) == (78_919, False)
    assert width(G2IncrementalAccumulator, delays=far)[0] < width(G2IncrementalAccumulator, delays=far, times=30_000)[0]
    assert width(MultiTauG2, delays=few) == (1110, False)
    assert width(MultiTauG2, delays=few, update=1000) == (1000, True)
    assert width(MultiTauG2, delays=few, update=2000) == (1110, False)
    assert width(G2atEnd) == (0, False)


def test_several_classes_have_what_each_has_alone(tmp_path, short):
    short(30)
    about = speckle() | {"system": {"block": 7, "workers": 2}}
    kinds = [G2IncrementalAccumulator, MultiTauG2]
    user = {"normalization": "color", "frame_norm": "color"}
    together = viewer_of(tmp_path, kinds, about, user, [1, 2, 4]).parts
    for kind in kinds:
        alone = viewer_of(tmp_path, kind, about, user, [1, 2, 4]).snapshots.state()
        found = together[kind.__name__].snapshots.state()
        assert found.keys() == alone.keys() and len(alone["counts"]) >= 9
        for name, array in found.items():
            np.testing.assert_array_equal(array, alone[name])


def test_many_colours_have_a_table_and_the_last_result_attributes(tmp_path, short):
    """As pictures and the page read them, which refuse what is no probability."""
    short(20)
    np.save(tmp_path / "color.npy", np.arange(1, 81).reshape(8, 10))
    frames = np.random.default_rng(2).integers(1, 9, (240, 8, 10)).astype(np.float32)
    system = {"times": 20, "delays": [1, 2, 3], "update": 200, "h5output": str(tmp_path / "out.h5"), "block": 5}
    user = {"color": str(tmp_path / "color.npy"), "save_arrays": False}
    run_local(tmp_path, G2IncrementalAccumulator, np.arange(240), frames, user=user, **system)
    with h5py.File(tmp_path / "out.h5", "r+") as file:
        last, before = file["user/G2_results_at_000240"], file["user/G2_results_at_000200"]
        table = last["stationarity_p"][:]
        assert np.isfinite(table).all() and before["stationarity_p"].shape == (80,)
        assert [last[f"delay_curve_color_{c}"].attrs["stationarity_p"] for c in range(1, 81)] == table.tolist()
        assert read_result(file, "out.h5").stationarity == dict(zip(range(1, 81), table.tolist(), strict=True))
        for wrong in (table[:3], np.zeros((80, 2)), np.full(80, b"x")):
            del last["stationarity_p"]
            last["stationarity_p"] = wrong
            with pytest.raises(ConfigError, match="its stationarity_p has "):
                read_result(file, "out.h5")


def curves_of(folder):
    with h5py.File(folder / "out.h5") as file:
        return read_result(file, "out.h5").curves


def test_errors_from_time_blocks(tmp_path, short):
    """Where they are asked for; and of colours that are too small for pixel groups, as these are."""
    short(10)
    for errors in ("time blocks", "auto", "pixel groups", "pixels"):
        user = {"normalization": "color", "errors": errors, "frame_norm": "light"}
        made = viewer_of(tmp_path, G2IncrementalAccumulator, speckle(), user, [1, 2, 7, 15])
        curve = curves_of(tmp_path)[1]
        if errors.startswith("pixel"):
            assert np.isnan(curve.error).all() and curve.groups == 0
            continue
        with h5py.File(tmp_path / "out.h5") as file:
            group = file["user/G2_results_at_000300"]
            about = dict(group["delay_curve_err_color_1"].attrs)
            assert about["error_from"] == "time blocks"
            assert about["long_name"] == "standard error from the scatter of stretches of the run"
            covariance = group["delay_curve_cov_color_1"][:]
        assert curve.groups == 30 and np.isfinite(curve.error[:3]).all() and np.isnan(curve.error[3])
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), curve.error, rtol=1e-6)
        # each of 299 pairs of 4 elements of independent speckle of contrast 5.25 / 20.25
        assert 0.5 < curve.error[0] / (5.25 / 20.25 / np.sqrt(299 * 4)) < 2
        assert made.has_scatter  # which is in them


@pytest.mark.parametrize(("kind", "normalization"), [(G2atEnd, "color"), (MultiTauG2, "pixel")])
def test_time_blocks_are_refused_where_there_are_none(tmp_path, kind, normalization):
    user = {"normalization": normalization, "errors": "time blocks"}
    with pytest.raises(ConfigError, match=f"errors'. is 'time blocks', but {kind.__name__} with the normalization"):
        viewer_of(tmp_path, kind, speckle(), user, [1, 2])


def test_of_several_colours_each_has_the_errors_that_it_can_have(tmp_path, short):
    """Read as they were made: what all share is in both, and in time blocks once."""
    short(20)
    color = np.repeat([1, 2], (248, 8)).reshape(16, 16)
    np.save(tmp_path / "color.npy", color)
    rng = np.random.default_rng(4)
    frames = (rng.gamma(1, 1, (400, 16, 16)) * rng.gamma(9, 1, (400, 1, 1))).astype(np.float32)
    system = {"times": 20, "delays": [1, 2, 3], "h5output": str(tmp_path / "out.h5"), "block": 5}
    user = {"color": str(tmp_path / "color.npy"), "save_arrays": False}
    run_local(tmp_path, G2IncrementalAccumulator, np.arange(400), frames, user=user, **system)
    curves = curves_of(tmp_path)
    assert curves[1].groups >= 8 and curves[2].groups == 20
    for curve in curves.values():
        np.testing.assert_allclose(np.sqrt(np.square(curve.deviations).sum(axis=0)), curve.error, rtol=1e-5)
    # the beam's part of both is the same
    assert 0.5 < curves[2].error[0] / curves[1].error[0] < 3
    with h5py.File(tmp_path / "out.h5") as file:
        group = file["user/G2_results_at_000400"]
        said = [group[f"delay_curve_err_color_{c}"].attrs["error_from"] for c in (1, 2)]
    assert said == [curves[1].source, curves[2].source] == ["pixel groups", "time blocks"]
