"""The values of events: from every source to the calculation, and which events they leave out."""

import itertools
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local import ListSource, run_local
from valued import Seen, is_inside

from parcorana import BlockBase, ConfigError
from parcorana.curves.monitor import FILTERED, PROCESSED
from parcorana.errors import EventError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5.slab import runs_of
from parcorana.events.protocol import Event, FrameBlock
from parcorana.events.values import Select, check_select, check_values, text_of
from parcorana.job.config import resolve_config
from parcorana.pipeline.means import Means
from parcorana.reference import ReferenceBuffer

USUAL = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPE = (2, 3)


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

    assert names() == (["mean"], {}), "which is there in any case"
    assert names(values={"b": "x", "a": "y"}) == (["b", "a", "mean"], {"b": "x", "a": "y"})
    assert names(values={"mean": "mean", "a": "y"}) == (["a", "mean"], {"a": "y"})
    assert names(select={"mean": (1, None)}) == (["mean"], {})
    assert names(uses=("mean",)) == (["mean"], {})
    assert names(dataset="sim=brownian", select={"pulse": (None, 3)}) == (["pulse", "mean"], {})
    assert names(dataset="sim=brownian", values={"i0": "pulse"}, uses=["i0"])[0] == ["i0", "pulse", "mean"]
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
    found = runs_of(np.array(wanted, bool), gap)
    read = [k for first, last in found for k in range(first, last)]
    assert set(np.flatnonzero(wanted)) <= set(read) and len(read) == len(set(read))
    for first, last in found:
        assert wanted[first] and wanted[last - 1]
        run = "".join("x" if w else "." for w in wanted[first:last])
        assert "." * gap not in run, "as many together are not read"
    for (_, last), (first, _) in itertools.pairwise(found):
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
        pieces = [frames[k : k + 1, a:b] for a, b in itertools.pairwise(cuts)]
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
    """Return what enters, in order, with its values, the accounting, and the values of what ranges leave out.

    By the rules, one event after the other.
    """
    entered, account, selected, left_out = [], {}, dict.fromkeys(run.select, 0), []
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
            left_out.append((values["a"], values["b"], mean if out[0] == "mean" else math.nan))
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
    return entered, account, selected, left_out


def check_distributions(found, entered, left_out):
    """Compare what a run keeps of the values with what they were."""
    rows = np.reshape(entered, (-1, 4))
    for k, name in enumerate(("a", "b", "mean")):
        one = found[name]
        for kind, column in ((PROCESSED, rows[:, k + 1]), (FILTERED, np.reshape(left_out, (-1, 3))[:, k])):
            finite = column[np.isfinite(column)]
            assert one.special[kind].sum() + len(finite) == len(column)
            if len(one.edges):
                assert one.counts[kind].tolist() == np.histogram(finite, [*one.edges[:-1], np.inf])[0].tolist()
        assert one.first.tolist() == one.last.tolist() == rows[:, 0].tolist(), "each event is a stretch of its own"
        np.testing.assert_array_equal([one.mean, one.minimum, one.maximum], [rows[:, k + 1]] * 3)


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
    entered, account, selected, left_out = by_hand(run)
    for worker in roles[run.servers :]:
        check_distributions(worker.monitors.distributions(), entered, left_out)
        assert [row[0] for row in worker.calculation.entered] == [row[0] for row in entered]
        np.testing.assert_array_equal(np.reshape(worker.calculation.entered, (-1, 4)), np.reshape(entered, (-1, 4)))
        assert worker.events.filtered_by == selected
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
