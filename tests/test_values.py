"""The values of events: from every source to the calculation, and which events they leave out."""

import importlib.util
import math
from functools import partial
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import ListSource, run_local

from parcorana import BlockBase, ConfigError, Summed
from parcorana.errors import EventError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5.values import stretches
from parcorana.events.open import open_source
from parcorana.events.protocol import Event, FrameBlock, Share
from parcorana.events.simulated import true_g2
from parcorana.events.values import Select, check_select, check_values, text_of
from parcorana.job.config import resolve_config
from parcorana.pipeline.means import Means
from parcorana.reference import ReferenceBuffer, pairs_sums

USUAL = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPE = (2, 3)
NO_PSANA = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")


# -- the config -----------------------------------------------------------------

H5, SIM, PSANA = (parse_dataset(text) for text in ("h5=a.h5", "sim=brownian", "exp=x:run=1"))


@pytest.mark.parametrize(
    ("dataset", "values", "words"),
    [
        (H5, {"a b": "x"}, "values['a b']: the name of a value must be letters, digits and _, not 'a b'"),
        (H5, {3: "x"}, "values[3]: the name of a value must be"),
        (H5, {"": "x"}, "values['']: the name"),
        (H5, {"a": ""}, "values['a'] must say where the value is, a string, not ''"),
        (H5, {"a": 3}, "values['a'] must say where the value is, a string, not 3"),
        (H5, {"mean": "x"}, "values['mean']: 'mean' is the mean of the included elements"),
        (SIM, {"i": "energy"}, "values['i']: the simulator has 'pulse', not 'energy'"),
        (PSANA, {"i": "gmd.raw"}, "values['i'] must be detector.interface.field, as 'gmd.raw.milliJoulesPerPulse'"),
        (PSANA, {"i": "gmd.raw.x[]"}, "values['i'] must be detector.interface.field"),
        (PSANA, {"i": "gmd.raw.x[1,2]"}, "values['i'] must be detector.interface.field"),
    ],
)
def test_wrong_values(dataset, values, words):
    with pytest.raises(ConfigError) as error:
        check_values(values, dataset)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ({"i1": (1, 2)}, "select['i1']: there is no such value, there are i0, mean: say in values where it is; did"),
        ({3: (1, 2)}, "select[3]: there is no such value"),
        ({"i0": 5}, "select['i0'] must be (low, high), numbers or None for no limit, not 5"),
        ({"i0": (1, 2, 3)}, "select['i0'] must be (low, high)"),
        ({"i0": ("1", 2)}, "select['i0'] must be (low, high)"),
        ({"i0": (True, 2)}, "select['i0'] must be (low, high)"),
        ({"i0": (math.nan, 2)}, "select['i0'] must be (low, high)"),
        ({"i0": (0, math.inf)}, "select['i0'] must be (low, high)"),
        ({"i0": (10**400, None)}, "select['i0'] must be (low, high)"),
        ({"mean": (2, 1)}, "select['mean']: no value is from 2 to 1: the lower limit comes first"),
    ],
)
def test_wrong_select(select, words):
    with pytest.raises(ConfigError) as error:
        check_select(select, ["i0"])
    assert str(error.value).startswith(words)


def test_names(setup, monkeypatch):
    monkeypatch.chdir(setup.folder)

    class Uses(BlockBase):
        uses = ()

        def arrays(self, elements):
            return {}

        def publish(self, update, group):
            pass

    def names(uses=(), **given):
        Uses.uses = uses
        config = resolve_config(setup.system | {"user_class": Uses, "dataset": "h5=frames.h5", **given}, {})
        return config.names, config.values

    assert names() == ([], {})
    assert names(values={"b": "x", "a": "y"}) == (["b", "a"], {"b": "x", "a": "y"})
    assert names(values={"mean": "mean", "a": "y"}) == (["a", "mean"], {"a": "y"})
    assert names(select={"mean": (1, None)}) == (["mean"], {})
    assert names(uses=("mean",)) == (["mean"], {})
    assert names(dataset="sim=brownian", select={"pulse": (None, 3)}) == (["pulse"], {})
    assert names(dataset="sim=brownian", values={"i0": "pulse"}, uses=["i0"])[0] == ["i0", "pulse"]
    with pytest.raises(ConfigError, match=r"user_class Uses uses the value 'i0': say in values where it is"):
        names(uses=("i0",))
    with pytest.raises(ConfigError, match=r"user_class Uses: uses must be names of values, not 'mean'"):
        names(uses="mean")
    with pytest.raises(ConfigError, match=r"values must be dict, not None"):
        names(values=None)
    given = resolve_config(setup.system | {"user_class": Uses, "select": {"mean": np.array([1, 2])}}, {})
    assert given.select == {"mean": (1, 2)} == given.system_params["select"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [((1, 2.5), "1 to 2.5"), ((None, 3), "up to 3"), ((-1, None), "from -1 on"), ((None, None), "any number")],
)
def test_ranges_in_words(limits, words):
    assert text_of(limits) == words


# -- parts ----------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(-5, 5).map(float), st.sampled_from([math.nan, math.inf, -math.inf]))
LIMITS = st.tuples(st.none() | st.integers(-5, 5), st.none() | st.integers(-5, 5)).map(
    lambda pair: pair if None in pair else tuple(sorted(pair))
)


def is_inside(value, limits):
    low, high = limits
    return not math.isnan(value) and not (low is not None and value < low) and not (high is not None and value > high)


@USUAL
@given(st.dictionaries(st.sampled_from("abc"), LIMITS), st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=20))
def test_select_against_plain_comparisons(select, rows):
    values = dict(zip("abc", np.array(rows).reshape(len(rows), 3).T, strict=True))
    found = Select(select).all_outside(values, len(rows))
    right = []
    for row in rows:
        of_name = dict(zip("abc", row, strict=True))
        out = [k for k, (name, limits) in enumerate(select.items()) if not is_inside(of_name[name], limits)]
        assert Select(select).outside(of_name) == (out[0] if out else None)
        right.append(out[0] if out else -1)
    assert (found is None and set(right) <= {-1}) or found.tolist() == right


@USUAL
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 6))
def test_stretches(wanted, gap):
    found = stretches(np.array(wanted, bool), gap)
    read = [k for first, last in found for k in range(first, last)]
    assert set(np.flatnonzero(wanted)) <= set(read) and len(read) == len(set(read))
    for first, last in found:
        assert wanted[first] and wanted[last - 1]
        run = "".join("x" if w else "." for w in wanted[first:last])
        assert "." * gap not in run, "as many together are not read"
    for (_, last), (first, _) in zip(found, found[1:], strict=False):
        assert first - last >= gap


DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?", ">u2", ">f8"]


@USUAL
@given(st.sampled_from(DTYPES), st.integers(1, 70), st.integers(1, 4), st.integers(0, 2**32), st.data())
def test_the_mean(dtype, size, events, seed, data):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        frames = rng.integers(info.min, info.max, (events, size), dtype.newbyteorder("="), endpoint=True).astype(dtype)
    else:
        frames = (rng.normal(size=(events, size)) * 1e3).astype(dtype)
    index = np.flatnonzero(rng.random(size) < rng.choice([0.2, 0.9, 1.0]))
    index = index if len(index) else np.array([size - 1])
    found = Means(index).of(frames)
    for k in range(events):
        included = frames[k, index].tolist()
        right = (sum if dtype.kind in "iub" else math.fsum)(included) / len(index)
        if dtype.kind in "iub" and dtype.itemsize < 8:
            assert found[k] == right, "exact"
        elif dtype.kind in "iu":
            assert math.isclose(found[k], right, rel_tol=1e-15, abs_tol=0 if dtype.kind == "u" else 1e4)
        else:
            assert abs(found[k] - right) <= 1e-15 * sum(map(abs, included))
    # the same bits in pieces, of one event, and with the elements apart
    cuts = sorted(data.draw(st.sets(st.integers(1, size), max_size=5)) | {0, size})
    for k in range(events):
        pieces = [frames[k : k + 1, a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
        assert Means(index).of(pieces)[0] == found[k]
    wide = np.zeros((events, 2 * size), dtype)
    wide[:, ::2] = frames
    assert (Means(index).of(wide[:, ::2]) == found).all()
    shifted = np.zeros(frames.nbytes + 1, np.uint8)[1:].view(dtype).reshape(frames.shape)
    shifted[...] = frames
    assert (Means(index).of(shifted) == found).all()


def test_means_that_are_none():
    frames = np.ones((3, 20), np.float32)
    frames[0, 5], frames[1, 6] = np.nan, np.inf
    found = Means(np.arange(20)).of(frames)
    assert math.isnan(found[0]) and found[1] == math.inf and found[2] == 1
    assert Means(np.arange(6, 20)).of(frames)[0] == 1, "what the mask leaves out does not count"
    assert Means(np.arange(20)).of(np.empty((0, 20), np.uint16)).shape == (0,)


# -- through the pipeline -------------------------------------------------------


class Seen(BlockBase):
    """Keeps what entered; looks at the values of stored events row by row."""

    buffer = "C"
    uses = ("mean",)

    def arrays(self, elements):
        self.entered, self.of_counter = [], {}
        return {"events": Summed(np.zeros(1, np.int64))}

    def enter(self, block):
        names = list(block.values)
        assert names == list(block.buffer.values)
        for k, counter in enumerate(block.counters.tolist()):
            row = tuple(block.values[name][k] for name in names)
            self.entered.append((counter, *row))
            self.of_counter[counter] = row, block.data[k].copy()
        buffer = block.buffer
        for row, counter in enumerate(buffer.T[: buffer.filled].tolist()):
            right, data = self.of_counter[counter]
            np.testing.assert_array_equal(buffer.X[row], data)
            np.testing.assert_array_equal([buffer.values[name][row] for name in names], right)
        assert all(np.isnan(column[buffer.filled :]).all() for column in buffer.values.values())

    def end_run(self, buffer):
        self.of_counter = {}

    def publish(self, update, group):
        pass


class StoresItself(Seen):
    stores = True
    buffer = "F"
    most = 3

    def enter(self, block):
        block.store()
        super().enter(block)


class Blocks(ListSource):
    """The same events as blocks of many frames, in pieces of any size; some of what is not wanted is left out."""

    seed = 0

    def blocks(self):
        for first, last in self.share.blocks(self.total):
            some = slice(first, last)
            runs = np.zeros(last - first, np.int64) if self.runs is None else np.asarray(self.runs[some])
            columns = {name: column[some] for name, column in self.values.items()}
            read = partial(self._read, first)
            yield FrameBlock(
                runs, self.counters[some], np.arange(first, last), columns, read, partial(self._pieces, first, last)
            )

    def _read(self, first, k):
        return self.event(first + k).data()

    def _pieces(self, first, last, wanted):
        chance, at = np.random.default_rng((self.seed, first)), first
        while at < last:
            if wanted is not None and not wanted[at - first] and chance.random() < 0.8:
                at += 1
                continue
            state, run = self.states[at], None if self.runs is None else self.runs[at]
            end = at + 1
            while (
                end < last
                and self.states[end] == state
                and (run is None or self.runs[end] == run)
                and chance.random() < 0.7
            ):
                end += 1
            if state == "unreadable":
                end = at + 1
                yield at - first, EventError("broken")
            elif state == "none":
                yield at - first, end - at
            else:
                self.fetched += self.counters[at:end].tolist()
                yield at - first, self.frames[at:end]
            at = end

    def event(self, k):
        event, state = super().event(k), self.states[k]

        def read():
            if state == "unreadable":
                raise EventError("broken")
            return None if state == "none" else event.data()

        return Event(event.run, event.stamp, read, index=k, values=lambda: event.values)


class Single(Blocks):
    """One event after the other."""

    def blocks(self):
        return ListSource.blocks(self)


@st.composite
def runs_with_values(draw):
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames = rng.integers(0, 8, (n, *SHAPE)).astype(draw(st.sampled_from([np.uint16, np.float32])))
    if frames.dtype.kind == "f":
        frames[rng.random(frames.shape) < 0.02] = np.nan
        frames[rng.random(n) < 0.05] = np.inf
    columns = rng.integers(0, 6, (2, n)).astype(float)
    columns[rng.random(columns.shape) < 0.1] = np.nan
    mask = rng.random(SHAPE) < 0.7
    workers = draw(st.integers(1, 3))
    mask.flat[:workers] = True
    return SimpleNamespace(
        frames=frames,
        counters=rng.integers(0, n + 5, n) if draw(st.booleans()) else np.arange(n),
        values={"a": columns[0], "b": columns[1]},
        states=rng.choice(["good", "none", "unreadable"], n, p=[0.9, 0.05, 0.05]),
        runs=np.arange(n) // 15 if draw(st.booleans()) else None,
        mask=mask,
        select=draw(st.dictionaries(st.sampled_from(["a", "b", "mean"]), LIMITS.filter(lambda x: x != (None, None)))),
        times=draw(st.integers(1, 12)),
        block=draw(st.integers(1, 9)),
        numevents=draw(st.sampled_from([0, 0, 17])),
        servers=draw(st.integers(1, 3)),
        workers=workers,
    )


def by_hand(run):
    """Return what enters, in order, with its values, and the accounting: by the rules, one event after the other."""
    entered, account, selected = [], {}, dict.fromkeys(run.select, 0)
    buffer, origin, now = ReferenceBuffer(run.times), None, None
    for k in range(min(len(run.counters), run.numevents or len(run.counters))):
        values = {name: column[k] for name, column in run.values.items()}
        out = [name for name in run.select if name in values and not is_inside(values[name], run.select[name])]
        included = run.frames[k][run.mask]
        mean = included.sum(dtype=float) / len(included)
        if not out and run.states[k] == "good" and np.isfinite(included).all():
            out = [name for name in run.select if name == "mean" and not is_inside(mean, run.select[name])]
        if out:
            fate = "filtered"
            selected[out[0]] += 1
        elif run.states[k] != "good":
            fate = "no_data" if run.states[k] == "none" else "bad"
        elif not np.isfinite(included).all():
            fate = "bad"
        else:
            which = 0 if run.runs is None else run.runs[k]
            if which != now:
                now, buffer = which, ReferenceBuffer(run.times)
            origin = run.counters[k] if origin is None else origin
            fate = buffer.enter(int(run.counters[k] - origin), None)
            if fate == "processed":
                entered.append((run.counters[k] - origin, values["a"], values["b"], mean))
        account[fate] = account.get(fate, 0) + 1
        account["read"] = account.get("read", 0) + 1
    return entered, account, selected


def roles_of(folder, user_class, kind, run, **more):
    """Run; return the roles and the sources."""
    sources = []

    def opened(share):
        source = kind(run.counters, run.frames, share, run.runs)
        source.values, source.states = run.values, run.states
        sources.append(source)
        return source

    names = ("times", "block", "numevents", "servers", "workers", "mask", "select")
    given = {name: getattr(run, name) for name in names} | {"delays": [1], "max_bad": 1.0}
    given |= {"values": {"a": "a", "b": "b"}, "opened": opened, "store_dtype": "float64"}
    return run_local(folder, user_class, run.counters, run.frames, **given | more), sources


@pytest.mark.parametrize("kind", [Blocks, Single])
@pytest.mark.parametrize("user_class", [Seen, StoresItself])
@USUAL
@given(run=runs_with_values())
def test_events_are_chosen_as_by_hand(tmp_path, caplog, user_class, kind, run):
    caplog.set_level("ERROR", "parcorana")
    (viewer, *roles), sources = roles_of(tmp_path, user_class, kind, run)
    entered, account, selected = by_hand(run)
    for worker in roles[run.servers :]:
        assert [row[0] for row in worker.calculation.entered] == [row[0] for row in entered]
        np.testing.assert_array_equal(np.reshape(worker.calculation.entered, (-1, 4)), np.reshape(entered, (-1, 4)))
        assert worker.events.selected == selected
    assert {key: count for key, count in viewer.finished.items() if count} == {k: v for k, v in account.items() if v}
    if kind is Single:  # before the data is fetched
        own = [name for name in run.select if name != "mean"]
        wanted = [
            all(is_inside(run.values[name][k], run.select[name]) for name in own) for k in range(len(run.counters))
        ]
        fetched = sum(len(source.fetched) for source in sources)
        stop = run.numevents or len(run.counters)
        assert fetched == sum(w and s == "good" for w, s in zip(wanted[:stop], run.states[:stop], strict=True))


def test_user_classes_see_values_and_index(tmp_path):
    seen = []

    class Looks(Seen):
        def initServer(self):
            assert self.mpiParams.run is None

        def eventOk(self, evt):
            seen.append((evt.index, evt.run, evt.stamp, dict(evt.values)))
            return evt.index % 2

        def finalDataArray(self, dataArray, evt):
            return dataArray + np.float32(evt.values["a"])

    rng = np.random.default_rng(1)
    run = SimpleNamespace(
        frames=rng.integers(0, 9, (30, *SHAPE)).astype(np.float32),
        counters=np.arange(30) + 100,
        values={"a": np.arange(30.0) % 7, "b": np.zeros(30)},
        states=["good"] * 30,
        runs=None,
        mask=np.ones(SHAPE, bool),
        select={"a": (2, None), "mean": (None, 11.5)},
        times=5,
        block=4,
        numevents=0,
        servers=2,
        workers=2,
    )
    (viewer, _, _, worker, _), _ = roles_of(tmp_path, Looks, Single, run)
    assert sorted(seen) == [(k, 0, 100 + k, {"a": k % 7, "b": 0}) for k in range(30) if k % 7 >= 2]
    means = run.frames.mean(axis=(1, 2), dtype=float) + run.values["a"]
    right = [k for k in range(30) if k % 7 >= 2 and k % 2 and means[k] <= 11.5]
    assert [row[0] + 0 for row in worker.calculation.entered] == [k - right[0] for k in right]
    np.testing.assert_allclose([row[-1] for row in worker.calculation.entered], means[right], rtol=1e-15)
    assert viewer.finished["filtered"] == 30 - len(right)


# -- the sources ----------------------------------------------------------------


def events_of(dataset, values=None, **share):
    source = open_source(parse_dataset(dataset), src="det/frames", share=Share(**share), values=values)
    found = [event for block in source.blocks() for event in block]
    source.close()
    return found


def test_simulator():
    events = events_of("sim=brownian:shape=3x4:events=400:sase=0.3:gaps=0.2:disorder=4:seed=2", {"i0": "pulse"})
    assert [event.index for event in events] == list(range(400))
    pulses = np.array([event.values["pulse"] for event in events])
    assert all(event.values == {"i0": event.values["pulse"], "pulse": event.values["pulse"]} for event in events)
    assert abs(pulses.mean() - 1) < 0.06 and abs(pulses.std() - 0.3) < 0.05
    assert {event.values["pulse"] for event in events_of("sim=brownian:shape=3x4:events=5")} == {1.0}


@pytest.mark.parametrize("poisson", [0, 1])
def test_frames_divided_by_their_pulses_have_the_true_g2(poisson):
    """The g2 of the frames, divided by that of the pulses over the same pairs, is that of the sample."""
    delays, off = np.array([1, 2, 4, 8, 16]), []
    for seed in range(12):
        text = f"sim=brownian:shape=24x24:events=600:tau=10:sase=0.5:seed={seed}:poisson={poisson}"
        events = events_of(text)
        frames = np.array([event.data().ravel() for event in events], float)
        pulses = np.array([[event.values["pulse"]] for event in events])
        quotient = []
        for data in (frames, pulses):
            sums = pairs_sums(
                {event.stamp: row for event, row in zip(events, data, strict=True)}, delays, data.shape[1]
            )
            g2, past, future = (sums[name].mean(axis=1) for name in ("G2", "IP", "IF"))
            quotient.append(sums["counts"] * g2 / (past * future))
        assert np.ptp(quotient[1]) > 0
        off.append(quotient[0] / quotient[1] - true_g2(text, delays))
    off = np.array(off)
    assert (np.abs(off.mean(axis=0)) < 4 * off.std(axis=0, ddof=1) / np.sqrt(len(off))).all()


# -- HDF5 -----------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path):
    """Two files of one stack, with values beside; return the columns and how to read them."""
    rng = np.random.default_rng(7)
    frames = rng.integers(0, 99, (50, 4, 5)).astype(np.uint16)
    i0, shot = rng.random(50), rng.integers(0, 5, 50)
    for k, some in enumerate((slice(0, 20), slice(20, 50))):
        with h5py.File(tmp_path / f"part_{k}.h5", "w") as file:
            file.create_dataset("det/frames", data=frames[some], chunks=(1, 4, 5))
            file["det/counter"] = np.arange(50)[some] * 2
            file["scan/i0"], file["scan/shot"] = i0[some], shot[some].astype(np.int32)
            file["scan/text"], file["scan/few"] = np.array([b"x"] * len(i0[some])), i0[some][1:]
            file["elsewhere"] = h5py.ExternalLink("other.h5", "x")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(20)
    return SimpleNamespace(folder=tmp_path, frames=frames, i0=i0, shot=shot, text=f"h5={tmp_path}/part_*.h5")


@pytest.mark.parametrize("servers", [1, 3])
def test_values_from_hdf5(stack, servers):
    found = []
    for server in range(servers):
        found += events_of(stack.text, {"i0": "/scan/i0", "n": "scan/shot"}, server=server, servers=servers, block=7)
    found.sort(key=lambda event: event.index)
    assert [event.index for event in found] == list(range(50))
    for k, event in enumerate(found):
        assert event.values == {"i0": stack.i0[k], "n": float(stack.shot[k])} and event.evt is event
        assert type(event.values["n"]) is float


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "scan/i1",
            "part_0.h5: scan/i1: there is no such dataset in the file; did you mean 'scan/i0'?; a number for each",
        ),
        ("scan", "part_0.h5: scan is a group, and must be a dataset"),
        ("scan/few", "part_0.h5: scan/few has shape (19,), and must have (20,), a number for each frame"),
        ("scan/text", "part_0.h5: scan/text has dtype |S1, and must be numbers"),
        ("det/frames", "part_0.h5: det/frames has shape (20, 4, 5), and must have (20,), a number for each frame"),
        ("elsewhere", "other.h5; other files are read only in a folder that you trust"),
    ],
)
def test_wrong_values_in_hdf5(stack, path, words):
    with pytest.raises(ConfigError) as error:
        events_of(stack.text, {"i0": path})
    assert str(error.value).startswith("values['i0']: h5=") and words in str(error.value)


def test_frames_that_are_not_wanted_are_not_read(stack, monkeypatch):
    """In chunks of one frame, those far from any that is wanted stay packed."""
    from parcorana.events.hdf5 import source as module

    monkeypatch.setattr(module, "_GAP_BYTES", 3 * 40)
    source = open_source(parse_dataset(stack.text), src="det/frames", values={"i0": "scan/i0"})
    read, plain = [], source._read
    monkeypatch.setattr(source, "_read", lambda a, b: read.extend(range(a, b)) or plain(a, b))
    (block,) = source.blocks()
    wanted = np.zeros(50, bool)
    wanted[[3, 5, 18, 21, 40]] = True
    got = {}
    for k, frames in block.pieces(wanted):
        got.update(zip(range(k, k + len(frames)), frames.copy(), strict=True))
    for k in np.flatnonzero(wanted):
        np.testing.assert_array_equal(got[k], stack.frames[k])
    assert sorted(read) == [3, 4, 5, 18, 19, 20, 21, 40]
    source.close()


def test_live_hdf5(tmp_path, in_thread):
    """A frame comes with its value, whichever of the two is written last."""
    path, rng = tmp_path / "live.h5", np.random.default_rng(3)
    frames, i0 = rng.integers(0, 9, (60, 4, 5)).astype(np.uint16), rng.random(60)

    def write():
        with h5py.File(path, "w", libver="latest") as file:
            one = file.create_dataset("det/frames", (0, 4, 5), "u2", maxshape=(None, 4, 5), chunks=(2, 4, 5))
            two = file.create_dataset("i0", (0,), "f8", maxshape=(None,), chunks=(8,))
            file.swmr_mode = True
            for k in range(0, 60, 4):
                for each, data in ((one, frames), (two, i0))[:: 1 if k % 8 else -1]:
                    each.resize(k + 4, axis=0)
                    each[k:] = data[k : k + 4]
                    each.flush()

    in_thread(write)
    source = open_source(parse_dataset(f"h5={path}:live"), src="det/frames", values={"i0": "i0"})
    found = [(event.index, event.values, event.data().copy()) for event in source.events() if event is not None]
    source.close()
    assert [index for index, _, _ in found] == list(range(60))
    for k, (_, values, data) in enumerate(found):
        assert values == {"i0": i0[k]}
        np.testing.assert_array_equal(data, frames[k])


# -- whole runs -----------------------------------------------------------------

MONITOR = """
import numpy as np
from parcorana import BlockBase, Common, PerElement


class Monitor(BlockBase):
    '''Intensity weighted by a value; what is stored at the end.'''

    buffer = "C"
    uses = ("mean",)

    def arrays(self, elements):
        self.weighted, self.stored = np.zeros(elements), np.zeros((2, self.system_params["times"]))
        self.entered = np.zeros((1000, 3))
        self.number = np.zeros(1, np.int64)
        return {
            "weighted": PerElement(self.weighted),
            "stored": Common(self.stored),
            "entered": Common(self.entered),
            "number": Common(self.number),
        }

    def enter(self, block):
        name = next(iter(block.values))
        for k, counter in enumerate(block.counters):
            self.weighted += block.data[k] * block.values[name][k]
            self.entered[self.number[0]] = counter, block.values[name][k], block.values["mean"][k]
            self.number += 1
        order = np.argsort(block.buffer.T[: block.buffer.filled])
        self.stored[:] = np.nan
        self.stored[0, : len(order)] = block.buffer.T[order]
        self.stored[1, : len(order)] = block.buffer.values[name][order]

    def publish(self, update, group):
        if group is not None:
            here = group.create_group(f"monitor_at_{update.processed:06d}")
            for name, array in update.items():
                here[name] = array
"""


def write_monitor(setup, **system):
    (setup.folder / "monitor.py").write_text(MONITOR, encoding="utf-8")
    setup.write("Monitor", user={}, **{"update": 0, "delays": [1]} | system)
    path = setup.folder / "config.py"
    text = path.read_text(encoding="utf-8").replace("from parcorana import userg2", "import monitor as userg2")
    path.write_text(text, encoding="utf-8")


def drive(setup, *args, ranks=0, env=None):
    run = setup.drive("-o", *args, ranks=ranks, env=env)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / args[0]) as file:
        system, group = file["system"], file["user"][sorted(file["user"])[-1]]
        number = int(group["number"][0])
        return SimpleNamespace(
            log=run.stderr,
            account={name: int(count) for name, count in system["accounting"].attrs.items()},
            selected={name: int(count) for name, count in system["select"].attrs.items()} if "select" in system else {},
            limits={name: limits[()].tolist() for name, limits in system["select"].items()}
            if "select" in system
            else {},
            entered=group["entered"][:number],
            stored=group["stored"][()],
            weighted=group["weighted"][()],
        )


def check_run(setup, run, frames, column, select, name):
    """Compare with plain loops; return which frames entered."""
    included = frames[:, setup.mask.astype(bool)]
    means = included.sum(axis=1, dtype=float) / included.shape[1]
    entered, counts = [], dict.fromkeys(select, 0)
    for k in range(len(frames)):
        values = {name: column[k], "mean": means[k]}
        out = sorted((n for n in select if not is_inside(values[n], select[n])), key=lambda n: n == "mean")
        if out:
            counts[out[0]] += 1
        else:
            entered.append(k)
    assert run.selected == counts and run.account["filtered"] == sum(counts.values())
    assert run.account["processed"] == len(entered) and run.account["read"] == len(frames)
    np.testing.assert_array_equal(run.entered[:, 1:], np.stack([column, means], axis=1)[entered])
    right = (frames[entered] * column[entered][:, None, None, None]).sum(axis=0) * setup.mask
    np.testing.assert_allclose(run.weighted, right, rtol=1e-12)
    return entered


def test_hdf5_with_monitor(setup):
    """Under mpiexec and without, every division: what is chosen, counted and kept is the same, and as by hand."""
    rng = np.random.default_rng(5)
    i0 = np.where(rng.random(230) < 0.05, np.nan, rng.random(230))
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = i0
        del file["det/counter"]
    select = {"i0": (0.2, 0.9), "mean": (4.8, None)}
    write_monitor(setup, values={"i0": "scan/i0"}, select=select)
    one = drive(setup, "one.h5")
    entered = check_run(setup, one, setup.frames, i0, select, "i0")
    assert one.limits == {"i0": [0.2, 0.9], "mean": [4.8, math.inf]}
    last = entered[-60:]
    np.testing.assert_array_equal(one.stored, [np.array(last) - entered[0], i0[last]])
    said = f"events filtered by select: i0 not 0.2 to 0.9: {one.selected['i0']}, mean not from 4.8 on: "
    assert said + str(one.selected["mean"]) in one.log
    for servers in (1, 2):
        write_monitor(setup, values={"i0": "scan/i0"}, select=select, numservers=servers)
        drive(setup, f"over_mpi_{servers}.h5", ranks=4)
        same = setup.drive  # noqa: F841
        from parcorana.tools.compare import compare

        assert compare(setup.folder / "one.h5", setup.folder / f"over_mpi_{servers}.h5") == []


def test_simulator_with_select(setup, command):
    np.save(setup.folder / "mask.npy", setup.mask)
    select = {"pulse": (0.5, 1.3), "mean": (None, 12)}
    dataset = "sim=brownian:shape=2x5x7:events=300:sase=0.4:poisson=1:seed=4"
    write_monitor(setup, dataset=dataset, src=None, select=select, numservers=2, numevents=250)
    run = drive(setup, "sim.h5", ranks=4)
    events = events_of(dataset, numevents=250)
    frames, pulses = np.array([e.data() for e in events]), np.array([e.values["pulse"] for e in events])
    entered = check_run(setup, run, frames, pulses, select, "pulse")
    assert 0 < len(entered) < 250 and min(run.selected.values()) > 0


def test_check_names_what_is_wrong(setup):
    for select, values, words in (
        ({"pulse": (0, 1)}, {}, "select['pulse']: there is no such value, there is mean"),
        ({}, {"i0": "scan/none"}, "values['i0']: h5=frames.h5: scan/none: there is no such dataset in the file"),
    ):
        setup.write(select=select, values=values)
        run = setup.drive("--check")
        assert run.returncode == 2 and words in run.stderr, run.stderr
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = np.zeros(230)
    setup.write(values={"i0": "scan/i0"}, select={"i0": [None, 3]})
    run = setup.drive("--check")
    assert run.returncode == 0, run.stderr
    assert "{'i0': 'scan/i0'}" in run.stdout and "{'i0': (None, 3)}" in run.stdout


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_run_with_values_goes_on(setup, ranks):
    """Killed after a checkpoint and gone on with elsewhere: values that were stored before are still there."""
    i0 = np.random.default_rng(6).random(230)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = i0
    given = {"values": {"i0": "scan/i0"}, "select": {"i0": (0.1, None)}, "checkpoint": 40, "overwrite": False}
    write_monitor(setup, **given)
    whole = drive(setup, "whole.h5")
    path = setup.folder / "monitor.py"
    path.write_text(
        MONITOR.replace(
            "        order = ", "        if self.number[0] > 120:\n            raise ValueError\n        order = "
        )
    )
    run = setup.drive("-o", "out.h5")
    assert run.returncode == 1 and "go on from its last checkpoint with --resume" in run.stderr, run.stderr
    path.write_text(MONITOR, encoding="utf-8")
    write_monitor(setup, **given | {"select": {"i0": (0.2, None)}})
    run = setup.drive("-o", "out.h5", "--resume")
    assert run.returncode == 2 and "the run was begun with select=" in run.stderr, run.stderr
    write_monitor(setup, **given)
    resumed = drive(setup, "out.h5", "--resume", ranks=ranks)
    np.testing.assert_array_equal(resumed.entered, whole.entered)
    np.testing.assert_array_equal(resumed.stored, whole.stored)
    np.testing.assert_array_equal(resumed.weighted, whole.weighted)
    assert (resumed.account, resumed.selected) == (whole.account, whole.selected)


def test_the_testing_mode_selects_alike(setup):
    i0 = np.random.default_rng(6).random(230)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = i0
    setup.write(
        user=setup.user, values={"i0": "scan/i0"}, select={"i0": (0.1, 0.9), "mean": (4.6, None)}, testnumevents=60
    )
    for mode in ("--test_main", "--test_alt", "--cmp"):
        run = setup.drive(mode)
        assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out_test_alt.h5") as file:
        assert file["system/select"].attrs["i0"] > 0 and file["system/accounting"].attrs["filtered"] > 0


def test_live_runs_count_alike(setup):
    """`numevents` cuts a live run exactly: what was filtered beyond it counts as unused."""
    dataset = "sim=brownian:shape=2x5x7:events=3000:sase=0.4:seed=4:live:hz=2000"
    setup.write(
        user={}, dataset=dataset, src=None, select={"pulse": (0.8, None)}, numservers=2, numevents=400, update=100
    )
    run = setup.drive(ranks=4)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        account, selected = file["system/accounting"].attrs, file["system/select"].attrs
        assert account["filtered"] == selected["pulse"] > 50
        assert account["processed"] + account["filtered"] + account["late"] == 400
        assert account["read"] == 400 + account["unused"]


# -- psana ----------------------------------------------------------------------

ENVIRONMENT = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:1") | {"NO_PROXY": ""}
T0 = 10**18


@pytest.fixture(scope="module")
def beam(tmp_path_factory):
    """Two runs of xtc2 with the energy of each pulse and event codes, which some events lack."""
    from xtc2 import write_run

    folder, rng = tmp_path_factory.mktemp("beam"), np.random.default_rng(8)
    frames, energy = rng.poisson(5, (90, 2, 5, 7)).astype(np.uint16), rng.random(90)
    codes = np.zeros((90, 18), np.uint16)
    codes[::3, 40 // 16] |= 1 << 40 % 16
    lacking = {(7, "gmd"), (33, "gmd"), (50, "timing")}
    numbers = {"gmd": {"milliJoulesPerPulse": energy, "other": energy * 2}, "timing": {"sequenceValues": codes}}
    stamps = T0 + np.arange(90) * 10**9 // 120
    write_run(folder, frames, stamps, streams=2, numbers=numbers, lacking=lacking)
    some = {name: {field: column[:40] for field, column in fields.items()} for name, fields in numbers.items()}
    write_run(
        folder, frames[:40], stamps[:40] + 10**12, run=8, streams=2, numbers=some, lacking={(7, "gmd"), (33, "gmd")}
    )
    laser = np.array([float(k % 3 == 0) for k in range(90)])
    laser[50], energy[[7, 33]] = math.nan, math.nan
    return SimpleNamespace(folder=folder, frames=frames, energy=energy, laser=laser)


VALUES = {"energy": "gmd.raw.milliJoulesPerPulse", "laser": "timing.raw.eventcodes[40]"}


@NO_PSANA
@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize("servers", [1, 2])
def test_values_from_psana(beam, no_facility, mode, servers):
    dataset = parse_dataset(f"exp=tstx00126:run=7,8:dir={beam.folder}{mode}")
    found = {}
    for server in range(servers):
        share = Share(server=server, servers=servers, block=16)
        source = open_source(dataset, src="mydet", share=share, values=VALUES)
        assert source.own_run.runnum == 7
        for block in source.blocks():
            for event in block:
                evt = event.evt
                assert type(evt).__module__ == "psana.event"
                assert (evt.index, evt.stamp, evt.values) == (event.index, event.stamp, event.values)
                assert event.own_run.runnum == 7 + event.run == evt.run().runnum
                found[event.run, event.index] = event.values, event.data().copy()
        source.close()
    assert sorted(found) == [(0, k) for k in range(90)] + [(1, k) for k in range(40)]
    for (run, k), (values, data) in found.items():
        np.testing.assert_array_equal(values["energy"], beam.energy[k])
        np.testing.assert_array_equal(values["laser"], beam.laser[k] if not (run and k == 50) else 0)
        np.testing.assert_array_equal(data, beam.frames[k])


@NO_PSANA
@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("gmdd.raw.x", "run 7 of tstx00126 has these detectors: gmd, mydet, timing; did you mean 'gmd'?"),
        (
            "gmd.raw.milliJoules",
            "detector 'gmd' of run 7 of tstx00126 has these: raw.config, raw.milliJoulesPerPulse, raw.other",
        ),
        ("gmd.fex.milliJoulesPerPulse", "has these: raw.config, raw.milliJoulesPerPulse, raw.other; did you mean"),
        (
            "timing.raw.eventcodes",
            "is an array of shape (288,), and must be a number: 'timing.raw.eventcodes[40]' is 1 in",
        ),
        ("timing.raw.eventcodes[288]", "there is no element 288 in 288, which begin with 0"),
        ("mydet.raw.raw", "is an array of shape (2, 5, 7), and must be a number"),
        ("mydet.raw.raw[1]", "'mydet.raw.raw' is an array of shape (2, 5, 7), which has no element 1"),
        ("gmd.raw.other[0]", "'gmd.raw.other' is one number, which has no element 0"),
        ("gmd.raw.config", "is dict, and must be a number"),
    ],
)
def test_wrong_values_of_psana(beam, no_facility, mode, where, words):
    dataset = parse_dataset(f"exp=tstx00126:run=7:dir={beam.folder}{mode}")
    with pytest.raises(ConfigError) as error:
        open_source(dataset, src="mydet", share=Share(block=16), values={"energy": where})
    assert str(error.value).startswith(f"values['energy'] {where!r}: ".replace(": ", "")) and words in str(error.value)


@NO_PSANA
def test_psana_with_select(setup, beam):
    select = {"energy": (0.3, None), "laser": (1, 1)}
    text = f"exp=tstx00126:run=7:dir={beam.folder}"
    write_monitor(setup, dataset=text, src="mydet", values=VALUES, select=select, numservers=2)
    warnings = {"PYTHONWARNINGS": "default"}  # what importing psana says of the packages that it brings along
    run = drive(setup, "psana.h5", ranks=4, env=ENVIRONMENT | warnings)
    entered = [k for k in range(90) if beam.energy[k] >= 0.3 and beam.laser[k] == 1]
    np.testing.assert_array_equal(run.entered[:, 1], beam.energy[entered])
    assert run.selected == {
        "energy": sum(not e >= 0.3 for e in beam.energy),
        "laser": sum(e >= 0.3 and not l == 1 for e, l in zip(beam.energy, beam.laser, strict=True)),
    }
    assert run.account["processed"] == len(entered) and run.account["filtered"] == 90 - len(entered)


@NO_PSANA
def test_servers_know_psanas_run(tmp_path, beam, no_facility):
    """`mpiParams.run` is there before `initServer`, and is that of the event in hand."""
    runs = []

    class Looks(Seen):
        def initServer(self):
            runs.append(self.mpiParams.run.runnum)

        def eventOk(self, evt):
            runs.append((self.mpiParams.run.runnum, evt.run().runnum))
            return True

    dataset = parse_dataset(f"exp=tstx00126:run=7,8:dir={beam.folder}")

    def opened(share):
        return open_source(dataset, src="mydet", share=share)

    run_local(tmp_path, Looks, np.arange(1), beam.frames[:1], servers=2, times=5, block=16, delays=[1], opened=opened)
    assert runs[:2] == [7, 7] and sorted(runs[2:]) == [(7, 7)] * 90 + [(8, 8)] * 40
